package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

func TestAPipelineOutlivesItsServer(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	const count = 6000
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() {
		p := b.Pipeline(t.Context())
		for n := range count {
			if err := p.Send(record(n)); err != nil {
				done <- err
				return
			}
			sent.Store(int64(n))
		}
		done <- p.Flush()
	}()
	for _, at := range []int64{count / 10, count / 2} {
		eventually(t, "the pipeline is under way", func() bool { return sent.Load() >= at })
		e.stop()
		eventually(t, "the loss is seen", func() bool { return !b.Connected() })
		select {
		case err := <-done:
			t.Fatalf("the pipeline ended without its server: %v", err)
		default:
		}
		e.start(t)
	}
	start := time.Now()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("went on %v after the server was back", took)
	}
	subjects, err := b.Subjects(t.Context(), broker.Raw, ">")
	if err != nil {
		t.Fatal(err)
	}
	if len(subjects) != count {
		t.Errorf("%d of %d messages are there", len(subjects), count)
	}
	if got := size(t, b, broker.Raw).Messages; got != count {
		t.Errorf("%d messages of %d: what was on its way at a loss is there twice", got, count)
	}
}

func TestAMessageWhoseAnswerWasLostIsStoredOnce(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"as a batch": 100, "each alone": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far, p := bothEnds(t)
			broker.SyncsEach(far) // so that a hundred are a batch
			out := far.Pipeline(t.Context())
			for n := range count {
				if err := out.Send(record(n)); err != nil {
					t.Fatal(err)
				}
			}
			p.swallow()
			done := make(chan error, 1)
			go func() { done <- out.Flush() }()
			eventually(t, "the server has them", func() bool { return size(t, near, broker.Raw).Messages == uint64(count) })
			p.cut()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if got := size(t, near, broker.Raw).Messages; got != uint64(count) {
				t.Errorf("%d messages; want %d, each once", got, count)
			}
		})
	}
}

func TestAMessageThatWasLostOnItsWayIsSentAgain(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"as a batch": 100, "each alone": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far, p := bothEnds(t)
			broker.SyncsEach(far) // so that a hundred are a batch
			p.silence()
			done := make(chan error, 1)
			go func() { done <- sendAll(far.Pipeline(t.Context()), count) }()
			eventually(t, "the first is on its way", func() bool { return p.hasLost(record(0).Subject) })
			if got := size(t, near, broker.Raw).Messages; got != 0 {
				t.Fatalf("%d messages came through", got)
			}
			p.cut()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if got := size(t, near, broker.Raw).Messages; got != uint64(count) {
				t.Errorf("%d messages of %d: what the server never had was not sent again", got, count)
			}
		})
	}
}

// bothEnds gives two clients of one server: one at its side, and one behind a proxy.
func bothEnds(t *testing.T) (near, far *broker.Broker, p *proxy) {
	t.Helper()
	e := startExternal(t)
	near, p = e.connect(t), startProxy(t, e.Addr().String())
	return near, open(t, broker.Options{URLs: []string{p.url()}}), p
}

// sendAll sends so many records and waits until all are acknowledged.
func sendAll(p *broker.Pipeline, count int) error {
	for n := range count {
		if err := p.Send(record(n)); err != nil {
			return err
		}
	}
	return p.Flush()
}

func TestAPipelineEndsWithItsContextWhileTheServerIsLost(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	e.stop()
	eventually(t, "the loss is seen", func() bool { return !b.Connected() })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	p := b.Pipeline(ctx)
	if err := p.Send(record(1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, broker.ErrDisconnected) {
		t.Errorf("got %v", err)
	}
}

func TestAConsumerGoesOnInOrderWhenItsServerIsBack(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	publishEvents(t, b, 300)
	consumer, err := b.Consumer(t.Context(), pinned)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	next, fresh, losses := uint64(1), false, 0
	eventually(t, "everything was consumed", func() bool {
		batch, err := consumer.Next(t.Context(), 10)
		if errors.Is(err, broker.ErrNewOwner) {
			err = consumer.Reset(t.Context())
			fresh = true
		}
		if err != nil {
			return false
		}
		for _, d := range batch {
			if fresh && d.Sequence < next {
				next = d.Sequence // a lost acknowledgement: again, from the floor on
			}
			fresh = false
			if d.Sequence != next {
				t.Fatalf("%d came instead of %d", d.Sequence, next)
			}
			next++
			_ = d.Ack()
		}
		if next > uint64(100*(losses+1)) && losses < 2 {
			losses++
			e.stop()
			eventually(t, "the loss is seen", func() bool { return !b.Connected() })
			e.start(t)
		}
		return next > 300
	})
	if losses != 2 {
		t.Errorf("%d losses", losses)
	}
}

func TestWhatHasNoTimeToWaitFailsAndWorksAgain(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	k := bucket(t, b, broker.SourcesBucket)
	set(t, k, "a", "1", 0)
	publish(t, b, broker.Message{Subject: state("a")})
	calls := map[string]func(ctx context.Context) error{
		// What timed out may still be done when the server is back: the revision is asked for each time.
		"Set": func(ctx context.Context) error {
			entry, err := k.Get(ctx, "a")
			if err == nil {
				_, err = k.Set(ctx, "a", []byte("2"), entry.Revision)
			}
			return err
		},
		"Set blindly": func(ctx context.Context) error {
			_, err := k.Set(ctx, fmt.Sprint("new", time.Now().UnixNano()), nil, 0)
			return err
		},
		"Get":   func(ctx context.Context) error { _, err := k.Get(ctx, "a"); return err },
		"All":   func(ctx context.Context) error { _, err := k.All(ctx, ">"); return err },
		"Last":  func(ctx context.Context) error { _, err := b.Last(ctx, broker.State, []string{state("a")}); return err },
		"batch": func(ctx context.Context) error { _, err := b.PublishAtomic(ctx, records(3)); return err },
		"publish": func(ctx context.Context) error {
			return b.Publish(ctx, records(1))[0].Err
		},
		"state": func(ctx context.Context) error { _, err := b.StreamState(ctx, broker.Raw); return err },
	}
	e.stop()
	eventually(t, "the loss is seen", func() bool { return !b.Connected() })
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		if err := call(ctx); err == nil {
			t.Errorf("%s succeeded without a server", name)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		cancel()
	}
	start := time.Now()
	if _, err := b.Last(t.Context(), broker.State, []string{state("a")}); !errors.Is(err, broker.ErrIncomplete) || !errors.Is(err, broker.ErrDisconnected) {
		t.Errorf("Last: %v", err)
	}
	if _, err := b.PublishAtomic(t.Context(), records(3)); !errors.Is(err, broker.ErrDisconnected) {
		t.Errorf("batch: %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("a look-up and a batch waited %v for answers that cannot come", took)
	}
	e.start(t)
	eventually(t, "the server is back", b.Connected)
	for name, call := range calls {
		eventually(t, name+" works again", func() bool { return call(t.Context()) == nil })
	}
}

// An answer cannot come any more once its connection is lost.
func TestAnAnswerThatIsUnderWayWhenTheServerIsLostIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	direct := e.connect(t)
	p := startProxy(t, e.Addr().String())
	b := open(t, broker.Options{URLs: []string{p.url()}})
	for name, c := range map[string]struct {
		call func() error
		want error
	}{
		"Last": {func() error {
			_, err := b.Last(t.Context(), broker.State, []string{state("a")})
			return err
		}, broker.ErrIncomplete},
		"batch": {func() error { _, err := b.PublishAtomic(t.Context(), records(3)); return err }, broker.ErrDisconnected},
	} {
		eventually(t, "connected", b.Connected)
		before := size(t, direct, broker.Raw).Messages
		p.swallow()
		answer := make(chan error, 1)
		start := time.Now()
		go func() { answer <- c.call() }()
		if name == "batch" {
			eventually(t, "the batch is stored", func() bool { return size(t, direct, broker.Raw).Messages > before })
		}
		select {
		case err := <-answer:
			t.Fatalf("%s: an answer that was swallowed: %v", name, err)
		case <-time.After(100 * time.Millisecond):
		}
		p.cut()
		if err := <-answer; !errors.Is(err, c.want) || !errors.Is(err, broker.ErrDisconnected) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s waited %v", name, took)
		}
	}
}

func TestFollowGoesOnWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last atomic.Uint64
	ended := make(chan error, 1)
	go func() {
		ended <- b.Follow(ctx, broker.Events, nil, func(m broker.Message) error {
			if previous := last.Swap(m.Sequence); previous != 0 && m.Sequence != previous+1 {
				return fmt.Errorf("%d came after %d", m.Sequence, previous)
			}
			return nil
		})
	}()
	eventually(t, "it has begun", func() bool {
		publishEvents(t, b, 1)
		return last.Load() > 0
	})
	e.stop()
	eventually(t, "the loss is seen", func() bool { return !b.Connected() })
	e.start(t)
	eventually(t, "the server is back", b.Connected)
	eventually(t, "events can be published", func() bool { return b.Publish(t.Context(), []broker.Message{event("x")})[0].Err == nil })
	want := size(t, b, broker.Events).LastSeq
	eventually(t, "the last event is seen", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("ended with %v", err)
		default:
		}
		return last.Load() >= want
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestAMirrorIsCurrentAgainAfterEveryLoss(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	k := bucket(t, b, broker.LedgerBucket)
	m := broker.NewMirror()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Follow(ctx, m) }()
	<-m.Ready()
	for round := range 4 {
		e.stop()
		eventually(t, "the loss is seen", func() bool { return !b.Connected() })
		e.start(t)
		key := fmt.Sprint("w", round)
		eventually(t, "the ledger can be written", func() bool { _, err := k.Set(t.Context(), key, []byte("1"), 0); return err == nil })
		eventually(t, "the mirror has it", func() bool { _, ok := m.Changes()[key]; return ok })
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// A consumer that is gone on the server alone looks to its watch like silence.
func TestAMirrorWhoseWatchTheServerForgotBeginsAnew(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	k := bucket(t, b, broker.LedgerBucket)
	m := broker.NewMirror()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Follow(ctx, m) }()
	<-m.Ready()
	s, err := admin(t, b).Stream(t.Context(), "KV_"+broker.LedgerBucket)
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(t.Context()).Name() {
		if err := s.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	set(t, k, "after", "1", 0)
	start := time.Now()
	eventually(t, "the mirror has it", func() bool { _, ok := m.Changes()["after"]; return ok })
	t.Logf("after %v", time.Since(start))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// A process whose server is lost while it starts waits for it, and does not end.
func TestAwaitOutlivesALossAndGivesOtherErrorsAtOnce(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	e.stop()
	eventually(t, "the loss is seen", func() bool { return !b.Connected() })
	done := make(chan error, 1)
	go func() { done <- b.Await(t.Context(), b.Provision) }()
	select {
	case err := <-done:
		t.Fatalf("ended without a server: %v", err)
	case <-time.After(7 * time.Second): // longer than a request waits
	}
	e.start(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
	mistake := errors.New("a mistake")
	calls := 0
	if err := b.Await(t.Context(), func(context.Context) error { calls++; return mistake }); !errors.Is(err, mistake) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// A server that is set up anew refuses for a while; a client that gives up after two refusals never comes back.
func TestAServerThatRefusesForAWhileIsNotGivenUp(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	e.stop()
	e.options.Authorization = "another"
	e.start(t)
	refused := e.Server
	eventually(t, "the client was refused three times", func() bool {
		v, err := refused.Varz(nil)
		return err == nil && v.TotalConnections >= 3
	})
	e.stop()
	e.options.Authorization = ""
	e.start(t)
	eventually(t, "the client is back", b.Connected)
	eventually(t, "messages are stored", func() bool { return b.Publish(t.Context(), []broker.Message{record(1)})[0].Err == nil })
	if m, err := b.Read(t.Context(), broker.Raw, 1); err != nil || m.Get("Number") != strconv.Itoa(1) {
		t.Errorf("%+v, %v", m, err)
	}
}
