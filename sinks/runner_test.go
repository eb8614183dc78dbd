package sinks_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/file"
	"github.com/parley-stream/parley/sinks/internal/formattest"
	"github.com/parley-stream/parley/sinks/object"
	"github.com/parley-stream/parley/sinks/s3test"
	"github.com/parley-stream/parley/sinks/sinktest"
	"github.com/parley-stream/parley/sinks/webhook"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SINKS_TEST_CHILD"); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

func openBroker(t testing.TB) *broker.Broker {
	t.Helper()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: t.TempDir(), SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// publish stores events of 50 entities, numbered by their revisions.
func publish(t testing.TB, b *broker.Broker, from, to int) {
	t.Helper()
	var messages []broker.Message
	for n := from; n <= to; n++ {
		entity := fmt.Sprint("e", n%50)
		e := sinktest.Event(entity, uint64(n))
		e.Time = e.Time.AddDate(0, 0, n%3)
		h := map[string][]string{}
		e.SetHeaders(h)
		messages = append(messages, broker.Message{Subject: "parley.events.conversation.acme.eu." + entity, Header: h, Data: e.Data})
	}
	for chunk := range slices.Chunk(messages, 1000) {
		if _, err := b.PublishAtomic(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
}

func fileSink(t testing.TB, dir, query string) sinks.Opener {
	vars := settings.New("", nil)
	open := file.New(sinks.Settings{}, vars, &url.URL{Scheme: "file", Path: dir, RawQuery: query}, sinks.Env{})
	if f := vars.Faults(); f != nil {
		t.Fatal(f)
	}
	return open
}

// run starts a runner and gives a function that stops it.
func run(t testing.TB, r *sinks.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func drain(t testing.TB, r *sinks.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Fatalf("drain: %v; %+v", err, r.Stats())
	}
}

// drainWhileItMoves drains however long it takes, as long as something is delivered: after many kills the backlog is all that was published, and how
// fast a disk is says nothing about a sink. Nobody can begin for ten seconds after its owner was killed.
func drainWhileItMoves(t testing.TB, r *sinks.Runner) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Drain(ctx) }()
	for delivered := uint64(0); ; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("drain: %v; %+v", err, r.Stats())
			}
			return
		case <-time.After(time.Minute):
		}
		now := r.Stats().Delivered
		if now == delivered {
			t.Fatalf("nothing was delivered for a minute: %+v", r.Stats())
		}
		delivered = now
	}
}

// revisions reads the files: each must be whole, and in one file entities are in order.
func revisions(t testing.TB, dir string) (got []int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "[a-z]*/*/*/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := formattest.Read(name, content)
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]uint64{}
		for _, e := range list {
			if e.Revision <= last[e.Subject] {
				t.Errorf("%s: revision %d of %s after %d", name, e.Revision, e.Subject, last[e.Subject])
			}
			last[e.Subject] = e.Revision
			got = append(got, int(e.Revision))
		}
	}
	slices.Sort(got)
	return got
}

func wantOnce(t testing.TB, got []int, n int) {
	t.Helper()
	want := make([]int, n)
	for i := range want {
		want[i] = i + 1
	}
	if slices.Equal(got, want) {
		return
	}
	count := map[int]int{}
	for _, r := range got {
		count[r]++
	}
	lost, twice := []int{}, []int{}
	for _, r := range want {
		switch {
		case count[r] == 0:
			lost = append(lost, r)
		case count[r] > 1:
			twice = append(twice, r)
		}
	}
	t.Errorf("%d events, want %d; lost %d: %v; more than once %d: %v", len(got), n, len(lost), lost[:min(len(lost), 20)], len(twice), twice[:min(len(twice), 20)])
}

// The server counts an event for its consumers some time after it has acknowledged it.
func TestADrainWaitsForWhatWasPublishedJustBefore(t *testing.T) {
	t.Parallel()
	b := openBroker(t)
	hook := &peer{}
	r := sinks.NewRunner("hook", b, sinks.Requests(hook.open, sinks.RequestOptions{}), sinks.Options{})
	run(t, r)
	for n := 1; n <= 25; n++ {
		publish(t, b, n, n)
		drain(t, r)
		if got := r.Stats().Delivered; got != uint64(n) {
			t.Fatalf("%d events are delivered after a drain, want %d", got, n)
		}
	}
}

func TestADrainLeavesEveryEventOnceInFiles(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	r := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	stop := run(t, r)
	drain(t, r) // of nothing
	publish(t, b, 1, 3000)
	drain(t, r)
	wantOnce(t, revisions(t, dir), 3000)
	state, err := b.ConsumerState(t.Context(), broker.Events, "sink-archive")
	if err != nil || !state.Done() || state.AckFloor != 3000 {
		t.Errorf("consumer: %+v, %v", state, err)
	}
	publish(t, b, 3001, 3010)
	stop()
	wantOnce(t, revisions(t, dir), len(revisions(t, dir)))
	second := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	run(t, second)
	drain(t, second)
	wantOnce(t, revisions(t, dir), 3010)
	if s := second.Stats(); s.DeadLetters != 0 || s.Failing || !s.Owner && s.Delivered > 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAStandbyTakesOverWhenTheOwnerStops(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	first := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	second := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	publish(t, b, 1, 500)
	stop := run(t, first)
	drain(t, first)
	run(t, second)
	publish(t, b, 501, 1000)
	stop()
	publish(t, b, 1001, 1500)
	drain(t, second)
	wantOnce(t, revisions(t, dir), 1500)
	if first.Stats().Owner || !second.Stats().Owner {
		t.Errorf("owners: %v, %v; want the second", first.Stats().Owner, second.Stats().Owner)
	}
}

func TestANewOwnerGetsWhatADeadOneHeldAtOnce(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	publish(t, b, 1, 100)
	lost, err := b.Consumer(t.Context(), broker.ConsumerConfig{
		Stream: broker.Events, Name: "sink-archive", Filters: []string{"parley.events.>"}, Pinned: true, MaxAckPending: 1000, AckWait: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lost.Next(t.Context(), 200); !errors.Is(err, broker.ErrNewOwner) {
		t.Fatal(err)
	}
	lost.Close()
	r := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	run(t, r)
	drain(t, r)
	wantOnce(t, revisions(t, dir), 100)
}

func TestMoreUnclosedEventsThanTheServerAllowsAreFlushed(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	r := sinks.NewRunner("archive", b, fileSink(t, dir, "rotate_age=1h"), sinks.Options{MaxAckPending: 1000})
	publish(t, b, 1, 5000)
	run(t, r)
	drain(t, r)
	wantOnce(t, revisions(t, dir), 5000)
}

func TestStartIsFixedAtTheFirstStart(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 10)
	for name, c := range map[string]struct {
		start sinks.Start
		want  int
	}{"fromnew": {sinks.Start{New: true}, 5}, "fromall": {sinks.Start{}, 15}, "fromtime": {sinks.Start{At: time.Now().Add(time.Hour)}, 0}} {
		dir := t.TempDir()
		r := sinks.NewRunner(name, b, fileSink(t, dir, ""), sinks.Options{Start: c.start})
		stop := run(t, r)
		drain(t, r)
		if name == "fromnew" {
			publish(t, b, 11, 15)
			drain(t, r)
		} else {
			c.want = min(c.want, 15)
		}
		stop()
		again := sinks.NewRunner(name, b, fileSink(t, dir, ""), sinks.Options{})
		run(t, again)
		drain(t, again)
		got := len(revisions(t, dir))
		if name == "fromall" && got != 10 && got != 15 || name != "fromall" && got != c.want {
			t.Errorf("%s: %d events, want %d", name, got, c.want)
		}
	}
}

// What was stored before a sink's time is not its own; from there on it has everything once, also what comes while it starts, stops and starts again.
func TestASinkThatStartsAtATimeHasEverythingFromThereOnOnce(t *testing.T) {
	for name, start := range map[string]func(at time.Time) sinks.Start{
		"at-a-time": func(at time.Time) sinks.Start { return sinks.Start{At: at} }, "with-what-is-new": func(time.Time) sinks.Start { return sinks.Start{New: true} },
	} {
		t.Run(name, func(t *testing.T) {
			b, dir := openBroker(t), t.TempDir()
			publish(t, b, 1, 300)
			at := time.Now() // the server is this process: what is stored next is later
			o := sinks.Options{Start: start(at)}
			first := sinks.NewRunner(name, b, fileSink(t, dir, ""), o)
			if o.Start.New {
				if err := first.Provision(t.Context()); err != nil { // from here on all is new
					t.Fatal(err)
				}
			}
			publish(t, b, 301, 600)
			stop := run(t, first)
			publish(t, b, 601, 900)
			drain(t, first)
			stop()
			publish(t, b, 901, 1200) // nobody runs it
			second := sinks.NewRunner(name, b, fileSink(t, dir, ""), o)
			run(t, second)
			publish(t, b, 1201, 1500)
			drain(t, second)
			got := revisions(t, dir)
			if len(got) == 0 || got[0] != 301 {
				t.Fatalf("%d events, from %v; want 1,200 from 301", len(got), got[:min(len(got), 1)])
			}
			for i := range got {
				got[i] -= 300
			}
			wantOnce(t, got, 1200)
		})
	}
}

func TestAFilterChoosesEvents(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	publish(t, b, 1, 100)
	e := sinktest.Event("r", 1)
	e.Type = "dev.parley.rating.created"
	h := map[string][]string{}
	e.SetHeaders(h)
	if res := b.Publish(t.Context(), []broker.Message{{Subject: "parley.events.rating.acme.eu.r", Header: h, Data: e.Data}}); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	r := sinks.NewRunner("ratings", b, fileSink(t, dir, ""), sinks.Options{Filter: []string{"rating"}})
	run(t, r)
	drain(t, r)
	wantOnce(t, revisions(t, dir), 1)
}

// picky is a sink that refuses some events, and fails as it is told.
type picky struct {
	mu     sync.Mutex
	refuse map[uint64]bool
	fail   func(attempt int) error
	tries  int
	got    []uint64
}

func (p *picky) open(context.Context, sinks.Ownership) (sinks.Sink, error) { return p, nil }

func (p *picky) Deliver(_ context.Context, b sinks.Batch) ([]uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b.Items) == 0 {
		return nil, nil
	}
	p.tries++
	if p.fail != nil {
		if err := p.fail(p.tries); err != nil {
			return nil, err
		}
	}
	for _, i := range b.Items {
		if p.refuse[i.Sequence] {
			return nil, events.Permanent(fmt.Errorf("post: %w", &sinks.Refused{Sequence: i.Sequence, Err: errors.New("410 gone")}))
		}
	}
	var durable []uint64
	for _, i := range b.Items {
		p.got = append(p.got, i.Sequence)
		durable = append(durable, i.Sequence)
	}
	return durable, nil
}

func (p *picky) Flush(context.Context) ([]uint64, error) { return nil, nil }
func (p *picky) Close() error                            { return nil }

func dead(t *testing.T, b *broker.Broker, subject string) (all []broker.Message) {
	t.Helper()
	c, err := b.Consumer(t.Context(), broker.ConsumerConfig{Stream: broker.Dead, Name: "look", Filters: []string{subject}, AckWait: time.Minute, MaxAckPending: 1000})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Next(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range batch {
		all = append(all, d.Message)
	}
	return all
}

func TestARefusedEventIsDeadLetteredWholeAndTheOthersGoOn(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 20)
	// Something that is no event at all, too.
	if res := b.Publish(t.Context(), []broker.Message{{Subject: "parley.events.conversation.acme.eu.bad", Data: []byte("?")}}); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	p := &picky{refuse: map[uint64]bool{3: true, 4: true, 17: true}}
	r := sinks.NewRunner("hook", b, p.open, sinks.Options{})
	run(t, r)
	drain(t, r)
	if want := []uint64{1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20}; !slices.Equal(p.got, want) {
		t.Errorf("got %v, want %v", p.got, want)
	}
	letters := dead(t, b, "parley.dead.sink.hook")
	if len(letters) != 4 || r.Stats().DeadLetters != 4 {
		t.Fatalf("got %d dead letters, counted %d; want 4", len(letters), r.Stats().DeadLetters)
	}
	for _, m := range letters {
		letter, err := events.ReadDeadLetter(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		if letter.Sequence == 21 {
			if !strings.Contains(letter.Reason, "cloudevents attribute") || string(m.Data) != "?" {
				t.Errorf("got %+v with %q", letter, m.Data)
			}
			continue
		}
		e, err := events.FromMessage(m.Header, m.Data)
		if err != nil || e.Revision != letter.Sequence || string(e.Data) != string(sinktest.Event("", e.Revision).Data) {
			t.Errorf("the event of %+v: %+v, %v", letter, e, err)
		}
		if letter.Reason != "410 gone" || letter.Stage != "sink" || letter.Name != "hook" || letter.Attempts < 1 || letter.Stream != broker.Events || letter.Subject == "" {
			t.Errorf("got %+v", letter)
		}
	}
}

func TestAReplayGivesNothingOfAForgottenPersonAndTheOthers(t *testing.T) {
	b := openBroker(t)
	event := func(entity, email string) broker.Message {
		e := sinktest.Event(entity, 1)
		e.Data = fmt.Appendf(nil, `{"id":"acme:eu:%[1]s","vendor":"acme","source":"eu","vendor_id":"%[1]s","visitor":{"email":"%[2]s"}}`, entity, email)
		h := map[string][]string{}
		e.SetHeaders(h)
		return broker.Message{Subject: "parley.replay.hook.conversation.acme.eu." + entity, Header: h, Data: e.Data}
	}
	anothers := event("b0", "bob@visitor.example") // keeps the block that holds all of them
	anothers.Subject = "parley.replay.other.conversation.acme.eu.b0"
	for _, r := range b.Publish(t.Context(), []broker.Message{
		anothers, event("a1", "ann@visitor.example"), event("b1", "bob@visitor.example"), event("a2", "Ann@Visitor.example"), event("b2", "bob@visitor.example"),
	}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	erased, err := b.Erased(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest := erased.Key().Identifier(events.Identifier{Kind: events.ByEmail, Value: "ann@visitor.example"})
	if _, err := erased.Remember(t.Context(), []string{digest}, time.Now()); err != nil {
		t.Fatal(err)
	}
	p := &picky{}
	r := sinks.NewRunner("hook", b, p.open, sinks.Options{Replay: true})
	run(t, r)
	drain(t, r)
	if !slices.Equal(p.got, []uint64{3, 5}) {
		t.Errorf("got %v; want the other's", p.got)
	}
	if state, err := b.StreamState(t.Context(), broker.Replay); err != nil || state.Messages != 1 {
		t.Errorf("%d are left, %v; want the other sink's", state.Messages, err)
	}
	blocks, err := filepath.Glob(filepath.Join(b.Options().DataDir, "nats", "jetstream", "*", "streams", broker.Replay, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("%v, %v; want the replays' blocks", blocks, err)
	}
	for _, block := range blocks { // who was acknowledged alone would still stand there
		content, err := os.ReadFile(block)
		if err != nil || strings.Contains(strings.ToLower(string(content)), "ann@visitor.example") {
			t.Errorf("%s: %v, or the person stands in it", block, err)
		}
	}
}

// deadBroker fails to publish dead letters for a while, and looks at what is acknowledged meanwhile.
type deadBroker struct {
	*broker.Broker
	t     *testing.T
	fails int
	tries int
}

func (d *deadBroker) Bury(ctx context.Context, m broker.Message) broker.Result {
	if d.tries++; d.tries <= d.fails {
		state, err := d.ConsumerState(ctx, broker.Events, "sink-hook")
		if err != nil || state.AckFloor != 0 {
			d.t.Errorf("before the dead letter is stored: %+v, %v; want nothing acknowledged", state, err)
		}
		return broker.Result{Err: errors.New("no responders")}
	}
	return d.Broker.Bury(ctx, m)
}

func TestADeadLetterIsStoredBeforeItsEventIsAcknowledged(t *testing.T) {
	b := &deadBroker{Broker: openBroker(t), t: t, fails: 2}
	publish(t, b.Broker, 1, 1)
	p := &picky{refuse: map[uint64]bool{1: true}}
	r := sinks.NewRunner("hook", b, p.open, sinks.Options{})
	run(t, r)
	drain(t, r)
	if got := dead(t, b.Broker, "parley.dead.sink.hook"); len(got) != 1 || b.tries != 3 {
		t.Errorf("%d dead letters after %d attempts, want 1 after 3", len(got), b.tries)
	}
}

func TestAFailingSinkIsTriedInPlaceAndAnotherGoesOn(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	publish(t, b, 1, 1000)
	p := &picky{fail: func(int) error { return errors.New("down") }}
	failing := sinks.NewRunner("hook", b, p.open, sinks.Options{})
	healthy := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	run(t, failing)
	run(t, healthy)
	drain(t, healthy)
	wantOnce(t, revisions(t, dir), 1000)
	if s := failing.Stats(); !s.Failing || s.LastError != "down" || s.Delivered != 0 {
		t.Errorf("the failing one: %+v", s)
	}
	p.mu.Lock()
	p.fail = nil
	p.mu.Unlock()
	drain(t, failing)
	if !slices.IsSorted(p.got) || len(slices.Compact(p.got)) != 1000 || len(p.got) != 1000 {
		t.Errorf("got %d events after the recovery, in order: %v", len(p.got), slices.IsSorted(p.got))
	}
}

func TestASinkThatLostWhatItTookGetsItAgain(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 100)
	p := &picky{fail: func(attempt int) error {
		if attempt == 1 {
			return fmt.Errorf("sync: %w", sinks.ErrReopen)
		}
		return nil
	}}
	r := sinks.NewRunner("hook", b, p.open, sinks.Options{})
	run(t, r)
	drain(t, r)
	if len(p.got) != 100 || !slices.IsSorted(p.got) {
		t.Errorf("got %v", p.got)
	}
}

// largeEvent stores an event whose data lies in the object store.
func largeEvent(t *testing.T, b *broker.Broker, entity string) events.Event {
	t.Helper()
	e := sinktest.Event(entity, 1)
	e.Data = fmt.Appendf(nil, `{"text":"%s%s"}`, entity, strings.Repeat("x", 8<<20))
	if err := b.Offload(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	h := map[string][]string{}
	e.SetHeaders(h)
	if res := b.Publish(t.Context(), []broker.Message{{Subject: "parley.events.conversation.acme.eu." + entity, Header: h}}); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	return e
}

func TestLargeDataIsResolved(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	largeEvent(t, b, "big")
	const size = 8 << 20
	r := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	run(t, r)
	drain(t, r)
	names, _ := filepath.Glob(filepath.Join(dir, "*/*/*/*/*.ndjson"))
	if len(names) != 1 {
		t.Fatalf("got %v", names)
	}
	if info, err := os.Stat(names[0]); err != nil || info.Size() < size {
		t.Errorf("the file has %d bytes, want over %d; %v", info.Size(), size, err)
	}
}

// child runs a file sink on the server of the parent until it is killed, or drains it.
func child(dataDir string) {
	ctx := context.Background()
	b, err := broker.Attach(ctx, broker.Options{DataDir: dataDir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	vars := settings.New("", map[string]string{"URL": os.Getenv("SINKS_TEST_HOOK")})
	u := &url.URL{Scheme: "file", Path: os.Getenv("SINKS_TEST_OUT"), RawQuery: os.Getenv("SINKS_TEST_QUERY")}
	open := file.New(sinks.Settings{}, vars, u, sinks.Env{})
	if text := os.Getenv("SINKS_TEST_URL"); text != "" {
		open = objectSink(text, os.TempDir())
	}
	r := sinks.NewRunner("archive", b, open, sinks.Options{})
	if os.Getenv("SINKS_TEST_HOOK") != "" {
		s := sinks.DecodeSettings("hook", vars)
		r = sinks.NewRunner("hook", b, webhook.New(s, vars, s.URL, sinks.Env{}), sinks.Options{})
	}
	fmt.Println("runs")
	go sayOwnership(r) // until it is killed
	if err := r.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// sayOwnership tells the parent when this process gets the sink, and when it loses it.
func sayOwnership(r *sinks.Runner) {
	said := false
	for range time.Tick(time.Millisecond) {
		if is := r.Stats().Owner; is != said {
			said = is
			fmt.Println(map[bool]string{true: "owns", false: "stands by"}[is])
		}
	}
}

// victim is a child that is to be killed.
type victim struct {
	*exec.Cmd
	owns atomic.Bool
	read sync.WaitGroup
}

// spawn starts a child that runs a sink, and returns when it does.
func spawn(t *testing.T, dataDir string, variables ...string) *victim {
	v := &victim{Cmd: exec.Command(os.Args[0])}
	v.Env = append(append(os.Environ(), "SINKS_TEST_CHILD="+dataDir), variables...)
	v.Stderr = os.Stderr
	out, err := v.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	v.read.Go(func() {
		for lines.Scan() {
			v.owns.Store(lines.Text() == "owns")
		}
	})
	return v
}

// kill kills it, and tells whether it had the sink.
func (v *victim) kill() bool {
	_ = v.Process.Kill()
	v.read.Wait()
	_ = v.Wait()
	return v.owns.Load()
}

// depose takes the ownership of a consumer of EVENTS from who is dead. Its pin would lapse in ten seconds, and whoever is killed meanwhile has nothing in
// hand: most of a hundred kills would show nothing.
func depose(t *testing.T, dataDir, consumer string) {
	t.Helper()
	address, err := os.ReadFile(filepath.Join(dataDir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(address))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const ask = `{"group":"owner"}`
	_, err = fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"auth_token\":%q}\r\nSUB answer 1\r\nPUB $JS.API.CONSUMER.UNPIN.%s.%s answer %d\r\n%s\r\n",
		u.User.Username(), broker.Events, consumer, len(ask), ask)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if text := lines.Text(); strings.HasPrefix(text, "{") {
			if strings.Contains(text, `"error"`) {
				t.Errorf("unpin %s: %s", consumer, text)
			}
			return
		}
	}
	t.Errorf("the server did not say that it unpinned %s", consumer)
}

func TestKilledProcessesLeaveEveryEventOnce(t *testing.T) {
	// A Parquet file is closed by about what its events hold in memory, 1.5 KiB beside the data of each: of 16 KB it would have ten. The files of a
	// path are committed one after the other, each waiting for the disk five times, so that a backlog in files so small is bounded by that alone.
	for query, kills := range map[string]int{
		"rotate_size=16KB": 6, "rotate_size=16KB&compress=gzip": 3, "rotate_size=16KB&format=csv&compress=zstd": 3, "rotate_size=256KB&format=parquet": 3,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel() // most of the time goes by until a dead owner's pin has lapsed
			dir, query := t.TempDir(), query+"&rotate_age=1s"
			read := func(t *testing.T) []int { return revisions(t, dir) }
			killed(t, fileSink(t, dir, query), read, func() {}, kills, "SINKS_TEST_OUT="+dir, "SINKS_TEST_QUERY="+query)
		})
	}
}

func TestALoaderThatMovesFilesAwayBesideKilledProcessesHasEveryEventOnce(t *testing.T) {
	t.Parallel()
	dir, loaded, query := t.TempDir(), t.TempDir(), "rotate_size=16KB&rotate_age=1s"
	load := func() {
		names, err := filepath.Glob(filepath.Join(dir, "[a-z]*/*/*/*/*.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			at, _ := filepath.Rel(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(loaded, at)), 0o700), os.Rename(name, filepath.Join(loaded, at))); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(t *testing.T) []int {
		if len(revisions(t, loaded)) == 0 {
			t.Error("the loader found nothing before the end")
		}
		load() // a file that comes again would replace the one that was moved away
		return revisions(t, loaded)
	}
	killed(t, fileSink(t, dir, query), read, load, 6, "SINKS_TEST_OUT="+dir, "SINKS_TEST_QUERY="+query)
}

// objectSink takes its credentials from the standard variables.
func objectSink(text, dataDir string) sinks.Opener {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	vars := settings.New("", nil)
	open := object.New(sinks.Settings{Timeout: time.Minute}, vars, u, sinks.Env{DataDir: dataDir})
	if f := vars.Faults(); f != nil {
		panic(f)
	}
	return open
}

func startS3(t *testing.T) *s3test.Server {
	t.Helper()
	server, err := s3test.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.KeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.Secret)
	return server
}

// objectRevisions lists what the objects of a prefix hold.
func objectRevisions(t *testing.T, server *s3test.Server, prefix string) (got []int) {
	t.Helper()
	keys, err := server.Keys(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if strings.Contains(key, "/.parley/") {
			continue
		}
		content, err := server.Read(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		list, err := formattest.Read(key, content)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			got = append(got, int(e.Revision))
		}
	}
	slices.Sort(got)
	return got
}

func TestKilledProcessesLeaveEveryEventInOneObject(t *testing.T) {
	server := startS3(t)
	for prefix, query := range map[string]string{"lines": "", "rows": "&format=parquet"} {
		t.Run(prefix, func(t *testing.T) {
			text := "s3://" + s3test.Bucket + "/" + prefix + "?rotate_size=16KB&rotate_age=1s&endpoint=" + url.QueryEscape(server.Endpoint) + query
			read := func(t *testing.T) []int { return objectRevisions(t, server, prefix) }
			killed(t, objectSink(text, t.TempDir()), read, func() {}, 4, "SINKS_TEST_URL="+text)
		})
	}
}

// killed kills children with these variables at random, has something done after each, and wants every event once after that.
func killed(t *testing.T, open sinks.Opener, read func(*testing.T) []int, between func(), usual int, variables ...string) {
	dataDir := t.TempDir()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dataDir, SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	kills, owners, published := sinktest.Kills(t, usual), 0, 0
	more := func(n int) {
		publish(t, b, published+1, published+n)
		published += n
	}
	// Two at a time: the one that stands by takes over when the owner is killed, or the owner goes on.
	procs := []*victim{spawn(t, dataDir, variables...), spawn(t, dataDir, variables...)}
	for n := range kills {
		more(500)
		if n%2 == 0 { // or nobody may have come as far as to write
			await(t, "one of them has the sink", func() bool { return procs[0].owns.Load() || procs[1].owns.Load() })
		}
		<-time.After(time.Duration(rand.IntN(400)) * time.Millisecond)
		more(100)
		i := rand.IntN(2)
		if procs[i].kill() {
			owners++
		}
		if !procs[1-i].owns.Load() { // the dead one may have been about to
			depose(t, dataDir, sinks.ConsumerName("archive"))
		}
		between()
		procs[i] = spawn(t, dataDir, variables...)
	}
	for _, p := range procs {
		if p.kill() {
			depose(t, dataDir, sinks.ConsumerName("archive"))
		}
	}
	r := sinks.NewRunner("archive", b, open, sinks.Options{})
	run(t, r)
	drainWhileItMoves(t, r)
	wantOnce(t, read(t), published)
	t.Logf("%d events, killed %d times at random, %d times the one that wrote; each is there once", published, kills, owners)
}
