package pollers

import "time"

// Floor gives the start of the aligned span that holds t. Spans of a day and more count whole days and start at midnight
// in loc, counted from 1970-01-01, so that they are the same for everyone; shorter ones are counted in UTC as
// time.Truncate does.
func Floor(t time.Time, span time.Duration, loc *time.Location) time.Time {
	if span < Day {
		return t.Truncate(span).UTC()
	}
	days := int(span / Day)
	n := dayNumber(t, loc)
	return midnight(n-n%days, loc)
}

// Ceil gives the end of the aligned span that holds t.
func Ceil(t time.Time, span time.Duration, loc *time.Location) time.Time {
	start := Floor(t, span, loc)
	if span < Day {
		return start.Add(span)
	}
	return midnight(dayNumber(start, loc)+int(span/Day), loc)
}

// dayNumber counts calendar days in loc since 1970-01-01.
func dayNumber(t time.Time, loc *time.Location) int {
	y, m, d := t.In(loc).Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// quarter divides every offset and every change of clocks since 1972.
const quarter = 15 * time.Minute

// midnight is the first instant of a day in loc, also where a change of clocks skips midnight or gives it twice.
func midnight(day int, loc *time.Location) time.Time {
	y, m, d := time.Unix(int64(day)*86400, 0).UTC().Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	for dayNumber(t, loc) < day {
		t = t.Add(quarter)
	}
	for dayNumber(t.Add(-quarter), loc) >= day {
		t = t.Add(-quarter)
	}
	return t.UTC()
}

// Cut divides [from, to) at the borders of aligned spans, oldest first.
func Cut(stream string, from, to time.Time, span time.Duration, loc *time.Location) []Window {
	var windows []Window
	for from.Before(to) {
		end := Ceil(from, span, loc)
		if end.After(to) {
			end = to
		}
		windows = append(windows, Window{Stream: stream, From: from.UTC(), To: end.UTC()})
		from = end
	}
	return windows
}

// Split halves a window at a border of the grain; false when it is one grain long or none.
func (w Window) Split(grain time.Duration, loc *time.Location) (older, newer Window, ok bool) {
	middle := Floor(w.From.Add(w.To.Sub(w.From)/2), grain, loc)
	if !middle.After(w.From) {
		middle = Ceil(w.From, grain, loc)
	}
	if !middle.Before(w.To) {
		return w, Window{}, false
	}
	older, newer = w, w
	older.To, newer.From = middle, middle
	return older, newer, true
}

// Snapshot tells whether the window is a snapshot's.
func (w Window) Snapshot() bool { return w.From.IsZero() && w.To.IsZero() }

// Holds tells whether t lies in the window; a snapshot holds every time.
func (w Window) Holds(t time.Time) bool {
	return w.Snapshot() || (!t.Before(w.From) && t.Before(w.To))
}
