package liveagentsim_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/simulated"
)

// lists are the calls that answer with a list: its name, and the columns of its rows that the document has.
var lists = map[string]struct {
	parameters []string
	name       string
	columns    []string
}{
	"/api/customers":                   {nil, "customers", []string{"contactid", "email", "firstname", "lastname", "systemname", "userid", "datecreated", "role", "gender"}},
	"/api/customersgroups":             {nil, "groups", []string{"id", "name"}},
	"/api/departments":                 {nil, "departments", []string{"departmentid", "name", "description", "onlinestatus", "presetstatus", "deleted"}},
	"/api/departments/dp01sale/agents": {nil, "agents", []string{"userid", "firstname", "lastname", "email", "onlinestatus", "presetstatus"}},
	"/api/knowledgebase/articles": {nil, "articles", []string{
		"kb_entry_id", "parent_entry_id", "rtype", "rstatus", "access", "access_inherited", "urlcode", "treepath", "rorder", "title", "metadescription",
		"keywords", "content", "conversationid", "departmentid", "views", "votes", "datecreated", "datechanged", "deleted", "description", "url",
	}},
	"/api/knowledgebase/search": {[]string{"query", "delivery"}, "articles", []string{
		"kb_entry_id", "urlcode", "title", "content_text", "content_simple_html", "treepath", "rtype", "rstatus", "votesCount", "datechanged", "conversationid", "url",
	}},
	"/api/onlinestatus/agents": {nil, "agentsOnlineStates", []string{"id", "contactid", "username", "firstname", "lastname", "avatar_url", "presetStatus", "onlineStatus"}},
	"/api/onlinestatus/departments": {nil, "departmentsOnlineStates", []string{
		"id", "name", "onlineStatus", "presetStatus", "chat_count", "new_count", "customer_reply_count", "total_count", "max_count",
	}},
	"/api/suggestioncategories": {nil, "suggestioncategories", []string{"id", "title", "path"}},
	"/api/tags":                 {nil, "tags", []string{"id", "name"}},
	"/api/chats/overview":       {nil, "chatsOverview", []string{"visitors", "chats", "queue", "agents"}},
	"/api/calls/overview":       {nil, "callsOverview", []string{"running", "ringing", "inqueue"}},
}

func names(row map[string]any) []string {
	var out []string
	for name := range row {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestEveryListHasTheDocumentsColumnsAndNoOthers(t *testing.T) {
	sim := newSim()
	for path, l := range lists {
		list, _ := decode(t, get(sim, path, l.parameters...))[l.name].([]any)
		if len(list) == 0 {
			t.Errorf("%s: %s", path, get(sim, path, l.parameters...).Body)
			continue
		}
		slices.Sort(l.columns)
		if got := names(list[0].(map[string]any)); !slices.Equal(got, l.columns) {
			t.Errorf("%s: columns %q, want %q", path, got, l.columns)
		}
	}
}

func TestEveryInfoHasTheDocumentsFieldsAndNoOthers(t *testing.T) {
	sim := newSim()
	first := func(path, list, id string) string {
		return decode(t, get(sim, path))[list].([]any)[0].(map[string]any)[id].(string)
	}
	infos := map[string][]string{
		"/api/agents/" + first("/api/onlinestatus/agents", "agentsOnlineStates", "id"):       {"authtoken", "browsercookiename", "contactid", "email", "firstname", "gender", "lastname", "role", "systemname", "userid"},
		"/api/agents/" + first("/api/onlinestatus/agents", "agentsOnlineStates", "username"): {"authtoken", "browsercookiename", "contactid", "email", "firstname", "gender", "lastname", "role", "systemname", "userid"},
		"/api/application/status": {"dateinstalled", "datelatestupdate", "gpfversion", "liveagentversion"},
		"/api/customers/" + first("/api/customers", "customers", "contactid"): {
			"authtoken", "browsercookiename", "contactid", "customfields", "datecreated", "email", "firstname", "gender", "lastname", "role", "systemname", "userid",
		},
		"/api/customers/" + first("/api/customers", "customers", "email") + "/groups": {"groups"},
		"/api/customersgroups/gr01vip": {"bg_color", "color", "id", "name"},
		"/api/departments/dp03gone":    {"deleted", "departmentid", "description", "name", "onlinestatus", "presetstatus"},
		"/api/tags/tgrefund":           {"bg_color", "color", "id", "name"},
	}
	for path, want := range infos {
		if got := names(decode(t, get(sim, path))); !slices.Equal(got, want) {
			t.Errorf("%s: fields %q, want %q", path, got, want)
		}
	}
}

func TestTheDirectoriesRefuseWhatTheDocumentDoesNotName(t *testing.T) {
	for path := range lists {
		parameters := append([]string{"columns", "id"}, lists[path].parameters...)
		if w := get(newSim(), path, parameters...); w.Code != 500 {
			t.Errorf("%s with columns: status %d", path, w.Code)
		}
	}
	cases := map[string]struct {
		path       string
		parameters []string
		status     int
	}{
		"more customers than allowed":    {"/api/customers", []string{"limitcount", "1001"}, 500},
		"a negative start":               {"/api/customers", []string{"limitfrom", "-1"}, 500},
		"a start that is no number":      {"/api/customers", []string{"limitfrom", "ten"}, 500},
		"a count with a sign":            {"/api/customers", []string{"limitcount", "+5"}, 500},
		"a date without a time":          {"/api/customers", []string{"datecreatedfrom", "2026-10-20"}, 500},
		"an end that is no date":         {"/api/customers", []string{"datecreatedto", "now"}, 500},
		"the paging of another call":     {"/api/customers", []string{"offset", "5"}, 500},
		"more articles than allowed":     {"/api/knowledgebase/articles", []string{"limit", "501"}, 500},
		"no offset":                      {"/api/knowledgebase/articles", []string{"offset", ""}, 500},
		"a search for nothing":           {"/api/knowledgebase/search", nil, 500},
		"a search for an empty text":     {"/api/knowledgebase/search", []string{"query", ""}, 500},
		"a search from an offset":        {"/api/knowledgebase/search", []string{"query", "a", "offset", "5"}, 500},
		"a parameter twice":              {"/api/knowledgebase/search", []string{"query", "a", "query", "b"}, 500},
		"a parameter of no call":         {"/api/agents/x", []string{"id", "5"}, 404},
		"an unknown agent":               {"/api/agents/nobody", nil, 404},
		"all agents":                     {"/api/agents", nil, 404},
		"an unknown customer":            {"/api/customers/nobody", nil, 404},
		"the groups of an unknown one":   {"/api/customers/nobody/groups", nil, 404},
		"an unknown part of a customer":  {"/api/customers/nobody/tags", nil, 404},
		"an unknown group":               {"/api/customersgroups/nope", nil, 404},
		"an unknown tag":                 {"/api/tags/nope", nil, 404},
		"an unknown department":          {"/api/departments/nope", nil, 404},
		"the agents of an unknown one":   {"/api/departments/nope/agents", nil, 404},
		"a customer's group with a name": {"/api/customersgroups/gr01vip", []string{"name", "VIP"}, 500},
		"an unknown overview":            {"/api/visitors/overview", nil, 404},
		"an unknown knowledge base call": {"/api/knowledgebase", nil, 404},
	}
	for name, c := range cases {
		w := get(newSim(), c.path, c.parameters...)
		if r := decode(t, w); w.Code != c.status || r["status"] != "ERROR" || r["statuscode"] != float64(c.status) {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, c.status, w.Body)
		}
	}
	for path := range lists {
		if w := ask(newSim(), http.MethodGet, path, nil); w.Code != 401 {
			t.Errorf("%s without a key: status %d", path, w.Code)
		}
	}
}

func count(t *testing.T, sim http.Handler, path, list string, parameters ...string) int {
	t.Helper()
	w := get(sim, path, parameters...)
	if w.Code != http.StatusOK {
		t.Fatalf("%s %q: %s", path, parameters, w.Body)
	}
	rows, _ := decode(t, w)[list].([]any)
	return len(rows)
}

func TestPagesAreAsLongAsTheDocumentSays(t *testing.T) {
	sim := liveagentsim.New(simulated.Options{Seed: 3, Chats: 5600, Start: start, Now: func() time.Time { return start }})
	const customers, articles, search = "/api/customers", "/api/knowledgebase/articles", "/api/knowledgebase/search"
	cases := map[string]struct {
		path       string
		parameters []string
		want       int
	}{
		"customers by default": {customers, nil, 100}, "the most customers": {customers, []string{"limitcount", "1000"}, 1000}, "no customers": {customers, []string{"limitcount", "0"}, 0},
		"the last customers": {customers, []string{"limitcount", "1000", "limitfrom", "1000"}, 120}, "beyond the last": {customers, []string{"limitfrom", "1120"}, 0},
		"articles by default": {articles, nil, 10}, "all articles": {articles, []string{"limit", "500"}, 24}, "the last articles": {articles, []string{"offset", "20"}, 4},
		"a search by default": {search, []string{"query", "question"}, 10}, "a whole search": {search, []string{"query", "QUESTION", "limit", "100"}, 21},
		"articles of a chapter": {articles, []string{"parent_id", "20"}, 7}, "articles below a chapter": {articles, []string{"tree_path", "0|20|"}, 7},
		"one article": {articles, []string{"article_id", "23"}, 1}, "a search in a chapter": {search, []string{"query", "question", "top_article_id", "20"}, 7},
	}
	for name, c := range cases {
		list := "articles"
		if c.path == customers {
			list = "customers"
		}
		if got := count(t, sim, c.path, list, c.parameters...); got != c.want {
			t.Errorf("%s: %d rows, want %d", name, got, c.want)
		}
	}
}

func TestCustomersAreNarrowed(t *testing.T) {
	sim := newSim()
	all := decode(t, get(sim, "/api/customers"))["customers"].([]any)
	one := all[len(all)/2].(map[string]any)
	text := func(row any, name string) string { return row.(map[string]any)[name].(string) }
	cases := map[string]struct {
		value string
		match func(row any) bool
	}{
		"email":           {text(one, "email")[2:6], func(row any) bool { return strings.Contains(text(row, "email"), text(one, "email")[2:6]) }},
		"firstname":       {strings.ToUpper(text(one, "firstname")), func(row any) bool { return text(row, "firstname") == text(one, "firstname") }},
		"lastname":        {text(one, "lastname"), func(row any) bool { return text(row, "lastname") == text(one, "lastname") }},
		"datecreatedfrom": {text(one, "datecreated"), func(row any) bool { return text(row, "datecreated") > text(one, "datecreated") }},
		"datecreatedto":   {text(one, "datecreated"), func(row any) bool { return text(row, "datecreated") < text(one, "datecreated") }},
	}
	for name, c := range cases {
		want := 0
		for _, row := range all {
			if c.match(row) {
				want++
			}
		}
		if got := count(t, sim, "/api/customers", "customers", name, c.value); got != want || want == 0 || want == len(all) {
			t.Errorf("%s: %d rows of %d, want %d", name, got, len(all), want)
		}
	}
}

func TestTheLedgerHasEveryRowOfEveryList(t *testing.T) {
	sim := newSim()
	inLedger := map[string]int{}
	for _, e := range sim.Ledger() {
		inLedger[e.Stream]++
	}
	for path, l := range lists {
		stream := strings.TrimPrefix(path, "/api/")
		if strings.Contains(stream, "dp01sale") || stream == "knowledgebase/search" {
			continue
		}
		var parameters []string
		switch stream {
		case "customers":
			parameters = []string{"limitcount", "1000"}
		case "knowledgebase/articles":
			parameters = []string{"limit", "500"}
		}
		if got := count(t, sim, path, l.name, parameters...); got != inLedger[stream] {
			t.Errorf("%s: %d rows, %d in the ledger", stream, got, inLedger[stream])
		}
	}
	found := map[string]bool{}
	for _, query := range strings.Split(sim.Variables("")["KB_QUERIES"], ",") {
		for _, row := range decode(t, get(sim, "/api/knowledgebase/search", "query", query, "limit", "100"))["articles"].([]any) {
			found[fmt.Sprint(row.(map[string]any)["kb_entry_id"])] = true
		}
	}
	if len(found) != inLedger["knowledgebase/search"] || len(found) == 0 {
		t.Errorf("%d articles are found, %d in the ledger", len(found), inLedger["knowledgebase/search"])
	}
	if inLedger["agents"] != len(decode(t, get(sim, "/api/onlinestatus/agents"))["agentsOnlineStates"].([]any)) || inLedger["application/status"] != 1 {
		t.Errorf("ledger %v", inLedger)
	}
}

func TestAChangeMovesNoDirectoryAndTimeNoRestingAccount(t *testing.T) {
	at := start
	sim := liveagentsim.New(simulated.Options{Seed: 3, Chats: 80, Start: start, Now: func() time.Time { return at }})
	for path, l := range lists {
		was := get(sim, path, l.parameters...).Body.String()
		sim.Change(1)
		at = at.Add(7 * time.Minute)
		if is := get(sim, path, l.parameters...).Body.String(); is != was {
			t.Errorf("%s:\n%s\n%s", path, was, is)
		}
	}
}

func TestTheClockBringsWhatHappensMeanwhile(t *testing.T) {
	at := start
	sim := liveagentsim.New(simulated.Options{Seed: 3, Chats: 10, LivePerHour: 60, Start: start, Now: func() time.Time { return at }})
	conversationsNow := func() int { return len(conversations(sim)) }
	overview := func() string { return get(sim, "/api/chats/overview").Body.String() }
	before, calm := conversationsNow(), overview()
	at = at.Add(time.Second / 2)
	if conversationsNow() != before || overview() != calm {
		t.Error("half a second brings something")
	}
	at = at.Add(30 * time.Minute)
	if got := conversationsNow(); got != before+30 || overview() == calm {
		t.Errorf("%d conversations after half an hour, %d before; the overview is the same: %v", got, before, overview() == calm)
	}
}

func TestTheOrdinaryReadingOfDatesIsTheOpposite(t *testing.T) {
	words, ordinary := newSim(), newSim()
	ordinary.ReadDatesOrdinarily()
	all := rows(t, get(words, "/api/conversations", "department", "dp01sale"))
	pivot := all[len(all)/2]["datecreated"].(string)
	for _, name := range []string{"datefrom", "dateto"} {
		other := map[string]string{"datefrom": "dateto", "dateto": "datefrom"}[name]
		a := rows(t, get(words, "/api/conversations", "department", "dp01sale", name, pivot))
		b := rows(t, get(ordinary, "/api/conversations", "department", "dp01sale", other, pivot))
		if len(a) == 0 || len(a) == len(all) || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %d rows by the words, %d in the ordinary sense, of %d", name, len(a), len(b), len(all))
		}
	}
}

func TestTheDirectoriesXMLIsWellFormed(t *testing.T) {
	sim := newSim()
	for path, l := range lists {
		w := get(sim, path+".xml", l.parameters...)
		for decoder := xml.NewDecoder(w.Body); ; {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("%s: %v", path, err)
				break
			}
		}
	}
}

func TestSpecimensHaveValuesOfTheirOwn(t *testing.T) {
	fields := simulated.NewFields()
	sim := liveagentsim.New(simulated.Options{Seed: 3, Chats: 10, Start: start, Now: func() time.Time { return start }, Fields: fields})
	for path, l := range lists {
		if w := get(sim, path, append([]string{}, l.parameters...)...); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "specimen") && !strings.Contains(path, "overview") && !strings.Contains(path, "dp01sale") {
			t.Errorf("%s has no specimen: %s", path, w.Body)
		}
	}
	by := map[string]string{}
	for _, f := range fields.All() {
		if len(f.Forms) == 0 || strings.HasPrefix(f.Forms[0], "@") {
			continue
		}
		endpoint, _, _ := strings.Cut(f.Endpoint, "/")
		if other, taken := by[f.Forms[0]]; taken && other != endpoint {
			t.Errorf("%s %s has the value of one of %s", f.Endpoint, f.Name, other)
		}
		by[f.Forms[0]] = endpoint
	}
	if len(by) < 60 {
		t.Errorf("only %d values", len(by))
	}
}
