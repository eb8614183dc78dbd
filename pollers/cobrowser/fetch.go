package cobrowser

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// Fetch implements pollers.Poller.
func (p *Poller) Fetch(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	c, err := p.command(w.Stream)
	if err != nil {
		return pollers.Reading{}, err
	}
	if w.Snapshot() || !w.From.Before(w.To) || w.To.After(pollers.Ceil(w.From, pollers.Day, p.location)) {
		return pollers.Reading{}, events.Permanent(fmt.Errorf("list %s: the window from %s to %s is not within one day of %s",
			w.Stream, w.From.Format(time.RFC3339), w.To.Format(time.RFC3339), p.location))
	}
	f := &fetch{
		p: p, command: c, window: w, emit: emit,
		from: pollers.Floor(w.From, pollers.Day, p.location), to: pollers.Ceil(w.From, pollers.Day, p.location),
	}
	if err := f.run(ctx); err != nil {
		return pollers.Reading{Requests: f.requests}, fmt.Errorf("list %s of %s: %w", w.Stream, w.From.In(p.location).Format(time.DateOnly), err)
	}
	return pollers.Reading{Requests: f.requests}, nil
}

// fetch is one reading of one day.
type fetch struct {
	p        *Poller
	command  command
	window   pollers.Window
	emit     func(events.Record) error
	requests int
	from, to time.Time // the day of the window

	table    table
	request  *pollers.Response
	url      string
	params   map[string]string
	leftover error // what keeps the window from being complete though the rows were read on
}

func (f *fetch) run(ctx context.Context) error {
	framed, digest, err := f.read(ctx, f.rows)
	if err != nil || framed {
		return err
	}
	// A body that ends with its connection may have been cut between two rows, and a CSV has no end mark:
	// only the same bytes once more say that these are all.
	_, again, err := f.read(ctx, drain)
	if err != nil {
		return fmt.Errorf("read a second time: %w", err)
	}
	if !bytes.Equal(digest, again) {
		return fmt.Errorf("%w: the body's end is not framed, and a second reading differs from the first", pollers.ErrIncomplete)
	}
	return nil
}

func drain(_ *pollers.Response, body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err
}

// read asks for the window's day and hands the body to use. It gives the digest of a body that is compared: one
// without framing, and the second reading.
//
// Days are counted back from the account's today, so the number is made for each request anew, and the
// answer counts only if today was the same before and after it.
func (f *fetch) read(ctx context.Context, use func(*pollers.Response, io.Reader) error) (framed bool, digest []byte, err error) {
	ago, err := f.p.daysAgo(f.window.From)
	if err != nil {
		return false, nil, err
	}
	f.requests++
	resp, err := f.p.ask(ctx, f.command.name, ago)
	if err != nil {
		return false, nil, err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	body := io.Reader(resp.Body)
	if !resp.Framed || f.requests > 1 {
		body = io.TeeReader(body, sum)
	}
	if err := use(resp, body); err != nil {
		return resp.Framed, nil, incomplete(err)
	}
	if now, err := f.p.daysAgo(f.window.From); err != nil || now != ago {
		return resp.Framed, nil, fmt.Errorf("%w: the day changed in %s between the request and the answer's end", pollers.ErrIncomplete, f.p.location)
	}
	return resp.Framed, sum.Sum(nil), nil
}

// incomplete marks what the framing says of a cut body.
func incomplete(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, pollers.ErrIncomplete) {
		return fmt.Errorf("%w: %w", pollers.ErrIncomplete, err)
	}
	return err
}

// daysAgo counts the calendar days from t back from today, both in the account's zone.
func (p *Poller) daysAgo(t time.Time) (int, error) {
	ago := p.date(p.now()) - p.date(t)
	if ago < 0 {
		return 0, fmt.Errorf("the day has not begun in %s", p.location)
	}
	return ago, nil
}

// date numbers the calendar days of the account's zone.
func (p *Poller) date(t time.Time) int {
	y, m, d := t.In(p.location).Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func (p *Poller) ask(ctx context.Context, name string, ago int) (*pollers.Response, error) {
	days := strconv.Itoa(ago)
	return p.client.Do(ctx, pollers.Call{URL: p.endpoint, Query: url.Values{
		"user": {p.user}, "apiKey": {p.apiKey.Reveal()}, "c": {name}, "start": {days}, "stop": {days},
		"csvseperator": {string(p.separator)},
	}})
}

// bare is a request's URL without the credentials.
func bare(requested string) string {
	u, err := url.Parse(requested)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Del("user")
	q.Del("apiKey")
	u.RawQuery = q.Encode()
	return u.String()
}

// rows emits every row of a body.
func (f *fetch) rows(resp *pollers.Response, body io.Reader) error {
	f.request, f.url = resp, bare(resp.URL)
	f.params = map[string]string{"separator": string(f.p.separator)}
	rows := newRows(body, f.p.separator)
	r, err := f.begin(rows)
	for err == nil {
		if r != nil {
			if err = f.row(r); err != nil {
				return err
			}
		}
		r, err = rows.next()
	}
	if err == io.EOF {
		return f.leftover
	}
	return err
}

// begin reads the first row and gives it back if it is data.
func (f *fetch) begin(rows *rows) (*row, error) {
	first, err := rows.next()
	if err == io.EOF {
		return nil, fmt.Errorf("%w: the body is empty", pollers.ErrIncomplete)
	}
	if err != nil {
		return nil, err
	}
	t, isHeader, err := f.p.table(f.command, first)
	if err != nil {
		return nil, err
	}
	f.table = t
	rows.prefix = append(bytes.Clone(t.header), '\n')
	if !isHeader {
		return first, nil
	}
	if !first.ended && (!f.request.Framed || !first.closed() || !t.holds(f.command.columns)) {
		return nil, fmt.Errorf("%w: the body ends in its header", pollers.ErrIncomplete)
	}
	return nil, nil
}

// row emits one row, if it is whole and of the window.
func (f *fetch) row(r *row) error {
	whole := r.columns == f.table.width
	if !r.ended && !(f.request.Framed && whole && r.closed()) {
		return fmt.Errorf("%w: the body ends in a row", pollers.ErrIncomplete)
	}
	if !whole && f.table.quoted && !r.quoted() {
		// The document quotes all values: this is a message of the server among the rows, which
		// may have ended or replaced some of them.
		f.leave(fmt.Errorf("%w: text among the rows: %s", pollers.ErrIncomplete, f.p.snippet(r)))
		return nil
	}
	if !whole {
		return f.emit(f.record(r, ""))
	}
	v := values{&f.table, r}
	started, ok := events.CobrowserTime(string(v.of(f.command.started)), f.p.location.String())
	if !ok {
		return f.emit(f.record(r, ""))
	}
	if started.Before(f.from) || !started.Before(f.to) {
		f.leave(fmt.Errorf("%w: a row of %s is not of the day asked for: either the vendor's day changed meanwhile, or the account's zone is not TIMEZONE, %s",
			pollers.ErrIncomplete, started.Format(time.RFC3339), f.p.location))
		return nil
	}
	if !f.window.Holds(started) {
		return nil
	}
	return f.emit(f.record(r, f.command.key(v, started)))
}

// leave keeps the first reason why the window is not complete.
func (f *fetch) leave(err error) {
	if f.leftover == nil {
		f.leftover = err
	}
}

// record gives the header and the row; of an oversize row the first bytes.
func (f *fetch) record(r *row, key string) events.Record {
	body := make([]byte, 0, len(f.table.header)+1+len(r.raw))
	body = append(append(append(body, f.table.header...), '\n'), r.raw...)
	if r.size > 0 {
		body = body[:min(len(body), events.OversizeKeptBytes)]
	}
	if safe := f.p.client.RedactBytes(body); &safe[0] != &body[0] {
		body, key = safe, f.p.client.Redact(key)
	}
	return events.Record{
		Key: key,
		Parts: []events.Part{{
			ContentType: events.ContentCSV, URL: f.url, Body: events.Body{Bytes: body, Size: r.size, SHA256: r.sha256},
		}},
		Params:      f.params,
		RequestedAt: f.request.RequestedAt,
	}
}
