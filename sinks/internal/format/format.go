// Package format turns events into the bytes of files: NDJSON, CSV and Parquet, compressed or not. Sinks that write files share it.
//
// # NDJSON
//
// One line for each event: its structured-mode CloudEvents JSON. JSON data is passed on as it is.
//
// # Tables
//
// In CSV and Parquet a file holds one kind, and an event is a row. The columns are, in this order: the event's attributes, named ce_id, ce_source …;
// the fields of the kind, named as in its JSON Schema; other, a JSON object of those fields of data that have no column, or of whose value
// a column could not take all (it is there whole, then); data_base64, all of data when it is not one JSON object. So nothing is dropped. A kind that
// is not among the canonical ones has its fields in other.
//
// New columns come before other, at the end of their record; a column keeps its name and its type for good.
//
// In Parquet, records are groups and lists are lists (of the standard three levels); times are microseconds in UTC, numbers doubles,
// whole numbers 64 bits; maps (attributes, custom_fields, dimensions, measures) are JSON. Everything is optional. With gzip or zstd the pages are
// compressed, and the file is still a .parquet.
//
// In CSV, which is RFC 4180 with a header, a field of a record has the names on its path joined by _ (visitor_name); lists and maps are
// one cell of JSON; an empty cell is nothing. Cells of text are made safe for spreadsheets: Guard says how.
package format

import (
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/parley-stream/parley/events"
)

// Names and Compressions are what New takes.
var (
	Names        = []string{"ndjson", "csv", "parquet"}
	Compressions = []string{"none", "gzip", "zstd"}
)

// Format makes encoders that share memory: they are for one goroutine at a time.
type Format struct {
	name, compression string
	exact             bool
	lines             []byte // an event's, before they are compressed
	compressors       []compressor
	csv               map[events.Kind]*csvRows
	parquet           map[events.Kind]*parquetRows
}

// New gives a format by its name and compression. In exact CSV, text is not made safe for spreadsheets.
func New(name, compression string, exact bool) *Format {
	return &Format{
		name: name, compression: compression, exact: exact,
		csv: make(map[events.Kind]*csvRows), parquet: make(map[events.Kind]*parquetRows),
	}
}

// Tabular tells whether a file holds one kind only.
func (f *Format) Tabular() bool { return f.name != "ndjson" }

// Extension is what the names of files end with, the dot included.
func (f *Format) Extension() string {
	if f.name == "parquet" {
		return ".parquet"
	}
	return "." + f.name + map[string]string{"none": "", "gzip": ".gz", "zstd": ".zst"}[f.compression]
}

// Extensions are those of every format.
func Extensions() (all []string) {
	for _, name := range Names {
		for _, compression := range Compressions {
			if extension := New(name, compression, false).Extension(); len(all) == 0 || all[len(all)-1] != extension {
				all = append(all, extension)
			}
		}
	}
	return all
}

// ContentType is the media type of a file.
func (f *Format) ContentType() string {
	switch {
	case f.name == "parquet":
		return "application/vnd.apache.parquet"
	case f.compression == "gzip":
		return "application/gzip"
	case f.compression == "zstd":
		return "application/zstd"
	case f.name == "csv":
		return "text/csv; charset=utf-8; header=present"
	default:
		return "application/x-ndjson"
	}
}

// Encoder makes the bytes of one file. Equal events make equal bytes.
type Encoder interface {
	// Append takes an event, and appends to dst what is decided of the file. It may keep the event, whose data never changes.
	Append(dst []byte, e *events.Event) ([]byte, error)
	// Finish appends the rest. The encoder takes nothing any more.
	Finish(dst []byte) ([]byte, error)
	// Discard ends an encoder whose file nobody wants.
	Discard()
	// Held is how many bytes the encoder has in memory, about.
	Held() int
	// Waiting is how many bytes of what was taken are still to come, about.
	Waiting() int
}

// Encoder makes the encoder of a file that begins with an event of this kind.
func (f *Format) Encoder(kind events.Kind) Encoder {
	if !slices.Contains(events.Kinds(), kind) {
		kind = "" // one table for all of them, however many there are
	}
	if f.name == "parquet" {
		return f.newParquet(kind)
	}
	e := &textEncoder{format: f}
	if f.name == "csv" {
		e.rows = f.csvRows(kind)
	}
	if f.compression != "none" {
		e.compressor = f.compressor()
		e.compressor.Reset(&e.out)
	}
	return e
}

// tail is a writer that appends.
type tail struct{ bytes []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.bytes = append(t.bytes, p...)
	return len(p), nil
}

// textEncoder writes lines.
type textEncoder struct {
	format     *Format
	rows       *csvRows // nil: NDJSON
	begun      bool
	compressor compressor // nil: none
	out        tail
}

func (e *textEncoder) Append(dst []byte, event *events.Event) ([]byte, error) {
	if e.compressor == nil {
		return e.lines(dst, event), nil
	}
	e.format.lines = e.lines(e.format.lines[:0], event)
	e.out.bytes = dst
	_, err := e.compressor.Write(e.format.lines)
	if cap(e.format.lines) > maxScratch {
		e.format.lines = nil
	}
	return e.take(), err
}

// maxScratch bounds the memory that is kept for the next event.
const maxScratch = 1 << 20

func (e *textEncoder) take() []byte {
	out := e.out.bytes
	e.out.bytes = nil
	return out
}

func (e *textEncoder) lines(dst []byte, event *events.Event) []byte {
	if e.rows == nil {
		return append(event.AppendStructured(dst), '\n')
	}
	if !e.begun {
		dst = append(dst, e.rows.header...)
		e.begun = true
	}
	return e.rows.append(dst, event)
}

func (e *textEncoder) Finish(dst []byte) ([]byte, error) {
	if e.compressor == nil {
		return dst, nil
	}
	e.out.bytes = dst
	err := e.compressor.Close()
	e.Discard()
	return e.take(), err
}

func (e *textEncoder) Discard() {
	if e.compressor != nil {
		e.format.compressors = append(e.format.compressors, e.compressor)
		e.compressor = nil
	}
}

func (e *textEncoder) Held() int {
	if e.compressor == nil {
		return 0
	}
	return compressorBytes
}

// Waiting is nothing that matters: a block at most.
func (e *textEncoder) Waiting() int { return 0 }

// compressor is what gzip and zstd have in common.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// compressorBytes is about what a compressor has in memory.
const compressorBytes = 1 << 20

// window is how far back zstd looks; it bounds the memory of whoever reads, too.
const window = 512 << 10

func (f *Format) compressor() compressor {
	if n := len(f.compressors); n > 0 {
		c := f.compressors[n-1]
		f.compressors = f.compressors[:n-1]
		return c
	}
	if f.compression == "gzip" {
		return gzip.NewWriter(nil)
	}
	// One at a time: it starts no goroutine.
	c, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(fmt.Sprintf("the options of zstd are wrong: %v", err))
	}
	return c
}
