package format

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/parley-stream/parley/events"
)

// rowGroupBytes is how much of the values is gathered before they are written as a row group.
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

// parquetEncoder writes rows.
type parquetEncoder struct {
	rows   *parquetRows
	writer *parquet.GenericWriter[any]
	out    tail
	held   int // of values that wait for their row group
}

func (f *Format) newParquet(kind events.Kind) *parquetEncoder {
	e := &parquetEncoder{rows: f.parquetRows(kind)}
	e.writer = parquet.NewGenericWriter[any](&e.out, e.rows.options...)
	return e
}

// Append implements Encoder.
func (e *parquetEncoder) Append(dst []byte, event *events.Event) ([]byte, error) {
	row := e.rows.of(event)
	e.out.bytes = dst
	_, err := e.writer.WriteRows([]parquet.Row{row})
	e.held += e.rows.size()
	if err == nil && e.held >= rowGroupBytes {
		err = e.writer.Flush()
		e.held = 0
	}
	e.rows.shrink()
	return e.take(), err
}

func (e *parquetEncoder) take() []byte {
	out := e.out.bytes
	e.out.bytes = nil
	return out
}

// Finish implements Encoder.
func (e *parquetEncoder) Finish(dst []byte) ([]byte, error) {
	e.out.bytes = dst
	err := e.writer.Close()
	e.held = 0
	return e.take(), err
}

// Discard implements Encoder.
func (e *parquetEncoder) Discard() {}

// Held implements Encoder.
func (e *parquetEncoder) Held() int { return e.held + parquetBytes }

// Waiting implements Encoder.
func (e *parquetEncoder) Waiting() int { return e.held }

// parquetBytes is about what a writer has in memory beside the values.
const parquetBytes = 3 << 19

// of gives an event's row; it is good until the next.
func (r *parquetRows) of(e *events.Event) parquet.Row {
	r.splitter.split(e)
	r.row = r.row[:0]
	for _, values := range r.values {
		r.row = append(r.row, values...)
	}
	return r.row
}

// valueBytes is about what a value needs beside its text.
const valueBytes = 8

func (r *parquetRows) size() int { return len(r.arena) + len(r.row)*valueBytes }

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
