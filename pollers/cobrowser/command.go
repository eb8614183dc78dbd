package cobrowser

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// command is a value of the parameter c: one list of the vendor's, and a stream of ours by the same name.
type command struct {
	name string
	// columns in the document's order: those of a response without a header.
	columns []string
	// started is the column whose time files a row under its day.
	started string
	// identity are the columns that key reads: a first row with these names is a header.
	identity []string
	// key gives the record's key; "" for a row without one.
	key func(v values, started time.Time) string
}

// commands are the lists that the room reads.
func commands() []command {
	return []command{conversations()}
}

func conversations() command {
	return command{
		name: "conversations",
		columns: []string{
			"conversation_start", "browse_id", "account_id", "num_messages", "duration_secs", "avgMessageLength",
			"maxMessageLength", "last_agent_id", "reseller_id", "visitor_id", "requestType", "assigned_agent_id",
			"acceptUrl", "accept_host_id", "decisionTime", "firstResponseTime", "transcriptUrl", "avgResponseTime",
			"maxResponseTime", "successcode", "firstReplyTime",
		},
		started:  "conversation_start",
		identity: []string{"conversation_start", "browse_id", "account_id"},
		key: func(v values, started time.Time) string {
			return events.CobrowserConversationKey(string(v.of("account_id")), string(v.of("browse_id")), started)
		},
	}
}

func (p *Poller) command(stream string) (command, error) {
	for _, c := range commands() {
		if c.name == stream {
			return c, nil
		}
	}
	return command{}, events.Permanent(fmt.Errorf("stream %q: cobrowser has none of this name", stream))
}

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

// of gives a column's value; nil where the response lacks the column.
func (v values) of(column string) []byte {
	i, ok := v.table.index[column]
	if !ok {
		return nil
	}
	return v.row.value(i)
}

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
	if first.columns == t.width {
		if _, ok := events.CobrowserTime(string(values{&t, first}.of(c.started)), p.location.String()); ok {
			return t, false, nil
		}
	}
	return table{}, false, fmt.Errorf("%w: the first line is neither a header with %s nor a row of %d columns: %s",
		pollers.ErrIncomplete, strings.Join(c.identity, ", "), t.width, p.snippet(first))
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

// snippet is the start of a row for errors, without the secret: that is taken out before the cut, which could
// leave half of it, and before the quoting, which could hide it.
func (p *Poller) snippet(r *row) string {
	text := p.client.Redact(string(r.raw[:min(len(r.raw), 4<<10)]))
	return strconv.QuoteToGraphic(text[:min(len(text), 120)])
}
