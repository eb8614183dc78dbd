// Package livechatreportssim is the LiveChat Reports API v3.6 over an invented account, strict after its document
// (livechat-reports-v3.6.txt): all its methods, POST with a JSON body or GET with a
// query, all filters. What the document leaves open is decided here: errors look like those of LiveChat's sibling APIs, a chat counts on the day on
// which it started, both ends of the range are inclusive, every bucket of the range is in the answer ({} when nothing
// happened), zero counters are left out, buckets other than days are named "2026-10-25 13:00", "13:00", 2026-10 and 2026, a greeting is sent when its chat
// starts, several surveys with times count as one pair, a query has no form for surveys. Known properties are routing.continuous and
// routing.unreplied; chats lack every other one.
package livechatreportssim

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// The account's credentials.
const (
	AccountID = "5b0c2e7a-91d4-4f36-8a57-c3e1f0d29b64"
	Token     = "dal:Zr7sim_Kq2vXw9TnBd4LhYp0"
)

const (
	accessPath   = "/v3.6/reports/"
	accountZone  = "Europe/Oslo" // of the agent whose token it is
	maxBody      = 1 << 20
	defaultRange = 7 * 24 * time.Hour
	longestRange = 10 * 366 * 24 * time.Hour
)

// Sim is the simulator. It is safe for concurrent use.
type Sim struct {
	account *simulated.Account
	handler http.Handler
	home    *time.Location
	broken  map[bucketOf]bool

	mu        sync.Mutex
	greetings int
	last      query // of chats/greetings_conversion
	asked     map[string]query
	canceled  map[int]int // greetings that were dismissed later, by the number of the chat
}

// New makes a simulator; its story is simulated.New(o).
func New(o simulated.Options) *Sim {
	home, err := time.LoadLocation(accountZone)
	if err != nil {
		home = time.UTC
	}
	account := simulated.New(o)
	s := &Sim{
		account: account, home: home, broken: brokenBuckets(account.Options(), home), greetings: greetings,
		last: query{distribution: "day", zone: home}, asked: map[string]query{}, canceled: map[int]int{},
	}
	s.handler = simulated.Faulty(http.HandlerFunc(s.serve), o.Faults, o.Seed, s.Change)
	return s
}

// Greet gives the account so many greetings, over which the chats are spread.
func (s *Sim) Greet(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greetings = n
}

// ServeHTTP implements http.Handler.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Variables configure a source that reads this simulator at a base URL.
func (s *Sim) Variables(base string) map[string]string {
	return map[string]string{"VENDOR": "livechat-reports", "URL": base, "TOKEN": Token, "TIMEZONE": s.home.String()}
}

// refusal is an answer other than 200.
type refusal struct {
	status  int
	Type    string `json:"type"`
	Message string `json:"message"`
}

func (r *refusal) Error() string { return r.Message }

func refuse(status int, kind, message string) error { return &refusal{status, kind, message} }

func invalid(message string) error { return refuse(http.StatusBadRequest, "validation", message) }

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	body, err := s.answer(r)
	w.Header().Set("Content-Type", "application/json")
	var no *refusal
	if errors.As(err, &no) {
		w.WriteHeader(no.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": no})
		return
	}
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Sim) answer(r *http.Request) (any, error) {
	report := strings.TrimPrefix(r.URL.Path, accessPath)
	if _, ok := reportNames()[report]; !ok || report == r.URL.Path {
		return nil, refuse(http.StatusNotFound, "not_found", "unknown path")
	}
	if err := authorize(r); err != nil {
		return nil, err
	}
	if v := r.Header.Get("X-API-Version"); v != "" && v != "3.6" {
		return nil, refuse(http.StatusBadRequest, "unsupported_version", "unsupported version "+v)
	}
	parameters, err := readParameters(r)
	if err != nil {
		return nil, err
	}
	q, err := s.check(report, parameters)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tell(q), nil
}

func authorize(r *http.Request) error {
	basic := base64.StdEncoding.EncodeToString([]byte(AccountID + ":" + Token))
	given := []byte(r.Header.Get("Authorization"))
	for _, good := range []string{"Bearer " + Token, "Basic " + basic} {
		if subtle.ConstantTimeCompare(given, []byte(good)) == 1 {
			return nil
		}
	}
	return refuse(http.StatusUnauthorized, "authentication", "Invalid access token")
}
