package pollers

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of requests in a period; the zero Rate is no limit.
type Rate struct {
	Requests int
	Period   time.Duration
}

// EnvDecode reads "3/s", "180/m" or "1000/h".
func (r *Rate) EnvDecode(value string) error {
	count, unit, ok := strings.Cut(value, "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	period, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[strings.TrimSpace(unit)]
	if !ok || err != nil || n < 1 || !known {
		return fmt.Errorf("rate %q: want a number of requests per second, minute or hour", value)
	}
	*r = Rate{Requests: n, Period: period}
	return nil
}

// Wanted says what a variable of this type takes.
func (*Rate) Wanted() string { return "a rate such as 3/s, 180/m or 1000/h" }

// Gap is the time between two requests at this rate; 0 without a limit.
func (r Rate) Gap() time.Duration {
	if r.Requests <= 0 {
		return 0
	}
	return (r.Period + time.Duration(r.Requests) - 1) / time.Duration(r.Requests)
}

// String writes the rate as EnvDecode reads it.
func (r Rate) String() string {
	if r.Requests <= 0 {
		return "none"
	}
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Period]
	if unit == "" {
		unit = r.Period.String()
	}
	return strconv.Itoa(r.Requests) + "/" + unit
}
