package cobrowser_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/cobrowser/cobrowsersim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

func TestMidnightBetweenAttemptsMovesTheNumberNotTheDay(t *testing.T) {
	now := at("2026-10-27 23:59:59")
	start := at("2026-10-27 23:50:00")
	w := &wire{}
	w.answer = func(n int, q url.Values) reply {
		if n == 0 { // midnight passes while the vendor answers: today is already the 28th there
			now = now.Add(2 * time.Second)
			return framed(export())
		}
		return framed(export(chat("9001", start)))
	}
	p := open(t, w, func() time.Time { return now })
	if records, err := pollertest.Collect(p, day("2026-10-27")); !errors.Is(err, pollers.ErrIncomplete) {
		t.Errorf("across midnight: %d records, %v; want ErrIncomplete", len(records), err)
	}
	records, err := pollertest.Collect(p, day("2026-10-27"))
	if err != nil || !same(keys(records), []string{key("9001", start)}) {
		t.Errorf("after midnight: keys %v, %v", keys(records), err)
	}
	if got := days(w); got != "0-0 1-1" {
		t.Errorf("asked for %s days ago, want 0-0 1-1", got)
	}
}

func TestAVendorWhoseClockIsPastMidnightGivesNoWrongDay(t *testing.T) {
	ours := at("2026-10-27 23:59:58")
	theirs := at("2026-10-28 00:00:30")
	sim := cobrowsersim.New(simulated.Options{Seed: 3, Days: 3, Chats: 200, Start: theirs, Now: func() time.Time { return theirs }})
	p := open(t, serve(sim), func() time.Time { return ours }, "API_KEY", sim.Variables("")["API_KEY"], "USER", sim.Variables("")["USER"])
	w := day("2026-10-26")
	records, err := pollertest.Collect(p, w) // they give the 27th
	if !errors.Is(err, pollers.ErrIncomplete) || len(records) != 0 {
		t.Errorf("%d records, %v; want none and ErrIncomplete", len(records), err)
	}
	ours = theirs
	if records, err := pollertest.Collect(p, w); err != nil || len(records) < 10 {
		t.Errorf("after our midnight: %d records, %v", len(records), err)
	}
}

func TestAnotherZoneThanTheAccountsIsSaid(t *testing.T) {
	w := always(export(chat("1", at("2026-10-27 00:30:00")), chat("2", at("2026-10-27 12:00:00"))))
	p := open(t, w, clock("2026-10-27 18:00:00"), "TIMEZONE", "UTC")
	window := pollers.Window{Stream: "conversations", From: time.Date(2026, 10, 27, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 10, 28, 0, 0, 0, 0, time.UTC)}
	records, err := pollertest.Collect(p, window)
	if !errors.Is(err, pollers.ErrIncomplete) || !strings.Contains(err.Error(), "TIMEZONE") {
		t.Errorf("%v; want ErrIncomplete and a word on TIMEZONE", err)
	}
	if !same(keys(records), []string{key("2", at("2026-10-27 12:00:00"))}) {
		t.Errorf("keys %v; want only the row of the day", keys(records))
	}
}

func TestDaysOf23And25HoursAreWholeAndCountOne(t *testing.T) {
	for name, test := range map[string]struct {
		date, now   string
		hours       int
		want        string
		first, last time.Time
	}{
		"clocks go forward":     {"2026-03-29", "2026-03-31 00:30:00", 23, "2-2", at("2026-03-29 00:00:00"), at("2026-03-29 23:59:59")},
		"clocks go back":        {"2026-10-25", "2026-10-27 23:30:00", 25, "2-2", at("2026-10-25 00:00:00"), at("2026-10-25 23:59:59")},
		"the day before":        {"2026-10-24", "2026-10-26 00:00:00", 24, "2-2", at("2026-10-24 00:00:00"), at("2026-10-24 23:59:59")},
		"in the repeated hour":  {"2026-10-25", "2026-10-25 02:30:00", 25, "0-0", at("2026-10-25 00:00:00"), time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC)},
		"across both in a year": {"2026-03-01", "2026-11-01 00:00:00", 24, "245-245", at("2026-03-01 00:00:00"), at("2026-03-01 23:59:59")},
	} {
		t.Run(name, func(t *testing.T) {
			window := day(test.date)
			if got := window.To.Sub(window.From); got != time.Duration(test.hours)*time.Hour {
				t.Fatalf("the window is %s long", got)
			}
			w := always(export(chat("1", test.first), chat("2", test.last)))
			records, err := pollertest.Collect(open(t, w, clock(test.now)), window)
			if err != nil || len(records) != 2 || days(w) != test.want {
				t.Errorf("%d records, %v, asked for %s; want 2, nil, %s", len(records), err, days(w), test.want)
			}
			for _, outside := range []time.Time{window.From.Add(-time.Second), window.To} {
				w := always(export(chat("1", test.first), chat("2", outside)))
				if _, err := pollertest.Collect(open(t, w, clock(test.now)), window); !errors.Is(err, pollers.ErrIncomplete) {
					t.Errorf("with a row of %s: %v; want ErrIncomplete", outside, err)
				}
			}
		})
	}
}

func TestADayThatHasNotBegunIsAnErrorWithoutARequest(t *testing.T) {
	w := always(export())
	_, err := pollertest.Collect(open(t, w, clock("2026-10-27 23:59:59")), day("2026-10-28"))
	if err == nil || events.IsPermanent(err) || len(w.queries) != 0 {
		t.Errorf("%v after %d requests; want an error that is retried, and none", err, len(w.queries))
	}
}

func TestAWindowOfMoreThanADayIsAPermanentError(t *testing.T) {
	w := always(export())
	p := open(t, w, clock("2026-10-27 12:00:00"))
	wide := day("2026-10-25")
	wide.To = wide.To.Add(time.Second)
	for name, window := range map[string]pollers.Window{"wide": wide, "without times": {Stream: "conversations"}} {
		if _, err := pollertest.Collect(p, window); !events.IsPermanent(err) || len(w.queries) != 0 {
			t.Errorf("%s: %v after %d requests; want a permanent error and none", name, err, len(w.queries))
		}
	}
}

func TestAClockThatIsSetBackDuringTheRequestIsSeen(t *testing.T) {
	now := at("2026-10-28 00:00:01")
	w := &wire{}
	w.answer = func(int, url.Values) reply {
		now = at("2026-10-27 23:59:59")
		return framed(export())
	}
	if _, err := pollertest.Collect(open(t, w, func() time.Time { return now }), day("2026-10-27")); !errors.Is(err, pollers.ErrIncomplete) {
		t.Errorf("%v; want ErrIncomplete", err)
	}
}

func TestADayThatMovesWhileItIsReadIsNeverTakenForAnother(t *testing.T) {
	now := at("2026-10-27 15:00:00")
	sim := cobrowsersim.New(simulated.Options{
		Seed: 3, Days: 4, Chats: 200, Malformed: 2, Start: now, Now: func() time.Time { return now },
		Faults: simulated.Faults{simulated.FaultMidnight: 0.5},
	})
	p := open(t, serve(sim), func() time.Time { return now }, "API_KEY", sim.Variables("")["API_KEY"], "USER", sim.Variables("")["USER"])
	for _, date := range []string{"2026-10-25", "2026-10-26"} {
		w, want := day(date), map[string]bool{}
		for _, e := range sim.Ledger() {
			if e.Stream == w.Stream && !e.Malformed && !e.At.Before(w.From) && e.At.Before(w.To) {
				want[e.Key] = true
			}
		}
		moved, whole := 0, 0
		for range 40 {
			records, err := pollertest.Collect(p, w)
			got := 0
			for _, r := range records {
				if want[r.Key] {
					got++
				} else if r.Key != "" {
					t.Errorf("%s: a record %s of another day", date, r.Key)
				}
			}
			switch {
			case errors.Is(err, pollers.ErrIncomplete):
				moved++
			case err != nil:
				t.Fatal(err)
			case got != len(want):
				t.Errorf("%s: complete with %d of %d", date, got, len(want))
			default:
				whole++
			}
		}
		if len(want) < 10 || moved < 5 || whole < 5 {
			t.Errorf("%s: of %d conversations %d readings were whole, %d met another day; want both often", date, len(want), whole, moved)
		}
	}
}
