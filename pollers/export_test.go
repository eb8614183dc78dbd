package pollers

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// What only tests reach.
var (
	Backoff    = func(attempt int) time.Duration { return backoff(attempt, rand.N[time.Duration]) }
	RetryAfter = retryAfter
	// NewTransport is the one that every client has.
	NewTransport = newTransport
	Exhausted    = exhausted
)

// SetLease shortens the time after which a silent worker's window is given to another.
func (r *Runner) SetLease(d time.Duration) { r.lease = d }

// OnTaken calls f whenever a worker has taken a window and done nothing with it yet.
func (r *Runner) OnTaken(f func()) { r.queue = watchedQueue{r.queue, f} }

type watchedQueue struct {
	queue
	taken func()
}

func (q watchedQueue) Taker(ctx context.Context, s *Source, lease time.Duration) (taker, error) {
	t, err := q.queue.Taker(ctx, s, lease)
	return watchedTaker{t, q.taken}, err
}

type watchedTaker struct {
	taker
	taken func()
}

func (t watchedTaker) Next(ctx context.Context) (*delivery, error) {
	d, err := t.taker.Next(ctx)
	if d != nil {
		t.taken()
	}
	return d, err
}

// BindHold gives a client the budget's Hold, as a Runner does.
func (c *Client) BindHold(hold func(ctx context.Context, d time.Duration) error) { c.hold = hold }

// FreeStuck gives what looks after windows that stay in the queue, with a way to remove them.
func FreeStuck(remove func(ctx context.Context, stream, consumer string, subjects []string) (int, error)) func(context.Context, string, map[string]uint64, time.Time) (int, error) {
	s := &stuck{remove: remove, since: make(map[string]time.Time)}
	return s.free
}

// FirstProbe is when a paused source is probed first, OnceAttempts how often `run --once` tries a window.
const (
	FirstProbe   = firstProbe
	OnceAttempts = onceAttempts
)

// The parts of a backend, for one in memory.
type (
	Backend  = backend
	Queue    = queue
	Taker    = taker
	Delivery = delivery
	Hold     = hold
	Raw      = raw
	Pipeline = pipeline
	Mirror   = mirror
	Versions = versions
)

// NewBackend puts a backend together that never holds its workers back.
func NewBackend(q Queue, r Raw, m Mirror, v Versions, ledger, budgets, sources Store) Backend {
	return Backend{
		queue: q, raw: r, mirror: m, copies: v, ledger: ledger, budgets: budgets, sources: sources,
		behind:   func(context.Context, time.Time) (string, error) { return "", nil },
		announce: func(context.Context) {},
	}
}

// Pace is how fast a simulated Runner lives.
type Pace struct {
	Tick, Lease time.Duration
	Jitter      func(n time.Duration) time.Duration
}

// NewRunnerOn makes a Runner on any backend.
func NewRunnerOn(ctx context.Context, b Backend, sources []*Source, o Options, p Pace) (*Runner, error) {
	r := newRunner(b, sources, o)
	r.tick, r.lease, r.jitter = p.Tick, p.Lease, p.Jitter
	return r, r.open(ctx)
}

// NewDelivery is a window that a queue in memory gives.
func NewDelivery(key string, task []byte, h Hold) *Delivery {
	return &delivery{Key: key, Task: task, hold: h}
}

// WindowKey names a window in the queue and in the ledger.
func WindowKey(source string, w Window) string { return windowKey(source, w) }

// Simulate gives a source's client another network and clock.
func (s *Source) Simulate(network http.RoundTripper, now func() time.Time, jitter func(n time.Duration) time.Duration) {
	s.client.http.Transport, s.client.now, s.client.jitter = network, now, jitter
}

// Planner gives a source's planner without its queue: each call is one look, after some changes of the ledger.
func Planner(s *Source, since, now time.Time) func(changes map[string]broker.Entry) ([]Task, error) {
	r, fed, state := fedRunner(s, since, now)
	return func(changes map[string]broker.Entry) ([]Task, error) {
		fed.changes = changes
		due, _, err := r.due(s, state, 2*s.Settings.Concurrency)
		return due, err
	}
}

// Glances gives a source's progress as a runner without any server tells it, after some changes of the ledger.
func Glances(s *Source, since, now time.Time) func(changes map[string]broker.Entry) (Progress, bool) {
	r, fed, _ := fedRunner(s, since, now)
	return func(changes map[string]broker.Entry) (Progress, bool) {
		fed.changes = changes
		return r.Glance(s)
	}
}

func fedRunner(s *Source, since, now time.Time) (*Runner, *fedMirror, sourceState) {
	fed := &fedMirror{}
	state := sourceState{Start: since}
	r := newRunner(backend{mirror: fed}, []*Source{s}, Options{Now: func() time.Time { return now }})
	r.plans[s.Settings.Name] = make(map[string]Plan)
	for _, stream := range s.Streams() {
		r.plans[s.Settings.Name][stream.Name] = s.plan(stream, state)
	}
	return r, fed, state
}

// fedMirror tells what it is given; of nothing it is no copy yet.
type fedMirror struct {
	mirror
	changes map[string]broker.Entry
}

func (m *fedMirror) Changes() map[string]broker.Entry { return m.changes }

func (m *fedMirror) Ready() <-chan struct{} {
	ready := make(chan struct{})
	if m.changes != nil {
		close(ready)
	}
	return ready
}
