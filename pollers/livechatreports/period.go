package livechatreports

import (
	"time"

	"github.com/parley-stream/parley/pollers"
)

// The grains of records. All but the last are the document's distributions.
const (
	grainHour     = "hour"
	grainDay      = "day"
	grainDayHours = "day-hours"
	grainMonth    = "month"
	grainYear     = "year"
	grainWindow   = "window"
)

func distributions() []string {
	return []string{grainHour, grainDay, grainDayHours, grainMonth, grainYear}
}

// maxSpan is the largest window of a grain. Where a request is for a day, a larger one would only make the ledger coarser.
func maxSpan(grain string) time.Duration {
	switch grain {
	case grainMonth:
		return 30 * pollers.Day
	case grainYear:
		return 360 * pollers.Day
	}
	return pollers.Day
}

// interval is a half-open range of time, UTC.
type interval struct{ from, to time.Time }

func (i interval) holds(t time.Time) bool { return !t.Before(i.from) && t.Before(i.to) }

// periods gives the days, months or years that [from, to) touches: one request is for one of them.
func (p *poller) periods(grain string, from, to time.Time) []interval {
	var periods []interval
	for from.Before(to) {
		one := p.periodOf(grain, from)
		periods = append(periods, one)
		from = one.to
	}
	return periods
}

// periodOf is the day, month or year that holds t.
func (p *poller) periodOf(grain string, t time.Time) interval {
	y, m, _ := t.In(p.location).Date()
	switch grain {
	case grainMonth:
		return interval{p.firstOf(y, m), p.firstOf(y, m+1)}
	case grainYear:
		return interval{p.firstOf(y, time.January), p.firstOf(y+1, time.January)}
	}
	return interval{pollers.Floor(t, pollers.Day, p.location), pollers.Ceil(t, pollers.Day, p.location)}
}

// firstOf is the first instant of a month.
func (p *poller) firstOf(y int, m time.Month) time.Time {
	return pollers.Floor(time.Date(y, m, 1, 12, 0, 0, 0, p.location), pollers.Day, p.location)
}

// bucketNamed reads the name of a bucket as an interval in the source's zone; false for a name that says no time of this grain. It has no
// length when the clocks skipped it.
func (p *poller) bucketNamed(grain, name string, period interval) (interval, bool) {
	switch grain {
	case grainHour, grainDayHours:
		return p.hourNamed(name, period)
	case grainMonth:
		return p.dateNamed(grain, name, "2006-01", time.DateOnly)
	case grainYear:
		return p.dateNamed(grain, name, "2006", "2006-01", time.DateOnly)
	}
	return p.dateNamed(grain, name, time.DateOnly)
}

// dateNamed reads the name of a day, month or year; a longer form must be that of its first day.
func (p *poller) dateNamed(grain, name string, forms ...string) (interval, bool) {
	for _, form := range forms {
		noon, err := time.ParseInLocation(form+" 15", name+" 12", p.location)
		if err != nil {
			continue
		}
		i := p.periodOf(grain, noon)
		return i, i.from.In(p.location).Format(form) == name
	}
	return interval{}, false
}

// hourNamed reads the name of an hour, with its date or, because a request is for one day, without.
func (p *poller) hourNamed(name string, period interval) (interval, bool) {
	if t, err := time.Parse(time.RFC3339, name); err == nil {
		return interval{t.UTC(), t.UTC().Add(time.Hour)}, t.In(p.location).Minute() == 0 && t.Second() == 0
	}
	date := period.from.In(p.location).Format(time.DateOnly)
	for prefix, forms := range map[string][]string{
		"":         {"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15", "2006-01-02T15"},
		date + " ": {"2006-01-02 15:04", "2006-01-02 15"},
	} {
		for _, form := range forms {
			if t, err := time.Parse(form, prefix+name); err == nil {
				return p.hour(t), t.Minute() == 0 && t.Second() == 0
			}
		}
	}
	return interval{}, false
}

// quarter divides every change of clocks since 1972.
const quarter = 15 * time.Minute

// hour is the time during which the source's clocks show the hour of a wall clock's time: two hours when it comes twice.
func (p *poller) hour(wall time.Time) interval {
	y, m, d := wall.Date()
	day := p.periodOf(grainDay, time.Date(y, m, d, 12, 0, 0, 0, p.location))
	hour := interval{day.from, day.from}
	for t := day.from; t.Before(day.to); t = t.Add(quarter) {
		if local := t.In(p.location); local.Hour() != wall.Hour() || local.Day() != d {
			continue
		}
		if hour.to.Equal(day.from) {
			hour.from = t
		}
		hour.to = t.Add(quarter)
	}
	return hour
}
