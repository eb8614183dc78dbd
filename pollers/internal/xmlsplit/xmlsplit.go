// Package xmlsplit finds the records of an XML response in its byte stream, without decoding it and
// without holding more than one record.
//
// What it checks is what tells a whole response from a cut or a foreign one: the wrappers around the
// records are well-formed and named as asked, every record ends, the root ends, nothing follows.
// A record's inside is skipped over, not checked: one that is not well-formed but has its end is
// emitted, for the normaliser to refuse, and costs no other record. Nothing is kept per level of nesting, so that
// depth needs no bound here; whoever decodes a record bounds it.
package xmlsplit

import (
	"fmt"
	"io"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// Splitter says where the records are.
type Splitter struct {
	// Path names the nested wrappers from the root, such as response, conversations.
	Path []string
	// Element names the records, which are children of the last wrapper.
	Element string
	// Other, unless nil, is told of every other child of a wrapper: its path (response/status) and the text
	// before its first child, unescaped, trimmed and at most 64 KiB of it. Its error ends the scan. Nil passes over them.
	Other func(path, text string) error
}

// Scan emits every child named element of the last wrapper of path; see Splitter.
func Scan(r io.Reader, path []string, element string, emit func(events.Body) error) error {
	return Splitter{Path: path, Element: element}.Scan(r, emit)
}

// Scan emits each record as its bytes from "<element" to "</element>" (or "/>"), verbatim; they are valid until emit
// returns. Of a record over events.MaxRecordBytes it emits the start, size and digest.
//
// An error of emit or Other is returned as it is, and one of r wrapped. A response that is not whole or not this document
// is an error that wraps pollers.ErrIncomplete: another root (it is named), a missing wrapper, text between the children, a missing
// end, a DOCTYPE, anything but white space, comments and processing instructions after the root. An empty wrapper has no records.
func (s Splitter) Scan(r io.Reader, emit func(events.Body) error) error {
	if len(s.Path) == 0 || s.Element == "" {
		return events.Permanent(fmt.Errorf("split XML: want a path and an element"))
	}
	d := &document{splitter: s, in: newInput(r), emit: emit}
	if err := d.root(); err != nil {
		return err
	}
	if !d.found {
		return incomplete("there is no element %s", d.path(len(s.Path)-1))
	}
	return d.trailer()
}

func incomplete(format string, args ...any) error {
	return fmt.Errorf("XML response: "+format+": %w", append(args, pollers.ErrIncomplete)...)
}
