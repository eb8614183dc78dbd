package liveagent

import "time"

// A moment is what a text says of a time.
type moment struct {
	at time.Time // UTC; zero when it is unknown
	// exact says that the text says no more than at: it need not be kept.
	exact bool
}

// moments reads the vendor's times in a zone.
type moments struct{ zone *time.Location }

// read reads a local time. One that clocks showed twice is the earlier instant.
func (m moments) read(text string) moment {
	clock, ok := parseClock(text)
	if !ok {
		return moment{}
	}
	instants := m.instants(clock)
	if len(instants) == 0 {
		return moment{}
	}
	at := instants[0]
	for _, t := range instants {
		if t.Before(at) {
			at = t
		}
	}
	// JSON has no other years, and the zero time stands for an unknown one.
	if y := at.Year(); y < 1 || y > 9999 || at.IsZero() {
		return moment{}
	}
	return moment{at: at, exact: len(instants) == 1}
}

// parseClock reads the document's forms; what the clock shows is given as UTC.
func parseClock(text string) (time.Time, bool) {
	for _, layout := range []string{time.DateTime, "01/02/2006 15:04:05"} {
		// time.Parse also takes fractions and one-digit hours, which are no documented forms.
		if t, err := time.Parse(layout, text); err == nil && t.Format(layout) == text {
			return t, true
		}
	}
	return time.Time{}, false
}

// instants gives every instant at which a clock in the zone showed this: none, one or two.
func (m moments) instants(clock time.Time) []time.Time {
	guess := time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, m.zone)
	near := []time.Time{guess}
	from, to := guess.ZoneBounds()
	if !from.IsZero() {
		near = append(near, from.Add(-time.Second))
	}
	if !to.IsZero() {
		near = append(near, to)
	}
	var found []time.Time
	tried := map[int]bool{}
	for _, t := range near {
		_, offset := t.In(m.zone).Zone()
		at := clock.Add(-time.Duration(offset) * time.Second)
		if _, real := at.In(m.zone).Zone(); real == offset && !tried[offset] {
			found = append(found, at)
		}
		tried[offset] = true
	}
	return found
}
