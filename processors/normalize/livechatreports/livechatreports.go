// Package livechatreports makes metrics of the records of the LiveChat Reports API v3.6 (livechat-reports-v3.6.txt, bodies
// after facts.md 1.4).
//
// # Config
//
// None.
//
// # Delivery
//
// One [events.Metric] per record, under the key of [events.MetricKey] without dimensions; report and interval are those of the
// record's Params (report, grain, start, end, timezone, bucket). A record of the grain window is a response without its records, any
// other is one bucket, {"2026-10-01":{"chats":3}}.
//
// Numbers are measures by their vendor names. LiveChat leaves zero counters out, so the documented counters of a
// bucket (total_chats: total, continuous; ratings: chats, good, bad) are 0 when they are not there; one that is
// there and no number is unknown instead. Everything else is in attributes by its vendor name: texts, objects, and numbers that a float64
// does not hold (whole ones from 2^53 on, 1e999).
//
// Malformed, and so refused: a record without key or with another than its Params give, a bucket that is no object or not the one that Params
// name, what is no JSON, has a member twice or nests deeper than 100, and a record that was too large to keep.
//
// # Limits
//
// The window's total need not equal the sum of its buckets: the vendor counts chats in the range, a bucket what its report is about.
package livechatreports

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
)

const grainWindow = "window"

// counters are the measures of a bucket that the vendor leaves out when they are zero.
func counters(report string) []string {
	switch report {
	case "chats/total_chats":
		return []string{"total", "continuous"}
	case "chats/ratings":
		return []string{"chats", "good", "bad"}
	}
	return nil
}

// Normalize implements processors.Normalizer.
func Normalize(r *events.Record) (events.Entity, error) {
	if r.Key == "" {
		return nil, errors.New("the record has no key: its bucket is not named by a day")
	}
	if body, over := r.Oversize(); over {
		return nil, fmt.Errorf("the record is too large: %d bytes", body.Size)
	}
	m := &events.Metric{Base: events.NewBase(r), Report: r.Params["report"], Measures: map[string]float64{}}
	var err error
	if m.Interval, err = interval(r.Params); err != nil {
		return nil, err
	}
	if key := events.MetricKey(m.Report, m.Interval.Start, m.Interval.Grain, nil); key != r.Key {
		return nil, fmt.Errorf("the key is %q, params give %q", r.Key, key)
	}
	if err := fill(m, r); err != nil {
		return nil, err
	}
	return m, nil
}

func interval(params map[string]string) (*events.Interval, error) {
	i := &events.Interval{Grain: params["grain"], Timezone: params["timezone"]}
	for name, into := range map[string]*time.Time{"start": &i.Start, "end": &i.End} {
		t, err := time.Parse(time.RFC3339, params[name])
		if err != nil {
			return nil, fmt.Errorf("param %s: is %q, want a time in RFC 3339", name, params[name])
		}
		*into = t.UTC()
	}
	return i, nil
}

// fill adds measures and attributes.
func fill(m *events.Metric, r *events.Record) error {
	text := r.Part("")
	members, err := decode(text)
	if err != nil {
		return err
	}
	if m.Interval.Grain != grainWindow {
		if members, err = bucket(members, r.Params["bucket"]); err != nil {
			return err
		}
		for _, name := range counters(m.Report) {
			m.Measures[name] = 0
		}
	}
	for name, value := range members {
		add(m, name, value)
	}
	if !utf8.Valid(text) {
		m.Set("invalid_utf8", true)
	}
	return nil
}

// bucket gives the members of the one bucket.
func bucket(members map[string]any, name string) (map[string]any, error) {
	value, ok := members[name]
	if !ok || len(members) != 1 {
		return nil, fmt.Errorf("bucket: want %q and no other", name)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("bucket %s: is no object", name)
	}
	return object, nil
}

func add(m *events.Metric, name string, value any) {
	if number, ok := value.(json.Number); ok {
		if f, exact := measure(number); exact {
			m.Measures[name] = f
			return
		}
	}
	delete(m.Measures, name) // a counter that is there and unreadable is not 0
	m.Set(name, value)
}

// maxWhole is below where a float64 holds every whole number: 2^53+1 would come out as 2^53.
const maxWhole = 1 << 53

// measure gives a number; false for one that a float64 does not hold: out of its range, or whole and from 2^53 on.
func measure(number json.Number) (float64, bool) {
	f, err := number.Float64()
	return f, err == nil && (f != math.Trunc(f) || math.Abs(f) < maxWhole)
}
