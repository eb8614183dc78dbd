package liveleader_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/liveleader"
	"github.com/parley-stream/parley/processors/processortest"
)

const zone = "Europe/Oslo"

func record(key, body string) *events.Record {
	return processortest.Record("liveleader", "chats", key, zone, "", events.ContentXML, body)
}

// conversation normalises a chat of these elements, whose id is a-1.
func conversation(t *testing.T, elements string) *events.Conversation {
	t.Helper()
	r := record("a-1", "<chat><id>a-1</id>"+elements+"</chat>")
	entity, err := liveleader.New()(r)
	if err != nil {
		t.Fatal(err)
	}
	processortest.Check(t, liveleader.New(), r, entity)
	return entity.(*events.Conversation)
}

func TestGoldens(t *testing.T) {
	for name, key := range map[string]string{
		"documented": "7be0d1f4-21c9-4a6e-9f3b-5d2c80aa4e17", "odd": "odd-1",
		"bare":      "c1e4a0f2-7d35-4b18-8a6c-0f9b2d713e54", // all that may be absent is
		"operators": "2f9d6b8e-54c0-4f7a-b1d3-6e8a07c95f21", // several, with several surveys of each context
	} {
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile("testdata/" + name + ".xml")
			if err != nil {
				t.Fatal(err)
			}
			processortest.Golden(t, liveleader.New(), name, record(key, strings.TrimSpace(string(body))))
		})
	}
}

func TestOfAVastChatNothingIsKept(t *testing.T) {
	normalize := liveleader.New()
	read := func(attributes, elements string) {
		if _, err := normalize(record("a-1", "<chat"+attributes+"><id>a-1</id>"+elements+"</chat>")); err != nil {
			t.Fatal(err)
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // what a pool has for another processor is forgotten all the same
	held := func() uint64 {
		var m runtime.MemStats
		for range 4 { // what nobody takes is forgotten after two collections
			read("", "")
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	read(strings.Repeat(` a=""`, 400_000), strings.Repeat("<x/>", 400_000))
	if after := held(); after > before+4<<20 {
		t.Errorf("%d bytes are held after a chat of 400,000 attributes and elements, %d before", after, before)
	}
}

func TestMalformedRecordsAreRefused(t *testing.T) {
	const key = "a-1"
	cases := map[string]struct{ body, want string }{
		"without id":                     {"<chat><city>Oslo</city></chat>", "id: is missing"},
		"with an empty id":               {"<chat><id> </id></chat>", "id: is missing"},
		"with another id":                {"<chat><id>a-2</id></chat>", `id: is "a-2"`},
		"with an id in another element":  {"<chat><userinfo><id>a-1</id></userinfo></chat>", "id: is missing"},
		"of another element":             {"<chatter><id>a-1</id></chatter>", "the element is <chatter>"},
		"with an element that is open":   {"<chat><id>a-1</id><userinfo></chat>", "</chat> closes no open element"},
		"that is cut":                    {"<chat><id>a-1</id><city>Os", "<city> has no end"},
		"with a second element":          {"<chat><id>a-1</id></chat><chat/>", "second element"},
		"with text after it":             {"<chat><id>a-1</id></chat>x", "text outside"},
		"with a doctype":                 {"<chat><id>a-1</id><!DOCTYPE a></chat>", "DOCTYPE"},
		"with an attribute without =":    {"<chat><id>a-1</id><city a></city></chat>", "<city>: an attribute is malformed"},
		"with an attribute's value open": {`<chat><id>a-1</id><city a="1></city></chat>`, "the value of a is malformed"},
		"with a value without quotes":    {"<chat><id>a-1</id><city a=1></city></chat>", "the value of a is malformed"},
		"with a lone bracket":            {"<chat><id>a-1</id>1 < 2</chat>", "begins no tag"},
		"with a comment that is open":    {"<chat><id>a-1</id><!-- </chat>", "<!-- has no end"},
		"nested too deep":                {"<chat><id>a-1</id>" + strings.Repeat("<x>", 2_000_000) + "</chat>", "more than 100 levels"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { processortest.Malformed(t, liveleader.New(), record(key, c.body), c.want) })
	}
	t.Run("without a part", func(t *testing.T) {
		processortest.Malformed(t, liveleader.New(), processortest.Record("liveleader", "chats", key, zone), "0 parts")
	})
	t.Run("over the limit", func(t *testing.T) {
		r := record(key, "<chat><id>a-1</id>")
		r.Parts[0].Body.Size = 1 << 30
		processortest.Malformed(t, liveleader.New(), r, "exceed the limit")
	})
}

func TestTimes(t *testing.T) {
	cases := map[string]struct {
		in, zone, want string // want "" when no time can be told
		kept           bool
	}{
		"the document's form":               {"23-10-2025T12:49:1231", zone, "2025-10-23T10:49:12.31Z", false},
		"without hundredths":                {"23-10-2025T12:49:12", zone, "2025-10-23T10:49:12Z", false},
		"with an offset":                    {"23-10-2025T12:49:1231-05:00", zone, "2025-10-23T17:49:12.31Z", false},
		"ISO 8601 with milliseconds":        {"2025-08-18T19:24:18.884+02:00", zone, "2025-08-18T17:24:18.884Z", false},
		"ISO 8601 in UTC":                   {"2025-08-18T19:24:18Z", zone, "2025-08-18T19:24:18Z", false},
		"ISO 8601 with a short offset":      {"2025-08-18T19:24:18+0530", zone, "2025-08-18T13:54:18Z", false},
		"ISO 8601 with hours of offset":     {"2025-08-18T19:24:18-07", zone, "2025-08-19T02:24:18Z", false},
		"ISO 8601 without offset":           {"2025-08-18T19:24:18,5", zone, "2025-08-18T17:24:18.5Z", false},
		"ISO 8601 with a space":             {" 2025-08-18 19:24 ", zone, "2025-08-18T17:24:00Z", false},
		"in a zone of half an hour":         {"23-10-2025T12:49:1200", "Asia/Kolkata", "2025-10-23T07:19:12Z", false},
		"in no zone":                        {"23-10-2025T12:49:1200", "", "2025-10-23T12:49:12Z", false},
		"in an unknown zone":                {"23-10-2025T12:49:1200", "Europe/Nowhere", "", true},
		"with an offset in an unknown zone": {"2025-08-18T19:24:18Z", "Europe/Nowhere", "2025-08-18T19:24:18Z", false},
		"that came twice: the earlier":      {"25-10-2026T02:30:0000", zone, "2026-10-25T00:30:00Z", true},
		"that came twice in Los Angeles":    {"01-11-2026T01:30:0000", "America/Los_Angeles", "2026-11-01T08:30:00Z", true},
		"that came twice by half an hour":   {"05-04-2026T01:45:0000", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", true},
		"just before it came twice":         {"25-10-2026T01:59:5999", zone, "2026-10-24T23:59:59.99Z", false},
		"just after it came twice":          {"25-10-2026T03:00:0000", zone, "2026-10-25T02:00:00Z", false},
		"that no clock showed":              {"29-03-2026T02:30:0000", zone, "", true},
		"just after what no clock showed":   {"29-03-2026T03:00:0000", zone, "2026-03-29T01:00:00Z", false},
		"in 1900":                           {"01-01-1900T00:00:0000", "UTC", "1900-01-01T00:00:00Z", false},
		"in 9999":                           {"31-12-9999T23:59:5999", "UTC", "9999-12-31T23:59:59.99Z", false},
		"beyond 9999 in UTC":                {"31-12-9999T23:59:5999", "America/Los_Angeles", "", true},
		"before the year 1 in UTC":          {"0001-01-01T00:00:00+14:00", zone, "", true},
		"of the zero time":                  {"0001-01-01T00:00:00Z", zone, "", true},
		"a leap second":                     {"31-12-2016T23:59:6000", "UTC", "", true},
		"the 30th of February":              {"30-02-2026T00:00:0000", zone, "", true},
		"the 13th month":                    {"01-13-2026T00:00:0000", zone, "", true},
		"hour 24":                           {"01-12-2026T24:00:0000", zone, "", true},
		"three digits after the seconds' :": {"01-12-2026T10:00:123", zone, "", true},
		"five digits after the seconds' :":  {"01-12-2026T10:00:12345", zone, "", true},
		"a date":                            {"01-12-2026", zone, "", true},
		"digits of another script":          {"٠١-١٢-٢٠٢٦T10:00:0000", zone, "", true},
		"a word":                            {"yesterday", zone, "", true},
		"an offset of a day":                {"2025-08-18T19:24:18+24:00", zone, "", true},
		"more after it":                     {"2025-08-18T19:24:18Z x", zone, "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := record("a-1", "<chat><id>a-1</id><start>"+c.in+"</start><msg time='"+c.in+"'/></chat>")
			r.Timezone = c.zone
			entity, err := liveleader.New()(r)
			if err != nil {
				t.Fatal(err)
			}
			processortest.Check(t, liveleader.New(), r, entity)
			out := entity.(*events.Conversation)
			want, _ := time.Parse(time.RFC3339Nano, c.want)
			if !out.StartedAt.Equal(want) || !out.Messages[0].At.Equal(want) || (!want.IsZero() && out.StartedAt.Location() != time.UTC) {
				t.Errorf("start %v, message %v; want %v", out.StartedAt, out.Messages[0].At, want)
			}
			var kept any
			if c.kept {
				kept = strings.TrimSpace(c.in)
			}
			if out.Attributes["start"] != kept || (out.Messages[0].Attributes["time"] != nil) != c.kept {
				t.Errorf("attributes %v and %v; want the text kept: %v", out.Attributes, out.Messages[0].Attributes, c.kept)
			}
		})
	}
}

func TestTextIsDecodedLeniently(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"XML's references":                {"&lt;&gt;&amp;&quot;&apos;", `<>&"'`},
		"numbers":                         {"&#65;&#x42;&#x1F600;", "AB😀"},
		"HTML's references":               {"a&nbsp;b&eacute;", "a\u00a0bé"},
		"unknown references":              {"&nosuch; &notit; &;", "&nosuch; &notit; &;"},
		"numbers that are no character":   {"&#0;&#xD800;&#x110000;&#x;&#-1;", "&#0;&#xD800;&#x110000;&#x;&#-1;"},
		"a bare ampersand":                {"a & b &", "a & b &"},
		"no reference is decoded twice":   {"&amp;lt;", "&lt;"},
		"CDATA":                           {"a<![CDATA[<b>&amp;]]>c", "a<b>&amp;c"},
		"control characters":              {"a\x01\x00\x1bb&#7;", "a\x01\x00\x1bb\x07"},
		"line ends":                       {"a\r\nb\rc\nd", "a\nb\nc\nd"},
		"elements inside":                 {"Hi <b>Ada <i>and</i></b> Ito", "Hi Ada and Ito"},
		"other scripts and direction":     {"ありがとう \u202eabc", "ありがとう \u202eabc"},
		"white space around, not inside":  {"\n\t a  b \n", "a  b"},
		"a comment between":               {"a<!-- & < -->b<?p?>c", "abc"},
		"ampersands without end":          {strings.Repeat("&", 300), strings.Repeat("&", 300)},
		"a formula, which a sink escapes": {"=SUM(1,2)", "=SUM(1,2)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := conversation(t, "<msg from='visitor'>"+c.in+"</msg>").Messages[0].Text; got != c.want {
				t.Errorf("%q; want %q", got, c.want)
			}
		})
	}
}

func TestInvalidUTF8IsReplacedAndMarked(t *testing.T) {
	out := conversation(t, "<city>Mal\xf6</city><x\xff>1</x\xff>")
	want := map[string]any{"invalid_utf8": true, "x\uFFFD": "1"}
	if diff := cmp.Diff(want, out.Attributes); diff != "" || out.Visitor.City != "Mal\uFFFD" {
		t.Errorf("city %q, attributes (-want +got):\n%s", out.Visitor.City, diff)
	}
}

func TestAgentsAreTheOperatorsAndThenOtherSenders(t *testing.T) {
	out := conversation(t, `<msg from="b@x.example"/><msg from="bot"/><msg from="visitor"/><msg from="A@x.example"/><msg from="kiosk"/>
		<operator>a@x.example</operator><operator>kiosk</operator><operator/>`)
	agents := []events.Agent{{Email: "a@x.example", Role: "agent"}, {Email: "kiosk", Role: "agent"}, {Email: "b@x.example", Role: "agent"}}
	if diff := cmp.Diff(agents, out.Agents); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
	authors := []events.Author{
		{Type: "agent", Email: "b@x.example"}, {ID: "bot"}, {Type: "visitor"}, {Type: "agent", Email: "A@x.example"}, {Type: "agent", Email: "kiosk"},
	}
	for i, want := range authors {
		if m := out.Messages[i]; m.ID != fmt.Sprint(i) || *m.Author != want {
			t.Errorf("message %d: id %s, author %+v; want %+v", i, m.ID, *m.Author, want)
		}
	}
}

func TestDurationsThatAreNoneStay(t *testing.T) {
	for in, want := range map[string]float64{"125": 125, "0": 0, "12.5": 12.5} {
		if out := conversation(t, "<duration>"+in+"</duration>"); out.DurationS == nil || *out.DurationS != want || out.Attributes != nil {
			t.Errorf("%s: %v, attributes %v; want %v", in, out.DurationS, out.Attributes, want)
		}
	}
	for _, in := range []string{"-1", "1e3", "0x1p4", "NaN", "inf", "1.2.3", ".", "1:05", strings.Repeat("9", 400)} {
		if out := conversation(t, "<duration>"+in+"</duration>"); out.DurationS != nil || out.Attributes["duration"] != in {
			t.Errorf("%s: %v, attributes %v; want it in attributes", in, out.DurationS, out.Attributes)
		}
	}
}

func TestTheSmallestChatHasNothingInvented(t *testing.T) {
	want := &events.Conversation{
		Base: events.Base{ID: "liveleader:test:a-1", Vendor: "liveleader", Source: "test", VendorID: "a-1"}, Channel: "chat", Status: "ended",
	}
	if diff := cmp.Diff(want, conversation(t, "<referrer/><city> </city><userinfo></userinfo><x/><y><z/></y>")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHostileShapesAreRead(t *testing.T) {
	const n = 50_000
	var attributes strings.Builder
	for i := range n {
		fmt.Fprintf(&attributes, " a%d='1'", i)
	}
	for name, elements := range map[string]string{
		"many attributes":          "<x" + attributes.String() + "/>",
		"one attribute many times": "<x" + strings.Repeat(" a='1'", n) + "/>",
		"many CDATA sections":      "<city>" + strings.Repeat("<![CDATA[x]]>", n) + "</city>",
		"many messages":            strings.Repeat("<msg from='b@x.example'/>", n),
		"many entries of one key":  "<userinfo>" + strings.Repeat("<entry key='k'>v</entry>", n) + "</userinfo>",
		"many ampersands":          "<city>" + strings.Repeat("&aaaa;&", n) + "</city>",
		"mixed content":            "<x>" + strings.Repeat("a<b/>", n) + "</x>",
		"a name of a megabyte":     "<" + strings.Repeat("n", 1<<20) + "/>",
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			conversation(t, elements)
			if took := time.Since(started); took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

func FuzzNormalize(f *testing.F) {
	for _, name := range []string{"documented", "odd"} {
		body, err := os.ReadFile("testdata/" + name + ".xml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte("<chat><id>a</id><start>25-10-2026T02:30:0000</start><msg from='&#1;'>\xff</msg></chat>"))
	processortest.Fuzz(f, liveleader.New(), func(body []byte) *events.Record {
		return record(events.LiveLeaderKey(body), string(body))
	})
}

func FuzzTime(f *testing.F) {
	for _, seed := range []string{"23-10-2008T12:49:1231", "2008-08-18T19:24:18.884+02:00", "25-10-2026T02:30:0000", "29-03-2026T02:30:0000", "0001-01-01 00:00Z", "9999-12-31T23:59:59,9-23:59"} {
		f.Add(seed, zone)
	}
	f.Fuzz(func(t *testing.T, in, zone string) {
		in = strings.Map(func(r rune) rune {
			if strings.ContainsRune("<>&'\r\uFFFD", r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(in, ""))
		r := record("a-1", "<chat><id>a-1</id><start>"+in+"</start></chat>")
		r.Timezone = zone
		normalize := liveleader.New()
		entity, err := normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		processortest.Check(t, normalize, r, entity)
		out := entity.(*events.Conversation)
		if text := strings.Trim(in, " \t\r\n"); text != "" && out.StartedAt.IsZero() && out.Attributes["start"] != text {
			t.Errorf("%q is lost: attributes %v", in, out.Attributes)
		}
	})
}
