package sinks

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Sender makes requests to a destination that keeps what it accepts, such as a webhook. Requests makes a Sink of it, which has the
// workers, the order, the retries, the pauses and the dead letters: a Sender only tries once and says what came of it.
type Sender interface {
	// Send hands events over in one request, in their order; nil says that the destination has all of them. Several goroutines call it at
	// once, never with events of the same entity. It returns soon after the context has ended, and in bounded time by itself.
	//
	// After an error the events come again, alone or with others. What the error is decides what happens next:
	//   - *Shut: the destination takes nothing, whatever it is sent. The sink pauses.
	//   - events.Permanent: the destination will never take these events as they are. Each is tried alone, then dead-lettered.
	//   - ErrRejected in the chain: the destination may take others. Each is tried alone, and again, up to the attempts that there are.
	//   - events.RetryAfter: the destination asks to be left alone for that long.
	//   - any other: tried again.
	Send(ctx context.Context, items []Item) error

	// Close releases what the Sender holds; no Send is under way.
	Close() error
}

// Tester is a Sender that can tell whether its destination can be reached and what it would do, without sending an event.
type Tester interface {
	Test(ctx context.Context) (found string, err error)
}

// ErrRejected is in the chain of a Send's error when the destination has looked at the events and does not want them.
var ErrRejected = errors.New("rejected")

// ErrThrottled is in the chain of a Send's error when the destination has too much to do: nothing is held against the events.
var ErrThrottled = errors.New("too many requests")

// Shut says that a destination takes nothing at present, whatever it is sent: it knows us no more, or has moved.
type Shut struct {
	Err error
	// ForGood says that it asked not to be called again: nothing is sent before the sink is started anew.
	ForGood bool
}

// Error gives the reason.
func (s *Shut) Error() string { return s.Err.Error() }

// Unwrap gives the reason.
func (s *Shut) Unwrap() error { return s.Err }

// Pause is a sink that sends nothing, or one event now and then as a probe. Its backlog waits in the sink's consumer.
type Pause struct {
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
	// ForGood says that there is no probe: the destination asked for none.
	ForGood bool `json:"for_good,omitempty"`
}

// RequestOptions tune Requests; the zero value works.
type RequestOptions struct {
	// Concurrency is how many requests are under way at once at most (0: 8).
	Concurrency int
	// MaxAttempts is how often an event may be refused, while the destination accepts others, before it is dead-lettered (0: 20).
	MaxAttempts int
	// BatchEvents and BatchBytes bound the events and the data of one request (0: 1 event; 0: 1 MiB; one event at least).
	BatchEvents, BatchBytes int
}

func (o RequestOptions) withDefaults() RequestOptions {
	set := func(value *int, fallback int) {
		if *value <= 0 {
			*value = fallback
		}
	}
	set(&o.Concurrency, 8)
	set(&o.MaxAttempts, 20)
	set(&o.BatchEvents, 1)
	set(&o.BatchBytes, 1<<20)
	return o
}

// Requests makes an Opener of one for Senders. The Sink sends in the background: up to Concurrency requests are under way at once, one at
// a time for an entity, so that its events arrive in order, and an event that is refused holds up its own entity alone.
//
// An event is sent until it is accepted, or was refused MaxAttempts times while the destination accepted others, or is refused for
// good. While the destination accepts nothing, nothing is held against the events: the sink pauses, and sends one event now and then until
// one is accepted.
func Requests(open func(ctx context.Context, o Ownership) (Sender, error), options RequestOptions) Opener {
	return func(ctx context.Context, o Ownership) (Sink, error) {
		sender, err := open(ctx, o)
		if err != nil {
			return nil, err
		}
		return newDispatcher(ctx, sender, options.withDefaults()), nil
	}
}

// Progress is what of a sink's events is settled, accepted or dead-lettered, beyond the consumer's ack floor: everything up to Top, but
// what is Open. The consumer delivers all of it again to a new owner, and the destination shall not get it twice.
type Progress struct {
	Top  uint64   `json:"top"`
	Open []uint64 `json:"open,omitempty"` // in order
}

// Settled tells whether an event is settled.
func (p Progress) Settled(sequence uint64) bool {
	if sequence > p.Top {
		return false
	}
	_, open := slices.BinarySearch(p.Open, sequence)
	return !open
}
