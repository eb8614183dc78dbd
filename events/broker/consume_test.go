package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events/broker"
)

// pinned is how a sink consumes.
var pinned = broker.ConsumerConfig{Stream: broker.Events, Name: "sink-test", MaxAckPending: 1000, AckWait: time.Minute, Pinned: true}

// shared is how windows are consumed.
func shared(ackWait time.Duration) broker.ConsumerConfig {
	return broker.ConsumerConfig{Stream: broker.Events, Name: "shared", MaxAckPending: 100, AckWait: ackWait}
}

// owned is a consumer that does what ErrNewOwner asks.
type owned struct {
	*broker.Consumer
	t      testing.TB
	owners int // how often it became the owner
}

func owner(t testing.TB, b *broker.Broker, c broker.ConsumerConfig) *owned {
	t.Helper()
	consumer, err := b.Consumer(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consumer.Close)
	return &owned{Consumer: consumer, t: t}
}

// next gives a batch, nil when none came or when the consumer was reset.
func (o *owned) next(limit int) []*broker.Delivery {
	o.t.Helper()
	batch, err := o.Next(o.t.Context(), limit)
	if errors.Is(err, broker.ErrNewOwner) {
		o.owners++
		if len(batch) > 0 {
			o.t.Error("a new owner was given something before its reset")
		}
		if err := o.Reset(o.t.Context()); err != nil {
			o.t.Fatal(err)
		}
		return nil
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return batch
}

// take gives the next n deliveries.
func (o *owned) take(n int) (taken []*broker.Delivery) {
	o.t.Helper()
	owners := o.owners
	eventually(o.t, fmt.Sprint(n, " deliveries come"), func() bool {
		batch := o.next(n - len(taken))
		if o.owners != owners {
			owners, taken = o.owners, nil
		}
		taken = append(taken, batch...)
		return len(taken) == n
	})
	return taken
}

// all gives everything that is there, once the server has counted it.
func (o *owned) all() []*broker.Delivery {
	o.t.Helper()
	var state broker.ConsumerState
	eventually(o.t, "the state stays as it is", func() bool {
		before := state
		var err error
		if state, err = o.State(o.t.Context()); err != nil {
			o.t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
		return state == before
	})
	return o.take(int(state.Pending + state.Unacked)) //nolint:gosec // a test's few
}

func sequences(deliveries []*broker.Delivery) (all []uint64) {
	for _, d := range deliveries {
		all = append(all, d.Sequence)
	}
	return all
}

func through(first, last uint64) (all []uint64) {
	for s := first; s <= last; s++ {
		all = append(all, s)
	}
	return all
}

func wantSequences(t testing.TB, what string, got []*broker.Delivery, want []uint64) {
	t.Helper()
	if !slices.Equal(sequences(got), want) {
		t.Errorf("%s: %v, want %v", what, sequences(got), want)
	}
}

// publishEvents stores n more events.
func publishEvents(t testing.TB, b *broker.Broker, n int) {
	t.Helper()
	var messages []broker.Message
	for i := range n {
		messages = append(messages, event(fmt.Sprint("e", i)))
	}
	publish(t, b, messages...)
}

func acked(t testing.TB, deliveries ...*broker.Delivery) {
	t.Helper()
	for _, d := range deliveries {
		if err := d.AckWait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func stateOf(t testing.TB, b *broker.Broker, c broker.ConsumerConfig) broker.ConsumerState {
	t.Helper()
	s, err := b.ConsumerState(t.Context(), c.Stream, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNextGivesWhatIsThereAtOnceUpToItsLimit(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	o := owner(t, b, shared(time.Minute))
	publishEvents(t, b, 10)
	start := time.Now()
	wantSequences(t, "the limit", o.next(4), through(1, 4))
	rest := o.take(6)
	wantSequences(t, "the rest", rest, through(5, 10))
	if took := time.Since(start); took > time.Second {
		t.Errorf("waited %v with messages there", took)
	}
	if rest[0].Pending != 5 || rest[5].Pending != 0 || rest[0].Delivered != 1 || rest[0].Subject == "" || rest[0].Time.IsZero() {
		t.Errorf("delivered as %+v", rest[0])
	}

	// A message that comes while Next waits does not wait for the request's end.
	waiting := make(chan []*broker.Delivery)
	go func() { waiting <- o.next(100) }()
	eventually(t, "the request is open", func() bool {
		cons, err := admin(t, b).Consumer(t.Context(), broker.Events, "shared")
		return err == nil && cons.CachedInfo().NumWaiting > 0
	})
	start = time.Now()
	publishEvents(t, b, 1)
	wantSequences(t, "alone", <-waiting, through(11, 11))
	if took := time.Since(start); took > time.Second {
		t.Errorf("one message waited %v for others", took)
	}
	// The open request goes on giving.
	publishEvents(t, b, 2)
	wantSequences(t, "afterwards", o.take(2), through(12, 13))
}

func TestAFullBatchDoesNotEndTheNextRequest(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	o := owner(t, b, shared(time.Minute))
	for round := range uint64(3) {
		waiting := make(chan []*broker.Delivery)
		go func() { waiting <- o.next(2) }()
		eventually(t, "one request is open", func() bool {
			cons, err := admin(t, b).Consumer(t.Context(), broker.Events, "shared")
			return err == nil && cons.CachedInfo().NumWaiting == 1
		})
		publishEvents(t, b, 2)
		got := <-waiting
		for len(got) < 2 {
			got = append(got, o.next(2)...)
		}
		wantSequences(t, "two at a time", got, through(2*round+1, 2*round+2))
	}
}

func TestARequestGivesSixteenMebibytesAtMost(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	o := owner(t, b, shared(time.Minute))
	const count = 40
	for n := range count {
		m := event(fmt.Sprint("e", n))
		m.Data = make([]byte, 1<<20)
		publish(t, b, m)
	}
	all := o.next(count)
	eventually(t, "the request is over", func() bool {
		cons, err := admin(t, b).Consumer(t.Context(), broker.Events, "shared")
		return err == nil && cons.CachedInfo().NumWaiting == 0
	})
	if sent := stateOf(t, b, shared(time.Minute)).Unacked; sent == 0 || sent > 16 {
		t.Errorf("one request gave %d MiB", sent)
	}
	all = append(all, o.take(count-len(all))...)
	wantSequences(t, "all of them", all, through(1, count))
}

func TestWhoAsksAheadHasTheNextMessagesWhileTheLastAreWorkedOn(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	c := shared(time.Minute)
	c.Ahead = true
	o := owner(t, b, c)
	publishEvents(t, b, 60)
	var all []*broker.Delivery
	ahead := func() int { return int(stateOf(t, b, c).Unacked) - len(all) }
	all = o.take(10)
	eventually(t, "more are delivered", func() bool { return ahead() > 0 })
	// One who is slow is not given ever more: its request has long lapsed, and what that gave still waits here.
	<-time.After(4 * time.Second)
	all = append(all, o.take(10)...)
	eventually(t, "more are delivered again", func() bool { return ahead() > 0 })
	if n := ahead(); n > 10 {
		t.Errorf("%d wait here, want one request's", n)
	}
	all = append(all, o.take(40)...)
	wantSequences(t, "all of them", all, through(1, 60))
}

func TestMoreGivesWhatHasComeMeanwhileWithoutWaiting(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	o := owner(t, b, shared(time.Minute))
	more := func(limit int) []*broker.Delivery {
		t.Helper()
		batch, err := o.More(limit)
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	publishEvents(t, b, 2)
	all := o.next(10)
	publishEvents(t, b, 10)
	// Eight are asked for still.
	eventually(t, "what was asked for has come", func() bool { return stateOf(t, b, shared(0)).Unacked == 10 })
	eventually(t, "some is here", func() bool { all = append(all, more(3)...); return len(all) > 2 })
	if len(all) > 5 {
		t.Errorf("%d came at once, want 3", len(all)-2)
	}
	eventually(t, "the rest is here", func() bool { all = append(all, more(100)...); return len(all) == 10 })
	if rest := more(100); rest != nil {
		t.Errorf("nothing was asked for, and %v came", sequences(rest))
	}
	wantSequences(t, "in order", append(all, o.take(2)...), through(1, 12))
}

func TestNextGivesNothingAfterAWhileAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	o := owner(t, b, shared(time.Minute))
	start := time.Now()
	if got := o.next(10); got != nil {
		t.Errorf("got %v", got)
	}
	if took := time.Since(start); took < time.Second || took > 5*time.Second {
		t.Errorf("waited %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := o.Next(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestWhatWasReceivedBeforeAnErrorIsGivenAndTheErrorComesNext(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	o := owner(t, b, shared(time.Minute))
	publishEvents(t, b, 1)
	wantSequences(t, "the first", o.next(10), through(1, 1))
	publishEvents(t, b, 3)
	eventually(t, "the open request is given them", func() bool { return stateOf(t, b, shared(0)).Unacked == 4 })
	if err := admin(t, b).DeleteConsumer(t.Context(), broker.Events, "shared"); err != nil {
		t.Fatal(err)
	}
	batch, err := o.Next(t.Context(), 10)
	if err != nil {
		t.Fatalf("what was received is lost: %v", err)
	}
	wantSequences(t, "before the error", batch, through(2, 4))
	eventually(t, "the error comes", func() bool {
		batch, err := o.Next(t.Context(), 10)
		if len(batch) > 0 {
			t.Fatalf("a consumer that is gone gave %v", sequences(batch))
		}
		return err != nil
	})
	if _, err := b.ConsumerState(t.Context(), broker.Events, "shared"); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("its state: %v", err)
	}
}

func TestNoMoreIsDeliveredThanMayBeUnacknowledged(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	c := shared(time.Minute)
	c.MaxAckPending = 3
	o := owner(t, b, c)
	publishEvents(t, b, 10)
	held := o.take(3)
	if more := o.next(10); more != nil {
		t.Errorf("beyond the bound: %v", sequences(more))
	}
	if s := stateOf(t, b, c); s.Unacked != 3 || s.Pending != 7 || s.AckFloor != 0 || s.Done() {
		t.Errorf("state %+v", s)
	}
	acked(t, held[0])
	wantSequences(t, "after one acknowledgement", o.take(1), through(4, 4))
	if s := stateOf(t, b, c); s.AckFloor != 1 {
		t.Errorf("state %+v", s)
	}
}

func TestADeliveryThatIsReturnedOrForgottenComesAgainAndOneInProgressDoesNot(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	const ackWait = time.Second
	o := owner(t, b, shared(ackWait))
	publishEvents(t, b, 4)
	first := o.take(4)
	start := time.Now()
	if err := first[0].Return(400 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	// first[1] is forgotten, first[2] is worked on, first[3] is done.
	acked(t, first[3])
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() {
		tick := time.NewTicker(ackWait / 5)
		defer tick.Stop()
		for {
			if err := first[2].InProgress(); err != nil {
				t.Error(err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	returned := o.take(1)
	if d := returned[0]; d.Sequence != 1 || d.Delivered != 2 || time.Since(start) < 400*time.Millisecond {
		t.Errorf("returned: %d came after %v, delivery %d", d.Sequence, time.Since(start), d.Delivered)
	}
	acked(t, returned...)
	forgotten := o.take(1)
	if d := forgotten[0]; d.Sequence != 2 || d.Delivered != 2 || time.Since(start) < ackWait*9/10 {
		t.Errorf("forgotten: %d came after %v, delivery %d", d.Sequence, time.Since(start), d.Delivered)
	}
	acked(t, forgotten...)
	if got := o.next(10); got != nil { // two seconds of silence: twice AckWait
		t.Errorf("what is in progress came again: %v", sequences(got))
	}
	cancel()
	working.Wait()
	if err := first[2].Ack(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is done", func() bool { return stateOf(t, b, shared(0)).Done() })
}

func TestWhatAClosedConsumerDidNotTakeComesToAnotherAtOnce(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	closing, other := owner(t, b, shared(time.Minute)), owner(t, b, shared(time.Minute))
	publishEvents(t, b, 1)
	acked(t, closing.next(3)...) // two more would come to it
	publishEvents(t, b, 2)
	eventually(t, "both are delivered", func() bool { return stateOf(t, b, shared(0)).Unacked == 2 })
	closing.Close()
	wantSequences(t, "the other", other.take(2), through(2, 3))
}

func TestAConsumerKeepsItsPlaceWhateverItIsOpenedWith(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 5)
	o := owner(t, b, shared(time.Minute))
	acked(t, o.take(3)...)
	o.Close()
	c := shared(time.Hour)
	c.New, c.MaxAckPending, c.Filters = true, 7, []string{"parley.events.conversation.>"}
	o = owner(t, b, c)
	wantSequences(t, "afterwards", o.take(2), through(4, 5))
}

func TestANewConsumerBeginsWhereItIsToldAlsoAfterAReset(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 5)
	third, err := b.Read(t.Context(), broker.Events, 3)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config broker.ConsumerConfig
		first  uint64
	}{
		"everything":  {broker.ConsumerConfig{}, 1},
		"from a time": {broker.ConsumerConfig{StartTime: third.Time}, 3},
		"what is new": {broker.ConsumerConfig{New: true}, 6},
		"some kinds":  {broker.ConsumerConfig{Filters: []string{event("e1").Subject, event("e3").Subject}}, 2},
	} {
		c.config.Stream, c.config.Name, c.config.MaxAckPending = broker.Events, strings.ReplaceAll(name, " ", "-"), 100
		c.config.AckWait, c.config.Pinned = time.Minute, true
		o := owner(t, b, c.config)
		if err := o.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		// What the consumer begins with must have been decided before the next event.
		t.Run(name, func(t *testing.T) {
			o.t = t
			if c.first == 6 {
				publishEvents(t, b, 1)
			}
			if got := o.take(1)[0].Sequence; got != c.first {
				t.Errorf("begins with %d, want %d", got, c.first)
			}
		})
	}
}

func TestAResetBringsEverythingAboveTheAckFloorAgainInOrder(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 10)
	o := owner(t, b, pinned)
	held := o.take(8)
	acked(t, held[0], held[1], held[3], held[7])
	if err := o.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := o.take(8)
	wantSequences(t, "after the reset", again, through(3, 10))
	for _, d := range again {
		if d.Delivered != 1 {
			t.Errorf("delivery %d of %d since the reset", d.Delivered, d.Sequence)
		}
	}
	acked(t, again...)
	if s := stateOf(t, b, pinned); !s.Done() || s.AckFloor != 10 {
		t.Errorf("state %+v", s)
	}
}

func TestTheOwnershipMovesAtOnceWhenItIsReleased(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 10)
	a := owner(t, b, pinned)
	if stateOf(t, b, pinned).Pinned {
		t.Error("owned before anybody asked")
	}
	held := a.take(4)
	if a.owners < 1 {
		t.Error("was given messages and not told that it has become the owner")
	}
	acked(t, held[:2]...)
	if !stateOf(t, b, pinned).Pinned {
		t.Error("owned, and the state does not say so")
	}
	second := owner(t, b, pinned)
	if got := second.next(10); got != nil || second.owners != 0 {
		t.Fatalf("another owns it, and the one that stands by was given %v", sequences(got))
	}
	start := time.Now()
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if stateOf(t, b, pinned).Pinned && second.owners > 0 {
		t.Error("released, and the state does not say so")
	}
	wantSequences(t, "the new owner's", second.take(8), through(3, 10))
	if took := time.Since(start); took > 4*time.Second || second.owners < 1 {
		t.Errorf("became the owner %d times, after %v", second.owners, took)
	}
	// The second release of one that owns nothing takes nothing from the owner.
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !stateOf(t, b, pinned).Pinned {
		t.Error("who owns nothing has released it")
	}
	if err := second.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if stateOf(t, b, pinned).Pinned {
		t.Error("nobody asks, and somebody owns it")
	}
}

// Without a delivery nobody becomes the owner: what the old one held must come again, and not only after its AckWait.
func TestWhoReleasesWhileHoldingEverythingLeavesItToTheNextOwner(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 5)
	a := owner(t, b, pinned)
	acked(t, a.take(5)[:1]...)
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantSequences(t, "the new owner's", owner(t, b, pinned).take(4), through(2, 5))
}

func TestTheOwnershipMovesWhenTheOwnerIsSilent(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 6)
	a, second := owner(t, b, pinned), owner(t, b, pinned)
	acked(t, a.take(3)[:1]...)
	start := time.Now() // and a is not heard of again
	wantSequences(t, "the new owner's", second.take(5), through(2, 6))
	if took := time.Since(start); took < 5*time.Second || took > 20*time.Second {
		t.Errorf("after %v", took)
	}
	// The old one learns of it when it comes back, and is not given what another holds.
	publishEvents(t, b, 1)
	if got := a.next(10); got != nil {
		t.Errorf("two owners: %v", sequences(got))
	}
	wantSequences(t, "the new owner's", second.take(1), through(7, 7))
}

func TestAnOwnerThatDiedHoldingEverythingIsNoOwnerInTheState(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 2)
	a := owner(t, b, pinned)
	a.take(2)
	a.Close()
	eventually(t, "the pin runs out", func() bool { return !stateOf(t, b, pinned).Pinned })
	if s := stateOf(t, b, pinned); s.Pending != 0 || s.Unacked != 2 {
		t.Errorf("state %+v", s)
	}
	second := owner(t, b, pinned)
	if err := second.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantSequences(t, "after a reset by one that stands by", second.take(2), through(1, 2))
}

// An owner that was replaced meanwhile becomes the owner once, not once for its pin and once for the gap.
func TestAnOwnerThatComesBackIsToldAndGetsEverythingOnce(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 9)
	a, second := owner(t, b, pinned), owner(t, b, pinned)
	acked(t, a.take(3)...)
	s, err := admin(t, b).Stream(t.Context(), pinned.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UnpinConsumer(t.Context(), pinned.Name, "owner"); err != nil {
		t.Fatal(err)
	}
	acked(t, second.take(2)...) // a reset counts deliveries anew: after as many as the first had, there would be no gap
	if err := second.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantSequences(t, "back again", a.take(4), through(6, 9))
	// A busy server may send something to the inbox that a reset has just given up: that gap is one more new ownership, and harmless.
	if a.owners < 2 || second.owners < 1 {
		t.Errorf("became owners %d and %d times", a.owners, second.owners)
	}
}

// proxy stands between a client and its server. What it swallows, the server has sent and nobody has received; what it loses, the client has sent.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	deaf  bool
	mute  bool
	lost  []byte // by the client's way to the server
	conns []net.Conn
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.running.Go(func() { _, _ = io.Copy(speaking{p, server}, client) })
		p.running.Go(func() { _, _ = io.Copy(hearing{p, client}, server) })
	}
}

// hearing is the way to the client.
type hearing struct {
	*proxy
	client io.Writer
}

func (h hearing) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deaf {
		return len(b), nil
	}
	return h.client.Write(b)
}

// speaking is the way to the server.
type speaking struct {
	*proxy
	server io.Writer
}

func (s speaking) Write(b []byte) (int, error) {
	if s.lose(b) {
		return len(b), nil
	}
	return s.server.Write(b)
}

func (p *proxy) lose(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mute {
		p.lost = append(p.lost, b...)
	}
	return p.mute
}

func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// silence loses what the client sends from now on.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
}

// hasLost tells whether something of that text was sent and lost.
func (p *proxy) hasLost(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.lost, []byte(text))
}

// cut breaks every connection; the next ones are whole again.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns, p.deaf, p.mute = nil, false, false
}

// What was lost with a connection would come after its AckWait, behind what follows it.
func TestAGapInTheDeliveriesIsANewOwnership(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	b := e.connect(t)
	p := startProxy(t, strings.TrimPrefix(e.url(), "nats://"))
	cut := open(t, broker.Options{URLs: []string{p.url()}})
	publishEvents(t, b, 5)
	o := owner(t, cut, pinned)
	acked(t, o.take(5)...)
	p.swallow()
	publishEvents(t, b, 5)
	waiting := make(chan []*broker.Delivery)
	go func() { waiting <- o.next(10) }()
	eventually(t, "the server has delivered them", func() bool { return stateOf(t, b, pinned).Unacked == 5 })
	closed := e.closed(t)
	p.cut()
	// Until the server has seen it, it delivers to the connection that is lost: then nothing would come, and no gap be seen.
	eventually(t, "the server has lost the connection", func() bool { return e.closed(t) > closed })
	publishEvents(t, b, 5)
	if got := <-waiting; got != nil {
		t.Fatalf("%v, and before them something is missing", sequences(got))
	}
	wantSequences(t, "after the gap", o.take(10), through(6, 15))
	if o.owners < 2 {
		t.Error("the gap was not told")
	}
}

func TestFollowShowsOnlyWhatIsNewAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publishEvents(t, b, 5)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan broker.Message, 10_000)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Follow(ctx, broker.Events, []string{event("e0").Subject}, func(m broker.Message) error {
			seen <- m
			return nil
		})
	}()
	eventually(t, "it has begun", func() bool {
		publishEvents(t, b, 2)
		return len(seen) > 0
	})
	publishEvents(t, b, 2)
	last := size(t, b, broker.Events).LastSeq - 1
	previous := uint64(5)
	for {
		m := <-seen
		if m.Subject != event("e0").Subject || m.Sequence <= previous || string(m.Data) != "e0" || m.Time.IsZero() {
			t.Fatalf("after %d came %+v", previous, m)
		}
		if previous = m.Sequence; previous == last {
			break
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestFollowEndsWithItsVisitorsError(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	enough := errors.New("enough")
	ended := make(chan error, 1)
	go func() {
		ended <- b.Follow(t.Context(), broker.Events, nil, func(broker.Message) error { return enough })
	}()
	eventually(t, "it ends", func() bool {
		publishEvents(t, b, 1)
		return len(ended) > 0
	})
	if err := <-ended; !errors.Is(err, enough) {
		t.Errorf("ended with %v", err)
	}
	if err := b.Follow(t.Context(), "NO_SUCH_STREAM", nil, nil); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("no such stream: %v", err)
	}
}
