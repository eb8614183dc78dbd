package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

// external is a NATS server that can be stopped and started again on the same port and store.
type external struct {
	*server.Server
	options server.Options
}

func newExternal(t *testing.T) *external {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &external{options: server.Options{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, JetStream: true, StoreDir: filepath.Join(t.TempDir(), "store"),
		MaxPayload: 8 << 20, NoSigs: true, NoLog: true, JetStreamMaxStore: 1 << 50,
	}}
	_ = l.Close()
	e.start(t)
	t.Cleanup(e.stop)
	return e
}

func (e *external) start(t *testing.T) {
	t.Helper()
	options := e.options
	s, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	e.Server = s
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
}

func (e *external) stop() {
	e.Shutdown()
	e.WaitForShutdown()
}

// open opens a provisioned broker.
func open(t *testing.T, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// watch looks at a process until the test ends.
func watch(t *testing.T, p ops.Process, o ops.WatchOptions) *ops.Watch {
	t.Helper()
	o.Every = 20 * time.Millisecond
	w := ops.NewWatch(p, o)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

// until waits until a check of /readyz is in a state, and gives it.
func until(t *testing.T, w *ops.Watch, name string, state ops.State) ops.Check {
	t.Helper()
	var last ops.Health
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		last = w.Ready()
		for _, c := range last.Checks {
			if c.Name == name && c.State == state {
				return c
			}
		}
	}
	t.Fatalf("%s never became %s; it is %+v", name, state, last)
	return ops.Check{}
}

func status(t *testing.T, h func() ops.Health) int {
	t.Helper()
	s, err := ops.Listen("127.0.0.1:0", ops.Limits{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	routes := ops.Starting()
	routes.Ready = h
	s.Answer(routes)
	r := httptest.NewRecorder()
	s.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	if !json.Valid(r.Body.Bytes()) {
		t.Errorf("no JSON: %s", r.Body)
	}
	return r.Code
}

func wantSays(t *testing.T, c ops.Check, what, do string) {
	t.Helper()
	if !strings.Contains(c.What, what) || !strings.Contains(c.Do, do) {
		t.Errorf("%s says %q and %q, want %q and %q in them", c.Name, c.What, c.Do, what, do)
	}
}

func TestABrokerThatIsGoneMakesTheProcessUnreadyAndNotDead(t *testing.T) {
	e := newExternal(t)
	b := open(t, broker.Options{URLs: []string{e.ClientURL()}})
	w := watch(t, ops.Process{Broker: b}, ops.WatchOptions{})
	until(t, w, "store", ops.OK)
	if got := status(t, w.Ready); got != http.StatusOK {
		t.Fatalf("readyz answers %d beside a broker", got)
	}
	e.stop()
	wantSays(t, until(t, w, "broker", ops.Failed), "the NATS server is lost", "PARLEY_NATS_URL")
	if got := status(t, w.Ready); got != http.StatusServiceUnavailable {
		t.Errorf("readyz answers %d without a broker", got)
	}
	if h := w.Alive(); h.State != ops.OK {
		t.Errorf("a restart would not bring the broker back, and yet healthz says %+v", h)
	}
	e.start(t)
	until(t, w, "broker", ops.OK)
	until(t, w, "store", ops.OK)
}

func TestAStoreThatTakesNoWritesMakesTheProcessUnready(t *testing.T) {
	e := newExternal(t)
	for name, c := range map[string]struct {
		options broker.Options
		writes  int // that go well before
		state   ops.State
		do      string
	}{
		"the built-in one":                          {broker.Options{DataDir: filepath.Join(t.TempDir(), "data")}, 0, ops.Failed, "PARLEY_DATA_DIR"},
		"a server's that took writes":               {broker.Options{URLs: []string{e.ClientURL()}}, 1, ops.Failed, "NATS servers"},
		"perhaps this identity may not write there": {broker.Options{URLs: []string{e.ClientURL()}}, 0, ops.Degraded, "allow this role"},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, c.options)
			var writes atomic.Int64
			w := watch(t, ops.Process{Broker: b}, ops.WatchOptions{Write: func(context.Context) error {
				if writes.Add(1) > int64(c.writes) {
					return fmt.Errorf("write a key: %w", syscall.ENOSPC)
				}
				return nil
			}})
			wantSays(t, until(t, w, "store", c.state), "no space left on device", c.do)
		})
	}
}

// refusing is a destination that takes nothing.
type refusing struct{ err error }

func (r refusing) Deliver(context.Context, sinks.Batch) ([]uint64, error) { return nil, r.err }
func (r refusing) Flush(context.Context) ([]uint64, error)                { return nil, r.err }
func (r refusing) Close() error                                           { return nil }

// shut is a Sender whose destination is gone.
type shut struct{ forGood bool }

func (s shut) Send(context.Context, []sinks.Item) error {
	return &sinks.Shut{Err: errors.New("answered 410 Gone"), ForGood: s.forGood}
}
func (s shut) Close() error { return nil }

func TestASinkThatFailsIsToldAndMakesUnreadyOnlyWhereItIsOurDisk(t *testing.T) {
	opener := func(err error) sinks.Opener {
		return func(context.Context, sinks.Ownership) (sinks.Sink, error) { return refusing{err}, nil }
	}
	requests := func(s shut) sinks.Opener {
		return sinks.Requests(func(context.Context, sinks.Ownership) (sinks.Sender, error) { return s, nil }, sinks.RequestOptions{})
	}
	for name, c := range map[string]struct {
		open     sinks.Opener
		state    ops.State
		what, do string
		status   int
	}{
		"its disk is full": {
			opener(fmt.Errorf("write 2026.ndjson: %w", syscall.ENOSPC)), ops.Failed, "no space left on device", "make room where PARLEY_SINK_OUT_URL points", http.StatusServiceUnavailable,
		},
		"it cannot be reached":        {opener(syscall.ECONNREFUSED), ops.Degraded, "connection refused", "PARLEY_SINK_OUT_URL", http.StatusOK},
		"its circuit is open":         {requests(shut{}), ops.Degraded, "answered 410 Gone", "one event now and then", http.StatusOK},
		"it asked to be called never": {requests(shut{forGood: true}), ops.Degraded, "answered 410 Gone", "restart this process", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, broker.Options{DataDir: filepath.Join(t.TempDir(), "data")})
			publish(t, b, 2)
			runner := sinks.NewRunner("out", b, c.open, sinks.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = runner.Run(ctx) })
			defer wg.Wait()
			defer cancel()
			w := watch(t, ops.Process{Broker: b, Sinks: map[string]*sinks.Runner{"out": runner}}, ops.WatchOptions{})
			wantSays(t, until(t, w, "sink out", c.state), c.what, c.do)
			if got := status(t, w.Ready); got != c.status {
				t.Errorf("readyz answers %d, want %d", got, c.status)
			}
			if h := w.Alive(); h.State != ops.OK {
				t.Errorf("healthz says %+v", h)
			}
		})
	}
}

func TestDeadLettersThatFillTheirStreamAreTold(t *testing.T) {
	e := newExternal(t)
	b := open(t, broker.Options{URLs: []string{e.ClientURL()}})
	w := watch(t, ops.Process{Broker: b}, ops.WatchOptions{})
	until(t, w, "dead letters", ops.OK)
	nc, err := nats.Connect(e.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), broker.Dead)
	if err != nil {
		t.Fatal(err)
	}
	small := s.CachedInfo().Config
	small.MaxBytes = 10 << 10
	if _, err := js.UpdateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if r := b.Bury(t.Context(), broker.Message{Subject: "parley.dead.poll.eu", Data: make([]byte, 920)}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	wantSays(t, until(t, w, "dead letters", ops.Degraded), "of the 0 MiB that PARLEY_DEAD takes", "parley dlq")
}

func TestAProcessThatStopsIsNotReady(t *testing.T) {
	b := open(t, broker.Options{DataDir: filepath.Join(t.TempDir(), "data")})
	w := watch(t, ops.Process{Broker: b}, ops.WatchOptions{})
	until(t, w, "store", ops.OK)
	w.Stopping()
	if got := status(t, w.Ready); got != http.StatusServiceUnavailable {
		t.Errorf("readyz answers %d", got)
	}
}

// A sink that hangs inside its destination turns no more, and a restart is the remedy.
func TestALoopThatHangsIsDead(t *testing.T) {
	b := open(t, broker.Options{DataDir: filepath.Join(t.TempDir(), "data")})
	publish(t, b, 1)
	hung, release := make(chan struct{}), make(chan struct{})
	runner := sinks.NewRunner("out", b, func(context.Context, sinks.Ownership) (sinks.Sink, error) {
		close(hung)
		<-release
		return refusing{}, nil
	}, sinks.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = runner.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	defer close(release)
	<-hung
	var later atomic.Int64
	w := watch(t, ops.Process{Broker: b, Sinks: map[string]*sinks.Runner{"out": runner}}, ops.WatchOptions{
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
	})
	until(t, w, "store", ops.OK)
	if h := w.Alive(); h.State != ops.OK {
		t.Fatalf("it hangs for a moment only, and is dead: %+v", h)
	}
	later.Store(int64(16 * time.Minute))
	h := w.Alive()
	if h.State != ops.Failed || !strings.Contains(fmt.Sprint(h), "sink out") {
		t.Errorf("healthz says %+v", h)
	}
}
