package sinks_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

// Nothing new arrives, and everything is in the hands of one that dies while another stands by.
func TestAStandbyGetsWhatADyingOwnerHeldWithoutANewEvent(t *testing.T) {
	b, dir := openBroker(t), t.TempDir()
	publish(t, b, 1, 100)
	dying, err := b.Consumer(t.Context(), broker.ConsumerConfig{
		Stream: broker.Events, Name: "sink-archive", Filters: []string{"parley.events.>"}, Pinned: true, MaxAckPending: 1 << 16, AckWait: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, die := context.WithCancel(t.Context())
	defer die()
	dead := make(chan struct{})
	go func() {
		defer close(dead)
		defer dying.Close()
		for ctx.Err() == nil {
			if _, err := dying.Next(ctx, 200); errors.Is(err, broker.ErrNewOwner) {
				_ = dying.Reset(ctx)
			}
		}
	}()
	r := sinks.NewRunner("archive", b, fileSink(t, dir, ""), sinks.Options{})
	run(t, r)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for held := false; !held; <-tick.C {
		s, err := b.ConsumerState(t.Context(), broker.Events, "sink-archive")
		if err != nil {
			t.Fatal(err)
		}
		held = s.Unacked == 100 && s.Pinned
	}
	die()
	<-dead
	start := time.Now()
	drain(t, r)
	if took := time.Since(start); took > 40*time.Second {
		t.Errorf("took %v", took)
	}
	wantOnce(t, revisions(t, dir), 100)
}
