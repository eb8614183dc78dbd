package sinks

import (
	"math/rand/v2"
	"time"
)

const (
	// A sink pauses when so many attempts in a row failed, of so many events: a single one that fails may be to blame itself.
	pauseAfter  = 5
	pauseEvents = 2
	// refuseLimit is how many events may be refused for good in a row.
	refuseLimit = 16
	// probeMin and probeMax bound the time between probes, of a destination that fails and of one that shuts us out.
	probeMin, probeMax         = time.Second, time.Minute
	shutProbeMin, shutProbeMax = 10 * time.Second, 10 * time.Minute
	// longHold is from when on the time that a destination asks for is a pause that is shown.
	longHold = 30 * time.Second
)

// circuit decides whether a destination is sent anything. Its owner locks it.
type circuit struct {
	pause   *Pause    // nil: closed
	until   time.Time // nothing is sent before
	probing bool
	probes  int // that failed in this pause

	proven   bool            // something was accepted
	failures int             // since something was accepted
	events   map[uint64]bool // that failed since then, a few of them
	refused  int             // for good, since then
}

// allows tells whether a request may start, or how long until it is worth asking again (0: not by time alone).
func (c *circuit) allows(now time.Time) (time.Duration, bool) {
	if c.pause != nil && (c.probing || c.pause.ForGood && c.probes > 0) {
		return 0, false
	}
	if wait := c.until.Sub(now); wait > 0 {
		return wait, false
	}
	return 0, true
}

// begin starts a request that allows allowed; in a pause it is a probe.
func (c *circuit) begin() (probe bool) {
	c.probing = c.pause != nil
	return c.probing
}

// accepted closes the circuit.
func (c *circuit) accepted() {
	hold := c.until
	if c.pause != nil {
		hold = time.Time{}
	}
	*c = circuit{until: hold, proven: true}
}

// trusted tells whether the destination has accepted something, and is not left alone since.
func (c *circuit) trusted() bool { return c.proven && c.pause == nil }

func (c *circuit) failing() bool { return c.pause != nil || c.failures >= pauseAfter }

func (c *circuit) mayRefuse() bool { return c.refused < refuseLimit }

// failed counts a failure, and opens the circuit when there are too many of them.
func (c *circuit) failed(tasks []*task, err error, probe bool, asked time.Duration) {
	c.failures++
	if c.events == nil {
		c.events = make(map[uint64]bool)
	}
	for _, t := range tasks[:min(len(tasks), pauseEvents)] {
		if len(c.events) < pauseEvents {
			c.events[t.item.Sequence] = true
		}
	}
	if asked > 0 {
		c.holdFor(asked + jitter(retryMin))
	}
	if c.pause != nil || asked >= longHold || c.failures >= pauseAfter && len(c.events) >= pauseEvents || c.refused >= refuseLimit {
		c.open(Pause{Why: err.Error()}, probe, probeMin, probeMax, asked)
	}
}

// shut opens the circuit because the destination says so.
func (c *circuit) shut(s *Shut, probe bool, asked time.Duration) {
	c.failures++
	c.open(Pause{Why: s.Error(), ForGood: s.ForGood}, probe, shutProbeMin, shutProbeMax, asked)
}

// open opens the circuit, or keeps it open until the next probe.
func (c *circuit) open(p Pause, probe bool, shortest, longest, asked time.Duration) {
	p.Since = time.Now().UTC()
	if c.pause != nil {
		p.Since = c.pause.Since
		if !probe && !p.ForGood {
			return // the answer to a request from before the pause
		}
	}
	c.probing = false
	c.pause = &p
	ceiling := min(shortest<<min(c.probes, 16), longest)
	c.probes++
	c.holdFor(asked + ceiling/2 + jitter(ceiling/2+1))
}

func (c *circuit) holdFor(d time.Duration) {
	if until := time.Now().Add(d); until.After(c.until) {
		c.until = until
	}
}

// resume opens the circuit as the last owner left it, with a probe at once.
func (c *circuit) resume(p Pause) {
	c.pause = &p
}

// jitter is a pause up to a ceiling, at random so that many do not come at once.
func jitter(ceiling time.Duration) time.Duration {
	return rand.N(ceiling) //nolint:gosec // jitter needs no secrecy
}
