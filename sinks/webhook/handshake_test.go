package webhook_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-stream/parley/sinks/webhook"
)

func allow(origin, rate string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if origin != "" {
			w.Header().Set("WebHook-Allowed-Origin", origin)
		}
		if rate != "" {
			w.Header().Set("WebHook-Allowed-Rate", rate)
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestNothingIsSentBeforeTheEndpointPermitsIt(t *testing.T) {
	for name, c := range map[string]struct {
		query   string
		options http.HandlerFunc
		want    string // of Send
		posts   int
		found   string // of Test
	}{
		"it permits our origin":             {"", allow("parley", ""), "delivered", 1, "permits it at any rate"},
		"in other letters":                  {"origin=Parley.Example.com", allow("parley.example.COM", "*"), "delivered", 1, "permits it at any rate"},
		"it permits every origin":           {"", allow("*", "120"), "delivered", 1, "permits 120 requests per minute"},
		"it permits another":                {"", allow("eve.example", ""), "pauses", 0, "another origin"},
		"its rate is none":                  {"", allow("*", "many"), "pauses", 0, "neither * nor a number"},
		"its rate is 0":                     {"", allow("*", "0"), "pauses", 0, "neither * nor a number"},
		"it answers nothing of it":          {"", allow("", ""), "delivered", 1, "does not ask for a handshake"},
		"it knows no OPTIONS":               {"", status(405), "delivered", 1, "does not ask for a handshake"},
		"it has not built OPTIONS":          {"", status(501), "delivered", 1, "does not ask for a handshake"},
		"it is gone":                        {"", status(410), "stops", 0, "410"},
		"it has too much to do":             {"", status(429), "throttled after 1s", 0, "429"},
		"it is down":                        {"", status(503), "tried again", 0, "503"},
		"required and permitted":            {"handshake=required", allow("*", ""), "delivered", 1, "any rate"},
		"required, and it knows no OPTIONS": {"handshake=required", status(405), "pauses", 0, "without WebHook-Allowed-Origin"},
		"required, and it says nothing":     {"handshake=required", allow("", ""), "pauses", 0, "without WebHook-Allowed-Origin"},
		"off":                               {"handshake=off", allow("eve.example", ""), "delivered", 1, "not asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t)
			asked := 0
			var request http.Header
			e.options = func(w http.ResponseWriter, r *http.Request) {
				asked++
				request = r.Header
				c.options(w, r)
			}
			s := newSender(t, e.URL+"/?"+c.query, map[string]string{"SECRET": newKey})
			if err := s.Send(t.Context(), one()); what(err) != c.want {
				t.Errorf("%s: %v; want %s", what(err), err, c.want)
			}
			if len(e.requests) != c.posts {
				t.Errorf("%d events were sent, want %d", len(e.requests), c.posts)
			}
			found, err := s.Test(t.Context())
			if err != nil {
				found = err.Error()
			}
			if !strings.Contains(found, c.found) || (err == nil) != (c.posts == 1) || len(e.requests) != c.posts {
				t.Errorf("a check finds %q, %v, and sent %d events", found, err, len(e.requests)-c.posts)
			}
			if err == nil && !strings.Contains(found, "in binary mode, signed with 1 key") {
				t.Errorf("a check finds %q", found)
			}
			if c.query != "handshake=off" && (request.Get("WebHook-Request-Origin") == "" || request.Get("WebHook-Request-Callback") != "") {
				t.Errorf("asked with %v", request)
			}
			if c.query == "handshake=off" && asked != 0 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

func TestPermissionIsAskedOnce(t *testing.T) {
	e := newEndpoint(t)
	var asked atomic.Int64
	e.options = func(w http.ResponseWriter, r *http.Request) { asked.Add(1); allow("*", "")(w, r) }
	s := newSender(t, e.URL, nil)
	for range 20 {
		if err := s.Send(t.Context(), one()); err != nil {
			t.Fatal(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestTheAllowedRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, err := webhook.Granted("6")
		if err != nil {
			t.Fatal(err)
		}
		sent, stop := 0, t.Context()
		for range 61 {
			if err := limit(stop); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if took := since(); took < 599 || took > 601 {
			t.Errorf("%d requests took %d seconds, want 600", sent, took)
		}
	})
}

// since is how many seconds a synctest bubble is old: it begins at midnight of 2000-01-01.
func since() int64 { return time.Now().Unix() - time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() }
