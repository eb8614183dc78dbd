package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
	"github.com/parley-stream/parley/sinks/webhook"
)

// endpoint is a receiver that keeps what it accepts.
type endpoint struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	requests []*http.Request // without bodies
	bodies   [][]byte
	got      []events.Event
	// answer, if there is one, answers a POST instead; false: it is accepted after all.
	answer func(w http.ResponseWriter, r *http.Request) bool
	// options answers the handshake; nil: 405.
	options http.HandlerFunc
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{t: t}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		if e.options == nil {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		e.options(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // broken off
	}
	e.mu.Lock()
	e.requests, e.bodies = append(e.requests, r), append(e.bodies, body)
	answer := e.answer
	e.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	all := parse(e.t, r.Header, body)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, all...)
	w.WriteHeader(http.StatusNoContent)
}

func (e *endpoint) events() []events.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]events.Event{}, e.got...)
}

// parse reads a request as our subscribers may, in any mode.
func parse(t *testing.T, h http.Header, body []byte) []events.Event {
	switch content := h.Get("Content-Type"); content {
	case "application/cloudevents+json; charset=utf-8":
		e, err := events.ParseStructured(body)
		if err != nil {
			t.Errorf("%v in %.300s", err, body)
		}
		return []events.Event{e}
	case "application/cloudevents-batch+json; charset=utf-8":
		return parseBatch(t, body)
	default:
		e, err := events.FromMessage(h, body)
		if err != nil {
			t.Errorf("%v in %v", err, h)
		}
		e.DataContentType = content
		return []events.Event{e}
	}
}

func opener(t testing.TB, target string, variables map[string]string) sinks.Opener {
	t.Helper()
	open, faults := open(target, variables)
	if faults != nil {
		t.Fatal(faults)
	}
	return open
}

func open(target string, variables map[string]string) (sinks.Opener, settings.Faults) {
	all := map[string]string{"URL": target}
	for name, value := range variables {
		all[name] = value
	}
	vars := settings.New("PARLEY_SINK_T_", all)
	s := sinks.DecodeSettings("t", vars)
	if s.URL == nil {
		return nil, vars.Faults()
	}
	open := webhook.New(s, vars, s.URL, sinks.Env{})
	vars.Unknown()
	return open, vars.Faults()
}

func TestTheWebhookPassesTheSuiteInEveryMode(t *testing.T) {
	for _, mode := range []string{"binary", "structured", "batch"} {
		t.Run(mode, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{AtLeastOnce: true, New: func(t *testing.T) sinktest.Destination {
				e := newEndpoint(t)
				return sinktest.Destination{
					Open:  opener(t, e.URL+"?mode="+mode, nil),
					Crash: func(s sinks.Sink) { _ = s.Close() }, // it breaks off what is under way, as the end of a process does
					Read:  func(*testing.T) []events.Event { return e.events() },
				}
			}})
		})
	}
}

// send delivers events and waits until they are settled.
func send(t testing.TB, open sinks.Opener, all ...events.Event) error {
	t.Helper()
	s, err := open(t.Context(), sinks.Ownership{Sink: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	items := make([]sinks.Item, len(all))
	for i, e := range all {
		items[i] = sinks.Item{Sequence: uint64(i + 1), Event: e}
	}
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Flush(t.Context())
	return err
}

// The SDK is the reference for the HTTP binding.
func TestTheSDKReadsEveryMode(t *testing.T) {
	want := sinktest.Event("chat ü\"%", 7)
	want.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, mode := range []string{"binary", "structured", "batch"} {
		want := want
		if mode == "binary" {
			want.Subject, want.PartitionKey = "chat-1", "chat-1" // the SDK leaves headers percent-encoded; our own reader decodes them
		}
		var got []cloudevents.Event
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodOptions {
				return
			}
			if mode == "batch" {
				all, err := cehttp.NewEventsFromHTTPRequest(r)
				if err != nil {
					t.Errorf("%s: %v", mode, err)
				}
				got = append(got, all...)
				return
			}
			e, err := cehttp.NewEventFromHTTPRequest(r)
			if err != nil {
				t.Errorf("%s: %v", mode, err)
				return
			}
			got = append(got, *e)
			if tp := r.Header.Get("Traceparent"); tp != want.TraceParent {
				t.Errorf("%s: traceparent %q, want %q", mode, tp, want.TraceParent)
			}
		}))
		if err := send(t, opener(t, server.URL+"?mode="+mode, nil), want); err != nil {
			t.Fatal(err)
		}
		server.Close()
		if len(got) != 1 {
			t.Fatalf("%s: got %d events", mode, len(got))
		}
		e, err := events.FromCloudEvent(got[0])
		if err != nil || string(e.Line()) != string(want.Line()) {
			t.Errorf("%s: got %s, %v\nwant %s", mode, e.Line(), err, want.Line())
		}
	}
}

func TestJSONTravelsAsItsBytesAndMsgpackAsTheModeWants(t *testing.T) {
	odd := sinktest.Event("a", 1)
	odd.Data = []byte(`{ "b":1,  "a" : 1e2,"c":"\u00e9"}`)
	packed := sinktest.Event("b", 1)
	data, err := events.EncodeMsgpack([]byte(`{"text":"größer","n":12}`))
	if err != nil {
		t.Fatal(err)
	}
	packed.Data, packed.DataContentType = data, events.ContentMsgpack
	for mode, want := range map[string]struct{ content, data string }{
		"binary": {events.ContentMsgpack, string(data)}, "structured": {events.ContentJSON, `{"n":12,"text":"größer"}`}, "batch": {events.ContentJSON, `{"n":12,"text":"größer"}`},
	} {
		e := newEndpoint(t)
		if err := send(t, opener(t, e.URL+"?mode="+mode, nil), odd, packed); err != nil {
			t.Fatal(err)
		}
		for _, got := range e.events() {
			if got.Subject == "a" && string(got.Data) != string(odd.Data) {
				t.Errorf("%s: JSON became %s", mode, got.Data)
			}
			if got.Subject == "b" && (string(got.Data) != want.data || got.DataContentType != want.content) {
				t.Errorf("%s: got %s %q, want %s %q", mode, got.DataContentType, got.Data, want.content, want.data)
			}
		}
		if len(e.events()) != 2 {
			t.Errorf("%s: got %d events", mode, len(e.events()))
		}
	}
}

// What decodes and encodes JSON again changes its spaces, the spelling of its numbers and strings, or the order of its keys.
func TestBodiesHoldTheDataByteForByte(t *testing.T) {
	data := `{ "z":1e2,  "a" : [ ],"m":1.0,"big":12345678901234567890.10,"t":"\u00e9\/ é <&>","z":-0}`
	event := sinktest.Event("a", 1)
	event.Data = []byte(data)
	for mode, want := range map[string]string{"binary": data, "structured": `"data":` + data, "batch": `"data":` + data} {
		e := newEndpoint(t)
		if err := send(t, opener(t, e.URL+"?mode="+mode, nil), event); err != nil {
			t.Fatal(err)
		}
		body := string(e.bodies[0])
		if !strings.Contains(body, want) || mode == "binary" && body != want {
			t.Errorf("%s: got %s, want %s in it", mode, body, want)
		}
	}
}

func TestTheEndpointsOwnParametersAndPathArriveAsTheyAre(t *testing.T) {
	e := newEndpoint(t)
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path, u.RawPath = url.UserPassword("me", "p w"), "/a/b c", "/a/b%20c"
	u.RawQuery = "token=a%2Fb&mode=structured&%6Dode=fast&x;y&handshake=off"
	if err := send(t, opener(t, u.String(), nil), sinktest.Event("a", 1)); err != nil {
		t.Fatal(err)
	}
	r := e.requests[0]
	if got, want := r.RequestURI, "/a/b%20c?token=a%2Fb&%6Dode=fast&x;y"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "p w" {
		t.Errorf("got the user %q, %v", user, ok)
	}
}
