package pollers

import (
	"context"
	"time"
)

// What only tests reach.
var (
	Backoff    = backoff
	RetryAfter = retryAfter
	Exhausted  = exhausted
)

// SetLease shortens the time after which a silent worker's window is given to another.
func (r *Runner) SetLease(d time.Duration) { r.lease = d }

// BindHold gives a client the budget's Hold, as a Runner does.
func (c *Client) BindHold(hold func(ctx context.Context, d time.Duration) error) { c.hold = hold }

// FreeStuck gives what looks after windows that stay in the queue, with a way to remove them.
func FreeStuck(remove func(ctx context.Context, stream, consumer string, subjects []string) (int, error)) func(context.Context, string, map[string]uint64, time.Time) (int, error) {
	s := &stuck{remove: remove, since: make(map[string]time.Time)}
	return s.free
}

// FirstProbe is when a paused source is probed first, OnceAttempts how often `run --once` tries a window.
const (
	FirstProbe   = firstProbe
	OnceAttempts = onceAttempts
)
