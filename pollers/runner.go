package pollers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Options steer a Runner; zero values work.
type Options struct {
	// OnceSince makes Run end when every window that `run --once` reads was read after it, or given up.
	OnceSince time.Time
	Logger    *slog.Logger
	Now       func() time.Time
	Observer  Observer      // nil: nobody
	Tracer    events.Tracer // nil: readings have trace ids all the same, and no spans
	// Text gives what may be said of a failure, whose error may quote what a vendor answered; nil: all of it.
	Text func(string) string
}

// Runner plans and reads the windows of its sources. Any number of them, in any number of processes, share the work.
type Runner struct {
	backend
	options Options
	log     *slog.Logger
	now     func() time.Time

	list   []*Source
	book   *Ledger
	turns  map[string]*Budget         // by source
	plans  map[string]map[string]Plan // by source and stream
	gate   gate
	turned atomic.Int64 // when the planner last began a turn, in Unix nanoseconds
	lease  time.Duration
	tick   time.Duration
	jitter jitter

	viewing sync.Mutex
	view    *ledgerView // what the mirror told, under viewing

	mu     sync.Mutex
	counts map[string]Counts
	// losing are, by source, the windows that failed since one was read well; of a run that ends.
	losing map[string]map[string]bool
	// denied are the streams, as source and stream, that this process was told the account may not read, until they are asked again.
	denied map[string]denial
}

// denial is why a stream is not read, and until when.
type denial struct {
	Why   string
	until time.Time
}

// denialPause is how long a stream is left alone that the account may not read.
const denialPause = 24 * time.Hour

// Counts are what a Runner did for one source.
type Counts struct {
	Records     int // published to RAW
	DeadLetters int
}

// maxShare is the most windows of one source that a process takes at once: the first to come would otherwise hold all that the source allows,
// and those that are started to help it none.
const maxShare = 4

// tick is how often the planner looks; a window is due a moment later at most.
const tick = 500 * time.Millisecond

// NewRunner makes a runner for sources. The broker must be provisioned.
func NewRunner(ctx context.Context, b *broker.Broker, sources []*Source, o Options) (*Runner, error) {
	back, err := onBroker(ctx, b)
	if err != nil {
		return nil, err
	}
	r := newRunner(back, sources, o)
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func newRunner(b backend, sources []*Source, o Options) *Runner {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Runner{
		backend: b, options: o, log: o.Logger, now: o.Now, list: sources, book: NewLedger(b.ledger), view: newLedgerView(),
		turns: make(map[string]*Budget), plans: make(map[string]map[string]Plan), counts: make(map[string]Counts),
		denied: make(map[string]denial), losing: make(map[string]map[string]bool), lease: lease, tick: tick, jitter: mathrand.N[time.Duration],
	}
}

// open makes the plans of all sources.
func (r *Runner) open(ctx context.Context) error {
	for _, s := range r.list {
		if err := r.add(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// add makes a source's plans and gives its room the account's budget.
func (r *Runner) add(ctx context.Context, s *Source) error {
	state, err := loadState(ctx, r.sources, s, r.now())
	if err != nil {
		return err
	}
	if state.Paused != "" {
		// Somebody may have mended the credentials since: a new process asks at once, and a run that ends does not ask twice.
		state.ProbeAt, state.Probes = r.now(), 0
		if r.once() {
			state.Paused = ""
		}
		if _, err := saveState(ctx, r.sources, s.Settings.Name, state); err != nil && !errors.Is(err, broker.ErrConflict) {
			return err
		}
	}
	if note := s.sinceNote(state); note != "" {
		r.log.Warn("SINCE was changed after the source's first start", "source", s.Settings.Name, "note", note)
	}
	budget := s.budget(r.budgets, r.now)
	budget.jitter = r.jitter
	r.turns[s.Settings.Name] = budget
	s.bind(budget)
	s.seen = &seen{copies: r.copies, source: s.Settings.Name}
	if r.options.Observer != nil {
		s.client.answered = func(status int, took time.Duration) { r.options.Observer.Answered(s.Settings.Name, status, took) }
	}
	plans := make(map[string]Plan)
	for _, stream := range s.Streams() {
		plan := s.plan(stream, state)
		plan.OnceSince = r.options.OnceSince
		plans[stream.Name] = plan
	}
	r.plans[s.Settings.Name] = plans
	return nil
}

func (r *Runner) once() bool { return !r.options.OnceSince.IsZero() }

// Run plans and reads until the context ends, or, with OnceSince, until nothing is left to be read. What is in hand
// when the context ends is given back.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	r.lookAtGate(ctx) // before the first window is taken
	wg.Go(func() { r.watchGate(ctx) })
	wg.Go(func() { r.announce(ctx) })
	wg.Go(func() { _ = r.mirror.Follow(ctx) }) // it ends with the context alone
	for _, s := range r.list {
		for range min(s.Settings.Concurrency, maxShare) {
			windows, err := r.queue.Taker(ctx, s, r.lease)
			if err != nil {
				cancel()
				return err
			}
			w := &worker{Runner: r, source: s, windows: windows}
			wg.Go(func() { w.run(ctx) })
		}
	}
	err := r.plan(ctx)
	cancel()
	return err
}

// plan offers what is due, again and again. Its copy of the ledger may lag: it then offers a window that was just
// read, which the worker sees and drops, and never misses one.
func (r *Runner) plan(ctx context.Context) error {
	select {
	case <-r.mirror.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	failing := false
	for {
		began := time.Now()
		r.turned.Store(r.now().UnixNano())
		left, waiting, err := r.offerAll(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !failing:
			r.log.Warn("the planner cannot go on; it tries again", "error", err.Error())
		case err == nil && left+waiting == 0 && r.once():
			return nil
		}
		failing = err != nil
		pause := r.tick
		if left > 0 && !failing {
			// Little is queued at once, so that what is left must not wait for it; but looking is at most half of what a planner does.
			pause = min(max(r.tick/10, time.Since(began)), r.tick)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// offerAll offers every source's due windows and tells how many are due or queued, and how many failed and wait for their next attempt.
func (r *Runner) offerAll(ctx context.Context) (left, waiting int, err error) {
	var errs []error
	for _, s := range r.list {
		n, later, err := r.offer(ctx, s)
		left, waiting = left+n, waiting+later
		errs = append(errs, err)
	}
	return left, waiting, errors.Join(errs...)
}

// offer queues a source's most urgent windows. Little is queued, because a queue delivers in its own order:
// what becomes urgent meanwhile must not wait behind it.
func (r *Runner) offer(ctx context.Context, s *Source) (left, waiting int, err error) {
	name := s.Settings.Name
	queued, err := r.queue.Queued(ctx, name)
	if err != nil {
		return 1, 0, err
	}
	state, err := readState(ctx, r.sources, name)
	if err != nil {
		return 1, 0, err
	}
	if state.Paused != "" || r.once() && r.lost(name) {
		return 0, 0, nil // its windows wait for better credentials, or for a run with a better vendor
	}
	limit := 2 * s.Settings.Concurrency // queued windows are among those that are due
	due, waiting, err := r.due(s, state, limit)
	if err != nil {
		return 1, 0, err
	}
	left = len(due) + len(queued)
	room := limit - len(queued)
	for _, task := range due {
		if room <= 0 {
			break
		}
		if queued[windowKey(name, task.Window)] {
			continue
		}
		value, err := json.Marshal(task)
		if err != nil {
			return left, waiting, fmt.Errorf("encode a window: %w", err)
		}
		if err := r.queue.Offer(ctx, name, task.Window, value); err != nil {
			return left, waiting, fmt.Errorf("queue window %s of %s: %w", WindowID(task.Window), name, err)
		}
		room--
	}
	return left, waiting, nil
}

// due merges the streams' due windows by class, of each stream and class the first ones up to a limit: with a long history all of them are
// more than a planner should make at every look. Waiting counts the windows that failed and will be tried again.
func (r *Runner) due(s *Source, state sourceState, limit int) (due []Task, waiting int, err error) {
	r.viewing.Lock()
	defer r.viewing.Unlock()
	r.view.apply(r.mirror.Changes())
	if err := r.view.readable(s.Settings.Name); err != nil {
		return nil, 0, err
	}
	now := r.now()
	byClass := make([][]Task, ClassBackfill+1)
	for _, stream := range s.Streams() {
		if _, is := r.denial(s.Settings.Name, stream.Name, now); is {
			continue
		}
		plan := r.plans[s.Settings.Name][stream.Name]
		plan.Ranges, plan.Lag = state.Ranges, s.lag()
		entries := r.view.entries(s.Settings.Name, stream.Name)
		for _, task := range plan.first(limit, entries, now) {
			byClass[task.Class] = append(byClass[task.Class], task)
		}
		waiting += plan.waiting(entries, now)
	}
	for class, tasks := range byClass {
		// Newest first over all streams: none waits for another's whole history. Of what is live, first what was read longest ago, or never: where
		// the newest windows alone take all turns, directories would have none.
		slices.SortStableFunc(tasks, func(a, b Task) int {
			if Class(class) == ClassLive {
				return cmp.Or(a.readAt.Compare(b.readAt), b.From.Compare(a.From))
			}
			return b.From.Compare(a.From)
		})
		due = append(due, tasks...)
	}
	return due, waiting, nil
}

func (r *Runner) count(s *Source, records int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts[s.Settings.Name]
	c.Records += records
	r.counts[s.Settings.Name] = c
}

// onceLosses is how many windows, none read well between them, make `run --once` give a source up: a vendor that is down would otherwise be
// asked for every window of every stream, again and again.
const onceLosses = 10

// fared notes how a reading of a source's window ended.
func (r *Runner) fared(source string, w Window, well bool) {
	if !r.once() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if well || r.losing[source] == nil {
		r.losing[source] = make(map[string]bool)
	}
	if key := windowKey(source, w); !well && !r.losing[source][key] {
		r.losing[source][key] = true
		if len(r.losing[source]) == onceLosses {
			r.log.Error("the vendor answers nothing well; this run leaves the rest of the source to the next one", "source", source, "windows", onceLosses)
		}
	}
}

// lost tells whether `run --once` has given a source up.
func (r *Runner) lost(source string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.losing[source]) >= onceLosses
}

// deny leaves a stream alone that the account may not read, and tells whether that is new.
func (r *Runner) deny(source, stream, why string, now time.Time) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := source + "." + events.Token(stream)
	_, known := r.denied[key]
	r.denied[key] = denial{Why: why, until: now.Add(denialPause)}
	return !known
}

// denial tells whether a stream is left alone.
func (r *Runner) denial(source, stream string, now time.Time) (denial, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, known := r.denied[source+"."+events.Token(stream)]
	return d, known && now.Before(d.until)
}

func (r *Runner) bury(s *Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts[s.Settings.Name]
	c.DeadLetters++
	r.counts[s.Settings.Name] = c
}

// Counts gives what was done so far, by source.
func (r *Runner) Counts() map[string]Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]Counts, len(r.counts))
	for name, c := range r.counts {
		out[name] = c
	}
	return out
}

// Progress is how far the windows of a source are.
type Progress struct {
	Done, Left int
	// Failed are the windows whose last reading failed, with the error.
	Failed []Entry
	// Paused says why the vendor refuses the credentials; "": it does not.
	Paused string
	// Denied are the streams that the account may not read, with the vendor's words.
	Denied map[string]string
	// Partial are the windows of which the vendor's cap hides a part at the finest grain.
	Partial []Entry
}

// Progress tells for a source how many of the windows that the ledger has or misses are read. It reads the source's whole part of the ledger.
func (r *Runner) Progress(ctx context.Context, s *Source) (Progress, error) {
	state, err := readState(ctx, r.sources, s.Settings.Name)
	if err != nil {
		return Progress{}, err
	}
	entries, err := r.book.All(ctx, s.Settings.Name)
	if err != nil {
		return Progress{}, err
	}
	p := r.progress(s, func(stream string) []Entry { return entries[stream] })
	p.Paused = state.Paused
	return p, nil
}

// Glance is Progress by the planner's copy of the ledger, without Paused: it may lag by a moment, and asks the server for nothing, so
// that it can be shown again and again. It is false while there is no whole copy.
func (r *Runner) Glance(s *Source) (Progress, bool) {
	select {
	case <-r.mirror.Ready():
	default:
		return Progress{}, false
	}
	r.viewing.Lock()
	defer r.viewing.Unlock()
	r.view.apply(r.mirror.Changes())
	if r.view.readable(s.Settings.Name) != nil {
		return Progress{}, false
	}
	return r.progress(s, func(stream string) []Entry { return r.view.entries(s.Settings.Name, stream) }), true
}

func (r *Runner) progress(s *Source, entries func(stream string) []Entry) (p Progress) {
	for _, stream := range s.Streams() {
		if d, is := r.denial(s.Settings.Name, stream.Name, r.now()); is {
			if p.Denied == nil {
				p.Denied = make(map[string]string)
			}
			p.Denied[stream.Name] = d.Why
			continue
		}
		plan := r.plans[s.Settings.Name][stream.Name]
		p.Left += len(plan.Due(entries(stream.Name), r.now()))
		for _, e := range entries(stream.Name) {
			switch e.State {
			case StateFailed:
				p.Failed = append(p.Failed, e)
			case StatePartial:
				p.Partial = append(p.Partial, e)
				p.Done++
			case StateComplete:
				p.Done++
			}
		}
	}
	return p
}

// gate holds workers back while RAW is full or processors are behind.
type gate struct{ closed atomic.Bool }

const (
	gateLook = 2 * time.Second
	// A quarter of RAW's retention is how old its oldest unprocessed record may be.
	gateAge = 4
	// gateFill is the share of RAW's bytes, in percent, above which no window is taken.
	gateFill = 80
)

func (r *Runner) watchGate(ctx context.Context) {
	for wait(ctx, max(gateLook, r.tick)) == nil {
		r.lookAtGate(ctx)
	}
}

// lookAtGate leaves the gate as it is when the broker cannot be asked.
func (r *Runner) lookAtGate(ctx context.Context) {
	why, err := r.behind(ctx, r.now())
	if err != nil {
		return
	}
	if was := r.gate.closed.Swap(why != ""); why != "" && !was {
		r.log.Warn("nothing more is fetched for now", "why", why)
	} else if why == "" && was {
		r.log.Info("fetching goes on")
	}
}
