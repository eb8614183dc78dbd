package operator

import (
	"slices"
	"time"

	"github.com/parley-stream/parley/pollers"
)

// Window is one of a stream's, as its ledger has it.
type Window struct {
	From     time.Time     `json:"from,omitzero"` // a snapshot has neither from nor to
	To       time.Time     `json:"to,omitzero"`
	State    pollers.State `json:"state"`
	Records  int           `json:"records"`
	Requests int           `json:"requests"`
	ReadAt   time.Time     `json:"read_at,omitzero"`
	Attempts int           `json:"attempts,omitempty"`
	Error    string        `json:"error,omitempty"`
	RetryAt  time.Time     `json:"retry_at,omitzero"`
}

// Coverage is which windows of one stream are read.
type Coverage struct {
	Source  string                `json:"source"`
	Stream  string                `json:"stream"`
	Zone    string                `json:"timezone"`
	Counts  map[pollers.State]int `json:"counts"`
	Records int                   `json:"records"`
	Windows []Window              `json:"windows"`

	// Snapshot streams have one window without a range.
	Snapshot bool           `json:"-"`
	Location *time.Location `json:"-"`
}

// CoverageOf gives a stream's windows, oldest first, those that are not yet in its ledger included.
func CoverageOf(source string, s *pollers.StreamStatus) Coverage {
	c := Coverage{
		Source: source, Stream: s.Stream.Name, Zone: s.Location.String(), Counts: s.Count(), Windows: []Window{},
		Snapshot: s.Stream.Snapshot, Location: s.Location,
	}
	for _, e := range s.Windows {
		c.Records += e.Records
		c.Windows = append(c.Windows, Window{
			From: e.From, To: e.To, State: e.Standing(), Records: e.Records, Requests: e.Requests, ReadAt: e.ReadAt,
			Attempts: e.Attempts, Error: e.Error, RetryAt: e.RetryAt,
		})
	}
	for _, hole := range s.Holes {
		c.Windows = append(c.Windows, Window{From: hole.From, To: hole.To, State: pollers.StatePlanned})
	}
	slices.SortStableFunc(c.Windows, func(a, b Window) int { return a.From.Compare(b.From) })
	return c
}

// Gaps are the windows that are not complete; neighbours that are merely planned are one.
func (c *Coverage) Gaps() (out []Window) {
	for _, w := range c.Windows {
		if w.State == pollers.StateComplete || w.State == pollers.StateRunning || c.Snapshot && w.Error == "" {
			continue
		}
		if n := len(out); n > 0 && w.State == pollers.StatePlanned && out[n-1].State == w.State && out[n-1].To.Equal(w.From) {
			out[n-1].To = w.To
			continue
		}
		out = append(out, w)
	}
	return out
}

// Day is a cell of a coverage calendar.
type Day struct {
	From time.Time `json:"from"` // midnight in the stream's zone
	To   time.Time `json:"to"`
	// State is that of the day's window which asks for the most attention; "" where there is none.
	State pollers.State `json:"state,omitempty"`
	// Windows and Records are of all windows that reach into the day.
	Windows int `json:"windows"`
	Records int `json:"records"`
}

// Days gives every day of the stream's zone from its first window to its last; none of a snapshot.
func (c *Coverage) Days() (days []Day) {
	if c.Snapshot || len(c.Windows) == 0 {
		return nil
	}
	last := slices.MaxFunc(c.Windows, func(a, b Window) int { return a.To.Compare(b.To) }).To
	y, m, d := c.Windows[0].From.In(c.Location).Date()
	for day := time.Date(y, m, d, 0, 0, 0, 0, c.Location); day.Before(last); day = day.AddDate(0, 0, 1) {
		days = append(days, Day{From: day, To: day.AddDate(0, 0, 1)})
	}
	first := 0
	for _, w := range c.Windows {
		for first < len(days) && !days[first].To.After(w.From) {
			first++ // windows come by their start
		}
		for i := first; i < len(days) && days[i].From.Before(w.To); i++ {
			days[i].add(&w)
		}
	}
	return days
}

func (d *Day) add(w *Window) {
	d.Windows++
	d.Records += w.Records
	if attention(w.State) > attention(d.State) {
		d.State = w.State
	}
}

// attention orders states by what asks for more of it.
func attention(s pollers.State) int {
	return slices.Index([]pollers.State{"", pollers.StateComplete, pollers.StateRunning, pollers.StatePlanned, pollers.StatePartial, pollers.StateFailed}, s)
}
