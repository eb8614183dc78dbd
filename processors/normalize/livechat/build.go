package livechat

import (
	"reflect"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
)

// The documented types of chats.
const (
	typeChat   = "chat"
	typeMissed = "missed_chat"
)

// builder fills a conversation from a chat, taking out of it what has found its place.
type builder struct {
	record   *events.Record
	c        *events.Conversation
	location *time.Location  // of the record, once it was needed
	emails   map[string]bool // of the agents and supervisors
}

func (b *builder) build(chat object) {
	b.status(chat)
	b.times(chat)
	b.c.DurationS = chat.number("duration")
	b.visitor(chat)
	b.agents(chat, "agents", events.RoleAgent)
	b.agents(chat, "supervisors", events.RoleSupervisor)
	b.groups(chat)
	b.survey(chat, "prechat_survey", "entry")
	b.survey(chat, "postchat_survey", "exit")
	b.rating(chat)
	b.goals(chat)
	b.tags(chat)
	b.variables(chat)
	b.page(chat)
	b.messages(chat)
	b.missedMessage(chat)
}

func (b *builder) status(chat object) {
	b.c.VendorStatus = chat.text("type")
	switch b.c.VendorStatus {
	case typeChat:
		b.c.Status = "ended"
	case typeMissed:
		b.c.Status = "missed"
	}
	if chat["pending"] == true {
		b.c.Status = "open"
	}
}

func (b *builder) times(chat object) {
	b.c.StartedAt = b.time(chat, "started_timestamp", "started")
	b.c.EndedAt = b.time(chat, "ended_timestamp", "ended")
	if b.c.StartedAt.IsZero() { // a missed chat has one time
		if b.c.StartedAt = chat.epoch("time"); b.c.StartedAt.IsZero() {
			b.c.StartedAt = b.time(chat, "", "time")
		}
	}
}

// time reads the epoch member, or else the string, which stays in any case: it may contradict the epoch,
// and shows what was ambiguous.
func (b *builder) time(o object, epoch, printed string) time.Time {
	if t := o.epoch(epoch); !t.IsZero() {
		return t
	}
	text, _ := o[printed].(string)
	return parseTime(text, b.zone)
}

// zone is the record's; nil when it names none.
func (b *builder) zone() *time.Location {
	if b.location == nil && b.record.Timezone != "" {
		if loc, err := time.LoadLocation(b.record.Timezone); err == nil {
			b.location = loc
		}
	}
	return b.location
}

// visitor takes the flat members and those of the nested object, which wins: a flat one that differs stays.
func (b *builder) visitor(chat object) {
	v := &events.Visitor{}
	if nested, ok := chat["visitor"].(map[string]any); ok {
		delete(chat, "visitor")
		o := object(nested)
		v.ID, v.Name, v.Email, v.IP = o.text("id"), o.text("name"), o.text("email"), o.text("ip")
		v.City, v.Region, v.Country = o.text("city"), o.text("region"), o.text("country")
		v.Organization, v.ISP = o.text("organization"), o.text("isp")
		v.UserAgent, v.Timezone = o.text("user_agent"), o.text("timezone")
		v.Attributes = o.rest()
	}
	fill(chat, "visitor_id", &v.ID)
	fill(chat, "visitor_name", &v.Name)
	fill(chat, "visitor_email", &v.Email)
	fill(chat, "visitor_ip", &v.IP)
	if b.c.VendorStatus == typeMissed {
		fill(chat, "email", &v.Email)
	}
	if !reflect.ValueOf(*v).IsZero() {
		b.c.Visitor = v
	}
}

// fill takes a member into a field that is empty or has the same value; another value stays.
func fill(o object, name string, field *string) {
	value, ok := textOf(o[name])
	if ok && (*field == "" || *field == value) {
		*field = value
		delete(o, name)
	}
}

func (b *builder) agents(chat object, name, role string) {
	chat.list(name, func(element any) bool {
		members, ok := element.(map[string]any)
		if !ok {
			return false
		}
		o := object(members)
		a := events.Agent{Name: o.text("display_name"), Email: o.text("email"), Role: role, Attributes: o.rest()}
		b.c.Agents = append(b.c.Agents, a)
		b.emails[a.Email] = true
		return true
	})
}

func (b *builder) groups(chat object) {
	if id, ok := textOf(chat["group"]); ok {
		chat["group"] = []any{id}
	}
	chat.list("group", texts(&b.c.Groups))
}

func (b *builder) tags(chat object) { chat.list("tags", texts(&b.c.Tags)) }

// texts collects the strings and numbers of a list.
func texts(into *[]string) func(any) bool {
	return func(element any) bool {
		s, ok := textOf(element)
		if ok && s != "" {
			*into = append(*into, s)
		}
		return ok
	}
}

func (b *builder) survey(chat object, name, context string) {
	var responses []events.Response
	chat.objects(name, func(o object) bool {
		r := events.Response{ID: o.text("id"), Question: o.text("key"), Answer: o.text("value")}
		if r != (events.Response{}) {
			responses = append(responses, r)
		}
		return true
	})
	if len(responses) > 0 {
		b.c.Surveys = append(b.c.Surveys, events.Survey{Context: context, Responses: responses})
	}
}

func (b *builder) rating(chat object) {
	rate, _ := chat["rate"].(string)
	value := map[string]string{"rated_good": "good", "rated_bad": "bad", "not_rated": "unrated"}[rate]
	if value != "" {
		b.c.Rating = &events.Score{Value: value}
		delete(chat, "rate")
	}
}

func (b *builder) goals(chat object) {
	chat.list("goals", func(element any) bool {
		members, ok := element.(map[string]any)
		if !ok {
			return false
		}
		o := object(members)
		b.c.Goals = append(b.c.Goals, events.Named{ID: o.text("id"), Name: o.text("name"), Attributes: o.rest()})
		return true
	})
}

// variables makes a list of the values of a name that comes more than once. One without a name or a
// value says nothing canonical, and stays.
func (b *builder) variables(chat object) {
	values := map[string][]any{}
	chat.objects("custom_variables", func(o object) bool {
		name, value := o.text("key"), o["value"]
		if name == "" || value == nil || value == "" {
			return false
		}
		delete(o, "value")
		values[name] = append(values[name], value)
		return true
	})
	for name, all := range values {
		if b.c.CustomFields == nil {
			b.c.CustomFields = make(map[string]any, len(values))
		}
		if b.c.CustomFields[name] = any(all); len(all) == 1 {
			b.c.CustomFields[name] = all[0]
		}
	}
}

func (b *builder) page(chat object) {
	p := events.Page{URL: strings.TrimSpace(chat.text("chat_start_url")), Referrer: strings.TrimSpace(chat.text("referrer"))}
	if p != (events.Page{}) {
		b.c.Page = &p
	}
}
