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
		if got, ok := events.CobrowserTime(text, ""); ok {
			t.Errorf("%q = %s; want none", text, got)
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
