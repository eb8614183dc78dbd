package liveagent

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/parley-stream/parley/events"
)

// base checks the key of a row that has an id of its own.
func (r *row) base(prefix string) (events.Base, error) {
	id := r.word("id")
	if id == "" {
		return events.Base{}, errors.New("id is missing")
	}
	if key := prefix + id; key != r.record.Key {
		return events.Base{}, fmt.Errorf("the key is %q, the row's is %q", r.record.Key, key)
	}
	return events.NewBase(r.record), nil
}

// activity is a time in which an agent was available. One that goes on has no end, and no length: how long
// it has been is no news of it.
func (r *row) activity() (events.Entity, error) {
	base, err := r.base(r.record.Stream + "/")
	if err != nil {
		return nil, err
	}
	a := &events.Activity{Base: base, State: "online"}
	if agent := (events.Named{ID: r.word("userid"), Name: r.fullName("firstname", "lastname")}); agent.ID != "" || agent.Name != "" {
		a.Agent = &agent
	}
	a.StartedAt, _ = takeTime(r.fields, "from_date", r.times)
	if text, _ := scalar(r.fields["to_date"]); strings.EqualFold(strings.TrimSpace(text), "now") {
		if _, ok := length(r.fields["hours_online"]); ok {
			delete(r.fields, "hours_online")
		}
		return a, nil
	}
	a.EndedAt, _ = takeTime(r.fields, "to_date", r.times)
	if s, ok := length(r.fields["hours_online"]); ok {
		a.DurationS = &s
		delete(r.fields, "hours_online")
	}
	return a, nil
}

// sla is a line of an SLA log. The vendor's offset is from the due time to the closing; of a line that is not closed it runs on.
func (r *row) sla() (events.Entity, error) {
	base, err := r.base(r.record.Stream + "/")
	if err != nil {
		return nil, err
	}
	s := &events.SLA{Base: base, ConversationID: r.conversation()}
	if level := (events.Named{ID: r.word("levelid"), Name: r.text("sla_level_name")}); level.ID != "" || level.Name != "" {
		s.Level = &level
	}
	if agent := (events.Agent{ID: r.word("agentid"), Name: r.fullName("agent_firstname", "agent_lastname")}); agent.ID != "" || agent.Name != "" {
		s.Agent = &agent
	}
	if v := (events.Visitor{ID: r.word("req_contactid"), Name: r.fullName("req_firstname", "req_lastname")}); v.ID != "" || v.Name != "" {
		s.Requester = &v
	}
	closed := !empty(r.fields["server_date_closed"]) || !empty(r.fields["date_closed"])
	s.ClosedAt, _ = takeTime(r.fields, "server_date_closed", r.times)
	s.DueAt, _ = takeTime(r.fields, "server_date_due", r.times)
	if late, ok := length(r.fields["sla"]); ok {
		delete(r.fields, "sla")
		if closed {
			s.SlackS = events.Ptr(0 - late) // not -late, which makes -0 of 0
		}
	}
	return s, nil
}

// rating is a line of the ranking report.
func (r *row) rating() (events.Entity, error) {
	base, err := r.base("")
	if err != nil {
		return nil, err
	}
	v := &events.Rating{Base: base, ConversationID: r.conversation(), Comment: r.text("comment")}
	switch text, _ := scalar(r.fields["rankingType"]); strings.TrimSpace(text) {
	case "W":
		v.Value = "good"
	case "P":
		v.Value = "bad"
	}
	if v.Value != "" {
		delete(r.fields, "rankingType")
	}
	// The vendor names the agent by a contact, not by the userid that is an agent's id elsewhere.
	agent := events.Agent{Name: r.text("agent"), Email: r.word("agentEmail")}
	if contact := r.word("agentcontactid"); contact != "" {
		agent.Attributes = map[string]any{"agentcontactid": contact}
	}
	if agent.Name != "" || agent.Email != "" || agent.Attributes != nil {
		v.Agent = &agent
	}
	if by := (events.Visitor{ID: r.word("contactid"), Name: r.text("requester"), Email: r.word("requesterEmail")}); by.ID != "" || by.Name != "" || by.Email != "" {
		v.Requester = &by
	}
	v.At, _ = takeTime(r.fields, "datecreated", r.times)
	return v, nil
}

// conversation is the canonical id of the conversation that a row names; "" when it names none.
func (r *row) conversation() string {
	id := r.word("conversationid")
	if id == "" {
		return ""
	}
	return events.CanonicalID(r.record.Vendor, r.record.Source, id)
}

func (r *row) fullName(first, last string) string {
	return strings.TrimSpace(r.word(first) + " " + r.word(last))
}

// span is a duration in the document's form; hours may be more than a day's.
var span = regexp.MustCompile(`^(-?)(\d{1,9}):([0-5]\d):([0-5]\d)$`)

// length reads a duration in seconds.
func length(value any) (float64, bool) {
	text, _ := scalar(value)
	m := span.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, false
	}
	total := 0
	for _, digits := range m[2:] {
		n, _ := strconv.Atoi(digits) // the pattern holds whole numbers only
		total = total*60 + n
	}
	if m[1] == "-" {
		total = -total
	}
	return float64(total), true
}
