package format

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/parley-stream/parley/events"
)

// levels say where a value stands: how deep its lists go on (repetition), and how much of its path is there (definition).
type levels struct{ rep, def int }

// receiver takes the values of a row, leaf by leaf; of one leaf they come in order.
type receiver interface {
	// begin throws away what there is of a row.
	begin()
	// absent says that there is nothing.
	absent(leaf int, at levels)
	// put gives a JSON string without its quotes, a number, true, false, or a document; false when the leaf cannot hold it.
	put(leaf int, at levels, kind jsontext.Kind, value []byte) bool
	// putTime gives the event's time.
	putTime(leaf int, t time.Time)
}

// splitter takes events apart into the leaves of a table. No event fails: what has no column goes into other, what is no JSON object
// into the last column.
type splitter struct {
	table   *table
	out     receiver
	input   bytes.Buffer
	decoder *jsontext.Decoder
	scratch []byte
	name    []byte // of the member at the top that is being read, quoted
	other   []byte // an object, without its end
}

func newSplitter(t *table, out receiver) *splitter {
	s := &splitter{table: t, out: out}
	s.decoder = jsontext.NewDecoder(&s.input)
	return s
}

// split gives an event's row to the receiver.
func (s *splitter) split(e *events.Event) {
	s.out.begin()
	s.attributes(e)
	data := e.Data
	if media, _, _ := strings.Cut(e.DataContentType, ";"); strings.TrimSpace(media) == events.ContentMsgpack {
		content, err := events.DecodeMsgpack(data)
		if err != nil {
			s.noObject(data)
			return
		}
		data = content
	}
	if len(data) == 0 {
		s.nothing()
		return
	}
	if err := s.content(data); err != nil {
		s.out.begin() // of a value that broke off half is there
		s.attributes(e)
		s.noObject(e.Data)
	}
}

func (s *splitter) attributes(e *events.Event) {
	for _, c := range s.table.attributes {
		if c.name == "ce_time" {
			s.time(c, e.Time)
			continue
		}
		s.scratch = appendAttribute(s.scratch[:0], e, c.name)
		s.whole(c, s.scratch)
	}
}

// writable tells whether RFC 3339 can write a time, as it does in every other form of an event.
func writable(t time.Time) bool { return !t.IsZero() && t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 }

func (s *splitter) time(c *column, t time.Time) {
	if !writable(t) {
		s.out.absent(c.leaf, levels{})
		return
	}
	s.out.putTime(c.leaf, t.UTC())
}

// whole puts the value of a column at the top; an empty one is absent.
func (s *splitter) whole(c *column, value []byte) {
	kind := jsontext.Kind('"')
	if c.shape == integer {
		kind = '0'
	}
	if len(value) == 0 || !s.out.put(c.leaf, levels{def: 1}, kind, value) {
		s.out.absent(c.leaf, levels{})
	}
}

// nothing is an event without data.
func (s *splitter) nothing() {
	s.absent(s.table.content.fields, levels{})
	s.whole(s.table.other, nil)
	s.whole(s.table.raw, nil)
}

// noObject keeps data that has no fields.
func (s *splitter) noObject(data []byte) {
	s.absent(s.table.content.fields, levels{})
	s.whole(s.table.other, nil)
	s.scratch = base64.StdEncoding.AppendEncode(s.scratch[:0], data)
	s.whole(s.table.raw, s.scratch)
}

var errNoObject = errors.New("want one JSON object")

func (s *splitter) content(data []byte) error {
	s.input = *bytes.NewBuffer(data)
	s.decoder.Reset(&s.input)
	s.other = s.other[:0]
	if s.decoder.PeekKind() != '{' {
		return errNoObject
	}
	if _, err := s.record(s.table.content, levels{}, data); err != nil {
		return err
	}
	if _, err := s.decoder.ReadToken(); err != io.EOF {
		return errNoObject
	}
	switch {
	case len(s.other) > 0:
		s.other = append(s.other, '}')
	case len(bytes.Trim(data, "{} \t\r\n")) == 0:
		s.other = append(s.other, "{}"...) // it is not the same as no data
	}
	s.whole(s.table.other, s.other)
	s.whole(s.table.raw, nil)
	return nil
}

// absent says of all leaves below some columns that they are not there.
func (s *splitter) absent(columns []*column, at levels) {
	for _, c := range columns {
		switch c.shape {
		case record:
			s.absent(c.fields, at)
		case list:
			s.absent([]*column{c.element}, at)
		default:
			s.out.absent(c.leaf, at)
		}
	}
}

// record takes an object; whole tells whether every value in it has found its place. At the top, where data is all of it, a member of
// which anything is lost is kept in other as it is.
func (s *splitter) record(c *column, at levels, data []byte) (whole bool, err error) {
	if _, err := s.decoder.ReadToken(); err != nil {
		return false, err
	}
	whole = true
	var seen uint64
	for next := 0; s.decoder.PeekKind() != '}'; {
		name, err := s.decoder.ReadValue()
		if err != nil {
			return false, err
		}
		i := find(c.fields, name, next)
		if data != nil {
			s.name = append(s.name[:0], name...)
		}
		start := s.decoder.InputOffset()
		fits := false
		if i < 0 {
			err = s.decoder.SkipValue()
		} else {
			seen |= 1 << i
			next = i + 1
			fits, err = s.value(c.fields[i], at)
		}
		if err != nil {
			return false, err
		}
		if !fits && data != nil {
			s.keep(bytes.TrimLeft(data[start:s.decoder.InputOffset()], ": \t\r\n"))
		}
		whole = whole && fits
	}
	if _, err := s.decoder.ReadToken(); err != nil {
		return false, err
	}
	for i, f := range c.fields {
		if seen&(1<<i) == 0 {
			s.absent([]*column{f}, at)
		}
	}
	return whole, nil
}

// find gives the field with a name as JSON has it, quoted; -1 for none. Canonical content has its fields in order, so the next is tried first.
func find(fields []*column, quoted []byte, next int) int {
	name := quoted[1 : len(quoted)-1]
	if next < len(fields) && string(name) == fields[next].name {
		return next
	}
	for i, f := range fields {
		if string(name) == f.name {
			return i
		}
	}
	return -1
}

// keep adds the member at the top that s.name names to other.
func (s *splitter) keep(value []byte) {
	separator := byte(',')
	if len(s.other) == 0 {
		separator = '{'
	}
	s.other = append(append(s.other, separator), s.name...)
	s.other = append(append(s.other, ':'), value...)
}

// value takes the next value into a column.
func (s *splitter) value(c *column, at levels) (fits bool, err error) {
	kind := s.decoder.PeekKind()
	switch {
	case c.shape == record && kind == '{':
		return s.record(c, levels{at.rep, at.def + 1}, nil)
	case c.shape == list && kind == '[':
		return s.list(c, levels{at.rep, at.def + 1})
	case c.shape == record || c.shape == list:
		s.absent([]*column{c}, at)
		return false, s.decoder.SkipValue()
	}
	value, err := s.decoder.ReadValue()
	if err != nil {
		return false, err
	}
	if kind == '"' && c.shape != document {
		if s.scratch, err = jsontext.AppendUnquote(s.scratch[:0], value); err != nil {
			return false, err
		}
		value = s.scratch
	}
	fits = kind != 'n' && s.out.put(c.leaf, levels{at.rep, at.def + 1}, kind, value)
	if !fits {
		s.out.absent(c.leaf, at)
	}
	return fits, nil
}

func (s *splitter) list(c *column, at levels) (whole bool, err error) {
	if _, err := s.decoder.ReadToken(); err != nil {
		return false, err
	}
	if s.decoder.PeekKind() == ']' {
		s.absent([]*column{c.element}, at)
	}
	whole = true
	for element := (levels{at.rep, at.def + 1}); s.decoder.PeekKind() != ']'; element.rep = c.repeat {
		fits, err := s.value(c.element, element)
		if err != nil {
			return false, err
		}
		whole = whole && fits
	}
	_, err = s.decoder.ReadToken()
	return whole, err
}

// appendAttribute appends an attribute's value.
func appendAttribute(dst []byte, e *events.Event, name string) []byte {
	switch name {
	case "ce_id":
		return appendValid(dst, e.ID)
	case "ce_source":
		return appendValid(dst, e.Source)
	case "ce_type":
		return appendValid(dst, e.Type)
	case "ce_subject":
		return appendValid(dst, e.Subject)
	case "ce_dataschema":
		return appendValid(dst, e.DataSchema)
	case "ce_datacontenttype":
		return appendValid(dst, e.DataContentType)
	case "ce_dataref":
		return appendValid(dst, e.DataRef)
	case "ce_revision":
		if e.Revision == 0 {
			return dst
		}
		return strconv.AppendUint(dst, e.Revision, 10)
	case "ce_digest":
		return appendValid(dst, e.Digest)
	case "ce_vendor":
		return appendValid(dst, e.Vendor)
	case "ce_stream":
		return appendValid(dst, e.Stream)
	case "ce_partitionkey":
		return appendValid(dst, e.PartitionKey)
	case "ce_traceparent":
		return appendValid(dst, e.TraceParent)
	case "ce_extensions":
		return appendExtensions(dst, e.Extensions)
	}
	panic("no attribute is " + name)
}

// appendValid appends text as UTF-8; what is none becomes U+FFFD, as in the event's JSON.
func appendValid(dst []byte, s string) []byte {
	if utf8.ValidString(s) {
		return append(dst, s...)
	}
	return append(dst, strings.ToValidUTF8(s, "\uFFFD")...)
}

func appendExtensions(dst []byte, extensions map[string]string) []byte {
	if len(extensions) == 0 {
		return dst
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(extensions) // strings always encode
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
