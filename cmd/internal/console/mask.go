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
		"url": true, "referrer": true,
	}
	freeForm = map[string]bool{"attributes": true, "custom_fields": true, "fields": true}
	roles    = map[string]bool{"visitor": true, "requester": true, "agents": true, "agent": true, "author": true}
)

// Mask replaces personal data in an event's content by a mark; content that cannot be read is left out.
func Mask(e *events.Event) {
	data := e.Data
	if e.DataContentType == events.ContentMsgpack {
		data, _ = events.DecodeMsgpack(data) // nil when it cannot be read
	}
	var content map[string]any
	if err := json.Unmarshal(data, &content); err != nil {
		e.Data = nil
		return
	}
	maskMap(content, false, e.Kind() == events.KindConversation || e.Kind() == events.KindContact)
	e.DataContentType = events.ContentJSON
	e.Data, _ = json.Marshal(content) // what was decoded encodes
}

func maskMap(m map[string]any, all, names bool) {
	for key, value := range m {
		switch {
		case all || personal[key] || (names && (key == "name" || key == "subject")):
			m[key] = maskAll(value)
		case freeForm[key]:
			m[key] = maskAll(value)
		case roles[key] && isText(value):
			m[key] = masked
		default:
			maskIn(value, roles[key])
		}
	}
}

func isText(value any) bool {
	_, is := value.(string)
	return is
}

func maskIn(value any, names bool) {
	switch v := value.(type) {
	case map[string]any:
		maskMap(v, false, names)
	case []any:
		for _, item := range v {
			maskIn(item, names)
		}
	}
}

// maskAll keeps the shape and none of the values.
func maskAll(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = maskAll(inner)
		}
		return v
	case []any:
		for i := range v {
			v[i] = maskAll(v[i])
		}
		return v
	default:
		return masked
	}
}
