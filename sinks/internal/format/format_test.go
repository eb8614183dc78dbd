package format_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks/internal/format"
	"github.com/parley-stream/parley/sinks/internal/formattest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func encode(t testing.TB, f *format.Format, kind events.Kind, list ...events.Event) (out []byte) {
	t.Helper()
	e := f.Encoder(kind)
	var err error
	for i := range list {
		if out, err = e.Append(out, &list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if out, err = e.Finish(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// full is a conversation with everything in it.
func full(t testing.TB) events.Event {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 30, 15, 250_000_000, time.UTC)
	c := &events.Conversation{
		Base: events.Base{ID: "acme:eu:42", Vendor: "acme", Source: "eu", VendorID: "42"}, Channel: "chat", Status: "ended", StartedAt: at, UpdatedAt: at.Add(time.Hour),
		DurationS: events.Ptr(12.5), Visitor: &events.Visitor{Name: "Änne, \"the\" visitor", Email: "a@example.com", Attributes: map[string]any{"vip": true}},
		Agents: []events.Agent{{ID: "7", Role: events.RoleAgent}, {Name: "Bo"}}, Page: &events.Page{URL: "https://example.com/", UTM: &events.UTM{Source: "mail"}},
		Messages: []events.Message{
			{ID: "0", At: at, Author: &events.Author{Type: events.AuthorVisitor}, Text: "=cmd|' /C calc'!A0"},
			{ID: "1", At: at.Add(time.Second), Author: &events.Author{Type: events.AuthorAgent, ID: "7"}, Text: "two\nlines"},
		},
		MessageCount: events.Ptr(2), Surveys: []events.Survey{{Context: "entry", Responses: []events.Response{{Question: "q", Answer: "a"}}}},
		Rating: &events.Score{Value: "good", Score: events.Ptr(1.0)}, Tags: []string{"a", "b"}, CustomFields: map[string]any{"size": "xl"},
		Metrics: &events.Timings{FirstResponseS: events.Ptr(0.0), VisitorMessages: events.Ptr(1), Derived: []string{"visitor_messages"}},
	}
	c.Set("raw_field", json.Number("17"))
	content, err := events.EncodeContent(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &events.Record{Stream: "chats", RequestedAt: at, Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	return events.NewEvent(c, r, 3, "d1", content)
}

// The names, order and types of columns are a promise: a change here breaks whoever loads the files.
func TestColumnsStayAsTheyAre(t *testing.T) {
	var csvNames, schemas strings.Builder
	for _, kind := range append(events.Kinds(), "") {
		header, _, _ := strings.Cut(string(encode(t, format.New("csv", "none", false), kind, events.Event{ID: "x"})), "\r\n")
		fmt.Fprintf(&csvNames, "%s\n\t%s\n", kind, strings.ReplaceAll(header, ",", "\n\t"))
		names := strings.Split(header, ",")
		if slices.Sort(names); len(slices.Compact(names)) != strings.Count(header, ",")+1 {
			t.Errorf("%s: two columns have one name", kind)
		}
		content := encode(t, format.New("parquet", "none", false), kind, events.Event{ID: "x"})
		file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&schemas, file.Schema())
	}
	golden(t, "columns.csv.golden", csvNames.String())
	golden(t, "columns.parquet.golden", schemas.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// row is what somebody who reads the Parquet file declares.
type row struct {
	ID        string    `parquet:"ce_id"`
	Revision  int64     `parquet:"ce_revision"`
	Time      time.Time `parquet:"ce_time,timestamp(microsecond)"`
	VendorID  string    `parquet:"vendor_id"`
	DurationS *float64  `parquet:"duration_s,optional"`
	Visitor   struct {
		Name string `parquet:"name"`
	} `parquet:"visitor"`
	Messages []struct {
		At     time.Time `parquet:"at,timestamp(microsecond)"`
		Author struct {
			Type string `parquet:"type"`
		} `parquet:"author"`
		Text string `parquet:"text"`
	} `parquet:"messages,list"`
	Tags       []string `parquet:"tags,list"`
	Attributes string   `parquet:"attributes,json"`
	Other      *string  `parquet:"other,optional,json"`
}

func TestAParquetFileIsReadIntoTypedRows(t *testing.T) {
	e := full(t)
	for _, compression := range format.Compressions {
		content := encode(t, format.New("parquet", compression, false), e.Kind(), e, e)
		rows, err := parquet.Read[row](bytes.NewReader(content), int64(len(content)))
		if err != nil || len(rows) != 2 {
			t.Fatalf("%s: %d rows, %v", compression, len(rows), err)
		}
		for _, r := range rows {
			if r.ID != e.ID || r.Revision != 3 || !r.Time.Equal(e.Time) || r.VendorID != "42" || *r.DurationS != 12.5 || r.Visitor.Name != `Änne, "the" visitor` ||
				len(r.Messages) != 2 || r.Messages[1].Text != "two\nlines" || r.Messages[0].Author.Type != "visitor" || r.Messages[1].At.Sub(r.Messages[0].At) != time.Second ||
				!slices.Equal(r.Tags, []string{"a", "b"}) || !strings.Contains(r.Attributes, "17") || r.Other != nil {
				t.Errorf("%s: got %+v", compression, r)
			}
		}
	}
}

func TestACSVFileIsReadByNames(t *testing.T) {
	e := full(t)
	content := encode(t, format.New("csv", "none", false), e.Kind(), e)
	if lines := bytes.Count(content, []byte("\r\n")); lines != 2 || !bytes.HasSuffix(content, []byte("\r\n")) {
		t.Errorf("%d lines end with CR LF, want 2", lines)
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"ce_id": e.ID, "ce_time": "2026-03-01T13:30:15.25Z", "duration_s": "12.5", "visitor_name": `Änne, "the" visitor`, "page_utm_source": "mail", "tags": `["a","b"]`,
		"attributes": `{"raw_field":17}`, "rating_score": "1", "metrics_first_response_s": "0", "department_name": "", "other": "", "data_base64": "",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	var messages []events.Message
	if err := json.Unmarshal([]byte(got["messages"]), &messages); err != nil || len(messages) != 2 || messages[1].Text != "two\nlines" {
		t.Errorf("messages: %v, %v", messages, err)
	}
}

func TestWhatHasNoColumnIsInOther(t *testing.T) {
	for name, c := range map[string]struct{ data, other, raw string }{
		"an unknown field":             {`{"id":"x","new":[1, {"a":null}]}`, `{"new":[1, {"a":null}]}`, ""},
		"another type":                 {`{"id":7,"duration_s":"long","visitor":"me"}`, `{"id":7,"duration_s":"long","visitor":"me"}`, ""},
		"an unknown field deep inside": {`{"visitor":{"name":"n","new":1}}`, `{"visitor":{"name":"n","new":1}}`, ""},
		"null":                         {`{"subject":null}`, `{"subject":null}`, ""},
		"a fraction of a whole number": {`{"message_count":1.5}`, `{"message_count":1.5}`, ""},
		"no time":                      {`{"started_at":"yesterday"}`, `{"started_at":"yesterday"}`, ""},
		"an escaped name":              {`{"\u0069d":"x"}`, `{"\u0069d":"x"}`, ""},
		"an empty object":              {` { } `, `{}`, ""},
		"no object":                    {`[1]`, "", `[1]`},
		"no JSON":                      {`{"id":"x"`, "", `{"id":"x"`},
		"two values":                   {`{"id":"x"} 1`, "", `{"id":"x"} 1`},
		"a name twice":                 {`{"id":"x","id":"y"}`, "", `{"id":"x","id":"y"}`},
		"no UTF-8":                     {"{\"id\":\"\xff\"}", "", "{\"id\":\"\xff\"}"},
	} {
		for _, f := range []string{"csv", "parquet"} {
			t.Run(name+" in "+f, func(t *testing.T) {
				e := events.Event{ID: "i", Source: "/s", Type: "dev.parley.conversation.created", DataContentType: events.ContentJSON, Data: []byte(c.data)}
				other, raw := last(t, f, encode(t, format.New(f, "none", true), e.Kind(), e, e))
				if raw != base64.StdEncoding.EncodeToString([]byte(c.raw)) || other != c.other {
					t.Errorf("other %q, data_base64 %q", other, raw)
				}
			})
		}
	}
}

// last gives the last two columns of the last row.
func last(t *testing.T, f string, content []byte) (other, raw string) {
	t.Helper()
	if f == "csv" {
		rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		end := rows[len(rows)-1]
		return end[len(end)-2], end[len(end)-1]
	}
	rows, err := parquet.Read[struct {
		Other string `parquet:"other,json"`
		Raw   string `parquet:"data_base64"`
	}](bytes.NewReader(content), int64(len(content)))
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	return rows[1].Other, rows[1].Raw
}

func TestMsgpackContentHasColumnsToo(t *testing.T) {
	e := full(t)
	want := string(encode(t, format.New("csv", "none", false), e.Kind(), e))
	var err error
	if e.Data, err = events.EncodeMsgpack(e.Data); err != nil {
		t.Fatal(err)
	}
	e.DataContentType = events.ContentMsgpack
	got := string(encode(t, format.New("csv", "none", false), e.Kind(), e))
	_, gotRow, _ := strings.Cut(got, "data_base64\r\n")
	if !strings.Contains(gotRow, `Änne, ""the"" visitor`) || !strings.HasSuffix(gotRow, ",,\r\n") || len(want) == 0 {
		t.Errorf("got %s", gotRow)
	}
}

func TestNoCellIsAFormula(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a=b": "a=b", "": "",
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)",
		"\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx",
		" =1": "' =1", "\u00a0=1": "'\u00a0=1", "\ufeff=1": "'\ufeff=1", "\u200b=1": "'\u200b=1", "  \t@x": "'  \t@x",
		"＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠x": "'＠x",
		"a\n=1": "a\n'=1", "a\r\n=1": "a\r\n'=1", "a\n\n  =1": "a\n\n'  =1", "a\r=1": "a\r'=1",
		"'=1": "''=1", "it's": "it's", "'": "''",
	} {
		if got := string(format.Guard(nil, []byte(text))); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	e := full(t)
	e.Subject = "=HYPERLINK(1)"
	safe, exact := string(encode(t, format.New("csv", "none", false), e.Kind(), e)), string(encode(t, format.New("csv", "none", true), e.Kind(), e))
	if !strings.Contains(safe, ",'=HYPERLINK(1),") || !strings.Contains(exact, ",=HYPERLINK(1),") {
		t.Errorf("safe:\n%s\nexact:\n%s", safe, exact)
	}
}

func unguard(text string) string {
	text = strings.TrimPrefix(text, "'")
	return strings.NewReplacer("\n'", "\n", "\r'", "\r").Replace(text)
}

func FuzzGuard(f *testing.F) {
	f.Add("=1\n'x\r\n\t=")
	f.Fuzz(func(t *testing.T, text string) {
		guarded := string(format.Guard(nil, []byte(text)))
		if got := unguard(guarded); got != text {
			t.Errorf("%q becomes %q and %q", text, guarded, got)
		}
		for line := range strings.FieldsFuncSeq(guarded, func(c rune) bool { return c == '\n' || c == '\r' }) {
			if trimmed := strings.TrimSpace(line); trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@") {
				t.Errorf("%q begins a line of %q", trimmed, guarded)
			}
		}
	})
}

// Whatever comes is in the file, as JSON values or as bytes.
func FuzzTables(f *testing.F) {
	e := full(f)
	f.Add(e.Data, "conversation", "application/json", "=s")
	f.Add([]byte(`{"a":1e999,"measures":{"x":1},"interval":{"start":"2026-01-01T00:00:00.1234567Z"}}`), "metric", "application/json", "\xff")
	f.Add([]byte(`{"messages":[null,{"text":1},[]],"tags":[],"surveys":[{"responses":[{}]}]}`), "conversation", "", "")
	formats := map[string]*format.Format{"csv": format.New("csv", "none", false), "parquet": format.New("parquet", "none", false)}
	f.Fuzz(func(t *testing.T, data []byte, kind, contentType, subject string) {
		in := events.Event{ID: "i", Source: "/s", Type: "dev.parley." + kind + ".created", Subject: subject, DataContentType: contentType, Data: data}
		if !slices.Contains(append(events.Kinds(), ""), in.Kind()) {
			return // a table is kept for each
		}
		for name, of := range formats {
			content := encode(t, of, in.Kind(), in, in)
			if again := encode(t, of, in.Kind(), in, in); !bytes.Equal(content, again) {
				t.Errorf("%s: equal events make other bytes", name)
			}
			last(t, name, content)
			in.Type = "of no kind" // then all of it is in one place
			other, raw := last(t, name, encode(t, of, "", in, in))
			bytesBack, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(raw, "'"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bytesBack, data) && contentType == events.ContentJSON && !same([]byte(other), data) {
				t.Errorf("%s: %q is %q and %q", name, data, other, raw)
			}
			in.Type = "dev.parley." + kind + ".created"
		}
	})
}

func same(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

func TestALargeFileIsReadBack(t *testing.T) {
	e := full(t)
	for _, name := range format.Names {
		for _, compression := range format.Compressions {
			f := format.New(name, compression, false)
			list := make([]events.Event, 9000)
			for i := range list {
				list[i] = e
				list[i].Revision = uint64(i + 1)
			}
			got, err := formattest.Read("x"+f.Extension(), encode(t, f, e.Kind(), list...))
			if err != nil || len(got) != len(list) {
				t.Fatalf("%s %s: %d events, %v", name, compression, len(got), err)
			}
			for i := range got {
				if got[i].Revision != uint64(i+1) {
					t.Fatalf("%s %s: event %d is %d", name, compression, i, got[i].Revision)
				}
			}
		}
	}
}

// BenchmarkEncode gives what a conversation of about 2 KiB costs in each format, without the disk.
func BenchmarkEncode(b *testing.B) {
	e := full(b)
	e.Data = bytes.Replace(e.Data, []byte("two\\nlines"), []byte(strings.Repeat("some words of text, ", 60)), 1)
	for _, name := range format.Names {
		for _, compression := range format.Compressions {
			b.Run(name+"/"+compression, func(b *testing.B) {
				encoder := format.New(name, compression, false).Encoder(e.Kind())
				var out []byte
				var err error
				written := 0
				b.SetBytes(int64(len(e.Data)))
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					e.Subject = fmt.Sprint(n)
					if out, err = encoder.Append(out[:0], &e); err != nil {
						b.Fatal(err)
					}
					written += len(out)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64(written)/float64(b.N), "bytes/event")
			})
		}
	}
}
