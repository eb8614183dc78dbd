package cobrowsersim_test

import (
	"encoding/csv"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/cobrowser/cobrowsersim"
	"github.com/parley-stream/parley/pollers/simulated"
)

// now is a Tuesday, two days after Amsterdam's clocks were set back.
var now = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func options() simulated.Options {
	return simulated.Options{Seed: 5, Days: 6, Chats: 120, Malformed: 2, Start: now, Now: func() time.Time { return now }}
}

// ask sends the query, with the sim's credentials unless it has its own.
func ask(sim *cobrowsersim.Sim, query string) *httptest.ResponseRecorder {
	v := sim.Variables("")
	q := url.Values{"user": {v["USER"]}, "apiKey": {v["API_KEY"]}}.Encode() + "&" + query
	if strings.Contains(query, "apiKey=") {
		q = query
	}
	rec := httptest.NewRecorder()
	sim.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/generic/api/csv.php?"+q, nil))
	return rec
}

func read(t *testing.T, rec *httptest.ResponseRecorder, separator rune) [][]string {
	t.Helper()
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	r := csv.NewReader(rec.Body)
	r.Comma, r.FieldsPerRecord = separator, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestWhatTheDocumentDoesNotAllowIsRefused(t *testing.T) {
	sim := cobrowsersim.New(options())
	user, key := url.QueryEscape(sim.Variables("")["USER"]), sim.Variables("")["API_KEY"]
	for query, want := range map[string]int{
		"c=conversations":                                        200,
		"c=conversations&start=1&stop=1":                         200,
		"c=conversations&start=2&stop=0":                         200,
		"c=conversations&start=500&stop=500":                     200,
		"c=conversations&csvseperator=%7C":                       200,
		"c=conversations&start=3&stop=0":                         400,
		"c=conversations&start=0&stop=1":                         400,
		"c=conversations&start=-1&stop=-1":                       400,
		"c=conversations&start=1.5&stop=1":                       400,
		"c=conversations&start=&stop=":                           400,
		"c=conversations&start=1&start=1&stop=1":                 400,
		"c=conversations&csvseperator=%09":                       400,
		"c=conversations&csvseparator=%7C":                       400,
		"c=conversations&from=2026-10-01":                        400,
		"c=chats":                                                400,
		"":                                                       400,
		"c=hosts":                                                501,
		"c=agentperformance&start=1&stop=1":                      501,
		"c=hosts&start=1":                                        400,
		"c=conversations&user=" + user + "&apiKey=wrong":         401,
		"c=conversations&user=nobody&apiKey=" + key:              401,
		"c=conversations&apiKey=" + key:                          401,
		"c=conversations&apikey=" + key:                          400,
		"c=conversations&user=" + user + "&apiKey=" + key + "&%": 400,
	} {
		if rec := ask(sim, query); rec.Code != want || rec.Body.Len() == 0 {
			t.Errorf("%q: status %d, %q; want %d and a text", query, rec.Code, rec.Body, want)
		}
	}
}

func TestOnlyGetOfThePathIsServed(t *testing.T) {
	sim := cobrowsersim.New(options())
	for target, want := range map[string]int{"GET /": 404, "GET /generic/api/csv.php/": 404, "POST /generic/api/csv.php": 405} {
		method, path, _ := strings.Cut(target, " ")
		rec := httptest.NewRecorder()
		sim.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code != want {
			t.Errorf("%s: %d, want %d", target, rec.Code, want)
		}
	}
}

func TestEveryValueIsQuotedAndLinesEndWithCRLF(t *testing.T) {
	sim := cobrowsersim.New(options())
	body := ask(sim, "c=conversations&start=1&stop=1").Body.String()
	lines := strings.Split(strings.TrimSuffix(body, "\r\n"), "\r\n")
	if len(lines) < 5 || !strings.HasSuffix(body, "\r\n") {
		t.Fatalf("%d lines: %q", len(lines), body)
	}
	const header = `"conversation_start";"browse_id";"account_id";"num_messages";"duration_secs";"avgMessageLength";"maxMessageLength";"last_agent_id";"reseller_id";"visitor_id";"requestType";"assigned_agent_id";"acceptUrl";"accept_host_id";"decisionTime";"firstResponseTime";"transcriptUrl";"avgResponseTime";"maxResponseTime";"successcode";"firstReplyTime"`
	if lines[0] != header {
		t.Errorf("header %s", lines[0])
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, `"`) || !strings.HasSuffix(line, `"`) || strings.Contains(line, ";;") {
			t.Errorf("a value without quotes: %s", line)
		}
	}
}

func TestDaysAreWholeOnesOfAmsterdam(t *testing.T) {
	sim := cobrowsersim.New(options())
	amsterdam, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for ago := range 8 {
		rows := read(t, ask(sim, "c=conversations&start="+strconv.Itoa(ago)+"&stop="+strconv.Itoa(ago)), ';')[1:]
		total += len(rows)
		for _, row := range rows {
			at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 -0700", row[0])
			if err != nil {
				t.Fatal(err)
			}
			want := now.In(amsterdam).AddDate(0, 0, -ago).Format(time.DateOnly)
			if got := at.Format(time.DateOnly); got != want {
				t.Errorf("%d days ago: a row of %s, want %s", ago, row[0], want)
			}
			if _, offset := at.In(amsterdam).Zone(); row[0][26:] != map[int]string{3600: "+0100", 7200: "+0200"}[offset] {
				t.Errorf("%s: not the offset of Amsterdam then", row[0])
			}
		}
	}
	if total != len(sim.Ledger()) || total != 120 {
		t.Errorf("%d rows, %d in the ledger; want 120", total, len(sim.Ledger()))
	}
	if three := read(t, ask(sim, "c=conversations&start=3&stop=1"), ';'); len(three) < 20 {
		t.Errorf("three days give %d rows", len(three))
	}
}

func TestSeparatorsGiveTheSameValues(t *testing.T) {
	sim := cobrowsersim.New(options())
	want := read(t, ask(sim, "c=conversations&start=1&stop=0"), ';')
	for _, separator := range []string{",", ":", "|"} {
		got := read(t, ask(sim, "c=conversations&start=1&stop=0&csvseperator="+url.QueryEscape(separator)), rune(separator[0]))
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("separator %s: other values", separator)
		}
	}
}

func TestMalformedRowsLackAColumnOrABrowseID(t *testing.T) {
	sim := cobrowsersim.New(options())
	short, unnamed := 0, 0
	for ago := range 8 {
		for _, row := range read(t, ask(sim, "c=conversations&start="+strconv.Itoa(ago)+"&stop="+strconv.Itoa(ago)), ';')[1:] {
			if len(row) != 21 {
				short++
			} else if row[1] == "" {
				unnamed++
			}
		}
	}
	malformed := 0
	for _, e := range sim.Ledger() {
		if e.Malformed != (e.Key == "") {
			t.Errorf("entry %+v", e)
		} else if e.Malformed {
			malformed++
		}
	}
	if short != 1 || unnamed != 1 || malformed != 2 {
		t.Errorf("%d rows without a column, %d without an id, %d in the ledger; want 1, 1, 2", short, unnamed, malformed)
	}
}

func TestChangeEditsAsManyRowsAndNothingElse(t *testing.T) {
	sim := cobrowsersim.New(options())
	all := func() []string {
		var out []string
		for ago := range 8 {
			body := ask(sim, "c=conversations&start="+strconv.Itoa(ago)+"&stop="+strconv.Itoa(ago)).Body.String()
			out = append(out, strings.Split(body, "\r\n")...)
		}
		return out
	}
	for range 2 {
		before := all()
		if n := sim.Change(4); n != 4 {
			t.Fatalf("Change(4) = %d", n)
		}
		after, changed := all(), 0
		for i := range before {
			if before[i] != after[i] {
				changed++
			}
		}
		if len(before) != len(after) || changed != 4 {
			t.Errorf("%d of %d lines changed, want 4", changed, len(before))
		}
	}
}

func TestAnUnansweredChatNamesNoAgent(t *testing.T) {
	sim := cobrowsersim.New(options())
	found := 0
	for ago := range 8 {
		for _, row := range read(t, ask(sim, "c=conversations&start="+strconv.Itoa(ago)+"&stop="+strconv.Itoa(ago)), ';')[1:] {
			if len(row) == 21 && row[3] == "1" {
				found++
				if row[7] != "" || row[11] != "" || row[15] != "" {
					t.Errorf("row %q", row)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no chat is unanswered")
	}
}

func TestAConversationShowsOnceItHasEndedUnderTheDayOfItsStart(t *testing.T) {
	o := options()
	clock := now
	o.LivePerHour, o.Now = 30, func() time.Time { return clock }
	sim := cobrowsersim.New(o)
	before := len(sim.Ledger())
	clock = now.Add(2 * time.Hour)
	if got := len(sim.Ledger()) - before; got != 60 {
		t.Errorf("%d conversations in two hours, want 60", got)
	}
}
