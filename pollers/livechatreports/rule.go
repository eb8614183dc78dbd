package livechatreports

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// checker collects what of a value is not as the document says.
type checker struct{ faults []string }

func (c *checker) fault(path, what string) { c.faults = append(c.faults, path+": "+what) }

// rule tells whether a value is what the document says. It is one of fields, named, listOf, leaf and filterType.
type rule interface {
	check(c *checker, path string, value any)
}

func (c *checker) check(path string, value any, r rule) { r.check(c, path, value) }

// fields is an object whose fields are known.
type fields map[string]rule

func (f fields) check(c *checker, path string, value any) {
	object, ok := value.(map[string]any)
	if !ok {
		c.fault(path, "want an object")
		return
	}
	if len(object) == 0 && path != "filters" {
		c.fault(path, "is empty")
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if known, ok := f[name]; ok {
			known.check(c, path+"."+name, object[name])
		} else {
			c.fault(path+"."+name, "is unknown: want "+strings.Join(slices.Sorted(maps.Keys(f)), ", "))
		}
	}
	if _, timed := f["from"]; timed && (object["from"] == nil) != (object["to"] == nil) {
		c.fault(path, "want both from and to")
	}
}

// named is an object whose fields have names of the user's.
type named struct{ inner rule }

func (n named) check(c *checker, path string, value any) {
	object, ok := value.(map[string]any)
	if !ok || len(object) == 0 {
		c.fault(path, "want an object with a name in it")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		n.inner.check(c, path+"."+name, object[name])
	}
}

// listOf is a list that is not empty.
type listOf struct {
	inner rule
	what  string
}

func (l listOf) check(c *checker, path string, value any) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		c.fault(path, "want a list of "+l.what)
		return
	}
	for i, inner := range list {
		l.inner.check(c, fmt.Sprintf("%s[%d]", path, i), inner)
	}
}

// leaf is a value that a function knows.
type leaf struct {
	ok   func(value any) bool
	want string
}

func (l leaf) check(c *checker, path string, value any) {
	if !l.ok(value) {
		c.fault(path, "want "+l.want)
	}
}

// The document's types.
var (
	isBool    = leaf{func(v any) bool { _, ok := v.(bool); return ok }, "true or false"}
	isText    = leaf{func(v any) bool { text, ok := v.(string); return ok && text != "" }, "a text"}
	isInt     = leaf{func(v any) bool { n, ok := v.(json.Number); return ok && wholeNumber.MatchString(n.String()) }, "a whole number"}
	isAny     = leaf{func(v any) bool { return isBool.ok(v) || isText.ok(v) || isInt.ok(v) }, "a text, a whole number, true or false"}
	isCountry = leaf{func(v any) bool { text, _ := v.(string); return country.MatchString(text) }, "a country code of ISO 3166-1 alpha-2, such as NO"}
	isSurvey  = leaf{func(v any) bool { return v == "pre_chat" || v == "post_chat" }, "pre_chat or post_chat"}
	isFrom    = leaf{func(v any) bool { return v == fromPlace }, "no time, which Parley fills in: leave from and to away, or write " + fromPlace + " and " + toPlace}
	isTo      = leaf{func(v any) bool { return v == toPlace }, isFrom.want}

	wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	country     = regexp.MustCompile(`^[A-Z]{2}$`)
)

// filterType is an object with one of exists, values and exclude_values, as far as they are known, among its fields.
type filterType struct {
	fields
	optional bool // none of them is right too
}

func (f filterType) check(c *checker, path string, value any) {
	before := len(c.faults)
	f.fields.check(c, path, value)
	object, _ := value.(map[string]any)
	var choices, given []string
	for _, name := range []string{"exists", "values", "exclude_values"} {
		if f.fields[name] != nil {
			choices = append(choices, name)
		}
		if _, there := object[name]; there {
			given = append(given, name)
		}
	}
	if len(c.faults) == before {
		c.checkOneType(path+".values", object["values"])
		c.checkOneType(path+".exclude_values", object["exclude_values"])
	}
	if len(c.faults) == before && len(given) != 1 && !(f.optional && len(given) == 0) {
		c.fault(path, "want exactly one of "+strings.Join(choices, ", "))
	}
}

// checkOneType wants the elements of a list to be of one type.
func (c *checker) checkOneType(path string, value any) {
	list, _ := value.([]any)
	for _, other := range list[min(1, len(list)):] {
		if fmt.Sprintf("%T", other) != fmt.Sprintf("%T", list[0]) {
			c.fault(path, "want values of one type")
			return
		}
	}
}

// choice is the document's <filter_type> of some element type.
func choice(element leaf, more fields) filterType {
	list := listOf{element, "values, each " + element.want}
	f := fields{"exists": isBool, "values": list, "exclude_values": list}
	maps.Copy(f, more)
	return filterType{fields: f}
}

// every is the modifier of the filter types of texts and whole numbers.
var every = fields{"require_every_value": isBool}

// without is a filter type that lacks one of its fields.
func without(f filterType, name string) filterType {
	f.fields = maps.Clone(f.fields)
	delete(f.fields, name)
	return f
}

// first wants agent_response.first where it must be.
type first struct{ fields }

func (f first) check(c *checker, path string, value any) {
	f.fields.check(c, path, value)
	object, _ := value.(map[string]any)
	for _, name := range []string{"agents", "groups"} {
		if object[name] != nil && object["first"] != true {
			c.fault(path+"."+name, "works only with first set to true")
		}
	}
}

// rulesOf are the rules of a family's filters.
func rulesOf(family string) fields {
	times := fields{"from": isFrom, "to": isTo}
	rules := maps.Clone(times)
	switch texts, integers := choice(isText, every), choice(isInt, every); family {
	case "chats":
		maps.Copy(rules, chatsRules(times, texts, integers))
	case "agents":
		rules["agents"] = without(texts, "exists")
		rules["groups"] = fields{"values": listOf{isInt, "group ids"}}
	case "tags":
		rules["groups"] = fields{"values": listOf{isInt, "group ids"}}
	}
	return rules
}

func chatsRules(times fields, texts, integers filterType) fields {
	greetings := choice(isAny, fields{"groups": integers})
	greetings.optional = true
	maps.Copy(greetings.fields, times)
	survey := choice(isText, fields{"groups": integers, "type": isSurvey})
	survey.optional = true
	maps.Copy(survey.fields, times)
	return fields{
		"properties": named{named{choice(isAny, nil)}}, "agents": texts, "tags": texts, "sales": integers, "goals": integers,
		"surveys": listOf{survey, "surveys"}, "event_types": without(texts, "exists"), "groups": integers, "greetings": greetings,
		"agent_response":     first{fields{"exists": isBool, "first": isBool, "agents": texts, "groups": integers}},
		"customer_countries": choice(isCountry, every),
	}
}
