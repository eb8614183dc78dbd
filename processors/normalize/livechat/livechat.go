// Package livechat makes conversations of LiveChat's chats (document: livechat-chats-v2.txt, and the members
// that later versions of it add).
//
// # Config
//
// None: all that is needed is in the record.
//
// # Delivery
//
// Normalize is a pure function of the record. A chat is malformed when it is no JSON object, when it has
// no id, or when its id is not the record's key. Every other odd value stays, under its vendor name, in the
// attributes of what it belongs to, and so does every member that has no canonical place; of a list,
// the elements that are not what the document says, or say more.
//
// The epoch members win over the date strings, which stay in attributes; a string is read, in the record's zone,
// where there is no epoch. The type "chat" is the status ended, "missed_chat" missed, and a chat said to be pending is
// open. Of events and messages the events are taken, since they hold the messages; a message that is not among them
// stays in attributes. A missed chat's message is its one message. A variable that comes more than once has
// a list of its values.
//
// # Limits
//
// A record over events.MaxRecordBytes, or nested deeper than 500, is malformed. Of a member that one JSON object has twice, the last
// counts. Bytes that are no UTF-8, and halves of surrogate pairs, become U+FFFD, and the attribute
// invalid_utf8 is true. Page addresses are not taken apart and timings not derived: later processors do.
package livechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
)

// Normalize implements processors.Normalizer: it gives a *events.Conversation.
func Normalize(r *events.Record) (events.Entity, error) {
	if body, over := r.Oversize(); over {
		return nil, fmt.Errorf("chat %.64q: is %d bytes long, want at most %d", r.Key, body.Size, events.MaxRecordBytes)
	}
	body := r.Part("")
	chat, err := decode(body)
	if err != nil {
		return nil, fmt.Errorf("chat %.64q: %w", r.Key, err)
	}
	if err := checkID(chat, r.Key); err != nil {
		return nil, err
	}
	b := builder{record: r, c: &events.Conversation{Base: events.NewBase(r), Channel: "chat"}, emails: map[string]bool{}}
	b.build(chat)
	for name, value := range chat {
		b.c.Set(name, value)
	}
	if !utf8.Valid(body) || loneSurrogate(body) {
		b.c.Set("invalid_utf8", true)
	}
	return b.c, nil
}

// decode reads one JSON object, its numbers as they are written.
func decode(body []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var chat object
	if err := dec.Decode(&chat); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one JSON object and nothing behind it")
	}
	if chat == nil {
		return nil, errors.New("is null, want a JSON object")
	}
	if deeper(map[string]any(chat), maxDepth) {
		return nil, fmt.Errorf("is nested deeper than %d", maxDepth)
	}
	return chat, nil
}

// maxDepth is far beyond any chat, and far below what readers of the entity take.
const maxDepth = 500

// deeper tells whether a decoded value has more than depth levels of brackets.
func deeper(value any, depth int) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			if depth == 0 || deeper(member, depth-1) {
				return true
			}
		}
	case []any:
		for _, element := range v {
			if depth == 0 || deeper(element, depth-1) {
				return true
			}
		}
	}
	return false
}

// checkID takes the id and holds it to the record's key, by the function that gave the key.
func checkID(chat object, key string) error {
	raw, err := json.Marshal(chat["id"])
	if err != nil {
		return fmt.Errorf("chat %.64q: id: %w", key, err)
	}
	switch id := events.LiveChatKey(raw); {
	case id == "":
		return fmt.Errorf("chat %.64q: id: is missing or %.64s, want a text", key, raw)
	case id != key:
		return fmt.Errorf("chat %.64q: id: is %.64q, want the record's key", key, id)
	}
	delete(chat, "id")
	return nil
}

// loneSurrogate tells whether some \u escape is half of a pair without the other, which decoding replaces.
func loneSurrogate(body []byte) bool {
	for {
		i := bytes.IndexByte(body, '\\')
		if i < 0 || i+1 >= len(body) {
			return false
		}
		body = body[i:]
		half, ok := surrogate(body)
		if !ok {
			body = body[2:]
			continue
		}
		other, ok := surrogate(body[6:])
		if half >= 0xdc00 || !ok || other < 0xdc00 {
			return true
		}
		body = body[12:]
	}
}

// surrogate reads the escape of half of a pair that b starts with.
func surrogate(b []byte) (half rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		half <<= 4
		switch {
		case c >= '0' && c <= '9':
			half |= rune(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			half |= rune(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return half, half >= 0xd800 && half <= 0xdfff
}
