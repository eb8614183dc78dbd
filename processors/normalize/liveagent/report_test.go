package liveagent_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/liveagent"
	"github.com/parley-stream/parley/processors/processortest"
)

// example is one of the document's examples: the row's element, and its names and values in turn. The value of an empty element is "".
type example struct {
	item   string
	values []string
	key    string
	bucket []string // start, end, grain of a metric
}

const exampleFigures = "answers 0 newAnswerAvgTime 0 nextAnswerAvgTime 0 chat_answers 0 chats 0 missed_chats 0 chatPickupAvgTime 0 chatAvgTime 0 calls 0 " +
	"missed_calls 0 call_seconds 0 not_ranked 0 not_ranked_p 0.00 rewards 0 rewards_p 0.00 punishments 0 punishments_p 0.00 i_messages 0 i_chats 0 i_calls 0"

// The start and end of the days and hours of the examples, in Los Angeles.
var (
	exampleDay  = []string{"2014-01-24T08:00:00Z", "2014-01-25T08:00:00Z", "day"}
	exampleHour = []string{"2014-07-26T22:00:00Z", "2014-07-26T23:00:00Z", "hour"}
)

func words(text string) []string { return strings.Fields(text) }

// examples are the document's, by stream.
func examples() map[string]example {
	all := map[string]example{
		"reports/agents": {"agent", words("id hji78r9u contactid 456edf8y firstname Firstname lastname Lastname worktime 60 answers 0 answers_ph 0.00 " +
			"newAnswerAvgTime 0 nextAnswerAvgTime 0 calls 0 calls_ph 0.00 missed_calls 0 missed_calls_ph 0.00 call_seconds 0 call_seconds_ph 0.00 " +
			"chats 0 chats_ph 0.00 chat_answers 0 chat_answers_ph 0.00 missed_chats 0 missed_chats_ph 0.00 chatPickupAvgTime 0 chatAvgTime 0 " +
			"not_ranked 0 not_ranked_p 0.00 not_ranked_ph 0.00 rewards 0 rewards_p 0.00 rewards_ph 0.00 punishments 0 punishments_p 0.00 " +
			"punishments_ph 0.00"), "reports/agents/2014-01-24T08:00:00Z/day/agent=hji78r9u", exampleDay},
		"reports/channels":    {"channel", words("id 2 channelName Facebook " + exampleFigures), "reports/channels/2014-01-24T08:00:00Z/day/channel=2", exampleDay},
		"reports/departments": {"department", words("id 1234asdf departmentName General " + exampleFigures), "reports/departments/2014-01-24T08:00:00Z/day/department=1234asdf", exampleDay},
		"reports/tags":        {"tag", words("id 4gh5 tagName Urgent " + exampleFigures), "reports/tags/2014-01-24T08:00:00Z/day/tag=4gh5", exampleDay},
		"reports/performance": {
			"item", append([]string{"datetime", "01/25/2014", "dateto", "2014-01-27 23:59:59"}, words(exampleFigures)...),
			"reports/performance/2014-01-25T08:00:00Z/week",
			[]string{"2014-01-25T08:00:00Z", "2014-01-28T08:00:00Z", "week"},
		},
		"reports/ranking": {"rank", []string{
			"id", "49481", "rankingType", "W", "datecreated", "2014-08-26 07:06:30", "conversationid", "dfr895e3", "agentcontactid", "56df98rt",
			"agentEmail", "agent@example.com", "agent", "Agent Name", "contactid", "ert889d6", "requesterEmail", "customer@example.com",
			"requester", "Customer Name", "comment", "super",
		}, "49481", nil},
	}
	for _, of := range []string{"tickets", "chats", "calls"} {
		path := "reports/" + of + "/"
		all[path+"agentsavailability"] = example{"item", []string{
			"id", "363662", "userid", "1245asdf", "firstname", "Firstname", "lastname", "Lastname", "contactid", "hjkl78io", "departmentid", "drty894g",
			"department_name", "Test", "hours_online", "00:08:31", "from_date", "07/24/2014 16:25:06", "to_date", "now",
		}, path + "agentsavailability/363662", nil}
		all[path+"load"] = example{
			"load", append([]string{"date", "2014-07-26 15:00:00"},
				words("avgQueue 0.00 maxQueue 0 minQueue 0 avgSlots 0.00 maxSlots 0 minSlots 0 avgService 0.00 maxService 0 minService 0")...),
			path + "load/2014-07-26T22:00:00Z/hour", exampleHour,
		}
		all[path+"slacompliance"] = example{
			"slacompliance", append([]string{"date", "2014-07-26 15:00:00"},
				words("fulfilled 0 avgFulfilledTime 0 maxFulfilledTime 0 minFulfilledTime 0 unfulfilled 0 avgUnfulfilledTime 0 maxUnfulfilledTime 0 minUnfulfilledTime 0")...),
			path + "slacompliance/2014-07-26T22:00:00Z/hour", exampleHour,
		}
		all[path+"slalog"] = example{"slalog", []string{
			"id", "41355", "conversationid", "bf7b09ae", "code", "code", "departmentid", "XXX-XXXXX-XXX", "department_name", "General", "levelid", "3bd9cf58",
			"sla_level_name", "Urgent", "sla", "-01:56:53", "date_created", "08/26/2014 16:42:36", "date_closed", "08/26/2014 16:42:36",
			"server_date_closed", "2014-08-26 07:42:36", "date_due", "08/26/2014 18:39:29", "server_date_due", "2014-08-26 09:39:29", "sla_level_id", "gtrt7895",
			"agentid", "", "agent_firstname", "", "agent_lastname", "", "req_contactid", "2fe9e7c7", "req_firstname", "Customer firstname", "req_lastname", "Customer lastname",
		}, path + "slalog/41355", nil}
		if of != "tickets" {
			all[path+"availability"] = example{
				"item",
				[]string{"date", "2014-07-26 15:00:00", "mins", "59", "pct", "98.3333"},
				path + "availability/2014-07-26T22:00:00Z/hour", exampleHour,
			}
		}
	}
	return all
}

// asXML writes a row as the document does.
func (e example) asXML() string {
	var b strings.Builder
	b.WriteString("<" + e.item + ">\n")
	for i := 0; i < len(e.values); i += 2 {
		value := e.values[i+1]
		if value == "" {
			value = "\n    "
		}
		fmt.Fprintf(&b, "   <%s>%s</%[1]s>\n", e.values[i], value)
	}
	return b.String() + "  </" + e.item + ">"
}

// asJSON writes whole numbers as numbers, and an empty value as null.
func (e example) asJSON() string {
	var members []string
	for i := 0; i < len(e.values); i += 2 {
		value, _ := json.Marshal(e.values[i+1])
		switch {
		case e.values[i+1] == "":
			value = []byte("null")
		case json.Valid([]byte(e.values[i+1])) && !strings.Contains(e.values[i+1], "."):
			value = []byte(e.values[i+1])
		}
		members = append(members, fmt.Sprintf("%q:%s", e.values[i], value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (e example) record(stream, contentType, body string) *events.Record {
	r := processortest.Record("liveagent", stream, e.key, zone, "", contentType, body)
	if len(e.bucket) > 0 {
		r.Params = map[string]string{"start": e.bucket[0], "end": e.bucket[1], "grain": e.bucket[2], "timezone": zone}
	}
	return r
}

// with changes values, and adds those that the row has not.
func (e example) with(values ...string) example {
	e.values = slices.Clone(e.values)
	for i := 0; i < len(values); i += 2 {
		place := -1
		for j := 0; j < len(e.values); j += 2 {
			if e.values[j] == values[i] {
				place = j
			}
		}
		if place < 0 {
			e.values = append(e.values, values[i], values[i+1])
		} else {
			e.values[place+1] = values[i+1]
		}
	}
	return e
}

func (e example) without(name string) example {
	e.values = slices.Clone(e.values)
	for i := 0; i < len(e.values); i += 2 {
		if e.values[i] == name {
			e.values = slices.Delete(e.values, i, i+2)
			break
		}
	}
	return e
}

func TestEveryDocumentedReportIsReadAlikeInBothFormats(t *testing.T) {
	all := examples()
	if len(all) != 20 {
		t.Fatalf("%d reports, the document has 20", len(all))
	}
	for stream, e := range all {
		name := strings.ReplaceAll(stream, "/", "_")
		t.Run(stream+" in XML", func(t *testing.T) {
			processortest.Golden(t, liveagent.Normalize, name, e.record(stream, events.ContentXML, e.asXML()))
		})
		t.Run(stream+" in JSON", func(t *testing.T) {
			processortest.Golden(t, liveagent.Normalize, name, e.record(stream, events.ContentJSON, e.asJSON()))
		})
	}
}

// entity normalises a changed example in both formats, which must agree.
func entity[E events.Entity](t *testing.T, stream string, e example) E {
	t.Helper()
	var contents []string
	var out E
	for contentType, body := range map[string]string{events.ContentXML: e.asXML(), events.ContentJSON: e.asJSON()} {
		r := e.record(stream, contentType, body)
		got, err := liveagent.Normalize(r)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		contents = append(contents, string(processortest.Check(t, liveagent.Normalize, r, got)))
		out = got.(E)
	}
	if contents[0] != contents[1] {
		t.Errorf("the formats differ:\n%s\n%s", contents[0], contents[1])
	}
	return out
}

func TestFiguresAreMeasuresAndTheRestIsAttributes(t *testing.T) {
	e := examples()["reports/agents"].with("answers", "12", "answers_ph", "-3.75", "rewards_p", "66.6667", "calls", "", "chats", "many", "call_seconds", "9007199254740993", "notes_ph", "4.50")
	m := entity[*events.Metric](t, "reports/agents", e)
	for name, want := range map[string]float64{"answers": 12, "answers_ph": -3.75, "rewards_p": 66.6667, "worktime": 60, "punishments": 0} {
		if got, ok := m.Measures[name]; !ok || got != want {
			t.Errorf("%s is %v, %v; want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"calls", "chats", "call_seconds", "notes_ph", "firstname"} {
		if got, ok := m.Measures[name]; ok {
			t.Errorf("%s is the measure %v", name, got)
		}
	}
	for name, want := range map[string]string{"chats": "many", "call_seconds": "9007199254740993", "notes_ph": "4.50", "firstname": "Firstname", "contactid": "456edf8y"} {
		if got := fmt.Sprint(m.Attributes[name]); got != want {
			t.Errorf("attribute %s is %s, want %s", name, got, want)
		}
	}
	if _, is := m.Attributes["calls"]; is || len(m.Attributes) != 6 {
		t.Errorf("attributes %v", m.Attributes)
	}
	if !maps.Equal(m.Dimensions, map[string]string{"agent": "hji78r9u"}) || m.Report != "reports/agents" {
		t.Errorf("report %s, dimensions %v", m.Report, m.Dimensions)
	}
}

func TestATimeThatTheIntervalDoesNotTellStays(t *testing.T) {
	bucket := func(start, end, grain string) []string { return []string{start, end, grain} }
	cases := map[string]struct {
		stream, column, text string
		bucket               []string
		stays                bool
	}{
		"an hour":                      {"reports/chats/load", "date", "2014-07-26 15:00:00", exampleHour, false},
		"an hour as people write it":   {"reports/chats/load", "date", "07/26/2014 15:00:00", exampleHour, false},
		"another hour":                 {"reports/chats/load", "date", "2014-07-26 16:00:00", exampleHour, true},
		"an hour that came twice":      {"reports/chats/load", "date", "2014-11-02 01:00:00", bucket("2014-11-02T08:00:00Z", "2014-11-02T09:00:00Z", "hour"), true},
		"the second such hour":         {"reports/chats/load", "date", "2014-11-02 01:00:00", bucket("2014-11-02T09:00:00Z", "2014-11-02T10:00:00Z", "hour"), true},
		"a day":                        {"reports/chats/load", "date", "2014-07-26", bucket("2014-07-26T07:00:00Z", "2014-07-27T07:00:00Z", "day"), false},
		"an end":                       {"reports/performance", "dateto", "2014-01-27 23:59:59", examples()["reports/performance"].bucket, false},
		"an end that is another":       {"reports/performance", "dateto", "2014-01-31 23:59:59", examples()["reports/performance"].bucket, true},
		"an end that cannot be read":   {"reports/performance", "dateto", "later", examples()["reports/performance"].bucket, true},
		"a start that is another":      {"reports/performance", "datetime", "01/24/2014", examples()["reports/performance"].bucket, true},
		"a date of a report of sums":   {"reports/agents", "date", "2014-01-24", exampleDay, true},
		"an unknown column that is so": {"reports/chats/load", "dateto", "2014-07-26 15:59:59", exampleHour, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := examples()[c.stream].with(c.column, c.text)
			e.bucket = c.bucket
			if c.stream != "reports/agents" {
				start, _ := time.Parse(time.RFC3339, c.bucket[0])
				e.key = events.MetricKey(c.stream, start, c.bucket[2], nil)
			}
			m := entity[*events.Metric](t, c.stream, e)
			if got, stays := m.Attributes[c.column]; stays != c.stays || stays && got != c.text {
				t.Errorf("attribute %v, %v; want it: %v", got, stays, c.stays)
			}
			if m.Interval.Start.Format(time.RFC3339) != c.bucket[0] || m.Interval.End.Format(time.RFC3339) != c.bucket[1] || m.Interval.Grain != c.bucket[2] {
				t.Errorf("interval %+v", m.Interval)
			}
		})
	}
}

func TestAvailabilityThatGoesOnMakesNoNews(t *testing.T) {
	const stream = "reports/chats/agentsavailability"
	e := examples()[stream]
	first, later := entity[*events.Activity](t, stream, e), entity[*events.Activity](t, stream, e.with("hours_online", "00:09:31"))
	a, _ := events.EncodeContent(first)
	b, _ := events.EncodeContent(later)
	if string(a) != string(b) || first.DurationS != nil || !first.EndedAt.IsZero() || first.Attributes["to_date"] != "now" {
		t.Errorf("it is\n%s, a minute later\n%s", a, b)
	}
	ended := entity[*events.Activity](t, stream, e.with("to_date", "07/25/2014 16:25:07", "hours_online", "24:00:01"))
	if ended.DurationS == nil || *ended.DurationS != 86401 || ended.EndedAt.Sub(ended.StartedAt) != 86401*time.Second || ended.State != "online" {
		t.Errorf("ended it is %+v", ended)
	}
	odd := entity[*events.Activity](t, stream, e.with("to_date", "then", "from_date", "2014-13-01", "hours_online", "8 h"))
	if odd.DurationS != nil || odd.Attributes["to_date"] != "then" || odd.Attributes["from_date"] != "2014-13-01" || odd.Attributes["hours_online"] != "8 h" {
		t.Errorf("odd times give %+v", odd)
	}
}

func TestSlackIsWhatWasLeft(t *testing.T) {
	const stream = "reports/tickets/slalog"
	e := examples()[stream]
	for offset, want := range map[string]float64{"-01:56:53": 7013, "00:00:01": -1, "00:00:00": 0, "-126:00:00": 453600} {
		s := entity[*events.SLA](t, stream, e.with("sla", offset))
		if s.SlackS == nil || *s.SlackS != want || fmt.Sprint(*s.SlackS) == "-0" {
			t.Errorf("offset %s: slack %v, want %v", offset, s.SlackS, want)
		}
	}
	s := entity[*events.SLA](t, stream, e.with("sla", "soon", "server_date_due", "soon"))
	if s.SlackS != nil || s.Attributes["sla"] != "soon" || s.Attributes["server_date_due"] != "soon" || !s.DueAt.IsZero() {
		t.Errorf("%+v", s)
	}
	open := e.with("server_date_closed", "", "date_closed", "")
	if s = entity[*events.SLA](t, stream, open); s.SlackS != nil || s.Attributes["sla"] != nil || !s.ClosedAt.IsZero() {
		t.Errorf("a line that is not closed has %+v", s)
	}
	a, _ := events.EncodeContent(s)
	b, _ := events.EncodeContent(entity[*events.SLA](t, stream, open.with("sla", "00:10:00")))
	if string(a) != string(b) {
		t.Error("a line that is not closed changes by the clock alone")
	}
}

func TestNamesOfLogsAreWholeOrPartly(t *testing.T) {
	const stream = "reports/calls/slalog"
	e := examples()[stream]
	s := entity[*events.SLA](t, stream, e.with("agentid", "ag1", "agent_firstname", "", "agent_lastname", "Berg"))
	if s.Agent == nil || s.Agent.ID != "ag1" || s.Agent.Name != "Berg" || s.ConversationID != "liveagent:test:bf7b09ae" || s.Conversation() != s.ConversationID {
		t.Errorf("%+v, conversation %s", s.Agent, s.ConversationID)
	}
	s = entity[*events.SLA](t, stream, e.with("conversationid", "", "levelid", "", "sla_level_name", "", "req_contactid", "", "req_firstname", "", "req_lastname", ""))
	if s.ConversationID != "" || s.Level != nil || s.Requester != nil || s.Agent != nil {
		t.Errorf("%+v", s)
	}
}

func TestRankingsAreGoodOrBad(t *testing.T) {
	const stream = "reports/ranking"
	for letter, want := range map[string]string{"W": "good", "P": "bad", "Z": "", "": ""} {
		r := entity[*events.Rating](t, stream, examples()[stream].with("rankingType", letter))
		if r.Value != want || fmt.Sprint(r.Attributes["rankingType"]) == "<nil>" != (want != "" || letter == "") {
			t.Errorf("%q is %q, attributes %v", letter, r.Value, r.Attributes)
		}
	}
	r := entity[*events.Rating](t, stream, example{item: "rank", values: []string{"id", "5"}, key: "5"})
	if r.Agent != nil || r.Requester != nil || r.ConversationID != "" || !r.At.IsZero() || r.Attributes != nil {
		t.Errorf("%+v", r)
	}
}

func TestMalformedRowsOfReportsAreRefused(t *testing.T) {
	all := examples()
	agents, load, log := all["reports/agents"], all["reports/chats/load"], all["reports/chats/slalog"]
	inXML := func(stream string, e example) *events.Record { return e.record(stream, events.ContentXML, e.asXML()) }
	keyed := func(e example, key string) example { e.key = key; return e }
	times := func(e example, bucket ...string) example { e.bucket = bucket; return e }
	two := inXML("reports/agents", agents)
	two.Parts = append(two.Parts, two.Parts[0])
	large := inXML("reports/agents", agents)
	large.Parts[0].Body.Size = events.MaxRecordBytes + 1
	zoneless := inXML("reports/agents", agents)
	zoneless.Timezone = "Mars/Olympus"
	cases := map[string]struct {
		record *events.Record
		want   string
	}{
		"no id":                       {inXML("reports/agents", agents.without("id")), "id"},
		"an empty id":                 {inXML("reports/agents", agents.with("id", "")), "id"},
		"another id":                  {inXML("reports/agents", agents.with("id", "other")), "key"},
		"a line without an id":        {inXML("reports/chats/slalog", log.without("id")), "id"},
		"a line with another id":      {inXML("reports/chats/slalog", log.with("id", "9")), "key"},
		"a line under its bare id":    {inXML("reports/chats/slalog", keyed(log, "41355")), "key"},
		"no key":                      {inXML("reports/chats/load", keyed(load.with("date", "soon"), "")), "soon"},
		"another start":               {inXML("reports/chats/load", times(load, "2014-07-26T21:00:00Z", "2014-07-26T23:00:00Z", "hour")), "key"},
		"another grain":               {inXML("reports/chats/load", times(load, "2014-07-26T22:00:00Z", "2014-07-26T23:00:00Z", "minute")), "grain"},
		"no start":                    {inXML("reports/chats/load", times(load)), "grain"},
		"an odd end":                  {inXML("reports/chats/load", times(load, "2014-07-26T22:00:00Z", "later", "hour")), "end"},
		"two parts":                   {two, "part"},
		"too large":                   {large, "too large"},
		"another zone":                {zoneless, "time zone"},
		"another element":             {load.record("reports/chats/load", events.ContentXML, all["reports/chats/slalog"].asXML()), "slalog"},
		"text":                        {load.record("reports/chats/load", events.ContentXML, "<load>x</load>"), "text"},
		"an element without an end":   {load.record("reports/chats/load", events.ContentXML, "<load><date></load>"), "date"},
		"an array":                    {load.record("reports/chats/load", events.ContentJSON, "[1]"), "object"},
		"no JSON":                     {load.record("reports/chats/load", events.ContentJSON, `{"date":"2014-07-26 15:00:00","avgQueue":00}`), "invalid"},
		"CSV":                         {load.record("reports/chats/load", events.ContentCSV, "date"), "content type"},
		"a report that there is none": {load.record("reports/tickets/availability", events.ContentXML, load.asXML()), "unknown"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { processortest.Malformed(t, liveagent.Normalize, c.record, c.want) })
	}
}

func TestWhatIsNoTextInARowIsReplacedAndSaid(t *testing.T) {
	e := examples()["reports/ranking"]
	for name, r := range map[string]*events.Record{
		"invalid_utf8":           e.record("reports/ranking", events.ContentXML, strings.Replace(e.asXML(), "super", "su\xffper", 1)),
		"invalid_xml_characters": e.record("reports/ranking", events.ContentXML, strings.Replace(e.asXML(), "super", "su&#1;per", 1)),
	} {
		got, err := liveagent.Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		processortest.Check(t, liveagent.Normalize, r, got)
		if v := got.(*events.Rating); v.Comment != "su\uFFFDper" || v.Attributes[name] != true {
			t.Errorf("%s: comment %q, attributes %v", name, v.Comment, v.Attributes)
		}
	}
}

// FuzzReport varies the rows of all reports.
func FuzzReport(f *testing.F) {
	all := examples()
	streams := slices.Sorted(maps.Keys(all))
	for i, stream := range streams {
		f.Add(i, []byte(all[stream].asXML()))
		f.Add(i, []byte(all[stream].asJSON()))
	}
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		if i < 0 || i >= len(streams) {
			return
		}
		contentType := events.ContentJSON
		if strings.HasPrefix(string(body), "<") {
			contentType = events.ContentXML
		}
		r := all[streams[i]].record(streams[i], contentType, string(body))
		if entity, err := liveagent.Normalize(r); err == nil {
			processortest.Check(t, liveagent.Normalize, r, entity)
		}
	})
}
