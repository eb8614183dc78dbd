// Package sinks delivers EVENTS to destinations: each sink is a durable consumer of its own
// with its own filter, pace, retries and dead letters. A Runner runs one; a room below makes the Sink.
package sinks

import (
	"context"
	"errors"
	"time"

	"github.com/parley-stream/parley/events"
)

// Sink writes to one destination. One goroutine at a time calls it. Events come in stream order, an event can come
// again at any time, and the destination must end as if it had come once.
//
// A Sink lives as long as this process owns the sink's consumer: when the ownership moves, it is closed, and
// what was not durable is thrown away and comes again to the next owner.
type Sink interface {
	// Deliver takes a batch and gives the sequences (of this or earlier batches) that the destination durably has now: those are acknowledged.
	// An empty batch only lets time pass: files close by age.
	// After an error the same batch is delivered again; what was taken of it counts then as come again.
	// events.Permanent with a *Refused in the chain names the one event that the destination will never take: it is dead-lettered.
	// ErrReopen says that what was taken before is lost, too.
	Deliver(ctx context.Context, batch Batch) (durable []uint64, err error)

	// Flush makes everything that was taken durable and gives the sequences. After an error it can be called again.
	Flush(ctx context.Context) (durable []uint64, err error)

	// Close releases what the sink holds and throws away what is not durable.
	Close() error
}

// Opener makes the Sink for one ownership. An error is retried.
type Opener func(ctx context.Context, o Ownership) (Sink, error)

// Ownership is what a Sink's owner knows when it begins.
type Ownership struct {
	// Sink is the sink's name.
	Sink string
	// Origin names, for good, the stream store and the sink's life in it: sequences of different origins cannot be compared.
	Origin string
	// LastSequence is a sequence that the stream has reached; 0 when it holds nothing. A destination that knows of a later one
	// was filled from another stream.
	LastSequence uint64
	// Stored tells when the stream stored a message; the zero time where it is gone, which proves nothing. Nil where the stream cannot be asked. A number
	// whose event was stored after the one that a destination has under it is another event's: an older backup of the stream was restored.
	Stored func(ctx context.Context, sequence uint64) (time.Time, error)
}

// ErrReopen says that a Sink has lost what it took: it must be closed, and a new one gets everything that is not acknowledged.
var ErrReopen = errors.New("what was taken and not yet durable is lost")

// Batch is some consecutive events of the sink's consumer. Its slice is the caller's again when Deliver has returned; the events' data never change.
type Batch struct {
	Items []Item
	// AckFloor is a stream sequence up to which everything of this consumer is acknowledged. Nothing up to it comes again, unless
	// the server crashed and forgot the last moments of its consumers.
	AckFloor uint64
}

// Item is an event and its stream sequence in EVENTS.
type Item struct {
	Sequence uint64
	// Stored is when the stream stored it; zero: unknown.
	Stored time.Time
	Event  events.Event
}

// Refused says that the destination will never take one event of a batch.
type Refused struct {
	Sequence uint64
	Err      error
}

// Error gives the reason.
func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap gives the reason.
func (r *Refused) Unwrap() error { return r.Err }
