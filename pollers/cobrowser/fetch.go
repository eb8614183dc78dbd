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
	if err == nil {
		err = p.fits(c, w)
	}
	if err != nil {
		return pollers.Reading{}, err
	}
	f := &fetch{p: p, command: c, window: w, emit: emit}
	if c.ranged {
		f.from, f.to = pollers.Floor(w.From, pollers.Day, p.location), pollers.Ceil(w.From, pollers.Day, p.location)
	}
	f.unseen = unseen{known: p.known, emit: emit, stream: c.name}
	requests := 0
	if err = f.run(ctx); err != nil {
		requests, err = p.refused(ctx, c, err)
	}
	reading := pollers.Reading{Requests: f.requests + requests, Unchanged: f.unseen.unchanged}
	if err != nil {
		return reading, fmt.Errorf("list %s: %w", f.what(), err)
	}
	return reading, nil
}

// fits wants a window of the command's: a day or a part of one, or none.
func (p *Poller) fits(c command, w pollers.Window) error {
	if !c.ranged {
		if !w.Snapshot() {
			return events.Permanent(fmt.Errorf("list %s: it is a list as it is now, and has no window", w.Stream))
		}
		return nil
	}
	if w.Snapshot() || !w.From.Before(w.To) || w.To.After(pollers.Ceil(w.From, pollers.Day, p.location)) {
		return events.Permanent(fmt.Errorf("list %s: the window from %s to %s is not within one day of %s",
			w.Stream, w.From.Format(time.RFC3339), w.To.Format(time.RFC3339), p.location))
	}
	return nil
}

// fetch is one reading of one day, or of a list.
type fetch struct {
	p        *Poller
	command  command
	window   pollers.Window
	emit     func(events.Record) error
	unseen   unseen // what passes through it waits for flush
	requests int
	from, to time.Time // the day of the window

	table    table
	request  *pollers.Response
	url      string
	params   map[string]string
	leftover error // what keeps the window from being complete though the rows were read on
}

// what names what is read, for errors.
func (f *fetch) what() string {
	if !f.command.ranged {
		return f.command.name
	}
	return f.command.name + " of " + f.window.From.In(f.p.location).Format(time.DateOnly)
}

func (f *fetch) run(ctx context.Context) error {
	framed, digest, err := f.read(ctx, func(resp *pollers.Response, body io.Reader) error { return f.rows(ctx, resp, body) })
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

// read asks for what the window says and hands the body to use. It gives the digest of a body that is compared: one
// without framing, and the second reading.
func (f *fetch) read(ctx context.Context, use func(*pollers.Response, io.Reader) error) (framed bool, digest []byte, err error) {
	ago, err := f.ago()
	if err != nil {
		return false, nil, err
	}
	f.requests++
	resp, err := f.p.ask(ctx, f.command, ago)
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
	if now, err := f.ago(); err != nil || now != ago {
		return resp.Framed, nil, fmt.Errorf("%w: the day changed in %s between the request and the answer's end", pollers.ErrIncomplete, f.p.location)
	}
	return resp.Framed, sum.Sum(nil), nil
}

// ago is how many days ago the window's day is. Days are counted back from the account's today, so the number is made for each request
// anew, and the answer counts only if it is the same after it: a retry after midnight must not read another day.
func (f *fetch) ago() (int, error) {
	if !f.command.ranged {
		return 0, nil
	}
	return f.p.daysAgo(f.window.From)
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

// ask sends the command, with the number of days ago if it takes one.
func (p *Poller) ask(ctx context.Context, c command, ago int) (*pollers.Response, error) {
	q := url.Values{
		"user": {p.user}, "apiKey": {p.apiKey.Reveal()}, "c": {c.name}, "csvseperator": {string(p.separator)},
	}
	if c.ranged {
		q.Set("start", strconv.Itoa(ago))
		q.Set("stop", strconv.Itoa(ago))
	}
	return p.client.Do(ctx, pollers.Call{URL: p.endpoint, Query: q})
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
func (f *fetch) rows(ctx context.Context, resp *pollers.Response, body io.Reader) error {
	f.request, f.url = resp, bare(resp.URL)
	f.params = map[string]string{"separator": string(f.p.separator)}
	rows := newRows(body, f.p.separator)
	r, err := f.begin(rows)
	for err == nil {
		if r != nil {
			if err = f.row(ctx, r); err != nil {
				return err
			}
		}
		r, err = rows.next()
	}
	if err == io.EOF {
		err = f.unseen.flush(ctx)
	}
	if err == nil {
		err = f.leftover
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
func (f *fetch) row(ctx context.Context, r *row) error {
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
		return f.pass(ctx, f.record(r, ""))
	}
	v := values{&f.table, r}
	if f.command.ranged && !f.holds(v) {
		return nil
	}
	return f.pass(ctx, f.record(r, events.CobrowserKey(f.command.name, v.of, f.p.location.String())))
}

// pass emits a record, unless RAW is known to have it.
func (f *fetch) pass(ctx context.Context, r events.Record) error {
	if f.command.growing {
		return f.unseen.add(ctx, r)
	}
	return f.emit(r)
}

// holds tells whether a row is of the window, and notes one that is not of the day asked for. A row whose time cannot be read is held:
// nothing tells where else it would be found.
func (f *fetch) holds(v values) bool {
	started, ok := f.p.time(v.of(f.command.started))
	if !ok {
		return true
	}
	ended := f.ended(v, started)
	if !touches(started, ended, f.from, f.to) {
		f.leave(fmt.Errorf("%w: a row of %s is not of the day asked for: either the vendor's day changed meanwhile, or the account's zone is not TIMEZONE, %s",
			pollers.ErrIncomplete, started.Format(time.RFC3339), f.p.location))
		return false
	}
	return touches(started, ended, f.window.From, f.window.To)
}

// touches tells whether [started, ended), or the moment started where nothing lasts, has a part in [from, to).
func touches(started, ended, from, to time.Time) bool {
	return started.Before(to) && (!started.Before(from) || ended.After(from))
}

// ended is when a row's interval ended. It is the window's end where the row does not say: whether the vendor files an interval under the day of
// its start alone or under every day that it touches is not documented, so neither is taken for another day.
func (f *fetch) ended(v values, started time.Time) time.Time {
	c := f.command
	if c.ended == "" && c.lasts == "" {
		return started
	}
	if c.ended != "" {
		if t, ok := f.p.time(v.of(c.ended)); ok && !t.Before(started) {
			return t
		}
	}
	if seconds, err := strconv.ParseUint(v.of(c.lasts), 10, 32); err == nil {
		return started.Add(time.Duration(seconds) * time.Second)
	}
	return f.to
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
