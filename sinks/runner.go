package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Broker is what a Runner needs of the broker.
type Broker interface {
	Consumer(ctx context.Context, c broker.ConsumerConfig) (*broker.Consumer, error)
	Resolve(ctx context.Context, e *events.Event) error
	Offload(ctx context.Context, e *events.Event) error
	Bury(ctx context.Context, m broker.Message) broker.Result
	OfErased(ctx context.Context, m broker.Message) (bool, error)
	Remove(ctx context.Context, stream string, sequence uint64) error
	Bucket(ctx context.Context, name string) (*broker.Bucket, error)
	StreamState(ctx context.Context, stream string) (broker.StreamState, error)
	Read(ctx context.Context, stream string, sequence uint64) (broker.Message, error)
}

// Options tune a Runner; the zero value works.
type Options struct {
	Filter []string // as FilterSubjects takes it; empty is everything
	Start  Start
	// MaxAckPending bounds the events that a destination has taken and not made durable (0: 65,536); it is flushed at three quarters of it.
	MaxAckPending int
	// AckWait is how long the server waits for an acknowledgement (0: 10 minutes). A sink may keep an event longer: it comes again, and adds nothing.
	AckWait time.Duration
	Logger  *slog.Logger // nil: none
	// Replay delivers, instead of the stream of events, what `parley replay` and `parley dlq replay` give to this sink again. Filter and Start
	// are not for these: they were chosen one by one.
	Replay bool
	// Delivered is told of each event that the destination has durably how long ago it was stored in EVENTS; nil: nobody is. It returns at once.
	Delivered func(after time.Duration)
	Tracer    events.Tracer // nil: deliveries have no spans
}

func (o Options) withDefaults() Options {
	if o.MaxAckPending == 0 {
		o.MaxAckPending = 1 << 16
	}
	if o.AckWait == 0 {
		o.AckWait = 10 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	batchLimit = 512
	// batchBytes is how much data one Deliver gets at most, one event at least: claim-checked data can be 32 MiB.
	batchBytes = 8 << 20
	// floorEvery is how often the server is asked for the ack floor while events come.
	floorEvery = 5 * time.Second
	// stopLimit is how long a stopping Runner tries to flush.
	stopLimit = 20 * time.Second
	// ownerPatience is how long the owner may acknowledge nothing before one that stands by makes sure that it lives; longer than files are
	// usually kept open.
	ownerPatience = 90 * time.Second
	retryMin      = 250 * time.Millisecond
	retryMax      = time.Minute
)

// Runner runs one sink: it consumes its events in order, delivers them until the destination has them, dead-letters what it
// refuses, and acknowledges. Any number of processes may run the same sink: one owns it, the others stand by.
type Runner struct {
	name    string
	key     string // names what it keeps: its consumer, its keys in parley-sinks, its place at the destination
	stream  string
	broker  Broker
	open    Opener
	options Options
	log     *slog.Logger
	drains  chan chan error

	mu    sync.Mutex
	stats Stats
}

// Stats are a Runner's figures since it was made.
type Stats struct {
	// Delivered counts events that the destination has durably and that were acknowledged; after a crash some come twice.
	Delivered uint64
	// Failed counts attempts that failed and were tried again.
	Failed      uint64
	DeadLetters uint64
	// Failures are the failed attempts by their reason.
	Failures map[Reason]uint64
	// LastError is the last failure's text, and LastReason its kind; they stay after a recovery.
	LastError  string
	LastReason Reason
	// Failing tells whether the last attempt failed; of a sink of requests, whether the last several did.
	Failing bool
	// Pause is not nil while a sink of requests sends nothing but a probe now and then.
	Pause *Pause
	// Halt is not nil while somebody has stopped the sink.
	Halt *Halted
	// Owner tells whether this process has the sink at the moment.
	Owner bool
	// Turned is when the sink's loop last began a turn or an attempt; zero: it does not run. One that has not for minutes hangs: it waits for no
	// server and no destination that long.
	Turned time.Time
}

// NewRunner makes the Runner of the sink with this name ([a-z0-9-]+).
func NewRunner(name string, b Broker, open Opener, o Options) *Runner {
	o = o.withDefaults()
	r := &Runner{name: name, key: name, stream: broker.Events, broker: b, open: open, options: o, log: o.Logger.With("sink", name), drains: make(chan chan error)}
	if o.Replay {
		r.key, r.stream, r.log = ReplayKey(name), broker.Replay, r.log.With("replay", true)
	}
	return r
}

// ReplayKey names what a sink keeps for the events that it is given again.
func ReplayKey(sink string) string { return sink + "-replay" }

// Stats gives the figures; safe for concurrent use.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Failures = maps.Clone(s.Failures)
	return s
}

// Drain returns nil once every event that EVENTS held for the sink when it was called is durable and acknowledged, here or at
// another owner; ErrHalted if the sink is halted. It needs a Run in another goroutine, and may be called by several at once.
func (r *Runner) Drain(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case r.drains <- done:
	case <-ctx.Done():
		return fmt.Errorf("drain sink %s: %w", r.name, ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("drain sink %s: %w", r.name, ctx.Err())
	}
}

// Run delivers until the context ends, then flushes, acknowledges and gives the ownership up. It returns nil then, or what kept the
// last flush from succeeding: nothing is lost by that, it comes again. While the sink is halted it delivers nothing, and owns nothing.
func (r *Runner) Run(ctx context.Context) error {
	for {
		r.awaitResume(ctx)
		if ctx.Err() != nil {
			return nil
		}
		err := r.deliver(ctx)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			r.log.Warn("the sink was halted; what it could not flush comes again", "error", err.Error())
		}
	}
}

// deliver does so until the context ends or the sink is halted.
func (r *Runner) deliver(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	var halt sync.WaitGroup
	defer halt.Wait()
	defer end(nil)
	halt.Go(func() { r.watchHalt(ctx, end) })
	o := &ownership{Runner: r, held: make(map[uint64]*broker.Delivery), spans: make(map[uint64]func(error)), retry: backoff{}}
	defer r.count(func(s *Stats) { s.Turned = time.Time{} })
	for ctx.Err() == nil && !o.attempt(ctx, "start", o.start(ctx)) {
	}
	if o.consumer == nil {
		return nil
	}
	for ctx.Err() == nil {
		o.attempt(ctx, "consume", o.step(ctx))
	}
	o.ended = context.Cause(ctx)
	return o.stop(context.WithoutCancel(ctx))
}

// ownership is the state of one delivery.
type ownership struct {
	*Runner
	consumer *broker.Consumer
	origin   string
	retry    backoff

	// sink is nil while another process owns the consumer, or nobody does.
	sink Sink
	// wanted: this process owns the consumer, and its sink must be opened before anything is taken.
	wanted bool
	// had: this process has owned it before.
	had bool
	// held are the deliveries that are not acknowledged, by sequence.
	held map[uint64]*broker.Delivery
	// spans end the spans of those of them whose trace asks for one.
	spans   map[uint64]func(error)
	items   []Item             // of the last batch, for reuse
	rest    []*broker.Delivery // of the last batch, what there was no room for
	floor   uint64
	floorAt time.Time
	top     uint64 // the last sequence that was taken
	behind  bool   // the last delivery said that more wait
	quiet   int    // looks at an idle consumer that found deliveries which are not here

	// seen is what the consumer's state has been since seenAt, for one that stands by.
	seen   broker.ConsumerState
	seenAt time.Time

	drains []drain
	ended  error // why it is over

	failing    bool // the last step failed
	background backgroundState
}

func (o *ownership) start(ctx context.Context) error {
	b, fresh, err := o.begin(ctx)
	if err != nil {
		return err
	}
	o.origin = b.Origin
	if o.consumer, err = o.consume(ctx, b, fresh); err != nil {
		return err
	}
	return o.revive(ctx)
}

// revive makes the server deliver again what a dead owner was given: without a delivery nobody can become the new owner. A living
// owner gets again what it holds, which adds nothing.
func (o *ownership) revive(ctx context.Context) error {
	state, err := o.consumer.State(ctx)
	if err != nil || state.Pending > 0 || state.Unacked == 0 {
		return err
	}
	return o.consumer.Reset(ctx)
}

// standBy looks, while nothing comes, whether the owner still is one and still moves.
func (o *ownership) standBy(ctx context.Context) error {
	state, err := o.consumer.State(ctx)
	if err != nil {
		return err
	}
	if state != o.seen || state.Done() {
		o.seen, o.seenAt = state, time.Now()
		return nil
	}
	// Without an owner nobody will acknowledge what is held. One that is the owner may be slow.
	if state.Pinned && time.Since(o.seenAt) < ownerPatience {
		return nil
	}
	o.seenAt = time.Now()
	return o.revive(ctx)
}

// step does what is next: answer a drain, open the sink, or take a batch.
func (o *ownership) step(ctx context.Context) error {
	o.count(func(s *Stats) { s.Turned = time.Now() })
	o.askDrains(ctx)
	if err := o.answerDrains(ctx); err != nil {
		return err
	}
	if o.wanted {
		if err := o.own(ctx); err != nil {
			return err
		}
	}
	limit := o.limit()
	if limit == 0 {
		return o.standStill(ctx)
	}
	if rest := o.rest; len(rest) > 0 {
		o.rest = nil
		o.take(ctx, rest)
		return o.pass(ctx)
	}
	news, cancel := o.untilNews(ctx)
	batch, err := o.consumer.Next(news, limit)
	cancel()
	o.behind = false
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // nothing was received; what is held is flushed at the end
	case err != nil && news.Err() != nil && errors.Is(err, context.Canceled):
		return o.pass(ctx)
	case errors.Is(err, broker.ErrNewOwner):
		o.disown()
		o.wanted = true
		return nil
	case err != nil:
		// What the failed pull had received already is lost here, and must not come after what follows it.
		o.disown()
		o.wanted = true
		return err
	case len(batch) > 0 && o.sink == nil:
		// The pin is still ours, the sink was given up meanwhile.
		o.wanted = true
		return nil
	case o.sink == nil:
		return o.standBy(ctx)
	case len(batch) == 0:
		if err := o.lookAround(ctx); err != nil || o.sink == nil {
			return err
		}
		return o.pass(ctx)
	}
	o.quiet = 0
	last := batch[len(batch)-1]
	o.behind, o.top = last.Pending > 0, max(o.top, last.Sequence)
	o.take(ctx, batch)
	return o.pass(ctx)
}

// limit is how many events are to be taken next.
func (o *ownership) limit() int {
	if bg, ok := o.sink.(background); ok {
		return bg.appetite()
	}
	return batchLimit
}

// own opens the sink and then resets the consumer: whatever was delivered to the last owner comes again, in order, and
// nothing is taken before that.
func (o *ownership) own(ctx context.Context) error {
	o.disown()
	state, err := o.broker.StreamState(ctx, o.stream)
	if err != nil {
		return err
	}
	sink, err := o.open(ctx, o.told(o.origin, state.LastSeq))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := o.consumer.Reset(ctx); err != nil {
		return errors.Join(err, sink.Close())
	}
	if bg, ok := sink.(background); ok {
		if err := o.follow(ctx, bg, state.LastSeq); err != nil {
			return errors.Join(err, sink.Close())
		}
	}
	o.sink, o.wanted = sink, false
	o.count(func(s *Stats) { s.Owner = true })
	if o.had {
		o.log.Info("this process has the sink anew, after a connection or its ownership was lost; what is not acknowledged comes again")
	} else {
		o.log.Info("this process has the sink now")
	}
	o.had = true
	return o.refreshFloor(ctx)
}

// disown throws away what is not durable: it comes again to the next owner.
func (o *ownership) disown() {
	clear(o.held)
	for sequence := range o.spans {
		o.endSpan(sequence, errGivenUp)
	}
	o.rest = nil
	o.floor, o.top, o.quiet = 0, 0, 0
	o.count(func(s *Stats) { s.Owner, s.Pause = false, nil })
	if o.sink == nil {
		return
	}
	if err := o.sink.Close(); err != nil {
		o.log.Warn("the sink did not close well", "error", err.Error())
	}
	if bg, ok := o.sink.(background); ok {
		o.background = backgroundState{left: o.record(bg)}
	}
	o.sink = nil
}

// lookAround finds out, when nothing came for a while, whether this process still owns the consumer: a request that another's pin turns
// away looks like silence. A sink that is kept then would keep its lock from the new owner.
func (o *ownership) lookAround(ctx context.Context) error {
	state, err := o.consumer.State(ctx)
	if err != nil {
		return err
	}
	o.floor, o.floorAt = state.AckFloor, time.Now()
	if state.Pending == 0 && state.Unacked <= uint64(len(o.held)) {
		o.quiet = 0
		return nil
	}
	if o.quiet++; o.quiet < 2 {
		return nil
	}
	o.log.Info("deliveries are missing here, another process may have the sink; giving it up and beginning anew")
	o.disown()
	// If the pin is still ours, then a delivery or an acknowledgement was lost with a connection: all of it comes again now.
	return o.consumer.Reset(ctx)
}

// pass lets time pass for the sink, and flushes it before it holds more than the server allows.
func (o *ownership) pass(ctx context.Context) error {
	if o.sink == nil {
		return nil
	}
	if time.Since(o.floorAt) > floorEvery {
		if err := o.refreshFloor(ctx); err != nil {
			return err
		}
	}
	if bg, ok := o.sink.(background); ok {
		o.serve(ctx, bg, nil)
		return nil
	}
	var durable []uint64
	var err error
	if len(o.held) >= o.options.MaxAckPending*3/4 {
		durable, err = o.sink.Flush(ctx)
	} else {
		durable, err = o.sink.Deliver(ctx, Batch{AckFloor: o.floor})
	}
	o.ack(durable)
	o.reopenIfLost(err)
	return err
}

func (o *ownership) refreshFloor(ctx context.Context) error {
	state, err := o.consumer.State(ctx)
	if err != nil {
		return err
	}
	o.floor, o.floorAt = state.AckFloor, time.Now()
	return nil
}

// reopenIfLost begins the ownership anew where a sink lost what it took.
func (o *ownership) reopenIfLost(err error) {
	if errors.Is(err, ErrReopen) {
		o.disown()
		o.wanted = true
	}
}

func (o *ownership) ack(durable []uint64) {
	acked, now := uint64(0), time.Now()
	for _, sequence := range durable {
		d := o.held[sequence]
		if d == nil {
			continue
		}
		// A lost acknowledgement means another delivery, which is durable already.
		_ = d.Ack()
		delete(o.held, sequence)
		o.endSpan(sequence, nil)
		if o.options.Delivered != nil {
			o.options.Delivered(now.Sub(d.Time))
		}
		acked++
	}
	if acked > 0 {
		o.count(func(s *Stats) { s.Delivered += acked })
	}
}

// stop ends the ownership in good order. The context must not be the one that ended.
func (o *ownership) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	var err error
	if bg, ok := o.sink.(background); ok {
		o.end(ctx, bg)
		o.disown()
	} else if o.sink != nil {
		err = o.flush(ctx)
		o.disown()
	}
	if releaseErr := o.consumer.Release(ctx); releaseErr != nil {
		// Another takes over once the pin has run out.
		o.log.Warn("the sink's ownership could not be given up", "error", releaseErr.Error())
	}
	for _, d := range o.drains {
		d.done <- fmt.Errorf("drain sink %s: the runner stopped: %w", o.name, o.ended)
	}
	if err != nil {
		return fmt.Errorf("sink %s: flush at the end: %w", o.name, err)
	}
	return nil
}

// trace begins an event's span where its trace asks for one.
func (o *ownership) trace(d *broker.Delivery, e *events.Event) {
	if o.options.Tracer == nil || !events.Sampled(e.TraceParent) {
		return
	}
	o.endSpan(d.Sequence, errGivenUp) // it comes again
	_, o.spans[d.Sequence] = o.options.Tracer.Span(e.TraceParent, "deliver "+o.name, "parley.sink", o.name, "cloudevents.event_id", e.ID)
}

// errGivenUp ends the span of an event that was taken and comes again.
var errGivenUp = errors.New("it was not durable and comes again")

// endSpan ends an event's span, if it has one.
func (o *ownership) endSpan(sequence uint64, err error) {
	if end := o.spans[sequence]; end != nil {
		end(err)
		delete(o.spans, sequence)
	}
}

func (r *Runner) count(change func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}

// attempt tells whether something succeeded; if not, it says so once per change of state and waits before the next attempt.
func (o *ownership) attempt(ctx context.Context, what string, err error) bool {
	if err != nil && ctx.Err() != nil {
		return false
	}
	failing := o.failing
	o.failing = err != nil
	o.count(func(s *Stats) {
		s.Turned = time.Now()
		s.Failing = o.failing || o.background.shown.failing
		if err != nil {
			s.Failed++
			s.LastError, s.LastReason = err.Error(), reasonOf(err)
			s.Failures = tally(s.Failures, s.LastReason)
		}
	})
	if err == nil {
		if failing {
			o.log.Info("the sink works again", "attempts", o.retry.attempts+1)
		}
		o.retry = backoff{}
		return true
	}
	if !failing {
		o.log.Warn("the sink fails; trying again until it works", "step", what, "error", err.Error())
	}
	select {
	case <-ctx.Done():
	case <-time.After(o.retry.next(err)):
	}
	return false
}

// backoff is exponential with full jitter.
type backoff struct{ attempts int }

// next gives the pause before another attempt; never shorter than what the error asks for.
func (b *backoff) next(err error) time.Duration {
	ceiling := min(retryMin<<min(b.attempts, 16), retryMax)
	b.attempts++
	pause := rand.N(ceiling) //nolint:gosec // jitter needs no secrecy
	if asked, ok := events.RetryDelay(err); ok {
		pause += asked
	}
	return pause
}
