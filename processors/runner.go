package processors

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Options steer a Runner; only Normalizers is required.
type Options struct {
	// Normalizers by the vendor's name.
	Normalizers map[string]Normalizer
	// Enrichers complete changed entities before they are published, in this order; Guard then has the last word on what is
	// published. A nil Guard lets everything through.
	Enrichers []Enricher
	Guard     Guard
	// MessageEvents adds an event for each message of a conversation.
	MessageEvents bool
	// Encode changes an event's data from JSON to another encoding; nil leaves JSON.
	Encode func(*events.Event) error
	// CacheBytes bounds the memory of last states, over all partitions; 0 is 64 MiB.
	CacheBytes int64
	// Batch is the most records that are processed at once; 0 is 512.
	Batch  int
	Logger *slog.Logger
	Now    func() time.Time
	Tracer events.Tracer // nil: events carry the trace of their record, and nobody records it
}

// Runner processes the partitions of RAW that fall to this process. Any number of processes share them.
type Runner struct {
	broker  *broker.Broker
	options Options
	log     *slog.Logger
	id      string
	members *broker.Bucket
	erased  *broker.Erased
	// asked holds what is to be normalised again, and how far that is.
	asked *broker.Copy

	// events and states store what the partitions of a Run have for EVENTS and STATE, together.
	events, states *broker.Committer
	// room bounds the records that are in memory at once, over all partitions: a full batch for each core, and one that waits for the server while
	// another is worked on. More only take memory, whose first use costs more than the work does.
	room *semaphore.Weighted

	mu     sync.Mutex
	counts map[CountKey]Counts
	turns  map[int]time.Time // when each partition here last began a turn; -1: when the shares were last looked at
}

// shares is the key of the loop that looks at the shares, among the partitions.
const shares = -1

// CountKey is a vendor and a kind; the kind of what was no entity is "".
type CountKey struct {
	Vendor string
	Kind   events.Kind
}

// Counts are what a Runner did.
type Counts struct {
	Events, Duplicates, DeadLetters int
	// Erased are records of persons who were erased: they are dropped.
	Erased int
}

const (
	// memberPrefix begins a processor's name among the members.
	memberPrefix = "process."
	// look is how often a process says that it is alive and looks who else is.
	look = broker.MemberTTL / 5
	// stopLimit is how long a batch in hand may take when the process stops.
	stopLimit = 5 * time.Second
)

// NewRunner makes a runner. The broker must be provisioned.
func NewRunner(ctx context.Context, b *broker.Broker, o Options) (*Runner, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.Batch == 0 {
		o.Batch = 512
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	members, err := b.Bucket(ctx, broker.MembersBucket)
	if err != nil {
		return nil, err
	}
	erased, err := b.Erased(ctx)
	if err != nil {
		return nil, err
	}
	return &Runner{
		broker: b, options: o, log: o.Logger, id: strings.ToLower(rand.Text()), members: members, erased: erased,
		asked:  broker.NewCopy(),
		room:   semaphore.NewWeighted(int64(max(2, runtime.GOMAXPROCS(0)) * o.Batch)),
		counts: make(map[CountKey]Counts), turns: make(map[int]time.Time),
	}, nil
}

// Run processes until the context ends, and then gives its partitions up.
func (r *Runner) Run(ctx context.Context) error {
	r.events, r.states = r.broker.Committer(ctx), r.broker.Committer(ctx)
	defer r.events.Close()
	defer r.states.Close()
	partitions := 0
	err := r.broker.Await(ctx, func(ctx context.Context) (err error) {
		if partitions, err = r.broker.Partitions(ctx); err != nil {
			return err
		}
		return r.markPolicy(ctx)
	})
	if err != nil {
		return err
	}
	defer r.keepErased(ctx)()
	learning, stopLearning := context.WithCancel(ctx)
	defer r.keepLearning(learning)()
	defer r.followRequests(learning)()
	defer stopLearning()
	running := make(map[int]func()) // stops a partition and waits for it
	defer func() {
		var wg sync.WaitGroup
		for _, stop := range running {
			wg.Go(stop)
		}
		wg.Wait()
		r.leave(ctx)
	}()
	for failing := false; ; {
		r.turn(shares)
		mine, err := r.share(ctx, partitions)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !failing:
			r.log.Warn("a processor cannot tell its share; it keeps what it has", "error", err.Error())
		case err == nil:
			r.adjust(ctx, running, mine, partitions)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
	}
}

// share says that this process is alive and gives its partitions: every n-th, counted over the sorted members.
func (r *Runner) share(ctx context.Context, partitions int) (mine []int, err error) {
	// Whoever erases a person waits for this: the records of every batch after it meet what was remembered up to there.
	revision := strconv.FormatUint(r.erased.Revision(), 10)
	if err := r.members.Put(ctx, memberPrefix+r.id, []byte(revision)); err != nil {
		return nil, err
	}
	all, err := r.members.All(ctx, memberPrefix+"*")
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	i := slices.Index(names, memberPrefix+r.id)
	if i < 0 {
		return nil, errors.New("the members' bucket does not show what was just put")
	}
	for n := i; n < partitions; n += len(names) {
		mine = append(mine, n)
	}
	return mine, nil
}

// leave makes the others take over without waiting for this process to be found silent.
func (r *Runner) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := r.members.Delete(ctx, memberPrefix+r.id); err != nil {
		r.log.Debug("a processor could not say that it left", "error", err.Error())
	}
}

// adjust stops partitions that are another's now and starts those that are this process's.
func (r *Runner) adjust(ctx context.Context, running map[int]func(), mine []int, partitions int) {
	for n, stop := range running {
		if !slices.Contains(mine, n) {
			stop()
			delete(running, n)
		}
	}
	for _, n := range mine {
		if running[n] == nil {
			running[n] = r.start(ctx, n, partitions)
		}
	}
}

// start runs a partition and gives the function that stops it.
func (r *Runner) start(ctx context.Context, number, partitions int) (stop func()) {
	p := r.partition(number, max(int(r.options.CacheBytes/int64(partitions)/cacheBytes), 2*r.options.Batch))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.rest(number)
		p.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// partition makes one that remembers the states of so many entities.
func (r *Runner) partition(number, size int) *partition {
	return &partition{Runner: r, number: number, cache: newCache(size), dirty: make(map[string]bool), doubtful: make(map[uint64]bool), again: make(map[string]*Redone)}
}

func (r *Runner) count(vendor string, kind events.Kind, add func(*Counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := CountKey{Vendor: vendor, Kind: kind}
	c := r.counts[key]
	add(&c)
	r.counts[key] = c
}

// turn notes that a loop turns; rest that it has ended.
func (r *Runner) turn(loop int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turns[loop] = time.Now()
}

func (r *Runner) rest(loop int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.turns, loop)
}

// Turned is when that loop last began a turn which did so longest ago; zero: none runs. One that has not for minutes hangs: without a server
// they turn, too.
func (r *Runner) Turned() (oldest time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.turns {
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

// Counts gives what was done so far.
func (r *Runner) Counts() map[CountKey]Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[CountKey]Counts, len(r.counts))
	for k, c := range r.counts {
		out[k] = c
	}
	return out
}

// partition is one part of RAW. Its consumer is pinned: while this process owns it no other gets its records, and
// they come in order.
type partition struct {
	*Runner
	number int
	cache  *cache
	// dirty are the entities whose state is newer in the cache than in STATE.
	dirty map[string]bool
	// doubtful are records, by RAW's sequence, whose processing failed when their events may have been stored.
	doubtful map[uint64]bool
	// behind: the last delivery said that more wait.
	behind bool
	// quiet counts looks that found deliveries which are nowhere.
	quiet int
	// again is how far this process has brought the sources' requests to reprocess, and batch what the batch in hand did for one.
	again map[string]*Redone
	batch Redone
	// dry partitions only work out what they would emit.
	dry bool
}

func (p *partition) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		err := p.consume(ctx)
		if ctx.Err() != nil {
			return
		}
		if failures++; failures == 1 && p.broker.Connected() {
			p.log.Warn("a partition is processed no further; trying again", "partition", p.number, "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(250*time.Millisecond<<min(failures, 6), 10*time.Second)):
		}
	}
}

// consume processes batches until something fails: then everything above the ack floor must come again, in order.
func (p *partition) consume(ctx context.Context) error {
	consumer, err := p.broker.Consumer(ctx, broker.PartitionConsumer(p.number))
	if err != nil {
		return err
	}
	defer p.release(ctx, consumer)
	owner := false
	for {
		p.turn(p.number)
		if err := p.reprocess(ctx); err != nil {
			return err
		}
		err := p.take(ctx, consumer, owner)
		if errors.Is(err, broker.ErrNewOwner) {
			// Another process may have written since: nothing that is remembered holds, and what it left unfinished comes first.
			p.forget()
			owner = true
			err = consumer.Reset(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// take processes the next batch, if one comes. Where more is known to wait, it is not even fetched before there is room for a full one.
func (p *partition) take(ctx context.Context, consumer *broker.Consumer, owner bool) error {
	limit := p.options.Batch
	if p.behind {
		if err := p.await(ctx, consumer, limit); err != nil {
			return err
		}
		defer p.room.Release(int64(limit))
	} else {
		limit = min(unasked, limit)
	}
	deliveries, err := consumer.Next(ctx, limit)
	if err != nil {
		return err
	}
	if len(deliveries) == 0 {
		p.behind = false
		return p.lookAround(ctx, consumer)
	}
	p.quiet = 0
	if !owner {
		return errors.New("records came without their owner's mark")
	}
	defer p.keep(ctx, consumer)()
	if !p.behind {
		if err := p.room.Acquire(ctx, int64(limit)); err != nil {
			return err
		}
		defer p.room.Release(int64(limit))
		// The longer it waited, the more has come, and the less a record costs: the fuller a batch, the fewer there are.
		more, err := consumer.More(limit - len(deliveries))
		if err != nil {
			return err
		}
		deliveries = append(deliveries, more...)
	}
	p.behind = deliveries[len(deliveries)-1].Pending > 0
	return p.finish(ctx, deliveries)
}

// unasked is how many records a partition asks for that has no room: they may come at any time, in every partition, and wait in memory.
const unasked = 64

// await waits for room and stays the owner meanwhile.
func (p *partition) await(ctx context.Context, consumer *broker.Consumer, records int) error {
	defer p.keep(ctx, consumer)()
	return p.room.Acquire(ctx, int64(records))
}

// keepOwner is how often an owner who takes nothing says that it is there: after ten seconds of silence another would take over, and work on
// what this one has in hand.
const keepOwner = 3 * time.Second

// keep does so until the function that it gives is called. Nobody takes anything meanwhile.
func (p *partition) keep(ctx context.Context, consumer *broker.Consumer) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // what is in hand is finished, too
	var keeping sync.WaitGroup
	keeping.Go(func() {
		tick := time.NewTicker(keepOwner)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := consumer.Keep(); err != nil {
				p.log.Debug("a partition's owner could not say that it is there", "partition", p.number, "error", err.Error())
			}
		}
	})
	return func() {
		cancel()
		keeping.Wait()
	}
}

// lookAround finds out, while nothing comes, whether something was delivered that nobody works on: to an owner that died, or on a
// connection that was lost with it or with its acknowledgement. It would come again after its AckWait alone.
func (p *partition) lookAround(ctx context.Context, consumer *broker.Consumer) error {
	state, err := consumer.State(ctx)
	if err != nil {
		return err
	}
	// Between two batches nothing is in hand here. What another owner has in hand is its own.
	if state.Done() || state.Pinned && !consumer.Owns() {
		p.quiet = 0
		return nil
	}
	if p.quiet++; p.quiet < 2 {
		return nil
	}
	p.quiet = 0
	p.forget()
	return consumer.Reset(ctx)
}

// finish processes a batch to its end, also when the process is told to stop meanwhile.
func (p *partition) finish(ctx context.Context, deliveries []*broker.Delivery) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopLimit, cancel) })
	defer stop()
	if err := p.process(work, deliveries); err != nil {
		return fmt.Errorf("partition %d: %w", p.number, err)
	}
	return nil
}

func (p *partition) forget() {
	p.cache.Purge()
	clear(p.dirty)
}

// release lets another process own the partition at once; giving it up also makes everything unacknowledged come
// again in order to whoever is next, this process included.
func (p *partition) release(ctx context.Context, consumer *broker.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	p.forget()
	if err := consumer.Release(ctx); err != nil {
		p.log.Debug("a partition could not be released; it is taken over when its owner has been silent", "partition", p.number, "error", err.Error())
	}
}
