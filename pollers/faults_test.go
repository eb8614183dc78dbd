package pollers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// plainQueue is a queue without faults and without leases: what its taker does not answer for is gone until it is offered again.
type plainQueue struct {
	mu     sync.Mutex
	queued map[string]bool
	given  chan *pollers.Delivery
	mute   int // so many answers are never given
}

func newPlainQueue() *plainQueue {
	return &plainQueue{queued: map[string]bool{}, given: make(chan *pollers.Delivery, 100)}
}

func (q *plainQueue) Offer(_ context.Context, source string, w pollers.Window, task []byte) error {
	key := pollers.WindowKey(source, w)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.queued[key] {
		q.queued[key] = true
		q.given <- pollers.NewDelivery(key, task, plainHold{q, key})
	}
	return nil
}

func (q *plainQueue) Queued(context.Context, string) (map[string]bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := map[string]bool{}
	for key := range q.queued {
		out[key] = true
	}
	return out, nil
}

func (q *plainQueue) Taker(context.Context, *pollers.Source, time.Duration) (pollers.Taker, error) {
	return q, nil
}

func (q *plainQueue) Next(ctx context.Context) (*pollers.Delivery, error) {
	select {
	case d := <-q.given:
		return d, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *plainQueue) Close() {}

type plainHold struct {
	q   *plainQueue
	key string
}

func (h plainHold) Done(ctx context.Context) error {
	h.q.mu.Lock()
	delete(h.q.queued, h.key)
	mute := h.q.mute > 0
	h.q.mute--
	h.q.mu.Unlock()
	if mute {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (plainHold) InProgress() error { return nil }

func (h plainHold) Return(time.Duration) error { return h.Done(context.Background()) }

// plainRaw remembers what it was sent. Its first batches are lost, each with one error, and then no more is said of them.
type plainRaw struct {
	mu    sync.Mutex
	lose  int
	sent  []broker.Message
	batch []broker.Message
	known map[string]broker.Message
}

func (r *plainRaw) Pipeline(context.Context) pollers.Pipeline { r.batch = nil; return r }

func (*plainRaw) Offload(context.Context, *events.Event) error { return nil }

func (*plainRaw) Bury(context.Context, broker.Message) (bool, error) {
	return false, errors.New("nothing is to be buried")
}

func (r *plainRaw) Send(m broker.Message) error {
	if r.batch = append(r.batch, m); len(r.batch) < 2 {
		return nil
	}
	return r.Flush()
}

func (r *plainRaw) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := r.batch
	r.batch = nil
	if r.lose > 0 && len(batch) > 0 {
		r.lose--
		return errors.New("the batch was refused")
	}
	for _, m := range batch {
		if strings.HasPrefix(m.Subject, events.SeenSubjects) {
			r.known[m.Subject] = m
			continue
		}
		r.sent = append(r.sent, m)
	}
	return nil
}

func (r *plainRaw) Last(_ context.Context, _ string, subjects []string) (map[string]broker.Message, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]broker.Message{}
	for _, subject := range subjects {
		if m, ok := r.known[subject]; ok {
			out[subject] = m
		}
	}
	return out, nil
}

// plainMirror is the ledger's store itself.
type plainMirror struct {
	store pollers.Store
	ready chan struct{}
}

func (m plainMirror) Follow(ctx context.Context) error {
	close(m.ready)
	<-ctx.Done()
	return ctx.Err()
}
func (m plainMirror) Ready() <-chan struct{} { return m.ready }
func (m plainMirror) Changes() map[string]broker.Entry {
	all, _ := m.store.All(context.Background(), ">")
	return all
}

// small is a Runner in memory with one source.
type small struct {
	queue           *plainQueue
	raw             *plainRaw
	ledger, sources pollers.Store
}

func (s *small) run(t *testing.T, p *scripted, variables map[string]string, d time.Duration) {
	t.Helper()
	b := &bench{t: t}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	backend := pollers.NewBackend(s.queue, s.raw, plainMirror{s.ledger, make(chan struct{})}, s.raw, s.ledger, newMemory(), s.sources)
	r, err := pollers.NewRunnerOn(ctx, backend, []*pollers.Source{b.source("eu", p, variables)}, pollers.Options{}, pollers.Pace{
		Tick: time.Second, Lease: 30 * time.Second, Jitter: func(n time.Duration) time.Duration { return n / 2 },
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Run(ctx)
}

func (s *small) states(t *testing.T) map[pollers.State]int {
	t.Helper()
	all, err := pollers.NewLedger(s.ledger).All(t.Context(), "eu")
	if err != nil {
		t.Fatal(err)
	}
	out := map[pollers.State]int{}
	for _, e := range all["chats"] {
		out[e.State]++
	}
	return out
}

func newSmall() *small {
	return &small{queue: newPlainQueue(), raw: &plainRaw{known: map[string]broker.Message{}}, ledger: newMemory(), sources: newMemory()}
}

func TestARecordWhoseBatchWasLostIsNotRememberedAsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, clock := newSmall(), &wallClock{}
		s.raw.lose = 1
		p := &scripted{}
		p.fetch = func(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
			keys := []string{"a", "b", "c"}
			known, err := p.env.Known(ctx, w.Stream, keys)
			if err != nil {
				return pollers.Reading{}, err
			}
			out := pollers.Reading{Requests: 1}
			for _, key := range keys {
				if known[key] == "1" {
					out.Unchanged++
					continue
				}
				r := record(key, "text")
				r.Version = "1"
				if err := emit(r); err != nil {
					return out, err
				}
			}
			return out, nil
		}
		s.run(t, p, clock.Closed(-3, -2), time.Minute)
		if n := s.states(t)[pollers.StateComplete]; n != 1 || len(s.raw.sent) != 3 {
			t.Errorf("%d windows are complete, and RAW has %d records; want 1 and 3", n, len(s.raw.sent))
		}
	})
}

// stingyStore refuses the first writes of some keys.
type stingyStore struct {
	*memory
	refuse func(key string, value []byte) bool
}

func (s stingyStore) Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if s.refuse(key, value) {
		return 0, errLost
	}
	return s.memory.Set(ctx, key, value, revision)
}

func TestACappedWindowWhoseHalvesAreNotInTheLedgerWasNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, clock, once := newSmall(), &wallClock{}, true
		whole := pollers.WindowKey("eu", pollers.Window{Stream: "chats", From: clock.Hour(-3), To: clock.Hour(-2)})
		s.ledger = stingyStore{newMemory(), func(key string, value []byte) bool {
			var e pollers.Entry
			if err := json.Unmarshal(value, &e); err != nil || key == whole && !e.ReadAt.IsZero() && e.State != pollers.StateSplit {
				t.Errorf("the ledger says %s, %v; the window was not read yet", value, err)
			}
			refuse := once && key != whole
			once = once && !refuse
			return refuse
		}}
		p := &scripted{fetch: func(_ context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
			return pollers.Reading{Requests: 1, Capped: w.To.Sub(w.From) > 40*time.Minute}, emit(record("a", "text"))
		}}
		s.run(t, p, clock.Closed(-3, -2), 2*time.Minute)
		if got := s.states(t); once || got[pollers.StateSplit] != 1 || got[pollers.StateComplete] != 2 {
			t.Errorf("the ledger has %v; want a split window and its halves", got)
		}
	})
}

func TestAnAnswerOfTheQueueThatNeverComesStopsNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, clock := newSmall(), &wallClock{}
		s.queue.mute = 1
		s.run(t, &scripted{}, clock.Closed(-4, -2), 3*time.Minute)
		if n := s.states(t)[pollers.StateComplete]; n != 2 {
			t.Errorf("%d windows are complete; want 2", n)
		}
	})
}

// A process reads under a clock that is wrong, and then its clock is right again.
func TestNoWindowIsSkippedUnderAClockThatJumps(t *testing.T) {
	for name, c := range map[string]struct {
		by    time.Duration // the clock is wrong
		while time.Duration
		late  time.Duration // until all is read after the clock is right again
	}{
		"an hour ahead": {hour, 3 * hour, 0}, "an hour behind": {-hour, 3 * hour, 0},
		"a day ahead": {24 * hour, 5 * hour, 0}, "a day behind": {-24 * hour, 5 * hour, 0},
		"a month ahead": {30 * 24 * hour, hour, 0}, "a few minutes ahead": {10 * minute, 3 * hour, 2 * hour},
	} {
		t.Run(name, func(t *testing.T) {
			plan := basicPlan(t)
			plan.Start = clock.Add(-12 * hour).Truncate(hour)
			w := &world{plan: plan, reads: map[string][]time.Time{}}
			truth := map[string]time.Time{} // when a window was last read, by the right clock
			reads := 0
			live := func(from, to time.Time, off time.Duration) {
				for now := from; now.Before(to); now = now.Add(5 * minute) {
					for _, task := range plan.Due(w.entries, now.Add(off)) {
						w.read(task, now.Add(off), false)
						truth[pollers.WindowID(task.Window)] = now
						reads++
					}
				}
			}
			live(clock, clock.Add(2*hour), 0)
			wrong := clock.Add(2*hour + c.while)
			live(clock.Add(2*hour), wrong, c.by)
			end := wrong.Add(10*minute + c.late)
			before := reads
			live(wrong, end, 0)
			for _, e := range w.entries {
				if !e.To.After(end.Add(-10*minute-c.late)) && truth[pollers.WindowID(e.Window)].Before(e.To) {
					t.Errorf("window %s was last read at %s, before its end, and is not read again", pollers.WindowID(e.Window), truth[pollers.WindowID(e.Window)])
				}
			}
			if err := w.covered(pollers.Floor(end, hour, time.UTC)); err != nil {
				t.Error(err)
			}
			if again := reads - before; again > 4*len(w.entries) {
				t.Errorf("%d readings of %d windows after the clock was right", again, len(w.entries))
			}
		})
	}
}

func TestAFailureUnderAClockThatWasAheadIsTriedAgain(t *testing.T) {
	plan := basicPlan(t)
	plan.Start, plan.Until = moment(t, "17T06"), moment(t, "17T12")
	for wait, want := range map[time.Duration]int{minute: 0, hour: 0, 25 * hour: 1} {
		e := with(entry(t, "17T06 17T12"), func(e *pollers.Entry) { e.State, e.RetryAt = pollers.StateFailed, clock.Add(wait) })
		if got := plan.Due([]pollers.Entry{e}, clock); len(got) != want {
			t.Errorf("due with a RetryAt in %s: %v; want %d", wait, describe(got), want)
		}
	}
}

func TestTurnsOfAClockThatWasAheadAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, rate := newMemory(), pollers.Rate{Requests: 30, Period: time.Minute}
		ahead := pollers.NewBudget(store, "acme", rate, func() time.Time { return time.Now().Add(24 * time.Hour) })
		right := pollers.NewBudget(store, "acme", rate, time.Now)
		if err := ahead.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var taken []time.Duration
		for range 3 {
			if err := right.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
			taken = append(taken, time.Since(began))
		}
		if taken[0] < time.Minute || taken[2] > 2*time.Minute {
			t.Errorf("turns after %v; want the first a period after the last one that may have been taken, and the others at the rate", taken)
		}
		if err := ahead.Hold(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if err := right.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Hour+time.Minute {
			t.Errorf("held for %s; want no more than a vendor can ask for", took)
		}
	})
}

func TestALongHoldTakesOneTurnOfEachWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := pollers.NewBudget(newMemory(), "acme", pollers.Rate{Requests: 30, Period: time.Minute}, time.Now)
		if err := b.Hold(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _ = b.Take(t.Context()) })
		}
		wg.Wait()
		if took := time.Since(began); took < time.Hour || took > time.Hour+10*time.Second {
			t.Errorf("three takers were let through %s after an hour's hold began", took)
		}
	})
}

func TestATakerWhoseClockIsSetForwardGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, rate := newMemory(), pollers.Rate{Requests: 1, Period: time.Hour}
		var offset atomic.Int64
		offset.Store(int64(-30 * time.Minute))
		behind := pollers.NewBudget(store, "acme", rate, func() time.Time { return time.Now().Add(time.Duration(offset.Load())) })
		if err := pollers.NewBudget(store, "acme", rate, time.Now).Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() {
			time.Sleep(10 * time.Minute)
			offset.Store(0)
		}()
		if err := behind.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Hour || took > 62*time.Minute {
			t.Errorf("the turn came after %s; want an hour by the clock that is right", took)
		}
	})
}

func TestALedgerThatWasLostOrRestoredIsReadAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p := &scripted{}
	stop := b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-7, -2))))
	b.eventually("five windows are complete", func() bool { return b.states("eu")[pollers.StateComplete] == 5 })
	stop()
	bucket, err := b.broker.Bucket(t.Context(), broker.LedgerBucket)
	if err != nil {
		t.Fatal(err)
	}
	all, err := bucket.All(t.Context(), "eu.>")
	if err != nil {
		t.Fatal(err)
	}
	keys := slices.Sorted(func(yield func(string) bool) {
		for key := range all {
			if !yield(key) {
				return
			}
		}
	})
	window := b.entries("eu")
	slices.SortFunc(window, func(a, b pollers.Entry) int { return a.From.Compare(b.From) })
	span := fmt.Sprintf(`"Stream":"chats","From":%q,"To":%q`, window[1].From.Format(time.RFC3339), window[1].To.Format(time.RFC3339))
	if err := bucket.Delete(t.Context(), keys[0]); err != nil { // lost
		t.Fatal(err)
	}
	if err := bucket.Put(t.Context(), keys[1], []byte(`{`+span+`,"State":"running"}`)); err != nil { // an older copy
		t.Fatal(err)
	}
	span = fmt.Sprintf(`"Stream":"chats","From":%q,"To":%q`, window[2].From.Format(time.RFC3339), window[2].To.Format(time.RFC3339))
	if err := bucket.Put(t.Context(), keys[2], []byte(`{`+span+`,"State":"queued","Novel":{"x":1}}`)); err != nil { // a newer version's
		t.Fatal(err)
	}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-7, -2))))
	b.eventually("all are complete again", func() bool { return b.states("eu")[pollers.StateComplete] == 5 })
	if n := len(p.windows()); n != 8 {
		t.Errorf("%d readings; want five, and three again", n)
	}
}

func TestAWindowThatItsVendorHasNoMoreStaysVisibleAndStopsNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	old := b.clock.Hour(-5)
	p := &scripted{fetch: func(_ context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		if w.From.Before(old) {
			return pollers.Reading{}, events.Permanent(errors.New("data older than two days is not available"))
		}
		return pollers.Reading{Requests: 1}, emit(record("a", "text"))
	}}
	s := b.source("eu", p, b.clock.Closed(-7, -2))
	b.run(b.runner(pollers.Options{}, s))
	b.eventually("what the vendor has is read", func() bool { return b.states("eu")[pollers.StateComplete] == 3 })
	b.eventually("what it has not is failed", func() bool { return b.states("eu")[pollers.StateFailed] == 2 })
	for _, e := range inspect(t, b, s).Streams[0].Windows {
		if e.State == pollers.StateFailed && (!strings.Contains(e.Error, "not available") || !e.ReadAt.IsZero() || e.RetryAt.Sub(b.clock.Now()) < 50*time.Minute) {
			t.Errorf("the gap says %+v", e)
		}
	}
}

func TestTwoAccountsWithTheSameIdsDoNotMeet(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	knows := make(chan map[string]string, 10)
	room := func() *scripted {
		p := &scripted{}
		p.fetch = func(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
			known, err := p.env.Known(ctx, w.Stream, []string{"chat.1"})
			if err != nil {
				return pollers.Reading{}, err
			}
			knows <- known
			r := record("chat.1", "text")
			r.Version = "1"
			return pollers.Reading{Requests: 1}, emit(r)
		}
		return p
	}
	b.run(b.runner(pollers.Options{}, b.source("eu", room(), b.clock.Closed(-3, -2))))
	b.eventually("the first is read", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	b.run(b.runner(pollers.Options{}, b.source("eu-2", room(), b.clock.Closed(-3, -2))))
	b.eventually("the second is read", func() bool { return b.states("eu-2")[pollers.StateComplete] == 1 })
	for range 2 {
		if known := <-knows; len(known) != 0 {
			t.Errorf("an account that was never read is known: %v", known)
		}
	}
	subjects := map[string]bool{}
	for sequence := range uint64(2) {
		m, err := b.broker.Read(t.Context(), broker.Raw, sequence+1)
		if err != nil {
			t.Fatal(err)
		}
		subjects[m.Subject] = true
	}
	if len(subjects) != 2 {
		t.Errorf("the subjects are %v; want two", subjects)
	}
}

func TestARefusalIsAskedAboutEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, clock := newSmall(), &wallClock{}
		var asked []time.Time
		refuse := func() error {
			asked = append(asked, time.Now())
			return pollers.Unauthorized(errors.New(http.StatusText(http.StatusUnauthorized)))
		}
		p := &scripted{
			fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
				return pollers.Reading{}, refuse()
			},
			check: func(context.Context) error { return refuse() },
		}
		s.run(t, p, clock.Closed(-20, -2), 6*time.Hour)
		hourly := 0
		for _, at := range asked {
			if time.Since(at) < time.Hour {
				hourly++
			}
		}
		if len(asked) < 10 || len(asked) > 40 || hourly > 5 {
			t.Errorf("the vendor was asked %d times in six hours, %d of them in the last; want few", len(asked), hourly)
		}
		if got := s.states(t); got[pollers.StateFailed]+got[pollers.StateComplete] != 0 {
			t.Errorf("the ledger has %v; want no window to be burnt", got)
		}
	})
}

// countingStore counts how often it is read.
type countingStore struct {
	*memory
	reads atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, key string) (broker.Entry, error) {
	s.reads.Add(1)
	return s.memory.Get(ctx, key)
}

func TestAPausedSourceAsksForNoWindowAndIsLookedAtEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, clock, sources := newSmall(), &wallClock{}, &countingStore{memory: newMemory()}
		s.sources = sources
		var fetches atomic.Int64
		refused := pollers.Unauthorized(errors.New(http.StatusText(http.StatusUnauthorized)))
		p := &scripted{
			fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
				fetches.Add(1)
				return pollers.Reading{}, refused
			},
			check: func(context.Context) error { return refused },
		}
		variables := clock.Closed(-3, -2) // one window, for which four workers wait
		variables["CONCURRENCY"] = "4"
		// Another process's planner, which did not know yet, queues one more.
		late := time.AfterFunc(time.Minute, func() {
			w := pollers.Window{Stream: "chats", From: clock.Hour(-3), To: clock.Hour(-2)}
			task, err := json.Marshal(pollers.Task{Window: w})
			if err == nil {
				err = s.queue.Offer(t.Context(), "eu", w, task)
			}
			if err != nil {
				t.Error(err)
			}
		})
		defer late.Stop()
		const paused = 6 * time.Hour
		s.run(t, p, variables, paused)
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d windows were asked for with credentials that are refused; want the first alone", n)
		}
		// The planner looks every second, and four workers, once they have waited long, every half minute.
		if n, most := sources.reads.Load(), int64(paused/time.Second+4*paused/(25*time.Second)); n > most {
			t.Errorf("its state was read %d times in %s; want %d at most", n, paused, most)
		}
	})
}

func TestAPanicInARoomFailsItsWindowAndNothingElse(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var tries atomic.Int32
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		if tries.Add(1) == 1 {
			panic("no such key: " + runnerSecret)
		}
		return pollers.Reading{}, emit(record("a", "text"))
	}}
	s := b.source("eu", p, b.clock.Closed(-3, -2))
	r := b.runner(pollers.Options{}, s)
	b.run(r)
	failed := ""
	b.eventually("the window has failed", func() bool {
		progress, err := r.Progress(t.Context(), s)
		if err == nil && len(progress.Failed) > 0 {
			failed = progress.Failed[0].Error
		}
		return failed != ""
	})
	if failed != "the acme poller panicked: no such key: [redacted]" {
		t.Errorf("the ledger says %q", failed)
	}
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	if b.log.Count("faults_test.go") == 0 {
		t.Errorf("the log does not say where: %s", b.log.String())
	}
}

func TestARecordThatWasNotTakenFailsItsWindowWhateverTheRoomSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, clock := newSmall(), &wallClock{}
		huge := record("huge", "x")
		huge.Parts[0].Body.Size = 40 << 20
		p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
			_ = emit(huge) // which cannot be buried
			if err := emit(record("a", "text")); err == nil {
				t.Error("another record is taken after that")
			}
			return pollers.Reading{}, nil
		}}
		s.run(t, p, clock.Closed(-3, -2), time.Minute)
		if got := s.states(t); got[pollers.StateComplete] != 0 || len(s.raw.sent) != 0 {
			t.Errorf("the ledger has %v, RAW %d records; want no window complete", got, len(s.raw.sent))
		}
	})
}

func TestADeadLetterThatWasCutInASecretHoldsNoPartOfIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	half := runnerSecret[:len(runnerSecret)/2]
	filler := func(n int) string { return strings.Repeat("x", n-len(half)) }
	// The room cuts one, and we the other.
	huge := record("huge", filler(events.OversizeKeptBytes)+half)
	huge.Parts[0].Body.Size = 40 << 20
	wide := record("wide", filler(events.OversizeKeptBytes)+runnerSecret+strings.Repeat("x", 20<<20))
	wide.Parts = append(wide.Parts, record("", strings.Repeat("x", 20<<20)).Parts...)
	long := record(strings.Repeat("k", 64-len(half))+runnerSecret+strings.Repeat("k", 10<<10), "text")
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		for _, r := range []events.Record{huge, wide, long} {
			if err := emit(r); err != nil {
				return pollers.Reading{}, err
			}
		}
		return pollers.Reading{}, nil
	}}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	for sequence := uint64(1); sequence <= 3; sequence++ {
		m, err := b.broker.Read(t.Context(), broker.Dead, sequence)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(m.Header) + string(m.Data); strings.Contains(text, half) || !strings.Contains(text, "xxx") && sequence < 3 {
			t.Errorf("dead letter %d holds half of the secret, or nothing", sequence)
		}
	}
}

func TestADeadLetterOfManyPartsFitsIntoAMessage(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	wide := record("wide", "")
	wide.Parts = nil
	for range 200 {
		wide.Parts = append(wide.Parts, record("", strings.Repeat("x", 200<<10)).Parts...)
	}
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		return pollers.Reading{}, emit(wide)
	}}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	m, err := b.broker.Read(t.Context(), broker.Dead, 1)
	if err != nil {
		t.Fatal(err)
	}
	event, err := events.FromMessage(m.Header, m.Data)
	if err == nil {
		err = b.broker.Resolve(t.Context(), &event)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r, err := events.DecodeRecord(event.Data); err != nil || len(r.Parts) != 200 {
		t.Errorf("the dead letter's record has %d parts, %v", len(r.Parts), err)
	}
}

func TestABackfillAgainAsksForWhatWasSeenBeforeIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p, halves := &scripted{}, false
	var details atomic.Int32
	p.fetch = func(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		if halves && w.To.Sub(w.From) == time.Hour {
			return pollers.Reading{Capped: true}, nil
		}
		key := w.From.Truncate(time.Hour).Format(time.TimeOnly)
		known, err := p.env.Known(ctx, w.Stream, []string{key})
		if err != nil {
			return pollers.Reading{}, err
		}
		if known[key] != "" {
			return pollers.Reading{Unchanged: 1}, nil
		}
		details.Add(1)
		r := record(key, "text")
		r.Version = "1"
		return pollers.Reading{}, emit(r)
	}
	s := b.source("eu", p, b.clock.Closed(-6, -2))
	stop := b.run(b.runner(pollers.Options{}, s))
	b.eventually("everything is read", func() bool { return b.states("eu")[pollers.StateComplete] == 4 })
	stop()
	if err := pollers.Backfill(t.Context(), b.broker, s, pollers.Range{From: b.clock.Hour(-5), To: b.clock.Hour(-3)}, true); err != nil {
		t.Fatal(err)
	}
	halves = true // what was asked anew as a whole is asked anew in halves
	before := details.Load()
	b.run(b.runner(pollers.Options{}, s))
	b.eventually("the range is read again, in halves", func() bool {
		return b.states("eu")[pollers.StateComplete] == 6 && b.states("eu")[pollers.StateSplit] == 2
	})
	// Two halves hold one entity: what the first remembers was read after the range was asked for again, and counts for the second.
	if n := details.Load() - before; n != 2 {
		t.Errorf("%d details; want one of each hour", n)
	}
	for _, e := range b.entries("eu") {
		if e.State == pollers.StateComplete && !e.Anew.IsZero() {
			t.Errorf("window %s was read and is to be read anew still", pollers.WindowID(e.Window))
		}
	}
}

func TestAWindowThatWasReadIsAnsweredForAtAStop(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	reading := make(chan struct{}, 1)
	p := &scripted{fetch: func(ctx context.Context, _ pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		reading <- struct{}{}
		<-ctx.Done()
		return pollers.Reading{Unchanged: 1}, nil
	}}
	s := b.source("eu", p, b.clock.Closed(-3, -2))
	stop := b.run(b.runner(pollers.Options{}, s))
	<-reading
	stop()
	if n := b.states("eu")[pollers.StateComplete]; n != 1 {
		t.Fatalf("%d windows are complete; want the one that was read", n)
	}
	if err := pollers.Backfill(t.Context(), b.broker, s, pollers.Range{From: b.clock.Hour(-3), To: b.clock.Hour(-2)}, true); err != nil {
		t.Fatal(err)
	}
	b.run(b.runner(pollers.Options{}, s))
	b.eventually("the queue has a place for the window, before its lease ends", func() bool { return len(p.windows()) == 2 })
}

func TestAWindowThatWasTakenAtAStopIsAnothersAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p := &scripted{}
	s := b.source("eu", p, b.clock.Closed(-3, -2))
	r := b.runner(pollers.Options{}, s)
	ctx, stop := context.WithCancel(t.Context())
	r.OnTaken(stop)
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := len(p.windows()); n != 0 {
		t.Fatalf("%d windows were read after the stop", n)
	}
	b.run(b.runner(pollers.Options{}, s))
	b.eventually("the window is read before its lease ends", func() bool { return len(p.windows()) == 1 })
}

func TestAProcessLeavesWindowsToOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	fetch := func(ctx context.Context, _ pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		<-ctx.Done()
		return pollers.Reading{}, ctx.Err()
	}
	variables := b.clock.Closed(-30, -2)
	variables["CONCURRENCY"] = "10"
	rooms := []*scripted{{fetch: fetch}, {fetch: fetch}, {fetch: fetch}}
	for i, want := range []int{4, 4, 2} {
		b.run(b.runner(pollers.Options{}, b.source("eu", rooms[i], variables)))
		b.eventually("the next process has its share", func() bool { return len(rooms[i].windows()) == want })
	}
	b.never("a process takes more", func() bool {
		return len(rooms[0].windows()) > 4 || len(rooms[1].windows()) > 4 || len(rooms[2].windows()) > 2
	})
}
