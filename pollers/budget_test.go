package pollers_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-stream/parley/pollers"
)

// takers take permits as different processes would and note when, until the context ends.
type takers struct {
	mu    sync.Mutex
	times []time.Time
	wg    sync.WaitGroup
}

func (k *takers) start(ctx context.Context, b *pollers.Budget) {
	k.wg.Go(func() {
		for b.Take(ctx) == nil {
			k.mu.Lock()
			k.times = append(k.times, time.Now())
			k.mu.Unlock()
		}
	})
}

// sorted are the times of the permits, once all takers have ended.
func (k *takers) sorted() []time.Time {
	k.wg.Wait()
	slices.SortFunc(k.times, time.Time.Compare)
	return k.times
}

func TestEightTakersTogetherKeepTheExactRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, rate := newMemory(), pollers.Rate{Requests: 180, Period: time.Minute}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var k takers
		for range 8 {
			k.start(ctx, pollers.NewBudget(store, "acme", rate, time.Now))
		}
		times := k.sorted()
		if n := len(times); n < 360-2 || n > 360 {
			t.Errorf("%d permits in two minutes; want 360", n)
		}
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < rate.Gap() {
				t.Fatalf("permit %d came %s after the one before; want %s", i, gap, rate.Gap())
			}
		}
	})
}

// The vendor counts what arrives, not what was permitted: any eleven arrivals at 10/s must span a second.
func TestRequestsThatAreSentALittleLateMakeNoneTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, rate := newMemory(), pollers.Rate{Requests: 10, Period: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		rng := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		var arrivals []time.Time
		var wg sync.WaitGroup
		for range 4 {
			b := pollers.NewBudget(store, "acme", rate, time.Now)
			wg.Go(func() {
				for b.Take(ctx) == nil {
					mu.Lock()
					arrivals = append(arrivals, time.Now().Add(time.Duration(rng.Int64N(int64(45*time.Millisecond)))))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.SortFunc(arrivals, time.Time.Compare)
		if n := len(arrivals); n < 1100 {
			t.Errorf("%d requests in two minutes; want nearly 1200", n)
		}
		for i := 10; i < len(arrivals); i++ {
			if span := arrivals[i].Sub(arrivals[i-10]); span < time.Second {
				t.Fatalf("11 requests arrived within %s", span)
			}
		}
	})
}

// lateStore is a store whose answers come late: who was stopped meanwhile must not send on an old turn.
type lateStore struct {
	*memory
	late []time.Duration // of the next writes
}

func (s *lateStore) Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if len(s.late) > 0 {
		time.Sleep(s.late[0]) // virtual
		s.late = s.late[1:]
	}
	return s.memory.Set(ctx, key, value, revision)
}

func TestATurnThatWasSleptThroughIsForfeit(t *testing.T) {
	for name, c := range map[string]struct {
		late []time.Duration
		want time.Duration // until the permit
	}{
		"once":              {[]time.Duration{300 * time.Millisecond}, 300 * time.Millisecond},
		"always, in vain":   {slices.Repeat([]time.Duration{300 * time.Millisecond}, 9), 1200 * time.Millisecond},
		"less than matters": {[]time.Duration{20 * time.Millisecond}, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &lateStore{memory: newMemory(), late: c.late}
				start := time.Now()
				if err := pollers.NewBudget(store, "acme", pollers.Rate{Requests: 10, Period: time.Second}, time.Now).Take(t.Context()); err != nil {
					t.Fatal(err)
				}
				taken := len(c.late) - len(store.late)
				if waited := time.Since(start); waited < c.want || waited > c.want+110*time.Millisecond {
					t.Errorf("the permit came after %s and %d late writes; want %s", waited, taken, c.want)
				}
				status, err := pollers.NewBudget(store.memory, "acme", pollers.Rate{Requests: 10, Period: time.Second}, time.Now).Status(t.Context())
				if err != nil || name == "once" && status.Queue == 0 {
					t.Errorf("status %+v, %v; want the next turn to lie ahead", status, err)
				}
			})
		})
	}
}

func TestTheStatusOfABudgetTellsWhatAUserAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, rate := newMemory(), pollers.Rate{Requests: 60, Period: time.Minute}
		b := pollers.NewBudget(store, "acme", rate, time.Now)
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute))) // virtual: a minute begins
		for range 30 {
			if err := b.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if err := b.Hold(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		got, err := b.Status(t.Context())
		if want := time.Now().Add(time.Hour).UTC(); err != nil || got.Rate != rate || got.LastMinute != 30 || !got.HeldUntil.Equal(want) {
			t.Errorf("%+v, %v; want 30 requests in the last minute and a hold until %s", got, err, want)
		}
		time.Sleep(2 * time.Minute)
		if got, err := b.Status(t.Context()); err != nil || got.LastMinute != 0 {
			t.Errorf("%+v, %v; want no request in the last minute", got, err)
		}
	})
}

func TestTwoAccountsHaveTwoBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, rate := newMemory(), pollers.Rate{Requests: 1, Period: time.Hour}
		start := time.Now()
		for _, account := range []string{"acme/1", "acme/2"} {
			if err := pollers.NewBudget(store, account, rate, time.Now).Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the second account waited %s for the first", waited)
		}
	})
}

func TestAHoldKeepsBackEveryTakerEvenThoseThatWaitForTheirTurn(t *testing.T) {
	rates := map[string]pollers.Rate{"with a rate": {Requests: 1, Period: time.Second}, "without a rate": {}}
	for name, rate := range rates {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, start := newMemory(), time.Now()
				budget := func() *pollers.Budget { return pollers.NewBudget(store, "acme", rate, time.Now) }
				if err := budget().Take(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := budget().Hold(t.Context(), 2*time.Second); err != nil {
					t.Fatal(err)
				}
				var mu sync.Mutex
				var waits []time.Duration
				var wg sync.WaitGroup
				for range 8 {
					b := budget()
					wg.Go(func() {
						if err := b.Take(t.Context()); err != nil {
							t.Error(err)
						}
						mu.Lock()
						defer mu.Unlock()
						waits = append(waits, time.Since(start))
					})
				}
				synctest.Wait() // all have a turn
				if err := budget().Hold(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
				if err := budget().Hold(t.Context(), time.Second); err != nil { // a shorter one changes nothing
					t.Fatal(err)
				}
				wg.Wait()
				slices.Sort(waits)
				if waits[0] < time.Minute || waits[7] > 2*time.Minute {
					t.Errorf("the permits came after %s; want none within the minute", waits)
				}
				if rate.Requests > 0 && waits[7]-waits[0] < 7*time.Second {
					t.Errorf("the permits came after %s; want one a second", waits)
				}
			})
		})
	}
}

func TestAZeroRateNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := pollers.NewBudget(newMemory(), "acme", pollers.Rate{}, time.Now), time.Now()
		for range 1000 {
			if err := b.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("1000 permits took %s", waited)
		}
	})
}

func TestATakerEndsWithItsContextAndWithItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		b := pollers.NewBudget(store, "acme", pollers.Rate{Requests: 1, Period: time.Hour}, time.Now)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Take(ctx); err != nil {
			t.Fatal(err)
		}
		if err := b.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a taker whose context ended: %v", err)
		}
		if err := b.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a taker whose context had ended: %v", err)
		}
		store.fails = errors.New("no server")
		if err := b.Take(t.Context()); !errors.Is(err, store.fails) {
			t.Errorf("a taker without its store: %v", err)
		}
		if err := b.Hold(t.Context(), time.Hour); !errors.Is(err, store.fails) {
			t.Errorf("a hold without its store: %v", err)
		}
	})
}

func TestRates(t *testing.T) {
	good := map[string]pollers.Rate{
		"3/s": {Requests: 3, Period: time.Second}, "180/m": {Requests: 180, Period: time.Minute}, "1000/h": {Requests: 1000, Period: time.Hour},
		" 2 / s ": {Requests: 2, Period: time.Second},
	}
	for text, want := range good {
		var got pollers.Rate
		if err := got.EnvDecode(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
		var again pollers.Rate
		if err := again.EnvDecode(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %v, %v", text, got, again, err)
		}
		if got.Gap()*time.Duration(got.Requests) < got.Period {
			t.Errorf("%q has a gap of %s: too many requests", text, got.Gap())
		}
	}
	for _, text := range []string{"", "3", "3/", "/s", "0/s", "-1/s", "3/d", "3.5/s", "3/s/s", "many/s"} {
		var got pollers.Rate
		if err := got.EnvDecode(text); err == nil || got != (pollers.Rate{}) {
			t.Errorf("%q is %v, %v; want an error", text, got, err)
		}
	}
	if none := (pollers.Rate{}); none.Gap() != 0 || none.String() != "none" {
		t.Errorf("no rate is %q with a gap of %s", none, none.Gap())
	}
}
