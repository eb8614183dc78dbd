package livechatsim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/livechat/livechatsim"
	"github.com/parley-stream/parley/pollers/simulated"
)

var now = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func open() *livechatsim.Sim {
	return livechatsim.New(simulated.Options{Seed: 1, Days: 6, Chats: 90, Malformed: 2, Start: now, Now: func() time.Time { return now }})
}

type chat struct {
	Type             string `json:"type"`
	ID               any    `json:"id"`
	StartedTimestamp int64  `json:"started_timestamp"`
	Started          string `json:"started"`
	Rate             string `json:"rate"`
	Tags             []string
	Group            []int
	Goals            []any
}

type answer struct {
	status int
	Chats  []chat
	Total  int
	Pages  int
	Error  string
}

func get(t *testing.T, sim *livechatsim.Sim, target string, change func(*http.Request)) answer {
	t.Helper()
	v := sim.Variables("http://livechat.example")
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.SetBasicAuth(v["LOGIN"], v["API_KEY"])
	r.Header.Set("X-API-Version", "2")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	a := answer{status: w.Code}
	if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%s: %v in %s", target, err, w.Body)
		}
	}
	return a
}

func TestRequestsThatAreNotDocumentedAreRefused(t *testing.T) {
	sim := open()
	cases := map[string]struct {
		target string
		change func(*http.Request)
		want   int
	}{
		"well-formed":            {"/chats", nil, 200},
		"no credentials":         {"/chats", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"a wrong key":            {"/chats", func(r *http.Request) { r.SetBasicAuth(sim.Variables("")["LOGIN"], "wrong") }, 401},
		"a wrong login":          {"/chats", func(r *http.Request) { r.SetBasicAuth("wrong", sim.Variables("")["API_KEY"]) }, 401},
		"a bearer token":         {"/chats", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401},
		"no version":             {"/chats", func(r *http.Request) { r.Header.Del("X-API-Version") }, 400},
		"another version":        {"/chats", func(r *http.Request) { r.Header.Set("X-API-Version", "3") }, 400},
		"another path":           {"/chat", nil, 404},
		"another method":         {"/chats", func(r *http.Request) { r.Method = http.MethodPost }, 405},
		"a date with a time":     {"/chats?date_from=2026-10-20T00:00:00Z", nil, 400},
		"a date of another form": {"/chats?date_to=10/20/2026", nil, 400},
		"no such date":           {"/chats?date_from=2026-02-30", nil, 400},
		"dates the wrong way":    {"/chats?date_from=2026-10-21&date_to=2026-10-20", nil, 400},
		"one date alone":         {"/chats?date_to=2026-10-24", nil, 200},
		"page 0":                 {"/chats?page=0", nil, 400},
		"page one":               {"/chats?page=one", nil, 400},
		"page 01":                {"/chats?page=01", nil, 400},
		"a page behind the last": {"/chats?page=5", nil, 400},
		"the last page":          {"/chats?page=4", nil, 200},
		"page 1 of nothing":      {"/chats?date_to=2020-01-01&page=1", nil, 200},
		"another type":           {"/chats?type=ticket", nil, 400},
		"another rate":           {"/chats?rate=good", nil, 400},
		"another has_goal":       {"/chats?has_goal=true", nil, 400},
		"a goal of text":         {"/chats?goal=sale", nil, 400},
		"an unknown parameter":   {"/chats?limit=100", nil, 400},
		"a parameter twice":      {"/chats?page=1&page=2", nil, 400},
		"an empty parameter":     {"/chats?query=", nil, 400},
		"a group of text":        {"/chats?group=sales", nil, 400},
		"a group below zero":     {"/chats?group=-1", nil, 400},
		"a group nobody is in":   {"/chats?group=77", nil, 200},
		"an unknown agent":       {"/chats?agent=nobody", nil, 200},
		"all filters at once":    {"/chats?type=chat&rate=rated&has_goal=1&goal=31&group=0&agent=x&visitor_id=y&query=z&date_from=2026-10-20&date_to=2026-10-27", nil, 200},
		"the response's rate":    {"/chats?rate_filter=rated", nil, 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if a := get(t, sim, c.target, c.change); a.status != c.want {
				t.Errorf("status %d, %q; want %d", a.status, a.Error, c.want)
			} else if c.want == 200 && a.Chats == nil {
				t.Error("chats is no list")
			}
		})
	}
}

func TestPagesHold25NewestFirst(t *testing.T) {
	sim := open()
	seen, last := 0, now.Unix()
	for page := 1; page <= 4; page++ {
		a := get(t, sim, "/chats?page="+strconv.Itoa(page), nil)
		if want := map[int]int{1: 25, 2: 25, 3: 25, 4: 15}[page]; len(a.Chats) != want || a.Total != 90 || a.Pages != 4 {
			t.Errorf("page %d: %d chats of %d on %d pages", page, len(a.Chats), a.Total, a.Pages)
		}
		for _, c := range a.Chats {
			if seen++; c.StartedTimestamp > last {
				t.Errorf("chat %v is newer than the one before it", c.ID)
			}
			if c.StartedTimestamp > 0 {
				last = c.StartedTimestamp
			}
		}
	}
	if seen != len(sim.Ledger()) {
		t.Errorf("%d chats, the ledger has %d", seen, len(sim.Ledger()))
	}
}

func TestFiltersAgreeWithWhatTheChatsShow(t *testing.T) {
	sim := open()
	all := 0
	for _, filter := range []string{"type=chat", "type=missed_chat", "rate=rated_good", "rate=rated_bad", "rate=not_rated", "rate=rated", "has_goal=1", "has_goal=0", "group=1", "goal=31", "goal=32", "query=parcel", "agent=nobody", "visitor_id=nobody"} {
		a := get(t, sim, "/chats?"+filter, nil)
		all += a.Total
		for _, c := range a.Chats {
			ok := map[string]bool{
				"type=chat": c.Type == "chat", "type=missed_chat": c.Type == "missed_chat", "rate=rated_good": c.Rate == "rated_good", "rate=rated_bad": c.Rate == "rated_bad",
				"rate=not_rated": c.Rate == "not_rated" || c.Rate == "", "rate=rated": c.Rate == "rated_good" || c.Rate == "rated_bad",
				"has_goal=1": len(c.Goals) == 1, "has_goal=0": len(c.Goals) == 0, "group=1": c.Group[0] == 1, "goal=31": len(c.Goals) == 1, "query=parcel": true,
			}[filter]
			if !ok {
				t.Errorf("%s gives %+v", filter, c)
			}
		}
	}
	if all == 0 {
		t.Error("no filter gives anything")
	}
}

func TestMovesShowOnPagesAfterTheFirstAndPass(t *testing.T) {
	sim := livechatsim.New(simulated.Options{
		Seed: 1, Days: 6, Chats: 90, Start: now, Now: func() time.Time { return now }, Faults: simulated.Faults{simulated.FaultMoved: 0.9},
	})
	rest := get(t, open(), "/chats?page=2", nil)
	moved, stayed := 0, 0
	for range 60 {
		if a := get(t, sim, "/chats", nil); a.Total != 90 || a.Pages != 4 {
			t.Fatalf("the first page tells of %d on %d pages", a.Total, a.Pages)
		}
		a := get(t, sim, "/chats?page=2", nil)
		if a.Total == rest.Total && slices.EqualFunc(a.Chats, rest.Chats, func(a, b chat) bool { return a.StartedTimestamp == b.StartedTimestamp }) {
			stayed++
		} else {
			moved++
		}
	}
	if moved < 40 || stayed < 2 {
		t.Errorf("%d of 60 moved, %d at rest; want nine in ten", moved, stayed)
	}
}

const week = "/chats?date_from=2026-10-20&date_to=2026-10-26&page="

func big(chats int) *livechatsim.Sim {
	return livechatsim.New(simulated.Options{Seed: 1, Days: 14, Chats: chats, Start: now, Now: func() time.Time { return now }})
}

func TestAPageCostsWhatItShowsAndNotTheAccount(t *testing.T) {
	sim := big(10_000) // some 4 MiB
	if first := get(t, sim, week+"1", nil); first.Total < 4000 {
		t.Fatalf("%d chats in a week", first.Total)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for page := 1; page <= 100; page++ {
		if a := get(t, sim, week+strconv.Itoa(page), nil); len(a.Chats) != 25 {
			t.Fatalf("page %d: %d chats", page, len(a.Chats))
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 100; each > 512<<10 {
		t.Errorf("a page takes %d bytes", each)
	}
}

func BenchmarkPageOf100000Chats(b *testing.B) {
	sim := big(100_000)
	v := sim.Variables("")
	page := 0
	b.ReportAllocs()
	for b.Loop() {
		page = page%1000 + 1
		r := httptest.NewRequest(http.MethodGet, week+strconv.Itoa(page), nil)
		r.SetBasicAuth(v["LOGIN"], v["API_KEY"])
		r.Header.Set("X-API-Version", "2")
		sim.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func TestDaysAreTheAccounts(t *testing.T) {
	sim := open()
	loc, err := time.LoadLocation(sim.Variables("")["TIMEZONE"])
	if err != nil {
		t.Fatal(err)
	}
	perDay := map[string]int{}
	for _, e := range sim.Ledger() {
		perDay[e.At.In(loc).Format(time.DateOnly)]++
	}
	for day, n := range perDay {
		if a := get(t, sim, "/chats?date_from="+day+"&date_to="+day, nil); a.Total != n {
			t.Errorf("%s: %d chats, the ledger files %d", day, a.Total, n)
		}
	}
}

func TestDeletedChatsAreGoneAndMalformedOnesHaveNoID(t *testing.T) {
	sim := open()
	malformed := 0
	for _, e := range sim.Ledger() {
		if e.Malformed {
			malformed++
		}
		if e.Malformed != (e.Key == "") {
			t.Errorf("entry %+v", e)
		}
	}
	a, without := get(t, sim, "/chats", nil), 0
	for page := 1; page <= a.Pages; page++ {
		for _, c := range get(t, sim, "/chats?page="+strconv.Itoa(page), nil).Chats {
			if c.ID == nil {
				without++
			}
		}
	}
	if malformed != 2 || without != 2 {
		t.Errorf("%d malformed, %d without an id; want 2", malformed, without)
	}
	for _, e := range sim.Ledger() {
		if e.Key != "" {
			if !sim.Delete(e.Key) || sim.Delete("no such") || get(t, sim, "/chats", nil).Total != 89 {
				t.Error("one chat is to be gone")
			}
			break
		}
	}
}
