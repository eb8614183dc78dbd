package cobrowser

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

const (
	firstBuffer = 64 << 10
	// maxFirstRow bounds a header: a longer first line is no CSV of ours.
	maxFirstRow = 1 << 20
	// maxColumns bounds whose places are kept; further columns are counted.
	maxColumns = 1024
)

// rows finds the rows of a CSV in a stream, holding one of them and a buffer.
//
// A value may stand in double quotes, in which a quote is doubled and separators and line breaks are text. As the
// vendor does not say how it escapes, a quote that is followed neither by a quote nor by the
// value's end is text too: a badly escaped value spoils its own row, not the rest of the response.
// Rows end with LF or CRLF; empty lines are none. A BOM at the start is skipped.
type rows struct {
	src    io.Reader
	sep    byte
	prefix []byte // what every record begins with: it counts as part of an oversize row

	buf        []byte
	start, end int   // the bytes of src that are not yet given as rows are buf[start:end]
	err        error // what src ended with
	begun      bool

	row    row
	state  state
	at     int // where the scan goes on, from start
	from   int // where the current value began, from start
	gone   int // bytes of an oversize row that are no longer in buf
	digest hash.Hash
}

type state uint8

// errFirstRow says that the first line has no end where a header has one.
var errFirstRow = fmt.Errorf("%w: the first line is longer than %d bytes", pollers.ErrIncomplete, maxFirstRow)

const (
	beforeValue state = iota
	inQuotes
	inPlain
)

// span is a value's place in a row, its quotes included.
type span struct{ from, to int }

// row is one line of values. Its slices hold until the next row.
type row struct {
	raw     []byte // without the line's end; of an oversize row the first bytes
	values  []span // the first maxColumns
	columns int
	ended   bool // by a line's end, else by that of the stream
	open    bool // the stream ended in quotes
	// size and sha256 are those of prefix and row together, when these exceed events.MaxRecordBytes.
	size   int64
	sha256 string
}

func newRows(src io.Reader, sep byte) *rows {
	return &rows{src: src, sep: sep, buf: make([]byte, firstBuffer)}
}

// next gives the next row; io.EOF after the last, any other error is the stream's.
func (s *rows) next() (*row, error) {
	if !s.begun {
		s.begun = true
		s.skipBOM()
	}
	for {
		r, err := s.scanRow()
		if err != nil {
			return nil, err
		}
		if len(r.raw) > 0 || r.size > 0 {
			return r, nil
		}
		if !r.ended {
			return nil, io.EOF
		}
	}
}

func (s *rows) skipBOM() {
	for s.end < 3 && s.err == nil {
		s.fill()
	}
	if bytes.HasPrefix(s.buf[:s.end], []byte("\xef\xbb\xbf")) {
		s.start = 3
	}
}

// scanRow reads on until a row is whole or the stream ends.
func (s *rows) scanRow() (*row, error) {
	s.row = row{values: s.row.values[:0]}
	s.state, s.at, s.from, s.gone, s.digest = beforeValue, 0, 0, 0, nil
	for {
		if s.scan() {
			return &s.row, nil
		}
		if s.err == io.EOF {
			return s.lastRow(), nil
		}
		if s.err != nil {
			return nil, s.err
		}
		if s.prefix == nil && s.end-s.start > maxFirstRow {
			return nil, errFirstRow
		}
		s.makeRoom()
		s.fill()
	}
}

// fill reads once.
func (s *rows) fill() {
	for range 100 {
		n, err := s.src.Read(s.buf[s.end:])
		s.end += n
		if s.err = err; n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// makeRoom keeps at least one byte free: it moves the row to the front, grows the buffer, or, for an
// oversize row, digests what was scanned and lets it go.
func (s *rows) makeRoom() {
	// The one byte more may be the CR of the row's end.
	if s.digest != nil || len(s.prefix)+s.end-s.start > events.MaxRecordBytes+1 {
		s.letGo()
	}
	if s.end < len(s.buf) {
		return
	}
	if s.start == 0 {
		s.buf = slices.Grow(s.buf, len(s.buf))[:2*len(s.buf)]
		return
	}
	s.end = copy(s.buf, s.buf[s.start:s.end])
	s.start = 0
}

func (s *rows) letGo() {
	scanned := s.buf[s.start : s.start+s.at]
	// A CR at the end may belong to the row's end: it stays until the next byte tells.
	scanned = bytes.TrimSuffix(scanned, []byte("\r"))
	if s.digest == nil {
		s.startDigest(scanned)
	}
	s.digest.Write(scanned)
	s.start += len(scanned)
	s.gone += len(scanned)
	s.from -= len(scanned)
	s.at -= len(scanned)
}

// startDigest begins that of an oversize row and keeps the row's first bytes.
func (s *rows) startDigest(first []byte) {
	s.digest = sha256.New()
	s.digest.Write(s.prefix)
	s.row.raw = bytes.Clone(first[:min(len(first), max(0, events.OversizeKeptBytes-len(s.prefix)))])
}

// scan goes through what is in the buffer; true once the row has ended there.
func (s *rows) scan() bool {
	data := s.buf[s.start:s.end]
	for s.at < len(data) {
		switch s.state {
		case beforeValue:
			if s.scanSimple(data) {
				continue
			}
			s.from = s.at
			if s.state = inPlain; data[s.at] == '"' {
				s.state = inQuotes
				s.at++
			}
		case inQuotes:
			if done, more := s.scanQuotes(data); done || more {
				return done
			}
		case inPlain:
			if s.scanPlain(data) {
				return true
			}
		}
	}
	return false
}

// scanSimple passes over the values that are nothing but text in quotes with a separator behind, which nearly all are, without looking at
// one byte after the other; false when it has passed over none.
func (s *rows) scanSimple(data []byte) (passed bool) {
	at, columns, values := s.at, s.row.columns, s.row.values
	for at < len(data) && data[at] == '"' {
		length := bytes.IndexByte(data[at+1:], '"')
		behind := at + length + 2
		if length < 0 || behind >= len(data) || data[behind] != s.sep {
			break
		}
		if columns++; columns <= maxColumns {
			values = append(values, span{at + s.gone, behind + s.gone})
		}
		at, passed = behind+1, true
	}
	s.at, s.row.columns, s.row.values = at, columns, values
	return passed
}

// scanQuotes goes on inside quotes: done when the row has ended, more when the buffer ends too early to tell.
func (s *rows) scanQuotes(data []byte) (done, more bool) {
	i := bytes.IndexByte(data[s.at:], '"')
	if i < 0 {
		s.at = len(data)
		return false, true
	}
	s.at += i
	after := data[s.at+1:]
	switch {
	case len(after) == 0:
		return false, true
	case after[0] == s.sep:
		s.value(s.at + 1)
		s.at += 2
		s.state = beforeValue
	case after[0] == '"':
		s.at += 2
	case after[0] == '\n':
		s.value(s.at + 1)
		s.finish(s.at+1, s.at+2)
		return true, false
	case after[0] == '\r' && len(after) == 1:
		return false, true
	case after[0] == '\r' && after[1] == '\n':
		s.value(s.at + 1)
		s.finish(s.at+1, s.at+3)
		return true, false
	default:
		s.at++
	}
	return false, false
}

// scanPlain goes on in a value without quotes; true when the row has ended.
func (s *rows) scanPlain(data []byte) bool {
	for i, c := range data[s.at:] {
		if c == s.sep {
			s.at += i
			s.value(s.at)
			s.at++
			s.state = beforeValue
			return false
		}
		if c == '\n' {
			at := s.at + i
			to := at
			if to > 0 && data[to-1] == '\r' {
				to--
			}
			s.value(max(to, s.from))
			s.finish(to, at+1)
			return true
		}
	}
	s.at = len(data)
	return false
}

// value notes the end of the current one.
func (s *rows) value(to int) {
	if s.row.columns++; s.row.columns <= maxColumns {
		s.row.values = append(s.row.values, span{s.from + s.gone, to + s.gone})
	}
}

// finish ends the row at to; the next one begins at next.
func (s *rows) finish(to, next int) {
	s.row.ended = true
	s.keep(to)
	s.start += next
}

// lastRow is what the stream ended in.
func (s *rows) lastRow() *row {
	data := s.buf[s.start:s.end]
	to := len(bytes.TrimSuffix(data, []byte("\r")))
	switch {
	case s.state == beforeValue && s.at == 0 && s.gone == 0:
		return &s.row
	case s.state == beforeValue:
		s.from = s.at
	case s.state == inQuotes && (s.at >= len(data) || data[s.at] != '"'):
		s.row.open = true
		to = len(data)
	}
	s.value(max(to, s.from))
	s.keep(to)
	s.start = s.end
	return &s.row
}

func (s *rows) keep(to int) {
	data := s.buf[s.start : s.start+to]
	whole := len(s.prefix) + s.gone + to
	if whole <= events.MaxRecordBytes {
		s.row.raw = data
		return
	}
	if s.digest == nil {
		s.startDigest(data)
	}
	s.digest.Write(data)
	s.row.size = int64(whole)
	s.row.sha256 = hex.EncodeToString(s.digest.Sum(nil))
}

// value gives a value without its quotes; nil for one that is not there or not kept.
func (r *row) value(i int) []byte {
	if i < 0 || i >= len(r.values) || r.values[i].to > len(r.raw) {
		return nil
	}
	b := r.raw[r.values[i].from:r.values[i].to]
	if len(b) == 0 || b[0] != '"' {
		return b
	}
	b = bytes.TrimSuffix(b[1:], []byte{'"'})
	if bytes.IndexByte(b, '"') < 0 {
		return b
	}
	return bytes.ReplaceAll(b, []byte(`""`), []byte{'"'})
}

// quoted tells whether the row begins as the vendor documents: every value in double quotes.
func (r *row) quoted() bool { return len(r.raw) > 0 && r.raw[0] == '"' }

// closed tells whether a row without a line's end can be whole: its last value is quoted if its first is.
func (r *row) closed() bool {
	return !r.open && r.size == 0 && (!r.quoted() || r.raw[len(r.raw)-1] == '"' && r.values[len(r.values)-1].from < len(r.raw)-1)
}
