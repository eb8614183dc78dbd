package console_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

// forged tries to begin a line, colour, move the cursor, turn the writing round, and hide in bytes that are no UTF-8.
const forged = "ok\n2026-01-01 INFO forged\r\x1b[31mred\x1b[2J\u009b1A\u2028\u2029\u202etxt\x00\x7f\xff\ttab"

func TestPrintableTextMovesNoCursorAndStaysOneLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":         {"chat 12", "chat 12"},
		"empty":         {"", ""},
		"other scripts": {"Ærø 生命 مرحبا\u3000é 👋", "Ærø 生命 مرحبا\u3000é 👋"},
		"hostile": {
			forged,
			`ok\n2026-01-01 INFO forged\r\x1b[31mred\x1b[2J\u009b1A\u2028\u2029\u202etxt\x00\x7f\xff\ttab`,
		},
		"a real replacement character": {"\ufffd", "\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := console.Printable(c.text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add(forged)
	f.Fuzz(func(t *testing.T, text string) {
		got := console.Printable(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("%q gives %q", text, got)
		}
		if again := console.Printable(got); again != got {
			t.Errorf("%q gives %q gives %q", text, got, again)
		}
	})
}

func TestTheSummaryIsAlignedAndSorted(t *testing.T) {
	var out bytes.Buffer
	err := console.Summary(&out, []console.Tally{
		{Vendor: "liveleader", Kind: "conversation", Fetched: 12_345, Duplicates: 45, Events: 12_298, DeadLetters: 2},
		{Vendor: "livechat-reports", Kind: "metric", Fetched: 7, Events: 7},
		{Vendor: "liveagent", Kind: "tag", Fetched: 1, Events: 1},
		{Vendor: "liveagent", Kind: "conversation", Fetched: 800, Duplicates: 300, Events: 500},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "summary", out.String())
}

func TestATableIsAlignedInAnyScriptAndKeepsStrangersInTheirCell(t *testing.T) {
	var out bytes.Buffer
	err := console.Table(&out, []string{"name", "n", "note"}, [][]any{
		{"生命保険", 1, "wide"}, {"Ærø", 1000, "narrow"}, {"a\nb\x1b[31m", 20, errors.New("x\ry")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "table", out.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name + ".golden.txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestProgressWithoutATerminalIsALineEveryFewSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := console.NewProgress(&out)
		for i := range int64(120) { // one per 100 ms: 12 s
			p.Set("eu", i, 200)
			p.Set("us\n", i, 0)
			time.Sleep(100 * time.Millisecond)
		}
		fmt.Fprintln(p, "a log line")
		p.Close()
		p.Close()
		p.Set("eu", 200, 200)
		fmt.Fprintln(p, "a later line")
		want := "progress: eu 50/200 (25%) at 10.0/s, 15s left, us\\n 49 at 9.8/s\n" +
			"progress: eu 100/200 (50%) at 10.0/s, 10s left, us\\n 99 at 9.9/s\n" +
			"a log line\n" +
			"progress: eu 119/200 (59%) at 9.9/s, 8s left, us\\n 119 at 9.9/s\n" +
			"a later line\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestThePaceIsOfWhatWasDoneWhileOneLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := console.NewProgress(&out)
		p.Set("resumed", 900, 1000)
		time.Sleep(5 * time.Second)
		p.Set("resumed", 901, 1000)
		p.Close()
		if want := "progress: resumed 901/1000 (90%) at 12.0/min, 8m15s left\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

func TestWhatIsDoneKeepsItsPaceAndIsNotSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := console.NewProgress(&out)
		for i := range int64(300) { // a minute, of which the first two seconds do all
			p.Set("eu", min(i, 10), 10)
			time.Sleep(200 * time.Millisecond)
		}
		p.Close()
		if want := "progress: eu 10/10 (100%) at 5.0/s\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

func TestOneIsCountedInTheSingular(t *testing.T) {
	for n, want := range map[int]string{0: "0 windows are due", 1: "1 window is due", 2: "2 windows are due"} {
		if got := console.Count(n, "window is due", "windows are due"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestProgressThatWasNeverSetShowsNothing(t *testing.T) {
	var out bytes.Buffer
	console.NewProgress(&out).Close()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, w := range map[string]io.Writer{"buffer": &bytes.Buffer{}, "null": null, "progress": console.NewProgress(&bytes.Buffer{})} {
		if console.Terminal(w) || console.Colors(w) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
}

type vendorError struct{ Reply string }

func (e *vendorError) Error() string { return e.Reply }

type secretive struct{}

func (secretive) LogValue() slog.Value { return slog.StringValue("c4nary" + forged) }

// logHostile writes one record with a hostile text and a secret in every place that takes any.
func logHostile(log *slog.Logger) {
	text := forged + "c4nary"
	log.With("with", text).WithGroup("group").Info("message "+text, "string", text, "err", &vendorError{text},
		"struct", struct{ A string }{text}, "bytes", []byte(text), "value", secretive{},
		slog.Group("inner", "deep", text), "n", 7, "nil", nil)
}

func redact(s string) string { return strings.ReplaceAll(s, "c4nary", "[redacted]") }

func TestNobodyForgesALogLineOrSeesASecretInOne(t *testing.T) {
	for _, format := range []string{"text", "json", ""} {
		t.Run("format "+format, func(t *testing.T) {
			var out bytes.Buffer
			logHostile(console.NewLogger(&out, slog.LevelInfo, format, redact))
			got := out.String()
			if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
				t.Errorf("%d lines:\n%s", strings.Count(got, "\n"), got)
			}
			if strings.ContainsFunc(strings.TrimSuffix(got, "\n"), func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }) {
				t.Errorf("not printable: %q", got)
			}
			if strings.Contains(got, "c4nary") || strings.Count(got, "[redacted]") != 7 {
				t.Errorf("%d redactions, want 7:\n%s", strings.Count(got, "[redacted]"), got)
			}
		})
	}
}

func TestJSONLogsHaveTheFactsAsFields(t *testing.T) {
	var out bytes.Buffer
	log := console.NewLogger(&out, slog.LevelWarn, "", nil)
	log.Info("too quiet")
	log.Warn("window failed", "source", "eu", "took", time.Second, "err", errors.New("gone"), "n", 3)
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{"level": "WARN", "msg": "window failed", "source": "eu", "took": 1e9, "err": "gone", "n": 3.0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTextLogsWithoutATerminalHaveNoColour(t *testing.T) {
	var out bytes.Buffer
	console.NewLogger(&out, slog.LevelInfo, "text", nil).Info("window read", "source", "eu", "records", 3)
	_, got, _ := strings.Cut(out.String(), " ")
	if want := "INF window read source=eu records=3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func conversation(data string) events.Event {
	return events.Event{
		ID: "conversation.liveagent.eu.12.2", Source: "/liveagent/eu", Type: "dev.parley.conversation.updated", Subject: "12",
		Time: time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC), Revision: 2, DataContentType: events.ContentJSON, Data: []byte(data),
	}
}

func TestAnEventIsOneLineThatMasksPeople(t *testing.T) {
	const chat = `{"channel":"chat","status":"ended","subject":"My order of Jane Doe","messages":[{},{}],` +
		`"visitor":{"name":"Jane van Doe","email":"jane@mail.example"},"agents":[{"name":"Ola Nordmann"},{"email":"kim@acme.example"}],"rating":{"value":"good"}}`
	packed, err := events.EncodeMsgpack([]byte(chat))
	if err != nil {
		t.Fatal(err)
	}
	inMsgpack := conversation(string(packed))
	inMsgpack.DataContentType = events.ContentMsgpack
	const masked = "2026-10-27T15:04:05Z conversation updated liveagent/eu 12 r2  chat, ended, 2 messages, rated good, visitor J.V.D., agent O.N., agent K."
	reference := func(kind events.Kind, data string) events.Event {
		e := conversation(data)
		e.Type, e.Revision = "dev.parley."+string(kind)+".created", 1
		return e
	}
	byAddress := conversation(`{"status":"ended"}`)
	byAddress.Subject = "report/agent=jane.doe@mail.example/tag=x"
	elsewhere := conversation("")
	elsewhere.DataRef = "nats-object://parley-objects/abc"
	for name, c := range map[string]struct {
		event events.Event
		clear bool
		want  string
	}{
		"a chat":            {conversation(chat), false, masked},
		"a chat in msgpack": {inMsgpack, false, masked},
		"a chat in clear": {
			conversation(chat), true,
			"2026-10-27T15:04:05Z conversation updated liveagent/eu 12 r2  chat, ended, 2 messages, rated good, " +
				`visitor Jane van Doe jane@mail.example, agent Ola Nordmann, agent kim@acme.example, "My order of Jane Doe"`,
		},
		"a metric":           {reference("metric", `{"report":"chats/ratings","measures":{"good":1,"bad":0}}`), false, "2026-10-27T15:04:05Z metric created liveagent/eu 12 r1  chats/ratings, 2 measures"},
		"a contact":          {reference("contact", `{"name":"Jane Doe","status":5}`), false, "2026-10-27T15:04:05Z contact created liveagent/eu 12 r1  J.D."},
		"a contact in clear": {reference("contact", `{"name":"Jane Doe"}`), true, "2026-10-27T15:04:05Z contact created liveagent/eu 12 r1  Jane Doe"},
		"a department":       {reference("department", `{"name":"Customer Care"}`), false, "2026-10-27T15:04:05Z department created liveagent/eu 12 r1  Customer Care"},
		"an e-mail in an id": {byAddress, false, "2026-10-27T15:04:05Z conversation updated liveagent/eu report/agent=…@…/tag=x r2  ended"},
		"data elsewhere":     {elsewhere, false, "2026-10-27T15:04:05Z conversation updated liveagent/eu 12 r2  content in the object store"},
		"no data":            {conversation(""), false, "2026-10-27T15:04:05Z conversation updated liveagent/eu 12 r2"},
		"broken data":        {conversation("{"), false, "2026-10-27T15:04:05Z conversation updated liveagent/eu 12 r2  content cannot be read"},
		"a name that forges": {reference("tag", `{"name":"vip\n\u001b[31m"}`), false, `2026-10-27T15:04:05Z tag created liveagent/eu 12 r1  vip\n\x1b[31m`},
		"a long name":        {reference("tag", `{"name":"`+strings.Repeat("ø", 200)+`"}`), false, "2026-10-27T15:04:05Z tag created liveagent/eu 12 r1  " + strings.Repeat("ø", 59) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := console.EventLine(c.event, c.clear); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzEventLine(f *testing.F) {
	f.Add(`{"name":"Jane Doe","visitor":{"name":"x"}}`, "12")
	f.Fuzz(func(t *testing.T, data, subject string) {
		e := conversation(data)
		e.Subject = subject
		for _, clear := range []bool{true, false} {
			if line := console.EventLine(e, clear); line != console.Printable(line) {
				t.Errorf("not printable: %q", line)
			}
		}
	})
}

func TestACalendarFoldsLinesThatShowTheSame(t *testing.T) {
	first := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	days := make([]console.Mark, 13000)
	for i := range days {
		days[i] = console.MarkPlanned
	}
	days[len(days)-1] = console.MarkComplete
	var out bytes.Buffer
	if err := console.Calendar(&out, first, days); err != nil {
		t.Fatal(err)
	}
	week := " ·······"
	line := strings.Repeat(week, 8) + "\n"
	want := "  1990-01-01 " + line + "  230 more lines like these\n" + "  2025-06-09 " + line + "  2025-08-04  ········\n"
	if lines := strings.Count(out.String(), "\n"); lines > 5 || !strings.HasPrefix(out.String(), "  1990-01-01 "+line+"  230 more lines like these\n") || !strings.HasSuffix(out.String(), "█\n") {
		t.Errorf("%s\nwant such as\n%s", out.String(), want)
	}
	out.Reset()
	if err := console.Calendar(&out, first, days[:6*56]); err != nil {
		t.Fatal(err)
	}
	if want := 6; strings.Count(out.String(), line) != want {
		t.Errorf("of few lines all are written:\n%s", out.String())
	}
}
