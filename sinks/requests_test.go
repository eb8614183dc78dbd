package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
)

// peer is a Sender whose destination does what it is told, and remembers.
type peer struct {
	mu       sync.Mutex
	answer   func(items []sinks.Item) error // nil: all is accepted
	takes    time.Duration
	got      []sinks.Item // accepted
	attempts []attempt
	running  int
	most     int
	entities map[string]int // under way
	overlap  []string
	closed   bool
}

type attempt struct {
	at        time.Time
	sequences []uint64
	err       error
}

func (p *peer) open(context.Context, sinks.Ownership) (sinks.Sender, error) { return p, nil }

func (p *peer) Send(ctx context.Context, items []sinks.Item) error {
	p.begin(items)
	if p.takes > 0 {
		select {
		case <-time.After(p.takes):
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	a := attempt{at: time.Now()}
	for _, i := range items {
		p.entities[i.Event.Subject]--
		a.sequences = append(a.sequences, i.Sequence)
	}
	switch {
	case ctx.Err() != nil:
		a.err = ctx.Err()
	case p.answer != nil:
		a.err = p.answer(items)
	}
	if a.err == nil {
		p.got = append(p.got, items...)
	}
	p.attempts = append(p.attempts, a)
	return a.err
}

func (p *peer) begin(items []sinks.Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running++
	p.most = max(p.most, p.running)
	if p.entities == nil {
		p.entities = map[string]int{}
	}
	mine := map[string]bool{}
	for _, i := range items {
		if p.entities[i.Event.Subject] > 0 && !mine[i.Event.Subject] {
			p.overlap = append(p.overlap, i.Event.Subject)
		}
		mine[i.Event.Subject] = true
		p.entities[i.Event.Subject]++
	}
}

func (p *peer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// be changes what the destination does.
func (p *peer) be(answer func([]sinks.Item) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *peer) accepted() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []uint64
	for _, i := range p.got {
		all = append(all, i.Sequence)
	}
	return all
}

func (p *peer) tries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.attempts)
}

func (p *peer) tried(sequence uint64) (times []time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.attempts {
		if slices.Contains(a.sequences, sequence) {
			times = append(times, a.at)
		}
	}
	return times
}

// wantInOrder wants n events of publish's or items' kind, each once and in order per entity.
func (p *peer) wantInOrder(t *testing.T, n int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	last, seen := map[string]uint64{}, map[string]bool{}
	for _, i := range p.got {
		if seen[i.Event.ID] {
			t.Errorf("%s came twice", i.Event.ID)
		}
		seen[i.Event.ID] = true
		if i.Event.Revision < last[i.Event.Subject] {
			t.Errorf("%s: revision %d after %d", i.Event.Subject, i.Event.Revision, last[i.Event.Subject])
		}
		last[i.Event.Subject] = i.Event.Revision
	}
	if len(seen) != n {
		t.Errorf("got %d events, want %d", len(seen), n)
	}
	if len(p.overlap) > 0 {
		t.Errorf("requests of one entity overlapped: %v", p.overlap[:min(len(p.overlap), 5)])
	}
}

// items are n events of so many entities, sequences from 1.
func items(n, entities int) []sinks.Item {
	all := make([]sinks.Item, n)
	for i := range all {
		all[i] = sinks.Item{Sequence: uint64(i + 1), Event: sinktest.Event(fmt.Sprint("e", i%entities), uint64(i+1))}
	}
	return all
}

func requests(t *testing.T, p *peer, o sinks.RequestOptions) sinks.Sink {
	t.Helper()
	s, err := sinks.Requests(p.open, o)(t.Context(), sinks.Ownership{Sink: "hook"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func deliver(t *testing.T, s sinks.Sink, all []sinks.Item) {
	t.Helper()
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: all}); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, s sinks.Sink) {
	t.Helper()
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsGoSideBySideAndOneAtATimeForAnEntity(t *testing.T) {
	for name, batch := range map[string]int{"alone": 1, "in batches": 7} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{takes: 10 * time.Millisecond}
				p.answer = func([]sinks.Item) error {
					if rand.IntN(4) == 0 {
						return errors.New("busy for once")
					}
					return nil
				}
				s := requests(t, p, sinks.RequestOptions{Concurrency: 6, BatchEvents: batch, MaxAttempts: 1000})
				deliver(t, s, items(600, 20))
				flush(t, s)
				p.wantInOrder(t, 600)
				if p.most != 6 {
					t.Errorf("at most %d requests were under way, want 6", p.most)
				}
				if err := s.Close(); err != nil || !p.closed {
					t.Errorf("close: %v; the sender is closed: %v", err, p.closed)
				}
			})
		})
	}
}

// refusing fails for one sequence.
func refusing(sequence uint64, err error) func([]sinks.Item) error {
	return func(items []sinks.Item) error {
		if slices.ContainsFunc(items, func(i sinks.Item) bool { return i.Sequence == sequence }) {
			return err
		}
		return nil
	}
}

// pour delivers an event of its own entity every second, so that a destination has something to accept.
func pour(t *testing.T, s sinks.Sink, from uint64, n int) {
	t.Helper()
	for i := range uint64(n) {
		deliver(t, s, []sinks.Item{{Sequence: from + i, Event: sinktest.Event(fmt.Sprint("other", from+i), from+i)}})
		time.Sleep(time.Second)
	}
}

func TestARefusedEventHoldsUpItsEntityAloneAndIsGivenUpAfterItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: refusing(3, fmt.Errorf("answered 422: %w", sinks.ErrRejected))}
		s := requests(t, p, sinks.RequestOptions{Concurrency: 2, MaxAttempts: 5})
		defer s.Close()
		deliver(t, s, items(40, 4))
		synctest.Wait()
		if got := p.accepted(); len(got) != 30 || slices.Contains(got, 7) {
			t.Errorf("while it is tried again: %d events, 7 among them: %v; want the 30 of other entities", len(got), slices.Contains(got, 7))
		}
		pour(t, s, 100, 120)
		durable, err := s.Flush(t.Context())
		var refused *sinks.Refused
		if !events.IsPermanent(err) || !errors.As(err, &refused) || refused.Sequence != 3 {
			t.Fatalf("got %v, %v; want 3 to be refused", durable, err)
		}
		// Attempts between which nothing else was accepted do not count.
		tries := len(p.tried(3))
		if want := fmt.Sprintf("%d times: answered 422: rejected", tries); refused.Error() != want || tries < 5 || tries > 15 {
			t.Errorf("got %q after %d attempts, want %q", refused, tries, want)
		}
		flush(t, s)
		p.wantInOrder(t, 39+120)
	})
}

func TestEveryAttemptsErrorIsInTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		p := &peer{}
		p.answer = func(items []sinks.Item) error {
			if items[0].Sequence != 1 {
				return nil
			}
			if n++; n <= 2 {
				return errors.New("no answer in time")
			}
			return fmt.Errorf("answered 500 in its attempt %d", min(n, 12))
		}
		s := requests(t, p, sinks.RequestOptions{MaxAttempts: 14})
		defer s.Close()
		deliver(t, s, items(1, 1))
		pour(t, s, 100, 900)
		_, err := s.Flush(t.Context())
		var refused *sinks.Refused
		if !errors.As(err, &refused) {
			t.Fatal(err)
		}
		for _, want := range []string{"2 times: no answer in time", "; answered 500 in its attempt 3; ", "6 others"} {
			if !strings.Contains(refused.Error(), want) && want != "6 others" {
				t.Errorf("got %q, want %q in it", refused, want)
			}
		}
		if !strings.HasSuffix(refused.Error(), " others") {
			t.Errorf("got %q, want the number of others at its end", refused)
		}
	})
}

func TestNothingIsHeldAgainstEventsWhileTheDestinationAcceptsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: func([]sinks.Item) error { return errors.New("connection refused") }}
		s := requests(t, p, sinks.RequestOptions{MaxAttempts: 2})
		defer s.Close()
		deliver(t, s, items(500, 50))
		time.Sleep(72 * time.Hour)
		p.mu.Lock()
		tries := len(p.attempts)
		var gaps []time.Duration
		for i := max(20, 1); i < tries; i++ {
			gaps = append(gaps, p.attempts[i].at.Sub(p.attempts[i-1].at))
		}
		p.mu.Unlock()
		if most := slices.Max(gaps); most > 61*time.Second {
			t.Errorf("a probe came %v after the one before", most)
		}
		if tries > 72*3600/30+20 || tries < 72*60 {
			t.Errorf("%d attempts in three days, want one every 30 to 60 seconds", tries)
		}
		p.be(nil)
		start := time.Now()
		flush(t, s)
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("the backlog was delivered %v after the recovery", took)
		}
		p.wantInOrder(t, 500)
	})
}

func TestAPausedSinkHasOneProbeUnderWayAndTriesAllEntities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{takes: 5 * time.Second, answer: func([]sinks.Item) error { return errors.New("answered 503") }}
		s := requests(t, p, sinks.RequestOptions{BatchEvents: 50})
		defer s.Close()
		deliver(t, s, items(500, 50))
		time.Sleep(time.Minute)
		p.mu.Lock()
		p.most, p.attempts = 0, nil
		p.mu.Unlock()
		time.Sleep(3 * time.Hour)
		p.mu.Lock()
		defer p.mu.Unlock()
		probed := map[uint64]bool{}
		for _, a := range p.attempts {
			if len(a.sequences) != 1 {
				t.Errorf("a probe of %d events", len(a.sequences))
			}
			probed[a.sequences[0]] = true
		}
		// A poison event at the head must not be all that is ever tried.
		if p.most != 1 || len(probed) != 50 {
			t.Errorf("%d at once, %d different events; want 1, and the 50 first ones of their entities", p.most, len(probed))
		}
	})
}

func TestALonelyEventThatFailsDoesNotPauseTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: refusing(1, errors.New("answered 500"))}
		s := requests(t, p, sinks.RequestOptions{MaxAttempts: 3})
		defer s.Close()
		deliver(t, s, items(1, 1))
		time.Sleep(time.Hour)
		if n := len(p.tried(1)); n < 60 {
			t.Errorf("tried %d times in an hour", n)
		}
		deliver(t, s, []sinks.Item{{Sequence: 2, Event: sinktest.Event("z", 2)}})
		synctest.Wait()
		if got := p.accepted(); !slices.Equal(got, []uint64{2}) {
			t.Errorf("got %v, want the other one at once", got)
		}
	})
}

func TestADestinationThatAsksForTimeGetsIt(t *testing.T) {
	for name, asked := range map[string]time.Duration{"a short one": 7 * time.Second, "a long one": 20 * time.Minute, "a mad one": 10 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{takes: time.Second}
				var until time.Time
				early := 0
				p.answer = func([]sinks.Item) error {
					if until.IsZero() {
						until = time.Now().Add(min(asked, time.Hour))
						return events.RetryAfter(asked, errors.New("answered 503"))
					}
					if time.Now().Before(until.Add(time.Second)) && time.Now().After(until.Add(time.Second-asked)) {
						early++
					}
					return nil
				}
				s := requests(t, p, sinks.RequestOptions{Concurrency: 1})
				defer s.Close()
				deliver(t, s, items(50, 10))
				flush(t, s)
				if early > 0 {
					t.Errorf("%d requests in the time that it asked for", early)
				}
				if late := time.Since(until); late > 5*time.Minute {
					t.Errorf("done %v after that time", late)
				}
				p.wantInOrder(t, 50)
			})
		})
	}
}

func TestTooManyRequestsAreNotHeldAgainstAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		p := &peer{}
		p.answer = func(items []sinks.Item) error {
			if n++; items[0].Sequence == 1 && len(p.attempts) < 2000 {
				return events.RetryAfter(time.Second, fmt.Errorf("answered 429: %w", sinks.ErrThrottled))
			}
			return nil
		}
		s := requests(t, p, sinks.RequestOptions{MaxAttempts: 2})
		defer s.Close()
		deliver(t, s, items(1, 1))
		pour(t, s, 100, 3000)
		flush(t, s)
		p.wantInOrder(t, 3001)
	})
}

func TestADestinationThatIsGoneIsNotCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: func([]sinks.Item) error { return &sinks.Shut{Err: errors.New("answered 410"), ForGood: true} }}
		s := requests(t, p, sinks.RequestOptions{Concurrency: 1})
		deliver(t, s, items(50, 10))
		time.Sleep(30 * 24 * time.Hour)
		if n := p.tries(); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		_ = s.Close()
		p.be(nil)
		again := requests(t, p, sinks.RequestOptions{})
		defer again.Close()
		deliver(t, again, items(50, 10))
		flush(t, again)
		p.wantInOrder(t, 50)
	})
}

func TestADestinationThatShutsUsOutIsProbedSlowlyAndNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: func([]sinks.Item) error { return &sinks.Shut{Err: errors.New("answered 401")} }}
		s := requests(t, p, sinks.RequestOptions{MaxAttempts: 1, Concurrency: 4})
		defer s.Close()
		deliver(t, s, items(200, 20))
		time.Sleep(24 * time.Hour)
		if n := p.tries(); n < 24*6 || n > 24*12+20 {
			t.Errorf("%d attempts in a day, want one every 5 to 10 minutes", n)
		}
		p.be(nil)
		flush(t, s)
		p.wantInOrder(t, 200)
	})
}

// A filter in front of an endpoint may answer 403 to what one event says, and to no other.
func TestBeingShutOutForOneEventCountsAgainstIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: refusing(1, &sinks.Shut{Err: errors.New("answered 403")})}
		s := requests(t, p, sinks.RequestOptions{MaxAttempts: 15})
		defer s.Close()
		deliver(t, s, items(30, 3))
		start := time.Now()
		pour(t, s, 100, 2000)
		_, err := s.Flush(t.Context())
		var refused *sinks.Refused
		if !errors.As(err, &refused) || refused.Sequence != 1 {
			t.Fatalf("got %v, want 1 to be refused", err)
		}
		late := 0
		for sequence := range uint64(2000) {
			if p.tried(100 + sequence)[0].Sub(start) > time.Duration(sequence+1)*time.Second {
				late++
			}
		}
		if late > 31 {
			t.Errorf("%d of 2000 others were held up, want those of one pause or two", late)
		}
		flush(t, s)
		p.wantInOrder(t, 29+2000)
	})
}

func TestABatchIsTakenApartToFindWhatIsRefused(t *testing.T) {
	for name, reason := range map[string]error{
		"for good": events.Permanent(errors.New("answered 413")), "by its content": fmt.Errorf("answered 400: %w", sinks.ErrRejected), "by an error": errors.New("answered 500"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{answer: refusing(33, reason), takes: time.Millisecond}
				s := requests(t, p, sinks.RequestOptions{BatchEvents: 20, MaxAttempts: 3, Concurrency: 2})
				defer s.Close()
				deliver(t, s, items(200, 40))
				pour(t, s, 1000, 300)
				_, err := s.Flush(t.Context())
				var refused *sinks.Refused
				if !errors.As(err, &refused) || refused.Sequence != 33 {
					t.Fatalf("got %v, want 33 to be refused", err)
				}
				flush(t, s)
				p.wantInOrder(t, 199+300)
				for _, i := range p.got {
					// With the others, and alone; where nothing had been accepted yet, once more with the others.
					if n := len(p.tried(i.Sequence)); n > 3 {
						t.Errorf("%d was tried %d times because of another", i.Sequence, n)
					}
				}
			})
		})
	}
}

func TestBatchesKeepToTheirBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{takes: time.Second}
		s := requests(t, p, sinks.RequestOptions{BatchEvents: 100, BatchBytes: 10_000, Concurrency: 1})
		defer s.Close()
		all := items(100, 30)
		for i := range all {
			all[i].Event.Data = make([]byte, 3000)
		}
		all[50].Event.Data = make([]byte, 50_000)
		deliver(t, s, all)
		flush(t, s)
		p.wantInOrder(t, 100)
		for _, a := range p.attempts {
			if len(a.sequences) > 3 || slices.Contains(a.sequences, 51) && len(a.sequences) > 1 {
				t.Errorf("a request with %v", a.sequences)
			}
		}
	})
}

func TestADestinationThatRefusesEverythingForGoodDoesNotEmptyTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: func([]sinks.Item) error { return events.Permanent(errors.New("answered 413")) }}
		s := requests(t, p, sinks.RequestOptions{})
		defer s.Close()
		deliver(t, s, items(500, 500))
		refused := 0
		for range 1000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			_, err := s.Flush(ctx)
			cancel()
			if !events.IsPermanent(err) {
				break
			}
			refused++
		}
		if refused == 0 || refused > 16+8 {
			t.Errorf("%d events were given up, want a few", refused)
		}
		p.be(nil)
		flush(t, s)
		p.wantInOrder(t, 500-refused)
	})
}

func TestClosingBreaksOffWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{takes: time.Hour}
		s := requests(t, p, sinks.RequestOptions{})
		deliver(t, s, items(50, 20))
		synctest.Wait()
		start := time.Now()
		if err := s.Close(); err != nil || time.Since(start) > 0 || len(p.accepted()) > 0 {
			t.Errorf("close: %v after %v with %d accepted", err, time.Since(start), len(p.accepted()))
		}
	})
}

func TestWhatComesAgainIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: refusing(4, errors.New("answered 500"))}
		s := requests(t, p, sinks.RequestOptions{MaxAttempts: 1000})
		defer s.Close()
		deliver(t, s, items(20, 10))
		synctest.Wait()
		durable, err := s.Deliver(t.Context(), sinks.Batch{Items: items(20, 10)})
		if err != nil || len(durable) != 18+18 { // once for each time that it came
			t.Errorf("got %v, %v", durable, err)
		}
		synctest.Wait()
		p.wantInOrder(t, 18)
	})
}

func TestProgressTellsWhatIsSettled(t *testing.T) {
	p := sinks.Progress{Top: 10, Open: []uint64{3, 7}}
	for sequence, want := range map[uint64]bool{1: true, 3: false, 4: true, 7: false, 10: true, 11: false} {
		if p.Settled(sequence) != want {
			t.Errorf("%d: got %v, want %v", sequence, !want, want)
		}
	}
	if (sinks.Progress{}).Settled(1) {
		t.Error("without progress something is settled")
	}
}
