package cobrowser

import (
	"fmt"

	"github.com/parley-stream/parley/events"
)

// command is a value of the parameter c: one list of the vendor's, and a stream of ours by the same name.
type command struct {
	name string
	// columns in the document's order: those of a response without a header.
	columns []string
	// identity are columns that no response of this command can lack: a first row with these names is a header.
	identity []string
	// ranged commands are asked for days; the others give a list as it is now.
	ranged bool
	// started is the column of the row's time, "" in a directory.
	started string
	// ended and lasts are the columns of when a row's interval ended and of how many seconds it lasted; "" for a row that is of a moment.
	ended, lasts string
	// ccc commands are, the document says, for CCC agents alone.
	ccc bool
	// growing lists hold ever more rows that do not change: those that RAW has are not sent again.
	growing bool
}

// commands are the documented ones.
func commands() []command {
	return []command{
		{
			name: "conversations", ranged: true, started: "conversation_start",
			columns: []string{
				"conversation_start", "browse_id", "account_id", "num_messages", "duration_secs", "avgMessageLength",
				"maxMessageLength", "last_agent_id", "reseller_id", "visitor_id", "requestType", "assigned_agent_id",
				"acceptUrl", "accept_host_id", "decisionTime", "firstResponseTime", "transcriptUrl", "avgResponseTime",
				"maxResponseTime", "successcode", "firstReplyTime",
			},
			identity: []string{"conversation_start", "browse_id", "account_id"},
		},
		{
			name:     "accounts",
			columns:  []string{"id", "name", "postfix", "reseller_id"},
			identity: []string{"id", "name"},
		},
		{
			name:     "agents",
			columns:  []string{"id", "username", "firstname", "lastname", "email", "account_id", "cccagent_id", "disabled"},
			identity: []string{"id", "username"},
		},
		{
			name: "cccagents", ccc: true,
			columns:  []string{"id", "username", "firstname", "lastname", "email", "cccaccount_id"},
			identity: []string{"id", "username"},
		},
		{
			name: "cccagentgroups", ccc: true,
			columns:  []string{"cccagent_id", "cccgroup_id", "cccgroup_name", "cccaccount_id"},
			identity: []string{"cccagent_id", "cccgroup_id"},
		},
		{
			name: "cccgroupaccounts", ccc: true,
			columns:  []string{"cccgroup_id", "account_id", "cccgroup_name", "cccaccount_id"},
			identity: []string{"cccgroup_id", "account_id"},
		},
		{
			name: "cccslotsactivity", ccc: true, growing: true, started: "time_start",
			columns: []string{
				"cccagent_id", "time_start", "action", "account_id", "browse_id", "session_id", "activity_id", "numslots_used", "numslots_max",
			},
			identity: []string{"cccagent_id", "time_start"},
		},
		statistics("accountspecshourly", []string{"account_id"}, append(append([]string{"account_id"}, hour()...), visits()...)),
		statistics("hostspecshourly", []string{"host_id"}, append(append(append([]string{"host_id"}, hour()...), visits()...), "account_id")),
		{
			name: "emails", ranged: true, started: "timestamp",
			columns:  []string{"browse_id", "id", "timestamp", "agent_id", "to", "bcc", "subject", "from", "account_id"},
			identity: []string{"id", "timestamp"},
		},
		{
			name:     "hosts",
			columns:  []string{"id", "account_id", "hostname", "multiple_acc_id"},
			identity: []string{"id", "hostname"},
		},
		{
			name: "agentactivity", ranged: true, started: "time_start", ended: "time_end", lasts: "duration_secs",
			columns:  []string{"agent_id", "time_start", "time_end", "state", "duration_secs", "account_id", "activity_id"},
			identity: []string{"agent_id", "time_start"},
		},
		statistics("filterstatshourly", []string{"account_id", "id"}, append(append([]string{"account_id"}, hour()...),
			"id", "filtername", "num_proactive", "num_proactive_accepted", "num_proactive_declined", "num_proactive_match",
			"num_proactive_cancelled", "num_proactive_no_availability", "num_proactive_expired", "num_proactive_ignored")),
		{
			name: "slotsactivity", ranged: true, started: "time_start",
			columns: []string{
				"agent_id", "time_start", "action", "account_id", "browse_id", "session_id", "activity_id", "numslots_used", "numslots_max",
				"open_duration", "closed_duration", "new_duration", "sleeping_duration", "burning_duration", "presetName",
			},
			identity: []string{"agent_id", "time_start"},
		},
		{
			name: "agentperformance", ranged: true, started: "session_start", lasts: "sessionDuration",
			columns: []string{
				"agent_id", "session_id", "preset", "session_start", "numChats", "numBreaks", "numIgnored", "numAbandoned", "avgConcurrency",
				"firstResponseDuration", "openDuration", "closedDuration", "newDuration", "sleepingDuration", "burningDuration",
				"onlineDuration", "offlineDuration", "availableDuration", "idleDuration", "sessionDuration",
			},
			identity: []string{"agent_id", "session_id", "session_start"},
		},
	}
}

// statistics is a list of figures per hour.
func statistics(name string, ids, columns []string) command {
	return command{name: name, ranged: true, started: "hourBegin_time", columns: columns, identity: append(ids, "hourBegin_time")}
}

func hour() []string { return []string{"hourBegin_time", "hourEnd_time", "hourOfDay"} }

func visits() []string {
	return []string{
		"num_vists", "num_pageviews", "num_visitors", "num_reactive", "num_reactive_accepted", "num_proactive", "num_proactive_accepted",
	}
}

func (p *Poller) command(stream string) (command, error) {
	for _, c := range commands() {
		if c.name == stream {
			return c, nil
		}
	}
	return command{}, events.Permanent(fmt.Errorf("stream %q: cobrowser has none of this name", stream))
}
