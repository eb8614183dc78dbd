package pollers

import (
	"math"
	"slices"
	"time"
)

// Plan says what of one stream is due. It is computed from the settings, the ledger and the clock alone, so that every
// process computes the same, none leads, and a hole in the ledger is found again for as long as it is there.
type Plan struct {
	Stream       Stream
	Location     *time.Location
	Start, Until time.Time // Until zero: no end
	// Ranges are read beside [Start, Until): `parley backfill`.
	Ranges []Range
	// Lag is how far the vendor's clock is behind ours: what it files under a time may come that much later.
	Lag              time.Duration
	Interval         time.Duration
	SnapshotInterval time.Duration
	Window           time.Duration // span of a backfill window
	Settle           []time.Duration
	// OnceSince, when set, makes due what `run --once` reads: every window that is not complete, every one
	// younger than the largest Settle and every snapshot, each until it was read after OnceSince.
	OnceSince time.Time
}

// Range is a stretch of time, half-open.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Task is a window that is due.
type Task struct {
	Window
	Class  Class
	readAt time.Time // when it was last read; zero: never
}

// NewPlan makes the plan of a stream. Start and until are moved outward to the stream's grain.
func NewPlan(s Settings, d Description, stream Stream, start time.Time) Plan {
	p := Plan{
		Stream: stream, Location: d.Location, Start: Floor(start, stream.Grain, d.Location),
		Interval: s.Interval, SnapshotInterval: s.SnapshotInterval, Window: span(s.Window, stream), Settle: s.Settle,
	}
	if until := s.Until.In(d.Location).UTC(); !until.IsZero() {
		p.Until = until
		if floor := Floor(until, stream.Grain, d.Location); floor.Before(until) {
			p.Until = Ceil(until, stream.Grain, d.Location)
		}
	}
	return p
}

// span is the length of a backfill window: the setting's, in whole grains, at most the stream's largest.
func span(setting time.Duration, stream Stream) time.Duration {
	if setting <= 0 || setting > stream.MaxSpan {
		return stream.MaxSpan
	}
	return max(setting/stream.Grain, 1) * stream.Grain
}

func (p *Plan) liveSpan() time.Duration {
	live := p.Stream.LiveSpan
	if live == 0 {
		live = max(time.Hour, p.Stream.Grain)
	}
	return min(live, p.Window)
}

// Due gives what is to be read now: live windows, then settling ones, then backfill, each newest first.
func (p Plan) Due(entries []Entry, now time.Time) []Task { return p.first(math.MaxInt, entries, now) }

// first gives the tasks of Due that come first in each class, up to a limit of each.
func (p *Plan) first(limit int, entries []Entry, now time.Time) []Task {
	if p.Stream.Snapshot && len(entries) == 0 {
		return []Task{{Window: Window{Stream: p.Stream.Name}}}
	}
	var due [ClassBackfill + 1][]Task
	for i := len(entries) - 1; i >= 0; i-- {
		if class, ok := p.due(&entries[i], now); ok && len(due[class]) < limit {
			due[class] = append(due[class], Task{Window: entries[i].Window, Class: class, readAt: entries[i].ReadAt})
		}
	}
	if !p.Stream.Snapshot {
		for _, task := range p.missing(limit, entries, now) {
			due[task.Class] = append(due[task.Class], task)
		}
	}
	var all []Task
	for _, tasks := range due {
		slices.SortStableFunc(tasks, func(a, b Task) int { return b.From.Compare(a.From) })
		all = append(all, tasks[:min(len(tasks), limit)]...)
	}
	return all
}

// due tells whether a window of the ledger is to be read again, and why.
func (p *Plan) due(e *Entry, now time.Time) (Class, bool) {
	// Half of a window that was split while it was open may lie in the future.
	if e.State == StateSplit || p.waits(e, now) || e.From.After(now) {
		return 0, false
	}
	class := ClassBackfill
	end := e.To.Add(p.Lag)
	open := end.After(now) || e.Snapshot()
	if open || now.Sub(e.To) < p.liveSpan() {
		class = ClassLive
	}
	switch {
	case e.ReadAt.Sub(now) > maxLag:
		return class, true // a reading in the future was made under a clock that was ahead, and may have missed what came since
	case !p.OnceSince.IsZero():
		young := open || now.Sub(e.To) < p.maxSettle()
		return class, e.ReadAt.Before(p.OnceSince) && (young || e.State != StateComplete || e.ReadAt.Before(end))
	case e.Snapshot():
		every := p.SnapshotInterval
		if p.Stream.Present {
			every = p.Interval
		}
		return class, !now.Before(e.ReadAt.Add(every))
	case open:
		return class, !now.Before(e.ReadAt.Add(p.Interval))
	case e.ReadAt.Before(end):
		// It was read while it was open: what came after that reading is still to be had.
		return class, true
	}
	for _, age := range p.Settle {
		if at := e.To.Add(age); !now.Before(at) && e.ReadAt.Before(at) {
			return ClassSettle, true
		}
	}
	// A reading beyond the schedule that failed, or whose worker died, is made good, whatever it was for.
	return class, e.State == StateFailed || e.State == StateRunning
}

// waits tells whether a window failed and is left alone for now, or, by run --once, for good.
func (p *Plan) waits(e *Entry, now time.Time) bool {
	if !p.OnceSince.IsZero() {
		if e.FailedAt.Before(p.OnceSince) {
			return false // an earlier run's failure
		}
		if e.Attempts >= onceAttempts {
			return true
		}
	}
	return now.Before(e.RetryAt) && e.RetryAt.Sub(now) <= maxRetryAfter+maxLag // later than that says only a clock that was ahead
}

// GaveUp tells whether run --once tries this window no more.
func (p Plan) GaveUp(e Entry) bool {
	return !p.OnceSince.IsZero() && e.Attempts >= onceAttempts && !e.FailedAt.Before(p.OnceSince)
}

func (p *Plan) maxSettle() time.Duration {
	if len(p.Settle) == 0 {
		return 0
	}
	return slices.Max(p.Settle)
}

// waiting counts the windows that failed and will be tried again.
func (p *Plan) waiting(entries []Entry, now time.Time) (n int) {
	for i := range entries {
		if e := &entries[i]; e.State == StateFailed && p.waits(e, now) && !p.GaveUp(*e) {
			n++
		}
	}
	return n
}

// missing gives the windows that the ledger does not have: the live one, and the holes before it; of a hole with more windows than the limit
// the newest ones.
func (p *Plan) missing(limit int, entries []Entry, now time.Time) []Task {
	end := Ceil(now, p.liveSpan(), p.Location)
	if !p.Until.IsZero() && p.Until.Before(end) {
		end = p.Until
	}
	liveFrom := Floor(now, p.liveSpan(), p.Location)
	var tasks []Task
	for _, hole := range p.holes(end, liveFrom, entries) {
		if hole.To.After(liveFrom) {
			live := Window{Stream: p.Stream.Name, From: later(hole.From, liveFrom), To: hole.To}
			tasks = append(tasks, Task{Window: live, Class: ClassLive})
			hole.To = live.From
		}
		if hole.To.Sub(hole.From)/p.Window > time.Duration(limit) {
			hole.From = later(hole.From, Floor(hole.To.Add(-p.Window*time.Duration(limit)), p.Window, p.Location))
		}
		for _, w := range Cut(p.Stream.Name, hole.From, hole.To, p.Window, p.Location) {
			tasks = append(tasks, Task{Window: w, Class: ClassBackfill})
		}
	}
	return tasks
}

// holes gives what no entry covers of [Start, end) and of the ranges; of these nothing newer than the live window, which has its own rule.
func (p *Plan) holes(end, liveFrom time.Time, entries []Entry) (out []Window) {
	wanted := []Range{{From: p.Start, To: end}}
	for _, r := range p.Ranges {
		from, to := Floor(r.From, p.Stream.Grain, p.Location), Ceil(r.To.Add(-1), p.Stream.Grain, p.Location)
		if to.After(liveFrom) {
			to = liveFrom
		}
		if from.Before(to) {
			wanted = append(wanted, Range{From: from, To: to})
		}
	}
	for _, r := range merge(wanted) {
		out = append(out, holes(r.From, r.To, entries)...)
	}
	return out
}

// merge joins ranges that touch or overlap, so that no hole is found twice.
func merge(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return a.From.Compare(b.From) })
	out := ranges[:0:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && !r.From.After(out[n-1].To) {
			out[n-1].To = later(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// holes gives the parts of [from, to) that no entry covers; entries are sorted by From. A split window's halves cover it.
func holes(from, to time.Time, entries []Entry) []Window {
	var out []Window
	for i := range entries {
		e := &entries[i]
		if e.State == StateSplit || !e.To.After(from) {
			continue
		}
		if !e.From.Before(to) {
			break
		}
		if e.From.After(from) {
			out = append(out, Window{From: from, To: e.From})
		}
		from = e.To
	}
	if from.Before(to) {
		out = append(out, Window{From: from, To: to})
	}
	return out
}

// onceAttempts is how often `run --once` tries a window before it gives it up.
const onceAttempts = 6
