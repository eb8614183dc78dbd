package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !so(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// log is a log that tests read.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func down([]sinks.Item) error { return errors.New("connection refused") }

func TestThreeSinksOneOfThemDead(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 3000)
	dead, healthy, dir := &peer{answer: down}, &peer{}, t.TempDir()
	first := sinks.NewRunner("dead", b, sinks.Requests(dead.open, sinks.RequestOptions{}), sinks.Options{})
	second := sinks.NewRunner("healthy", b, sinks.Requests(healthy.open, sinks.RequestOptions{}), sinks.Options{})
	third := sinks.NewRunner("files", b, fileSink(t, dir, ""), sinks.Options{})
	for _, r := range []*sinks.Runner{first, second, third} {
		run(t, r)
	}
	drain(t, second)
	drain(t, third)
	healthy.wantInOrder(t, 3000)
	wantOnce(t, revisions(t, dir), 3000)
	await(t, "the dead one is paused", func() bool { return first.Stats().Pause != nil })
	if s := first.Stats(); s.Delivered != 0 || s.DeadLetters != 0 || !s.Failing || s.LastError != "connection refused" || s.Pause.Why != "connection refused" {
		t.Errorf("the dead one: %+v", s)
	}
	// What it is given is work for the server and this process that the others' events wait for.
	state, err := b.ConsumerState(t.Context(), broker.Events, sinks.ConsumerName("dead"))
	if err != nil {
		t.Fatal(err)
	}
	if failed := first.Stats().Failed; state.Unacked > 16*(failed+3) {
		t.Errorf("the dead one was given %d events; want 16, as many after each of %d failures, and 32 that were on their way", state.Unacked, failed)
	}
}

// There are so many of one entity that a sink which does not know its destination yet takes no others at first.
func TestAnEventThatIsRejectedFirstHidesNoneOfAnotherEntity(t *testing.T) {
	b := openBroker(t)
	for n := range 20 {
		publish(t, b, 50*n+1, 50*n+1)
	}
	publish(t, b, 2, 4)
	p := &peer{answer: func(items []sinks.Item) error {
		if items[0].Event.Revision == 1 {
			return fmt.Errorf("answered 400: %w", sinks.ErrRejected)
		}
		return nil
	}}
	r := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{MaxAttempts: 1}), sinks.Options{})
	run(t, r)
	drain(t, r)
	if s := r.Stats(); s.Delivered != 22 || s.DeadLetters != 1 {
		t.Errorf("%d events were accepted and %d dead-lettered, want 22 and 1", s.Delivered, s.DeadLetters)
	}
}

func TestAPauseIsSaidOnceAndStoredAndTheBacklogComesWhenItIsOver(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 6000) // more than a dispatcher holds
	p, l := &peer{answer: down}, &log{}
	r := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{MaxAttempts: 1}), sinks.Options{Logger: slog.New(slog.NewTextHandler(l, nil))})
	run(t, r)
	bucket, err := b.Bucket(t.Context(), broker.SinksBucket)
	if err != nil {
		t.Fatal(err)
	}
	stored := func() *sinks.Pause {
		pause, err := sinks.PauseOf(t.Context(), bucket, "hook")
		if err != nil {
			t.Fatal(err)
		}
		return pause
	}
	await(t, "the pause is stored", func() bool { return stored() != nil })
	if pause := stored(); pause.Why != "connection refused" || time.Since(pause.Since).Abs() > time.Hour {
		t.Errorf("stored: %+v", pause)
	}
	await(t, "some probes failed", func() bool { return r.Stats().Failed > 8 })
	publish(t, b, 6001, 6100)
	p.be(nil)
	drain(t, r)
	p.wantInOrder(t, 6100)
	if s := r.Stats(); s.Pause != nil || s.Failing || s.DeadLetters != 0 || s.Delivered != 6100 {
		t.Errorf("stats: %+v", s)
	}
	await(t, "the stored pause is gone", func() bool { return stored() == nil })
	if n, m := l.count("the sink is paused"), l.count("the sink goes on"); n != 1 || m != 1 {
		t.Errorf("the pause is logged %d times, its end %d times; want once each", n, m)
	}
}

func TestAPausedSinkBeginsWithAProbeWhenItIsStartedAnew(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 200)
	p := &peer{answer: func([]sinks.Item) error { return &sinks.Shut{Err: errors.New("answered 410"), ForGood: true} }}
	open := sinks.Requests(p.open, sinks.RequestOptions{})
	first := sinks.NewRunner("hook", b, open, sinks.Options{})
	stop := run(t, first)
	await(t, "it is stored", func() bool {
		bucket, err := b.Bucket(t.Context(), broker.SinksBucket)
		if err != nil {
			t.Fatal(err)
		}
		pause, err := sinks.PauseOf(t.Context(), bucket, "hook")
		return err == nil && pause != nil && pause.ForGood
	})
	stop()
	p.mu.Lock()
	p.attempts, p.most, p.takes = nil, 0, 300*time.Millisecond
	p.mu.Unlock()
	second := sinks.NewRunner("hook", b, open, sinks.Options{})
	stop = run(t, second)
	await(t, "it asked", func() bool { return second.Stats().Failed > 0 })
	stop()
	if len(p.attempts) != 1 || p.most != 1 {
		t.Errorf("%d attempts, %d at once; want one", len(p.attempts), p.most)
	}
	p.be(nil)
	third := sinks.NewRunner("hook", b, open, sinks.Options{})
	run(t, third)
	drain(t, third)
	p.wantInOrder(t, 200)
}

func TestAnEventThatIsGivenUpIsOneDeadLetterWithItsReasonAndItsEntityGoesOn(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 100) // of 50 entities
	p := &peer{answer: refusing(7, events.Permanent(errors.New("answered 413")))}
	r := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{}), sinks.Options{})
	run(t, r)
	drain(t, r)
	p.wantInOrder(t, 99)
	letters := dead(t, b, "parley.dead.sink.hook")
	if len(letters) != 1 || r.Stats().DeadLetters != 1 {
		t.Fatalf("%d dead letters, counted %d", len(letters), r.Stats().DeadLetters)
	}
	letter, err := events.ReadDeadLetter(letters[0].Header)
	if err != nil || letter.Reason != "answered 413" || letter.Attempts != 1 || letter.Sequence != 7 {
		t.Errorf("got %+v, %v", letter, err)
	}
	if e, err := events.FromMessage(letters[0].Header, letters[0].Data); err != nil || e.Revision != 7 || len(e.Data) == 0 {
		t.Errorf("its event: %+v, %v", e, err)
	}
}

// dyingBroker ends the runner when a dead letter is stored, before the event can be acknowledged.
type dyingBroker struct {
	*broker.Broker
	die func()
}

func (d *dyingBroker) Bury(ctx context.Context, m broker.Message) broker.Result {
	result := d.Broker.Bury(ctx, m)
	d.die()
	return broker.Result{Sequence: result.Sequence, Err: errors.New("the answer was lost")}
}

func TestACrashBetweenADeadLetterAndItsAcknowledgementLeavesOne(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 10)
	p := &peer{answer: refusing(3, events.Permanent(errors.New("answered 413")))}
	open := sinks.Requests(p.open, sinks.RequestOptions{})
	ctx, die := context.WithCancel(t.Context())
	defer die()
	if err := sinks.NewRunner("hook", &dyingBroker{Broker: b, die: die}, open, sinks.Options{}).Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(p.tried(3)) != 1 {
		t.Fatalf("tried %d times", len(p.tried(3)))
	}
	r := sinks.NewRunner("hook", b, open, sinks.Options{})
	run(t, r)
	drain(t, r)
	if letters := dead(t, b, "parley.dead.sink.hook"); len(letters) != 1 || len(p.tried(3)) != 2 {
		t.Errorf("%d dead letters after %d attempts, want 1 after 2", len(letters), len(p.tried(3)))
	}
}

// One event that is refused for a long time keeps the ack floor below all that was accepted after it.
func TestWhatWasAcceptedAboveTheAckFloorIsNotSentAgainByTheNextOwner(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 2000)
	poison := refusing(7, errors.New("answered 500"))
	p := &peer{answer: poison}
	open := func() sinks.Opener { return sinks.Requests(p.open, sinks.RequestOptions{MaxAttempts: 10_000}) }
	first := sinks.NewRunner("hook", b, open(), sinks.Options{})
	stop := run(t, first)
	await(t, "all others are delivered", func() bool { return first.Stats().Delivered == 1960 })
	stop()
	state, err := b.ConsumerState(t.Context(), broker.Events, "sink-hook")
	if err != nil || state.AckFloor != 6 {
		t.Fatalf("%+v, %v: the test shows nothing", state, err)
	}
	second := sinks.NewRunner("hook", b, open(), sinks.Options{})
	run(t, second)
	await(t, "it is tried again", func() bool { return second.Stats().Failed > 0 })
	p.be(nil)
	drain(t, second)
	p.wantInOrder(t, 2000)
}

func TestNoMoreIsTakenThanIsHeldAndTheOwnershipStays(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 8000)
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	var known atomic.Bool
	p := &peer{answer: func([]sinks.Item) error {
		if !known.CompareAndSwap(false, true) { // of a destination that has accepted nothing little is taken
			<-gate
		}
		return nil
	}}
	r := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{Concurrency: 1}), sinks.Options{})
	run(t, r)
	t.Cleanup(open)
	stand := sinks.NewRunner("hook", b, sinks.Requests((&peer{}).open, sinks.RequestOptions{}), sinks.Options{})
	held := func() broker.ConsumerState {
		s, err := b.ConsumerState(t.Context(), broker.Events, "sink-hook")
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			t.Fatal(err)
		}
		return s
	}
	await(t, "it holds all that it takes", func() bool { return held().Unacked >= 4096 })
	run(t, stand)
	// An ownership that is not renewed passes on after ten seconds.
	<-time.After(15 * time.Second)
	if s := held(); s.Unacked > 4096+2*512 {
		t.Errorf("%d events are taken", s.Unacked)
	}
	if !r.Stats().Owner || stand.Stats().Owner {
		t.Errorf("owners: %v, %v; want the first", r.Stats().Owner, stand.Stats().Owner)
	}
	open()
	drain(t, r)
	p.wantInOrder(t, 8000)
}

func TestLargeDataIsResolvedForRequestsAndDeadLetteredByItsReference(t *testing.T) {
	b := openBroker(t)
	var big [2]events.Event
	for i := range big {
		big[i] = largeEvent(t, b, fmt.Sprint("big", i))
	}
	p := &peer{answer: refusing(2, events.Permanent(errors.New("answered 413")))}
	r := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{}), sinks.Options{})
	run(t, r)
	drain(t, r)
	if got := p.accepted(); !slices.Equal(got, []uint64{1}) || len(p.got[0].Event.Data) < 8<<20 {
		t.Errorf("got %v", got)
	}
	letters := dead(t, b, "parley.dead.sink.hook")
	if len(letters) != 1 {
		t.Fatalf("%d dead letters", len(letters))
	}
	e, err := events.FromMessage(letters[0].Header, letters[0].Data)
	if err != nil || e.DataRef != big[1].DataRef {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestAStoppingRunnerFlushesWhatItHolds(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	publish(t, b, 1, 100)
	r := sinks.NewRunner("archive", b, fileSink(t, dir, "rotate_age=1h"), sinks.Options{})
	stop := run(t, r)
	await(t, "it holds all", func() bool {
		s, err := b.ConsumerState(t.Context(), broker.Events, "sink-archive")
		return err == nil && s.Unacked == 100 && s.Pending == 0 && r.Stats().Owner
	})
	<-time.After(500 * time.Millisecond) // it waits for more now
	stop()
	wantOnce(t, revisions(t, dir), 100)
}

// A server that lost its last moments gives their sequences to other events.
func TestARecordOfOtherEventsIsNotFollowed(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   int
	}{
		"one of the same events":     {`"at":"2999-01-01T00:00:00Z"`, 20},
		"one of an earlier time":     {`"at":"2001-01-01T00:00:00Z"`, 100},
		"one beyond the stream":      {`"at":"2999-01-01T00:00:00Z","top":101`, 100},
		"one of another sink's life": {`"at":"2999-01-01T00:00:00Z","origin":"x"`, 100},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBroker(t)
			bucket, err := b.Bucket(t.Context(), broker.SinksBucket)
			if err != nil {
				t.Fatal(err)
			}
			if err := bucket.Put(t.Context(), "hook.start", []byte(`{"origin":"mine"}`)); err != nil {
				t.Fatal(err)
			}
			// The last one of a name counts in JSON.
			if err := bucket.Put(t.Context(), "hook.progress", []byte(`{"top":80,"origin":"mine",`+c.change+`}`)); err != nil {
				t.Fatal(err)
			}
			publish(t, b, 1, 100)
			p := &peer{}
			r := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{}), sinks.Options{})
			run(t, r)
			drain(t, r)
			p.wantInOrder(t, c.want)
		})
	}
}

// resolving counts how much data is brought from the object store.
type resolving struct {
	*broker.Broker
	n atomic.Int64
}

func (r *resolving) Resolve(ctx context.Context, e *events.Event) error {
	r.n.Add(1)
	return r.Broker.Resolve(ctx, e)
}

func TestLargeDataStaysInTheObjectStoreUntilThereIsRoom(t *testing.T) {
	b := &resolving{Broker: openBroker(t)}
	const n = 14
	for i := range n {
		largeEvent(t, b.Broker, fmt.Sprint("big", i))
	}
	gate := make(chan struct{})
	p := &peer{answer: func([]sinks.Item) error { <-gate; return nil }}
	r := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{Concurrency: 1}), sinks.Options{})
	run(t, r)
	await(t, "it holds what it may", func() bool { return b.n.Load() >= 8 })
	<-time.After(time.Second)
	if got := b.n.Load(); got > 9 {
		t.Errorf("%d events of 8 MiB are held, want 64 MiB", got)
	}
	close(gate)
	drain(t, r)
	if got := p.accepted(); len(got) != n || b.n.Load() != n {
		t.Errorf("%d of %d events came, %d were resolved", len(got), n, b.n.Load())
	}
}
