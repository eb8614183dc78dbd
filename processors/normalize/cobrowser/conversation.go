package cobrowser

import "github.com/parley-stream/parley/events"

func conversation(r *events.Record, row *row) *events.Conversation {
	c := &events.Conversation{Base: events.NewBase(r), Channel: "chat", Status: "ended", StartedAt: row.time("conversation_start", r.Timezone)}
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
	return c
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
