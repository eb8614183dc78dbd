package liveagent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// The document's bounds of a report's page: the most rows that may be asked for, and how many come unasked.
const (
	pageRows    = 1000
	defaultRows = 100
)

// The spans of windows. What is asked for day by day, and what may have thousands of rows, is read in short ones: a
// window that fails is read again from its beginning. 31 days of hours are one page.
const (
	shortSpan = 7 * pollers.Day
	longSpan  = 31 * pollers.Day
)

// report is one of the vendor's reports.
type report struct {
	listing
	id string // the column that tells rows apart
	// columns are what to ask for, comma-separated; "" where the call has no such parameter.
	columns string
	span    time.Duration
	// questions gives the lists to read for a window.
	questions func(pollers.Window, *time.Location) []*question
	// identify gives a row's key and params; false: the row belongs to other windows alone.
	identify func(r *reading, q *question, row map[string]string) (identity, bool, error)
}

// identity is what a row's record is known by; the key is "" when the row does not tell.
type identity struct {
	key    string
	params map[string]string
}

// reading is one reading of a window of a report.
type reading struct {
	*poller
	report   *report
	window   pollers.Window
	emit     func(events.Record) error
	requests int
}

// reportStreams gives the streams of all reports.
func reportStreams() []stream {
	var all []stream
	for _, r := range reports() {
		all = append(all, stream{
			Stream: pollers.Stream{Name: r.path, Grain: pollers.Day, MaxSpan: r.span, LiveSpan: pollers.Day},
			fetch:  r.fetch,
		})
	}
	return all
}

func (r *report) fetch(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	in := &reading{poller: p, report: r, window: w, emit: emit}
	for _, q := range r.questions(w, p.location) {
		if r.columns != "" {
			q.query.Set("columns", r.columns)
		}
		if err := in.pages(ctx, q); err != nil {
			err = fmt.Errorf("%s of %s to %s: %w", r.path, q.query.Get("date_from"), q.query.Get("date_to"), err)
			return pollers.Reading{Requests: in.requests}, unknownReport(err)
		}
	}
	return pollers.Reading{Requests: in.requests}, nil
}

// unknownReport reads 404: the installation is older than the report.
func unknownReport(err error) error {
	if s := (*pollers.StatusError)(nil); errors.As(err, &s) && s.Status == http.StatusNotFound {
		return pollers.Unavailable(err)
	}
	if e := (*apiError)(nil); errors.As(err, &e) && e.code == strconv.Itoa(http.StatusNotFound) {
		return pollers.Unavailable(err)
	}
	return err
}

// pages reads a list to its end. Every page but the first is asked for from the last row of the one before: if it does not begin
// with it, rows moved meanwhile, and some may have been passed over.
func (r *reading) pages(ctx context.Context, q *question) error {
	last := "" // what the latest row is told by
	for from := 0; ; {
		rows := 0
		q.query.Set("limitcount", strconv.Itoa(pageRows))
		q.query.Set("limitfrom", strconv.Itoa(from))
		r.requests++
		err := r.list(ctx, r.report.listing, q.query, func(src source, body events.Body) error {
			rows++
			fields := r.format.fields(body.Bytes, r.report.item)
			name := r.name(fields, body)
			switch {
			case rows > pageRows:
				return fmt.Errorf("asked for %d rows and got more: %w", pageRows, pollers.ErrIncomplete)
			case rows == 1 && from > 0:
				return unmoved(last, name)
			}
			last = name
			return r.row(q, src, body, fields)
		})
		if err == nil && from > 0 && rows == 0 {
			err = unmoved(last, "")
		}
		// A page of the default length may come from an installation that passes over limitcount.
		if err != nil || rows < pageRows && rows != defaultRows {
			return err
		}
		from += rows - 1
	}
}

func unmoved(last, first string) error {
	if first != last {
		return fmt.Errorf("rows moved between two pages: %w", pollers.ErrIncomplete)
	}
	return nil
}

// name tells a row from the one before: by its id, since figures may change between two pages, or by all of it.
func (r *reading) name(fields map[string]string, body events.Body) string {
	if id := fields[r.report.id]; id != "" {
		return id
	}
	digest := sha256.Sum256(body.Bytes)
	return hex.EncodeToString(digest[:])
}

func (r *reading) row(q *question, src source, body events.Body, fields map[string]string) error {
	id, ours, err := r.report.identify(r, q, fields)
	if err != nil || !ours {
		return err
	}
	return r.emit(events.Record{
		Key: id.key, Params: id.params, RequestedAt: src.at, Parts: []events.Part{r.part("", src, body)},
	})
}
