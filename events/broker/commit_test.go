package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/parley-stream/parley/events/broker"
)

func committer(t testing.TB, b *broker.Broker) *broker.Committer {
	t.Helper()
	c := b.Committer(t.Context())
	t.Cleanup(c.Close)
	return c
}

func eventsOf(caller string, n int) (all []broker.Message) {
	for i := range n {
		all = append(all, expecting(event(fmt.Sprint(caller, "-", i)), 0))
	}
	return all
}

// wantStored compares what the stream has under each result's sequence.
func wantStored(t testing.TB, b *broker.Broker, messages []broker.Message, results []broker.Result) {
	t.Helper()
	if len(results) != len(messages) {
		t.Fatalf("%d results of %d", len(results), len(messages))
	}
	subjects := make([]string, len(messages))
	for i, m := range messages {
		subjects[i] = m.Subject
	}
	stored, err := b.Last(t.Context(), broker.Events, subjects)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range messages {
		if results[i].Err != nil || results[i].Sequence != stored[m.Subject].Sequence {
			t.Fatalf("%s: %+v; it is stored under %d", m.Subject, results[i], stored[m.Subject].Sequence)
		}
	}
}

func TestCommitsOfManyAreStoredAndEachIsToldItsOwn(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	c := committer(t, b)
	var callers sync.WaitGroup
	for caller := range 12 {
		callers.Go(func() {
			for round, n := range []int{1, 3, 120, 40, 1000, 1, 2345} {
				messages := eventsOf(fmt.Sprint(caller, "-", round), n)
				wantStored(t, b, messages, c.Commit(t.Context(), messages))
			}
		})
	}
	callers.Wait()
	if got := c.Commit(t.Context(), nil); got != nil {
		t.Errorf("nothing gave %v", got)
	}
}

func TestCommitsThatWaitGoTogetherAsFarAsThereIsRoom(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	large := event("large")
	large.Data = make([]byte, 6<<20)
	for name, c := range map[string]struct {
		commits [][]broker.Message
		want    []int // commits in each batch
	}{
		"few":           {[][]broker.Message{eventsOf("a", 1), eventsOf("b", 2), eventsOf("c", 3)}, []int{3}},
		"many":          {[][]broker.Message{eventsOf("a", 600), eventsOf("b", 400), eventsOf("c", 1), eventsOf("d", 999), eventsOf("e", 1)}, []int{2, 2, 1}},
		"more than fit": {[][]broker.Message{eventsOf("a", 2500), eventsOf("b", 1)}, []int{1, 1}},
		"large":         {[][]broker.Message{{large}, {large}, {large}, eventsOf("a", 1)}, []int{2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := broker.Together(b.Committer(t.Context()), c.commits...); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%v commits are in a batch each, want %v", got, c.want)
			}
		})
	}
}

func TestOfCommitsThatGoTogetherOnlyWhatIsRefusedIsMissing(t *testing.T) {
	t.Parallel()
	large := event("large")
	large.Data = make([]byte, 9<<20)
	for name, refused := range map[string]struct {
		message broker.Message
		err     error
	}{
		"a conflict":              {expecting(event("known"), 9), broker.ErrConflict},
		"more than a message has": {large, nats.ErrMaxPayload},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, broker.Options{})
			broker.SyncsEach(b) // so that they are an atomic batch
			publish(t, b, event("known"))
			c := committer(t, b)
			release := broker.Hold(c)
			var callers sync.WaitGroup
			for caller := range 3 {
				callers.Go(func() {
					messages := eventsOf(fmt.Sprint(caller), 150)
					wantStored(t, b, messages, c.Commit(t.Context(), messages))
				})
			}
			callers.Go(func() {
				good := expecting(event("known"), 1)
				results := c.Commit(t.Context(), []broker.Message{refused.message, good})
				if !errors.Is(results[0].Err, refused.err) || results[1].Err != nil {
					t.Errorf("got %+v", results)
				}
			})
			eventually(t, "all wait", func() bool { return broker.Waiting(c) == 4 })
			release()
			callers.Wait()
		})
	}
}

func TestACallerWhoGivesUpLeavesItsMessagesToTheOthersBatch(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	c := committer(t, b)
	release := broker.Hold(c)
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	callers.Go(func() {
		for _, result := range c.Commit(ctx, eventsOf("leaver", 120)) {
			if !errors.Is(result.Err, context.Canceled) {
				t.Errorf("got %+v", result)
			}
		}
	})
	eventually(t, "it waits", func() bool { return broker.Waiting(c) == 1 })
	cancel()
	callers.Wait()
	callers.Go(func() {
		messages := eventsOf("other", 120)
		wantStored(t, b, messages, c.Commit(t.Context(), messages))
	})
	eventually(t, "the other waits", func() bool { return broker.Waiting(c) == 2 })
	release()
	callers.Wait()
	if got := size(t, b, broker.Events).Messages; got != 240 {
		t.Errorf("%d messages, want 240", got)
	}
}

func TestACommitWhoseAnswerIsLostIsNotTakenForRefused(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"a batch": 200, "single messages": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startExternal(t)
			b := server.connect(t)
			broker.SyncsEach(b)
			c := committer(t, b)
			messages := eventsOf("x", n)
			wantStored(t, b, messages[:1], c.Commit(t.Context(), messages[:1]))
			server.stop()
			for _, result := range c.Commit(t.Context(), messages) {
				if result.Err == nil || errors.Is(result.Err, broker.ErrConflict) {
					t.Fatalf("got %+v", result)
				}
			}
		})
	}
}

func TestAClosedCommitterWaitsForNobody(t *testing.T) {
	t.Parallel()
	_, far, p := bothEnds(t)
	c := far.Committer(t.Context())
	publish(t, far, event("before"))
	p.silence()
	done := make(chan []broker.Result)
	go func() { done <- c.Commit(t.Context(), eventsOf("x", 200)) }()
	eventually(t, "it is on its way", func() bool { return broker.Working(c) && broker.Waiting(c) == 0 })
	c.Close()
	select {
	case results := <-done:
		if results[0].Err == nil {
			t.Errorf("got %+v", results[0])
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the caller still waits")
	}
}
