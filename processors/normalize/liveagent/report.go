// Package liveagent also makes metrics, activities, SLA lines and ratings of the vendor's reports.
//
// # Reports
//
// A record of a report has the part "", a row. Report is the stream; figures of the document are measures by their vendor names, whether the vendor writes
// them as numbers or as text, and absent when they are empty; a figure that is no number, or one that a float64
// does not hold, is an attribute in its text, as is every column that the document does not know. Interval and grain are those of the record's params.
// A time of the row's stays in attributes when the interval does not say the same, or clocks showed it twice.
//
// agentsavailability is an activity with the state online. One that goes on (to_date is "now") has neither an end nor a
// length: hours_online would be another with every reading, and is now less started_at.
//
// slalog: closed_at and due_at are the server_date_* fields; date_created, date_closed and date_due, in the reader's zone, stay in attributes, as do
// departmentid, department_name, code and sla_level_id. The vendor's offset sla is what the closing came after the due time, so slack_s has the other
// sign; of a line that is not closed it runs on with the clock and is left out.
//
// ranking: W is good, P is bad, and any other letter stays in attributes. The agent's id is not given: the vendor names a contact
// (agentcontactid, an attribute of the agent), where agents elsewhere are known by their userid.
//
// A record without a key, with another than its row and params give, or with a row that is not well-formed is malformed.
package liveagent

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
)

// report says what the rows of one of the vendor's reports are.
type report struct {
	item      string // of the row in XML
	dimension string // that the id is of; "" where a row has none
	measures  []string
	fill      func(*row) (events.Entity, error)
}

// row is one record of a report.
type row struct {
	fields
	report report
	record *events.Record
	times  moments
}

// isReport tells whether a stream is a report's.
func isReport(stream string) bool {
	_, known := reports()[stream]
	return known
}

// normalizeReport makes the entity of a report's row.
func normalizeReport(record *events.Record) (events.Entity, error) {
	if body, large := record.Oversize(); large {
		return nil, fmt.Errorf("the row is too large to keep: %d bytes", body.Size)
	}
	zone, err := zoneOf(record)
	if err != nil {
		return nil, err
	}
	if len(record.Parts) != 1 || record.Parts[0].Name != "" {
		return nil, errors.New(`want one part ""`)
	}
	r := &row{report: reports()[record.Stream], record: record, times: moments{zone}}
	d, err := decodeRow(&record.Parts[0], r.report.item)
	if err != nil {
		return nil, err
	}
	r.fields = d.content
	entity, err := r.report.fill(r)
	if err != nil {
		return nil, err
	}
	base := entity.Common()
	for name, value := range r.fields {
		if !empty(value) {
			base.Set(name, value)
		}
	}
	if d.invalidUTF8 {
		base.Set("invalid_utf8", true)
	}
	if d.invalidXMLChar {
		base.Set("invalid_xml_characters", true)
	}
	return entity, nil
}

// decodeRow reads a row of a list.
func decodeRow(p *events.Part, item string) (decoded, error) {
	media, _, _ := strings.Cut(p.ContentType, ";")
	if strings.TrimSpace(media) != events.ContentXML {
		return decode(p)
	}
	clean, invalid, forbidden := cleanXML(bytes.TrimPrefix(p.Body.Bytes, []byte("\ufeff")))
	root, err := readXML(xml.NewDecoder(bytes.NewReader(clean)))
	if err != nil {
		return decoded{}, err
	}
	content, ok := root.value().(tree)
	switch {
	case root.name != item:
		return decoded{}, fmt.Errorf("the root is <%s>, want <%s>", root.name, item)
	case !ok && root.value() != nil:
		return decoded{}, fmt.Errorf("<%s> holds text, want elements", item)
	case !ok:
		content = tree{}
	}
	return decoded{content: content, invalidUTF8: invalid, invalidXMLChar: forbidden}, nil
}

// metric makes a metric of a row: its interval is the record's, which the poller knows from what it asked for.
func (r *row) metric() (events.Entity, error) {
	interval, err := r.interval()
	if err != nil {
		return nil, err
	}
	m := &events.Metric{Base: events.NewBase(r.record), Report: r.record.Stream, Interval: interval, Measures: map[string]float64{}}
	if r.report.dimension != "" {
		id := r.word("id")
		if id == "" {
			return nil, errors.New("id is missing")
		}
		m.Dimensions = map[string]string{r.report.dimension: id}
	}
	if key := events.MetricKey(m.Report, interval.Start, interval.Grain, m.Dimensions); key != r.record.Key {
		return nil, fmt.Errorf("the key is %q, the row's is %q", r.record.Key, key)
	}
	for _, name := range r.report.measures {
		if n, ok := number(r.fields[name]); ok {
			m.Measures[name] = n
			delete(r.fields, name)
			continue
		}
		if text, ok := scalar(r.fields[name]); ok { // the same in both formats
			m.Set(name, text)
			delete(r.fields, name)
		}
	}
	r.dropTimes(interval)
	return m, nil
}

func (r *row) interval() (*events.Interval, error) {
	if r.record.Key == "" {
		return nil, fmt.Errorf("the row has no time that can be read, or no id: %q", r.fields[r.timeColumn()])
	}
	i := &events.Interval{Grain: r.record.Params["grain"], Timezone: r.record.Params["timezone"]}
	switch i.Grain {
	case "hour", "day", "week", "month":
	default:
		return nil, fmt.Errorf("param grain is %q", i.Grain)
	}
	for name, into := range map[string]*time.Time{"start": &i.Start, "end": &i.End} {
		t, err := time.Parse(time.RFC3339, r.record.Params[name])
		if err != nil || t.Year() < 1 || t.Year() > 9999 {
			return nil, fmt.Errorf("param %s is %q, want a time in RFC 3339", name, r.record.Params[name])
		}
		*into = t.UTC()
	}
	return i, nil
}

func (r *row) timeColumn() string {
	if r.record.Stream == "reports/performance" {
		return "datetime"
	}
	return "date"
}

// dropTimes takes the row's times out when the interval says the same.
func (r *row) dropTimes(i *events.Interval) {
	if r.report.dimension != "" {
		return
	}
	name := r.timeColumn()
	if t := r.dayOrTime(name); t.exact && t.at.Equal(i.Start) {
		delete(r.fields, name)
	}
	if t := r.dayOrTime("dateto"); t.exact && t.at.Add(time.Second).Equal(i.End) {
		delete(r.fields, "dateto")
	}
}

// dayOrTime reads a time, or a day as its first moment.
func (r *row) dayOrTime(name string) moment {
	text, ok := scalar(r.fields[name])
	if !ok {
		return moment{}
	}
	text = strings.TrimSpace(text)
	for _, layout := range []string{"01/02/2006", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Format(layout) == text {
			text = t.Format(time.DateTime)
		}
	}
	return r.times.read(text)
}

// maxWhole is below where a float64 holds every whole number.
const maxWhole = 1 << 53

// number reads a figure, which the vendor writes as a number or as text; false for one that a float64 does not hold.
func number(value any) (float64, bool) {
	text, ok := scalar(value)
	if _, truth := value.(bool); !ok || truth {
		return 0, false
	}
	n := json.Number(strings.TrimSpace(text))
	if !json.Valid([]byte(n)) {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil && (f != math.Trunc(f) || math.Abs(f) < maxWhole)
}
