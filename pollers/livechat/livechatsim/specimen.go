package livechatsim

import (
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// The endpoints of the specimens' fields: as livechat-chats-v2.txt has it, and what the vendor's later documentation, or its clients, add to
// its chats. Total and pages are of the answer, not of a chat.
const (
	documented = "GET /chats"
	later      = "GET /chats, later documentation"
	missed     = "GET /chats, missed_chat in clients"
)

// The numbers of the specimens.
const (
	documentedSpecimen = -iota
	laterSpecimen
	missedSpecimen
)

// specimens stand before all chats of a period.
func (s *Sim) specimens(from time.Time) []*simulated.Chat {
	if from.IsZero() {
		from = s.account.Now().Add(-2 * time.Hour)
	}
	start := from.Add(time.Hour).Truncate(time.Second)
	return []*simulated.Chat{
		{Number: documentedSpecimen, Start: start},
		{Number: laterSpecimen, Start: start.Add(10 * time.Minute)},
		{Number: missedSpecimen, Start: start.Add(20 * time.Minute)},
	}
}

func (s *Sim) specimen(c *simulated.Chat) any {
	n := noter{Fields: s.account.Options().Fields, sim: s, at: c.Start}
	switch c.Number {
	case documentedSpecimen:
		return n.documented()
	case laterSpecimen:
		return n.later()
	default:
		return n.missed()
	}
}

// noter writes one specimen. Each time in it is another second.
type noter struct {
	*simulated.Fields
	sim *Sim
	at  time.Time
}

// epoch notes a time that is told in seconds.
func (n *noter) epoch(endpoint, name string) int64 {
	n.at = n.at.Add(time.Second)
	n.Put(endpoint, name, n.at.UTC().Format(time.RFC3339))
	return n.at.Unix()
}

// printed notes a time that is told as a text.
func (n *noter) printed(endpoint, name string) string {
	n.at = n.at.Add(time.Second)
	return n.Put(endpoint, name, n.sim.text(n.at))
}

func (n *noter) person(list string) []agent {
	return []agent{{DisplayName: n.Text(documented, list+".display_name"), Email: n.Text(documented, list+".email")}}
}

func (n *noter) variable(endpoint, list string) variable {
	return variable{Key: n.Text(endpoint, list+".key"), Value: n.Text(endpoint, list+".value")}
}

func (n *noter) documented() chat {
	id := n.Text(documented, "id")
	n.At(documented, "type", "vendor_status", "chat")
	n.At(documented, "rate", "rating.value", "good")
	n.At(documented, "messages.user_type (visitor)", "messages.author.type", "visitor")
	n.At(documented, "messages.user_type (agent)", "messages.author.type", "agent")
	n.At(documented, "messages.user_type (supervisor)", "messages.author.type", "supervisor")
	survey := n.variable(documented, "prechat_survey")
	survey.ID = n.Text(documented, "prechat_survey.id")
	line := message{
		AuthorName: n.Text(documented, "messages.author_name"), Text: n.Text(documented, "messages.text"),
		Date: n.printed(documented, "messages.date"), Timestamp: n.epoch(documented, "messages.timestamp"),
		UserType: "agent", AgentID: n.Text(documented, "messages.agent_id"),
	}
	return chat{
		Type: "chat", ID: &id, VisitorName: n.Text(documented, "visitor_name"), VisitorID: n.Text(documented, "visitor_id"),
		Agents: n.person("agents"), Supervisors: n.person("supervisors"), Rate: "rated_good", Duration: int64(n.Number(documented, "duration")),
		Group: []int{n.Number(documented, "group")}, Started: n.printed(documented, "started"), PrechatSurvey: []variable{survey},
		CustomVariables:      []variable{n.variable(documented, "custom_variables")},
		IntegrationVariables: []variable{n.variable(documented, "integration_variables")},
		Goals:                []goalOf{{ID: n.Number(documented, "goals.id"), Name: n.Text(documented, "goals.name")}},
		Messages: []message{
			line,
			{Text: "from a visitor", Timestamp: line.Timestamp, UserType: "visitor"},
			{Text: "from a supervisor", Timestamp: line.Timestamp, UserType: "supervisor"},
		},
		StartedTimestamp: n.epoch(documented, "started_timestamp"), EndedTimestamp: n.epoch(documented, "ended_timestamp"),
		Ended: n.printed(documented, "ended"),
	}
}

// object is a JSON object.
type object map[string]any

// texts notes texts of an object in the later documentation.
func (n *noter) texts(path string, names ...string) object {
	out := object{}
	for _, name := range names {
		out[name] = n.Text(later, path+name)
	}
	return out
}

func (n *noter) later() object {
	out := n.texts("", "id", "visitor_ip", "chat_start_url", "referrer", "timezone", "engagement")
	out["type"] = "chat"
	out["visitor"] = n.texts("visitor.", "id", "name", "email", "city", "region", "country", "country_code", "timezone", "user_agent")
	out["visitor"].(object)["ip"] = out["visitor_ip"]
	out["queue"] = object{"duration": n.Number(later, "queue.duration")}
	out["tags"] = []any{n.Text(later, "tags")}
	out["tickets"] = []any{object{"id": n.Text(later, "tickets.id")}}
	out["postchat_survey"] = []any{n.texts("postchat_survey.", "key", "value", "id")}
	n.At(later, "pending", "attributes.pending", "true")
	out["pending"] = true
	goal := n.texts("goals.", "type")
	goal["date"], goal["timestamp"] = n.printed(later, "goals.date"), n.Number(later, "goals.timestamp")
	goal["order"] = n.texts("goals.order.", "id", "description", "price", "currency")
	out["goals"] = []any{goal}
	line := n.texts("events.", "author_name", "text", "agent_id", "message_id", "event_type")
	line["type"], line["user_type"] = "message", "agent"
	n.At(later, "events.type", "messages.type", "message")
	n.At(later, "events.user_type", "messages.author.type", "agent")
	line["date"], line["timestamp"] = n.printed(later, "events.date"), n.epoch(later, "events.timestamp")
	line["files"] = []any{n.texts("events.files.", "name", "url")}
	out["events"] = []any{line}
	out["started_timestamp"], out["ended_timestamp"] = n.epoch(later, "started_timestamp"), n.epoch(later, "ended_timestamp")
	return out
}

// missed has no time that is a number: it is filed by the one that is printed.
func (n *noter) missed() missedChat {
	n.At(missed, "type", "status", "missed")
	return missedChat{
		Type: "missed_chat", ID: n.Text(missed, "id"), VisitorName: n.Text(missed, "visitor_name"), VisitorID: n.Text(missed, "visitor_id"),
		Email: n.Text(missed, "email"), Time: n.printed(missed, "time"), Message: n.Text(missed, "message"), Group: []int{n.Number(missed, "group")},
	}
}
