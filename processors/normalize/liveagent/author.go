package liveagent

import (
	"strings"

	"github.com/parley-stream/parley/events"
)

// cast tells who took which part in a conversation, by userid. The package comment has the rule.
type cast struct {
	visitor string
	agents  map[string]bool
}

func castOf(assigned string, groups []group) cast {
	c := cast{agents: map[string]bool{}}
	c.agent(assigned)
	for _, g := range groups {
		switch g.rtype {
		case "I", "Z", "V", "1":
			c.agent(g.userid)
		}
		for _, m := range g.messages {
			switch m.rtype {
			case "I", "N", "L":
				c.agent(m.userid)
			}
		}
	}
	if first := opening(groups); first != nil && first.userid != "" && !c.agents[first.userid] && first.opener() == first.userid {
		c.visitor = first.userid
	}
	return c
}

func (c cast) agent(userid string) {
	if userid != "" && !isSystem(userid) {
		c.agents[userid] = true
	}
}

func isSystem(userid string) bool { return strings.EqualFold(userid, "system") }

// opening gives the earliest group, start infos apart, if it is of a kind that visitors begin.
func opening(groups []group) *group {
	first := earliest(groups, func(g *group) bool { return g.rtype != "S" && g.rtype != "A" })
	if first == nil {
		return nil
	}
	switch first.rtype {
	case "C", "M", "P", "F", "W":
		return first
	}
	return nil
}

// opener is who wrote the group's first message proper.
func (g *group) opener() string {
	for _, m := range g.messages {
		if m.rtype == "M" {
			return m.userid
		}
	}
	return ""
}

// typeOf gives the type of a message's author; "" when the conversation does not tell.
func (c cast) typeOf(g *group, m *message) string {
	switch m.rtype {
	case "B", "E", "H", "A", "J", "O", "S", "G", "T", "R", "U", "X":
		return events.AuthorSystem
	case "C", "P", "W":
		return events.AuthorVisitor
	}
	switch {
	case isSystem(m.userid):
		return events.AuthorSystem
	case m.userid == "":
		return ""
	case c.agents[m.userid]:
		return events.AuthorAgent
	case m.userid == c.visitor:
		return events.AuthorVisitor
	case c.visitor != "" && g.rtype == "C":
		return events.AuthorAgent
	}
	return ""
}
