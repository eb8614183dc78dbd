// Package liveleadersim is LiveLeader's data export (document: liveleader-export.txt) over an invented account.
//
// What the document leaves open is chosen thus: bad credentials are 401, any other fault of a request 400, each with a line of text; a
// chat is in every period that it touches; times have no offset and are Norwegian, the seconds' hundredths always there; a chat
// that no operator responded to is not exported. Each element that may be absent is absent from some chats, and all of them from a few.
package liveleadersim

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// The operator whose credentials are good.
const (
	email    = "export.operator@fjordnett.example"
	password = "Fjord-Export-7391"
	zone     = "Europe/Oslo"
)

// Sim is the vendor. It is safe for concurrent use.
type Sim struct {
	account *simulated.Account
	seed    int64
	zone    *time.Location
	handler http.Handler
}

// New opens an account.
func New(o simulated.Options) *Sim {
	s := &Sim{account: simulated.New(o), seed: o.Seed, zone: time.UTC}
	if loc, err := time.LoadLocation(zone); err == nil {
		s.zone = loc
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/Srv", s.export)
	s.handler = simulated.Faulty(mux, o.Faults, o.Seed, s.Change)
	return s
}

// ServeHTTP answers requests to the access point.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Variables configure a source that reads the simulator at a base URL.
func (s *Sim) Variables(base string) map[string]string {
	return map[string]string{
		"VENDOR": "liveleader", "URL": base, "EMAIL": email, "PASSWORD": password, "TIMEZONE": s.zone.String(),
	}
}

// Change edits n of the newest chats, each in the entry Edited of its userinfo.
func (s *Sim) Change(n int) int { return len(s.account.Change(n)) }

// Ledger lists the chats that an export of all time would hold now.
func (s *Sim) Ledger() []simulated.Entry {
	var entries []simulated.Entry
	for _, c := range s.account.Chats() {
		if c.Missed { // the document has operator and msg at least once: a chat that nobody responded to is not exported
			continue
		}
		entry := simulated.Entry{Stream: "chats", Key: s.id(c), At: c.Start, Version: c.Edits, Malformed: c.Malformed}
		if withoutID(c) {
			entry.Key = ""
		}
		if surveyed(c, "exit") {
			entry.Version++
		}
		entries = append(entries, entry)
	}
	return entries
}

// id has the form of a UUID.
func (s *Sim) id(c simulated.Chat) string {
	h := sha256.Sum256(fmt.Appendf(nil, "liveleader chat %d %d", s.seed, c.Number))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80 // version and variant
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func (s *Sim) export(w http.ResponseWriter, r *http.Request) {
	from, to, status, fault := request(r)
	if fault != "" {
		http.Error(w, fault, status)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	s.write(w, from, to)
}

// request checks a request and gives the period that it asks for, or a status and the fault.
func request(r *http.Request) (from, to time.Time, status int, fault string) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return from, to, http.StatusBadRequest, "the parameters are not URL-encoded"
	}
	if fault = parameters(query); fault != "" {
		return from, to, http.StatusBadRequest, fault
	}
	if !same(query.Get("email"), email) || !same(query.Get("password"), password) {
		return from, to, http.StatusUnauthorized, "unknown email or wrong password"
	}
	from, errFrom := instant(query.Get("start"))
	to, errTo := instant(query.Get("stop"))
	if errFrom != nil || errTo != nil || to.Before(from) {
		return from, to, http.StatusBadRequest, "start and stop: want a period in ISO 8601, such as 2008-08-18T19:24:18.884+02:00"
	}
	return from, to, http.StatusOK, ""
}

// parameters wants each documented parameter once, and no other.
func parameters(query url.Values) (fault string) {
	documented := []string{"a", "email", "password", "start", "stop"}
	for _, name := range documented {
		if len(query[name]) != 1 || query.Get(name) == "" {
			return name + ": is required once"
		}
	}
	if len(query) != len(documented) {
		return "there are unknown parameters"
	}
	if query.Get("a") != "export" {
		return `a: must be the exact value "export"`
	}
	return ""
}

func same(got, want string) bool { return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1 }

// instant reads the form of the document's examples: milliseconds and an offset.
func instant(text string) (time.Time, error) {
	const form = "2006-01-02T15:04:05.000-07:00"
	t, err := time.Parse(form, text)
	if err == nil && len(text) != len(form) {
		err = fmt.Errorf("%q is not of the form %q", text, form)
	}
	return t, err
}
