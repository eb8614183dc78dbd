package livechatreports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// What stands in FILTERS where the times of a window go.
const (
	fromPlace = "{from}"
	toPlace   = "{to}"
)

// filters are a source's, without times. The zero value filters nothing.
type filters struct {
	tree      map[string]any // of the values that encoding/json knows, lists sorted
	canonical string         // its JSON
	digest    string         // the dimension filter
	placed    bool           // it says where the times go
}

// readFilters reads FILTERS and holds it to the document: for the reports that are selected, and for the method by which they are asked for.
func readFilters(text, method string, selected []report) (filters, []string) {
	if text == "" {
		return filters{}, nil
	}
	value, err := decodeFilters([]byte(text))
	if err != nil {
		return filters{}, []string{err.Error()}
	}
	c := &checker{}
	c.check("filters", value, rulesOf("chats"))
	tree, _ := value.(map[string]any)
	if len(c.faults) == 0 && len(tree) > 0 {
		c.checkTimes(tree)
		if method == http.MethodGet {
			c.checkQuery(tree)
		}
	}
	sortLists(tree)
	f := newFilters(tree)
	for _, r := range selected {
		if len(c.faults) == 0 {
			c.faults = f.refusedBy(r)
		}
	}
	return f, c.faults
}

func newFilters(tree map[string]any) filters {
	if len(tree) == 0 {
		return filters{}
	}
	canonical, _ := json.Marshal(tree) // it came from JSON
	sum := sha256.Sum256(canonical)
	return filters{tree, string(canonical), hex.EncodeToString(sum[:6]), len(timesIn(tree)) > 0}
}

// decodeFilters reads one JSON value.
func decodeFilters(text []byte) (any, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("FILTERS is no JSON")
	}
	text = bytes.TrimSpace(text)
	switch text[0] {
	case '{':
		members, err := membersOf(text)
		if err != nil {
			return nil, fmt.Errorf("FILTERS has a field twice")
		}
		object := make(map[string]any, len(members))
		for _, m := range members {
			if object[m.name], err = decodeFilters(m.value); err != nil {
				return nil, err
			}
		}
		return object, nil
	case '[':
		return decodeList(text)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value any
	err := d.Decode(&value)
	return value, err
}

func decodeList(text []byte) (any, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return nil, err
	}
	list := make([]any, len(elements))
	for i, e := range elements {
		var err error
		if list[i], err = decodeFilters(e); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// sortLists sorts texts and numbers: they are sets, and their order shall not make another filter of them.
func sortLists(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			sortLists(inner)
		}
	case []any:
		slices.SortStableFunc(v, func(a, b any) int { return strings.Compare(sortText(a), sortText(b)) })
		for _, inner := range v {
			sortLists(inner)
		}
	}
}

// sortText is what a list is sorted by; objects keep their order.
func sortText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return fmt.Sprintf("%40s", v)
	}
	return ""
}

// refusedBy says which filters a report does not take: its figures would not be what they seem.
func (f filters) refusedBy(r report) []string {
	if f.tree == nil {
		return nil
	}
	c := &checker{}
	c.check("filters", f.tree, rulesOf(r.family))
	for i := range c.faults {
		c.faults[i] += ", says " + r.path + ": take the filter away, or the report by STREAMS"
	}
	return c.faults
}

// filled is what to send: the filters with the times where they go.
func (f filters) filled(r report, from, to string) map[string]any {
	tree, _ := fill(f.tree, from, to).(map[string]any)
	if tree == nil {
		tree = map[string]any{}
	}
	if f.placed {
		return tree
	}
	into := tree
	if r.path == greetingsPath {
		greetings, _ := tree["greetings"].(map[string]any)
		if greetings == nil {
			greetings = map[string]any{}
		}
		tree["greetings"], into = greetings, greetings
	}
	into["from"], into["to"] = from, to
	return tree
}

// fill copies a value with the times in their places.
func fill(value any, from, to string) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = fill(inner, from, to)
		}
		// Elsewhere these texts are values like any other.
		if v["from"] == fromPlace && v["to"] == toPlace {
			out["from"], out["to"] = from, to
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = fill(inner, from, to)
		}
		return out
	}
	return value
}

// timesIn names the places that have times: filters, filters.greetings, filters.surveys.
func timesIn(tree map[string]any) []string {
	var places []string
	has := func(value any) bool {
		object, _ := value.(map[string]any)
		return object["from"] != nil || object["to"] != nil
	}
	if has(tree) {
		places = append(places, "filters")
	}
	if has(tree["greetings"]) {
		places = append(places, "filters.greetings")
	}
	if surveys, _ := tree["surveys"].([]any); slices.ContainsFunc(surveys, has) {
		places = append(places, "filters.surveys")
	}
	return places
}

// checkTimes wants exactly one pair of times, where any are placed.
func (c *checker) checkTimes(tree map[string]any) {
	if places := timesIn(tree); len(places) > 1 {
		c.fault(strings.Join(places, " and ")+" have times", "want exactly one pair of from and to")
	}
	surveys, _ := tree["surveys"].([]any)
	for i, survey := range surveys {
		if s, _ := survey.(map[string]any); s["from"] == nil && slices.Contains(timesIn(tree), "filters.surveys") {
			c.fault(fmt.Sprintf("filters.surveys[%d]", i), "want from and to, which another survey has")
		}
	}
}

// checkQuery wants what the document can say in a query.
func (c *checker) checkQuery(tree map[string]any) {
	if tree["surveys"] != nil {
		c.fault("filters.surveys", "has no documented form in a query: want METHOD=POST")
	}
	properties, _ := tree["properties"].(map[string]any)
	for namespace, names := range properties {
		inner, _ := names.(map[string]any)
		for _, name := range append(slices.Collect(maps.Keys(inner)), namespace) {
			if strings.ContainsAny(name, "[]") {
				c.fault("filters.properties", fmt.Sprintf("%q has a square bracket: want METHOD=POST", name))
			}
		}
	}
}
