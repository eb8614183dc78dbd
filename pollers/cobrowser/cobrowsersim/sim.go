// Package cobrowsersim is CoBrowser.net's CSV export (cobrowser-csv.txt) over an invented account. It is as strict as the
// document; where that leaves something open (errors, the header, line ends, the order of start and stop), it
// takes the narrowest reading and answers text:
// every value is quoted and quotes are doubled, there is a header, lines end with CRLF, start is not
// nearer than stop, other parameters than the documented ones are refused, a row is of the day in which it began, and a command
// without options lists everything.
//
// The fault "midnight" answers with the days as the next day counts them, where a row of them can tell.
//
// There are two users: a CCC agent, who sees all accounts, and an ordinary one, who sees one account and is forbidden the commands
// for CCC agents.
package cobrowsersim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the account's zone must be there on every machine

	"github.com/parley-stream/parley/pollers/simulated"
)

const (
	accessPath = "/generic/api/csv.php"
	timezone   = "Europe/Amsterdam"
	mostDays   = 2
)

// user is one who may ask. Its account is what an ordinary one sees; "" is a CCC agent, who sees all.
type user struct{ name, apiKey, account string }

func users() (ccc, ordinary user) {
	return user{"reporting@shop.example", "4Wq8zRt2Kv6Ym9Bn3Hc7", ""}, user{"desk-viewer@shop.example", "9Jm3xLd7Qs5Gt2Vf8Pb4", accountID(0)}
}

// Sim serves one company. It is safe for concurrent use.
type Sim struct {
	account *simulated.Account
	fields  *simulated.Fields
	zone    *time.Location
	people  map[string]int // the agents' places by the story's ids
	turns   *simulated.Chance
	handler http.Handler
}

// New generates an account.
func New(o simulated.Options) *Sim {
	zone, err := time.LoadLocation(timezone)
	if err != nil {
		panic(err) // tzdata is linked in
	}
	s := &Sim{account: simulated.New(o), fields: o.Fields, zone: zone, people: make(map[string]int), turns: simulated.NewChance(o.Faults, o.Seed, simulated.FaultMidnight)}
	for i, p := range s.account.Agents() {
		s.people[p.ID] = i
	}
	s.handler = simulated.Faulty(http.HandlerFunc(s.serve), o.Faults, o.Seed, s.Change)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Variables reach the simulator at a base URL as the CCC agent.
func (s *Sim) Variables(base string) map[string]string {
	ccc, _ := users()
	return ccc.variables(base)
}

// OrdinaryVariables reach the simulator at a base URL as a user who is no CCC agent.
func (s *Sim) OrdinaryVariables(base string) map[string]string {
	_, ordinary := users()
	return ordinary.variables(base)
}

func (u user) variables(base string) map[string]string {
	return map[string]string{"VENDOR": "cobrowser", "URL": base, "USER": u.name, "API_KEY": u.apiKey, "TIMEZONE": timezone}
}

// sees tells whether a row is within the user's scope.
func (u user) sees(r *row) bool { return u.account == "" || u.account == r.account }

// Change edits n conversations: their successcode says so.
func (s *Sim) Change(n int) int { return len(s.account.Change(n)) }

// Ledger lists every record that the CCC agent can find now. A conversation without a browse id has no key, nor
// has one whose row lacks a column: its values cannot be told apart.
func (s *Sim) Ledger() []simulated.Entry {
	ccc, _ := users()
	return s.ledger(ccc)
}

// OrdinaryLedger lists every record that the other user can find now.
func (s *Sim) OrdinaryLedger() []simulated.Entry {
	_, ordinary := users()
	return s.ledger(ordinary)
}

func (s *Sim) ledger(u user) (entries []simulated.Entry) {
	for _, c := range commands() {
		if c.ccc && u.account != "" {
			continue
		}
		for _, r := range c.rows(s) {
			if u.sees(&r) {
				entries = append(entries, simulated.Entry{Stream: c.name, Key: r.key, At: r.at, Version: 1 + r.edits, Malformed: r.malformed})
			}
		}
	}
	return entries
}

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != accessPath {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, "bad query", http.StatusBadRequest)
		return
	}
	u, known := authenticate(q)
	if !known {
		http.Error(w, "access denied", http.StatusUnauthorized)
		return
	}
	ask, err := parse(q)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case ask.command.ccc && u.account != "":
		http.Error(w, "this command only works for CCC agents", http.StatusForbidden)
	default:
		w.Header().Set("Content-Type", "text/csv")
		_, _ = w.Write(s.answer(u, ask, s.turns.Falls(r)))
	}
}

func authenticate(q url.Values) (user, bool) {
	ccc, ordinary := users()
	for _, u := range []user{ccc, ordinary} {
		if q.Get("user") == u.name && q.Get("apiKey") == u.apiKey {
			return u, true
		}
	}
	return user{}, false
}

// question is a valid request.
type question struct {
	command     command
	start, stop int // days ago, both whole days
	separator   string
}

func parse(q url.Values) (question, error) {
	ask := question{separator: ";"}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == q.Get("c") })
	if i < 0 {
		return ask, fmt.Errorf("unknown command %q", q.Get("c"))
	}
	ask.command = all[i]
	allowed := []string{"user", "apiKey", "c", "csvseperator"}
	if ask.command.ranged {
		allowed = append(allowed, "start", "stop")
	}
	for name, values := range q {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			return ask, fmt.Errorf("%s does not take %s, or not as often", ask.command.name, name)
		}
	}
	if q.Has("csvseperator") {
		if ask.separator = q.Get("csvseperator"); !slices.Contains([]string{";", ",", ":", "|"}, ask.separator) {
			return ask, errors.New("csvseperator is one of ; , : |")
		}
	}
	return ask, ask.days(q)
}

func (ask *question) days(q url.Values) error {
	for name, into := range map[string]*int{"start": &ask.start, "stop": &ask.stop} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.ParseUint(q.Get(name), 10, 31)
		if err != nil {
			return fmt.Errorf("%s is a number of days ago", name)
		}
		*into = int(n)
	}
	if ask.start < ask.stop {
		return errors.New("start is after stop")
	}
	if ask.start-ask.stop > mostDays {
		return errors.New("the range between start and stop has a maximum value of 2 days")
	}
	return nil
}

// midnight is the first instant of the day that was so many days ago.
func (s *Sim) midnight(ago int) time.Time {
	y, m, d := s.account.Now().In(s.zone).Date()
	return time.Date(y, m, d-ago, 0, 0, 0, 0, s.zone)
}

// answer gives the list that a user sees: of the days asked for, or all there is. After midnight the days are others; if there
// are no rows of theirs, nothing in the answer could tell, and it is that of before.
func (s *Sim) answer(u user, ask question, afterMidnight bool) []byte {
	from, to := s.midnight(ask.start), s.midnight(ask.stop-1)
	rows := s.rows(u, ask.command, from, to)
	if afterMidnight && ask.command.ranged {
		from, to := s.midnight(ask.start-1), s.midnight(ask.stop-2)
		if others := s.rows(u, ask.command, from, to); slices.ContainsFunc(others, func(r row) bool { return !r.malformed }) {
			rows = others
		}
	}
	out := line(nil, ask.command.columns, ask.separator)
	for _, r := range rows {
		out = line(out, r.values, ask.separator)
	}
	if s.fields != nil {
		out = line(out, s.specimen(ask.command, from), ask.separator)
	}
	return out
}

// rows gives those of a command that a user sees, of the time from from to to if it takes days.
func (s *Sim) rows(u user, c command, from, to time.Time) []row {
	return slices.DeleteFunc(c.rows(s), func(r row) bool {
		return !u.sees(&r) || c.ranged && (r.at.Before(from) || !r.at.Before(to))
	})
}

// line appends one line: every value in quotes, quotes doubled.
func line(out []byte, values []string, separator string) []byte {
	for i, v := range values {
		if i > 0 {
			out = append(out, separator...)
		}
		out = append(append(append(out, '"'), strings.ReplaceAll(v, `"`, `""`)...), '"')
	}
	return append(out, "\r\n"...)
}
