package cobrowser

import "github.com/parley-stream/parley/events"

// activity is a state of an agent, or a mutation of the slots that an agent has for chats.
func activity(r *events.Record, row *row) *events.Activity {
	agent := "agent_id"
	if r.Stream == "cccslotsactivity" {
		agent = "cccagent_id"
	}
	a := &events.Activity{
		Base: events.NewBase(r), Agent: row.named(agent), Account: row.named("account_id"),
		State: row.take("state"), Action: row.take("action"),
		StartedAt: row.time("time_start", r.Timezone), DurationS: row.number("duration_secs"),
		SlotsUsed: row.count("numslots_used"), SlotsMax: row.count("numslots_max"), SessionID: row.take("session_id"),
		Measures: row.measures("open_duration", "closed_duration", "new_duration", "sleeping_duration", "burning_duration"),
	}
	// A state that goes on may have an end of no meaning, such as 1970.
	if end, ok := events.CobrowserTime(row.raw("time_end"), r.Timezone); ok && !end.Before(a.StartedAt) {
		a.EndedAt = row.time("time_end", r.Timezone)
	}
	row.rest(&a.Base)
	return a
}
