package livechatreportssim_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/livechatreports/livechatreportssim"
	"github.com/parley-stream/parley/pollers/simulated"
)

var start = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func newSim(malformed int) *livechatreportssim.Sim {
	return livechatreportssim.New(simulated.Options{Seed: 3, Days: 6, Chats: 50, Malformed: malformed, Start: start, Now: func() time.Time { return start }})
}

type answer struct {
	Name    string
	Total   *int
	Records map[string]json.RawMessage
	Error   struct{ Type, Message string }
}

const whole = `{"distribution":"day","timezone":"Europe/Oslo","filters":{"from":"2026-10-20T00:00:00+02:00","to":"2026-10-28T23:59:59+01:00"}}`

func ask(t *testing.T, sim http.Handler, r *http.Request) (int, answer) {
	t.Helper()
	rec := httptest.NewRecorder()
	sim.ServeHTTP(rec, r)
	var a answer
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %v: %s", rec.Header().Get("Content-Type"), err, rec.Body)
	}
	return rec.Code, a
}

func post(report, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v3.6/reports/"+report, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+livechatreportssim.Token)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func get(report string, query url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v3.6/reports/"+report+"?"+query.Encode(), nil)
	r.Header.Set("Authorization", "Bearer "+livechatreportssim.Token)
	return r
}

func TestADayGivesItsCountersWithoutZeros(t *testing.T) {
	for report, known := range map[string][]string{"chats/total_chats": {"total", "continuous"}, "chats/ratings": {"chats", "good", "bad"}} {
		code, a := ask(t, newSim(0), post(report, whole))
		if code != http.StatusOK || a.Total == nil || *a.Total != 50 || len(a.Records) != 9 {
			t.Fatalf("%s: %d, %+v; want a total of 50 chats and 9 days", report, code, a)
		}
		sum := 0
		for day, raw := range a.Records {
			var counters map[string]int
			if err := json.Unmarshal(raw, &counters); err != nil {
				t.Fatal(err)
			}
			sum += counters[known[0]]
			for name, n := range counters {
				if n == 0 || !strings.Contains(strings.Join(known, " "), name) {
					t.Errorf("%s of %s: %s is %d", report, day, name, n)
				}
			}
		}
		if sum != 50 || string(a.Records["2026-10-20"]) != "{}" || string(a.Records["2026-10-28"]) != "{}" {
			t.Errorf("%s: the days sum up to %d, want 50, the first and the last being empty: %s", report, sum, a.Records)
		}
	}
}

func TestAQueryGivesWhatABodyGives(t *testing.T) {
	sim := newSim(0)
	_, byBody := ask(t, sim, post("chats/ratings", whole))
	code, byQuery := ask(t, sim, get("chats/ratings", url.Values{
		"distribution": {"day"}, "timezone": {"Europe/Oslo"}, "filters.from": {"2026-10-20T00:00:00+02:00"}, "filters.to": {"2026-10-28T23:59:59.999999+01:00"},
	}))
	a, _ := json.Marshal(byBody)
	b, _ := json.Marshal(byQuery)
	if code != http.StatusOK || string(a) != string(b) {
		t.Errorf("%d %s\nwant %s", code, b, a)
	}
}

func TestTheZoneDecidesTheDays(t *testing.T) {
	_, a := ask(t, newSim(0), post("chats/ratings", `{"timezone":"Asia/Tokyo","filters":{"from":"2026-10-23T15:00:00Z","to":"2026-10-24T14:59:59Z"}}`))
	if len(a.Records) != 1 || a.Records["2026-10-24"] == nil {
		t.Errorf("%v; want the one day of Tokyo", a.Records)
	}
}

func TestEveryDistributionHasItsBuckets(t *testing.T) {
	for distribution, want := range map[string]int{"hour": 9*24 + 1, "day": 9, "day-hours": 24, "month": 1, "year": 1} {
		code, a := ask(t, newSim(0), post("chats/ratings", strings.Replace(whole, `"day"`, `"`+distribution+`"`, 1)))
		// The 25th has an hour twice, under one name.
		if distribution == "hour" {
			want--
		}
		if code != http.StatusOK || len(a.Records) != want {
			t.Errorf("%s: %d, %d buckets; want %d", distribution, code, len(a.Records), want)
		}
	}
}

func TestWithoutFiltersTheReportSpansTheLastSevenDays(t *testing.T) {
	for _, body := range []string{`{}`, `{"distribution":"day"}`} {
		code, a := ask(t, newSim(0), post("chats/total_chats", body))
		if code != http.StatusOK || len(a.Records) != 8 || a.Records["2026-10-20"] == nil {
			t.Errorf("%s: %d, %v; want 8 days from the 20th", body, code, a.Records)
		}
	}
}

func TestCredentialsOpenAsBearerAndAsBasic(t *testing.T) {
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	cases := map[string]struct {
		value string
		want  int
	}{
		"bearer":             {"Bearer " + livechatreportssim.Token, 200},
		"basic":              {basic(livechatreportssim.AccountID + ":" + livechatreportssim.Token), 200},
		"nothing":            {"", 401},
		"another token":      {"Bearer nope-nope-nope", 401},
		"no scheme":          {livechatreportssim.Token, 401},
		"a mail for the id":  {basic("me@shop.example:" + livechatreportssim.Token), 401},
		"basic without base": {"Basic " + livechatreportssim.Token, 401},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := post("chats/ratings", whole)
			r.Header.Set("Authorization", c.value)
			if code, a := ask(t, newSim(0), r); code != c.want || (code == 401) != (a.Error.Type == "authentication") {
				t.Errorf("%d %+v; want %d", code, a.Error, c.want)
			}
		})
	}
}

func TestWhatTheDocumentDoesNotAllowIsRefused(t *testing.T) {
	body := func(text string) *http.Request { return post("chats/ratings", text) }
	with := func(r *http.Request, name, value string) *http.Request { r.Header.Set(name, value); return r }
	filters := func(text string) *http.Request { return body(`{"filters":` + text + `}`) }
	pair := url.Values{"filters.from": {"2026-10-20T00:00:00Z"}, "filters.to": {"2026-10-21T00:00:00Z"}}
	add := func(name, value string) *http.Request {
		q := url.Values{name: {value}}
		for k, v := range pair {
			q[k] = append(v[:1:1], q[k]...)
		}
		return get("chats/ratings", q)
	}
	put := body(whole)
	put.Method = http.MethodPut
	queried := body(whole)
	queried.URL.RawQuery = "distribution=day"
	cases := map[string]struct {
		request *http.Request
		status  int
	}{
		"another method":              {put, 405},
		"another report":              {post("chats/rating", whole), 404},
		"another path":                {httptest.NewRequest(http.MethodPost, "/v3.5/reports/chats/ratings", nil), 404},
		"another version":             {with(body(whole), "X-API-Version", "3.5"), 400},
		"a form":                      {with(body(whole), "Content-Type", "application/x-www-form-urlencoded"), 415},
		"no content type":             {with(body(whole), "Content-Type", ""), 415},
		"a query beside a body":       {queried, 400},
		"no body":                     {body(""), 400},
		"a list":                      {body("[]"), 400},
		"null":                        {body("null"), 400},
		"two bodies":                  {body(whole + whole), 400},
		"an unknown parameter":        {body(`{"group_by":"day"}`), 400},
		"another case":                {body(`{"Timezone":"UTC"}`), 400},
		"an unknown filter":           {filters(`{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z","until":1}`), 400},
		"an unknown distribution":     {body(`{"distribution":"week"}`), 400},
		"a distribution as a number":  {body(`{"distribution":1}`), 400},
		"an unknown zone":             {body(`{"timezone":"Mars/Olympus"}`), 400},
		"an empty zone":               {body(`{"timezone":""}`), 400},
		"an offset for a zone":        {body(`{"timezone":"+02:00"}`), 400},
		"filters without times":       {filters(`{}`), 400},
		"from alone":                  {filters(`{"from":"2026-10-20T00:00:00Z"}`), 400},
		"two pairs":                   {filters(`{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z","greetings":{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z"}}`), 400},
		"half a pair of greetings":    {filters(`{"greetings":{"from":"2026-10-20T00:00:00Z"}}`), 400},
		"a date":                      {filters(`{"from":"2026-10-20","to":"2026-10-21"}`), 400},
		"a time without offset":       {filters(`{"from":"2026-10-20T00:00:00","to":"2026-10-21T00:00:00"}`), 400},
		"nanoseconds":                 {filters(`{"from":"2026-10-20T00:00:00.123456789Z","to":"2026-10-21T00:00:00Z"}`), 400},
		"the end before the start":    {filters(`{"from":"2026-10-21T00:00:00Z","to":"2026-10-20T00:00:00Z"}`), 400},
		"an endless range":            {filters(`{"from":"0001-10-21T00:00:00Z","to":"9999-10-20T00:00:00Z"}`), 400},
		"a time twice in a query":     {add("filters.from", "2026-10-20T00:00:00Z"), 400},
		"an unknown query parameter":  {add("filters.until", "1"), 400},
		"a bare plus in a query":      {add("timezone", "Europe Oslo"), 400},
		"a property with dots":        {add("filters.properties.routing.continuous.values", "true"), 400},
		"a property half in brackets": {add("filters.properties[routing].continuous.values", "true"), 400},
		"brackets of another filter":  {add("filters.tags[values]", "a"), 400},
		"a filter below a value":      {add("filters.from.values", "a"), 400},
		"surveys in a query":          {add("filters.surveys.type", "pre_chat"), 400},
		"a text for a number":         {add("filters.groups.values", "a"), 400},
		"a text for a truth":          {add("filters.tags.exists", "yes"), 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, a := ask(t, newSim(0), c.request)
			if code != c.status || a.Error.Type == "" || a.Error.Message == "" {
				t.Errorf("%d %+v; want %d and an error with type and message", code, a.Error, c.status)
			}
		})
	}
}

func TestBothEndsOfTheRangeAreInclusive(t *testing.T) {
	first := simulated.New(simulated.Options{Seed: 3, Days: 6, Chats: 50, Start: start, Now: func() time.Time { return start }}).Chats()[0].Start
	at := first.Format(time.RFC3339)
	for to, want := range map[string]int{at: 1, first.Add(-time.Second).Format(time.RFC3339): 0} {
		from := to
		if _, a := ask(t, newSim(0), post("chats/ratings", `{"timezone":"UTC","filters":{"from":"`+from+`","to":"`+to+`"}}`)); *a.Total != want {
			t.Errorf("%s to %s: total %d, want %d", from, to, *a.Total, want)
		}
	}
}

func TestAChangeDismissesOneGreetingInEachOfTheNewestBuckets(t *testing.T) {
	sim := newSim(0)
	others := func() (text string) {
		for _, report := range []string{"chats/ratings", "chats/ranking", "chats/total_chats", "agents/performance", "stats/visitors"} {
			_, a := ask(t, sim, post(report, strings.Replace(whole, `"distribution":"day",`, "", 1)))
			b, _ := json.Marshal(a)
			text += string(b)
		}
		return text
	}
	before := others()
	for range 3 {
		_, was := ask(t, sim, post("chats/greetings_conversion", whole))
		versions := map[string]int{}
		for _, e := range sim.Ledger() {
			versions[e.Key] = e.Version
		}
		if n := sim.Change(3); n != 3 {
			t.Fatalf("Change(3) = %d", n)
		}
		_, is := ask(t, sim, post("chats/greetings_conversion", whole))
		grown := 0
		for _, e := range sim.Ledger() {
			if e.Version == versions[e.Key]+1 {
				grown++
			}
		}
		if *was.Total != *is.Total || grown != 3 || string(was.Records["2026-10-27"]) == string(is.Records["2026-10-27"]) || string(was.Records["2026-10-22"]) != string(is.Records["2026-10-22"]) {
			t.Errorf("%d versions grew, want 3; %s, then %s", grown, was.Records, is.Records)
		}
	}
	if after := others(); after != before {
		t.Errorf("other reports: %s, then %s", before, after)
	}
	if n := sim.Change(100); n > 18 || n < 5 {
		t.Errorf("Change(100) = %d; want one for each greeting of each day", n)
	}
}

func TestTheLedgerHoldsTheRangesThatWereAskedFor(t *testing.T) {
	sim := newSim(0)
	if entries := sim.Ledger(); len(entries) != 0 {
		t.Fatalf("%d entries before any request", len(entries))
	}
	ask(t, sim, post("chats/ratings", whole))
	ask(t, sim, post("chats/ratings", whole))
	ask(t, sim, post("chats/ratings", `{}`))
	ask(t, sim, post("chats/ratings", strings.Replace(whole, `"day"`, `"month"`, 1)))
	entries := sim.Ledger()
	if len(entries) != 11 {
		t.Fatalf("%d entries; want 9 days, a month and their total", len(entries))
	}
	keys := map[string]bool{}
	for _, e := range entries {
		keys[e.Key] = e.Stream == "chats/ratings" && !e.Malformed && e.Version > 0
	}
	for _, key := range []string{
		"chats/ratings/2026-10-19T22:00:00Z/window", "chats/ratings/2026-10-19T22:00:00Z/day",
		"chats/ratings/2026-10-24T22:00:00Z/day", "chats/ratings/2026-10-25T23:00:00Z/day", // the 25th has 25 hours
		"chats/ratings/2026-09-30T22:00:00Z/month",
	} {
		if !keys[key] {
			t.Errorf("%s is not as it should be in %+v", key, entries)
		}
	}
}

func TestMalformedBucketsAreNoObjects(t *testing.T) {
	sim := newSim(3)
	broken := map[string]int{}
	for _, report := range []string{"chats/ratings", "chats/total_chats"} {
		_, a := ask(t, sim, post(report, whole))
		for _, raw := range a.Records {
			if raw[0] != '{' {
				broken[report]++
			}
		}
		if *a.Total != 50 {
			t.Errorf("%s: total %d, want 50", report, *a.Total)
		}
	}
	told := map[string]int{}
	for _, e := range sim.Ledger() {
		if e.Malformed {
			told[e.Stream]++
		}
	}
	if broken["chats/ratings"] != 2 || broken["chats/total_chats"] != 1 || told["chats/ratings"] != 2 || told["chats/total_chats"] != 1 {
		t.Errorf("broken %v, in the ledger %v; want 2 and 1", broken, told)
	}
}

func TestTheLedgerFollowsTheClock(t *testing.T) {
	now := start
	sim := livechatreportssim.New(simulated.Options{Seed: 3, Days: 2, Chats: 20, LivePerHour: 30, Start: start, Now: func() time.Time { return now }})
	version := func() int {
		ask(t, sim, post("chats/total_chats", whole))
		for _, e := range sim.Ledger() {
			if e.Key == "chats/total_chats/2026-10-26T23:00:00Z/day" {
				return e.Version
			}
		}
		return 0
	}
	before := version()
	now = now.Add(time.Hour)
	if after := version(); after < before+30 {
		t.Errorf("version %d, then %d after an hour of 30 chats", before, after)
	}
}

func TestFaultsComeAsAskedFor(t *testing.T) {
	sim := livechatreportssim.New(simulated.Options{Start: start, Faults: simulated.Faults{simulated.Fault500: 0.9}})
	failed := 0
	for range 20 {
		rec := httptest.NewRecorder()
		sim.ServeHTTP(rec, post("chats/ratings", whole))
		if rec.Code == http.StatusInternalServerError {
			failed++
		}
	}
	if failed < 10 {
		t.Errorf("%d of 20 requests failed, want about 18", failed)
	}
}

func TestVariablesReachTheSimulator(t *testing.T) {
	v := newSim(0).Variables("http://127.0.0.1:1")
	for name, want := range map[string]string{"VENDOR": "livechat-reports", "URL": "http://127.0.0.1:1", "TOKEN": livechatreportssim.Token, "TIMEZONE": "Europe/Oslo"} {
		if v[name] != want {
			t.Errorf("%s is %q, want %q", name, v[name], want)
		}
	}
}

// body is an answer's text.
func body(t *testing.T, sim http.Handler, r *http.Request) string {
	t.Helper()
	rec := httptest.NewRecorder()
	sim.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", r.URL, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// plain is the range without a distribution, which not every report takes.
const plain = `{"timezone":"Europe/Oslo","filters":{"from":"2026-10-20T00:00:00+02:00","to":"2026-10-28T23:59:59+01:00"}}`

func TestEveryMethodAnswersInItsForm(t *testing.T) {
	forms := map[string]string{
		"chats/duration":             `^{"name":"duration-report","total":50,"records":{"2026-10-20":{},.*"2026-10-21":{"agents_chatting_duration":[0-9.]+,"count":\d+,"duration":[0-9.]+}`,
		"chats/tags":                 `^{"name":"tags-report","total":50,"records":{.*"2026-10-2\d":{("[a-z ]+":\d+,?)+}`,
		"chats/ranking":              `^{"name":"ranking-report","records":{("[0-9a-f.]+@agent.example":{("bad":\d+,)?("good":\d+,)?"score":0\.\d+,"total":\d+},?)+}}\n$`,
		"chats/engagement":           `"2026-10-2\d":{("started_by_\w+":\d+,)+"total":\d+}`,
		"chats/greetings_conversion": `"2026-10-2\d":{("[123]":{"accepted":\d+,("canceled":\d+,)?"displayed":\d+(,"goals":\d+)?},?)+}`,
		"chats/forms":                `^{"name":"form-report","records":\[{"count":\d+,"fields":\[{"answers":\[{"answer_id":0,"count":\d+,"label":"An order"}.*\],"field_id":"\d+","label":"Your name:"}\],"form_id":"\d+","group_id":0}`,
		"chats/response_time":        `"2026-10-2\d":{"count":\d+,"response_time":[0-9.]+}`,
		"chats/first_response_time":  `"2026-10-2\d":{"count":\d+,"first_response_time":[0-9.]+}`,
		"agents/availability":        `^{"name":"availability-report","total":51,"records":{"2026-10-20":{"hours":8.5},.*"2026-10-24":{},"2026-10-25":{},"2026-10-26":{"hours":8.5},"2026-10-27":{"hours":8.5},"2026-10-28":{}}}\n$`,
		"agents/performance":         `^{"name":"performance-report","records":{"[0-9a-f.]+@agent.example":{"accepting_chats_time":\d+,"chats_count":\d+,.*"first_response_chats_count":\d+,"first_response_time":[0-9.]+,"logged_in_time":\d+,"not_accepting_chats_time":\d+}.*},"summary":{"chats_count":\d+,"chats_rated_bad":\d+,"chats_rated_good":\d+,"first_response_chats_count":\d+,"first_response_time":[0-9.]+}}\n$`,
		"tags/chat_usage":            `^{"name":"tags-chat-usage-report","records":{("[a-z ]+":\d+,?)+}}\n$`,
		"stats/visitors":             `^{"name":"visitors-report","summary":{"page_views":\d+,"unique_visitors":\d+}}\n$`,
	}
	sim := newSim(0)
	for report, form := range forms {
		if text := body(t, sim, post(report, plain)); !regexp.MustCompile(form).MatchString(text) {
			t.Errorf("%s: %s\nwant %s", report, text, form)
		} else if again := body(t, sim, post(report, plain)); again != text {
			t.Errorf("%s: %s, then %s", report, text, again)
		}
	}
	hours := body(t, sim, post("agents/availability", strings.Replace(plain, `{`, `{"distribution":"hour",`, 1)))
	if want := `"2026-10-26 15:00":{"minutes":60},"2026-10-26 16:00":{"minutes":30},"2026-10-26 17:00":{}`; !strings.Contains(hours, want) || !strings.Contains(hours, `"total":3060`) {
		t.Errorf("%s\nwant %s", hours, want)
	}
	empty := strings.NewReplacer("2026-10-20", "2020-01-05", "2026-10-28", "2020-01-05").Replace(plain)
	for report, want := range map[string]string{
		"chats/ranking": `"records":{}}`, "chats/forms": `"records":[]}`, "agents/performance": `"records":{},"summary":{}}`, "tags/chat_usage": `"records":{}}`, "stats/visitors": `"summary":{}}`,
	} {
		if text := body(t, sim, post(report, empty)); !strings.HasSuffix(text, want+"\n") {
			t.Errorf("%s of a Sunday without chats: %s; want %s", report, text, want)
		}
	}
}

func TestEachFamilyTakesItsOwnParametersOnly(t *testing.T) {
	const pair = `"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z"`
	cases := map[string]struct {
		report, body string
		status       int
	}{
		"distribution of ranking, without effect": {"chats/ranking", `{"distribution":"month"}`, 200},
		"distribution of chat usage":              {"tags/chat_usage", `{"distribution":"day"}`, 400},
		"distribution of visitors":                {"stats/visitors", `{"distribution":"day"}`, 400},
		"hours of availability":                   {"agents/availability", `{"distribution":"hour"}`, 200},
		"months of availability":                  {"agents/availability", `{"distribution":"month"}`, 400},
		"years of performance":                    {"agents/performance", `{"distribution":"year"}`, 400},
		"groups of visitors":                      {"stats/visitors", `{"filters":{` + pair + `,"groups":{"values":[1]}}}`, 400},
		"groups of chat usage":                    {"tags/chat_usage", `{"filters":{` + pair + `,"groups":{"values":[1]}}}`, 200},
		"groups that chat usage excludes":         {"tags/chat_usage", `{"filters":{` + pair + `,"groups":{"exclude_values":[1]}}}`, 400},
		"agents of chat usage":                    {"tags/chat_usage", `{"filters":{` + pair + `,"agents":{"values":["a"]}}}`, 400},
		"agents of performance":                   {"agents/performance", `{"filters":{` + pair + `,"agents":{"values":["a"]}}}`, 200},
		"agents that exist, of performance":       {"agents/performance", `{"filters":{` + pair + `,"agents":{"exists":true}}}`, 400},
		"groups that exist, of performance":       {"agents/performance", `{"filters":{` + pair + `,"groups":{"exists":true}}}`, 400},
		"tags of performance":                     {"agents/performance", `{"filters":{` + pair + `,"tags":{"exists":true}}}`, 400},
		"greetings' times of performance":         {"agents/performance", `{"filters":{"greetings":{` + pair + `}}}`, 400},
		"greetings' times":                        {"chats/ratings", `{"filters":{"greetings":{` + pair + `}}}`, 200},
		"surveys' times":                          {"chats/ratings", `{"filters":{"surveys":[{` + pair + `},{` + pair + `}]}}`, 200},
		"surveys and their own times":             {"chats/ratings", `{"filters":{` + pair + `,"surveys":[{` + pair + `}]}}`, 400},
		"a survey of another type":                {"chats/ratings", `{"filters":{` + pair + `,"surveys":[{"type":"ticket"}]}}`, 400},
		"surveys that are an object":              {"chats/ratings", `{"filters":{` + pair + `,"surveys":{}}}`, 400},
		"two of three":                            {"chats/ratings", `{"filters":{` + pair + `,"tags":{"values":["a"],"exists":true}}}`, 400},
		"none of three":                           {"chats/ratings", `{"filters":{` + pair + `,"tags":{"require_every_value":true}}}`, 400},
		"none of three, of greetings":             {"chats/ratings", `{"filters":{` + pair + `,"greetings":{"groups":{"values":[1]}}}}`, 200},
		"an empty list":                           {"chats/ratings", `{"filters":{` + pair + `,"tags":{"values":[]}}}`, 400},
		"numbers for texts":                       {"chats/ratings", `{"filters":{` + pair + `,"tags":{"values":[1]}}}`, 400},
		"texts for numbers":                       {"chats/ratings", `{"filters":{` + pair + `,"groups":{"values":["1"]}}}`, 400},
		"fractions":                               {"chats/ratings", `{"filters":{` + pair + `,"goals":{"values":[1.5]}}}`, 400},
		"a list of two types":                     {"chats/ratings", `{"filters":{` + pair + `,"properties":{"a":{"b":{"values":[1,"a"]}}}}}`, 400},
		"a property without a name":               {"chats/ratings", `{"filters":{` + pair + `,"properties":{"a":{"values":[1]}}}}`, 400},
		"event types that exist":                  {"chats/ratings", `{"filters":{` + pair + `,"event_types":{"exists":true}}}`, 400},
		"a country's name":                        {"chats/ratings", `{"filters":{` + pair + `,"customer_countries":{"values":["Norway"]}}}`, 400},
		"a truth that is a text":                  {"chats/ratings", `{"filters":{` + pair + `,"sales":{"exists":"true"}}}`, 400},
		"agents of no first response":             {"chats/ratings", `{"filters":{` + pair + `,"agent_response":{"agents":{"values":["a"]}}}}`, 400},
		"an unknown field of responses":           {"chats/ratings", `{"filters":{` + pair + `,"agent_response":{"last":true}}}`, 400},
		"filters that are a list":                 {"chats/ratings", `{"filters":[]}`, 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if code, a := ask(t, newSim(0), post(c.report, c.body)); code != c.status || (code != 200) != (a.Error.Message != "") {
				t.Errorf("%d %+v; want %d", code, a.Error, c.status)
			}
		})
	}
}

func TestFiltersTakeTheChatsThatTheyName(t *testing.T) {
	count := func(filter string) int {
		_, a := ask(t, newSim(0), post("chats/total_chats", strings.Replace(whole, `"filters":{`, `"filters":{`+filter, 1)))
		return *a.Total
	}
	all := count("")
	for with, without := range map[string]string{
		`"tags":{"exists":true},`:                                                 `"tags":{"exists":false},`,
		`"groups":{"values":[0,2]},`:                                              `"groups":{"exclude_values":[0,2]},`,
		`"customer_countries":{"values":["NO"]},`:                                 `"customer_countries":{"exclude_values":["NO"]},`,
		`"agent_response":{"exists":true},`:                                       `"agent_response":{"exists":false},`,
		`"event_types":{"values":["message","file"],"require_every_value":true},`: `"event_types":{"exclude_values":["message","file"],"require_every_value":true},`,
		`"properties":{"routing":{"continuous":{"values":[true]}}},`:              `"properties":{"routing":{"continuous":{"values":[false]}}},`,
		`"greetings":{"exists":true},`:                                            `"greetings":{"exists":false},`,
		`"surveys":[{"type":"post_chat","exists":true}],`:                         `"surveys":[{"type":"post_chat","exists":false}],`,
	} {
		if a, b := count(with), count(without); a == 0 || b == 0 || a+b != all {
			t.Errorf("%s %d and %s %d; want parts of %d", with, a, without, b, all)
		}
	}
}

func TestUpToAHundredGreetingsADayAreGiven(t *testing.T) {
	sim := livechatreportssim.New(simulated.Options{Seed: 3, Days: 1, Chats: 900, Start: start, Now: func() time.Time { return start }})
	sim.Greet(250)
	_, a := ask(t, sim, post("chats/greetings_conversion", whole))
	most := 0
	for _, raw := range a.Records {
		var greetings map[string]json.RawMessage
		if err := json.Unmarshal(raw, &greetings); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(greetings))
	}
	if most != 100 {
		t.Errorf("%d greetings on one day, want 100", most)
	}
	for _, e := range sim.Ledger() {
		if strings.Count(e.Key, "/") > 4 || e.Version < 1 {
			t.Errorf("%+v", e)
		}
	}
}

func TestTheLedgerLeavesOutWhatWasFiltered(t *testing.T) {
	sim := newSim(0)
	ask(t, sim, post("chats/ratings", strings.Replace(whole, `"filters":{`, `"filters":{"tags":{"exists":true},`, 1)))
	if entries := sim.Ledger(); len(entries) != 0 {
		t.Errorf("%v", entries)
	}
}

func FuzzABody(f *testing.F) {
	f.Add("chats/ratings", whole)
	f.Add("chats/forms", plain)
	f.Add("agents/performance", `{"filters":{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z","agents":{"values":["a"]}}}`)
	f.Add("chats/tags", `{"filters":{"surveys":[{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z","groups":{"values":[1]}}],"greetings":{"values":[true]},"agent_response":{"first":true,"groups":{"exists":false}}}}`)
	f.Fuzz(func(t *testing.T, report, text string) {
		answersWell(t, func() *http.Request {
			r := post("chats/tags", text)
			r.URL.Path = "/v3.6/reports/" + report
			return r
		})
	})
}

func FuzzAQuery(f *testing.F) {
	f.Add("distribution=hour&timezone=UTC&filters.from=2026-10-20T00:00:00Z&filters.to=2026-10-21T00:00:00Z&filters.properties[routing][continuous].values=true")
	f.Add("filters.properties[a.b][c]]..values=1&filters.tags[x]=&filters.=&.=&filters.greetings.groups.values=1&filters.greetings.groups.values=b")
	f.Fuzz(func(t *testing.T, query string) {
		answersWell(t, func() *http.Request {
			r := get("chats/total_chats", nil)
			r.URL.RawQuery = query
			return r
		})
	})
}

// answersWell wants an answer, or an error that says what is wrong.
func answersWell(t *testing.T, request func() *http.Request) {
	t.Helper()
	r := request()
	rec := httptest.NewRecorder()
	newSim(1).ServeHTTP(rec, r)
	var a answer
	if err := json.Unmarshal(rec.Body.Bytes(), &a); rec.Code != http.StatusOK && (err != nil || a.Error.Message == "") {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}
