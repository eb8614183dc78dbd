package pollers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
}

// Runner plans and reads the windows of its sources. Any number of them, in any number of processes, share the work.
type Runner struct {
	broker  *broker.Broker
	options Options
	log     *slog.Logger
	now     func() time.Time

	list    []*Source
	sources Store // their states
	ledger  *Ledger
	book    *broker.Bucket // the ledger's, for following it
	mirror  *broker.Mirror
	view    *ledgerView // the planner's
	budgets map[string]*Budget
	plans   map[string]map[string]Plan // by source and stream
	gate    gate
	stuck   map[string]*stuck // by source
	lease   time.Duration

	mu     sync.Mutex
	counts map[string]Counts
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

// tick is how often the planner looks; a window is due a moment later at most.
const tick = 500 * time.Millisecond

// NewRunner makes a runner for sources. The broker must be provisioned.
func NewRunner(ctx context.Context, b *broker.Broker, sources []*Source, o Options) (*Runner, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Runner{
		broker: b, options: o, log: o.Logger, now: o.Now, list: sources, budgets: make(map[string]*Budget),
		plans: make(map[string]map[string]Plan), counts: make(map[string]Counts), lease: lease,
		denied: make(map[string]denial), stuck: make(map[string]*stuck),
	}
	ledger, err := b.Bucket(ctx, broker.LedgerBucket)
	if err != nil {
		return nil, err
	}
	budget, err := b.Bucket(ctx, broker.BudgetBucket)
	if err != nil {
		return nil, err
	}
	states, err := b.Bucket(ctx, broker.SourcesBucket)
	if err != nil {
		return nil, err
	}
	r.ledger, r.sources, r.book = NewLedger(ledger), states, ledger
	r.mirror, r.view = broker.NewMirror(), newLedgerView()
	for _, s := range sources {
		if err := r.add(ctx, s, budget); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// add makes a source's plans and gives its room the account's budget.
func (r *Runner) add(ctx context.Context, s *Source, budgets Store) error {
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
	budget := s.budget(budgets, r.now)
	r.budgets[s.Settings.Name] = budget
	s.client.Bind(budget.Take)
	s.seen = &seen{broker: r.broker, source: s.Settings.Name}
	s.client.hold = budget.Hold
	r.stuck[s.Settings.Name] = newStuck(r.broker)
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
	r.gate.look(ctx, r.broker, r.log, r.now()) // before the first window is taken
	wg.Go(func() { r.gate.watch(ctx, r.broker, r.log, r.now) })
	wg.Go(func() { r.broker.Announce(ctx, "poll."+strings.ToLower(rand.Text())) })
	wg.Go(func() { _ = r.book.Follow(ctx, r.mirror) }) // it ends with the context alone
	for _, s := range r.list {
		for range s.Settings.Concurrency {
			var consumer *broker.Consumer
			err := r.broker.Await(ctx, func(ctx context.Context) (err error) {
				consumer, err = r.broker.Consumer(ctx, windowConsumer(s, r.lease))
				return err
			})
			if err != nil {
				cancel()
				return err
			}
			w := &worker{Runner: r, source: s, consumer: consumer}
			wg.Go(func() { w.run(ctx) })
		}
	}
	err := r.plan(ctx)
	cancel()
	return err
}

// windowConsumer describes the consumer that all workers of a source share.
func windowConsumer(s *Source, lease time.Duration) broker.ConsumerConfig {
	return broker.ConsumerConfig{
		Stream: broker.Windows, Name: "poll-" + s.Settings.Name, Filters: []string{subjectOf(s.Settings.Name, "")},
		MaxAckPending: s.Settings.Concurrency, AckWait: lease,
	}
}

// TakeOver makes windows that are held by nobody any more free at once, without waiting for their leases. Only a process that
// knows that it is alone may say so: one that has just started the server.
func TakeOver(ctx context.Context, b *broker.Broker, sources []*Source) error {
	for _, s := range sources {
		consumer, err := b.Consumer(ctx, windowConsumer(s, lease))
		if err == nil {
			err = consumer.Reset(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
		left, err := r.offerAll(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !failing:
			r.log.Warn("the planner cannot go on; it tries again", "error", err.Error())
		case err == nil && left == 0 && r.once():
			return nil
		}
		failing = err != nil
		if err := wait(ctx, tick); err != nil {
			return err
		}
	}
}

// offerAll offers every source's due windows and tells how many are due or queued.
func (r *Runner) offerAll(ctx context.Context) (left int, err error) {
	var errs []error
	for _, s := range r.list {
		n, err := r.offer(ctx, s)
		left += n
		errs = append(errs, err)
	}
	return left, errors.Join(errs...)
}

// offer queues a source's most urgent windows. Little is queued, because a queue delivers in its own order:
// what becomes urgent meanwhile must not wait behind it.
func (r *Runner) offer(ctx context.Context, s *Source) (left int, err error) {
	name := s.Settings.Name
	queued, err := r.broker.Subjects(ctx, broker.Windows, subjectOf(name, ""))
	if err != nil {
		return 1, err
	}
	if freed, err := r.stuck[name].free(ctx, windowConsumer(s, r.lease).Name, queued, time.Now()); err != nil || freed > 0 {
		return 1, err // the queue is looked at anew
	}
	state, err := readState(ctx, r.sources, name)
	if err != nil {
		return 1, err
	}
	due, waiting, err := r.due(s, state)
	if err != nil {
		return 1, err
	}
	left = len(due) + len(queued) + waiting
	if r.once() && state.Paused != "" {
		return 0, nil // its windows wait for a run with better credentials
	}
	room := 2*s.Settings.Concurrency - len(queued)
	for _, task := range due {
		if room <= 0 {
			break
		}
		subject := subjectOf(name, windowKey(name, task.Window))
		if _, is := queued[subject]; is {
			continue
		}
		value, err := json.Marshal(task)
		if err != nil {
			return left, fmt.Errorf("encode a window: %w", err)
		}
		result := r.broker.Publish(ctx, []broker.Message{{Subject: subject, Data: value}})[0]
		// A full subject means that another planner was first.
		if result.Err != nil && !errors.Is(result.Err, broker.ErrFull) {
			return left, fmt.Errorf("queue window %s of %s: %w", WindowID(task.Window), name, result.Err)
		}
		room--
	}
	return left, nil
}

// due merges the streams' due windows by class. Waiting counts the windows that failed and will be tried again.
func (r *Runner) due(s *Source, state sourceState) (due []Task, waiting int, err error) {
	entries, err := r.view.entries(s.Settings.Name, r.mirror.Entries())
	if err != nil {
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
		for _, task := range plan.Due(entries[stream.Name], now) {
			byClass[task.Class] = append(byClass[task.Class], task)
		}
		for _, e := range entries[stream.Name] {
			if e.State == StateFailed && plan.waits(e, now) && !plan.GaveUp(e) {
				waiting++
			}
		}
	}
	for _, tasks := range byClass {
		// Newest first over all streams: none waits for another's whole history.
		slices.SortStableFunc(tasks, func(a, b Task) int { return b.From.Compare(a.From) })
		due = append(due, tasks...)
	}
	return due, waiting, nil
}

// subjectOf is the subject of a window's key, or the filter of a source's windows.
func subjectOf(source, key string) string {
	if key == "" {
		return events.WindowSubjects + "." + source + ".>"
	}
	return events.WindowSubjects + "." + key
}

func (r *Runner) count(s *Source, records int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts[s.Settings.Name]
	c.Records += records
	r.counts[s.Settings.Name] = c
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

// Progress tells for a source how many of the windows that the ledger has or misses are read.
func (r *Runner) Progress(ctx context.Context, s *Source) (Progress, error) {
	var p Progress
	state, err := readState(ctx, r.sources, s.Settings.Name)
	if err != nil {
		return p, err
	}
	p.Paused = state.Paused
	entries, err := r.ledger.All(ctx, s.Settings.Name)
	if err != nil {
		return p, err
	}
	for _, stream := range s.Streams() {
		if d, is := r.denial(s.Settings.Name, stream.Name, r.now()); is {
			if p.Denied == nil {
				p.Denied = make(map[string]string)
			}
			p.Denied[stream.Name] = d.Why
			continue
		}
		plan := r.plans[s.Settings.Name][stream.Name]
		p.Left += len(plan.Due(entries[stream.Name], r.now()))
		for _, e := range entries[stream.Name] {
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
	return p, nil
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

func (g *gate) watch(ctx context.Context, b *broker.Broker, log *slog.Logger, now func() time.Time) {
	for wait(ctx, gateLook) == nil {
		g.look(ctx, b, log, now())
	}
}

// look leaves the gate as it is when the broker cannot be asked.
func (g *gate) look(ctx context.Context, b *broker.Broker, log *slog.Logger, now time.Time) {
	why, err := behind(ctx, b, now)
	if err != nil {
		return
	}
	if was := g.closed.Swap(why != ""); why != "" && !was {
		log.Warn("nothing more is fetched for now", "why", why)
	} else if why == "" && was {
		log.Info("fetching goes on")
	}
}

// behind tells why no more records may be fetched; "" when they may. Records that are processed make room first.
func behind(ctx context.Context, b *broker.Broker, now time.Time) (why string, err error) {
	for {
		state, err := b.StreamState(ctx, broker.Raw)
		if err != nil {
			return "", err
		}
		if state.MaxBytes <= 0 || state.Bytes*100 <= uint64(state.MaxBytes)*gateFill {
			break
		}
		trimmed, err := b.TrimRaw(ctx)
		if err != nil {
			return "", err
		}
		if !trimmed {
			return fmt.Sprintf("%s holds %d bytes that are not processed yet, more than %d %% of PARLEY_RAW_MAX_BYTES (%d); processors must catch up",
				broker.Raw, state.Bytes, gateFill, state.MaxBytes), nil
		}
	}
	oldest, err := b.OldestUnprocessed(ctx)
	if err != nil || oldest.IsZero() {
		return "", err
	}
	if age, limit := now.Sub(oldest), b.Options().RawRetention/gateAge; age > limit {
		return fmt.Sprintf("the oldest record that is not processed yet is %s old, more than a quarter of PARLEY_RAW_RETENTION; processors must catch up", age.Round(time.Minute)), nil
	}
	return "", nil
}
