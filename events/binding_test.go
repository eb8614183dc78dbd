package events_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/parley-stream/parley/events"
)

// hostile draws text that breaks headers, JSON and lines where it is not escaped.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{
			"", " ", "  padded\t", "a\r\nce-id: forged", "\r\n\r\nbody", "100%", "%", "%0", "%0D%0A", "%zz", "%C0%A0",
			`"`, `""`, `"quoted"`, `"open`, `back\slash`, `\"`, "Euro € 😀", "\u2028\u2029\u0085", "\x00\x1b[31m",
			"<script>&", `","id":"forged`, "null", "true", "12", "\ufeff", "\ufffd", strings.Repeat("é", 300),
		}),
	)
}

func drawTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "unknown") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-60000000000, 250000000000).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	})
}

func drawData(t *rapid.T) (contentType string, data []byte) {
	contentType = rapid.SampledFrom([]string{
		"", events.ContentJSON, "application/json; charset=utf-8", "text/json", "application/vnd.x+json", "Application/JSON",
		events.ContentMsgpack, "text/plain",
	}).Draw(t, "datacontenttype")
	if !strings.Contains(strings.ToLower(contentType), "json") && contentType != "" {
		return contentType, rapid.SliceOf(rapid.Byte()).Draw(t, "binary")
	}
	if rapid.Bool().Draw(t, "no data") {
		return contentType, nil
	}
	data, err := json.Marshal(map[string]any{hostile().Draw(t, "key"): hostile().Draw(t, "value"), "n": 1})
	if err != nil {
		t.Fatal(err)
	}
	return contentType, data
}

// drawEvent draws any event that CloudEvents allows, its strings hostile.
func drawEvent(t *rapid.T) events.Event {
	required := hostile().Filter(func(s string) bool { return s != "" })
	names := rapid.StringMatching(`x[a-z0-9]{0,10}`)
	e := events.Event{
		ID: required.Draw(t, "id"), Source: required.Draw(t, "source"), Type: required.Draw(t, "type"),
		Subject: hostile().Draw(t, "subject"), Time: drawTime().Draw(t, "time"),
		DataSchema: hostile().Draw(t, "dataschema"), DataRef: hostile().Draw(t, "dataref"),
		Revision: rapid.Uint64Range(0, 1<<31-1).Draw(t, "revision"),
		Digest:   hostile().Draw(t, "digest"), Vendor: hostile().Draw(t, "vendor"), Stream: hostile().Draw(t, "stream"),
		PartitionKey: hostile().Draw(t, "partitionkey"), TraceParent: hostile().Draw(t, "traceparent"),
		Extensions: rapid.MapOfN(names, hostile(), 0, 3).Draw(t, "extensions"),
	}
	e.DataContentType, e.Data = drawData(t)
	return e
}

func equal(a, b events.Event) string { return cmp.Diff(a, b, cmpopts.EquateEmpty()) }

func TestAnEventComesBackFromBinaryModeAsItWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		header := map[string][]string{}
		want.SetHeaders(header)
		for name, values := range header {
			if len(values) != 1 || !isPrintable(values[0]) || !isHeaderName(name) {
				t.Fatalf("header %q: %q; want one value of printable ASCII", name, values)
			}
		}
		got, err := events.FromMessage(header, want.Data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := equal(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '"' {
			return false
		}
	}
	return true
}

func isHeaderName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func TestHeaderNamesCountWithoutRegardToCase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		header := map[string][]string{}
		want.SetHeaders(header)
		for _, name := range slices.Sorted(maps.Keys(header)) {
			other := rapid.SampledFrom([]string{strings.ToUpper(name), "C" + name[1:], name}).Draw(t, name)
			values := header[name]
			delete(header, name)
			header[other] = values
		}
		header["Nats-Msg-Id"] = []string{"not an attribute"}
		got, err := events.FromMessage(header, want.Data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := equal(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAnEventComesBackFromStructuredModeAsItWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		line := want.Line()
		if !json.Valid(line) {
			t.Fatalf("%s is no JSON", line)
		}
		if i := bytes.IndexAny(line, "\n\r\u2028\u2029"); i != len(line)-1 {
			t.Fatalf("%q: a line ends at %d of %d", line, i, len(line))
		}
		got, err := events.ParseStructured(line)
		if err != nil {
			t.Fatal(err)
		}
		if diff := equal(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// drawSDKEvent draws an event whose URIs the SDK leaves as they are and whose attributes are more than blanks.
func drawSDKEvent(t *rapid.T) events.Event {
	e := drawEvent(t)
	for _, s := range []*string{&e.ID, &e.Type, &e.Subject} {
		if *s != "" && strings.TrimSpace(*s) == "" {
			*s = "x" + *s
		}
	}
	e.Source, e.DataSchema = "/livechat/support", "urn:parley:schema:conversation:v1"
	return e
}

func TestAnEventComesBackFromTheSDKAsItWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawSDKEvent(t)
		sdk, err := want.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		got, err := events.FromCloudEvent(sdk)
		if err != nil {
			t.Fatal(err)
		}
		if diff := equal(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestStructuredModeIsWhatTheSDKWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawSDKEvent(t)
		sdk, err := e.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := sdk.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		// Of a JSON media type that it does not know the SDK writes base64: both readers see the same event.
		if got, err := events.ParseStructured(theirs); err != nil || equal(e, got) != "" {
			t.Fatalf("the SDK's %s reads as %v %s", theirs, err, equal(e, got))
		}
		// The SDK itself cannot read what the JSON format says of such types.
		if strings.Contains(e.DataContentType, "+json") || e.DataContentType == "Application/JSON" {
			return
		}
		var back cloudevents.Event
		if err := json.Unmarshal(e.AppendStructured(nil), &back); err != nil {
			t.Fatal(err)
		}
		if got, err := events.FromCloudEvent(back); err != nil || equal(e, got) != "" {
			t.Fatalf("the SDK reads %s as %v %s", e.AppendStructured(nil), err, equal(e, got))
		}
		var ours, want any
		_ = json.Unmarshal(e.AppendStructured(nil), &ours)
		_ = json.Unmarshal(theirs, &want)
		if diff := cmp.Diff(want, ours); diff != "" {
			t.Fatalf("-sdk +ours\n%s", diff)
		}
	})
}

func minimal() events.Event {
	return events.Event{ID: "1", Source: "/livechat/support", Type: "dev.parley.tag.created"}
}

func TestHeaderValuesAreEncodedAsTheBindingSays(t *testing.T) {
	cases := map[string]struct{ value, header string }{
		"the binding's own example": {"Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"},
		"the whole printable range": {
			"!#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~", "!#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~",
		},
		"space, quote and percent": {` "%`, "%20%22%25"},
		"control characters":       {"\x00\t\r\n\x1f\x7f", "%00%09%0D%0A%1F%7F"},
		"a forged header":          {"a\r\nce-type: evil", "a%0D%0Ace-type:%20evil"},
		"what is encoded already":  {"%20", "%2520"},
		"bytes that are no UTF-8":  {"a\xff\xfeb", "a%EF%BF%BD%EF%BF%BDb"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := minimal()
			e.Subject = c.value
			header := map[string][]string{}
			e.SetHeaders(header)
			if got := header["ce-subject"]; len(got) != 1 || got[0] != c.header {
				t.Errorf("%q is written as %q, want %q", c.value, got, c.header)
			}
		})
	}
}

func TestHeaderValuesAreDecodedAsTheBindingSays(t *testing.T) {
	cases := map[string]struct{ header, value, err string }{
		"lower-case hex":                    {"%e2%82%ac", "€", ""},
		"needless encoding":                 {"%41b%63", "Abc", ""},
		"one round only":                    {"%2541", "%41", ""},
		"plain text of an older producer":   {"Grüße an alle", "Grüße an alle", ""},
		"a quoted string":                   {`"Euro and more"`, "Euro and more", ""},
		"a quoted string with escapes":      {`"a \"b\" \\ c"`, `a "b" \ c`, ""},
		"quoted, then encoded":              {`"%22a b%22"`, `"a b"`, ""},
		"an empty quoted string":            {`""`, "", ""},
		"an open quote":                     {`"abc`, `"abc`, ""},
		"one quote":                         {`"`, `"`, ""},
		"an escaped end":                    {`"abc\"`, `"abc\"`, ""},
		"two quoted strings":                {`"a" and "b"`, `"a" and "b"`, ""},
		"an overlong space":                 {"%C0%A0", "", "UTF-8"},
		"a surrogate":                       {"%ED%A0%80", "", "UTF-8"},
		"bytes that are no UTF-8, as bytes": {"a\xff", "", "UTF-8"},
		"an end inside an encoded byte":     {"100%", "", "ends inside"},
		"an end one digit too early":        {"100%4", "", "ends inside"},
		"no hex":                            {"%zz", "", "want %XX"},
		"a sign for a digit":                {"%+1", "", "want %XX"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			header := map[string][]string{}
			e := minimal()
			e.SetHeaders(header)
			header["ce-subject"] = []string{c.header}
			got, err := events.FromMessage(header, nil)
			if c.err != "" {
				if err == nil || !events.IsPermanent(err) || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "ce-subject") {
					t.Errorf("%q: error %v; want a permanent one with %q that names the header", c.header, err, c.err)
				}
				return
			}
			if err != nil || got.Subject != c.value {
				t.Errorf("%q is read as %q, %v; want %q", c.header, got.Subject, err, c.value)
			}
		})
	}
}

func TestAMessageThatIsNoEventIsRefusedForGood(t *testing.T) {
	whole := func(change func(h map[string][]string)) map[string][]string {
		h := map[string][]string{}
		e := minimal()
		e.SetHeaders(h)
		change(h)
		return h
	}
	cases := map[string]struct {
		header map[string][]string
		err    string
	}{
		"no headers":                   {nil, "specversion: is missing"},
		"no specversion":               {whole(func(h map[string][]string) { delete(h, "ce-specversion") }), "specversion: is missing"},
		"another specversion":          {whole(func(h map[string][]string) { h["ce-specversion"] = []string{"0.3"} }), `is "0.3"`},
		"no id":                        {whole(func(h map[string][]string) { delete(h, "ce-id") }), "attribute id"},
		"an empty source":              {whole(func(h map[string][]string) { h["ce-source"] = []string{""} }), "attribute source"},
		"no type":                      {whole(func(h map[string][]string) { h["ce-type"] = nil }), "attribute type"},
		"a time without an offset":     {whole(func(h map[string][]string) { h["ce-time"] = []string{"2026-10-27T15:04:05"} }), "RFC 3339"},
		"a revision that is text":      {whole(func(h map[string][]string) { h["ce-revision"] = []string{"two"} }), "whole number"},
		"a revision that is negative":  {whole(func(h map[string][]string) { h["ce-revision"] = []string{"-1"} }), "whole number"},
		"a revision that is too large": {whole(func(h map[string][]string) { h["ce-revision"] = []string{"2147483648"} }), "whole number"},
		"an attribute that is given twice": {
			whole(func(h map[string][]string) { h["ce-subject"] = []string{"a", "b"} }), "has 2 values",
		},
		"an attribute in two cases": {whole(func(h map[string][]string) { h["Ce-Id"] = []string{"2"} }), "given twice"},
		"a name with a dash":        {whole(func(h map[string][]string) { h["ce-my-ext"] = []string{"x"} }), "no attribute name"},
		"a name with a line feed":   {whole(func(h map[string][]string) { h["ce-a\r\nx"] = []string{"x"} }), "no attribute name"},
		"data as an attribute":      {whole(func(h map[string][]string) { h["ce-data"] = []string{"x"} }), "no extension"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := events.FromMessage(c.header, nil)
			if err == nil || !events.IsPermanent(err) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v; want a permanent one with %q", err, c.err)
			}
		})
	}
}

func TestManyHeadersInOtherCaseAreReadInLinearTime(t *testing.T) {
	header := map[string][]string{}
	e := minimal()
	e.SetHeaders(header)
	for i := range 200_000 {
		header[fmt.Sprintf("Ce-X%d", i)] = []string{"x"}
	}
	start := time.Now()
	if _, err := events.FromMessage(header, nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestExtensionsCannotForgeAttributes(t *testing.T) {
	for _, name := range []string{"id", "data", "data_base64", "time", "dataref", "", "Upper", "x-y", "a\r\nce-id", `a":1,"b`, "é"} {
		t.Run(name, func(t *testing.T) {
			e := minimal()
			e.Extensions = map[string]string{name: "forged", "fine": "kept"}
			if err := e.Valid(); err == nil || !events.IsPermanent(err) {
				t.Errorf("extension %q: %v, want a permanent error", name, err)
			}
			header := map[string][]string{}
			e.SetHeaders(header)
			for n, values := range header {
				if !isHeaderName(n) || values[0] == "forged" {
					t.Errorf("header %q: %q", n, values)
				}
			}
			got, err := events.ParseStructured(e.AppendStructured(nil))
			want := minimal()
			want.Extensions = map[string]string{"fine": "kept"}
			if diff := equal(want, got); err != nil || diff != "" {
				t.Errorf("structured: %v\n%s", err, diff)
			}
		})
	}
}

func TestATimeThatRFC3339CannotWriteIsLeftOut(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600)), time.Unix(1<<60, 0),
	} {
		e := minimal()
		e.Time = at
		header := map[string][]string{}
		e.SetHeaders(header)
		got, err := events.FromMessage(header, nil)
		if diff := equal(minimal(), got); err != nil || diff != "" {
			t.Errorf("%v: %v %s", at.Unix(), err, diff)
		}
		if _, err := e.CloudEvent(); err != nil {
			t.Errorf("%v to the SDK: %v", at.Unix(), err)
		}
	}
}

func TestAnEventWithItsDataElsewhereHasNone(t *testing.T) {
	want := minimal()
	want.DataContentType = events.ContentJSON
	want.DataRef = "nats-object://parley-data/0f343b0931126a20f133d67c2b018a3b5e5d5d3a5f4f1f0d5c0b0a0908070605"
	header := map[string][]string{}
	want.SetHeaders(header)
	binary, err := events.FromMessage(header, []byte{})
	if diff := equal(want, binary); err != nil || diff != "" {
		t.Errorf("binary: %v %s", err, diff)
	}
	line := want.AppendStructured(nil)
	if bytes.Contains(line, []byte(`"data"`)) || bytes.Contains(line, []byte(`"data_base64"`)) {
		t.Errorf("%s has data", line)
	}
	structured, err := events.ParseStructured(line)
	if diff := equal(want, structured); err != nil || diff != "" {
		t.Errorf("structured: %v %s", err, diff)
	}
	sdk, err := want.CloudEvent()
	if err != nil || sdk.Data() != nil || sdk.Extensions()["dataref"] != want.DataRef {
		t.Errorf("sdk: %v\n%s", err, sdk)
	}
}

func TestJSONWithLineFeedsStaysOnOneLine(t *testing.T) {
	cases := map[string]struct{ data, want string }{
		"indented":                {"{\n  \"a\": \"b\\nc\"\r\n}\n", `"data":{"a":"b\nc"}`},
		"on one line":             {`{"a": 1}`, `"data":{"a": 1}`},
		"HTML stays":              {"[\n\"<b>&\"]", `"data":["<b>&"]`},
		"broken, with line feeds": {"{\n\"a\":", `"data_base64":"ewoiYSI6"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := minimal()
			e.Data = []byte(c.data)
			line := e.AppendStructured(nil)
			if bytes.ContainsAny(line, "\r\n") || !json.Valid(line) || !bytes.Contains(line, []byte(c.want)) {
				t.Errorf("%q; want %s on one line of JSON", line, c.want)
			}
		})
	}
}

func TestStructuredEventsOfOthersAreRead(t *testing.T) {
	head := `"specversion":"1.0","id":"1","source":"/livechat/support","type":"dev.parley.tag.created"`
	cases := map[string]struct {
		line string
		want func(e *events.Event)
	}{
		"null attributes are absent": {`{` + head + `,"subject":null,"revision":null,"mine":null}`, func(*events.Event) {}},
		"white space":                {"{\n" + head + ",\t\"subject\" : \"x\" }", func(e *events.Event) { e.Subject = "x" }},
		"numbers and booleans":       {`{` + head + `,"n":-7,"b":true}`, func(e *events.Event) { e.Extensions = map[string]string{"n": "-7", "b": "true"} }},
		"a revision as text":         {`{` + head + `,"revision":"3"}`, func(e *events.Event) { e.Revision = 3 }},
		"text as data": {
			`{"data":"a\nb","datacontenttype":"text/plain",` + head + `}`,
			func(e *events.Event) { e.DataContentType, e.Data = "text/plain", []byte("a\nb") },
		},
		"text as JSON data": {`{"data":"a\nb",` + head + `}`, func(e *events.Event) { e.Data = []byte(`"a\nb"`) }},
		"base64 of JSON": {
			`{"data_base64":"e30=","datacontenttype":"application/json",` + head + `}`,
			func(e *events.Event) { e.DataContentType, e.Data = "application/json", []byte(`{}`) },
		},
		"a time with an offset": {
			`{` + head + `,"time":"2026-10-27T15:04:05+01:00"}`,
			func(e *events.Event) { e.Time = time.Date(2026, 10, 27, 14, 4, 5, 0, time.UTC) },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := minimal()
			c.want(&want)
			got, err := events.ParseStructured([]byte(c.line))
			if diff := equal(want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	refused := map[string]struct{ line, err string }{
		"nothing":                 {``, "structured event"},
		"no object":               {`[]`, "structured event"},
		"null":                    {`null`, "specversion: is missing"},
		"two objects":             {`{` + head + `}{}`, "structured event"},
		"no specversion":          {`{"id":"1","source":"/a","type":"t"}`, "specversion: is missing"},
		"no id":                   {`{"specversion":"1.0","source":"/a","type":"t"}`, "attribute id"},
		"a fraction":              {`{` + head + `,"n":1.5}`, "n: is 1.5"},
		"an object":               {`{` + head + `,"n":{}}`, "n: is {}"},
		"a name in capitals":      {`{` + head + `,"Subject":"x"}`, "no attribute name"},
		"data twice":              {`{` + head + `,"data":1,"data_base64":"e30="}`, "want one"},
		"base64 of broken JSON":   {`{` + head + `,"data_base64":"000="}`, "not JSON"},
		"base64 that is none":     {`{` + head + `,"data_base64":"e30"}`, "data_base64"},
		"a time that is none":     {`{` + head + `,"time":"yesterday"}`, "RFC 3339"},
		"a revision out of range": {`{` + head + `,"revision":99999999999}`, "whole number"},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			_, err := events.ParseStructured([]byte(c.line))
			if err == nil || !events.IsPermanent(err) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v; want a permanent one with %q", err, c.err)
			}
		})
	}
}

func TestTheSameEventHasTheSameBytes(t *testing.T) {
	e := minimal()
	e.Extensions = map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}
	want := string(e.AppendStructured(nil))
	for range 50 {
		if got := string(e.AppendStructured(nil)); got != want {
			t.Fatalf("%s\n%s", got, want)
		}
	}
}

func TestTheSDKRefusesWhatItCannotHold(t *testing.T) {
	cases := map[string]func(e *events.Event){
		"a revision beyond 31 bits":    func(e *events.Event) { e.Revision = 1 << 31 },
		"no id":                        func(e *events.Event) { e.ID = "" },
		"a subject of blanks":          func(e *events.Event) { e.Subject = "  " },
		"a source that is no URI":      func(e *events.Event) { e.Source = "%zz" },
		"a content type that is none":  func(e *events.Event) { e.DataContentType = "/" },
		"a schema that is no full URI": func(e *events.Event) { e.DataSchema = "schema" },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			e := minimal()
			change(&e)
			if _, err := e.CloudEvent(); err == nil {
				t.Error("is taken, want an error")
			}
		})
	}
}

func TestTypedAttributesOfTheSDKBecomeTheirCanonicalText(t *testing.T) {
	in := cloudevents.New()
	in.SetID("1")
	in.SetSource("/livechat/support")
	in.SetType("dev.parley.tag.created")
	in.SetExtension("revision", 2)
	in.SetExtension("bytes", []byte("hi"))
	in.SetExtension("flag", true)
	in.SetExtension("at", time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC))
	got, err := events.FromCloudEvent(in)
	want := minimal()
	want.Revision = 2
	want.Extensions = map[string]string{"bytes": "aGk=", "flag": "true", "at": "2026-10-27T15:04:05Z"}
	if diff := equal(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := events.FromCloudEvent(cloudevents.Event{}); err == nil || !events.IsPermanent(err) {
		t.Errorf("an empty event: %v, want a permanent error", err)
	}
}

func FuzzFromMessage(f *testing.F) {
	f.Add("ce-subject", "Euro%20%E2%82%AC", "ce-x", `"a \" b"`, []byte(`{}`))
	f.Add("Ce-Id", "%C0%A0", "CE-TIME", "2026-10-27T15:04:05Z", []byte(nil))
	f.Add("ce-revision", "7", "ce-datacontenttype", "application/msgpack", []byte{0x80})
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, data []byte) {
		header := map[string][]string{}
		e := minimal()
		e.SetHeaders(header)
		header[name1], header[name2] = []string{value1}, []string{value2}
		got, err := events.FromMessage(header, data)
		if err != nil {
			if !events.IsPermanent(err) {
				t.Fatalf("%v is not permanent", err)
			}
			return
		}
		reads(t, got)
	})
}

// reads holds an event that was read to what is promised of every one: it can be written and read
// again, either way, and is the same.
func reads(t *testing.T, e events.Event) {
	t.Helper()
	if !e.Time.IsZero() && (e.Time.Year() < 0 || e.Time.Year() > 9999) {
		e.Time = time.Time{} // an offset can push a time out of what can be written
	}
	header := map[string][]string{}
	e.SetHeaders(header)
	again, err := events.FromMessage(header, e.Data)
	if diff := equal(e, again); err != nil || diff != "" {
		t.Fatalf("binary: %v\n%s", err, diff)
	}
	if !json.Valid(e.Data) || bytes.ContainsAny(e.Data, "\r\n") || !utf8.Valid(e.Data) {
		return
	}
	line := e.AppendStructured(nil)
	again, err = events.ParseStructured(line)
	again.Data = bytes.TrimSpace(again.Data)
	e.Data = bytes.TrimSpace(e.Data)
	if diff := equal(e, again); err != nil || diff != "" {
		t.Fatalf("structured %s: %v\n%s", line, err, diff)
	}
}

func FuzzParseStructured(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/a","type":"t","data":{"a":[1,null]},"revision":2}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/a","type":"t","data_base64":"e30=","datacontenttype":"application/msgpack"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"\u2028","source":"/a","type":"t","data":"text","datacontenttype":"text/plain","x":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := events.ParseStructured(b)
		if err != nil {
			if !events.IsPermanent(err) {
				t.Fatalf("%v is not permanent", err)
			}
			return
		}
		reads(t, e)
		if line := e.Line(); !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%q is not one line of JSON", line)
		}
	})
}
