package processors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Reprocess asks for a source's stored records to be normalised again. The owners of RAW's partitions do it, between batches of
// new records, from the records as they are stored: so order per entity and the fences hold, and nothing is stored twice.
type Reprocess struct {
	// ID tells one request from the next for the same source.
	ID     string `json:"id"`
	Source string `json:"source"`
	// From and To bound when RAW stored the records, half-open; a zero To is the time of the request.
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
	// Last is RAW's last sequence when it was asked: what came later was normalised by whoever is present anyway.
	Last uint64 `json:"last"`
	// Total counts the records.
	Total uint64 `json:"total"`
}

// Redone is how far a request is.
type Redone struct {
	ID   string `json:"id"`
	Done bool   `json:"done"` // there is no more
	// At is the sequence in RAW up to which everything is done.
	At      uint64 `json:"at"`
	Records uint64 `json:"records"`
	// Events were emitted: revisions of what differs, and what could not be normalised before.
	Events uint64 `json:"events"`
	// Unreadable records cannot be normalised; Example says why of the first.
	Unreadable uint64 `json:"unreadable"`
	Example    string `json:"example,omitempty"`

	revision uint64
}

func (r *Redone) add(other Redone) {
	r.Records, r.Events, r.Unreadable = r.Records+other.Records, r.Events+other.Events, r.Unreadable+other.Unreadable
	if r.Example == "" {
		r.Example = other.Example
	}
}

// Ask makes the processors normalise again what is asked for. The same request that is not yet done is gone on with, which its ID tells; any
// other for the source is given up for this one.
func Ask(ctx context.Context, b *broker.Broker, q Reprocess) (Reprocess, error) {
	bucket, err := b.Bucket(ctx, broker.ReprocessBucket)
	if err != nil {
		return q, err
	}
	for {
		stored, before, err := readRequest(ctx, bucket, q.Source)
		if err != nil {
			return q, err
		}
		if before.From.Equal(q.From) && before.To.Equal(q.To) && before.ID != "" {
			redone, err := before.Progress(ctx, b)
			if err != nil || !redone.Done {
				return before, err
			}
		}
		if err := q.measure(ctx, b); err != nil {
			return q, err
		}
		q.ID = strconv.FormatUint(stored.Revision+1, 10)
		value, err := json.Marshal(q)
		if err == nil {
			_, err = bucket.Set(ctx, q.Source, value, stored.Revision)
		}
		if !errors.Is(err, broker.ErrConflict) {
			return q, err
		}
	}
}

func readRequest(ctx context.Context, bucket *broker.Bucket, source string) (entry broker.Entry, q Reprocess, err error) {
	entry, err = bucket.Get(ctx, source)
	if errors.Is(err, broker.ErrNotFound) {
		return broker.Entry{}, q, nil
	}
	if err == nil {
		err = json.Unmarshal(entry.Value, &q)
	}
	if err != nil {
		return entry, q, fmt.Errorf("request to reprocess %s: %w", source, err)
	}
	return entry, q, nil
}

// measure finds out what there is to be done.
func (q *Reprocess) measure(ctx context.Context, b *broker.Broker) error {
	state, err := b.StreamState(ctx, broker.Raw)
	if err != nil {
		return err
	}
	q.Last = state.LastSeq
	if q.Total, err = b.Count(ctx, broker.Raw, q.subjects("*"), q.From); err != nil || q.To.IsZero() {
		return err
	}
	later, err := b.Count(ctx, broker.Raw, q.subjects("*"), q.To)
	q.Total -= min(later, q.Total)
	return err
}

// subjects are those of the source's records in a partition.
func (q *Reprocess) subjects(partition string) []string {
	return []string{events.RawSubjects + "." + partition + ".*." + q.Source + ".>"}
}

// ends tells whether a record and all behind it are not asked for.
func (q *Reprocess) ends(m broker.Message) bool {
	return m.Sequence > q.Last || !q.To.IsZero() && !m.Time.Before(q.To)
}

// Progress is how far the request is in all partitions together.
func (q *Reprocess) Progress(ctx context.Context, b *broker.Broker) (sum Redone, err error) {
	bucket, err := b.Bucket(ctx, broker.ReprocessBucket)
	if err != nil {
		return sum, err
	}
	partitions, err := b.Partitions(ctx)
	if err != nil {
		return sum, err
	}
	all, err := bucket.All(ctx, q.Source+".*")
	if err != nil {
		return sum, err
	}
	sum.ID = q.ID
	for key, entry := range all {
		var one Redone
		if err := json.Unmarshal(entry.Value, &one); err != nil {
			return sum, fmt.Errorf("progress %s: %w", key, err)
		}
		if one.ID != q.ID {
			continue
		}
		sum.add(one)
		if one.Done {
			partitions--
		}
	}
	sum.Done = partitions == 0
	return sum, nil
}

// slice is how long new records wait for those that are done again.
const slice = 2 * time.Second

// followRequests keeps what is asked for at hand until the context ends, and gives the function that waits for that.
func (r *Runner) followRequests(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		bucket := r.requestBucket(ctx)
		if bucket != nil {
			_ = r.asked.Follow(ctx, bucket) // its only error is the context's
		}
	}()
	return func() { <-done }
}

// requestBucket waits for the bucket: who made the streams may be an older version. Nil when the context ends.
func (r *Runner) requestBucket(ctx context.Context) *broker.Bucket {
	for {
		bucket, err := r.broker.Bucket(ctx, broker.ReprocessBucket)
		if err == nil {
			return bucket
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(look):
		}
	}
}

// reprocess goes on with what is asked for, for a slice of time.
func (p *partition) reprocess(ctx context.Context) error {
	for key, entry := range p.asked.Entries() {
		if strings.Contains(key, ".") {
			continue // a partition's progress
		}
		var q Reprocess
		if err := json.Unmarshal(entry.Value, &q); err != nil {
			p.log.Debug("a request to reprocess cannot be read", "source", key, "error", err.Error())
			continue
		}
		redone, err := p.redone(ctx, &q)
		if err != nil {
			return err
		}
		if redone.Done {
			continue
		}
		err = p.redo(ctx, &q, redone)
		if err != nil {
			delete(p.again, q.Source) // how far it is stands in the bucket
		}
		if errors.Is(err, broker.ErrConflict) {
			return nil // another process had the partition meanwhile, and noted how far it came
		}
		return err
	}
	return nil
}

// redone gives how far a request is in this partition. It is read when the request is first seen here, and remembered.
func (p *partition) redone(ctx context.Context, q *Reprocess) (*Redone, error) {
	if known := p.again[q.Source]; known != nil && known.ID == q.ID {
		return known, nil
	}
	bucket, err := p.broker.Bucket(ctx, broker.ReprocessBucket)
	if err != nil {
		return nil, err
	}
	redone := &Redone{ID: q.ID}
	entry, err := bucket.Get(ctx, p.progressKey(q))
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		return nil, err
	}
	if err == nil {
		var stored Redone
		if err := json.Unmarshal(entry.Value, &stored); err != nil {
			return nil, fmt.Errorf("progress %s: %w", p.progressKey(q), err)
		}
		if stored.ID == q.ID {
			*redone = stored
		}
	}
	redone.revision = entry.Revision
	// What memory knows of readings that changed nothing depends on what came since this process began; a request's result must not.
	p.forget()
	p.again[q.Source] = redone
	return redone, nil
}

func (p *partition) progressKey(q *Reprocess) string { return fmt.Sprintf("%s.%d", q.Source, p.number) }

// redo normalises stored records again for a slice of time and then notes how far it is: a crash between does the slice again, and finds what
// was emitted.
func (p *partition) redo(ctx context.Context, q *Reprocess, redone *Redone) error {
	until := time.Now().Add(slice)
	errSlice := errors.New("the slice is over")
	next := *redone
	err := p.eachBatch(ctx, q, next.At, func(batch []*broker.Delivery) error {
		p.batch = Redone{}
		if err := p.finish(ctx, batch); err != nil {
			return err
		}
		next.add(p.batch)
		next.At, next.Records = batch[len(batch)-1].Sequence, next.Records+uint64(len(batch))
		if time.Now().After(until) || ctx.Err() != nil {
			return errSlice
		}
		return nil
	})
	if err != nil && !errors.Is(err, errSlice) && ctx.Err() == nil {
		return fmt.Errorf("reprocess %s: %w", q.Source, err)
	}
	next.Done = err == nil
	if err := p.note(ctx, q, &next); err != nil {
		return err
	}
	*redone = next
	return nil
}

// note stores how far a request is, also when the process is told to stop.
func (p *partition) note(ctx context.Context, q *Reprocess, redone *Redone) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	bucket, err := p.broker.Bucket(ctx, broker.ReprocessBucket)
	if err != nil {
		return err
	}
	value, err := json.Marshal(redone)
	if err == nil {
		redone.revision, err = bucket.Set(ctx, p.progressKey(q), value, redone.revision)
	}
	return err
}

// eachBatch reads what is asked for behind a sequence (0: from its beginning), oldest first.
func (p *partition) eachBatch(ctx context.Context, q *Reprocess, after uint64, do func([]*broker.Delivery) error) error {
	var batch []*broker.Delivery
	size := 0
	errEnd := errors.New("the rest is not asked for")
	visit := func(m broker.Message) error {
		if q.ends(m) {
			return errEnd
		}
		batch = append(batch, broker.Stored(m))
		if size += len(m.Data); len(batch) < p.options.Batch && size < partBytes {
			return nil
		}
		full := slices.Clone(batch)
		batch, size = batch[:0], 0
		return do(full)
	}
	subjects := q.subjects(strconv.Itoa(p.number))
	if p.dry {
		subjects = q.subjects("*")
	}
	var err error
	if after == 0 {
		err = p.broker.Scan(ctx, broker.Raw, subjects, q.From, visit)
	} else {
		err = p.broker.ScanFrom(ctx, broker.Raw, subjects, after+1, visit)
	}
	if err != nil && !errors.Is(err, errEnd) {
		return err
	}
	if len(batch) == 0 {
		return nil
	}
	return do(batch)
}

// TryReprocess tells what a request would do, and does nothing. Progress is told after each batch.
func (r *Runner) TryReprocess(ctx context.Context, q Reprocess, progress func(done Redone, total uint64)) (sum Redone, err error) {
	if err := q.measure(ctx, r.broker); err != nil {
		return sum, err
	}
	p := r.partition(-1, int(min(q.Total, mostTried))+1)
	p.dry = true
	err = p.eachBatch(ctx, &q, 0, func(batch []*broker.Delivery) error {
		p.batch = Redone{}
		if err := p.process(ctx, batch); err != nil {
			return err
		}
		sum.add(p.batch)
		sum.Records += uint64(len(batch))
		progress(sum, q.Total)
		return ctx.Err()
	})
	sum.Done = err == nil
	return sum, err
}

// mostTried bounds the memory of entities whose result TryReprocess has worked out: of more, those that were not met for longest are counted again.
const mostTried = 1 << 20
