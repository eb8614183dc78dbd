package broker_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// asPoller is a broker with a poller's identity on a server that refuses it these subjects, and one that may do everything there.
func asPoller(t testing.TB, permissions *server.Permissions) (poller, all *broker.Broker) {
	t.Helper()
	dir := t.TempDir()
	if err := broker.WriteIdentities(dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, broker.RolePoller, "nkey")
	seed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	e := &external{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "all", Password: "all"}}, Nkeys: []*server.NkeyUser{{Nkey: public, Permissions: permissions}},
	}}
	e.start(t)
	t.Cleanup(e.stop)
	e.options.Port = e.Addr().(*net.TCPAddr).Port
	all = open(t, broker.Options{URLs: []string{strings.Replace(e.url(), "nats://", "nats://all:all@", 1)}})
	if poller, err = broker.Open(t.Context(), broker.Options{URLs: []string{e.url()}, Creds: file}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(poller.Close)
	return poller, all
}

func TestWhatARoleMayNotDoIsAnErrorThatNamesBothBesideAllThatItMay(t *testing.T) {
	t.Parallel()
	b, all := asPoller(t, &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{
		"$JS.API.DIRECT.GET.PARLEY_STATE", "$JS.API.STREAM.MSG.GET.PARLEY_DEAD", "$JS.API.STREAM.INFO.KV_parley-budget", "$JS.API.CONSUMER.INFO.PARLEY_RAW.process-1",
		"$JS.API.CONSUMER.MSG.NEXT.PARLEY_RAW.process-0", "$JS.API.CONSUMER.RESET.>", "$JS.API.STREAM.MSG.DELETE.>", "$JS.API.STREAM.PURGE.>",
		"parley.dead.>", "parley.seen.>", "$KV.parley-sinks.>", "$KV.parley-sources.new",
	}}})
	sinks, sources := bucket(t, b, broker.SinksBucket), bucket(t, b, broker.SourcesBucket)
	consumer, err := b.Consumer(t.Context(), broker.PartitionConsumer(0))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	dead, seen := broker.Message{Subject: "parley.dead.poll.eu"}, broker.Message{Subject: "parley.seen.eu.chats.c1"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	followed := make(chan broker.Message, 100)
	ended := make(chan error, 1)
	following, stop := context.WithCancel(ctx)
	go func() {
		ended <- b.Follow(following, broker.Events, nil, func(m broker.Message) error { followed <- m; return nil })
	}()
	eventually(t, "somebody follows", func() bool {
		publish(t, all, event("a"))
		return len(followed) > 0
	})
	var asking sync.WaitGroup
	for subject, call := range map[string]func() error{
		"$JS.API.DIRECT.GET.PARLEY_STATE": func() error {
			return b.Await(ctx, func(ctx context.Context) error {
				_, err := b.Last(ctx, broker.State, []string{state("a")})
				return err
			})
		},
		"$JS.API.STREAM.MSG.GET.PARLEY_DEAD":             func() error { _, err := b.Read(ctx, broker.Dead, 1); return err },
		"$JS.API.STREAM.INFO.KV_parley-budget":           func() error { _, err := b.Bucket(ctx, broker.BudgetBucket); return err },
		"$JS.API.CONSUMER.INFO.PARLEY_RAW.process-1":     func() error { _, err := b.ConsumerState(ctx, broker.Raw, "process-1"); return err },
		"$JS.API.CONSUMER.MSG.NEXT.PARLEY_RAW.process-0": func() error { _, err := consumer.Next(ctx, 1); return err },
		"$JS.API.STREAM.MSG.DELETE.PARLEY_RAW":           func() error { return b.Remove(ctx, broker.Raw, 1) },
		"$JS.API.STREAM.PURGE.PARLEY_RAW":                func() error { return b.PurgeStream(ctx, broker.Raw) },
		"parley.dead.poll.eu":                            func() error { return b.Publish(ctx, []broker.Message{dead})[0].Err },
		"parley.seen.eu.chats.c1":                        func() error { _, err := b.PublishAtomic(ctx, []broker.Message{seen}); return err },
		"$KV.parley-sinks.files":                         func() error { return sinks.Put(ctx, "files", nil) },
		"$KV.parley-sources.new":                         func() error { _, err := sources.Set(ctx, "new", nil, 0); return err },
	} {
		asking.Go(func() {
			if err := call(); !errors.Is(err, broker.ErrDenied) || !strings.HasSuffix(err.Error(), ": poller may not publish to "+subject) {
				t.Errorf("%s: %v", subject, err)
			}
		})
		asking.Go(func() { // what it may do, it does meanwhile
			if result := b.Publish(ctx, []broker.Message{recordOf(1, 1)})[0]; result.Err != nil {
				t.Error(result.Err)
			}
		})
	}
	asking.Wait()
	out := b.Pipeline(ctx)
	if err := errors.Join(out.Send(dead), out.Flush()); !errors.Is(err, broker.ErrDenied) {
		t.Errorf("a pipeline: %v", err)
	}
	if err := consumer.Reset(ctx); !errors.Is(err, broker.ErrDenied) {
		t.Errorf("a reset: %v", err)
	}
	last := publish(t, all, event("last"))[0].Sequence
	eventually(t, "it is still followed", func() bool {
		select {
		case m := <-followed:
			return m.Sequence == last
		case err := <-ended:
			t.Fatalf("following ended with %v", err)
		default:
		}
		return false
	})
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("following ended with %v", err)
	}
}

func TestARoleThatMayHearNoAnswersIsToldSo(t *testing.T) {
	t.Parallel()
	b, _ := asPoller(t, &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_other.>"}}})
	for name, call := range map[string]func() error{
		"a state": func() error { _, err := b.StreamState(t.Context(), broker.Raw); return err },
		"a look-up": func() error {
			_, err := b.Last(t.Context(), broker.State, []string{events.StateSubjects + ".a"})
			return err
		},
	} {
		if err := call(); !errors.Is(err, broker.ErrDenied) || !strings.Contains(err.Error(), "poller may not subscribe to _INBOX_poller.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
