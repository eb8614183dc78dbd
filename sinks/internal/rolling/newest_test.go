package rolling_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
	"github.com/parley-stream/parley/sinks/sinktest"
)

// noon is when the invented stream began.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is an event under a number, stored some seconds after noon.
func at(sequence uint64, seconds int) sinks.Item {
	return sinks.Item{Sequence: sequence, Stored: noon.Add(time.Duration(seconds) * time.Second), Event: sinktest.Event("x", sequence)}
}

// committed is what a shelf kept of these events, which are committed.
func committed(t *testing.T, list ...sinks.Item) []byte {
	t.Helper()
	s := &shelf{dir: t.TempDir()}
	files := follower(t, s)
	if err := files.Follow(t.Context(), sinks.Ownership{Origin: "one"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Deliver(t.Context(), sinks.Batch{Items: list}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.newest
}

func follower(t *testing.T, s *shelf) *rolling.Files {
	t.Helper()
	return rolling.New(rolling.ParseParameters("", nil, func(want string) { t.Error(want) }).Options(), s)
}

// The clocks of two servers differ: number 2 was stored by one that is behind.
func TestWhatIsOfAnUndoneLifeOfTheStreamIsRefusedAndNothingElse(t *testing.T) {
	kept := committed(t, at(1, 5), at(2, 4))
	stores := func(seconds int) func(context.Context, uint64) (time.Time, error) {
		return func(_ context.Context, sequence uint64) (time.Time, error) { return at(sequence, seconds).Stored, nil }
	}
	gone := func(context.Context, uint64) (time.Time, error) { return time.Time{}, nil }
	for name, c := range map[string]struct {
		o    sinks.Ownership
		next sinks.Item
		want string // in the error; "" for none
	}{
		"the stream moved on":                  {sinks.Ownership{Origin: "one", LastSequence: 9, Stored: stores(4)}, at(3, 6), ""},
		"what was stored early comes again":    {sinks.Ownership{Origin: "one", LastSequence: 9, Stored: stores(4)}, at(1, 5), ""},
		"the newest is gone":                   {sinks.Ownership{Origin: "one", LastSequence: 9, Stored: gone}, at(3, 6), ""},
		"the stream cannot be asked":           {sinks.Ownership{Origin: "one", LastSequence: 9}, at(3, 6), ""},
		"another origin, no file":              {sinks.Ownership{Origin: "two", LastSequence: 1, Stored: stores(9)}, at(1, 9), ""},
		"the stream has not come so far":       {sinks.Ownership{Origin: "one", LastSequence: 1, Stored: gone}, at(1, 5), "has not reached (1)"},
		"the newest is another":                {sinks.Ownership{Origin: "one", LastSequence: 9, Stored: stores(6)}, at(3, 7), "number 2 was stored after that"},
		"the newest is gone, another is there": {sinks.Ownership{Origin: "one", LastSequence: 9, Stored: gone}, at(1, 6), "number 1 was stored after that"},
	} {
		t.Run(name, func(t *testing.T) {
			files := follower(t, &shelf{dir: t.TempDir()})
			err := files.Follow(t.Context(), c.o, kept)
			if err == nil {
				_, err = files.Deliver(t.Context(), sinks.Batch{Items: []sinks.Item{c.next}})
			}
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			files.Discard()
		})
	}
}
