package sinks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// take delivers a batch of the consumer, in order and in parts that fit into memory, and returns when all of it was taken or
// dead-lettered, or when the ownership or the context ended.
func (o *ownership) take(ctx context.Context, batch []*broker.Delivery) {
	for _, d := range batch {
		o.held[d.Sequence] = d
		o.doubt(d)
	}
	items, size := o.items[:0], 0
	for i, d := range batch {
		item, ok := o.read(ctx, d)
		if o.sink == nil || ctx.Err() != nil {
			return
		}
		if !ok {
			continue
		}
		items = append(items, item)
		if size += len(item.Event.Data); size >= batchBytes {
			o.deliver(ctx, items)
			items, size = items[:0], 0
			if bg, ok := o.sink.(background); ok && bg.appetite() == 0 {
				o.rest = batch[i+1:] // their data may lie in the object store; there it stays until there is room
				return
			}
		}
		if o.sink == nil || ctx.Err() != nil {
			return
		}
	}
	if len(items) > 0 {
		o.deliver(ctx, items)
	}
	clear(items) // the data of a large event must not wait for the next batch
	o.items = items
}

// read makes the event of a delivery; false when it was dead-lettered instead.
func (o *ownership) read(ctx context.Context, d *broker.Delivery) (Item, bool) {
	if o.options.Replay && o.dropErased(ctx, d) {
		return Item{}, false
	}
	e, err := events.FromMessage(d.Header, d.Data)
	if err != nil {
		o.bury(ctx, d, 1, fmt.Errorf("read event: %w", err))
		return Item{}, false
	}
	o.trace(d, &e)
	if e.DataRef == "" {
		return Item{Sequence: d.Sequence, Stored: d.Time, Event: e}, true
	}
	for attempts := 1; ctx.Err() == nil; attempts++ {
		err := o.broker.Resolve(ctx, &e)
		if events.IsPermanent(err) {
			o.bury(ctx, d, attempts, err)
			return Item{}, false
		}
		if o.attempt(ctx, "resolve", err) {
			return Item{Sequence: d.Sequence, Stored: d.Time, Event: e}, true
		}
	}
	return Item{}, false
}

// dropErased removes an event that is given again, from a dead letter or from a stream that was restored, whose person was erased.
func (o *ownership) dropErased(ctx context.Context, d *broker.Delivery) bool {
	for ctx.Err() == nil {
		erased, err := o.broker.OfErased(ctx, d.Message)
		if err == nil && erased {
			err = o.broker.Remove(ctx, o.stream, d.Sequence)
		}
		if !o.attempt(ctx, "look for the erased", err) {
			continue
		}
		if erased {
			_ = d.Ack()
			delete(o.held, d.Sequence)
		}
		return erased
	}
	return false
}

// deliver hands items over until they are taken. An event that the destination refuses for good leaves the batch; the others stay in order.
func (o *ownership) deliver(ctx context.Context, items []Item) {
	if bg, ok := o.sink.(background); ok {
		o.serve(ctx, bg, items)
		return
	}
	for attempts := 1; len(items) > 0 && ctx.Err() == nil; attempts++ {
		durable, err := o.sink.Deliver(ctx, Batch{Items: items, AckFloor: o.floor})
		o.ack(durable)
		var refused *Refused
		if events.IsPermanent(err) && errors.As(err, &refused) && o.held[refused.Sequence] != nil {
			o.bury(ctx, o.held[refused.Sequence], attempts, refused)
			items = without(items, refused.Sequence)
			continue
		}
		done := o.attempt(ctx, "deliver", err)
		if done {
			o.lighten(items)
			return
		}
		o.reopenIfLost(err)
		if o.sink == nil {
			return
		}
	}
}

// lighten keeps of what was taken only what its acknowledgement needs: a destination may hold it for minutes.
func (o *ownership) lighten(items []Item) {
	for _, i := range items {
		if d := o.held[i.Sequence]; d != nil {
			d.Header, d.Data = nil, nil
		}
	}
}

// without copies: the sink may still look at the batch that it was given.
func without(items []Item, sequence uint64) []Item {
	rest := make([]Item, 0, len(items))
	for _, i := range items {
		if i.Sequence != sequence {
			rest = append(rest, i)
		}
	}
	return rest
}

// bury publishes a dead letter and acknowledges the event only when DEAD has it: a crash between the two publishes it
// again under the same message id, which adds nothing.
func (o *ownership) bury(ctx context.Context, d *broker.Delivery, attempts int, reason error) {
	header := make(map[string][]string, len(d.Header)+8)
	maps.Copy(header, d.Header)
	letter := events.DeadLetter{
		Stage: events.StageSink, Name: o.name, Reason: reason.Error(), Attempts: attempts,
		Stream: o.stream, Sequence: d.Sequence, Subject: d.Subject, At: time.Now(),
	}
	letter.SetHeaders(header)
	m := broker.Message{Subject: letter.DeadSubject(), Header: header, Data: d.Data}
	for ctx.Err() == nil {
		if o.attempt(ctx, "dead letter", o.publishDead(ctx, m)) {
			break
		}
	}
	if ctx.Err() != nil {
		return
	}
	o.endSpan(d.Sequence, reason)
	if e, err := events.FromMessage(d.Header, nil); err == nil {
		ctx = events.WithTrace(ctx, e.TraceParent)
	}
	o.log.WarnContext(ctx, "an event was dead-lettered", "sequence", d.Sequence, "subject", letter.DeadSubject(), "reason", reason.Error())
	_ = d.Ack()
	delete(o.held, d.Sequence)
	o.count(func(s *Stats) { s.DeadLetters++ })
}

// publishDead also puts data that the message refers to anew, so that it outlives the dead letter.
func (o *ownership) publishDead(ctx context.Context, m broker.Message) error {
	if e, err := events.FromMessage(m.Header, m.Data); err == nil && e.DataRef != "" {
		err := o.broker.Resolve(ctx, &e)
		if err == nil {
			err = o.broker.Offload(ctx, &e)
		}
		if err != nil && !events.IsPermanent(err) {
			return err
		}
	}
	return o.broker.Bury(ctx, m).Err
}
