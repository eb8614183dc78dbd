// Package sinks delivers EVENTS to destinations: each sink is a durable consumer of its own
// with its own filter, pace, retries and dead letters.
package sinks

import (
	"context"

	"github.com/parley-stream/parley/events"
)

// Sink writes to one destination. One goroutine at a time calls it. Events come in stream order, an event can come
// again after a crash, and the destination must end as if it had come once.
//
// A Sink lives as long as this process owns the sink's consumer: when the ownership moves, it is closed, and
// what was not durable is thrown away and comes again to the next owner.
type Sink interface {
	// Deliver takes a batch and gives the sequences (of this or earlier batches) that the destination durably has now: those are acknowledged
	// and never come again to it. An empty batch only lets time pass: files close by age.
	// An error means that nothing of the batch was taken, and the same batch is delivered again. events.Permanent with an *Refused
	// in the chain names the one event that the destination will never take.
	Deliver(ctx context.Context, batch Batch) (durable []uint64, err error)

	// Flush makes everything that was taken durable and gives the sequences.
	Flush(ctx context.Context) (durable []uint64, err error)

	// Close releases what the sink holds and throws away what is not durable.
	Close() error
}

// Batch is some consecutive events of the sink's consumer.
type Batch struct {
	Items []Item
	// AckFloor is the stream sequence up to which everything of this consumer is acknowledged and will not come again.
	AckFloor uint64
}

// Item is an event and its stream sequence in EVENTS.
type Item struct {
	Sequence uint64
	Event    events.Event
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
