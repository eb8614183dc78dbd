// Package pollers reads vendors: it plans windows of time, fetches them through the vendors'
// rooms within one budget per account, publishes every record to RAW, and keeps the
// ledger of which window is how complete.
package pollers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/parley-stream/parley/events"
)

// Poller reads one account of one vendor. Its methods may be called at once from several goroutines.
type Poller interface {
	// Describe tells what can be read. It is constant and does no I/O.
	Describe() Description

	// Fetch reads one window of one stream and hands every record to emit, in the vendor's
	// order, without holding the response in memory. An error of emit ends it and is returned.
	//
	// It returns nil only when the window was read whole: the closing tag or
	// bracket was there, the declared count was met, no page moved meanwhile and no record was out of the
	// window. Records that were emitted before an error are real and stay published.
	// A bad record is emitted as it is (with Key "" if it has none): the normaliser
	// dead-letters it. Errors: Unauthorized, Unavailable, ErrIncomplete, events.RetryAfter,
	// events.Permanent (no retry helps: the configuration is wrong), any other is retried.
	Fetch(ctx context.Context, window Window, emit func(events.Record) error) (Reading, error)

	// Check asks the vendor for as little as it can to see that the credentials hold.
	Check(ctx context.Context) error
}

// Description is what a source can give.
type Description struct {
	// Location is the zone of days and of times without an offset.
	Location *time.Location
	Streams  []Stream
}

// Stream is one endpoint that gives data.
type Stream struct {
	Name string // the path below the access point: chats, reports/tickets/slalog
	// Grain is the finest window that the vendor can be asked for: time.Second, time.Minute or Day.
	// Windows are aligned to it, to days in the Description's Location.
	Grain time.Duration
	// MaxSpan is the largest window to ask for, a multiple of Grain; WINDOW may shorten it.
	MaxSpan time.Duration
	// LiveSpan is the length of the newest window, which is read again every INTERVAL until it has
	// passed; at most MaxSpan. Zero means one hour, or one Grain if that is longer.
	LiveSpan time.Duration
	// Snapshot marks a list without time: its window is the zero Window, read every SNAPSHOT_INTERVAL.
	Snapshot bool
	// Present marks a snapshot of what changes by the minute (who is online, how long the queue is): it is read every INTERVAL.
	Present bool
}

// Day is the grain of streams that are asked for by date; days are 23 to 25 hours long.
const Day = 24 * time.Hour

// Window is what to read: [From, To) of a stream, UTC. A snapshot's is zero.
type Window struct {
	Stream   string
	From, To time.Time
}

// Reading is what a complete Fetch says of its window.
type Reading struct {
	// Capped says that the vendor's result cap was reached: there may be more. The window is split and
	// read again; at the grain it is partial.
	Capped bool
	// Requests is how many requests it took.
	Requests int
	// Unchanged are the entities that a list showed as they were read before (see Env.Seen), and that were not read again.
	Unchanged int
}

// Env is what the core gives a room's constructor, which has this form:
//
//	func New(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller
//
// It decodes its own variables from vars, where its faults stay: a poller with faults is never used.
type Env struct {
	// Connect gives the client that makes the room's requests. The account names the vendor's account
	// without a secret: sources with equal accounts share one budget. The rate is the vendor's
	// documented limit (zero: none), which the source's RATE replaces. The secrets are vars.Secrets().
	Connect func(account string, rate Rate, secrets []string) *Client
	Logger  *slog.Logger
	// Now is the clock.
	Now func() time.Time
	// Seen gives, of these keys of a stream, the Version of the last record that RAW has; a key that is absent was never read, or had no
	// Version. A room whose list tells whether an entity changed sets events.Record.Version and asks for an entity's
	// details only when the list shows another: a window that died in the middle does not begin from zero. Any number of keys may be asked
	// for at once. Nil: nothing is remembered; Known takes care of that.
	Seen func(ctx context.Context, stream string, keys []string) (map[string]string, error)
}

// Known is Seen, or nothing where that is nil.
func (e Env) Known(ctx context.Context, stream string, keys []string) (map[string]string, error) {
	if e.Seen == nil || len(keys) == 0 {
		return nil, nil
	}
	return e.Seen(ctx, stream, keys)
}

type unavailableError struct{ err error }

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

// Unavailable marks an error that says this account may not read this stream, whatever it is asked: the stream is reported
// once and asked again rarely. The source's other streams go on.
func Unavailable(err error) error { return &unavailableError{err} }

// IsUnavailable tells whether any error in the chain is Unavailable.
func IsUnavailable(err error) bool {
	var u *unavailableError
	return errors.As(err, &u)
}

type unauthorizedError struct{ err error }

func (e *unauthorizedError) Error() string { return e.err.Error() }
func (e *unauthorizedError) Unwrap() error { return e.err }

// Unauthorized marks an error that says the vendor refuses the credentials: the source
// is paused, no window is burnt.
func Unauthorized(err error) error { return &unauthorizedError{err} }

// IsUnauthorized tells whether any error in the chain is Unauthorized.
func IsUnauthorized(err error) bool {
	var u *unauthorizedError
	return errors.As(err, &u)
}

// ErrIncomplete is the cause of every error that says a response was not whole or not what the
// vendor documents: truncated, HTML, an error in a 200, a wrong root, moved pages.
var ErrIncomplete = errors.New("incomplete response")
