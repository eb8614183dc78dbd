package liveagent

import (
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// The grains of buckets. All but window and snapshot of the contract's.
const (
	hourly  = "hour"
	daily   = "day"
	weekly  = "week"
	monthly = "month"
)

// bucket is the time that a row's figures are of, half-open.
type bucket struct {
	start, end time.Time
	grain      string
}

// metric identifies a row of a bucket.
func (r *reading) metric(b bucket, dimensions map[string]string) identity {
	return identity{
		key: events.MetricKey(r.report.path, b.start, b.grain, dimensions),
		params: map[string]string{
			"start": b.start.Format(time.RFC3339), "end": b.end.Format(time.RFC3339), "grain": b.grain, "timezone": r.location.String(),
		},
	}
}

// civil reads what a clock shows in one of the document's forms, as UTC.
func civil(text string) (clock time.Time, dateOnly, ok bool) {
	for _, layout := range []string{time.DateTime, "01/02/2006 15:04:05", time.DateOnly, "01/02/2006"} {
		if t, err := time.Parse(layout, text); err == nil && t.Format(layout) == text {
			return t, len(layout) == len(time.DateOnly), true
		}
	}
	return time.Time{}, false, false
}

// instants gives the first and the last moment at which a clock in loc showed this; false: it never did.
func instants(clock time.Time, loc *time.Location) (first, last time.Time, ok bool) {
	for _, near := range []time.Duration{-pollers.Day, pollers.Day} {
		_, offset := clock.Add(near).In(loc).Zone()
		at := clock.Add(-time.Duration(offset) * time.Second)
		if _, shown := at.In(loc).Zone(); shown != offset {
			continue
		}
		if !ok || at.Before(first) {
			first = at
		}
		if !ok || at.After(last) {
			last = at
		}
		ok = true
	}
	return first, last, ok
}

// dayStart is the first moment of a day, also where clocks skip midnight.
func dayStart(day time.Time, loc *time.Location) time.Time {
	y, m, d := day.Date()
	return pollers.Floor(time.Date(y, m, d, 12, 0, 0, 0, loc), pollers.Day, loc)
}

// day is the date of a moment in loc, as midnight of UTC.
func day(t time.Time, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// bucketOf reads a row's bucket. Repeated says that the row before had the same time: where clocks were set back, this is the second such hour.
func bucketOf(text, until, grain string, repeated bool, loc *time.Location) (bucket, bool) {
	clock, dateOnly, ok := civil(text)
	if !ok {
		return bucket{}, false
	}
	if grain == "" {
		grain = hourly
		if dateOnly {
			grain = daily
		}
	}
	b := bucket{grain: grain}
	midnight := clock.Equal(clock.Truncate(pollers.Day))
	if first, last, shown := instants(clock, loc); midnight && !repeated {
		b.start = dayStart(clock, loc)
	} else if !shown {
		return bucket{}, false
	} else if b.start = first; repeated {
		b.start = last
	}
	b.end = b.ends(clock, until, loc)
	return b, true
}

// ends gives the end of a bucket: weeks and months say it themselves, by their last second.
func (b bucket) ends(clock time.Time, until string, loc *time.Location) time.Time {
	switch b.grain {
	case hourly:
		return b.start.Add(time.Hour)
	case daily:
		return pollers.Ceil(b.start, pollers.Day, loc)
	}
	if last, _, ok := civil(until); ok {
		if _, end, shown := instants(last, loc); shown && end.After(b.start) {
			return end.Add(time.Second)
		}
	}
	if b.grain == weekly {
		return dayStart(clock.AddDate(0, 0, 7), loc)
	}
	return dayStart(clock.AddDate(0, 1, 0), loc)
}
