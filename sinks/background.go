package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// background is a Sink that sends by itself and tells its Runner what came of it. A Runner serves it where Deliver alone would make
// every event wait for the slowest.
type background interface {
	Sink
	// notify has the function called, once, as soon as there is something to collect; at once if there is.
	notify(func())
	// appetite is how many events should be taken at once at the moment; 0: it holds enough.
	appetite() int
	// verdicts gives the events that were refused for good since the last call; each is dead-lettered, then it is to be told by buried.
	verdicts() []verdict
	buried(sequence uint64)
	// health is how the destination does.
	health() health
	// beginPaused makes the first request a probe, because the last owner had paused.
	beginPaused(Pause)
	// progress is what is settled; follow tells what an earlier owner had settled, before anything is delivered.
	progress() Progress
	follow(Progress)
	unfollow()
	// finish starts nothing new and waits for what is under way.
	finish(ctx context.Context)
	// test tries whether the destination can be reached, if the Sender can tell.
	test(ctx context.Context) (found string, err error)
}

// verdict is an event that the destination does not take.
type verdict struct {
	sequence uint64
	attempts int
	reason   error
}

// health is how a destination does.
type health struct {
	pause    *Pause
	failing  bool // it has accepted nothing for several attempts
	failed   uint64
	accepted uint64
	last     string // the last failure
	reason   Reason // its kind
	reasons  map[Reason]uint64
}

// The keys of parley-sinks that a sink of requests has beside <name>.start.
const (
	pauseKey    = ".pause"    // a Pause, while there is one
	progressKey = ".progress" // what is settled above the ack floor, and of which life of the sink
)

const (
	// keepProgress is how often what is settled is stored: as much as that comes again after a crash, and no more.
	keepProgress = 5 * time.Second
	// keepOwnership is how often a Runner that takes nothing renews its ownership.
	keepOwnership = 2 * time.Second
)

// record is Progress as it is stored.
type record struct {
	Progress
	// Origin is the sink's life, and At the time in the stream of the event at Top: what was stored after it under a lower sequence, by a
	// server that lost its last moments, is another event.
	Origin string    `json:"origin"`
	At     time.Time `json:"at"`
}

// backgroundState is what an ownership knows of a sink that sends by itself.
type backgroundState struct {
	shown     health // of its destination
	keptPause *Pause // what is stored of it
	kept      Progress
	keptAt    time.Time
	left      record    // what the sink before this one had settled
	followed  []record  // what this one does not send
	at        time.Time // in the stream, of the last event that was taken
	asked     time.Time // when the consumer was last asked for a drain's sake
}

// serve gives items to a sink that sends by itself, and collects what came of earlier ones: it acknowledges, dead-letters, and shows how
// the destination does.
func (o *ownership) serve(ctx context.Context, bg background, items []Item) {
	durable, _ := bg.Deliver(ctx, Batch{Items: items, AckFloor: o.floor}) // it has no errors
	o.ack(durable)
	for _, v := range bg.verdicts() {
		d := o.held[v.sequence]
		if d == nil {
			continue // it comes again
		}
		o.bury(ctx, d, v.attempts, &Refused{Sequence: v.sequence, Err: v.reason})
		if ctx.Err() != nil {
			return
		}
		bg.buried(v.sequence)
	}
	o.show(ctx, bg.health())
	if time.Since(o.background.keptAt) > keepProgress {
		o.keep(ctx, bg)
	}
}

// untilNews gives a context that ends as soon as a sink that sends by itself has something to collect.
func (o *ownership) untilNews(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if bg, ok := o.sink.(background); ok {
		bg.notify(cancel)
	}
	return ctx, cancel
}

// standStill takes nothing, because the sink holds enough, and keeps the ownership.
func (o *ownership) standStill(ctx context.Context) error {
	if err := o.consumer.Keep(); err != nil {
		return err
	}
	news, cancel := o.untilNews(ctx)
	defer cancel()
	select {
	case <-news.Done():
	case <-time.After(keepOwnership):
	}
	return o.pass(ctx)
}

// show makes visible how the destination does, and says it once per change.
func (o *ownership) show(ctx context.Context, h health) {
	was := o.background.shown
	o.background.shown = h
	o.count(func(s *Stats) {
		s.Failed += h.failed - was.failed
		if h.failed > was.failed {
			s.LastError, s.LastReason = h.last, h.reason
		}
		for reason, n := range h.reasons {
			if s.Failures == nil {
				s.Failures = make(map[Reason]uint64)
			}
			s.Failures[reason] += n - was.reasons[reason]
		}
		s.Failing, s.Pause = o.failing || h.failing, h.pause
	})
	switch {
	case h.pause != nil && was.pause == nil:
		next := "one event is sent now and then to see whether it is taken"
		if h.pause.ForGood {
			next = "nothing is sent before the sink is started anew"
		}
		o.log.Warn("the sink is paused; its backlog waits", "why", h.pause.Why, "next", next)
	case h.pause == nil && was.pause != nil:
		o.log.Info("the sink goes on", "paused_for", time.Since(was.pause.Since).Round(time.Millisecond).String())
	case h.failing && !was.failing:
		o.log.Warn("the sink fails; trying again until it works", "step", "deliver", "error", h.last)
	case was.failing && !h.failing:
		o.log.Info("the sink works again")
	}
	o.keepPause(ctx, h)
}

// keepPause stores a pause so that others can see it, and takes it away when it is over.
func (o *ownership) keepPause(ctx context.Context, h health) {
	if same(h.pause, o.background.keptPause) || h.pause == nil && h.accepted == 0 {
		return
	}
	bucket, err := o.broker.Bucket(ctx, broker.SinksBucket)
	switch {
	case err != nil:
	case h.pause == nil:
		err = bucket.Delete(ctx, o.key+pauseKey)
	default:
		value, _ := json.Marshal(h.pause) // strings and times always encode
		err = bucket.Put(ctx, o.key+pauseKey, value)
	}
	if err != nil {
		return // the next change of anything tries again
	}
	o.background.keptPause = h.pause
}

// same tells whether two pauses look alike.
func same(a, b *Pause) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Why == b.Why && a.Since.Equal(b.Since) && a.ForGood == b.ForGood
}

// keep stores what is settled above the ack floor. Without it a crash costs more that comes twice, and nothing else.
func (o *ownership) keep(ctx context.Context, bg background) {
	o.background.keptAt = time.Now()
	p := o.record(bg)
	kept := o.background.kept
	if len(p.Open) == 0 && len(kept.Open) == 0 || p.Top == kept.Top && len(p.Open) == len(kept.Open) {
		return // the ack floor says as much, or nothing has changed
	}
	value, _ := json.Marshal(p) // numbers always encode
	bucket, err := o.broker.Bucket(ctx, broker.SinksBucket)
	if err == nil && bucket.Put(ctx, o.key+progressKey, value) == nil {
		o.background.kept = p.Progress
	}
}

// follow tells a sink that sends by itself what earlier owners left.
func (o *ownership) follow(ctx context.Context, bg background, last uint64) error {
	bucket, err := o.broker.Bucket(ctx, broker.SinksBucket)
	if err != nil {
		return err
	}
	var p record
	if err := read(ctx, bucket, o.key+progressKey, &p); err != nil {
		return err
	}
	for _, p := range []record{p, o.background.left} {
		// Sequences of another life, or ones that the stream has not reached, are those of other events.
		if p.Origin == o.origin && p.Top <= last {
			bg.follow(p.Progress)
			o.background.followed = append(o.background.followed, p)
		}
	}
	o.background.kept = p.Progress
	pause, err := PauseOf(ctx, bucket, o.key)
	if err != nil {
		return err
	}
	o.background.keptPause = pause
	if pause != nil {
		bg.beginPaused(*pause)
	}
	return nil
}

// record gives what is settled now.
func (o *ownership) record(bg background) record {
	r := record{Progress: bg.progress(), Origin: o.origin, At: o.background.at}
	for _, p := range o.background.followed {
		if p.At.After(r.At) {
			r.At = p.At
		}
	}
	return r
}

// doubt stops following a record that cannot be about the event which is delivered.
func (o *ownership) doubt(d *broker.Delivery) {
	if d.Time.After(o.background.at) {
		o.background.at = d.Time
	}
	for _, p := range o.background.followed {
		if d.Sequence <= p.Top && d.Time.After(p.At) {
			o.log.Warn("the stream holds other events than when this sink last stopped; everything above the ack floor is sent again", "sequence", d.Sequence)
			if bg, ok := o.sink.(background); ok {
				bg.unfollow()
			}
			o.background.followed = nil
			return
		}
	}
}

// PauseOf gives the pause that a sink's owner has stored in the bucket parley-sinks; nil when the sink is not paused.
func PauseOf(ctx context.Context, bucket *broker.Bucket, name string) (*Pause, error) {
	p := new(Pause)
	if err := read(ctx, bucket, name+pauseKey, p); err != nil || p.Why == "" {
		return nil, err
	}
	return p, nil
}

// read decodes a key's value; a key that is not there leaves the target as it is.
func read(ctx context.Context, bucket *broker.Bucket, key string, target any) error {
	entry, err := bucket.Get(ctx, key)
	if errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(entry.Value, target)
	}
	if err != nil {
		return fmt.Errorf("%s/%s: %w", broker.SinksBucket, key, err)
	}
	return nil
}

// end lets a sink that sends by itself finish what is under way; the rest comes again to the next owner.
func (o *ownership) end(ctx context.Context, bg background) {
	bg.finish(ctx)
	o.serve(ctx, bg, nil)
	o.keep(ctx, bg)
}
