package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// AppendStructured appends the event in structured JSON mode, on one line. JSON data is passed on
// as it is, so it must be valid JSON; line feeds between its tokens are taken out. Other data, and JSON
// with line feeds that is not valid, becomes data_base64.
func (e *Event) AppendStructured(dst []byte) []byte {
	sep := byte('{')
	e.attributes(func(header, value string) {
		name := header[len(headerPrefix):]
		dst = append(append(dst, sep, '"'), name...)
		dst = append(dst, '"', ':')
		sep = ','
		if name == "revision" {
			dst = append(dst, value...)
		} else {
			dst = appendString(dst, value)
		}
	})
	if len(e.Data) > 0 {
		dst = e.appendData(append(dst, ','))
	}
	return append(dst, '}')
}

func (e *Event) appendData(dst []byte) []byte {
	if isJSON(e.DataContentType) {
		if bytes.IndexByte(e.Data, '\n') < 0 && bytes.IndexByte(e.Data, '\r') < 0 {
			return append(append(dst, `"data":`...), e.Data...)
		}
		// A line feed inside a JSON string is escaped, so one that is there stands between tokens.
		var compact bytes.Buffer
		if json.Compact(&compact, e.Data) == nil {
			return append(append(dst, `"data":`...), compact.Bytes()...)
		}
	}
	dst = append(dst, `"data_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, e.Data)
	return append(dst, '"')
}

func isJSON(contentType string) bool {
	if contentType == ContentJSON {
		return true
	}
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "" || media == ContentJSON || media == "text/json" || strings.HasSuffix(media, "+json")
}

// ParseStructured reads an event in structured JSON mode. Attributes that Parley does not know become
// strings, whatever their type; null says that an attribute is not there. The error is Permanent.
func ParseStructured(b []byte) (Event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return Event{}, Permanent(fmt.Errorf("structured event: %w", err))
	}
	var e Event
	for name, raw := range fields {
		if name == "data" || name == "data_base64" || string(raw) == "null" {
			continue
		}
		value, err := attributeText(raw)
		if err == nil {
			err = e.set(name, value)
		}
		if err != nil {
			return Event{}, Permanent(fmt.Errorf("structured event: %s: %w", name, err))
		}
	}
	if _, ok := fields["specversion"]; !ok {
		return Event{}, Permanent(fmt.Errorf("structured event: %w", errNoSpecVersion))
	}
	// Last, because the content type decides how data is read.
	if err := e.readData(fields["data"], fields["data_base64"]); err != nil {
		return Event{}, Permanent(fmt.Errorf("structured event: %w", err))
	}
	return e, e.Valid()
}

// readData takes data as the CloudEvents JSON format says: base64, or a JSON value, or where the
// content type is not JSON a string whose text is the data.
func (e *Event) readData(data, base64Data json.RawMessage) error {
	var text string
	switch {
	case base64Data != nil && data != nil:
		return errors.New("has data and data_base64, want one")
	case base64Data != nil:
		if err := json.Unmarshal(base64Data, &e.Data); err != nil {
			return fmt.Errorf("data_base64: %w", err)
		}
		if isJSON(e.DataContentType) && len(e.Data) > 0 && !json.Valid(e.Data) {
			return fmt.Errorf("data_base64: is not JSON, want it as datacontenttype %q says", e.DataContentType)
		}
	case len(data) > 0 && data[0] == '"' && !isJSON(e.DataContentType):
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("data: %w", err)
		}
		e.Data = []byte(text)
	default:
		e.Data = data
	}
	return nil
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
