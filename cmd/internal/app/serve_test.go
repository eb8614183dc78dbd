package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// output is a buffer that a process writes and a test reads.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// environ is a small world: simulated vendors, the built-in server and a file sink.
func environ(t *testing.T, dir string, more ...string) []string {
	t.Helper()
	return append(append(simulatedVendors(t), "PARLEY_DATA_DIR="+filepath.Join(dir, "data"), "PARLEY_SINKS=files",
		"PARLEY_SINK_FILES_URL=file://"+filepath.Join(dir, "files")+"?rotate_age=1s", "PARLEY_HTTP_ADDR=127.0.0.1:0"), more...)
}

// simulatedVendors serves all of them until the test ends, and gives the variables that reach them.
func simulatedVendors(t testing.TB) []string {
	t.Helper()
	sims, err := app.Simulate(app.Simulation{Addr: "127.0.0.1:0", Seed: 5, Days: 1, Chats: 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = sims.Serve(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return sims.Environ()
}

// run plays all roles until the test ends, and gives where HTTP is served.
func run(t *testing.T, environ []string) (address string, log *output) {
	t.Helper()
	log = new(output)
	a, err := app.New(environ, io.Discard, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, app.All()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%v\n%s", err, log)
		}
	})
	wait(t, "an address", func() bool {
		if found := regexp.MustCompile(`"address":"(http://[^"]+)"`).FindStringSubmatch(log.String()); found != nil {
			address = found[1]
		}
		return address != ""
	})
	return address, log
}

func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after %s", what, patience)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A vendor that refuses its credentials is named with the variable to look at, and the process goes on serving the others.
func TestRefusedCredentialsAreToldAndTakeNothingElseAway(t *testing.T) {
	const wrong = "not-the-key-of-this-account"
	address, _ := run(t, environ(t, t.TempDir(), "PARLEY_SOURCE_LIVECHAT_API_KEY="+wrong))
	var status int
	var body string
	refused := func(h ops.Health) (c ops.Check) {
		for _, c = range h.Checks {
			if c.Name == "source livechat" && c.State == ops.Degraded {
				return c
			}
		}
		return ops.Check{}
	}
	var health ops.Health
	wait(t, "refused source", func() bool {
		status, body = get(t, address+"/readyz")
		health = ops.Health{}
		if err := json.Unmarshal([]byte(body), &health); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return refused(health).Name != ""
	})
	c := refused(health)
	if status != http.StatusOK || health.State != ops.Degraded || !strings.Contains(c.Do, "PARLEY_SOURCE_LIVECHAT_API_KEY") || strings.Contains(body, wrong) {
		t.Errorf("readyz answers %d %s", status, body)
	}
	text := ""
	for _, want := range []string{
		`parley_source_paused{source="livechat"} 1`, `parley_source_paused{source="liveleader"} 0`, `parley_check_ok{check="source livechat"} 0`, "parley_ready 1",
		`parley_source_info{source="livechat",vendor="livechat"} 1`, `parley_windows_due{class="live",source="livechat"} [1-9]`,
		`parley_windows_due{class="live",source="liveleader"} 0`, `parley_window_readings_total{class="live",outcome="refused",source="livechat"}`,
		`parley_events_total{kind="conversation",vendor="liveleader"}`, `parley_sink_delivery_seconds_count{sink="files"}`, `parley_sink_owner{sink="files"} 1`,
	} {
		wait(t, want, func() bool {
			_, text = get(t, address+"/metrics")
			return regexp.MustCompile(`(?m)^` + strings.NewReplacer("{", `\{`, "}", `\}`).Replace(want)).MatchString(text)
		})
	}
	inTheList(t, text)
}

// inTheList holds every metric that a process gives to the list that users read.
func inTheList(t *testing.T, text string) {
	t.Helper()
	known, given := make(map[string]bool), 0
	for _, m := range ops.NewMetrics().Catalog() {
		known[m.Name+" "+m.Type] = true
	}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (parley_.*)$`).FindAllStringSubmatch(text, -1) {
		if given++; !known[found[1]] {
			t.Errorf("%s is in no list", found[1])
		}
	}
	if given < 30 {
		t.Errorf("only %d metrics of Parley's own are given", given)
	}
}

func TestAnAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	t.Run("that somebody chose is refused by name", func(t *testing.T) {
		a, err := app.New(environ(t, t.TempDir(), "PARLEY_HTTP_ADDR="+addr), io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		err = a.Run(t.Context(), app.All())
		var faults settings.Faults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), "PARLEY_HTTP_ADDR") || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("that nobody chose gives way to a free one", func(t *testing.T) {
		environ := environ(t, t.TempDir())
		for i, entry := range environ {
			if strings.HasPrefix(entry, "PARLEY_HTTP_ADDR=") {
				environ[i] = "HOME=/"
			}
		}
		if l, err := net.Listen("tcp", "127.0.0.1:8090"); err == nil {
			defer l.Close() // else another process has it, which is as good
		}
		address, log := run(t, environ)
		if status, _ := get(t, address+"/healthz"); status != http.StatusOK {
			t.Errorf("%s answers %d", address, status)
		}
		if !strings.Contains(log.String(), `"variable":"PARLEY_HTTP_ADDR"`) {
			t.Errorf("nobody is told:\n%s", log)
		}
	})
}

// Kubernetes asks a process that waits for its server, too: it is alive and not ready.
func TestAProcessThatWaitsForItsServerIsAliveAndNotReady(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://" + nobody.Addr().String()
	nobody.Close()
	log := new(output)
	a, err := app.New(environ(t, t.TempDir(), "PARLEY_NATS_URL="+url), io.Discard, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, app.All()) }()
	defer func() {
		cancel()
		if err := <-done; err == nil {
			t.Error("it ends as if it had run")
		}
	}()
	address := ""
	wait(t, "an address", func() bool {
		if found := regexp.MustCompile(`"address":"(http://[^"]+)"`).FindStringSubmatch(log.String()); found != nil {
			address = found[1]
		}
		return address != ""
	})
	if status, body := get(t, address+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d %s", status, body)
	}
	if status, body := get(t, address+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "waits for the NATS server") {
		t.Errorf("readyz: %d %s", status, body)
	}
}

// span is what this test reads of one.
type span struct {
	name, trace, id, parent string
	failed                  bool
}

// spans is a collector that keeps what it is sent.
type spans struct {
	mu   sync.Mutex
	kept []span
	text bytes.Buffer // every byte that came
}

func (s *spans) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	b, err := io.ReadAll(body)
	request := new(collector.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(b, request)
	}
	if err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, one := range scope.GetSpans() {
				s.kept = append(s.kept, span{
					one.GetName(), hex.EncodeToString(one.GetTraceId()), hex.EncodeToString(one.GetSpanId()), hex.EncodeToString(one.GetParentSpanId()),
					one.GetStatus().GetCode() == 2,
				})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (s *spans) find(is func(span) bool) (found []span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.kept {
		if is(one) {
			found = append(found, one)
		}
	}
	return found
}

// follow finds a delivery whose span is its event's, whose span is its record's, whose span is the poll's.
func (s *spans) follow(source string) (poll, process, deliver span, ok bool) {
	for _, deliver = range s.find(func(d span) bool { return d.name == "deliver files" && !d.failed }) {
		for _, process = range s.find(func(p span) bool {
			return p.id == deliver.parent && p.trace == deliver.trace && p.name == "process "+source
		}) {
			for _, poll = range s.find(func(p span) bool {
				return p.id == process.parent && p.trace == process.trace && p.name == "poll "+source
			}) {
				return poll, process, deliver, poll.parent == ""
			}
		}
	}
	return poll, process, deliver, false
}

func TestATraceLeadsFromThePollToTheSink(t *testing.T) {
	received := new(spans)
	server := httptest.NewServer(received)
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	const wrong = "not-the-key-of-this-account"
	dir := t.TempDir()
	_, log := run(t, environ(t, dir, "PARLEY_SOURCE_LIVECHAT_API_KEY="+wrong))
	var poll span
	wait(t, "trace from poll to sink", func() bool {
		var ok bool
		poll, _, _, ok = received.follow("liveleader")
		return ok
	})
	// The refused source's reading failed, and its log line names the trace; of two that fail at once one pauses the source and says so.
	wait(t, "log line with the trace of a failed poll", func() bool {
		return slices.ContainsFunc(received.find(func(s span) bool { return s.name == "poll livechat" && s.failed }), func(s span) bool {
			return strings.Contains(log.String(), `"trace_id":"`+s.trace)
		})
	})
	// Of a window's records only the first are followed: the trace stays readable.
	if n := len(received.find(func(s span) bool { return s.trace == poll.trace && s.name == "process liveleader" })); n == 0 || n > 16 {
		t.Errorf("%d records of one reading are followed, want 1 to 16", n)
	}
	received.mu.Lock()
	defer received.mu.Unlock()
	if bytes.Contains(received.text.Bytes(), []byte(wrong)) {
		t.Error("a span holds a secret")
	}
	wantTrace(t, filepath.Join(dir, "files"), poll.trace)
}

// wantTrace looks in the files for an event of a trace.
func wantTrace(t *testing.T, dir, trace string) {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".ndjson") {
			return nil //nolint:nilerr // files come and go while they are written
		}
		content, err := os.ReadFile(path)
		for line := range bytes.Lines(content) {
			if e, parseErr := events.ParseStructured(line); parseErr == nil && events.TraceID(e.TraceParent) == trace {
				found = true
			}
		}
		return err
	})
	if err != nil || !found {
		t.Errorf("no event in the files has the trace %s (%v)", trace, err)
	}
}

// Without the variables nothing is sent, and everything has a trace id all the same.
func TestWithoutACollectorEventsHaveTheirTraceAllTheSame(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	run(t, environ(t, dir))
	wait(t, "event with a trace that asks for no spans", func() bool {
		for _, path := range ndjson(dir) {
			content, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			for line := range bytes.Lines(content) {
				if e, err := events.ParseStructured(line); err == nil {
					return events.TraceID(e.TraceParent) != "" && !events.Sampled(e.TraceParent)
				}
			}
		}
		return false
	})
}

func ndjson(dir string) (paths []string) {
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
		if strings.HasSuffix(path, ".ndjson") && !strings.Contains(path, "/.parley/") {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}

func TestAWrongOTELVariableIsRefusedByName(t *testing.T) {
	for name, c := range map[string]struct{ variable, value, want string }{
		"another exporter": {"OTEL_TRACES_EXPORTER", "zipkin", "want otlp or none"},
		"another protocol": {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "want http/protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(c.variable, c.value)
			a, err := app.New(environ(t, t.TempDir()), io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			err = a.Run(t.Context(), app.All())
			var faults settings.Faults
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), c.variable) || !strings.Contains(err.Error(), c.value) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
