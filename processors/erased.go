package processors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// errErased says that a record is of a person who was erased.
var errErased = errors.New("its person was erased")

// keepErased follows who is erased until the context ends, and returns when it is known who was. The function that it gives waits for the end.
func (r *Runner) keepErased(ctx context.Context) (wait func()) {
	ctx, stop := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { _ = r.erased.Follow(ctx) }) // it ends with the context alone
	select {
	case <-r.erased.Ready():
		r.tellOfLeft(ctx)
	case <-ctx.Done():
	}
	return func() {
		stop()
		following.Wait()
	}
}

// tellOfLeft says when not all who were erased are gone.
func (r *Runner) tellOfLeft(ctx context.Context) {
	if gone, err := r.erased.AllGone(ctx); err == nil && !gone {
		r.log.Warn("not everybody who was erased is gone from the streams: an erasure was ended, or is at work, or streams were restored from a backup that is older; run `parley forget --again`")
	}
}

// isErased tells whether a record is of somebody who was erased: by any identifier that its entity names, or as a record that was erased.
func (p *partition) isErased(it *item) bool {
	if p.erased.Nobody() {
		return false
	}
	r := it.record
	return p.erased.Has([]events.Identifier{events.RecordIdentifier(r.Source, r.Stream, r.Key)}) || p.erased.Has(events.Identifiers(it.entity, it.content))
}

// erase removes a record from RAW with its bytes. It is acknowledged after that: a crash between the two finds it gone.
func (p *partition) erase(ctx context.Context, it *item) error {
	it.ended()
	if p.dry {
		return nil
	}
	d := it.delivery
	if it.dataRef != "" {
		if err := p.broker.RemoveObject(ctx, it.dataRef); err != nil {
			return fmt.Errorf("erase record %d: %w", d.Sequence, err)
		}
	}
	if err := p.broker.Remove(ctx, broker.Raw, d.Sequence); err != nil {
		return fmt.Errorf("erase record %d: %w", d.Sequence, err)
	}
	vendor := ""
	if it.record != nil {
		vendor = it.record.Vendor
	}
	p.count(vendor, "", func(c *Counts) { c.Erased++ })
	return d.Ack()
}
