package liveleader

import (
	"iter"
	"strings"
)

// isSpace tells XML's white space.
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func trim(s string) string { return trimRight(trimLeft(s)) }

func trimLeft(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}

func trimRight(s string) string {
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// element is an XML element with its content in order.
type element struct {
	name       string
	attributes []attribute
	content    []content
}

type attribute struct{ name, value string }

// content is a child, or a text where there is none.
type content struct {
	text  string
	child *element
}

func (e *element) children() iter.Seq[*element] {
	return func(yield func(*element) bool) {
		for _, part := range e.content {
			if part.child != nil && !yield(part.child) {
				return
			}
		}
	}
}

// text is the element's own text, trimmed.
func (e *element) text() string {
	if len(e.content) == 1 {
		return trim(e.content[0].text)
	}
	var b strings.Builder
	for _, part := range e.content {
		b.WriteString(part.text)
	}
	return trim(b.String())
}

// allText is the element's text with that of the elements in it, trimmed.
func (e *element) allText() string {
	if len(e.content) == 1 && e.content[0].child == nil {
		return e.text()
	}
	var b strings.Builder
	e.writeText(&b)
	return trim(b.String())
}

func (e *element) writeText(b *strings.Builder) {
	for _, part := range e.content {
		b.WriteString(part.text)
		if part.child != nil {
			part.child.writeText(b)
		}
	}
}

func (e *element) attribute(name string) (string, bool) {
	for _, a := range e.attributes {
		if a.name == name {
			return a.value, true
		}
	}
	return "", false
}

// sole gives an attribute of an element that has no other attribute and no children; false says that it has more.
func (e *element) sole(name string) (string, bool) {
	value, has := e.attribute(name)
	for range e.children() {
		return value, false
	}
	return value, len(e.attributes) == 0 || (has && len(e.attributes) == 1)
}

func (e *element) withoutText() *element {
	rest := &element{name: e.name, attributes: e.attributes}
	for child := range e.children() {
		rest.content = append(rest.content, content{child: child})
	}
	return rest
}

// plain says that the element is but its text.
func (e *element) plain() bool {
	for range e.children() {
		return false
	}
	return len(e.attributes) == 0
}

// value is the element as JSON: its text, or an object when it has attributes or children.
func (e *element) value() any {
	text := e.text()
	if e.plain() {
		return text
	}
	var object map[string]any
	for _, a := range e.attributes {
		if a.value != "" {
			object = merge(object, "@"+a.name, a.value)
		}
	}
	for child := range e.children() {
		if value := child.value(); value != "" {
			object = merge(object, child.name, value)
		}
	}
	if text != "" {
		object = merge(object, "#text", text)
	}
	if object == nil {
		return ""
	}
	return object
}

// merge adds a value that is no list to an object, which it makes when there is none; values of one name are a list.
func merge(object map[string]any, name string, value any) map[string]any {
	if object == nil {
		object = make(map[string]any)
	}
	switch there := object[name].(type) {
	case nil:
		object[name] = value
	case []any:
		object[name] = append(there, value)
	default:
		object[name] = []any{there, value}
	}
	return object
}
