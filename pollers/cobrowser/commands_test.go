package cobrowser_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/cobrowser"
	"github.com/parley-stream/parley/pollers/cobrowser/cobrowsersim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

// list is what the document says of a command, and a row of it.
type list struct {
	columns string // in the document's order
	timed   string // the column of the row's time; "" in a directory
	ranged  bool
	ccc     bool
	row     map[string]string // what makes the key
	key     string            // of the row at 2026-10-27 10:00:00
}

const (
	hourColumns  = "hourBegin_time hourEnd_time hourOfDay"
	visitColumns = "num_vists num_pageviews num_visitors num_reactive num_reactive_accepted num_proactive num_proactive_accepted"
)

// lists are the document's, all but conversations.
var lists = map[string]list{
	"accounts": {"id name postfix reseller_id", "", false, false, map[string]string{"id": "41"}, "41"},
	"agents": {
		"id username firstname lastname email account_id cccagent_id disabled", "", false, false,
		map[string]string{"id": "12"},
		"agents/12",
	},
	"cccagents": {"id username firstname lastname email cccaccount_id", "", false, true, map[string]string{"id": "12"}, "cccagents/12"},
	"cccagentgroups": {
		"cccagent_id cccgroup_id cccgroup_name cccaccount_id", "", false, true,
		map[string]string{"cccagent_id": "12", "cccgroup_id": "5"},
		"cccagentgroups/12-5",
	},
	"cccgroupaccounts": {
		"cccgroup_id account_id cccgroup_name cccaccount_id", "", false, true,
		map[string]string{"cccgroup_id": "5", "account_id": "41"},
		"cccgroupaccounts/5-41",
	},
	"cccslotsactivity": {
		"cccagent_id time_start action account_id browse_id session_id activity_id numslots_used numslots_max", "time_start", false, true,
		map[string]string{"activity_id": "77"},
		"cccslotsactivity/77",
	},
	"accountspecshourly": {
		"account_id " + hourColumns + " " + visitColumns, "hourBegin_time", true, false,
		map[string]string{"account_id": "41"},
		"accountspecshourly/2026-10-27T09:00:00Z/hour/account=41",
	},
	"hostspecshourly": {
		"host_id " + hourColumns + " " + visitColumns + " account_id", "hourBegin_time", true, false,
		map[string]string{"host_id": "3", "account_id": "41"},
		"hostspecshourly/2026-10-27T09:00:00Z/hour/account=41/site=3",
	},
	"emails": {"browse_id id timestamp agent_id to bcc subject from account_id", "timestamp", true, false, map[string]string{"id": "8"}, "8"},
	"hosts":  {"id account_id hostname multiple_acc_id", "", false, false, map[string]string{"id": "3"}, "3"},
	"agentactivity": {
		"agent_id time_start time_end state duration_secs account_id activity_id", "time_start", true, false,
		map[string]string{"activity_id": "77", "duration_secs": "60"},
		"agentactivity/77",
	},
	"filterstatshourly": {
		"account_id " + hourColumns + " id filtername num_proactive num_proactive_accepted num_proactive_declined" +
			" num_proactive_match num_proactive_cancelled num_proactive_no_availability num_proactive_expired num_proactive_ignored", "hourBegin_time", true, false,
		map[string]string{"account_id": "41", "id": "6"},
		"filterstatshourly/2026-10-27T09:00:00Z/hour/account=41/filter=6",
	},
	"slotsactivity": {
		"agent_id time_start action account_id browse_id session_id activity_id numslots_used numslots_max" +
			" open_duration closed_duration new_duration sleeping_duration burning_duration presetName", "time_start", true, false,
		map[string]string{"activity_id": "77"},
		"slotsactivity/77",
	},
	"agentperformance": {
		"agent_id session_id preset session_start numChats numBreaks numIgnored numAbandoned avgConcurrency firstResponseDuration" +
			" openDuration closedDuration newDuration sleepingDuration burningDuration onlineDuration offlineDuration availableDuration idleDuration sessionDuration",
		"session_start", true, false,
		map[string]string{"agent_id": "12", "session_id": "9", "preset": "Sales; =1/2", "sessionDuration": "60"},
		"agentperformance/2026-10-27T09:00:00Z/session/agent=12/preset=Sales; =1/2/session=9",
	},
}

var ten = at("2026-10-27 10:00:00")

// columnsOf are the names in the document's order.
func (l list) columnsOf() []string { return strings.Fields(l.columns) }

// at gives the values of the row at a time, with other values by their columns.
func (l list) at(start time.Time, other map[string]string) []string {
	var out []string
	for _, column := range l.columnsOf() {
		value := l.row[column]
		if column == l.timed {
			value = start.In(amsterdam).Format(time.RFC1123Z)
		}
		if v, ok := other[column]; ok {
			value = v
		}
		out = append(out, value)
	}
	return out
}

// export gives a response of these rows.
func (l list) export(rows ...[]string) string {
	out := line(";", l.columnsOf()...) + "\r\n"
	for _, r := range rows {
		out += line(";", r...) + "\r\n"
	}
	return out
}

// window is the day's of a ranged list, else none.
func (l list) window(stream, date string) pollers.Window {
	if !l.ranged {
		return pollers.Window{Stream: stream}
	}
	w := day(date)
	w.Stream = stream
	return w
}

func TestEveryDocumentedCommandIsAStream(t *testing.T) {
	streams := map[string]pollers.Stream{}
	for _, s := range open(t, always(""), clock("2026-10-27 12:00:00")).Describe().Streams {
		streams[s.Name] = s
	}
	if got, want := len(streams), 15; got != want {
		t.Errorf("%d streams, want %d", got, want)
	}
	for name, l := range lists {
		s, ok := streams[name]
		if !ok || s.Snapshot == l.ranged || s.Present != (name == "cccslotsactivity") {
			t.Errorf("%s: %+v", name, s)
		}
		if l.ranged && (s.Grain != pollers.Day || s.MaxSpan != pollers.Day || s.LiveSpan != pollers.Day) {
			t.Errorf("%s: %+v; want days", name, s)
		}
	}
}

func TestEveryCommandIsAskedWithItsOptionsAndItsRowsHaveTheirKeys(t *testing.T) {
	for name, l := range lists {
		t.Run(name, func(t *testing.T) {
			row := l.at(ten, nil)
			w := always(l.export(row))
			records, err := pollertest.Collect(open(t, w, clock("2026-10-28 12:00:00")), l.window(name, "2026-10-27"))
			if err != nil || !same(keys(records), []string{l.key}) {
				t.Fatalf("keys %q, %v; want %q", keys(records), err, l.key)
			}
			if got, want := string(records[0].Parts[0].Body.Bytes), line(";", l.columnsOf()...)+"\n"+line(";", row...); got != want {
				t.Errorf("bytes\n%q, want\n%q", got, want)
			}
			want := "apiKey=" + apiKey + "&c=" + name + "&csvseperator=%3B&user=reporting%40shop.example"
			if l.ranged {
				want = "apiKey=" + apiKey + "&c=" + name + "&csvseperator=%3B&start=1&stop=1&user=reporting%40shop.example"
			}
			if got := w.queries[0].Encode(); got != want || len(w.queries) != 1 {
				t.Errorf("%d queries, the first %s; want %s", len(w.queries), got, want)
			}
		})
	}
}

func TestEveryListIsReadWithoutItsHeaderAndWithItsColumnsInAnotherOrder(t *testing.T) {
	for name, l := range lists {
		t.Run(name, func(t *testing.T) {
			row, columns := l.at(ten, nil), l.columnsOf()
			reversed, names := slices.Clone(row), append([]string{"new column"}, columns...)
			slices.Reverse(reversed)
			slices.Reverse(names)
			for what, body := range map[string]string{
				"no header":     line(";", row...) + "\r\n",
				"another order": line(";", names...) + "\n" + line(";", append(reversed, "?")...) + "\n",
			} {
				records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), l.window(name, "2026-10-27"))
				if err != nil || !same(keys(records), []string{l.key}) {
					t.Errorf("%s: keys %q, %v; want %q", what, keys(records), err, l.key)
				}
			}
		})
	}
}

func TestAHeaderThatNamesNothingKnownIsNoRow(t *testing.T) {
	for name, l := range lists {
		renamed := l.columnsOf()
		for i := range renamed {
			renamed[i] = "x_" + renamed[i]
		}
		body := line(";", renamed...) + "\n" + line(";", l.at(ten, nil)...) + "\n"
		if records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), l.window(name, "2026-10-27")); !errors.Is(err, pollers.ErrIncomplete) {
			t.Errorf("%s: keys %q, %v; want ErrIncomplete", name, keys(records), err)
		}
	}
}

func TestEveryRangedListIsCheckedAgainstTheDayOfItsRows(t *testing.T) {
	for name, l := range lists {
		if !l.ranged {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for what, start := range map[string]time.Time{"the day before": at("2026-10-26 23:58:00"), "the day after": at("2026-10-28 00:00:00")} {
				w := always(l.export(l.at(ten, nil), l.at(start, nil)))
				records, err := pollertest.Collect(open(t, w, clock("2026-10-29 12:00:00")), l.window(name, "2026-10-27"))
				if !errors.Is(err, pollers.ErrIncomplete) || !same(keys(records), []string{l.key}) {
					t.Errorf("with a row of %s: keys %q, %v; want the other row and ErrIncomplete", what, keys(records), err)
				}
			}
			now := at("2026-10-27 23:59:59")
			w := &wire{answer: func(int, url.Values) reply {
				now = at("2026-10-28 00:00:01")
				return framed(l.export(l.at(ten, nil)))
			}}
			p := open(t, w, func() time.Time { return now })
			if _, err := pollertest.Collect(p, l.window(name, "2026-10-27")); !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("across midnight: %v; want ErrIncomplete", err)
			}
			if records, err := pollertest.Collect(p, l.window(name, "2026-10-27")); err != nil || len(records) != 1 || days(w) != "0-0 1-1" {
				t.Errorf("after midnight: %d records, %v, asked for %s", len(records), err, days(w))
			}
		})
	}
}

func TestAStateOrASessionIsOfEveryDayThatItTouches(t *testing.T) {
	stamp := func(text string) string { return at(text).Format(time.RFC1123Z) }
	for name, test := range map[string]struct {
		stream string
		start  string
		other  map[string]string
		touch  bool
	}{
		"a state into the day":                {"agentactivity", "2026-10-26 17:00:00", map[string]string{"time_end": stamp("2026-10-27 08:00:00")}, true},
		"a state that ended at midnight":      {"agentactivity", "2026-10-26 17:00:00", map[string]string{"time_end": stamp("2026-10-27 00:00:00")}, false},
		"a state that goes on":                {"agentactivity", "2026-10-20 17:00:00", map[string]string{"duration_secs": ""}, true},
		"a state whose end is 1970":           {"agentactivity", "2026-10-26 17:00:00", map[string]string{"time_end": "Thu, 01 Jan 1970 00:00:00 +0000", "duration_secs": ""}, true},
		"a state with a length alone":         {"agentactivity", "2026-10-26 17:00:00", map[string]string{"duration_secs": "86400"}, true},
		"a state too short":                   {"agentactivity", "2026-10-26 17:00:00", map[string]string{"duration_secs": "3600"}, false},
		"a state of tomorrow that goes on":    {"agentactivity", "2026-10-28 00:00:00", map[string]string{"duration_secs": ""}, false},
		"a session into the day":              {"agentperformance", "2026-10-26 23:00:00", map[string]string{"sessionDuration": "3601"}, true},
		"a session that ended at midnight":    {"agentperformance", "2026-10-26 23:00:00", map[string]string{"sessionDuration": "3600"}, false},
		"a session without a length":          {"agentperformance", "2026-10-26 23:00:00", map[string]string{"sessionDuration": ""}, true},
		"a mutation of slots has no duration": {"slotsactivity", "2026-10-26 23:00:00", map[string]string{"open_duration": "7200"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := lists[test.stream]
			w := always(l.export(l.at(at(test.start), test.other)))
			records, err := pollertest.Collect(open(t, w, clock("2026-10-29 12:00:00")), l.window(test.stream, "2026-10-27"))
			if test.touch && (err != nil || len(records) != 1) || !test.touch && (!errors.Is(err, pollers.ErrIncomplete) || len(records) != 0) {
				t.Errorf("%d records, %v; touches the day: %v", len(records), err, test.touch)
			}
		})
	}
}

func TestARowWithAnIdAndNoTimeKeepsItsKey(t *testing.T) {
	for name, want := range map[string]string{
		"emails": "8", "slotsactivity": "slotsactivity/77", "cccslotsactivity": "cccslotsactivity/77", "agentactivity": "agentactivity/77",
		"accountspecshourly": "", "agentperformance": "",
	} {
		l := lists[name]
		w := always(l.export(l.at(ten, map[string]string{l.timed: "soon"})))
		records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), l.window(name, "2026-10-27"))
		if err != nil || !same(keys(records), []string{want}) {
			t.Errorf("%s: keys %q, %v; want %q", name, keys(records), err, want)
		}
	}
}

func TestAnActivityWithoutAnIdIsNamedByWhoWhenAndWhat(t *testing.T) {
	for name, other := range map[string]map[string]string{
		"agentactivity":    {"activity_id": "", "account_id": "41", "agent_id": "12", "state": "online"},
		"slotsactivity":    {"activity_id": " ", "account_id": "41", "agent_id": "12", "action": "add"},
		"cccslotsactivity": {"activity_id": "", "account_id": "41", "cccagent_id": "12", "action": "add"},
	} {
		l := lists[name]
		want := fmt.Sprintf("%s/41-12-%d-%s%s", name, ten.Unix(), other["state"], other["action"])
		w := always(l.export(l.at(ten, other)))
		records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), l.window(name, "2026-10-27"))
		if err != nil || !same(keys(records), []string{want}) {
			t.Errorf("%s: keys %q, %v; want %q", name, keys(records), err, want)
		}
	}
}

func TestAListWithoutARangeHasNoWindowAndTheOthersHave(t *testing.T) {
	w := always("")
	p := open(t, w, clock("2026-10-27 12:00:00"))
	for name, l := range lists {
		window := day("2026-10-27")
		window.Stream = name
		if l.ranged {
			window = pollers.Window{Stream: name}
		}
		if _, err := pollertest.Collect(p, window); !events.IsPermanent(err) || len(w.queries) != 0 {
			t.Errorf("%s: %v after %d requests; want a permanent error and none", name, err, len(w.queries))
		}
	}
}

func TestACutOfAnyListIsNeverComplete(t *testing.T) {
	for name, l := range lists {
		full := l.export(l.at(ten, nil), l.at(ten.Add(time.Minute), nil))
		for cut := range full {
			body := full[:cut]
			for how, w := range map[string]*wire{
				"the framing tells":      {answer: func(int, url.Values) reply { return reply{strings.NewReader(body), true, errors.New("reset")} }},
				"unframed, then whole":   {answer: func(n int, _ url.Values) reply { return unframed(full[:cut+n*(len(full)-cut)]) }},
				"unframed, both cut":     {answer: func(int, url.Values) reply { return unframed(body) }},
				"the server's own fault": {answer: func(int, url.Values) reply { return framed(body) }},
			} {
				records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), l.window(name, "2026-10-27"))
				if pollers.IsUnavailable(err) {
					t.Fatalf("%s, %s: cut at byte %d is Unavailable: %v", name, how, cut, err)
				}
				// A body that ends where a line does, twice or in a whole frame, is a list of its own.
				whole := strings.HasSuffix(body, "\n") || strings.TrimLeft(full[cut:], "\r\n") == "" || strings.HasPrefix(strings.TrimLeft(full[cut:], "\r\n"), `"`) && strings.HasSuffix(strings.TrimRight(body, "\r"), `"`) && !strings.HasPrefix(full[cut:], ";")
				if err == nil && (!whole || how == "the framing tells" || how == "unframed, then whole") {
					t.Errorf("%s, %s: cut at byte %d of %d: complete with %d records", name, how, cut, len(full), len(records))
				}
			}
		}
	}
}

func TestAnEmptyDirectoryIsAHeader(t *testing.T) {
	for name, l := range lists {
		p := open(t, always(l.export()), clock("2026-10-27 12:00:00"))
		if records, err := pollertest.Collect(p, l.window(name, "2026-10-27")); err != nil || len(records) != 0 {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
		p = open(t, always(""), clock("2026-10-27 12:00:00"))
		if _, err := pollertest.Collect(p, l.window(name, "2026-10-27")); !errors.Is(err, pollers.ErrIncomplete) {
			t.Errorf("%s: nothing at all: %v; want ErrIncomplete", name, err)
		}
	}
}

func simOptions() simulated.Options {
	now := at("2026-10-27 16:04:05")
	return simulated.Options{Seed: 3, Days: 4, Chats: 80, Malformed: 2, Start: now, Now: func() time.Time { return now }}
}

// readStream reads all windows of a stream, and gives its records by their keys.
func readStream(t *testing.T, p pollers.Poller, stream pollers.Stream) (map[string]string, error) {
	t.Helper()
	read := map[string]string{}
	for _, w := range pollertest.Windows(p.Describe(), stream) {
		records, err := pollertest.Collect(p, w)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			header, row, _ := strings.Cut(string(r.Parts[0].Body.Bytes), "\n")
			if len(header) == 0 {
				t.Errorf("%s %s: no header", stream.Name, r.Key)
			}
			read[r.Key] = strings.ReplaceAll(row, `"`+r.Params["separator"]+`"`, `" "`)
		}
	}
	return read, nil
}

func TestEverySeparatorGivesTheSameRecords(t *testing.T) {
	sim := cobrowsersim.New(simOptions())
	variables := sim.Variables("")
	read := func(separator string) map[string]map[string]string {
		p := open(t, serve(sim), clock("2026-10-27 16:04:05"), "USER", variables["USER"], "API_KEY", variables["API_KEY"], "SEPARATOR", separator)
		all := map[string]map[string]string{}
		for _, stream := range p.Describe().Streams {
			rows, err := readStream(t, p, stream)
			if err != nil || len(rows) == 0 {
				t.Fatalf("separator %s: %s: %d rows, %v", separator, stream.Name, len(rows), err)
			}
			all[stream.Name] = rows
		}
		return all
	}
	want := read(";")
	for _, separator := range []string{",", ":", "|"} {
		got := read(separator)
		for stream := range want {
			if !maps.Equal(got[stream], want[stream]) {
				t.Errorf("separator %s: other records of %s", separator, stream)
			}
		}
	}
}

func TestAnOrdinaryUserReadsItsOwnAndIsToldThatCCCCommandsAreNotForIt(t *testing.T) {
	sim := cobrowsersim.New(simOptions())
	server := httptest.NewServer(sim)
	defer server.Close()
	p := pollertest.Vendor{New: cobrowser.New}.Open(t, sim.OrdinaryVariables(server.URL))
	want := map[string]map[string]bool{}
	for _, e := range sim.OrdinaryLedger() {
		if want[e.Stream] == nil {
			want[e.Stream] = map[string]bool{}
		}
		want[e.Stream][e.Key] = true
	}
	for _, stream := range p.Describe().Streams {
		rows, err := readStream(t, p, stream)
		if lists[stream.Name].ccc {
			if !pollers.IsUnavailable(err) || pollers.IsUnauthorized(err) || len(want[stream.Name]) != 0 {
				t.Errorf("%s: %v; want Unavailable, and no word on the credentials", stream.Name, err)
			}
			continue
		}
		if err != nil || len(rows) == 0 || len(rows) != len(want[stream.Name]) {
			t.Errorf("%s: %d rows, %v; want %d", stream.Name, len(rows), err, len(want[stream.Name]))
		}
		for key := range rows {
			if !want[stream.Name][key] {
				t.Errorf("%s: %q is not in the ledger", stream.Name, key)
			}
		}
	}
}

func TestADirectoryIsOfNoDayAndMidnightDoesNotSpoilIt(t *testing.T) {
	for name, l := range lists {
		if l.ranged {
			continue
		}
		now := at("2026-10-27 23:59:59")
		w := &wire{answer: func(int, url.Values) reply {
			now = at("2026-10-28 00:00:01")
			return framed(l.export(l.at(at("2026-10-20 10:00:00"), nil)))
		}}
		if records, err := pollertest.Collect(open(t, w, func() time.Time { return now }), l.window(name, "")); err != nil || len(records) != 1 {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
	}
}

func TestFiguresWithoutQuotesAreNoDirectoryWithoutHeader(t *testing.T) {
	for name, l := range lists {
		if l.timed != "" {
			continue
		}
		body := strings.ReplaceAll(line(";", l.at(ten, nil)...), `"`, "") + "\n"
		if records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), pollers.Window{Stream: name}); !errors.Is(err, pollers.ErrIncomplete) {
			t.Errorf("%s: keys %q, %v; want ErrIncomplete", name, keys(records), err)
		}
	}
}
