package liveagent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parley-stream/parley/events"
)

// maxDepth is how deep a part may nest.
const maxDepth = 200

var errDepth = fmt.Errorf("nests deeper than %d", maxDepth)

// tree is a part's content: as encoding/json decodes it, in both formats.
type tree = map[string]any

// decoded is a part's content and what had to be replaced to read it.
type decoded struct {
	content        tree
	invalidUTF8    bool
	invalidXMLChar bool
}

// decode reads a part: a row is one element, every other part a whole response.
func decode(p *events.Part) (decoded, error) {
	body := bytes.TrimPrefix(p.Body.Bytes, []byte("\ufeff"))
	media, _, _ := strings.Cut(p.ContentType, ";")
	switch strings.TrimSpace(media) {
	case events.ContentJSON:
		return decodeJSON(body)
	case events.ContentXML:
		return decodeXML(body)
	}
	return decoded{}, fmt.Errorf("content type %q, want JSON or XML", p.ContentType)
}

func decodeJSON(body []byte) (decoded, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return decoded{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return decoded{}, errors.New("something follows the JSON value")
	}
	content, ok := value.(tree)
	if !ok {
		return decoded{}, errors.New("is no JSON object")
	}
	if deeper(value, maxDepth) {
		return decoded{}, errDepth
	}
	return decoded{content: content, invalidUTF8: replacesJSON(body)}, nil
}

// deeper tells whether a value nests deeper than so many levels.
func deeper(value any, levels int) bool {
	if levels < 0 {
		return true
	}
	switch v := value.(type) {
	case tree:
		for _, inner := range v {
			if deeper(inner, levels-1) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if deeper(inner, levels-1) {
				return true
			}
		}
	}
	return false
}

// response gives the content of a document's response.
func (d decoded) response() (tree, error) {
	inner, ok := d.content["response"].(tree)
	if !ok {
		return nil, errors.New("response is missing or no object")
	}
	return inner, nil
}

// fields are the members of an object that have not been used yet.
type fields tree

// text takes a scalar out as text; one of white space only is empty. What is no scalar stays.
func (f fields) text(name string) string {
	s, ok := scalar(f[name])
	if !ok {
		return ""
	}
	delete(f, name)
	return s
}

// word is text without white space around it, for ids, letters and times.
func (f fields) word(name string) string { return strings.TrimSpace(f.text(name)) }

// objects takes a list of objects out. What is no object in it comes second; what is no list stays.
func (f fields) objects(name string) (objects []fields, others []any) {
	switch v := f[name].(type) {
	case []any:
		for _, item := range v {
			if o, ok := item.(tree); ok {
				objects = append(objects, o)
			} else if !empty(item) {
				others = append(others, item)
			}
		}
	case tree:
		return nil, nil
	default:
		if !empty(v) {
			return nil, nil
		}
	}
	delete(f, name)
	return objects, others
}

// scalar is the text of a string, number or truth value; nil is empty.
func scalar(value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return "", true
	case string:
		if strings.TrimSpace(v) == "" {
			return "", true
		}
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// empty tells whether a value says nothing.
func empty(value any) bool {
	switch v := value.(type) {
	case tree:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	s, ok := scalar(value)
	return ok && s == ""
}
