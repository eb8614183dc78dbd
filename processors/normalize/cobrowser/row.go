package cobrowser

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
)

// maxColumns bounds what is taken for a header.
const maxColumns = 1024

// row is one data row by its header's names. What is taken has a canonical place; the rest goes to attributes.
type row struct {
	names  []string
	values []string
	index  map[string]int
	taken  []bool
	// invalid says that a name or a value held bytes that are not UTF-8.
	invalid bool
}

// decode reads the two lines of a record.
func decode(r *events.Record) (*row, error) {
	if body, over := r.Oversize(); over {
		return nil, fmt.Errorf("record: is %d bytes long, want at most %d", body.Size, events.MaxRecordBytes)
	}
	sep := byte(';')
	if s := r.Params["separator"]; len(s) == 1 {
		sep = s[0]
	}
	names, data, ended := line(string(r.Part("")), sep)
	if !ended {
		return nil, errors.New("record: is one line, want the header and a row")
	}
	values, extra, ended := line(data, sep)
	if ended && len(extra) > 0 {
		return nil, errors.New("record: has more than the header and one row")
	}
	if len(names) != len(values) || len(names) > maxColumns {
		return nil, fmt.Errorf("record: the header has %d columns, the row %d", len(names), len(values))
	}
	out := &row{names: names, values: values, index: make(map[string]int, len(names)), taken: make([]bool, len(names))}
	for i, name := range names {
		if _, twice := out.index[name]; !twice {
			out.index[name] = i
		}
	}
	return out, nil
}

// line cuts the first line into its values, as the poller found it: a quote that is followed neither by a
// quote nor by the value's end is text. Ended tells whether the line had an end; the rest is what follows it.
func line(data string, sep byte) (values []string, rest string, ended bool) {
	values = make([]string, 0, 24)
	for len(values) <= maxColumns {
		var value string
		var end byte
		if data != "" && data[0] == '"' {
			value, data, end = quoted(data[1:], sep)
		} else {
			value, data, end = plain(data, sep)
		}
		values = append(values, value)
		if end != sep {
			return values, data, end == '\n'
		}
	}
	return values, data, false
}

// quoted reads up to the quote that ends the value, and gives what ended it: the separator, '\n', or 0 for the data's end.
func quoted(data string, sep byte) (value, rest string, end byte) {
	for at := 0; ; {
		i := strings.IndexByte(data[at:], '"')
		if i < 0 {
			return undouble(data), "", 0
		}
		at += i
		switch after := data[at+1:]; {
		case after == "":
			return undouble(data[:at]), "", 0
		case after[0] == sep:
			return undouble(data[:at]), after[1:], sep
		case after[0] == '\n':
			return undouble(data[:at]), after[1:], '\n'
		case strings.HasPrefix(after, "\r\n"):
			return undouble(data[:at]), after[2:], '\n'
		case after[0] == '"':
			at += 2
		default:
			at++
		}
	}
}

func undouble(text string) string { return strings.ReplaceAll(text, `""`, `"`) }

func plain(data string, sep byte) (value, rest string, end byte) {
	for i := range len(data) {
		switch data[i] {
		case sep:
			return data[:i], data[i+1:], sep
		case '\n':
			return strings.TrimSuffix(data[:i], "\r"), data[i+1:], '\n'
		}
	}
	return data, "", 0
}

// raw gives a column's value as it stands; "" for a column that is not there.
func (r *row) raw(name string) string {
	if i, ok := r.index[name]; ok {
		return r.values[i]
	}
	return ""
}

// take gives a column's text for its canonical place; "" is unknown.
func (r *row) take(name string) string {
	i, ok := r.index[name]
	if !ok {
		return ""
	}
	r.taken[i] = true
	return r.text(r.values[i])
}

// text gives a value in UTF-8; "" for one that is blank.
func (r *row) text(value string) string {
	if strings.TrimSpace(value) == "" {
		return ""
	}
	if !utf8.ValidString(value) {
		r.invalid = true
		return strings.ToValidUTF8(value, "\ufffd")
	}
	return value
}

// number takes a column that holds a number, not below zero; any other text is left for attributes.
func (r *row) number(name string) *float64 {
	i, ok := r.index[name]
	if !ok {
		return nil
	}
	text := strings.TrimSpace(r.values[i])
	if strings.Trim(text, "0123456789.eE+-") != "" {
		return nil // ParseFloat also reads 0x1p2, 1_0, inf and nan
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || math.Signbit(n) || n >= 1<<53 {
		return nil // from 2^53 on a float64 does not hold every whole number
	}
	r.taken[i] = true
	return &n
}

// measures takes the columns that hold numbers, by their names; nil where none does.
func (r *row) measures(columns ...string) map[string]float64 {
	var out map[string]float64
	for _, column := range columns {
		if n := r.number(column); n != nil {
			if out == nil {
				out = make(map[string]float64, len(columns))
			}
			out[column] = *n
		}
	}
	return out
}

// time takes a column that holds a time; any other text is left for attributes.
func (r *row) time(name, timezone string) time.Time {
	t, ok := events.CobrowserTime(r.raw(name), timezone)
	if ok {
		r.take(name)
	}
	return t
}

// named takes a column that holds an id; nil is unknown.
func (r *row) named(name string) *events.Named {
	if id := r.take(name); id != "" {
		return &events.Named{ID: id}
	}
	return nil
}

// count takes a column that holds a whole number, not below zero.
func (r *row) count(name string) *int {
	i, ok := r.index[name]
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimSpace(r.values[i]), 10, 31)
	if err != nil {
		return nil
	}
	r.taken[i] = true
	return events.Ptr(int(n))
}

// rest sets every value that was not taken as an attribute.
func (r *row) rest(base *events.Base) {
	for i, value := range r.values {
		if r.taken[i] {
			continue
		}
		text := r.text(value)
		if text == "" {
			continue
		}
		name := r.attribute(i)
		if _, there := base.Attributes[name]; there {
			name += "#" + strconv.Itoa(i+1)
		}
		base.Set(name, text)
	}
	if r.invalid {
		base.Set("invalid_utf8", true)
	}
}

// attribute names a column among the attributes: by its name, and its position where that names none or another.
func (r *row) attribute(i int) string {
	name := r.text(r.names[i])
	if name == "" || r.index[r.names[i]] != i {
		return name + "#" + strconv.Itoa(i+1)
	}
	return name
}
