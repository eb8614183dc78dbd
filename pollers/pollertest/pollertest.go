// Package pollertest is what every vendor's room must pass: its poller against its simulator,
// and against a vendor that cuts, lies and refuses.
//
// # A new vendor
//
// Four folders and two lines, in this order. After each, `go test ./cmd/internal/arch` says what is still missing.
//
// 1. pollers/<vendor>/<vendor>sim, the vendor's documented API over an invented account. [simulated.New] gives people and chats; the
// simulator writes them as the vendor does, is as strict as the document, and says 401 to a wrong credential. It is a [Sim]: Ledger
// lists every record that is visible now under the vendor_id that its event will have, Change shows an edit (Chat.Edits) in some field, Malformed chats are
// served broken. Answer through [simulated.Faulty], so that Options.Faults has an effect, and give it Change; a vendor that counts days back, or has
// pages, asks a [simulated.Chance] or [simulated.Moves] for those faults. Where Options.Fields is set, every answer holds one
// record more in which each documented field has a value of its own: field coverage looks for these values in the events, and it is the only test that
// sees a field that nobody carried over.
//
// 2. pollers/<vendor>, a [pollers.Poller]. Its package comment has the headings Config, Delivery and Limits: variables, when a response is whole, and what
// the vendor cannot give. New decodes its own variables from vars (a secret as settings.Secret) and makes its requests by the client of env.Connect,
// whose account is what shares one budget. Fetch returns nil only for a whole window: declare to yourself what tells a cut from an end (a closing
// bracket, a count, two equal readings); pollers/internal splits JSON and XML so. A record's Key is the vendor_id, "" where there is none; its
// bytes are the vendor's own. Its test is
//
//	func TestAcme(t *testing.T) {
//		pollertest.Run(t, pollertest.Vendor{
//			NewSim: func(o simulated.Options) pollertest.Sim { return acmesim.New(o) }, New: acme.New, Secret: "TOKEN",
//		})
//	}
//
// 3. processors/normalize/<vendor>, a processors.Normalizer: one record to one canonical entity, a pure function. Times are in UTC; what
// has no canonical place goes to the attributes by its vendor name (Base.Set). Its id must be the record's key: where that is more than a
// member of the record, the function that makes it lives in events, and both sides call it. Its tests use processortest: Golden for what it gives
// (go test -update writes the files), Malformed for what it refuses, Fuzz for everything else.
//
// 4. cmd/internal/catalog: one line of Vendors, with the path under which the simulator is served. What is there is in `parley simulate`, in the
// demo, and in the catalog's tests: each record becomes its entity, each documented field arrives, no secret does.
//
// At the end read it with the whole: parley simulate in one terminal, and parley run --once twice in another. The second run adds nothing.
package pollertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/simulated"
)

// Sim is a vendor's simulator.
type Sim interface {
	http.Handler
	// Ledger lists every record that is visible now.
	Ledger() []simulated.Entry
	// Change edits n entities and tells how many it could.
	Change(n int) int
	// Variables reach the simulator at a base URL, by their names without PARLEY_SOURCE_<N>_;
	// VENDOR and URL are among them.
	Variables(base string) map[string]string
}

// Vendor is the room under test.
type Vendor struct {
	NewSim func(simulated.Options) Sim
	New    func(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller
	// Secret names the variable that holds the credential.
	Secret string
	// Variables are added to the simulator's, such as another format.
	Variables map[string]string
}

// start is a time in the middle of things: a Tuesday afternoon, two days after Europe's clocks changed.
var start = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func options() simulated.Options {
	return simulated.Options{Seed: 7, Days: 5, Chats: 60, Malformed: 2, Start: start, Now: func() time.Time { return start }}
}

// Open makes the room's poller for variables, the simulator's clock being its own.
func (v Vendor) Open(t testing.TB, variables map[string]string) pollers.Poller {
	t.Helper()
	variables = maps.Clone(variables)
	maps.Copy(variables, v.Variables)
	vars := settings.New("PARLEY_SOURCE_TEST_", variables)
	s := pollers.DecodeSettings("test", vars)
	p := v.New(s, vars, pollers.Env{
		Connect: func(_ string, _ pollers.Rate, secrets []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{Secrets: secrets, Stall: 5 * time.Second})
		},
		Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return start },
	})
	vars.Unknown()
	if faults := vars.Faults(); len(faults) > 0 {
		t.Fatalf("variables %v: %v", variables, faults)
	}
	return p
}

// Serve starts a server on loopback and gives the poller that reads it.
func (v Vendor) Serve(t testing.TB, sim Sim, handler http.Handler) pollers.Poller {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return v.Open(t, sim.Variables(server.URL))
}

// Windows are all windows of a stream over the test's days.
func Windows(d pollers.Description, stream pollers.Stream) []pollers.Window {
	if stream.Snapshot {
		return []pollers.Window{{Stream: stream.Name}}
	}
	return pollers.Cut(stream.Name, pollers.Floor(start.AddDate(0, 0, -7), pollers.Day, d.Location), start.Add(time.Hour), stream.MaxSpan, d.Location)
}

// Collect reads one window.
func Collect(p pollers.Poller, w pollers.Window) ([]events.Record, error) {
	var records []events.Record
	_, err := p.Fetch(context.Background(), w, func(r events.Record) error {
		r.Stream = w.Stream
		for i := range r.Parts {
			r.Parts[i].Body.Bytes = bytes.Clone(r.Parts[i].Body.Bytes)
		}
		r.Parts = slices.Clone(r.Parts)
		records = append(records, r)
		return nil
	})
	return records, err
}

// Run runs the suite.
func Run(t *testing.T, v Vendor) {
	// The windows of the other tests are cut by it.
	if !t.Run("the description can be planned with", v.testDescription) {
		return
	}
	t.Run("every record of the ledger is read, and none else", v.testComplete)
	t.Run("a change is read again as other bytes under the same key", v.testChange)
	t.Run("what changes after it was read is read again", v.testLate)
	t.Run("every fault of the simulator passes", v.testFaults)
	t.Run("a cut response is never complete", v.testCut)
	t.Run("what is not the documented answer is never empty", v.testWrongAnswers)
	t.Run("statuses steer", v.testStatuses)
	t.Run("secrets show nowhere", v.testSecrets)
	t.Run("a redirect is not followed", v.testRedirect)
	t.Run("an error of emit and a cancelled context end a fetch", v.testEnds)
	t.Run("check tells good credentials from bad", v.testCheck)
	t.Run("an unknown stream is a permanent error", v.testUnknownStream)
	t.Run("fetches run at once", v.testConcurrent)
}

func (v Vendor) testDescription(t *testing.T) {
	sim := v.NewSim(options())
	d := v.Serve(t, sim, sim).Describe()
	if d.Location == nil {
		t.Error("Location is nil; want the zone of the vendor's days, such as s.Location(time.UTC)")
	}
	if len(d.Streams) == 0 {
		t.Error("there are no streams; want one for each endpoint that gives data")
	}
	names := map[string]bool{}
	for _, s := range d.Streams {
		if s.Name == "" || names[s.Name] {
			t.Errorf("stream %q: want a name of its own, the path below the access point", s.Name)
		}
		names[s.Name] = true
		switch {
		case s.Snapshot:
		case s.Grain != time.Second && s.Grain != time.Minute && s.Grain != pollers.Day:
			t.Errorf("stream %s: Grain is %s; want time.Second, time.Minute or pollers.Day: the finest window that the vendor can be asked for", s.Name, s.Grain)
		case s.MaxSpan <= 0 || s.MaxSpan%s.Grain != 0 || s.LiveSpan > s.MaxSpan:
			t.Errorf("stream %s: MaxSpan is %s and LiveSpan %s; want the largest window to ask for, a multiple of the Grain %s, and a LiveSpan up to it", s.Name, s.MaxSpan, s.LiveSpan, s.Grain)
		}
	}
}

// testFaults reads one window again and again from a simulator that misbehaves: every reading fails or is whole, and there are both.
func (v Vendor) testFaults(t *testing.T) {
	sim := v.NewSim(options())
	p := v.Serve(t, sim, sim)
	w, full := v.anyWindow(t, p)
	reading, err := p.Fetch(t.Context(), w, func(events.Record) error { return nil })
	if err != nil || reading.Requests < 1 {
		t.Fatalf("Reading.Requests is %d, %v; want how many requests it took", reading.Requests, err)
	}
	for _, fault := range []string{simulated.Fault500, simulated.FaultHTML, simulated.FaultCut, simulated.FaultTruncated} {
		o := options()
		o.Faults = simulated.Faults{fault: min(0.5, 1/float64(reading.Requests))}
		sim := v.NewSim(o)
		p := v.Serve(t, sim, sim)
		whole, failed := 0, 0
		for i := 0; i < 100 && (whole == 0 || failed == 0); i++ {
			switch records, err := Collect(p, w); {
			case err != nil:
				failed++
			case maps.Equal(fingerprints(records), fingerprints(full)): // what a page is asked for again comes twice
				whole++
			default:
				t.Fatalf("fault %q: the window is complete with %d records, %d were there", fault, len(fingerprints(records)), len(fingerprints(full)))
			}
		}
		if whole == 0 {
			t.Errorf("fault %q: none of %d readings was whole", fault, failed)
		}
		// What a reader asks for again by itself, or twice, need not fail.
		if failed == 0 && fault == simulated.Fault500 {
			t.Errorf("fault %q: none of %d readings failed; want a simulator that answers through simulated.Faulty", fault, whole)
		}
	}
}

func fingerprints(records []events.Record) map[string]bool {
	set := map[string]bool{}
	for i := range records {
		set[records[i].Fingerprint()] = true
	}
	return set
}

func keysOf(entries []simulated.Entry, stream string) []string {
	set := map[string]bool{}
	for _, e := range entries {
		if e.Stream == stream && e.Key != "" {
			set[e.Key] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (v Vendor) readAll(t *testing.T, p pollers.Poller, stream pollers.Stream) map[string]events.Record {
	t.Helper()
	byKey := map[string]events.Record{}
	for _, w := range Windows(p.Describe(), stream) {
		records, err := Collect(p, w)
		if err != nil {
			t.Fatalf("%s %s to %s: %v", w.Stream, w.From, w.To, err)
		}
		for _, r := range records {
			byKey[r.Key] = r
			checkRecord(t, r)
		}
	}
	return byKey
}

func checkRecord(t *testing.T, r events.Record) {
	t.Helper()
	if len(r.Parts) == 0 || len(r.Parts[0].Body.Bytes) == 0 {
		t.Errorf("record %q has no bytes", r.Key)
	}
	for _, p := range r.Parts {
		if p.ContentType == "" || p.URL == "" {
			t.Errorf("record %q part %q: content type %q, URL %q; want both", r.Key, p.Name, p.ContentType, p.URL)
		}
	}
	if r.RequestedAt.IsZero() || r.RequestedAt.Location() != time.UTC {
		t.Errorf("record %q: RequestedAt %v; want the request's start in UTC", r.Key, r.RequestedAt)
	}
}

func (v Vendor) testComplete(t *testing.T) {
	sim := v.NewSim(options())
	p := v.Serve(t, sim, sim)
	for _, stream := range p.Describe().Streams {
		got := v.readAll(t, p, stream)
		delete(got, "")
		if want, have := keysOf(sim.Ledger(), stream.Name), slices.Sorted(maps.Keys(got)); !slices.Equal(want, have) {
			t.Errorf("%s: %d keys, want %d\nmissing %v\nunexpected %v", stream.Name, len(have), len(want), without(want, have), without(have, want))
		} else if len(want) == 0 {
			t.Errorf("%s: the simulator's ledger holds nothing: the test shows nothing", stream.Name)
		}
	}
}

func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

func (v Vendor) testChange(t *testing.T) {
	sim := v.NewSim(options())
	p := v.Serve(t, sim, sim)
	changed := 0
	before := map[string]map[string]events.Record{}
	for _, stream := range p.Describe().Streams {
		before[stream.Name] = v.readAll(t, p, stream)
	}
	if n := sim.Change(3); n != 3 {
		t.Fatalf("Change(3) = %d", n)
	}
	for _, stream := range p.Describe().Streams {
		after := v.readAll(t, p, stream)
		for key, r := range after {
			was := before[stream.Name][key]
			if r.Fingerprint() != was.Fingerprint() {
				changed++
			}
		}
	}
	if changed != 3 {
		t.Errorf("%d records changed, want 3: the simulator shows an edit (Chat.Edits) in one field of one record", changed)
	}
}

// testLate reads all streams twice while things change behind the answers.
func (v Vendor) testLate(t *testing.T) {
	o := options()
	o.Faults = simulated.Faults{simulated.FaultLate: 0.5}
	sim := v.NewSim(o)
	p := v.Serve(t, sim, sim)
	before, changed := map[string]string{}, 0
	for range 2 {
		changed = 0
		for _, stream := range p.Describe().Streams {
			for key, r := range v.readAll(t, p, stream) {
				name := stream.Name + " " + key
				if was, known := before[name]; known && was != r.Fingerprint() {
					changed++
				}
				before[name] = r.Fingerprint()
			}
		}
	}
	if changed == 0 {
		t.Error("no record changed between two readings; want a simulator that gives simulated.Faulty its Change")
	}
}

// anyWindow is a window of the first stream that holds records.
func (v Vendor) anyWindow(t *testing.T, p pollers.Poller) (pollers.Window, []events.Record) {
	t.Helper()
	for _, stream := range p.Describe().Streams {
		windows := Windows(p.Describe(), stream)
		for _, w := range slices.Backward(windows) {
			if records, err := Collect(p, w); err != nil {
				t.Fatal(err)
			} else if len(records) > 1 {
				return w, records
			}
		}
	}
	t.Fatal("no window holds records")
	return pollers.Window{}, nil
}

// cutter cuts the body of the nth response after some bytes, with or without a framing that shows it.
type cutter struct {
	next   http.Handler
	at     int // bytes to let through
	nth    int
	framed bool

	mu    sync.Mutex
	count int
	sizes []int
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	c.next.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	c.mu.Lock()
	nth := c.count
	c.count++
	c.sizes = append(c.sizes, len(body))
	c.mu.Unlock()
	maps.Copy(w.Header(), rec.Header())
	if nth < c.nth || c.at >= len(body) {
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
		return
	}
	if c.framed {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:c.at])
		return
	}
	c.hijack(w, rec, body[:c.at])
}

// hijack answers without any framing: the end of the connection is the end of the body.
func (c *cutter) hijack(w http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(buf, "HTTP/1.1 %d OK\r\nConnection: close\r\nContent-Type: %s\r\n\r\n", rec.Code, rec.Header().Get("Content-Type"))
	_, _ = buf.Write(body)
	_ = buf.Flush()
}

func (v Vendor) testCut(t *testing.T) {
	sim := v.NewSim(options())
	probe := &cutter{next: sim, at: 1 << 30}
	p := v.Serve(t, sim, probe)
	w, full := v.anyWindow(t, p)
	probe.mu.Lock()
	probe.sizes = nil
	probe.mu.Unlock()
	if _, err := Collect(p, w); err != nil {
		t.Fatal(err)
	}
	sizes := probe.sizes
	for _, framed := range []bool{true, false} {
		for nth := range min(len(sizes), 4) {
			for _, at := range offsets(sizes[nth]) {
				v.tryCut(t, sim, w, full, &cutter{next: sim, nth: nth, at: at, framed: framed}, sizes[nth])
			}
		}
	}
}

// offsets are places to cut at: the start, some in between, and each of the last bytes.
func offsets(size int) []int {
	var at []int
	for i := range 8 {
		at = append(at, i*size/8)
	}
	for i := max(0, size-12); i < size; i++ {
		at = append(at, i)
	}
	return at
}

func (v Vendor) tryCut(t *testing.T, sim Sim, w pollers.Window, full []events.Record, c *cutter, size int) {
	t.Helper()
	server := httptest.NewServer(c)
	defer server.Close()
	records, err := Collect(v.Open(t, sim.Variables(server.URL)), w)
	if err != nil {
		return
	}
	// Without framing, trailing white space may be missing unseen; a record may not.
	if !c.framed && slices.EqualFunc(records, full, func(a, b events.Record) bool { return a.Fingerprint() == b.Fingerprint() }) {
		return
	}
	t.Errorf("response %d cut at byte %d of %d (framed: %v): the window is complete with %d records, %d were there",
		c.nth, c.at, size, c.framed, len(records), len(full))
}

func (v Vendor) testWrongAnswers(t *testing.T) {
	answers := map[string]struct{ contentType, body string }{
		"a login page":          {"text/html", "<!DOCTYPE html><html><body>Please sign in</body></html>"},
		"html said to be xml":   {"application/xml", "<html><body>Please sign in</body></html>"},
		"nothing":               {"text/plain", ""},
		"an empty object":       {"application/json", "{}"},
		"an empty list":         {"application/json", "[]"},
		"null":                  {"application/json", "null"},
		"an error object":       {"application/json", `{"error":{"type":"internal","message":"oops"}}`},
		"an error string":       {"application/json", `{"error":"oops"}`},
		"a LiveAgent error":     {"application/json", `{"response":{"status":"ERROR","statuscode":500,"errormessage":"oops"}}`},
		"a LiveAgent XML error": {"application/xml", `<?xml version="1.0"?><response><status>ERROR</status><statuscode>500</statuscode><errormessage>oops</errormessage></response>`},
		"an XML error":          {"application/xml", `<error>oops</error>`},
		"an empty page":         {"application/xml", `<html/>`},
		"a line of text":        {"text/plain", "Internal error, please try later"},
		"binary":                {"application/octet-stream", "\x00\x01\x02\xff\xfe"},
	}
	sim := v.NewSim(options())
	w, _ := v.anyWindow(t, v.Serve(t, sim, sim))
	for name, a := range answers {
		t.Run(name, func(t *testing.T) {
			p := v.Serve(t, sim, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", a.contentType)
				_, _ = io.WriteString(rw, a.body)
			}))
			if records, err := Collect(p, w); err == nil {
				t.Errorf("the window is complete with %d records; want an error", len(records))
			}
		})
	}
}

func (v Vendor) testStatuses(t *testing.T) {
	sim := v.NewSim(options())
	w, _ := v.anyWindow(t, v.Serve(t, sim, sim))
	fetch := func(status int, header ...string) error {
		p := v.Serve(t, sim, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, "no")
		}))
		_, err := Collect(p, w)
		return err
	}
	if err := fetch(http.StatusUnauthorized); !pollers.IsUnauthorized(err) {
		t.Errorf("401: %v; want Unauthorized", err)
	}
	if err := fetch(http.StatusTooManyRequests, "Retry-After", "7"); err == nil {
		t.Error("429: no error")
	} else if d, ok := events.RetryDelay(err); !ok || d != 7*time.Second {
		t.Errorf("429 with Retry-After 7: delay %v, %v; want 7s", d, ok)
	}
	for _, status := range []int{http.StatusNoContent, http.StatusInternalServerError, http.StatusBadGateway, http.StatusNotFound} {
		if err := fetch(status); err == nil || pollers.IsUnauthorized(err) {
			t.Errorf("%d: %v; want an error that is not about credentials", status, err)
		}
	}
}

func (v Vendor) testSecrets(t *testing.T) {
	const canary = "s3cr3t/Canary+ä=&?"
	sim := v.NewSim(options())
	w, _ := v.anyWindow(t, v.Serve(t, sim, sim))
	forms := pollers.NewRedactor([]string{canary})
	var mode atomic.Value // a connection that was hung up tells the race detector nothing about order
	mode.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		echo := fmt.Sprintf("you sent %s %s %s", r.URL.RawQuery, r.URL.Query().Encode(), r.Header)
		switch mode.Load() {
		case "error":
			http.Error(rw, echo, http.StatusInternalServerError)
		case "text":
			_, _ = io.WriteString(rw, echo)
		case "hangup":
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}
	}))
	variables := sim.Variables(server.URL)
	variables[v.Secret] = canary
	p := v.Open(t, variables)
	for _, what := range []string{"error", "text", "hangup", "gone"} {
		mode.Store(what)
		if what == "gone" {
			server.Close()
		}
		for _, err := range []error{second(Collect(p, w)), p.Check(context.Background())} {
			if err == nil {
				t.Errorf("%s: no error", what)
			} else if text := fmt.Sprintf("%v %+v %q", err, err, err); forms.Redact(text) != text {
				t.Errorf("%s: the error shows the secret: %s", what, text)
			}
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(text, canary) {
		t.Error("printing the poller shows the secret")
	}
	v.testSecretsInRecords(t, sim, w)
}

// testSecretsInRecords looks for the simulator's own credential in what is read from it.
func (v Vendor) testSecretsInRecords(t *testing.T, sim Sim, w pollers.Window) {
	t.Helper()
	server := httptest.NewServer(sim)
	defer server.Close()
	variables := sim.Variables(server.URL)
	forms := pollers.NewRedactor([]string{variables[v.Secret]})
	records, err := Collect(v.Open(t, variables), w)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		text := fmt.Sprintf("%s %v", r.Key, r.Params)
		for _, p := range r.Parts {
			text += p.URL + string(p.Body.Bytes)
		}
		if forms.Redact(text) != text {
			t.Errorf("record %q shows the credential", r.Key)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func (v Vendor) testRedirect(t *testing.T) {
	sim := v.NewSim(options())
	w, _ := v.anyWindow(t, v.Serve(t, sim, sim))
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	p := v.Serve(t, sim, http.RedirectHandler(other.URL, http.StatusFound))
	if _, err := Collect(p, w); err == nil || reached {
		t.Errorf("error %v, the other host was reached: %v; want an error and false", err, reached)
	}
}

func (v Vendor) testEnds(t *testing.T) {
	sim := v.NewSim(options())
	p := v.Serve(t, sim, sim)
	w, _ := v.anyWindow(t, p)
	boom := errors.New("boom")
	if _, err := p.Fetch(context.Background(), w, func(events.Record) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("error of emit: %v; want it back", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Fetch(ctx, w, func(events.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v; want context.Canceled", err)
	}
}

func (v Vendor) testCheck(t *testing.T) {
	sim := v.NewSim(options())
	server := httptest.NewServer(sim)
	defer server.Close()
	variables := sim.Variables(server.URL)
	if err := v.Open(t, variables).Check(context.Background()); err != nil {
		t.Errorf("good credentials: %v", err)
	}
	variables[v.Secret] = "wrong-credential"
	if err := v.Open(t, variables).Check(context.Background()); !pollers.IsUnauthorized(err) {
		t.Errorf("bad credentials: %v; want Unauthorized", err)
	}
}

func (v Vendor) testUnknownStream(t *testing.T) {
	sim := v.NewSim(options())
	p := v.Serve(t, sim, sim)
	if _, err := Collect(p, pollers.Window{Stream: "no/such", From: start.Add(-time.Hour), To: start}); !events.IsPermanent(err) {
		t.Errorf("%v; want a permanent error", err)
	}
}

func (v Vendor) testConcurrent(t *testing.T) {
	sim := v.NewSim(options())
	p := v.Serve(t, sim, sim)
	w, want := v.anyWindow(t, p)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if records, err := Collect(p, w); err != nil || len(records) != len(want) {
				t.Errorf("%d records, %v; want %d", len(records), err, len(want))
			}
		})
	}
	wg.Wait()
}
