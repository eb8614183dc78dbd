package liveagentsim

import (
	"fmt"
	"strings"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// department is one of the account's; the last was deleted, its conversations were not.
type department struct{ id, name, description, online, preset, deleted string }

func departments() []department {
	return []department{
		{"dp01sale", "Sales", "Questions before an order", "TM", "TPM", "N"},
		{"dp02help", "Help & Returns", "Questions after an order", "M", "TM", "N"},
		{"dp03gone", "Night shift", "", "", "", "Y"},
	}
}

func (d department) object() object {
	return object{
		{"departmentid", d.id},
		{"name", d.name},
		{"description", text(d.description)},
		{"onlinestatus", text(d.online)},
		{"presetstatus", text(d.preset)},
		{"deleted", d.deleted},
	}
}

func conversationID(c *simulated.Chat) string { return fmt.Sprintf("cv%06d", c.Number) }

// code is the conversation's name for people, such as QAC-BRD-041.
func code(c *simulated.Chat) string {
	n := c.Number
	letter := func(by int) byte { return "ABCDEFGHJK"[n/by%10] }
	return fmt.Sprintf("Q%c%c-B%c%c-%03d", letter(1), letter(10), letter(100), letter(1000), n*7%1000)
}

func publicURLCode(c *simulated.Chat) string {
	return fmt.Sprintf("pU%sx%06d", c.Visitor.ID[:7], c.Number)
}

// lacksID says that the list shows this malformed chat without its id; of the
// other malformed ones the detail cannot be decoded.
func lacksID(c *simulated.Chat) bool { return c.Malformed && c.Number%2 == 1 }

func status(c *simulated.Chat) string {
	switch {
	case c.Missed:
		return "N"
	case c.Number%3 == 0:
		return "A"
	default:
		return "R"
	}
}

func subject(c *simulated.Chat) string { return fmt.Sprintf("Chat with %s", c.Visitor.Name) }

func preview(c *simulated.Chat) string {
	return strings.Join(strings.Fields(c.Messages[0].Text), " ")
}

// local writes a time as the document's datetime.
func (s *Sim) local(t time.Time) string { return t.In(s.zone).Format(time.DateTime) }

// row is the conversation in a list.
func (s *Sim) row(c seen) object {
	d := departments()[c.Department]
	row := object{
		{"conversationid", conversationID(c.Chat)},
		{"code", code(c.Chat)},
		{"datecreated", c.created},
		{"datechanged", c.changed},
		{"departmentname", d.name},
		{"departmentid", d.id},
		{"status", status(c.Chat)},
		{"ownername", c.Visitor.Name},
		{"owneremail", c.Visitor.Email},
		{"subject", subject(c.Chat)},
		{"preview", preview(c.Chat)},
		{"publicurlcode", publicURLCode(c.Chat)},
	}
	if lacksID(c.Chat) {
		return row[1:]
	}
	return row
}

// detail is the conversation by itself.
func (s *Sim) detail(c seen) object {
	d := departments()[c.Department]
	var shown any = subject(c.Chat)
	if c.Malformed {
		shown = broken(subject(c.Chat))
	}
	assigned := ""
	if n := len(c.Agents); n > 0 {
		assigned = c.Agents[n-1].ID
	}
	return object{
		{"conversationid", conversationID(c.Chat)},
		{"code", code(c.Chat)},
		{"datecreated", c.created},
		{"datechanged", c.changed},
		{"departmentname", d.name},
		{"departmentid", d.id},
		{"status", status(c.Chat)},
		{"ownername", c.Visitor.Name},
		{"owneremail", c.Visitor.Email},
		{"subject", shown},
		{"ownernote", text(ownerNote(c.Chat))},
		{"preview", preview(c.Chat)},
		{"publicurlcode", publicURLCode(c.Chat)},
		{"assignedto", text(assigned)},
		{"customfields", customFields(c.Chat)},
	}
}

func ownerNote(c *simulated.Chat) string {
	if c.Number%4 > 0 {
		return ""
	}
	return "Calls from " + c.Visitor.City + ", works at " + c.Visitor.Org
}

// customFields has a field that may be there twice, as the document allows.
func customFields(c *simulated.Chat) list {
	field := func(code, value string) object { return object{{"code", code}, {"value", text(value)}} }
	fields := list{item: "customfield", items: []object{field("customer_no", fmt.Sprint(c.CustomerNo)), field("page", c.PageURL)}}
	for i := range c.Number % 3 {
		fields.items = append(fields.items, field("order_no", fmt.Sprint(c.CustomerNo*10+i)))
	}
	if c.Edits > 0 {
		fields.items = append(fields.items, field("edits", fmt.Sprint(c.Edits)))
	}
	return fields
}

func tagsOf(c *simulated.Chat) list {
	tags := list{item: "tag"}
	for _, name := range c.Tags {
		tags.items = append(tags.items, object{{"id", tagID(name)}, {"name", name}})
	}
	return tags
}

func tagID(name string) string { return "tg" + strings.ReplaceAll(name, " ", "") }
