// Package jsonsplit finds the records of a JSON response in its byte stream, without decoding the
// response and without holding more of it than one record.
package jsonsplit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// The bounds of what lies outside of the records.
const (
	maxRestValue = 1 << 20
	maxRestBytes = 16 << 20
)

// Scan reads one JSON object from r. The path names members from the root down to an array
// ({"chats"}, {"response", "conversations"}; at least one); each element of the array, any JSON value, is handed
// to element as its own bytes, valid during the call only. Of one larger than
// events.MaxRecordBytes it is the first events.OversizeKeptBytes with size and digest. An element is
// known to be a balanced value; what is inside its brackets is not validated. An error of element
// ends the scan and is returned.
//
// The rest holds the raw values of all other members of the objects on the path, by dotted path
// ("total", "response.status"), also beside an error. A member on the path whose value is null or
// of another type than the path needs is among them, and the array then counts as missing.
//
// Every other error wraps pollers.ErrIncomplete: the array is missing, or the input is no such
// object, ends early (then io.ErrUnexpectedEOF too), goes on after the object, repeats a member of
// the path, nests deeper than 10000, or has more than 1 MiB in one member of the rest. An error of r
// is wrapped beside it.
func Scan(r io.Reader, path []string, element func(events.Body) error) (rest map[string]json.RawMessage, err error) {
	s := &splitter{
		scanner: scanner{r: r, buf: make([]byte, 64<<10)},
		path:    path, element: element, rest: map[string]json.RawMessage{},
	}
	return s.rest, s.document()
}

// splitter walks the objects on the path.
type splitter struct {
	scanner
	path      []string
	element   func(events.Body) error
	rest      map[string]json.RawMessage
	restBytes int
	found     bool
}

func (s *splitter) document() error {
	s.skipBOM()
	if err := s.expect('{'); err != nil {
		return err
	}
	if err := s.object(0); err != nil {
		return err
	}
	if err := s.expectEnd(); err != nil {
		return err
	}
	if !s.found {
		return fmt.Errorf("%s is missing: %w", strings.Join(s.path, "."), pollers.ErrIncomplete)
	}
	return nil
}

// object walks the members of an object on the path, whose bracket has been read.
func (s *splitter) object(depth int) error {
	seen := false
	return s.members(func(name string) error {
		if name != s.path[depth] {
			return s.keep(depth, name)
		}
		if seen {
			return s.broken(strings.Join(s.path[:depth+1], ".") + " is there twice")
		}
		seen = true
		return s.onPath(depth, name)
	})
}

// onPath reads the value of a member that the path names.
func (s *splitter) onPath(depth int, name string) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	switch last := depth == len(s.path)-1; {
	case last && c == '[':
		s.found = true
		s.pos++
		return s.array()
	case !last && c == '{':
		s.pos++
		return s.object(depth + 1)
	default:
		return s.keep(depth, name)
	}
}

// array reads the elements of the array, whose bracket has been read.
func (s *splitter) array() error {
	return s.list(']', func() error {
		body, err := s.record()
		if err != nil {
			return err
		}
		return s.element(body)
	})
}

// keep reads a value into the rest.
func (s *splitter) keep(depth int, name string) error {
	raw, err := s.value(maxRestValue)
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append(s.path[:depth:depth], name), "."), err)
	}
	if !json.Valid(raw) {
		return s.broken("a value is no JSON")
	}
	if s.restBytes += len(raw) + len(name); s.restBytes > maxRestBytes {
		return s.broken("the members beside the records are too large")
	}
	s.rest[strings.Join(append(s.path[:depth:depth], name), ".")] = bytes.Clone(raw)
	return nil
}

// Members visits the members of one JSON object that is in memory, in their order, with the raw values; a
// name can come twice. Values are balanced, not validated. It serves to find a few members of a record
// without decoding all of it: of a record's start, the members before the cut are visited before
// the error.
func Members(object []byte, visit func(name string, value []byte)) error {
	s := &scanner{buf: object, end: len(object), err: io.EOF}
	if err := s.expect('{'); err != nil {
		return err
	}
	err := s.members(func(name string) error {
		value, err := s.value(len(object))
		if err == nil {
			visit(name, value)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.expectEnd()
}
