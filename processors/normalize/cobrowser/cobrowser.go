// Package cobrowser makes canonical entities of CoBrowser.net's CSV rows (cobrowser-csv.txt), one of each: a conversation, an activity (agentactivity,
// slotsactivity, cccslotsactivity), a metric (accountspecshourly, hostspecshourly, filterstatshourly, agentperformance), an email, or
// reference data (account, site, agent, membership).
//
// # Config
//
// None. The separator comes with the record (Params), as does the zone of a time without an offset.
//
// # Delivery
//
// A pure function of the record. A row is malformed without what makes its key (events.CobrowserKey), and with more or fewer
// columns than its header. Every other odd value stays in attributes as
// the vendor wrote it, under the column's name; so does every column without a canonical place. Empty and blank
// values are unknown. Bytes that are not UTF-8 become U+FFFD, and attributes.invalid_utf8 says so.
//
// Figures are measures by the vendor's names, num_vists among them. An hour ends, at the vendor, with its last second; interval.end is the
// moment after it. Ids of other entities are the vendor's plain ones; where the vendor_id has a prefix (agents/12), attributes.id or
// attributes.activity_id is the plain one.
//
// # Limits
//
//   - There are no messages: transcript_url leads to them and opens them to whoever has it. It is not fetched.
//   - A conversation's ended_at is absent: the vendor gives a start and a duration, not what the duration counts from.
//     So is a session's interval.end.
//   - An email, a slot and a conversation share browse_id, in attributes; conversation_id is absent, because its key takes the
//     conversation's start, which other rows lack.
//   - Where the agent of last_agent_id is also the one assigned, there is one entry, with role assigned and
//     last_agent_id among its attributes.
//   - The agent of cccslotsactivity is a CCC agent (cccagents/<id>), all others are agents (agents/<id>).
//   - An end that is before its start stays in attributes.
//   - Of columns with one name the first counts; the others are attributes with their position (name#2).
package cobrowser

import (
	"fmt"
	"strings"

	"github.com/parley-stream/parley/events"
)

// Normalize implements processors.Normalizer.
func Normalize(r *events.Record) (events.Entity, error) {
	needs, known := identity(r.Stream)
	if !known {
		return nil, fmt.Errorf("stream %q: cobrowser has none of this name", r.Stream)
	}
	row, err := decode(r)
	if err == nil {
		err = identify(r, row, needs)
	}
	if err != nil {
		return nil, err
	}
	switch r.Stream {
	case "conversations":
		return conversation(r, row), nil
	case "agentactivity", "slotsactivity", "cccslotsactivity":
		return activity(r, row), nil
	case "accountspecshourly", "hostspecshourly", "filterstatshourly", "agentperformance":
		return metric(r, row)
	case "emails":
		return email(r, row), nil
	default:
		return reference(r, row), nil
	}
}

// identity names what makes a stream's keys (events.CobrowserKey), for an error that tells what is missing.
func identity(stream string) (columns []string, known bool) {
	switch stream {
	case "conversations":
		return []string{"account_id", "browse_id", "conversation_start"}, true
	case "agentactivity":
		return []string{"activity_id", "account_id", "agent_id", "time_start", "state"}, true
	case "slotsactivity":
		return []string{"activity_id", "account_id", "agent_id", "time_start", "action"}, true
	case "cccslotsactivity":
		return []string{"activity_id", "account_id", "cccagent_id", "time_start", "action"}, true
	case "accountspecshourly":
		return []string{"account_id", "hourBegin_time"}, true
	case "hostspecshourly":
		return []string{"host_id", "account_id", "hourBegin_time"}, true
	case "filterstatshourly":
		return []string{"account_id", "id", "hourBegin_time"}, true
	case "agentperformance":
		return []string{"agent_id", "session_id", "preset", "session_start"}, true
	case "accounts", "agents", "cccagents", "emails", "hosts":
		return []string{"id"}, true
	case "cccagentgroups":
		return []string{"cccagent_id", "cccgroup_id"}, true
	case "cccgroupaccounts":
		return []string{"cccgroup_id", "account_id"}, true
	default:
		return nil, false
	}
}

// identify checks that the row's key is the record's.
func identify(r *events.Record, row *row, needs []string) error {
	key := events.CobrowserKey(r.Stream, row.raw, r.Timezone)
	if key != "" && key != r.Key {
		return fmt.Errorf("key: the record's is %.200q, that of its %s %.200q", r.Key, strings.Join(needs, ", "), key)
	}
	if key != "" {
		return nil
	}
	values := make([]string, len(needs))
	for i, column := range needs {
		values[i] = fmt.Sprintf("%s %.60q", column, row.raw(column))
	}
	return fmt.Errorf("key: %s: want ids, and times of RFC 2822", strings.Join(values, ", "))
}
