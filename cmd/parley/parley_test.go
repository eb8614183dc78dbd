package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/simulated"
)

// Exit codes of the command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// binary is parley, built for these tests: they start it as a user does.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "parley-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "parley")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build parley: %v\n%s", err, out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// parley is one process of it.
type parley struct {
	*exec.Cmd
	stdout, stderr *bytes.Buffer
}

func command(t testing.TB, environ []string, args ...string) *parley {
	t.Helper()
	return commandOf(t, binary, environ, args...)
}

// commandOf is one process of a version of it.
func commandOf(t testing.TB, binary string, environ []string, args ...string) *parley {
	t.Helper()
	p := &parley{Cmd: exec.CommandContext(t.Context(), binary, args...), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PARLEY_") {
			p.Env = append(p.Env, e)
		}
	}
	p.Env = append(p.Env, environ...)
	p.Stdout, p.Stderr = p.stdout, p.stderr
	return p
}

// once runs a command to its end and wants an exit code.
func (p *parley) once(t testing.TB, want int) *parley {
	t.Helper()
	err := p.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := p.ProcessState.ExitCode(); got != want {
		t.Fatalf("parley %s: exit %d, want %d\n%s\n%s", strings.Join(p.Args[1:], " "), got, want, p.stdout, p.stderr)
	}
	return p
}

// world is a simulated set of vendors and a place for files.
type world struct {
	sims    *app.Simulators
	dir     string
	environ []string
	// operator is the credentials file of who may look; "" where nobody needs one.
	operator string
	// only is the one vendor that is read; "" for all.
	only string
}

// ledgers are what the vendors that are read have, by vendor.
func (w *world) ledgers() map[string][]simulated.Entry {
	all := w.sims.Ledgers()
	maps.DeleteFunc(all, func(vendor string, _ []simulated.Entry) bool { return w.only != "" && vendor != w.only })
	return all
}

// read leaves one vendor as the source that is read.
func (w *world) read(vendor string) {
	w.only = vendor
	own := "PARLEY_SOURCE_" + strings.ToUpper(strings.ReplaceAll(vendor, "-", "_")) + "_"
	w.environ = slices.DeleteFunc(w.environ, func(e string) bool {
		rest, is := strings.CutPrefix(e, own)
		return strings.HasPrefix(e, "PARLEY_SOURCE_") && (!is || strings.HasPrefix(rest, "REPORTS_"))
	})
	w.set("PARLEY_SOURCES", vendor)
}

// newWorld starts simulators in this process.
func newWorld(t testing.TB, s app.Simulation) *world {
	t.Helper()
	if s.Addr == "" {
		s.Addr = "127.0.0.1:0"
	}
	if s.LivePerHour == 0 {
		// The story stands still: what becomes visible between a run and the look at its files is no loss.
		now := time.Now()
		s.Now = func() time.Time { return now }
	}
	sims, err := app.Simulate(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = sims.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	w := &world{sims: sims, dir: t.TempDir(), environ: sims.Environ()}
	since := time.Now().AddDate(0, 0, -s.Days-1).UTC().Format(time.DateOnly)
	for _, e := range sims.Environ() {
		if name, ok := strings.CutSuffix(e[:strings.IndexByte(e, '=')], "_VENDOR"); ok {
			w.environ = append(w.environ, name+"_SINCE="+since, name+"_WINDOW=48h", name+"_INTERVAL=10s")
		}
	}
	w.set("PARLEY_DATA_DIR", filepath.Join(w.dir, "data"))
	w.set("PARLEY_SINKS", "files")
	w.set("PARLEY_SINK_FILES_URL", "file://"+filepath.Join(w.dir, "out")+"?rotate_age=1s")
	return w
}

func (w *world) set(name, value string) { w.environ = append(w.environ, name+"="+value) }

// change edits n chats of a vendor through the simulators' own interface.
func (w *world) change(t testing.TB, vendor string, n int) {
	t.Helper()
	url := fmt.Sprintf("%s/_sim/change?vendor=%s&n=%d", w.sims.Base(), vendor, n)
	resp, err := http.Post(url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("{%q:%d}\n", vendor, n); string(body) != want {
		t.Fatalf("change: %s; want %s", body, want)
	}
}

// files are the lines that the file sink wrote, by event id.
type files struct {
	events   map[string]events.Event
	twice    []string
	entities map[string]uint64 // the largest revision by entity id
}

// readFiles reads every finished file; a torn line fails the test.
func (w *world) readFiles(t testing.TB) files { return readFilesIn(t, filepath.Join(w.dir, "out")) }

func readFilesIn(t testing.TB, dir string) files {
	t.Helper()
	f := files{events: make(map[string]events.Event), entities: make(map[string]uint64)}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // the sink has not begun, or a file was finished while the folder was read
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		return f.read(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *files) read(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(content) == 0 || content[len(content)-1] != '\n' {
		return fmt.Errorf("%s does not end with a whole line", path)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		e, err := events.ParseStructured(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var entity struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(e.Data, &entity); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if _, is := f.events[e.ID]; is {
			f.twice = append(f.twice, e.ID)
		}
		f.events[e.ID] = e
		f.entities[entity.ID] = max(f.entities[entity.ID], e.Revision)
	}
	return lines.Err()
}

// wantAll holds files to the simulators' ledgers: every record, each event once, revisions without gaps.
func (w *world) wantAll(t testing.TB, f files) {
	t.Helper()
	if len(f.twice) > 0 {
		t.Errorf("%d events are in the files twice, such as %s", len(f.twice), f.twice[0])
	}
	for _, entity := range w.missing(f) {
		t.Errorf("%s is in no file", entity)
	}
	if wanted := w.wanted(); wanted == 0 || len(f.entities) != wanted {
		t.Errorf("%d entities in the files, %d at the vendors", len(f.entities), wanted)
	}
	count := 0
	for _, revision := range f.entities {
		count += int(revision)
	}
	if count != len(f.events) {
		t.Errorf("%d events and revisions up to %d: there are gaps", len(f.events), count)
	}
}

// missing are the entities that a vendor has and no file.
func (w *world) missing(f files) (all []string) {
	for vendor, ledger := range w.ledgers() {
		for _, e := range ledger {
			if !e.Malformed && f.entities[events.CanonicalID(vendor, vendor, e.Key)] == 0 {
				all = append(all, fmt.Sprintf("%s %s %q", vendor, e.Stream, e.Key))
			}
		}
	}
	return all
}

func TestASecondRunAddsNothingAndChangesComeAsRevisionTwo(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 3, Days: 6, Chats: 60})
	command(t, w.environ, "run", "--once").once(t, exitDone)
	first := w.readFiles(t)
	w.wantAll(t, first)
	for id, e := range first.events {
		if e.Revision != 1 {
			t.Errorf("%s has revision %d after one run", id, e.Revision)
		}
	}
	command(t, w.environ, "run", "--once").once(t, exitDone)
	if second := w.readFiles(t); len(second.events) != len(first.events) {
		t.Errorf("%d events after the second run, %d after the first", len(second.events), len(first.events))
	}
	for _, vendor := range w.sims.Names() {
		before := w.readFiles(t)
		w.change(t, vendor, 3)
		command(t, w.environ, "run", "--once").once(t, exitDone)
		fresh := 0
		after := w.readFiles(t)
		for id, e := range after.events {
			if _, was := before.events[id]; was {
				continue
			}
			fresh++
			if e.Revision != 2 || e.Vendor != vendor {
				t.Errorf("%s: new event %s of %s has revision %d; want 2", vendor, id, e.Vendor, e.Revision)
			}
		}
		if fresh != 3 {
			t.Errorf("%s: %d new events after 3 changes", vendor, fresh)
		}
		w.wantAll(t, after)
	}
}

// What changes behind the answers of one run is in the next one's, and a day that moves under a reading neither hides nor doubles anything.
func TestWhatChangesWhileARunReadsIsInTheNextOnes(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 5, Days: 2, Chats: 130, Faults: "late=0.15,midnight=0.1"})
	w.set("PARLEY_SOURCE_LIVELEADER_WINDOW", "1h") // it answers few requests otherwise
	versions := func() map[string]int {
		all := make(map[string]int)
		for vendor, ledger := range w.sims.Ledgers() {
			for _, e := range ledger {
				all[events.CanonicalID(vendor, vendor, e.Key)] = e.Version
			}
		}
		return all
	}
	command(t, w.environ, "run", "--once").once(t, exitDone)
	first, last, before := w.readFiles(t), files{}, versions()
	late := make(map[string]int) // by vendor
	for runs := 0; len(late) < len(w.sims.Names()); runs++ {
		if runs == 8 {
			t.Fatalf("changed are %v; want changes at every vendor: the test shows nothing", late)
		}
		since := versions()
		command(t, w.environ, "run", "--once").once(t, exitDone)
		last = w.readFiles(t)
		clear(late)
		for id, version := range since {
			if version == before[id] || before[id] == 0 {
				continue
			}
			vendor, _, _ := strings.Cut(id, ":")
			late[vendor]++
			if last.entities[id] <= first.entities[id] {
				t.Errorf("%s changed after the first run and before the last; its revision is still %d", id, last.entities[id])
			}
		}
	}
	w.wantAll(t, last)
}

func TestTheHelpOfSimulateNamesEveryFault(t *testing.T) {
	help := command(t, nil, "simulate", "--help").once(t, exitDone).stdout.String()
	_, faults, _ := strings.Cut(strings.Join(strings.Fields(help), " "), "there are ")
	for _, name := range simulated.FaultNames() {
		if !strings.Contains(faults, " "+name) && !strings.HasPrefix(faults, name) {
			t.Errorf("it does not name %s: %s", name, faults)
		}
	}
}

func TestKilledAtRandomMomentsTheFilesHoldEveryEventOnce(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 4, Days: 4, Chats: 150, Faults: "500=0.03,cut=0.003"})
	kills := 20
	for i := range kills {
		args := []string{"run"}
		if i%2 == 0 {
			args = append(args, "--once")
		}
		p := command(t, w.environ, args...)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		// Spread over start, fetching, processing, committing; a fixed set of moments, so that a failure can be tried again.
		moment := time.Duration(40+(i*i*37)%1900) * time.Millisecond
		select {
		case <-t.Context().Done():
		case <-time.After(moment):
		}
		_ = p.Process.Kill()
		_ = p.Wait()
		if i%5 == 4 {
			w.change(t, w.sims.Names()[i/5%len(w.sims.Names())], 2)
		}
	}
	command(t, w.environ, "run", "--once").once(t, exitDone)
	w.wantAll(t, w.readFiles(t))
}

// sharedServer is a NATS server for several processes: the embedded one of this process, over TCP.
func sharedServer(t testing.TB) (b *broker.Broker, url string) {
	t.Helper()
	dir := t.TempDir()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	return b, string(address)
}

// settled waits until the files hold as many entities as the vendors and nothing is left to be processed or delivered, and
// then a little longer: what would come twice has had its time.
func settled(t testing.TB, b *broker.Broker, w *world) {
	t.Helper()
	wanted := w.wanted()
	still, last := 0, -1
	var whole time.Time // when the files were first seen to hold every entity: what was fetched before that must be processed
	for deadline := time.Now().Add(8 * time.Minute); still < 5; {
		if time.Now().After(deadline) {
			t.Errorf("not settled within eight minutes; left are %s", unsettled(t, b))
			return
		}
		<-time.After(500 * time.Millisecond)
		f := w.readFiles(t)
		if len(f.entities) < wanted {
			continue
		}
		if whole.IsZero() {
			whole = time.Now()
		}
		// Live windows are read again all the time, so that RAW may never be seen empty.
		oldest, err := b.OldestUnprocessed(t.Context())
		state, sinkErr := b.ConsumerState(t.Context(), broker.Events, "sink-files")
		behind := !oldest.IsZero() && oldest.Before(whole)
		// A report is among the vendors' entities once it was asked for, so that windows which wait for a lost server are missed by nobody else.
		if err != nil || sinkErr != nil || behind || !state.Done() || len(f.events) != last || w.unread(t) > 0 {
			still, last, wanted = 0, len(f.events), w.wanted()
			continue
		}
		still++
	}
}

// unread counts the windows that were never read whole.
func (w *world) unread(t testing.TB) (n int) {
	t.Helper()
	p := command(t, append(slices.Clone(w.environ), "PARLEY_NATS_CREDS="+w.operator), "status", "--json").once(t, exitDone)
	var status struct {
		Sources []struct {
			Windows map[pollers.State]int
		}
	}
	if err := json.Unmarshal(p.stdout.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	for _, line := range status.Sources {
		n += line.Windows[pollers.StatePlanned] + line.Windows[pollers.StateFailed]
	}
	return n
}

// unsettled tells what is not done: windows, records, deliveries.
func unsettled(t testing.TB, b *broker.Broker) string {
	t.Helper()
	var out strings.Builder
	ledger, err := b.Bucket(t.Context(), broker.LedgerBucket)
	if err != nil {
		t.Fatal(err)
	}
	all, err := ledger.All(t.Context(), ">")
	if err != nil {
		t.Fatal(err)
	}
	for key, e := range all {
		if !bytes.Contains(e.Value, []byte(`"complete"`)) {
			fmt.Fprintf(&out, "\nwindow %s: %s", key, e.Value)
		}
	}
	queued, err := b.Subjects(t.Context(), broker.Windows, ">")
	fmt.Fprintf(&out, "\nqueued: %v %v", slices.Sorted(maps.Keys(queued)), err)
	for p := range 16 {
		if s, err := b.ConsumerState(t.Context(), broker.Raw, broker.PartitionConsumer(p).Name); err != nil || !s.Done() {
			fmt.Fprintf(&out, "\npartition %d: %+v %v", p, s, err)
		}
	}
	s, err := b.ConsumerState(t.Context(), broker.Events, "sink-files")
	fmt.Fprintf(&out, "\nsink: %+v %v", s, err)
	return out.String()
}

func TestTwoProcessorsKilledAtRandomLoseNothingAndDoubleNothing(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 5, Days: 4, Chats: 400})
	b, url := sharedServer(t)
	w.set("PARLEY_NATS_URL", url)
	started := func(args ...string) *parley {
		p := command(t, w.environ, args...)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	poll, sink := started("poll"), started("sink")
	processors := []*parley{started("process"), started("process")}
	for i := range 12 {
		<-time.After(time.Duration(150+(i*i*61)%900) * time.Millisecond)
		victim := i % len(processors)
		_ = processors[victim].Process.Kill()
		_ = processors[victim].Wait()
		if i%3 == 2 {
			w.change(t, w.sims.Names()[i/3], 3)
		}
		processors[victim] = started("process")
	}
	settled(t, b, w)
	for _, p := range append(processors, poll, sink) {
		_ = p.Process.Signal(os.Interrupt)
		if err := p.Wait(); err != nil {
			t.Errorf("%s ended with %v:\n%s", p.Args[1], err, p.stderr)
		}
	}
	w.wantAll(t, w.readFiles(t))
}

func TestABackfillOverrunsNeitherRawNorItsProcessors(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 6, Days: 4, Chats: 6000})
	const limit = 8 << 20
	w.set("PARLEY_RAW_MAX_BYTES", "8MiB")
	w.set("PARLEY_DATA_DIR", filepath.Join(w.dir, "limited"))
	server, err := broker.Open(t.Context(), broker.Options{DataDir: filepath.Join(w.dir, "server"), RawMaxBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	address, err := os.ReadFile(filepath.Join(w.dir, "server", "address"))
	if err != nil {
		t.Fatal(err)
	}
	w.set("PARLEY_NATS_URL", string(address))
	poll := command(t, w.environ, "poll")
	if err := poll.Start(); err != nil {
		t.Fatal(err)
	}
	var state broker.StreamState
	// Eight seconds after fetching had to stop it has not gone on.
	full := time.Time{}
	for deadline := time.Now().Add(2 * time.Minute); full.IsZero() || time.Since(full) < 8*time.Second; <-time.After(200 * time.Millisecond) {
		if state, err = server.StreamState(t.Context(), broker.Raw); err != nil {
			t.Fatal(err)
		}
		if state.Bytes > limit {
			t.Fatalf("RAW holds %d bytes of at most %d", state.Bytes, limit)
		}
		if full.IsZero() && state.Bytes > limit/2 {
			full = time.Now()
		}
		if full.IsZero() && time.Now().After(deadline) {
			t.Fatalf("RAW holds only %d bytes: the test shows nothing", state.Bytes)
		}
	}
	if state.FirstSeq != 1 {
		t.Errorf("RAW begins with %d: records were discarded before they were processed", state.FirstSeq)
	}
	_ = poll.Process.Kill()
	_ = poll.Wait()
}

func TestSecretsShowNowhere(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 7, Days: 3, Chats: 20, Malformed: 1})
	w.set("PARLEY_LOG_LEVEL", "debug")
	var secrets []string
	for _, e := range w.environ {
		name, value, _ := strings.Cut(e, "=")
		for _, word := range []string{"_PASSWORD", "_API_KEY", "_TOKEN"} {
			if strings.HasSuffix(name, word) {
				secrets = append(secrets, value)
			}
		}
	}
	if len(secrets) < 5 {
		t.Fatalf("%d secrets in the environment; want one of each vendor", len(secrets))
	}
	good := command(t, w.environ, "run", "--once").once(t, exitFailed) // the malformed records
	check := command(t, w.environ, "check", "--json").once(t, exitDone)
	// Every vendor refuses now, and says what it was sent.
	echo := echoServer(t)
	bad := slices.Clone(w.environ)
	for _, e := range w.environ {
		if name, _, _ := strings.Cut(e, "="); strings.HasSuffix(name, "_URL") && strings.HasPrefix(name, "PARLEY_SOURCE_") {
			bad = append(bad, name+"="+echo)
		}
	}
	// One stream of each: every window is tried again and again before a run gives it up.
	for _, e := range w.environ {
		name, value, _ := strings.Cut(e, "=")
		if source, is := strings.CutSuffix(name, "_VENDOR"); is {
			bad = append(bad, source+"_STREAMS="+map[string]string{
				"liveleader": "chats", "livechat": "chats", "livechat-reports": "chats/ratings", "liveagent": "conversations", "cobrowser": "conversations",
			}[value])
		}
	}
	refused := command(t, bad, "run", "--once").once(t, exitFailed)
	places := map[string][]byte{}
	for name, p := range map[string]*parley{"good run": good, "check": check, "refused run": refused} {
		places[name+"'s stdout"], places[name+"'s stderr"] = p.stdout.Bytes(), p.stderr.Bytes()
	}
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			places[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, content := range places {
		for _, form := range pollers.NewRedactor(secrets).Forms() {
			if bytes.Contains(content, []byte(form)) {
				t.Errorf("%s holds a secret in the form %q", place, form)
			}
		}
	}
}

// echoServer answers every request with 500 and all that it was sent.
func echoServer(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		http.Error(rw, fmt.Sprintf("you sent %s %s %v %s", r.URL.RawQuery, r.URL.Query().Encode(), r.Header, body), http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestDeadLettersAreListedExplainedReplayedAndDropped(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 12, Days: 2, Chats: 12, Malformed: 1})
	command(t, w.environ, "run", "--once").once(t, exitFailed)
	type listed struct {
		Sequence                    uint64
		Stage, Name, Reason, Vendor string
	}
	list := func(args ...string) (all []listed) {
		t.Helper()
		out := command(t, w.environ, append([]string{"dlq", "ls", "--json"}, args...)...).once(t, exitDone)
		decoder := json.NewDecoder(out.stdout)
		for decoder.More() {
			var l listed
			if err := decoder.Decode(&l); err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
		}
		return all
	}
	all := list()
	if len(all) < 4 {
		t.Fatalf("%d dead letters; want one of each vendor that has malformed records", len(all))
	}
	if some := list("--vendor", "cobrowser"); len(some) == 0 || len(some) == len(all) {
		t.Errorf("%d of %d are cobrowser's", len(some), len(all))
	}
	if none := list("--stage", "sink"); len(none) > 0 {
		t.Errorf("%v: no sink gave anything up", none)
	}
	first := all[0]
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"younger than an hour": {[]string{"--since", "1h"}, len(all)}, "older than an hour": {[]string{"--until", "1h"}, 0},
		"both": {[]string{"--since", "2h", "--until", "1h"}, 0}, "a reason that none has": {[]string{"--reason", "no such reason"}, 0},
		"its own reason, vendor and time": {[]string{"--reason", strings.ToUpper(first.Reason), "--vendor", first.Vendor, "--name", first.Name, "--since", "1h"}, -1},
	} {
		got := list(c.args...)
		if c.want >= 0 && len(got) != c.want || c.want < 0 && (len(got) == 0 || len(got) == len(all) || got[0].Reason != first.Reason) {
			t.Errorf("%s: %d of %d dead letters", name, len(got), len(all))
		}
	}
	number := fmt.Sprint(first.Sequence)
	shown := command(t, w.environ, "dlq", "show", number).once(t, exitDone).stdout.String()
	for _, want := range []string{first.Reason[:20], first.Vendor, "parley dlq replay " + number, "part 1 of"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the dead letter is shown without %q:\n%s", want, shown)
		}
	}
	command(t, w.environ, "dlq", "replay", "--dry-run", number).once(t, exitDone)
	command(t, w.environ, "dlq", "drop", "--dry-run", "--all").once(t, exitDone)
	if n := len(list()); n != len(all) {
		t.Fatalf("%d dead letters after dry runs; want %d", n, len(all))
	}
	// It fails again, and is a dead letter again: nothing is swallowed.
	command(t, w.environ, "dlq", "replay", number).once(t, exitDone)
	if n := len(list()); n != len(all)-1 {
		t.Errorf("%d dead letters after one was replayed; want %d", n, len(all)-1)
	}
	command(t, w.environ, "run", "--once").once(t, exitFailed)
	again := list()
	if !slices.ContainsFunc(again, func(l listed) bool { return l.Sequence > all[len(all)-1].Sequence && l.Reason == first.Reason }) {
		t.Errorf("%v after it failed again; want %q among the new ones", again, first.Reason)
	}
	command(t, w.environ, "dlq", "drop", "--all").once(t, exitDone)
	if left := list(); len(left) > 0 {
		t.Errorf("%v are left after all were dropped", left)
	}
	for name, args := range map[string][]string{
		"show": {"dlq", "show", "4711"}, "replay": {"dlq", "replay", "4711"}, "drop": {"dlq", "drop", "4711", fmt.Sprint(again[0].Sequence)},
	} {
		if said := command(t, w.environ, args...).once(t, exitUsage).stderr.String(); !strings.Contains(said, "no dead letter 4711") {
			t.Errorf("%s of a number that there is none of says %q", name, said)
		}
	}
	command(t, w.environ, "dlq", "drop").once(t, exitUsage)
	command(t, w.environ, "dlq", "ls", "--stage", "sinks").once(t, exitUsage)
}

func TestAReplayGivesStoredEventsToOneSinkAgainBesideItsLiveOnes(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 13, Days: 2, Chats: 15})
	command(t, w.environ, "run", "--once").once(t, exitDone)
	first := w.readFiles(t)
	run := command(t, w.environ, "run")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitForServer(t)
	said := command(t, w.environ, "replay", "files", "--from", "2020-01-01", "--filter", "conversation.livechat").once(t, exitDone).stdout.String()
	wanted := 0
	for _, e := range first.events {
		if e.Vendor == "livechat" {
			wanted++
		}
	}
	if want := fmt.Sprintf("%d events", wanted); !strings.Contains(said, want) || wanted == 0 {
		t.Errorf("it says %q; want %q", said, want)
	}
	var got files
	for deadline := time.Now().Add(2 * time.Minute); len(got.events) < wanted; <-time.After(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events came again\n%s", len(got.events), wanted, run.stderr)
		}
		got = readFilesIn(t, filepath.Join(w.dir, "out-replay"))
	}
	if len(got.events) != wanted || len(got.twice) > 0 {
		t.Errorf("%d events came again, %d of them twice; want %d", len(got.events), len(got.twice), wanted)
	}
	_ = run.Process.Signal(os.Interrupt)
	if err := run.Wait(); err != nil {
		t.Errorf("%v\n%s", err, run.stderr)
	}
	if live := w.readFiles(t); len(live.twice) > 0 || len(live.events) < len(first.events) {
		t.Errorf("the live files hold %d events, %d twice; want those that were there, once", len(live.events), len(live.twice))
	}
	if said := command(t, w.environ, "replay", "files", "--from", "2020-01-01", "--to", "2020-01-02").once(t, exitDone).stdout.String(); !strings.HasPrefix(said, "0 events") {
		t.Errorf("of a day without events it says %q", said)
	}
	// Slower than the rate is any machine now and then; faster is none.
	const rate = 3
	began := time.Now()
	slowly := command(t, w.environ, "replay", "files", "--from", "2020-01-01", "--filter", "conversation.livechat", "--rate", fmt.Sprint(rate)).once(t, exitDone)
	if took, least := time.Since(began), time.Duration(wanted-1)*time.Second/rate; wanted < 10 || took < least {
		t.Errorf("%d events at %d a second took %s; want %s at least", wanted, rate, took, least)
	}
	if !strings.Contains(slowly.stderr.String(), "progress: files ") {
		t.Errorf("no progress is seen in %q", slowly.stderr)
	}
	command(t, w.environ, "replay", "files", "--from", "2020-01-01", "--rate", "-1").once(t, exitUsage)
	command(t, w.environ, "replay", "nobody", "--from", "2020-01-01").once(t, exitUsage)
	command(t, w.environ, "replay", "files", "--from", "yesterday").once(t, exitUsage)
}

func TestStoredRecordsAreReprocessedWhetherAParleyRunsOrNot(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 14, Days: 2, Chats: 15, Malformed: 1})
	command(t, w.environ, "run", "--once").once(t, exitFailed) // the malformed records
	first := w.readFiles(t)
	request := []string{"reprocess", "livechat", "--from", "2020-01-01"}
	said := func(args ...string) string {
		t.Helper()
		p := command(t, w.environ, append(slices.Clone(request), args...)...).once(t, exitDone)
		if !strings.Contains(p.stderr.String(), "dlq ls --stage process") {
			t.Errorf("it does not say where the malformed record is:\n%s", p.stderr)
		}
		return p.stdout.String()
	}
	for what, got := range map[string]string{"a trial": said("--dry-run"), "alone": said()} {
		if !strings.Contains(got, "0 new events, 1 record cannot be read") || strings.HasPrefix(got, "0 records") {
			t.Errorf("%s says %q; want records, no event and the malformed one", what, got)
		}
	}
	run := command(t, w.environ, "run")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitForServer(t)
	if got := said(); !strings.Contains(got, "0 new events, 1 record cannot be read") {
		t.Errorf("beside a running parley it says %q", got)
	}
	_ = run.Process.Signal(os.Interrupt)
	if err := run.Wait(); err != nil {
		t.Errorf("%v\n%s", err, run.stderr)
	}
	if f := w.readFiles(t); len(f.events) != len(first.events) {
		t.Errorf("%d events in the files, %d before", len(f.events), len(first.events))
	}
	command(t, w.environ, "reprocess", "nobody", "--from", "2020-01-01").once(t, exitUsage)
	command(t, w.environ, "reprocess", "livechat", "--from", "yesterday").once(t, exitUsage)
	command(t, w.environ, "reprocess", "livechat", "--from", time.Now().AddDate(0, 0, 2).Format(time.DateOnly)).once(t, exitUsage)
	command(t, w.environ, "reprocess", "livechat", "--from", "2026-01-02", "--to", "2026-01-01").once(t, exitUsage)
}

func TestWrongCredentialsPauseTheSourceWithOneClearLine(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 8, Days: 3, Chats: 20})
	w.set("PARLEY_SOURCE_LIVELEADER_PASSWORD", "not-the-password")
	p := command(t, w.environ, "run", "--once").once(t, exitFailed)
	said := 0
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, "refuses the credentials") {
			said++
			if !strings.Contains(line, "liveleader") || !strings.Contains(line, "PARLEY_SOURCE_LIVELEADER_PASSWORD") {
				t.Errorf("the line does not name source and variable: %s", line)
			}
		}
	}
	if said != 1 {
		t.Errorf("%d lines say that the credentials are refused; want one\n%s", said, p.stderr)
	}
	f := w.readFiles(t)
	for id, e := range f.events {
		if e.Vendor == "liveleader" {
			t.Errorf("%s was read without credentials", id)
		}
	}
	if len(f.events) == 0 {
		t.Error("the other sources were not read")
	}
	// The password is right again: the windows were not burnt.
	w.set("PARLEY_SOURCE_LIVELEADER_PASSWORD", value(w.sims.Environ(), "PARLEY_SOURCE_LIVELEADER_PASSWORD"))
	command(t, w.environ, "run", "--once").once(t, exitDone)
	w.wantAll(t, w.readFiles(t))
}

func value(environ []string, name string) string {
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

func TestAWrongConfigurationIsRefusedWithAllItsFaults(t *testing.T) {
	p := command(t, []string{
		"PARLEY_SOURCES=a,b", "PARLEY_SOURCE_A_VENDOR=liveleader", "PARLEY_SOURCE_A_EMAIL=x@y.example", "PARLEY_SOURCE_A_INTERVAL=often",
		"PARLEY_SOURCE_A_TIMEZONE=Mars/Olympus", "PARLEY_SOURCE_B_VENDOR=livchat", "PARLEY_SORUCES=typo", "PARLEY_PRIVACY=visitor.ipp=drop",
		"PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file:out?format=docx",
	}, "run").once(t, exitUsage)
	for _, want := range []string{
		"PARLEY_SOURCE_A_PASSWORD", "PARLEY_SOURCE_A_INTERVAL", `"often"`, "PARLEY_SOURCE_A_TIMEZONE", "PARLEY_SOURCE_B_VENDOR", `"livchat"`,
		"PARLEY_SORUCES", "PARLEY_SINK_FILES_URL", "docx", "PARLEY_PRIVACY",
	} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("the faults do not mention %s:\n%s", want, p.stderr)
		}
	}
	for want, args := range map[string][]string{
		`--since: is "yesterday", want a duration such as 90s`: {"dlq", "ls", "--since", "yesterday"},
		`--rate: is "fast", want a whole number`:               {"replay", "files", "--from", "2026-01-01", "--rate", "fast"},
		`<number>: is "one", want a whole number`:              {"dlq", "show", "one"},
		"--rate: want a number above 0":                        {"replay", "files", "--from", "2026-01-01", "--rate=-1"},
	} {
		if said := command(t, nil, args...).once(t, exitUsage).stderr.String(); !strings.Contains(said, want) {
			t.Errorf("%v says %q, want %q", args, said, want)
		}
	}
	for name, args := range map[string][]string{"an unknown command": {"fly"}, "an unknown flag": {"run", "--fast"}, "a bad fault": {"simulate", "--fault", "quake"}} {
		t.Run(name, func(t *testing.T) { command(t, nil, args...).once(t, exitUsage) })
	}
	if said := command(t, nil, "poll").once(t, exitUsage).stderr.String(); !strings.Contains(said, "PARLEY_NATS_URL") {
		t.Errorf("a role alone does not ask for a server: %s", said)
	}
}

func TestASecondProcessOnTheSameDataDirectoryIsRefused(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 9, Days: 2, Chats: 10})
	first := command(t, w.environ, "run")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitForServer(t)
	said := command(t, w.environ, "run").once(t, exitFailed).stderr.String()
	if !strings.Contains(said, "PARLEY_DATA_DIR") || !strings.Contains(said, fmt.Sprint(first.Process.Pid)) {
		t.Errorf("the error names neither the directory's variable nor the process that holds it: %s", said)
	}
	_ = first.Process.Signal(os.Interrupt)
	if err := first.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v\n%s", err, first.stderr)
	}
}

func TestTheDemoEndsWithEverySeededChatInItsFiles(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := command(t, nil, "demo", "--once").once(t, exitDone)
	edits := 3 * len(catalog.Vendors())
	for _, want := range []string{fmt.Sprintf("%d of %d edits as their next revision; 0 of", edits, edits), "The files are in", "liveagent", "dead letters"} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, p.stdout)
		}
	}
}

func TestTailShowsEventsOfARunningParleyMasked(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 10, Days: 2, Chats: 10, LivePerHour: 7200})
	run := command(t, w.environ, "run")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitForServer(t)
	tail := command(t, w.environ, "tail", "conversation.liveleader")
	shown, err := os.Create(filepath.Join(w.dir, "shown"))
	if err != nil {
		t.Fatal(err)
	}
	tail.Stdout = shown
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	var content []byte
	for deadline := time.Now().Add(60 * time.Second); bytes.Count(content, []byte("\n")) < 5; <-time.After(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the tail shows only:\n%s", content)
		}
		if content, err = os.ReadFile(shown.Name()); err != nil {
			t.Fatal(err)
		}
	}
	for line := range bytes.Lines(content) {
		if bytes.Contains(line, []byte("@")) || bytes.Contains(line, []byte("198.51.100.")) || !bytes.Contains(line, []byte("conversation created liveleader/")) {
			t.Errorf("want the source's conversations without personal data, got %s", line)
		}
	}
	for _, p := range []*parley{tail, run} {
		_ = p.Process.Signal(os.Interrupt)
		if err := p.Wait(); err != nil {
			t.Errorf("%s: Ctrl-C: %v\n%s", p.Args[1], err, p.stderr)
		}
	}
}

func TestAnAccountWithoutATurnIsNotAskedAndWhoIsStoppedFirstFails(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 12, Days: 2, Chats: 10})
	w.set("PARLEY_SOURCE_COBROWSER_RATE", "1/h")
	run := command(t, w.environ, "run")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitForServer(t)
	until := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !is(); <-time.After(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within a minute: %s\n%s", what, run.stderr)
			}
		}
	}
	until("the turn of this hour is taken", func() bool {
		check := command(t, w.environ, "check")
		return check.Run() == nil && strings.Contains(check.stdout.String(), "is not asked")
	})
	day := func(ago int) string { return time.Now().AddDate(0, 0, -ago).UTC().Format(time.DateOnly) }
	backfill := command(t, w.environ, "backfill", "cobrowser", "--from", day(20), "--to", day(10))
	said, err := os.Create(filepath.Join(w.dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	backfill.Stderr = said
	if err := backfill.Start(); err != nil {
		t.Fatal(err)
	}
	until("the backfill is followed", func() bool {
		text, err := os.ReadFile(said.Name())
		return err == nil && bytes.Contains(text, []byte("is asked for"))
	})
	for p, want := range map[*parley]int{backfill: exitFailed, run: exitDone} {
		_ = p.Process.Signal(os.Interrupt)
		_ = p.Wait()
		if got := p.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: Ctrl-C: exit %d, want %d\n%s", p.Args[1], got, want, p.stderr)
		}
	}
}

// waitForServer waits until the parley that was started says where its embedded server is.
func (w *world) waitForServer(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(w.dir, "data", "address")); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatal("the process does not start its server")
		}
	}
}
