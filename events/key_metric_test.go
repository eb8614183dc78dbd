package events_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
)

func TestMetricKeyNamesReportIntervalGrainAndDimensions(t *testing.T) {
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2026, 10, 25, 0, 0, 0, 0, oslo)
	cases := map[string]struct {
		start      time.Time
		grain      string
		dimensions map[string]string
		want       string
	}{
		"without dimensions":                 {midnight, "day", nil, "chats/ratings/2026-10-24T22:00:00Z/day"},
		"the start is written in UTC":        {midnight.UTC(), "day", nil, "chats/ratings/2026-10-24T22:00:00Z/day"},
		"dimensions are in order":            {midnight, "day", map[string]string{"tag": "b", "agent": "a"}, "chats/ratings/2026-10-24T22:00:00Z/day/agent=a/tag=b"},
		"values stand unescaped":             {midnight, "day", map[string]string{"tag": "a/b = ü"}, "chats/ratings/2026-10-24T22:00:00Z/day/tag=a/b = ü"},
		"a snapshot leaves the start out":    {time.Time{}, "snapshot", map[string]string{"department": "7"}, "chats/ratings/snapshot/department=7"},
		"fractions of a second are not kept": {midnight.Add(time.Millisecond), "window", nil, "chats/ratings/2026-10-24T22:00:00Z/window"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := events.MetricKey("chats/ratings", c.start, c.grain, c.dimensions); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func ExampleMetricKey() {
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(events.MetricKey("chats/ratings", start, "day", nil))
	fmt.Println(events.MetricKey("chats/tags", start, "day", map[string]string{"tag": "refund"}))
	// Output:
	// chats/ratings/2026-10-01T00:00:00Z/day
	// chats/tags/2026-10-01T00:00:00Z/day/tag=refund
}
