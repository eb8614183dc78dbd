package livechatreportssim_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
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
		"another method":             {put, 405},
		"another report":             {post("chats/rating", whole), 404},
		"another path":               {httptest.NewRequest(http.MethodPost, "/v3.5/reports/chats/ratings", nil), 404},
		"another version":            {with(body(whole), "X-API-Version", "3.5"), 400},
		"a form":                     {with(body(whole), "Content-Type", "application/x-www-form-urlencoded"), 415},
		"no content type":            {with(body(whole), "Content-Type", ""), 415},
		"a query beside a body":      {queried, 400},
		"no body":                    {body(""), 400},
		"a list":                     {body("[]"), 400},
		"null":                       {body("null"), 400},
		"two bodies":                 {body(whole + whole), 400},
		"an unknown parameter":       {body(`{"group_by":"day"}`), 400},
		"another case":               {body(`{"Timezone":"UTC"}`), 400},
		"an unknown filter":          {filters(`{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z","until":1}`), 400},
		"a filter not simulated":     {filters(`{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z","agents":{"values":["a"]}}`), 400},
		"an unknown distribution":    {body(`{"distribution":"week"}`), 400},
		"a distribution as a number": {body(`{"distribution":1}`), 400},
		"an unknown zone":            {body(`{"timezone":"Mars/Olympus"}`), 400},
		"an empty zone":              {body(`{"timezone":""}`), 400},
		"an offset for a zone":       {body(`{"timezone":"+02:00"}`), 400},
		"filters without times":      {filters(`{}`), 400},
		"from alone":                 {filters(`{"from":"2026-10-20T00:00:00Z"}`), 400},
		"two pairs":                  {filters(`{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z","greetings":{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z"}}`), 400},
		"a pair not simulated":       {filters(`{"greetings":{"from":"2026-10-20T00:00:00Z","to":"2026-10-21T00:00:00Z"}}`), 400},
		"a date":                     {filters(`{"from":"2026-10-20","to":"2026-10-21"}`), 400},
		"a time without offset":      {filters(`{"from":"2026-10-20T00:00:00","to":"2026-10-21T00:00:00"}`), 400},
		"nanoseconds":                {filters(`{"from":"2026-10-20T00:00:00.123456789Z","to":"2026-10-21T00:00:00Z"}`), 400},
		"the end before the start":   {filters(`{"from":"2026-10-21T00:00:00Z","to":"2026-10-20T00:00:00Z"}`), 400},
		"an endless range":           {filters(`{"from":"0001-10-21T00:00:00Z","to":"9999-10-20T00:00:00Z"}`), 400},
		"a time twice in a query":    {add("filters.from", "2026-10-20T00:00:00Z"), 400},
		"an unknown query parameter": {add("filters.until", "1"), 400},
		"a bare plus in a query":     {add("timezone", "Europe Oslo"), 400},
		"a property in a query":      {add("filters.properties[routing][continuous].values", "true"), 400},
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

func TestAChangeTurnsOneRatingOnEachOfTheNewestDays(t *testing.T) {
	sim := newSim(0)
	_, total := ask(t, sim, post("chats/total_chats", whole))
	for range 3 { // a rating that was turned can be turned again
		_, before := ask(t, sim, post("chats/ratings", whole))
		versions := map[string]int{}
		for _, e := range sim.Ledger() {
			versions[e.Key] = e.Version
		}
		if n := sim.Change(3); n != 3 {
			t.Fatalf("Change(3) = %d", n)
		}
		_, after := ask(t, sim, post("chats/ratings", whole))
		for _, day := range []string{"2026-10-20", "2026-10-24", "2026-10-25", "2026-10-26", "2026-10-27"} {
			changed := string(before.Records[day]) != string(after.Records[day])
			if changed != (day >= "2026-10-25") {
				t.Errorf("%s: %s, then %s", day, before.Records[day], after.Records[day])
			}
		}
		grown := 0
		for _, e := range sim.Ledger() {
			if e.Version == versions[e.Key]+1 {
				grown++
			}
		}
		if *before.Total != *after.Total || grown != 3 {
			t.Errorf("total %d, then %d; %d versions grew, want 3", *before.Total, *after.Total, grown)
		}
	}
	if _, again := ask(t, sim, post("chats/total_chats", whole)); string(again.Records["2026-10-27"]) != string(total.Records["2026-10-27"]) {
		t.Errorf("total chats %s, then %s", total.Records["2026-10-27"], again.Records["2026-10-27"])
	}
	if n := sim.Change(100); n > 8 || n < 5 {
		t.Errorf("Change(100) = %d; want one for each day with chats", n)
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
	ask(t, sim, post("chats/ratings", strings.Replace(whole, `"day"`, `"hour"`, 1)))
	entries := sim.Ledger()
	if len(entries) != 10 {
		t.Fatalf("%d entries; want 9 days and their total", len(entries))
	}
	keys := map[string]bool{}
	for _, e := range entries {
		keys[e.Key] = e.Stream == "chats/ratings" && !e.Malformed && e.Version > 0
	}
	for _, key := range []string{
		"chats/ratings/2026-10-19T22:00:00Z/window", "chats/ratings/2026-10-19T22:00:00Z/day",
		"chats/ratings/2026-10-24T22:00:00Z/day", "chats/ratings/2026-10-25T23:00:00Z/day", // the 25th has 25 hours
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
	if after := version(); after != before+30 {
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
