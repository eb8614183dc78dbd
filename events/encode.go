package events

import (
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// appendConversation gives what encoding/json writes of a conversation, several times as fast. False says that encoding/json has to be
// asked: it knows what to say of a value that JSON does not have.
func appendConversation(dst []byte, c *Conversation) (content []byte, ok bool) {
	o := objects{dst: dst}
	o.object(c.fields)
	return o.dst, !o.failed
}

// sizeOf is about how long a conversation's JSON is.
func sizeOf(c *Conversation) int {
	size := 1536
	for i := range c.Messages {
		size += 160 + len(c.Messages[i].Text) + len(c.Messages[i].Text)/16
	}
	return size
}

func (c *Conversation) fields(o *objects) {
	o.always("id", c.ID)
	o.always("vendor", c.Vendor)
	o.always("source", c.Source)
	o.always("vendor_id", c.VendorID)
	o.values("attributes", c.Attributes)
	o.text("channel", c.Channel)
	o.text("status", c.Status)
	o.text("vendor_status", c.VendorStatus)
	o.text("subject", c.Subject)
	o.text("preview", c.Preview)
	o.time("created_at", c.CreatedAt)
	o.time("started_at", c.StartedAt)
	o.time("ended_at", c.EndedAt)
	o.time("updated_at", c.UpdatedAt)
	o.float("duration_s", c.DurationS)
	optional(o, "visitor", c.Visitor, (*Visitor).fields)
	list(o, "agents", c.Agents, (*Agent).fields)
	optional(o, "department", c.Department, (*Named).fields)
	o.texts("groups", c.Groups)
	optional(o, "page", c.Page, (*Page).fields)
	list(o, "messages", c.Messages, (*Message).fields)
	o.int("message_count", c.MessageCount)
	list(o, "surveys", c.Surveys, (*Survey).fields)
	optional(o, "rating", c.Rating, (*Score).fields)
	o.texts("tags", c.Tags)
	list(o, "goals", c.Goals, (*Named).fields)
	o.values("custom_fields", c.CustomFields)
	o.text("transcript_url", c.TranscriptURL)
	optional(o, "metrics", c.Metrics, (*Timings).fields)
}

func (v *Visitor) fields(o *objects) {
	o.text("id", v.ID)
	o.text("name", v.Name)
	o.text("email", v.Email)
	o.text("ip", v.IP)
	o.text("city", v.City)
	o.text("region", v.Region)
	o.text("country", v.Country)
	o.text("organization", v.Organization)
	o.text("isp", v.ISP)
	o.text("user_agent", v.UserAgent)
	o.text("timezone", v.Timezone)
	o.values("attributes", v.Attributes)
}

func (a *Agent) fields(o *objects) {
	o.text("id", a.ID)
	o.text("name", a.Name)
	o.text("email", a.Email)
	o.text("role", a.Role)
	o.values("attributes", a.Attributes)
}

func (n *Named) fields(o *objects) {
	o.text("id", n.ID)
	o.text("name", n.Name)
	o.values("attributes", n.Attributes)
}

func (p *Page) fields(o *objects) {
	o.text("url", p.URL)
	o.text("host", p.Host)
	o.text("domain", p.Domain)
	o.text("path", p.Path)
	o.text("referrer", p.Referrer)
	o.text("referrer_host", p.ReferrerHost)
	o.text("referrer_domain", p.ReferrerDomain)
	o.text("keywords", p.Keywords)
	optional(o, "utm", p.UTM, (*UTM).fields)
}

func (u *UTM) fields(o *objects) {
	o.text("source", u.Source)
	o.text("medium", u.Medium)
	o.text("campaign", u.Campaign)
	o.text("term", u.Term)
	o.text("content", u.Content)
}

func (m *Message) fields(o *objects) {
	o.text("id", m.ID)
	o.time("at", m.At)
	optional(o, "author", m.Author, (*Author).fields)
	o.text("type", m.Type)
	o.text("vendor_type", m.VendorType)
	o.text("text", m.Text)
	o.values("attributes", m.Attributes)
}

func (a *Author) fields(o *objects) {
	o.text("type", a.Type)
	o.text("id", a.ID)
	o.text("name", a.Name)
	o.text("email", a.Email)
}

func (s *Survey) fields(o *objects) {
	o.always("context", s.Context)
	if len(s.Responses) > 0 {
		list(o, "responses", s.Responses, (*Response).fields)
		return
	}
	o.name("responses")
	if s.Responses == nil {
		o.dst = append(o.dst, "null"...)
	} else {
		o.dst = append(o.dst, "[]"...)
	}
}

func (r *Response) fields(o *objects) {
	o.text("id", r.ID)
	o.text("question", r.Question)
	o.text("answer", r.Answer)
}

func (s *Score) fields(o *objects) {
	o.text("value", s.Value)
	o.float("score", s.Score)
	o.text("comment", s.Comment)
}

func (t *Timings) fields(o *objects) {
	o.float("first_response_s", t.FirstResponseS)
	o.float("avg_response_s", t.AvgResponseS)
	o.float("max_response_s", t.MaxResponseS)
	o.float("first_reply_s", t.FirstReplyS)
	o.float("decision_s", t.DecisionS)
	o.float("avg_message_chars", t.AvgMessageChars)
	o.float("max_message_chars", t.MaxMessageChars)
	o.int("visitor_messages", t.VisitorMessages)
	o.int("agent_messages", t.AgentMessages)
	o.texts("derived", t.Derived)
}

// objects writes JSON objects, one in the other. A member whose value is empty is left out, but for those that are always there.
type objects struct {
	dst    []byte
	begun  bool // the object that is open has a member
	failed bool
}

// object writes one whose members fields writes.
func (o *objects) object(fields func(*objects)) {
	outer := o.begun
	o.dst, o.begun = append(o.dst, '{'), false
	fields(o)
	o.dst, o.begun = append(o.dst, '}'), outer
}

func (o *objects) name(name string) {
	if o.begun {
		o.dst = append(o.dst, ',')
	}
	o.begun = true
	o.dst = append(append(append(o.dst, '"'), name...), '"', ':')
}

func (o *objects) always(name, text string) {
	o.name(name)
	o.dst = appendString(o.dst, text)
}

func (o *objects) text(name, text string) {
	if text != "" {
		o.always(name, text)
	}
}

func (o *objects) texts(name string, texts []string) {
	if len(texts) == 0 {
		return
	}
	o.name(name)
	for i, text := range texts {
		o.dst = appendString(append(o.dst, separator(i)), text)
	}
	o.dst = append(o.dst, ']')
}

// separator stands before the i-th item of an array.
func separator(i int) byte {
	if i == 0 {
		return '['
	}
	return ','
}

func (o *objects) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	o.name(name)
	text, err := t.AppendText(append(o.dst, '"'))
	o.dst, o.failed = append(text, '"'), o.failed || err != nil
}

func (o *objects) int(name string, n *int) {
	if n != nil {
		o.name(name)
		o.dst = strconv.AppendInt(o.dst, int64(*n), 10)
	}
}

func (o *objects) float(name string, f *float64) {
	if f == nil {
		return
	}
	o.name(name)
	// encoding/json writes others with an exponent, and refuses some.
	if abs := math.Abs(*f); abs == 0 || abs >= 1e-6 && abs < 1e21 {
		o.dst = strconv.AppendFloat(o.dst, *f, 'f', -1, 64)
		return
	}
	o.encode(*f)
}

// encode leaves a value to encoding/json.
func (o *objects) encode(v any) {
	text, err := encodeJSON(v)
	o.dst, o.failed = append(o.dst, text...), o.failed || err != nil
}

func (o *objects) values(name string, values map[string]any) {
	if len(values) > 0 {
		o.name(name)
		o.members(values, 0)
	}
}

// maxValueDepth is how deep values may lie in each other before encoding/json is asked, which finds circles.
const maxValueDepth = 500

func (o *objects) members(values map[string]any, depth int) {
	names := make([]string, 0, 8)
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		o.dst = append(appendString(append(o.dst, sep), name), ':')
		o.value(values[name], depth)
	}
	if len(names) == 0 {
		o.dst = append(o.dst, '{')
	}
	o.dst = append(o.dst, '}')
}

func (o *objects) value(value any, depth int) {
	if depth > maxValueDepth {
		o.failed = true
		return
	}
	switch v := value.(type) {
	case string:
		o.dst = appendString(o.dst, v)
	case map[string]any:
		if v == nil {
			o.dst = append(o.dst, "null"...)
			return
		}
		o.members(v, depth+1)
	case []any:
		if len(v) == 0 {
			o.encode(v) // null or []
			return
		}
		for i, item := range v {
			o.dst = append(o.dst, separator(i))
			o.value(item, depth+1)
		}
		o.dst = append(o.dst, ']')
	case bool:
		o.dst = strconv.AppendBool(o.dst, v)
	default:
		o.encode(v)
	}
}

func optional[T any](o *objects, name string, value *T, fields func(*T, *objects)) {
	if value != nil {
		o.name(name)
		nested(o, value, fields)
	}
}

func list[T any](o *objects, name string, values []T, fields func(*T, *objects)) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	for i := range values {
		o.dst = append(o.dst, separator(i))
		nested(o, &values[i], fields)
	}
	o.dst = append(o.dst, ']')
}

func nested[T any](o *objects, value *T, fields func(*T, *objects)) {
	o.object(func(o *objects) { fields(value, o) })
}

// appendString appends a JSON string as encoding/json writes it, HTML characters as they are. U+2028 and U+2029, which some readers take
// for line ends, are escaped, and so is what is no UTF-8: as U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			switch r {
			case utf8.RuneError:
				dst = append(dst, `\ufffd`...)
			default:
				dst = append(dst, `\u202`...)
				dst = append(dst, byte('8'+r-'\u2028'))
			}
			i += size
			start = i
			continue
		}
		dst = appendEscape(append(dst, s[start:i]...), c)
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendEscape escapes a character of ASCII.
func appendEscape(dst []byte, c byte) []byte {
	const lowerHex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	default:
		return append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
	}
}
