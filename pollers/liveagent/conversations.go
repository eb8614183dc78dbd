package liveagent

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// heldBytes is how much of a list is held before its conversations are asked for.
const heldBytes = 16 << 20

// rowBytes is what a row takes beside its bytes.
const rowBytes = 200

// conversations is one reading of a window.
type conversations struct {
	*poller
	window   pollers.Window
	span     span
	emit     func(events.Record) error
	requests int
}

// row is an element of a list.
type row struct {
	from source
	key  string
	body events.Body
}

func fetchConversations(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	c := &conversations{poller: p, window: w, span: spanOf(w, p.location), emit: emit, requests: 1}
	ids, err := p.departments(ctx)
	if err != nil {
		return pollers.Reading{Requests: c.requests}, err
	}
	capped := false
	for _, id := range ids {
		cut, err := c.department(ctx, id)
		capped = capped || cut
		if err != nil || cut && c.divisible() {
			return pollers.Reading{Capped: capped, Requests: c.requests}, err
		}
	}
	return pollers.Reading{Capped: capped, Requests: c.requests}, nil
}

// divisible tells whether the core can split the window: then what a cut list holds is read with its halves.
func (c *conversations) divisible() bool {
	_, _, ok := c.window.Split(time.Second, c.location)
	return ok
}

// department emits what a department has in the window; cut says that its list may be.
func (c *conversations) department(ctx context.Context, id string) (cut bool, err error) {
	var held []row
	count, size := 0, 0
	c.requests++
	query := url.Values{"department": {id}, "datechanged": {c.span.operation()}}
	err = c.list(ctx, conversationList, query, func(from source, body events.Body) error {
		r, err := c.row(from, body)
		if err != nil {
			return err
		}
		count++
		held = append(held, r)
		if size += rowBytes + len(r.body.Bytes); size > heldBytes {
			err, held, size = c.emitAll(ctx, held), nil, 0
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list conversations of department %q: %w", id, err)
	}
	if cut = capSized(count); cut && c.divisible() {
		return true, nil
	}
	return cut, c.emitAll(ctx, held)
}

// capSized tells whether a list is as long as the caps that the vendor documents for its other lists.
func capSized(rows int) bool { return rows == 100 || rows == 1000 }

// row takes an element out of the list's buffer.
func (c *conversations) row(from source, body events.Body) (row, error) {
	fields := c.format.fields(body.Bytes, conversationList.item)
	body.Bytes = bytes.Clone(body.Bytes)
	return row{from: from, key: fields["conversationid"], body: body}, c.span.check(fields["datechanged"])
}

func (c *conversations) emitAll(ctx context.Context, rows []row) error {
	for _, r := range rows {
		record, err := c.record(ctx, r)
		if err != nil {
			return fmt.Errorf("conversation %q: %w", r.key, err)
		}
		if err := c.emit(record); err != nil {
			return err
		}
	}
	return nil
}

// record completes a row by the documents of its conversation. Its RequestedAt, which orders readings of the same change, is
// when the detail was asked for: whatever was written before is in it.
func (c *conversations) record(ctx context.Context, r row) (events.Record, error) {
	record := events.Record{Key: r.key, RequestedAt: r.from.at, Parts: []events.Part{c.part("", r.from, r.body)}}
	if r.body.Size > 0 || !addressable(r.key) {
		return record, nil
	}
	path := conversationList.path + "/" + url.PathEscape(r.key)
	for _, d := range []struct{ part, path, member string }{
		{"detail", path, "conversationid"},
		{"messages", path + "/messages", "groups"},
		{"tags", path + "/tags", "tags"},
	} {
		c.requests++
		part, from, err := c.document(ctx, d.part, d.path, d.member)
		if gone(err) {
			return record, nil
		}
		if err != nil {
			return record, fmt.Errorf("%s: %w", d.part, err)
		}
		if d.part == "detail" {
			record.RequestedAt = from.at
		}
		record.Parts = append(record.Parts, part)
	}
	return record, nil
}

// addressable tells whether an id makes a path of its own: none does not, and dots lead elsewhere.
func addressable(id string) bool { return id != "" && id != "." && id != ".." }
