package livechatreportssim

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// condition is one filter of chats or agents: on a fact, such as "agents" or "properties.routing.continuous".
type condition struct {
	fact            string
	exists          *bool
	values, exclude []string
	every           bool
}

// holds tells whether what is known of the fact satisfies the condition.
func (c condition) holds(known []string) bool {
	in := func(value string) bool { return slices.Contains(known, value) }
	out := func(value string) bool { return !in(value) }
	switch {
	case c.exists != nil:
		return *c.exists == (len(known) > 0)
	case c.values != nil && c.every:
		return !slices.ContainsFunc(c.values, out)
	case c.values != nil:
		return slices.ContainsFunc(c.values, in)
	case c.exclude != nil && c.every:
		return slices.ContainsFunc(c.exclude, out)
	}
	return !slices.ContainsFunc(c.exclude, in)
}

// kind is the type of the elements of values and exclude_values.
type kind int

const (
	textKind kind = iota
	intKind
	anyKind
	countryKind
)

// shape is what a filter type takes beside values: the document's footnotes differ in that.
type shape struct {
	kind     kind
	exists   bool
	exclude  bool
	every    bool
	optional bool     // none of exists, values, exclude_values is fine
	more     []string // fields that are read elsewhere
}

// flatFilters are the filters that are one filter type, by family.
func flatFilters(of string) map[string]shape {
	texts := shape{kind: textKind, exists: true, exclude: true, every: true}
	integers := shape{kind: intKind, exists: true, exclude: true, every: true}
	groups := shape{kind: intKind}
	switch of {
	case "chats":
		return map[string]shape{
			"agents": texts, "tags": texts, "sales": integers, "goals": integers, "groups": integers,
			"event_types":        {kind: textKind, exclude: true, every: true},
			"customer_countries": {kind: countryKind, exists: true, exclude: true, every: true},
		}
	case "agents":
		return map[string]shape{"agents": {kind: textKind, exclude: true, every: true}, "groups": groups}
	case "tags":
		return map[string]shape{"groups": groups}
	}
	return nil
}

// readFilters wants known filters of the right types, and exactly one pair of times.
func (q *query) readFilters(value any) error {
	filters, err := object("filters", value)
	if err != nil {
		return err
	}
	pairs := 0
	if err := q.readPair("filters", filters, &pairs); err != nil {
		return err
	}
	flat := flatFilters(family(q.report))
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		if name == "from" || name == "to" {
			continue
		}
		if s, ok := flat[name]; ok {
			err = q.readType(name, filters[name], s)
		} else if family(q.report) == "chats" {
			err = q.readNested(name, filters[name], &pairs)
		} else {
			err = invalid("unknown filter " + name)
		}
		if err != nil {
			return err
		}
	}
	if pairs != 1 {
		return invalid("`filters` must contain exactly one pair of time-based filters")
	}
	return nil
}

func object(name string, value any) (map[string]any, error) {
	if o, ok := value.(map[string]any); ok {
		return o, nil
	}
	return nil, invalid("`" + name + "` must be an object")
}

// readPair reads from and to, where they are.
func (q *query) readPair(name string, filters map[string]any, pairs *int) (err error) {
	from, hasFrom := filters["from"]
	to, hasTo := filters["to"]
	switch {
	case hasFrom != hasTo:
		return invalid("`" + name + "` must have both from and to")
	case !hasFrom:
		return nil
	}
	*pairs++
	if q.from, err = moment(name+".from", from); err != nil {
		return err
	}
	if q.to, err = moment(name+".to", to); err != nil {
		return err
	}
	if q.to.Before(q.from) {
		return invalid("`" + name + ".from` must not be after `to`")
	}
	if q.to.Sub(q.from) > longestRange {
		return invalid("the range is too long")
	}
	q.given = true
	return nil
}

// readNested reads the filters of chats that are more than a filter type.
func (q *query) readNested(name string, value any, pairs *int) error {
	switch name {
	case "properties":
		return q.readProperties(value)
	case "surveys":
		return q.readSurveys(value, pairs)
	case "greetings":
		inner, err := object(name, value)
		if err == nil {
			err = q.readPair("filters.greetings", inner, pairs)
		}
		if err == nil {
			err = q.readGroups(name, inner)
		}
		if err == nil {
			err = q.readType(name, inner, shape{kind: anyKind, exists: true, exclude: true, optional: true, more: []string{"from", "to", "groups"}})
		}
		return err
	case "agent_response":
		return q.readResponse(value)
	}
	return invalid("unknown filter " + name)
}

func (q *query) readGroups(name string, inner map[string]any) error {
	if inner["groups"] == nil {
		return nil
	}
	return q.readType(name+".groups", inner["groups"], shape{kind: intKind, exists: true, exclude: true, every: true})
}

func (q *query) readProperties(value any) error {
	namespaces, err := object("filters.properties", value)
	if err != nil {
		return err
	}
	for namespace, inner := range namespaces {
		names, err := object("filters.properties."+namespace, inner)
		if err != nil {
			return err
		}
		for name, filter := range names {
			path := "properties." + namespace + "." + name
			if err := q.readType(path, filter, shape{kind: anyKind, exists: true, exclude: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSurveys reads the list of surveys, whose pairs of times count as one. A query has no form for it.
func (q *query) readSurveys(value any, pairs *int) error {
	list, ok := value.([]any)
	if !ok {
		return invalid("`filters.surveys` must be an array")
	}
	found := 0
	for _, one := range list {
		survey, err := object("filters.surveys", one)
		if err != nil {
			return err
		}
		kind, err := surveyType(survey)
		if err == nil {
			err = q.readPair("filters.surveys", survey, &found)
		}
		if err == nil {
			err = q.readGroups("surveys", survey)
		}
		if err == nil {
			err = q.readType("surveys"+kind, survey, shape{kind: textKind, exists: true, exclude: true, optional: true, more: []string{"type", "from", "to", "groups"}})
		}
		if err != nil {
			return err
		}
	}
	*pairs += min(found, 1)
	return nil
}

func surveyType(survey map[string]any) (string, error) {
	value, given := survey["type"]
	if !given {
		return "", nil
	}
	kind, err := text("filters.surveys.type", value)
	if err == nil && kind != "pre_chat" && kind != "post_chat" {
		err = invalid("`filters.surveys.type` must be pre_chat or post_chat")
	}
	return "." + kind, err
}

// readResponse reads agent_response, whose agents and groups work only with first.
func (q *query) readResponse(value any) error {
	inner, err := object("filters.agent_response", value)
	if err != nil {
		return err
	}
	first := false
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		switch path := "filters.agent_response." + name; name {
		case "exists":
			c := condition{fact: "agent_response", exists: new(bool)}
			*c.exists, err = truth(path, inner[name])
			q.conditions = append(q.conditions, c)
		case "first":
			first, err = truth(path, inner[name])
		case "agents":
			err = q.readType("agent_response.agents", inner[name], shape{kind: textKind, exists: true, exclude: true, every: true})
		case "groups":
			err = q.readGroups("agent_response", inner)
		default:
			err = invalid("unknown filter " + path)
		}
		if err != nil {
			return err
		}
	}
	if !first && (inner["agents"] != nil || inner["groups"] != nil) {
		return invalid("`filters.agent_response.agents` and `groups` work only if `first` is true")
	}
	return nil
}

// readType reads a filter type and keeps its condition.
func (q *query) readType(fact string, value any, s shape) error {
	fields, err := object("filters."+fact, value)
	if err != nil {
		return err
	}
	c := condition{fact: fact}
	given := 0
	for name, v := range fields {
		path := "filters." + fact + "." + name
		switch {
		case slices.Contains(s.more, name):
		case name == "exists" && s.exists:
			given++
			c.exists = new(bool)
			*c.exists, err = truth(path, v)
		case name == "values":
			given++
			c.values, err = list(path, v, s.kind)
		case name == "exclude_values" && s.exclude:
			given++
			c.exclude, err = list(path, v, s.kind)
		case name == "require_every_value" && s.every:
			c.every, err = truth(path, v)
		default:
			err = invalid("unknown filter " + path)
		}
		if err != nil {
			return err
		}
	}
	if given > 1 || given == 0 && !s.optional {
		return invalid("`filters." + fact + "` must have exactly one of exists, values, exclude_values")
	}
	if given == 1 {
		q.conditions = append(q.conditions, c)
	}
	return nil
}

var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

// list reads an array of one type, as texts.
func list(name string, value any, k kind) ([]string, error) {
	elements, ok := value.([]any)
	if from, is := value.(texts); is {
		ok = true
		for _, t := range from {
			elements = append(elements, t)
		}
	}
	if !ok || len(elements) == 0 {
		return nil, invalid("`" + name + "` must be an array")
	}
	_, query := value.(texts)
	out := make([]string, len(elements))
	types := map[string]bool{}
	for i, e := range elements {
		var kind string
		out[i], kind = element(e, k, query)
		types[kind] = true
	}
	if types[""] || len(types) > 1 {
		return nil, invalid("`" + name + "` must be an array of the right type")
	}
	return out, nil
}

// element gives an element's text and the name of its type; "" when it is of the wrong one. A query has texts only.
func element(e any, k kind, query bool) (text, is string) {
	switch v := e.(type) {
	case json.Number:
		text, is = v.String(), "int"
	case bool:
		text, is = strconv.FormatBool(v), "bool"
	case string:
		text, is = v, "string"
	}
	if k == intKind && is == "string" && query || is == "int" {
		if _, err := strconv.Atoi(text); err != nil {
			return text, ""
		}
		is = "int"
	}
	wanted := map[kind]string{intKind: "int", textKind: "string", countryKind: "string"}[k]
	if wanted != "" && is != wanted || text == "" || k == countryKind && !countryCode.MatchString(text) {
		return text, ""
	}
	return strings.TrimSpace(text), is
}
