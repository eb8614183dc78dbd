package liveagentsim_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/simulated"
)

// documented are the document's reports: their lists, columns and parameters beside limits.
var documented = map[string]struct {
	list, columns, parameters string
	dated                     bool // date_from and date_to are mandatory
	selects                   bool // there is a parameter columns
}{
	"agents":      {"agents", "id contactid firstname lastname worktime answers answers_ph newAnswerAvgTime nextAnswerAvgTime calls calls_ph missed_calls missed_calls_ph call_seconds call_seconds_ph chats chats_ph chat_answers chat_answers_ph missed_chats missed_chats_ph chatPickupAvgTime chatAvgTime not_ranked not_ranked_p not_ranked_ph rewards rewards_p rewards_ph punishments punishments_p punishments_ph", "", true, true},
	"channels":    {"channels", "id channelName" + figures, "", true, true},
	"departments": {"departments", "id departmentName" + figures, "", true, true},
	"performance": {"performance", "datetime dateto" + figures, "group_by", true, true},
	"tags":        {"tags", "id tagName" + figures, "", true, true},

	"tickets/agentsavailability": {"agentsavailability", sessions, "departmentid agentid", false, true},
	"tickets/load":               {"loads", loads, "departmentid agentid", false, false},
	"tickets/slacompliance":      {"slacompliances", compliances, "datetime departmentid userid slalevelid", false, false},
	"tickets/slalog":             {"slalogs", slaLines, "departmentid agentid requesterid slalevelid", true, true},
	"chats/agentsavailability":   {"agentsavailability", sessions, "departmentid agentid", false, true},
	"chats/availability":         {"availability", "date mins pct", "departmentid agentid", false, false},
	"chats/load":                 {"loads", loads, "departmentid agentid", false, false},
	"chats/slacompliance":        {"slacompliances", compliances, "datetime departmentid userid slalevelid", false, false},
	"chats/slalog":               {"slalogs", slaLines, "departmentid agentid requesterid slalevelid", true, true},
	"calls/agentsavailability":   {"agentsavailability", sessions, "departmentid agentid", false, true},
	"calls/availability":         {"availability", "date mins pct", "departmentid agentid", false, false},
	"calls/load":                 {"loads", loads, "departmentid agentid", false, false},
	"calls/slacompliance":        {"slacompliances", compliances, "datetime departmentid userid slalevelid", false, false},
	"calls/slalog":               {"slalogs", slaLines, "departmentid agentid requesterid slalevelid", true, true},
	"ranking":                    {"ranks", "id rankingType datecreated conversationid agentcontactid agentEmail agent contactid requesterEmail requester comment", "agentid contactid types", true, true},
}

const (
	shownFigures = " answers newAnswerAvgTime nextAnswerAvgTime chat_answers chats missed_chats chatPickupAvgTime chatAvgTime calls missed_calls call_seconds not_ranked not_ranked_p rewards rewards_p punishments punishments_p i_messages i_chats i_calls"
	figures      = shownFigures + " f_chats f_calls"
	sessions     = "id userid firstname lastname contactid departmentid department_name hours_online from_date to_date"
	loads        = "date avgQueue maxQueue minQueue avgSlots maxSlots minSlots avgService maxService minService"
	compliances  = "date fulfilled avgFulfilledTime maxFulfilledTime minFulfilledTime unfulfilled avgUnfulfilledTime maxUnfulfilledTime minUnfulfilledTime"
	slaLines     = "id conversationid code departmentid department_name levelid sla_level_name sla date_created date_closed server_date_closed date_due server_date_due sla_level_id agentid agent_firstname agent_lastname req_contactid req_firstname req_lastname"
)

// october asks for all of the account's days.
var october = []string{"date_from", "2026-10-01", "date_to", "2026-10-31"}

func reportRows(t *testing.T, sim *liveagentsim.Sim, report string, parameters ...string) (out []map[string]any) {
	t.Helper()
	w := get(sim, "/api/reports/"+report, parameters...)
	if w.Code != 200 {
		t.Fatalf("%s: status %d: %s", report, w.Code, w.Body)
	}
	for _, row := range decode(t, w)[documented[report].list].([]any) {
		out = append(out, row.(map[string]any))
	}
	return out
}

func rowColumns(row map[string]any) string {
	return strings.Join(slices.Sorted(maps.Keys(row)), " ")
}

func sorted(list string) string {
	all := strings.Fields(list)
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestReportsHaveTheDocumentedColumns(t *testing.T) {
	sim := newSim()
	for report, d := range documented {
		rows := reportRows(t, sim, report, october...)
		if len(rows) == 0 {
			t.Errorf("%s has no rows", report)
			continue
		}
		if want := strings.Replace(d.columns, " f_chats f_calls", "", 1); rowColumns(rows[0]) != sorted(want) {
			t.Errorf("%s: unasked it has\n%s, want\n%s", report, rowColumns(rows[0]), sorted(want))
		}
		if !d.selects {
			continue
		}
		rows = reportRows(t, sim, report, append(slices.Clone(october), "columns", strings.Join(strings.Fields(d.columns), ","))...)
		if rowColumns(rows[0]) != sorted(d.columns) {
			t.Errorf("%s: asked for all it has\n%s, want\n%s", report, rowColumns(rows[0]), sorted(d.columns))
		}
		first := strings.Fields(d.columns)[0]
		if rows = reportRows(t, sim, report, append(slices.Clone(october), "columns", first)...); rowColumns(rows[0]) != first {
			t.Errorf("%s: asked for %s it has %s", report, first, rowColumns(rows[0]))
		}
	}
}

// breach is what must be refused, and how.
type breach struct {
	parameters []string
	status     int
}

func TestReportsRefuseWhatTheDocumentDoesNotName(t *testing.T) {
	sim := newSim()
	with := func(more ...string) []string { return append(slices.Clone(october), more...) }
	for report, d := range documented {
		bad := map[string]breach{
			"an unknown parameter":      {with("order", "id"), 500},
			"a limit above the largest": {with("limitcount", "1001"), 500},
			"a limit of none":           {with("limitcount", "0"), 500},
			"a limit that is no number": {with("limitcount", "all"), 500},
			"a row before the first":    {with("limitfrom", "-1"), 500},
			"a row that is no number":   {with("limitfrom", "a"), 500},
			"a time for a date":         {[]string{"date_from", "2026-10-01 00:00:00", "date_to", "2026-10-02"}, 500},
			"a date that is none":       {[]string{"date_from", "2026-10-01", "date_to", "2026-02-30"}, 500},
			"dates in the wrong order":  {[]string{"date_from", "2026-10-02", "date_to", "2026-10-01"}, 500},
			"a parameter twice":         {with("date_to", "2026-10-31"), 500},
			"an unknown column":         {with("columns", "id,nope"), 500},
			"another report's filter":   {with("slalevel", "1"), 500},
		}
		for _, p := range []string{"group_by", "types", "datetime"} {
			bad["an odd "+p] = breach{with(p, "often"), 500}
		}
		if strings.Contains(d.parameters, "departmentid") {
			bad["an unknown department"] = breach{with("departmentid", "nope"), 404}
		}
		if d.dated {
			bad["no date_from"] = breach{october[2:], 500}
			bad["no date_to"] = breach{october[:2], 500}
		} else if w := get(sim, "/api/reports/"+report); w.Code != 200 {
			t.Errorf("%s without dates: status %d", report, w.Code)
		}
		if !d.selects {
			bad["a parameter columns"] = breach{with("columns", "date"), 500}
		}
		for name, c := range bad {
			w := get(sim, "/api/reports/"+report, c.parameters...)
			if r := decode(t, w); w.Code != c.status || r["status"] != "ERROR" || r["errormessage"] == "" {
				t.Errorf("%s, %s: status %d, want %d: %s", report, name, w.Code, c.status, w.Body)
			}
		}
		for _, p := range strings.Fields(d.parameters) {
			value := map[string]string{"departmentid": "dp01sale", "group_by": "week", "types": "W,P", "datetime": "2026-10"}[p]
			if value == "" {
				value = "x1"
			}
			if w := get(sim, "/api/reports/"+report, with(p, value)...); w.Code != 200 {
				t.Errorf("%s with %s=%s: status %d: %s", report, p, value, w.Code, w.Body)
			}
		}
	}
	for _, path := range []string{"/api/reports", "/api/reports/tickets/availability", "/api/reports/agents/x", "/api/reports/nope"} {
		if w := get(sim, path, october...); w.Code != 404 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestReportsComeInPages(t *testing.T) {
	sim := liveagentsim.New(simulated.Options{Seed: 3, Chats: 1500, Start: start, Now: func() time.Time { return start }})
	for report := range documented {
		all := reportRows(t, sim, report, append(slices.Clone(october), "limitcount", "1000")...)
		unasked := reportRows(t, sim, report, october...)
		if want := min(100, len(all)); len(unasked) != want {
			t.Errorf("%s: %d rows unasked, want %d", report, len(unasked), want)
		}
		page := reportRows(t, sim, report, append(slices.Clone(october), "limitcount", "2", "limitfrom", "1")...)
		if want := all[1:min(3, len(all))]; len(page) != len(want) || len(page) > 0 && rowColumns(page[0]) != rowColumns(want[0]) {
			t.Errorf("%s: rows 1 and 2 are %v, want %v", report, page, want)
		}
		if rest := reportRows(t, sim, report, append(slices.Clone(october), "limitfrom", "100000")...); len(rest) != 0 {
			t.Errorf("%s: %d rows after the last", report, len(rest))
		}
	}
}

func TestDatesNarrowReports(t *testing.T) {
	sim := newSim()
	for report := range documented {
		days := 0
		for _, d := range []string{"2026-10-20", "2026-10-21", "2026-10-22"} {
			days += len(reportRows(t, sim, report, "date_from", d, "date_to", d))
		}
		all := len(reportRows(t, sim, report, "date_from", "2026-10-20", "date_to", "2026-10-22"))
		if days == 0 || all == 0 || all > days {
			t.Errorf("%s: %d rows of three days, %d of each alone", report, all, days)
		}
		if n := len(reportRows(t, sim, report, "date_from", "2020-10-20", "date_to", "2020-10-22")); n != 0 {
			t.Errorf("%s: %d rows of years before", report, n)
		}
	}
}

func TestPerformanceIsGroupedWithinWhatIsAskedFor(t *testing.T) {
	sim := newSim()
	ask := func(grain string) []map[string]any {
		return reportRows(t, sim, "performance", "date_from", "2026-10-14", "date_to", "2026-10-24", "group_by", grain)
	}
	total := func(rows []map[string]any) (n float64) {
		for _, row := range rows {
			n += row["chats"].(float64)
		}
		return n
	}
	whole := reportRows(t, sim, "performance", "date_from", "2026-10-14", "date_to", "2026-10-24")
	if len(whole) != 1 || whole[0]["datetime"] != "10/14/2026" || whole[0]["dateto"] != "2026-10-24 23:59:59" || total(whole) == 0 {
		t.Fatalf("without group_by: %v", whole)
	}
	weeks := ask("week")
	if len(weeks) != 2 || weeks[0]["datetime"] != "10/14/2026" || weeks[0]["dateto"] != "2026-10-18 23:59:59" || weeks[1]["datetime"] != "10/19/2026" || weeks[1]["dateto"] != "2026-10-24 23:59:59" {
		t.Errorf("weeks %v", weeks)
	}
	for _, grain := range []string{"hour", "day", "week", "month"} {
		if n := total(ask(grain)); n != total(whole) {
			t.Errorf("%ss have %v chats, the whole %v", grain, n, total(whole))
		}
	}
}

func TestComplianceIsOfTheLastThirtyDaysUnlessAsked(t *testing.T) {
	sim := liveagentsim.New(simulated.Options{Seed: 3, Days: 120, Chats: 400, Start: start, Now: func() time.Time { return start }})
	count := func(parameters ...string) int {
		return len(reportRows(t, sim, "chats/slacompliance", append(parameters, "limitcount", "1000")...))
	}
	unasked, days, this, last, august := count(), count("datetime", "L30D"), count("datetime", "TM"), count("datetime", "LM"), count("datetime", "2026-08")
	if unasked == 0 || unasked != days || this == 0 || this > days || last == 0 || august == 0 {
		t.Errorf("unasked %d, L30D %d, TM %d, LM %d, August %d", unasked, days, this, last, august)
	}
	if n := count("date_from", "2026-08-01", "date_to", "2026-08-31"); n != 0 {
		t.Errorf("%d rows of August within the last 30 days", n)
	}
	if n := count("date_from", "2026-08-01", "date_to", "2026-08-31", "datetime", "2026-08"); n != august {
		t.Errorf("%d rows of August, want %d", n, august)
	}
}

func TestFiltersNarrowReports(t *testing.T) {
	sim := newSim()
	for report, d := range documented {
		all := reportRows(t, sim, report, october...)
		for _, p := range strings.Fields(d.parameters) {
			value := map[string]string{"departmentid": "dp01sale", "types": "W", "slalevelid": "lv01urge"}[p]
			switch column := map[string]string{"agentid": "userid", "requesterid": "req_contactid", "contactid": "contactid"}[p]; {
			case value == "" && column != "" && all[0][column] != nil:
				value = all[0][column].(string)
			case value == "":
				continue
			}
			some := reportRows(t, sim, report, append(slices.Clone(october), p, value)...)
			if len(some) == 0 || len(some) >= len(all) {
				t.Errorf("%s with %s=%s: %d of %d rows", report, p, value, len(some), len(all))
			}
		}
	}
}

func TestAnEditMovesNoReport(t *testing.T) {
	sim := newSim()
	read := func() (all string) {
		for _, report := range slices.Sorted(maps.Keys(documented)) {
			all += get(sim, "/api/reports/"+report, october...).Body.String()
		}
		return all
	}
	before := read()
	if n := sim.Change(5); n != 5 {
		t.Fatalf("Change(5) = %d", n)
	}
	if read() != before {
		t.Error("a report changed")
	}
}

func TestReportsInXMLAreIrregularAsDocumented(t *testing.T) {
	sim := newSim()
	for report, item := range map[string]string{
		"agents": "agent", "channels": "channel", "departments": "department", "performance": "item", "tags": "tag",
		"tickets/agentsavailability": "item", "chats/availability": "item", "calls/load": "load", "chats/slacompliance": "slacompliance",
		"calls/slalog": "slalog", "ranking": "rank",
	} {
		body := get(sim, "/api/reports/"+report+".xml", october...).Body.String()
		if want := "<response>\n <" + documented[report].list + ">\n  <" + item + ">\n"; !strings.Contains(body, want) {
			t.Errorf("%s: %.200s; want %s", report, body, want)
		}
	}
	if body := get(sim, "/api/reports/chats/slalog.xml", october...).Body.String(); !strings.Contains(body, "<server_date_closed>\n   </server_date_closed>") {
		t.Error("no line of the SLA log is open")
	}
}
