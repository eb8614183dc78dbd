package liveagent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
)

// defaultZone is the document's, for a record without a zone.
const defaultZone = "America/Los_Angeles"

// Normalize implements processors.Normalizer.
func Normalize(record *events.Record) (events.Entity, error) {
	if d, is := directories[record.Stream]; is {
		return d.normalize(record)
	}
	if isReport(record.Stream) {
		return normalizeReport(record)
	}
	if record.Stream != "conversations" {
		return nil, fmt.Errorf("stream %q is unknown", record.Stream)
	}
	return conversation(record)
}

func conversation(record *events.Record) (events.Entity, error) {
	zone, err := zoneOf(record)
	if err != nil {
		return nil, err
	}
	parts, err := readParts(record)
	if err != nil {
		return nil, err
	}
	c := &events.Conversation{Base: events.NewBase(record)}
	parts.fill(c, moments{zone})
	return c, nil
}

func zoneOf(record *events.Record) (*time.Location, error) {
	name := record.Timezone
	if name == "" {
		name = defaultZone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone of the record: %w", err)
	}
	return zone, nil
}

// parts are a record's, decoded; nil where there is none.
type parts struct {
	row, detail, messages, tags fields
	// beside holds the members beside a document's response, by part.
	beside                      map[string]tree
	invalidUTF8, invalidXMLChar bool
}

func readParts(record *events.Record) (*parts, error) {
	if body, large := record.Oversize(); large {
		return nil, fmt.Errorf("a part is too large to keep: %d bytes", body.Size)
	}
	p := &parts{beside: map[string]tree{}}
	for i := range record.Parts {
		part := &record.Parts[i]
		if err := p.read(part); err != nil {
			return nil, fmt.Errorf("part %q: %w", part.Name, err)
		}
	}
	if p.row == nil {
		return nil, errors.New(`part "" is missing`)
	}
	return p, p.checkIDs(record.Key)
}

func (p *parts) read(part *events.Part) error {
	d, err := decode(part)
	if err != nil {
		return err
	}
	p.invalidUTF8 = p.invalidUTF8 || d.invalidUTF8
	p.invalidXMLChar = p.invalidXMLChar || d.invalidXMLChar
	if part.Name == "" {
		p.row = d.content
		return nil
	}
	into := map[string]*fields{"detail": &p.detail, "messages": &p.messages, "tags": &p.tags}[part.Name]
	if into == nil {
		return errors.New("is unknown")
	}
	inner, err := d.response()
	if err != nil {
		return err
	}
	*into = inner
	delete(d.content, "response")
	p.beside[part.Name] = d.content
	return nil
}

// checkIDs holds the row and the detail to the record's key.
func (p *parts) checkIDs(key string) error {
	id := p.row.word("conversationid")
	if id == "" {
		return errors.New("conversationid is missing")
	}
	if id != key {
		return fmt.Errorf("conversationid is %q, the record's key %q", id, key)
	}
	if p.detail != nil {
		if id := p.detail.word("conversationid"); id != key {
			return fmt.Errorf("conversationid of the detail is %q, the record's key %q", id, key)
		}
	}
	return nil
}

// fill sets everything of the conversation but its base.
func (p *parts) fill(c *events.Conversation, times moments) {
	groups, otherGroups := readGroups(p.messages, times)
	tags, otherTags := p.tags.objects("tags")
	info := p.info()
	assigned := info.word("assignedto")
	who := castOf(assigned, groups)
	addMessages(c, groups, who)
	addTags(c, tags)
	addRating(c)
	addAgents(c, assigned)
	addInfo(c, info, times)
	addVisitor(c, info, who.visitor)
	addChannel(c, groups)
	addCustomFields(c, info)
	rest := leftovers{&c.Base}
	rest.add("conversation", tree(info))
	rest.add("messages", tree(p.messages))
	rest.add("tags", tree(p.tags))
	rest.list("messages", "groups", otherGroups)
	rest.list("tags", "tags", otherTags)
	for _, name := range []string{"detail", "messages", "tags"} {
		rest.add(name, p.beside[name])
	}
	rest.flag("invalid_utf8", p.invalidUTF8)
	rest.flag("invalid_xml_characters", p.invalidXMLChar)
}

// info gives the detail's members, and those of the row that it lacks.
func (p *parts) info() fields {
	info := fields{}
	for _, part := range []fields{p.row, p.detail} {
		for name, value := range part {
			if _, given := info[name]; !given || !empty(value) {
				info[name] = value
			}
		}
	}
	return info
}

func addInfo(c *events.Conversation, info fields, times moments) {
	c.VendorStatus = info.word("status")
	c.Status = statusOf(c.VendorStatus)
	c.Subject, c.Preview = info.text("subject"), info.text("preview")
	c.CreatedAt, _ = takeTime(info, "datecreated", times)
	c.UpdatedAt, _ = takeTime(info, "datechanged", times)
	if d := (events.Named{ID: info.word("departmentid"), Name: info.text("departmentname")}); d.ID != "" || d.Name != "" {
		c.Department = &d
	}
}

func addVisitor(c *events.Conversation, info fields, userid string) {
	v := events.Visitor{ID: userid, Name: info.text("ownername"), Email: info.word("owneremail")}
	if v.ID != "" || v.Name != "" || v.Email != "" {
		c.Visitor = &v
	}
}

// identified is an agent by the document's identifier, which is a userid or an e-mail address.
func identified(identifier, role string) events.Agent {
	if strings.Contains(identifier, "@") {
		return events.Agent{Email: identifier, Role: role}
	}
	return events.Agent{ID: identifier, Role: role}
}

func addChannel(c *events.Conversation, groups []group) {
	if first := earliest(groups, func(g *group) bool { return g.rtype != "" }); first != nil {
		c.Channel = channelOf(first.rtype)
		return
	}
	switch c.VendorStatus {
	case "P":
		c.Channel = "call"
	case "T":
		c.Channel = "chat"
	}
}

func addTags(c *events.Conversation, tags []fields) {
	var described []any
	for _, t := range tags {
		described = append(described, filled(t))
		if name := t.word("name"); name != "" {
			c.Tags = append(c.Tags, name)
		}
	}
	if len(described) > 0 {
		c.Set("tags", described)
	}
}

// filled copies what is not empty.
func filled(object fields) map[string]any {
	out := map[string]any{}
	for name, value := range object {
		if !empty(value) {
			out[name] = value
		}
	}
	return out
}

// addCustomFields sets the values by code.
func addCustomFields(c *events.Conversation, info fields) {
	values, odd := customFields(info)
	if len(values) > 0 {
		c.CustomFields = values
	}
	if len(odd) > 0 {
		c.Set("customfields", odd)
	}
}

// customFields takes the values out by code; a code that is there several times has a list. What has no
// code or more than code and value is odd, whole.
func customFields(info fields) (byCode map[string]any, odd []any) {
	objects, odd := info.objects("customfields")
	values := map[string][]any{}
	for _, o := range objects {
		whole := filled(o)
		code, value := o.word("code"), o.text("value")
		if code == "" || value == "" || len(filled(o)) > 0 {
			if len(whole) > 0 {
				odd = append(odd, whole)
			}
		}
		if code != "" && value != "" {
			values[code] = append(values[code], value)
		}
	}
	byCode = map[string]any{}
	for code, all := range values {
		byCode[code] = any(all)
		if len(all) == 1 {
			byCode[code] = all[0]
		}
	}
	return byCode, odd
}
