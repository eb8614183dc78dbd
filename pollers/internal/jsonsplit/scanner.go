package jsonsplit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// maxDepth is what encoding/json takes, so that no element is refused here that could be decoded.
const maxDepth = 10000

// maxBuffer holds the largest record that is kept whole, and something to look ahead.
const maxBuffer = events.MaxRecordBytes + 128<<10

// scanner gives JSON tokens of a stream. While a value is read (held), the buffer keeps it from mark on.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int // the unread bytes
	mark     int // where the value that is being read starts
	held     bool
	read     int64 // bytes of r before buf[0]
	err      error // of r, io.EOF included

	spill *spill // of the record that is being read; nil: its size is limited instead
	limit int
	stack []byte // the closing brackets that are awaited
}

// spill takes what of a record does not fit: only its start, size and digest stay.
type spill struct {
	start  []byte
	size   int64
	digest hash.Hash
}

func (s *scanner) broken(what string) error {
	return fmt.Errorf("json at byte %d: %s: %w", s.read+int64(s.pos), what, pollers.ErrIncomplete)
}

func (s *scanner) unexpected(c byte, want string) error {
	return s.broken(fmt.Sprintf("%q, want %s", c, want))
}

// more reads on after all up to pos was scanned; bytes before mark, or before pos when no value is held, are given up.
func (s *scanner) more() error {
	if s.err != nil {
		return s.readError()
	}
	if !s.held {
		s.mark = s.pos
	} else if err := s.relieve(); err != nil {
		return err
	}
	if s.end == len(s.buf) {
		s.compact()
	}
	for range 100 {
		var n int
		n, s.err = s.r.Read(s.buf[s.end:])
		s.end += n
		if n > 0 {
			return nil
		}
		if s.err != nil {
			return s.readError()
		}
	}
	s.err = io.ErrNoProgress
	return s.readError()
}

func (s *scanner) readError() error {
	err := s.err
	if s.ended() {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("json at byte %d: %w: %w", s.read+int64(s.end), pollers.ErrIncomplete, err)
}

// ended tells whether r came to its end without an error.
func (s *scanner) ended() bool {
	return s.err == io.EOF // not errors.Is: a Reader gives io.EOF itself at its end; one that is wrapped is a failure
}

// relieve gives up what a too large value has in the buffer, or the value.
func (s *scanner) relieve() error {
	size := s.pos - s.mark
	switch {
	case s.spill == nil && size > s.limit:
		return s.broken("a value is too large")
	case s.spill == nil || s.spill.digest == nil && size <= events.MaxRecordBytes:
		return nil
	}
	s.spill.take(s.buf[s.mark:s.pos])
	s.mark = s.pos
	return nil
}

func (s *spill) take(b []byte) {
	if s.digest == nil {
		s.digest = sha256.New()
		s.start = bytes.Clone(b[:min(len(b), events.OversizeKeptBytes)])
	}
	s.size += int64(len(b))
	s.digest.Write(b)
}

// compact makes room at the end of the buffer.
func (s *scanner) compact() {
	to := s.buf
	if s.end-s.mark > len(s.buf)/2 && len(s.buf) < maxBuffer {
		to = make([]byte, min(2*len(s.buf), maxBuffer))
	}
	copy(to, s.buf[s.mark:s.end])
	s.read += int64(s.mark)
	s.buf, s.pos, s.end, s.mark = to, s.pos-s.mark, s.end-s.mark, 0
}

// skipBOM passes over a byte order mark; what else is wrong with the start shows later.
func (s *scanner) skipBOM() {
	for s.end < 3 && s.more() == nil {
	}
	if bytes.HasPrefix(s.buf[:s.end], []byte("\xef\xbb\xbf")) {
		s.pos = 3
	}
}

// peek gives the next byte that is no white space, without reading it.
func (s *scanner) peek() (byte, error) {
	for {
		for ; s.pos < s.end; s.pos++ {
			switch c := s.buf[s.pos]; c {
			case ' ', '\n', '\r', '\t':
			default:
				return c, nil
			}
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
}

func (s *scanner) expect(want byte) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c != want {
		return s.unexpected(c, string(want))
	}
	s.pos++
	return nil
}

// expectEnd wants nothing but white space up to the end of the stream.
func (s *scanner) expectEnd() error {
	c, err := s.peek()
	switch {
	case err == nil:
		return s.unexpected(c, "the end")
	case s.ended():
		return nil
	default:
		return err
	}
}

// members calls value with the name of each member of an object whose bracket has been read.
func (s *scanner) members(value func(name string) error) error {
	return s.list('}', func() error {
		name, err := s.name()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return value(name)
	})
}

func (s *scanner) name() (string, error) {
	c, err := s.peek()
	if err != nil {
		return "", err
	}
	if c != '"' {
		return "", s.unexpected(c, "a name")
	}
	raw, err := s.value(maxRestValue)
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	var name string
	if json.Unmarshal(raw, &name) != nil {
		return "", s.broken("a name is no JSON")
	}
	return name, nil
}

// list reads items between commas up to the closing bracket.
func (s *scanner) list(closing byte, item func() error) error {
	if c, err := s.peek(); err != nil {
		return err
	} else if c == closing {
		s.pos++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		c, err := s.peek()
		if err != nil {
			return err
		}
		s.pos++
		switch c {
		case ',':
		case closing:
			return nil
		default:
			s.pos--
			return s.unexpected(c, "a comma or "+string(closing))
		}
	}
}

// value reads one value of at most limit bytes; they are valid until the next read.
func (s *scanner) value(limit int) ([]byte, error) {
	s.spill, s.limit = nil, limit
	if err := s.skip(); err != nil {
		return nil, err
	}
	if s.pos-s.mark > limit {
		return nil, s.broken("a value is too large")
	}
	return s.buf[s.mark:s.pos], nil
}

// record reads one value of any size.
func (s *scanner) record() (events.Body, error) {
	over := &spill{}
	s.spill = over
	err := s.skip()
	s.spill = nil
	if err != nil {
		return events.Body{}, err
	}
	last := s.buf[s.mark:s.pos]
	if over.digest == nil && len(last) <= events.MaxRecordBytes {
		return events.Body{Bytes: last}, nil
	}
	over.take(last)
	return events.Body{Bytes: over.start, Size: over.size, SHA256: hex.EncodeToString(over.digest.Sum(nil))}, nil
}

// skip reads one value; buf[mark:pos] then holds it, or what of it was not spilled.
func (s *scanner) skip() error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	s.mark, s.held = s.pos, true
	defer func() { s.held = false }()
	switch c {
	case '{', '[':
		return s.skipNested()
	case '"':
		s.pos++
		return s.skipString()
	default:
		return s.skipScalar(c)
	}
}

// skipString reads on behind the quote that ends a string.
func (s *scanner) skipString() error {
	for {
		i := bytes.IndexByte(s.buf[s.pos:s.end], '"')
		if i < 0 {
			// A backslash that escapes what has not come yet stays unread.
			s.pos = s.end - backslashes(s.buf[s.pos:s.end])%2
			if err := s.more(); err != nil {
				return err
			}
			continue
		}
		escaped := backslashes(s.buf[s.pos:s.pos+i])%2 == 1
		s.pos += i + 1
		if !escaped {
			return nil
		}
	}
}

// backslashes counts those that b ends with.
func backslashes(b []byte) int {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n
}

// Classes of bytes outside of strings.
const (
	plain = iota
	quote
	open
	shut
)

var classes = [256]uint8{'"': quote, '{': open, '[': open, '}': shut, ']': shut}

// skipNested reads an object or an array up to its closing bracket.
func (s *scanner) skipNested() error {
	s.stack = s.stack[:0]
	for {
		b := s.buf[s.pos:s.end]
		for i := 0; i < len(b); i++ {
			switch classes[b[i]] {
			case quote:
				if j := bytes.IndexByte(b[i+1:], '"'); j >= 0 && b[i+j] != '\\' {
					i += j + 1
					continue
				}
				s.pos += i + 1
				if err := s.skipString(); err != nil {
					return err
				}
				b, i = s.buf[s.pos:s.end], -1
			case open:
				if len(s.stack) == maxDepth {
					return s.broken("a value is nested too deep")
				}
				s.stack = append(s.stack, b[i]+2) // '{'+2 is '}', '['+2 is ']'
			case shut:
				last := len(s.stack) - 1
				if s.stack[last] != b[i] {
					s.pos += i
					return s.unexpected(b[i], string(s.stack[last]))
				}
				if s.stack = s.stack[:last]; last == 0 {
					s.pos += i + 1
					return nil
				}
			}
		}
		s.pos = s.end
		if err := s.more(); err != nil {
			return err
		}
	}
}

// skipScalar reads a number, true, false or null.
func (s *scanner) skipScalar(first byte) error {
	for {
		i := bytes.IndexAny(s.buf[s.pos:s.end], ",]} \n\r\t")
		if i >= 0 {
			s.pos += i
			break
		}
		s.pos = s.end
		if err := s.more(); err != nil {
			return err
		}
	}
	if s.spill != nil && s.spill.digest != nil {
		return nil // its start is what is kept; the normaliser refuses it for its size
	}
	if !json.Valid(s.buf[s.mark:s.pos]) {
		s.pos = s.mark
		return s.unexpected(first, "a value")
	}
	return nil
}
