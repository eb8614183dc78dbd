package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// The server does not wait for its own goroutines when it stops; it must be ours that are all gone.
func TestMain(m *testing.M) {
	const of = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(of+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(of+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(of+"/ats.Register.func1"),
	)
}

// open starts an embedded server in a directory of its own, with every stream. It does not sync, unless it is told to.
func open(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	if len(o.URLs) == 0 && o.DataDir == "" {
		o.DataDir = t.TempDir()
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Minute
	}
	if o.Partitions == 0 {
		o.Partitions = 2
	}
	b, err := broker.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// address reads how an embedded server is reached.
func address(t testing.TB, dataDir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dataDir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// admin reaches the server of a broker without the broker.
func admin(t testing.TB, b *broker.Broker) jetstream.JetStream {
	t.Helper()
	urls := b.Options().URLs
	if len(urls) == 0 {
		urls = []string{address(t, b.Options().DataDir)}
	}
	nc, err := nats.Connect(strings.Join(urls, ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// external is a server that can be lost and come back with what it had.
type external struct {
	*server.Server
	options server.Options
}

func startExternal(t testing.TB) *external {
	t.Helper()
	e := &external{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
	}}
	e.start(t)
	e.options.Port = e.Addr().(*net.TCPAddr).Port
	t.Cleanup(e.stop)
	return e
}

func (e *external) start(t testing.TB) {
	t.Helper()
	o := e.options
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	e.Server = s
}

func (e *external) stop() {
	e.Shutdown()
	e.WaitForShutdown()
}

// closed is how many connections have ended.
func (e *external) closed(t testing.TB) int {
	t.Helper()
	conns, err := e.Connz(&server.ConnzOptions{State: server.ConnClosed})
	if err != nil {
		t.Fatal(err)
	}
	return conns.NumConns
}

func (e *external) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", e.options.Port) }

// connect opens a broker on the external server, with every stream.
func (e *external) connect(t testing.TB) *broker.Broker {
	t.Helper()
	return open(t, broker.Options{URLs: []string{e.url()}})
}

// eventually waits for what nobody announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit:
			t.Fatalf("waited 30 s in vain: %s", what)
		case <-tick.C:
		}
	}
}

// record is a message for RAW; its data tells its number.
func record(n int) broker.Message { return recordOf(n, n) }

func recordOf(entity, n int) broker.Message {
	return broker.Message{
		Subject: fmt.Sprintf("%s.acme.main.chats.e%d", events.RawSubjects, entity),
		Header:  map[string][]string{"Number": {strconv.Itoa(n)}}, Data: []byte(strconv.Itoa(n)),
	}
}

func records(n int) []broker.Message {
	out := make([]broker.Message, n)
	for i := range out {
		out[i] = record(i)
	}
	return out
}

func state(entity string) string { return events.StateSubjects + ".conversation.acme.main." + entity }

// publish stores messages, each of which must be accepted.
func publish(t testing.TB, b *broker.Broker, messages ...broker.Message) []broker.Result {
	t.Helper()
	results := b.Publish(t.Context(), messages)
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("message %d: %v", i, r.Err)
		}
	}
	return results
}

func size(t testing.TB, b *broker.Broker, stream string) broker.StreamState {
	t.Helper()
	s, err := b.StreamState(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASecondProcessIsKeptOutOfTheDirectoryUntilTheFirstEnds(t *testing.T) {
	t.Parallel()
	o := broker.Options{DataDir: filepath.Join(t.TempDir(), "new", "data"), SyncInterval: time.Minute}
	first, err := broker.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = broker.Open(t.Context(), o)
	if err == nil {
		t.Fatal("two servers have one store")
	}
	for _, part := range []string{"PARLEY_DATA_DIR", o.DataDir, fmt.Sprintf("process %d", os.Getpid())} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
	if attached, err := broker.Attach(t.Context(), o); err != nil {
		t.Errorf("the refused one took the address away: %v", err)
	} else {
		attached.Close()
	}
	first.Close()
	second, err := broker.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("the directory was not given up: %v", err)
	}
	second.Close()
}

func TestADirectoryThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := broker.Open(t.Context(), broker.Options{DataDir: filepath.Join(file, "data")})
	if err == nil || !strings.Contains(err.Error(), "PARLEY_DATA_DIR") || !strings.Contains(err.Error(), file) {
		t.Fatalf("got %v", err)
	}
}

func TestTheAddressIsItsOwnersAloneAndGoneAfterClose(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	dir := b.Options().DataDir
	info, err := os.Stat(filepath.Join(dir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); mode != 0o600 {
		t.Errorf("the address holds a secret and has mode %v", mode)
	}
	attached, err := broker.Attach(t.Context(), broker.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	publish(t, attached, record(1))
	if got := size(t, b, broker.Raw).Messages; got != 1 {
		t.Errorf("the attached one's message is not there: %d", got)
	}
	stranger, err := nats.Connect(strings.SplitAfter(address(t, dir), "//")[0] + strings.Split(address(t, dir), "@")[1])
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without the secret: %v", err)
	}
	stranger.Close()
	b.Close()
	if _, err := os.Stat(filepath.Join(dir, "address")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAttachFailsAtOnceWithAdviceWhereNobodyRuns(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "nats://secret@" + listener.Addr().String()
	listener.Close()
	for name, leave := range map[string]func(dir string) error{
		"never started":     func(string) error { return nil },
		"killed, not ended": func(dir string) error { return os.WriteFile(filepath.Join(dir, "address"), []byte(dead), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := leave(dir); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err := broker.Attach(t.Context(), broker.Options{DataDir: dir})
			if err == nil || !strings.Contains(err.Error(), "parley run") || !strings.Contains(err.Error(), dir) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q gives the secret away", err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// A power cut loses what was acknowledged and not synced: 38 seconds of it with the server's default.
func TestTheEmbeddedServerSyncsBeforeItAcknowledges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		interval time.Duration
		want     bool
	}{"by default": {0, true}, "a benchmark's": {time.Minute, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := broker.Open(t.Context(), broker.Options{DataDir: t.TempDir(), SyncInterval: c.interval})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if got := b.SyncAlways(); got != c.want {
				t.Errorf("sync always: %v", got)
			}
		})
	}
}

func TestOpenWaitsForAServerThatStartsLater(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	e.stop()
	opened := make(chan error, 1)
	go func() {
		b, err := broker.Open(t.Context(), broker.Options{URLs: []string{e.url()}})
		if err == nil {
			b.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("Open did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	e.start(t)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestOpenEndsWithItsContextOrWithAnErrorThatWaitingDoesNotMend(t *testing.T) {
	t.Parallel()
	locked := startExternal(t)
	locked.stop()
	locked.options.Authorization = "the right token"
	locked.start(t)
	gone := startExternal(t)
	gone.stop()
	for name, o := range map[string]broker.Options{
		"no server":     {URLs: []string{gone.url()}},
		"not let in":    {URLs: []string{locked.url()}},
		"no credential": {URLs: []string{locked.url()}, Creds: filepath.Join(t.TempDir(), "none.creds")},
		"no URL":        {URLs: []string{"nats://user:canary/word@127.0.0.1:4222"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			start := time.Now()
			b, err := broker.Open(ctx, o)
			if err == nil {
				b.Close()
				t.Fatal("opened")
			}
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("took %v", took)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%q gives a password away", err)
			}
			if name != "no server" && ctx.Err() != nil {
				t.Errorf("waited for nothing: %v", err)
			}
		})
	}
}
