package sinks

import (
	"context"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// askEvery is how often the consumer is asked how far it is while a sink that sends by itself is at work.
const askEvery = 250 * time.Millisecond

// drain is a request to say when everything up to a sequence is done with.
type drain struct {
	done chan<- error
	goal uint64
}

// askDrains takes the requests that wait. Their goal is what the stream holds now.
func (o *ownership) askDrains(ctx context.Context) {
	for {
		select {
		case done := <-o.Runner.drains:
			state, err := o.broker.StreamState(ctx, o.stream)
			if err != nil {
				done <- err
				continue
			}
			o.drains = append(o.drains, drain{done: done, goal: state.LastSeq})
		default:
			return
		}
	}
}

// answerDrains flushes once everything that is asked for was delivered, and answers the requests that are met.
func (o *ownership) answerDrains(ctx context.Context) error {
	if len(o.drains) == 0 || o.behind && o.top < o.goal() {
		return nil
	}
	bg, sends := o.sink.(background)
	if sends && len(o.held) > 0 && time.Since(o.background.asked) < askEvery {
		return nil
	}
	o.background.asked = time.Now()
	state, err := o.consumer.State(ctx)
	if err != nil {
		return err
	}
	if sends {
		o.serve(ctx, bg, nil)
	} else if o.sink != nil && len(o.held) > 0 && (state.Pending == 0 || o.top >= o.goal()) {
		if err := o.flush(ctx); err != nil {
			return err
		}
		if state, err = o.consumer.State(ctx); err != nil {
			return err
		}
	}
	exhausted := false // there may be nothing for this sink up to the goal
	if state.Done() && state.AckFloor < o.goal() {
		if exhausted, err = o.consumer.Exhausted(ctx); err != nil {
			return err
		}
	}
	waiting := o.drains[:0]
	for _, d := range o.drains {
		if state.AckFloor >= d.goal || exhausted {
			d.done <- nil
		} else {
			waiting = append(waiting, d)
		}
	}
	o.drains = waiting
	return nil
}

// goal is the largest of the requests'.
func (o *ownership) goal() (goal uint64) {
	for _, d := range o.drains {
		goal = max(goal, d.goal)
	}
	return goal
}

// flush makes everything durable, and returns once the server knows.
func (o *ownership) flush(ctx context.Context) error {
	durable, err := o.sink.Flush(ctx)
	var last *broker.Delivery
	for _, sequence := range durable {
		if d := o.held[sequence]; d != nil {
			last = d
		}
	}
	o.ack(durable)
	o.reopenIfLost(err)
	if err != nil || last == nil {
		return err
	}
	// The server takes acknowledgements in their order: its word for one that is sent again, last, is its word for all.
	return last.AckWait(ctx)
}
