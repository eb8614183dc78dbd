package pollers_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// history is a ledger of the hours before now, all of them complete.
func history(hours int, now, readAt time.Time) (since time.Time, entries map[string]broker.Entry) {
	since, entries = now.Add(-time.Duration(hours)*time.Hour), make(map[string]broker.Entry, hours)
	for i := range hours {
		w := pollers.Window{Stream: "chats", From: since.Add(time.Duration(i) * time.Hour), To: since.Add(time.Duration(i+1) * time.Hour)}
		value := fmt.Appendf(nil, `{"Stream":"chats","From":%q,"To":%q,"State":"complete","ReadAt":%q,"Records":7,"Requests":1}`,
			w.From.Format(time.RFC3339), w.To.Format(time.RFC3339), readAt.Format(time.RFC3339))
		entries[pollers.WindowKey("eu", w)] = broker.Entry{Value: value, Revision: uint64(i + 1)}
	}
	return since, entries
}

// One look of the planner at a source with 100,000 windows: all of them read and one just written, or none of them read.
func BenchmarkPlanner(b *testing.B) {
	now := clock.Truncate(time.Hour)
	since, entries := history(100_000, now, now)
	last := slices.Max(slices.Collect(maps.Keys(entries)))
	s := (&bench{t: b}).source("eu", &scripted{}, map[string]string{"SINCE": since.Format(time.RFC3339), "WINDOW": "1h"})
	for name, ledger := range map[string]map[string]broker.Entry{"read": entries, "unread": {}} {
		b.Run(name, func(b *testing.B) {
			look := pollers.Planner(s, since, now)
			if _, err := look(ledger); err != nil {
				b.Fatal(err)
			}
			changes := map[string]broker.Entry{}
			if e, ok := ledger[last]; ok {
				changes[last] = e
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := look(changes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestThePlannersCopyOfTheLedgerIsTheLedger(t *testing.T) {
	now := clock.Truncate(time.Hour)
	since, entries := history(5, now, now)
	s := (&bench{t: t}).source("eu", &scripted{}, map[string]string{"SINCE": since.Format(time.RFC3339), "WINDOW": "1h"})
	look := pollers.Planner(s, since, now)
	due := func(changes map[string]broker.Entry) []string {
		t.Helper()
		tasks, err := look(changes)
		if err != nil {
			t.Fatal(err)
		}
		return describe(tasks)
	}
	keys := slices.Sorted(maps.Keys(entries))
	missing := func(hours ...int) (want []string) {
		want = []string{"live 17T14:00-17T15:00"}
		for _, h := range hours {
			want = append(want, fmt.Sprintf("backfill 17T%02d:00-17T%02d:00", h, h+1))
		}
		return want
	}
	// In three parts, the middle last: what is not there yet is missing.
	if got, want := due(map[string]broker.Entry{keys[0]: entries[keys[0]], keys[4]: entries[keys[4]]}), missing(12, 11, 10); !slices.Equal(got, want) {
		t.Errorf("due are %v; want %v", got, want)
	}
	if got, want := due(map[string]broker.Entry{keys[3]: entries[keys[3]], keys[1]: entries[keys[1]]}), missing(11); !slices.Equal(got, want) {
		t.Errorf("due are %v; want %v", got, want)
	}
	if got, want := due(map[string]broker.Entry{keys[2]: entries[keys[2]]}), missing(); !slices.Equal(got, want) {
		t.Errorf("due are %v; want %v", got, want)
	}
	// Deleted, unreadable, and mended.
	if got, want := due(map[string]broker.Entry{keys[4]: {}}), missing(13); !slices.Equal(got, want) {
		t.Errorf("due are %v; want %v", got, want)
	}
	if got, err := look(map[string]broker.Entry{keys[1]: {Value: []byte("{"), Revision: 7}}); err == nil {
		t.Errorf("due are %v; want an error, not a hole", got)
	}
	if got, want := due(entries), missing(); !slices.Equal(got, want) {
		t.Errorf("due are %v; want %v", got, want)
	}
}

func TestThePlannersTasksAreTheFirstOfThePlan(t *testing.T) {
	now := clock.Truncate(time.Hour)
	since, late := history(50, now, now.Add(-40*time.Hour))
	since = since.Add(-900 * time.Hour)
	s := (&bench{t: t}).source("eu", &scripted{}, map[string]string{"SINCE": since.Format(time.RFC3339), "WINDOW": "7h", "SETTLE": "1h,5h"})
	plan := pollers.NewPlan(s.Settings, s.Poller.Describe(), s.Streams()[0], since)
	for name, entries := range map[string]map[string]broker.Entry{"nothing is read": {}, "much is to be read again": late} {
		t.Run(name, func(t *testing.T) {
			ledger, err := pollers.NewLedger(&memory{entries: entries}).All(t.Context(), "eu")
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			counts := map[pollers.Class]int{}
			for _, task := range plan.Due(ledger["chats"], now) {
				if counts[task.Class]++; counts[task.Class] <= 4 { // twice the concurrency
					want = append(want, describe([]pollers.Task{task})...)
				}
			}
			got, err := pollers.Planner(s, since, now)(entries)
			if err != nil || !slices.Equal(describe(got), want) || len(want) < 5 {
				t.Errorf("the planner's tasks are %v, %v; want %v", describe(got), err, want)
			}
		})
	}
}

func TestOfWhatIsLiveComesFirstWhatWasReadLongestAgo(t *testing.T) {
	now := clock.Truncate(time.Hour)
	room := &scripted{streams: []pollers.Stream{
		{Name: "chats", Grain: time.Minute, MaxSpan: day}, {Name: "agents", Snapshot: true}, {Name: "tags", Snapshot: true},
	}}
	s := (&bench{t: t}).source("eu", room, map[string]string{"SINCE": now.Format(time.RFC3339), "WINDOW": "1h", "SNAPSHOT_INTERVAL": "1h"})
	read := func(w pollers.Window, at time.Time) broker.Entry {
		return broker.Entry{Revision: 1, Value: fmt.Appendf(nil, `{"Stream":%q,"From":%q,"To":%q,"State":"complete","ReadAt":%q}`,
			w.Stream, w.From.Format(time.RFC3339), w.To.Format(time.RFC3339), at.Format(time.RFC3339))}
	}
	chats, tags := pollers.Window{Stream: "chats", From: now, To: now.Add(time.Hour)}, pollers.Window{Stream: "tags"}
	tasks, err := pollers.Planner(s, now, now)(map[string]broker.Entry{
		pollers.WindowKey("eu", chats): read(chats, now.Add(-5*time.Minute)), pollers.WindowKey("eu", tags): read(tags, now.Add(-2*time.Hour)),
	})
	var got []string
	for _, task := range tasks {
		got = append(got, task.Stream)
	}
	// However often the newest chats are read, directories have their turn.
	if want := []string{"agents", "tags", "chats"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the planner's tasks are of %v, %v; want %v", got, err, want)
	}
}

// There is no server behind it: asking one would panic.
func TestAGlanceAtTheProgressAsksNoServer(t *testing.T) {
	now := clock.Truncate(time.Hour)
	since, entries := history(5, now, now)
	s := (&bench{t: t}).source("eu", &scripted{}, map[string]string{"SINCE": since.Format(time.RFC3339), "WINDOW": "1h"})
	glance := pollers.Glances(s, since, now)
	if p, ok := glance(nil); ok {
		t.Errorf("%+v without a copy of the ledger", p)
	}
	keys := slices.Sorted(maps.Keys(entries))
	some := map[string]broker.Entry{keys[0]: entries[keys[0]], keys[3]: entries[keys[3]]}
	if p, ok := glance(some); !ok || p.Done != 2 || p.Left != 4 {
		t.Errorf("%+v, %v; want 2 of 5 windows, 3 left and the live one", p, ok)
	}
	failed := entries[keys[1]]
	failed.Value = bytes.Replace(failed.Value, []byte(`"complete"`), []byte(`"failed"`), 1)
	if p, ok := glance(map[string]broker.Entry{keys[1]: failed}); !ok || p.Done != 2 || len(p.Failed) != 1 {
		t.Errorf("%+v, %v; want one that failed", p, ok)
	}
	if p, ok := glance(map[string]broker.Entry{keys[2]: {Value: []byte("{"), Revision: 9}}); ok {
		t.Errorf("%+v of a ledger that cannot be read", p)
	}
}
