package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/cmd/internal/console"
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

// deadLetter is one of DEAD, decoded as far as it can be.
type deadLetter struct {
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
	Event   *events.Event `json:"-"`
	letter  events.DeadLetter
	message broker.Message
}

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

func (f *DeadFilter) check() error {
	if f.Stage != "" && !slices.Contains([]string{events.StagePoll, events.StageProcess, events.StageSink}, f.Stage) {
		return fmt.Errorf("%w: --stage: is %q, want poll, process or sink", ErrUsage, f.Stage)
	}
	return nil
}

func (f *DeadFilter) takes(d *deadLetter) bool {
	return (f.Vendor == "" || d.Vendor == f.Vendor) && strings.Contains(strings.ToLower(d.Reason), strings.ToLower(f.Reason)) &&
		!d.At.Before(f.Since) && (f.Until.IsZero() || d.At.Before(f.Until)) &&
		(len(f.Sequences) == 0 || slices.Contains(f.Sequences, d.Sequence))
}

// readDead makes what can be made of a message of DEAD; a broken one is shown all the same.
func readDead(m broker.Message) deadLetter {
	d := deadLetter{Sequence: m.Sequence, Size: len(m.Data), At: m.Time, message: m}
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

// eachDead visits the dead letters that a filter takes, oldest first.
func eachDead(ctx context.Context, b *broker.Broker, f *DeadFilter, visit func(*deadLetter) error) error {
	if err := f.check(); err != nil {
		return err
	}
	return b.Scan(ctx, broker.Dead, f.subjects(), time.Time{}, func(m broker.Message) error {
		d := readDead(m)
		if !f.takes(&d) {
			return nil
		}
		return visit(&d)
	})
}

// ListDead prints dead letters, a line each.
func (a *App) ListDead(ctx context.Context, f DeadFilter, asJSON bool) error {
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	var rows [][]any
	encoder := json.NewEncoder(a.Out)
	err = eachDead(ctx, b, &f, func(d *deadLetter) error {
		if asJSON {
			return encoder.Encode(d)
		}
		rows = append(rows, []any{d.Sequence, d.Stage + " " + d.Name, d.At.Local().Format(time.DateTime), d.Vendor, d.Subject, shorten(d.Reason, 80)})
		return nil
	})
	if err != nil || asJSON {
		return err
	}
	if len(rows) == 0 {
		_, err = fmt.Fprintln(a.Err, "there is no such dead letter")
		return err
	}
	return console.Table(a.Out, []string{"number", "stage", "since", "vendor", "id", "reason"}, rows, nil)
}

func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// ShowDead prints one dead letter whole: what failed and why, its bytes, and what to do.
func (a *App) ShowDead(ctx context.Context, sequence uint64, asJSON bool) error {
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	m, err := b.Read(ctx, broker.Dead, sequence)
	if errors.Is(err, broker.ErrNotFound) {
		return fmt.Errorf("%w: there is no dead letter %d; `parley dlq ls` lists them", ErrUsage, sequence)
	}
	if err != nil {
		return err
	}
	d := readDead(m)
	content := a.contentOf(ctx, b, &d)
	if asJSON {
		return json.NewEncoder(a.Out).Encode(struct {
			deadLetter
			Content any    `json:"content"`
			Advice  string `json:"advice"`
		}{d, content, d.advice()})
	}
	return d.print(a.Out, content)
}

// part is a vendor's document in a dead letter.
type part struct {
	Name        string `json:"name,omitempty"`
	ContentType string `json:"content_type"`
	URL         string `json:"url,omitempty"`
	Text        string `json:"text,omitempty"`
	Bytes       []byte `json:"bytes,omitempty"` // where it is no text
	Whole       int64  `json:"whole_size,omitempty"`
}

// contentOf decodes what failed: a vendor's record, an event, or bytes.
func (a *App) contentOf(ctx context.Context, b *broker.Broker, d *deadLetter) any {
	raw := asPart("", "", d.message.Data)
	if d.Event == nil {
		return raw
	}
	if err := b.Resolve(ctx, d.Event); err != nil {
		return map[string]any{"error": err.Error(), "data": raw}
	}
	if d.Event.Type != events.TypeRawRecord {
		return json.RawMessage(d.Event.Line())
	}
	r, err := events.DecodeRecord(d.Event.Data)
	if err != nil {
		return raw
	}
	parts := make([]part, len(r.Parts))
	for i, p := range r.Parts {
		parts[i] = asPart(p.Name, p.ContentType, p.Body.Bytes)
		parts[i].URL, parts[i].Whole = p.URL, p.Body.Size
	}
	return map[string]any{
		"vendor": r.Vendor, "source": r.Source, "stream": r.Stream, "key": r.Key, "requested_at": r.RequestedAt,
		"window_from": r.WindowFrom, "window_to": r.WindowTo, "timezone": r.Timezone, "params": r.Params, "parts": parts,
	}
}

func asPart(name, contentType string, b []byte) part {
	p := part{Name: name, ContentType: contentType}
	if utf8.Valid(b) {
		p.Text = string(b)
	} else {
		p.Bytes = b
	}
	return p
}

// advice says what to do about a dead letter.
func (d *deadLetter) advice() string {
	n := d.Sequence
	switch d.Stage {
	case events.StageProcess:
		return fmt.Sprintf("The record is not what %s documents, or this version does not understand it. After an upgrade `parley dlq replay %d` runs it through the "+
			"processor again; if the vendor has mended it, the next reading brings it anyway. `parley dlq drop %d` forgets it.", d.Vendor, n, n)
	case events.StagePoll:
		return fmt.Sprintf("The record could not travel as it is; the reason says which limit it exceeds. What is here is what was kept of it. `parley dlq drop %d` forgets it.", n)
	case events.StageSink:
		return fmt.Sprintf("The destination refused it. `parley dlq drop %d` forgets it.", n)
	default:
		return fmt.Sprintf("Its headers are not a dead letter's. `parley dlq drop %d` forgets it.", n)
	}
}

func (d *deadLetter) print(w io.Writer, content any) error {
	var out strings.Builder
	line := func(name, value string) {
		if value != "" && value != "0" {
			fmt.Fprintf(&out, "%-9s %s\n", name+":", console.Printable(value))
		}
	}
	line("number", fmt.Sprint(d.Sequence))
	line("stage", strings.TrimSpace(d.Stage+" "+d.Name))
	line("since", d.At.UTC().Format(time.RFC3339))
	line("vendor", d.Vendor)
	line("stream", d.Stream)
	line("id", d.Subject)
	line("stored", d.Stored)
	line("attempts", fmt.Sprint(d.Attempts))
	for i, reason := range strings.Split(d.Reason, "\n") {
		if i == 0 {
			line("reason", reason)
		} else {
			fmt.Fprintf(&out, "%10s%s\n", "", console.Printable(reason))
		}
	}
	fmt.Fprintf(&out, "\n%s\n\n", d.advice())
	pretty, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	out.Write(pretty)
	out.WriteByte('\n')
	_, err = io.WriteString(w, out.String())
	return err
}

// DropDead deletes dead letters for good.
func (a *App) DropDead(ctx context.Context, f DeadFilter, dry bool) error {
	return a.handleDead(ctx, f, dry, "dropped", func(ctx context.Context, b *broker.Broker, d *deadLetter) error {
		return b.Remove(ctx, broker.Dead, d.Sequence)
	})
}

// ReplayDead sends dead letters through the stage that gave them up, and only there; then they are dead letters no more. What fails again
// becomes a new one.
func (a *App) ReplayDead(ctx context.Context, f DeadFilter, dry bool) error {
	return a.handleDead(ctx, f, dry, "replayed", func(ctx context.Context, b *broker.Broker, d *deadLetter) error {
		m, err := d.replay()
		if err != nil {
			return err
		}
		if result := b.Publish(ctx, []broker.Message{m})[0]; result.Err != nil {
			return result.Err
		}
		return b.Remove(ctx, broker.Dead, d.Sequence)
	})
}

// replay makes the message that goes to the stage again.
func (d *deadLetter) replay() (broker.Message, error) {
	m := broker.Message{Header: d.letter.Failed(d.message.Header), Data: d.message.Data}
	m.Header[events.HeaderReplayOf] = []string{fmt.Sprint(d.Sequence)}
	switch d.Stage {
	case events.StageProcess:
		m.Subject = events.PublishedRawSubject(d.letter.Subject)
		return m, nil
	case events.StageSink:
		return m, errors.New("a sink's dead letters cannot be replayed by this version")
	default:
		return m, errors.New("what is here was cut, or cannot travel: it cannot be replayed; the vendor must be asked again")
	}
}

// handleDead does something with every dead letter that a filter takes, and says what it did. One that cannot be handled does not stop the
// others.
func (a *App) handleDead(ctx context.Context, f DeadFilter, dry bool, done string, do func(context.Context, *broker.Broker, *deadLetter) error) error {
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	found, failed := 0, 0
	err = eachDead(ctx, b, &f, func(d *deadLetter) error {
		found++
		word := done
		if dry {
			word = "would be " + done
		} else if err := do(ctx, b, d); err != nil {
			failed++
			word = "not " + done + ": " + a.redact.Redact(err.Error())
		}
		_, err := fmt.Fprintf(a.Out, "%d %s %s: %s\n", d.Sequence, d.Stage, d.Name, console.Printable(word))
		return err
	})
	if err == nil && found == 0 {
		_, err = fmt.Fprintln(a.Err, "there is no such dead letter")
	}
	if err == nil && failed > 0 {
		return ErrReported
	}
	return err
}
