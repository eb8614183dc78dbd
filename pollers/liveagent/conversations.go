package liveagent

import (
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
	reader
	window pollers.Window
	span   span
}

func fetchConversations(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	c := &conversations{
		reader: reader{
			poller: p, stream: w.Stream, path: conversationList.path, emit: emit, requests: 1, version: row.digest,
			supplements: []supplement{{"detail", "", "conversationid", false}, {"messages", "/messages", "groups", false}, {"tags", "/tags", "tags", true}},
		},
		window: w, span: spanOf(w, p.location),
	}
	capped, err := c.read(ctx)
	return pollers.Reading{Capped: capped, Requests: c.requests, Unchanged: c.unchanged}, err
}

// read emits the conversations of all departments.
func (c *conversations) read(ctx context.Context) (capped bool, err error) {
	ids, err := c.departments(ctx)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		cut, err := c.department(ctx, id)
		capped = capped || cut
		if err != nil || cut && c.divisible() {
			return capped, err
		}
	}
	return capped, nil
}

// divisible tells whether the core can split the window: then what a cut list holds is read with its halves.
func (c *conversations) divisible() bool {
	_, _, ok := c.window.Split(time.Second, c.location)
	return ok
}

// department emits what a department has in the window; cut says that its list may be.
func (c *conversations) department(ctx context.Context, id string) (cut bool, err error) {
	h := holder{conversations: c}
	c.requests++
	query := url.Values{"department": {id}, "datechanged": {c.span.operation()}}
	err = c.list(ctx, conversationList, query, func(from source, body events.Body) error { return h.add(ctx, from, body) })
	if err != nil {
		return false, fmt.Errorf("list conversations of department %q: %w", id, err)
	}
	if cut = capSized(h.count); cut && c.divisible() {
		return true, nil
	}
	return cut, h.finish(ctx)
}

// capSized tells whether a list is as long as the caps that the vendor documents for its other lists.
func capSized(rows int) bool { return rows == 100 || rows == 1000 }

// holder holds the rows of a list until it is whole, as far as they have changed and as there is room.
type holder struct {
	*conversations
	count int // all rows
	size  int
	held  []row
	news  []row // not yet asked whether they have changed
}

func (h *holder) add(ctx context.Context, from source, body events.Body) error {
	fields := h.format.fields(body.Bytes, conversationList.item)
	if err := h.span.check(fields["datechanged"]); err != nil {
		return err
	}
	h.count++
	taken := h.take(from, body, fields["conversationid"], "")
	taken.fresh = h.fresh(fields["datechanged"], from.at)
	h.news = append(h.news, taken)
	h.size += rowBytes + len(body.Bytes)
	if len(h.news) < knownAtOnce && h.size <= heldBytes {
		return nil
	}
	if err := h.sift(ctx); err != nil || h.size <= heldBytes {
		return err
	}
	return h.finish(ctx)
}

// unrest is how long after a change a row may be that of another change of the same second: datechanged is in seconds, and clocks differ.
const unrest = 5 * time.Second

// fresh tells whether a row was asked for so soon after its change that the next change may leave it as it is.
func (c *conversations) fresh(datechanged string, asked time.Time) bool {
	at, err := time.Parse(time.DateTime, datechanged)
	return err == nil && local(asked, c.location).Sub(at).Abs() < unrest
}

// sift lets go of the rows that have not changed.
func (h *holder) sift(ctx context.Context) error {
	for _, r := range h.news {
		h.size -= rowBytes + len(r.body.Bytes)
	}
	kept, err := h.changed(ctx, h.news)
	for _, r := range kept {
		h.size += rowBytes + len(r.body.Bytes)
	}
	h.held = append(h.held, kept...)
	h.news = nil
	return err
}

// finish emits what is held.
func (h *holder) finish(ctx context.Context) error {
	if err := h.sift(ctx); err != nil {
		return err
	}
	rows := h.held
	h.held, h.size = nil, 0
	return h.emitAll(ctx, rows)
}
