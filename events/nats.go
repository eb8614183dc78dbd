package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The binary mode of the CloudEvents NATS binding: attributes are ce- headers, percent-encoded,
// datacontenttype among them as ce-datacontenttype, and the payload is the data.
const headerPrefix = "ce-"

// SetHeaders writes the attributes as headers of a NATS message (nats.Header is such a map).
func (e *Event) SetHeaders(h map[string][]string) {
	e.attributes(func(name, value string) { h[headerPrefix+name] = []string{encodeHeader(value)} })
}

// attributes visits every attribute that has a value, required ones first.
func (e *Event) attributes(visit func(name, value string)) {
	visit("specversion", SpecVersion)
	visit("id", e.ID)
	visit("source", e.Source)
	visit("type", e.Type)
	optional := func(name, value string) {
		if value != "" {
			visit(name, value)
		}
	}
	optional("subject", e.Subject)
	if !e.Time.IsZero() {
		visit("time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	optional("dataschema", e.DataSchema)
	optional("datacontenttype", e.DataContentType)
	optional("dataref", e.DataRef)
	if e.Revision > 0 {
		visit("revision", strconv.FormatUint(e.Revision, 10))
	}
	optional("digest", e.Digest)
	optional("vendor", e.Vendor)
	optional("stream", e.Stream)
	optional("partitionkey", e.PartitionKey)
	optional("traceparent", e.TraceParent)
	for name, value := range e.Extensions {
		visit(name, value)
	}
}

// FromMessage reads a binary-mode message. Header names count without regard to case. The error is Permanent.
func FromMessage(header map[string][]string, data []byte) (Event, error) {
	e := Event{Data: data}
	for name, values := range header {
		if len(values) == 0 || len(name) <= len(headerPrefix) || !strings.EqualFold(name[:len(headerPrefix)], headerPrefix) {
			continue
		}
		value, err := decodeHeader(values[len(values)-1])
		if err != nil {
			return Event{}, Permanent(fmt.Errorf("header %s: %w", name, err))
		}
		if err := e.set(strings.ToLower(name[len(headerPrefix):]), value); err != nil {
			return Event{}, Permanent(err)
		}
	}
	return e, e.Valid()
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
		if e.Revision, err = strconv.ParseUint(value, 10, 64); err != nil {
			return fmt.Errorf("cloudevents attribute revision: is %q, want a whole number", value)
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
		if e.Extensions == nil {
			e.Extensions = make(map[string]string)
		}
		e.Extensions[name] = value
	}
	return nil
}

// encodeHeader percent-encodes as the binding demands: everything outside U+0021..U+007E,
// the double quote and the percent sign.
func encodeHeader(s string) string {
	for i := 0; i < len(s); i++ {
		if mustEncode(s[i]) {
			return percentEncode(s, i)
		}
	}
	return s
}

func mustEncode(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }

func percentEncode(s string, from int) string {
	var b strings.Builder
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

func decodeHeader(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	var b strings.Builder
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
	if out := b.String(); utf8.ValidString(out) {
		return out, nil
	}
	return "", fmt.Errorf("%q does not decode to UTF-8", s)
}
