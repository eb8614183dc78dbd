package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// AppendStructured appends the event in structured JSON mode, on one line. JSON
// data is passed on as it is, so it must be valid JSON without line feeds, as EncodeContent writes
// it; other data becomes data_base64.
func (e *Event) AppendStructured(dst []byte) []byte {
	sep := byte('{')
	e.attributes(func(name, value string) {
		dst = append(dst, sep)
		sep = ','
		dst = appendString(dst, name)
		dst = append(dst, ':')
		if name == "revision" {
			dst = append(dst, value...)
		} else {
			dst = appendString(dst, value)
		}
	})
	if len(e.Data) > 0 {
		if isJSON(e.DataContentType) {
			dst = append(append(dst, `,"data":`...), e.Data...)
		} else {
			dst = append(dst, `,"data_base64":"`...)
			dst = base64.StdEncoding.AppendEncode(dst, e.Data)
			dst = append(dst, '"')
		}
	}
	return append(dst, '}')
}

func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	return media == "" || strings.EqualFold(media, ContentJSON) || strings.HasSuffix(strings.ToLower(media), "+json")
}

// appendString appends a JSON string. Most attribute values are plain ASCII.
func appendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(s) // a string always encodes
			return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// ParseStructured reads an event in structured JSON mode. The error is Permanent.
func ParseStructured(b []byte) (Event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return Event{}, Permanent(fmt.Errorf("structured event: %w", err))
	}
	var e Event
	for name, raw := range fields {
		var err error
		switch name {
		case "data":
			e.Data = raw
		case "data_base64":
			err = json.Unmarshal(raw, &e.Data)
		default:
			var value string
			if value, err = attributeText(raw); err == nil {
				err = e.set(name, value)
			}
		}
		if err != nil {
			return Event{}, Permanent(fmt.Errorf("structured event: %s: %w", name, err))
		}
	}
	return e, e.Valid()
}

// attributeText gives the string form of an attribute: a JSON string, number or boolean.
func attributeText(raw json.RawMessage) (string, error) {
	if len(raw) > 0 && raw[0] == '"' {
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	switch s := string(raw); {
	case s == "true", s == "false":
		return s, nil
	default:
		if _, err := strconv.ParseInt(s, 10, 64); err != nil {
			return "", fmt.Errorf("is %s, want a string, a whole number or a boolean", s)
		}
		return s, nil
	}
}

// Line is AppendStructured and a line feed: one record of NDJSON.
func (e *Event) Line() []byte { return append(e.AppendStructured(nil), '\n') }
