package processors

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/parley-stream/parley/events"
)

// stream is whose records are entities of one kind, most of the time.
type stream struct{ vendor, name string }

func streamOf(r *events.Record) stream { return stream{r.Vendor, r.Stream} }

// errOvertaken says that a record was recognised, and that what it was recognised by was replaced within its batch, which comes again.
var errOvertaken = errors.New("a record was recognised too early")

// recognise finds the records that are, byte for byte, those that their entities' present states were made of: they are not normalised
// again. The program is part of what a record is recognised by, so that a newer normaliser sees all of them; and so is how much was known
// of the erased, so that a record is looked at again once somebody more is.
//
// A record of messages is never recognised: its conversation's state says nothing of whether they were emitted.
func (p *partition) recognise(ctx context.Context, items []*item) error {
	if p.options.Program == "" || p.options.MessageEvents {
		return nil
	}
	erased := strconv.FormatUint(p.erased.Revision(), 10)
	seen := make(map[string]bool, len(items))
	var candidates []*item
	for _, it := range items {
		if it.err != nil {
			continue
		}
		it.known = p.erased.Key().Record(it.record, p.options.Program, erased)
		// The kind is a guess. Of a wrong one there is no such state: the state of an entity names only records that became that entity.
		kind, ok := p.kinds.Load(streamOf(it.record))
		if !ok || it.delivery.Stored() {
			continue
		}
		it.kind = kind.(events.Kind)
		it.path = events.EntityPath(it.kind, it.record.Vendor, it.record.Source, it.record.Key)
		// What one that comes twice is compared with the second time is not known yet.
		if !seen[it.path] {
			seen[it.path] = true
			candidates = append(candidates, it)
		}
	}
	if err := p.learn(ctx, candidates); err != nil {
		return err
	}
	for _, it := range candidates {
		if known, _ := p.cache.Get(it.path); known.record == it.known {
			it.digest, it.fence = known.digest, newFence(time.Time{}, it.record.RequestedAt, it.delivery.Sequence)
			it.fence.version = known.fence.version
		}
	}
	return nil
}
