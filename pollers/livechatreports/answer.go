package livechatreports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
)

// answer is a response taken apart; its bytes are parts of the response's.
type answer struct {
	report      report
	grain       string
	period      interval
	url         string
	requestedAt time.Time
	rows        []row
	rest        []member // all members but the records, in the vendor's order
	values      []int    // how many names each bucket has, where those are rows
}

// member is a named value of a JSON object.
type member struct {
	name  string
	value []byte
}

// row is what becomes a record.
type row struct {
	parts     []part
	grain     string
	at        interval
	bucket    string // the vendor's name of the bucket
	dimension string // what the part's one name is the value of
	dims      map[string]string
	keyless   bool
}

// part is a document of a record.
type part struct {
	name string
	text []byte
}

func whole(members ...member) []part { return []part{{text: object(members...)}} }

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

// take removes a member and gives its value; nil where there is none.
func take(members []member, name string) ([]byte, []member) {
	i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
	if i < 0 {
		return nil, members
	}
	return members[i].value, slices.Delete(slices.Clone(members), i, i+1)
}

// takeApart fills the answer from the whole response: {"name":…,"total":…,"records":…,"summary":…}.
func (p *poller) takeApart(a *answer, response []byte) error {
	members, err := membersOf(response)
	if err != nil {
		return fmt.Errorf("response: %w", err)
	}
	fault, _ := take(members, "error")
	if fault != nil && string(fault) != "null" {
		return p.failure(fault)
	}
	a.rest = members
	if err := a.checkName(); err != nil {
		return err
	}
	if a.report.path == visitorsPath {
		return a.checkSummary()
	}
	var records []byte
	records, a.rest = take(members, "records")
	switch {
	case a.report.path == formsPath:
		err = p.fileForms(a, records)
	case a.report.distributed:
		err = p.fileBuckets(a, records)
	default:
		err = p.fileNames(a, records)
	}
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	return nil
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

// checkSummary wants the one figure of a report that has no records.
func (a *answer) checkSummary() error {
	summary, _ := take(a.rest, "summary")
	if len(summary) == 0 || summary[0] != '{' {
		return fmt.Errorf("response has no summary: %w", pollers.ErrIncomplete)
	}
	return nil
}

// fileBuckets makes rows of buckets. A time that was not asked for is refused: the vendor then answers another question, and may
// have left out times of ours.
func (p *poller) fileBuckets(a *answer, records []byte) error {
	buckets, err := membersOf(records)
	if err != nil {
		return err
	}
	for _, m := range buckets {
		at, ok := p.bucketNamed(a.grain, m.name, a.period)
		if ok && !a.period.holds(at.from) {
			return fmt.Errorf("%s was not asked for: %w", m.name, pollers.ErrIncomplete)
		}
		if ok && at.from.Equal(at.to) && string(m.value) == "{}" {
			continue // nothing, in an hour that the clocks skipped
		}
		r := row{parts: whole(m), grain: a.grain, at: at, bucket: m.name, keyless: !ok || at.from.Equal(at.to)}
		names, err := membersOf(m.value)
		if a.report.dimension == "" || r.keyless || err != nil {
			a.rows = append(a.rows, r) // a bucket that has no names is refused by the normaliser
			continue
		}
		a.values = append(a.values, len(names))
		p.fileNamed(a, r, names)
	}
	return nil
}

// fileNames makes rows of records that are no buckets: they are the whole day's.
func (p *poller) fileNames(a *answer, records []byte) error {
	names, err := membersOf(records)
	p.fileNamed(a, row{grain: a.grain, at: a.period}, names)
	return err
}

// fileNamed makes a row of each name.
func (p *poller) fileNamed(a *answer, r row, names []member) {
	r.dimension = a.report.dimension
	for _, m := range names {
		value := p.client.Redact(valid(m.name))
		r.parts, r.dims, r.keyless = whole(m), map[string]string{r.dimension: value}, value == ""
		a.rows = append(a.rows, r)
	}
}

// valid replaces what is no UTF-8 as encoding/json does, which reads the record again.
func valid(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return string([]rune(name))
}

// capped tells whether the vendor's cap of greetings a day was reached. Of buckets that are parts of a day the document leaves open whether each has
// up to 100 or all of them together.
func (a *answer) capped() bool {
	all, most := 0, 0
	for _, n := range a.values {
		all, most = all+n, max(most, n)
	}
	return a.report.path == greetingsPath && (most >= greetingsCap || all == greetingsCap)
}

// emit hands over one record for each row and one for the rest, unless that is the name alone.
func (p *poller) emit(a *answer, emit func(events.Record) error) error {
	if len(a.rest) > 1 {
		a.rows = append(a.rows, row{parts: whole(a.rest...), grain: grainWindow, at: a.period})
	}
	seen := make(map[string]bool, len(a.rows))
	for _, row := range a.rows {
		r := p.record(a, row)
		if seen[r.Key] {
			r.Key = "" // which of the two holds, nobody knows; taking turns they would change without end
		}
		seen[r.Key] = true
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

func (p *poller) record(a *answer, row row) events.Record {
	r := events.Record{
		Params:      map[string]string{"report": a.report.path, "grain": row.grain, "timezone": p.location.String()},
		RequestedAt: a.requestedAt,
	}
	for _, part := range row.parts {
		r.Parts = append(r.Parts, events.Part{
			Name: part.name, ContentType: events.ContentJSON, URL: a.url, Body: body(p.client.RedactBytes(part.text)),
		})
	}
	dims := maps.Clone(row.dims)
	if p.filters.digest != "" {
		r.Params["filter"], r.Params["filters"] = p.filters.digest, p.filters.canonical
		if dims == nil {
			dims = map[string]string{}
		}
		dims["filter"] = p.filters.digest
	}
	if row.keyless {
		return r
	}
	for name, value := range map[string]string{"bucket": row.bucket, "dimension": row.dimension} {
		if value != "" {
			r.Params[name] = value
		}
	}
	r.Params["start"], r.Params["end"] = row.at.from.Format(time.RFC3339), row.at.to.Format(time.RFC3339)
	r.Key = events.MetricKey(a.report.path, row.at.from, row.grain, dims)
	return r
}

// object writes members as one object, values verbatim.
func object(members ...member) []byte {
	var b bytes.Buffer
	sep := "{"
	for _, m := range members {
		b.WriteString(sep)
		sep = ","
		b.Write(quoted(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	if len(members) == 0 {
		b.WriteByte('{')
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
