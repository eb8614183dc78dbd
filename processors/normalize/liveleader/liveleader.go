// Package liveleader normalises the chats of LiveLeader's data export (document: liveleader-export.txt) to conversations.
//
// # Config
//
// None. Times without an offset are in the record's Timezone; an empty one is UTC.
//
// # Delivery
//
// One chat element gives one conversation: channel chat, status ended (the vendor exports no other). Agents are the operators and
// then whoever else sent messages, one entry per e-mail address; a sender that is neither visitor, operator nor an address is the
// author's id, without a type. The vendor exports no other lines than messages, and message_count is theirs. A message's id is its position from 0; its text is trimmed, because the document's examples wrap it in lines.
// Of elements inside a message the text is in it too. Surveys keep their questions: which of them asks for a name or a rating is the customer's choice, so neither is guessed.
//
// What has no canonical place is in attributes, under the vendor's name: unknown elements, further ones of those that should
// come once, values that cannot be read, surveys of another form. An element with attributes or children is an object, its
// attributes named @name, its text #text; elements of one name are a list. A message keeps its own in its attributes.
//
// Times: ISO 8601, or DD-MM-YYYYTHH:MM:SSff with ff hundredths, as in the document's example. The text stays in attributes
// when it is no such time, did not exist in the zone, or came twice there (which takes the earlier instant).
//
// # Limits
//
// Malformed, and thus refused: a record that is not one well-formed chat element (tags that do not match, a
// DOCTYPE, more than 100 levels), one without id, or whose id is not the record's key. Read leniently, because people's text comes
// through them: unknown references (&nosuch;) and a bare & stay as they are, HTML's references are decoded, control characters
// stay, invalid UTF-8 becomes U+FFFD and is marked by the attribute invalid_utf8. Comments and processing instructions are not kept.
package liveleader

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

// New makes the normaliser. It remembers the time zones that it has loaded, and keeps memory for the next record.
func New() processors.Normalizer {
	n := &normalizer{parsers: sync.Pool{New: func() any { return &parser{} }}}
	return n.normalize
}

type normalizer struct {
	zones   zones
	parsers sync.Pool
}

func (n *normalizer) normalize(record *events.Record) (events.Entity, error) {
	if body, over := record.Oversize(); over {
		return nil, fmt.Errorf("chat: its %d bytes exceed the limit", body.Size)
	}
	if len(record.Parts) != 1 {
		return nil, fmt.Errorf("chat: the record has %d parts, want 1", len(record.Parts))
	}
	body := record.Parts[0].Body.Bytes
	switch id := events.LiveLeaderKey(body); {
	case id == "":
		return nil, errors.New("id: is missing or empty")
	case id != record.Key:
		return nil, fmt.Errorf("id: is %q, the record's key is %q", id, record.Key)
	}
	valid := utf8.Valid(body)
	if !valid {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	p := n.parsers.Get().(*parser)
	defer n.parsers.Put(p)
	defer p.reset()
	root, err := p.parse(string(body))
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	if root.name != "chat" {
		return nil, fmt.Errorf("chat: the element is <%s>", root.name)
	}
	c := &chat{
		out:   &events.Conversation{Base: events.NewBase(record), Channel: "chat", Status: "ended"},
		zone:  n.zones.load(record.Timezone),
		email: map[string]bool{},
		seen:  make([]string, 0, 16),
	}
	c.fill(root)
	if !valid {
		c.keep("invalid_utf8", true)
	}
	return c.out, nil
}

// chat builds the conversation of one record.
type chat struct {
	out   *events.Conversation
	zone  *time.Location
	email map[string]bool // the agents' addresses, in lower case
	seen  []string        // the elements that should come once and came
}

func (c *chat) fill(root *element) {
	for _, a := range root.attributes {
		c.keep(a.name, a.value)
	}
	c.keep("#text", root.text())
	// Operators come first, whatever their place: a message's sender is known by them.
	messages := 0
	for child := range root.children() {
		switch child.name {
		case "operator":
			c.agent(child.text())
			c.keepRest(child)
		case "msg":
			messages++
		}
	}
	if messages > 0 {
		c.out.Messages = make([]events.Message, 0, messages)
	}
	for child := range root.children() {
		c.element(child)
	}
	if n := len(c.out.Messages); n > 0 {
		c.out.MessageCount = &n
	}
}

// element maps one child of the chat.
func (c *chat) element(e *element) {
	switch e.name {
	case "operator":
	case "msg":
		c.message(e)
	case "userinfo":
		c.userinfo(e)
	case "survey":
		c.survey(e)
	default:
		c.field(e)
	}
}

// field maps an element that holds one text and should come once.
func (c *chat) field(e *element) {
	text := e.text()
	switch {
	case text == "":
		c.keepRest(e)
	case !slices.Contains(c.seen, e.name) && c.put(e.name, text):
		c.seen = append(c.seen, e.name)
		c.keepRest(e)
	default:
		c.keep(e.name, e.value())
	}
}

// keep puts what has no canonical place into attributes.
func (c *chat) keep(name string, value any) {
	if value == "" || value == nil {
		return
	}
	c.out.Attributes = merge(c.out.Attributes, name, value)
}

// keepRest keeps what an element holds beside its text.
func (c *chat) keepRest(e *element) {
	if !e.plain() {
		c.keep(e.name, e.withoutText().value())
	}
}

// put gives a text its canonical place; false says that it has none, or that the text must stay beside it.
func (c *chat) put(name, text string) (placed bool) {
	switch name {
	case "id": // the key
	case "start":
		c.out.StartedAt, placed = readTime(text, c.zone)
		return placed
	case "stop":
		c.out.EndedAt, placed = readTime(text, c.zone)
		return placed
	case "duration":
		c.out.DurationS, placed = readSeconds(text)
		return placed
	case "url":
		c.page().URL = text
	case "referrer":
		c.page().Referrer = text
	case "keywords":
		c.page().Keywords = text
	case "visitorip":
		c.visitor().IP = text
	case "city":
		c.visitor().City = text
	case "country":
		c.visitor().Country = text
	case "organization":
		c.visitor().Organization = text
	case "ISP":
		c.visitor().ISP = text
	default:
		return false
	}
	return true
}

func (c *chat) page() *events.Page {
	if c.out.Page == nil {
		c.out.Page = &events.Page{}
	}
	return c.out.Page
}

func (c *chat) visitor() *events.Visitor {
	if c.out.Visitor == nil {
		c.out.Visitor = &events.Visitor{}
	}
	return c.out.Visitor
}

// readSeconds reads digits with or without a fraction.
func readSeconds(text string) (*float64, bool) {
	if strings.Trim(text, "0123456789.") != "" {
		return nil, false
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(seconds, 0) {
		return nil, false
	}
	return &seconds, true
}

// agent adds an agent unless the address is there already.
func (c *chat) agent(email string) {
	if key := strings.ToLower(email); email != "" && !c.email[key] {
		c.email[key] = true
		c.out.Agents = append(c.out.Agents, events.Agent{Email: email, Role: events.RoleAgent})
	}
}

func (c *chat) message(e *element) {
	m := events.Message{ID: strconv.Itoa(len(c.out.Messages)), Type: "message", Text: e.allText()}
	var rest map[string]any
	for _, a := range e.attributes {
		placed := false
		switch {
		case a.name == "from" && m.Author == nil:
			m.Author = c.author(strings.TrimSpace(a.value))
			placed = true
		case a.name == "time" && m.At.IsZero():
			m.At, placed = readTime(a.value, c.zone)
		}
		if !placed && a.value != "" {
			rest = merge(rest, a.name, a.value)
		}
	}
	for child := range e.children() {
		if value := child.value(); value != "" {
			rest = merge(rest, child.name, value)
		}
	}
	m.Attributes = rest
	c.out.Messages = append(c.out.Messages, m)
}

// author tells who a message is from: "visitor" or an operator's address; of another text nothing is known but itself.
func (c *chat) author(from string) *events.Author {
	switch {
	case from == "":
		return nil
	case from == "visitor":
		return &events.Author{Type: events.AuthorVisitor}
	case strings.Contains(from, "@") || c.email[strings.ToLower(from)]:
		c.agent(from)
		return &events.Author{Type: events.AuthorAgent, Email: from}
	}
	return &events.Author{ID: from}
}

// userinfo maps <entry key="…">value</entry>; the values of one key are a list. An entry of another form stays.
func (c *chat) userinfo(e *element) {
	rest := &element{name: e.name, attributes: e.attributes}
	for _, part := range e.content {
		entry := part.child
		if entry == nil {
			rest.content = append(rest.content, part)
			continue
		}
		key, sole := entry.sole("key")
		if entry.name != "entry" || !sole || key == "" {
			rest.content = append(rest.content, part)
			continue
		}
		if value := entry.text(); value != "" {
			c.custom(key, value)
		}
	}
	c.keep(rest.name, rest.value())
}

func (c *chat) custom(key, value string) {
	c.out.CustomFields = merge(c.out.CustomFields, key, value)
}

// survey maps <survey context="entry|exit"> of responses; one of another form stays whole.
func (c *chat) survey(e *element) {
	context, _ := e.attribute("context")
	s := events.Survey{Context: context, Responses: []events.Response{}}
	documented := (context == "entry" || context == "exit") && len(e.attributes) == 1 && e.text() == ""
	for response := range e.children() {
		question, sole := response.sole("question")
		documented = documented && sole && response.name == "response"
		if r := (events.Response{Question: question, Answer: response.text()}); r != (events.Response{}) {
			s.Responses = append(s.Responses, r)
		}
	}
	if !documented {
		c.keep(e.name, e.value())
		return
	}
	c.out.Surveys = append(c.out.Surveys, s)
}
