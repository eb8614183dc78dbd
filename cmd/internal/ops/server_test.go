package ops_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events"
)

var quiet = slog.New(slog.DiscardHandler)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// serve answers with routes until the test ends, and gives the address.
func serve(t *testing.T, l ops.Limits, r ops.Routes) string {
	t.Helper()
	s, err := ops.Listen("127.0.0.1:0", l, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Answer(r)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestEveryPathIsAnsweredByItsOwner(t *testing.T) {
	pages := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, "page "+req.URL.Path) })
	with, without := ops.Starting(), ops.Starting()
	with.Pages, with.Profiles = pages, true
	for name, c := range map[string]struct {
		routes ops.Routes
		path   string
		status int
		body   string // is in it
	}{
		"metrics":                        {without, "/metrics", http.StatusOK, "parley_build_info"},
		"life":                           {without, "/healthz", http.StatusOK, `"state": "ok"`},
		"readiness":                      {without, "/readyz", http.StatusServiceUnavailable, `"name": "start"`},
		"a schema":                       {without, "/schemas/rating.v1.json", http.StatusOK, "urn:parley:schema:rating:v1"},
		"no schema":                      {without, "/schemas/cat.v1.json", http.StatusNotFound, "want /schemas/<kind>.v1.json"},
		"a schema of no version":         {without, "/schemas/rating.json", http.StatusNotFound, "no such schema"},
		"no way out of the schemas":      {without, "/schemas/..%2Fschema.go", http.StatusNotFound, "no such schema"},
		"without pages a line":           {without, "/", http.StatusOK, "/metrics /healthz"},
		"without pages nothing else":     {without, "/api/status", http.StatusNotFound, ""},
		"no profiles unless asked for":   {without, "/debug/pprof/", http.StatusNotFound, ""},
		"profiles":                       {with, "/debug/pprof/", http.StatusOK, "goroutine"},
		"a profile":                      {with, "/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile"},
		"no command line":                {with, "/debug/pprof/cmdline", http.StatusNotFound, ""},
		"pages":                          {with, "/", http.StatusOK, "page /"},
		"pages' data":                    {with, "/api/status", http.StatusOK, "page /api/status"},
		"metrics are not pages":          {with, "/metrics", http.StatusOK, "parley_build_info"},
		"readiness is not pages":         {with, "/readyz", http.StatusServiceUnavailable, `"name": "start"`},
		"a schema is not pages":          {with, "/schemas/rating.v1.json", http.StatusOK, "urn:parley:schema:rating:v1"},
		"a profile needs no deadline":    {with, "/debug/pprof/trace?seconds=0.01", http.StatusOK, ""},
		"pages decide what is not there": {with, "/nowhere", http.StatusOK, "page /nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := get(t, "http://"+serve(t, ops.Limits{}, c.routes)+c.path)
			if status != c.status || !strings.Contains(body, c.body) {
				t.Errorf("%s: %d %q, want %d and %q in it", c.path, status, body, c.status, c.body)
			}
		})
	}
}

func TestEveryKindHasItsSchemaServed(t *testing.T) {
	addr := serve(t, ops.Limits{}, ops.Starting())
	for _, kind := range events.Kinds() {
		status, body := get(t, "http://"+addr+"/schemas/"+string(kind)+".v1.json")
		if status != http.StatusOK || body != string(events.Schema(kind)) {
			t.Errorf("%s: %d", kind, status)
		}
	}
}

// A client that sends its request a byte at a time is let go, and so is one that takes no answer; others are served meanwhile.
func TestASlowClientIsLetGo(t *testing.T) {
	routes := ops.Starting()
	taken := make(chan struct{})
	routes.Pages = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(taken)
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		for range 1 << 14 { // far more than any buffer holds
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	addr := serve(t, ops.Limits{Header: 50 * time.Millisecond, Request: 100 * time.Millisecond, Response: 200 * time.Millisecond}, routes)
	for name, head := range map[string]string{"in the head": "GET /healthz HTTP/1.1\r\nHost: x\r\n", "before it asks": ""} {
		conn := dial(t, addr)
		_, _ = io.WriteString(conn, head)
		if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) {
			t.Errorf("%s: %v, want the connection closed", name, err)
		}
	}
	conn := dial(t, addr)
	_, _ = io.WriteString(conn, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
	if status, _ := get(t, "http://"+addr+"/healthz"); status != http.StatusOK {
		t.Errorf("another client got %d", status)
	}
	select {
	case <-taken: // nothing was read of it
	case <-time.After(patience):
		t.Error("a client that reads nothing is waited for")
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// Pages may stream: their answers outlive the server's limits when they lift their own deadlines, and end with the server.
func TestAStreamOfPagesOutlivesTheLimitsAndEndsWithTheServer(t *testing.T) {
	routes := ops.Starting()
	routes.Pages = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Time{})
		for req.Context().Err() == nil {
			fmt.Fprintln(w, time.Now().UnixNano())
			_ = c.Flush()
			select {
			case <-req.Context().Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	limit := 50 * time.Millisecond
	s, err := ops.Listen("127.0.0.1:0", ops.Limits{Header: limit, Request: limit, Response: limit}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Answer(routes)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	resp, err := http.Get("http://" + s.Addr() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for began := time.Now(); time.Since(began) < 4*limit; {
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the server waits for the stream")
	}
}

func TestOnlySoManyConnectionsAreOpenAtOnce(t *testing.T) {
	addr := serve(t, ops.Limits{Conns: 1}, ops.Starting())
	first := dial(t, addr)
	fmt.Fprint(first, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	answered(t, first)
	second := dial(t, addr) // the kernel takes it, the server does not
	fmt.Fprint(second, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = second.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatal("a second connection is served beside the first")
	}
	first.Close()
	_ = second.SetReadDeadline(time.Now().Add(patience))
	answered(t, second)
}

// answered reads an answer.
func answered(t *testing.T, conn net.Conn) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("a connection is not served: %v", err)
	}
	resp.Body.Close()
}

func TestAnAnswerSaysThatItIsWhatItSays(t *testing.T) {
	w := httptest.NewRecorder()
	s, err := ops.Listen("127.0.0.1:0", ops.Limits{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Answer(ops.Starting())
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
