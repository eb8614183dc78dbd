package format

import (
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/parley-stream/parley/events"
)

// rowGroupBytes is how much of events is gathered before they are written as a row group.
const rowGroupBytes = 8 << 20

// parquetRows makes the rows of one kind.
type parquetRows struct {
	splitter *splitter
	schema   *parquet.Schema
	options  []parquet.WriterOption
	leaves   []*column
	values   [][]parquet.Value // of the row, by leaf
	arena    []byte            // what the values of the row point to
	row      parquet.Row
}

func (f *Format) parquetRows(kind events.Kind) *parquetRows {
	if rows := f.parquet[kind]; rows != nil {
		return rows
	}
	t := tableOf(kind, false)
	name := string(kind)
	if name == "" {
		name = "event"
	}
	schema := parquet.NewSchema(name, group(t.columns()))
	rows := &parquetRows{leaves: t.leaves, schema: schema, values: make([][]parquet.Value, len(t.leaves))}
	rows.splitter = newSplitter(t, rows)
	rows.options = []parquet.WriterOption{
		schema, parquet.Compression(codecs[f.compression]), parquet.DataPageVersion(1), parquet.ColumnPageBuffers(parquet.NewChunkBufferPool(pageChunk)),
		parquet.CreatedBy("parley", "1", ""), parquet.KeyValueMetadata("parley.kind", string(kind)),
	}
	f.parquet[kind] = rows
	return rows
}

// pageChunk is the piece of memory in which pages wait for their row group.
const pageChunk = 16 << 10

var codecs = map[string]compress.Codec{"none": &parquet.Uncompressed, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd}

// fields is a group whose columns keep their order; parquet.Group sorts them by name.
type fields struct {
	parquet.Group
	ordered []parquet.Field
}

// Fields implements parquet.Node.
func (f *fields) Fields() []parquet.Field { return f.ordered }

func group(columns []*column) parquet.Node {
	f := &fields{Group: parquet.Group{}}
	for _, c := range columns {
		f.Group[c.name] = node(c)
	}
	byName := make(map[string]parquet.Field, len(columns))
	for _, field := range f.Group.Fields() {
		byName[field.Name()] = field
	}
	for _, c := range columns {
		f.ordered = append(f.ordered, byName[c.name])
	}
	return f
}

func node(c *column) parquet.Node {
	switch c.shape {
	case record:
		return parquet.Optional(group(c.fields))
	case list:
		return parquet.Optional(parquet.List(node(c.element)))
	case number:
		return parquet.Optional(parquet.Leaf(parquet.DoubleType))
	case integer:
		return parquet.Optional(parquet.Int(64))
	case boolean:
		return parquet.Optional(parquet.Leaf(parquet.BooleanType))
	case instant:
		return parquet.Optional(parquet.Timestamp(parquet.Microsecond))
	case document:
		return parquet.Optional(parquet.JSON())
	default:
		return parquet.Optional(parquet.String())
	}
}

// parquetEncoder keeps events until there is a row group of them: what a writer of rows needs for each column, however few rows there are, is much more
// than the events themselves, and a sink has hundreds of files open.
type parquetEncoder struct {
	rows   *parquetRows
	writer *parquet.GenericWriter[any] // nil before the first row group
	out    tail
	events []events.Event
	held   int // of events
}

func (f *Format) newParquet(kind events.Kind) *parquetEncoder {
	return &parquetEncoder{rows: f.parquetRows(kind)}
}

// eventBytes is about what an event needs beside its data.
const eventBytes = 3 << 9

// Append implements Encoder.
func (e *parquetEncoder) Append(dst []byte, event *events.Event) ([]byte, error) {
	e.events = append(e.events, *event)
	e.held += len(event.Data) + eventBytes
	if e.held < rowGroupBytes {
		return dst, nil
	}
	e.begin(dst)
	err := e.writeRows()
	if err == nil {
		err = e.writer.Flush()
	}
	return e.take(), err
}

// begin has what is written from now on appended to dst.
func (e *parquetEncoder) begin(dst []byte) {
	e.out.bytes = slices.Grow(dst, e.held)
	if e.writer == nil {
		e.writer = parquet.NewGenericWriter[any](&e.out, e.rows.options...) // one that is reset forgets the columns' paths
	}
}

func (e *parquetEncoder) writeRows() error {
	for i := range e.events {
		row := e.rows.of(&e.events[i])
		if _, err := e.writer.WriteRows([]parquet.Row{row}); err != nil {
			return err
		}
		e.rows.shrink()
	}
	clear(e.events)
	e.events, e.held = e.events[:0], 0
	return nil
}

func (e *parquetEncoder) take() []byte {
	out := e.out.bytes
	e.out.bytes = nil
	return out
}

// Finish implements Encoder.
func (e *parquetEncoder) Finish(dst []byte) ([]byte, error) {
	e.begin(dst)
	err := e.writeRows()
	if err == nil {
		err = e.writer.Close()
	}
	e.writer, e.events = nil, nil
	return e.take(), err
}

// Discard implements Encoder.
func (e *parquetEncoder) Discard() {}

// Held implements Encoder.
func (e *parquetEncoder) Held() int {
	if e.writer == nil {
		return e.held
	}
	return e.held + rowGroupBytes // what a writer has once had, it keeps
}

// Waiting implements Encoder.
func (e *parquetEncoder) Waiting() int { return e.held }

// of gives an event's row; it is good until the next.
func (r *parquetRows) of(e *events.Event) parquet.Row {
	r.splitter.split(e)
	r.row = r.row[:0]
	for _, values := range r.values {
		r.row = append(r.row, values...)
	}
	return r.row
}

func (r *parquetRows) shrink() {
	if cap(r.arena) > maxScratch {
		r.arena = nil
	}
}

// begin implements receiver.
func (r *parquetRows) begin() {
	r.arena = r.arena[:0]
	for i := range r.values {
		r.values[i] = r.values[i][:0]
	}
}

// absent implements receiver.
func (r *parquetRows) absent(leaf int, at levels) { r.add(leaf, at, parquet.NullValue()) }

func (r *parquetRows) add(leaf int, at levels, v parquet.Value) {
	r.values[leaf] = append(r.values[leaf], v.Level(at.rep, at.def, leaf))
}

// put implements receiver.
func (r *parquetRows) put(leaf int, at levels, kind jsontext.Kind, value []byte) bool {
	v, ok := r.value(r.leaves[leaf].shape, kind, value)
	if ok {
		r.add(leaf, at, v)
	}
	return ok
}

func (r *parquetRows) value(shape shape, kind jsontext.Kind, value []byte) (v parquet.Value, ok bool) {
	switch {
	case shape == document, shape == text && kind == '"':
		start := len(r.arena)
		r.arena = append(r.arena, value...)
		return parquet.ByteArrayValue(r.arena[start:len(r.arena):len(r.arena)]), true
	case shape == number && kind == '0':
		n, err := strconv.ParseFloat(string(value), 64)
		return parquet.DoubleValue(n), err == nil
	case shape == integer && kind == '0':
		n, err := strconv.ParseInt(string(value), 10, 64)
		return parquet.Int64Value(n), err == nil
	case shape == boolean && (kind == 't' || kind == 'f'):
		return parquet.BooleanValue(kind == 't'), true
	case shape == instant && kind == '"':
		t, err := time.Parse(time.RFC3339Nano, string(value))
		return parquet.Int64Value(t.UnixMicro()), err == nil && t.Nanosecond()%int(time.Microsecond) == 0
	}
	return v, false
}

// putTime implements receiver; what is finer than a microsecond is cut off.
func (r *parquetRows) putTime(leaf int, t time.Time) {
	r.add(leaf, levels{def: 1}, parquet.Int64Value(t.UnixMicro()))
}
