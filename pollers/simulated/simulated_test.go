package simulated_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

var start = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func account(now time.Time, o simulated.Options) *simulated.Account {
	o.Seed, o.Start, o.Now = 7, start, func() time.Time { return now }
	return simulated.New(o)
}

func TestOneSeedIsOneStory(t *testing.T) {
	a, b := account(start, simulated.Options{}), account(start, simulated.Options{})
	if !reflect.DeepEqual(a.Chats(), b.Chats()) || !reflect.DeepEqual(a.Agents(), b.Agents()) {
		t.Error("two accounts of one seed differ")
	}
	if n := len(a.Chats()); n != 200 {
		t.Errorf("%d chats; want the default, 200", n)
	}
}

func TestOnlyWhatHasHappenedIsSeen(t *testing.T) {
	for _, now := range []time.Time{start.AddDate(0, 0, -7), start, start.Add(3 * time.Hour)} {
		chats := account(now, simulated.Options{LivePerHour: 20}).Chats()
		for i, c := range chats {
			if c.End.After(now) || c.RatedAt.After(now) || c.TaggedAt.After(now) || c.ChangedAt.After(now) || c.ChangedAt.Before(c.End) {
				t.Errorf("at %s chat %d is seen with end %s, rating %s, tags %s, change %s", now, c.Number, c.End, c.RatedAt, c.TaggedAt, c.ChangedAt)
			}
			if c.RatedAt.IsZero() && c.Comment != "" || c.TaggedAt.IsZero() && c.Tags != nil {
				t.Errorf("chat %d shows a rating or tags before their time", c.Number)
			}
			if i > 0 && c.End.Before(chats[i-1].End) {
				t.Errorf("chat %d is not in the order of the ends", c.Number)
			}
		}
	}
	before, later := account(start, simulated.Options{LivePerHour: 20}), account(start.Add(3*time.Hour), simulated.Options{LivePerHour: 20})
	if n := len(later.Chats()) - len(before.Chats()); n != 60 {
		t.Errorf("%d chats arrived in three hours; want 60", n)
	}
}

func TestAChangeIsOfExactlyTheseChats(t *testing.T) {
	a := account(start, simulated.Options{Chats: 50, Malformed: 3})
	before := a.Chats()
	numbers := map[int]bool{}
	for _, n := range a.Change(4) {
		numbers[n] = true
	}
	if len(numbers) != 4 {
		t.Fatalf("%d numbers; want 4", len(numbers))
	}
	malformed := 0
	for i, c := range a.Chats() {
		if changed := !reflect.DeepEqual(c, before[i]); changed != numbers[c.Number] || changed && (c.Malformed || c.Missed || c.Edits != 1 || !c.ChangedAt.Equal(start)) {
			t.Errorf("chat %d changed: %v; it is now %+v", c.Number, changed, c)
		}
		if c.Malformed {
			malformed++
		}
	}
	if malformed != 3 {
		t.Errorf("%d malformed chats; want 3", malformed)
	}
	if n := len(a.Change(1000)); n >= 50 || n < 30 {
		t.Errorf("%d of 50 chats could be changed", n)
	}
}

func TestWhatWasEditedLeastIsEditedFirstAndOfThatTheNewest(t *testing.T) {
	a := account(start, simulated.Options{Chats: 30})
	can := len(a.Change(1000))
	var order []int
	for range 2 * can {
		order = append(order, a.Change(1)...)
	}
	if first, second := order[:can], order[can:]; !slices.Equal(first, second) || len(first) < 20 {
		t.Errorf("edited in the order %v, and then %v", first, second)
	}
	byNumber := map[int]simulated.Chat{}
	for _, c := range a.Chats() {
		if byNumber[c.Number] = c; c.Edits != 3 && c.Edits != 0 {
			t.Errorf("chat %d has %d edits; want as many as every other", c.Number, c.Edits)
		}
	}
	if !slices.IsSortedFunc(order[:can], func(x, y int) int { return byNumber[y].End.Compare(byNumber[x].End) }) {
		t.Errorf("edited in the order %v; want the newest end first", order[:can])
	}
}
