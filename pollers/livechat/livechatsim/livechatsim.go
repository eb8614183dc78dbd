// Package livechatsim is LiveChat's chats API, version 2, as livechat-chats-v2.txt documents it, over a generated
// account whose zone is Europe/Berlin.
//
// What the document leaves open is chosen so: chats are filed by the day of their start and come newest first; a missed
// chat has a time, an e-mail address and a message; what is wrong with a request is told with status 400; a page
// behind the last is refused, but for the first. A parameter that the document does not have, one that comes twice, and a value that
// it does not allow are refused; of a parameter without a value nothing can be told, and it is refused as well.
//
// The fault "moved" moves the chats between two pages, for one answer.
package livechatsim

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

const (
	login    = "kim.lund@harbour.example"
	apiKey   = "5e81c0d94b7a42f6a3de90b15c72f8aa"
	zone     = "Europe/Berlin"
	pageSize = 25
	stream   = "chats"
)

// Sim serves the API. It is safe for concurrent use.
type Sim struct {
	// OnPage is called behind each page that was served, so that a test can move things between
	// two pages. Set it before serving.
	OnPage func(page int)

	account  *simulated.Account
	location *time.Location
	handler  http.Handler
	moves    *simulated.Moves
	order    simulated.Derived[[]*simulated.Chat] // newest start first

	mu      sync.Mutex
	deleted map[int]bool // by number
}

// New makes a simulator.
func New(o simulated.Options) *Sim {
	location, err := time.LoadLocation(zone)
	if err != nil {
		panic(err) // the machine has no time zones
	}
	s := &Sim{account: simulated.New(o), location: location, moves: simulated.NewMoves(o.Faults, o.Seed), deleted: map[int]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /chats", s.list)
	s.handler = simulated.Faulty(mux, o.Faults, o.Seed, s.Change)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Variables reach the simulator at a base URL.
func (s *Sim) Variables(base string) map[string]string {
	return map[string]string{"VENDOR": "livechat", "URL": base, "LOGIN": login, "API_KEY": apiKey, "TIMEZONE": zone}
}

// Ledger lists the chats that can be read now, filed by their start.
func (s *Sim) Ledger() []simulated.Entry {
	chats := s.chats()
	entries := make([]simulated.Entry, len(chats))
	for i, c := range chats {
		entries[i] = simulated.Entry{Stream: stream, Key: key(c), At: c.Start, Version: version(c), Malformed: c.Malformed}
		if c.Malformed {
			entries[i].Key = ""
		}
	}
	return entries
}

// version counts what has been added to a chat since its end.
func version(c *simulated.Chat) int {
	v := 1 + c.Edits
	for _, at := range []time.Time{c.RatedAt, c.TaggedAt} {
		if !at.IsZero() {
			v++
		}
	}
	return v
}

// Change adds a tag to n chats.
func (s *Sim) Change(n int) int { return len(s.account.Change(n)) }

// Delete takes the chat with an id away; false when there is none.
func (s *Sim) Delete(id string) bool {
	chats := s.chats()
	i := slices.IndexFunc(chats, func(c *simulated.Chat) bool { return key(c) == id })
	if i < 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted[chats[i].Number] = true
	return true
}

// chats gives the account's, newest start first. They are others' too, and so is the slice.
func (s *Sim) chats() []*simulated.Chat {
	chats := s.order.Get(s.account, func(all []simulated.Chat) []*simulated.Chat {
		out := make([]*simulated.Chat, len(all))
		for i := range all {
			out[i] = &all[i]
		}
		slices.SortStableFunc(out, func(a, b *simulated.Chat) int { return b.Start.Compare(a.Start) })
		return out
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.deleted) == 0 {
		return chats
	}
	return slices.DeleteFunc(slices.Clone(chats), func(c *simulated.Chat) bool { return s.deleted[c.Number] })
}

func key(c *simulated.Chat) string { return fmt.Sprintf("QX%02X%06d", c.Number%251, c.Number) }

type response struct {
	Chats []any `json:"chats"`
	Total int   `json:"total"`
	Pages int   `json:"pages"`
}

func (s *Sim) list(w http.ResponseWriter, r *http.Request) {
	if !authorized(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="LiveChat"`)
		refuse(w, http.StatusUnauthorized, "authentication failed")
		return
	}
	if v := r.Header.Get("X-API-Version"); v != "2" {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("X-API-Version is %q, this is version 2", v))
		return
	}
	q, err := s.parseQuery(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	rows := q.choose(s.chats())
	if s.account.Options().Fields != nil {
		rows = append(s.specimens(q.from), rows...)
	}
	rows, total := simulated.Page(rows, q.page, pageSize, s.moves.Next(r))
	pages := (total + pageSize - 1) / pageSize
	if q.page > max(pages, 1) {
		refuse(w, http.StatusBadRequest, "page: there are "+strconv.Itoa(pages))
		return
	}
	out := response{Chats: []any{}, Total: total, Pages: pages}
	for _, c := range rows {
		out.Chats = append(out.Chats, s.write(c))
	}
	reply(w, http.StatusOK, out)
	if s.OnPage != nil {
		s.OnPage(q.page)
	}
}

func authorized(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	good := subtle.ConstantTimeCompare([]byte(user), []byte(login)) & subtle.ConstantTimeCompare([]byte(password), []byte(apiKey))
	return ok && good == 1
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"error": message})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client has gone
}
