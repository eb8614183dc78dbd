package xmlsplit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

const bufferSize = 256 << 10

// input is a sliding buffer over the response.
type input struct {
	r        io.Reader
	buf      []byte
	pos, end int   // buf[pos:end] is unread
	mark     int   // where the kept element begins in buf; -1 when none is kept
	err      error // of r, met after buf[:end]
	large    *large
}

// large is what is kept of an element beyond the limit.
type large struct {
	start  []byte
	size   int64
	digest hash.Hash
}

func newInput(r io.Reader) *input {
	return &input{r: r, buf: make([]byte, bufferSize), mark: -1}
}

// more reads on, making room first: what is before the position, or before the kept element, goes.
// It returns the reader's error once there are no more bytes.
func (in *input) more() error {
	if in.err != nil {
		return in.err
	}
	from := in.pos
	if in.mark >= 0 {
		in.shed()
		from = in.mark
	}
	if from > 0 {
		copy(in.buf, in.buf[from:in.end])
		in.pos, in.end = in.pos-from, in.end-from
		in.mark = min(in.mark, 0)
	}
	if in.end == len(in.buf) {
		in.grow()
	}
	for range 100 {
		n, err := in.r.Read(in.buf[in.end:])
		in.end += n
		in.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	in.err = io.ErrNoProgress
	return in.err
}

// grow doubles the buffer up to what the largest kept element needs.
func (in *input) grow() {
	size := min(2*len(in.buf), events.MaxRecordBytes+bufferSize)
	buf := make([]byte, max(size, len(in.buf)+bufferSize))
	copy(buf, in.buf[:in.end])
	in.buf = buf
}

// shed lets the kept element's bytes go once they are too many to be kept whole.
func (in *input) shed() {
	if in.large == nil {
		if in.pos-in.mark <= events.MaxRecordBytes {
			return
		}
		in.large = &large{start: bytes.Clone(in.buf[in.mark:][:events.OversizeKeptBytes]), digest: sha256.New()}
	}
	in.large.size += int64(in.pos - in.mark)
	in.large.digest.Write(in.buf[in.mark:in.pos])
	in.mark = in.pos
}

// ended is the error of a response that ends where more must come.
func (in *input) ended(where string) error {
	switch {
	case in.err == io.EOF:
		return incomplete("it ends %s", where)
	case errors.Is(in.err, io.ErrUnexpectedEOF):
		return fmt.Errorf("XML response: cut %s: %w: %w", where, pollers.ErrIncomplete, in.err)
	case in.err != nil:
		return fmt.Errorf("XML response: read %s: %w", where, in.err)
	}
	return incomplete("it is malformed %s", where)
}

// peek gives the next n bytes, fewer only at the end; at least "<" must be there.
func (in *input) peek(n int) []byte {
	for in.end-in.pos < n {
		if in.more() != nil {
			return in.buf[in.pos:in.end]
		}
	}
	return in.buf[in.pos : in.pos+n]
}

// skipSpace moves to the next byte that is no white space and gives it; io.EOF at the end.
func (in *input) skipSpace() (byte, error) {
	for {
		for ; in.pos < in.end; in.pos++ {
			switch b := in.buf[in.pos]; b {
			case ' ', '\t', '\r', '\n':
			default:
				return b, nil
			}
		}
		if err := in.more(); err == io.EOF {
			return 0, io.EOF
		} else if err != nil {
			return 0, in.ended("between elements")
		}
	}
}

// skipPast moves past the opening at the position and the next closing.
func (in *input) skipPast(opening, closing string) error {
	in.pos += len(opening)
	for {
		if i := bytes.Index(in.buf[in.pos:in.end], []byte(closing)); i >= 0 {
			in.pos += i + len(closing)
			return nil
		}
		// The closing may have begun in the last bytes.
		in.pos = max(in.pos, in.end-len(closing)+1)
		if in.more() != nil {
			return in.ended("in " + opening)
		}
	}
}

// skipTag moves past the ">" that ends the start tag at the position, which is after its name.
func (in *input) skipTag() (selfClosed bool, err error) {
	var quote, before byte
	for {
		i, rest := scanTag(in.buf[in.pos:in.end], quote)
		if i >= 0 {
			if i > 0 {
				before = in.buf[in.pos+i-1]
			}
			in.pos += i + 1
			return before == '/', nil
		}
		if in.pos < in.end {
			before = in.buf[in.end-1]
		}
		quote, in.pos = rest, in.end
		if in.more() != nil {
			return false, in.ended("in a tag")
		}
	}
}

// scanTag finds the ">" outside quotes; -1 and the open quote when it is not in b.
func scanTag(b []byte, quote byte) (int, byte) {
	for at := 0; ; {
		var i int
		if quote != 0 {
			i = bytes.IndexByte(b[at:], quote)
		} else {
			i = bytes.IndexAny(b[at:], `>"'`)
		}
		if i < 0 {
			return -1, quote
		}
		at += i
		switch {
		case quote != 0:
			quote = 0
		case b[at] == '>':
			return at, 0
		default:
			quote = b[at]
		}
		at++
	}
}

// tagEnd finds the ">" of the start tag that b begins with; -1 when it is not in b.
func tagEnd(b []byte) int {
	i, _ := scanTag(b, 0)
	return i
}

// names tells whether b begins with a whole name.
func names(b []byte, name string) bool {
	if len(b) <= len(name) || string(b[:len(name)]) != name {
		return false
	}
	switch b[len(name)] {
	case '>', '/', ' ', '\n', '\t', '\r':
		return true
	}
	return false
}

// element moves past the element of this name at the position. When kept, it gives its bytes.
func (in *input) element(name string, kept bool) (events.Body, error) {
	if kept {
		in.mark = in.pos
	}
	in.pos += 1 + len(name)
	selfClosed, err := in.skipTag()
	if err == nil && !selfClosed {
		err = in.inside(name)
	}
	if err != nil || !kept {
		return events.Body{}, err
	}
	return in.take(), nil
}

// take gives the kept element, which ends at the position.
func (in *input) take() events.Body {
	in.shed()
	body := events.Body{Bytes: in.buf[in.mark:in.pos]}
	if l := in.large; l != nil {
		body = events.Body{Bytes: l.start, Size: l.size, SHA256: hex.EncodeToString(l.digest.Sum(nil))}
	}
	in.mark, in.large = -1, nil
	return body
}

// inside moves past the end tag of the element of this name, counting those of the same name in it. Other
// tags need no parsing: a "<" cannot stand in an attribute's value, and a ">" means nothing outside a tag.
func (in *input) inside(name string) error {
	need := max(len(name)+3, len("<![CDATA["))
	for depth := 1; ; {
		i := bytes.IndexByte(in.buf[in.pos:in.end], '<')
		if i < 0 {
			in.pos = in.end
			if in.more() != nil {
				return in.ended("in <" + name + ">")
			}
			continue
		}
		in.pos += i
		b := in.buf[in.pos:in.end]
		if len(b) < need {
			b = in.peek(need)
		}
		closed, err := in.tag(b, name, &depth)
		if closed || err != nil {
			return err
		}
	}
}

// tag moves past the beginning of the markup b, which is at the position; closed says that it was the last end tag.
func (in *input) tag(b []byte, name string, depth *int) (closed bool, err error) {
	switch {
	case len(b) < 2:
		in.pos++
	case b[1] == '/':
		if !names(b[2:], name) {
			in.pos += 2
			return false, nil
		}
		in.pos += 2 + len(name)
		*depth--
		_, err = in.skipTag()
		return *depth == 0, err
	case b[1] == '!':
		return false, in.section(b)
	case b[1] == '?':
		return false, in.skipPast("<?", "?>")
	case names(b[1:], name):
		in.pos += 1 + len(name)
		selfClosed, err := in.skipTag()
		if !selfClosed {
			*depth++
		}
		return false, err
	default:
		in.pos++
	}
	return false, nil
}

// section moves past a comment or CDATA section; another "<!" is left to the normaliser to refuse.
func (in *input) section(b []byte) error {
	switch {
	case bytes.HasPrefix(b, []byte("<!--")):
		return in.skipPast("<!--", "-->")
	case bytes.HasPrefix(b, []byte("<![CDATA[")):
		return in.skipPast("<![CDATA[", "]]>")
	}
	in.pos += 2
	return nil
}
