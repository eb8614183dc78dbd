package pollers_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers"
)

func TestAWindowThatIsQueuedForLongIsLookedAt(t *testing.T) {
	t.Parallel()
	var looked []string
	free := pollers.FreeStuck(func(_ context.Context, _, _ string, subjects []string) (int, error) {
		looked = append(looked, subjects...)
		return len(subjects), nil
	})
	now := time.Date(2026, 10, 27, 15, 0, 0, 0, time.UTC)
	look := func(after time.Duration, queued ...string) []string {
		t.Helper()
		looked = nil
		subjects := map[string]uint64{}
		for _, s := range queued {
			subjects[s] = 1
		}
		if _, err := free(t.Context(), "poll-eu", subjects, now.Add(after)); err != nil {
			t.Fatal(err)
		}
		slices.Sort(looked)
		return looked
	}
	for _, step := range []struct {
		after  time.Duration
		queued []string
		want   []string
	}{
		{0, []string{"a"}, nil},
		{9 * time.Second, []string{"a", "b"}, nil},
		{10 * time.Second, []string{"a", "b"}, []string{"a"}},
		{15 * time.Second, []string{"a", "b"}, nil},
		{20 * time.Second, []string{"b"}, []string{"b"}},
		{21 * time.Second, []string{"a"}, nil}, // it was read meanwhile and is due again
		{31 * time.Second, []string{"a"}, []string{"a"}},
	} {
		if got := look(step.after, step.queued...); !slices.Equal(got, step.want) {
			t.Errorf("after %s: looked at %v; want %v", step.after, got, step.want)
		}
	}
}
