package file_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/file"
)

func finder(t testing.TB, dir string) sinks.Finder {
	t.Helper()
	vars := settings.New("", map[string]string{})
	f := file.NewFinder(sinks.Settings{}, vars, &url.URL{Scheme: "file", Path: dir}, sinks.Env{})
	if faults := vars.Faults(); faults != nil {
		t.Fatal(faults)
	}
	return f
}

// find gives what a finder finds: events by place.
func find(t testing.TB, f sinks.Finder, entities ...string) (map[string]int, error) {
	t.Helper()
	places := map[string]int{}
	err := f.Find(t.Context(), entities, func(place string, events int) error {
		if places[place] != 0 {
			t.Errorf("%s is named twice", place)
		}
		places[place] = events
		return nil
	})
	return places, err
}

// The items of even sequences are of entity x, the others of xx, whose dates differ.
func TestEventsOfAnEntityAreFoundInEveryFormatWhileTheSinkWrites(t *testing.T) {
	for name, query := range variants() {
		dir := t.TempDir()
		s := own(t, opener(t, dir, query))
		for _, batch := range [][]sinks.Item{items(1, 9), items(10, 12)} {
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: batch}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		extension := published(t, dir)[0][strings.Index(published(t, dir)[0], "."):]
		at := func(date string, first, last int) string {
			return fmt.Sprintf("conversation/acme/eu/%s/%020d-%020d%s", date, first, last, extension)
		}
		x := map[string]int{at("2026-03-02", 2, 8): 4, at("2026-03-02", 10, 12): 2}
		xx := map[string]int{at("2026-03-03", 1, 9): 5, at("2026-03-03", 11, 11): 1}
		for _, places := range []map[string]int{x, xx} {
			for place, n := range maps.Clone(places) {
				places[".parley/archive/done/"+place+".mark"] = n
			}
		}
		both := maps.Clone(x)
		maps.Copy(both, xx)
		for _, c := range []struct {
			entities []string
			want     map[string]int
		}{{[]string{"x"}, x}, {[]string{"xx", "nobody"}, xx}, {[]string{"x", "xx"}, both}, {[]string{"nobody"}, map[string]int{}}, {nil, map[string]int{}}} {
			got, err := find(t, finder(t, dir), c.entities...)
			if err != nil || !maps.Equal(got, c.want) {
				t.Errorf("%s, %q: got %v, %v; want %v", name, c.entities, got, err, c.want)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatALoaderMovedAwayIsFoundUnderItsMark(t *testing.T) {
	dir := t.TempDir()
	s := own(t, opener(t, dir, "path={kind}"))
	_, _ = s.Deliver(t.Context(), sinks.Batch{Items: items(1, 4)})
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(published(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	file.SetFault(s, func(step string) error {
		if step == "publish" {
			return errCrash
		}
		return nil
	})
	_, _ = s.Deliver(t.Context(), sinks.Batch{Items: items(5, 5)})
	_, _ = s.Flush(t.Context())
	file.Abandon(s)
	got, err := find(t, finder(t, dir), "x", "xx")
	name := func(dir string, first, last int, suffix string) string {
		return fmt.Sprintf(".parley/archive/%s/conversation/%020d-%020d.ndjson.%s", dir, first, last, suffix)
	}
	want := map[string]int{name("done", 1, 4, "mark"): 4, name("done", 5, 5, "mark"): 1, name("pending", 5, 5, "pending"): 1}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestAFileThatCannotBeReadIsNamedAndTheOthersAreFound(t *testing.T) {
	dir := t.TempDir()
	s := own(t, opener(t, dir, "path={kind}&format=parquet"))
	_, _ = s.Deliver(t.Context(), sinks.Batch{Items: items(1, 4)})
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	torn := "00000000000000000005-00000000000000000006.parquet"
	for _, name := range []string{torn, "notes.parquet"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("PAR1 and no more"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := find(t, finder(t, dir), "x")
	if len(got) != 2 || err == nil || !strings.Contains(err.Error(), torn) || strings.Contains(err.Error(), "notes") {
		t.Errorf("got %v, %v", got, err)
	}
	stop := errors.New("enough")
	if err := finder(t, dir).Find(t.Context(), []string{"x"}, func(string, int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("found's error: got %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := finder(t, dir).Find(ended, []string{"x"}, func(string, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: got %v", err)
	}
	if got, err := find(t, finder(t, filepath.Join(dir, "nothing")), "x"); len(got) != 0 || err != nil {
		t.Errorf("no directory: got %v, %v", got, err)
	}
}
