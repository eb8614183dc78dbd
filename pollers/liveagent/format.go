package liveagent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
	"github.com/parley-stream/parley/pollers/internal/xmlsplit"
)

// format is one of the two forms of every response: {"response":{...}} and <response>...</response>.
type format struct {
	suffix      string // of a call's path
	contentType string
	// scan hands over the elements of a list, which are members or children of the response, and gives the
	// response's other simple members. The response is whole when the error is nil.
	scan func(r io.Reader, l listing, element func(events.Body) error) (map[string]string, error)
	// whole gives the simple members of a document's response, "" for the others, or an error that wraps ErrIncomplete.
	whole func(document []byte) (map[string]string, error)
	// fields gives the simple members of a list's element, as far as it can be read.
	fields func(element []byte, item string) map[string]string
	// end is the last byte of a whole document.
	end byte
	// scrub cuts out what is a credential by its name; of a document's start, too.
	scrub func([]byte) []byte
}

func formats() map[string]format {
	return map[string]format{
		"json": {suffix: "", contentType: events.ContentJSON, scan: scanJSON, whole: wholeJSON, fields: fieldsJSON, end: '}', scrub: scrubJSON},
		"xml":  {suffix: ".xml", contentType: events.ContentXML, scan: scanXML, whole: wholeXML, fields: fieldsXML, end: '>', scrub: scrubXML},
	}
}

// listing is a call that answers with a list.
type listing struct {
	path string
	name string // of the list in the response
	item string // of its elements in XML
}

var (
	departmentList   = listing{path: "departments", name: "departments", item: "department"}
	conversationList = listing{path: "conversations", name: "conversations", item: "conversation"}
)

// list makes a call and hands over its elements; the bytes are valid during the call only.
func (p *poller) list(ctx context.Context, l listing, query url.Values, element func(source, events.Body) error) error {
	resp, from, err := p.get(ctx, l.path, query)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fields, err := p.format.scan(resp.Body, l, func(b events.Body) error { return element(from, b) })
	if refused := failure(fields); refused != nil {
		return refused
	}
	return err
}

func scanJSON(r io.Reader, l listing, element func(events.Body) error) (map[string]string, error) {
	var start head
	rest, err := jsonsplit.Scan(io.TeeReader(r, &start), []string{"response", l.name}, element)
	fields := map[string]string{}
	for path, value := range rest {
		if name, ok := strings.CutPrefix(path, "response."); ok {
			fields[name] = textJSON(value)
		}
	}
	if string(rest["response."+l.name]) == "null" { // an empty list, if all the rest is as it should be
		_, err = wholeJSON(start.bytes)
	}
	return fields, err
}

// head keeps the first 64 KiB that are written to it.
type head struct{ bytes []byte }

func (h *head) Write(p []byte) (int, error) {
	h.bytes = append(h.bytes, p[:min(len(p), 64<<10-len(h.bytes))]...)
	return len(p), nil
}

// noElement is a name that no element has.
const noElement = "-"

func scanXML(r io.Reader, l listing, element func(events.Body) error) (map[string]string, error) {
	fields := map[string]string{}
	splitter := xmlsplit.Splitter{
		Path: []string{"response", l.name}, Element: l.item,
		Other: func(path, text string) error {
			name := strings.TrimPrefix(path, "response/")
			if strings.Contains(name, "/") {
				return fmt.Errorf("there is an element %s, want <%s>: %w", path, l.item, pollers.ErrIncomplete)
			}
			fields[name] = text
			return nil
		},
	}
	return fields, splitter.Scan(r, element)
}

func wholeJSON(document []byte) (map[string]string, error) {
	fields := map[string]string{}
	found := false
	inner := error(nil)
	err := jsonsplit.Members(bytes.TrimPrefix(document, []byte("\ufeff")), func(name string, value []byte) {
		if name == "response" {
			found = true
			inner = membersJSON(value, fields)
		}
	})
	if err == nil {
		err = inner
	}
	if err == nil && !found {
		err = fmt.Errorf("it has no response: %w", pollers.ErrIncomplete)
	}
	return fields, err
}

func membersJSON(object []byte, fields map[string]string) error {
	return jsonsplit.Members(object, func(name string, value []byte) { fields[name] = textJSON(value) })
}

func fieldsJSON(element []byte, _ string) map[string]string {
	fields := map[string]string{}
	_ = membersJSON(element, fields) // what cannot be read is the normaliser's to refuse
	return fields
}

// textJSON is the text of a string or number, "" of anything else.
func textJSON(value []byte) string {
	switch value = bytes.TrimSpace(value); {
	case len(value) == 0:
		return ""
	case value[0] == '"':
		var s string
		if json.Unmarshal(value, &s) != nil {
			return ""
		}
		return strings.TrimSpace(s)
	case value[0] == '-' || value[0] >= '0' && value[0] <= '9':
		return string(value)
	}
	return ""
}

func wholeXML(document []byte) (map[string]string, error) { return childrenXML(document, "response") }

func fieldsXML(element []byte, item string) map[string]string {
	fields, _ := childrenXML(element, item) // what cannot be read is the normaliser's to refuse
	return fields
}

func childrenXML(element []byte, root string) (map[string]string, error) {
	fields := map[string]string{}
	splitter := xmlsplit.Splitter{
		Path: []string{root}, Element: noElement,
		Other: func(path, text string) error {
			fields[path[len(root)+1:]] = text
			return nil
		},
	}
	return fields, splitter.Scan(bytes.NewReader(element), func(events.Body) error { return nil })
}
