package livechatreports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
)

// The grains of records.
const (
	grainDay    = "day"
	grainWindow = "window"
)

// answer is a response taken apart; its bytes are parts of the response's.
type answer struct {
	report      report
	days        interval
	url         string
	requestedAt time.Time
	buckets     []bucket
	rest        []member // all members but the records, in the vendor's order
}

// member is a named value of a JSON object.
type member struct {
	name  string
	value []byte
}

// bucket is a member of the records.
type bucket struct {
	member
	day   interval
	isDay bool // else its name is that of no day
}

// membersOf lists the members of a JSON object. A name that is there twice leaves open which value
// holds, so that the object is not what the vendor documents.
func membersOf(object []byte) ([]member, error) {
	var members []member
	seen, twice := map[string]bool{}, false
	err := jsonsplit.Members(object, func(name string, value []byte) {
		twice = twice || seen[name]
		seen[name] = true
		members = append(members, member{name, value})
	})
	if err == nil && twice {
		err = fmt.Errorf("a member is there twice: %w", pollers.ErrIncomplete)
	}
	return members, err
}

// takeApart fills the answer from the whole response: {"name":…,"total":…,"records":{…}}.
func (p *poller) takeApart(a *answer, whole []byte) error {
	members, err := membersOf(whole)
	if err != nil {
		return fmt.Errorf("response: %w", err)
	}
	var records []byte
	for _, m := range members {
		switch {
		case m.name == "error" && string(m.value) != "null":
			return p.failure(m.value)
		case m.name == "records":
			records = m.value
		default:
			a.rest = append(a.rest, m)
		}
	}
	if err := a.checkName(); err != nil {
		return err
	}
	if members, err = membersOf(records); err != nil {
		return fmt.Errorf("records: %w", err)
	}
	return p.fileByDay(a, members)
}

func (a *answer) checkName() error {
	for _, m := range a.rest {
		var name string
		if m.name == "name" && json.Unmarshal(m.value, &name) == nil && name == a.report.name {
			return nil
		}
	}
	return fmt.Errorf("response is not named %s: %w", a.report.name, pollers.ErrIncomplete)
}

// fileByDay fills the buckets. A day that was not asked for is refused: the vendor then answers another question, and may
// have left out days of ours.
func (p *poller) fileByDay(a *answer, records []member) error {
	a.buckets = make([]bucket, len(records))
	for i, m := range records {
		day, ok := p.day(m.name)
		if ok && (day.from.Before(a.days.from) || !day.from.Before(a.days.to)) {
			return fmt.Errorf("records: %s was not asked for: %w", m.name, pollers.ErrIncomplete)
		}
		a.buckets[i] = bucket{m, day, ok}
	}
	return nil
}

// day reads the name of a bucket (2026-10-01) as a day in the source's zone; false for any other
// name, and for a day that the zone skipped.
func (p *poller) day(name string) (interval, bool) {
	noon, err := time.ParseInLocation(time.DateOnly+" 15", name+" 12", p.location)
	if err != nil {
		return interval{}, false
	}
	day := p.wholeDays(noon, noon.Add(time.Second))
	return day, day.from.In(p.location).Format(time.DateOnly) == name
}

// emit hands over one record for each bucket and one for the rest, unless that is the name alone.
func (p *poller) emit(a *answer, emit func(events.Record) error) error {
	for _, b := range a.buckets {
		if err := emit(p.bucketRecord(a, b)); err != nil {
			return err
		}
	}
	if len(a.rest) == 1 {
		return nil
	}
	r := p.record(a, grainWindow, object(a.rest...))
	place(&r, a.days)
	return emit(r)
}

func (p *poller) bucketRecord(a *answer, b bucket) events.Record {
	r := p.record(a, grainDay, object(b.member))
	if b.isDay {
		r.Params["bucket"] = b.name
		place(&r, b.day)
	}
	return r
}

func (p *poller) record(a *answer, grain string, text []byte) events.Record {
	return events.Record{
		Parts:       []events.Part{{ContentType: events.ContentJSON, URL: a.url, Body: body(p.client.RedactBytes(text))}},
		Params:      map[string]string{"report": a.report.path, "grain": grain, "timezone": p.location.String()},
		RequestedAt: a.requestedAt,
	}
}

// place gives a record its interval, and with it its key.
func place(r *events.Record, i interval) {
	r.Params["start"] = i.from.Format(time.RFC3339)
	r.Params["end"] = i.to.Format(time.RFC3339)
	r.Key = events.MetricKey(r.Params["report"], i.from, r.Params["grain"], nil)
}

// object writes members as one object, values verbatim.
func object(members ...member) []byte {
	var b bytes.Buffer
	sep := byte('{')
	for _, m := range members {
		b.WriteByte(sep)
		sep = ','
		b.Write(quoted(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quoted writes a name as the vendor did, unless it needs escapes: those may be others.
func quoted(name string) []byte {
	special := func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }
	if strings.ContainsFunc(name, special) {
		text, _ := json.Marshal(name) // a string always encodes
		return text
	}
	return []byte(`"` + name + `"`)
}

// body keeps the start of what is too large for a record.
func body(whole []byte) events.Body {
	if len(whole) <= events.MaxRecordBytes {
		return events.Body{Bytes: whole}
	}
	sum := sha256.Sum256(whole)
	return events.Body{
		Bytes: bytes.Clone(whole[:events.OversizeKeptBytes]), Size: int64(len(whole)), SHA256: hex.EncodeToString(sum[:]),
	}
}
