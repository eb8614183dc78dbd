// Package cobrowser makes canonical entities of CoBrowser.net's CSV rows (cobrowser-csv.txt): a conversation of each row of
// conversations.
//
// # Config
//
// None. The separator comes with the record (Params), as does the zone of a time without an offset.
//
// # Delivery
//
// A pure function of the record. A row is malformed without account_id, browse_id or a readable conversation_start, which
// make its key, and with more or fewer columns than its header. Every other odd value stays in attributes as
// the vendor wrote it, under the column's name; so does every column without a canonical place. Empty and blank
// values are unknown. Bytes that are not UTF-8 become U+FFFD, and attributes.invalid_utf8 says so.
//
// # Limits
//
//   - There are no messages: transcript_url leads to them and opens them to whoever has it. It is not fetched.
//   - ended_at is absent: the vendor gives a start and a duration, not what the duration counts from.
//   - Where the agent of last_agent_id is also the one assigned, there is one entry, with role assigned and
//     last_agent_id among its attributes.
//   - Of columns with one name the first counts; the others are attributes with their position (name#2).
package cobrowser

import (
	"fmt"
	"time"

	"github.com/parley-stream/parley/events"
)

// Normalize implements processors.Normalizer.
func Normalize(r *events.Record) (events.Entity, error) {
	switch r.Stream {
	case "conversations":
		return conversation(r)
	default:
		return nil, fmt.Errorf("stream %q: cobrowser has none of this name", r.Stream)
	}
}

func conversation(r *events.Record) (events.Entity, error) {
	row, err := decode(r)
	if err != nil {
		return nil, err
	}
	started, err := identify(r, row)
	if err != nil {
		return nil, err
	}
	c := &events.Conversation{Base: events.NewBase(r), Channel: "chat", Status: "ended", StartedAt: started}
	row.take("conversation_start")
	c.MessageCount = row.count("num_messages")
	c.DurationS = row.number("duration_secs")
	c.TranscriptURL = row.take("transcriptUrl")
	c.Metrics = metrics(row)
	c.Agents = agents(row)
	if id := row.take("visitor_id"); id != "" {
		c.Visitor = &events.Visitor{ID: id}
	}
	if url := row.take("acceptUrl"); url != "" {
		c.Page = &events.Page{URL: url}
	}
	row.rest(&c.Base)
	return c, nil
}

// identify checks that the row's key is the record's.
func identify(r *events.Record, row *row) (time.Time, error) {
	text := row.raw("conversation_start")
	started, ok := events.CobrowserTime(text, r.Timezone)
	if !ok {
		return started, fmt.Errorf("conversation_start: is %.60q, want a date and time of RFC 2822", text)
	}
	key := events.CobrowserConversationKey(row.raw("account_id"), row.raw("browse_id"), started)
	switch {
	case key == "":
		return started, fmt.Errorf("account_id, browse_id: are %.60q and %.60q, want ids", row.raw("account_id"), row.raw("browse_id"))
	case key != r.Key:
		return started, fmt.Errorf("key: the record's is %.200q, that of account_id, browse_id and conversation_start %.200q", r.Key, key)
	}
	return started, nil
}

// metrics are the vendor's own figures.
func metrics(row *row) *events.Timings {
	m := events.Timings{
		FirstResponseS:  row.number("firstResponseTime"),
		AvgResponseS:    row.number("avgResponseTime"),
		MaxResponseS:    row.number("maxResponseTime"),
		FirstReplyS:     row.number("firstReplyTime"),
		DecisionS:       row.number("decisionTime"),
		AvgMessageChars: row.number("avgMessageLength"),
		MaxMessageChars: row.number("maxMessageLength"),
	}
	for _, figure := range []*float64{
		m.FirstResponseS, m.AvgResponseS, m.MaxResponseS, m.FirstReplyS, m.DecisionS, m.AvgMessageChars, m.MaxMessageChars,
	} {
		if figure != nil {
			return &m
		}
	}
	return nil
}

// agents are the first who was assigned and the one who ended the conversation.
func agents(row *row) []events.Agent {
	assigned, last := row.take("assigned_agent_id"), row.take("last_agent_id")
	var out []events.Agent
	if assigned != "" {
		out = append(out, events.Agent{ID: assigned, Role: events.RoleAssigned})
	}
	switch {
	case last == "":
	case last == assigned:
		out[0].Attributes = map[string]any{"last_agent_id": last}
	default:
		out = append(out, events.Agent{ID: last, Role: events.RoleAgent})
	}
	return out
}
