package livechatreports_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/livechatreports"
	"github.com/parley-stream/parley/processors/processortest"
)

// bucketRecord is what the poller makes of a bucket of the 25th, which has 25 hours in Oslo.
func bucketRecord(report, body string) *events.Record {
	r := processortest.Record("livechat-reports", report, report+"/2026-10-24T22:00:00Z/day", "Europe/Oslo", "", events.ContentJSON, body)
	r.Params = map[string]string{
		"report": report, "grain": "day", "bucket": "2026-10-25", "timezone": "Europe/Oslo",
		"start": "2026-10-24T22:00:00Z", "end": "2026-10-25T23:00:00Z",
	}
	return r
}

func windowRecord(report, body string) *events.Record {
	r := processortest.Record("livechat-reports", report, report+"/2026-10-24T22:00:00Z/window", "Europe/Oslo", "", events.ContentJSON, body)
	r.Params = map[string]string{
		"report": report, "grain": "window", "timezone": "Europe/Oslo", "start": "2026-10-24T22:00:00Z", "end": "2026-10-26T23:00:00Z",
	}
	return r
}

// nameRecord is what the poller makes of one name of a bucket or of a day.
func nameRecord(report, dimension, name, body string) *events.Record {
	r := bucketRecord(report, body)
	r.Key += "/" + dimension + "=" + name
	r.Params["dimension"] = dimension
	return r
}

// formRecord is what the poller makes of a form, a field or an answer; parts are names and bodies.
func formRecord(dimensions string, parts ...string) *events.Record {
	r := bucketRecord("chats/forms", "")
	r.Key += dimensions
	r.Parts = nil
	for i := 0; i < len(parts); i += 2 {
		r.Parts = append(r.Parts, events.Part{Name: parts[i], ContentType: events.ContentJSON, Body: events.Body{Bytes: []byte(parts[i+1])}})
	}
	return r
}

// by gives a record another grain and interval.
func by(grain, start, end string, r *events.Record) *events.Record {
	r.Params["grain"], r.Params["start"], r.Params["end"] = grain, start, end
	r.Key = strings.Replace(r.Key, "2026-10-24T22:00:00Z/day", start+"/"+grain, 1)
	return r
}

func filteredBy(filters string, r *events.Record) *events.Record {
	r.Params["filters"], r.Params["filter"] = filters, "0123456789ab"
	for _, before := range []string{"/form=", "/greeting=", "/group=", "/tag="} {
		if head, tail, ok := strings.Cut(r.Key, before); ok {
			r.Key = head + "/filter=0123456789ab" + before + tail
			return r
		}
	}
	r.Key += "/filter=0123456789ab"
	return r
}

func TestGoldens(t *testing.T) {
	cases := map[string]*events.Record{
		"duration":            bucketRecord("chats/duration", `{"2026-10-25":{"agents_chatting_duration":412,"count":9,"duration":633.5}}`),
		"duration_empty":      bucketRecord("chats/duration", `{"2026-10-25":{}}`),
		"duration_window":     windowRecord("chats/duration", `{"name":"duration-report","total":31}`),
		"tags":                nameRecord("chats/tags", "tag", "sales lead", `{"sales lead":4}`),
		"tags_window":         windowRecord("chats/tags", `{"name":"tags-report","total":31}`),
		"ratings":             bucketRecord("chats/ratings", `{"2026-10-25":{"bad":2,"chats":9,"good":4}}`),
		"ratings_empty":       bucketRecord("chats/ratings", `{"2026-10-25":{}}`),
		"ratings_window":      windowRecord("chats/ratings", `{"name":"ratings-report","total":31}`),
		"ranking":             nameRecord("chats/ranking", "agent", "ada@shop.example", `{"ada@shop.example":{"bad":1,"good":5,"score":0.4836,"total":11}}`),
		"engagement":          bucketRecord("chats/engagement", `{"2026-10-25":{"started_by_customer_from_greeting":3,"started_by_customer_without_greeting":6,"total":9}}`),
		"greetings":           nameRecord("chats/greetings_conversion", "greeting", "18", `{"18":{"accepted":3,"canceled":1,"displayed":12,"goals":2}}`),
		"greetings_zeros":     nameRecord("chats/greetings_conversion", "greeting", "19", `{"19":{"displayed":12}}`),
		"form":                formRecord("/form=8200/group=0", "form", `{"form_id":"8200","count":5,"group_id":0}`),
		"form_field":          formRecord("/field=82002/form=8200/group=0", "form", `{"form_id":"8200","group_id":0}`, "field", `{"field_id":"82002","label":"Your name:"}`),
		"form_answer":         formRecord("/answer=0/field=82001/form=8200/group=0", "form", `{"form_id":"8200","group_id":0}`, "field", `{"field_id":"82001","label":"What is it about?"}`, "answer", `{"answer_id":0,"label":"An order","count":3}`),
		"response_time":       bucketRecord("chats/response_time", `{"2026-10-25":{"count":9,"response_time":21.25}}`),
		"first_response_time": bucketRecord("chats/first_response_time", `{"2026-10-25":{"count":9,"first_response_time":8.5}}`),
		"availability":        bucketRecord("agents/availability", `{"2026-10-25":{"hours":8.5}}`),
		"availability_hour":   by("hour", "2026-10-25T15:00:00Z", "2026-10-25T16:00:00Z", bucketRecord("agents/availability", `{"2026-10-25":{"minutes":30}}`)),
		"availability_window": windowRecord("agents/availability", `{"name":"availability-report","total":8.5}`),
		"performance": nameRecord("agents/performance", "agent", "ada@shop.example", `{"ada@shop.example":{"accepting_chats_time":25200,"chats_count":21,
			"chats_rated_bad":2,"chats_rated_good":6,"chatting_time":9410,"first_response_chats_count":19,"first_response_time":12.736842,"logged_in_time":30600,"not_accepting_chats_time":5400}}`),
		"summary_beside_total": windowRecord("agents/performance", `{"total":3,"summary":{"chats_count":2,"total":5}}`),
		"performance_window":   windowRecord("agents/performance", `{"name":"performance-report","summary":{"chats_count":44,"chats_rated_bad":5,"chats_rated_good":14,"first_response_chats_count":40,"first_response_time":15.025}}`),
		"chat_usage":           nameRecord("tags/chat_usage", "tag", "refund", `{"refund":7}`),
		"visitors_window":      windowRecord("stats/visitors", `{"name":"visitors-report","summary":{"page_views":402,"unique_visitors":118}}`),
		"total_chats":          bucketRecord("chats/total_chats", `{"2026-10-25":{"continuous":1,"total":9}}`),
		"total_chats_window":   windowRecord("chats/total_chats", `{"name":"total-chats-report","total":31,"request":{"distribution":"day","filters":{"from":"2026-10-25T00:00:00+02:00"}}}`),
		"total_chats_month":    by("month", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", bucketRecord("chats/total_chats", `{"2026-10-25":{"total":240}}`)),
		"total_chats_filtered": filteredBy(`{"agents":{"values":["ada@shop.example"]},"properties":{"routing":{"continuous":{"values":[true]}}}}`,
			bucketRecord("chats/total_chats", `{"2026-10-25":{"total":4}}`)),
		"tags_filtered": filteredBy(`{"groups":{"values":[1]}}`, nameRecord("chats/tags", "tag", "refund", `{"refund":1}`)),
		"unknown_members": bucketRecord("chats/ratings",
			`{"2026-10-25":{"chats":"9","good":null,"score":0.5,"huge":1e999,"large":9007199254740993,"note":"<half> a day","by_group":{"0":[1,2.50]},"partial":true}}`),
		"unknown_members_form": formRecord("/answer=yes/field=7/form=8200", "form", `{"form_id":"8200","group_id":null}`,
			"field", `{"field_id":7,"label":"","kind":"select","position":2}`, "answer", `{"answer_id":"yes","count":"3","share":0.5,"label":null}`),
	}
	for name, r := range cases {
		t.Run(name, func(t *testing.T) { processortest.Golden(t, livechatreports.Normalize, name, r) })
	}
}

func metric(t *testing.T, r *events.Record) *events.Metric {
	t.Helper()
	entity, err := livechatreports.Normalize(r)
	if err != nil {
		t.Fatal(err)
	}
	processortest.Check(t, livechatreports.Normalize, r, entity)
	return entity.(*events.Metric)
}

func TestCountersThatAreLeftOutAreZeroAndUnreadableOnesUnknown(t *testing.T) {
	cases := map[string]struct {
		report, body string
		want         map[string]float64
	}{
		"nothing in ratings":            {"chats/ratings", `{}`, map[string]float64{"chats": 0, "good": 0, "bad": 0}},
		"nothing in total chats":        {"chats/total_chats", `{}`, map[string]float64{"total": 0, "continuous": 0}},
		"nothing in durations":          {"chats/duration", `{}`, map[string]float64{"count": 0}},
		"nothing in engagement":         {"chats/engagement", `{}`, map[string]float64{"started_by_agent": 0, "started_by_customer_from_greeting": 0, "started_by_customer_without_greeting": 0}},
		"nothing in response times":     {"chats/response_time", `{}`, map[string]float64{"count": 0}},
		"nothing in first responses":    {"chats/first_response_time", `{}`, map[string]float64{"count": 0}},
		"nothing in availability":       {"agents/availability", `{}`, map[string]float64{"hours": 0}},
		"nothing in an unknown report":  {"chats/queued_visitors", `{}`, map[string]float64{}},
		"one of them":                   {"chats/ratings", `{"good":1}`, map[string]float64{"chats": 0, "good": 1, "bad": 0}},
		"null":                          {"chats/ratings", `{"good":null}`, map[string]float64{"chats": 0, "bad": 0}},
		"a text":                        {"chats/ratings", `{"good":"1"}`, map[string]float64{"chats": 0, "bad": 0}},
		"beyond a float64":              {"chats/ratings", `{"good":1e999}`, map[string]float64{"chats": 0, "bad": 0}},
		"the largest whole number":      {"chats/ratings", `{"good":9007199254740991}`, map[string]float64{"chats": 0, "good": 9007199254740991, "bad": 0}},
		"beyond every whole number":     {"chats/ratings", `{"good":9007199254740993}`, map[string]float64{"chats": 0, "bad": 0}},
		"an unknown measure":            {"chats/ratings", `{"score":-0.25}`, map[string]float64{"chats": 0, "good": 0, "bad": 0, "score": -0.25}},
		"good and bad exceed the chats": {"chats/ratings", `{"chats":10,"good":8,"bad":3}`, map[string]float64{"chats": 10, "good": 8, "bad": 3}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := metric(t, bucketRecord(c.report, `{"2026-10-25":`+c.body+`}`))
			if diff := cmp.Diff(c.want, m.Measures); diff != "" {
				t.Errorf("measures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamesHaveTheirCountersToo(t *testing.T) {
	cases := map[string]struct {
		record *events.Record
		want   map[string]float64
	}{
		"an agent's rank":     {nameRecord("chats/ranking", "agent", "a", `{"a":{}}`), map[string]float64{"total": 0, "good": 0, "bad": 0}},
		"an agent's work":     {nameRecord("agents/performance", "agent", "a", `{"a":{}}`), map[string]float64{"chats_count": 0, "chats_rated_good": 0, "chats_rated_bad": 0, "first_response_chats_count": 0, "accepting_chats_time": 0, "chatting_time": 0, "logged_in_time": 0, "not_accepting_chats_time": 0}},
		"a greeting":          {nameRecord("chats/greetings_conversion", "greeting", "1", `{"1":{}}`), map[string]float64{"accepted": 0, "canceled": 0, "displayed": 0, "goals": 0}},
		"a tag":               {nameRecord("chats/tags", "tag", "a", `{"a":0}`), map[string]float64{"chats": 0}},
		"a tag's odd count":   {nameRecord("chats/tags", "tag", "a", `{"a":"1"}`), map[string]float64{}},
		"a form":              {formRecord("/form=1", "form", `{"form_id":1}`), map[string]float64{"count": 0}},
		"a field":             {formRecord("/field=2/form=1", "form", `{"form_id":1}`, "field", `{"field_id":2}`), map[string]float64{}},
		"an answer":           {formRecord("/answer=3/field=2/form=1", "form", `{"form_id":1}`, "field", `{"field_id":2}`, "answer", `{"answer_id":3}`), map[string]float64{"count": 0}},
		"a minute's bucket":   {by("hour", "2026-10-25T15:00:00Z", "2026-10-25T16:00:00Z", bucketRecord("agents/availability", `{"2026-10-25":{}}`)), map[string]float64{"minutes": 0}},
		"an hour of ratings":  {by("hour", "2026-10-25T15:00:00Z", "2026-10-25T16:00:00Z", bucketRecord("chats/ratings", `{"2026-10-25":{}}`)), map[string]float64{"chats": 0, "good": 0, "bad": 0}},
		"a month of response": {by("month", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", bucketRecord("chats/response_time", `{"2026-10-25":{"response_time":0}}`)), map[string]float64{"count": 0, "response_time": 0}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, metric(t, c.record).Measures); diff != "" {
				t.Errorf("measures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWindowHasTheMeasuresThatItGivesAndASummarysCounters(t *testing.T) {
	cases := map[string]struct {
		report, body string
		want         map[string]float64
	}{
		"no total":                 {"chats/ratings", `{"name":"ratings-report","pages":2}`, map[string]float64{"pages": 2}},
		"an empty summary":         {"stats/visitors", `{"summary":{}}`, map[string]float64{"unique_visitors": 0, "page_views": 0}},
		"half a summary":           {"agents/performance", `{"summary":{"chats_count":2}}`, map[string]float64{"chats_count": 2, "chats_rated_good": 0, "chats_rated_bad": 0, "first_response_chats_count": 0}},
		"no summary":               {"agents/performance", `{"name":"performance-report","request":{}}`, map[string]float64{}},
		"a total and a summary":    {"stats/visitors", `{"total":3,"summary":{"page_views":4,"total":5}}`, map[string]float64{"unique_visitors": 0, "page_views": 4, "total": 3}},
		"a summary that is a text": {"stats/visitors", `{"summary":"none"}`, map[string]float64{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, metric(t, windowRecord(c.report, c.body)).Measures); diff != "" {
				t.Errorf("measures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheVendorsOwnFiltersStayBesideTheSources(t *testing.T) {
	m := metric(t, filteredBy(`{"groups":{"values":[1]}}`, bucketRecord("chats/ratings", `{"2026-10-25":{"filters":"none"}}`)))
	if m.Attributes["filters"] != "none" || m.Dimensions["filter"] != "0123456789ab" {
		t.Errorf("%v %v", m.Attributes, m.Dimensions)
	}
}

func TestTheIntervalIsTheLocalDayInUTC(t *testing.T) {
	m := metric(t, bucketRecord("chats/ratings", `{"2026-10-25":{}}`))
	want := &events.Interval{
		Start: time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC), End: time.Date(2026, 10, 25, 23, 0, 0, 0, time.UTC),
		Grain: "day", Timezone: "Europe/Oslo",
	}
	if diff := cmp.Diff(want, m.Interval); diff != "" || !m.OccurredAt().Equal(want.Start) {
		t.Errorf("interval (-want +got):\n%s", diff)
	}
}

func TestInvalidUTF8IsReplacedAndTold(t *testing.T) {
	m := metric(t, bucketRecord("chats/ratings", "{\"2026-10-25\":{\"note\":\"a\xffb\"}}"))
	want := map[string]any{"note": "a\ufffdb", "invalid_utf8": true}
	if diff := cmp.Diff(want, m.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func withParam(name, value string) *events.Record {
	r := bucketRecord("chats/ratings", `{"2026-10-25":{}}`)
	r.Params[name] = value
	return r
}

func TestMalformedRecordsAreRefused(t *testing.T) {
	bucket := func(body string) *events.Record { return bucketRecord("chats/ratings", body) }
	without := func(param string) *events.Record {
		r := bucket(`{"2026-10-25":{}}`)
		delete(r.Params, param)
		return r
	}
	keyless, otherKey, oversize := bucket(`{"unassigned":{}}`), bucket(`{"2026-10-25":{}}`), bucket(`{"2026-10-25":{}}`)
	keyless.Key = ""
	otherKey.Key = "chats/ratings/2026-10-23T22:00:00Z/day"
	oversize.Parts[0].Body.Size = 1 << 30
	cases := map[string]struct {
		record *events.Record
		want   string
	}{
		"no key":                      {keyless, "no key"},
		"another key":                 {otherKey, "key"},
		"too large":                   {oversize, "too large"},
		"no part":                     {&events.Record{Key: bucket("").Key, Params: bucket("").Params}, "no JSON"},
		"a bucket that is a text":     {bucket(`{"2026-10-25":"temporarily unavailable"}`), "bucket 2026-10-25"},
		"a bucket that is null":       {bucket(`{"2026-10-25":null}`), "bucket 2026-10-25"},
		"a bucket that is a list":     {bucket(`{"2026-10-25":[]}`), "bucket 2026-10-25"},
		"another bucket":              {bucket(`{"2026-10-26":{}}`), "bucket"},
		"two buckets":                 {bucket(`{"2026-10-25":{},"2026-10-26":{}}`), "bucket"},
		"no object":                   {bucket(`[]`), "no object"},
		"a counter twice":             {bucket(`{"2026-10-25":{"good":1,"good":2}}`), `"good" is there twice`},
		"a member twice, deep inside": {bucket(`{"2026-10-25":{"a":[{"b":1,"b":1}]}}`), `"b" is there twice`},
		"cut":                         {bucket(`{"2026-10-25":{"good":1`), "no JSON"},
		"no colon":                    {bucket(`{"2026-10-25":{"good" 1}}`), "no JSON"},
		"a comma too many":            {bucket(`{"2026-10-25":{"good":1,}}`), "no JSON"},
		"crossed brackets":            {bucket(`{"2026-10-25":{"a":[1}]}`), "no JSON"},
		"garbage behind":              {bucket(`{"2026-10-25":{}}x`), "goes on"},
		"two records":                 {bucket(`{"2026-10-25":{}}{}`), "goes on"},
		"too deep":                    {bucket(`{"2026-10-25":{"a":` + strings.Repeat("[", 1<<20)), "deeper"},
		"no report":                   {without("report"), "key"},
		"no grain":                    {without("grain"), "key"},
		"no start":                    {without("start"), "start"},
		"no end":                      {without("end"), "end"},
		"no bucket":                   {without("bucket"), "bucket"},
		"a bucket without its tags":   {bucketRecord("chats/tags", `{"2026-10-25":7}`), "no object of names"},
		"two tags":                    {nameRecord("chats/tags", "tag", "a", `{"a":1,"b":2}`), "want one name"},
		"another tag":                 {nameRecord("chats/tags", "tag", "a", `{"b":1}`), "key"},
		"a tag without a name":        {nameRecord("tags/chat_usage", "tag", "", `{"":1}`), "dimension tag is empty"},
		"an agent that is a number":   {nameRecord("chats/ranking", "agent", "a", `{"a":1}`), "agent a: is no object"},
		"a greeting that is a list":   {nameRecord("chats/greetings_conversion", "greeting", "1", `{"1":[]}`), "greeting 1: is no object"},
		"no form":                     {formRecord("/form=1"), "of no form"},
		"a form that is no object":    {formRecord("/form=1", "form", `7`), "form: the record is no object"},
		"a form without an id":        {formRecord("/form=1", "form", `{"count":1}`), "form: the dimension form is empty"},
		"a field without an id":       {formRecord("/form=1", "form", `{"form_id":"1"}`, "field", `{"label":"x"}`), "field: the dimension field is empty"},
		"an answer without an id":     {formRecord("/form=1", "form", `{"form_id":"1"}`, "field", `{"field_id":"2"}`, "answer", `{"answer_id":{}}`), "dimension answer is empty"},
		"another form":                {formRecord("/form=1", "form", `{"form_id":"2"}`), "key"},
		"a window that is cut":        {windowRecord("stats/visitors", `{"summary":{`), "no JSON"},
		"filters without a digest":    {withParam("filters", `{"groups":{"values":[1]}}`), "dimension filter is empty"},
		"filters that are no JSON":    {withParam("filters", `{`), "param filters"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { processortest.Malformed(t, livechatreports.Normalize, c.record, c.want) })
	}
}

func TestAnyKeyOfMetricKeyIsAccepted(t *testing.T) {
	start := time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)
	r := bucketRecord("chats/total_chats", `{"2026-03-29":{"total":1}}`)
	r.Key = events.MetricKey("chats/total_chats", start, "day", nil)
	r.Params["bucket"], r.Params["start"], r.Params["end"] = "2026-03-29", start.Format(time.RFC3339), "2026-03-29T22:00:00Z"
	metric(t, r)
}

func FuzzBucket(f *testing.F) {
	for _, seed := range []string{
		`{"2026-10-25":{"bad":2,"chats":9,"good":4}}`, `{"2026-10-25":"no"}`, `{"2026-10-25":{"a":[1e999,-0,9007199254740993,{"b":null}]}}`,
		"{\"2026-10-25\":{\"\xff\":\"\\ud800\",\"\":\"\"}}", `{"2026-10-25":{"a":1,"a":2}}`,
	} {
		f.Add([]byte(seed))
	}
	processortest.Fuzz(f, livechatreports.Normalize, func(body []byte) *events.Record { return bucketRecord("chats/ratings", string(body)) })
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{`{"a":{"total":1}}`, `{"a":1}`, `{"a":{"b":[]},"a":2}`, `{"":{}}`, "{\"a\":{\"\xff\":1}}"} {
		f.Add([]byte(seed))
	}
	processortest.Fuzz(f, livechatreports.Normalize, func(body []byte) *events.Record {
		return filteredBy(`{"groups":{"values":[1]}}`, nameRecord("agents/performance", "agent", "a", string(body)))
	})
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"answer_id":1,"label":"x","count":2}`, `{"answer_id":"1"}`, `{"answer_id":1,"count":1e999,"form":{}}`, `[]`} {
		f.Add([]byte(seed))
	}
	processortest.Fuzz(f, livechatreports.Normalize, func(body []byte) *events.Record {
		return formRecord("/answer=1/field=2/form=3", "form", `{"form_id":3}`, "field", `{"field_id":2,"label":"?"}`, "answer", string(body))
	})
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte(`{"name":"ratings-report","total":31}`))
	f.Add([]byte(`{"total":1e400,"request":{"filters":{}},"x":[[[]]]}`))
	processortest.Fuzz(f, livechatreports.Normalize, func(body []byte) *events.Record { return windowRecord("chats/ratings", string(body)) })
}

func BenchmarkNormalize(b *testing.B) {
	r := bucketRecord("chats/ratings", `{"2026-10-25":{"bad":2,"chats":9,"good":4}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := livechatreports.Normalize(r); err != nil {
			b.Fatal(err)
		}
	}
}
