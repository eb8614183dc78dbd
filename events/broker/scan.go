package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pageMessages and pageBytes are how much one request for stored messages brings. For each the server counts what is left, which costs by the
	// number of subjects, and while it reads nobody writes to the stream.
	pageMessages = 1000
	pageBytes    = 2 << 20
	// followEvery is how often somebody who follows a stream asks for more.
	followEvery = 100 * time.Millisecond
)

// reader reads what a stream holds under some filters, in the stream's order. It asks for messages instead of making a consumer, which would
// deliver to any subject that its maker names: only a provisioner may make one.
type reader struct {
	broker  *Broker
	stream  string
	cursors []*cursor
	// until is the last message that there was when reading began: before it, a cursor that finds nothing asks whether there is nothing. 0 asks never.
	until uint64
}

// cursor is a place under one filter. Each filter has its own, since the replicas that answer may be unequally far.
type cursor struct {
	filter string
	next   uint64     // the first sequence that is not read
	begun  uint64     // what next was at first
	from   *time.Time // the first time, before the first page
	page   []Message
	more   uint64 // how many messages the server knew of beyond the last page
	ended  bool
}

// read begins at a sequence (0: the first message), or at a time if that is not zero. No filters are everything.
func (b *Broker) read(stream string, filters []string, sequence uint64, from time.Time) *reader {
	r := &reader{broker: b, stream: stream}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	for _, filter := range filters {
		c := &cursor{filter: filter, next: max(sequence, 1), begun: max(sequence, 1)}
		if !from.IsZero() {
			c.from = &from
		}
		r.cursors = append(r.cursors, c)
	}
	return r
}

// next gives the next message, once however many filters it matches; false when there is none at the moment: see again.
func (r *reader) next(ctx context.Context) (m Message, ok bool, err error) {
	for {
		m, from, err := r.first(ctx)
		if from == nil || err != nil {
			return m, false, err
		}
		if !r.gave(&m, from) {
			return m, true, nil
		}
	}
}

// gave tells whether another filter gave this message before.
func (r *reader) gave(m *Message, from *cursor) bool {
	return slices.ContainsFunc(r.cursors, func(c *cursor) bool {
		return c != from && c.position() > m.Sequence && server.SubjectMatchesFilter(m.Subject, c.filter)
	})
}

// position is the first sequence that a cursor has not given.
func (c *cursor) position() uint64 {
	if len(c.page) > 0 {
		return c.page[0].Sequence
	}
	return c.next
}

// first takes the next message that a cursor has; nil is none.
func (r *reader) first(ctx context.Context) (m Message, first *cursor, err error) {
	for _, c := range r.cursors {
		if len(c.page) == 0 && !c.ended {
			if err := r.turn(ctx, c); err != nil {
				return m, nil, fmt.Errorf("read %s: %w", r.stream, err)
			}
		}
		if len(c.page) > 0 && (first == nil || c.page[0].Sequence < first.page[0].Sequence) {
			first = c
		}
	}
	if first == nil {
		return m, nil, nil
	}
	m, first.page = first.page[0], first.page[1:]
	return m, first, nil
}

// turn fetches a cursor's next page.
func (r *reader) turn(ctx context.Context, c *cursor) error {
	end, err := r.broker.direct(ctx, r.stream, c.ask(), noMessage, func(m Message) { c.page = append(c.page, m) })
	if err != nil {
		c.page = nil // it is asked for again whole
		return err
	}
	if n := len(c.page); n > 0 {
		c.next, c.from = c.page[n-1].Sequence+1, nil
	}
	c.ended = end.more == 0
	if c.ended && c.next <= r.until {
		err = r.confirm(ctx, c)
	}
	c.more = end.more
	return err
}

// confirm asks the leader whether a cursor's filter has no more messages: the replica that said so may be behind, or could not read what there is.
func (r *reader) confirm(ctx context.Context, c *cursor) error {
	m, err := r.broker.fromLeader(ctx, r.stream, leaderRequest{Next: c.filter, Sequence: c.ask().Sequence, From: c.from})
	if errors.Is(err, ErrNotFound) && len(c.page) == 0 {
		if c.more > 0 {
			m, err = r.beyond(ctx, c, r.until)
		} else if c.next == c.begun {
			m, err = r.begin(ctx, c)
		}
	}
	switch {
	case errors.Is(err, ErrNotFound):
		c.next, c.from = r.until+1, nil
		return nil
	case err != nil:
		return err
	}
	c.page, c.next, c.from, c.ended = append(c.page, m), m.Sequence+1, nil, false
	return nil
}

// begin gives the first message that can be read, where the server found none at all: with one that it cannot read it finds none of those that
// follow, as if there were nothing. ErrNotFound is that there is nothing, and ErrIncomplete that none of what there is can be read.
func (r *reader) begin(ctx context.Context, c *cursor) (m Message, err error) {
	last, err := r.broker.fromLeader(ctx, r.stream, leaderRequest{Last: c.filter})
	if err == nil && (last.Sequence < c.next || c.before(last)) {
		return m, ErrNotFound
	}
	if errors.Is(err, ErrNotFound) {
		there, countErr := r.broker.Subjects(ctx, r.stream, c.filter)
		if countErr != nil || len(there) == 0 {
			return m, cmp.Or(countErr, ErrNotFound)
		}
	} else if err != nil {
		return m, err
	}
	// It may have come since.
	m, err = r.broker.fromLeader(ctx, r.stream, leaderRequest{Next: c.filter, Sequence: c.ask().Sequence, From: c.from})
	if errors.Is(err, ErrNotFound) {
		m, err = r.beyond(ctx, c, max(r.until, last.Sequence))
	}
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: there are messages under %s from %d on, and none can be read", ErrIncomplete, c.filter, c.next)
	}
	return m, err
}

// before tells whether a message is older than what the cursor begins with.
func (c *cursor) before(m Message) bool { return c.from != nil && m.Time.Before(*c.from) }

// beyond gives the next message up to a sequence that can be read, where the server knew of more and finds none: they were deleted meanwhile, or
// it cannot read the next of them, and with that one finds none of those that follow.
func (r *reader) beyond(ctx context.Context, c *cursor, until uint64) (m Message, err error) {
	read := func(sequence uint64) (Message, error) {
		m, err := r.broker.fromLeader(ctx, r.stream, leaderRequest{Next: c.filter, Sequence: sequence})
		if err == nil && c.before(m) {
			err = ErrNotFound // what is lost lies behind it
		}
		return m, err
	}
	lost, found, err := c.next, c.next, ErrNotFound
	for step := uint64(1); errors.Is(err, ErrNotFound); step *= 2 {
		if lost, found = found, min(c.next+step, until+1); found > until {
			return m, ErrNotFound
		}
		m, err = read(found)
	}
	for err == nil && found-lost > 1 {
		middle := lost + (found-lost)/2
		switch earlier, missed := read(middle); {
		case missed == nil:
			found, m = middle, earlier
		case errors.Is(missed, ErrNotFound):
			lost = middle
		default:
			return m, missed
		}
	}
	if err == nil {
		r.broker.options.Logger.Error("messages of a stream cannot be read; reading goes on behind them", "stream", r.stream, "from", c.next, "to", lost)
	}
	return m, err
}

// ask is the request for the cursor's next page.
func (c *cursor) ask() directRequest {
	ask := directRequest{Filter: c.filter, Sequence: c.next, Batch: pageMessages, MaxBytes: pageBytes}
	if c.from != nil {
		ask.Sequence, ask.From = 0, c.from
	}
	return ask
}

// again makes a reader that found no more look for what has come since.
func (r *reader) again() {
	for _, c := range r.cursors {
		c.ended = false
	}
}

// Scan hands the messages that a stream holds now to visit, oldest first, from a time on (zero: the oldest); what comes later is left. It
// ends early when visit fails. Of a work queue they stay where they are.
func (b *Broker) Scan(ctx context.Context, stream string, filters []string, from time.Time, visit func(Message) error) error {
	return b.scan(ctx, b.read(stream, filters, 0, from), visit)
}

// ScanFrom is Scan from a sequence on.
func (b *Broker) ScanFrom(ctx context.Context, stream string, filters []string, sequence uint64, visit func(Message) error) error {
	return b.scan(ctx, b.read(stream, filters, sequence, time.Time{}), visit)
}

func (b *Broker) scan(ctx context.Context, r *reader, visit func(Message) error) error {
	state, err := b.StreamState(ctx, r.stream)
	if err != nil {
		return err
	}
	for r.until = state.LastSeq; ; {
		m, ok, err := r.next(ctx)
		if err != nil || !ok || m.Sequence > r.until {
			return err
		}
		if err := visit(m); err != nil {
			return err
		}
	}
}

// Count tells how many messages Scan would visit; what two filters match counts twice.
func (b *Broker) Count(ctx context.Context, stream string, filters []string, from time.Time) (uint64, error) {
	n := uint64(0)
	for _, c := range b.read(stream, filters, 0, from).cursors {
		ask := c.ask()
		ask.Batch = 1
		end, err := b.direct(ctx, stream, ask, noMessage, func(Message) { n++ })
		if err != nil {
			return 0, fmt.Errorf("count %s: %w", stream, err)
		}
		n += end.more
	}
	return n, nil
}

// Follow hands every message that comes from now on to visit, in order, until the context ends or visit fails.
func (b *Broker) Follow(ctx context.Context, stream string, filters []string, visit func(Message) error) error {
	state, err := b.StreamState(ctx, stream)
	if err != nil {
		return err
	}
	r := b.read(stream, filters, state.LastSeq+1, time.Time{})
	for {
		var m Message
		var ok bool
		err := b.Await(ctx, func(ctx context.Context) (err error) {
			m, ok, err = r.next(ctx)
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if ok {
			if err := visit(m); err != nil {
				return err
			}
			continue
		}
		r.again()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// Remove deletes one message for good and overwrites its bytes; one that is gone already is no error.
func (b *Broker) Remove(ctx context.Context, stream string, sequence uint64) error {
	err := b.withStream(ctx, stream, "$JS.API.STREAM.MSG.DELETE.", func(ctx context.Context, s jetstream.Stream) error {
		return s.SecureDeleteMsg(ctx, sequence)
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) || isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete message %d of %s: %w", sequence, stream, err)
	}
	return nil
}

// RemoveDone removes from a work queue the last messages of these subjects that its consumer is done with, and tells how many: a server that
// dies after the consumer's state is written and before the message is removed leaves one that is never delivered again and, where the stream takes
// one message for each subject, keeps its successor out.
func (b *Broker) RemoveDone(ctx context.Context, stream, consumer string, subjects []string) (removed int, err error) {
	// The messages first: one that is stored after the consumer was asked must not be judged by it.
	messages, err := b.Last(ctx, stream, subjects)
	if err != nil {
		return 0, err
	}
	state, err := b.ConsumerState(ctx, stream, consumer)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if m.Sequence > state.AckFloor && !state.Done() {
			continue
		}
		if err := b.Remove(ctx, stream, m.Sequence); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// isGone tells how the server says that it cannot delete what is not there: by a code of its own, or in words, under the code of every failed
// deletion.
func isGone(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "err_code=10043 ") || strings.Contains(err.Error(), "no message found"))
}
