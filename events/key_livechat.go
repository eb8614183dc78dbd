package events

import "encoding/json"

// LiveChatKey is the key of a LiveChat chat whose member "id" has this raw value: the text of a
// string, or the digits of a number as they are written. It is "" for every other value: such a
// chat has no id.
func LiveChatKey(id json.RawMessage) string {
	if len(id) == 0 {
		return ""
	}
	switch c := id[0]; {
	case c == '"':
		var text string
		if json.Unmarshal(id, &text) != nil {
			return ""
		}
		return text
	case (c == '-' || c >= '0' && c <= '9') && json.Valid(id):
		return string(id)
	default:
		return ""
	}
}
