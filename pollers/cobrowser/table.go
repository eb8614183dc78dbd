package cobrowser

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// table is how the rows of one response are to be read.
type table struct {
	header []byte // without its line's end
	index  map[string]int
	width  int
	quoted bool // the first row's values were quoted
}

// values are a row's, by the names of their columns.
type values struct {
	table *table
	row   *row
}

// of gives a column's value; "" where the response lacks the column.
func (v values) of(column string) string {
	i, ok := v.table.index[column]
	if !ok {
		return ""
	}
	return string(v.row.value(i))
}

// textError says that the response is a text and no list: a word of the server's, which may be a refusal.
type textError struct{ err error }

func (e *textError) Error() string { return e.err.Error() }
func (e *textError) Unwrap() error { return e.err }

// table makes out what the first row is: a header, in any order and with any further columns, or a row
// under the documented columns. Anything else is not the documented answer.
func (p *Poller) table(c command, first *row) (t table, isHeader bool, err error) {
	if first.size == 0 && first.columns <= maxColumns {
		names := make([]string, first.columns)
		for i := range names {
			names[i] = string(first.value(i))
		}
		if t = newTable(bytes.Clone(first.raw), names, first.quoted()); t.holds(c.identity) {
			return t, true, nil
		}
	}
	header := `"` + strings.Join(c.columns, `"`+string(p.separator)+`"`) + `"`
	t = newTable([]byte(header), c.columns, first.quoted())
	if first.columns == t.width && p.plausible(c, values{&t, first}) {
		return t, false, nil
	}
	err = fmt.Errorf("%w: the first line is neither a header with %s nor a row of %d columns: %s",
		pollers.ErrIncomplete, strings.Join(c.identity, ", "), t.width, p.snippet(first))
	if p.isText(c, first) {
		err = &textError{err}
	}
	return table{}, false, err
}

// plausible tells whether a first row that is no header can be data: its time can be read or, in a directory, its values are quoted and
// its ids are numbers. A header with other names than the documented ones is so never taken for a record.
func (p *Poller) plausible(c command, v values) bool {
	if c.started != "" {
		_, ok := p.time(v.of(c.started))
		return ok
	}
	return v.row.quoted() && !slices.ContainsFunc(c.columns, func(column string) bool {
		id := v.of(column)
		named := column == "id" || slices.Contains(c.identity, column) && strings.HasSuffix(column, "_id")
		return named && (id == "" || strings.Trim(id, "0123456789") != "")
	})
}

// isText tells whether a first row that is no table's is a word of the server's. What begins as a documented header does, in which a cut
// response ends, is none.
func (p *Poller) isText(c command, first *row) bool {
	if first.size > 0 || first.quoted() && (first.columns > 1 || !first.closed()) {
		return false
	}
	begin := string(bytes.TrimSpace(first.value(0)))
	if slices.ContainsFunc(c.columns, func(column string) bool { return strings.HasPrefix(column, begin) }) {
		return false
	}
	return strings.ContainsFunc(begin, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
}

func newTable(header []byte, names []string, quoted bool) table {
	t := table{header: header, index: make(map[string]int, len(names)), width: len(names), quoted: quoted}
	for i, name := range names {
		if _, twice := t.index[name]; !twice {
			t.index[name] = i
		}
	}
	return t
}

func (t *table) holds(names []string) bool {
	for _, name := range names {
		if _, ok := t.index[name]; !ok {
			return false
		}
	}
	return true
}

// time reads a time of the vendor's.
func (p *Poller) time(text string) (time.Time, bool) {
	return events.CobrowserTime(text, p.location.String())
}

// snippet is the start of a row for errors, without the secret: that is taken out before the cut, which could
// leave half of it, and before the quoting, which could hide it.
func (p *Poller) snippet(r *row) string {
	text := p.client.Redact(string(r.raw[:min(len(r.raw), 4<<10)]))
	return strconv.QuoteToGraphic(text[:min(len(text), 120)])
}
