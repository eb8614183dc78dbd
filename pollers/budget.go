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
// one number (when the next request may be sent) under compare-and-set. Requests are evenly spaced.
type Budget struct {
	store Store
	key   string
	gap   time.Duration
	now   func() time.Time
}

// budgetState is the value in the bucket, times in Unix nanoseconds.
type budgetState struct {
	Next int64 `json:"next"` // before it no request is sent
	Held int64 `json:"held"` // the vendor asked to be left alone until then
}

// NewBudget gives an account's budget. A zero rate has no spacing, but the vendor's wish to be left
// alone still holds.
func NewBudget(store Store, account string, rate Rate, now func() time.Time) *Budget {
	sum := sha256.Sum256([]byte(account))
	return &Budget{store: store, key: hex.EncodeToString(sum[:12]), gap: rate.Gap(), now: now}
}

// Take waits until a request may be sent.
func (b *Budget) Take(ctx context.Context) error {
	for {
		at, err := b.reserve(ctx)
		if err != nil {
			return err
		}
		if at <= b.now().UnixNano() {
			return ctx.Err()
		}
		if err := b.sleep(ctx, at); err != nil {
			return err
		}
		// Meanwhile the vendor may have asked to be left alone: then this turn is forfeit.
		state, _, err := b.read(ctx)
		if err != nil {
			return err
		}
		if state.Held <= b.now().UnixNano() {
			return nil
		}
	}
}

// reserve takes the next turn and tells when it comes.
func (b *Budget) reserve(ctx context.Context) (at int64, err error) {
	for {
		state, revision, err := b.read(ctx)
		if err != nil {
			return 0, err
		}
		at := max(state.Next, state.Held, b.now().UnixNano())
		if b.gap == 0 {
			return at, nil
		}
		state.Next = at + int64(b.gap)
		if err := b.write(ctx, state, revision); !errors.Is(err, broker.ErrConflict) {
			return at, err
		}
		if err := wait(ctx, rand.N(2*time.Millisecond)); err != nil {
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

func (b *Budget) sleep(ctx context.Context, until int64) error {
	return wait(ctx, time.Duration(until-b.now().UnixNano()))
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
