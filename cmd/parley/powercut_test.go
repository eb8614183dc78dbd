//go:build powercut

package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/broker"
)

// disk is an ext4 file system of its own that can lose its power. A cut takes what the kernel had not written yet, as the loss of a machine
// does; what a drive keeps in its own cache stays. It wants root, a loop device and mkfs.ext4.
type disk struct{ image, dir string }

func newDisk(t testing.TB) *disk {
	t.Helper()
	d := &disk{image: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 1<<30); err != nil {
		t.Fatal(err)
	}
	sh(t, "mkfs.ext4", "-q", "-F", d.image)
	d.mount(t)
	t.Cleanup(func() { sh(t, "umount", d.dir) })
	return d
}

func (d *disk) mount(t testing.TB) { sh(t, "mount", "-o", "loop", d.image, d.dir) }

func sh(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// The kernel's EXT4_IOC_SHUTDOWN, and its flag to write not even the journal first.
const (
	shutdown   = 0x8004587d
	noLogFlush = 2
)

// afterlife is how long a process goes on without its disk: what it acknowledges in that time is a promise, too.
const afterlife = 200 * time.Millisecond

// cut takes the power from the disk, then ends the process, and gives the disk back as it is found after that.
func (d *disk) cut(t testing.TB, p *exec.Cmd) (at time.Time) {
	t.Helper()
	root, err := os.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	err = unix.IoctlSetPointerInt(int(root.Fd()), shutdown, noLogFlush)
	at = time.Now()
	_ = root.Close()
	if err != nil {
		t.Fatalf("cut the power of %s: %v", d.dir, err)
	}
	<-time.After(afterlife)
	_ = p.Process.Kill()
	_ = p.Wait()
	sh(t, "umount", d.dir)
	d.mount(t)
	return at
}

// publisher is the program in testdata: the embedded server and who publishes to it, in a process of their own.
type publisher struct {
	*exec.Cmd
	stderr bytes.Buffer
	acked  promises
	first  chan time.Time // when it first wrote
	read   chan struct{}  // closed when all that it wrote is in acked
}

// promises are what a server has acknowledged: numbers by sequence, the ledger's last entry, and the last number of all.
type promises struct {
	numbers      map[uint64]string
	ledger, last int
}

func startPublisher(t testing.TB, program, dir string, from int, interval time.Duration) *publisher {
	t.Helper()
	p := &publisher{Cmd: exec.CommandContext(t.Context(), program, dir, strconv.Itoa(from), interval.String()), first: make(chan time.Time, 1), read: make(chan struct{})}
	p.acked.numbers = make(map[uint64]string)
	p.Stderr = &p.stderr
	out, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stdout = pipe
	err = p.Start()
	_ = pipe.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.read)
		defer out.Close()
		p.listen(out)
	}()
	return p
}

// listen takes down what is written; a line that the end of the process tore is no promise.
func (p *publisher) listen(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		select {
		case p.first <- time.Now():
		default:
		}
		what, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if what == "ledger" {
			p.acked.ledger, _ = strconv.Atoi(number)
			continue
		}
		sequence, _ := strconv.ParseUint(what, 10, 64)
		p.acked.numbers[sequence] = number
		p.acked.last, _ = strconv.Atoi(number)
	}
}

// begun waits for the first acknowledgement.
func (p *publisher) begun(t testing.TB) time.Time {
	t.Helper()
	select {
	case at := <-p.first:
		return at
	case <-p.read:
		_ = p.Wait()
		t.Fatalf("the publisher ended before anything was acknowledged:\n%s", &p.stderr)
	case <-time.After(time.Minute):
		t.Fatal("nothing is acknowledged within a minute")
	}
	return time.Time{}
}

// stored are the numbers in RAW by sequence, and the ledger's entry; a store that is gone holds nothing.
func stored(t testing.TB, dir string) (numbers map[uint64]string, ledger int) {
	t.Helper()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	numbers = make(map[uint64]string)
	if _, err := b.StreamState(t.Context(), broker.Raw); err != nil {
		t.Logf("RAW after the cut: %v", err)
		return numbers, 0
	}
	err = b.ScanFrom(t.Context(), broker.Raw, []string{">"}, 1, func(m broker.Message) error {
		numbers[m.Sequence] = string(m.Data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := b.Bucket(t.Context(), broker.LedgerBucket)
	if err != nil {
		t.Logf("the ledger after the cut: %v", err)
		return numbers, 0
	}
	entry, err := bucket.Get(t.Context(), "last")
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		t.Fatal(err)
	}
	ledger, _ = strconv.Atoi(string(entry.Value))
	return numbers, ledger
}

func buildPublisher(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "publisher")
	sh(t, "go", "build", "-o", program, "./testdata/publisher")
	return program
}

// cuts is a fixed set of moments after the first acknowledgement, so that a failure can be tried again; the first streams have just been made.
var cuts = []time.Duration{0, 300 * time.Millisecond, 1100 * time.Millisecond, 700 * time.Millisecond, 1900 * time.Millisecond, 20 * time.Millisecond}

func TestAPowerCutTakesNothingThatTheEmbeddedServerHasAcknowledged(t *testing.T) {
	program, d := buildPublisher(t), newDisk(t)
	dir := filepath.Join(d.dir, "data")
	acked, lost := make(map[uint64]string), 0
	var cutAt time.Time
	var pause time.Duration
	next := 1
	for i, moment := range cuts {
		p := startPublisher(t, program, dir, next, 0)
		first := p.begun(t)
		if i > 0 {
			pause = max(pause, first.Sub(cutAt))
		}
		<-time.After(moment)
		cutAt = d.cut(t, p.Cmd)
		<-p.read
		for sequence, number := range p.acked.numbers {
			acked[sequence] = number
		}
		there, ledger := stored(t, dir)
		gone := 0
		for sequence, number := range acked {
			if there[sequence] != number {
				gone++
			}
		}
		if gone > 0 || ledger < p.acked.ledger {
			t.Errorf("cut %d, %s after the first acknowledgement: of %d records %d are lost; the ledger says %d, acknowledged was %d", i+1, moment, len(acked), gone, ledger, p.acked.ledger)
		}
		lost += gone
		numbers := make(map[string]bool, len(there))
		highest := 0
		for _, number := range there {
			numbers[number] = true
			n, _ := strconv.Atoi(number)
			highest = max(highest, n)
		}
		for n := next; n <= ledger; n++ {
			if !numbers[strconv.Itoa(n)] {
				t.Fatalf("cut %d: the ledger is at %d, and RAW has no %d", i+1, ledger, n)
			}
		}
		t.Logf("cut %d, %s after the first acknowledgement: %d acknowledged, %d stored, the ledger at %d", i+1, moment, len(acked), len(there), ledger)
		next = max(highest, p.acked.last) + 1
	}
	t.Logf("%d cuts, %d acknowledged, %d lost; the longest pause from a cut to the next acknowledgement was %s", len(cuts), len(acked), lost, pause.Round(10*time.Millisecond))
}

// What the test above would see if the server did not sync before it acknowledges.
func TestAPowerCutTakesWhatIsNotSynced(t *testing.T) {
	program, d := buildPublisher(t), newDisk(t)
	dir := filepath.Join(d.dir, "data")
	p := startPublisher(t, program, dir, 1, time.Minute)
	p.begun(t)
	<-time.After(time.Second)
	d.cut(t, p.Cmd)
	<-p.read
	there, _ := stored(t, dir)
	if len(there) >= len(p.acked.numbers) {
		t.Fatalf("%d acknowledged, %d stored: the cut took nothing", len(p.acked.numbers), len(there))
	}
	t.Logf("without syncs: %d acknowledged, %d stored", len(p.acked.numbers), len(there))
}

func TestAfterPowerCutsTheFilesHoldEveryEventOnce(t *testing.T) {
	w, d := newWorld(t, app.Simulation{Seed: 41, Days: 2, Chats: 40}), newDisk(t)
	w.dir = d.dir
	w.set("PARLEY_DATA_DIR", filepath.Join(w.dir, "data"))
	w.set("PARLEY_SINK_FILES_URL", "file://"+filepath.Join(w.dir, "out")+"?rotate_age=1s")
	midst := 0
	var had files
	for i := range 8 {
		p := command(t, w.environ, "run")
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		moment := time.Duration(i*i*37%200) * time.Millisecond
		after := "the start"
		if i > 2 { // the first cuts find a start, then streams that were just made, then records on their way
			after = "the first new files"
			for deadline := time.Now().Add(time.Minute); len(w.readFiles(t).events) == len(had.events); <-time.After(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("no event in a minute:\n%s", p.stderr)
				}
			}
		} else {
			moment += time.Duration(i) * time.Second
		}
		<-time.After(moment)
		before := w.readFiles(t)
		d.cut(t, p.Cmd)
		had = w.readFiles(t)
		for id := range before.events {
			if _, is := had.events[id]; !is {
				t.Logf("%s is not in the files any more", id)
			}
		}
		if n := len(had.entities); 0 < n && n < w.wanted() {
			midst++
		}
		t.Logf("cut %d, %s after %s: %d events in the files, %d of %d entities, %d twice", i+1, moment, after, len(had.events), len(had.entities), w.wanted(), len(had.twice))
		w.change(t, w.sims.Names()[i%len(w.sims.Names())], 2)
	}
	if midst == 0 {
		t.Error("no cut came while files were written: the test shows nothing")
	}
	began := time.Now()
	command(t, w.environ, "run", "--once").once(t, exitDone)
	f := w.readFiles(t)
	w.wantAll(t, f)
	t.Logf("%d events of %d entities, %d twice; the last run took %s", len(f.events), len(f.entities), len(f.twice), time.Since(began).Round(10*time.Millisecond))
}
