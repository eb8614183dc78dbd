package liveagentsim_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/simulated"
)

var start = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func newSim() *liveagentsim.Sim {
	return liveagentsim.New(simulated.Options{Seed: 3, Chats: 80, Malformed: 2, Start: start, Now: func() time.Time { return start }})
}

// get asks with the right key and the parameters name, value in turn.
func get(sim http.Handler, path string, parameters ...string) *httptest.ResponseRecorder {
	q := url.Values{"apikey": {liveagentsim.New(simulated.Options{Chats: 1}).Variables("")["API_KEY"]}}
	for i := 0; i < len(parameters); i += 2 {
		q.Add(parameters[i], parameters[i+1])
	}
	return ask(sim, http.MethodGet, path, q)
}

func ask(sim http.Handler, method, path string, q url.Values) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest(method, "http://vendor.example"+path+"?"+q.Encode(), nil))
	return w
}

func decode(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var doc struct{ Response map[string]any }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return doc.Response
}

func rows(t *testing.T, w *httptest.ResponseRecorder) []map[string]any {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var out []map[string]any
	for _, row := range decode(t, w)["conversations"].([]any) {
		out = append(out, row.(map[string]any))
	}
	return out
}

func TestWhatTheDocumentDoesNotNameIsRefused(t *testing.T) {
	const list, dept = "/api/conversations", "dp01sale"
	cases := map[string]struct {
		path       string
		parameters []string
		status     int
	}{
		"neither department nor owner":      {list, nil, 500},
		"an empty department":               {list, []string{"department", ""}, 500},
		"an unknown department":             {list, []string{"department", "nope"}, 404},
		"an unknown parameter":              {list, []string{"department", dept, "limit", "10"}, 500},
		"a parameter twice":                 {list, []string{"department", dept, "department", dept}, 500},
		"an unknown status":                 {list, []string{"department", dept, "status", "R,Q"}, 500},
		"a date without seconds":            {list, []string{"department", dept, "datechanged", "gt:2026-10-20 10:00"}, 500},
		"a date with an offset":             {list, []string{"department", dept, "datechanged", "2026-10-20T10:00:00Z"}, 500},
		"a date that is none":               {list, []string{"department", dept, "datefrom", "2026-02-30 10:00:00"}, 500},
		"an unknown operator":               {list, []string{"department", dept, "datechanged", "in:2026-10-20 10:00:00"}, 500},
		"no operator before the colon":      {list, []string{"department", dept, "datechanged", ":2026-10-20 10:00:00"}, 500},
		"between one date":                  {list, []string{"department", dept, "datechanged", "btw:2026-10-20 10:00:00"}, 500},
		"like without a pattern":            {list, []string{"department", dept, "datechanged", "lk:"}, 500},
		"a parameter of another call":       {"/api/departments", []string{"department", dept}, 500},
		"an unknown conversation":           {"/api/conversations/nope", nil, 404},
		"an unknown part of a conversation": {"/api/conversations/cv000010/nope", nil, 404},
		"another access path":               {"/conversations", []string{"department", dept}, 404},
		"an unknown call":                   {"/api/nope", nil, 404},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := get(newSim(), c.path, c.parameters...)
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if r := decode(t, w); r["status"] != "ERROR" || r["statuscode"] != float64(c.status) || r["errormessage"] == "" {
				t.Errorf("envelope %v", r)
			}
		})
	}
}

func TestAWrongKeyIsForbiddenInBothFormats(t *testing.T) {
	for name, q := range map[string]url.Values{"wrong": {"apikey": {"nope"}}, "none": {}} {
		w := ask(newSim(), http.MethodGet, "/api/departments", q)
		if r := decode(t, w); w.Code != 401 || r["statuscode"] != float64(401) {
			t.Errorf("%s: status %d, %v", name, w.Code, r)
		}
		w = ask(newSim(), http.MethodGet, "/api/departments.xml", q)
		if w.Code != 401 || !strings.Contains(w.Body.String(), "<statuscode>401</statuscode>") {
			t.Errorf("%s: status %d, %s", name, w.Code, w.Body)
		}
	}
	if w := ask(newSim(), http.MethodPost, "/api/departments", url.Values{"apikey": {newSim().Variables("")["API_KEY"]}}); w.Code != 405 {
		t.Errorf("POST: status %d", w.Code)
	}
}

func TestOperatorsCompareTheDateOfChange(t *testing.T) {
	sim := newSim()
	all := rows(t, get(sim, "/api/conversations", "department", "dp01sale"))
	pivot := all[len(all)/2]["datechanged"].(string)
	matches := map[string]func(at string) bool{
		pivot:                           func(at string) bool { return at == pivot },
		"eq:" + pivot:                   func(at string) bool { return at == pivot },
		"neq:" + pivot:                  func(at string) bool { return at != pivot },
		"gt:" + pivot:                   func(at string) bool { return at > pivot },
		"gte:" + pivot:                  func(at string) bool { return at >= pivot },
		"lt:" + pivot:                   func(at string) bool { return at < pivot },
		"lte:" + pivot:                  func(at string) bool { return at <= pivot },
		"btw:" + pivot + "," + pivot:    func(at string) bool { return at == pivot },
		"lk:" + pivot[:10] + "%":        func(at string) bool { return at[:10] == pivot[:10] },
		"lk:" + pivot[:11] + "??:??:??": func(at string) bool { return at[:10] == pivot[:10] },
	}
	for value, match := range matches {
		want := 0
		for _, row := range all {
			if match(row["datechanged"].(string)) {
				want++
			}
		}
		if got := rows(t, get(sim, "/api/conversations", "department", "dp01sale", "datechanged", value)); len(got) != want || want == 0 {
			t.Errorf("datechanged=%s gives %d rows, want %d, not 0", value, len(got), want)
		}
	}
}

func TestFiltersNarrowTheList(t *testing.T) {
	sim := newSim()
	all := rows(t, get(sim, "/api/conversations", "department", "dp02help"))
	one := all[len(all)-1]
	filters := map[string]struct {
		parameters []string
		match      func(row map[string]any) bool
	}{
		"status":   {[]string{"status", "A,N"}, func(r map[string]any) bool { return r["status"] == "A" || r["status"] == "N" }},
		"subject":  {[]string{"subject", one["subject"].(string)}, func(r map[string]any) bool { return r["subject"] == one["subject"] }},
		"owner":    {[]string{"owneridentifier", one["owneremail"].(string)}, func(r map[string]any) bool { return r["owneremail"] == one["owneremail"] }},
		"datefrom": {[]string{"datefrom", one["datecreated"].(string)}, func(r map[string]any) bool { return r["datecreated"].(string) < one["datecreated"].(string) }},
		"dateto":   {[]string{"dateto", all[0]["datecreated"].(string)}, func(r map[string]any) bool { return r["datecreated"].(string) > all[0]["datecreated"].(string) }},
	}
	for name, f := range filters {
		want := 0
		for _, row := range all {
			if f.match(row) {
				want++
			}
		}
		if got := rows(t, get(sim, "/api/conversations", append(f.parameters, "department", "dp02help")...)); len(got) != want || want == 0 {
			t.Errorf("%s: %d rows, want %d, not 0", name, len(got), want)
		}
	}
}

// conversations are those of the ledger.
func conversations(sim *liveagentsim.Sim) (entries []simulated.Entry) {
	for _, e := range sim.Ledger() {
		if e.Stream == "conversations" {
			entries = append(entries, e)
		}
	}
	return entries
}

func TestTheLedgerIsWhatTheListsShow(t *testing.T) {
	sim := newSim()
	zone, _ := time.LoadLocation(sim.Variables("")["TIMEZONE"])
	listed := map[string]string{}
	nameless := 0
	for _, dept := range decode(t, get(sim, "/api/departments"))["departments"].([]any) {
		for _, row := range rows(t, get(sim, "/api/conversations", "department", dept.(map[string]any)["departmentid"].(string))) {
			if id, ok := row["conversationid"].(string); ok {
				listed[id] = row["datechanged"].(string)
			} else {
				nameless++
			}
		}
	}
	malformed := 0
	for _, e := range conversations(sim) {
		if e.Malformed {
			malformed++
		}
		if e.Key == "" {
			nameless--
			continue
		}
		if want := e.At.In(zone).Format(time.DateTime); listed[e.Key] != want {
			t.Errorf("%s is listed with %q, the ledger says %q", e.Key, listed[e.Key], want)
		}
		delete(listed, e.Key)
	}
	if len(listed) > 0 || nameless != 0 || malformed != 2 {
		t.Errorf("not in the ledger: %v; without an id: %d more than in it; %d malformed, want 2", listed, nameless, malformed)
	}
}

func TestOneDepartmentIsDeletedAndHasConversations(t *testing.T) {
	sim := newSim()
	list := decode(t, get(sim, "/api/departments"))["departments"].([]any)
	if len(list) != 3 {
		t.Fatalf("%d departments", len(list))
	}
	last := list[2].(map[string]any)
	if last["deleted"] != "Y" || last["description"] != nil {
		t.Errorf("department %v", last)
	}
	if got := rows(t, get(sim, "/api/conversations", "department", last["departmentid"].(string))); len(got) == 0 {
		t.Error("it has no conversations")
	}
}

func TestAConversationIsFoundByItsThreeNames(t *testing.T) {
	sim := newSim()
	row := rows(t, get(sim, "/api/conversations", "department", "dp01sale"))[3]
	for _, name := range []string{"conversationid", "code", "publicurlcode"} {
		for _, part := range []string{"", "/messages", "/tags"} {
			if w := get(sim, "/api/conversations/"+row[name].(string)+part); w.Code != 200 {
				t.Errorf("by %s%s: status %d", name, part, w.Code)
			}
		}
		if r := decode(t, get(sim, "/api/conversations/"+row[name].(string))); r["conversationid"] != row["conversationid"] {
			t.Errorf("by %s: %v", name, r["conversationid"])
		}
	}
}

func TestXMLNestsAsDocumented(t *testing.T) {
	sim := newSim()
	w := get(sim, "/api/conversations/cv000010/messages.xml")
	var doc struct {
		XMLName xml.Name `xml:"response"`
		Groups  []struct {
			RType    string `xml:"rtype"`
			Messages []struct {
				ID      string `xml:"messageid"`
				Message string `xml:"message"`
			} `xml:"messages>message"`
		} `xml:"groups>group"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if len(doc.Groups) == 0 || len(doc.Groups[0].Messages) == 0 || doc.Groups[0].Messages[0].Message == "" {
		t.Errorf("groups %+v", doc.Groups)
	}
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/xml") {
		t.Errorf("content type %q", w.Header().Get("Content-Type"))
	}
	if w := get(sim, "/api/departments.xml"); !strings.Contains(w.Body.String(), "<description>\n   </description>") {
		t.Errorf("an empty element is not white space: %s", w.Body)
	}
}

func TestMessagesOlderAndNewer(t *testing.T) {
	sim := newSim()
	count := func(parameters ...string) (n int) {
		for _, g := range decode(t, get(sim, "/api/conversations/cv000010/messages", parameters...))["groups"].([]any) {
			n += len(g.(map[string]any)["messages"].([]any))
		}
		return n
	}
	created := decode(t, get(sim, "/api/conversations/cv000010"))["datecreated"].(string)
	all, older, newer := count(), count("datefrom", created), count("dateto", created)
	if all == 0 || older != 0 || newer == 0 || newer >= all {
		t.Errorf("%d messages, %d older than the first, %d newer", all, older, newer)
	}
}

func TestChangeEditsExactlySoManyConversations(t *testing.T) {
	sim := newSim()
	read := func() map[string]string {
		bodies := map[string]string{}
		for _, e := range conversations(sim) {
			for _, part := range []string{"", "/messages", "/tags"} {
				if e.Key != "" {
					bodies[e.Key] += get(sim, "/api/conversations/"+e.Key+part).Body.String()
				}
			}
		}
		return bodies
	}
	before := read()
	if n := sim.Change(4); n != 4 {
		t.Fatalf("Change(4) = %d", n)
	}
	changed := 0
	for key, body := range read() {
		if body != before[key] {
			changed++
		}
	}
	if changed != 4 {
		t.Errorf("%d conversations changed", changed)
	}
}

func TestMalformedDetailsAreUndecodableInBothFormats(t *testing.T) {
	sim := newSim()
	for _, e := range sim.Ledger() {
		if !e.Malformed || e.Key == "" {
			continue
		}
		if body := get(sim, "/api/conversations/"+e.Key).Body.Bytes(); json.Valid(body) {
			t.Errorf("%s", body)
		}
		var any struct {
			Inner string `xml:",innerxml"`
		}
		if body := get(sim, "/api/conversations/"+e.Key+".xml").Body.Bytes(); xml.Unmarshal(body, &any) == nil {
			t.Errorf("%s", body)
		}
	}
}
