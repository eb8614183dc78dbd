package simulated

import (
	"slices"
	"sort"
	"sync"
	"time"
)

// view is what is seen of an account from one moment to the next. Nothing in it changes any more: whoever asks meanwhile gets the
// same, so that a request costs what it reads and not what the account holds.
type view struct {
	chats       []Chat // by End
	edits       int
	from, until time.Time // half-open; zero is without end
	first, last int       // the numbers of the chats at the ends
}

// index prepares what views need to know of all chats.
func (a *Account) index() {
	for _, c := range a.chats {
		a.longest = max(a.longest, c.End.Sub(c.Start))
		for _, at := range []time.Time{c.End, c.RatedAt, c.TaggedAt} {
			if !at.IsZero() {
				a.moments = append(a.moments, at)
			}
		}
	}
	slices.SortFunc(a.moments, time.Time.Compare)
}

// Chats gives the chats that have ended by now, oldest end first, showing only the ratings, tags and edits that have been
// made by now. All who ask get the same slice for as long as nothing changes: it must be cloned to be sorted or filtered in place.
func (a *Account) Chats() []Chat { return a.view().chats }

// Between gives the chats that may touch [from, to): a part of Chats, in which is every chat that does, and some that end before from
// or start at to or soon after it. It costs no more than they are.
func (a *Account) Between(from, to time.Time) []Chat {
	chats := a.view().chats
	first := sort.Search(len(chats), func(i int) bool { return !chats[i].End.Before(from) })
	last := sort.Search(len(chats), func(i int) bool { return chats[i].End.After(to.Add(a.longest)) })
	return chats[first:max(first, last):max(first, last)]
}

// Derived keeps what a simulator makes of all chats, such as another order or an index, for as long as they do not change. Its
// zero value is ready; it is safe for concurrent use.
type Derived[T any] struct {
	mu    sync.Mutex
	of    *view
	value T
}

// Get gives what derive makes of the account's chats, which it must not change.
func (d *Derived[T]) Get(a *Account, derive func([]Chat) T) T {
	v := a.view()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of != v {
		d.of, d.value = v, derive(v.chats)
	}
	return d.value
}

// view gives what is seen now.
func (a *Account) view() *view {
	now := a.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil || !a.seen.holds(now, a.edits) {
		a.seen = a.look(now)
	}
	a.seen.check()
	return a.seen
}

// look makes the view of a moment. a.mu is held.
func (a *Account) look(now time.Time) *view {
	n := sort.Search(len(a.chats), func(i int) bool { return a.chats[i].End.After(now) })
	v := &view{chats: make([]Chat, n), edits: a.edits}
	for i, c := range a.chats[:n] {
		v.chats[i] = c.seenAt(now)
	}
	if n > 0 {
		v.first, v.last = v.chats[0].Number, v.chats[n-1].Number
	}
	next := sort.Search(len(a.moments), func(i int) bool { return a.moments[i].After(now) })
	if next > 0 {
		v.from = a.moments[next-1]
	}
	if next < len(a.moments) {
		v.until = a.moments[next]
	}
	return v
}

func (v *view) holds(now time.Time, edits int) bool {
	return v.edits == edits && !now.Before(v.from) && (v.until.IsZero() || now.Before(v.until))
}

// check finds a simulator that changed what it was given to read: what it does next would be seen by no test.
func (v *view) check() {
	if n := len(v.chats); n > 0 && (v.chats[0].Number != v.first || v.chats[n-1].Number != v.last) {
		panic("simulated: the slice of Account.Chats was changed; clone it first")
	}
}
