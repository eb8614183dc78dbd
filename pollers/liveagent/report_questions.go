package liveagent

import (
	"fmt"
	"net/url"
	"time"

	"github.com/parley-stream/parley/pollers"
)

// question is one list to read, page by page.
type question struct {
	query url.Values
	// rows is what all rows are of, where they do not say it.
	rows bucket
	// grain is that of the rows; "" where their times show it.
	grain string
	// from and to are the days that rows may be of, both included, as midnights of UTC.
	from, to time.Time
	// before is the time of the row before, as it is written.
	before string
}

func ask(from, to time.Time, more ...string) *question {
	q := &question{query: url.Values{"date_from": {from.Format(time.DateOnly)}, "date_to": {to.Format(time.DateOnly)}}, from: from, to: to}
	for i := 0; i < len(more); i += 2 {
		q.query.Set(more[i], more[i+1])
	}
	return q
}

// dates gives the first and the last day that a window touches.
func dates(w pollers.Window, loc *time.Location) (first, last time.Time) {
	return day(w.From, loc), day(w.To.Add(-1), loc)
}

// eachDay asks day by day: the rows of these reports are sums over what is asked for, and their identity must not hang
// on a window's length.
func eachDay(w pollers.Window, loc *time.Location) []*question {
	var all []*question
	first, last := dates(w, loc)
	for d := first; !d.After(last); d = d.AddDate(0, 0, 1) {
		start := dayStart(d, loc)
		if day(start, loc) != d {
			continue // a day that the zone skipped
		}
		q := ask(d, d)
		q.rows = bucket{start: start, end: pollers.Ceil(start, pollers.Day, loc), grain: daily}
		all = append(all, q)
	}
	return all
}

// oneMore asks for all days at once and one more: the document does not say whether the day of date_to is among them, and the
// rows tell where they belong.
func oneMore(w pollers.Window, loc *time.Location) []*question {
	first, last := dates(w, loc)
	return []*question{ask(first, last.AddDate(0, 0, 1))}
}

// eachMonth asks month by month, since the parameter datetime, which is the last 30 days when it is not given, wants a month. Whether that
// and the dates narrow each other or one goes before the other is not documented: here it comes to the same.
func eachMonth(w pollers.Window, loc *time.Location) []*question {
	var all []*question
	first, last := dates(w, loc)
	for from := first; !from.After(last); {
		month := from.AddDate(0, 0, 1-from.Day())
		next := month.AddDate(0, 1, 0)
		to := next
		if last.Before(next) {
			to = last.AddDate(0, 0, 1)
		}
		q := ask(from, to, "datetime", month.Format("2006-01"))
		q.from, q.to = month, next
		all = append(all, q)
		from = next
	}
	return all
}

// eachGrain asks for hours, days, weeks and months. Of weeks and months all that touch the window are asked for whole, so that no row is
// cut by the dates; on which day a week begins is the vendor's to know.
func eachGrain(w pollers.Window, loc *time.Location) []*question {
	first, last := dates(w, loc)
	monthEnd := last.AddDate(0, 1, -last.Day())
	all := []*question{
		ask(first, last.AddDate(0, 0, 1), "group_by", hourly),
		ask(first, last.AddDate(0, 0, 1), "group_by", daily),
		ask(first.AddDate(0, 0, -6), last.AddDate(0, 0, 7), "group_by", weekly),
		ask(first.AddDate(0, 0, 1-first.Day()), monthEnd.AddDate(0, 0, 1), "group_by", monthly),
	}
	for _, q := range all {
		q.grain = q.query.Get("group_by")
	}
	return all
}

// perDay identifies the rows of eachDay by what the id is of.
func perDay(dimension string) func(*reading, *question, map[string]string) (identity, bool, error) {
	return func(r *reading, q *question, row map[string]string) (identity, bool, error) {
		id := r.metric(q.rows, map[string]string{dimension: row["id"]})
		if row["id"] == "" {
			id.key = ""
		}
		return id, true, nil
	}
}

// perBucket identifies rows by their time. Those of other windows come with what is asked for beyond this one, and those of no
// day that was asked for say that the vendor answered another question.
func perBucket(r *reading, q *question, row map[string]string) (identity, bool, error) {
	text := row[r.report.id]
	b, ok := bucketOf(text, row["dateto"], q.grain, text == q.before, r.location)
	q.before = text
	if !ok {
		return identity{params: map[string]string{"grain": q.grain, "timezone": r.location.String()}}, true, nil
	}
	if day(b.end.Add(-1), r.location).Before(q.from) || day(b.start, r.location).After(q.to) {
		return identity{}, false, fmt.Errorf("got a row of %s: %w", text, pollers.ErrIncomplete)
	}
	return r.metric(b, nil), b.start.Before(r.window.To) && b.end.After(r.window.From), nil
}

// perEntry identifies rows that have an id of their own.
func perEntry(prefix string) func(*reading, *question, map[string]string) (identity, bool, error) {
	return func(_ *reading, _ *question, row map[string]string) (identity, bool, error) {
		if row["id"] == "" {
			return identity{}, true, nil
		}
		return identity{key: prefix + row["id"]}, true, nil
	}
}
