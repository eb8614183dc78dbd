package simulated_test

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// ticking is an account whose clock the test moves.
func ticking(o simulated.Options) (*simulated.Account, *atomic.Int64) {
	clock := new(atomic.Int64)
	clock.Store(start.UnixNano())
	o.Seed, o.Start, o.Now = 7, start, func() time.Time { return time.Unix(0, clock.Load()).UTC() }
	return simulated.New(o), clock
}

func TestTheSameSliceIsGivenUntilSomethingChanges(t *testing.T) {
	a, clock := ticking(simulated.Options{LivePerHour: 20})
	first := a.Chats()
	if again := a.Chats(); &again[0] != &first[0] {
		t.Error("the chats were copied though nothing changed")
	}
	before := slices.Clone(first)
	if a.Change(2); &a.Chats()[0] == &first[0] {
		t.Error("a change is not seen")
	}
	clock.Add(int64(3 * time.Minute))
	if n := len(a.Chats()); n != len(first)+1 {
		t.Errorf("%d chats when one more has ended, there were %d", n, len(first))
	}
	if !reflect.DeepEqual(before, first) {
		t.Error("what was given before has changed")
	}
}

func TestWhatIsSeenDoesNotDependOnWhatWasAskedBefore(t *testing.T) {
	asked, clock := ticking(simulated.Options{LivePerHour: 20})
	for i := range 60 {
		at := start.Add(time.Duration(i*7919%1800-300) * time.Minute) // to and fro, from before the start
		clock.Store(at.UnixNano())
		if want := account(at, simulated.Options{LivePerHour: 20}).Chats(); !reflect.DeepEqual(asked.Chats(), want) {
			t.Fatalf("at %s other chats are seen than by one who asks for the first time", at)
		}
	}
}

func TestBetweenHoldsEveryChatThatTouchesThePeriodAndFewOthers(t *testing.T) {
	a, _ := ticking(simulated.Options{Chats: 500})
	for hour := -15 * 24; hour < 5; hour += 5 {
		from := start.Add(time.Duration(hour) * time.Hour)
		to := from.Add(3 * time.Hour)
		numbers := map[int]bool{}
		for _, c := range a.Between(from, to) {
			numbers[c.Number] = true
			if c.End.Before(from) || c.Start.After(to.Add(time.Hour)) {
				t.Errorf("chat %d from %s to %s is far outside of %s to %s", c.Number, c.Start, c.End, from, to)
			}
		}
		for _, c := range a.Chats() {
			if touches := !c.End.Before(from) && c.Start.Before(to); touches && !numbers[c.Number] {
				t.Errorf("chat %d from %s to %s is missing between %s and %s", c.Number, c.Start, c.End, from, to)
			}
		}
	}
	if n := len(a.Between(start, start.AddDate(0, 0, -1))); n != 0 {
		t.Errorf("%d chats of a period that ends before it begins", n)
	}
}

func TestWhatIsDerivedLastsAsLongAsTheChats(t *testing.T) {
	a, clock := ticking(simulated.Options{LivePerHour: 20})
	var count simulated.Derived[int]
	made := 0
	get := func() int { return count.Get(a, func(chats []simulated.Chat) int { made++; return len(chats) }) }
	for range 3 {
		if n := get(); n != 200 || made != 1 {
			t.Errorf("%d chats, made %d times for the same ones", n, made)
		}
	}
	clock.Add(int64(3 * time.Minute))
	if get() != 201 || made != 2 {
		t.Errorf("made %d times, %d chats; want it made anew for one more", made, get())
	}
}

func TestASimulatorThatChangesWhatItReadsIsFound(t *testing.T) {
	for name, change := range map[string]func([]simulated.Chat){
		"filtering in place": func(chats []simulated.Chat) {
			_ = slices.DeleteFunc(chats, func(c simulated.Chat) bool { return c.Missed })
		},
		"sorting": func(chats []simulated.Chat) {
			slices.SortFunc(chats, func(a, b simulated.Chat) int { return b.Start.Compare(a.Start) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := ticking(simulated.Options{})
			change(slices.Clone(a.Chats()))
			_ = a.Chats()
			defer func() {
				if recover() == nil {
					t.Error("it went unseen")
				}
			}()
			change(a.Chats())
			_ = a.Chats()
		})
	}
}

func TestManyMayAskAtOnce(t *testing.T) {
	a, clock := ticking(simulated.Options{LivePerHour: 60})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				clock.Add(int64(time.Second))
				if n := len(a.Chats()); n < 200 {
					t.Errorf("%d chats", n)
				}
				a.Change(1)
			}
		})
	}
	wg.Wait()
}

// BenchmarkChats asks an account of 100,000 for all its chats and for those of an hour.
func BenchmarkChats(b *testing.B) {
	a, _ := ticking(simulated.Options{Chats: 100_000})
	_ = a.Chats() // what follows is what each further request costs
	b.ReportAllocs()
	for b.Loop() {
		if len(a.Chats()) != 100_000 || len(a.Between(start.Add(-time.Hour), start)) == 0 {
			b.Fatal("chats are missing")
		}
	}
}
