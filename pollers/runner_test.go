package pollers_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

// scripted is a room without a vendor.
type scripted struct {
	streams []pollers.Stream
	fetch   func(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error)
	check   func(ctx context.Context) error
	account string // "": one for all
	client  *pollers.Client
	env     pollers.Env

	mu      sync.Mutex
	fetched []pollers.Window
}

func (p *scripted) Describe() pollers.Description {
	return pollers.Description{Location: time.UTC, Streams: p.streams}
}

func (p *scripted) Fetch(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	p.mu.Lock()
	p.fetched = append(p.fetched, w)
	p.mu.Unlock()
	if p.fetch == nil {
		return pollers.Reading{Requests: 1}, emit(record("a", "text"))
	}
	return p.fetch(ctx, w, emit)
}

func (p *scripted) Check(ctx context.Context) error {
	if p.check == nil {
		return nil
	}
	return p.check(ctx)
}

func (p *scripted) windows() []pollers.Window {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.fetched)
}

func record(key, text string) events.Record {
	return events.Record{Key: key, RequestedAt: time.Now().UTC(), Parts: []events.Part{{
		ContentType: events.ContentJSON, URL: "https://vendor.example/", Body: events.Body{Bytes: []byte(text)},
	}}}
}

// wallClock is the present, moved on by Jump.
type wallClock struct{ offset atomic.Int64 }

func (c *wallClock) Now() time.Time       { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *wallClock) Jump(d time.Duration) { c.offset.Add(int64(d)) }
func (c *wallClock) Hour(n int) time.Time {
	return c.Now().UTC().Truncate(time.Hour).Add(time.Duration(n) * time.Hour)
}
func (c *wallClock) Format(n int) string { return c.Hour(n).Format(time.RFC3339) }
func (c *wallClock) Closed(from, to int) map[string]string {
	return map[string]string{"SINCE": c.Format(from), "UNTIL": c.Format(to), "WINDOW": "1h", "SETTLE": "9999h", "CONCURRENCY": "1"}
}

// lines is a logger's output that tests look into.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// bench is a broker with what a Runner needs around it.
type bench struct {
	t      testing.TB
	broker *broker.Broker
	clock  wallClock
	log    lines
}

func newBench(t testing.TB, o broker.Options) *bench {
	t.Helper()
	o.DataDir, o.SyncInterval = t.TempDir(), time.Minute
	b, err := broker.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, broker: b}
}

const runnerSecret = "runner-Canary-9"

func (b *bench) source(name string, p *scripted, variables map[string]string) *pollers.Source {
	b.t.Helper()
	if p.streams == nil {
		p.streams = []pollers.Stream{{Name: "chats", Grain: time.Minute, MaxSpan: day}}
	}
	values := map[string]string{"VENDOR": "acme", "API_KEY": runnerSecret}
	maps.Copy(values, variables)
	vars := settings.New("PARLEY_SOURCE_EU_", values)
	s := pollers.NewSource(name, vars, func(_ pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
		var own struct {
			Key settings.Secret `env:"API_KEY, required"`
		}
		vars.Decode(&own)
		p.env = env
		p.client = env.Connect(cmp.Or(p.account, "acme/1"), pollers.Rate{}, vars.Secrets())
		return p
	}, slog.New(slog.DiscardHandler))
	vars.Unknown()
	if faults := vars.Faults(); faults != nil {
		b.t.Fatal(faults)
	}
	return s
}

func (b *bench) runner(o pollers.Options, sources ...*pollers.Source) *pollers.Runner {
	b.t.Helper()
	o.Now, o.Logger = b.clock.Now, slog.New(slog.NewTextHandler(&b.log, nil))
	r, err := pollers.NewRunner(b.t.Context(), b.broker, sources, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// run runs a runner until the test ends or stop is called.
func (b *bench) run(r *pollers.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			b.t.Errorf("run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) ledger() *pollers.Ledger {
	b.t.Helper()
	bucket, err := b.broker.Bucket(b.t.Context(), broker.LedgerBucket)
	if err != nil {
		b.t.Fatal(err)
	}
	return pollers.NewLedger(bucket)
}

func (b *bench) entries(source string) []pollers.Entry {
	b.t.Helper()
	all, err := b.ledger().All(b.t.Context(), source)
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.Concat(slices.Collect(maps.Values(all))...)
}

func (b *bench) states(source string) map[pollers.State]int {
	out := map[pollers.State]int{}
	for _, e := range b.entries(source) {
		out[e.State]++
	}
	return out
}

func (b *bench) queued() int {
	b.t.Helper()
	subjects, err := b.broker.Subjects(b.t.Context(), broker.Windows, events.WindowSubjects+".>")
	if err != nil {
		b.t.Fatal(err)
	}
	return len(subjects)
}

func (b *bench) size(stream string) broker.StreamState {
	b.t.Helper()
	s, err := b.broker.StreamState(b.t.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// eventually waits for what another goroutine or the server does.
func (b *bench) eventually(what string, is func() bool) {
	b.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(25 * time.Second)
	for !is() {
		select {
		case <-ticker.C:
		case <-timeout:
			b.t.Fatalf("not in 25 s: %s\n%s", what, b.log.String())
		}
	}
}

// never watches for a while that something does not happen.
func (b *bench) never(what string, is func() bool) {
	b.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range 40 {
		<-ticker.C
		if is() {
			b.t.Fatalf("it happened: %s\n%s", what, b.log.String())
		}
	}
}

func TestARecordReachesRawStampedAndWithoutTheCredential(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		buffer := []byte(`{"id":"a","echo":"` + runnerSecret + `"}`)
		r := record("a", "")
		r.Parts[0].Body.Bytes = buffer
		err := emit(r)
		clear(buffer) // a room reuses its buffers
		return pollers.Reading{Requests: 3}, err
	}}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	m, err := b.broker.Read(t.Context(), broker.Raw, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.DecodeRecord(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	if body := string(got.Parts[0].Body.Bytes); body != `{"id":"a","echo":"[redacted]"}` {
		t.Errorf("the record is %s", body)
	}
	e := b.entries("eu")[0]
	if got.Vendor != "acme" || got.Source != "eu" || got.Stream != "chats" || got.Timezone != "UTC" || !got.WindowFrom.Equal(e.From) || !got.WindowTo.Equal(e.To) || got.Traceparent == "" {
		t.Errorf("the stamps are %+v", got)
	}
	if e.Records != 1 || e.Requests != 3 || e.Fingerprint == "" {
		t.Errorf("the ledger has %+v", e)
	}
}

func TestAWindowIsCompleteOnlyWhenRawHasEveryRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{RawMaxBytes: 1 << 20})
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		for i := range 15 {
			if err := emit(record(fmt.Sprint(i), strings.Repeat("x", 100<<10))); err != nil {
				return pollers.Reading{}, err
			}
		}
		return pollers.Reading{}, nil
	}}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	b.eventually("RAW is full", func() bool { return b.size(broker.Raw).Bytes > 900<<10 })
	b.never("the window is complete, or no longer queued", func() bool { return b.states("eu")[pollers.StateRunning] != 1 || b.queued() != 1 })
	if err := b.broker.PurgeStream(t.Context(), broker.Raw); err != nil {
		t.Fatal(err)
	}
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 && b.queued() == 0 })
	if last := b.size(broker.Raw).LastSeq; last < 15 || b.entries("eu")[0].Records != 15 {
		t.Errorf("RAW took %d messages, the ledger has %+v", last, b.entries("eu")[0])
	}
}

func TestAStoppedRunnerGivesItsWindowBackAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	inside := make(chan struct{})
	blocked := &scripted{fetch: func(ctx context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		if err := emit(record("a", "first half")); err != nil {
			return pollers.Reading{}, err
		}
		close(inside)
		<-ctx.Done()
		return pollers.Reading{}, ctx.Err()
	}}
	variables := b.clock.Closed(-3, -2)
	variables["CONCURRENCY"] = "2"
	stop := b.run(b.runner(pollers.Options{}, b.source("eu", blocked, variables)))
	<-inside
	var as atomic.Pointer[pollers.Entry] // what the heir finds in the ledger
	heir := &scripted{}
	heir.fetch = func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
		as.Store(&b.entries("eu")[0])
		return pollers.Reading{}, nil
	}
	b.run(b.runner(pollers.Options{}, b.source("eu", heir, variables)))
	b.never("another runner takes the window", func() bool { return len(heir.windows()) > 0 })
	started := time.Now()
	stop()
	b.eventually("another runner has read it", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("that took %s: it waited for the lease", took)
	}
	if e := as.Load(); e.Attempts != 0 || e.Error != "" {
		t.Errorf("the window that was given back is %+v; want no failure", e)
	}
	if n := len(heir.windows()); n != 1 {
		t.Errorf("it was read %d times", n)
	}
}

func TestTakeOverFreesWhatADeadProcessHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	inside := make(chan struct{})
	dead := &scripted{fetch: func(ctx context.Context, _ pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		close(inside)
		<-ctx.Done()
		return pollers.Reading{}, ctx.Err()
	}}
	source := b.source("eu", dead, b.clock.Closed(-3, -2))
	b.run(b.runner(pollers.Options{}, source))
	<-inside
	heir := &scripted{}
	b.run(b.runner(pollers.Options{}, b.source("eu", heir, b.clock.Closed(-3, -2))))
	b.never("the window is taken", func() bool { return len(heir.windows()) > 0 })
	if err := pollers.TakeOver(t.Context(), b.broker, []*pollers.Source{source}); err != nil {
		t.Fatal(err)
	}
	b.eventually("it is read", func() bool { return b.states("eu")[pollers.StateComplete] == 1 && len(heir.windows()) == 1 })
}

func TestAWindowThatFailsIsTriedAgainAndSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var tries atomic.Int32
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		n := tries.Add(1)
		for i := range 2 {
			if err := emit(record(fmt.Sprint(n, i), "text")); err != nil {
				return pollers.Reading{}, err
			}
		}
		if n < 3 {
			return pollers.Reading{}, fmt.Errorf("page 2 with key %s: %w", runnerSecret, pollers.ErrIncomplete)
		}
		return pollers.Reading{}, nil
	}}
	s := b.source("eu", p, b.clock.Closed(-3, -2))
	r := b.runner(pollers.Options{}, s)
	b.run(r)
	var failed pollers.Entry
	b.eventually("the window has failed", func() bool {
		progress, err := r.Progress(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if len(progress.Failed) > 0 {
			failed = progress.Failed[0]
		}
		return len(progress.Failed) > 0
	})
	if failed.Attempts < 1 || !failed.ReadAt.IsZero() || !failed.RetryAt.After(failed.FailedAt) || failed.Error != "page 2 with key [redacted]: incomplete response" {
		t.Errorf("the ledger has %+v", failed)
	}
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	if e := b.entries("eu")[0]; e.Attempts != 0 || e.Error != "" || e.Records != 2 || !e.RetryAt.IsZero() {
		t.Errorf("the ledger has %+v; want the failures forgotten", e)
	}
	if n := b.size(broker.Raw).Messages; n != 6 {
		t.Errorf("RAW has %d records; want what was emitted before the errors, too: 6", n)
	}
	if text := b.log.String(); strings.Contains(text, runnerSecret) {
		t.Errorf("the log shows the secret: %s", text)
	}
}

func TestNoFailureSaysMoreThanItMay(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		large := record("large", "start")
		large.Parts[0].Body.Size, large.Parts[0].Body.SHA256 = events.MaxRecordBytes+1, strings.Repeat("0", 64)
		if err := emit(large); err != nil {
			return pollers.Reading{}, err
		}
		return pollers.Reading{}, fmt.Errorf("the row %q: %w", "my cat is called Mauzi", pollers.ErrIncomplete)
	}}
	s := b.source("eu", p, b.clock.Closed(-3, -2))
	r := b.runner(pollers.Options{Text: func(said string) string { return "said: " + strings.ReplaceAll(said, "Mauzi", "…") }}, s)
	b.run(r)
	b.eventually("the window has failed", func() bool { return b.states("eu")[pollers.StateFailed] == 1 })
	if e := b.entries("eu")[0]; !strings.HasPrefix(e.Error, "said: the row") || strings.Contains(e.Error, "Mauzi") {
		t.Errorf("the ledger has %+v", e)
	}
	if text := b.log.String(); strings.Contains(text, "Mauzi") || !strings.Contains(text, "a window was not read") {
		t.Errorf("the log: %s", text)
	}
	m, err := b.broker.Read(t.Context(), broker.Dead, 1)
	if err != nil || !strings.HasPrefix(m.Get(events.HeaderReason), "said") {
		t.Errorf("the dead letter says %q, %v", m.Get(events.HeaderReason), err)
	}
}

func TestRefusedCredentialsPauseTheSourceAndAProbeResumesIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var good atomic.Bool
	var checks atomic.Int32
	refuse := func() error {
		if good.Load() {
			return nil
		}
		return pollers.Unauthorized(errors.New("401 for " + runnerSecret))
	}
	p := &scripted{
		fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
			return pollers.Reading{}, refuse()
		},
		check: func(context.Context) error {
			checks.Add(1)
			return refuse()
		},
	}
	variables := b.clock.Closed(-9, -2)
	variables["CONCURRENCY"] = "3"
	s := b.source("eu", p, variables)
	r := b.runner(pollers.Options{}, s)
	b.run(r)
	b.eventually("the source is paused", func() bool {
		progress, err := r.Progress(t.Context(), s)
		return err == nil && progress.Paused == "401 for [redacted]"
	})
	b.never("it is probed before its time", func() bool { return checks.Load() > 0 })
	if n := len(p.windows()); n > 3 {
		t.Errorf("%d windows met the refusal; want no more than there are workers", n)
	}
	b.clock.Jump(pollers.FirstProbe)
	b.eventually("it is probed", func() bool { return checks.Load() == 1 })
	b.never("it is probed again at once", func() bool { return checks.Load() > 1 })
	for _, e := range b.entries("eu") {
		if e.Attempts != 0 || e.State != pollers.StatePlanned {
			t.Errorf("a window was burnt: %+v", e)
		}
	}
	if n := b.log.Count("refuses the credentials"); n != 1 || b.log.Count("PARLEY_SOURCE_EU_API_KEY") != 1 {
		t.Errorf("%d lines say so; want one that names the variable:\n%s", n, b.log.String())
	}
	good.Store(true)
	b.clock.Jump(2 * pollers.FirstProbe)
	b.eventually("every window is read", func() bool { return b.states("eu")[pollers.StateComplete] == 7 })
	if n := b.log.Count("accepts the credentials again"); n != 1 {
		t.Errorf("%d lines say that it goes on:\n%s", n, b.log.String())
	}
}

// arrivals is a vendor that notes when it is asked.
func arrivals(t testing.TB) (target string, times func() []time.Time) {
	var mu sync.Mutex
	var at []time.Time
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
}

// asking is a room that makes one request for each window.
func asking(target string) *scripted {
	p := &scripted{}
	p.fetch = func(ctx context.Context, _ pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		resp, err := p.client.Do(ctx, pollers.Call{URL: target})
		if err != nil {
			return pollers.Reading{}, err
		}
		return pollers.Reading{Requests: 1}, resp.Body.Close()
	}
	return p
}

func TestTwoSourcesOfOneAccountShareItsRate(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	target, times := arrivals(t)
	variables := b.clock.Closed(-7, -2)
	variables["RATE"], variables["CONCURRENCY"] = "10/s", "4"
	b.run(b.runner(pollers.Options{}, b.source("eu", asking(target), variables), b.source("us", asking(target), variables)))
	b.eventually("all is read", func() bool {
		return b.states("eu")[pollers.StateComplete] == 5 && b.states("us")[pollers.StateComplete] == 5
	})
	at := times()
	if took := at[len(at)-1].Sub(at[0]); len(at) != 10 || took < 850*time.Millisecond {
		t.Errorf("%d requests in %s; want 10 in 900 ms", len(at), took)
	}
}

func TestARetryAfterOfAWindowHoldsTheAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	const asked = 2 * time.Second
	busy := &scripted{fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
		return pollers.Reading{}, events.RetryAfter(asked, errors.New("429"))
	}}
	b.run(b.runner(pollers.Options{}, b.source("eu", busy, b.clock.Closed(-3, -2))))
	b.eventually("the window has failed", func() bool { return b.states("eu")[pollers.StateFailed] == 1 })
	e := b.entries("eu")[0]
	if wait := e.RetryAt.Sub(e.FailedAt); wait < asked {
		t.Errorf("the window is tried again after %s; want %s", wait, asked)
	}
	target, times := arrivals(t)
	b.run(b.runner(pollers.Options{}, b.source("us", asking(target), b.clock.Closed(-3, -2))))
	b.eventually("the other source is read", func() bool { return b.states("us")[pollers.StateComplete] == 1 })
	if early := e.FailedAt.Add(asked).Sub(times()[0]); early > 0 {
		t.Errorf("the account was asked %s before the vendor's time", early)
	}
}

func TestTheStormOfOneAccountSlowsNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var refused atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refused.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	busy := asking(server.URL)
	busy.account = "acme/2"
	target, times := arrivals(t)
	calm, storm := asking(target), make(chan struct{})
	ask := calm.fetch
	calm.fetch = func(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		select {
		case <-storm:
		case <-ctx.Done():
		}
		return ask(ctx, w, emit)
	}
	eu, us := b.source("eu", busy, b.clock.Closed(-22, -2)), b.source("us", calm, b.clock.Closed(-22, -2))
	b.run(b.runner(pollers.Options{}, eu, us))
	b.eventually("one vendor asks to be left alone", func() bool { return b.states("eu")[pollers.StateFailed] == 1 })
	close(storm)
	b.eventually("the other is read", func() bool { return b.states("us")[pollers.StateComplete] == 20 })
	if held := inspect(t, b, eu).Budget.HeldUntil; held.Before(b.clock.Now().Add(30 * time.Minute)) {
		t.Errorf("the busy account is held until %s; want an hour", held)
	}
	if held := inspect(t, b, us).Budget.HeldUntil; !held.IsZero() || len(times()) != 20 || refused.Load() != 1 {
		t.Errorf("the calm account is held until %s and was asked %d times, the busy one %d times; want 20 and 1", held, len(times()), refused.Load())
	}
}

func TestWhatIsLiveAndThenWhatSettlesGoesBeforeALongBackfillThatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	b.clock.Jump(b.clock.Hour(1).Add(10 * time.Minute).Sub(b.clock.Now())) // no hour ends while the test looks
	begun, turn := make(chan pollers.Window), make(chan struct{})
	p := &scripted{fetch: func(ctx context.Context, w pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		select {
		case begun <- w:
			<-turn
			return pollers.Reading{Requests: 1}, nil
		case <-ctx.Done():
			return pollers.Reading{}, ctx.Err()
		}
	}}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, map[string]string{
		"SINCE": b.clock.Format(-500), "WINDOW": "1h", "INTERVAL": "1h", "SETTLE": "4h", "CONCURRENCY": "1",
	})))
	known := map[pollers.Window]bool{}
	read := func(meanwhile func()) string {
		t.Helper()
		select {
		case w := <-begun:
			class := "backfill"
			if known[w] {
				class = "settle"
			} else if w.To.After(b.clock.Now()) {
				class = "live"
			}
			known[w] = true
			b.eventually("the next one is queued", func() bool { return b.queued() == 2 })
			meanwhile()
			turn <- struct{}{}
			return class
		case <-time.After(25 * time.Second):
			t.Fatal("nothing is read any more")
			return ""
		}
	}
	for range 7 {
		read(func() {})
	}
	// The four newest of what was read are now due again, and a new window is live.
	got := []string{read(func() { b.clock.Jump(4 * time.Hour) })}
	for range 8 {
		got = append(got, read(func() {}))
	}
	live := slices.Index(got, "live")
	want := []string{"live", "settle", "settle", "settle", "settle", "backfill"}
	if live < 1 || live > 2 || !slices.Equal(got[live:live+len(want)], want) {
		t.Errorf("read are %q; want what was in hand, at most one that was queued, and then %q", got, want)
	}
}

func TestACappedWindowIsSplitDownToTheGrainAndThenPartial(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var crowded time.Time // the one quarter of an hour that holds more than the vendor gives
	p := &scripted{
		streams: []pollers.Stream{{Name: "chats", Grain: 15 * time.Minute, MaxSpan: day}},
		fetch: func(_ context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
			return pollers.Reading{Capped: w.Holds(crowded)}, emit(record(pollers.WindowID(w), "text"))
		},
	}
	crowded = b.clock.Hour(-3).Add(20 * time.Minute)
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	b.eventually("all is read", func() bool {
		return maps.Equal(b.states("eu"), map[pollers.State]int{pollers.StateSplit: 2, pollers.StateComplete: 2, pollers.StatePartial: 1}) && b.queued() == 0
	})
	for _, e := range b.entries("eu") {
		if e.State == pollers.StatePartial && (!e.Holds(crowded) || e.To.Sub(e.From) != 15*time.Minute) {
			t.Errorf("%s is partial", pollers.WindowID(e.Window))
		}
	}
	if n := b.log.Count("a window is partial"); n != 1 {
		t.Errorf("%d lines say so", n)
	}
	if n := b.size(broker.Raw).Messages; n != 5 {
		t.Errorf("RAW has %d records; want those of every reading: 5", n)
	}
}

func TestARecordThatIsTooLargeIsADeadLetterAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	whole := sha256.Sum256([]byte("the whole"))
	huge := record("huge", strings.Repeat("x", events.OversizeKeptBytes))
	huge.Parts[0].Body.Size, huge.Parts[0].Body.SHA256 = 40<<20, hex.EncodeToString(whole[:])
	var tries atomic.Int32
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		for _, r := range []events.Record{record("a", "1"), huge, record("b", "2"), record("large", strings.Repeat("y", 2<<20))} {
			r.Parts = slices.Clone(r.Parts)
			if err := emit(r); err != nil {
				return pollers.Reading{}, err
			}
		}
		if tries.Add(1) == 1 {
			return pollers.Reading{}, pollers.ErrIncomplete // the same record comes twice
		}
		return pollers.Reading{}, nil
	}}
	r := b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2)))
	b.run(r)
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	if dead, raw := b.size(broker.Dead).Messages, b.size(broker.Raw).Messages; dead != 1 || raw != 6 || r.Counts()["eu"].DeadLetters != 1 {
		t.Errorf("%d dead letters, %d records, counted %+v; want 1 and 6", dead, raw, r.Counts())
	}
	m, err := b.broker.Read(t.Context(), broker.Dead, 1)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := events.ReadDeadLetter(m.Header)
	if err != nil || letter.Stage != events.StagePoll || letter.Name != "eu" || letter.Attempts != 1 || m.Subject != "parley.dead.poll.eu" || letter.Subject != "parley.raw.acme.eu.chats.huge" {
		t.Errorf("the dead letter is %+v on %s, %v", letter, m.Subject, err)
	}
	if !strings.Contains(letter.Reason, "41943040 bytes") || !strings.Contains(letter.Reason, hex.EncodeToString(whole[:])) {
		t.Errorf("its reason is %q; want size and digest", letter.Reason)
	}
	kept, err := events.DecodeRecord(m.Data)
	// What may be the start of a secret at the cut is cut off.
	if err != nil || len(kept.Parts[0].Body.Bytes) < events.OversizeKeptBytes-100 || kept.Parts[0].Body.Size != 40<<20 || kept.WindowFrom.IsZero() {
		t.Errorf("it holds %v, %v", kept, err)
	}
}

func TestARecordThatCannotTravelIsADeadLetterThatCan(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	wide := record("wide", strings.Repeat("x", 20<<20))
	wide.Parts = append(wide.Parts, wide.Parts[0])
	p := &scripted{fetch: func(_ context.Context, _ pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		for _, r := range []events.Record{wide, record(strings.Repeat("k", 100<<10), "text"), record("b", "2")} {
			if err := emit(r); err != nil {
				return pollers.Reading{}, err
			}
		}
		return pollers.Reading{}, nil
	}}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	b.eventually("the window is complete", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	if dead, raw := b.size(broker.Dead).Messages, b.size(broker.Raw).Messages; dead != 2 || raw != 1 {
		t.Fatalf("%d dead letters, %d records; want 2 and 1", dead, raw)
	}
	for sequence, want := range map[uint64]string{1: "2 parts have 41943040 bytes", 2: "key has 102400 bytes"} {
		m, err := b.broker.Read(t.Context(), broker.Dead, sequence)
		if err != nil {
			t.Fatal(err)
		}
		letter, err := events.ReadDeadLetter(m.Header)
		if err != nil || !strings.Contains(letter.Reason, want) || len(m.Data) > 4*events.OversizeKeptBytes {
			t.Errorf("the dead letter is %+v with %d bytes, %v; want %q", letter, len(m.Data), err, want)
		}
	}
}

func TestTwoRunnersShareTheWindowsAndTheConcurrency(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var running, most atomic.Int32
	turn := make(chan struct{})
	fetch := func(ctx context.Context, _ pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		select {
		case <-turn:
		case <-ctx.Done():
		}
		return pollers.Reading{}, ctx.Err()
	}
	variables := b.clock.Closed(-12, -2)
	variables["CONCURRENCY"] = "2"
	rooms := []*scripted{{fetch: fetch}, {fetch: fetch}}
	for _, p := range rooms {
		b.run(b.runner(pollers.Options{}, b.source("eu", p, variables)))
	}
	b.eventually("two windows are in hand", func() bool { return running.Load() == 2 })
	b.never("more than two are", func() bool { return running.Load() > 2 })
	close(turn)
	b.eventually("every window is read", func() bool { return b.states("eu")[pollers.StateComplete] == 10 })
	times := map[pollers.Window]int{}
	for _, p := range rooms {
		for _, w := range p.windows() {
			times[w]++
		}
	}
	for w, n := range times {
		if n != 1 {
			t.Errorf("window %s was read %d times", pollers.WindowID(w), n)
		}
	}
	if most.Load() != 2 || len(times) != 10 {
		t.Errorf("at most %d windows at once, %d windows; want 2 and 10", most.Load(), len(times))
	}
}

func TestALongWindowKeepsItsLease(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	enough := time.NewTimer(4 * time.Second)
	fetch := func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
		<-enough.C
		return pollers.Reading{}, nil
	}
	rooms := []*scripted{{fetch: fetch}, {fetch: fetch}}
	for _, p := range rooms {
		r := b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2)))
		r.SetLease(1500 * time.Millisecond)
		b.run(r)
	}
	b.eventually("the window is read", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
	if n := len(rooms[0].windows()) + len(rooms[1].windows()); n != 1 {
		t.Errorf("it was read %d times", n)
	}
}

func TestWhoLostTheLeaseAnswersForNothing(t *testing.T) {
	endings := map[string]error{"with a complete reading": nil, "with an error": errors.New("boom"), "with refused credentials": pollers.Unauthorized(errors.New("401"))}
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, broker.Options{})
			inside, release, first := make(chan struct{}), make(chan struct{}), atomic.Bool{}
			p := &scripted{fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
				if first.CompareAndSwap(false, true) {
					close(inside)
					<-release
					return pollers.Reading{Requests: 666}, ending
				}
				return pollers.Reading{Requests: 1}, nil
			}}
			r := b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2)))
			r.SetLease(3 * time.Second)
			b.run(r)
			<-inside
			takeOver(t, b)
			close(release)
			if pollers.IsUnauthorized(ending) {
				b.eventually("the source is paused", func() bool { return b.log.Count("is paused") == 1 })
			}
			b.never("the zombie's word counts", func() bool {
				e := b.entries("eu")[0]
				return e.Requests == 666 || e.State == pollers.StateFailed || b.queued() != 1
			})
			b.clock.Jump(pollers.FirstProbe)
			b.eventually("the window is delivered again and read", func() bool { return b.states("eu")[pollers.StateComplete] == 1 })
			if e := b.entries("eu")[0]; e.Requests != 1 {
				t.Errorf("the ledger has %+v", e)
			}
		})
	}
}

// takeOver writes the only window's entry, as a worker that got it after the lease does.
func takeOver(t *testing.T, b *bench) {
	t.Helper()
	e := b.entries("eu")[0]
	if e.State != pollers.StateRunning {
		t.Fatalf("the window is %s; want it running", e.State)
	}
	if _, err := b.ledger().Set(t.Context(), "eu", e); err != nil {
		t.Fatal(err)
	}
}

func TestAZombieThatIsStoppedDoesNotReturnAnothersWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	inside := make(chan struct{})
	p := &scripted{fetch: func(ctx context.Context, _ pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		close(inside)
		<-ctx.Done()
		return pollers.Reading{}, ctx.Err()
	}}
	stop := b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	<-inside
	takeOver(t, b)
	stop()
	heir := &scripted{}
	b.run(b.runner(pollers.Options{}, b.source("eu", heir, b.clock.Closed(-3, -2))))
	b.never("the window is taken while it is another's", func() bool { return len(heir.windows()) > 0 })
}

func TestNoWindowIsTakenWhileRawIsBehind(t *testing.T) {
	cases := map[string]struct {
		options broker.Options
		records int
		later   time.Duration
	}{
		"RAW is 80 % full":      {broker.Options{RawMaxBytes: 1 << 20}, 9, 0},
		"its records are old":   {broker.Options{RawRetention: 8 * time.Hour}, 1, 2*time.Hour + time.Minute},
		"it is neither (proof)": {broker.Options{RawRetention: 8 * time.Hour, RawMaxBytes: 1 << 20}, 7, 2*time.Hour - time.Minute},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.options)
			for i := range c.records {
				m := broker.Message{Subject: fmt.Sprintf("parley.raw.acme.eu.chats.%d", i), Data: make([]byte, 100<<10)}
				if err := b.broker.Publish(t.Context(), []broker.Message{m})[0].Err; err != nil {
					t.Fatal(err)
				}
			}
			b.clock.Jump(c.later)
			p := &scripted{}
			b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
			if strings.Contains(name, "neither") {
				b.eventually("the window is read", func() bool { return len(p.windows()) == 1 })
				return
			}
			b.eventually("the window is queued", func() bool { return b.queued() == 1 })
			b.never("it is taken", func() bool { return len(p.windows()) > 0 })
			if err := b.broker.PurgeStream(t.Context(), broker.Raw); err != nil {
				t.Fatal(err)
			}
			b.eventually("it is read once there is room", func() bool { return len(p.windows()) == 1 })
		})
	}
}

func TestATaskThatNobodyKnowsIsDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	gone, err := json.Marshal(pollers.Task{Window: pollers.Window{Stream: "gone", From: b.clock.Hour(-3), To: b.clock.Hour(-2)}})
	if err != nil {
		t.Fatal(err)
	}
	for subject, data := range map[string][]byte{"garbage": []byte("{"), "gone.x": gone, "empty": nil} {
		if err := b.broker.Publish(t.Context(), []broker.Message{{Subject: events.WindowSubjects + ".eu." + subject, Data: data}})[0].Err; err != nil {
			t.Fatal(err)
		}
	}
	p := &scripted{}
	b.run(b.runner(pollers.Options{}, b.source("eu", p, b.clock.Closed(-3, -2))))
	b.eventually("the queue is empty and the window is read", func() bool { return b.queued() == 0 && b.states("eu")[pollers.StateComplete] == 1 })
	for _, w := range p.windows() {
		if w.Stream != "chats" {
			t.Errorf("window %+v was read", w)
		}
	}
	if n := b.log.Count("cannot be read; it is planned anew"); n != 2 {
		t.Errorf("%d lines tell of garbage; want 2", n)
	}
}

func TestOnceReadsEverythingOnceAndEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	streams := []pollers.Stream{{Name: "chats", Grain: time.Minute, MaxSpan: day}, {Name: "agents", Snapshot: true}}
	broken, bad := b.clock.Hour(-3), b.clock.Hour(-5)
	fetch := func(_ context.Context, w pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		switch {
		case w.Snapshot():
		case w.Holds(broken):
			return pollers.Reading{}, events.Permanent(errors.New("no such report"))
		case w.Holds(bad):
			return pollers.Reading{}, errors.New("boom")
		}
		return pollers.Reading{}, nil
	}
	variables := map[string]string{"SINCE": b.clock.Format(-8), "WINDOW": "1h", "SETTLE": "1m", "CONCURRENCY": "4"}
	once := func() *scripted {
		p := &scripted{streams: streams, fetch: fetch}
		s := b.source("eu", p, variables)
		r := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s)
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		b.eventually("once has ended", func() bool {
			b.clock.Jump(time.Second / 4) // backoff is not waited for
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				return true
			default:
				return false
			}
		})
		progress, err := r.Progress(t.Context(), s)
		if err != nil || len(progress.Failed) != 2 || b.queued() != 0 {
			t.Errorf("progress %+v, %v, %d queued; want two failed windows and an empty queue", progress, err, b.queued())
		}
		return p
	}
	count := func(p *scripted) (tries map[string]int) {
		tries = map[string]int{}
		for _, w := range p.windows() {
			switch {
			case w.Snapshot():
				tries["snapshot"]++
			case w.Holds(broken):
				tries["permanent"]++
			case w.Holds(bad):
				tries["bad"]++
			case !w.To.After(b.clock.Hour(-1)):
				tries["well"]++
			}
		}
		return tries
	}
	first, second := count(once()), count(once())
	if want := map[string]int{"snapshot": 1, "permanent": 1, "bad": pollers.OnceAttempts, "well": 5}; !maps.Equal(first, want) {
		t.Errorf("the first run read %v; want %v", first, want)
	}
	if want := map[string]int{"snapshot": 1, "permanent": 1, "bad": pollers.OnceAttempts}; !maps.Equal(second, want) {
		t.Errorf("the second run read %v; want %v", second, want)
	}
}

func TestOnceEndsWhenCredentialsAreRefusedAndTheNextRunTriesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p := &scripted{fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
		return pollers.Reading{}, pollers.Unauthorized(errors.New("401"))
	}}
	s := b.source("eu", p, b.clock.Closed(-5, -2))
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.states("eu")[pollers.StateComplete] != 0 {
		t.Fatalf("the states are %v", b.states("eu"))
	}
	s = b.source("eu", &scripted{}, b.clock.Closed(-5, -2))
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.states("eu")[pollers.StateComplete] != 3 {
		t.Errorf("the states are %v; want 3 complete", b.states("eu"))
	}
}

func TestAWindowThatDiesInTheMiddleDoesNotBeginFromZero(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	const entities = 1000
	keys := make([]string, entities)
	for i := range keys {
		keys[i] = fmt.Sprint("c/", i)
	}
	version := "v1"
	details, dies := 0, 600
	p := &scripted{}
	p.fetch = func(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		known, err := p.env.Known(ctx, w.Stream, keys)
		if err != nil {
			return pollers.Reading{}, err
		}
		unchanged := 0
		for _, key := range keys {
			if known[key] == version {
				unchanged++
				continue
			}
			if details++; details == dies {
				return pollers.Reading{}, errors.New("the connection is reset")
			}
			r := record(key, version)
			r.Version = version
			if err := emit(r); err != nil {
				return pollers.Reading{}, err
			}
		}
		return pollers.Reading{Unchanged: unchanged}, nil
	}
	once := func() pollers.Entry {
		s := b.source("eu", p, map[string]string{"SINCE": b.clock.Format(-3), "UNTIL": b.clock.Format(-2), "WINDOW": "1h", "SETTLE": "9999h"})
		if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return b.entries("eu")[0]
	}
	first := once()
	if details != entities+1 || first.Records != entities {
		t.Errorf("%d details were asked for and the ledger has %d records; want %d, each once and the one that failed twice", details, first.Records, entities)
	}
	if n := b.size(broker.Raw).Messages; n != entities {
		t.Errorf("RAW has %d records; want %d", n, entities)
	}
	// Nothing changed: nothing is asked for, and the window holds what it held.
	details, dies = 0, 0
	if again := once(); details != 0 || again.Records != entities {
		t.Errorf("%d details, %d records; want none and %d", details, again.Records, entities)
	}
	version = "v2"
	if once(); details != entities {
		t.Errorf("%d details after everything changed; want %d", details, entities)
	}
}

func TestAStreamThatTheAccountMayNotReadIsReportedOnceAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var asked atomic.Int32
	p := &scripted{streams: []pollers.Stream{{Name: "chats", Grain: time.Minute, MaxSpan: day}, {Name: "ccc", Grain: time.Minute, MaxSpan: day}}}
	p.fetch = func(_ context.Context, w pollers.Window, _ func(events.Record) error) (pollers.Reading, error) {
		if w.Stream == "ccc" {
			asked.Add(1)
			return pollers.Reading{}, pollers.Unavailable(errors.New("CCC users only"))
		}
		return pollers.Reading{}, nil
	}
	variables := b.clock.Closed(-8, -2)
	s := b.source("eu", p, variables)
	r := b.runner(pollers.Options{}, s)
	stop := b.run(r)
	b.eventually("the other stream is read", func() bool { return asked.Load() == 1 && b.states("eu")[pollers.StateComplete] == 6 })
	b.never("the stream is asked for again, or reported twice", func() bool {
		return asked.Load() != 1 || b.log.Count("may not read this stream") != 1 || b.states("eu")[pollers.StateFailed] > 0
	})
	progress, err := r.Progress(t.Context(), s)
	if err != nil || progress.Denied["ccc"] != "CCC users only" || progress.Left != 0 || len(progress.Failed) > 0 {
		t.Errorf("progress %+v, %v; want the stream named, nothing left and nothing failed", progress, err)
	}
	b.clock.Jump(25 * time.Hour)
	b.eventually("it is asked for again a day later", func() bool { return asked.Load() == 2 })
	stop()
	once := b.runner(pollers.Options{OnceSince: b.clock.Now()}, b.source("eu", p, variables))
	if err := once.Run(t.Context()); err != nil {
		t.Errorf("a run that ends: %v", err)
	}
}

func TestNoStreamWaitsForTheWholeHistoryOfAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	p := &scripted{streams: []pollers.Stream{{Name: "chats", Grain: time.Minute, MaxSpan: day}, {Name: "ratings", Grain: time.Minute, MaxSpan: day}}}
	s := b.source("eu", p, b.clock.Closed(-12, -2))
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := p.windows()
	if len(read) != 20 {
		t.Fatalf("%d windows were read; want 20", len(read))
	}
	streams := map[string]int{}
	for _, w := range read[:10] {
		streams[w.Stream]++
	}
	if streams["chats"] < 3 || streams["ratings"] < 3 {
		t.Errorf("the first ten windows are %v; want both streams side by side", streams)
	}
}

func TestOnceDoesNotAskAVendorThatIsDownForEveryWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var asked atomic.Int32
	p := &scripted{fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
		asked.Add(1)
		return pollers.Reading{}, errors.New("500")
	}}
	variables := b.clock.Closed(-200, -2)
	variables["CONCURRENCY"] = "4"
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, b.source("eu", p, variables)).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n < 10 || n > 40 {
		t.Errorf("it was asked %d times for 198 windows; want it given up after ten", n)
	}
	if b.log.Count("answers nothing well") != 1 {
		t.Errorf("want one line that says so:\n%s", b.log.String())
	}
	well := &scripted{}
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, b.source("eu", well, variables)).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.states("eu")[pollers.StateComplete]; n != 198 {
		t.Errorf("%d windows are complete after the next run; want 198", n)
	}
}

func TestOnceWaitsForWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	var tries atomic.Int32
	p := &scripted{fetch: func(context.Context, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
		if tries.Add(1) < 4 {
			return pollers.Reading{}, errors.New("boom")
		}
		return pollers.Reading{}, nil
	}}
	s := b.source("eu", p, b.clock.Closed(-3, -2))
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.states("eu")[pollers.StateComplete] != 1 || tries.Load() != 4 {
		t.Errorf("after %d tries the states are %v; want one complete after 4", tries.Load(), b.states("eu"))
	}
}

func TestASourcesStartIsFixedAtItsFirstStart(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	first := b.clock.Now()
	b.runner(pollers.Options{}, b.source("eu", &scripted{}, nil))
	p := &scripted{}
	s := b.source("eu", p, map[string]string{"SINCE": b.clock.Format(-1)})
	if err := b.runner(pollers.Options{OnceSince: b.clock.Now()}, s).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	oldest := slices.MinFunc(p.windows(), func(a, b pollers.Window) int { return a.From.Compare(b.From) }).From
	if age := first.Sub(oldest); age < 24*time.Hour-time.Second || age > 24*time.Hour+time.Minute {
		t.Errorf("the oldest window begins %s before the first start; want 24h", age)
	}
}

func TestASinceThatDoesNotHoldIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, broker.Options{})
	source := func(since int) *pollers.Source {
		return b.source("eu", &scripted{}, map[string]string{"SINCE": b.clock.Format(since)})
	}
	for _, c := range []struct {
		since int
		want  string // "": SINCE holds
	}{
		{-10, ""},
		{-20, fmt.Sprintf("PARLEY_SOURCE_EU_SINCE is %s, and what holds is the source's start at its first start, %s: `parley backfill eu --from %[1]s --to %[2]s` reads what lies between", b.clock.Format(-20), b.clock.Format(-10))},
		{-5, fmt.Sprintf("PARLEY_SOURCE_EU_SINCE is %s, and what holds is the source's start at its first start, %s: nothing is left out", b.clock.Format(-5), b.clock.Format(-10))},
	} {
		said := b.log.Count("SINCE was changed")
		s := source(c.since)
		b.runner(pollers.Options{}, s)
		if got := inspect(t, b, s).SinceNote; !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("SINCE %d h: the note is %q; want %q", c.since, got, c.want)
		}
		if told := b.log.Count("SINCE was changed") > said; told != (c.want != "") {
			t.Errorf("SINCE %d h: told in the log: %v", c.since, told)
		}
	}
	s := source(-20)
	if err := pollers.Backfill(t.Context(), b.broker, s, pollers.Range{From: b.clock.Hour(-20), To: b.clock.Hour(-10)}, false); err != nil {
		t.Fatal(err)
	}
	if got := inspect(t, b, s).SinceNote; got != "" {
		t.Errorf("what lies between was asked for, and the note is %q", got)
	}
}

func TestASinceInTheFutureOrBeforeAnyVendorIsAFault(t *testing.T) {
	for since, want := range map[string]string{
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339): "lies in the future",
		"1026-10-01": "is older than any vendor; want a moment from 1990-01-01 on", "1990-01-01": "",
		time.Now().UTC().Format(time.RFC3339): "",
	} {
		vars := settings.New("PARLEY_SOURCE_EU_", map[string]string{"VENDOR": "acme", "SINCE": since})
		pollers.NewSource("eu", vars, func(pollers.Settings, *settings.Vars, pollers.Env) pollers.Poller {
			return &scripted{streams: []pollers.Stream{{Name: "chats", Grain: time.Minute, MaxSpan: day}}}
		}, slog.New(slog.DiscardHandler))
		faults := vars.Faults()
		if want == "" && len(faults) == 0 {
			continue
		}
		if len(faults) != 1 || want == "" || faults[0].Variable != "PARLEY_SOURCE_EU_SINCE" || faults[0].Got != since || !strings.Contains(faults[0].Want, want) {
			t.Errorf("SINCE %s: %v; want %q", since, faults, want)
		}
	}
}
