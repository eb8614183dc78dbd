package cobrowsersim_test

import (
	"encoding/csv"
	"maps"
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
		"c=hosts":                                                200,
		"c=hosts&start=0":                                        400,
		"c=hosts&csvseperator=:":                                 200,
		"c=cccslotsactivity":                                     200,
		"c=cccslotsactivity&start=1&stop=1":                      400,
		"c=agentperformance&start=1&stop=1":                      200,
		"c=agentperformance&start=4&stop=1":                      400,
		"c=emails&listoption=1":                                  400,
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
	if listed := len(conversations(sim)); total != listed || total != 120 {
		t.Errorf("%d rows, %d in the ledger; want 120", total, listed)
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
	for _, e := range conversations(sim) {
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
	for range 2 {
		before := everything(sim)
		if n := sim.Change(4); n != 4 {
			t.Fatalf("Change(4) = %d", n)
		}
		after, changed := everything(sim), 0
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
	before := len(conversations(sim))
	clock = now.Add(2 * time.Hour)
	if got := len(conversations(sim)) - before; got != 60 {
		t.Errorf("%d conversations in two hours, want 60", got)
	}
}

// documented are the commands and their columns, from the document.
var documented = map[string]struct {
	columns string
	ranged  bool
	ccc     bool
}{
	"conversations":    {"conversation_start browse_id account_id num_messages duration_secs avgMessageLength maxMessageLength last_agent_id reseller_id visitor_id requestType assigned_agent_id acceptUrl accept_host_id decisionTime firstResponseTime transcriptUrl avgResponseTime maxResponseTime successcode firstReplyTime", true, false},
	"accounts":         {"id name postfix reseller_id", false, false},
	"agents":           {"id username firstname lastname email account_id cccagent_id disabled", false, false},
	"cccagents":        {"id username firstname lastname email cccaccount_id", false, true},
	"cccagentgroups":   {"cccagent_id cccgroup_id cccgroup_name cccaccount_id", false, true},
	"cccgroupaccounts": {"cccgroup_id account_id cccgroup_name cccaccount_id", false, true},
	"cccslotsactivity": {"cccagent_id time_start action account_id browse_id session_id activity_id numslots_used numslots_max", false, true},
	"accountspecshourly": {"account_id hourBegin_time hourEnd_time hourOfDay num_vists num_pageviews num_visitors num_reactive num_reactive_accepted" +
		" num_proactive num_proactive_accepted", true, false},
	"hostspecshourly": {"host_id hourBegin_time hourEnd_time hourOfDay num_vists num_pageviews num_visitors num_reactive num_reactive_accepted" +
		" num_proactive num_proactive_accepted account_id", true, false},
	"emails":        {"browse_id id timestamp agent_id to bcc subject from account_id", true, false},
	"hosts":         {"id account_id hostname multiple_acc_id", false, false},
	"agentactivity": {"agent_id time_start time_end state duration_secs account_id activity_id", true, false},
	"filterstatshourly": {"account_id hourBegin_time hourEnd_time hourOfDay id filtername num_proactive num_proactive_accepted num_proactive_declined" +
		" num_proactive_match num_proactive_cancelled num_proactive_no_availability num_proactive_expired num_proactive_ignored", true, false},
	"slotsactivity": {"agent_id time_start action account_id browse_id session_id activity_id numslots_used numslots_max open_duration closed_duration" +
		" new_duration sleeping_duration burning_duration presetName", true, false},
	"agentperformance": {"agent_id session_id preset session_start numChats numBreaks numIgnored numAbandoned avgConcurrency firstResponseDuration" +
		" openDuration closedDuration newDuration sleepingDuration burningDuration onlineDuration offlineDuration availableDuration idleDuration sessionDuration", true, false},
}

// conversations are those of the ledger.
func conversations(sim *cobrowsersim.Sim) []simulated.Entry {
	return slices.DeleteFunc(sim.Ledger(), func(e simulated.Entry) bool { return e.Stream != "conversations" })
}

// queries ask for all that there is of a command.
func queries(command string) []string {
	if !documented[command].ranged {
		return []string{"c=" + command}
	}
	var out []string
	for ago := range 9 {
		out = append(out, "c="+command+"&start="+strconv.Itoa(ago)+"&stop="+strconv.Itoa(ago))
	}
	return out
}

// everything is every line of every list.
func everything(sim *cobrowsersim.Sim) (lines []string) {
	for _, command := range slices.Sorted(maps.Keys(documented)) {
		for _, query := range queries(command) {
			lines = append(lines, strings.Split(ask(sim, query).Body.String(), "\r\n")...)
		}
	}
	return lines
}

func TestEveryCommandHasItsDocumentedColumnsAndItsLedger(t *testing.T) {
	sim := cobrowsersim.New(options())
	for command, d := range documented {
		rows := 0
		for _, query := range queries(command) {
			got := read(t, ask(sim, query), ';')
			if want := strings.Fields(d.columns); !slices.Equal(got[0], want) {
				t.Fatalf("%s: columns %q, want %q", command, got[0], want)
			}
			rows += len(got) - 1
		}
		keys := map[string]bool{}
		entries := 0
		for _, e := range sim.Ledger() {
			if e.Stream == command {
				entries++
				keys[e.Key] = true
			}
		}
		if rows == 0 || rows != entries || command != "conversations" && len(keys) != rows {
			t.Errorf("%s: %d rows, %d entries with %d keys in the ledger", command, rows, entries, len(keys))
		}
	}
}

func TestAskedAgainEveryListIsTheSame(t *testing.T) {
	o := options()
	clock := now
	o.Now = func() time.Time { return clock }
	sim := cobrowsersim.New(o)
	before := everything(sim)
	clock = now.Add(20 * time.Second) // the same hour, and nobody comes or goes
	if after := everything(sim); !slices.Equal(before, after) {
		t.Errorf("%d lines, then %d others", len(before), len(after))
	}
}

func TestAnOrdinaryUserSeesOneAccountAndNoCCCCommand(t *testing.T) {
	sim := cobrowsersim.New(options())
	v := sim.OrdinaryVariables("")
	login := url.Values{"user": {v["USER"]}, "apiKey": {v["API_KEY"]}}.Encode()
	for command, d := range documented {
		account := slices.Index(strings.Fields(d.columns), "account_id")
		rows, want := 0, 0
		for _, e := range sim.OrdinaryLedger() {
			if e.Stream == command {
				want++
			}
		}
		for _, query := range queries(command) {
			rec := ask(sim, query+"&"+login)
			if d.ccc {
				if rec.Code != http.StatusForbidden || want != 0 {
					t.Errorf("%s: status %d, %d in the ledger", command, rec.Code, want)
				}
				continue
			}
			for _, row := range read(t, rec, ';')[1:] {
				rows++
				if account >= 0 && row[account] != "4101" {
					t.Errorf("%s: a row of account %s", command, row[account])
				}
			}
		}
		if rows != want || !d.ccc && rows == 0 {
			t.Errorf("%s: %d rows, %d in the ledger", command, rows, want)
		}
	}
}

func TestASpecimenHasEveryColumnInTheWindowThatIsAskedFor(t *testing.T) {
	o := options()
	o.Fields = simulated.NewFields()
	sim := cobrowsersim.New(o)
	for command, d := range documented {
		for _, query := range queries(command) {
			rows := read(t, ask(sim, query), ';')
			if specimen := rows[len(rows)-1]; len(specimen) != len(strings.Fields(d.columns)) || slices.Contains(specimen, "") {
				t.Errorf("%s: %q", query, specimen)
			}
		}
	}
	fields := map[string]int{}
	for _, f := range o.Fields.All() {
		fields[f.Endpoint]++
	}
	for command, d := range documented {
		if got, want := fields["c="+command], len(strings.Fields(d.columns)); got != want {
			t.Errorf("%s: %d fields noted, want %d", command, got, want)
		}
	}
}

func TestWhatGoesOnHasNoEndAndWhatEndedHas(t *testing.T) {
	sim := cobrowsersim.New(options())
	open := 0
	for _, query := range queries("agentactivity") {
		for _, row := range read(t, ask(sim, query), ';')[1:] {
			if row[2] == "" {
				open++
			}
			if (row[2] == "") != (row[4] == "") {
				t.Errorf("row %q", row)
			}
		}
	}
	if open != 6 {
		t.Errorf("%d states go on, want one of each agent", open)
	}
}
