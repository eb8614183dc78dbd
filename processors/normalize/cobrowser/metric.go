package cobrowser

import (
	"fmt"
	"time"

	"github.com/parley-stream/parley/events"
)

// metric is one row of statistics.
func metric(r *events.Record, row *row) (*events.Metric, error) {
	bucket, ok := events.CobrowserMetric(r.Stream, row.raw, r.Timezone)
	if !ok {
		return nil, fmt.Errorf("stream %q: gives no statistics", r.Stream)
	}
	m := &events.Metric{
		Base: events.NewBase(r), Report: r.Stream, Dimensions: bucket.Dimensions, Measures: row.measures(figures(r.Stream)...),
		Interval: &events.Interval{Start: bucket.Start, Grain: bucket.Grain},
	}
	if m.Measures == nil {
		m.Measures = map[string]float64{}
	}
	for _, column := range dimensions(r.Stream) {
		row.take(column)
	}
	m.Interval.End = end(r, row, bucket.Start)
	row.rest(&m.Base)
	return m, nil
}

// dimensions are the columns that the key and the dimensions hold.
func dimensions(stream string) []string {
	switch stream {
	case "hostspecshourly":
		return []string{"hourBegin_time", "host_id", "account_id"}
	case "filterstatshourly":
		return []string{"hourBegin_time", "id", "account_id"}
	case "agentperformance":
		return []string{"session_start", "agent_id", "session_id", "preset"}
	default:
		return []string{"hourBegin_time", "account_id"}
	}
}

// end is the first moment after the hour: the vendor's is its last second.
func end(r *events.Record, row *row, start time.Time) time.Time {
	last, ok := events.CobrowserTime(row.raw("hourEnd_time"), r.Timezone)
	if ok && last.Second() == 59 {
		last = last.Add(time.Second)
	}
	if !ok || !last.After(start) {
		return time.Time{} // the text stays in attributes
	}
	row.take("hourEnd_time")
	return last
}

func figures(stream string) []string {
	switch stream {
	case "filterstatshourly":
		return []string{
			"num_proactive", "num_proactive_accepted", "num_proactive_declined", "num_proactive_match", "num_proactive_cancelled",
			"num_proactive_no_availability", "num_proactive_expired", "num_proactive_ignored",
		}
	case "agentperformance":
		return []string{
			"numChats", "numBreaks", "numIgnored", "numAbandoned", "avgConcurrency", "firstResponseDuration", "openDuration", "closedDuration",
			"newDuration", "sleepingDuration", "burningDuration", "onlineDuration", "offlineDuration", "availableDuration", "idleDuration",
			"sessionDuration",
		}
	default:
		return []string{
			"num_vists", "num_pageviews", "num_visitors", "num_reactive", "num_reactive_accepted", "num_proactive", "num_proactive_accepted",
		}
	}
}
