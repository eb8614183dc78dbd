// Package sinktest is the suite that every sink passes: what a destination holds must be what was delivered, once and in
// order per entity, however often events come again and whenever the sink ends.
package sinktest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks"
)

// Harness is what the suite needs of a sink.
type Harness struct {
	// New makes an empty destination.
	New func(t *testing.T) Destination
	// AtLeastOnce is for destinations where an event that comes again after a crash is there again.
	AtLeastOnce bool
	// Kept gives what the destination keeps of an event, where it is not every byte; nil: all of it.
	Kept func(events.Event) events.Event
}

// Destination is one place that sinks write to, one after the other.
type Destination struct {
	Open sinks.Opener
	// Crash ends a sink as the end of its process does, without Close.
	Crash func(sinks.Sink)
	// Read gives what the destination holds, in the order of its sequences where it has any.
	Read func(t *testing.T) []events.Event
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, *destination){
		"every event arrives once and in order":                        arrives,
		"an empty batch and an empty flush are nothing":                empties,
		"an event that comes again while it is held adds nothing":      comesAgain,
		"what is closed without a flush comes again and is there once": closedUnflushed,
		"hostile events stay events":                                   hostile,
		"a large event is whole":                                       large,
	} {
		t.Run(name, func(t *testing.T) { test(t, h.destination(t)) })
	}
	for end, crash := range map[string]bool{"closed": false, "crashed": true} {
		t.Run("redelivery adds nothing after a sink was "+end, func(t *testing.T) { splits(t, h, crash) })
	}
}

// destination delivers as a Runner does, and remembers what is not acknowledged.
type destination struct {
	Destination
	atLeastOnce bool
	kept        func(events.Event) events.Event
	sink        sinks.Sink
	pending     []sinks.Item // delivered or to be delivered, in order, not durable
	sent        []sinks.Item
	acked       map[uint64]bool
	next        uint64
}

func (h Harness) destination(t *testing.T) *destination {
	d := &destination{Destination: h.New(t), atLeastOnce: h.AtLeastOnce, kept: h.Kept, acked: make(map[uint64]bool)}
	if d.kept == nil {
		d.kept = func(e events.Event) events.Event { return e }
	}
	d.open(t)
	t.Cleanup(func() { _ = d.sink.Close() })
	return d
}

func (d *destination) open(t *testing.T) {
	t.Helper()
	sink, err := d.Open(t.Context(), sinks.Ownership{Sink: "suite", Origin: "one", LastSequence: d.next})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	d.sink = sink
}

// Event is an invented event; equal arguments give equal events.
func Event(entity string, revision uint64) events.Event {
	return events.Event{
		ID: "conversation.acme.eu." + events.Token(entity) + fmt.Sprintf(".%d", revision), Source: "/acme/eu", Type: "dev.parley.conversation.updated",
		Subject: entity, Time: time.Date(2026, 3, 1+len(entity)%3, 23, 59, 0, 0, time.UTC), DataSchema: "urn:parley:schema:conversation:v1",
		DataContentType: events.ContentJSON, Revision: revision, Digest: "d", Vendor: "acme", Stream: "chats", PartitionKey: entity,
		Data: fmt.Appendf(nil, `{"id":"acme:eu:%d","text":"größer <b>\u2028"}`, revision),
	}
}

// Stored is when an invented stream has stored the event of a number.
func Stored(sequence uint64) time.Time {
	return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(sequence) * time.Millisecond)
}

// items gives n new events, sequences with gaps, as a filter leaves them.
func (d *destination) items(n int) []sinks.Item {
	items := make([]sinks.Item, n)
	for i := range items {
		d.next += 1 + d.next%3
		items[i] = sinks.Item{Sequence: d.next, Stored: Stored(d.next), Event: Event(strings.Repeat("x", int(d.next%5)+1), d.next)}
	}
	d.sent = append(d.sent, items...)
	d.pending = append(d.pending, items...)
	return items
}

func (d *destination) deliver(t *testing.T, items []sinks.Item) {
	t.Helper()
	durable, err := d.sink.Deliver(t.Context(), sinks.Batch{Items: items})
	if err != nil {
		t.Fatalf("deliver: %v", err)
	}
	d.ack(t, durable)
}

func (d *destination) flush(t *testing.T) {
	t.Helper()
	durable, err := d.sink.Flush(t.Context())
	if err != nil {
		t.Fatalf("flush: %v", err)
	}
	d.ack(t, durable)
	if len(d.pending) > 0 {
		t.Errorf("%d events were taken and are not durable after a flush", len(d.pending))
	}
}

func (d *destination) ack(t *testing.T, durable []uint64) {
	t.Helper()
	for _, sequence := range durable {
		known := slices.ContainsFunc(d.sent, func(i sinks.Item) bool { return i.Sequence == sequence })
		if !known {
			t.Errorf("sequence %d is said to be durable and was never delivered", sequence)
		}
		d.acked[sequence] = true
	}
	d.pending = slices.DeleteFunc(d.pending, func(i sinks.Item) bool { return d.acked[i.Sequence] })
}

// again opens a new sink, and delivers everything from the ack floor on, in order.
func (d *destination) again(t *testing.T) {
	t.Helper()
	floor := 0
	for floor < len(d.sent) && d.acked[d.sent[floor].Sequence] {
		floor++
	}
	d.open(t)
	d.deliver(t, d.sent[floor:])
	d.flush(t)
}

func (d *destination) close(t *testing.T) {
	t.Helper()
	if err := d.sink.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// check compares what is there with what was sent, all of it.
func (d *destination) check(t *testing.T) {
	t.Helper()
	want := make(map[string][]string)
	for i := range d.sent {
		e := d.kept(d.sent[i].Event)
		want[e.Subject] = append(want[e.Subject], line(&e))
	}
	got := make(map[string][]string)
	for _, e := range d.Read(t) {
		l := line(&e)
		if d.atLeastOnce && slices.Contains(got[e.Subject], l) {
			continue
		}
		got[e.Subject] = append(got[e.Subject], l)
	}
	for subject, lines := range want {
		if !slices.Equal(got[subject], lines) {
			t.Errorf("entity %.40q: got %d events, want %d\ngot  %.2000s\nwant %.2000s", subject, len(got[subject]), len(lines), got[subject], lines)
		}
		delete(got, subject)
	}
	for subject, lines := range got {
		t.Errorf("entity %.40q: got %d events that were never delivered", subject, len(lines))
	}
}

// line is the event's text with its extensions in one order.
func line(e *events.Event) string {
	plain := *e
	plain.Extensions = nil
	return string(plain.Line()) + fmt.Sprint(e.Extensions)
}

func arrives(t *testing.T, d *destination) {
	for range 5 {
		d.deliver(t, d.items(20))
	}
	d.flush(t)
	d.check(t)
	d.deliver(t, d.items(1))
	d.flush(t)
	d.close(t)
	d.check(t)
}

func empties(t *testing.T, d *destination) {
	d.deliver(t, nil)
	d.flush(t)
	d.deliver(t, []sinks.Item{})
	d.close(t)
	d.check(t)
}

func comesAgain(t *testing.T, d *destination) {
	first := d.items(10)
	d.deliver(t, first)
	d.deliver(t, first[3:7])
	d.deliver(t, d.items(5))
	d.flush(t)
	before := len(d.acked)
	clear(d.acked) // an acknowledgement can be lost
	d.deliver(t, d.sent)
	if len(d.acked) != before {
		t.Errorf("%d of %d events that came again are said to be durable", len(d.acked), before)
	}
	d.flush(t)
	d.check(t)
}

func closedUnflushed(t *testing.T, d *destination) {
	d.deliver(t, d.items(10))
	d.close(t)
	d.again(t)
	d.check(t)
}

func hostile(t *testing.T, d *destination) {
	values := []string{
		"../../x", "/etc/passwd", "a\x00b", "..", ".", "", " ", "CON", strings.Repeat("k", 5000), "line\nbreak\r\n{}", "\u202e\u2028", "ä/ö\\ü", "*.>", "~", "$(x)", "\x1b[2J",
	}
	for i, v := range values {
		items := d.items(1)
		e := &items[0].Event
		e.ID, e.Subject, e.Stream, e.PartitionKey = fmt.Sprint("id", i, v), fmt.Sprint(i, v), v, v
		e.Type, e.Vendor, e.Source = events.TypePrefix+v+".created", v, "/"+v+"/"+v
		e.Extensions = map[string]string{"other": v}
		e.Time = []time.Time{{}, time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)}[i%3]
		d.sent[len(d.sent)-1], d.pending[len(d.pending)-1] = items[0], items[0]
		d.deliver(t, items)
	}
	bare := d.items(1)
	bare[0].Event = events.Event{ID: "bare", Source: "/", Type: "x", Subject: "bare"}
	binary := d.items(1)
	binary[0].Event.DataContentType, binary[0].Event.Data, binary[0].Event.Subject = events.ContentMsgpack, []byte{0x81, '\n', 0xff, 0}, "binary"
	copy(d.sent[len(d.sent)-2:], []sinks.Item{bare[0], binary[0]})
	d.deliver(t, []sinks.Item{bare[0], binary[0]})
	d.flush(t)
	d.check(t)
}

func large(t *testing.T, d *destination) {
	items := d.items(3)
	items[1].Event.Data = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("8 MiB of text. ", 8<<20/15))
	d.sent[1] = items[1]
	d.deliver(t, items)
	d.flush(t)
	d.check(t)
}

// splits ends a sink after every number of batches, flushed at every one of them, and delivers again what was not acknowledged.
func splits(t *testing.T, h Harness, crash bool) {
	const batches = 4
	for flushed := 0; flushed <= batches; flushed++ {
		for ended := flushed; ended <= batches; ended++ {
			d := h.destination(t)
			for i := range batches {
				if i == ended {
					break
				}
				d.deliver(t, d.items(7))
				if i+1 == flushed {
					d.flush(t)
				}
			}
			if crash {
				d.Crash(d.sink)
			} else {
				d.close(t)
			}
			d.again(t)
			d.deliver(t, d.items(3))
			d.flush(t)
			d.check(t)
			d.close(t)
		}
	}
}
