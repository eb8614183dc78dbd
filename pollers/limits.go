package pollers

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limitHeaders are the names under which vendors say how many requests are left and when there are more: the IETF's draft, and what was usual
// before it.
var limitHeaders = [][2]string{
	{"RateLimit-Remaining", "RateLimit-Reset"},
	{"X-RateLimit-Remaining", "X-RateLimit-Reset"},
	{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},
}

// exhausted tells for how long a vendor's headers say that no request is left. What cannot be understood says nothing.
func exhausted(h http.Header, now time.Time) (time.Duration, bool) {
	for _, names := range limitHeaders {
		left, err := strconv.ParseFloat(firstItem(h.Get(names[0])), 64)
		if err != nil || left >= 1 {
			continue
		}
		if d, ok := resetIn(firstItem(h.Get(names[1])), now); ok {
			return d, true
		}
	}
	return 0, false
}

// firstItem is the value without what may follow it after a comma or semicolon.
func firstItem(value string) string {
	if i := strings.IndexAny(value, ",;"); i >= 0 {
		value = value[:i]
	}
	return strings.TrimSpace(value)
}

// resetIn reads seconds from now, or a Unix time in seconds or milliseconds, which no vendor says of a span.
func resetIn(value string, now time.Time) (time.Duration, bool) {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || !(n > 0) {
		return 0, false
	}
	var d time.Duration
	switch {
	case n > 1e15:
		return 0, false
	case n > 1e12:
		d = time.UnixMilli(int64(n)).Sub(now)
	case n > 1e9:
		d = time.Unix(int64(n), 0).Sub(now)
	default:
		d = time.Duration(min(n, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	return min(d, maxRetryAfter), d > 0
}
