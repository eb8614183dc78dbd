package console

import (
	"encoding/json"

	"github.com/parley-stream/parley/events"
)

// masked stands for a person's data.
const masked = "…"

// personal are the fields that say who somebody is or what they wrote, at any depth; of free-form maps every value counts.
var (
	personal = map[string]bool{
		"email": true, "ip": true, "text": true, "preview": true, "comment": true, "answer": true, "city": true, "region": true,
		"organization": true, "isp": true, "user_agent": true, "from": true, "to": true, "bcc": true, "transcript_url": true, "keywords": true,
		"url": true, "referrer": true, "subject": true, "phone": true, "username": true, "gender": true,
		"first_name": true, "last_name": true, "firstname": true, "lastname": true, "system_name": true, "avatar_url": true,
	}
	freeForm = map[string]bool{"attributes": true, "custom_fields": true, "fields": true}
	roles    = map[string]bool{"visitor": true, "requester": true, "agents": true, "agent": true, "author": true}
)

// named are the kinds whose name is a person's.
var named = map[events.Kind]bool{events.KindConversation: true, events.KindContact: true, events.KindAgent: true, events.KindPresence: true}

// ofContact is all that shows of a contact, whose other fields are the vendor's and about a person.
var ofContact = map[string]bool{"id": true, "vendor": true, "source": true, "vendor_id": true, "role": true, "created_at": true}

// Mask replaces personal data in an event's content by a mark, and e-mail addresses in its ids; content that cannot be read is left out.
func Mask(e *events.Event) {
	for _, id := range []*string{&e.ID, &e.Subject, &e.PartitionKey} {
		*id = maskAddresses(*id)
	}
	data := e.Data
	if e.DataContentType == events.ContentMsgpack {
		data, _ = events.DecodeMsgpack(data) // nil when it cannot be read
	}
	var content map[string]any
	if err := json.Unmarshal(data, &content); err != nil {
		e.Data = nil
		return
	}
	if e.Kind() == events.KindContact {
		for key, value := range content {
			if !ofContact[key] {
				content[key] = maskAll(value)
			}
		}
	}
	maskMap(content, named[e.Kind()] && content["of"] != "department")
	e.DataContentType = events.ContentJSON
	e.Data, _ = json.Marshal(content) // what was decoded encodes
}

func maskMap(m map[string]any, names bool) {
	for key, value := range m {
		switch {
		case personal[key] || names && key == "name" || freeForm[key] || roles[key] && isText(value):
			m[key] = maskAll(value)
		default:
			m[key] = maskIn(value, roles[key])
		}
	}
}

func isText(value any) bool {
	_, is := value.(string)
	return is
}

func maskIn(value any, names bool) any {
	switch v := value.(type) {
	case map[string]any:
		maskMap(v, names)
	case []any:
		for i := range v {
			v[i] = maskIn(v[i], names)
		}
	case string:
		return maskAddresses(v)
	}
	return value
}

func maskAddresses(s string) string { return address.ReplaceAllString(s, "…@…") }

// maskAll keeps the shape and none of the values.
func maskAll(value any) any {
	switch v := value.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for key, inner := range v {
			kept[maskAddresses(key)] = maskAll(inner)
		}
		return kept
	case []any:
		for i := range v {
			v[i] = maskAll(v[i])
		}
		return v
	default:
		return masked
	}
}
