// Package liveagent also reads the account's reports, all twenty of the document.
//
// # Reports
//
// Their streams are the paths below /api. Windows are whole days in the source's zone; the present day is read every INTERVAL, which
// takes 23 requests as long as each list is one page.
//
//   - reports/agents, channels, departments, tags: sums over what is asked for, so they are asked day by day and a row's identity does not hang on
//     a window. Key: the stream, the day's start, "day", and agent=, channel=, department= or tag= the row's id.
//   - reports/performance: by hour, day, week and month in turn. Of weeks and months all that touch the window are asked for whole: the vendor
//     decides on which day a week begins, and a row that is not over is read again. Key: the stream, the interval's start, its grain.
//   - reports/{tickets,chats,calls}/load and slacompliance, {chats,calls}/availability: hours, or days where the row's date has no time. Key as above.
//   - reports/{tickets,chats,calls}/agentsavailability and slalog: the stream and the row's id.
//   - reports/ranking: the row's id.
//
// A row's params are the start, end, grain and timezone of its interval, where it has one: its only time is local text, of which the poller alone
// sees the neighbours. An hour that comes twice, when clocks are set back, is the earlier one first. A row whose
// time or id cannot be read is emitted without a key.
//
// All documented columns are asked for by name, or those that COLUMNS leaves, since the document's examples leave f_chats and f_calls out. With
// them come the id, without which a row has no key, and what another is not final without: to_date with hours_online, the two closing dates with
// sla. Asking for other columns later makes new revisions of what is read again. Pages are of 1000 rows, the
// most that may be asked for. Each is asked for from the last row of the one before, and the window fails when that is another now: rows moved,
// and some may have been passed over. A page of 100 rows, the default, is not taken for the last one.
//
// Whether the day of date_to is part of the answer is not documented. The rows of most reports say where they belong, so they are
// asked for with one day more, and rows of other windows are dropped, or, where they have ids, emitted as well. Sums are asked with
// both dates on the same day: an example of the document's ends at 23:59:59. slacompliance knows a parameter datetime too, the last 30 days if it is
// not given: it is asked month by month, so that dates and datetime say the same. A row of no day that was asked for fails the window.
//
// 404 means that the installation has no such report (they came with version 4.11.3.0): the stream is unavailable.
//
// The narrowings (departmentid, agentid and so on) are not used. Columns that the document does not know are not
// given when columns are asked for; reports without that parameter pass them through. agentsavailability has but one time of each kind, in the form that
// SLA logs use for the reader's zone: it is taken for the source's. A bucket at an hour that no clock showed, when clocks
// are set forward, has no key.
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

// reportStreams gives the streams of reports.
func reportStreams(reports []*report) []stream {
	var all []stream
	for _, r := range reports {
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
		rows, first := 0, ""
		q.query.Set("limitcount", strconv.Itoa(pageRows))
		q.query.Set("limitfrom", strconv.Itoa(from))
		r.requests++
		err := r.list(ctx, r.report.listing, q.query, func(src source, body events.Body) error {
			rows++
			fields := r.format.fields(body.Bytes, r.report.item)
			name := r.name(fields, body)
			if rows == 1 {
				first = name
			}
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
		if first == last {
			return fmt.Errorf("all rows of a page are %q: %w", last, pollers.ErrIncomplete) // the next would begin with it too, for ever
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
