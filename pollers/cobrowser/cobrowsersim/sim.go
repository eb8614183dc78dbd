// Package cobrowsersim is CoBrowser.net's CSV export (cobrowser-csv.txt) over an invented account. It is as strict as the
// document; where that leaves something open (errors, the header, line ends, the order of start and stop), it
// takes the narrowest reading and answers text:
// every value is quoted and quotes are doubled, there is a header, lines end with CRLF, start is not
// nearer than stop, other parameters than the documented ones are refused.
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
	user       = "reporting@shop.example"
	apiKey     = "4Wq8zRt2Kv6Ym9Bn3Hc7"
	timezone   = "Europe/Amsterdam"
	mostDays   = 2
)

// Sim serves one account. It is safe for concurrent use.
type Sim struct {
	account *simulated.Account
	zone    *time.Location
	handler http.Handler
}

// New generates an account.
func New(o simulated.Options) *Sim {
	zone, err := time.LoadLocation(timezone)
	if err != nil {
		panic(err) // tzdata is linked in
	}
	s := &Sim{account: simulated.New(o), zone: zone}
	s.handler = simulated.Faulty(http.HandlerFunc(s.serve), o.Faults, o.Seed)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Variables reach the simulator at a base URL.
func (s *Sim) Variables(base string) map[string]string {
	return map[string]string{"VENDOR": "cobrowser", "URL": base, "USER": user, "API_KEY": apiKey, "TIMEZONE": timezone}
}

// Change edits n conversations: their successcode says so.
func (s *Sim) Change(n int) int { return len(s.account.Change(n)) }

// Ledger lists every conversation that is visible now. A conversation without a browse id has no key, nor
// has one whose row lacks a column: its values cannot be told apart.
func (s *Sim) Ledger() []simulated.Entry {
	var entries []simulated.Entry
	for _, c := range s.account.Chats() {
		e := simulated.Entry{Stream: "conversations", At: c.Start, Version: 1 + c.Edits, Malformed: c.Malformed}
		if !c.RatedAt.IsZero() {
			e.Version++
		}
		if !c.Malformed {
			e.Key = accountID(&c) + "-" + browseID(&c) + "-" + strconv.FormatInt(c.Start.Unix(), 10)
		}
		entries = append(entries, e)
	}
	return entries
}

// commands are the documented ones; those with a range take start and stop.
var commands = map[string]struct{ ranged bool }{
	"conversations": {true}, "accounts": {}, "agents": {}, "cccagents": {}, "cccagentgroups": {}, "cccgroupaccounts": {},
	"cccslotsactivity": {}, "accountspecshourly": {true}, "hostspecshourly": {true}, "emails": {true}, "hosts": {},
	"agentactivity": {true}, "filterstatshourly": {true}, "slotsactivity": {true}, "agentperformance": {true},
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
	if q.Get("user") != user || q.Get("apiKey") != apiKey {
		http.Error(w, "access denied", http.StatusUnauthorized)
		return
	}
	ask, err := parse(q)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case ask.command != "conversations":
		http.Error(w, "not simulated yet: "+ask.command, http.StatusNotImplemented)
	default:
		w.Header().Set("Content-Type", "text/csv")
		_, _ = w.Write(s.conversations(ask))
	}
}

// question is a valid request.
type question struct {
	command     string
	start, stop int // days ago, both whole days
	separator   string
}

func parse(q url.Values) (question, error) {
	ask := question{command: q.Get("c"), separator: ";"}
	command, known := commands[ask.command]
	if !known {
		return ask, fmt.Errorf("unknown command %q", ask.command)
	}
	allowed := []string{"user", "apiKey", "c", "csvseperator"}
	if command.ranged {
		allowed = append(allowed, "start", "stop")
	}
	for name, values := range q {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			return ask, fmt.Errorf("%s does not take %s, or not as often", ask.command, name)
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

func (s *Sim) conversations(ask question) []byte {
	from, to := s.midnight(ask.start), s.midnight(ask.stop-1)
	out := line(nil, columns, ask.separator)
	for _, c := range s.account.Chats() {
		if !c.Start.Before(from) && c.Start.Before(to) {
			out = line(out, s.row(&c), ask.separator)
		}
	}
	return out
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
