package liveagentsim

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// apiKey is the account's invented key.
const apiKey = "k7Qw2mZr9TxV4nLsB8yD"

// zoneName is the document's default zone.
const zoneName = "America/Los_Angeles"

// Sim is the simulated vendor. It is safe for concurrent use.
type Sim struct {
	account *simulated.Account
	zone    *time.Location
	handler http.Handler
	// ordinary reads datefrom and dateto otherwise than the document's words.
	ordinary bool

	mu      sync.Mutex
	seen    *view
	edition int // grows with every Change
}

// New makes a simulator of an account.
func New(o simulated.Options) *Sim {
	zone, err := time.LoadLocation(zoneName)
	if err != nil {
		panic("liveagentsim: no time zone database: " + err.Error())
	}
	s := &Sim{account: simulated.New(o), zone: zone}
	s.handler = simulated.Faulty(http.HandlerFunc(s.serve), o.Faults, o.Seed, s.Change)
	return s
}

// ServeHTTP serves the API below /api.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// ReadDatesOrdinarily makes datefrom and dateto mean "newer than" and "older than": the document says the opposite, and its
// Japanese edition this. It is called before the first request.
func (s *Sim) ReadDatesOrdinarily() { s.ordinary = true }

// Ledger lists whatever is visible now.
func (s *Sim) Ledger() []simulated.Entry {
	entries := s.entries()
	for _, c := range s.look().chats {
		e := simulated.Entry{Stream: "conversations", Key: conversationID(c.Chat), At: c.ChangedAt, Version: version(c.Chat), Malformed: c.Malformed}
		if lacksID(c.Chat) {
			e.Key = ""
		}
		entries = append(entries, e)
	}
	return append(entries, s.reportLedger()...)
}

// version counts the changes that a conversation shows.
func version(c *simulated.Chat) int {
	n := 1 + c.Edits
	if !c.RatedAt.IsZero() {
		n++
	}
	if !c.TaggedAt.IsZero() {
		n++
	}
	return n
}

// Change edits n conversations: a custom field and the date of change.
func (s *Sim) Change(n int) int {
	changed := len(s.account.Change(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edition++
	return changed
}

// Variables reach the simulator at a base URL.
func (s *Sim) Variables(base string) map[string]string {
	return map[string]string{"VENDOR": "liveagent", "URL": base, "API_KEY": apiKey, "TIMEZONE": zoneName, "KB_QUERIES": strings.Join(queries, ",")}
}
