package rolling_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
	"github.com/parley-stream/parley/sinks/sinktest"
)

// shelf takes every file.
type shelf struct {
	dir   string
	taken []string
	// most is how many of one path came at once.
	most   int
	newest []byte
}

func (*shelf) Committed(context.Context, string) (rolling.Committed, error) {
	return rolling.Committed{}, nil
}

func (s *shelf) Create(f *rolling.File) error {
	file, err := os.CreateTemp(s.dir, "*")
	f.Spool = file
	return err
}

func (s *shelf) Commit(_ context.Context, files []*rolling.File) error {
	of := map[string]int{}
	for _, f := range files {
		of[f.Path]++
		s.most = max(s.most, of[f.Path])
		s.taken = append(s.taken, f.Path+"/"+f.Name())
		f.Durable = true
	}
	return nil
}

func (s *shelf) Keep(_ context.Context, newest []byte) error {
	s.newest = newest
	return nil
}

func (*shelf) Discard(f *rolling.File) { _ = f.Spool.Close() }

func TestWhatOpenFilesHoldInMemoryIsBounded(t *testing.T) {
	o := rolling.ParseParameters("format=parquet&path={kind}/{vendor}", nil, func(want string) { t.Error(want) }).Options()
	s := &shelf{dir: t.TempDir()}
	files := rolling.New(o, s)
	data := fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("a MiB of text. ", 1<<20/15))
	most := 0
	for n := uint64(1); n <= 120; n++ {
		e := sinktest.Event("x", n)
		e.Vendor, e.Data = fmt.Sprint("v", n), data
		if _, err := files.Deliver(t.Context(), sinks.Batch{Items: []sinks.Item{{Sequence: n, Event: e}}}); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(files.Unfinished()))
	}
	if most < 20 || most > 60 || len(s.taken) < 120-60 {
		t.Errorf("at most %d files of a MiB were open, %d committed; want about 48 open", most, len(s.taken))
	}
	files.Discard()
}

// A name says that everything of its path up to its last sequence is committed: after a crash nothing before it would be written again.
func TestFilesOfAPathAreCommittedOneAfterTheOther(t *testing.T) {
	o := rolling.ParseParameters("path={vendor}&rotate_size=1", nil, func(want string) { t.Error(want) }).Options()
	s := &shelf{dir: t.TempDir()}
	files := rolling.New(o, s)
	var list []sinks.Item
	want := map[string][]string{}
	for n := uint64(1); n <= 30; n++ {
		e := sinktest.Event("x", n)
		e.Vendor = fmt.Sprint("v", n%3)
		list = append(list, sinks.Item{Sequence: n, Event: e})
		want[e.Vendor] = append(want[e.Vendor], e.Vendor+"/"+rolling.Name(n, n, ".ndjson"))
	}
	if durable, err := files.Deliver(t.Context(), sinks.Batch{Items: list}); err != nil || len(durable) != 30 {
		t.Fatalf("%d durable, %v; want 30", len(durable), err)
	}
	if s.most != 1 {
		t.Errorf("%d files of one path were committed at once", s.most)
	}
	got := map[string][]string{}
	for _, name := range s.taken {
		path, _, _ := strings.Cut(name, "/")
		got[path] = append(got[path], name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
