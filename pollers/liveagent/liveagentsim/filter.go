package liveagentsim

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
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
	from, to, changed          condition
}

func (s *Sim) newFilter(q url.Values) (*filter, *refusal) {
	f := &filter{owner: q.Get("owneridentifier"), department: q.Get("department"), subject: q.Get("subject"), changed: always}
	if f.owner == "" && f.department == "" {
		return nil, refuse(http.StatusInternalServerError, "department or owneridentifier must be entered")
	}
	if f.department != "" && !slices.ContainsFunc(s.departments(), func(d department) bool { return d.id == f.department }) {
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
	if f.from, f.to, err = s.ages(q); err != nil {
		return nil, err
	}
	if q.Has("datechanged") {
		f.changed, err = operation(q.Get("datechanged"))
	}
	return f, err
}

func (f *filter) shows(c seen) bool {
	return f.changed(c.changed) && f.from(c.created) && f.to(c.created) &&
		(f.department == "" || f.department == departments()[c.Department].id) &&
		(f.owner == "" || f.owner == c.Visitor.Email || f.owner == c.Visitor.ID) &&
		(f.subject == "" || f.subject == subject(c.Chat)) &&
		(f.statuses == nil || slices.Contains(f.statuses, status(c.Chat)))
}

func (f *filter) showsSpecimen(row object) bool {
	return f.changed(row.get("datechanged")) && f.from(row.get("datecreated")) && f.to(row.get("datecreated")) &&
		(f.department == "" || f.department == row.get("departmentid")) &&
		(f.owner == "" || f.owner == row.get("owneremail")) &&
		(f.subject == "" || f.subject == row.get("subject")) && f.statuses == nil
}

// ages reads datefrom and dateto: by the document's words, "older than" and "younger than", or in the ordinary sense.
func (s *Sim) ages(q url.Values) (from, to condition, err *refusal) {
	if from, err = s.age(q, "datefrom", !s.ordinary); err == nil {
		to, err = s.age(q, "dateto", s.ordinary)
	}
	return from, to, err
}

func (s *Sim) age(q url.Values, name string, older bool) (condition, *refusal) {
	if !q.Has(name) {
		return always, nil
	}
	limit := q.Get(name)
	if older {
		return func(at string) bool { return at < limit }, checkDate(name, limit)
	}
	return func(at string) bool { return at > limit }, checkDate(name, limit)
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
