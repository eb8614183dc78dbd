package sinks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-stream/parley/events"
)

const (
	// crowdEvents and crowdBytes are how much a dispatcher holds before no more is taken from the consumer.
	crowdEvents = 4096
	crowdBytes  = 64 << 20
	// sample is how many events are taken for a destination that has not accepted one yet, or is left alone: enough to know it by. Each failure is worth
	// as many more, because it may be these events that are to blame.
	sample = 16
	// holdLimit bounds how long a destination may ask to be left alone: a wrong clock must not end a sink.
	holdLimit = time.Hour
	// patientFor is how long a stopping dispatcher waits for the answers to what is under way.
	patientFor = 5 * time.Second
)

// dispatcher is the Sink that Requests makes.
type dispatcher struct {
	sender  Sender
	options RequestOptions
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu       sync.Mutex
	work     sync.Cond // there may be something to start, or the dispatcher was closed
	done     sync.Cond // a request has ended
	entities map[string]*entity
	ready    []*entity        // may send their next event, in order
	tasks    map[uint64]*task // what is not settled
	bytes    int              // of their data
	running  int              // requests under way
	closed   bool
	ending   bool // nothing new is started
	alarm    time.Time

	circuit circuit
	// top is the last sequence that was taken. Events come in order: what is not above it was taken, and is settled if it is no task.
	top      uint64
	before   []Progress // of earlier owners
	durable  []uint64   // settled and not collected
	refused  []verdict
	notified func()
	news     bool
	stats    health
}

// entity is the events of one entity that are not settled, in order.
type entity struct {
	key     string
	tasks   []*task
	sending int  // of the first tasks, how many are under way
	waiting bool // for its own time, after a failure
}

// task is one event.
type task struct {
	item     Item
	attempts int
	against  int    // attempts that count against it
	seen     uint64 // what the destination had accepted when it was last tried
	alone    bool
	failures reasons
	// shutSince is what the destination had accepted when it first shut us out with this event.
	shutSince *uint64
}

func newDispatcher(ctx context.Context, sender Sender, o RequestOptions) *dispatcher {
	// A dispatcher outlives the context that it is opened in: what is under way when that ends gets its answer.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &dispatcher{
		sender: sender, options: o, cancel: cancel, entities: make(map[string]*entity), tasks: make(map[uint64]*task),
	}
	d.work.L, d.done.L = &d.mu, &d.mu
	for range o.Concurrency {
		d.workers.Go(func() { d.run(ctx) })
	}
	return d
}

func (d *dispatcher) test(ctx context.Context) (string, error) {
	if t, ok := d.sender.(Tester); ok {
		return t.Test(ctx)
	}
	return "", nil
}

// Deliver implements Sink: it takes the events and returns. What comes again while it is held, or when it is settled, is not sent again.
func (d *dispatcher) Deliver(_ context.Context, b Batch) ([]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, item := range b.Items {
		again := item.Sequence <= d.top
		d.top = max(d.top, item.Sequence)
		switch {
		case again && d.tasks[item.Sequence] != nil:
		case again, d.settledBefore(item.Sequence):
			d.durable = append(d.durable, item.Sequence)
		default:
			d.take(item)
		}
	}
	return d.collect(), nil
}

// Flush implements Sink: it waits until nothing is left.
func (d *dispatcher) Flush(ctx context.Context) ([]uint64, error) {
	stop := context.AfterFunc(ctx, d.wakeWaiting)
	defer stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.tasks) > 0 && ctx.Err() == nil && len(d.refused) == 0 {
		d.done.Wait()
	}
	if len(d.refused) > 0 {
		v := d.refused[0]
		d.refused = d.refused[1:]
		d.drop(v.sequence)
		return d.collect(), events.Permanent(&Refused{Sequence: v.sequence, Err: v.reason})
	}
	if len(d.tasks) > 0 {
		return d.collect(), fmt.Errorf("%d events wait: %w", len(d.tasks), context.Cause(ctx))
	}
	return d.collect(), nil
}

// Close implements Sink. What is under way is broken off: the destination may have it, and gets it again.
func (d *dispatcher) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.work.Broadcast()
	d.workers.Wait()
	return d.sender.Close()
}

func (d *dispatcher) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patientFor)
	defer cancel()
	stop := context.AfterFunc(ctx, d.wakeWaiting)
	defer stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending = true
	for d.running > 0 && ctx.Err() == nil {
		d.done.Wait()
	}
}

// wakeWaiting has Flush and finish look at their contexts.
func (d *dispatcher) wakeWaiting() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done.Broadcast()
}

func (d *dispatcher) collect() []uint64 {
	durable := d.durable
	d.durable, d.news = nil, false
	return durable
}

func (d *dispatcher) notify(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notified = f
	if d.news {
		d.tell()
	}
}

// tell has the Runner collect.
func (d *dispatcher) tell() {
	d.news = true
	if d.notified != nil {
		d.notified()
		d.notified = nil
	}
}

func (d *dispatcher) appetite() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit, bite := crowdEvents, batchLimit
	if !d.circuit.trusted() {
		limit, bite = min(sample*(1+d.circuit.failures), crowdEvents), sample
	}
	if len(d.tasks) >= limit || d.bytes >= crowdBytes {
		return 0
	}
	return bite
}

func (d *dispatcher) verdicts() []verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	refused := d.refused
	d.refused = nil
	return refused
}

func (d *dispatcher) buried(sequence uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(sequence)
}

func (d *dispatcher) progress() Progress {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := Progress{Top: d.top, Open: slices.Collect(maps.Keys(d.tasks))}
	for _, b := range d.before {
		p.Top = max(p.Top, b.Top)
		for _, sequence := range b.Open {
			if sequence > d.top && !d.settledBefore(sequence) {
				p.Open = append(p.Open, sequence)
			}
		}
	}
	slices.Sort(p.Open)
	p.Open = slices.Compact(p.Open)
	return p
}

func (d *dispatcher) follow(p Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = append(d.before, p)
}

func (d *dispatcher) unfollow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = nil
}

func (d *dispatcher) settledBefore(sequence uint64) bool {
	return slices.ContainsFunc(d.before, func(p Progress) bool { return p.Settled(sequence) })
}

func (d *dispatcher) health() health {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.stats
	h.reasons = maps.Clone(h.reasons)
	h.pause, h.failing = d.circuit.pause, d.circuit.failing()
	return h
}

func (d *dispatcher) beginPaused(p Pause) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.circuit.resume(p)
}

// entityOf names what order is kept for.
func entityOf(e *events.Event) string {
	return e.Source + "\x00" + string(e.Kind()) + "\x00" + e.Subject
}

func (d *dispatcher) take(item Item) {
	key := entityOf(&item.Event)
	e := d.entities[key]
	if e == nil {
		e = &entity{key: key}
		d.entities[key] = e
	}
	t := &task{item: item}
	d.tasks[item.Sequence] = t
	d.bytes += len(item.Event.Data)
	e.tasks = append(e.tasks, t)
	if len(e.tasks) == 1 {
		d.queue(e)
	}
}

// queue lets an entity's next event be sent.
func (d *dispatcher) queue(e *entity) {
	d.ready = append(d.ready, e)
	d.work.Signal()
}

// run sends one request after the other until the dispatcher is closed.
func (d *dispatcher) run(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for !d.closed && !d.mayStart() {
			d.work.Wait()
		}
		if d.closed {
			return
		}
		picked, probe := d.pick()
		d.mu.Unlock()
		items := make([]Item, len(picked))
		for i, t := range picked {
			items[i] = t.item
		}
		err := d.sender.Send(ctx, items)
		d.mu.Lock()
		d.running--
		if err != nil && ctx.Err() != nil {
			return // broken off; it comes again
		}
		d.settle(picked, probe, err)
		d.done.Broadcast()
	}
}

// mayStart tells whether a request may be made now; if only the time is missing, it arranges to be asked again.
func (d *dispatcher) mayStart() bool {
	if len(d.ready) == 0 || d.ending {
		return false
	}
	now := time.Now()
	wait, ok := d.circuit.allows(now)
	if !ok && wait > 0 && (!d.alarm.After(now) || d.alarm.After(now.Add(wait))) {
		d.alarm = now.Add(wait)
		d.after(wait, d.work.Broadcast)
	}
	return ok
}

// after does something later.
func (d *dispatcher) after(wait time.Duration, do func()) {
	time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		do()
	})
}

// pick takes the events of the next request. A probe is one event.
func (d *dispatcher) pick() (picked []*task, probe bool) {
	probe = d.circuit.begin()
	limit, size := d.options.BatchEvents, 0
	if probe {
		limit = 1
	}
	for len(d.ready) > 0 && len(picked) < limit {
		e := d.ready[0]
		before := len(picked)
		for _, t := range e.tasks {
			size += len(t.item.Event.Data)
			if len(picked) > 0 && (t.alone || size > d.options.BatchBytes) || len(picked) == limit {
				break
			}
			if t.attempts == 0 {
				t.seen = d.stats.accepted
			}
			picked = append(picked, t)
			e.sending++
			if t.alone {
				limit = 1
			}
		}
		if len(picked) == before {
			break
		}
		d.ready = d.ready[1:]
	}
	d.running++
	return picked, probe
}

// settle records what came of a request.
func (d *dispatcher) settle(picked []*task, probe bool, err error) {
	if err == nil {
		d.accept(picked)
		return
	}
	d.stats.failed++
	d.stats.last, d.stats.reason = err.Error(), reasonOf(err)
	d.stats.reasons = tally(d.stats.reasons, d.stats.reason)
	accepting := false // others, since these were last tried
	for _, t := range picked {
		t.attempts++
		t.failures.add(err)
		accepting = accepting || d.stats.accepted > t.seen
		t.seen = d.stats.accepted
	}
	d.hold(picked, probe, err)
	if len(picked) > 1 && (accepting || events.IsPermanent(err) || errors.Is(err, ErrRejected)) {
		// Which of them it was is found by sending each alone, which is no attempt of the others'.
		for _, t := range picked {
			t.alone = true
		}
		d.again(picked, 0)
		return
	}
	if accepting && !errors.Is(err, ErrThrottled) {
		for _, t := range picked {
			t.against++
		}
	}
	if len(picked) == 1 && d.hopeless(picked[0], err) {
		d.refuse(picked[0])
		return
	}
	d.again(picked, d.pace(picked[0], err))
}

func (d *dispatcher) accept(picked []*task) {
	d.stats.accepted += uint64(len(picked))
	d.circuit.accepted()
	for _, t := range picked {
		d.durable = append(d.durable, t.item.Sequence)
	}
	d.release(picked)
	d.work.Broadcast() // the circuit may have closed
	d.tell()
}

// hold decides whether the destination is left alone for a while.
func (d *dispatcher) hold(picked []*task, probe bool, err error) {
	asked, _ := events.RetryDelay(err)
	asked = min(asked, holdLimit)
	var shut *Shut
	paused := d.circuit.pause != nil
	if errors.As(err, &shut) && !d.shutAlone(picked) {
		d.circuit.shut(shut, probe, asked)
	} else {
		d.circuit.failed(picked, err, probe, asked)
	}
	if !paused && d.circuit.failing() {
		d.tell()
	}
}

// shutAlone tells whether events were shut out before and others were accepted since: then the destination is open, and it counts against them.
func (d *dispatcher) shutAlone(picked []*task) bool {
	alone := true
	for _, t := range picked {
		if t.shutSince == nil {
			accepted := d.stats.accepted
			t.shutSince = &accepted
		}
		alone = alone && d.stats.accepted > *t.shutSince
	}
	return alone
}

// hopeless tells whether an event is not to be tried again.
func (d *dispatcher) hopeless(t *task, err error) bool {
	if events.IsPermanent(err) {
		// A destination that refuses everything for good is not what it should be, and no reason to empty the backlog into DEAD.
		return d.circuit.mayRefuse()
	}
	return t.against >= d.options.MaxAttempts
}

// refuse gives an event up. It stays at the head of its entity until it is buried: what follows must not be there before it is known
// to be nowhere.
func (d *dispatcher) refuse(t *task) {
	d.circuit.refused++
	d.refused = append(d.refused, verdict{sequence: t.item.Sequence, attempts: t.attempts, reason: t.failures.summary()})
	d.tell()
}

// pace is how long an event waits for its next attempt.
func (d *dispatcher) pace(t *task, err error) time.Duration {
	if d.circuit.pause != nil {
		return 0 // its turn comes with a probe
	}
	b := backoff{attempts: t.attempts - 1}
	wait := b.next(err)
	if asked, ok := events.RetryDelay(err); ok {
		wait -= asked // the destination is left alone for that time by all
	}
	return wait
}

// again puts events back; after a wait, if there is one.
func (d *dispatcher) again(picked []*task, wait time.Duration) {
	for _, e := range d.back(picked) {
		if wait <= 0 {
			d.queue(e)
			continue
		}
		e.waiting = true
		d.after(wait, func() {
			e.waiting = false
			d.queue(e)
		})
	}
}

// back ends the sending of events and gives their entities.
func (d *dispatcher) back(picked []*task) (entities []*entity) {
	for _, t := range picked {
		e := d.entities[entityOf(&t.item.Event)]
		if e.sending > 0 {
			e.sending = 0
			entities = append(entities, e)
		}
	}
	return entities
}

// release lets go of events that are settled.
func (d *dispatcher) release(picked []*task) {
	for _, e := range d.back(picked) {
		e.tasks = slices.DeleteFunc(e.tasks, func(t *task) bool { return slices.Contains(picked, t) })
		d.goOn(e)
	}
	for _, t := range picked {
		delete(d.tasks, t.item.Sequence)
		d.bytes -= len(t.item.Event.Data)
	}
}

// drop lets go of one event that was refused.
func (d *dispatcher) drop(sequence uint64) {
	if t := d.tasks[sequence]; t != nil {
		d.release([]*task{t})
	}
	d.done.Broadcast()
}

func (d *dispatcher) goOn(e *entity) {
	if len(e.tasks) == 0 {
		delete(d.entities, e.key)
		return
	}
	d.queue(e)
}
