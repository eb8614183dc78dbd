package pollers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-stream/parley/pollers"
)

// clock is the moment of the tables: a Tuesday, 14:30 UTC.
var clock = time.Date(2026, 11, 17, 14, 30, 0, 0, time.UTC)

// moment reads "17T14" or "17T14:20" of November 2026.
func moment(t testing.TB, text string) time.Time {
	t.Helper()
	for _, form := range []string{"02T15", "02T15:04"} {
		if got, err := time.Parse("2006-01-"+form, "2026-11-"+text); err == nil {
			return got
		}
	}
	t.Fatalf("%q is no moment", text)
	return time.Time{}
}

// entry reads "17T13 17T14 17T14:01": a complete window, and when it was read.
func entry(t testing.TB, text string) pollers.Entry {
	t.Helper()
	f := strings.Fields(text)
	e := pollers.Entry{Window: pollers.Window{Stream: "chats", From: moment(t, f[0]), To: moment(t, f[1])}, State: pollers.StatePlanned}
	if len(f) > 2 {
		e.State, e.ReadAt = pollers.StateComplete, moment(t, f[2])
	}
	return e
}

func with(e pollers.Entry, change func(e *pollers.Entry)) pollers.Entry {
	change(&e)
	return e
}

func snapshotEntry(readAt time.Time) pollers.Entry {
	return pollers.Entry{Window: pollers.Window{Stream: "chats"}, State: pollers.StateComplete, ReadAt: readAt}
}

// describe writes tasks as "live 17T14:00-17T15:00".
func describe(tasks []pollers.Task) []string {
	out := make([]string, len(tasks))
	for i, task := range tasks {
		out[i] = task.Class.String()
		if !task.Snapshot() {
			out[i] += " " + task.From.Format("02T15:04") + "-" + task.To.Format("02T15:04")
		}
	}
	return out
}

func basicPlan(t testing.TB) pollers.Plan {
	return pollers.NewPlan(
		pollers.Settings{Interval: minute, SnapshotInterval: hour, Settle: []time.Duration{hour, 24 * hour}, Window: 6 * hour},
		pollers.Description{Location: time.UTC}, pollers.Stream{Name: "chats", Grain: minute, MaxSpan: day}, moment(t, "17T00"))
}

func TestWhatIsDue(t *testing.T) {
	settled := []string{"17T00 17T06 17T14", "17T06 17T12 17T14"}
	rest := func(texts ...string) (entries []pollers.Entry) {
		for _, text := range append(slices.Clone(settled), texts...) {
			entries = append(entries, entry(t, text))
		}
		return entries
	}
	failed := func(e *pollers.Entry) {
		e.State, e.Attempts, e.Error, e.FailedAt, e.RetryAt = pollers.StateFailed, 2, "no", clock.Add(-minute), clock.Add(minute)
	}
	cases := map[string]struct {
		plan    func(p *pollers.Plan)
		entries []pollers.Entry
		now     time.Time
		want    []string
	}{
		"a new source: live first, then backfill newest first in spans of WINDOW": {
			want: []string{"live 17T14:00-17T15:00", "backfill 17T12:00-17T14:00", "backfill 17T06:00-17T12:00", "backfill 17T00:00-17T06:00"},
		},
		"nothing, when all was read": {entries: rest("17T12 17T14 17T14:01", "17T14 17T15 17T14:30")},
		"the live window, when INTERVAL has passed": {
			entries: rest("17T12 17T14 17T14:01", "17T14 17T15 17T14:29"), want: []string{"live 17T14:00-17T15:00"},
		},
		"a window that has closed, once more": {
			now: moment(t, "17T15:00"), entries: rest("17T12 17T14 17T14:01", "17T14 17T15 17T14:59"),
			want: []string{"live 17T15:00-17T16:00", "live 17T14:00-17T15:00", "settle 17T12:00-17T14:00"},
		},
		"the next hour, and no closed window twice": {
			now: moment(t, "17T15:00"), entries: rest("17T12 17T14 17T15", "17T14 17T15 17T15"), want: []string{"live 17T15:00-17T16:00"},
		},
		"a settling window, at its age": {
			now: moment(t, "17T15:00"), entries: rest("17T12 17T14 17T14:59", "17T14 17T15 17T15", "17T15 17T16 17T15"),
			want: []string{"settle 17T12:00-17T14:00"},
		},
		"the second age, though the first reading agreed": {
			now:     moment(t, "18T14:00"),
			entries: []pollers.Entry{entry(t, "17T00 18T12 18T13"), entry(t, "18T12 18T14 18T14"), entry(t, "18T14 18T15 18T14")},
			plan:    func(p *pollers.Plan) { p.Settle = []time.Duration{hour, 2 * hour} }, want: []string{"settle 17T00:00-18T12:00"},
		},
		"two ages that passed during a downtime, in one reading": {
			now:     moment(t, "18T15:00"),
			entries: []pollers.Entry{entry(t, "17T00 17T14 17T14"), entry(t, "17T14 18T15 18T15"), entry(t, "18T15 18T16 18T15")},
			want:    []string{"settle 17T00:00-17T14:00"},
		},
		"a hole in the ledger": {
			entries: []pollers.Entry{entry(t, "17T00 17T06 17T14"), entry(t, "17T12 17T14 17T14"), entry(t, "17T14 17T15 17T14:30")},
			want:    []string{"backfill 17T06:00-17T12:00"},
		},
		"a downtime of hours heals": {
			entries: []pollers.Entry{entry(t, "17T00 17T06 17T14"), entry(t, "17T06 17T07 17T06:50")},
			want:    []string{"live 17T14:00-17T15:00", "backfill 17T12:00-17T14:00", "backfill 17T07:00-17T12:00", "backfill 17T06:00-17T07:00"},
		},
		"a closed range ends at UNTIL": {
			plan: func(p *pollers.Plan) { p.Until = moment(t, "17T08") },
			want: []string{"backfill 17T06:00-17T08:00", "backfill 17T00:00-17T06:00"},
		},
		"UNTIL within the live window": {
			plan:    func(p *pollers.Plan) { p.Until = moment(t, "17T14:20") },
			entries: rest("17T12 17T14 17T14:01"), want: []string{"live 17T14:00-17T14:20"},
		},
		"UNTIL before SINCE is nothing":   {plan: func(p *pollers.Plan) { p.Until = moment(t, "16T00") }},
		"a closed range settles":          {now: moment(t, "17T15"), plan: func(p *pollers.Plan) { p.Until = moment(t, "17T14") }, entries: rest("17T12 17T14 17T14:01"), want: []string{"settle 17T12:00-17T14:00"}},
		"a SINCE that is not yet":         {plan: func(p *pollers.Plan) { p.Start = moment(t, "18T00") }},
		"a SINCE within a window":         {plan: func(p *pollers.Plan) { p.Start = moment(t, "17T07:40") }, want: []string{"live 17T14:00-17T15:00", "backfill 17T12:00-17T14:00", "backfill 17T07:40-17T12:00"}},
		"a SINCE within the live window":  {plan: func(p *pollers.Plan) { p.Start = moment(t, "17T14:10") }, want: []string{"live 17T14:10-17T15:00"}},
		"a snapshot that was never read":  {plan: func(p *pollers.Plan) { p.Stream.Snapshot = true }, want: []string{"live"}},
		"a snapshot before its interval":  {plan: func(p *pollers.Plan) { p.Stream.Snapshot = true }, entries: []pollers.Entry{snapshotEntry(clock.Add(-hour + second))}},
		"what is there now, at INTERVAL":  {plan: func(p *pollers.Plan) { p.Stream.Snapshot, p.Stream.Present = true, true }, entries: []pollers.Entry{snapshotEntry(clock.Add(-minute))}, want: []string{"live"}},
		"a snapshot after its interval":   {plan: func(p *pollers.Plan) { p.Stream.Snapshot = true }, entries: []pollers.Entry{snapshotEntry(clock.Add(-hour))}, want: []string{"live"}},
		"the halves of a split window":    {entries: append([]pollers.Entry{with(entry(t, "17T12 17T14"), func(e *pollers.Entry) { e.State = pollers.StateSplit }), entry(t, "17T12 17T13 17T14"), entry(t, "17T13 17T14"), entry(t, "17T14 17T15 17T14:30")}, rest()...)[0:4], plan: func(p *pollers.Plan) { p.Start = moment(t, "17T12") }, want: []string{"live 17T13:00-17T14:00"}},
		"a failed window, before RetryAt": {entries: append(rest("17T12 17T14 17T14:01")[1:], with(entry(t, "17T14 17T15"), failed)), plan: func(p *pollers.Plan) { p.Start = moment(t, "17T06") }},
		"a failed window, at RetryAt": {
			now: clock.Add(minute), entries: append(rest("17T12 17T14 17T14:01")[1:], with(entry(t, "17T14 17T15"), failed)),
			plan: func(p *pollers.Plan) { p.Start = moment(t, "17T06") }, want: []string{"live 17T14:00-17T15:00"},
		},
		"half of a split window that is not yet": {
			plan:    func(p *pollers.Plan) { p.Start = moment(t, "17T14") },
			entries: []pollers.Entry{entry(t, "17T14 17T14:40 17T14:30"), entry(t, "17T14:40 17T15")},
		},
		"a partial window settles like any": {
			now: moment(t, "17T15"), plan: func(p *pollers.Plan) { p.Start, p.Until = moment(t, "17T12"), moment(t, "17T14") },
			entries: []pollers.Entry{with(entry(t, "17T12 17T14 17T14:01"), func(e *pollers.Entry) { e.State = pollers.StatePartial })}, want: []string{"settle 17T12:00-17T14:00"},
		},
		"a window whose worker died is due": {
			plan:    func(p *pollers.Plan) { p.Start, p.Until = moment(t, "17T06"), moment(t, "17T12") },
			entries: []pollers.Entry{with(entry(t, "17T06 17T12"), func(e *pollers.Entry) { e.State = pollers.StateRunning })}, want: []string{"backfill 17T06:00-17T12:00"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			plan, now := basicPlan(t), c.now
			if c.plan != nil {
				c.plan(&plan)
			}
			if now.IsZero() {
				now = clock
			}
			if got := describe(plan.Due(c.entries, now)); !slices.Equal(got, c.want) {
				t.Errorf("due is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestWhatIsDueOnce(t *testing.T) {
	failedAt := func(at time.Time, attempts int) func(e *pollers.Entry) {
		return func(e *pollers.Entry) {
			e.State, e.Attempts, e.FailedAt, e.RetryAt = pollers.StateFailed, attempts, at, at.Add(hour)
		}
	}
	window, read := []string{"backfill 10T00:00-10T06:00"}, "10T00 10T06 17T14"
	cases := map[string]struct {
		entry  pollers.Entry
		until  string
		want   []string
		gaveUp bool
	}{
		"a window that was never read":             {entry: entry(t, "10T00 10T06"), want: window},
		"one that an earlier run read and settled": {entry: entry(t, read)},
		"one that was read while it was open":      {entry: entry(t, "10T00 10T06 10T05"), want: window},
		"a young one that an earlier run read":     {entry: entry(t, "17T06 17T12 17T14"), want: []string{"backfill 17T06:00-17T12:00"}},
		"a young one that this run read":           {entry: entry(t, "17T06 17T12 17T14:20")},
		"a partial one that an earlier run read":   {entry: with(entry(t, read), func(e *pollers.Entry) { e.State = pollers.StatePartial }), want: window},
		"one that this run failed to read, waits":  {entry: with(entry(t, "10T00 10T06"), failedAt(clock, 1))},
		"one that this run gave up":                {entry: with(entry(t, "10T00 10T06"), failedAt(clock.Add(-2*minute), pollers.OnceAttempts)), gaveUp: true},
		"one that an earlier run failed to read":   {entry: with(entry(t, "10T00 10T06"), failedAt(clock.Add(-15*minute), 1)), want: window},
		"one that an earlier run gave up":          {entry: with(entry(t, "10T00 10T06"), failedAt(clock.Add(-15*minute), pollers.OnceAttempts)), want: window},
		"a split one":                              {entry: with(entry(t, "10T00 10T06"), func(e *pollers.Entry) { e.State = pollers.StateSplit })},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			plan := basicPlan(t)
			plan.Start, plan.Until, plan.OnceSince = c.entry.From, c.entry.To, clock.Add(-10*minute)
			if c.entry.State == pollers.StateSplit {
				plan.Until = plan.Start // its halves are not looked for here
			}
			if got := describe(plan.Due([]pollers.Entry{c.entry}, clock)); !slices.Equal(got, c.want) {
				t.Errorf("due is %q; want %q", got, c.want)
			}
			if plan.GaveUp(c.entry) != c.gaveUp {
				t.Errorf("given up: %v; want %v", !c.gaveUp, c.gaveUp)
			}
		})
	}
	plan := basicPlan(t)
	plan.Stream.Snapshot, plan.OnceSince = true, clock.Add(-minute)
	for readAt, want := range map[time.Time]int{clock.Add(-2 * minute): 1, clock.Add(-second): 0} {
		if due := plan.Due([]pollers.Entry{snapshotEntry(readAt)}, clock); len(due) != want {
			t.Errorf("a snapshot read %s before now: %d due, want %d", clock.Sub(readAt), len(due), want)
		}
	}
}

func TestAPlanMovesItsRangeToTheGrain(t *testing.T) {
	oslo := location(t, "Europe/Oslo")
	stream := pollers.Stream{Name: "reports", Grain: day, MaxSpan: 31 * day}
	until := pollers.MomentAt(at(t, "2026-03-29T10:00:00+02:00"))
	plan := pollers.NewPlan(pollers.Settings{Until: until, Window: 36 * hour}, pollers.Description{Location: oslo}, stream, at(t, "2026-03-27T15:00:00Z"))
	if want := at(t, "2026-03-26T23:00:00Z"); !plan.Start.Equal(want) {
		t.Errorf("start is %s; want %s", plan.Start, want)
	}
	if want := at(t, "2026-03-29T22:00:00Z"); !plan.Until.Equal(want) || plan.Until.Location() != time.UTC {
		t.Errorf("until is %s; want %s", plan.Until, want)
	}
	if plan.Window != day {
		t.Errorf("the window is %s; want whole grains, %s", plan.Window, day)
	}
	got := describe(plan.Due(nil, at(t, "2026-04-10T00:00:00Z")))
	if want := []string{"backfill 28T23:00-29T22:00", "backfill 27T23:00-28T23:00", "backfill 26T23:00-27T23:00"}; !slices.Equal(got, want) {
		t.Errorf("due is %q; want %q", got, want)
	}
	for setting, want := range map[time.Duration]time.Duration{0: 31 * day, hour: day, 40 * day: 31 * day, 3*day + hour: 3 * day} {
		if got := pollers.NewPlan(pollers.Settings{Window: setting}, pollers.Description{Location: oslo}, stream, clock).Window; got != want {
			t.Errorf("WINDOW=%s makes windows of %s; want %s", setting, got, want)
		}
	}
	exact := pollers.NewPlan(pollers.Settings{Until: pollers.MomentAt(at(t, "2026-03-27T23:00:00Z"))}, pollers.Description{Location: oslo}, stream, clock)
	if !exact.Until.Equal(at(t, "2026-03-27T23:00:00Z")) {
		t.Errorf("an UNTIL at midnight became %s", exact.Until)
	}
}

// world is a planner, a worker that always succeeds and the ledger between them.
type world struct {
	plan    pollers.Plan
	entries []pollers.Entry
	reads   map[string][]time.Time // by window
}

func (w *world) read(task pollers.Task, now time.Time, capped bool) {
	id := pollers.WindowID(task.Window)
	w.reads[id] = append(w.reads[id], now)
	i := slices.IndexFunc(w.entries, func(e pollers.Entry) bool { return pollers.WindowID(e.Window) == id })
	if i < 0 {
		i = len(w.entries)
		w.entries = append(w.entries, pollers.Entry{Window: task.Window})
	}
	w.entries[i].State, w.entries[i].ReadAt = pollers.StateComplete, now
	if older, newer, ok := task.Split(w.plan.Stream.Grain, w.plan.Location); capped && ok {
		w.entries[i].State = pollers.StateSplit
		w.entries = append(w.entries, pollers.Entry{Window: older, State: pollers.StatePlanned}, pollers.Entry{Window: newer, State: pollers.StatePlanned})
	}
	slices.SortFunc(w.entries, func(a, b pollers.Entry) int { return a.From.Compare(b.From) })
}

// covered wants every instant from the start on to be in a window that was read after its end.
func (w *world) covered(until time.Time) error {
	at := w.plan.Start
	for _, e := range w.entries {
		if e.State == pollers.StateSplit || !e.To.After(at) {
			continue
		}
		if e.From.After(at) {
			return fmt.Errorf("nothing covers [%s, %s)", at, e.From)
		}
		if !e.To.After(until) && e.ReadAt.Before(e.To) {
			return fmt.Errorf("window %s was last read at %s, before its end", pollers.WindowID(e.Window), e.ReadAt)
		}
		at = e.To
	}
	if at.Before(until) {
		return fmt.Errorf("nothing covers [%s, %s)", at, until)
	}
	return nil
}

// settled wants one reading at most between two ages, and one at every age that has passed.
func (w *world) settled(now time.Time) error {
	for _, e := range w.entries {
		ages := append([]time.Duration{0}, w.plan.Settle...)
		for i, age := range ages {
			from, to := e.To.Add(age), now.Add(1)
			if i+1 < len(ages) {
				to = e.To.Add(ages[i+1])
			}
			n, later := 0, 0
			for _, at := range w.reads[pollers.WindowID(e.Window)] {
				if !at.Before(from) {
					later++
					if at.Before(to) {
						n++
					}
				}
			}
			if n > 1 || (later == 0 && !now.Before(from) && e.State != pollers.StateSplit) {
				return fmt.Errorf("window %s was read %d times from age %s to the next, and %d times since", pollers.WindowID(e.Window), n, age, later)
			}
		}
	}
	return nil
}

func TestWhateverHappensEveryInstantIsReadAfterItsEndAndAtEveryAge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := instant(rt, "now")
		stream := pollers.Stream{Name: "chats", Grain: rapid.SampledFrom([]time.Duration{second, minute, hour, day}).Draw(rt, "grain")}
		stream.MaxSpan = max(stream.Grain, rapid.SampledFrom([]time.Duration{6 * hour, day, 7 * day}).Draw(rt, "largest span"))
		s := pollers.Settings{Interval: 20 * minute, Settle: []time.Duration{2 * hour, 26 * hour}}
		s.Window = rapid.SampledFrom([]time.Duration{0, 30 * minute, 3 * hour, day, 36 * hour}).Draw(rt, "WINDOW")
		loc := zone(rt)
		start := now.Add(-time.Duration(rapid.IntRange(0, 4*24*60).Draw(rt, "minutes before the start")) * minute)
		w := &world{plan: pollers.NewPlan(s, pollers.Description{Location: loc}, stream, start), reads: map[string][]time.Time{}}
		end := now.Add(60 * hour)
		for now.Before(end) {
			if rapid.IntRange(0, 19).Draw(rt, "downtime") == 0 {
				now = now.Add(time.Duration(rapid.IntRange(1, 40*60).Draw(rt, "minutes down")) * minute)
			}
			takes := rapid.IntRange(0, 8).Draw(rt, "windows taken")
			for _, task := range w.plan.Due(w.entries, now) {
				if takes--; takes < 0 {
					break
				}
				w.read(task, now, rapid.IntRange(0, 30).Draw(rt, "capped") == 0)
			}
			now = now.Add(time.Duration(rapid.IntRange(5, 30).Draw(rt, "minutes")) * minute)
		}
		for due := w.plan.Due(w.entries, now); len(due) > 0; due = w.plan.Due(w.entries, now) {
			for _, task := range due {
				w.read(task, now, false)
			}
		}
		if err := w.covered(pollers.Floor(now, stream.Grain, loc)); err != nil {
			rt.Fatal(err)
		}
		if err := w.settled(now); err != nil {
			rt.Fatal(err)
		}
	})
}
