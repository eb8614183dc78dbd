package livechatreports_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/pollertest"
)

// distributed are the reports that DISTRIBUTION decides about.
var distributed = []string{
	"chats/duration", "chats/tags", "chats/total_chats", "chats/ratings", "chats/engagement", "chats/greetings_conversion",
	"chats/response_time", "chats/first_response_time",
}

func TestEachNameIsARecord(t *testing.T) {
	const day = " grain:day report:"
	const end = "end:2026-10-25T23:00:00Z"
	cases := map[string]struct {
		report, body string
		want         []told
	}{
		"of a tag": {"chats/tags", `{"name":"tags-report","records":{"2026-10-25":{"sales lead":2, "a/b":1}}}`, []told{
			{"chats/tags/2026-10-24T22:00:00Z/day/tag=sales lead", `{"sales lead":2}`, "bucket:2026-10-25 dimension:tag " + end + day + "chats/tags " + sunday},
			{"chats/tags/2026-10-24T22:00:00Z/day/tag=a/b", `{"a/b":1}`, "bucket:2026-10-25 dimension:tag " + end + day + "chats/tags " + sunday},
		}},
		"of a greeting": {"chats/greetings_conversion", `{"name":"greetings-conversion-report","records":{"2026-10-25":{"18":{"accepted":1}}}}`, []told{
			{"chats/greetings_conversion/2026-10-24T22:00:00Z/day/greeting=18", `{"18":{"accepted":1}}`, "bucket:2026-10-25 dimension:greeting " + end + day + "chats/greetings_conversion " + sunday},
		}},
		"of an agent's rank": {"chats/ranking", `{"name":"ranking-report","records":{"a@b.example":{"total":3,"score":0.5}}}`, []told{
			{"chats/ranking/2026-10-24T22:00:00Z/day/agent=a@b.example", `{"a@b.example":{"total":3,"score":0.5}}`, "dimension:agent " + end + day + "chats/ranking " + sunday},
		}},
		"of an agent's work": {"agents/performance", `{"name":"performance-report","records":{"a@b.example":{"chats_count":3}},"summary":{"chats_count":3}}`, []told{
			{"agents/performance/2026-10-24T22:00:00Z/day/agent=a@b.example", `{"a@b.example":{"chats_count":3}}`, "dimension:agent " + end + day + "agents/performance " + sunday},
			{"agents/performance/2026-10-24T22:00:00Z/window", `{"name":"performance-report","summary":{"chats_count":3}}`, end + " grain:window report:agents/performance " + sunday},
		}},
		"of a tag's usage": {"tags/chat_usage", `{"name":"tags-chat-usage-report","records":{"refund":5}}`, []told{
			{"tags/chat_usage/2026-10-24T22:00:00Z/day/tag=refund", `{"refund":5}`, "dimension:tag " + end + day + "tags/chat_usage " + sunday},
		}},
		"of no name": {"stats/visitors", `{"name":"visitors-report","summary":{}}`, []told{
			{"stats/visitors/2026-10-24T22:00:00Z/window", `{"name":"visitors-report","summary":{}}`, end + " grain:window report:stats/visitors " + sunday},
		}},
		"of no bucket but hours": {"agents/availability", `{"name":"availability-report","total":7.5,"records":{"2026-10-25":{"hours":7.5}}}`, []told{
			{"agents/availability/2026-10-24T22:00:00Z/day", `{"2026-10-25":{"hours":7.5}}`, "bucket:2026-10-25 " + end + day + "agents/availability " + sunday},
			{"agents/availability/2026-10-24T22:00:00Z/window", `{"name":"availability-report","total":7.5}`, end + " grain:window report:agents/availability " + sunday},
		}},
		"that is empty": {"tags/chat_usage", `{"name":"tags-chat-usage-report","records":{"":5}}`, []told{
			{"", `{"":5}`, "grain:day report:tags/chat_usage timezone:Europe/Oslo"},
		}},
		"twice but for what is no UTF-8": {"tags/chat_usage", "{\"name\":\"tags-chat-usage-report\",\"records\":{\"a\xff\":5,\"a\xfe\":6}}", []told{
			{"tags/chat_usage/2026-10-24T22:00:00Z/day/tag=a\ufffd", "{\"a\xff\":5}", "dimension:tag " + end + day + "tags/chat_usage " + sunday},
			{"", "{\"a\xfe\":6}", "dimension:tag " + end + day + "tags/chat_usage " + sunday},
		}},
		"unless the bucket has none": {"chats/tags", `{"name":"tags-report","records":{"2026-10-25":7}}`, []told{
			{"chats/tags/2026-10-24T22:00:00Z/day", `{"2026-10-25":7}`, "bucket:2026-10-25 " + end + day + "chats/tags " + sunday},
		}},
		"unless it is there twice": {"chats/tags", `{"name":"tags-report","records":{"2026-10-25":{"a":1,"a":2}}}`, []told{
			{"chats/tags/2026-10-24T22:00:00Z/day", `{"2026-10-25":{"a":1,"a":2}}`, "bucket:2026-10-25 " + end + day + "chats/tags " + sunday},
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := open(t, &vendor{body: []byte(c.body)}, nil)
			records, err := pollertest.Collect(p, of(t, c.report))
			if err != nil {
				t.Fatal(err)
			}
			wantRecords(t, records, c.want)
		})
	}
}

func TestAFormGivesItselfItsAnswersAndItsFieldsWithoutAnswers(t *testing.T) {
	v := &vendor{body: []byte(`{"name":"form-report","records":[
		{"form_id":"f1","count":5,"group_id":0,"fields":[
			{"field_id":"q1","label":"Question:","answers":[{"answer_id":0,"label":"Yes","count":3},{"answer_id":1,"label":"No"},{"label":"?"}]},
			{"field_id":"q2","label":"Name:","answers":null},
			{"label":"lost"}]},
		{"form_id":"f1","count":6,"group_id":1},
		{"form_id":"f2"},
		{"count":1}, 7]}`)}
	p, _ := open(t, v, nil)
	records, err := pollertest.Collect(p, of(t, "chats/forms"))
	if err != nil {
		t.Fatal(err)
	}
	const key = "chats/forms/2026-10-24T22:00:00Z/day/"
	const params = "end:2026-10-25T23:00:00Z grain:day report:chats/forms " + sunday
	const lost = "grain:day report:chats/forms timezone:Europe/Oslo"
	wantRecords(t, records, []told{
		{key + "form=f1/group=0", `form{"form_id":"f1","count":5,"group_id":0}`, params},
		{key + "answer=0/field=q1/form=f1/group=0", `form{"form_id":"f1","group_id":0} field{"field_id":"q1","label":"Question:"} answer{"answer_id":0,"label":"Yes","count":3}`, params},
		{key + "answer=1/field=q1/form=f1/group=0", `form{"form_id":"f1","group_id":0} field{"field_id":"q1","label":"Question:"} answer{"answer_id":1,"label":"No"}`, params},
		{"", `answer{"label":"?"}`, lost},
		{key + "field=q2/form=f1/group=0", `form{"form_id":"f1","group_id":0} field{"field_id":"q2","label":"Name:"}`, params},
		{"", `field{"label":"lost"}`, lost},
		{key + "form=f1/group=1", `form{"form_id":"f1","count":6,"group_id":1}`, params},
		{key + "form=f2", `form{"form_id":"f2"}`, params},
		{"", `form{"count":1}`, lost},
		{"", `form7`, lost},
	})
}

func TestWhatIsNoFormOfRecordsIsIncomplete(t *testing.T) {
	cases := map[string]struct{ report, body string }{
		"forms that are an object":      {"chats/forms", `{"name":"form-report","records":{}}`},
		"forms that are null":           {"chats/forms", `{"name":"form-report","records":null}`},
		"no forms":                      {"chats/forms", `{"name":"form-report"}`},
		"forms that are no JSON inside": {"chats/forms", `{"name":"form-report","records":[{"form_id" 1}]}`},
		"visitors without a summary":    {"stats/visitors", `{"name":"visitors-report","records":{}}`},
		"a summary that is null":        {"stats/visitors", `{"name":"visitors-report","summary":null}`},
		"agents that are a list":        {"chats/ranking", `{"name":"ranking-report","records":[]}`},
		"an agent twice":                {"chats/ranking", `{"name":"ranking-report","records":{"a":{},"a":{"total":1}}}`},
		"no agents":                     {"agents/performance", `{"name":"performance-report","summary":{}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := open(t, &vendor{body: []byte(c.body)}, nil)
			if records, err := pollertest.Collect(p, of(t, c.report)); !errors.Is(err, pollers.ErrIncomplete) || len(records) != 0 {
				t.Errorf("%d records, %v; want none and ErrIncomplete", len(records), err)
			}
		})
	}
}

func TestBucketsAreNamedInSeveralForms(t *testing.T) {
	cases := map[string]struct {
		distribution, name, start, end string
	}{
		"an hour":                         {"hour", "2026-10-25 13:00", "2026-10-25T12:00:00Z", "2026-10-25T13:00:00Z"},
		"an hour with T":                  {"hour", "2026-10-25T13:00", "2026-10-25T12:00:00Z", "2026-10-25T13:00:00Z"},
		"an hour with seconds":            {"hour", "2026-10-25 13:00:00", "2026-10-25T12:00:00Z", "2026-10-25T13:00:00Z"},
		"an hour without minutes":         {"hour", "2026-10-25 13", "2026-10-25T12:00:00Z", "2026-10-25T13:00:00Z"},
		"an hour without its day":         {"hour", "13:00", "2026-10-25T12:00:00Z", "2026-10-25T13:00:00Z"},
		"an hour's number":                {"hour", "7", "2026-10-25T06:00:00Z", "2026-10-25T07:00:00Z"},
		"an hour in RFC 3339":             {"hour", "2026-10-25T02:00:00+01:00", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		"an hour that comes twice":        {"hour", "2026-10-25 02:00", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"},
		"the first hour":                  {"hour", "2026-10-25 00:00", "2026-10-24T22:00:00Z", "2026-10-24T23:00:00Z"},
		"an hour of the day":              {"day-hours", "23:00", "2026-10-25T22:00:00Z", "2026-10-25T23:00:00Z"},
		"an hour of the day by number":    {"day-hours", "0", "2026-10-24T22:00:00Z", "2026-10-24T23:00:00Z"},
		"a month":                         {"month", "2026-10", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"},
		"a month's first day":             {"month", "2026-10-01", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"},
		"a year":                          {"year", "2026", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"},
		"a year's first day":              {"year", "2026-01-01", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"},
		"half an hour":                    {"hour", "2026-10-25 13:30", "", ""},
		"an hour of 61 minutes":           {"hour", "2026-10-25 13:61", "", ""},
		"half an hour in RFC 3339":        {"hour", "2026-10-25T13:30:00+01:00", "", ""},
		"a day for an hour":               {"hour", "2026-10-25", "", ""},
		"an hour for a day":               {"day", "2026-10-25 13:00", "", ""},
		"any day for a month":             {"month", "2026-10-25", "", ""},
		"any day for a year":              {"year", "2026-10-25", "", ""},
		"a word for an hour":              {"day-hours", "noon", "", ""},
		"a day of the week for a month":   {"month", "October", "", ""},
		"an hour that no clock shows":     {"hour", "25:00", "", ""},
		"a year of two digits":            {"year", "26", "", ""},
		"a month without a leading zero":  {"month", "2026-9", "", ""},
		"a day without its leading zeros": {"day", "2026-10-5", "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := open(t, &vendor{body: answer(`{"` + c.name + `":{}}`)}, map[string]string{"DISTRIBUTION": c.distribution})
			records, err := pollertest.Collect(p, october(t))
			if err != nil {
				t.Fatal(err)
			}
			key := ""
			if c.start != "" {
				key = "chats/ratings/" + c.start + "/" + c.distribution
			}
			if r := records[0]; r.Key != key || r.Params["start"] != c.start || r.Params["end"] != c.end || r.Params["grain"] != c.distribution {
				t.Errorf("key %q, %v; want %q until %q", r.Key, r.Params, key, c.end)
			}
		})
	}
}

func TestABucketThatWasNotAskedForIsIncomplete(t *testing.T) {
	for distribution, name := range map[string]string{
		"hour": "2026-10-26 00:00", "day": "2026-10-24", "day-hours": "2026-10-24T23:00:00+02:00", "month": "2026-09", "year": "2027",
	} {
		p, _ := open(t, &vendor{body: answer(`{"` + name + `":{}}`)}, map[string]string{"DISTRIBUTION": distribution})
		if _, err := pollertest.Collect(p, october(t)); !errors.Is(err, pollers.ErrIncomplete) {
			t.Errorf("%s %s: %v; want ErrIncomplete", distribution, name, err)
		}
	}
}

func TestAnHourThatTheClocksSkippedIsNoRecordWhenItIsEmpty(t *testing.T) {
	w := pollers.Window{Stream: "chats/ratings", From: date(t, "Europe/Oslo", 2026, 3, 29, 0), To: date(t, "Europe/Oslo", 2026, 3, 30, 0)}
	for body, want := range map[string][]string{
		`{"2026-03-29 01:00":{},"2026-03-29 02:00":{},"2026-03-29 03:00":{}}`:           {"chats/ratings/2026-03-29T00:00:00Z/hour", "chats/ratings/2026-03-29T01:00:00Z/hour"},
		`{"2026-03-29 02:00":{"chats":1},"2026-03-29 03:00":{}}`:                        {"", "chats/ratings/2026-03-29T01:00:00Z/hour"},
		`{"2026-03-29 03:00":{},"03:00":{"chats":1},"2026-03-29T03:00:00+02:00":{}}`:    {"chats/ratings/2026-03-29T01:00:00Z/hour", "", ""},
		`{"2026-03-28T23:00:00Z":{},"2026-03-29T00:00:00+00:00":{},"2026-03-29 23":{}}`: {"chats/ratings/2026-03-28T23:00:00Z/hour", "chats/ratings/2026-03-29T00:00:00Z/hour", "chats/ratings/2026-03-29T21:00:00Z/hour"},
	} {
		p, _ := open(t, &vendor{body: answer(body)}, map[string]string{"DISTRIBUTION": "hour"})
		records, err := pollertest.Collect(p, w)
		var keys []string
		for _, r := range records {
			keys = append(keys, r.Key)
		}
		if want = append(want, "chats/ratings/2026-03-28T23:00:00Z/window"); err != nil || !slices.Equal(keys, want) {
			t.Errorf("%s: %q, %v; want %q", body, keys, err, want)
		}
	}
}

func TestAnHourOfADayThatTheZoneSkippedHasNoKey(t *testing.T) {
	p, _ := open(t, &vendor{body: answer(`{"2011-12-30 05:00":{"chats":1},"2011-12-31 05:00":{}}`)}, map[string]string{"TIMEZONE": "Pacific/Apia", "DISTRIBUTION": "hour"})
	w := pollers.Window{Stream: "chats/ratings", From: date(t, "Pacific/Apia", 2011, 12, 31, 0), To: date(t, "Pacific/Apia", 2012, 1, 1, 0)}
	records, err := pollertest.Collect(p, w)
	if err != nil || len(records) != 3 || records[0].Key != "" || records[1].Key == "" {
		t.Errorf("%v, %v; want a first record without a key", records, err)
	}
}

func TestReportsWithoutBucketsAreAskedForByTheDay(t *testing.T) {
	cases := map[string]struct{ report, body, want string }{
		"ranking":                       {"chats/ranking", `{"name":"ranking-report","records":{}}`, `{"timezone":`},
		"forms":                         {"chats/forms", `{"name":"form-report","records":[]}`, `{"timezone":`},
		"performance":                   {"agents/performance", `{"name":"performance-report","records":{}}`, `{"timezone":`},
		"chat usage":                    {"tags/chat_usage", `{"name":"tags-chat-usage-report","records":{}}`, `{"timezone":`},
		"visitors":                      {"stats/visitors", `{"name":"visitors-report","summary":{}}`, `{"timezone":`},
		"availability has no months":    {"agents/availability", `{"name":"availability-report","records":{}}`, `{"distribution":"day","timezone":`},
		"while the others have buckets": {"chats/tags", `{"name":"tags-report","records":{}}`, `{"distribution":"month","timezone":`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := &vendor{body: []byte(c.body)}
			p, _ := open(t, v, map[string]string{"DISTRIBUTION": "month"})
			if _, err := pollertest.Collect(p, of(t, c.report)); err != nil {
				t.Fatal(err)
			}
			from := `"from":"2026-10-25T00:00:00+02:00","to":"2026-10-25T23:59:59.999999+01:00"`
			if c.report == "chats/tags" {
				from = `"from":"2026-10-01T00:00:00+02:00","to":"2026-10-31T23:59:59.999999+01:00"`
			}
			if !strings.HasPrefix(v.sent, c.want) || !strings.Contains(v.sent, from) {
				t.Errorf("sent %s", v.sent)
			}
		})
	}
}

func TestADayOfAHundredGreetingsIsCapped(t *testing.T) {
	bucket := func(from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%d":{"displayed":1}`, from+i)
		}
		return "{" + strings.TrimPrefix(b.String(), ",") + "}"
	}
	cases := map[string]struct {
		report, distribution, records string
		want                          bool
	}{
		"99 greetings":                     {"chats/greetings_conversion", "day", `{"2026-10-25":` + bucket(0, 99) + `}`, false},
		"100 greetings":                    {"chats/greetings_conversion", "day", `{"2026-10-25":` + bucket(0, 100) + `}`, true},
		"100 in all hours":                 {"chats/greetings_conversion", "hour", `{"12:00":` + bucket(0, 60) + `,"13:00":` + bucket(0, 40) + `}`, true},
		"100 in an hour":                   {"chats/greetings_conversion", "hour", `{"12:00":` + bucket(0, 100) + `,"13:00":` + bucket(0, 40) + `}`, true},
		"more than 100, so not all hours'": {"chats/greetings_conversion", "hour", `{"12:00":` + bucket(0, 60) + `,"13:00":` + bucket(0, 60) + `}`, false},
		"100 tags":                         {"chats/tags", "day", `{"2026-10-25":` + bucket(0, 100) + `}`, false},
		"nothing":                          {"chats/greetings_conversion", "day", `{}`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			report := map[string]string{"chats/tags": "tags-report"}[c.report]
			if report == "" {
				report = "greetings-conversion-report"
			}
			p, _ := open(t, &vendor{body: []byte(`{"name":"` + report + `","records":` + c.records + `}`)}, map[string]string{"DISTRIBUTION": c.distribution})
			reading, err := p.Fetch(t.Context(), of(t, c.report), func(events.Record) error { return nil })
			if err != nil || reading.Capped != c.want {
				t.Errorf("capped: %v, %v; want %v", reading.Capped, err, c.want)
			}
		})
	}
}

func TestAReportThatIsNotThereIsUnavailable(t *testing.T) {
	for body, want := range map[string]bool{
		`no`: true, `{"error":{"type":"not_found","message":"no"}}`: true, `{"error":{"type":"internal","message":"no"}}`: false,
	} {
		p, _ := open(t, &vendor{status: 404, body: []byte(body)}, nil)
		if _, err := pollertest.Collect(p, october(t)); err == nil || pollers.IsUnavailable(err) != want {
			t.Errorf("%s: unavailable %v (%v); want %v", body, !want, err, want)
		}
	}
}

func FuzzForms(f *testing.F) {
	f.Add([]byte(`[{"form_id":"f","count":1,"fields":[{"field_id":1,"answers":[{"answer_id":0,"label":"x"},{}]}]}]`))
	f.Add([]byte(`[{"form_id":"f","fields":{}},7,{"form_id":"f","form_id":"g"},{"form_id":1e9,"fields":[[]]}]`))
	f.Fuzz(func(t *testing.T, list []byte) {
		p, _ := open(t, &vendor{body: []byte(`{"name":"form-report","records":` + string(list) + `}`)}, nil)
		records, err := pollertest.Collect(p, of(t, "chats/forms"))
		if err != nil && len(records) > 0 {
			t.Fatalf("%d records beside %v", len(records), err)
		}
		seen := map[string]bool{}
		for _, r := range records {
			if r.Key != "" && seen[r.Key] {
				t.Fatalf("%q twice", r.Key)
			}
			seen[r.Key] = true
		}
		var forms []json.RawMessage
		if err == nil && json.Unmarshal(list, &forms) == nil && len(records) < len(forms) {
			t.Fatalf("%d records of %d forms", len(records), len(forms))
		}
	})
}

// FuzzBucketName holds every name that is understood to the time that its record has.
func FuzzBucketName(f *testing.F) {
	for _, seed := range []string{
		"2026-10-25", "2026-3-1", "0000-01-01", "9999-12-31", "2026-10-25 ", "26-10-25", "2026-10-25T00:00:00Z", "٢٠٢٦-10-25", "2026-10-25 02:00", "2", "02:00", "2026-10", "2026",
	} {
		for _, distribution := range []string{"hour", "day", "day-hours", "month", "year"} {
			f.Add(seed, "Europe/Oslo", distribution)
			f.Add(seed, "Africa/Cairo", distribution)
		}
	}
	digits := map[string]string{"day": "20060102", "month": "200601", "year": "2006"}
	f.Fuzz(func(t *testing.T, name, zone, distribution string) {
		loc, err := time.LoadLocation(zone)
		known := []string{"hour", "day", "day-hours", "month", "year"}
		if err != nil || zone == "" || zone == "Local" || !slices.Contains(known, distribution) {
			return
		}
		text, _ := json.Marshal(name)
		p, _ := open(t, &vendor{body: answer(`{` + string(text) + `:{}}`)}, map[string]string{"TIMEZONE": zone, "DISTRIBUTION": distribution})
		at := time.Date(2026, 10, 25, 12, 0, 0, 0, loc)
		records, err := pollertest.Collect(p, pollers.Window{Stream: "chats/ratings", From: at, To: at.Add(time.Hour)})
		if err != nil || records[0].Key == "" || records[0].Params["grain"] == "window" {
			return
		}
		start, err := time.Parse(time.RFC3339, records[0].Params["start"])
		end, err2 := time.Parse(time.RFC3339, records[0].Params["end"])
		if err != nil || err2 != nil || !start.Before(end) {
			t.Fatalf("%q in %s: %v", name, zone, records[0].Params)
		}
		form := digits[distribution]
		local := start.In(loc)
		if form != "" && (!strings.HasPrefix(strings.ReplaceAll(name, "-", ""), local.Format(form)) || start.Add(-1).In(loc).Format(form) == local.Format(form)) {
			t.Fatalf("%q in %s starts at %s", name, zone, local)
		}
		if form == "" && !strings.Contains(name, fmt.Sprint(local.Hour())) && !strings.ContainsAny(name, "Zz+-") {
			t.Fatalf("%q in %s starts at %s", name, zone, local)
		}
	})
}

// manyTags is a response of 30,000 tags.
func manyTags() []byte {
	var b strings.Builder
	b.WriteString(`{"name":"tags-chat-usage-report","records":{`)
	for i := range 30000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"a tag of number %d":%d`, i, i)
	}
	return []byte(b.String() + `}}`)
}

func BenchmarkFetch(b *testing.B) {
	body := manyTags()
	p, _ := open(b, &vendor{body: body}, nil)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		n := 0
		if _, err := p.Fetch(b.Context(), of(b, "tags/chat_usage"), func(events.Record) error { n++; return nil }); err != nil || n != 30000 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkUnmarshalOfEncodingJSON(b *testing.B) {
	body := manyTags()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var whole struct {
			Records map[string]json.RawMessage `json:"records"`
		}
		if err := json.Unmarshal(body, &whole); err != nil || len(whole.Records) != 30000 {
			b.Fatal(err)
		}
	}
}
