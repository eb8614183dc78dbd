package ops

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/sinks"
)

// Process is what is watched. What is nil or empty is a role that the process does not play.
type Process struct {
	Broker    *broker.Broker
	Sources   []*pollers.Source
	Pollers   *pollers.Runner
	Processor *processors.Runner
	Sinks     map[string]*sinks.Runner
}

// WatchOptions steer a Watch; zero values work.
type WatchOptions struct {
	Every time.Duration // how often it looks; 0 is 5 seconds
	// Write tries whether the store takes a message; nil puts one into the members' bucket, where it ages out.
	Write  func(ctx context.Context) error
	Redact func(string) string // nil changes nothing
	Logger *slog.Logger
	Now    func() time.Time
}

// Watch looks at a process and its broker every few seconds, so that who asks, however often, costs nothing and waits for nothing.
type Watch struct {
	process   Process
	options   WatchOptions
	log       *slog.Logger
	questions []*question
	due       dueSince

	seen      atomic.Pointer[view]
	turnedAt  atomic.Int64
	everWrote atomic.Bool
	stopping  atomic.Bool
}

// view is what a look found. What could not be asked is not in it.
type view struct {
	at       time.Time
	sources  map[string]pollers.SourceStatus
	oldest   map[string]map[pollers.Class]time.Duration // how long the window that is due longest has been, by source
	streams  map[string]broker.StreamState
	sinks    map[string]broker.ConsumerState
	raw      *uint64 // records that are not processed
	rawSince time.Time
	dead     map[string]uint64 // by stage and name
	members  map[string]int    // by role
	tried    bool              // a write was tried
	store    error             // what became of it
	free     uint64            // bytes, where the data directory lies
}

// question is one thing that is asked again and again. One that is not answered is asked ever more rarely: what an identity may not
// ask is a time-out each time.
type question struct {
	name     string
	ask      func(ctx context.Context, v *view) error
	failures int
	next     time.Time
}

const (
	defaultEvery = 5 * time.Second
	// askLimit is how long one answer is waited for.
	askLimit = 3 * time.Second
	// longestSilence is the longest time between two tries of a question that is not answered.
	longestSilence = 5 * time.Minute
)

// NewWatch watches a process.
func NewWatch(p Process, o WatchOptions) *Watch {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	if o.Redact == nil {
		o.Redact = func(s string) string { return s }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Watch{process: p, options: o, log: o.Logger, due: make(dueSince)}
	if w.options.Write == nil {
		w.options.Write = w.put(broker.HealthMember + "." + strings.ToLower(rand.Text()))
	}
	w.questions = w.plan()
	return w
}

func (w *Watch) now() time.Time         { return w.options.Now() }
func (w *Watch) view() *view            { return w.seen.Load() }
func (w *Watch) wrote() bool            { return w.everWrote.Load() }
func (w *Watch) redact(s string) string { return w.options.Redact(s) }

// turned is when a look last began.
func (w *Watch) turned() (at time.Time) {
	if ns := w.turnedAt.Load(); ns != 0 {
		at = time.Unix(0, ns)
	}
	return at
}

// Stopping makes the process unready: what it has in hand is all that it does from now on.
func (w *Watch) Stopping() { w.stopping.Store(true) }

// Run looks until the context ends.
func (w *Watch) Run(ctx context.Context) {
	for ctx.Err() == nil {
		w.turnedAt.Store(w.now().UnixNano())
		w.look(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(w.options.Every):
		}
	}
}

// look asks every question that it is time for, and tries the store.
func (w *Watch) look(ctx context.Context) {
	v := &view{
		at: w.now(), sources: make(map[string]pollers.SourceStatus), oldest: make(map[string]map[pollers.Class]time.Duration),
		streams: make(map[string]broker.StreamState), sinks: make(map[string]broker.ConsumerState),
	}
	if w.process.Broker.Embedded() {
		v.free = freeBytes(w.process.Broker.Options().DataDir)
	}
	for _, q := range w.questions {
		w.ask(ctx, q, v)
	}
	w.try(ctx, v)
	if ctx.Err() == nil {
		w.seen.Store(v)
	}
}

func (w *Watch) ask(ctx context.Context, q *question, v *view) {
	if !w.process.Broker.Connected() || w.now().Before(q.next) {
		return
	}
	askCtx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	err := q.ask(askCtx, v)
	if err == nil || ctx.Err() != nil || !w.process.Broker.Connected() {
		q.failures, q.next = 0, time.Time{}
		return
	}
	if q.failures++; q.failures == 2 {
		w.log.Warn("the broker does not tell what metrics are made of; it is asked more rarely", "what", q.name, "error", err.Error())
	}
	q.next = w.now().Add(min(w.options.Every<<min(q.failures-1, 10), longestSilence))
}

// try writes: nothing else tells whether the store takes writes.
func (w *Watch) try(ctx context.Context, v *view) {
	if !w.process.Broker.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	v.tried = true
	if v.store = w.options.Write(ctx); v.store == nil {
		w.everWrote.Store(true)
	}
}

func (w *Watch) put(key string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		members, err := w.process.Broker.Bucket(ctx, broker.MembersBucket)
		if err != nil {
			return err
		}
		return members.Put(ctx, key, []byte("1"))
	}
}

// freeBytes is what is free for us where a directory lies; 0 when that is not known.
func freeBytes(dir string) uint64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// plan gives what is asked, by the roles that are played: an identity may ask about its own role's streams alone.
func (w *Watch) plan() (questions []*question) {
	add := func(name string, ask func(context.Context, *view) error) {
		questions = append(questions, &question{name: name, ask: ask})
	}
	streams := []string{broker.Dead}
	if w.process.Pollers != nil {
		streams = append(streams, broker.Windows)
		for _, s := range w.process.Sources {
			add("source "+s.Settings.Name, func(ctx context.Context, v *view) error { return w.askSource(ctx, s, v) })
		}
	}
	if w.process.Pollers != nil || w.process.Processor != nil {
		streams = append(streams, broker.Raw)
		add("unprocessed records", w.askRaw)
		add("members", w.askMembers)
	}
	if w.process.Processor != nil {
		streams = append(streams, broker.State)
	}
	if w.process.Processor != nil || len(w.process.Sinks) > 0 {
		streams = append(streams, broker.Events)
	}
	for _, stream := range streams {
		add(stream, func(ctx context.Context, v *view) (err error) {
			state, err := w.process.Broker.StreamState(ctx, stream)
			if err == nil {
				v.streams[stream] = state
			}
			return err
		})
	}
	add("dead letters", w.askDead)
	for name := range w.process.Sinks {
		add("sink "+name, func(ctx context.Context, v *view) error { return w.askSink(ctx, name, v) })
	}
	return questions
}

func (w *Watch) askSource(ctx context.Context, s *pollers.Source, v *view) error {
	found, err := w.process.Pollers.Inspect(ctx, s)
	if err != nil {
		return err
	}
	v.sources[s.Settings.Name] = found
	v.oldest[s.Settings.Name] = w.due.note(s.Settings.Name, &found, v.at)
	return nil
}

func (w *Watch) askRaw(ctx context.Context, v *view) error {
	left, err := w.process.Broker.Unprocessed(ctx)
	if err != nil {
		return err
	}
	if left > 0 {
		if v.rawSince, err = w.process.Broker.OldestUnprocessed(ctx); err != nil {
			return err
		}
	}
	v.raw = &left
	return nil
}

func (w *Watch) askMembers(ctx context.Context, v *view) error {
	members, err := w.process.Broker.Bucket(ctx, broker.MembersBucket)
	if err != nil {
		return err
	}
	alive, err := members.All(ctx, ">")
	if err != nil {
		return err
	}
	v.members = map[string]int{"poll": 0, "process": 0}
	for name := range alive {
		if role, _, _ := strings.Cut(name, "."); role != broker.HealthMember {
			v.members[role]++
		}
	}
	return nil
}

func (w *Watch) askDead(ctx context.Context, v *view) error {
	dead, err := w.process.Broker.Subjects(ctx, broker.Dead, events.DeadSubjects+".>")
	if err != nil {
		return err
	}
	v.dead = make(map[string]uint64, len(dead))
	for subject, n := range dead {
		v.dead[strings.TrimPrefix(subject, events.DeadSubjects+".")] = n
	}
	return nil
}

func (w *Watch) askSink(ctx context.Context, name string, v *view) error {
	state, err := w.process.Broker.ConsumerState(ctx, broker.Events, sinks.ConsumerName(name))
	if errors.Is(err, broker.ErrNotFound) {
		return nil // it starts
	}
	if err == nil {
		v.sinks[name] = state
	}
	return err
}

// dueSince is when each window was first seen due, by source and then by stream and window.
type dueSince map[string]map[string]time.Time

// note takes down what is due now, and gives by class how long the one has been that has been longest.
func (d dueSince) note(source string, found *pollers.SourceStatus, now time.Time) map[pollers.Class]time.Duration {
	before, since := d[source], make(map[string]time.Time)
	oldest := make(map[pollers.Class]time.Duration)
	for i := range found.Streams {
		for _, task := range found.Streams[i].Due {
			key := task.Stream + " " + pollers.WindowID(task.Window)
			at, known := before[key]
			if !known {
				at = now
			}
			since[key] = at
			oldest[task.Class] = max(oldest[task.Class], now.Sub(at))
		}
	}
	d[source] = since
	return oldest
}
