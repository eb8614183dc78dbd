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

// FirstProbe is when a paused source is probed first, OnceAttempts how often `run --once` tries a window.
const (
	FirstProbe   = firstProbe
	OnceAttempts = onceAttempts
)
