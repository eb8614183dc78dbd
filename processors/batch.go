package processors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// item is one RAW record on its way to EVENTS.
type item struct {
	delivery *broker.Delivery
	record   *events.Record
	entity   events.Entity
	path     string // <kind>.<vendor>.<source>.<entity>: the end of its subjects
	content  []byte
	plain    []byte // the content before enrichment
	size     int    // of the raw data
	dataRef  string // where the raw data lies, if not in the message
	digest   string
	fence    fence
	enriched bool
	stored   bool        // an earlier attempt made the present event of it, and was not counted
	err      error       // it is a dead letter
	end      func(error) // of its span; nil: it has none
	// of is the item whose conversation this one is a message of, and position which.
	of       *item
	position int
	single   []events.SingleMessage // of a completed conversation
}

// trace begins a record's span where its trace asks for one, under which its event goes on.
func (p *partition) trace(it *item) {
	if p.options.Tracer == nil || !events.Sampled(it.record.Traceparent) {
		return
	}
	r := it.record
	r.Traceparent, it.end = p.options.Tracer.Span(r.Traceparent, "process "+r.Source, "parley.source", r.Source, "parley.vendor", r.Vendor, "parley.stream", r.Stream)
}

// ended ends a record's span, if it has one.
func (it *item) ended() {
	if it.end != nil {
		it.end(it.err)
		it.end = nil
	}
}

// process turns a batch of deliveries into events and acknowledges them. After an error nothing that is
// not acknowledged may be taken for done: the caller resets the consumer.
func (p *partition) process(ctx context.Context, deliveries []*broker.Delivery) error {
	var items []*item
	size := 0
	for _, d := range deliveries {
		it, err := p.prepare(ctx, d)
		if err != nil {
			return err
		}
		items = append(items, it)
		// Large records are fetched from the object store: only so many of them are in memory at once.
		if size += it.size + len(it.content); size > partBytes {
			if err := p.part(ctx, items); err != nil {
				return err
			}
			items, size = nil, 0
		}
	}
	return p.part(ctx, items)
}

// partBytes is about how much raw data is held at once.
const partBytes = 16 << 20

// part brings some consecutive records to their end.
func (p *partition) part(ctx context.Context, items []*item) error {
	left, err := p.bury(ctx, items)
	if err != nil {
		return err
	}
	if left, err = p.withMessages(left); err != nil {
		return err
	}
	if err := p.learn(ctx, left); err != nil {
		return err
	}
	// One message per entity and round: each names the sequence that it follows.
	for len(left) > 0 {
		var round []*item
		round, left = firstOfEach(left)
		if err := p.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// prepare decodes and normalises. Its error is the broker's; what is wrong with the record stays in the item.
func (p *partition) prepare(ctx context.Context, d *broker.Delivery) (*item, error) {
	it := &item{delivery: d}
	event, err := events.FromMessage(d.Header, d.Data)
	if err == nil {
		it.dataRef = event.DataRef
		err = p.broker.Resolve(ctx, &event)
		if err != nil && !events.IsPermanent(err) {
			return nil, err
		}
	}
	if err == nil {
		it.size = len(event.Data)
		it.record, err = events.DecodeRecord(event.Data)
	}
	if err != nil {
		it.err = err
		return it, nil
	}
	p.trace(it)
	if it.err = p.normalize(it); it.err != nil {
		return it, nil //nolint:nilerr // it becomes a dead letter
	}
	base := it.entity.Common()
	it.path = events.EntityPath(it.entity.Kind(), base.Vendor, base.Source, base.VendorID)
	it.plain, it.digest = it.content, p.erased.Key().Content(it.content)
	if p.isErased(it) {
		it.err = errErased
	}
	it.fence = newFence(it.entity.Version(), it.record.RequestedAt, d.Sequence)
	return it, nil
}

// normalize makes the canonical entity; a panic of a room is that record's error and nobody else's.
func (p *partition) normalize(it *item) (err error) {
	normalize, ok := p.options.Normalizers[it.record.Vendor]
	if !ok {
		return fmt.Errorf("vendor %q has no normaliser", it.record.Vendor)
	}
	if body, too := it.record.Oversize(); too {
		return fmt.Errorf("the record has %d bytes, more than the %d that are kept whole", body.Size, events.MaxRecordBytes)
	}
	err = p.try(it.record.Vendor+" normaliser", func() (err error) {
		it.entity, err = normalize(it.record)
		return err
	})
	if err != nil {
		return err
	}
	if key := it.entity.Common().VendorID; key != it.record.Key {
		return fmt.Errorf("the record's key is %q and its entity's %q", it.record.Key, key)
	}
	it.content, err = events.EncodeContent(it.entity)
	return err
}

// bury dead-letters what cannot be processed, before it is acknowledged, and gives the rest.
func (p *partition) bury(ctx context.Context, items []*item) (left []*item, err error) {
	for _, it := range items {
		if it.err == nil {
			left = append(left, it)
			continue
		}
		if err := p.buryOne(ctx, it); err != nil {
			return nil, err
		}
	}
	return left, nil
}

func (p *partition) buryOne(ctx context.Context, it *item) error {
	d := it.delivery
	if errors.Is(it.err, errErased) {
		return p.erase(ctx, it)
	}
	if d.Stored() {
		// RAW has it, and DEAD too if it could never be normalised.
		p.batch.add(Redone{Unreadable: 1, Example: fmt.Sprintf("record %d of %s: %s", d.Sequence, broker.Raw, p.text(it.err.Error()))})
		it.ended()
		return nil
	}
	dead := events.DeadLetter{
		Stage: events.StageProcess, Name: "unknown", Reason: p.text(it.err.Error()), Attempts: 1,
		Stream: broker.Raw, Sequence: d.Sequence, Subject: d.Subject, At: p.options.Now().UTC(),
	}
	vendor := ""
	if it.record != nil {
		dead.Name, vendor = it.record.Source, it.record.Vendor
	}
	header := make(map[string][]string, len(d.Header)+8)
	for name, values := range d.Header {
		header[name] = values
	}
	dead.SetHeaders(header)
	// A bad record that overlapping windows read again is one dead letter, not one for each reading.
	header[broker.HeaderMsgID] = []string{events.StageProcess + ":" + dead.Name + ":" + it.fingerprint() + d.Get(events.HeaderReplayOf)}
	result := p.broker.Bury(ctx, broker.Message{Subject: dead.DeadSubject(), Header: header, Data: d.Data})
	if result.Err != nil {
		p.doubt(it)
		return fmt.Errorf("dead-letter record %d: %w", d.Sequence, result.Err)
	}
	if result.Erased {
		return p.erase(ctx, it)
	}
	again := result.Duplicate && !p.doubtful[d.Sequence]
	delete(p.doubtful, d.Sequence)
	p.count(vendor, "", func(c *Counts) {
		if again {
			c.Duplicates++
		} else {
			c.DeadLetters++
		}
	})
	it.ended()
	if !again {
		p.log.WarnContext(it.traced(ctx), "a record cannot be processed; it is a dead letter", "source", dead.Name, "raw sequence", d.Sequence, "error", dead.Reason)
	}
	return d.Ack()
}

// fingerprint tells a record by what it holds, and what cannot be decoded by where it came from and its bytes, or by where those lie.
func (it *item) fingerprint() string {
	if it.record != nil {
		return it.record.DeadName()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %s", it.delivery.Subject, it.delivery.Get("ce-dataref"), it.delivery.Data))
	return hex.EncodeToString(sum[:16])
}

// traced is a context for what is said of a record.
func (it *item) traced(ctx context.Context) context.Context {
	if it.record == nil {
		return ctx
	}
	return events.WithTrace(ctx, it.record.Traceparent)
}

// learn looks up the entities that the cache does not know, all in one request to STATE.
func (p *partition) learn(ctx context.Context, items []*item) error {
	var unknown []string
	asked := make(map[string]bool)
	for _, it := range items {
		if _, ok := p.cache.Get(it.path); !ok && !asked[it.path] {
			asked[it.path] = true
			unknown = append(unknown, stateSubject(it.path))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	found, err := p.broker.Last(ctx, broker.State, unknown)
	if err != nil {
		return err
	}
	for path := range asked {
		known := state{}
		if m, ok := found[stateSubject(path)]; ok {
			if known, err = decodeState(m.Data); err != nil {
				return err
			}
			known.stored = m.Sequence
		}
		p.cache.Add(path, known)
	}
	return nil
}

func stateSubject(path string) string { return events.StateSubjects + "." + path }
func eventSubject(path string) string { return events.EventSubjects + "." + path }

func firstOfEach(items []*item) (first, rest []*item) {
	seen := make(map[string]bool, len(items))
	for _, it := range items {
		if seen[it.path] {
			rest = append(rest, it)
			continue
		}
		seen[it.path] = true
		first = append(first, it)
	}
	return first, rest
}

// round emits what changed of items of different entities: events, then STATE, and only then the acknowledgements. A crash
// between any two comes again from RAW and finds what was done.
func (p *partition) round(ctx context.Context, items []*item) (err error) {
	counted := 0
	defer func() {
		if err != nil {
			p.doubt(items[counted:]...)
		}
	}()
	emitted := make(map[*item]bool, len(items))
	for attempt, waiting := 0, items; len(waiting) > 0; attempt++ {
		if attempt == maxRepairs {
			return fmt.Errorf("events of %d entities are refused again and again: another processor writes them", len(waiting))
		}
		changed, err := p.bury(ctx, p.enrich(p.changed(waiting)))
		if err != nil {
			return err
		}
		refused, err := p.emit(ctx, changed)
		if err != nil {
			return err
		}
		for _, it := range changed {
			emitted[it] = true
		}
		for _, it := range refused {
			delete(emitted, it)
		}
		if err := p.repair(ctx, refused); err != nil {
			return err
		}
		waiting = refused
	}
	if err := p.remember(ctx, items); err != nil {
		return err
	}
	for _, it := range items {
		counted++
		if it.err != nil {
			continue // it is a dead letter by now
		}
		p.tally(it, emitted[it] || it.stored)
		if it.of != nil {
			continue // the conversation's record stands for it, in this round or a later one
		}
		delete(p.doubtful, it.delivery.Sequence)
		it.ended()
		if err := it.delivery.Ack(); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	return nil
}

// doubt notes items that may have become events, or dead letters, and are not counted as such: what comes again of them is no duplicate.
func (p *partition) doubt(items ...*item) {
	for _, it := range items {
		if !it.delivery.Stored() {
			p.doubtful[it.delivery.Sequence] = true
		}
	}
}

func (p *partition) tally(it *item, emitted bool) {
	switch {
	case emitted && it.delivery.Stored():
		p.batch.Events++
		fallthrough
	case emitted:
		p.count(it.record.Vendor, it.entity.Kind(), func(c *Counts) { c.Events++ })
	case !it.delivery.Stored():
		p.count(it.record.Vendor, it.entity.Kind(), func(c *Counts) { c.Duplicates++ })
	}
}

// maxRepairs bounds how often one round is decided anew.
const maxRepairs = 8

// changed gives the items whose content is not the entity's present one and whose reading is not older.
func (p *partition) changed(items []*item) (changed []*item) {
	for _, it := range items {
		known, _ := p.cache.Get(it.path)
		order := it.fence.compare(known.fence)
		// What is normalised again may say something else of the very reading that its present state came from.
		newer := order > 0 || it.delivery.Stored() && it.fence.sameReading(known.fence)
		it.stored = it.stored || order == 0 && p.doubtful[it.delivery.Sequence]
		if known.revision > 0 && newer && known.digest != it.digest && known.digest == events.Digest(it.plain) {
			// It was made before digests had a key. The content is known, and its digest with the key replaces the other.
			known.digest = it.digest
			p.dirty[it.path] = true
		}
		switch {
		case known.digest == erasedDigest:
			if it.of == nil { // a message goes with its conversation
				it.err = errErased
				changed = append(changed, it)
			}
		case known.revision == 0 || (newer && known.digest != it.digest):
			changed = append(changed, it)
		case newer:
			// Not written to STATE: that would cost a write for each unchanged record.
			known.fence = it.fence
			p.cache.Add(it.path, known)
		}
	}
	return changed
}

// emit publishes one event for each item, naming the sequence that it must follow, and gives the items that
// were refused because the cache or STATE was behind.
func (p *partition) emit(ctx context.Context, items []*item) (refused []*item, err error) {
	if len(items) == 0 {
		return nil, nil
	}
	if p.dry {
		for _, it := range items {
			p.stored(it, 0)
		}
		return nil, nil
	}
	messages := make([]broker.Message, len(items))
	for i, it := range items {
		if messages[i], err = p.message(ctx, it); err != nil {
			return nil, err
		}
	}
	return store(items, messages, p.events.Commit(ctx, messages), p.stored)
}

// store says which items' messages were stored under which sequence, and gives the items whose message was refused because it did not follow the
// expected one.
func store(items []*item, messages []broker.Message, results []broker.Result, stored func(*item, uint64)) (refused []*item, err error) {
	for i, result := range results {
		switch {
		case errors.Is(result.Err, broker.ErrConflict):
			refused = append(refused, items[i])
		case result.Err != nil:
			return nil, fmt.Errorf("publish to %s: %w", messages[i].Subject, result.Err)
		default:
			stored(items[i], result.Sequence)
		}
	}
	return refused, nil
}

func (p *partition) message(ctx context.Context, it *item) (broker.Message, error) {
	known, _ := p.cache.Get(it.path)
	event := events.NewEvent(it.entity, it.record, known.revision+1, it.digest, it.content)
	if p.options.Encode != nil {
		if err := p.options.Encode(&event); err != nil {
			return broker.Message{}, err
		}
	}
	if err := p.broker.Offload(ctx, &event); err != nil {
		return broker.Message{}, err
	}
	header := make(map[string][]string, 20)
	event.SetHeaders(header)
	header[headerFence] = []string{it.fence.String()}
	header[broker.HeaderExpectedSequence] = []string{strconv.FormatUint(known.sequence, 10)}
	if slices.Contains(lasting(), it.entity.Kind()) {
		header[broker.HeaderTTL] = []string{broker.TTLNever}
	}
	return broker.Message{Subject: eventSubject(it.path), Header: header, Data: event.Data}, nil
}

// lasting are the kinds of directories: who learns names reads them off these events, and an entry that does not change is never published
// again. Contacts are none, although they have names: there are as many of them as visitors, and whenever a message ages out the server reads
// every one before it that never does.
func lasting() []events.Kind {
	return []events.Kind{events.KindAgent, events.KindDepartment, events.KindAccount, events.KindSite, events.KindTag}
}

// stored notes the event that an item became.
func (p *partition) stored(it *item, sequence uint64) {
	known, _ := p.cache.Get(it.path)
	p.dirty[it.path] = true
	p.cache.Add(it.path, state{sequence: sequence, revision: known.revision + 1, digest: it.digest, fence: it.fence, stored: known.stored})
	p.pass(it, known.revision+1)
}

// repair looks refused entities up in EVENTS, which is the truth. One whose events have aged out keeps what STATE
// knows of it: only its sequence is gone.
func (p *partition) repair(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	subjects := make([]string, len(items))
	for i, it := range items {
		subjects[i] = eventSubject(it.path)
	}
	found, err := p.broker.Last(ctx, broker.Events, subjects)
	if err != nil {
		return err
	}
	for i, it := range items {
		known, _ := p.cache.Get(it.path)
		known.sequence = 0
		if m, ok := found[subjects[i]]; ok {
			stored := known.stored
			if known, err = stateOf(m); err != nil {
				return fmt.Errorf("last event of %s: %w", it.path, err)
			}
			known.stored = stored
		}
		p.dirty[it.path] = true
		p.cache.Add(it.path, known)
	}
	return nil
}

// remember writes STATE for the items' entities, also for those that were found in EVENTS already:
// a crash may have kept STATE from being written. Each write names the entry that it replaces: what an owner of the past sends late is
// refused, and cannot make a content that returns look known.
func (p *partition) remember(ctx context.Context, items []*item) error {
	if p.dry {
		return nil
	}
	var dirty []*item
	for _, it := range items {
		if p.dirty[it.path] {
			dirty = append(dirty, it)
		}
	}
	for attempt := 0; len(dirty) > 0; attempt++ {
		if attempt == maxRepairs {
			return fmt.Errorf("the state of %d entities is refused again and again: another processor writes it", len(dirty))
		}
		refused, err := p.writeState(ctx, dirty)
		if err != nil {
			return err
		}
		if err := p.relearn(ctx, refused); err != nil {
			return err
		}
		dirty = refused
	}
	return nil
}

// writeState writes the items' states and gives those whose entry in STATE was not the expected one.
func (p *partition) writeState(ctx context.Context, items []*item) (refused []*item, err error) {
	messages := make([]broker.Message, len(items))
	for i, it := range items {
		known, _ := p.cache.Get(it.path)
		messages[i] = broker.Message{
			Subject: stateSubject(it.path), Data: known.encode(),
			Header: map[string][]string{broker.HeaderExpectedSequence: {strconv.FormatUint(known.stored, 10)}},
		}
	}
	return store(items, messages, p.states.Commit(ctx, messages), func(it *item, sequence uint64) {
		known, _ := p.cache.Get(it.path)
		known.stored = sequence
		p.cache.Add(it.path, known)
		delete(p.dirty, it.path)
	})
}

// relearn looks up which entry of STATE an item's must replace. What the entry says does not count: EVENTS has just been written.
func (p *partition) relearn(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	subjects := make([]string, len(items))
	for i, it := range items {
		subjects[i] = stateSubject(it.path)
	}
	found, err := p.broker.Last(ctx, broker.State, subjects)
	if err != nil {
		return err
	}
	for i, it := range items {
		known, _ := p.cache.Get(it.path)
		known.stored = found[subjects[i]].Sequence
		p.cache.Add(it.path, known)
	}
	return nil
}
