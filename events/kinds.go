package events

import (
	"strconv"
	"time"
)

// Times are UTC and zero when unknown; durations are seconds. A nil pointer, an empty
// string, list or map means unknown and is left out of the encoding.

// Conversation is one chat, ticket, call or message thread with a visitor.
type Conversation struct {
	Base
	Channel       string         `json:"channel,omitempty"` // chat, ticket, call, email, social, offline_message
	Status        string         `json:"status,omitempty"`  // open, ended, missed, answered, resolved, postponed, spam, deleted, new
	VendorStatus  string         `json:"vendor_status,omitempty"`
	Subject       string         `json:"subject,omitempty"`
	Preview       string         `json:"preview,omitempty"`
	CreatedAt     time.Time      `json:"created_at,omitzero"`
	StartedAt     time.Time      `json:"started_at,omitzero"`
	EndedAt       time.Time      `json:"ended_at,omitzero"`
	UpdatedAt     time.Time      `json:"updated_at,omitzero"`
	DurationS     *float64       `json:"duration_s,omitempty"`
	Visitor       *Visitor       `json:"visitor,omitempty"`
	Agents        []Agent        `json:"agents,omitempty"`
	Department    *Named         `json:"department,omitempty"`
	Groups        []string       `json:"groups,omitempty"`
	Page          *Page          `json:"page,omitempty"`
	Messages      []Message      `json:"messages,omitempty"`
	MessageCount  *int           `json:"message_count,omitempty"`
	Surveys       []Survey       `json:"surveys,omitempty"`
	Rating        *Score         `json:"rating,omitempty"`
	Tags          []string       `json:"tags,omitempty"`
	Goals         []Named        `json:"goals,omitempty"`
	CustomFields  map[string]any `json:"custom_fields,omitempty"`
	TranscriptURL string         `json:"transcript_url,omitempty"`
	Metrics       *Timings       `json:"metrics,omitempty"`
}

// Visitor is the person whom a conversation is with.
type Visitor struct {
	ID           string         `json:"id,omitempty"`
	Name         string         `json:"name,omitempty"`
	Email        string         `json:"email,omitempty"`
	IP           string         `json:"ip,omitempty"`
	City         string         `json:"city,omitempty"`
	Region       string         `json:"region,omitempty"`
	Country      string         `json:"country,omitempty"`
	Organization string         `json:"organization,omitempty"`
	ISP          string         `json:"isp,omitempty"`
	UserAgent    string         `json:"user_agent,omitempty"`
	Timezone     string         `json:"timezone,omitempty"`
	Attributes   map[string]any `json:"attributes,omitempty"`
}

// The roles of an agent in a conversation.
const (
	RoleAgent      = "agent"
	RoleSupervisor = "supervisor"
	RoleOwner      = "owner"
	RoleAssigned   = "assigned"
)

// Agent is one who took part in a conversation for the company.
type Agent struct {
	ID         string         `json:"id,omitempty"`
	Name       string         `json:"name,omitempty"`
	Email      string         `json:"email,omitempty"`
	Role       string         `json:"role,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Named is a thing with an id and a name at the vendor.
type Named struct {
	ID         string         `json:"id,omitempty"`
	Name       string         `json:"name,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Page is where a conversation began.
type Page struct {
	URL            string `json:"url,omitempty"`
	Host           string `json:"host,omitempty"`
	Domain         string `json:"domain,omitempty"` // the part of the host that one can register
	Path           string `json:"path,omitempty"`
	Referrer       string `json:"referrer,omitempty"`
	ReferrerHost   string `json:"referrer_host,omitempty"`
	ReferrerDomain string `json:"referrer_domain,omitempty"`
	Keywords       string `json:"keywords,omitempty"`
	UTM            *UTM   `json:"utm,omitempty"`
}

// UTM holds the campaign parameters of a page's URL.
type UTM struct {
	Source   string `json:"source,omitempty"`
	Medium   string `json:"medium,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Term     string `json:"term,omitempty"`
	Content  string `json:"content,omitempty"`
}

// The types of a message's author.
const (
	AuthorVisitor    = "visitor"
	AuthorAgent      = "agent"
	AuthorSupervisor = "supervisor"
	AuthorSystem     = "system"
)

// Message is one line of a conversation, in the vendor's order.
type Message struct {
	ID         string         `json:"id,omitempty"`
	At         time.Time      `json:"at,omitzero"`
	Author     *Author        `json:"author,omitempty"`
	Type       string         `json:"type,omitempty"`
	VendorType string         `json:"vendor_type,omitempty"`
	Text       string         `json:"text,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Author is who wrote a message.
type Author struct {
	Type  string `json:"type,omitempty"`
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// Survey holds the answers that a visitor gave on entry or exit.
type Survey struct {
	Context   string     `json:"context"` // entry, exit
	Responses []Response `json:"responses"`
}

// Response is one answer of a survey.
type Response struct {
	ID       string `json:"id,omitempty"`
	Question string `json:"question,omitempty"`
	Answer   string `json:"answer,omitempty"`
}

// Score is a visitor's verdict on a conversation.
type Score struct {
	Value   string   `json:"value,omitempty"` // good, bad, unrated
	Score   *float64 `json:"score,omitempty"`
	Comment string   `json:"comment,omitempty"`
}

// Timings are the figures of a conversation, in seconds, characters and messages.
type Timings struct {
	FirstResponseS  *float64 `json:"first_response_s,omitempty"`
	AvgResponseS    *float64 `json:"avg_response_s,omitempty"`
	MaxResponseS    *float64 `json:"max_response_s,omitempty"`
	FirstReplyS     *float64 `json:"first_reply_s,omitempty"`
	DecisionS       *float64 `json:"decision_s,omitempty"`
	AvgMessageChars *float64 `json:"avg_message_chars,omitempty"`
	MaxMessageChars *float64 `json:"max_message_chars,omitempty"`
	VisitorMessages *int     `json:"visitor_messages,omitempty"`
	AgentMessages   *int     `json:"agent_messages,omitempty"`
	Derived         []string `json:"derived,omitempty"`
}

// Kind implements Entity.
func (*Conversation) Kind() Kind { return KindConversation }

// OccurredAt implements Entity.
func (c *Conversation) OccurredAt() time.Time {
	return firstTime(c.UpdatedAt, c.EndedAt, c.StartedAt, c.CreatedAt)
}

// Version implements Entity.
func (c *Conversation) Version() time.Time { return c.UpdatedAt }

// Conversation implements Entity.
func (c *Conversation) Conversation() string { return c.ID }

// Metric is one bucket of a vendor's report for one set of dimensions.
type Metric struct {
	Base
	Report     string             `json:"report"`
	Interval   *Interval          `json:"interval,omitempty"`
	Dimensions map[string]string  `json:"dimensions,omitempty"`
	Measures   map[string]float64 `json:"measures"`
}

// Interval is the time that a metric covers, half-open.
type Interval struct {
	Start    time.Time `json:"start,omitzero"`
	End      time.Time `json:"end,omitzero"`
	Grain    string    `json:"grain"` // hour, day, day-hours, week, month, year, session, window, snapshot
	Timezone string    `json:"timezone,omitempty"`
}

// Kind implements Entity.
func (*Metric) Kind() Kind { return KindMetric }

// OccurredAt implements Entity.
func (m *Metric) OccurredAt() time.Time {
	if m.Interval == nil {
		return time.Time{}
	}
	return m.Interval.Start
}

// Version implements Entity.
func (*Metric) Version() time.Time { return time.Time{} }

// Conversation implements Entity.
func (*Metric) Conversation() string { return "" }

// Activity is an interval or change of an agent's state.
type Activity struct {
	Base
	Agent     *Named             `json:"agent,omitempty"`
	Account   *Named             `json:"account,omitempty"`
	State     string             `json:"state,omitempty"`
	Action    string             `json:"action,omitempty"`
	StartedAt time.Time          `json:"started_at,omitzero"`
	EndedAt   time.Time          `json:"ended_at,omitzero"`
	DurationS *float64           `json:"duration_s,omitempty"`
	SlotsUsed *int               `json:"slots_used,omitempty"`
	SlotsMax  *int               `json:"slots_max,omitempty"`
	SessionID string             `json:"session_id,omitempty"`
	Measures  map[string]float64 `json:"measures,omitempty"`
}

// Kind implements Entity.
func (*Activity) Kind() Kind { return KindActivity }

// OccurredAt implements Entity.
func (a *Activity) OccurredAt() time.Time { return firstTime(a.EndedAt, a.StartedAt) }

// Version implements Entity.
func (*Activity) Version() time.Time { return time.Time{} }

// Conversation implements Entity.
func (*Activity) Conversation() string { return "" }

// Presence is a snapshot of who or what is online.
type Presence struct {
	Base
	Of       string             `json:"of"` // agent, department
	Name     string             `json:"name,omitempty"`
	Online   []string           `json:"online,omitempty"`
	Preset   []string           `json:"preset,omitempty"`
	Measures map[string]float64 `json:"measures,omitempty"`
}

// Kind implements Entity.
func (*Presence) Kind() Kind { return KindPresence }

// OccurredAt implements Entity.
func (*Presence) OccurredAt() time.Time { return time.Time{} }

// Version implements Entity.
func (*Presence) Version() time.Time { return time.Time{} }

// Conversation implements Entity.
func (*Presence) Conversation() string { return "" }

// Rating is one verdict on an agent, where the vendor lists them apart from conversations.
type Rating struct {
	Base
	ConversationID string    `json:"conversation_id,omitempty"`
	Agent          *Agent    `json:"agent,omitempty"`
	Requester      *Visitor  `json:"requester,omitempty"`
	Value          string    `json:"value,omitempty"` // good, bad
	Comment        string    `json:"comment,omitempty"`
	At             time.Time `json:"at,omitzero"`
}

// Kind implements Entity.
func (*Rating) Kind() Kind { return KindRating }

// OccurredAt implements Entity.
func (r *Rating) OccurredAt() time.Time { return r.At }

// Version implements Entity.
func (*Rating) Version() time.Time { return time.Time{} }

// Conversation implements Entity.
func (r *Rating) Conversation() string { return r.ConversationID }

// SLA is one line of a service-level log.
type SLA struct {
	Base
	ConversationID string    `json:"conversation_id,omitempty"`
	Level          *Named    `json:"level,omitempty"`
	Agent          *Agent    `json:"agent,omitempty"`
	Requester      *Visitor  `json:"requester,omitempty"`
	CreatedAt      time.Time `json:"created_at,omitzero"`
	ClosedAt       time.Time `json:"closed_at,omitzero"`
	DueAt          time.Time `json:"due_at,omitzero"`
	SlackS         *float64  `json:"slack_s,omitempty"`
}

// Kind implements Entity.
func (*SLA) Kind() Kind { return KindSLA }

// OccurredAt implements Entity.
func (s *SLA) OccurredAt() time.Time { return firstTime(s.ClosedAt, s.CreatedAt, s.DueAt) }

// Version implements Entity.
func (*SLA) Version() time.Time { return time.Time{} }

// Conversation implements Entity.
func (s *SLA) Conversation() string { return s.ConversationID }

// Email is one e-mail that the vendor sent, such as a transcript.
type Email struct {
	Base
	From           string    `json:"from,omitempty"`
	To             string    `json:"to,omitempty"`
	Bcc            string    `json:"bcc,omitempty"`
	Subject        string    `json:"subject,omitempty"`
	At             time.Time `json:"at,omitzero"`
	Agent          *Named    `json:"agent,omitempty"`
	ConversationID string    `json:"conversation_id,omitempty"`
}

// Kind implements Entity.
func (*Email) Kind() Kind { return KindEmail }

// OccurredAt implements Entity.
func (e *Email) OccurredAt() time.Time { return e.At }

// Version implements Entity.
func (*Email) Version() time.Time { return time.Time{} }

// Conversation implements Entity.
func (e *Email) Conversation() string { return e.ConversationID }

// SingleMessage is one message of a conversation as an entity of its own, for subscribers that work on messages. It says nothing that
// the conversation's event does not say.
type SingleMessage struct {
	Base
	ConversationID string    `json:"conversation_id,omitempty"`
	MessageID      string    `json:"message_id,omitempty"` // the vendor's own
	At             time.Time `json:"at,omitzero"`
	Author         *Author   `json:"author,omitempty"`
	Type           string    `json:"type,omitempty"`
	VendorType     string    `json:"vendor_type,omitempty"`
	Text           string    `json:"text,omitempty"`
}

// Single gives each message of a conversation as an entity, in their order. Its vendor_id is <conversation>/<id of the message>, or where
// the vendor gives none, or gives it twice, <conversation>/#<position, from 0>.
func (c *Conversation) Single() []SingleMessage {
	single := make([]SingleMessage, len(c.Messages))
	taken := make(map[string]bool, len(c.Messages))
	for i := range c.Messages {
		m := &c.Messages[i]
		id := m.ID
		if id == "" || taken[id] {
			id = "#" + strconv.Itoa(i)
		}
		for taken[id] {
			id += "#" // a vendor's id may look like a position
		}
		taken[id] = true
		key := c.VendorID + "/" + id
		single[i] = SingleMessage{
			Base: Base{
				ID: CanonicalID(c.Vendor, c.Source, key), Vendor: c.Vendor, Source: c.Source, VendorID: key, Attributes: m.Attributes,
			},
			ConversationID: c.ID, MessageID: m.ID, At: m.At, Author: m.Author, Type: m.Type, VendorType: m.VendorType, Text: m.Text,
		}
	}
	return single
}

// Kind implements Entity.
func (*SingleMessage) Kind() Kind { return KindMessage }

// OccurredAt implements Entity.
func (m *SingleMessage) OccurredAt() time.Time { return m.At }

// Version implements Entity.
func (*SingleMessage) Version() time.Time { return time.Time{} }

// Conversation implements Entity.
func (m *SingleMessage) Conversation() string { return m.ConversationID }
