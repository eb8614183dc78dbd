package file_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/file"
	"github.com/parley-stream/parley/sinks/internal/formattest"
	"github.com/parley-stream/parley/sinks/internal/rollingtest"
	"github.com/parley-stream/parley/sinks/sinktest"
)

// variants are the queries for every format and compression.
func variants() map[string]string {
	all := map[string]string{}
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			all[format+" "+compression] = "format=" + format + "&compress=" + compression
		}
	}
	return all
}

func TestTheFileSinkPassesTheSuite(t *testing.T) {
	for name, query := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			format, _, _ := strings.Cut(name, " ")
			sinktest.Run(t, sinktest.Harness{Kept: formattest.Kept(format), New: func(t *testing.T) sinktest.Destination {
				dir := t.TempDir()
				return sinktest.Destination{
					Open: opener(t, dir, query), Crash: file.Abandon, Read: func(t *testing.T) []events.Event { return read(t, dir) },
				}
			}})
		})
	}
}

func opener(t testing.TB, dir, query string) sinks.Opener {
	t.Helper()
	vars := settings.New("PARLEY_SINK_T_", map[string]string{})
	open := file.New(sinks.Settings{}, vars, &url.URL{Scheme: "file", Path: dir, RawQuery: query}, sinks.Env{})
	if faults := vars.Faults(); faults != nil {
		t.Fatal(faults)
	}
	return open
}

// ending lists what is below a directory, hidden or not, whose name ends so.
func ending(t testing.TB, dir, suffix string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// published lists the files that a loader sees, by name in order of their first sequence.
func published(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return names
}

func read(t testing.TB, dir string) (all []events.Event) {
	t.Helper()
	for _, name := range published(t, dir) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := formattest.Read(name, content)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

func own(t testing.TB, open sinks.Opener) sinks.Sink {
	t.Helper()
	s, err := open(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func items(from, to uint64) (list []sinks.Item) {
	for n := from; n <= to; n++ {
		list = append(list, sinks.Item{Sequence: n, Stored: sinktest.Stored(n), Event: sinktest.Event(strings.Repeat("x", int(n%2)+1), n)})
	}
	return list
}

func sequences(t testing.TB, dir string) (got []uint64) {
	for _, e := range read(t, dir) {
		got = append(got, e.Revision)
	}
	slices.Sort(got)
	return got
}

func upTo(n uint64) (want []uint64) {
	for i := uint64(1); i <= n; i++ {
		want = append(want, i)
	}
	return want
}

// Every step of the commit is where a process can end: after each, the next owner gets what was not acknowledged.
func TestACrashAtAnyStepOfTheCommitLosesNothingAndWritesNothingTwice(t *testing.T) {
	for variant, query := range variants() {
		for _, loader := range []string{"that waits", "that deletes what it sees"} {
			for _, step := range append(file.Steps(), "acknowledge") {
				for nth := 1; nth <= 2; nth++ {
					if nth == 2 && (variant != "ndjson none" || step == "newest") {
						continue // the second file differs by its number, and in no format; what is the newest is kept once for both
					}
					t.Run(fmt.Sprintf("%s, %s for the file %d, a loader %s", variant, step, nth, loader), func(t *testing.T) {
						crashAt(t, query, step, nth, loader == "that waits")
					})
				}
			}
		}
	}
}

var errCrash = errors.New("the process ends here")

func crashAt(t *testing.T, query, step string, nth int, keep bool) {
	t.Parallel()
	dir := t.TempDir()
	open := opener(t, dir, query+"&path={kind}/{date}")
	s := own(t, open)
	var loaded []uint64
	load := func() {
		if keep {
			return
		}
		loaded = append(loaded, sequences(t, dir)...)
		for _, name := range published(t, dir) {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	acked := map[uint64]bool{}
	seen := 0
	file.SetFault(s, func(at string) error {
		if at == step {
			if seen++; seen == nth {
				return errCrash
			}
		}
		return nil
	})
	durable, _ := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 10)})
	flushed, err := s.Flush(t.Context())
	if (step == "acknowledge") != (err == nil) || err != nil && !errors.Is(err, errCrash) {
		t.Fatalf("flush: got %v", err)
	}
	if step != "acknowledge" {
		for _, sequence := range append(durable, flushed...) {
			acked[sequence] = true
		}
	}
	file.Abandon(s)
	wantNoneHidden(t, dir)
	load()
	s = own(t, open)
	wantNoneHidden(t, dir)
	if left := ending(t, dir, ".pending"); len(left) > 0 {
		t.Errorf("the next owner has not published %q", left)
	}
	load()
	var rest []sinks.Item
	for _, i := range items(1, 10) {
		if len(rest) > 0 || !acked[i.Sequence] {
			rest = append(rest, i)
		}
	}
	durable, err = s.Deliver(t.Context(), sinks.Batch{Items: append(rest, items(11, 12)...)})
	if err != nil {
		t.Fatal(err)
	}
	flushed, err = s.Flush(t.Context())
	if err != nil || len(durable)+len(flushed) != len(rest)+2 {
		t.Fatalf("flush: got %d and %d durable, %v; want %d", len(durable), len(flushed), err, len(rest)+2)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	load()
	got := append(loaded, sequences(t, dir)...)
	if slices.Sort(got); !slices.Equal(got, upTo(12)) {
		t.Errorf("got %v, want 1 to 12 once", got)
	}
}

// wantNoneHidden wants find -name '*.ndjson' to find what a loader sees and no more: what it reads would be there twice.
func wantNoneHidden(t *testing.T, dir string) {
	t.Helper()
	for _, extension := range []string{".ndjson", ".csv", ".parquet", ".gz", ".zst"} {
		if hidden := ending(t, filepath.Join(dir, ".parley"), extension); len(hidden) > 0 {
			t.Errorf("below .parley are %q", hidden)
		}
	}
}

func TestAStepThatFailsOnceIsTriedAgain(t *testing.T) {
	for variant, query := range variants() {
		for _, step := range append([]string{"create"}, file.Steps()...) {
			t.Run(variant+", "+step, func(t *testing.T) { failAt(t, query, step) })
		}
	}
}

func failAt(t *testing.T, query, step string) {
	t.Parallel()
	dir := t.TempDir()
	s := own(t, opener(t, dir, query))
	failed := false
	file.SetFault(s, func(at string) error {
		if at == step && !failed {
			failed = true
			return syscall.ENOSPC
		}
		return nil
	})
	var durable []uint64
	try := func(do func() ([]uint64, error)) {
		for range 2 {
			d, err := do()
			durable = append(durable, d...)
			if err == nil {
				return
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got %v, want the disk's error", err)
			}
		}
		t.Fatal("failed twice")
	}
	try(func() ([]uint64, error) { return s.Deliver(t.Context(), sinks.Batch{Items: items(1, 400)}) })
	try(func() ([]uint64, error) { return s.Flush(t.Context()) })
	slices.Sort(durable)
	if got := sequences(t, dir); !failed || !slices.Equal(got, upTo(400)) || !slices.Equal(slices.Compact(durable), upTo(400)) {
		t.Errorf("failed %v; got %d events, %d durable; want 400", failed, len(got), len(durable))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// What decodes and encodes JSON again changes its spaces, the spelling of its numbers and strings, or the order of its keys.
func TestLinesHoldTheDataByteForByte(t *testing.T) {
	for name, data := range map[string]string{
		"spaces": `{ "b" :1,  "a":[ ] }`, "numbers": `{"n":1e2,"m":1.0,"big":12345678901234567890.10,"z":-0}`, "order": `{"z":1,"a":2,"m":3}`,
		"strings": `{"t":"\u00e9\/\u003c é <&>"}`, "a key twice": `{"a":1,"a":2}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := own(t, opener(t, dir, ""))
			list := items(1, 1)
			list[0].Event.Data = []byte(data)
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: list}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(published(t, dir)[0])
			if err != nil || !strings.Contains(string(content), `"data":`+data) {
				t.Errorf("got %s, %v; want %s in it", content, err, data)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFullDiskHoldsEventsBackUntilThereIsRoom(t *testing.T) {
	for variant, query := range variants() {
		t.Run(variant, func(t *testing.T) {
			dir := t.TempDir()
			s := own(t, opener(t, dir, query+"&rotate_size=30KB"))
			d := &rollingtest.Disk{Room: 100}
			file.WrapSpool(s, d.Wrap)
			durable := map[uint64]bool{}
			refused := 0
			try := func(do func() ([]uint64, error)) bool {
				list, err := do()
				for _, sequence := range list {
					durable[sequence] = true
				}
				if err != nil {
					if refused++; refused > 5000 || !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("refused %d times: %v", refused, err)
					}
					d.Room += 777 // a little, so that the same bytes are written in part again and again
				}
				return err == nil
			}
			for batch := range slices.Chunk(items(1, 600), 100) {
				for !try(func() ([]uint64, error) { return s.Deliver(t.Context(), sinks.Batch{Items: batch}) }) {
				}
			}
			for !try(func() ([]uint64, error) { return s.Flush(t.Context()) }) {
			}
			if got := sequences(t, dir); !slices.Equal(got, upTo(600)) || len(durable) != 600 || refused < 3 {
				t.Errorf("%d events, %d durable, want 600; the disk was full %d times", len(got), len(durable), refused)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFileSaysInItsNameWhichSequencesItHolds(t *testing.T) {
	dir := t.TempDir()
	s := own(t, opener(t, dir, "path={kind}/{vendor}/{source}/d={date}"))
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: []sinks.Item{items(7, 7)[0], items(9, 9)[0], items(12, 12)[0]}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range published(t, dir) {
		rel, _ := filepath.Rel(dir, name)
		got = append(got, rel)
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", rel, info.Mode(), err)
		}
	}
	want := []string{
		"conversation/acme/eu/d=2026-03-03/00000000000000000007-00000000000000000009.ndjson",
		"conversation/acme/eu/d=2026-03-02/00000000000000000012-00000000000000000012.ndjson",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	glob, err := filepath.Glob(filepath.Join(dir, "*/*/*/*/*.ndjson"))
	if err != nil || len(glob) != 2 {
		t.Errorf("a loader's glob finds %v, %v", glob, err)
	}
}

func TestFilesCloseBySizeAgeAndIdleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := own(t, opener(t, dir, "path={vendor}&rotate_size=10KB&rotate_age=40s"))
		expect := func(what string, files int) {
			t.Helper()
			if _, err := s.Deliver(t.Context(), sinks.Batch{}); err != nil {
				t.Fatal(err)
			}
			if got := len(published(t, dir)); got != files {
				t.Errorf("%s: %d files, want %d", what, got, files)
			}
		}
		deliver := func(from, to uint64) {
			t.Helper()
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(from, to)}); err != nil {
				t.Fatal(err)
			}
		}
		deliver(1, 30)
		expect("after 30 events of about 400 bytes", 1)
		time.Sleep(10 * time.Second)
		expect("idle for a quarter of the age", 2)
		for n := uint64(31); n < 36; n++ {
			deliver(n, n)
			time.Sleep(9 * time.Second)
		}
		expect("one event each 9 s for 45 s", 3)
		if got := sequences(t, dir); !slices.Equal(got, upTo(35)) {
			t.Errorf("got %v, want 1 to 35", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A crash leaves a file on its way in one format, and the next owner writes another.
func TestTheFormatMayChangeBetweenTwoOwners(t *testing.T) {
	for _, step := range file.Steps() {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			s := own(t, opener(t, dir, "path={kind}"))
			file.SetFault(s, func(at string) error {
				if at == step {
					return errCrash
				}
				return nil
			})
			_, _ = s.Deliver(t.Context(), sinks.Batch{Items: items(1, 10)})
			if _, err := s.Flush(t.Context()); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			file.Abandon(s)
			s = own(t, opener(t, dir, "path={kind}&format=parquet"))
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 12)}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if got := sequences(t, dir); !slices.Equal(got, upTo(12)) {
				t.Errorf("got %v, want 1 to 12 once", got)
			}
		})
	}
}

func TestAFileThatNothingComesToIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := own(t, opener(t, dir, "rotate_age=1h&rotate_idle=5s&path={kind}"))
		for n := uint64(1); n <= 4; n++ {
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(n, n)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4 * time.Second)
		}
		if got := len(published(t, dir)); got != 0 {
			t.Errorf("%d files while events come", got)
		}
		time.Sleep(time.Second)
		if _, err := s.Deliver(t.Context(), sinks.Batch{}); err != nil {
			t.Fatal(err)
		}
		if got := sequences(t, dir); !slices.Equal(got, upTo(4)) {
			t.Errorf("idle for 5 s: got %v, want 1 to 4", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestMarksGoAnHourAfterTheAckFloorHasPassedThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := own(t, opener(t, dir, ""))
		marks := func() int { return len(ending(t, filepath.Join(dir, ".parley", "archive", "done"), ".mark")) }
		for n := uint64(1); n <= 4; n += 2 {
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(n, n)}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, look := range []struct {
			floor uint64
			wait  time.Duration
			want  int
		}{{1, 2 * time.Minute, 2}, {1, time.Hour, 1}, {1, 5 * time.Hour, 1}, {3, 2 * time.Minute, 0}} {
			time.Sleep(look.wait)
			if _, err := s.Deliver(t.Context(), sinks.Batch{AckFloor: look.floor}); err != nil {
				t.Fatal(err)
			}
			if got := marks(); got != look.want {
				t.Errorf("with the ack floor %d after %s: %d marks, want %d", look.floor, look.wait, got, look.want)
			}
		}
	})
}

func TestASecondOwnerWaitsForTheLock(t *testing.T) {
	dir := t.TempDir()
	open := opener(t, dir, "")
	first := own(t, open)
	_, err := open(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one"})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("locked by the sink's last owner (process %d)", os.Getpid())) {
		t.Errorf("got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := own(t, open).Close(); err != nil {
		t.Error(err)
	}
}

func TestADirectoryServesOneSinkAndOneStream(t *testing.T) {
	dir := t.TempDir()
	open := opener(t, dir, "")
	s := own(t, open)
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 5)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refuses := func(name string, o sinks.Ownership, want string) {
		t.Helper()
		if _, err := open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	refuses("another store", sinks.Ownership{Sink: "archive", Origin: "two", LastSequence: 9}, "another stream store")
	refuses("a stream that was cut off", sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 4}, "has not reached")
	refuses("another sink", sinks.Ownership{Sink: "other", Origin: "one", LastSequence: 9}, `belongs to the sink "archive"`)
	if err := os.RemoveAll(filepath.Join(dir, ".parley")); err != nil {
		t.Fatal(err)
	}
	refuses("files without a state", sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 9}, "files of an earlier sink")
}

func TestASymbolicLinkInTheDirectoryIsRefused(t *testing.T) {
	for name, inside := range map[string]bool{"leads out": false, "leads elsewhere inside": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target := t.TempDir()
			if inside {
				target = filepath.Join(dir, "inside")
				if err := os.Mkdir(target, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			link := filepath.Join(dir, "acme")
			if err := os.Symlink(target, link); err != nil {
				t.Fatal(err)
			}
			s := own(t, opener(t, dir, "path={vendor}"))
			_, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 3)})
			if err == nil {
				_, err = s.Flush(t.Context())
			}
			if err == nil {
				t.Error("the link was followed")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if entries, err := os.ReadDir(target); err != nil || len(entries) > 0 {
				t.Errorf("%s holds %v, %v", target, entries, err)
			}
		})
	}
}

func TestManyPathsAreOpenInTurn(t *testing.T) {
	dir := t.TempDir()
	s := own(t, opener(t, dir, "path={vendor}"))
	var list []sinks.Item
	for n := uint64(1); n <= 600; n++ {
		e := sinktest.Event("x", n)
		e.Vendor = fmt.Sprint("v", n%300)
		list = append(list, sinks.Item{Sequence: n, Event: e})
	}
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: list}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := sequences(t, dir); !slices.Equal(got, upTo(600)) {
		t.Errorf("got %d events, want 600", len(got))
	}
}

// A loader that moves files away may take the directories that it has emptied with them.
func TestADirectoryThatALoaderRemovedIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := own(t, opener(t, dir, "path={kind}/{vendor}"))
	for n := uint64(1); n <= 3; n++ {
		if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(n, n)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := sequences(t, dir); !slices.Equal(got, []uint64{n}) {
			t.Errorf("got %v, want %d", got, n)
		}
		if err := os.RemoveAll(filepath.Join(dir, "conversation")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Many files are committed together; one that cannot be published keeps none of the others from it for good.
func TestFilesThatAreCommittedTogetherAreEachThereOnceAfterAFailure(t *testing.T) {
	for _, step := range file.Steps()[2:] {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := own(t, opener(t, dir, "path={vendor}"))
			at, seen := step, 0
			file.SetFault(s, func(step string) error {
				if step == at {
					if seen++; seen == 20 {
						return syscall.ENOSPC
					}
				}
				return nil
			})
			var list []sinks.Item
			for n := uint64(1); n <= 40; n++ {
				e := sinktest.Event("x", n)
				e.Vendor = fmt.Sprint("v", n)
				list = append(list, sinks.Item{Sequence: n, Event: e})
			}
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: list}); err != nil {
				t.Fatal(err)
			}
			first, err := s.Flush(t.Context())
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got %v", err)
			}
			second, err := s.Flush(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := sequences(t, dir); !slices.Equal(got, upTo(40)) || len(first)+len(second) != 40 {
				t.Errorf("%d events, %d and %d durable; want 40", len(got), len(first), len(second))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAWrongURLGivesAllItsFaults(t *testing.T) {
	for text, want := range map[string][]string{
		"file:":                            {"names no directory"},
		"file://host/dir":                  {`names the host "host"`},
		"file:///d?format=yaml":            {`is "yaml", want ndjson or csv or parquet`},
		"file:///d?compress=lz4&x=1":       {`is "lz4", want none or gzip or zstd`, "parameter x: is unknown"},
		"file:///d?cells=raw":              {`is "raw", want safe or exact`},
		"file:///d?rotate_idle=2h":         {"parameter rotate_idle"},
		"file:///d?format=csv&path={date}": {"a csv file holds one kind"},
		"file:///d?format=parquet&path=x":  {"a parquet file holds one kind"},
		"file:///d?path=../x":              {"do not begin with a dot"},
		"file:///d?path=/x":                {"not empty"},
		"file:///d?path=x//y":              {"not empty"},
		"file:///d?path={kind}/{id}":       {"{id} is unknown"},
		"file:///d?path=a%00b":             {"want letters"},
		"file:///d?path=":                  {"is empty"},
		"file:///d?rotate_size=big":        {"want a size"},
		"file:///d?rotate_size=-1":         {"want a size"},
		"file:///d?rotate_size=NaN":        {"want a size"},
		"file:///d?rotate_age=0":           {"want a duration"},
		"file:///d?rotate_age=2h":          {"want a duration"},
		"file:///d?format=a&format=b":      {"there 2 times"},
		"file:///d?rotate_age=x&path=.":    {"rotate_age", "path"},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		vars := settings.New("PARLEY_SINK_T_", map[string]string{"URL": text})
		file.New(sinks.Settings{}, vars, u, sinks.Env{})
		if got := vars.Faults(); len(got) != len(want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		for _, w := range want {
			if !strings.Contains(vars.Faults().Error(), w) {
				t.Errorf("%s: got %q, want %q", text, vars.Faults(), w)
			}
		}
	}
}

func TestARelativeDirectoryIsTaken(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, text := range []string{"file:out", "file://./out", "file:./out", "file:out/"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		vars := settings.New("", map[string]string{"URL": text})
		s, err := file.New(sinks.Settings{}, vars, u, sinks.Env{})(context.Background(), sinks.Ownership{Sink: "a", Origin: "o"})
		if err != nil || vars.Faults() != nil {
			t.Fatalf("%s: %v %v", text, err, vars.Faults())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll("out"); err != nil {
			t.Error(err)
		}
	}
}
