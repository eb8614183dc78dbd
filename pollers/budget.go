package pollers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// Budget is the rate budget of one vendor account, shared by every process: the generic cell rate algorithm with its
// one number (when the next request may be sent) under compare-and-set. Requests are evenly spaced, and a little further apart than
// the rate asks for: a request that is sent a moment after its turn must not make one too many in the vendor's count.
type Budget struct {
	store  Store
	key    string
	rate   Rate
	gap    time.Duration
	slack  time.Duration // in a period
	now    func() time.Time
	jitter jitter
}

// budgetState is the value in the bucket, times in Unix nanoseconds.
type budgetState struct {
	Next int64 `json:"next"` // before it no request is sent
	Held int64 `json:"held"` // the vendor asked to be left alone until then
	// Minute is the Unix minute of the last turn, Taken the turns in it, Before those in the minute before it.
	Minute int64 `json:"minute,omitempty"`
	Taken  int   `json:"taken,omitempty"`
	Before int   `json:"before,omitempty"`
}

// disbelieve takes back what only a clock that was ahead can have written: the vendor is left alone for as long as it may ask to be, and turns
// are given from a period later on, when nothing that was sent before counts any more.
func (s *budgetState) disbelieve(now time.Time, gap, period time.Duration) {
	if most := now.Add(maxRetryAfter).UnixNano(); s.Held > most {
		s.Held = most
	}
	if s.Next > now.Add(longestQueue(gap)).UnixNano() {
		s.Next = now.Add(period).UnixNano()
	}
}

// longestQueue is how far ahead turns are taken by a hundred who wait for theirs, after a hold.
func longestQueue(gap time.Duration) time.Duration { return 100*gap + maxRetryAfter }

// note counts a turn at a time in Unix nanoseconds.
func (s *budgetState) note(at int64) {
	minute := at / int64(time.Minute)
	if minute > s.Minute {
		s.Before = 0
		if minute == s.Minute+1 {
			s.Before = s.Taken
		}
		s.Minute, s.Taken = minute, 0
	}
	s.Taken++
}

// BudgetStatus is what an account's budget looks like to a user.
type BudgetStatus struct {
	Rate Rate
	// HeldUntil is when the vendor, who asked to be left alone, may be asked again; zero: it may be asked now.
	HeldUntil time.Time
	// Queue is how far ahead turns are taken.
	Queue time.Duration
	// LastMinute are the requests of the last whole minute; they are counted for accounts with a rate alone.
	LastMinute int
}

// Status tells how an account's budget stands.
func (b *Budget) Status(ctx context.Context) (BudgetStatus, error) {
	state, _, err := b.read(ctx)
	if err != nil {
		return BudgetStatus{}, err
	}
	now := b.now()
	out := BudgetStatus{Rate: b.rate}
	if held := time.Unix(0, state.Held); held.After(now) {
		out.HeldUntil = held.UTC()
	}
	if next := time.Unix(0, state.Next); next.After(now) {
		out.Queue = next.Sub(now)
	}
	switch minute := now.Unix() / 60; state.Minute {
	case minute:
		out.LastMinute = state.Before
	case minute - 1:
		out.LastMinute = state.Taken
	}
	return out, nil
}

// NewBudget gives an account's budget. A zero rate has no spacing, but the vendor's wish to be left
// alone still holds.
func NewBudget(store Store, account string, rate Rate, now func() time.Time) *Budget {
	sum := sha256.Sum256([]byte(account))
	b := &Budget{store: store, key: hex.EncodeToString(sum[:12]), rate: rate, gap: rate.Gap(), now: now, jitter: rand.N[time.Duration]}
	if rate.Requests > 0 {
		b.slack = min(rate.Period/20, maxSlack)
		b.gap += b.slack / time.Duration(rate.Requests)
	}
	return b
}

const (
	// maxSlack is the most that a period is made longer.
	maxSlack = 50 * time.Millisecond
	// maxForfeits is how often a turn that was slept through is given up for a later one, so that a slow machine gets on at all.
	maxForfeits = 3
)

// Take waits until a request may be sent.
func (b *Budget) Take(ctx context.Context) error {
	for forfeits := 0; ; {
		at, err := b.reserve(ctx)
		if err != nil {
			return err
		}
		if mine, err := b.await(ctx, at); err != nil {
			return err
		} else if !mine {
			continue
		}
		// Sent too late, this request would come close before the next process's.
		if late := b.now().UnixNano() - at; late > int64(b.slack/2) && b.gap > 0 && forfeits < maxForfeits {
			forfeits++
			continue
		}
		return ctx.Err()
	}
}

// await waits for a turn, and tells whether it is still that then.
func (b *Budget) await(ctx context.Context, at int64) (mine bool, err error) {
	for at > b.now().UnixNano() {
		// A clock may be set meanwhile, ours or the one that gave us so late a turn.
		if err := wait(ctx, min(time.Duration(at-b.now().UnixNano()), lookUp)); err != nil {
			return false, err
		}
		state, _, err := b.read(ctx)
		if err != nil {
			return false, err
		}
		// The vendor may have asked to be left alone, or turns are given anew from an earlier time on: then this one is forfeit.
		if state.Held > max(at, b.now().UnixNano()) || b.gap > 0 && state.Next <= at {
			return false, nil
		}
	}
	return true, nil
}

// lookUp is how long at most a taker sleeps without looking at the budget.
const lookUp = time.Minute

// reserve takes the next turn and tells when it comes.
func (b *Budget) reserve(ctx context.Context) (at int64, err error) {
	for {
		state, revision, err := b.read(ctx)
		if err != nil {
			return 0, err
		}
		state.disbelieve(b.now(), b.gap, b.rate.Period)
		at := max(state.Next, state.Held, b.now().UnixNano())
		if b.gap == 0 {
			return at, nil
		}
		state.Next = at + int64(b.gap)
		state.note(at)
		if err := b.write(ctx, state, revision); !errors.Is(err, broker.ErrConflict) {
			return at, err
		}
		if err := wait(ctx, b.jitter(2*time.Millisecond)); err != nil {
			return 0, err
		}
	}
}

// Hold keeps every process from this account for a while, because its vendor asked for it.
func (b *Budget) Hold(ctx context.Context, d time.Duration) error {
	for {
		state, revision, err := b.read(ctx)
		if err != nil {
			return err
		}
		until := b.now().Add(d).UnixNano()
		if state.Held >= until {
			return nil
		}
		state.Held = until
		if err := b.write(ctx, state, revision); !errors.Is(err, broker.ErrConflict) {
			return err
		}
	}
}

func (b *Budget) read(ctx context.Context) (state budgetState, revision uint64, err error) {
	e, err := b.store.Get(ctx, b.key)
	if errors.Is(err, broker.ErrNotFound) {
		return state, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, &state)
	}
	if err != nil {
		return state, 0, fmt.Errorf("read the budget: %w", err)
	}
	return state, e.Revision, nil
}

func (b *Budget) write(ctx context.Context, state budgetState, revision uint64) error {
	value, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode the budget: %w", err)
	}
	if _, err := b.store.Set(ctx, b.key, value, revision); err != nil {
		return fmt.Errorf("take from the budget: %w", err)
	}
	return nil
}

// wait lets time pass, unless the context ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
