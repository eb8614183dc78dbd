package events

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The binary mode of the CloudEvents NATS binding 1.0.3-wip: attributes are ce- headers,
// percent-encoded, datacontenttype among them as ce-datacontenttype, and the payload is the data.
const headerPrefix = "ce-"

// SetHeaders writes the attributes as headers of a NATS message (nats.Header is such a map). No
// value can end its header: what is not printable ASCII is percent-encoded, and an extension whose name is no
// attribute name (Valid tells) is left out. Bytes that are not UTF-8 become U+FFFD.
func (e *Event) SetHeaders(h map[string][]string) {
	values := make([]string, 0, 16)
	e.attributes(func(header, value string) {
		values = append(values, encodeHeader(value))
		h[header] = values[len(values)-1 : len(values) : len(values)]
	})
}

// attributes visits every attribute that has a value, required ones first, extensions that Parley
// does not know last and sorted. Names come as headers, so that none is built anew.
func (e *Event) attributes(visit func(header, value string)) {
	visit("ce-specversion", SpecVersion)
	visit("ce-id", e.ID)
	visit("ce-source", e.Source)
	visit("ce-type", e.Type)
	optional := func(header, value string) {
		if value != "" {
			visit(header, value)
		}
	}
	optional("ce-subject", e.Subject)
	if writable(e.Time) {
		visit("ce-time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	optional("ce-dataschema", e.DataSchema)
	optional("ce-datacontenttype", e.DataContentType)
	optional("ce-dataref", e.DataRef)
	if e.Revision > 0 {
		visit("ce-revision", strconv.FormatUint(e.Revision, 10))
	}
	optional("ce-digest", e.Digest)
	optional("ce-vendor", e.Vendor)
	optional("ce-stream", e.Stream)
	optional("ce-partitionkey", e.PartitionKey)
	optional("ce-traceparent", e.TraceParent)
	if len(e.Extensions) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		if extensionName(name) == nil {
			visit(headerPrefix+name, e.Extensions[name])
		}
	}
}

// writable tells whether RFC 3339 can write a time; its years have four digits.
func writable(t time.Time) bool {
	t = t.UTC()
	return !t.IsZero() && t.Year() >= 0 && t.Year() <= 9999
}

// FromMessage reads a binary-mode message. Header names count without regard to case; a value may be
// a quoted string, as older versions of the binding wrote it. The error is Permanent.
func FromMessage(header map[string][]string, data []byte) (Event, error) {
	attributes, err := lowerCased(header)
	if err != nil {
		return Event{}, Permanent(err)
	}
	e := Event{Data: data}
	for name, values := range attributes {
		if !isAttribute(name) || len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return Event{}, Permanent(fmt.Errorf("header %s: has %d values, want one", name, len(values)))
		}
		value, err := decodeHeader(values[0])
		if err != nil {
			return Event{}, Permanent(fmt.Errorf("header %s: %w", name, err))
		}
		if err := e.set(name[len(headerPrefix):], value); err != nil {
			return Event{}, Permanent(err)
		}
	}
	if len(attributes["ce-specversion"]) == 0 {
		return Event{}, Permanent(errNoSpecVersion)
	}
	return e, e.Valid()
}

var errNoSpecVersion = errors.New("cloudevents attribute specversion: is missing, want " + SpecVersion)

func isAttribute(header string) bool {
	return len(header) > len(headerPrefix) && strings.EqualFold(header[:len(headerPrefix)], headerPrefix)
}

// lowerCased gives the header itself where every attribute's name is in lower case already, which is
// how SetHeaders writes them; else a copy. Two names that differ in case only are an error, because
// a map has no order to choose by.
func lowerCased(header map[string][]string) (map[string][]string, error) {
	isLower := true
	for name := range header {
		isLower = isLower && (!isAttribute(name) || name == strings.ToLower(name))
	}
	if isLower {
		return header, nil
	}
	lower := make(map[string][]string, len(header))
	for name, values := range header {
		if !isAttribute(name) {
			continue
		}
		key := strings.ToLower(name)
		if _, twice := lower[key]; twice {
			return nil, fmt.Errorf("header %s: is given twice, in other case", key)
		}
		lower[key] = values
	}
	return lower, nil
}

// set gives one attribute its value, from the attribute's string form.
func (e *Event) set(name, value string) (err error) {
	switch name {
	case "specversion":
		if value != SpecVersion {
			return fmt.Errorf("cloudevents attribute specversion: is %q, want %q", value, SpecVersion)
		}
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "time":
		if e.Time, err = time.Parse(time.RFC3339Nano, value); err != nil {
			return fmt.Errorf("cloudevents attribute time: is %q, want RFC 3339", value)
		}
		e.Time = e.Time.UTC()
	case "dataschema":
		e.DataSchema = value
	case "datacontenttype":
		e.DataContentType = value
	case "dataref":
		e.DataRef = value
	case "revision":
		if e.Revision, err = strconv.ParseUint(value, 10, 31); err != nil {
			return fmt.Errorf("cloudevents attribute revision: is %q, want a whole number up to %d", value, math.MaxInt32)
		}
	case "digest":
		e.Digest = value
	case "vendor":
		e.Vendor = value
	case "stream":
		e.Stream = value
	case "partitionkey":
		e.PartitionKey = value
	case "traceparent":
		e.TraceParent = value
	default:
		if err := extensionName(name); err != nil {
			return err
		}
		if e.Extensions == nil {
			e.Extensions = make(map[string]string)
		}
		e.Extensions[name] = value
	}
	return nil
}

// extensionName says what keeps a name from being that of an attribute that Parley does not know.
func extensionName(name string) error {
	if name == "" || strings.Trim(name, lowerLetters+"0123456789") != "" {
		return fmt.Errorf("cloudevents attribute %q: is no attribute name, want a-z and 0-9", name)
	}
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "dataref",
		"revision", "digest", "vendor", "stream", "partitionkey", "traceparent", "data":
		return fmt.Errorf("cloudevents attribute %q: is no extension, want it in its own field", name)
	}
	return nil
}

// encodeHeader percent-encodes as the binding demands: everything outside U+0021..U+007E,
// the double quote and the percent sign.
func encodeHeader(s string) string {
	for i := 0; i < len(s); i++ {
		if mustEncode(s[i]) {
			return percentEncode(replaceInvalid(s), i)
		}
	}
	return s
}

func mustEncode(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }

// replaceInvalid writes U+FFFD for each byte that is not UTF-8, as encoding/json does: readers must
// refuse such bytes, so an event with one would be lost.
func replaceInvalid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func percentEncode(s string, from int) string {
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:from])
	for i := from; i < len(s); i++ {
		if c := s[i]; mustEncode(c) {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decodeHeader undoes quoting, then percent-encoding.
func decodeHeader(s string) (string, error) { return decodeText(unquote(s)) }

// decodeText undoes percent-encoding; what is then no UTF-8 is refused.
func decodeText(s string) (string, error) {
	if strings.IndexByte(s, '%') >= 0 {
		decoded, err := percentDecode(s)
		if err != nil {
			return "", err
		}
		s = decoded
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8", s)
	}
	return s, nil
}

// unquote reads a quoted string (RFC 7230, section 3.2.6) that makes up the whole value, and gives any
// other value as it is: a producer of an older version may have written a bare quote.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	inner := s[1 : len(s)-1]
	if !strings.ContainsAny(inner, `"\`) {
		return inner
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		if c == '\\' {
			i++
		}
		if c == '"' || i == len(inner) {
			return s
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

func percentDecode(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends inside a percent-encoded byte", s)
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%q holds %q, want %%XX", s, s[i:i+3])
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}
