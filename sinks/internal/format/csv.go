package format

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/parley-stream/parley/events"
)

// csvRows makes the lines of one kind.
type csvRows struct {
	splitter *splitter
	header   []byte
	exact    bool
	leaves   []*column
	cells    []byte // of the row, one after the other
	ends     [][2]int
	record   []string
	line     bytes.Buffer
	writer   *csv.Writer
}

func (f *Format) csvRows(kind events.Kind) *csvRows {
	if rows := f.csv[kind]; rows != nil {
		return rows
	}
	t := tableOf(kind, true)
	rows := &csvRows{exact: f.exact, leaves: t.leaves, ends: make([][2]int, len(t.leaves)), record: make([]string, len(t.leaves))}
	rows.splitter = newSplitter(t, rows)
	rows.writer = csv.NewWriter(&rows.line)
	for i, leaf := range t.leaves {
		rows.record[i] = leaf.flat
	}
	rows.header = rows.appendLine(nil)
	f.csv[kind] = rows
	return rows
}

// append appends an event's line.
func (r *csvRows) append(dst []byte, e *events.Event) []byte {
	r.splitter.split(e)
	cells := string(r.cells)
	for i, end := range r.ends {
		r.record[i] = cells[end[0]:end[1]]
	}
	dst = r.appendLine(dst)
	if cap(r.cells)+r.line.Cap() > maxScratch {
		r.cells, r.line = nil, bytes.Buffer{}
	}
	return dst
}

func (r *csvRows) appendLine(dst []byte) []byte {
	r.line.Reset()
	_ = r.writer.Write(r.record) // a bytes.Buffer takes everything
	r.writer.Flush()
	// With UseCRLF, the writer would change the line ends inside of cells, too.
	dst = append(dst, bytes.TrimSuffix(r.line.Bytes(), []byte("\n"))...)
	return append(dst, '\r', '\n')
}

// begin implements receiver.
func (r *csvRows) begin() {
	r.cells = r.cells[:0]
	clear(r.ends)
}

// absent implements receiver.
func (r *csvRows) absent(int, levels) {}

// put implements receiver. A cell holds a value's text as it is, once it is known to be what the column holds.
func (r *csvRows) put(leaf int, _ levels, kind jsontext.Kind, value []byte) bool {
	start := len(r.cells)
	switch shape := r.leaves[leaf].shape; {
	case shape == document:
		r.cells = appendOneLine(r.cells, value)
	case shape == text && kind == '"' && len(value) > 0:
		if r.exact {
			r.cells = append(r.cells, value...)
		} else {
			r.cells = Guard(r.cells, value)
		}
	case shape == number && kind == '0', shape == integer && isInteger(kind, value), shape == boolean && (kind == 't' || kind == 'f'):
		r.cells = append(r.cells, value...)
	case shape == instant && kind == '"':
		if _, err := time.Parse(time.RFC3339Nano, string(value)); err != nil {
			return false
		}
		r.cells = append(r.cells, value...)
	default:
		return false
	}
	r.ends[leaf] = [2]int{start, len(r.cells)}
	return true
}

// putTime implements receiver.
func (r *csvRows) putTime(leaf int, t time.Time) {
	start := len(r.cells)
	r.cells = t.AppendFormat(r.cells, time.RFC3339Nano)
	r.ends[leaf] = [2]int{start, len(r.cells)}
}

func isInteger(kind jsontext.Kind, value []byte) bool {
	if kind != '0' {
		return false
	}
	_, err := strconv.ParseInt(string(value), 10, 64)
	return err == nil
}

// appendOneLine appends JSON without the line ends between its tokens: a line of a cell could begin with anything.
func appendOneLine(dst, value []byte) []byte {
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 {
		return append(dst, value...)
	}
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return append(dst, value...)
	}
	return append(dst, b.Bytes()...)
}

// Guard appends text as no spreadsheet takes it for a formula (OWASP, CSV Injection): an apostrophe is put before every line of it
// that begins, spaces aside, with = + - @ or their full-width forms, or with a tab, before a text that begins with a line end, and before a
// line that begins with an apostrophe. So whoever takes one apostrophe off the beginning of each line has the text as it was.
func Guard(dst, value []byte) []byte {
	for first := true; len(value) > 0; first = false {
		end := bytes.IndexAny(value, "\r\n") + 1
		if end == 0 {
			end = len(value)
		}
		if dangerous(value[:end]) || first && (value[0] == '\r' || value[0] == '\n') {
			dst = append(dst, '\'')
		}
		dst = append(dst, value[:end]...)
		value = value[end:]
	}
	return dst
}

func dangerous(line []byte) bool {
	if line[0] == '\'' || line[0] == '\t' {
		return true
	}
	for len(line) > 0 {
		c, size := utf8.DecodeRune(line)
		switch {
		case strings.ContainsRune("=+-@＝＋－＠", c):
			return true
		case !unicode.IsSpace(c) && !unicode.Is(unicode.Cf, c):
			return false
		}
		line = line[size:]
	}
	return false
}
