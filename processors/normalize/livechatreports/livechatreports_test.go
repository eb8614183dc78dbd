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

func TestGoldens(t *testing.T) {
	cases := map[string]*events.Record{
		"ratings":            bucketRecord("chats/ratings", `{"2026-10-25":{"bad":2,"chats":9,"good":4}}`),
		"ratings_empty":      bucketRecord("chats/ratings", `{"2026-10-25":{}}`),
		"ratings_window":     windowRecord("chats/ratings", `{"name":"ratings-report","total":31}`),
		"total_chats":        bucketRecord("chats/total_chats", `{"2026-10-25":{"continuous":1,"total":9}}`),
		"total_chats_window": windowRecord("chats/total_chats", `{"name":"total-chats-report","total":31,"request":{"distribution":"day","filters":{"from":"2026-10-25T00:00:00+02:00"}}}`),
		"unknown_members": bucketRecord("chats/ratings",
			`{"2026-10-25":{"chats":"9","good":null,"score":0.5,"huge":1e999,"large":9007199254740993,"note":"<half> a day","by_group":{"0":[1,2.50]},"partial":true}}`),
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

func TestAWindowHasTheMeasuresThatItGivesAndNoOthers(t *testing.T) {
	m := metric(t, windowRecord("chats/ratings", `{"name":"ratings-report","pages":2}`))
	if diff := cmp.Diff(map[string]float64{"pages": 2}, m.Measures); diff != "" {
		t.Errorf("measures (-want +got):\n%s", diff)
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
