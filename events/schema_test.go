package events_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/parley-stream/parley/events"
)

// entityOf gives an empty entity of a kind.
func entityOf(k events.Kind) events.Entity {
	e, err := events.DecodeContent(k, []byte("{}"))
	if err != nil {
		panic(err)
	}
	return e
}

func compileSchema(t testing.TB, k events.Kind) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema(k)))
	if err != nil {
		t.Fatalf("schema of %s: %v", k, err)
	}
	id := events.SchemaPrefix + string(k) + ":v1"
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(id, document); err != nil {
		t.Fatalf("schema of %s: %v", k, err)
	}
	s, err := c.Compile(id)
	if err != nil {
		t.Fatalf("schema of %s: %v", k, err)
	}
	return s
}

func validate(t testing.TB, s *jsonschema.Schema, content []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	return s.Validate(value)
}

func TestEveryKindHasASchemaUnderTheNameOfItsDataschema(t *testing.T) {
	for _, k := range events.Kinds() {
		var schema struct {
			Dialect     string `json:"$schema"`
			ID          string `json:"$id"`
			Title       string
			Description string
		}
		if err := json.Unmarshal(events.Schema(k), &schema); err != nil {
			t.Errorf("%s: %v", k, err)
			continue
		}
		e := events.NewEvent(entityOf(k), &events.Record{}, 1, "", nil)
		if schema.ID != e.DataSchema || schema.Dialect != "https://json-schema.org/draft/2020-12/schema" {
			t.Errorf("%s: $id %q, $schema %q; want %q of draft 2020-12", k, schema.ID, schema.Dialect, e.DataSchema)
		}
		if schema.Title == "" || schema.Description == "" {
			t.Errorf("%s: has no title or description", k)
		}
		compileSchema(t, k)
	}
	for _, k := range []events.Kind{"", "raw", "../schemas/tag", "conversation.v1.json"} {
		if b := events.Schema(k); b != nil {
			t.Errorf("schema of %q: %.40s, want none", k, b)
		}
	}
}

// TestSchemasHaveTheFieldsOfTheirKinds fills every field of a kind, and wants of the schema all of
// those and no other, at every depth.
func TestSchemasHaveTheFieldsOfTheirKinds(t *testing.T) {
	for _, k := range events.Kinds() {
		entity := entityOf(k)
		fill(reflect.ValueOf(entity).Elem(), "")
		if r, ok := entity.(*events.Reference); ok {
			r.Of = k
		}
		content, err := events.EncodeContent(entity)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, compileSchema(t, k), content); err != nil {
			t.Errorf("%s with every field set: %v\n%s", k, err, content)
		}
		var schema, value map[string]any
		_ = json.Unmarshal(events.Schema(k), &schema)
		_ = json.Unmarshal(content, &value)
		delete(value, "a") // of Fields
		sameFields(t, string(k), schema, schema, value)
	}
}

// words are values that the schemas allow in places that take few.
var words = map[string]string{
	"Vendor": "livechat", "Source": "support", "Channel": "chat", "Status": "open", "Role": "owner", "Author.Type": "visitor", "Context": "entry",
	"Rating.Value": "good", "Value": "bad", "Grain": "day", "Of": "agent", "Online": "phone",
}

func fill(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.String:
		parent, field, _ := strings.Cut(name, ".")
		v.SetString("x")
		for _, n := range []string{name, field} {
			if w := words[n]; w != "" && !(n == "Source" && parent == "UTM") {
				v.SetString(w)
				break
			}
		}
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Int:
		v.SetInt(2)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		if value.Kind() == reflect.Interface {
			value.Set(reflect.ValueOf("x"))
		} else {
			fill(value, "")
		}
		v.SetMapIndex(reflect.ValueOf("a"), value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Name()+"."+v.Type().Field(i).Name)
		}
	}
}

func sameFields(t *testing.T, path string, root, schema map[string]any, value any) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	if items, ok := value.([]any); ok {
		sameFields(t, path+"[]", root, schema["items"].(map[string]any), items[0])
		return
	}
	object, isObject := value.(map[string]any)
	properties, closed := schema["properties"].(map[string]any)
	if !isObject || !closed {
		return
	}
	got, want := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(object))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: properties of the schema (-fields of the kind +schema):\n%s", path, diff)
	}
	for name, p := range properties {
		sameFields(t, path+"."+name, root, p.(map[string]any), object[name])
	}
}

func TestSchemasRefuseWhatTheContractForbids(t *testing.T) {
	const base = `"id":"livechat:support:1","vendor":"livechat","source":"support","vendor_id":"1"`
	cases := map[string]struct {
		kind    events.Kind
		content string
	}{
		"no id":                       {events.KindTag, `{"vendor":"livechat","source":"support","vendor_id":"1"}`},
		"empty text":                  {events.KindConversation, `{` + base + `,"subject":""}`},
		"null":                        {events.KindConversation, `{` + base + `,"subject":null}`},
		"unknown field":               {events.KindConversation, `{` + base + `,"topic":"x"}`},
		"unknown nested field":        {events.KindConversation, `{` + base + `,"visitor":{"phone":"x"}}`},
		"unknown status":              {events.KindConversation, `{` + base + `,"status":"closed"}`},
		"local time":                  {events.KindConversation, `{` + base + `,"created_at":"2026-10-27T15:04:05"}`},
		"time with an offset":         {events.KindConversation, `{` + base + `,"created_at":"2026-10-27T15:04:05+02:00"}`},
		"day that is none":            {events.KindConversation, `{` + base + `,"created_at":"2026-02-30T15:04:05Z"}`},
		"empty list":                  {events.KindConversation, `{` + base + `,"tags":[]}`},
		"duration as text":            {events.KindConversation, `{` + base + `,"duration_s":"90"}`},
		"count with a fraction":       {events.KindConversation, `{` + base + `,"message_count":1.5}`},
		"survey without context":      {events.KindConversation, `{` + base + `,"surveys":[{"responses":[]}]}`},
		"survey without responses":    {events.KindConversation, `{` + base + `,"surveys":[{"context":"exit"}]}`},
		"survey with null responses":  {events.KindConversation, `{` + base + `,"surveys":[{"context":"exit","responses":null}]}`},
		"empty attribute":             {events.KindConversation, `{` + base + `,"attributes":{"plan":""}}`},
		"null attribute":              {events.KindConversation, `{` + base + `,"attributes":{"plan":null}}`},
		"metric without report":       {events.KindMetric, `{` + base + `,"measures":{}}`},
		"metric without measures":     {events.KindMetric, `{` + base + `,"report":"chats/ratings"}`},
		"metric with null measures":   {events.KindMetric, `{` + base + `,"report":"chats/ratings","measures":null}`},
		"measure as text":             {events.KindMetric, `{` + base + `,"report":"chats/ratings","measures":{"good":"1"}}`},
		"interval without grain":      {events.KindMetric, `{` + base + `,"report":"r","measures":{},"interval":{}}`},
		"presence of nothing":         {events.KindPresence, `{` + base + `}`},
		"vendor in capitals":          {events.KindTag, strings.Replace(`{`+base+`}`, `"vendor":"livechat"`, `"vendor":"LiveChat"`, 1)},
		"null field of a reference":   {events.KindAgent, `{` + base + `,"skill":null}`},
		"empty field of a reference":  {events.KindAgent, `{` + base + `,"skill":""}`},
		"empty name of a reference":   {events.KindAgent, `{` + base + `,"name":""}`},
		"rating that is neither":      {events.KindRating, `{` + base + `,"value":"W"}`},
		"attributes that are no list": {events.KindEmail, `{` + base + `,"attributes":[1]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := validate(t, compileSchema(t, c.kind), []byte(c.content)); err == nil {
				t.Errorf("%s is valid as %s, want it refused", c.content, c.kind)
			}
		})
	}
	allowed := map[string]struct {
		kind    events.Kind
		content string
	}{
		"base alone":                     {events.KindConversation, `{` + base + `}`},
		"zero that the vendor gave":      {events.KindConversation, `{` + base + `,"duration_s":0,"message_count":0}`},
		"nested null in an attribute":    {events.KindConversation, `{` + base + `,"attributes":{"geo":{"lat":null,"names":[""]}}}`},
		"false attribute":                {events.KindConversation, `{` + base + `,"attributes":{"archived":false}}`},
		"metric with no counters":        {events.KindMetric, `{` + base + `,"report":"chats/ratings","measures":{}}`},
		"survey without answers":         {events.KindConversation, `{` + base + `,"surveys":[{"context":"exit","responses":[]}]}`},
		"fields of a reference":          {events.KindAgent, `{` + base + `,"skill":7,"groups":[{"id":"1"}]}`},
		"nanoseconds":                    {events.KindConversation, `{` + base + `,"created_at":"2026-10-27T15:04:05.123456789Z"}`},
		"vendor id of any characters":    {events.KindTag, `{"id":"a:b:\n","vendor":"a","source":"b","vendor_id":"\n"}`},
		"presence of an agent, offline":  {events.KindPresence, `{` + base + `,"of":"agent"}`},
		"slack that is negative":         {events.KindSLA, `{` + base + `,"slack_s":-3.5}`},
		"metric of a snapshot, no start": {events.KindMetric, `{` + base + `,"report":"r","measures":{"n":1},"interval":{"grain":"snapshot"}}`},
	}
	for name, c := range allowed {
		t.Run(name, func(t *testing.T) {
			if err := validate(t, compileSchema(t, c.kind), []byte(c.content)); err != nil {
				t.Error(err)
			}
		})
	}
}

func ExampleSchema() {
	var schema struct {
		ID       string `json:"$id"`
		Required []string
	}
	_ = json.Unmarshal(events.Schema(events.KindMetric), &schema)
	fmt.Println(schema.ID)
	fmt.Println(schema.Required)
	// Output:
	// urn:parley:schema:metric:v1
	// [id vendor source vendor_id report measures]
}
