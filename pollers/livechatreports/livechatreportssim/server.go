// Package livechatreportssim is the LiveChat Reports API v3.6 over an invented account, strict after its document
// (livechat-reports-v3.6.txt): chats/total_chats and chats/ratings, POST with a JSON body or GET with a
// query. What the document leaves open is decided here: errors look like those of LiveChat's sibling APIs, a chat counts on the day on
// which it started, both ends of the range are inclusive, every bucket of the range is in the answer ({} when nothing
// happened), zero counters are left out. Documented filters other than from and to are refused as not simulated.
package livechatreportssim

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
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
)

// Sim is the simulator. It is safe for concurrent use.
type Sim struct {
	account *simulated.Account
	handler http.Handler
	home    *time.Location
	broken  map[bucketOf]bool

	mu    sync.Mutex
	zone  *time.Location // of the last request
	asked map[asked]bool
	edits map[int]edit // by chat number
}

// New makes a simulator; its story is simulated.New(o).
func New(o simulated.Options) *Sim {
	home, err := time.LoadLocation(accountZone)
	if err != nil {
		home = time.UTC
	}
	account := simulated.New(o)
	s := &Sim{
		account: account, home: home, zone: home, broken: brokenBuckets(account.Options(), home),
		asked: map[asked]bool{}, edits: map[int]edit{},
	}
	s.handler = simulated.Faulty(http.HandlerFunc(s.serve), o.Faults, o.Seed)
	return s
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
	q, err := s.check(parameters)
	if err != nil {
		return nil, err
	}
	q.report = report
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

func readParameters(r *http.Request) (parameters, error) {
	switch r.Method {
	case http.MethodGet:
		return fromQuery(r)
	case http.MethodPost:
		return fromBody(r)
	}
	return nil, refuse(http.StatusMethodNotAllowed, "validation", "use POST or GET")
}

func fromQuery(r *http.Request) (parameters, error) {
	p := parameters{}
	for name, values := range r.URL.Query() {
		if len(values) == 1 {
			p[name] = values[0]
		} else {
			p[name] = values
		}
	}
	return p, nil
}

func fromBody(r *http.Request) (parameters, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, refuse(http.StatusUnsupportedMediaType, "validation", "Content-Type must be application/json")
	}
	if r.URL.RawQuery != "" {
		return nil, invalid("a POST takes its parameters from the body")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, invalid("unreadable body")
	}
	var body map[string]any
	if json.Unmarshal(text, &body) != nil || body == nil {
		return nil, invalid("the body is no JSON object")
	}
	p := parameters{}
	p.flatten("", body)
	return p, nil
}
