package pollers_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-stream/parley/pollers"
)

const second, minute, hour, day = time.Second, time.Minute, time.Hour, pollers.Day

// zones have changes of clocks of every kind: at night, at midnight, by half an hour, and one that gives midnight twice.
var zones = []string{
	"UTC", "America/Los_Angeles", "Europe/Oslo", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago",
	"America/Havana", "Asia/Amman", "Asia/Kathmandu", "Atlantic/Azores",
}

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	got, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestADayBeginsAtItsFirstInstant(t *testing.T) {
	days := map[string]struct {
		zone, inside, from, to string
		length                 time.Duration
	}{
		"Los Angeles, clocks forward":    {"America/Los_Angeles", "2026-03-08T20:00:00Z", "2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z", 23 * hour},
		"Los Angeles, clocks back":       {"America/Los_Angeles", "2026-11-01T20:00:00Z", "2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z", 25 * hour},
		"Oslo, clocks forward":           {"Europe/Oslo", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23 * hour},
		"Oslo, clocks back":              {"Europe/Oslo", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25 * hour},
		"Oslo, the last instant":         {"Europe/Oslo", "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25 * hour},
		"Lord Howe, half an hour ahead":  {"Australia/Lord_Howe", "2026-10-04T03:00:00Z", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z", 23*hour + 30*minute},
		"Lord Howe, half an hour back":   {"Australia/Lord_Howe", "2026-04-05T03:00:00Z", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z", 24*hour + 30*minute},
		"Cairo, midnight is skipped":     {"Africa/Cairo", "2026-04-24T10:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z", 23 * hour},
		"Cairo, the day before that":     {"Africa/Cairo", "2026-04-23T21:59:59Z", "2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z", 24 * hour},
		"Cairo, 23 o'clock comes twice":  {"Africa/Cairo", "2026-10-29T20:30:00Z", "2026-10-28T21:00:00Z", "2026-10-29T22:00:00Z", 25 * hour},
		"Santiago, midnight is skipped":  {"America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z", 23 * hour},
		"Amman, midnight comes twice":    {"Asia/Amman", "2021-10-28T21:30:00Z", "2021-10-28T21:00:00Z", "2021-10-29T22:00:00Z", 25 * hour},
		"Havana, midnight comes twice":   {"America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25 * hour},
		"before 1970 days go on":         {"UTC", "1969-12-31T12:00:00Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z", 24 * hour},
		"a day begins in its own minute": {"Asia/Kathmandu", "2026-05-05T18:15:00Z", "2026-05-05T18:15:00Z", "2026-05-06T18:15:00Z", 24 * hour},
	}
	for name, d := range days {
		t.Run(name, func(t *testing.T) {
			loc := location(t, d.zone)
			from, to := pollers.Floor(at(t, d.inside), day, loc), pollers.Ceil(at(t, d.inside), day, loc)
			if !from.Equal(at(t, d.from)) || !to.Equal(at(t, d.to)) || to.Sub(from) != d.length {
				t.Errorf("the day of %s is %s to %s (%s); want %s to %s (%s)", d.inside, from, to, to.Sub(from), d.from, d.to, d.length)
			}
		})
	}
}

// instant draws a time of our years, often close to a change of clocks.
func instant(rt *rapid.T, label string) time.Time {
	start := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	end := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	unix := rapid.Int64Range(start, end).Draw(rt, label)
	if rapid.Bool().Draw(rt, label+" on a quarter") {
		unix -= unix % 900
	}
	return time.Unix(unix, 0).UTC()
}

func zone(rt *rapid.T) *time.Location {
	loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(rt, "zone"))
	if err != nil {
		rt.Fatal(err)
	}
	return loc
}

var spans = []time.Duration{second, minute, 15 * minute, hour, 50 * minute, 6 * hour, day, 7 * day, 31 * day}

func TestEveryInstantIsInExactlyOneSpan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		loc, span, now := zone(rt), rapid.SampledFrom(spans).Draw(rt, "span"), instant(rt, "now")
		from, to := pollers.Floor(now, span, loc), pollers.Ceil(now, span, loc)
		if now.Before(from) || !now.Before(to) {
			rt.Fatalf("%s is not in [%s, %s)", now, from, to)
		}
		if from.Location() != time.UTC || to.Location() != time.UTC {
			rt.Fatalf("[%s, %s) is not in UTC", from, to)
		}
		if !pollers.Floor(from, span, loc).Equal(from) || !pollers.Floor(to, span, loc).Equal(to) || !pollers.Floor(to.Add(-1), span, loc).Equal(from) {
			rt.Fatalf("[%s, %s) is not one aligned span", from, to)
		}
		if n := time.Duration(max(1, int64(span/day))); span >= day && (to.Sub(from) < n*day-hour || to.Sub(from) > n*day+hour) {
			rt.Fatalf("%d days from %s last %s", n, from, to.Sub(from))
		}
		if span == day && (to.Sub(from) < 23*hour || to.Sub(from) > 25*hour || now.In(loc).YearDay() != from.In(loc).YearDay()) {
			rt.Fatalf("the day of %s is [%s, %s)", now.In(loc), from.In(loc), to.In(loc))
		}
	})
}

func TestCutCoversExactly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		loc, span := zone(rt), rapid.SampledFrom(spans).Draw(rt, "span")
		from := instant(rt, "from")
		to := from.Add(time.Duration(rapid.Int64Range(-10, 40*int64(span/second)).Draw(rt, "length")) * second)
		windows := pollers.Cut("chats", from, to, span, loc)
		if !to.After(from) {
			if len(windows) != 0 {
				rt.Fatalf("an empty range gives %d windows", len(windows))
			}
			return
		}
		at := from
		for i, w := range windows {
			if w.Stream != "chats" || !w.From.Equal(at) || !w.To.After(w.From) {
				rt.Fatalf("window %d is %+v; want it to begin at %s", i, w, at)
			}
			if i > 0 && !pollers.Floor(w.From, span, loc).Equal(w.From) {
				rt.Fatalf("window %d begins at %s, which is no border", i, w.From)
			}
			if w.To.After(pollers.Ceil(w.From, span, loc)) {
				rt.Fatalf("window %d is %+v: longer than its span", i, w)
			}
			at = w.To
		}
		if !at.Equal(to) {
			rt.Fatalf("the windows end at %s; want %s", at, to)
		}
	})
}

func TestTheHalvesOfASplitMeet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		loc, grain := zone(rt), rapid.SampledFrom([]time.Duration{second, minute, hour, day}).Draw(rt, "grain")
		w := pollers.Window{Stream: "chats", From: pollers.Floor(instant(rt, "from"), grain, loc)}
		w.To = w.From
		grains := rapid.IntRange(1, 40).Draw(rt, "grains")
		for range grains {
			w.To = pollers.Ceil(w.To, grain, loc)
		}
		older, newer, ok := w.Split(grain, loc)
		if ok != (grains > 1) {
			rt.Fatalf("a window of %d grains splits: %v", grains, ok)
		}
		if !ok {
			return
		}
		if !older.From.Equal(w.From) || !older.To.Equal(newer.From) || !newer.To.Equal(w.To) || older.Stream != w.Stream || newer.Stream != w.Stream {
			rt.Fatalf("%+v splits into %+v and %+v", w, older, newer)
		}
		if !older.To.After(older.From) || !newer.To.After(newer.From) || !pollers.Floor(older.To, grain, loc).Equal(older.To) {
			rt.Fatalf("%+v splits at %s", w, older.To)
		}
	})
}

func TestASnapshotHoldsEveryTimeAndIsNotSplit(t *testing.T) {
	w := pollers.Window{Stream: "agents"}
	if !w.Snapshot() || !w.Holds(time.Now()) {
		t.Errorf("snapshot %v, holds now %v", w.Snapshot(), w.Holds(time.Now()))
	}
	if _, _, ok := w.Split(day, time.UTC); ok || pollers.WindowID(w) != "snapshot" {
		t.Error("a snapshot was split")
	}
	timed := pollers.Window{From: at(t, "2026-01-01T00:00:00Z"), To: at(t, "2026-01-01T01:00:00Z")}
	for text, want := range map[string]bool{
		"2026-01-01T00:00:00Z": true, "2026-01-01T00:59:59Z": true, "2026-01-01T01:00:00Z": false, "2025-12-31T23:59:59Z": false,
	} {
		if timed.Holds(at(t, text)) != want {
			t.Errorf("the window holds %s: %v; want %v", text, !want, want)
		}
	}
	if id := pollers.WindowID(timed); id != "20260101T000000Z-20260101T010000Z" {
		t.Errorf("its id is %s", id)
	}
}
