package main_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

// A processor that cannot write its index has stored events that come again from RAW: a run's summary tells them all the same.
func TestWhatIsStoredIsCountedAlsoWhenTheIndexCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dir, SyncInterval: time.Minute, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	failures := make(logged, 1)
	r, err := processors.NewRunner(t.Context(), b, processors.Options{Logger: slog.New(slog.NewTextHandler(failures, nil)), Normalizers: map[string]processors.Normalizer{
		"acme": func(r *events.Record) (events.Entity, error) {
			return &events.Conversation{Base: events.NewBase(r), Subject: "x"}, nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	sayPolicy(t, b, r)
	makeRoom := fillIndex(t, dir)
	const count = 300
	messages := make([]broker.Message, 2*count) // each of them twice
	for i := range messages {
		record := &events.Record{Vendor: "acme", Source: "eu", Stream: "chats", Key: fmt.Sprint(i % count), RequestedAt: time.Unix(int64(i), 0)}
		e, err := events.NewRawEvent(record, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		messages[i] = broker.Message{Subject: events.RawSubject(record), Header: map[string][]string{}, Data: e.Data}
		e.SetHeaders(messages[i].Header)
	}
	for _, result := range b.Publish(t.Context(), messages) {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	until := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); !is(); {
			if time.Now().After(deadline) {
				t.Fatalf("not within three minutes: %s", what)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	select {
	case <-failures:
	case <-time.After(3 * time.Minute):
		t.Fatal("no failure in three minutes")
	}
	state, err := b.StreamState(t.Context(), broker.Events)
	if err != nil || state.Messages == 0 {
		t.Fatalf("EVENTS holds %d messages when the index could not be written, %v; want those of the first batch", state.Messages, err)
	}
	makeRoom()
	until("everything is processed", func() bool {
		done, err := b.Processed(t.Context())
		return err == nil && done
	})
	if got := r.Counts()[processors.CountKey{Vendor: "acme", Kind: events.KindConversation}]; got.Events != count || got.Duplicates != count {
		t.Errorf("counted are %+v; want %d events and as many duplicates", got, count)
	}
}

// sayPolicy runs a processor until STATE has its policy, which it says before all else.
func sayPolicy(t *testing.T, b *broker.Broker, r *processors.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for {
		if _, err := processors.Policy(ctx, b); err == nil {
			return
		} else if !errors.Is(err, broker.ErrNotFound) {
			t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// logged tells that something was logged.
type logged chan struct{}

func (l logged) Write(line []byte) (int, error) {
	select {
	case l <- struct{}{}:
	default:
	}
	return len(line), nil
}

// jetStream reaches a server past everything that Parley does.
func jetStream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
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

// fillIndex leaves no room for an entry in STATE, which has no reader yet: updating a stream beside its readers races inside nats-server
// 2.15.2. It gives what makes room again.
func fillIndex(t *testing.T, dir string) (makeRoom func()) {
	t.Helper()
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	js := jetStream(t, string(address))
	s, err := js.Stream(t.Context(), broker.State)
	if err != nil {
		t.Fatal(err)
	}
	const subject, bytes, frame = events.StateSubjects + ".filler", 512 << 10, 30 // what the store adds to a message without headers
	c := s.CachedInfo().Config
	c.MaxBytes, c.Discard = bytes, jetstream.DiscardNew
	if s, err = js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	there, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	filler, err := js.Publish(t.Context(), subject, make([]byte, bytes-frame-len(subject)-int(there.State.Bytes)))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := s.DeleteMsg(t.Context(), filler.Sequence); err != nil {
			t.Fatal(err)
		}
	}
}
