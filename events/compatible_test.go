package events_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
)

// TestPublishedSchemasStayCompatible compares every schema with what was published under its $id (testdata/published): a subscriber that
// was written for that reads what comes now. What breaks it needs a new major version beside the old one. A field that is added is copied
// into testdata/published with the release that first sends it.
func TestPublishedSchemasStayCompatible(t *testing.T) {
	files, err := filepath.Glob("testdata/published/*.json")
	if err != nil || len(files) < len(events.Kinds()) {
		t.Fatalf("%d published schemas of %d kinds: %v", len(files), len(events.Kinds()), err)
	}
	for _, file := range files {
		before := document(t, file)
		now := document(t, filepath.Join("schemas", filepath.Base(file)))
		for _, broken := range incompatible(before, now) {
			t.Errorf("%s: %s; publish a new major version instead", filepath.Base(file), broken)
		}
	}
}

func TestEveryBreakOfASchemaIsSeen(t *testing.T) {
	properties := func(s map[string]any) map[string]any { return s["properties"].(map[string]any) }
	status := func(s map[string]any) map[string]any { return properties(s)["status"].(map[string]any) }
	for name, c := range map[string]struct {
		change func(s map[string]any)
		breaks bool
	}{
		"a field is removed": {func(s map[string]any) { delete(properties(s), "subject") }, true},
		"a nested field is removed": {func(s map[string]any) {
			delete(properties(s["$defs"].(map[string]any)["visitor"].(map[string]any)), "email")
		}, true},
		"a definition is removed":         {func(s map[string]any) { delete(s["$defs"].(map[string]any), "visitor") }, true},
		"a type becomes another":          {func(s map[string]any) { status(s)["type"] = "integer" }, true},
		"a type is narrowed":              {func(s map[string]any) { properties(s)["duration_s"].(map[string]any)["type"] = "integer" }, true},
		"a type is one of several":        {func(s map[string]any) { status(s)["type"] = []any{"string", "null"} }, true},
		"a required field is added":       {func(s map[string]any) { s["required"] = append(s["required"].([]any), "subject") }, true},
		"a required field may be missing": {func(s map[string]any) { s["required"] = s["required"].([]any)[1:] }, true},
		"an enum shrinks":                 {func(s map[string]any) { status(s)["enum"] = status(s)["enum"].([]any)[1:] }, true},
		"an enum grows":                   {func(s map[string]any) { status(s)["enum"] = append(status(s)["enum"].([]any), "closed") }, true},
		"a pattern changes":               {func(s map[string]any) { properties(s)["vendor"].(map[string]any)["pattern"] = "^[a-z]+$" }, true},
		"a limit is added":                {func(s map[string]any) { properties(s)["subject"].(map[string]any)["maxLength"] = 10.0 }, true},
		"the object is opened":            {func(s map[string]any) { s["additionalProperties"] = true }, true},
		"an id changes":                   {func(s map[string]any) { s["$id"] = "urn:parley:schema:conversation:v2" }, true},
		"a description changes":           {func(s map[string]any) { status(s)["description"] = "Where it stands." }, false},
		"an optional field is added":      {func(s map[string]any) { properties(s)["mood"] = map[string]any{"type": "string"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := document(t, "testdata/published/conversation.v1.json")
			c.change(now)
			if got := incompatible(document(t, "testdata/published/conversation.v1.json"), now); (len(got) > 0) != c.breaks {
				t.Errorf("breaks %q, want some: %v", got, c.breaks)
			}
		})
	}
}

func document(t *testing.T, file string) (schema map[string]any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(content, &schema)
	}
	if err != nil {
		t.Fatalf("a published schema is gone: %v", err)
	}
	return schema
}

// incompatible tells what of a schema's promises another one does not keep. Both sides of a promise count: a field that was always there is
// read without asking, and a value that was never one of the enum has no place in a subscriber's switch. Descriptions promise nothing, and
// an object may have more properties than before.
func incompatible(before, now map[string]any) []string { return compareNode("", before, now) }

// named are the keywords whose value maps names to schemas; those may be added.
var named = []string{"properties", "$defs"}

func compareNode(path string, before, now any) (broken []string) {
	b, isObject := before.(map[string]any)
	n, isStill := now.(map[string]any)
	if !isObject || !isStill {
		if !reflect.DeepEqual(before, now) {
			broken = append(broken, fmt.Sprintf("%s was %v and is %v", path, before, now))
		}
		return broken
	}
	grows := slices.ContainsFunc(named, func(k string) bool { return strings.HasSuffix(path, "/"+k) }) && !strings.HasSuffix(path, "/properties/properties")
	for name := range b {
		if !grows && isProse(name, b[name]) {
			continue
		}
		broken = append(broken, compareNode(path+"/"+name, b[name], n[name])...)
	}
	for name := range n {
		if _, was := b[name]; !was && !grows && !isProse(name, n[name]) {
			broken = append(broken, fmt.Sprintf("%s/%s is new: %v", path, name, n[name]))
		}
	}
	return broken
}

// isProse tells what is written for people alone.
func isProse(keyword string, value any) bool {
	_, text := value.(string)
	return text && (keyword == "description" || keyword == "title" || keyword == "$comment")
}
