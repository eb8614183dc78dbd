package broker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

func event(entity string) broker.Message {
	return broker.Message{Subject: events.EventSubjects + ".conversation.acme.main." + entity, Data: []byte(entity)}
}

// expecting says what the last sequence on the message's subject must be.
func expecting(m broker.Message, sequence uint64) broker.Message {
	m.Header = maps.Clone(m.Header)
	if m.Header == nil {
		m.Header = map[string][]string{}
	}
	m.Header[broker.HeaderExpectedSequence] = []string{strconv.FormatUint(sequence, 10)}
	return m
}

func TestResultsAreInTheOrderOfTheMessagesWhateverBecameOfThem(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publish(t, b, event("known"))
	again := event("again")
	again.Header = map[string][]string{broker.HeaderMsgID: {"one"}}
	// More than are in flight at once, and those that fail first.
	messages := []broker.Message{
		{Subject: event("large").Subject, Data: make([]byte, 9<<20)},
		expecting(event("known"), 0), again, again,
		{Subject: "no.stream.has.this"},
	}
	for n := range 1500 {
		messages = append(messages, event(fmt.Sprint("e", n)))
	}
	results := b.Publish(t.Context(), messages)
	if len(results) != len(messages) {
		t.Fatalf("%d results of %d", len(results), len(messages))
	}
	if err := results[0].Err; !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("too large: %v", err)
	}
	if err := results[1].Err; !errors.Is(err, broker.ErrConflict) {
		t.Errorf("another was first: %v", err)
	}
	if r := results[2]; r.Err != nil || r.Duplicate {
		t.Errorf("first of an id: %+v", r)
	}
	if r := results[3]; r.Err != nil || !r.Duplicate || r.Sequence != results[2].Sequence {
		t.Errorf("second of an id: %+v, want a duplicate of %d", r, results[2].Sequence)
	}
	if results[4].Err == nil {
		t.Error("what no stream takes was acknowledged")
	}
	for i := 5; i < len(results); i++ {
		if r := results[i]; r.Err != nil || r.Sequence != results[5].Sequence+uint64(i-5) {
			t.Fatalf("message %d: %+v", i, r)
		}
	}
}

func TestPublishSendsNothingAfterItsContextEnded(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i, r := range b.Publish(ctx, records(600)) {
		if !errors.Is(r.Err, context.Canceled) {
			t.Fatalf("message %d: %+v", i, r)
		}
	}
	if got := size(t, b, broker.Raw).LastSeq; got != 0 {
		t.Errorf("%d messages were stored", got)
	}
}

func TestAStreamThatTakesNoMoreIsFull(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{RawMaxBytes: 64 << 10})
	window := broker.Message{Subject: events.WindowSubjects + ".main.chats.w1"}
	publish(t, b, window)
	if r := b.Publish(t.Context(), []broker.Message{window})[0]; !errors.Is(r.Err, broker.ErrFull) {
		t.Errorf("a second message on one subject: %+v", r)
	}
	m := record(1)
	m.Data = make([]byte, 10<<10)
	full := 0
	for _, r := range b.Publish(t.Context(), []broker.Message{m, m, m, m, m, m, m, m}) {
		if errors.Is(r.Err, broker.ErrFull) {
			full++
		} else if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if full == 0 || full == 8 {
		t.Errorf("%d of 8 were refused", full)
	}
	if _, err := b.PublishAtomic(t.Context(), []broker.Message{m, m, m}); !errors.Is(err, broker.ErrFull) {
		t.Errorf("a batch: %v", err)
	}
}

func TestAnAtomicBatchIsStoredWholeAndTellsItsFirstSequence(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publish(t, b, event("before"))
	for _, n := range []int{1, 2, broker.MaxBatch} {
		var batch []broker.Message
		for i := range n {
			batch = append(batch, event(fmt.Sprintf("e%d-%d", n, i)))
		}
		before := size(t, b, broker.Events).LastSeq
		first, err := b.PublishAtomic(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if first != before+1 {
			t.Errorf("batch of %d: first %d, want %d", n, first, before+1)
		}
		for _, i := range []int{0, n / 2, n - 1} {
			m, err := b.Read(t.Context(), broker.Events, first+uint64(i))
			if err != nil || m.Subject != batch[i].Subject {
				t.Errorf("message %d of %d: %q, %v", i, n, m.Subject, err)
			}
		}
	}
}

func TestAnAtomicBatchHoldsOneToAThousand(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	for _, n := range []int{0, broker.MaxBatch + 1} {
		if _, err := b.PublishAtomic(t.Context(), records(n)); err == nil || !strings.Contains(err.Error(), "want 1 to 1000") {
			t.Errorf("a batch of %d: %v", n, err)
		}
	}
	if got := size(t, b, broker.Raw).Messages; got != 0 {
		t.Errorf("%d messages were stored", got)
	}
}

func TestAConflictInABatchStoresNothingAndItsMessagesCanBePublishedAlone(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publish(t, b, event("a"))
	for name, batch := range map[string][]broker.Message{
		"first":        {expecting(event("a"), 0), event("b"), event("c")},
		"last":         {event("b"), event("c"), expecting(event("a"), 7)},
		"itself twice": {expecting(event("b"), 0), event("c"), expecting(event("b"), 0)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.PublishAtomic(t.Context(), batch); !errors.Is(err, broker.ErrConflict) {
				t.Fatalf("got %v", err)
			}
			if got := size(t, b, broker.Events).Messages; got != 1 {
				t.Errorf("%d messages, want the 1 from before", got)
			}
		})
	}
	batch := []broker.Message{expecting(event("a"), 1), expecting(event("b"), 0), expecting(event("c"), 9)}
	if _, err := b.PublishAtomic(t.Context(), batch); !errors.Is(err, broker.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	results := b.Publish(t.Context(), batch)
	if results[0].Err != nil || results[1].Err != nil || !errors.Is(results[2].Err, broker.ErrConflict) {
		t.Errorf("alone: %+v", results)
	}
}

func TestAPipelineKeepsTheOrderOfSend(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"one": 1, "a few, each alone": 20, "batches and a rest": 1030} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, broker.Options{})
			p := b.Pipeline(t.Context())
			for n := range count {
				if err := p.Send(record(n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			if got := size(t, b, broker.Raw); got.Messages != uint64(count) {
				t.Fatalf("%d of %d are stored", got.Messages, count)
			}
			for n := range count {
				m, err := b.Read(t.Context(), broker.Raw, uint64(n+1))
				if err != nil || m.Get("Number") != strconv.Itoa(n) {
					t.Fatalf("message %d is %q, %v", n, m.Get("Number"), err)
				}
			}
			if err := p.Flush(); err != nil {
				t.Errorf("a second Flush: %v", err)
			}
		})
	}
}

// The memory of a pipeline is two batches, however fast Send is called and however slow the stream is.
func TestAPipelineHoldsTwoBatchesAndThenSendWaits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ size, most int }{
		"by number": {1 << 10, 2 * 256}, "by bytes": {1 << 20, 2 * 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, broker.Options{RawMaxBytes: 1 << 10}) // takes nothing
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			accepted := make(chan int, 1)
			var mu sync.Mutex
			sent := 0
			go func() {
				p := b.Pipeline(ctx)
				m := record(0)
				m.Data = make([]byte, c.size)
				for p.Send(m) == nil {
					mu.Lock()
					sent++
					mu.Unlock()
				}
				accepted <- sent
			}()
			// The last Send of the second batch waits. The first one may have gone before it was full.
			eventually(t, "the second batch is begun", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return sent >= c.most/2
			})
			select {
			case <-accepted:
				t.Fatal("a full stream ended the pipeline")
			case <-time.After(200 * time.Millisecond):
			}
			cancel()
			if n := <-accepted; n >= c.most {
				t.Errorf("%d messages were accepted, want fewer than %d", n, c.most)
			}
		})
	}
}

func TestAPipelineSendsWhatComesNowAndThenWithoutWaitingForAFullBatch(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	p := b.Pipeline(t.Context())
	sent := 0
	eventually(t, "the first record is stored while others come", func() bool {
		if sent++; sent >= 256 {
			t.Fatal("a full batch came")
		}
		if err := p.Send(record(sent)); err != nil {
			t.Fatal(err)
		}
		return size(t, b, broker.Raw).Messages > 0
	})
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := size(t, b, broker.Raw); got.Messages != uint64(sent) {
		t.Errorf("%d of %d are stored", got.Messages, sent)
	}
}

func TestAPipelineGoesOnWhenAFullStreamHasSpaceAgain(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"alone": 8, "in a batch": 64} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := open(t, broker.Options{DataDir: dir, RawMaxBytes: 32 << 10})
			filler := record(0)
			filler.Data = make([]byte, 30<<10)
			publish(t, b, filler)
			done := make(chan error, 1)
			go func() {
				p := b.Pipeline(t.Context())
				for n := range count {
					m := record(n)
					m.Data = make([]byte, 1<<10)
					if err := p.Send(m); err != nil {
						done <- err
						return
					}
				}
				done <- p.Flush()
			}()
			select {
			case err := <-done:
				t.Fatalf("Flush returned while the stream was full: %v", err)
			case <-time.After(200 * time.Millisecond):
			}
			wider, err := broker.Attach(t.Context(), broker.Options{DataDir: dir, RawMaxBytes: 1 << 20, Partitions: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer wider.Close()
			if err := wider.Provision(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			subjects, err := b.Subjects(t.Context(), broker.Raw, ">")
			if err != nil {
				t.Fatal(err)
			}
			if len(subjects) != count {
				t.Errorf("%d of %d messages", len(subjects), count)
			}
		})
	}
}

func TestAPipelineEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{RawMaxBytes: 1 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	p := b.Pipeline(ctx)
	m := record(0)
	m.Data = make([]byte, 2<<10)
	if err := p.Send(m); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := p.Flush(); !errors.Is(err, broker.ErrFull) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestAPipelineEndsWithWhatNoWaitingChanges(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	for name, m := range map[string]broker.Message{
		"too large":     {Subject: record(0).Subject, Data: make([]byte, 9<<20)},
		"no subject":    {Subject: "parley raw"},
		"another's bet": expecting(record(0), 9),
	} {
		for _, beside := range []int{0, 100} {
			p := b.Pipeline(t.Context())
			err := p.Send(m)
			for n := 1; err == nil && n <= beside; n++ {
				err = p.Send(record(n))
			}
			if flushed := p.Flush(); err == nil {
				err = flushed
			}
			if err == nil {
				t.Errorf("%s, beside %d others: accepted", name, beside)
			}
		}
	}
}
