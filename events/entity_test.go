package events_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
)

func day(n int) time.Time { return time.Date(2026, 10, n, 12, 0, 0, 0, time.UTC) }

func conversation() *events.Conversation {
	r := &events.Record{Vendor: "livechat", Source: "support", Key: "PK/3F"}
	c := &events.Conversation{
		Base: events.NewBase(r), Channel: "chat", Status: "ended", Subject: `<b>&"é` + "\u2028",
		StartedAt: day(1), EndedAt: day(1).Add(90 * time.Second), DurationS: events.Ptr(90.0), MessageCount: events.Ptr(0),
		Visitor: &events.Visitor{Name: "Ada", Attributes: map[string]any{"z": json.Number("1"), "a": "x"}},
		Tags:    []string{"b", "a"}, CustomFields: map[string]any{"plan": "gold"},
	}
	c.Set("score", json.Number("12345678901234567890.10"))
	c.Set("nested", map[string]any{"b": nil, "a": []any{true}})
	return c
}

const conversationJSON = `{"id":"livechat:support:PK/3F","vendor":"livechat","source":"support","vendor_id":"PK/3F",` +
	`"attributes":{"nested":{"a":[true],"b":null},"score":12345678901234567890.10},` +
	`"channel":"chat","status":"ended","subject":"<b>&\"é\u2028",` +
	`"started_at":"2026-10-01T12:00:00Z","ended_at":"2026-10-01T12:01:30Z","duration_s":90,` +
	`"visitor":{"name":"Ada","attributes":{"a":"x","z":1}},"message_count":0,"tags":["b","a"],"custom_fields":{"plan":"gold"}}`

func TestCanonicalContentIsDeterministic(t *testing.T) {
	for range 20 {
		got, err := events.EncodeContent(conversation())
		if err != nil || string(got) != strings.ReplaceAll(conversationJSON, "\u2028", `\u2028`) {
			t.Fatalf("%v\n%s\n%s", err, got, conversationJSON)
		}
	}
}

func TestADigestIsTheStartOfTheSHA256(t *testing.T) {
	for content, want := range map[string]string{ // sha256sum
		"":   "e3b0c44298fc1c149afbf4c8996fb924",
		"{}": "44136fa355b3678a1146ad16f7e8649e",
	} {
		if got := events.Digest([]byte(content)); got != want {
			t.Errorf("digest of %q is %s, want %s", content, got, want)
		}
	}
}

func TestContentThatHasNoJSONIsAnErrorThatNamesTheEntity(t *testing.T) {
	c := conversation()
	c.StartedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := events.EncodeContent(c); err == nil || !strings.Contains(err.Error(), "conversation livechat:support:PK/3F") {
		t.Errorf("error %v; want one that names the entity", err)
	}
}

func TestSetLeavesOutWhatSaysUnknown(t *testing.T) {
	var b events.Base
	b.Set("null", nil)
	b.Set("empty", "")
	if b.Attributes != nil {
		t.Errorf("attributes %v, want none", b.Attributes)
	}
	b.Set("zero", json.Number("0"))
	b.Set("false", false)
	b.Set("map", map[string]any{})
	want := map[string]any{"zero": json.Number("0"), "false": false, "map": map[string]any{}}
	if diff := cmp.Diff(want, b.Attributes); diff != "" {
		t.Error(diff)
	}
}

func TestAReferencesFieldsStandBesideTheOthers(t *testing.T) {
	base := events.NewBase(&events.Record{Vendor: "liveagent", Source: "support", Key: "a1"})
	base.Set("rtype", "V")
	r := &events.Reference{
		Of: events.KindAgent, Base: base, Name: "Ada", CreatedAt: day(1), UpdatedAt: day(2),
		Fields: map[string]any{
			"status": "A", "email": "<ada@vendor.example>", "groups": []any{map[string]any{"id": json.Number("1")}},
			"unknown": nil, "empty": "", "archived": false, `qu"ote`: json.Number("0"),
		},
	}
	want := `{"id":"liveagent:support:a1","vendor":"liveagent","source":"support","vendor_id":"a1","attributes":{"rtype":"V"},` +
		`"name":"Ada","created_at":"2026-10-01T12:00:00Z","updated_at":"2026-10-02T12:00:00Z",` +
		`"archived":false,"email":"<ada@vendor.example>","groups":[{"id":1}],"qu\"ote":0,"status":"A"}`
	for range 20 {
		got, err := events.EncodeContent(r)
		if err != nil || string(got) != want {
			t.Fatalf("%v\n%s\n%s", err, got, want)
		}
	}
	if err := validate(t, compileSchema(t, events.KindAgent), []byte(want)); err != nil {
		t.Error(err)
	}
	back := events.Reference{Of: events.KindAgent}
	if err := json.Unmarshal([]byte(want), &back); err != nil {
		t.Fatal(err)
	}
	delete(r.Fields, "unknown")
	delete(r.Fields, "empty")
	if diff := cmp.Diff(*r, back); diff != "" {
		t.Error(diff)
	}
}

func TestAReferenceOfNothingButItsBaseHasNoFields(t *testing.T) {
	want := events.Reference{Of: events.KindTag, Base: events.NewBase(&events.Record{Vendor: "a", Source: "b", Key: "c"})}
	content, err := events.EncodeContent(&want)
	if err != nil || string(content) != `{"id":"a:b:c","vendor":"a","source":"b","vendor_id":"c"}` {
		t.Errorf("%s, %v", content, err)
	}
	back := events.Reference{Of: events.KindTag}
	if err := json.Unmarshal(content, &back); err != nil || cmp.Diff(want, back) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(want, back))
	}
}

func TestAFieldCannotTakeThePlaceOfAnother(t *testing.T) {
	for _, name := range []string{"id", "vendor", "source", "vendor_id", "attributes", "name", "created_at", "updated_at"} {
		r := &events.Reference{Of: events.KindTag, Fields: map[string]any{name: "forged"}}
		if content, err := events.EncodeContent(r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %s, %v; want an error that names it", name, content, err)
		}
	}
}

func TestATimeIsTheFirstOfTheContract(t *testing.T) {
	cases := map[string]struct {
		entity    events.Entity
		at, since time.Time
	}{
		"conversation, changed":    {&events.Conversation{UpdatedAt: day(4), EndedAt: day(3), StartedAt: day(2), CreatedAt: day(1)}, day(4), day(4)},
		"conversation, ended":      {&events.Conversation{EndedAt: day(3), StartedAt: day(2), CreatedAt: day(1)}, day(3), time.Time{}},
		"conversation, started":    {&events.Conversation{StartedAt: day(2), CreatedAt: day(1)}, day(2), time.Time{}},
		"conversation, created":    {&events.Conversation{CreatedAt: day(1)}, day(1), time.Time{}},
		"conversation, unknown":    {&events.Conversation{}, time.Time{}, time.Time{}},
		"metric":                   {&events.Metric{Interval: &events.Interval{Start: day(1), End: day(2)}}, day(1), time.Time{}},
		"metric without a start":   {&events.Metric{Interval: &events.Interval{Grain: "snapshot"}}, time.Time{}, time.Time{}},
		"metric, unknown":          {&events.Metric{}, time.Time{}, time.Time{}},
		"activity, ended":          {&events.Activity{StartedAt: day(1), EndedAt: day(2)}, day(2), time.Time{}},
		"activity, started":        {&events.Activity{StartedAt: day(1)}, day(1), time.Time{}},
		"presence":                 {&events.Presence{}, time.Time{}, time.Time{}},
		"rating":                   {&events.Rating{At: day(1)}, day(1), time.Time{}},
		"sla, closed":              {&events.SLA{CreatedAt: day(1), ClosedAt: day(2), DueAt: day(3)}, day(2), time.Time{}},
		"sla, created":             {&events.SLA{CreatedAt: day(1), DueAt: day(3)}, day(1), time.Time{}},
		"email":                    {&events.Email{At: day(1)}, day(1), time.Time{}},
		"reference, changed":       {&events.Reference{CreatedAt: day(1), UpdatedAt: day(2)}, day(2), day(2)},
		"reference, created":       {&events.Reference{CreatedAt: day(1)}, day(1), time.Time{}},
		"reference without a time": {&events.Reference{}, time.Time{}, time.Time{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.entity.OccurredAt(); !got.Equal(c.at) {
				t.Errorf("occurred at %v, want %v", got, c.at)
			}
			if got := c.entity.Version(); !got.Equal(c.since) {
				t.Errorf("version %v, want %v", got, c.since)
			}
		})
	}
}

func TestEntitiesNameTheirKindAndConversation(t *testing.T) {
	for _, k := range events.Kinds() {
		if got := entityOf(k).Kind(); got != k {
			t.Errorf("%s says it is %s", k, got)
		}
	}
	base := events.Base{ID: "a:b:c"}
	for want, entities := range map[string][]events.Entity{
		"a:b:c": {&events.Conversation{Base: base}, &events.Rating{ConversationID: "a:b:c"}, &events.SLA{ConversationID: "a:b:c"}, &events.Email{ConversationID: "a:b:c"}, &events.SingleMessage{ConversationID: "a:b:c"}},
		"":      {&events.Metric{Base: base}, &events.Activity{Base: base}, &events.Presence{Base: base}, &events.Reference{Base: base}, &events.Rating{Base: base}},
	} {
		for _, e := range entities {
			if got := e.Conversation(); got != want {
				t.Errorf("%T belongs to %q, want %q", e, got, want)
			}
		}
	}
}

// TestAnEventHasTheAttributesOfTheContract is the table of the event contract's section 2, row by row.
func TestAnEventHasTheAttributesOfTheContract(t *testing.T) {
	r := &events.Record{
		Vendor: "livechat", Source: "support", Stream: "chats", Key: "PK/3F",
		RequestedAt: day(9), Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	content, err := events.EncodeContent(conversation())
	if err != nil {
		t.Fatal(err)
	}
	want := events.Event{
		ID:              "conversation.livechat.support.PK=2F3F.1",
		Source:          "/livechat/support",
		Type:            "dev.parley.conversation.created",
		Subject:         "PK/3F",
		Time:            day(1).Add(90 * time.Second),
		DataSchema:      "urn:parley:schema:conversation:v1",
		DataContentType: "application/json",
		Revision:        1,
		Digest:          events.Digest(content),
		Vendor:          "livechat",
		Stream:          "chats",
		PartitionKey:    "livechat:support:PK/3F",
		TraceParent:     r.Traceparent,
		Data:            content,
	}
	got := events.NewEvent(conversation(), r, 1, events.Digest(content), content)
	if diff := equal(want, got); diff != "" {
		t.Error(diff)
	}
	if err := got.Valid(); err != nil {
		t.Error(err)
	}

	want.ID, want.Type, want.Revision = "conversation.livechat.support.PK=2F3F.12", "dev.parley.conversation.updated", 12
	if diff := equal(want, events.NewEvent(conversation(), r, 12, events.Digest(content), content)); diff != "" {
		t.Errorf("revision 12: %s", diff)
	}

	rating := &events.Rating{Base: events.NewBase(r), ConversationID: "livechat:support:other"}
	e := events.NewEvent(rating, r, 1, "", nil)
	if !e.Time.Equal(day(9)) || e.Time.Location() != time.UTC {
		t.Errorf("time %v; want that of the fetch, in UTC, for an entity without one", e.Time)
	}
	if e.PartitionKey != "livechat:support:other" {
		t.Errorf("partitionkey %q, want the conversation's", e.PartitionKey)
	}
	tag := &events.Reference{Of: events.KindTag, Base: events.NewBase(r)}
	if e := events.NewEvent(tag, r, 1, "", nil); e.PartitionKey != tag.ID || e.Type != "dev.parley.tag.created" {
		t.Errorf("partitionkey %q, type %q; want %q and that of a tag", e.PartitionKey, e.Type, tag.ID)
	}
}

func TestTheKindIsReadOffTheType(t *testing.T) {
	for typ, want := range map[string]events.Kind{
		"dev.parley.conversation.created": "conversation", "dev.parley.sla.updated": "sla", "dev.parley.tag.deleted": "tag",
		"dev.parley.raw.record": "", "dev.parley.tag": "", "dev.parley.": "", "": "", "com.example.tag.created": "", "dev.parley.a.b.created": "",
	} {
		e := events.Event{Type: typ}
		if got := e.Kind(); got != want {
			t.Errorf("kind of %q is %q, want %q", typ, got, want)
		}
	}
	for _, k := range events.Kinds() {
		e := events.NewEvent(entityOf(k), &events.Record{}, 2, "", nil)
		if got := e.Kind(); got != k {
			t.Errorf("kind of a %s event is %q", k, got)
		}
	}
}

func TestEqualEntitiesHaveEqualBytes(t *testing.T) {
	a, _ := events.EncodeContent(conversation())
	var decoded events.Conversation
	dec := json.NewDecoder(bytes.NewReader(a))
	dec.UseNumber()
	if err := dec.Decode(&decoded); err != nil {
		t.Fatal(err)
	}
	if b, err := events.EncodeContent(&decoded); err != nil || !bytes.Equal(a, b) {
		t.Errorf("%v\n%s\n%s", err, a, b)
	}
}
