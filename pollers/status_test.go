package pollers_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

func inspect(t *testing.T, b *bench, s *pollers.Source) pollers.SourceStatus {
	t.Helper()
	status, err := pollers.Inspect(t.Context(), b.broker, s, b.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func TestInspectTellsHowFarASourceIs(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	bad := b.clock.Hour(-5)
	p := &scripted{fetch: func(_ context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		if w.Holds(bad) {
			return pollers.Reading{}, events.Permanent(errors.New("no such report"))
		}
		return pollers.Reading{Requests: 2}, emit(record(w.From.String(), "text"))
	}}
	variables := b.clock.Closed(-8, -2)
	variables["SETTLE"] = "48h"
	s := b.source("eu", p, variables)
	before := inspect(t, b, s)
	if before.Started || len(before.Streams) != 1 || before.Streams[0].Count()[pollers.StatePlanned] != 6 {
		t.Errorf("before it started: %+v; want six planned windows", before)
	}
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := inspect(t, b, s)
	stream := after.Streams[0]
	counts := stream.Count()
	if !after.Started || counts[pollers.StateComplete] != 5 || counts[pollers.StateFailed] != 1 || counts[pollers.StatePlanned] != 0 {
		t.Errorf("started %v, %v; want 5 complete and 1 failed", after.Started, counts)
	}
	if !stream.FreshAt.Equal(b.clock.Hour(-2)) {
		t.Errorf("fresh up to %s; want the end of the newest window, %s", stream.FreshAt, b.clock.Hour(-2))
	}
	if !stream.UnsettledFrom.Equal(b.clock.Hour(-8)) {
		t.Errorf("unsettled from %s; want the oldest window's start, %s", stream.UnsettledFrom, b.clock.Hour(-8))
	}
	if err := b.broker.PurgeStream(t.Context(), broker.Raw); err != nil { // no processor keeps up with this clock
		t.Fatal(err)
	}
	b.clock.Jump(60 * time.Hour)
	b.run(b.runner(pollers.Options{}, b.source("eu", p, variables)))
	b.eventually("the failed window alone is unsettled, and five readings changed nothing", func() bool {
		settled := inspect(t, b, s).Streams[0]
		return settled.UnsettledFrom.Equal(before.Streams[0].Holes[3].From) && settled.Lateness[0] == (pollers.Lateness{Age: 48 * time.Hour, Reads: 5})
	})
}

func TestABackfillIsReadBesideWhatIsReadAnyway(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p := &scripted{}
	variables := b.clock.Closed(-4, -2)
	s := b.source("eu", p, variables)
	b.run(b.runner(pollers.Options{}, s))
	b.eventually("the source's own range is read", func() bool { return b.states("eu")[pollers.StateComplete] == 2 })
	// From another process, in two parts that overlap, the second also with what was read.
	for _, r := range []pollers.Range{{From: b.clock.Hour(-10), To: b.clock.Hour(-7)}, {From: b.clock.Hour(-8), To: b.clock.Hour(-3)}} {
		if err := pollers.Backfill(t.Context(), b.broker, b.source("eu", &scripted{}, variables), r, false); err != nil {
			t.Fatal(err)
		}
	}
	b.eventually("the range is read", func() bool { return b.states("eu")[pollers.StateComplete] == 8 })
	status := inspect(t, b, s)
	if got := status.Ranges; len(got) != 1 || !got[0].From.Equal(b.clock.Hour(-10)) || !got[0].To.Equal(b.clock.Hour(-3)) {
		t.Errorf("ranges %v; want them joined", got)
	}
	if n := len(p.windows()); n != 8 {
		t.Errorf("%d windows were read; want 8, each once", n)
	}
	if err := pollers.Backfill(t.Context(), b.broker, s, pollers.Range{From: b.clock.Hour(-9), To: b.clock.Hour(-6)}, true); err != nil {
		t.Fatal(err)
	}
	b.eventually("three windows are read again", func() bool { return len(p.windows()) == 11 && b.states("eu")[pollers.StateComplete] == 8 })
	b.never("more is read", func() bool { return len(p.windows()) != 11 })
}

// Each asks from a process of its own, and none takes away what another asked for.
func TestBackfillsThatAreAskedForAtOnceAreAllRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	variables := b.clock.Closed(-2, -1)
	const asked = 8
	var wg sync.WaitGroup
	for n := range asked {
		s := b.source("eu", &scripted{}, variables)
		r := pollers.Range{From: b.clock.Hour(-10*n - 20), To: b.clock.Hour(-10*n - 17)}
		wg.Go(func() {
			if err := pollers.Backfill(t.Context(), b.broker, s, r, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := b.source("eu", &scripted{}, variables)
	if got := inspect(t, b, s).Ranges; len(got) != asked {
		t.Errorf("ranges %v; want %d", got, asked)
	}
	b.run(b.runner(pollers.Options{}, s))
	b.eventually("all are read", func() bool { return b.states("eu")[pollers.StateComplete] == 3*asked+1 })
}

func TestARangeThatReachesIntoThePresentLeavesItToTheLiveWindow(t *testing.T) {
	t.Parallel()
	plan := basicPlan(t)
	plan.Ranges = []pollers.Range{{From: moment(t, "16T22"), To: moment(t, "17T14:20")}}
	got := strings.Join(describe(plan.Due(nil, moment(t, "17T14:10"))), ", ")
	want := "live 17T14:00-17T15:00, backfill 17T12:00-17T14:00, backfill 17T06:00-17T12:00, backfill 17T00:00-17T06:00, backfill 16T22:00-17T00:00"
	if got != want {
		t.Errorf("due %s; want %s", got, want)
	}
	plan.Until = moment(t, "17T02")
	if got := describe(plan.Due(nil, moment(t, "17T14:10"))); strings.Contains(strings.Join(got, ""), "live") || len(got) != 4 {
		t.Errorf("with an end: %v; want the range up to the live window and nothing live", got)
	}
}

func TestAVendorWhoseClockIsBehindIsAskedUntilItsWindowHasEnded(t *testing.T) {
	t.Parallel()
	plan := basicPlan(t)
	plan.Lag = 5 * minute
	read := []pollers.Entry{entry(t, "17T00 17T14 17T15:00"), entry(t, "17T14 17T15 17T15:00")}
	for now, want := range map[string]string{
		"17T15:00": "live 17T15:00-17T16:00", "17T15:02": "live 17T15:00-17T16:00, live 17T14:00-17T15:00",
		"17T15:05": "live 17T15:00-17T16:00, live 17T14:00-17T15:00",
	} {
		if got := strings.Join(describe(plan.Due(read, moment(t, now))), ", "); got != want {
			t.Errorf("at %s: %s; want %s", now, got, want)
		}
	}
	read[1] = entry(t, "17T14 17T15 17T15:05")
	if got := strings.Join(describe(plan.Due(read, moment(t, "17T15:20"))), ", "); got != "live 17T15:00-17T16:00" {
		t.Errorf("read when the vendor's window had ended: %s", got)
	}
}

func TestTheScheduleOfLateReadingsIsJudgedByWhatTheyFound(t *testing.T) {
	t.Parallel()
	hours := func(reads, changed int, age int) pollers.Lateness {
		return pollers.Lateness{Age: time.Duration(age) * time.Hour, Reads: reads, Changed: changed}
	}
	for name, c := range map[string]struct {
		lateness []pollers.Lateness
		want     string
	}{
		"too few readings":          {[]pollers.Lateness{hours(5, 5, 1), hours(5, 5, 24)}, ""},
		"right":                     {[]pollers.Lateness{hours(100, 30, 1), hours(100, 3, 24), hours(100, 0, 72)}, ""},
		"changes come after it":     {[]pollers.Lateness{hours(100, 30, 1), hours(100, 7, 24)}, "add a later one"},
		"the late ones find none":   {[]pollers.Lateness{hours(100, 30, 1), hours(100, 0, 24), hours(100, 0, 72)}, "no window changed at 24h"},
		"none, but too few later":   {[]pollers.Lateness{hours(100, 0, 1), hours(100, 0, 24), hours(3, 0, 72)}, ""},
		"one in a thousand is rare": {[]pollers.Lateness{hours(1000, 30, 1), hours(1000, 1, 24)}, ""},
		"no schedule":               {nil, ""},
	} {
		s := pollers.StreamStatus{Lateness: c.lateness}
		if got := s.Advise(); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}

func TestALateChangeIsNotedAtItsAge(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var text atomic.Value
	text.Store("as it was")
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		return pollers.Reading{}, emit(record("a", text.Load().(string)))
	}}
	variables := b.clock.Closed(-1, 0)
	variables["SETTLE"] = "6h,12h"
	s := b.source("eu", p, variables)
	b.run(b.runner(pollers.Options{}, s))
	b.eventually("it is read", func() bool { return len(p.windows()) == 1 && b.states("eu")[pollers.StateComplete] == 1 })
	b.clock.Jump(6 * time.Hour)
	b.eventually("it is read at its first age", func() bool { return len(p.windows()) == 2 && b.states("eu")[pollers.StateComplete] == 1 })
	text.Store("with a late rating")
	b.clock.Jump(6 * time.Hour)
	b.eventually("the change is noted", func() bool {
		l := inspect(t, b, s).Streams[0].Lateness
		return l[0].Reads == 1 && l[0].Changed == 0 && l[1].Reads == 1 && l[1].Changed == 1
	})
}
