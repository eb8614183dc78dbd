package liveagentsim

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// statuses are the document's letters.
const statuses = "APTXBICRNW"

// condition is a test of a local time's text.
type condition func(at string) bool

func always(string) bool { return true }

// filter is what a list of conversations was asked for.
type filter struct {
	owner, department, subject string
	statuses                   []string
	older, newer, changed      condition
}

func newFilter(q url.Values) (*filter, *refusal) {
	f := &filter{owner: q.Get("owneridentifier"), department: q.Get("department"), subject: q.Get("subject"), changed: always}
	if f.owner == "" && f.department == "" {
		return nil, refuse(http.StatusInternalServerError, "department or owneridentifier must be entered")
	}
	if f.department != "" && !slices.ContainsFunc(departments(), func(d department) bool { return d.id == f.department }) {
		return nil, refuse(http.StatusNotFound, "department %s not found", f.department)
	}
	if q.Has("status") {
		f.statuses = strings.Split(q.Get("status"), ",")
		for _, letter := range f.statuses {
			if len(letter) != 1 || !strings.Contains(statuses, letter) {
				return nil, refuse(http.StatusInternalServerError, "parameter status: unknown status %q", letter)
			}
		}
	}
	var err *refusal
	if f.older, f.newer, err = ages(q); err != nil {
		return nil, err
	}
	if q.Has("datechanged") {
		f.changed, err = operation(q.Get("datechanged"))
	}
	return f, err
}

func (f *filter) shows(c *simulated.Chat, local func(time.Time) string) bool {
	created, changed := local(c.Start), local(c.ChangedAt)
	return (f.owner == "" || f.owner == c.Visitor.Email || f.owner == c.Visitor.ID) &&
		(f.department == "" || f.department == departments()[c.Department].id) &&
		(f.subject == "" || f.subject == subject(c)) &&
		(f.statuses == nil || slices.Contains(f.statuses, status(c))) &&
		f.older(created) && f.newer(created) && f.changed(changed)
}

// ages reads datefrom and dateto by the document's words: "older than", "younger than".
func ages(q url.Values) (older, newer condition, err *refusal) {
	older, newer = always, always
	if q.Has("datefrom") {
		from := q.Get("datefrom")
		older = func(at string) bool { return at < from }
		err = checkDate("datefrom", from)
	}
	if q.Has("dateto") && err == nil {
		to := q.Get("dateto")
		newer = func(at string) bool { return at > to }
		err = checkDate("dateto", to)
	}
	return older, newer, err
}

func checkDate(name, value string) *refusal {
	if t, err := time.Parse(time.DateTime, value); err != nil || t.Format(time.DateTime) != value {
		return refuse(http.StatusInternalServerError, "parameter %s: %q is not of the format YYYY-MM-DD HH:MM:SS", name, value)
	}
	return nil
}

// operation reads an opdatetime.
func operation(value string) (condition, *refusal) {
	op, operand, ok := strings.Cut(value, ":")
	if !ok || strings.ContainsAny(op, "0123456789") {
		op, operand = "eq", value // the time of day has colons too
	}
	switch op {
	case "lk":
		return like(operand)
	case "btw":
		return between(operand)
	}
	compare := map[string]func(int) bool{
		"eq": func(c int) bool { return c == 0 }, "neq": func(c int) bool { return c != 0 },
		"gt": func(c int) bool { return c > 0 }, "lt": func(c int) bool { return c < 0 },
		"gte": func(c int) bool { return c >= 0 }, "lte": func(c int) bool { return c <= 0 },
	}[op]
	if compare == nil {
		return nil, refuse(http.StatusInternalServerError, "parameter datechanged: unknown operator %q", op)
	}
	return func(at string) bool { return compare(strings.Compare(at, operand)) }, checkDate("datechanged", operand)
}

func between(operand string) (condition, *refusal) {
	from, to, ok := strings.Cut(operand, ",")
	if !ok {
		return nil, refuse(http.StatusInternalServerError, "parameter datechanged: btw wants two dates")
	}
	if err := checkDate("datechanged", from); err != nil {
		return nil, err
	}
	return func(at string) bool { return at >= from && at <= to }, checkDate("datechanged", to)
}

// like has wildcards: % for any number of characters, ? for one.
func like(operand string) (condition, *refusal) {
	if operand == "" || strings.Trim(operand, "0123456789-: %?") != "" {
		return nil, refuse(http.StatusInternalServerError, "parameter datechanged: lk wants a date with wildcards %% and ?")
	}
	pattern := strings.NewReplacer("%", ".*", `\?`, ".").Replace(regexp.QuoteMeta(operand))
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	return re.MatchString, nil
}
