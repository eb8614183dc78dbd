package livechatreportssim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// parameters are a request's, by the names of the query form: filters.from.
type parameters map[string]any

// flatten adds the leaves of a JSON object; an empty object is a leaf.
func (p parameters) flatten(prefix string, object map[string]any) {
	for name, value := range object {
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			p.flatten(prefix+name+".", inner)
		} else {
			p[prefix+name] = value
		}
	}
}

// query is a request that is well formed.
type query struct {
	report       string
	distribution string
	zone         *time.Location
	from, to     time.Time // both inclusive
	given        bool      // the range was in the request
}

// bucketForm is how a bucket is named, by distribution. Only the form of days is known; the others are guesses.
func bucketForm() map[string]string {
	return map[string]string{
		"hour": "2006-01-02 15:00", "day": time.DateOnly, "day-hours": "15:00", "month": "2006-01", "year": "2006",
	}
}

// otherFilters are documented and not simulated.
func otherFilters() []string {
	return []string{
		"properties", "agents", "tags", "sales", "goals", "surveys", "event_types", "groups", "greetings",
		"agent_response", "customer_countries",
	}
}

func (s *Sim) check(p parameters) (query, error) {
	if err := p.checkNames(); err != nil {
		return query{}, err
	}
	q := query{distribution: "day", zone: s.home, to: s.account.Now()}
	q.from = q.to.Add(-defaultRange)
	for _, step := range []func(*query) error{p.readDistribution, p.readZone, p.readRange, p.checkFilters} {
		if err := step(&q); err != nil {
			return query{}, err
		}
	}
	return q, nil
}

func (p parameters) checkNames() error {
	for name := range p {
		top, rest, _ := strings.Cut(name, ".")
		filter := strings.FieldsFunc(rest, func(r rune) bool { return r == '.' || r == '[' })
		known := name == "distribution" || name == "timezone" || name == "filters" || name == "filters.from" || name == "filters.to"
		if !known && (top != "filters" || len(filter) == 0 || !slices.Contains(otherFilters(), filter[0])) {
			return invalid(fmt.Sprintf("unknown parameter %q", name))
		}
	}
	return nil
}

func (p parameters) readDistribution(q *query) error {
	value, given := p["distribution"]
	if !given {
		return nil
	}
	text, _ := value.(string)
	if _, ok := bucketForm()[text]; !ok {
		return invalid("`distribution` must be one of hour, day, day-hours, month, year")
	}
	q.distribution = text
	return nil
}

func (p parameters) readZone(q *query) error {
	value, given := p["timezone"]
	if !given {
		return nil
	}
	text, _ := value.(string)
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || text == "Local" {
		return invalid("`timezone` must be an IANA time zone")
	}
	q.zone = zone
	return nil
}

// readRange wants exactly one complete pair of times where there are filters.
func (p parameters) readRange(q *query) error {
	if !p.hasFilters() {
		return nil
	}
	var pairs []string
	for _, prefix := range []string{"filters", "filters.greetings", "filters.surveys"} {
		_, from := p[prefix+".from"]
		_, to := p[prefix+".to"]
		if from != to {
			return invalid("`" + prefix + "` must have both from and to")
		}
		if from {
			pairs = append(pairs, prefix)
		}
	}
	if len(pairs) != 1 {
		return invalid("`filters` must contain exactly one pair of time-based filters")
	}
	return p.readTimes(q, pairs[0])
}

func (p parameters) hasFilters() bool {
	for name := range p {
		if name == "filters" || strings.HasPrefix(name, "filters.") {
			return true
		}
	}
	return false
}

func (p parameters) readTimes(q *query, prefix string) (err error) {
	if q.from, err = p.readTime(prefix + ".from"); err != nil {
		return err
	}
	if q.to, err = p.readTime(prefix + ".to"); err != nil {
		return err
	}
	if q.to.Before(q.from) {
		return invalid("`" + prefix + ".from` must not be after `to`")
	}
	if q.to.Sub(q.from) > 10*366*24*time.Hour {
		return invalid("the range is too long")
	}
	q.given = true
	return nil
}

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$`)

func (p parameters) readTime(name string) (time.Time, error) {
	text, _ := p[name].(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !timeForm.MatchString(text) {
		return time.Time{}, invalid("`" + name + "` must be a time compatible with RFC 3339")
	}
	return t, nil
}

func (p parameters) checkFilters(*query) error {
	for name := range p {
		if strings.HasPrefix(name, "filters.") && name != "filters.from" && name != "filters.to" {
			return invalid("`" + name + "` is not simulated")
		}
	}
	return nil
}
