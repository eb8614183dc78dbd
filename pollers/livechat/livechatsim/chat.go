package livechatsim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

type chat struct {
	Type                 string     `json:"type"`
	ID                   *string    `json:"id,omitempty"`
	VisitorName          string     `json:"visitor_name"`
	VisitorID            string     `json:"visitor_id"`
	Agents               []agent    `json:"agents"`
	Supervisors          []agent    `json:"supervisors"`
	Rate                 string     `json:"rate"`
	Duration             int64      `json:"duration"`
	Group                []int      `json:"group"`
	Started              string     `json:"started"`
	PrechatSurvey        []variable `json:"prechat_survey"`
	CustomVariables      []variable `json:"custom_variables,omitempty"`
	IntegrationVariables []variable `json:"integration_variables,omitempty"`
	Goals                []goalOf   `json:"goals,omitempty"`
	Tags                 []string   `json:"tags,omitempty"`
	Messages             []message  `json:"messages"`
	StartedTimestamp     int64      `json:"started_timestamp"`
	EndedTimestamp       int64      `json:"ended_timestamp"`
	Ended                string     `json:"ended"`
}

// missedChat is in no sample of the document: it has no agents and no end.
type missedChat struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	VisitorName string `json:"visitor_name"`
	VisitorID   string `json:"visitor_id"`
	Email       string `json:"email"`
	Time        string `json:"time"`
	Message     string `json:"message"`
	Group       []int  `json:"group"`
}

type agent struct {
	DisplayName string `json:"display_name"`
	Email       string `json:"email"`
}

type variable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	ID    string `json:"id,omitempty"`
}

type goalOf struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

type message struct {
	AuthorName string `json:"author_name"`
	Text       string `json:"text"`
	Date       string `json:"date"`
	Timestamp  int64  `json:"timestamp"`
	UserType   string `json:"user_type"`
	AgentID    string `json:"agent_id,omitempty"`
}

// brokenChat has null for an id, where a chat without the member has none.
type brokenChat struct {
	chat
	ID any `json:"id"`
}

func (s *Sim) write(c *simulated.Chat) any {
	if c.Number <= 0 {
		return s.specimen(c)
	}
	out := s.ended(c)
	switch id := key(c); {
	case c.Malformed && c.Number%2 == 0:
		return brokenChat{chat: out}
	case c.Malformed:
		return out
	case c.Missed:
		return missedChat{
			Type: out.Type, ID: id, VisitorName: out.VisitorName, VisitorID: out.VisitorID, Email: c.Visitor.Email,
			Time: out.Started, Message: c.Messages[0].Text, Group: out.Group,
		}
	default:
		out.ID = &id
		return out
	}
}

// ended writes all of a chat but its id.
func (s *Sim) ended(c *simulated.Chat) chat {
	out := chat{
		Type: kind(c), VisitorName: c.Visitor.Name, VisitorID: visitorID(c), Agents: []agent{}, Supervisors: []agent{},
		Rate: rate(c), Duration: int64(c.End.Sub(c.Start) / time.Second), Group: []int{c.Department},
		Started: s.text(c.Start), StartedTimestamp: c.Start.Unix(), Ended: s.text(c.End), EndedTimestamp: c.End.Unix(),
		PrechatSurvey: []variable{
			{Key: "Name:", Value: c.Visitor.Name, ID: "1790000000000101"}, {Key: "E-mail:", ID: "1790000000000102"},
		},
		Tags: tags(c), Messages: []message{},
	}
	for i, p := range c.Agents {
		if supervises(c, i) {
			out.Supervisors = append(out.Supervisors, agent{p.Name, p.Email})
		} else {
			out.Agents = append(out.Agents, agent{p.Name, p.Email})
		}
	}
	if c.Number%10 != 0 {
		out.CustomVariables = []variable{{Key: "customer_no", Value: strconv.Itoa(c.CustomerNo)}}
	}
	if c.Number%9 == 0 {
		out.IntegrationVariables = []variable{{Key: "facebook.id", Value: strconv.Itoa(c.CustomerNo)}, {Key: "facebook.name", Value: c.Visitor.Name}}
	}
	if id := goal(c); id > 0 {
		out.Goals = []goalOf{{id, "Checkout"}}
	}
	for _, l := range c.Messages {
		out.Messages = append(out.Messages, s.message(c, l))
	}
	return out
}

func (s *Sim) message(c *simulated.Chat, l simulated.Line) message {
	m := message{AuthorName: c.Visitor.Name, Text: l.Text, Date: s.text(l.At), Timestamp: l.At.Unix(), UserType: "visitor"}
	if !l.Visitor {
		m.AuthorName, m.AgentID, m.UserType = l.Agent.Name, l.Agent.Email, "agent"
		for i, p := range c.Agents {
			if p.ID == l.Agent.ID && supervises(c, i) {
				m.UserType = "supervisor"
			}
		}
	}
	return m
}

// text is a time as the document prints it: the account's, without an offset.
func (s *Sim) text(t time.Time) string { return t.In(s.location).Format("Mon, 01/02/06 03:04:05 pm") }

func kind(c *simulated.Chat) string {
	if c.Missed {
		return "missed_chat"
	}
	return "chat"
}

func visitorID(c *simulated.Chat) string {
	return fmt.Sprintf("S%d.%s", 1700000000+c.Number, c.Visitor.ID)
}

func rate(c *simulated.Chat) string {
	switch {
	case c.RatedAt.IsZero():
		return "not_rated"
	case c.Good:
		return "rated_good"
	default:
		return "rated_bad"
	}
}

// tags shows an edit as a tag of its own.
func tags(c *simulated.Chat) []string {
	if c.Edits == 0 {
		return c.Tags
	}
	return append(append([]string(nil), c.Tags...), fmt.Sprintf("edit %d", c.Edits))
}

// goal is the id of the goal that a chat reached; 0 is none.
func goal(c *simulated.Chat) int {
	if c.Missed || c.Number%7 != 0 {
		return 0
	}
	return 31
}

// supervises tells whether an agent of a chat is its supervisor: some second ones are.
func supervises(c *simulated.Chat, agent int) bool { return agent == 1 && c.Number%2 == 0 }
