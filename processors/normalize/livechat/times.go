package livechat

import (
	"strings"
	"time"
)

// dateForm is how the document prints times: "Wed, 01/23/13 11:40:53 am", in the account's zone.
const dateForm = "Mon, 1/2/06 3:04:05 pm"

// localForms are others without an offset, which missed chats have been seen with.
var localForms = [...]string{"2006-01-02 15:04:05", "2006-01-02T15:04:05"}

// parseTime reads a printed time. It is zero for one that fits no form, or that the zone's clocks skip; of one that
// they show twice it is the earlier.
func parseTime(text string, zone func() *time.Location) time.Time {
	text = strings.TrimSpace(text)
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return writable(t)
	}
	wall, err := time.Parse(dateForm, strings.ToLower(text))
	for i := 0; err != nil && i < len(localForms); i++ {
		wall, err = time.Parse(localForms[i], text)
	}
	if err != nil {
		return time.Time{}
	}
	loc := zone()
	if loc == nil {
		return time.Time{}
	}
	return writable(resolve(wall, loc))
}

// resolve gives the first instant at which the clocks of a zone show what wall shows; zero if they never do.
func resolve(wall time.Time, loc *time.Location) time.Time {
	y, m, d := wall.Date()
	t := time.Date(y, m, d, wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), loc)
	if !shows(t, wall) {
		return time.Time{}
	}
	if start, _ := t.ZoneBounds(); !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		if earlier := wall.Add(-time.Duration(before) * time.Second).In(loc); earlier.Before(start) && shows(earlier, wall) {
			return earlier
		}
	}
	return t
}

func shows(t, wall time.Time) bool {
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second).Equal(wall)
}

// writable gives a time in UTC, zero if RFC 3339 cannot write its year.
func writable(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}
