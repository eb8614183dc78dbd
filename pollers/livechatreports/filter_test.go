package livechatreports_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/livechatreports"
	"github.com/parley-stream/parley/pollers/livechatreports/livechatreportssim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

// faultsOf are the faults of variables, of which TOKEN is given.
func faultsOf(variables map[string]string) settings.Faults {
	all := map[string]string{"VENDOR": "livechat-reports", "TOKEN": token}
	maps.Copy(all, variables)
	vars := settings.New("PARLEY_SOURCE_TEST_", all)
	livechatreports.New(pollers.DecodeSettings("test", vars), vars, pollers.Env{
		Connect: func(string, pollers.Rate, []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{})
		},
	})
	vars.Unknown()
	return vars.Faults()
}

func TestAWrongSettingIsAFaultThatNamesIt(t *testing.T) {
	for name, value := range map[string]string{"DISTRIBUTION": "week", "METHOD": "get", "FILTERS": "{"} {
		if faults := faultsOf(map[string]string{name: value}); len(faults) != 1 || faults[0].Variable != "PARLEY_SOURCE_TEST_"+name {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

func TestFiltersAreHeldToTheDocument(t *testing.T) {
	cases := map[string]struct{ filters, want string }{
		"no JSON":                           {`{"tags":`, "is no JSON"},
		"no object":                         {`["tags"]`, "filters: want an object"},
		"two objects":                       {`{}{}`, "is no JSON"},
		"a filter twice":                    {`{"tags":{"exists":true},"tags":{"exists":false}}`, "a field twice"},
		"a field twice inside":              {`{"tags":{"exists":true,"exists":false}}`, "a field twice"},
		"an unknown filter":                 {`{"tag":{"exists":true}}`, "filters.tag: is unknown: want agent_response, agents, customer_countries"},
		"an unknown field":                  {`{"tags":{"value":["a"]}}`, "filters.tags.value: is unknown: want exclude_values, exists, require_every_value, values"},
		"a filter that is a list":           {`{"tags":["a"]}`, "filters.tags: want an object"},
		"a filter that is null":             {`{"tags":null}`, "filters.tags: want an object"},
		"an empty filter":                   {`{"tags":{}}`, "filters.tags: is empty"},
		"two of three":                      {`{"tags":{"exists":true,"values":["a"]}}`, "filters.tags: want exactly one of exists, values, exclude_values"},
		"none of three":                     {`{"tags":{"require_every_value":true}}`, "filters.tags: want exactly one of"},
		"no list":                           {`{"tags":{"values":"a"}}`, "filters.tags.values: want a list of values, each a text"},
		"an empty list":                     {`{"tags":{"values":[]}}`, "filters.tags.values: want a list"},
		"numbers for texts":                 {`{"tags":{"values":["a",1]}}`, "filters.tags.values[1]: want a text"},
		"an empty text":                     {`{"tags":{"values":[""]}}`, "filters.tags.values[0]: want a text"},
		"texts for numbers":                 {`{"groups":{"values":["1"]}}`, "filters.groups.values[0]: want a whole number"},
		"a fraction":                        {`{"groups":{"values":[1.5]}}`, "want a whole number"},
		"an exponent":                       {`{"sales":{"values":[1e3]}}`, "want a whole number"},
		"exists that is a text":             {`{"goals":{"exists":"true"}}`, "filters.goals.exists: want true or false"},
		"a modifier that is a number":       {`{"goals":{"values":[1],"require_every_value":1}}`, "filters.goals.require_every_value: want true or false"},
		"event types that exist":            {`{"event_types":{"exists":true}}`, "filters.event_types.exists: is unknown"},
		"two lists of event types":          {`{"event_types":{"values":["file"],"exclude_values":["message"]}}`, "want exactly one of values, exclude_values"},
		"a country's name":                  {`{"customer_countries":{"values":["Norway"]}}`, "want a country code"},
		"a property of no namespace":        {`{"properties":{"continuous":{"values":[true]}}}`, "filters.properties.continuous.values: want an object"},
		"a property that is a value":        {`{"properties":{"routing":{"continuous":true}}}`, "filters.properties.routing.continuous: want an object"},
		"an empty namespace":                {`{"properties":{"routing":{}}}`, "filters.properties.routing: want an object with a name in it"},
		"a property of two types":           {`{"properties":{"routing":{"continuous":{"values":[true,"a"]}}}}`, "want values of one type"},
		"a property that needs every value": {`{"properties":{"routing":{"continuous":{"values":[true],"require_every_value":true}}}}`, "require_every_value: is unknown"},
		"agents of any response":            {`{"agent_response":{"agents":{"values":["a"]}}}`, "filters.agent_response.agents: works only with first set to true"},
		"groups of no first response":       {`{"agent_response":{"first":false,"groups":{"values":[1]}}}`, "filters.agent_response.groups: works only with first"},
		"surveys that are an object":        {`{"surveys":{"type":"pre_chat"}}`, "filters.surveys: want a list of surveys"},
		"a survey of another type":          {`{"surveys":[{"type":"ticket"}]}`, "filters.surveys[0].type: want pre_chat or post_chat"},
		"two of a survey's three":           {`{"surveys":[{"values":["a"],"exists":true}]}`, "filters.surveys[0]: want exactly one of"},
		"an unknown field of a survey":      {`{"surveys":[{"tags":{}}]}`, "filters.surveys[0].tags: is unknown"},
		"a time":                            {`{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, "filters.from: want no time, which Parley fills in"},
		"half a pair":                       {`{"from":"{from}"}`, "filters: want both from and to"},
		"half a pair of greetings":          {`{"greetings":{"to":"{to}"}}`, "filters.greetings: want both from and to"},
		"two pairs":                         {`{"from":"{from}","to":"{to}","greetings":{"from":"{from}","to":"{to}"}}`, "filters and filters.greetings have times: want exactly one pair"},
		"three pairs":                       {`{"from":"{from}","to":"{to}","greetings":{"from":"{from}","to":"{to}"},"surveys":[{"from":"{from}","to":"{to}"}]}`, "filters.surveys have times"},
		"a survey without the times":        {`{"surveys":[{"from":"{from}","to":"{to}"},{"exists":true}]}`, "want from and to, which another survey has"},
		"greetings of two types":            {`{"greetings":{"values":[1,"a"]}}`, "want values of one type"},
		"two of the greetings' three":       {`{"greetings":{"values":[1],"exists":true}}`, "filters.greetings: want exactly one of"},
		"several faults":                    {`{"tag":{},"groups":{"values":[true]}}`, "filters.groups.values[0]: want a whole number; filters.tag: is unknown"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			faults := faultsOf(map[string]string{"FILTERS": c.filters, "STREAMS": "chats/*"})
			if len(faults) != 1 || faults[0].Variable != "PARLEY_SOURCE_TEST_FILTERS" || !strings.Contains(faults[0].Want, c.want) {
				t.Errorf("faults %v; want one of FILTERS: %s", faults, c.want)
			}
		})
	}
}

func TestEveryStreamThatIsReadMustTakeTheFilters(t *testing.T) {
	cases := map[string]struct{ streams, filters, want string }{
		"none of visitors":             {"", `{"groups":{"values":[1]}}`, "filters.groups: is unknown: want from, to, says stats/visitors"},
		"groups of chats and agents":   {"chats/*,agents/*,tags/*", `{"groups":{"values":[1]}}`, ""},
		"agents of chats and agents":   {"chats/*,agents/*", `{"agents":{"exclude_values":["a"],"require_every_value":true}}`, ""},
		"agents of tags":               {"tags/*", `{"agents":{"values":["a"]}}`, "filters.agents: is unknown: want from, groups, to, says tags/chat_usage: take the filter away"},
		"agents that exist, of agents": {"agents/performance", `{"agents":{"exists":true}}`, "filters.agents.exists: is unknown"},
		"groups that exist, of agents": {"agents/performance", `{"groups":{"exists":true}}`, "filters.groups.exists: is unknown"},
		"tags of agents":               {"agents/*", `{"tags":{"exists":true}}`, "filters.tags: is unknown: want agents, from, groups, to, says agents/availability"},
		"nothing":                      {"", `{}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			faults := faultsOf(map[string]string{"FILTERS": c.filters, "STREAMS": c.streams})
			if (len(faults) == 0) != (c.want == "") || len(faults) > 0 && !strings.Contains(faults[0].Want, c.want) {
				t.Errorf("faults %v; want %q", faults, c.want)
			}
		})
	}
	p, _ := open(t, &vendor{}, map[string]string{"FILTERS": `{"tags":{"exists":true}}`, "STREAMS": "chats/*"})
	if _, err := pollertest.Collect(p, of(t, "agents/performance")); !events.IsPermanent(err) {
		t.Errorf("a stream that was not selected: %v; want a permanent error", err)
	}
}

// every is a value for every documented filter of chats.
const every = `{"properties":{"routing":{"continuous":{"values":[true]}},"other":{"text":{"exclude_values":["b","a"]},"number":{"exists":false}}},
	"agents":{"values":["joe@acme.example","alice@acme.example"],"require_every_value":true},"tags":{"exclude_values":["spam"]},"sales":{"values":[12,7]},
	"goals":{"exists":true},"event_types":{"values":["file"]},"groups":{"exclude_values":[0]},
	"greetings":{"values":[3,20],"groups":{"values":[1]}},"agent_response":{"exists":true,"first":true,"agents":{"values":["joe@acme.example"]},"groups":{"exists":true}},
	"customer_countries":{"values":["NO","DK"]}}`

func TestEveryFilterIsSentWithTheTimesByPost(t *testing.T) {
	filters := strings.Replace(every, `"customer_countries"`, `"surveys":[{"type":"pre_chat","values":["1:0"],"groups":{"values":[1]}},{"type":"post_chat","exclude_values":["2:1"]},{"exists":true}],"customer_countries"`, 1)
	v := &vendor{body: answer(`{}`)}
	p, _ := open(t, v, map[string]string{"FILTERS": filters, "STREAMS": "chats/*"})
	if _, err := pollertest.Collect(p, october(t)); err != nil {
		t.Fatal(err)
	}
	want := `{"distribution":"day","timezone":"Europe/Oslo","filters":{"agent_response":{"agents":{"values":["joe@acme.example"]},"exists":true,"first":true,"groups":{"exists":true}},` +
		`"agents":{"require_every_value":true,"values":["alice@acme.example","joe@acme.example"]},"customer_countries":{"values":["DK","NO"]},"event_types":{"values":["file"]},` +
		`"from":"2026-10-25T00:00:00+02:00","goals":{"exists":true},"greetings":{"groups":{"values":[1]},"values":[3,20]},"groups":{"exclude_values":[0]},` +
		`"properties":{"other":{"number":{"exists":false},"text":{"exclude_values":["a","b"]}},"routing":{"continuous":{"values":[true]}}},"sales":{"values":[7,12]},` +
		`"surveys":[{"groups":{"values":[1]},"type":"pre_chat","values":["1:0"]},{"exclude_values":["2:1"],"type":"post_chat"},{"exists":true}],` +
		`"tags":{"exclude_values":["spam"]},"to":"2026-10-25T23:59:59.999999+01:00"}}`
	if v.sent != want {
		t.Errorf("sent %s\nwant %s", v.sent, want)
	}
}

func TestEveryFilterIsSentWithTheTimesByGet(t *testing.T) {
	v := &vendor{body: answer(`{}`)}
	p, _ := open(t, v, map[string]string{"FILTERS": every, "STREAMS": "chats/*", "METHOD": "GET"})
	if _, err := pollertest.Collect(p, october(t)); err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"distribution": {"day"}, "timezone": {"Europe/Oslo"}, "filters.from": {"2026-10-25T00:00:00+02:00"}, "filters.to": {"2026-10-25T23:59:59.999999+01:00"},
		"filters.properties[routing][continuous].values": {"true"}, "filters.properties[other][text].exclude_values": {"a", "b"},
		"filters.properties[other][number].exists": {"false"}, "filters.agents.values": {"alice@acme.example", "joe@acme.example"},
		"filters.agents.require_every_value": {"true"}, "filters.tags.exclude_values": {"spam"}, "filters.sales.values": {"7", "12"},
		"filters.goals.exists": {"true"}, "filters.event_types.values": {"file"}, "filters.groups.exclude_values": {"0"},
		"filters.greetings.values": {"3", "20"}, "filters.greetings.groups.values": {"1"}, "filters.agent_response.exists": {"true"},
		"filters.agent_response.first": {"true"}, "filters.agent_response.agents.values": {"joe@acme.example"},
		"filters.agent_response.groups.exists": {"true"}, "filters.customer_countries.values": {"DK", "NO"},
	}
	if got := v.request.URL.Query(); got.Encode() != want.Encode() || v.sent != "" || v.request.Method != http.MethodGet || v.request.Header.Get("Content-Type") != "" {
		t.Errorf("%s %q %v\nwant %v", v.request.Method, v.sent, got, want)
	}
}

func TestWhatAQueryCannotSayIsAFaultOfGet(t *testing.T) {
	for filters, want := range map[string]string{
		`{"surveys":[{"exists":true}]}`:                   "filters.surveys: has no documented form in a query",
		`{"properties":{"a":{"b[0]":{"exists":true}}}}`:   `"b[0]" has a square bracket`,
		`{"properties":{"a]":{"b":{"values":["x"]}}}}`:    `"a]" has a square bracket`,
		`{"properties":{"a.b":{"c.d":{"values":["x"]}}}}`: "",
	} {
		for method, fault := range map[string]bool{"GET": want != "", "POST": false} {
			faults := faultsOf(map[string]string{"FILTERS": filters, "STREAMS": "chats/*", "METHOD": method})
			if (len(faults) > 0) != fault || fault && !strings.Contains(faults[0].Want, want) {
				t.Errorf("%s %s: %v; want %q", method, filters, faults, want)
			}
		}
	}
}

func TestTheTimesGoWhereTheFiltersSay(t *testing.T) {
	const pair = `"from":"2026-10-25T00:00:00+02:00","to":"2026-10-25T23:59:59.999999+01:00"`
	cases := map[string]struct{ report, filters, want string }{
		"by default":                         {"chats/ratings", ``, `{` + pair + `}`},
		"into the greetings of their report": {"chats/greetings_conversion", ``, `{"greetings":{` + pair + `}}`},
		"beside the greetings' filters":      {"chats/greetings_conversion", `{"greetings":{"groups":{"values":[1]}}}`, `{"greetings":{` + strings.Replace(pair, `,"to"`, `,"groups":{"values":[1]},"to"`, 1) + `}}`},
		"beside other filters":               {"chats/greetings_conversion", `{"groups":{"values":[1]}}`, `{"greetings":{` + pair + `},"groups":{"values":[1]}}`},
		"of greetings for any report":        {"chats/ratings", `{"greetings":{"from":"{from}","to":"{to}"}}`, `{"greetings":{` + pair + `}}`},
		"of chats for greetings":             {"chats/greetings_conversion", `{"from":"{from}","to":"{to}"}`, `{` + pair + `}`},
		"of surveys": {
			"chats/forms", `{"surveys":[{"type":"pre_chat","from":"{from}","to":"{to}"},{"from":"{from}","to":"{to}","type":"post_chat"}]}`,
			`{"surveys":[{` + pair + `,"type":"pre_chat"},{` + pair + `,"type":"post_chat"}]}`,
		},
		"and not into properties of their names": {
			"chats/ratings", `{"properties":{"from":{"x":{"exists":true}},"to":{"x":{"exists":true}}}}`,
			`{` + strings.Replace(pair, `,"to"`, `,"properties":{"from":{"x":{"exists":true}},"to":{"x":{"exists":true}}},"to"`, 1) + `}`,
		},
		"and nowhere else": {"chats/ratings", `{"tags":{"values":["{from}","{to}"]}}`, `{` + strings.Replace(pair, `,"to"`, `,"tags":{"values":["{from}","{to}"]},"to"`, 1) + `}`},
	}
	names := map[string]string{"chats/ratings": "ratings-report", "chats/greetings_conversion": "greetings-conversion-report", "chats/forms": "form-report"}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			records := "{}"
			if c.report == "chats/forms" {
				records = "[]"
			}
			v := &vendor{body: []byte(`{"name":"` + names[c.report] + `","records":` + records + `}`)}
			p, _ := open(t, v, map[string]string{"FILTERS": c.filters, "STREAMS": "chats/*"})
			if _, err := pollertest.Collect(p, of(t, c.report)); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(v.sent, `"filters":`+c.want+`}`) {
				t.Errorf("sent %s\nwant %s", v.sent, c.want)
			}
		})
	}
}

// filteredKeys reads the ratings with filters and gives their keys' ends and the Params.
func filteredKey(t *testing.T, filters string) (string, map[string]string) {
	t.Helper()
	p, _ := open(t, &vendor{body: answer(`{"2026-10-25":{}}`)}, map[string]string{"FILTERS": filters, "STREAMS": "chats/*"})
	records, err := pollertest.Collect(p, october(t))
	if err != nil || len(records) != 2 {
		t.Fatal(len(records), err)
	}
	for _, r := range records {
		if suffix := "/filter=" + r.Params["filter"]; (r.Params["filter"] != "") != strings.HasSuffix(r.Key, suffix) {
			t.Errorf("key %q, params %v", r.Key, r.Params)
		}
	}
	return records[0].Key, records[0].Params
}

func TestTheFiltersInForceAreADimensionOfEveryRecord(t *testing.T) {
	plain, params := filteredKey(t, "")
	if empty, _ := filteredKey(t, "{}"); plain != "chats/ratings/2026-10-24T22:00:00Z/day" || empty != plain || params["filters"] != "" {
		t.Errorf("without filters: %q, %q, %v", plain, empty, params)
	}
	key, params := filteredKey(t, `{"tags":{"values":["b","a"]},"groups":{"values":[10,9]}}`)
	if want := "chats/ratings/2026-10-24T22:00:00Z/day/filter=" + params["filter"]; key != want || params["filter"] != "7d25ea5626f0" ||
		params["filters"] != `{"groups":{"values":[9,10]},"tags":{"values":["a","b"]}}` {
		t.Errorf("%q %v", key, params)
	}
	if same, _ := filteredKey(t, `{ "groups" : {"values":[9,10]}, "tags":{"values":["a","b"]}}`); same != key {
		t.Errorf("%q, want %q: the order of what is a set does not count", same, key)
	}
	for _, other := range []string{
		`{"tags":{"values":["a","b"]},"groups":{"values":[9]}}`, `{"tags":{"exclude_values":["a","b"]},"groups":{"values":[9,10]}}`,
		`{"tags":{"values":["a","b"]},"groups":{"values":[9,10]},"from":"{from}","to":"{to}"}`,
	} {
		if k, _ := filteredKey(t, other); k == key {
			t.Errorf("%s has the key of another filter: %q", other, k)
		}
	}
}

func TestFormsAndNamesHaveTheFilterAmongTheirDimensions(t *testing.T) {
	const filters = `{"groups":{"values":[1]}}`
	for report, c := range map[string]struct{ body, want string }{
		"chats/forms":     {`{"name":"form-report","records":[{"form_id":"f","fields":[{"field_id":"q","answers":[{"answer_id":1}]}]}]}`, "/answer=1/field=q/filter=%/form=f"},
		"chats/ranking":   {`{"name":"ranking-report","records":{"a@b.example":{}}}`, "/agent=a@b.example/filter=%"},
		"tags/chat_usage": {`{"name":"tags-chat-usage-report","records":{"refund":1}}`, "/filter=%/tag=refund"},
	} {
		p, _ := open(t, &vendor{body: []byte(c.body)}, map[string]string{"FILTERS": filters, "STREAMS": "chats/*,tags/*"})
		records, err := pollertest.Collect(p, of(t, report))
		if err != nil {
			t.Fatal(err)
		}
		r := records[len(records)-1]
		if want := report + "/2026-10-24T22:00:00Z/day" + strings.ReplaceAll(c.want, "%", r.Params["filter"]); r.Key != want || r.Params["filter"] == "" {
			t.Errorf("key %q, want %q", r.Key, want)
		}
	}
}

// TestTheSimulatorTakesEveryFilterBothWays reads each filter from the simulator, which is strict, by both methods.
func TestTheSimulatorTakesEveryFilterBothWays(t *testing.T) {
	sim := livechatreportssim.New(simulated.Options{Seed: 3, Days: 3, Chats: 90, Start: now, Now: func() time.Time { return now }})
	server := httptest.NewServer(sim)
	defer server.Close()
	agent := simulated.New(simulated.Options{Seed: 3, Days: 3, Chats: 90, Start: now}).Agents()[0].Email
	cases := map[string]struct {
		filters, streams string
		all              bool // the filter takes every chat
	}{
		"agents":          {`{"agents":{"values":["` + agent + `"]}}`, "chats/*,agents/*", false},
		"unassigned":      {`{"agents":{"exists":false}}`, "chats/*", false},
		"tags":            {`{"tags":{"values":["refund","bug"]}}`, "chats/*", false},
		"every tag":       {`{"tags":{"values":["refund","bug"],"require_every_value":true}}`, "chats/*", false},
		"sales":           {`{"sales":{"exists":true}}`, "chats/*", false},
		"goals":           {`{"goals":{"exclude_values":[1]}}`, "chats/*", false},
		"event types":     {`{"event_types":{"values":["file"]}}`, "chats/*", false},
		"groups":          {`{"groups":{"values":[1]}}`, "chats/*,agents/*,tags/*", false},
		"greetings":       {`{"greetings":{"values":["1"]}}`, "chats/*", false},
		"greetings' time": {`{"greetings":{"from":"{from}","to":"{to}","groups":{"values":[0,1]}}}`, "chats/*", false},
		"responses":       {`{"agent_response":{"exists":false}}`, "chats/*", false},
		"first responses": {`{"agent_response":{"first":true,"agents":{"exclude_values":["` + agent + `"]},"groups":{"values":[0]}}}`, "chats/*", false},
		"countries":       {`{"customer_countries":{"values":["NO"]}}`, "chats/*", false},
		"properties":      {`{"properties":{"routing":{"continuous":{"values":[true]},"unreplied":{"values":[false]}}}}`, "chats/*", false},
		"times alone":     {`{"from":"{from}","to":"{to}"}`, "chats/*,agents/*,tags/*,stats/*", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var bodies [2]string
			for i, method := range []string{"POST", "GET"} {
				bodies[i] = readDay(t, sim.Variables(server.URL), map[string]string{"FILTERS": c.filters, "STREAMS": c.streams, "METHOD": method})
			}
			all := readDay(t, sim.Variables(server.URL), map[string]string{"STREAMS": c.streams})
			if bodies[0] != bodies[1] || (bodies[0] == all) != c.all {
				t.Errorf("by POST %s\nby GET %s\nunfiltered %s", bodies[0], bodies[1], all)
			}
		})
	}
	surveys := map[string]string{"FILTERS": `{"surveys":[{"type":"post_chat","exists":true,"from":"{from}","to":"{to}"}]}`, "STREAMS": "chats/*"}
	if got := readDay(t, sim.Variables(server.URL), surveys); !strings.Contains(got, "ratings-report") {
		t.Errorf("surveys: %s", got)
	}
}

// readDay reads yesterday's figures of every stream that the variables select.
func readDay(t *testing.T, variables ...map[string]string) string {
	t.Helper()
	all := maps.Clone(variables[0])
	maps.Copy(all, variables[1])
	v := pollertest.Vendor{New: livechatreports.New}
	p := v.Open(t, all)
	var text strings.Builder
	for _, stream := range p.Describe().Streams {
		if selects := (pollers.Settings{Streams: strings.Split(all["STREAMS"], ",")}); !selects.Selects(stream.Name) {
			continue
		}
		w := pollers.Window{Stream: stream.Name, From: now.AddDate(0, 0, -2), To: now.AddDate(0, 0, -1)}
		records, err := pollertest.Collect(p, w)
		if err != nil {
			t.Fatal(stream.Name, err)
		}
		slices.SortFunc(records, func(a, b events.Record) int { return strings.Compare(a.Key, b.Key) })
		for _, r := range records {
			for _, part := range r.Parts {
				text.Write(part.Body.Bytes)
			}
		}
	}
	return text.String()
}

func FuzzFilters(f *testing.F) {
	f.Add(every, "POST")
	f.Add(`{"properties":{"a":{"b":{"values":["x"]}}}}`, "GET")
	f.Add(`{"greetings":{"from":"{from}","to":"{to}"}}`, "GET")
	f.Add(`{"surveys":[{"from":"{from}","to":"{to}","values":["a"]}],"groups":{"values":[1,1,-2]}}`, "POST")
	sim := livechatreportssim.New(simulated.Options{Seed: 3, Days: 2, Chats: 3, Start: now, Now: func() time.Time { return now }})
	server := httptest.NewServer(sim)
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, filters, method string) {
		variables := sim.Variables(server.URL)
		variables["FILTERS"], variables["METHOD"], variables["STREAMS"] = filters, method, "chats/total_chats"
		if len(faultsOf(variables)) > 0 {
			return
		}
		// What is no fault, the strict simulator takes.
		v := pollertest.Vendor{New: livechatreports.New}
		if _, err := pollertest.Collect(v.Open(t, variables), pollers.Window{Stream: "chats/total_chats", From: now.AddDate(0, 0, -1), To: now}); err != nil {
			t.Fatalf("%s: %v", filters, err)
		}
	})
}
