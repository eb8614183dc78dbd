package sinks_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

func sinksBucket(t *testing.T, b *broker.Broker) *broker.Bucket {
	t.Helper()
	bucket, err := b.Bucket(t.Context(), broker.SinksBucket)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func halt(t *testing.T, b *broker.Broker, name string) {
	t.Helper()
	if err := sinks.Halt(t.Context(), sinksBucket(t, b), name, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func resume(t *testing.T, b *broker.Broker, name string) {
	t.Helper()
	if err := sinks.Resume(t.Context(), sinksBucket(t, b), name); err != nil {
		t.Fatal(err)
	}
}

func TestAHaltedSinkDeliversNothingAndKeepsItsBacklogWhileOthersGoOn(t *testing.T) {
	b := openBroker(t)
	publish(t, b, 1, 100)
	hook, other, dir := &peer{}, &peer{}, t.TempDir()
	halted := map[string]*sinks.Runner{
		"hook":  sinks.NewRunner("hook", b, sinks.Requests(hook.open, sinks.RequestOptions{}), sinks.Options{}),
		"files": sinks.NewRunner("files", b, fileSink(t, dir, ""), sinks.Options{}),
	}
	free := sinks.NewRunner("other", b, sinks.Requests(other.open, sinks.RequestOptions{}), sinks.Options{})
	run(t, free)
	for _, r := range halted {
		run(t, r)
		drain(t, r)
	}
	for name, r := range halted {
		halt(t, b, name)
		await(t, name+" is halted", func() bool { return r.Stats().Halt != nil && !r.Stats().Owner })
	}
	publish(t, b, 101, 200)
	drain(t, free)
	for name, r := range halted {
		if err := r.Drain(t.Context()); !errors.Is(err, sinks.ErrHalted) {
			t.Errorf("%s: drain gives %v; want that it is halted", name, err)
		}
		state, err := b.ConsumerState(t.Context(), broker.Events, sinks.ConsumerName(name))
		if err != nil {
			t.Fatal(err)
		}
		if state.Pending+state.Unacked != 100 || state.Pinned {
			t.Errorf("%s: %+v; want 100 that wait and no owner", name, state)
		}
	}
	hook.wantInOrder(t, 100)
	other.wantInOrder(t, 200)
	wantOnce(t, revisions(t, dir), 100)

	for name, r := range halted {
		resume(t, b, name)
		await(t, name+" goes on", func() bool { return r.Stats().Halt == nil })
		drain(t, r)
	}
	hook.wantInOrder(t, 200)
	wantOnce(t, revisions(t, dir), 200)
}

func TestAHaltOutlivesTheProcessAndKeepsReplaysBackToo(t *testing.T) {
	b := openBroker(t)
	halt(t, b, "hook")
	halt(t, b, "hook") // once is enough, and twice no error
	publish(t, b, 1, 10)
	message, err := b.Read(t.Context(), broker.Events, 1)
	if err != nil {
		t.Fatal(err)
	}
	again := broker.Message{Subject: events.ReplaySubject("hook", message.Subject), Header: events.PublishedHeaders(message.Header), Data: message.Data}
	if r := b.Publish(t.Context(), []broker.Message{again})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	p, q := &peer{}, &peer{}
	live := sinks.NewRunner("hook", b, sinks.Requests(p.open, sinks.RequestOptions{}), sinks.Options{})
	replays := sinks.NewRunner("hook", b, sinks.Requests(q.open, sinks.RequestOptions{}), sinks.Options{Replay: true})
	for _, r := range []*sinks.Runner{live, replays} {
		run(t, r)
		if err := r.Drain(t.Context()); !errors.Is(err, sinks.ErrHalted) {
			t.Errorf("drain gives %v; want that it is halted", err)
		}
	}
	if _, err := b.ConsumerState(t.Context(), broker.Events, sinks.ConsumerName("hook")); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("a sink that was never let go has a consumer: %v", err)
	}
	h, err := sinks.HaltOf(t.Context(), sinksBucket(t, b), "hook")
	if err != nil || h == nil || time.Since(h.Since) > time.Hour {
		t.Errorf("halt: %+v, %v", h, err)
	}
	resume(t, b, "hook")
	for _, r := range []*sinks.Runner{live, replays} {
		await(t, "it goes on", func() bool { return r.Stats().Halt == nil })
		drain(t, r)
	}
	p.wantInOrder(t, 10)
	q.wantInOrder(t, 1)
}

func TestASinkThatIsHaltedInTheMiddleFinishesWhatItHasAndLosesNothing(t *testing.T) {
	b := openBroker(t)
	dir := t.TempDir()
	publish(t, b, 1, 3000)
	r := sinks.NewRunner("files", b, fileSink(t, dir, "rotate_age=1h"), sinks.Options{})
	stop := run(t, r)
	await(t, "it has taken something", func() bool {
		open, err := filepath.Glob(filepath.Join(dir, ".parley", "*"))
		return err == nil && len(open) > 0
	})
	halt(t, b, "files")
	await(t, "it is halted", func() bool { return r.Stats().Halt != nil })
	stop()
	second := sinks.NewRunner("files", b, fileSink(t, dir, ""), sinks.Options{})
	run(t, second)
	await(t, "the second is halted too", func() bool { return second.Stats().Halt != nil })
	resume(t, b, "files")
	await(t, "it goes on", func() bool { return second.Stats().Halt == nil })
	drain(t, second)
	wantOnce(t, revisions(t, dir), 3000)
}
