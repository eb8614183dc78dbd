package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// Halted says that somebody has stopped a sink. It is a person's word, and lasts until a person takes it back; a Pause is the sink's own.
type Halted struct {
	Since time.Time `json:"since"`
}

// ErrHalted is in Drain's error while the sink is halted.
var ErrHalted = errors.New("the sink is halted")

// haltKey is the key of parley-sinks, after the sink's name, that a Halted is stored under.
const haltKey = ".halt"

// lookForHalt is how often a Runner asks whether its sink is halted.
const lookForHalt = time.Second

// Halt has a sink deliver nothing, in any process and after any restart, until Resume. What is under way is finished, and its backlog
// waits in its consumer; what it is given again (Options.Replay) waits as well. Halting again changes nothing.
func Halt(ctx context.Context, bucket *broker.Bucket, name string, now time.Time) error {
	value, _ := json.Marshal(Halted{Since: now.UTC()}) // times always encode
	if _, err := bucket.Set(ctx, name+haltKey, value, 0); err != nil && !errors.Is(err, broker.ErrConflict) {
		return fmt.Errorf("halt sink %s: %w", name, err)
	}
	return nil
}

// Resume has a halted sink go on, as one that is started anew.
func Resume(ctx context.Context, bucket *broker.Bucket, name string) error {
	if err := bucket.Delete(ctx, name+haltKey); err != nil {
		return fmt.Errorf("resume sink %s: %w", name, err)
	}
	return nil
}

// HaltOf tells whether a sink is halted; nil when it is not.
func HaltOf(ctx context.Context, bucket *broker.Bucket, name string) (*Halted, error) {
	h := new(Halted)
	if err := read(ctx, bucket, name+haltKey, h); err != nil || h.Since.IsZero() {
		return nil, err
	}
	return h, nil
}

func (r *Runner) halted(ctx context.Context) (*Halted, error) {
	bucket, err := r.broker.Bucket(ctx, broker.SinksBucket)
	if err != nil {
		return nil, err
	}
	return HaltOf(ctx, bucket, r.name)
}

// awaitResume returns once the sink is not halted, or the context has ended. Who cannot ask does not deliver.
func (r *Runner) awaitResume(ctx context.Context) {
	var drains chan chan error // nil until it is known that the sink is halted
	for ctx.Err() == nil {
		h, err := r.halted(ctx)
		if err == nil {
			r.count(func(s *Stats) { s.Halt = h })
			if h == nil {
				return
			}
			if drains == nil {
				drains = r.drains
				r.log.Info("the sink is halted; its backlog waits until it is resumed", "since", h.Since.Format(time.RFC3339))
			}
		}
		select {
		case <-ctx.Done():
		case done := <-drains:
			done <- fmt.Errorf("drain sink %s: %w", r.name, ErrHalted)
		case <-time.After(lookForHalt):
		}
	}
}

// watchHalt ends a delivery when the sink is halted, or returns when the context has ended. While nobody can be asked, the sink goes on.
func (r *Runner) watchHalt(ctx context.Context, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookForHalt):
		}
		if h, err := r.halted(ctx); err == nil && h != nil {
			end(ErrHalted)
			return
		}
	}
}
