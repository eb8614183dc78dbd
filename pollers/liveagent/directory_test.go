package liveagent_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

// whole is a small account in a format: every call's answer, by its path. In the keys of what it gives, "k" is an id.
func whole(format string) script {
	s := maps.Clone(scripts()[format])
	rows := func(list, item, id string) string {
		if format == "json" {
			return `{"response":{"` + list + `":[{"` + id + `":"k"}]}}`
		}
		return "<response><" + list + "><" + item + "><" + id + ">k</" + id + "></" + item + "></" + list + "></response>"
	}
	one := func(member string) string {
		if format == "json" {
			return `{"response":{"` + member + `":"k"}}`
		}
		return "<response><" + member + ">k</" + member + "></response>"
	}
	maps.Copy(s, script{
		"departments": rows("departments", "department", "departmentid"), "departments/k": one("departmentid"), "departments/k/agents": rows("agents", "agent", "userid"),
		"agents/k": one("userid"), "application/status": one("liveagentversion"),
		"customers": rows("customers", "customer", "contactid"), "customers/k": one("contactid"), "customers/k/groups": rows("groups", "group", "groupid"),
		"customersgroups": rows("groups", "group", "id"), "customersgroups/k": one("id"),
		"knowledgebase/articles": rows("articles", "article", "kb_entry_id"), "knowledgebase/search": rows("articles", "article", "kb_entry_id"),
		"onlinestatus/agents":      rows("agentsOnlineStates", "agentsOnlineState", "id"),
		"onlinestatus/departments": rows("departmentsOnlineStates", "departmentsOnlineState", "id"),
		"suggestioncategories":     rows("suggestioncategories", "suggestioncategorie", "id"), "tags": rows("tags", "tag", "id"), "tags/k": one("id"),
		"chats/overview": rows("chatsOverview", "item", "chats"), "calls/overview": rows("callsOverview", "item", "running"),
	})
	return s
}

// made is what each stream makes of the small account: the key, the parts, and the paths that are asked.
var made = map[string]struct {
	key   string
	parts []string
	paths []string
}{
	"agents":                   {"k", []string{"detail"}, []string{"departments", "onlinestatus/agents", "departments/k/agents", "agents/k"}},
	"application/status":       {"application", []string{"detail"}, []string{"application/status"}},
	"customers":                {"k", []string{"", "detail", "groups"}, []string{"customers", "customers/k", "customers/k/groups"}},
	"customersgroups":          {"k", []string{"", "detail"}, []string{"customersgroups", "customersgroups/k"}},
	"departments":              {"k", []string{"", "detail", "agents"}, []string{"departments", "departments/k", "departments/k/agents"}},
	"knowledgebase/articles":   {"knowledgebase/articles/k", []string{""}, []string{"knowledgebase/articles"}},
	"knowledgebase/search":     {"knowledgebase/search/k", []string{""}, []string{"knowledgebase/search"}},
	"onlinestatus/agents":      {"onlinestatus/agents/k", []string{""}, []string{"onlinestatus/agents"}},
	"onlinestatus/departments": {"onlinestatus/departments/k", []string{""}, []string{"onlinestatus/departments"}},
	"suggestioncategories":     {"k", []string{""}, []string{"suggestioncategories"}},
	"tags":                     {"k", []string{"", "detail"}, []string{"tags", "tags/k"}},
	"chats/overview":           {"chats/overview/snapshot", []string{"detail"}, []string{"chats/overview"}},
	"calls/overview":           {"calls/overview/snapshot", []string{"detail"}, []string{"calls/overview"}},
}

// searching gives the poller that reads a handler and searches the knowledge base.
func searching(t testing.TB, format, queries string, handler http.Handler) pollers.Poller {
	t.Helper()
	return without(t, map[string]string{"FORMAT": format, "KB_QUERIES": queries}, handler, pollers.Env{})
}

func TestEveryStreamWithoutATimeIsASnapshot(t *testing.T) {
	present := []string{"onlinestatus/agents", "onlinestatus/departments", "chats/overview", "calls/overview"}
	described := map[string]bool{}
	for _, s := range searching(t, "json", "a", script{}).Describe().Streams {
		if s.Name == "conversations" || strings.HasPrefix(s.Name, "reports/") {
			continue
		}
		described[s.Name] = true
		if _, known := made[s.Name]; !known || !s.Snapshot || s.Present != slices.Contains(present, s.Name) {
			t.Errorf("%+v", s)
		}
	}
	if len(described) != len(made) {
		t.Errorf("%v", described)
	}
	for _, s := range open(t, "json", script{}).Describe().Streams {
		if s.Name == "knowledgebase/search" {
			t.Error("it is searched for nothing")
		}
	}
}

func TestADirectorysRecordHasTheVendorsBytes(t *testing.T) {
	for _, format := range []string{"json", "xml"} {
		s := whole(format)
		for name, want := range made {
			records, err := pollertest.Collect(searching(t, format, "a", s), pollers.Window{Stream: name})
			if err != nil || len(records) != 1 || records[0].Key != want.key || !slices.Equal(partNames(records[0]), want.parts) {
				t.Errorf("%s %s: %+v, %v; want %+v", format, name, records, err, want)
				continue
			}
			for i, part := range records[0].Parts {
				path := want.paths[len(want.paths)-len(want.parts)+i]
				if !strings.Contains(s[path], string(part.Body.Bytes)) || !strings.Contains(part.URL, "/api/"+path) || part.ContentType != "application/"+format {
					t.Errorf("%s %s: part %q is %s of %s", format, name, part.Name, part.Body.Bytes, part.URL)
				}
			}
		}
	}
}

func TestNoStreamTakesAnErrorOrAHalfAnswerForAnEmptyList(t *testing.T) {
	answers := map[string]map[string]string{
		"json": {
			"an error in 200": `{"response":{"status":"ERROR","statuscode":500,"errormessage":"oops"}}`, "another list": `{"response":{"others":[]}}`,
			"nothing": "", "HTML": "<html><body>Please sign in</body></html>", "an array": "[]", "another root": `{"answer":{}}`,
		},
		"xml": {
			"an error in 200": "<response><status>ERROR</status><statuscode>500</statuscode></response>", "another list": "<response><others/></response>",
			"nothing": "", "HTML": "<html><body>Please sign in</body></html>", "another root": "<answer/>",
		},
	}
	for format, bodies := range answers {
		s := whole(format)
		for name, stream := range made {
			for _, path := range stream.paths {
				for what, body := range bodies {
					records, err := pollertest.Collect(searching(t, format, "a", s.with(path, body)), pollers.Window{Stream: name})
					if !errors.Is(err, pollers.ErrIncomplete) {
						t.Errorf("%s %s: %s answers with %s: %d records, %v; want ErrIncomplete", format, name, path, what, len(records), err)
					}
				}
			}
		}
	}
}

func TestACutOfEveryResponseOfEveryDirectoryFailsTheReading(t *testing.T) {
	for _, format := range []string{"json", "xml"} {
		s := whole(format)
		for name, stream := range made {
			for _, path := range stream.paths {
				for at := range len(s[path]) {
					p := searching(t, format, "a", s.with(path, s[path][:at]))
					if records, err := pollertest.Collect(p, pollers.Window{Stream: name}); err == nil {
						t.Errorf("%s %s: %s cut at %d of %d: complete with %d records", format, name, path, at, len(s[path]), len(records))
					}
				}
			}
		}
	}
}

func TestACallThatAnInstallationLacksIsUnavailable(t *testing.T) {
	for name, stream := range made {
		path := stream.paths[0]
		for _, body := range []string{"404 no such call", "403 not for you", `{"response":{"status":"ERROR","statuscode":404}}`, `{"response":{"status":"ERROR","statuscode":"403"}}`} {
			_, err := pollertest.Collect(searching(t, "json", "a", whole("json").with(path, body)), pollers.Window{Stream: name})
			if path == "departments" {
				if err == nil || pollers.IsUnavailable(err) {
					t.Errorf("%s: %s: %v; every installation has departments", name, body, err)
				}
			} else if !pollers.IsUnavailable(err) || pollers.IsUnauthorized(err) {
				t.Errorf("%s: %s: %v; want Unavailable", name, body, err)
			}
		}
	}
	for _, status := range []string{"401", "400"} {
		if _, err := pollertest.Collect(open(t, "json", whole("json").with("tags", status+" no")), pollers.Window{Stream: "tags"}); !pollers.IsUnauthorized(err) {
			t.Errorf("%s: %v; want Unauthorized", status, err)
		}
	}
}

func TestAnEmptyDirectoryIsEmptyButForDepartments(t *testing.T) {
	lists := map[string]string{
		"customers": "customers", "customersgroups": "groups", "departments": "departments", "knowledgebase/articles": "articles", "knowledgebase/search": "articles",
		"onlinestatus/agents": "agentsOnlineStates", "onlinestatus/departments": "departmentsOnlineStates", "suggestioncategories": "suggestioncategories", "tags": "tags",
	}
	for name, list := range lists {
		for _, value := range []string{"[]", "null"} {
			records, err := pollertest.Collect(searching(t, "json", "a", script{name: `{"response":{"` + list + `":` + value + `}}`}), pollers.Window{Stream: name})
			if len(records) != 0 || (err == nil) != (name != "departments") {
				t.Errorf("%s: %d records, %v", name, len(records), err)
			}
		}
	}
}

func TestARowOfADirectoryWithoutAnAddressIsEmittedAsItIs(t *testing.T) {
	for row, wantKey := range map[string]string{`{"name":"x"}`: "", `null`: "", `{"id":".."}`: ".."} {
		records, err := pollertest.Collect(open(t, "json", script{"tags": `{"response":{"tags":[` + row + `]}}`}), pollers.Window{Stream: "tags"})
		if err != nil || len(records) != 1 || records[0].Key != wantKey || string(records[0].Part("")) != row || len(records[0].Parts) != 1 {
			t.Errorf("%s: %+v, %v", row, records, err)
		}
	}
}

func TestAgentsAreFoundInEveryDepartmentAndWhereTheyAreOnline(t *testing.T) {
	s := script{
		"departments":           `{"response":{"departments":[{"departmentid":"d1"},{"departmentid":"d2"},{"departmentid":"gone"}]}}`,
		"departments/d1/agents": `{"response":{"agents":[{"userid":"a1"},{"userid":"a2"},{"userid":null}]}}`,
		"departments/d2/agents": `{"response":{"agents":[{"userid":"a2"},{"userid":"a3"}]}}`, "departments/gone/agents": "404 gone",
		"onlinestatus/agents": `{"response":{"agentsOnlineStates":[{"id":"a4"},{"id":"a1"},{"id":"lost"}]}}`, "agents/lost": "404 no such agent",
	}
	for _, id := range []string{"a1", "a2", "a3", "a4"} {
		s["agents/"+id] = `{"response":{"userid":"` + id + `","authtoken":"s3cret","browsercookiename":"A_auth","email":"` + id + `@b.example"}}`
	}
	cases := map[string]struct {
		script script
		want   []string
	}{
		"all":                           {s, []string{"a4", "a1", "a2", "a3"}},
		"an older installation":         {s.with("onlinestatus/agents", "404 no such call"), []string{"a1", "a2", "a3"}},
		"one whose lists are all empty": {s.with("departments/d1/agents", `{"response":{"agents":[]}}`, "departments/d2/agents", `{"response":{"agents":null}}`), []string{"a4", "a1"}},
	}
	for name, c := range cases {
		records, err := pollertest.Collect(open(t, "json", c.script), pollers.Window{Stream: "agents"})
		var keys []string
		for _, r := range records {
			keys = append(keys, r.Key)
			if b := string(r.Part("detail")); strings.Contains(b, "s3cret") || strings.Contains(b, "A_auth") || !strings.Contains(b, "email") {
				t.Errorf("%s: %s", name, b)
			}
		}
		if err != nil || !slices.Equal(keys, c.want) {
			t.Errorf("%s: %q, %v; want %q", name, keys, err, c.want)
		}
	}
}

func TestASearchThatMayHaveMoreIsPartial(t *testing.T) {
	for rows, capped := range map[int]bool{499: false, 500: true} {
		asked := map[string]string{}
		p := searching(t, "json", "returns, red shoes", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[r.URL.Query().Get("query")] = r.URL.Query().Get("limit")
			var list []string
			for i := range rows {
				list = append(list, `{"kb_entry_id":`+strconv.Itoa(i)+`}`)
			}
			_, _ = w.Write([]byte(`{"response":{"articles":[` + strings.Join(list, ",") + `]}}`))
		}))
		records := 0
		reading, err := p.Fetch(context.Background(), pollers.Window{Stream: "knowledgebase/search"}, func(events.Record) error { records++; return nil })
		if err != nil || reading.Capped != capped || reading.Requests != 2 || records != rows {
			t.Errorf("%d rows: %d records, %+v, %v", rows, records, reading, err)
		}
		if !maps.Equal(asked, map[string]string{"returns": "500", "red shoes": "500"}) {
			t.Errorf("asked %v", asked)
		}
	}
}

func TestSearchesAreHeldToTheirForm(t *testing.T) {
	for queries, want := range map[string][]string{"a,b c": nil, "a,,b": {"T_KB_QUERIES"}, " , ": {"T_KB_QUERIES"}} {
		got := faults(map[string]string{"VENDOR": "liveagent", "URL": "https://a.example", "API_KEY": key, "KB_QUERIES": queries})
		if !slices.Equal(got, want) {
			t.Errorf("%q: faults of %v, want %v", queries, got, want)
		}
	}
}

func TestTheReadingOfDatefromAndDatetoDoesNotMatter(t *testing.T) {
	read := func(ordinary bool) map[string]string {
		sim := liveagentsim.New(simulated.Options{Seed: 3, Days: 2, Chats: 40, Start: now, Now: clock})
		if ordinary {
			sim.ReadDatesOrdinarily()
		}
		p := vendor("json", nil).Serve(t, sim, sim)
		prints := map[string]string{}
		for _, stream := range p.Describe().Streams {
			for _, w := range pollertest.Windows(p.Describe(), stream) {
				records, err := pollertest.Collect(p, w)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					prints[stream.Name+" "+r.Key] = r.Fingerprint()
				}
			}
		}
		return prints
	}
	words, ordinary := read(false), read(true)
	if !maps.Equal(words, ordinary) || len(words) < 40 {
		t.Errorf("%d records by the document's words, %d in the ordinary sense; want the same", len(words), len(ordinary))
	}
}

// moving is a list in pages that is changed before each request.
type moving struct {
	rows   []int
	before []func(rows []int) []int
	asked  []string
	most   int // the vendor's own limit; 0: none
	deaf   bool
}

func (m *moving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(m.before) > 0 {
		m.rows, m.before = m.before[0](slices.Clone(m.rows)), m.before[1:]
	}
	q := r.URL.Query()
	m.asked = append(m.asked, q.Get("offset")+"+"+q.Get("limit"))
	from, _ := strconv.Atoi(q.Get("offset"))
	count, _ := strconv.Atoi(q.Get("limit"))
	if m.most > 0 {
		count = min(count, m.most)
	}
	if m.deaf {
		from = 0
	}
	from = min(from, len(m.rows))
	var list []string
	for _, n := range m.rows[from:min(from+count, len(m.rows))] {
		list = append(list, fmt.Sprintf(`{"kb_entry_id":"%d"}`, n))
	}
	_, _ = w.Write([]byte(`{"response":{"articles":[` + strings.Join(list, ",") + `]}}`))
}

func upTo(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

func same(rows []int) []int { return rows }

func TestPagesThatMoveWhileTheyAreReadAreReadWhole(t *testing.T) {
	remove := func(from, to int) func([]int) []int {
		return func(rows []int) []int {
			return slices.DeleteFunc(rows, func(n int) bool { return n >= from && n < to })
		}
	}
	insert := func(rows []int) []int { return append([]int{-3, -2, -1}, rows...) }
	cases := map[string]struct {
		list moving
		must []int // what is there from the first request to the last
		fail bool
	}{
		"none at all":                              {moving{}, nil, false},
		"one row":                                  {moving{rows: upTo(1)}, upTo(1), false},
		"a page that is just full":                 {moving{rows: upTo(100)}, upTo(100), false},
		"three pages":                              {moving{rows: upTo(250)}, upTo(250), false},
		"rows come before what was read":           {moving{rows: upTo(250), before: []func([]int) []int{same, insert, insert}}, upTo(250), false},
		"a few go from what was read":              {moving{rows: upTo(250), before: []func([]int) []int{same, remove(0, 5)}}, upTo(250)[5:], false},
		"many go from what was read":               {moving{rows: upTo(400), before: []func([]int) []int{same, remove(0, 60)}}, upTo(400)[60:], false},
		"the end of the page goes":                 {moving{rows: upTo(250), before: []func([]int) []int{same, remove(85, 100)}}, append(upTo(85), upTo(250)[100:]...), false},
		"the list ends before the page":            {moving{rows: upTo(150), before: []func([]int) []int{same, remove(20, 150)}}, upTo(20), false},
		"a vendor that gives fewer than asked for": {moving{rows: upTo(250), most: 30}, upTo(250), false},
		"a vendor that gives the same page again":  {moving{rows: upTo(250), deaf: true}, nil, true},
		"everything is another each time": {moving{rows: upTo(200), before: slices.Repeat([]func([]int) []int{func(rows []int) []int {
			for i := range rows {
				rows[i] += 1000
			}
			return rows
		}}, 50)}, nil, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			records, err := pollertest.Collect(open(t, "json", &c.list), pollers.Window{Stream: "knowledgebase/articles"})
			if c.fail {
				if !errors.Is(err, pollers.ErrIncomplete) {
					t.Errorf("%d records, %v; want ErrIncomplete", len(records), err)
				}
				return
			}
			got := map[string]bool{}
			for _, r := range records {
				got[r.Key] = true
			}
			missing := 0
			for _, n := range c.must {
				if !got[fmt.Sprintf("knowledgebase/articles/%d", n)] {
					missing++
				}
			}
			if err != nil || missing > 0 {
				t.Errorf("%d records, %d missing, %v; asked %v", len(records), missing, err, c.list.asked)
			}
		})
	}
}

func TestPagesOfTheSimulatorAreReadWhole(t *testing.T) {
	sim := liveagentsim.New(simulated.Options{Seed: 3, Days: 2, Chats: 5500, Start: now, Now: clock})
	m, at := memoryOf{}, now
	p := remembering(t, withKey(sim), m, &at)
	keys, reading, err := m.read(p, pollers.Window{Stream: "customers"}, all)
	if err != nil || len(keys) != 1100 || reading.Requests != 3+2*1100 {
		t.Errorf("%d customers, %+v, %v", len(keys), reading, err)
	}
	if keys, reading, err = m.read(p, pollers.Window{Stream: "customers"}, all); err != nil || len(keys) != 0 || reading.Unchanged != 1100 || reading.Requests != 3 {
		t.Errorf("again: %d customers, %+v, %v", len(keys), reading, err)
	}
}

// withKey puts a simulator's own key in place of the tests'.
func withKey(sim *liveagentsim.Sim) http.Handler {
	own := sim.Variables("")["API_KEY"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		q.Set("apikey", own)
		r.URL.RawQuery = q.Encode()
		sim.ServeHTTP(w, r)
	})
}

func TestARowShowsNoCredentials(t *testing.T) {
	rows := map[string]string{
		"json": `{"contactid":"k","authtoken":"s3cret","note":"my key is ` + key + `","browsercookiename":"V_auth"}`,
		"xml":  `<customer><contactid>k</contactid><authtoken>s3cret</authtoken><note>my key is ` + key + `</note><browsercookiename>V_auth</browsercookiename></customer>`,
	}
	for format, row := range rows {
		list := `{"response":{"customers":[` + row + `]}}`
		if format == "xml" {
			list = "<response><customers>" + row + "</customers></response>"
		}
		records, err := pollertest.Collect(searching(t, format, "a", whole(format).with("customers", list)), pollers.Window{Stream: "customers"})
		if err != nil || len(records) != 1 {
			t.Fatalf("%s: %d records, %v", format, len(records), err)
		}
		if got := string(records[0].Part("")); strings.Contains(got, "s3cret") || strings.Contains(got, key) || strings.Contains(got, "V_auth") || !strings.Contains(got, "my key is") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestARowTooLargeToKeepIsReadEveryTime(t *testing.T) {
	row := `{"contactid":"k","note":"` + strings.Repeat("y", events.MaxRecordBytes) + `"}`
	m, at := memoryOf{}, now
	p := remembering(t, plain(whole("json").with("customers", `{"response":{"customers":[`+row+`]}}`)), m, &at)
	keys, _, err := m.read(p, pollers.Window{Stream: "customers"}, all)
	if err != nil || !slices.Equal(keys, []string{"k"}) || len(m) != 0 {
		t.Errorf("%q, %v; remembered %v", keys, err, m)
	}
}
