package liveleader

import (
	"strings"
	"sync"
	"time"
)

// zones remembers time zones by name: loading one reads a file.
type zones struct{ byName sync.Map }

// load gives a zone, UTC for "", nil for a name that is none.
func (z *zones) load(name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	if zone, ok := z.byName.Load(name); ok {
		return zone.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		zone = nil
	}
	z.byName.Store(name, zone)
	return zone
}

// readTime reads ISO 8601 or DD-MM-YYYYTHH:MM:SSff, either with or without an offset. Exact is false for a text that
// is no time or did not exist in the zone (the time is then zero), and for one that came twice there (the earlier instant).
func readTime(text string, zone *time.Location) (at time.Time, exact bool) {
	s := scanner{rest: trim(text)}
	wall := s.wall()
	offset, given := s.offset()
	switch {
	case s.failed || s.rest != "":
		return time.Time{}, false
	case given:
		at, exact = wall.Add(-offset), true
	case zone != nil:
		at, exact = inZone(wall, zone)
	}
	if year := at.Year(); at.IsZero() || year < 1 || year > 9999 {
		return time.Time{}, false // RFC 3339 cannot write it
	}
	return at, exact
}

// clockChange is more than any clock was ever changed by.
const clockChange = 25 * time.Hour

// inZone gives the instant of a wall clock's time, which is in UTC's fields: zero when no clock showed it, the earlier when
// clocks showed it twice.
func inZone(wall time.Time, zone *time.Location) (at time.Time, exact bool) {
	near := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone)
	start, end := near.ZoneBounds()
	if (start.IsZero() || near.Sub(start) > clockChange) && (end.IsZero() || end.Sub(near) > clockChange) {
		return near.UTC(), true
	}
	sides := [3]time.Time{near, near, near}
	if !start.IsZero() {
		sides[1] = start.Add(-time.Nanosecond)
	}
	if !end.IsZero() {
		sides[2] = end
	}
	for _, side := range sides {
		_, seconds := side.Zone()
		instant := wall.Add(-time.Duration(seconds) * time.Second)
		if _, shown := instant.In(zone).Zone(); shown != seconds || instant.Equal(at) {
			continue
		}
		if exact = at.IsZero(); exact || instant.Before(at) {
			at = instant
		}
	}
	return at, exact
}

// scanner reads a time from left to right; failed once something was not there.
type scanner struct {
	rest   string
	failed bool
}

// digits reads exactly n digits.
func (s *scanner) digits(n int) int {
	if s.failed || len(s.rest) < n {
		s.failed = true
		return 0
	}
	value := 0
	for i := range n {
		c := s.rest[i]
		if c < '0' || c > '9' {
			s.failed = true
			return 0
		}
		value = value*10 + int(c-'0')
	}
	s.rest = s.rest[n:]
	return value
}

// one reads one of some bytes and gives it; 0 when there is none.
func (s *scanner) one(of string) byte {
	if s.rest == "" || strings.IndexByte(of, s.rest[0]) < 0 {
		return 0
	}
	c := s.rest[0]
	s.rest = s.rest[1:]
	return c
}

func (s *scanner) must(of string) {
	if s.one(of) == 0 {
		s.failed = true
	}
}

// wall reads the date and the time of day, as if in UTC.
func (s *scanner) wall() time.Time {
	iso := len(s.rest) > 4 && s.rest[4] == '-'
	var year, month, day int
	if iso {
		year = s.digits(4)
		s.must("-")
		month = s.digits(2)
		s.must("-")
		day = s.digits(2)
	} else {
		day = s.digits(2)
		s.must("-")
		month = s.digits(2)
		s.must("-")
		year = s.digits(4)
	}
	s.must("T ")
	hour := s.digits(2)
	s.must(":")
	minute := s.digits(2)
	second, nanosecond := s.seconds(iso)
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC)
	// A date or time out of range would have been carried over to another.
	if t.Day() != day || t.Month() != time.Month(month) || t.Hour() != hour || t.Minute() != minute || t.Second() != second {
		s.failed = true
	}
	return t
}

// seconds reads :SS with a fraction, or, in the vendor's own form, :SSff with hundredths. ISO 8601 allows to leave them out.
func (s *scanner) seconds(iso bool) (second, nanosecond int) {
	if s.one(":") == 0 {
		s.failed = s.failed || !iso
		return 0, 0
	}
	second = s.digits(2)
	switch {
	case s.one(".,") != 0:
		return second, s.fraction()
	case !iso && s.rest != "" && s.rest[0] >= '0' && s.rest[0] <= '9':
		return second, s.digits(2) * int(time.Second/100/time.Nanosecond)
	}
	return second, 0
}

// fraction reads one digit or more; those beyond nanoseconds are dropped.
func (s *scanner) fraction() int {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	if n == 0 {
		s.failed = true
		return 0
	}
	digits := (s.rest[:n] + "000000000")[:9]
	s.rest = s.rest[n:]
	fraction := scanner{rest: digits}
	return fraction.digits(9)
}

// offset reads Z, ±HH:MM, ±HHMM or ±HH, if there is one.
func (s *scanner) offset() (offset time.Duration, given bool) {
	sign := s.one("Zz+-")
	switch sign {
	case 0:
		return 0, false
	case 'Z', 'z':
		return 0, true
	}
	hours, minutes := s.digits(2), 0
	if s.one(":") != 0 || s.rest != "" {
		minutes = s.digits(2)
	}
	if hours > 23 || minutes > 59 {
		s.failed = true
	}
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if sign == '-' {
		offset = -offset
	}
	return offset, true
}
