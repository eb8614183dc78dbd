package cobrowser_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/cobrowser"
	"github.com/parley-stream/parley/processors/processortest"
)

const (
	hourBegin = "Tue, 27 Oct 2026 16:00:00 +0100"
	hourEnd   = "Tue, 27 Oct 2026 16:59:59 +0100"
	moment    = "Tue, 27 Oct 2026 16:04:05 +0100"
)

// row is one row of a list: names and values in turn, and its key.
type row struct {
	key   string
	pairs []string
}

// rows are one of every list but conversations, with every documented column.
var rows = map[string]row{
	"accounts": {"41", []string{"id", "41", "name", `Shop; "Nederland"`, "postfix", "shop.example", "reseller_id", "77"}},
	"agents": {"agents/12", []string{
		"id", "12", "username", "ada", "firstname", "Ada", "lastname", "Łukasik", "email", "ada@agent.example", "account_id", "41",
		"cccagent_id", "90", "disabled", "1",
	}},
	"cccagents": {"cccagents/90", []string{
		"id", "90", "username", "ada", "firstname", "Ada", "lastname", "Łukasik", "email", "ada@agent.example", "cccaccount_id", "88",
	}},
	"cccagentgroups":   {"cccagentgroups/90-5", []string{"cccagent_id", "90", "cccgroup_id", "5", "cccgroup_name", "Night", "cccaccount_id", "88"}},
	"cccgroupaccounts": {"cccgroupaccounts/5-41", []string{"cccgroup_id", "5", "account_id", "41", "cccgroup_name", "Night", "cccaccount_id", "88"}},
	"cccslotsactivity": {"cccslotsactivity/77", []string{
		"cccagent_id", "90", "time_start", moment, "action", "add", "account_id", "41", "browse_id", "9001", "session_id", "600", "activity_id", "77",
		"numslots_used", "2", "numslots_max", "4",
	}},
	"accountspecshourly": {"accountspecshourly/2026-10-27T15:00:00Z/hour/account=41", []string{
		"account_id", "41", "hourBegin_time", hourBegin, "hourEnd_time", hourEnd, "hourOfDay", "16", "num_vists", "211", "num_pageviews", "840",
		"num_visitors", "190", "num_reactive", "7", "num_reactive_accepted", "6", "num_proactive", "31", "num_proactive_accepted", "0",
	}},
	"hostspecshourly": {"hostspecshourly/2026-10-27T15:00:00Z/hour/account=41/site=3", []string{
		"host_id", "3", "hourBegin_time", hourBegin, "hourEnd_time", hourEnd, "hourOfDay", "16", "num_vists", "211", "num_pageviews", "840",
		"num_visitors", "190", "num_reactive", "7", "num_reactive_accepted", "6", "num_proactive", "31", "num_proactive_accepted", "0", "account_id", "41",
	}},
	"emails": {"8", []string{
		"browse_id", "9001", "id", "8", "timestamp", moment, "agent_id", "12", "to", "v@visitor.example", "bcc", "archive@shop.example",
		"subject", `Your chat; "thanks"`, "from", "noreply@shop.example", "account_id", "41",
	}},
	"hosts": {"3", []string{"id", "3", "account_id", "41", "hostname", "shop.example", "multiple_acc_id", "nl"}},
	"agentactivity": {"agentactivity/77", []string{
		"agent_id", "12", "time_start", moment, "time_end", "Tue, 27 Oct 2026 17:04:05 +0100", "state", "online", "duration_secs", "3600",
		"account_id", "41", "activity_id", "77",
	}},
	"filterstatshourly": {"filterstatshourly/2026-10-27T15:00:00Z/hour/account=41/filter=6", []string{
		"account_id", "41", "hourBegin_time", hourBegin, "hourEnd_time", hourEnd, "hourOfDay", "16", "id", "6", "filtername", "Basket > 100 €",
		"num_proactive", "31", "num_proactive_accepted", "11", "num_proactive_declined", "9", "num_proactive_match", "57",
		"num_proactive_cancelled", "2", "num_proactive_no_availability", "1", "num_proactive_expired", "5", "num_proactive_ignored", "3",
	}},
	"slotsactivity": {"slotsactivity/77", []string{
		"agent_id", "12", "time_start", moment, "action", "remove", "account_id", "41", "browse_id", "9001", "session_id", "600", "activity_id", "77",
		"numslots_used", "0", "numslots_max", "4", "open_duration", "300", "closed_duration", "12", "new_duration", "8", "sleeping_duration", "40",
		"burning_duration", "0", "presetName", "Sales",
	}},
	"agentperformance": {"agentperformance/2026-10-27T15:04:05Z/session/agent=12/preset=Sales/session=9", []string{
		"agent_id", "12", "session_id", "9", "preset", "Sales", "session_start", moment, "numChats", "14", "numBreaks", "2", "numIgnored", "1",
		"numAbandoned", "0", "avgConcurrency", "1.75", "firstResponseDuration", "210", "openDuration", "5400", "closedDuration", "310",
		"newDuration", "140", "sleepingDuration", "900", "burningDuration", "30", "onlineDuration", "27000", "offlineDuration", "1800",
		"availableDuration", "25000", "idleDuration", "9000", "sessionDuration", "28800",
	}},
}

// with gives the row with other values by their columns; a column that it lacks is added.
func (r row) with(key string, pairs ...string) row {
	out := row{key, slices.Clone(r.pairs)}
	for i := 0; i < len(pairs); i += 2 {
		at := slices.Index(out.pairs, pairs[i])
		if at < 0 || at%2 > 0 {
			out.pairs = append(out.pairs, pairs[i], pairs[i+1])
			continue
		}
		out.pairs[at+1] = pairs[i+1]
	}
	return out
}

// record is the row as the poller gives it.
func (r row) record(stream string) *events.Record {
	var names, values []string
	for i := 0; i < len(r.pairs); i += 2 {
		names = append(names, `"`+r.pairs[i]+`"`)
		values = append(values, `"`+strings.ReplaceAll(r.pairs[i+1], `"`, `""`)+`"`)
	}
	out := processortest.Record("cobrowser", stream, r.key, "Europe/Amsterdam", "", events.ContentCSV, strings.Join(names, ";")+"\n"+strings.Join(values, ";"))
	out.Params = map[string]string{"separator": ";"}
	return out
}

func TestEveryListBecomesItsKind(t *testing.T) {
	for stream, r := range rows {
		t.Run(stream, func(t *testing.T) { processortest.Golden(t, cobrowser.Normalize, stream, r.record(stream)) })
	}
}

func TestEveryListTakesAnyOrderAndPassesUnknownColumns(t *testing.T) {
	for stream, r := range rows {
		turned := row{key: r.key, pairs: []string{"chatcampaign_id", "512"}}
		for i := len(r.pairs) - 2; i >= 0; i -= 2 {
			turned.pairs = append(turned.pairs, r.pairs[i], r.pairs[i+1])
		}
		want, got := decoded(t, r.record(stream)), decoded(t, turned.record(stream))
		attributes, _ := got["attributes"].(map[string]any)
		if attributes["chatcampaign_id"] != "512" {
			t.Errorf("%s: attributes %v; want chatcampaign_id", stream, attributes)
		}
		delete(attributes, "chatcampaign_id")
		if len(attributes) == 0 {
			delete(got, "attributes")
		}
		if a, b := text(t, want), text(t, got); a != b {
			t.Errorf("%s: in another order\n%s, want\n%s", stream, b, a)
		}
	}
}

func decoded(t *testing.T, r *events.Record) (out map[string]any) {
	t.Helper()
	entity, err := cobrowser.Normalize(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(processortest.Check(t, cobrowser.Normalize, r, entity), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhatIsEmptyIsUnknownInEveryList(t *testing.T) {
	for stream, r := range rows {
		t.Run(stream, func(t *testing.T) {
			empty := row{r.key, slices.Clone(r.pairs)}
			for i := 0; i < len(empty.pairs); i += 2 {
				before := empty.pairs[i+1]
				empty.pairs[i+1] = " "
				if _, err := cobrowser.Normalize(empty.record(stream)); err != nil {
					empty.pairs[i+1] = before // the key needs it
				}
			}
			processortest.Golden(t, cobrowser.Normalize, stream+"_empty", empty.record(stream))
		})
	}
}

func TestOddValuesOfEveryKindStayInAttributes(t *testing.T) {
	for stream, r := range map[string]row{
		"agents": rows["agents"].with("agents/12", "disabled", "yes", "firstname", "", "id", "12"),
		"agentactivity": rows["agentactivity"].with("agentactivity/77", "time_start", "yesterday", "time_end", "Sun, 29 Mar 2026 02:30:00",
			"duration_secs", "-5", "state", "on a break"),
		"slotsactivity": rows["slotsactivity"].with("slotsactivity/77", "action", "swap", "numslots_used", "many", "numslots_max", "-1", "open_duration", "5m"),
		"accountspecshourly": rows["accountspecshourly"].with(rows["accountspecshourly"].key, "hourEnd_time", "later", "hourOfDay", "4 pm",
			"num_vists", "1.234.567", "num_pageviews", "9007199254740993"),
		"emails": rows["emails"].with("8", "timestamp", "soon"),
	} {
		t.Run(stream, func(t *testing.T) { processortest.Golden(t, cobrowser.Normalize, stream+"_odd", r.record(stream)) })
	}
}

func TestAStateThatGoesOnHasNoEnd(t *testing.T) {
	for name, pairs := range map[string][]string{
		"blank":  {"time_end", "", "duration_secs", ""},
		"1970":   {"time_end", "Thu, 01 Jan 1970 00:00:00 +0000", "duration_secs", ""},
		"before": {"time_end", "Tue, 27 Oct 2026 16:04:04 +0100", "duration_secs", ""},
	} {
		entity, err := cobrowser.Normalize(rows["agentactivity"].with("agentactivity/77", pairs...).record("agentactivity"))
		if err != nil {
			t.Fatal(err)
		}
		a := entity.(*events.Activity)
		if !a.EndedAt.IsZero() || a.DurationS != nil || !a.OccurredAt().Equal(a.StartedAt) || (a.Attributes["time_end"] == nil) != (name == "blank") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAnHourEndsAtTheMomentAfterItAlsoWhereClocksChange(t *testing.T) {
	for name, c := range map[string]struct{ begin, end, start, want string }{
		"the last second":              {hourBegin, hourEnd, "2026-10-27T15:00:00Z", "2026-10-27T16:00:00Z"},
		"the next hour":                {hourBegin, "Tue, 27 Oct 2026 17:00:00 +0100", "2026-10-27T15:00:00Z", "2026-10-27T16:00:00Z"},
		"the first of two hours":       {"Sun, 25 Oct 2026 02:00:00 +0200", "Sun, 25 Oct 2026 02:59:59 +0200", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		"the second of two hours":      {"Sun, 25 Oct 2026 02:00:00 +0100", "Sun, 25 Oct 2026 02:59:59 +0100", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		"the hour before a lost one":   {"Sun, 29 Mar 2026 01:00:00 +0100", "Sun, 29 Mar 2026 01:59:59 +0100", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		"an end before its beginning":  {hourBegin, "Tue, 27 Oct 2026 15:59:59 +0100", "2026-10-27T15:00:00Z", ""},
		"an end at its very beginning": {hourBegin, hourBegin, "2026-10-27T15:00:00Z", ""},
	} {
		key := "accountspecshourly/" + c.start + "/hour/account=41"
		got := decoded(t, rows["accountspecshourly"].with(key, "hourBegin_time", c.begin, "hourEnd_time", c.end).record("accountspecshourly"))
		interval, _ := got["interval"].(map[string]any)
		end, _ := interval["end"].(string)
		attributes, _ := got["attributes"].(map[string]any)
		if interval["start"] != c.start || end != c.want || (attributes["hourEnd_time"] == nil) != (c.want != "") {
			t.Errorf("%s: %v, attributes %v; want %s to %q", name, interval, attributes, c.start, c.want)
		}
	}
}

func TestAnActivityWithoutAnIdHasTheOtherKey(t *testing.T) {
	for stream, c := range map[string]struct {
		key   string
		pairs []string
	}{
		"agentactivity":    {"agentactivity/41-12-1793113445-online", []string{"activity_id", ""}},
		"slotsactivity":    {"slotsactivity/41-12-1793113445-remove", []string{"activity_id", ""}},
		"cccslotsactivity": {"cccslotsactivity/41-90-1793113445-add", []string{"activity_id", " "}},
	} {
		if got := decoded(t, rows[stream].with(c.key, c.pairs...).record(stream)); got["vendor_id"] != c.key {
			t.Errorf("%s: %v", stream, got)
		}
	}
}

func TestADeletedAgentIsDisabledAndOthersAreNot(t *testing.T) {
	for value, want := range map[string]any{"1": true, "0": false, " 1 ": true, "": nil, "2": nil} {
		got := decoded(t, rows["agents"].with("agents/12", "disabled", value).record("agents"))
		attributes, _ := got["attributes"].(map[string]any)
		if got["disabled"] != want || (attributes["disabled"] == "2") != (value == "2") {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func TestEveryListWantsWhatMakesItsKeyAndSaysWhatIsMissing(t *testing.T) {
	for stream, columns := range map[string][]string{
		"accounts": {"id"}, "hosts": {"id"}, "emails": {"id"}, "agents": {"id"}, "cccagents": {"id"},
		"cccagentgroups": {"cccagent_id", "cccgroup_id"}, "cccgroupaccounts": {"cccgroup_id", "account_id"},
		"accountspecshourly": {"account_id", "hourBegin_time"}, "hostspecshourly": {"host_id", "hourBegin_time"},
		"filterstatshourly": {"account_id", "id", "hourBegin_time"}, "agentperformance": {"agent_id", "session_id", "session_start"},
	} {
		for _, column := range columns {
			processortest.Malformed(t, cobrowser.Normalize, rows[stream].with("", column, "").record(stream), column+` ""`)
		}
		processortest.Malformed(t, cobrowser.Normalize, rows[stream].with("another").record(stream), "another")
	}
	for stream, action := range map[string]string{"agentactivity": "state", "slotsactivity": "action", "cccslotsactivity": "action"} {
		for _, column := range []string{"account_id", "time_start", action} {
			processortest.Malformed(t, cobrowser.Normalize, rows[stream].with("", "activity_id", "", column, "").record(stream), column+` ""`)
		}
	}
}

func TestAnEmptyReportIsAMetricWithoutMeasures(t *testing.T) {
	r := row{rows["accountspecshourly"].key, []string{"account_id", "41", "hourBegin_time", hourBegin}}
	got := decoded(t, r.record("accountspecshourly"))
	if measures, ok := got["measures"].(map[string]any); !ok || len(measures) != 0 {
		t.Errorf("%v", got)
	}
}

func FuzzNormalizeLists(f *testing.F) {
	streams := slices.Sorted(maps.Keys(rows))
	for i, stream := range streams {
		f.Add(uint8(i), string(rows[stream].record(stream).Parts[0].Body.Bytes))
		f.Add(uint8(i), "id;activity_id;account_id\n1;2;3")
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		stream := streams[int(which)%len(streams)]
		r := processortest.Record("cobrowser", stream, "", "Europe/Amsterdam", "", events.ContentCSV, body)
		r.Params = map[string]string{"separator": ";"}
		r.Key = fuzzKey(stream, body)
		if entity, err := cobrowser.Normalize(r); err == nil {
			processortest.Check(t, cobrowser.Normalize, r, entity)
		}
	})
}
