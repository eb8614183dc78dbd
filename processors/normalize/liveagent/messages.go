package liveagent

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/parley-stream/parley/events"
)

// group is a message group of a conversation.
type group struct {
	id, userid, rtype string
	at                time.Time
	messages          []message
	attributes        map[string]any // everything but the messages, by the vendor's names
}

// message is a message of a group; rest is what has no canonical place.
type message struct {
	id, userid, rtype, text string
	at                      time.Time
	rest                    fields
}

// readGroups takes the groups out of a messages part.
func readGroups(part fields, times moments) (groups []group, others []any) {
	objects, others := part.objects("groups")
	for _, o := range objects {
		groups = append(groups, readGroup(o, times))
	}
	return groups, others
}

func readGroup(o fields, times moments) group {
	var g group
	objects, others := o.objects("messages")
	for _, m := range objects {
		g.messages = append(g.messages, readMessage(m, times))
	}
	var base events.Base
	for name, value := range o {
		if !empty(value) {
			base.Set(name, value)
		}
	}
	if len(others) > 0 {
		base.Set("messages", others)
	}
	g.attributes = base.Attributes
	g.id, g.userid, g.rtype = o.word("messagegroupid"), o.word("userid"), o.word("rtype")
	g.at = times.read(o.word("datecreated")).at
	return g
}

func readMessage(o fields, times moments) message {
	m := message{id: o.word("messageid"), userid: o.word("userid"), rtype: o.word("rtype"), text: o.text("message"), rest: o}
	if at, ok := takeTime(o, "datecreated", times); ok {
		m.at = at
	}
	return m
}

// takeTime takes a time out; its text stays when the time does not say it all.
func takeTime(o fields, name string, times moments) (time.Time, bool) {
	text, ok := scalar(o[name])
	if !ok || text == "" {
		return time.Time{}, false
	}
	t := times.read((fields{name: text}).word(name))
	if t.exact {
		delete(o, name)
	}
	return t.at, true
}

// earliest gives the group of a kind that was created first, the first such of equal ones and of those without times.
func earliest(groups []group, of func(*group) bool) *group {
	var first *group
	for i := range groups {
		g := &groups[i]
		if of(g) && (first == nil || !g.at.IsZero() && (first.at.IsZero() || g.at.Before(first.at))) {
			first = g
		}
	}
	return first
}

// addMessages sets the conversation's messages, and the groups as an attribute.
func addMessages(c *events.Conversation, groups []group, who cast) {
	var described []any
	for i := range groups {
		g := &groups[i]
		for j := range g.messages {
			c.Messages = append(c.Messages, g.message(&g.messages[j], i, who))
		}
		if g.attributes == nil {
			g.attributes = map[string]any{}
		}
		described = append(described, g.attributes)
	}
	if len(described) > 0 {
		c.Set("groups", described)
	}
}

// message makes the canonical message of the group at a position.
func (g *group) message(m *message, position int, who cast) events.Message {
	out := events.Message{ID: m.id, At: m.at, Type: words[m.rtype], VendorType: m.rtype, Text: m.text}
	if author := (events.Author{Type: who.typeOf(g, m), ID: m.userid}); author != (events.Author{}) {
		out.Author = &author
	}
	var base events.Base
	if g.id != "" {
		base.Set("messagegroupid", g.id)
	} else {
		base.Set("messagegroup", json.Number(strconv.Itoa(position)))
	}
	for name, value := range m.rest {
		if !empty(value) {
			base.Set(name, value)
		}
	}
	out.Attributes = base.Attributes
	return out
}

// addRating reads the visitor's verdict off the messages: the last of them holds.
func addRating(c *events.Conversation) {
	var score events.Score
	for _, m := range c.Messages {
		switch m.VendorType {
		case "W":
			score.Value = "good"
		case "P":
			score.Value = "bad"
		case "C":
			score.Comment = m.Text
		}
	}
	if score != (events.Score{}) {
		c.Rating = &score
	}
}

// addAgents lists the assigned agent and whoever wrote as an agent.
func addAgents(c *events.Conversation, assigned string) {
	seen := map[string]bool{assigned: true}
	if assigned != "" {
		c.Agents = append(c.Agents, identified(assigned, events.RoleAssigned))
	}
	for _, m := range c.Messages {
		if m.Author != nil && m.Author.Type == events.AuthorAgent && m.Author.ID != "" && !seen[m.Author.ID] {
			seen[m.Author.ID] = true
			c.Agents = append(c.Agents, identified(m.Author.ID, events.RoleAgent))
		}
	}
}
