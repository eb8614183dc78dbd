package liveagent

import (
	"fmt"
	"time"

	"github.com/parley-stream/parley/pollers"
)

// span is a range of local times, written as UTC.
type span struct{ from, to time.Time }

// spanOf gives the range of local times to ask for, so that everything of the window is inside it whether or not its
// edges count, and whichever of its two instants the vendor takes an ambiguous local time for.
func spanOf(w pollers.Window, loc *time.Location) span {
	from, to := w.From.Add(-time.Second), w.To
	s := span{local(from, loc), local(to, loc)}
	// No clock was ever set back by more than a day.
	for at := from.Add(-pollers.Day); ; {
		_, change := at.In(loc).ZoneBounds()
		if change.IsZero() || change.After(to.Add(pollers.Day)) {
			return s
		}
		before, after := local(change.Add(-time.Second), loc).Add(time.Second), local(change, loc)
		back := before.Sub(after)
		if twice := change.Add(back); back > 0 && from.Before(twice) && !to.Before(change.Add(-back)) {
			s.widen(after.Add(-time.Second), before)
		}
		at = change
	}
}

func (s *span) widen(from, to time.Time) {
	if from.Before(s.from) {
		s.from = from
	}
	if to.After(s.to) {
		s.to = to
	}
}

// local is what a clock in loc shows, written as UTC.
func local(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC()
}

// operation is the document's opdatetime for the range.
func (s span) operation() string {
	return "btw:" + s.from.Format(time.DateTime) + "," + s.to.Format(time.DateTime)
}

// check refuses a date of change that the range cannot have given: a vendor that passes over the
// parameter would send its whole history for every window. A day's grace is for a wrong TIMEZONE; a
// date that cannot be read is the normaliser's.
func (s span) check(datechanged string) error {
	at, err := time.Parse(time.DateTime, datechanged)
	if err != nil {
		return nil
	}
	if at.Before(s.from.Add(-pollers.Day)) || at.After(s.to.Add(pollers.Day)) {
		return fmt.Errorf("asked for changes %s, got one of %s: %w", s.operation(), datechanged, pollers.ErrIncomplete)
	}
	return nil
}
