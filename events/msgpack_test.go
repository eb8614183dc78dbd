package events_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-stream/parley/events"
)

func TestMsgpackOfKnownJSON(t *testing.T) {
	cases := map[string]struct{ content, hex, back string }{
		"keys are sorted":             {`{"b":1,"a":2}`, "82a16102a16201", `{"a":2,"b":1}`},
		"white space goes":            {" [ 1 ,\n2 ] ", "920102", `[1,2]`},
		"nothing":                     {`null`, "c0", `null`},
		"truth":                       {`[true,false]`, "92c3c2", `[true,false]`},
		"empty things":                {`[{},[],""]`, "938090a0", `[{},[],""]`},
		"small and negative":          {`[0,127,-1,-32,-33,128,256,65536]`, "98007fffe0d0dfcc80cd0100ce00010000", `[0,127,-1,-32,-33,128,256,65536]`},
		"the largest int64":           {`9223372036854775807`, "cf7fffffffffffffff", `9223372036854775807`},
		"the smallest int64":          {`-9223372036854775808`, "d38000000000000000", `-9223372036854775808`},
		"the largest uint64":          {`18446744073709551615`, "cfffffffffffffffff", `18446744073709551615`},
		"beyond 64 bits":              {`18446744073709551616`, "cb43f0000000000000", `18446744073709552000`},
		"a fraction":                  {`1.5`, "cb3ff8000000000000", `1.5`},
		"a whole number with a point": {`1.0`, "01", `1`},
		"a whole number as power":     {`1e2`, "64", `100`},
		"minus zero":                  {`-0`, "cb8000000000000000", `-0`},
		"beyond float64":              {`1e999`, "a5" + hex.EncodeToString([]byte("1e999")), `"1e999"`},
		"a time":                      {`"2026-10-27T15:04:05Z"`, "b4" + hex.EncodeToString([]byte("2026-10-27T15:04:05Z")), `"2026-10-27T15:04:05Z"`},
		"HTML and line separators":    {`"<\u2028"`, "a43ce280a8", `"<\u2028"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := events.EncodeMsgpack([]byte(c.content))
			if got := hex.EncodeToString(b); err != nil || got != c.hex {
				t.Fatalf("%s is %s, %v; want %s", c.content, got, err, c.hex)
			}
			back, err := events.DecodeMsgpack(b)
			if err != nil || string(back) != c.back {
				t.Errorf("%s is read back as %s, %v; want %s", c.content, back, err, c.back)
			}
		})
	}
}

// drawJSON draws JSON values as encoding/json decodes them.
func drawJSON(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(v bool) any { return v }), rapid.Map(hostile(), func(v string) any { return v }),
		rapid.Map(rapid.Int64(), func(v int64) any { return v }), rapid.Map(rapid.Uint64(), func(v uint64) any { return v }),
		rapid.Map(rapid.Float64(), func(v float64) any { return v }),
	}
	if depth > 0 {
		scalars = append(scalars,
			rapid.Map(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return drawJSON(depth - 1) }), 0, 20), func(v []any) any { return v }),
			rapid.Map(rapid.MapOfN(hostile(), rapid.Deferred(func() *rapid.Generator[any] { return drawJSON(depth - 1) }), 0, 20), func(v map[string]any) any { return v }))
	}
	return rapid.OneOf(scalars...)
}

func number(t testing.TB, content []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(content, &v); err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	return v
}

func TestContentComesBackFromMsgpackWithItsValues(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		content, err := json.Marshal(drawJSON(4).Draw(rt, "value"))
		if err != nil {
			rt.Fatal(err)
		}
		b, err := events.EncodeMsgpack(content)
		if err != nil {
			rt.Fatal(err)
		}
		back, err := events.DecodeMsgpack(b)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(number(t, content), number(t, back)); diff != "" {
			rt.Fatal(diff)
		}
		if again, err := events.EncodeMsgpack(back); err != nil || !bytes.Equal(b, again) {
			rt.Fatalf("other bytes the second time: %v\n%x\n%x", err, b, again)
		}
	})
}

func TestWhatIsNoContentIsRefusedForGood(t *testing.T) {
	for name, content := range map[string]string{
		"nothing": "", "two values": "{}{}", "broken": `{"a":`, "text behind it": "{} x", "too deep": strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
	} {
		t.Run("JSON: "+name, func(t *testing.T) {
			if b, err := events.EncodeMsgpack([]byte(content)); err == nil || !events.IsPermanent(err) {
				t.Errorf("%x, %v; want a permanent error", b, err)
			}
		})
	}
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"two values":            {1, 2},
		"cut":                   {0x92, 1},
		"a code of nobody":      {0xc1},
		"binary":                {0xc4, 1, 0},
		"an extension":          {0xd4, 1, 0},
		"a time of msgpack":     {0xd6, 0xff, 0, 0, 0, 0},
		"a key that is no text": {0x81, 1, 2},
		"a key that is null":    {0x81, 0xc0, 2},
		"not a number":          {0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0},
		"infinity":              {0xca, 0x7f, 0x80, 0, 0},
		"a length too long":     {0xdd, 0xff, 0xff, 0xff, 0xff},
		"text too long":         {0xdb, 0xff, 0xff, 0xff, 0xff, 'a'},
		"too deep":              append(bytes.Repeat([]byte{0x91}, 10001), 0xc0),
		"far too deep":          bytes.Repeat([]byte{0x91}, 32<<20),
	} {
		t.Run("msgpack: "+name, func(t *testing.T) {
			if content, err := events.DecodeMsgpack(b); err == nil || !events.IsPermanent(err) {
				t.Errorf("%.80s, %v; want a permanent error", content, err)
			}
		})
	}
}

func TestTheDeepestJSONIsTheDeepestMsgpack(t *testing.T) {
	content := strings.Repeat("[", 10000) + strings.Repeat("]", 10000)
	b, err := events.EncodeMsgpack([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := events.DecodeMsgpack(b); err != nil || string(back) != content {
		t.Errorf("%v", err)
	}
}

func sdkEvent() cloudevents.Event {
	e := cloudevents.New()
	e.SetID("1")
	e.SetSource("/livechat/support")
	e.SetType("dev.parley.conversation.created")
	return e
}

func TestTheSDKReadsAndWritesEntitiesInBothEncodings(t *testing.T) {
	events.RegisterCodecs()
	events.RegisterCodecs()
	for _, contentType := range []string{events.ContentJSON, events.ContentMsgpack} {
		t.Run(contentType, func(t *testing.T) {
			want := conversation()
			want.Attributes = map[string]any{"plan": "gold"}
			want.Visitor.Attributes = nil
			e := sdkEvent()
			if err := e.SetData(contentType, want); err != nil {
				t.Fatal(err)
			}
			var got events.Conversation
			if err := e.DataAs(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*want, got); diff != "" {
				t.Error(diff)
			}

			agent := &events.Reference{Of: events.KindAgent, Base: want.Base, Name: "Ada", UpdatedAt: day(1), Fields: map[string]any{"level": json.Number("3")}}
			if err := e.SetData(contentType, agent); err != nil {
				t.Fatal(err)
			}
			back := events.Reference{Of: events.KindAgent}
			if err := e.DataAs(&back); err != nil || cmp.Diff(*agent, back) != "" {
				t.Errorf("%v\n%s", err, cmp.Diff(*agent, back))
			}

			if err := e.SetData(contentType, map[string]any{"n": 1.5}); err != nil {
				t.Fatal(err)
			}
			var free any
			if err := e.DataAs(&free); err != nil || cmp.Diff(map[string]any{"n": 1.5}, free) != "" {
				t.Errorf("%v, %v", free, err)
			}
		})
	}
}

func TestTheSDKReadsAndWritesRecords(t *testing.T) {
	events.RegisterCodecs()
	e := sdkEvent()
	if err := e.SetData(events.ContentMsgpack, record()); err != nil {
		t.Fatal(err)
	}
	var got events.Record
	if err := e.DataAs(&got); err != nil || cmp.Diff(record(), &got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(record(), &got))
	}
}

func TestTheSDKIsToldWhatIsNoMsgpack(t *testing.T) {
	events.RegisterCodecs()
	e := sdkEvent()
	e.SetDataContentType(events.ContentMsgpack)
	e.DataEncoded = []byte{0xc1}
	if err := e.DataAs(&events.Conversation{}); err == nil || !events.IsPermanent(err) {
		t.Errorf("an entity: %v, want a permanent error", err)
	}
	if err := e.DataAs(&events.Record{}); err == nil || !events.IsPermanent(err) {
		t.Errorf("a record: %v, want a permanent error", err)
	}
	e.DataEncoded = []byte{0x01}
	if err := e.DataAs(&events.Conversation{}); err == nil || !events.IsPermanent(err) {
		t.Errorf("a number as an entity: %v, want a permanent error", err)
	}
	for name, data := range map[string]any{
		"a channel": make(chan int), "a time out of range": &events.Rating{At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if err := e.SetData(events.ContentMsgpack, data); err == nil {
			t.Errorf("%s is encoded, want an error", name)
		}
	}
}

func FuzzDecodeMsgpack(f *testing.F) {
	for _, content := range []string{`{"a":[1,-1,1.5,null,true,"x"]}`, `18446744073709551615`, `"` + strings.Repeat("x", 40) + `"`, `[]`} {
		b, err := events.EncodeMsgpack([]byte(content))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0xdf, 0, 0, 0, 1, 0xa1, 'a', 0xdc, 0, 1, 0xc3})
	f.Fuzz(func(t *testing.T, b []byte) {
		content, err := events.DecodeMsgpack(b)
		if err != nil {
			if !events.IsPermanent(err) {
				t.Fatalf("%v is not permanent", err)
			}
			return
		}
		again, err := events.EncodeMsgpack(content)
		if err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		back, err := events.DecodeMsgpack(again)
		if err != nil || cmp.Diff(number(t, content), number(t, back)) != "" {
			t.Fatalf("%v\n%q\n%q", err, content, back)
		}
	})
}

func FuzzEncodeMsgpack(f *testing.F) {
	f.Add([]byte(conversationJSON))
	f.Add([]byte(`[1e999,-0,1.0,{"a":{}}]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		b, err := events.EncodeMsgpack(content)
		if err != nil {
			if !events.IsPermanent(err) {
				t.Fatalf("%v is not permanent", err)
			}
			return
		}
		if _, err := events.DecodeMsgpack(b); err != nil {
			t.Fatalf("%q as %x: %v", content, b, err)
		}
	})
}
