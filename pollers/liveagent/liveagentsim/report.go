// Package liveagentsim also serves the reports, over what the conversations of the account tell.
//
// What the document leaves open is answered so: the days of date_from and date_to are both part of the answer; rows are numbered from 0; a
// limitcount above 1000, a column that the report does not have and a value that is not among the allowed ones are errors 500; columns that
// the document's examples lack (f_chats, f_calls) are given only when they are asked for; a row is given for what happened, not for
// every hour or agent; performance without group_by is one row, and rows are cut by the dates; weeks begin on Mondays; datetime
// narrows what the dates leave, also when it is not given.
package liveagentsim

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is one of the document's reports.
type report struct {
	list, item string
	columns    []column
	// dated says that date_from and date_to are mandatory, selects that there is a parameter columns.
	dated, selects bool
	// summed says that rows add up what is asked for.
	summed     bool
	parameters []string // beside dates, limits and columns
	lines      func(*Sim, request) []line
}

// line is a row and what a poller must file it under.
type line struct {
	key string
	at  time.Time
	row object
}

// column is a return field: its name and the document's type, of which texts that hold numbers are apart.
type column struct{ name, kind string }

// The types of columns. The document's examples show no column that is hidden; such come only when they are asked for by name.
const (
	isText   = "text"
	isInt    = "int"
	isRate   = "rate"   // text of a number
	isTime   = "time"   // has its own specimen
	isHidden = "hidden" // int
)

// request is what a report was asked for.
type request struct {
	report   report
	path     string
	query    url.Values
	from, to string // days, both included; "" is unbounded
	now      time.Time
}

// holds tells whether a local time's text is of a day that was asked for.
func (r request) holds(local string) bool {
	day := local[:len(time.DateOnly)]
	return (r.from == "" || day >= r.from) && (r.to == "" || day <= r.to)
}

// wants tells whether a filter is not set or is this.
func (r request) wants(parameter, value string) bool {
	return r.query.Get(parameter) == "" || r.query.Get(parameter) == value
}

// report answers a report.
func (s *Sim) report(q url.Values, path string) (object, *refusal) {
	r, known := reports()[path]
	if !known {
		return nil, refuse(http.StatusNotFound, "unknown call %s", path)
	}
	in := request{report: r, path: path, query: q, now: s.account.Now()}
	for _, check := range []func(*request) *refusal{checkNames, checkDates, checkPage, checkColumns, checkValues} {
		if err := check(&in); err != nil {
			return nil, err
		}
	}
	var rows []object
	for _, l := range r.lines(s, in) {
		rows = append(rows, l.row)
	}
	if f := s.account.Options().Fields; f != nil {
		rows = append([]object{s.reportSpecimen(f, in)}, rows...)
	}
	return object{{r.list, list{item: r.item, items: in.selected(in.page(rows))}}}, nil
}

func checkNames(r *request) *refusal {
	names := append([]string{"date_from", "date_to", "limitcount", "limitfrom"}, r.report.parameters...)
	if r.report.selects {
		names = append(names, "columns")
	}
	return only(r.query, names...)
}

func checkDates(r *request) *refusal {
	for _, name := range []string{"date_from", "date_to"} {
		value := r.query.Get(name)
		if value == "" && r.report.dated {
			return refuse(http.StatusInternalServerError, "parameter %s is missing", name)
		}
		if _, err := time.Parse(time.DateOnly, value); err != nil && r.query.Has(name) {
			return refuse(http.StatusInternalServerError, "parameter %s: %q is not of the format YYYY-MM-DD", name, value)
		}
	}
	r.from, r.to = r.query.Get("date_from"), r.query.Get("date_to")
	if r.from != "" && r.to != "" && r.to < r.from {
		return refuse(http.StatusInternalServerError, "date_to is before date_from")
	}
	return nil
}

// maxRows and defaultRows are the document's.
const (
	maxRows     = 1000
	defaultRows = 100
)

func checkPage(r *request) *refusal {
	if n, err := wholeNumber(r.query, "limitcount", defaultRows); err != nil || n < 1 || n > maxRows {
		return refuse(http.StatusInternalServerError, "parameter limitcount: want 1 to %d", maxRows)
	}
	if n, err := wholeNumber(r.query, "limitfrom", 0); err != nil || n < 0 {
		return refuse(http.StatusInternalServerError, "parameter limitfrom: want a row number")
	}
	return nil
}

func wholeNumber(q url.Values, name string, unset int) (int, error) {
	if !q.Has(name) {
		return unset, nil
	}
	return strconv.Atoi(q.Get(name))
}

// page gives the rows of limitfrom and limitcount; the first row has the number 0.
func (r request) page(rows []object) []object {
	from, _ := wholeNumber(r.query, "limitfrom", 0)
	count, _ := wholeNumber(r.query, "limitcount", defaultRows)
	from = min(from, len(rows))
	return rows[from:min(from+count, len(rows))]
}

func checkColumns(r *request) *refusal {
	if !r.query.Has("columns") {
		return nil
	}
	for _, name := range strings.Split(r.query.Get("columns"), ",") {
		if !slices.ContainsFunc(r.report.columns, func(c column) bool { return c.name == name }) {
			return refuse(http.StatusInternalServerError, "parameter columns: unknown column %q", name)
		}
	}
	return nil
}

// selected leaves the columns that were asked for, or those of the document's examples.
func (r request) selected(rows []object) []object {
	named := r.query.Has("columns")
	names := strings.Split(r.query.Get("columns"), ",")
	for i, row := range rows {
		var out object
		for _, m := range row {
			if named && slices.Contains(names, m.name) || !named && !slices.Contains(r.report.columns, column{m.name, isHidden}) {
				out = append(out, m)
			}
		}
		rows[i] = out
	}
	return rows
}

var month = regexp.MustCompile(`^\d{4}-(0[1-9]|1[0-2])$`)

// checkValues holds the other parameters to the values that the document names.
func checkValues(r *request) *refusal {
	q := r.query
	if id := q.Get("departmentid"); id != "" && !slices.ContainsFunc(departments(), func(d department) bool { return d.id == id }) {
		return refuse(http.StatusNotFound, "department %s not found", id)
	}
	if q.Has("group_by") && !slices.Contains([]string{"hour", "day", "week", "month"}, q.Get("group_by")) {
		return refuse(http.StatusInternalServerError, "parameter group_by: want hour, day, week or month")
	}
	if q.Has("types") {
		for _, letter := range strings.Split(q.Get("types"), ",") {
			if letter != "W" && letter != "P" {
				return refuse(http.StatusInternalServerError, "parameter types: unknown type %q", letter)
			}
		}
	}
	if slices.Contains(r.report.parameters, "datetime") {
		return r.narrow()
	}
	return nil
}

// narrow reads the date constraint, whose default is the last 30 days.
func (r *request) narrow() *refusal {
	const day = time.DateOnly
	today := time.Date(r.now.Year(), r.now.Month(), r.now.Day(), 0, 0, 0, 0, time.UTC)
	thisMonth := today.AddDate(0, 0, 1-today.Day())
	from, to := today.AddDate(0, 0, -30), today.AddDate(0, 0, 1) // the zone's day may be another
	switch value := r.query.Get("datetime"); {
	case value == "L30D" || !r.query.Has("datetime"):
	case value == "TM":
		from = thisMonth
	case value == "LM":
		from, to = thisMonth.AddDate(0, -1, 0), thisMonth.AddDate(0, 0, -1)
	case month.MatchString(value):
		from, _ = time.Parse("2006-01", value)
		to = from.AddDate(0, 1, -1)
	default:
		return refuse(http.StatusInternalServerError, "parameter datetime: want L30D, TM, LM or YYYY-MM")
	}
	r.from = max(r.from, from.Format(day))
	if last := to.Format(day); r.to == "" || last < r.to {
		r.to = last
	}
	return nil
}
