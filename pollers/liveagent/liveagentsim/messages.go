package liveagentsim

import (
	"fmt"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// group is a message group before it is written.
type group struct {
	user, rtype string
	messages    []message
}

type message struct {
	user, rtype string
	at          time.Time
	text        string
}

// groupsOf tells the chat: its start, the talk with a transfer when a second agent took over, the rating. A
// missed chat is an offline message.
func groupsOf(c *simulated.Chat) []group {
	if c.Missed {
		return []group{{c.Visitor.ID, "M", talk(c)}}
	}
	groups := []group{
		{c.Visitor.ID, "S", []message{
			{"", "S", c.Start, "Chat started from " + c.PageURL},
			{"", "U", c.Start, "ExampleBrowser/12 (" + c.Visitor.IP + ")"},
		}},
		{c.Visitor.ID, "C", talk(c)},
	}
	if len(c.Agents) > 1 {
		to := c.Agents[1]
		groups = append(groups, group{c.Agents[0].ID, "T", []message{{c.Agents[0].ID, "R", takeover(c), "Transferred to " + to.Name}}})
	}
	if !c.RatedAt.IsZero() {
		groups = append(groups, group{c.Visitor.ID, "C", ranking(c)})
	}
	return groups
}

func talk(c *simulated.Chat) []message {
	lines := make([]message, len(c.Messages))
	for i, l := range c.Messages {
		lines[i] = message{l.Agent.ID, "M", l.At, l.Text}
		if l.Visitor {
			lines[i].user = c.Visitor.ID
		}
	}
	return lines
}

// takeover is when the second agent first spoke, or else the end.
func takeover(c *simulated.Chat) time.Time {
	for _, l := range c.Messages {
		if l.Agent.ID == c.Agents[1].ID {
			return l.At
		}
	}
	return c.End
}

func ranking(c *simulated.Chat) []message {
	rtype := "P"
	if c.Good {
		rtype = "W"
	}
	messages := []message{{c.Visitor.ID, rtype, c.RatedAt, ""}}
	if c.Comment != "" {
		messages = append(messages, message{c.Visitor.ID, "C", c.RatedAt, c.Comment})
	}
	return messages
}

// groups writes the groups whose messages a filter shows; a group without such is left out.
func (s *Sim) groups(c *simulated.Chat, shows func(at string) bool) list {
	out := list{item: "group"}
	serial := 0
	for i, g := range groupsOf(c) {
		messages := list{item: "message"}
		for _, m := range g.messages {
			serial++
			if at := s.local(m.at); shows(at) {
				messages.items = append(messages.items, object{
					{"messageid", fmt.Sprintf("m%06d%03d", c.Number, serial)},
					{"userid", text(m.user)},
					{"rtype", m.rtype},
					{"datecreated", at},
					{"message", text(m.text)},
				})
			}
		}
		if len(messages.items) == 0 {
			continue
		}
		out.items = append(out.items, object{
			{"messagegroupid", fmt.Sprintf("g%06d%02d", c.Number, i+1)},
			{"userid", g.user},
			{"rtype", g.rtype},
			{"rstatus", "V"},
			{"datecreated", s.local(g.messages[0].at)},
			{"datefinished", s.local(g.messages[len(g.messages)-1].at)},
			{"messages", messages},
		})
	}
	return out
}
