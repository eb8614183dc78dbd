package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
)

func TestCobrowserTimeReadsRFC2822(t *testing.T) {
	for text, want := range map[string]string{
		"Tue, 27 Oct 2026 16:04:05 +0100":       "2026-10-27T15:04:05Z",
		"Tue,  7 Oct 2026  16:04:05  -0930":     "2026-10-08T01:34:05Z",
		"7 oct 2026 16:04 GMT":                  "2026-10-07T16:04:00Z",
		"7 Oct 26 16:04:05 EDT":                 "2026-10-07T20:04:05Z",
		"7 Oct 98 16:04:05 UT":                  "1998-10-07T16:04:05Z",
		"7 Oct 126 16:04:05 Z":                  "2026-10-07T16:04:05Z",
		"Tue, 27 Oct 2026 16:04:05 +0100 (CET)": "2026-10-27T15:04:05Z",
		"Thu, 31 Dec 2026 23:59:60 +0000":       "2027-01-01T00:00:00Z",
		" Tue, 27 Oct 2026 16:04:05 -0000\r\n":  "2026-10-27T16:04:05Z",
		"Mon, 29 Feb 2028 00:00:00 +0200":       "2028-02-28T22:00:00Z",
	} {
		if got, ok := events.CobrowserTime(text, "America/Los_Angeles"); !ok || got.Format(time.RFC3339) != want {
			t.Errorf("%q = %s, %v; want %s", text, got.Format(time.RFC3339), ok, want)
		}
	}
}

func TestCobrowserTimeWithoutOffsetIsInTheZone(t *testing.T) {
	for text, want := range map[string]string{
		"Tue, 27 Oct 2026 16:04:05": "2026-10-27T15:04:05Z",
		"Sun, 25 Oct 2026 02:30:00": "2026-10-25T00:30:00Z", // shown twice: the earlier
		"Sun, 29 Mar 2026 03:00:00": "2026-03-29T01:00:00Z",
		"Sun, 29 Mar 2026 02:30:00": "", // skipped
	} {
		got, ok := events.CobrowserTime(text, "Europe/Amsterdam")
		if ok != (want != "") || ok && got.Format(time.RFC3339) != want {
			t.Errorf("%q = %s, %v; want %q", text, got, ok, want)
		}
	}
	if _, ok := events.CobrowserTime("Tue, 27 Oct 2026 16:04:05", "No/Such"); ok {
		t.Error("an unknown zone gives a time")
	}
}

func TestCobrowserTimeRefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{
		"", " ", "2026-10-27T16:04:05Z", "Tue, 31 Feb 2026 16:04:05 +0100", "Tue, 0 Oct 2026 16:04:05 +0100",
		"Tue, 27 Okt 2026 16:04:05 +0100", "Tue, 27 anf 2026 16:04:05 +0100", "Tue, 27 Oct 2026 24:00:00 +0100",
		"Tue, 27 Oct 2026 16:60:05 +0100", "Tue, 27 Oct 2026 16:04:61 +0100", "Tue, 27 Oct 2026 16:04:05 CET",
		"Tue, 27 Oct 2026 16:04:05 +01:00", "Tue, 27 Oct 2026 16:04:05 +2460", "Tue, 27 Oct 20260 16:04:05 +0100",
		"Tuesday, 27 Oct 2026 16:04:05 +0100", "Fri, 31 Dec 9999 23:59:59 -0100", "Mon, 01 Jan 1900 00:00:00 +0100",
		"Tue, 27 Oct 2026", "Tue, 27 Oct 2026 16", "Tue, 27 Oct 2026 16:04:05 +0100 x", "27", ",", "(", ")",
	} {
		if got, ok := events.CobrowserTime(text, ""); ok || !got.IsZero() {
			t.Errorf("%q = %s, %v; want the zero time, false", text, got, ok)
		}
	}
}

func TestCobrowserConversationKeyNeedsAllThree(t *testing.T) {
	at := time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)
	if got, want := events.CobrowserConversationKey("41", "9001", at), "41-9001-1793113445"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
	for name, key := range map[string]string{
		"no account":         events.CobrowserConversationKey("", "9001", at),
		"no browse id":       events.CobrowserConversationKey("41", " ", at),
		"no time":            events.CobrowserConversationKey("41", "9001", time.Time{}),
		"invalid UTF-8":      events.CobrowserConversationKey("41", "90\xff01", at),
		"an id without end":  events.CobrowserConversationKey("41", strings.Repeat("9", 257), at),
		"an account too big": events.CobrowserConversationKey(strings.Repeat("9", 1<<20), "9001", at),
	} {
		if key != "" {
			t.Errorf("%s: key %.40q, want none", name, key)
		}
	}
}

func FuzzCobrowserTime(f *testing.F) {
	for _, seed := range []string{
		"Tue, 27 Oct 2026 16:04:05 +0100", "7 Oct 26 16:04 EST (x)", "Sun, 25 Oct 2026 02:30:00", "Sun, 29 Mar 2026 02:30:00", "1 Jan 9999 00:00 -2359",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := events.CobrowserTime(text, "Europe/Amsterdam")
		if !ok {
			if !got.IsZero() {
				t.Errorf("%q = %s, which is none", text, got)
			}
			return
		}
		if _, err := got.MarshalJSON(); err != nil || got.IsZero() {
			t.Errorf("%q = %v: %v", text, got, err)
		}
		again, ok := events.CobrowserTime(got.Format("Mon, 02 Jan 2006 15:04:05 -0700"), "")
		if !ok || !again.Equal(got) {
			t.Errorf("%q = %s, which reads back as %s, %v", text, got, again, ok)
		}
	})
}

func BenchmarkCobrowserTime(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := events.CobrowserTime("Tue, 27 Oct 2026 16:04:05 +0100", "Europe/Amsterdam"); !ok {
			b.Fatal("no time")
		}
	}
}

func TestCobrowserKeyOfEveryList(t *testing.T) {
	const start = "Tue, 27 Oct 2026 16:00:00 +0100"
	all := map[string]string{
		"conversation_start": start, "time_start": start, "session_start": start, "hourBegin_time": start, "browse_id": "9001", "account_id": "41", "id": "7",
		"activity_id": "77", "agent_id": "12", "cccagent_id": "90", "cccgroup_id": "5", "host_id": "3", "session_id": "8", "preset": "Sales / =1",
		"state": "online", "action": "add",
	}
	for name, c := range map[string]struct {
		stream  string
		without string // columns that are blank
		want    string
	}{
		"a conversation":                 {"conversations", "", "41-9001-1793113200"},
		"a conversation without time":    {"conversations", "conversation_start", ""},
		"an account":                     {"accounts", "", "7"},
		"a host":                         {"hosts", "", "7"},
		"an email":                       {"emails", "", "7"},
		"an email without id":            {"emails", "id", ""},
		"an agent":                       {"agents", "", "agents/7"},
		"a CCC agent":                    {"cccagents", "", "cccagents/7"},
		"an agent without id":            {"agents", "id", ""},
		"an agent of a group":            {"cccagentgroups", "", "cccagentgroups/90-5"},
		"an account of a group":          {"cccgroupaccounts", "", "cccgroupaccounts/5-41"},
		"a group of no account":          {"cccgroupaccounts", "account_id", ""},
		"a state":                        {"agentactivity", "agent_id time_start account_id", "agentactivity/77"},
		"a state without id":             {"agentactivity", "activity_id", "agentactivity/41-12-1793113200-online"},
		"a slot":                         {"slotsactivity", "", "slotsactivity/77"},
		"a slot without id":              {"slotsactivity", "activity_id", "slotsactivity/41-12-1793113200-add"},
		"a CCC agent's slot":             {"cccslotsactivity", "", "cccslotsactivity/77"},
		"a CCC agent's slot without id":  {"cccslotsactivity", "activity_id", "cccslotsactivity/41-90-1793113200-add"},
		"a slot without id and time":     {"slotsactivity", "activity_id time_start", ""},
		"a slot without id and action":   {"slotsactivity", "activity_id action", ""},
		"a slot without id and agent":    {"slotsactivity", "activity_id agent_id", ""},
		"a slot without id and account":  {"slotsactivity", "activity_id account_id", ""},
		"an account's hour":              {"accountspecshourly", "", "accountspecshourly/2026-10-27T15:00:00Z/hour/account=41"},
		"an hour of nothing":             {"accountspecshourly", "account_id", ""},
		"an account's hour without time": {"accountspecshourly", "hourBegin_time", ""},
		"a host's hour":                  {"hostspecshourly", "", "hostspecshourly/2026-10-27T15:00:00Z/hour/account=41/site=3"},
		"a host's hour without account":  {"hostspecshourly", "account_id", "hostspecshourly/2026-10-27T15:00:00Z/hour/site=3"},
		"an hour without host":           {"hostspecshourly", "host_id", ""},
		"a filter's hour":                {"filterstatshourly", "", "filterstatshourly/2026-10-27T15:00:00Z/hour/account=41/filter=7"},
		"an hour without filter":         {"filterstatshourly", "id", ""},
		"a session":                      {"agentperformance", "", "agentperformance/2026-10-27T15:00:00Z/session/agent=12/preset=Sales / =1/session=8"},
		"a session without preset":       {"agentperformance", "preset", "agentperformance/2026-10-27T15:00:00Z/session/agent=12/session=8"},
		"a session without id":           {"agentperformance", "session_id", ""},
		"a session without start":        {"agentperformance", "session_start", ""},
		"another list":                   {"chats", "", ""},
	} {
		value := func(column string) string {
			if strings.Contains(" "+c.without+" ", " "+column+" ") {
				return " "
			}
			return all[column]
		}
		if got := events.CobrowserKey(c.stream, value, "Europe/Amsterdam"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTwoHoursThatClocksShowAlikeHaveTwoKeys(t *testing.T) {
	keys := map[string]bool{}
	for _, text := range []string{"Sun, 25 Oct 2026 02:00:00 +0200", "Sun, 25 Oct 2026 02:00:00 +0100"} {
		keys[events.CobrowserKey("accountspecshourly", func(column string) string {
			return map[string]string{"account_id": "41", "hourBegin_time": text}[column]
		}, "Europe/Amsterdam")] = true
	}
	if !keys["accountspecshourly/2026-10-25T00:00:00Z/hour/account=41"] || !keys["accountspecshourly/2026-10-25T01:00:00Z/hour/account=41"] {
		t.Errorf("%v", keys)
	}
}

func TestADimensionThatIsNoTextIsNoKey(t *testing.T) {
	for _, preset := range []string{"\xff", strings.Repeat("x", 257)} {
		value := func(column string) string {
			return map[string]string{"agent_id": "1", "session_id": "2", "session_start": "27 Oct 2026 16:00 GMT", "preset": preset}[column]
		}
		if key := events.CobrowserKey("agentperformance", value, ""); key != "" {
			t.Errorf("key %.60q", key)
		}
	}
}
