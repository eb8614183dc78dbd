package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/broker"
)

// olderBinary builds the version that was before this one, of the sources that testdata/older keeps: a checkout need not have the history.
func olderBinary(t testing.TB) string {
	t.Helper()
	archive, err := filepath.Abs(filepath.Join("testdata", "older", "parley.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	unpack := exec.Command("tar", "-xzf", archive)
	// Without the directory's name in it, what is built is in Go's cache the next time.
	build := exec.Command("go", "build", "-trimpath", "-mod=readonly", "-o", "parley", "./cmd/parley")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	for _, c := range []*exec.Cmd{unpack, build} {
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
	}
	return filepath.Join(dir, "parley")
}

// fleet is processes of several versions and roles.
type fleet struct {
	t       testing.TB
	w       *world
	members []*parley
}

// start adds a process of each role.
func (f *fleet) start(binary string, roles ...string) {
	f.t.Helper()
	for _, role := range roles {
		p := commandOf(f.t, binary, f.w.environ, role)
		if err := p.Start(); err != nil {
			f.t.Fatal(err)
		}
		f.members = append(f.members, p)
	}
}

// stop has the processes of one version end as an operator does.
func (f *fleet) stop(binary string) {
	f.t.Helper()
	f.members = slices.DeleteFunc(f.members, func(p *parley) bool {
		if p.Path != binary {
			return false
		}
		_ = p.Process.Signal(os.Interrupt)
		err := p.Wait()
		// One that was started a moment ago may not hear yet, and has done nothing.
		if status, ok := p.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGINT {
			err = nil
		}
		if err != nil {
			f.t.Errorf("%s %s ended with %v:\n%s", p.Path, p.Args[1], err, p.stderr)
		}
		return true
	})
}

// crash kills the process that was started longest ago, and starts another one of its version and role.
func (f *fleet) crash() {
	f.t.Helper()
	victim := f.members[0]
	_ = victim.Process.Kill()
	_ = victim.Wait()
	f.members = f.members[1:]
	f.start(victim.Path, victim.Args[1])
}

// hold waits until the files hold so many entities.
func (f *fleet) hold(entities int) {
	f.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; <-time.After(100 * time.Millisecond) {
		got := len(f.w.readFiles(f.t).entities)
		if got >= entities {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the files hold %d entities after three minutes; want %d. The first process said:\n%s", got, entities, f.members[0].stderr)
		}
	}
}

func TestAnOlderVersionBesideThisOneLosesNothingAndDoublesNothing(t *testing.T) {
	older := olderBinary(t)
	w := newWorld(t, app.Simulation{Seed: 41, Days: 3, Chats: 150})
	s := newExternalServer(t)
	w.set("PARLEY_NATS_URL", s.url())
	f := &fleet{t: t, w: w}
	f.start(older, "poll", "process", "sink")
	f.hold(1) // an installation as it was

	f.start(binary, "poll", "process", "sink")
	f.members = []*parley{f.members[0], f.members[3], f.members[1], f.members[4], f.members[2], f.members[5]} // a version after the other
	before, changes := len(w.readFiles(t).entities), 0
	change := func(vendor string) {
		w.change(t, vendor, 3)
		changes += 3
	}
	for i := range 18 {
		<-time.After(time.Duration(150+(i*i*61)%900) * time.Millisecond)
		f.crash()
		if i%3 == 2 {
			change(w.sims.Names()[i/3%len(w.sims.Names())])
		}
	}
	f.hold(before + 1)
	f.stop(older)
	f.stop(binary)

	// The upgrade is over, and brings another configuration.
	w.set("PARLEY_EVENTS_RETENTION", "1000h")
	command(t, w.environ, "provision").once(t, exitDone)
	command(t, w.environ, "run", "--once").once(t, exitDone)
	for _, vendor := range w.sims.Names() {
		change(vendor)
	}
	command(t, w.environ, "run", "--once").once(t, exitDone)
	has := w.readFiles(t)
	w.wantAll(t, has)
	w.wantAsIs(t, has, w.reading(t, older, s.url()), w.reading(t, binary, s.url()), changes)
	if is := retention(t, s.url(), broker.Events); is != 1000*time.Hour {
		t.Errorf("EVENTS keeps %s after `parley provision`; want 1000h", is)
	}
}

// retention is how long a stream keeps what it holds.
func retention(t testing.TB, url, stream string) time.Duration {
	t.Helper()
	s, err := jetStream(t, url).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config.MaxAge
}

// digests are those of each entity's revisions.
func digests(f files) map[string]map[uint64]string {
	all := make(map[string]map[uint64]string)
	for _, e := range f.events {
		entity := strings.TrimSuffix(e.ID, "."+strconv.FormatUint(e.Revision, 10))
		if all[entity] == nil {
			all[entity] = make(map[uint64]string)
		}
		all[entity][e.Revision] = e.Digest
	}
	return all
}

// reading is what one version alone reads of the vendors now, into an installation of its own with the key of the one at url.
func (w *world) reading(t testing.TB, version, url string) map[string]map[uint64]string {
	t.Helper()
	server := newExternalServer(t)
	alone := *w
	alone.dir, alone.environ = t.TempDir(), slices.Clone(w.environ)
	alone.set("PARLEY_NATS_URL", server.url())
	alone.set("PARLEY_SINK_FILES_URL", "file://"+filepath.Join(alone.dir, "out"))
	commandOf(t, version, alone.environ, "provision").once(t, exitDone)
	copyKey(t, url, server.url())
	commandOf(t, version, alone.environ, "run", "--once").once(t, exitDone)
	return digests(alone.readFiles(t))
}

// wantAsIs holds the last revision of each entity that both versions read alike to what they read; and its later revisions to the changes that were
// made, of which those of the last reading are certain to be seen. What a version reads better than the one before is a revision of its own.
func (w *world) wantAsIs(t testing.TB, has files, older, newer map[string]map[uint64]string, changes int) {
	t.Helper()
	later, alike := 0, 0
	for entity, revisions := range digests(has) {
		now := newer[entity][1]
		if now == "" || now != older[entity][1] {
			continue
		}
		alike++
		last := uint64(len(revisions))
		later += len(revisions) - 1
		for r := uint64(2); r <= last; r++ {
			if revisions[r] == revisions[r-1] {
				t.Errorf("revision %d of %s is what revision %d is", r, entity, r-1)
			}
		}
		if now != revisions[last] {
			t.Errorf("revision %d of %s is %s; want %s", last, entity, revisions[last], now)
		}
	}
	t.Logf("%d entities, %d of them read alike by both versions; %d later revisions after %d changes", len(has.entities), alike, later, changes)
	if later == 0 || later > changes {
		t.Errorf("%d later revisions after %d changes", later, changes)
	}
	if alike < len(has.entities)/2 {
		t.Errorf("only %d of %d entities are read alike by both versions: the test shows nothing", alike, len(has.entities))
	}
}

// copyKey gives one installation the key that another one's digests have, before it has its own.
func copyKey(t testing.TB, from, to string) {
	t.Helper()
	bucket := func(url string) jetstream.KeyValue {
		kv, err := jetStream(t, url).KeyValue(t.Context(), broker.ErasedBucket)
		if err != nil {
			t.Fatal(err)
		}
		return kv
	}
	const entry = "key"
	key, err := bucket(from).Get(t.Context(), entry)
	if err == nil {
		_, err = bucket(to).Create(t.Context(), entry, key.Value())
	}
	if err != nil {
		t.Fatal(err)
	}
}
