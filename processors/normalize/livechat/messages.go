package livechat

import (
	"fmt"
	"reflect"

	"github.com/parley-stream/parley/events"
)

// messages takes the events, which hold the messages and more; never both, which would double each.
func (b *builder) messages(chat object) {
	if lines, ok := chat["events"].([]any); ok && len(lines) > 0 {
		keepOthers(chat, lines)
		b.lines(chat, "events")
		return
	}
	b.lines(chat, "messages")
}

// keepOthers leaves of the messages those that are not among the events.
func keepOthers(chat object, lines []any) {
	known := map[string][]map[string]any{}
	for _, line := range lines {
		if o, ok := line.(map[string]any); ok {
			known[signature(o)] = append(known[signature(o)], o)
		}
	}
	chat.list("messages", func(element any) bool {
		o, ok := element.(map[string]any)
		if !ok {
			return false
		}
		s := signature(o)
		if len(known[s]) == 0 || !holdsAll(known[s][0], o) {
			return false
		}
		known[s] = known[s][1:] // each event stands for one message
		return true
	})
}

func signature(o map[string]any) string {
	return fmt.Sprintf("%v|%v|%v", o["timestamp"], o["user_type"], o["text"])
}

// holdsAll tells whether an event has every member of a message.
func holdsAll(event, message map[string]any) bool {
	for name, value := range message {
		if !reflect.DeepEqual(event[name], value) {
			return false
		}
	}
	return true
}

func (b *builder) lines(chat object, name string) {
	_, listed := chat[name].([]any)
	count := 0
	chat.list(name, func(element any) bool {
		o, ok := element.(map[string]any)
		if !ok {
			return false
		}
		m := b.message(o)
		if m.Type == "" && name == "messages" {
			m.Type = "message"
		}
		if m.Type == "message" {
			count++
		}
		b.c.Messages = append(b.c.Messages, m)
		return true
	})
	if listed {
		b.c.MessageCount = &count
	}
}

func (b *builder) message(o object) events.Message {
	m := events.Message{At: b.time(o, "timestamp", "date"), Author: b.author(o)}
	if m.ID = o.text("message_id"); m.ID == "" {
		m.ID = o.text("id")
	}
	m.Type, m.Text = o.text("type"), o.text("text")
	m.Attributes = o.rest()
	return m
}

func (b *builder) author(o object) *events.Author {
	a := events.Author{ID: o.text("agent_id"), Name: o.text("author_name")}
	switch userType, _ := o["user_type"].(string); userType {
	case events.AuthorVisitor, events.AuthorAgent, events.AuthorSupervisor, events.AuthorSystem:
		a.Type = userType
		delete(o, "user_type")
	}
	if a.ID != "" && b.emails[a.ID] { // an agent's id is the e-mail address, where the chat lists it as such
		a.Email = a.ID
	}
	if a == (events.Author{}) {
		return nil
	}
	return &a
}

// missedMessage makes the message that a visitor left, nobody being there, the chat's one message.
func (b *builder) missedMessage(chat object) {
	if b.c.VendorStatus != typeMissed || len(b.c.Messages) > 0 {
		return
	}
	text := chat.text("message")
	if text == "" {
		return
	}
	m := events.Message{At: b.c.StartedAt, Author: &events.Author{Type: events.AuthorVisitor}, Type: "message", Text: text}
	if v := b.c.Visitor; v != nil {
		m.Author.ID, m.Author.Name, m.Author.Email = v.ID, v.Name, v.Email
	}
	b.c.Messages, b.c.MessageCount = []events.Message{m}, events.Ptr(1)
}
