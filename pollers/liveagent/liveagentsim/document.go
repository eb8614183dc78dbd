package liveagentsim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
)

// A document is a tree that is written as JSON or XML: object, list, text, number, or nil for empty.
type (
	object []member
	member struct {
		name  string
		value any
	}
	list struct {
		item  string // the name of its elements in XML
		items []object
	}
	number string
	// broken is text that no strict decoder reads, within a document that is otherwise well-formed.
	broken string
)

// text is a text, or nil when it is empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// writeJSON writes {"response":{...}}.
func writeJSON(response object) []byte {
	var b bytes.Buffer
	b.WriteString(`{"response":`)
	jsonValue(&b, response)
	b.WriteString("}")
	return b.Bytes()
}

func jsonValue(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case object:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			jsonString(b, m.name)
			b.WriteByte(':')
			jsonValue(b, m.value)
		}
		b.WriteByte('}')
	case list:
		b.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			jsonValue(b, item)
		}
		b.WriteByte(']')
	case string:
		jsonString(b, v)
	case number:
		b.WriteString(string(v))
	case broken:
		b.WriteString(`"` + string(v) + ` \q"`) // no such escape
	default:
		b.WriteString("null")
	}
}

func jsonString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)       // a string always encodes
	b.Truncate(b.Len() - 1) // the line feed
}

// writeXML writes the document's form: one element per line, indented by one space a level, an empty
// element as white space.
func writeXML(response object) []byte {
	var b bytes.Buffer
	b.WriteString("<?xml version='1.0' encoding='utf-8'?>\n")
	xmlValue(&b, "response", response, "")
	return b.Bytes()
}

func xmlValue(b *bytes.Buffer, name string, value any, indent string) {
	b.WriteString(indent + "<" + name + ">")
	switch v := value.(type) {
	case object:
		b.WriteByte('\n')
		for _, m := range v {
			xmlValue(b, m.name, m.value, indent+" ")
		}
		b.WriteString(indent)
	case list:
		b.WriteByte('\n')
		for _, item := range v.items {
			xmlValue(b, v.item, item, indent+" ")
		}
		b.WriteString(indent)
	case string:
		xmlText(b, v)
	case number:
		b.WriteString(string(v))
	case broken:
		b.WriteString(string(v) + " &nosuch;") // no such entity
	default:
		b.WriteString("\n" + indent)
	}
	b.WriteString("</" + name + ">\n")
}

// xmlText escapes; line feeds stay as they are.
func xmlText(b *bytes.Buffer, s string) {
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(s)) // a buffer takes every write
	b.WriteString(strings.ReplaceAll(escaped.String(), "&#xA;", "\n"))
}
