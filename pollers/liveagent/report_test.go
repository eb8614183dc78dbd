package liveagent_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

var pacific = func() *time.Location {
	loc, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		panic(err)
	}
	return loc
}()

// table is a vendor with one report: its rows, names and values in turn, by page.
type table struct {
	list, item string
	rows       [][]string
	// move changes the rows after a request, capped gives fewer rows than were asked for.
	move func([][]string) [][]string
	cap  int
	deaf bool // passes over limitfrom

	mu    sync.Mutex
	asked []url.Values
	paths []string
}

func (v *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := r.URL.Query()
	v.asked, v.paths = append(v.asked, q), append(v.paths, r.URL.Path)
	from, _ := strconv.Atoi(q.Get("limitfrom"))
	count, _ := strconv.Atoi(q.Get("limitcount"))
	if v.cap > 0 {
		count = v.cap
	}
	if v.deaf {
		from = 0
	}
	from = min(from, len(v.rows))
	page := v.rows[from:min(from+count, len(v.rows))]
	if strings.HasSuffix(r.URL.Path, ".xml") {
		_, _ = fmt.Fprintf(w, "<response><%s>%s</%[1]s></response>", v.list, inXML(v.item, page))
	} else {
		_, _ = fmt.Fprintf(w, `{"response":{%q:[%s]}}`, v.list, inJSON(page))
	}
	if v.move != nil {
		v.rows = v.move(v.rows)
	}
}

func inXML(item string, rows [][]string) string {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString("<" + item + ">")
		for i := 0; i < len(row); i += 2 {
			fmt.Fprintf(&b, "<%s>%s</%[1]s>", row[i], row[i+1])
		}
		b.WriteString("</" + item + ">")
	}
	return b.String()
}

func inJSON(rows [][]string) string {
	objects := make([]string, len(rows))
	for i, row := range rows {
		members := make([]string, 0, len(row)/2)
		for j := 0; j < len(row); j += 2 {
			members = append(members, fmt.Sprintf("%q:%q", row[j], row[j+1]))
		}
		objects[i] = "{" + strings.Join(members, ",") + "}"
	}
	return strings.Join(objects, ",")
}

// days is a window of whole days of October 2026 in the source's zone: from the first to the last, both included.
func days(stream string, first, last int) pollers.Window {
	return pollers.Window{
		Stream: stream,
		From:   time.Date(2026, 10, first, 0, 0, 0, 0, pacific).UTC(), To: time.Date(2026, 10, last+1, 0, 0, 0, 0, pacific).UTC(),
	}
}

func keys(records []events.Record) (all []string) {
	for _, r := range records {
		all = append(all, r.Key)
	}
	return all
}

func numbered(n int) (rows [][]string) {
	for i := range n {
		rows = append(rows, []string{"id", fmt.Sprint(1000 + i), "sla", "00:00:01"})
	}
	return rows
}

var bothFormats = []string{"json", "xml"}

func TestReportsAreReadPageByPageToTheirEnd(t *testing.T) {
	cases := map[string]struct {
		rows, cap int
		deaf      bool
		asked     []string
		fails     bool
	}{
		"none":                             {rows: 0, asked: []string{"0"}},
		"a short page":                     {rows: 7, asked: []string{"0"}},
		"a page that is full":              {rows: 1000, asked: []string{"0", "999"}},
		"one row more than a page":         {rows: 1001, asked: []string{"0", "999"}},
		"three pages":                      {rows: 2500, asked: []string{"0", "999", "1998"}},
		"a vendor's default length":        {rows: 250, cap: 100, asked: []string{"0", "99", "198"}},
		"as many rows as the default":      {rows: 100, asked: []string{"0", "99"}},
		"limitfrom is passed over":         {rows: 1000, deaf: true, asked: []string{"0", "999"}, fails: true},
		"limitcount is passed over, 1500":  {rows: 1500, cap: 1500, asked: []string{"0"}, fails: true},
		"limitfrom is passed over, capped": {rows: 250, cap: 100, deaf: true, asked: []string{"0", "99"}, fails: true},
	}
	for name, c := range cases {
		for _, format := range bothFormats {
			t.Run(name+" in "+format, func(t *testing.T) {
				v := &table{list: "slalogs", item: "slalog", rows: numbered(c.rows), cap: c.cap, deaf: c.deaf}
				records, err := pollertest.Collect(open(t, format, v), days("reports/chats/slalog", 6, 6))
				if c.fails != errors.Is(err, pollers.ErrIncomplete) || c.fails != (err != nil) {
					t.Fatalf("%d records, %v", len(records), err)
				}
				var from []string
				for _, q := range v.asked {
					from = append(from, q.Get("limitfrom"))
					if q.Get("limitcount") != "1000" {
						t.Errorf("limitcount %s", q.Get("limitcount"))
					}
				}
				if !slices.Equal(from, c.asked) {
					t.Errorf("asked from rows %q, want %q", from, c.asked)
				}
				if c.fails {
					return
				}
				got := keys(records)
				if len(got) != c.rows || len(got) > 0 && (got[0] != "reports/chats/slalog/1000" || got[c.rows-1] != fmt.Sprint("reports/chats/slalog/", 999+c.rows)) {
					t.Errorf("%d keys, want %d", len(got), c.rows)
				}
			})
		}
	}
}

func TestRowsThatMoveBetweenPagesFailTheWindow(t *testing.T) {
	moves := map[string]func([][]string) [][]string{
		"one is put before":   func(rows [][]string) [][]string { return slices.Insert(rows, 0, []string{"id", "1"}) },
		"one is taken before": func(rows [][]string) [][]string { return rows[1:] },
		"all but one go":      func(rows [][]string) [][]string { return rows[:1] },
	}
	for name, move := range moves {
		for _, format := range bothFormats {
			v := &table{list: "slalogs", item: "slalog", rows: numbered(1400), move: move}
			if _, err := pollertest.Collect(open(t, format, v), days("reports/calls/slalog", 6, 6)); !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("%s, %s: %v; want ErrIncomplete", name, format, err)
			}
		}
	}
	grows := func(rows [][]string) [][]string { return append(rows, []string{"id", fmt.Sprint(1000 + len(rows))}) }
	v := &table{list: "slalogs", item: "slalog", rows: numbered(1400), move: grows}
	if records, err := pollertest.Collect(open(t, "json", v), days("reports/calls/slalog", 6, 6)); err != nil || len(records) != 1401 {
		t.Errorf("a list that grows at its end: %d records, %v", len(records), err)
	}
}

func TestPagesThatDoNotMoveOnEnd(t *testing.T) {
	rows := numbered(100)
	for i := range rows {
		rows[i][1] = "7"
	}
	v := &table{list: "slalogs", item: "slalog", rows: rows, deaf: true}
	if _, err := pollertest.Collect(open(t, "json", v), days("reports/calls/slalog", 6, 6)); !errors.Is(err, pollers.ErrIncomplete) {
		t.Errorf("%v; want ErrIncomplete", err)
	}
}

func TestAFigureThatChangesBetweenPagesIsNoMove(t *testing.T) {
	v := &table{list: "agentsavailability", item: "item", rows: numbered(1200)}
	v.move = func(rows [][]string) [][]string {
		out := numbered(len(rows))
		for _, row := range out {
			row[3] = "00:00:02"
		}
		return out
	}
	if records, err := pollertest.Collect(open(t, "json", v), days("reports/chats/agentsavailability", 6, 6)); err != nil || len(records) != 1200 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// wanted gives what a window of a report asks for, but for limits and columns.
func wanted(asked []url.Values) (all []string) {
	for _, q := range asked {
		q = maps.Clone(q)
		for _, name := range []string{"apikey", "columns", "limitcount", "limitfrom"} {
			q.Del(name)
		}
		all = append(all, q.Encode())
	}
	return all
}

func TestWhatReportsAreAskedFor(t *testing.T) {
	oneMore := []string{"date_from=2026-10-28&date_to=2026-10-31"}
	cases := map[string]struct {
		window pollers.Window
		want   []string
	}{
		"reports/agents is asked day by day": {days("reports/agents", 30, 32), []string{
			"date_from=2026-10-30&date_to=2026-10-30", "date_from=2026-10-31&date_to=2026-10-31", "date_from=2026-11-01&date_to=2026-11-01",
		}},
		"reports/channels is asked by the day":      {days("reports/channels", 6, 6), []string{"date_from=2026-10-06&date_to=2026-10-06"}},
		"reports/departments is asked by the day":   {days("reports/departments", 6, 6), []string{"date_from=2026-10-06&date_to=2026-10-06"}},
		"reports/tags is asked by the day":          {days("reports/tags", 6, 6), []string{"date_from=2026-10-06&date_to=2026-10-06"}},
		"reports/tickets/load has one day more":     {days("reports/tickets/load", 28, 30), oneMore},
		"reports/chats/availability has one more":   {days("reports/chats/availability", 28, 30), oneMore},
		"reports/calls/slalog has one day more":     {days("reports/calls/slalog", 28, 30), oneMore},
		"reports/ranking has one day more":          {days("reports/ranking", 28, 30), oneMore},
		"reports/calls/agentsavailability likewise": {days("reports/calls/agentsavailability", 28, 30), oneMore},
		"reports/calls/slacompliance names its month": {days("reports/calls/slacompliance", 28, 30), []string{
			"date_from=2026-10-28&date_to=2026-10-31&datetime=2026-10",
		}},
		"reports/chats/slacompliance names each month": {days("reports/chats/slacompliance", 30, 33), []string{
			"date_from=2026-10-30&date_to=2026-11-01&datetime=2026-10", "date_from=2026-11-01&date_to=2026-11-03&datetime=2026-11",
		}},
		"reports/performance has whole weeks and months": {days("reports/performance", 30, 32), []string{
			"date_from=2026-10-30&date_to=2026-11-02&group_by=hour", "date_from=2026-10-30&date_to=2026-11-02&group_by=day",
			"date_from=2026-10-24&date_to=2026-11-08&group_by=week", "date_from=2026-10-01&date_to=2026-12-01&group_by=month",
		}},
	}
	lists := map[string][2]string{
		"agents": {"agents", "agent"}, "channels": {"channels", "channel"}, "departments": {"departments", "department"}, "tags": {"tags", "tag"},
		"load": {"loads", "load"}, "availability": {"availability", "item"}, "slalog": {"slalogs", "slalog"}, "ranking": {"ranks", "rank"},
		"agentsavailability": {"agentsavailability", "item"}, "slacompliance": {"slacompliances", "slacompliance"}, "performance": {"performance", "item"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			list := lists[c.window.Stream[strings.LastIndexByte(c.window.Stream, '/')+1:]]
			v := &table{list: list[0], item: list[1]}
			records, err := pollertest.Collect(open(t, "json", v), c.window)
			if err != nil || len(records) > 0 {
				t.Fatalf("%d records, %v", len(records), err)
			}
			if got := wanted(v.asked); !slices.Equal(got, c.want) {
				t.Errorf("asked for\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if v.paths[0] != "/api/"+c.window.Stream {
				t.Errorf("asked %s", v.paths[0])
			}
		})
	}
}

// read gives the fingerprints of a stream's records by their keys, read in windows of some days.
func read(t *testing.T, p pollers.Poller, stream string, span time.Duration, from, to time.Time) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, w := range pollers.Cut(stream, from, to, span, pacific) {
		records, err := pollertest.Collect(p, w)
		if err != nil {
			t.Fatalf("%s of %s: %v", stream, w.From, err)
		}
		for _, r := range records {
			if was, twice := out[r.Key]; twice && was != r.Fingerprint() {
				t.Errorf("%s: %s is read with two contents, %s", stream, r.Key, r.Part(""))
			}
			out[r.Key] = r.Fingerprint()
		}
	}
	return out
}

// exclusive takes the day of date_to away from those reports whose days are not added up.
type exclusive struct{ next http.Handler }

func (e exclusive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if to, err := time.Parse(time.DateOnly, q.Get("date_to")); err == nil && q.Get("date_from") < q.Get("date_to") {
		q.Set("date_to", to.AddDate(0, 0, -1).Format(time.DateOnly))
		r = r.Clone(r.Context())
		r.URL.RawQuery = q.Encode()
	}
	e.next.ServeHTTP(w, r)
}

func TestTheIdentityOfAReportsRowDoesNotHangOnTheWindow(t *testing.T) {
	sim := liveagentsim.New(simulated.Options{Seed: 5, Days: 9, Chats: 120, Start: now, Now: func() time.Time { return now }})
	for name, handler := range map[string]http.Handler{"date_to included": sim, "date_to excluded": exclusive{sim}} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			p := vendor("json", nil).Open(t, sim.Variables(server.URL))
			from, to := pollers.Floor(now.AddDate(0, 0, -10), pollers.Day, pacific), pollers.Ceil(now, pollers.Day, pacific)
			for _, s := range p.Describe().Streams {
				if !strings.HasPrefix(s.Name, "reports/") {
					continue
				}
				short, long := read(t, p, s.Name, pollers.Day, from, to), read(t, p, s.Name, s.MaxSpan, from, to)
				want := map[string]bool{}
				for _, e := range sim.Ledger() {
					if e.Stream == s.Name {
						want[e.Key] = true
					}
				}
				if len(want) == 0 || len(short) != len(want) {
					t.Errorf("%s: %d records, want %d", s.Name, len(short), len(want))
				}
				if !maps.Equal(short, long) {
					t.Errorf("%s: windows of a day give %d records, of %s %d, or other ones", s.Name, len(short), s.MaxSpan, len(long))
				}
			}
		})
	}
}

func TestComplianceOlderThanAMonthIsRead(t *testing.T) {
	sim := liveagentsim.New(simulated.Options{Seed: 5, Days: 90, Chats: 200, Start: now, Now: func() time.Time { return now }})
	server := httptest.NewServer(sim)
	defer server.Close()
	p := vendor("json", nil).Open(t, sim.Variables(server.URL))
	from, to := now.AddDate(0, 0, -92), now.AddDate(0, 0, -45)
	const stream = "reports/chats/slacompliance"
	want := 0
	for _, e := range sim.Ledger() {
		if e.Stream == stream && e.At.Before(pollers.Ceil(to, pollers.Day, pacific)) {
			want++
		}
	}
	got := read(t, p, stream, 31*pollers.Day, pollers.Floor(from, pollers.Day, pacific), pollers.Ceil(to, pollers.Day, pacific))
	if want == 0 || len(got) != want {
		t.Errorf("%d records, want %d, not 0", len(got), want)
	}
}

func TestRowsTellTheirBucket(t *testing.T) {
	day := days("reports/chats/load", 6, 6)
	november := pollers.Window{Stream: "reports/chats/load", From: time.Date(2026, 11, 1, 7, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)}
	march := pollers.Window{Stream: "reports/chats/load", From: time.Date(2026, 3, 8, 8, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 9, 7, 0, 0, 0, time.UTC)}
	const load = "reports/chats/load/"
	cases := map[string]struct {
		window pollers.Window
		times  []string
		want   []string
		fails  bool
	}{
		"hours":                          {day, []string{"2026-10-06 00:00:00", "2026-10-06 15:00:00"}, []string{load + "2026-10-06T07:00:00Z/hour", load + "2026-10-06T22:00:00Z/hour"}, false},
		"hours as people write them":     {day, []string{"10/06/2026 15:00:00"}, []string{load + "2026-10-06T22:00:00Z/hour"}, false},
		"days":                           {day, []string{"2026-10-06"}, []string{load + "2026-10-06T07:00:00Z/day"}, false},
		"days as people write them":      {day, []string{"10/06/2026"}, []string{load + "2026-10-06T07:00:00Z/day"}, false},
		"the next day is another window": {day, []string{"2026-10-06 23:00:00", "2026-10-07 00:00:00", "2026-10-07"}, []string{load + "2026-10-07T06:00:00Z/hour"}, false},
		"a day that was not asked for":   {day, []string{"2026-10-05 23:00:00"}, nil, true},
		"a day after what was asked for": {day, []string{"2026-10-08 00:00:00"}, nil, true},
		"no time":                        {day, []string{"soon", "", "2026-10-06 25:00:00", "6.10.2026", "2026-10-06 9:00:00", "2026-10-06 15:00:00.5"}, []string{"", "", "", "", "", ""}, false},
		"an hour that came twice":        {november, []string{"2026-11-01 00:00:00", "2026-11-01 01:00:00", "2026-11-01 01:00:00", "2026-11-01 02:00:00"}, []string{load + "2026-11-01T07:00:00Z/hour", load + "2026-11-01T08:00:00Z/hour", load + "2026-11-01T09:00:00Z/hour", load + "2026-11-01T10:00:00Z/hour"}, false},
		"an hour of 25 given once":       {november, []string{"2026-11-01 01:00:00", "2026-11-01 02:00:00"}, []string{load + "2026-11-01T08:00:00Z/hour", load + "2026-11-01T10:00:00Z/hour"}, false},
		"an hour that no clock showed":   {march, []string{"2026-03-08 01:00:00", "2026-03-08 02:00:00", "2026-03-08 03:00:00"}, []string{load + "2026-03-08T09:00:00Z/hour", "", load + "2026-03-08T10:00:00Z/hour"}, false},
	}
	for name, c := range cases {
		for _, format := range bothFormats {
			t.Run(name+" in "+format, func(t *testing.T) {
				v := &table{list: "loads", item: "load"}
				for _, at := range c.times {
					v.rows = append(v.rows, []string{"date", at, "avgQueue", "0.50"})
				}
				records, err := pollertest.Collect(open(t, format, v), c.window)
				if c.fails != errors.Is(err, pollers.ErrIncomplete) || !c.fails && err != nil {
					t.Fatal(err)
				}
				if got := keys(records); !slices.Equal(got, c.want) {
					t.Errorf("keys %q, want %q", got, c.want)
				}
			})
		}
	}
}

func TestADayOfAChangeOfClocksIsAsLongAsItIs(t *testing.T) {
	v := &table{list: "agents", item: "agent", rows: [][]string{{"id", "a1"}, {"contactid", "no id"}}}
	records, err := pollertest.Collect(open(t, "json", v), days("reports/agents", 32, 32))
	if err != nil || len(records) != 2 || records[1].Key != "" {
		t.Fatalf("%d records, %v", len(records), err)
	}
	want := map[string]string{"start": "2026-11-01T07:00:00Z", "end": "2026-11-02T08:00:00Z", "grain": "day", "timezone": "America/Los_Angeles"}
	if r := records[0]; r.Key != "reports/agents/2026-11-01T07:00:00Z/day/agent=a1" || !maps.Equal(r.Params, want) {
		t.Errorf("key %s, params %v", r.Key, r.Params)
	}
}

func TestWeeksAndMonthsEndWhereTheySay(t *testing.T) {
	cases := map[string]struct{ grain, from, until, start, end string }{
		"a week from Sunday":        {"week", "10/04/2026", "2026-10-10 23:59:59", "2026-10-04T07:00:00Z", "2026-10-11T07:00:00Z"},
		"a week from Monday":        {"week", "10/05/2026", "2026-10-11 23:59:59", "2026-10-05T07:00:00Z", "2026-10-12T07:00:00Z"},
		"a week without an end":     {"week", "10/05/2026", "", "2026-10-05T07:00:00Z", "2026-10-12T07:00:00Z"},
		"a week that ends before":   {"week", "10/05/2026", "2026-10-01 23:59:59", "2026-10-05T07:00:00Z", "2026-10-12T07:00:00Z"},
		"a month":                   {"month", "10/01/2026", "2026-10-31 23:59:59", "2026-10-01T07:00:00Z", "2026-11-01T07:00:00Z"},
		"a month without an end":    {"month", "10/01/2026", "now", "2026-10-01T07:00:00Z", "2026-11-01T07:00:00Z"},
		"the first month, not full": {"month", "10/03/2026", "2026-10-31 23:59:59", "2026-10-03T07:00:00Z", "2026-11-01T07:00:00Z"},
	}
	for name, c := range cases {
		v := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rows := [][]string{}
			if r.URL.Query().Get("group_by") == c.grain {
				rows = append(rows, []string{"datetime", c.from, "dateto", c.until})
			}
			_, _ = fmt.Fprintf(w, `{"response":{"performance":[%s]}}`, inJSON(rows))
		})
		records, err := pollertest.Collect(open(t, "json", v), days("reports/performance", 6, 7))
		if err != nil || len(records) != 1 {
			t.Errorf("%s: %d records, %v", name, len(records), err)
			continue
		}
		r := records[0]
		if r.Key != "reports/performance/"+c.start+"/"+c.grain || r.Params["start"] != c.start || r.Params["end"] != c.end || r.Params["grain"] != c.grain {
			t.Errorf("%s: key %s, params %v", name, r.Key, r.Params)
		}
	}
}

func TestALineWithoutAnIDHasNoKey(t *testing.T) {
	for stream, list := range map[string][2]string{"reports/tickets/slalog": {"slalogs", "slalog"}, "reports/ranking": {"ranks", "rank"}} {
		for _, format := range bothFormats {
			v := &table{list: list[0], item: list[1], rows: [][]string{{"id", ""}, {"comment", "no id"}}}
			records, err := pollertest.Collect(open(t, format, v), days(stream, 6, 6))
			if got := keys(records); err != nil || !slices.Equal(got, []string{"", ""}) {
				t.Errorf("%s, %s: keys %q, %v", stream, format, got, err)
			}
		}
	}
}

func TestAReportThatTheInstallationLacksIsUnavailable(t *testing.T) {
	for name, answer := range map[string]string{
		"404":             `404 not here`,
		"404 in a 200":    `200 {"response":{"status":"ERROR","statuscode":404,"errormessage":"unknown call"}}`,
		"404 as a string": `200 {"response":{"status":"ERROR","statuscode":"404","errormessage":"unknown call"}}`,
	} {
		_, err := pollertest.Collect(open(t, "json", script{"reports/ranking": answer}), days("reports/ranking", 6, 6))
		if !pollers.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := pollertest.Collect(open(t, "json", script{"reports/ranking": `500 no`}), days("reports/ranking", 6, 6))
	if err == nil || pollers.IsUnavailable(err) {
		t.Errorf("500: %v", err)
	}
}

// reportScripts hold one report in both formats.
func reportScripts() map[string]script {
	return map[string]script{
		"json": {"reports/tickets/slalog": `{"response":{"slalogs":[{"id":"7","sla":"-00:01:00"},{"id":"8","agentid":null}]}}`},
		"xml":  {"reports/tickets/slalog": "<?xml version='1.0'?><response><slalogs>\n<slalog><id>7</id><sla>-00:01:00</sla></slalog><slalog><id>8</id><agentid>\n</agentid></slalog></slalogs></response>"},
	}
}

func TestAReportCutAtAnyByteFailsItsWindow(t *testing.T) {
	const path = "reports/tickets/slalog"
	for format, s := range reportScripts() {
		records, err := pollertest.Collect(open(t, format, s), days(path, 6, 6))
		if err != nil || !slices.Equal(keys(records), []string{path + "/7", path + "/8"}) {
			t.Fatalf("%s: keys %q, %v", format, keys(records), err)
		}
		for at := range len(s[path]) {
			for _, framed := range []bool{true, false} {
				server := httptest.NewServer(cutAt{s, path, at, framed})
				p := vendor(format, nil).Open(t, map[string]string{"VENDOR": "liveagent", "URL": server.URL, "API_KEY": key})
				if _, err := pollertest.Collect(p, days(path, 6, 6)); err == nil {
					t.Errorf("%s cut at %d (framed: %v): complete", format, at, framed)
				}
				server.Close()
			}
		}
	}
}

func TestAnErrorInsteadOfAReportIsAnError(t *testing.T) {
	const path = "reports/tickets/slalog"
	answers := map[string]map[string]string{
		"json": {
			"an error":            `{"response":{"status":"ERROR","statuscode":500,"errormessage":"oops"}}`,
			"an error and a list": `{"response":{"slalogs":[],"status":"ERROR","statuscode":500,"errormessage":"oops"}}`,
			"another list":        `{"response":{"loads":[]}}`,
			"no envelope":         `{"slalogs":[]}`,
			"an object":           `{"response":{"slalogs":{}}}`,
		},
		"xml": {
			"an error":            `<response><status>ERROR</status><statuscode>500</statuscode></response>`,
			"an error and a list": `<response><slalogs/><status>ERROR</status><statuscode>500</statuscode></response>`,
			"another list":        `<response><loads/></response>`,
			"another element":     `<response><slalogs><load><id>1</id></load></slalogs></response>`,
			"another root":        `<html><slalogs/></html>`,
		},
	}
	for format, all := range answers {
		for name, body := range all {
			_, err := pollertest.Collect(open(t, format, script{path: body}), days(path, 6, 6))
			if !errors.Is(err, pollers.ErrIncomplete) || pollers.IsUnauthorized(err) {
				t.Errorf("%s, %s: %v; want ErrIncomplete", format, name, err)
			}
		}
	}
}

func TestARowHasTheVendorsBytesAndNoSecret(t *testing.T) {
	const path = "reports/ranking"
	bodies := map[string][2]string{
		"json": {`{"response":{"ranks":[{"id":9 , "comment":"caf\u00e9","authtoken":"` + key + `","new":{"a":[1]}}]}}`, `{"id":9 , "comment":"caf\u00e9","new":{"a":[1]}}`},
		"xml":  {"<response><ranks><rank><id> 9\n</id><authtoken>" + key + "</authtoken><comment>caf&#233;</comment></rank></ranks></response>", "<rank><id> 9\n</id><comment>caf&#233;</comment></rank>"},
	}
	for format, b := range bodies {
		records, err := pollertest.Collect(open(t, format, script{path: b[0]}), days(path, 6, 6))
		if err != nil || len(records) != 1 {
			t.Fatalf("%s: %d records, %v", format, len(records), err)
		}
		r := records[0]
		if r.Key != "9" || string(r.Part("")) != b[1] || strings.Contains(r.Parts[0].URL, "apikey") || r.Parts[0].ContentType != "application/"+format {
			t.Errorf("%s: key %q, %s\n%s", format, r.Key, r.Parts[0].URL, r.Part(""))
		}
		if !strings.Contains(r.Parts[0].URL, "date_from=2026-10-06") || r.RequestedAt.IsZero() {
			t.Errorf("%s: URL %s, requested %s", format, r.Parts[0].URL, r.RequestedAt)
		}
	}
}

// FuzzReport checks that whatever the vendor answers is an error or records whose times are read as they are.
func FuzzReport(f *testing.F) {
	for _, at := range []string{"2026-10-06 15:00:00", "10/06/2026", "2026-11-01 01:00:00", "now", "0001-01-01 00:00:00", "9999-12-31 23:00:00"} {
		f.Add(`{"response":{"loads":[{"date":"`+at+`"},{"date":"`+at+`"}]}}`, true)
		f.Add("<response><loads><load><date>"+at+"</date></load></loads></response>", false)
	}
	f.Fuzz(func(t *testing.T, body string, asJSON bool) {
		format := "xml"
		if asJSON {
			format = "json"
		}
		for _, path := range []string{"reports/chats/load", "reports/chats/slacompliance"} {
			w := days(path, 6, 7)
			records, err := pollertest.Collect(inMemory(format, script{path: body}), w)
			if err != nil {
				continue
			}
			for _, r := range records {
				start, err := time.Parse(time.RFC3339, r.Params["start"])
				if r.Key != "" && (err != nil || start.Before(w.From) || !start.Before(w.To) || !strings.HasPrefix(r.Key, path+"/"+r.Params["start"])) {
					t.Errorf("key %q, params %v of %s", r.Key, r.Params, r.Part(""))
				}
			}
		}
	})
}
