package events

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// MetricKey is the vendor_id of a metric: <report>/<interval.start>/<grain>, and then
// /<dimension>=<value> for each dimension in alphabetical order. The start is written in RFC 3339, UTC; of a
// snapshot it is the zero time and left out. Values stand as the vendor wrote them, unescaped.
func MetricKey(report string, start time.Time, grain string, dimensions map[string]string) string {
	var b strings.Builder
	b.WriteString(report)
	if !start.IsZero() {
		b.WriteByte('/')
		b.WriteString(start.UTC().Format(time.RFC3339))
	}
	b.WriteByte('/')
	b.WriteString(grain)
	for _, name := range slices.Sorted(maps.Keys(dimensions)) {
		b.WriteByte('/')
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(dimensions[name])
	}
	return b.String()
}
