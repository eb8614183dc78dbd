package livechatreportssim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// query is a request that is well formed.
type query struct {
	report       string
	distribution string
	zone         *time.Location
	from, to     time.Time // both inclusive
	given        bool      // the range was in the request
	conditions   []condition
}

// bucketForm is how a bucket is named, by distribution. Only the form of days is known; the others are guesses.
func bucketForm() map[string]string {
	return map[string]string{
		"hour": "2006-01-02 15:00", "day": time.DateOnly, "day-hours": "15:00", "month": "2006-01", "year": "2006",
	}
}

// family is the group of methods that take the same parameters: chats, agents, tags, stats.
func family(report string) string {
	name, _, _ := strings.Cut(report, "/")
	return name
}

// distributions are what a report takes; none, of one that has no such parameter.
func distributions(report string) []string {
	switch family(report) {
	case "chats":
		return []string{"hour", "day", "day-hours", "month", "year"}
	case "agents":
		return []string{"hour", "day"}
	}
	return nil
}

// texts are a query's values of one name. From a body come the values of encoding/json instead.
type texts []string

func readParameters(r *http.Request) (map[string]any, error) {
	switch r.Method {
	case http.MethodGet:
		return fromQuery(r)
	case http.MethodPost:
		return fromBody(r)
	}
	return nil, refuse(http.StatusMethodNotAllowed, "validation", "use POST or GET")
}

// property is the documented form of a property's name in a query.
var property = regexp.MustCompile(`^properties\[([^\[\]]+)\]\[([^\[\]]+)\]$`)

// fromQuery makes a body's tree of names with dots; properties are in square brackets.
func fromQuery(r *http.Request) (map[string]any, error) {
	tree := map[string]any{}
	for name, values := range r.URL.Query() {
		path, ok := pathOf(name)
		if !ok || !put(tree, path, texts(values)) {
			return nil, invalid("malformed parameter " + name)
		}
	}
	return tree, nil
}

// pathOf splits a name, whose properties may hold dots: filters.properties[routing][was.transferred].values.
func pathOf(name string) ([]string, bool) {
	start, end := strings.Index(name, "["), strings.LastIndex(name, "]")
	if start < 0 {
		path := strings.Split(name, ".")
		return path, len(path) < 2 || path[1] != "properties"
	}
	if end < start {
		return nil, false
	}
	head, inner, tail := strings.TrimSuffix(name[:start], "properties"), name[start:end+1], name[end+1:]
	match := property.FindStringSubmatch("properties" + inner)
	if head != "filters." || match == nil || !strings.HasPrefix(tail, ".") {
		return nil, false
	}
	return append([]string{"filters", "properties", match[1], match[2]}, strings.Split(tail[1:], ".")...), true
}

func put(tree map[string]any, path []string, value texts) bool {
	for _, name := range path[:len(path)-1] {
		inner, there := tree[name]
		if !there {
			inner = map[string]any{}
			tree[name] = inner
		}
		object, ok := inner.(map[string]any)
		if !ok {
			return false
		}
		tree = object
	}
	last := path[len(path)-1]
	_, there := tree[last]
	tree[last] = value
	return !there && last != ""
}

func fromBody(r *http.Request) (map[string]any, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, refuse(http.StatusUnsupportedMediaType, "validation", "Content-Type must be application/json")
	}
	if r.URL.RawQuery != "" {
		return nil, invalid("a POST takes its parameters from the body")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, invalid("unreadable body")
	}
	var body map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&body) != nil || body == nil {
		return nil, invalid("the body is no JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("the body goes on after its object")
	}
	return body, nil
}

func (s *Sim) check(report string, p map[string]any) (query, error) {
	q := query{report: report, distribution: "day", zone: s.home, to: s.account.Now()}
	q.from = q.to.Add(-defaultRange)
	for name, value := range p {
		var err error
		switch allowed := distributions(report); {
		case name == "distribution" && allowed != nil:
			err = q.readDistribution(value, allowed)
		case name == "timezone":
			err = q.readZone(value)
		case name == "filters":
			err = q.readFilters(value)
		default:
			err = invalid("unknown parameter " + name)
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

func (q *query) readDistribution(value any, allowed []string) (err error) {
	if q.distribution, err = text("distribution", value); err == nil && !slices.Contains(allowed, q.distribution) {
		err = invalid("`distribution` must be one of " + strings.Join(allowed, ", "))
	}
	return err
}

func (q *query) readZone(value any) error {
	name, err := text("timezone", value)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return invalid("`timezone` must be an IANA time zone")
	}
	q.zone = zone
	return nil
}

// text reads one text.
func text(name string, value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case texts:
		if len(v) == 1 {
			return v[0], nil
		}
	}
	return "", invalid("`" + name + "` must be one string")
}

// truth reads true or false.
func truth(name string, value any) (bool, error) {
	if v, ok := value.(bool); ok {
		return v, nil
	}
	if v, ok := value.(texts); ok && len(v) == 1 && (v[0] == "true" || v[0] == "false") {
		return v[0] == "true", nil
	}
	return false, invalid("`" + name + "` must be a bool")
}

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$`)

func moment(name string, value any) (time.Time, error) {
	form, err := text(name, value)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, form)
	if err != nil || !timeForm.MatchString(form) {
		return time.Time{}, invalid("`" + name + "` must be a time compatible with RFC 3339")
	}
	return t, nil
}
