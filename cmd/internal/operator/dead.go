package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// DeadFilter selects dead letters; the zero value is all.
type DeadFilter struct {
	Stage  string // poll, process or sink
	Name   string // of the source or sink
	Vendor string
	Reason string // a part of it
	// Since and Until bound when they became dead letters; empty is no bound.
	Since, Until time.Time
	// Sequences are those in DEAD; empty is all.
	Sequences []uint64
}

// DeadLetter is one of DEAD, decoded as far as it can be.
type DeadLetter struct {
	Sequence uint64    `json:"sequence"`
	Stage    string    `json:"stage"`
	Name     string    `json:"name"`
	At       time.Time `json:"at,omitzero"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Vendor   string    `json:"vendor,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	Subject  string    `json:"subject,omitempty"` // the vendor's id
	// Stored is where the failed message was: the stream, its sequence and subject.
	Stored  string        `json:"stored,omitempty"`
	Size    int           `json:"size"`
	Event   *events.Event `json:"-"` // nil where the message is none
	letter  events.DeadLetter
	message broker.Message
}

// Empty tells whether it takes all.
func (f *DeadFilter) Empty() bool {
	return f.Stage+f.Name+f.Vendor+f.Reason == "" && f.Since.IsZero() && f.Until.IsZero() && len(f.Sequences) == 0
}

// subjects are those of DEAD that hold what the filter may take.
func (f *DeadFilter) subjects() []string {
	stage, name := "*", "*"
	if f.Stage != "" {
		stage = events.Token(f.Stage)
	}
	if f.Name != "" {
		name = events.Token(f.Name)
	}
	return []string{events.DeadSubjects + "." + stage + "." + name}
}

// Stages are those that make dead letters.
func Stages() []string { return []string{events.StagePoll, events.StageProcess, events.StageSink} }

func (f *DeadFilter) takes(d *DeadLetter) bool {
	return (f.Vendor == "" || d.Vendor == f.Vendor) && strings.Contains(strings.ToLower(d.Reason), strings.ToLower(f.Reason)) &&
		!d.At.Before(f.Since) && (f.Until.IsZero() || d.At.Before(f.Until)) &&
		(len(f.Sequences) == 0 || slices.Contains(f.Sequences, d.Sequence))
}

// readDead makes what can be made of a message of DEAD; a broken one is shown all the same.
func readDead(m broker.Message) DeadLetter {
	d := DeadLetter{Sequence: m.Sequence, Size: len(m.Data), At: m.Time, message: m}
	var err error
	if d.letter, err = events.ReadDeadLetter(m.Header); err != nil {
		d.Reason = err.Error()
		return d
	}
	d.Stage, d.Name, d.Reason, d.Attempts = d.letter.Stage, d.letter.Name, d.letter.Reason, d.letter.Attempts
	if !d.letter.At.IsZero() {
		d.At = d.letter.At
	}
	if d.letter.Stream != "" {
		d.Stored = fmt.Sprintf("%s %d %s", d.letter.Stream, d.letter.Sequence, d.letter.Subject)
	}
	if e, err := events.FromMessage(m.Header, m.Data); err == nil {
		d.Event, d.Vendor, d.Stream, d.Subject = &e, e.Vendor, e.Stream, e.Subject
	}
	return d
}

// EachDead visits the dead letters that a filter takes, oldest first.
func (o *Operator) EachDead(ctx context.Context, f *DeadFilter, visit func(*DeadLetter) error) error {
	return o.broker.Scan(ctx, broker.Dead, f.subjects(), time.Time{}, func(m broker.Message) error {
		d := readDead(m)
		if !f.takes(&d) {
			return nil
		}
		return visit(&d)
	})
}

// NewestDead gives up to limit of the dead letters that a filter takes and that come before a sequence (0: all), newest first, and the
// sequence to go on before (0: there are no more).
func (o *Operator) NewestDead(ctx context.Context, f *DeadFilter, before uint64, limit int) (page []DeadLetter, next uint64, err error) {
	messages, next, err := o.newest(ctx, broker.Dead, f.subjects(), before, limit, func(m *broker.Message) bool {
		d := readDead(*m)
		return f.takes(&d)
	})
	for _, m := range messages {
		page = append(page, readDead(m))
	}
	return page, next, err
}

// Dead gives one dead letter; ErrUnknown where there is none of that number.
func (o *Operator) Dead(ctx context.Context, sequence uint64) (*DeadLetter, error) {
	m, err := o.broker.Read(ctx, broker.Dead, sequence)
	if errors.Is(err, broker.ErrNotFound) {
		return nil, fmt.Errorf("dead letter %d: %w", sequence, ErrUnknown)
	}
	if err != nil {
		return nil, err
	}
	d := readDead(m)
	return &d, nil
}

// Part is a vendor's document in a dead letter.
type Part struct {
	Name        string `json:"name,omitempty"`
	ContentType string `json:"content_type"`
	URL         string `json:"url,omitempty"`
	Text        string `json:"text,omitempty"`
	Bytes       []byte `json:"bytes,omitempty"` // where it is no text
	Whole       int64  `json:"whole_size,omitempty"`
}

// Content decodes what failed, as something that encodes as JSON: a vendor's record, an event, or a Part.
func (o *Operator) Content(ctx context.Context, d *DeadLetter) any {
	raw := asPart("", "", d.message.Data)
	if d.Event == nil {
		return raw
	}
	if err := o.broker.Resolve(ctx, d.Event); err != nil {
		return map[string]any{"error": err.Error(), "data": raw}
	}
	if d.Event.Type != events.TypeRawRecord {
		return json.RawMessage(d.Event.Line())
	}
	r, err := events.DecodeRecord(d.Event.Data)
	if err != nil {
		return raw
	}
	parts := make([]Part, len(r.Parts))
	for i, p := range r.Parts {
		parts[i] = asPart(p.Name, p.ContentType, p.Body.Bytes)
		parts[i].URL, parts[i].Whole = p.URL, p.Body.Size
	}
	return map[string]any{
		"vendor": r.Vendor, "source": r.Source, "stream": r.Stream, "key": r.Key, "requested_at": r.RequestedAt,
		"window_from": r.WindowFrom, "window_to": r.WindowTo, "timezone": r.Timezone, "params": r.Params, "parts": parts,
	}
}

func asPart(name, contentType string, b []byte) Part {
	p := Part{Name: name, ContentType: contentType}
	if utf8.Valid(b) {
		p.Text = string(b)
	} else {
		p.Bytes = b
	}
	return p
}

// Advice says what to do about a dead letter.
func (d *DeadLetter) Advice() string {
	n := d.Sequence
	switch d.Stage {
	case events.StageProcess:
		return fmt.Sprintf("The record is not what %s documents, or this version does not understand it. After an upgrade `parley dlq replay %d` runs it through the "+
			"processor again; if the vendor has mended it, the next reading brings it anyway. `parley dlq drop %d` forgets it.", cmp.Or(d.Vendor, "its vendor"), n, n)
	case events.StagePoll:
		return fmt.Sprintf("The record could not travel as it is; the reason says which limit it exceeds. What is here is what was kept of it. `parley dlq drop %d` forgets it.", n)
	case events.StageSink:
		return fmt.Sprintf("The destination refused it. When the reason is gone, `parley dlq replay %d` delivers it to the sink %s alone. `parley dlq drop %d` forgets it.", n, d.Name, n)
	default:
		return fmt.Sprintf("Its headers are not a dead letter's, so nobody knows where it belongs. `parley dlq drop %d` forgets it.", n)
	}
}

// Replayable tells whether a stage can take it again.
func (d *DeadLetter) Replayable() bool {
	_, err := d.replay()
	return err == nil
}

// DropDead deletes a dead letter for good.
func (o *Operator) DropDead(ctx context.Context, d *DeadLetter) error {
	return o.broker.Remove(ctx, broker.Dead, d.Sequence)
}

// ReplayDead sends a dead letter through the stage that gave it up, and only there; then it is a dead letter no more. What fails again
// becomes a new one.
func (o *Operator) ReplayDead(ctx context.Context, d *DeadLetter) error {
	m, err := d.replay()
	if err != nil {
		return err
	}
	if result := o.broker.Publish(ctx, []broker.Message{m})[0]; result.Err != nil {
		return result.Err
	}
	return o.broker.Remove(ctx, broker.Dead, d.Sequence)
}

// replay makes the message that goes to the stage again.
func (d *DeadLetter) replay() (broker.Message, error) {
	m := broker.Message{Header: events.PublishedHeaders(d.message.Header), Data: d.message.Data}
	m.Header[events.HeaderReplayOf] = []string{fmt.Sprint(d.Sequence)}
	switch d.Stage {
	case events.StageProcess:
		m.Subject = events.PublishedRawSubject(d.letter.Subject)
		return m, nil
	case events.StageSink:
		m.Subject = events.ReplaySubject(d.Name, d.letter.Subject)
		return m, nil
	default:
		return m, errors.New("what is here was cut, or cannot travel: it cannot be replayed; the vendor must be asked again")
	}
}
