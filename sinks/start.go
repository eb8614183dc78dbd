package sinks

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// beginning is what the bucket parley-sinks keeps of a sink's first start, under <name>.start. It never changes.
type beginning struct {
	Origin string    `json:"origin"`
	New    bool      `json:"new,omitempty"`
	At     time.Time `json:"at,omitzero"` // START's time
	First  time.Time `json:"first_started_at"`
}

// ErrBusy is in an Opener's error when another process writes to the destination at the moment.
var ErrBusy = errors.New("another process writes to it")

// Check opens the destination as Run does, and closes it again. It tells what was found there, if the room has something to tell.
func (r *Runner) Check(ctx context.Context) (found string, err error) {
	bucket, err := r.broker.Bucket(ctx, broker.SinksBucket)
	if err != nil {
		return "", err
	}
	// A check fixes nothing: where a new sink begins is its first run's to say.
	b := beginning{Origin: rand.Text()}
	if entry, err := bucket.Get(ctx, r.key+".start"); err == nil {
		if err := json.Unmarshal(entry.Value, &b); err != nil {
			return "", fmt.Errorf("%s/%s.start: %w", broker.SinksBucket, r.key, err)
		}
	} else if !errors.Is(err, broker.ErrNotFound) {
		return "", err
	}
	state, err := r.broker.StreamState(ctx, r.stream)
	if err != nil {
		return "", err
	}
	sink, err := r.open(ctx, r.told(b.Origin, state.LastSeq))
	if err != nil {
		return "", err
	}
	if bg, ok := sink.(background); ok {
		found, err = bg.test(ctx)
	}
	return found, errors.Join(err, sink.Close())
}

// told is what an opener is told.
func (r *Runner) told(origin string, last uint64) Ownership {
	o := Ownership{Sink: r.key, Origin: origin, LastSequence: last}
	if !r.options.Replay { // what was given again is gone from its stream
		o.Stored = r.stored
	}
	return o
}

// stored implements Ownership.Stored.
func (r *Runner) stored(ctx context.Context, sequence uint64) (time.Time, error) {
	m, err := r.broker.Read(ctx, r.stream, sequence)
	if errors.Is(err, broker.ErrNotFound) {
		return time.Time{}, nil
	}
	return m.Time, err
}

// begin gives the sink's beginning; the first process to ask fixes it.
func (r *Runner) begin(ctx context.Context) (b beginning, fresh bool, err error) {
	bucket, err := r.broker.Bucket(ctx, broker.SinksBucket)
	if err != nil {
		return b, false, err
	}
	key := r.key + ".start"
	entry, err := bucket.Get(ctx, key)
	if errors.Is(err, broker.ErrNotFound) {
		b = beginning{Origin: rand.Text(), New: r.options.Start.New, At: r.options.Start.At, First: time.Now().UTC()}
		value, _ := json.Marshal(b) // strings and times always encode
		if _, err = bucket.Set(ctx, key, value, 0); err == nil {
			return b, true, nil
		}
		if !errors.Is(err, broker.ErrConflict) {
			return b, false, err
		}
		entry, err = bucket.Get(ctx, key)
	}
	if err != nil {
		return b, false, err
	}
	if err := json.Unmarshal(entry.Value, &b); err != nil {
		return b, false, fmt.Errorf("%s/%s: %w", broker.SinksBucket, key, err)
	}
	return b, false, nil
}

// Provision fixes the sink's beginning and makes its consumer, on a broker that has its streams, for a Runner that may not.
func (r *Runner) Provision(ctx context.Context) error {
	b, fresh, err := r.begin(ctx)
	if err == nil {
		_, err = r.consume(ctx, b, fresh)
	}
	if err != nil {
		return fmt.Errorf("sink %s: %w", r.name, err)
	}
	return nil
}

// ConsumerName is the durable consumer's of a sink, or of its replays (ReplayKey).
func ConsumerName(key string) string { return "sink-" + key }

// consume makes or finds the sink's durable consumer.
func (r *Runner) consume(ctx context.Context, b beginning, fresh bool) (*broker.Consumer, error) {
	config := broker.ConsumerConfig{
		Stream: r.stream, Name: ConsumerName(r.key), Pinned: true, Ahead: true, MaxAckPending: r.options.MaxAckPending, AckWait: r.options.AckWait,
	}
	if r.options.Replay {
		config.Filters = []string{events.ReplaySubject(r.name, ">")}
		return r.broker.Consumer(ctx, config)
	}
	var err error
	if config.Filters, err = events.FilterSubjects(r.options.Filter); err != nil {
		return nil, err
	}
	config.StartTime, config.New = b.At, b.New && fresh
	if b.New && !fresh {
		// Only matters where the consumer was lost: what came since the first start is not skipped.
		config.StartTime = b.First
	}
	return r.broker.Consumer(ctx, config)
}
