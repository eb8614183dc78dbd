// Package livechatreports makes metrics of the records of the LiveChat Reports API v3.6 (livechat-reports-v3.6.txt, bodies
// after LiveChat's published examples).
//
// # Config
//
// None.
//
// # Delivery
//
// One [events.Metric] per record, under the key of [events.MetricKey]; report and interval are those of the
// record's Params (report, grain, start, end, timezone, bucket). Dimensions: what the Param dimension names (tag, greeting, agent) is the name of
// the record's one member; of chats/forms they are form, group, field and answer, by their ids; filter is the Param of a source with filters, whose
// Param filters is the attribute filters.
//
// Numbers are measures by their vendor names; how often a tag was given is chats. A record of the grain window is a response without
// its records: total, and the members of summary. LiveChat leaves zero counters out, so the documented counters and sums of a
// bucket, an agent, a greeting, a form, an answer or a summary are 0 when they are not there; averages, scores and totals
// that are not there are absent, as is chats/engagement's total of a bucket, which LiveChat's examples lack beside counters that are not zero. A
// counter that is there and no number is unknown. Everything else is in attributes by its vendor name: texts, objects, and numbers that a float64
// does not hold (whole ones from 2^53 on, 1e999). An answer's field is in the attribute field, without its id.
//
// Malformed, and so refused: a record without key or with another than it and its Params give, a bucket that is no object or not the one that Params
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

const (
	grainWindow = "window"
	grainHour   = "hour"
	formsReport = "chats/forms"
)

// named are the reports whose records are names within a bucket or within the records.
func named(report string) bool {
	switch report {
	case "chats/tags", "chats/ranking", "chats/greetings_conversion", "agents/performance", "tags/chat_usage":
		return true
	}
	return false
}

// counters are the measures of a record that the vendor leaves out when they are zero.
func counters(report, grain string) []string {
	switch report {
	case "chats/total_chats":
		return []string{"total", "continuous"}
	case "chats/ratings":
		return []string{"chats", "good", "bad"}
	case "chats/ranking":
		return []string{"total", "good", "bad"}
	case "chats/engagement":
		return []string{"started_by_customer_from_greeting", "started_by_customer_without_greeting", "started_by_agent"}
	case "chats/greetings_conversion":
		return []string{"accepted", "canceled", "displayed", "goals"}
	case "chats/duration", "chats/response_time", "chats/first_response_time", formsReport:
		return []string{"count"}
	case "agents/availability":
		if grain == grainHour {
			return []string{"minutes"}
		}
		return []string{"hours"}
	case "agents/performance":
		return append(summed("agents/performance"), "accepting_chats_time", "chatting_time", "logged_in_time", "not_accepting_chats_time")
	}
	return nil
}

// summed are the counters of a report's summary.
func summed(report string) []string {
	switch report {
	case "agents/performance":
		return []string{"chats_count", "chats_rated_good", "chats_rated_bad", "first_response_chats_count"}
	case "stats/visitors":
		return []string{"unique_visitors", "page_views"}
	}
	return nil
}

// Normalize implements processors.Normalizer.
func Normalize(r *events.Record) (events.Entity, error) {
	if r.Key == "" {
		return nil, errors.New("the record has no key: its bucket says no time, it has no id, or its key came twice")
	}
	if body, over := r.Oversize(); over {
		return nil, fmt.Errorf("the record is too large: %d bytes", body.Size)
	}
	m := &events.Metric{Base: events.NewBase(r), Report: r.Params["report"], Measures: map[string]float64{}}
	var err error
	if m.Interval, err = interval(r.Params); err != nil {
		return nil, err
	}
	if err := fill(m, r); err != nil {
		return nil, err
	}
	if err := filtered(m, r.Params); err != nil {
		return nil, err
	}
	if key := events.MetricKey(m.Report, m.Interval.Start, m.Interval.Grain, m.Dimensions); key != r.Key {
		return nil, fmt.Errorf("the key is %q, the record gives %q", r.Key, key)
	}
	for _, part := range r.Parts {
		if !utf8.Valid(part.Body.Bytes) {
			m.Set("invalid_utf8", true)
		}
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

// filtered adds what the source's filters are.
func filtered(m *events.Metric, params map[string]string) error {
	if params["filters"] == "" {
		return nil
	}
	tree, err := decode([]byte(params["filters"]))
	if err != nil {
		return fmt.Errorf("param filters: %w", err)
	}
	if _, taken := m.Attributes["filters"]; !taken {
		m.Set("filters", tree)
	}
	return dimension(m, "filter", params["filter"])
}

// dimension adds a dimension, whose value may not be empty.
func dimension(m *events.Metric, name, value string) error {
	if value == "" {
		return fmt.Errorf("the dimension %s is empty", name)
	}
	if m.Dimensions == nil {
		m.Dimensions = map[string]string{}
	}
	m.Dimensions[name] = value
	return nil
}

// fill adds dimensions, measures and attributes.
func fill(m *events.Metric, r *events.Record) error {
	switch {
	case m.Interval.Grain == grainWindow:
		return window(m, r)
	case m.Report == formsReport:
		return form(m, r)
	}
	members, err := decode(r.Part(""))
	if err != nil {
		return err
	}
	if named(m.Report) {
		return name(m, members, r.Params["dimension"])
	}
	return bucket(m, members, r.Params["bucket"])
}

// window adds the members of a response, and those of its summary.
func window(m *events.Metric, r *events.Record) error {
	members, err := decode(r.Part(""))
	if err != nil {
		return err
	}
	if summary, ok := members["summary"].(map[string]any); ok {
		delete(members, "summary")
		addSummary(m, summary, members)
	}
	for name, value := range members {
		add(m, name, value)
	}
	return nil
}

// addSummary adds the members of a summary; those whose names the response itself has stay together.
func addSummary(m *events.Metric, summary, response map[string]any) {
	zero(m, summed(m.Report))
	twice := map[string]any{}
	for name, value := range summary {
		if _, taken := response[name]; taken {
			twice[name] = value
		} else {
			add(m, name, value)
		}
	}
	if len(twice) > 0 {
		m.Set("summary", twice)
	}
}

// bucket adds the members of the one bucket.
func bucket(m *events.Metric, members map[string]any, name string) error {
	value, ok := members[name]
	if !ok || len(members) != 1 {
		return fmt.Errorf("bucket: want %q and no other", name)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("bucket %s: is no object", name)
	}
	figures(m, object)
	return nil
}

// name adds the one name and its figures.
func name(m *events.Metric, members map[string]any, what string) error {
	if what == "" || len(members) != 1 {
		return errors.New("want one name, and a param that says what of; the bucket is no object of names")
	}
	for name, value := range members {
		if err := dimension(m, what, name); err != nil {
			return err
		}
		if what == "tag" {
			add(m, "chats", value)
			return nil
		}
		object, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s %s: is no object", what, name)
		}
		figures(m, object)
	}
	return nil
}

// figures adds the members of what the report counts.
func figures(m *events.Metric, members map[string]any) {
	zero(m, counters(m.Report, m.Interval.Grain))
	for name, value := range members {
		add(m, name, value)
	}
}

func zero(m *events.Metric, names []string) {
	for _, name := range names {
		m.Measures[name] = 0
	}
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
