package cobrowsersim

import "time"

// command is one list of the document's.
type command struct {
	name    string
	columns []string
	ranged  bool // takes start and stop
	ccc     bool // only works for CCC agents
	// rows gives all that are visible now, of every account.
	rows func(s *Sim) []row
}

// row is one line of a list.
type row struct {
	values    []string
	at        time.Time // what files it under a day; zero in a directory
	account   string    // whose it is; "" for what only CCC agents have
	key       string
	edits     int
	malformed bool
}

// commands are the documented ones, with their columns in the document's order.
func commands() []command {
	return []command{
		{"conversations", conversationColumns(), true, false, (*Sim).conversations},
		{"accounts", []string{"id", "name", "postfix", "reseller_id"}, false, false, (*Sim).accounts},
		{"agents", []string{"id", "username", "firstname", "lastname", "email", "account_id", "cccagent_id", "disabled"}, false, false, (*Sim).agents},
		{"cccagents", []string{"id", "username", "firstname", "lastname", "email", "cccaccount_id"}, false, true, (*Sim).cccAgents},
		{"cccagentgroups", []string{"cccagent_id", "cccgroup_id", "cccgroup_name", "cccaccount_id"}, false, true, (*Sim).cccAgentGroups},
		{"cccgroupaccounts", []string{"cccgroup_id", "account_id", "cccgroup_name", "cccaccount_id"}, false, true, (*Sim).cccGroupAccounts},
		{"cccslotsactivity", []string{
			"cccagent_id", "time_start", "action", "account_id", "browse_id", "session_id", "activity_id", "numslots_used", "numslots_max",
		}, false, true, (*Sim).cccSlots},
		{"accountspecshourly", []string{
			"account_id", "hourBegin_time", "hourEnd_time", "hourOfDay", "num_vists", "num_pageviews", "num_visitors", "num_reactive",
			"num_reactive_accepted", "num_proactive", "num_proactive_accepted",
		}, true, false, (*Sim).accountHours},
		{"hostspecshourly", []string{
			"host_id", "hourBegin_time", "hourEnd_time", "hourOfDay", "num_vists", "num_pageviews", "num_visitors", "num_reactive",
			"num_reactive_accepted", "num_proactive", "num_proactive_accepted", "account_id",
		}, true, false, (*Sim).hostHours},
		{"emails", []string{"browse_id", "id", "timestamp", "agent_id", "to", "bcc", "subject", "from", "account_id"}, true, false, (*Sim).emails},
		{"hosts", []string{"id", "account_id", "hostname", "multiple_acc_id"}, false, false, (*Sim).hosts},
		{"agentactivity", []string{
			"agent_id", "time_start", "time_end", "state", "duration_secs", "account_id", "activity_id",
		}, true, false, (*Sim).agentActivity},
		{"filterstatshourly", []string{
			"account_id", "hourBegin_time", "hourEnd_time", "hourOfDay", "id", "filtername", "num_proactive", "num_proactive_accepted",
			"num_proactive_declined", "num_proactive_match", "num_proactive_cancelled", "num_proactive_no_availability",
			"num_proactive_expired", "num_proactive_ignored",
		}, true, false, (*Sim).filterHours},
		{"slotsactivity", []string{
			"agent_id", "time_start", "action", "account_id", "browse_id", "session_id", "activity_id", "numslots_used", "numslots_max",
			"open_duration", "closed_duration", "new_duration", "sleeping_duration", "burning_duration", "presetName",
		}, true, false, (*Sim).slots},
		{"agentperformance", []string{
			"agent_id", "session_id", "preset", "session_start", "numChats", "numBreaks", "numIgnored", "numAbandoned", "avgConcurrency",
			"firstResponseDuration", "openDuration", "closedDuration", "newDuration", "sleepingDuration", "burningDuration",
			"onlineDuration", "offlineDuration", "availableDuration", "idleDuration", "sessionDuration",
		}, true, false, (*Sim).agentPerformance},
	}
}
