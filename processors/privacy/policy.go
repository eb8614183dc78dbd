package privacy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parley-stream/parley/events"
)

// action is what is done with a field; a stricter one is greater.
type action int

const (
	keep action = iota
	mask
	truncate
	hash
	drop
)

var actions = map[string]action{"keep": keep, "mask": mask, "truncate": truncate, "hmac": hash, "drop": drop}

// rule is one part of a policy.
type rule struct {
	kind   events.Kind // "" is every kind
	path   []string    // * is any name
	action action
	text   string
}

// fits tells whether a rule is for a field or for what holds it.
func (r *rule) fits(kind events.Kind, path []string) bool {
	if r.kind != "" && r.kind != kind || len(r.path) > len(path) {
		return false
	}
	for i, name := range r.path {
		if name != "*" && name != path[i] {
			return false
		}
	}
	return true
}

// rank orders rules for one field: the longer path, the one with fewer *, the one of a kind.
func (r *rule) rank() int {
	rank := len(r.path) * 100
	for _, name := range r.path {
		if name == "*" {
			rank -= 2
		}
	}
	if r.kind != "" {
		rank++
	}
	return rank
}

// identity are the fields by which an event is what it is.
var identity = []string{"id", "vendor", "source", "vendor_id"}

// required are the fields without which an event is not valid.
var required = []string{"report", "measures", "of", "surveys.context", "interval.grain"}

// parse reads a policy and gives every fault of it.
func parse(policy string) (rules []rule, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	for part := range strings.SplitSeq(policy, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		field, word, found := strings.Cut(part, "=")
		field, word = strings.TrimSpace(field), strings.TrimSpace(word)
		a, known := actions[word]
		if !found || !known {
			fault("%q: want <field>=keep, mask, truncate, hmac or drop, such as visitor.ip=truncate", part)
			continue
		}
		r := rule{action: a, text: part}
		name := field
		if kind, rest, found := strings.Cut(field, ":"); found {
			r.kind, name = events.Kind(kind), rest
		}
		r.path = strings.Split(name, ".")
		if r.kind == events.KindMessage {
			fault("%q: message events follow the rules of conversation:messages; want such as messages.text=drop", part)
			continue
		}
		if r.kind != "" && !slices.Contains(events.Kinds(), r.kind) {
			fault("%q: there is no kind %q", part, r.kind)
			continue
		}
		if seen[field] {
			fault("%q: %s has a rule already", part, field)
			continue
		}
		seen[field] = true
		if why := r.check(); why != "" {
			fault("%q: %s", part, why)
			continue
		}
		rules = append(rules, r)
	}
	if len(rules) == 0 && len(faults) == 0 {
		fault("has no rule; want such as visitor.ip=truncate,messages.text=mask")
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return b.rank() - a.rank() })
	return rules, faults
}

// ruled are the kinds that rules are for. A message event is treated as the message of its conversation.
func ruled() []events.Kind {
	return slices.DeleteFunc(events.Kinds(), func(k events.Kind) bool { return k == events.KindMessage })
}

// check says what is wrong with a rule; "" when nothing is.
func (r *rule) check() string {
	if slices.Contains(r.path, "") {
		return "want names with single dots between"
	}
	if slices.Contains(identity, r.path[0]) && len(r.path) == 1 {
		return r.path[0] + " says which entity an event is of, and cannot be changed"
	}
	if slices.Contains(required, strings.Join(r.path, ".")) && r.action == drop {
		return strings.Join(r.path, ".") + " cannot be absent"
	}
	kinds := ruled()
	if r.kind != "" {
		kinds = []events.Kind{r.kind}
	}
	exists, fits := false, false
	for _, kind := range kinds {
		for _, n := range schemaOf(kind).find(r.path, r.kind != "") {
			exists = true
			fits = fits || n.takes(r.action, r.path)
		}
	}
	switch {
	case !exists:
		return "no event has such a field; events/schemas names them all, and fields of reference kinds alone are written with the kind, as in contact:phone"
	case !fits && r.action == truncate:
		return "want keep, mask, hmac or drop: it holds no IP address"
	case !fits:
		return "want keep or drop: it is a number, a time or one of few words"
	}
	return ""
}

// node is a JSON Schema, as far as it is needed here.
type node struct {
	root       *node
	Ref        string           `json:"$ref"`
	Type       any              `json:"type"`
	Format     string           `json:"format"`
	Enum       []any            `json:"enum"`
	Properties map[string]*node `json:"properties"`
	Additional json.RawMessage  `json:"additionalProperties"`
	Items      *node            `json:"items"`
	Defs       map[string]*node `json:"$defs"`
}

// anything is the schema of values of free-form maps.
var anything = &node{}

func schemaOf(kind events.Kind) *node {
	var n node
	if err := json.Unmarshal(events.Schema(kind), &n); err != nil {
		panic(err) // it is part of the program
	}
	n.root = &n
	return &n
}

// resolve follows references and goes into lists.
func (n *node) resolve(root *node) *node {
	for {
		switch {
		case n.Ref != "":
			n = root.Defs[strings.TrimPrefix(n.Ref, "#/$defs/")]
		case n.Items != nil:
			n = n.Items
		default:
			return n
		}
	}
}

// find gives the schemas of every field that a path names. Whether reference kinds, whose fields are the vendor's, have one of any name is
// the caller's to say.
func (n *node) find(path []string, anyName bool) []*node {
	root, at := n, []*node{n}
	for i, name := range path {
		var next []*node
		for _, n := range at {
			next = append(next, n.child(root, name, i == 0, anyName)...)
		}
		at = next
	}
	return at
}

func (n *node) child(root *node, name string, top, anyName bool) (children []*node) {
	if n == anything {
		return []*node{anything}
	}
	for property, child := range n.Properties {
		if (name == "*" || name == property) && (!top || !slices.Contains(identity, property)) {
			children = append(children, child.resolve(root))
		}
	}
	if len(children) > 0 && name != "*" || string(n.Additional) == "false" {
		return children
	}
	if len(n.Additional) == 0 || top && !anyName {
		return children
	}
	var additional node
	_ = json.Unmarshal(n.Additional, &additional)
	switch additional.Type {
	case nil:
		return append(children, anything)
	default:
		return append(children, &additional)
	}
}

// takes tells whether an action can be done with a field or with anything in it.
func (n *node) takes(a action, path []string) bool {
	if a == keep || a == drop || n == anything || n.Properties != nil || n.Type == "object" {
		return true
	}
	if n.Type != "string" || n.Format != "" || len(n.Enum) > 0 {
		return false
	}
	last := path[len(path)-1]
	return a != truncate || last == "ip" || last == "*"
}

// decide gives the action for a field, that of the rule that names it most closely, and whether that rule names the field itself.
func (p *Policy) decide(kind events.Kind, path []string) (a action, itself bool) {
	for i := range p.rules {
		r := &p.rules[i]
		if !r.fits(kind, path) {
			continue
		}
		if r.action == drop && slices.Contains(required, strings.Join(path, ".")) {
			return keep, false
		}
		return r.action, len(r.path) == len(path) && r.path[len(path)-1] != "*"
	}
	return keep, false
}

// inside tells whether any rule is for something within a field.
func (p *Policy) inside(kind events.Kind, path []string) bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool {
		if r.kind != "" && r.kind != kind || len(r.path) <= len(path) {
			return false
		}
		for i, name := range path {
			if r.path[i] != "*" && r.path[i] != name {
				return false
			}
		}
		return true
	})
}
