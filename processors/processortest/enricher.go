package processortest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

// Enricher holds an enricher to its contract, with empty and full entities of every kind and with those given: no error, valid content, identity and
// everything else that was there kept but for the paths in changes (messages.text; lists count for nothing), the same
// the second time, and from several goroutines at once.
func Enricher(t *testing.T, e processors.Enricher, entities []events.Entity, changes ...string) {
	t.Helper()
	if name := e.Name(); name == "" || strings.ContainsAny(name, " .\n") {
		t.Errorf("name %q; want one word", name)
	}
	for _, kind := range events.Kinds() {
		bare := Fill(kind, func(string) string { return "" })
		entities = append(entities, bare, Fill(kind, func(path string) string { return "some " + path }))
	}
	for _, entity := range entities {
		t.Run(string(entity.Kind())+" "+entity.Common().VendorID, func(t *testing.T) { enrichOne(t, e, entity, changes) })
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, kind := range events.Kinds() {
				if err := e.Enrich(Fill(kind, func(path string) string { return path })); err != nil {
					t.Errorf("beside others: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func enrichOne(t *testing.T, e processors.Enricher, entity events.Entity, changes []string) {
	before := Content(t, entity)
	for range 2 {
		if err := e.Enrich(entity); err != nil {
			t.Fatalf("enrich %s: %v", before, err)
		}
	}
	after := Content(t, entity)
	Validate(t, entity.Kind(), after)
	again := Decode(t, entity.Kind(), before)
	if err := e.Enrich(again); err != nil {
		t.Fatal(err)
	}
	if once := Content(t, again); !bytes.Equal(once, after) {
		t.Errorf("once gives\n%s\nand again\n%s", once, after)
	}
	for _, lost := range Lost(values(t, before), values(t, after)) {
		if !slices.Contains(changes, lost) {
			t.Errorf("%s is not what it was:\n%s\n%s", lost, before, after)
		}
	}
}

// Content encodes an entity.
func Content(t testing.TB, e events.Entity) []byte {
	t.Helper()
	content, err := events.EncodeContent(e)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Decode reads canonical content back; numbers of free-form values are json.Number.
func Decode(t testing.TB, kind events.Kind, content []byte) events.Entity {
	t.Helper()
	e, err := events.DecodeContent(kind, content)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func values(t testing.TB, content []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Lost gives the paths of what one JSON value has and another has not, or has otherwise.
func Lost(before, after any) []string {
	var lost []string
	var walk func(path string, a, b any)
	walk = func(path string, a, b any) {
		switch a := a.(type) {
		case map[string]any:
			other, _ := b.(map[string]any)
			for name, value := range a {
				walk(strings.TrimPrefix(path+"."+name, "."), value, other[name])
			}
		case []any:
			other, _ := b.([]any)
			for i, value := range a {
				if i >= len(other) {
					lost = append(lost, path)
					return
				}
				walk(path, value, other[i])
			}
		default:
			if a != b {
				lost = append(lost, path)
			}
		}
	}
	walk("", before, after)
	return lost
}

// fixed are the values of fields that allow few; their paths end so.
var fixed = map[string]string{
	"channel": "chat", "status": "open", "agents.role": "agent", "agent.role": "agent", "role": "agent", "author.type": "visitor",
	"surveys.context": "entry", "rating.value": "good", "value": "good", "grain": "day", "of": "agent", "online": "chat", "preset": "chat",
}

// Fill gives a valid entity of a kind with every field set. The texts of fields that take any are the caller's, by their path
// (visitor.email, messages.text, attributes.a); where it gives "" the field stays absent, and with it its like of other types.
func Fill(kind events.Kind, text func(path string) string) events.Entity {
	e, err := events.DecodeContent(kind, []byte("{}"))
	if err != nil {
		panic(err) // an empty object is one of any kind
	}
	f := filler{text: text, full: text("") != "" || text("subject") != ""}
	f.fill(reflect.ValueOf(e).Elem(), "")
	base := e.Common()
	base.Vendor, base.Source, base.VendorID = "testvendor", "test", fmt.Sprintf("%s-%v", kind, f.full)
	base.ID = events.CanonicalID(base.Vendor, base.Source, base.VendorID)
	switch e := e.(type) {
	case *events.Reference:
		e.Of = kind
	case *events.Metric:
		e.Report, e.Measures = "chats", map[string]float64{"chats": 1}
	case *events.Presence:
		e.Of = "agent"
	}
	return e
}

type filler struct {
	text func(path string) string
	full bool
}

var instant = reflect.TypeFor[time.Time]()

func (f filler) fill(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == instant {
			if f.full {
				v.Set(reflect.ValueOf(time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)))
			}
			return
		}
		for i := range v.NumField() {
			f.fill(v.Field(i), join(path, v.Type().Field(i)))
		}
	case reflect.String:
		if v.Type() != reflect.TypeFor[events.Kind]() {
			v.SetString(f.word(path))
		}
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Int:
		v.SetInt(2)
	case reflect.Pointer:
		if f.full {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), path)
		}
	case reflect.Slice:
		if f.full {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			f.fill(v.Index(0), path)
		}
	case reflect.Map:
		f.fillMap(v, path)
	case reflect.Interface:
		if text := f.word(path); text != "" {
			v.Set(reflect.ValueOf(text))
		}
	}
}

func (f filler) fillMap(v reflect.Value, path string) {
	if !f.full {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	value := reflect.New(v.Type().Elem()).Elem()
	f.fill(value, strings.TrimPrefix(path+".a", "."))
	v.SetMapIndex(reflect.ValueOf("a"), value)
	if v.Type().Elem().Kind() == reflect.Interface {
		b := strings.TrimPrefix(path+".b", ".")
		nested := []any{map[string]any{"c": f.word(b + ".c")}, f.word(b)}
		v.SetMapIndex(reflect.ValueOf("b"), reflect.ValueOf(nested))
	}
}

func (f filler) word(path string) string {
	for end, word := range fixed {
		if path == end || strings.HasSuffix(path, "."+end) {
			if !f.full {
				return ""
			}
			return word
		}
	}
	return f.text(path)
}

func join(path string, field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	switch {
	case field.Name == "Fields": // of a Reference, beside the others
		return path
	case name == "" && !field.Anonymous:
		name = strings.ToLower(field.Name)
	}
	return strings.Trim(path+"."+name, ".")
}
