package liveagent

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// node is an XML element while it is read.
type node struct {
	name     string
	text     bytes.Buffer
	children []child
	inner    *node // the latest child
}

type child struct {
	name  string
	value any
}

// decodeXML reads an element as JSON would show it: one with children is an object, others are
// text, and nil when there is but white space. The documented lists are lists.
func decodeXML(body []byte) (decoded, error) {
	clean, invalid, forbidden := cleanXML(body)
	root, err := readXML(xml.NewDecoder(bytes.NewReader(clean)))
	if err != nil {
		return decoded{}, err
	}
	d := decoded{invalidUTF8: invalid, invalidXMLChar: forbidden}
	switch content := root.value().(type) {
	case tree:
		d.content = content
	case nil:
		d.content = tree{}
	default:
		return decoded{}, fmt.Errorf("<%s> holds text, want elements", root.name)
	}
	switch root.name {
	case "response":
		d.content = tree{"response": d.content}
	default:
		if isItem(root.name) {
			break
		}
		return decoded{}, fmt.Errorf("the root is <%s>", root.name)
	}
	return d, nil
}

// readXML reads a document of one root.
func readXML(dec *xml.Decoder) (*node, error) {
	root := &node{} // the document: its one child is the root
	open := []*node{root}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return root.only()
		}
		if err != nil {
			return nil, err
		}
		switch last := open[len(open)-1]; t := token.(type) {
		case xml.StartElement:
			if len(open) > maxDepth {
				return nil, errDepth
			}
			n := start(t)
			last.inner = n
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
			parent := open[len(open)-1]
			parent.children = append(parent.children, child{last.name, last.value()})
		case xml.CharData:
			last.text.Write(t)
		case xml.Directive:
			return nil, errors.New("there is a DOCTYPE")
		}
	}
}

// only gives a document's one element.
func (n *node) only() (*node, error) {
	if len(n.children) != 1 || !empty(n.text.String()) {
		return nil, errors.New("want one root and no text beside it")
	}
	return n.inner, nil
}

func start(t xml.StartElement) *node {
	n := &node{name: t.Name.Local}
	for _, a := range t.Attr {
		n.children = append(n.children, child{"@" + a.Name.Local, a.Value})
	}
	return n
}

// isItem tells the documented elements of the lists that are rows.
func isItem(name string) bool {
	switch name {
	case "conversation", "customer", "group", "department", "article", "agentsOnlineState", "departmentsOnlineState", "suggestioncategorie", "tag":
		return true
	}
	return false
}

// isList tells the documented lists by their names.
func isList(name string) bool {
	switch name {
	case "groups", "messages", "customfields", "tags", "agents", "chatsOverview", "callsOverview":
		return true
	}
	return false
}

// value gives the element's content.
func (n *node) value() any {
	text := n.text.String()
	if empty(text) {
		text = ""
	}
	switch {
	case len(n.children) == 0 && text == "":
		return nil
	case len(n.children) == 0:
		return text
	case isList(n.name) && text == "":
		return n.list()
	}
	object := tree{}
	if text != "" {
		object["#text"] = text
	}
	n.collect(object)
	return object
}

// list gives the values of the children, whatever they are called.
func (n *node) list() []any {
	items := make([]any, len(n.children))
	for i, c := range n.children {
		items[i] = c.value
	}
	return items
}

// collect sets the children as members; those of one name become a list.
func (n *node) collect(object tree) {
	seen := map[string]int{}
	for _, c := range n.children {
		switch seen[c.name]++; seen[c.name] {
		case 1:
			object[c.name] = c.value
		case 2:
			object[c.name] = []any{object[c.name], c.value}
		default:
			object[c.name] = append(object[c.name].([]any), c.value)
		}
	}
}
