package liveagent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

var now = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func clock() time.Time { return now }

const key = "test-key-0123456789"

// open gives the poller that reads a handler.
func open(t testing.TB, format string, handler http.Handler) pollers.Poller {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return vendor(format, nil).Open(t, map[string]string{"VENDOR": "liveagent", "URL": server.URL, "API_KEY": key})
}

// script answers calls by their path below /api, without the format's suffix. A body that begins with a number answers with that status.
type script map[string]string

func (s script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/api/"), ".xml")
	body, ok := s[path+"?"+r.URL.Query().Get("department")]
	if !ok {
		body, ok = s[path]
	}
	status := http.StatusOK
	if !ok {
		status = http.StatusTeapot
	}
	if n, err := fmt.Sscanf(body, "%d ", &status); n == 1 && err == nil {
		_, body, _ = strings.Cut(body, " ")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// with gives the script with other answers: path and body in turn.
func (s script) with(answers ...string) script {
	out := script{}
	for path, body := range s {
		out[path] = body
	}
	for i := 0; i < len(answers); i += 2 {
		out[answers[i]] = answers[i+1]
	}
	return out
}

func jsonScript() script {
	return script{
		"departments":               `{"response":{"departments":[{"departmentid":"d1"}]}}`,
		"conversations":             `{"response":{"conversations":[{"conversationid":"c1","datechanged":"2026-10-27 08:00:00"}]}}`,
		"conversations/c1":          `{"response":{"conversationid":"c1"}}`,
		"conversations/c1/messages": `{"response":{"groups":[]}}`,
		"conversations/c1/tags":     `{"response":{"tags":[]}}`,
	}
}

func xmlScript() script {
	return script{
		"departments":               "<response><departments><department><departmentid>d1</departmentid></department></departments></response>",
		"conversations":             "<response><conversations><conversation><conversationid> c1\n</conversationid><datechanged>2026-10-27 08:00:00</datechanged></conversation></conversations></response>",
		"conversations/c1":          "<response><conversationid>c1</conversationid></response>",
		"conversations/c1/messages": "<response><groups>\n</groups></response>",
		"conversations/c1/tags":     "<response><tags/></response>",
	}
}

func scripts() map[string]script { return map[string]script{"json": jsonScript(), "xml": xmlScript()} }

func window() pollers.Window {
	return pollers.Window{Stream: "conversations", From: now.Add(-time.Hour).Truncate(time.Second), To: now.Truncate(time.Second)}
}

func partNames(r events.Record) (names []string) {
	for _, p := range r.Parts {
		names = append(names, p.Name)
	}
	return names
}

func TestARecordHasTheVendorsBytesAndNoKey(t *testing.T) {
	for format, s := range scripts() {
		records, err := pollertest.Collect(open(t, format, s), window())
		if err != nil || len(records) != 1 {
			t.Fatalf("%s: %d records, %v", format, len(records), err)
		}
		r := records[0]
		if r.Key != "c1" || !slices.Equal(partNames(r), []string{"", "detail", "messages", "tags"}) {
			t.Errorf("%s: key %q, parts %q", format, r.Key, partNames(r))
		}
		for path, part := range map[string]string{"conversations/c1": "detail", "conversations/c1/messages": "messages", "conversations/c1/tags": "tags"} {
			if got := string(r.Part(part)); got != s[path] {
				t.Errorf("%s: %s is %s, want %s", format, part, got, s[path])
			}
		}
		if !strings.Contains(s["conversations"], string(r.Part(""))) {
			t.Errorf("%s: row %s", format, r.Part(""))
		}
		for _, p := range r.Parts {
			if strings.Contains(p.URL, "apikey") || p.ContentType != "application/"+format {
				t.Errorf("%s: URL %s, content type %s", format, p.URL, p.ContentType)
			}
		}
	}
}

// cutAt serves a script, the answer of one path cut.
type cutAt struct {
	script
	path   string
	at     int
	framed bool
}

func (c cutAt) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/"), ".xml")
	if path != c.path {
		c.script.ServeHTTP(w, r)
		return
	}
	body := c.script[path]
	if c.framed {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write([]byte(body[:c.at]))
		return
	}
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body[:c.at])
	_ = buf.Flush()
}

func TestACutAtEveryByteOfEveryResponseFailsTheWindow(t *testing.T) {
	for format, s := range scripts() {
		for path, body := range s {
			for at := range len(body) {
				for _, framed := range []bool{true, false} {
					server := httptest.NewServer(cutAt{s, path, at, framed})
					p := vendor(format, nil).Open(t, map[string]string{"VENDOR": "liveagent", "URL": server.URL, "API_KEY": key})
					if records, err := pollertest.Collect(p, window()); err == nil {
						t.Errorf("%s %s cut at %d of %d (framed: %v): complete with %d records", format, path, at, len(body), framed, len(records))
					}
					server.Close()
				}
			}
		}
	}
}

func TestAnErrorWithAnyStatusIsAnError(t *testing.T) {
	const jsonError = `{"response":{"status":"ERROR","statuscode":%s,"errormessage":"oops"}}`
	const xmlError = `<response><status>ERROR</status><statuscode>%s</statuscode><errormessage>oops</errormessage></response>`
	for format, s := range scripts() {
		text := map[string]string{"json": jsonError, "xml": xmlError}[format]
		for path := range s {
			for code, unauthorized := range map[string]bool{"400": true, "401": true, "403": true, "500": false, "503": false} {
				for _, status := range []string{"200", code} {
					err := second(pollertest.Collect(open(t, format, s.with(path, status+" "+fmt.Sprintf(text, code))), window()))
					if err == nil || pollers.IsUnauthorized(err) != unauthorized || events.IsPermanent(err) {
						t.Errorf("%s %s: status %s, statuscode %s: %v; Unauthorized should be %v", format, path, status, code, err, unauthorized)
					}
					if err != nil && status == "200" && !errors.Is(err, pollers.ErrIncomplete) {
						t.Errorf("%s %s: %v is not ErrIncomplete", format, path, err)
					}
				}
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnErrorBesideAListIsAnError(t *testing.T) {
	lists := map[string]string{
		"json": `{"response":{"conversations":[],"status":"ERROR","statuscode":"500","errormessage":"oops"}}`,
		"xml":  `<response><conversations/><status>ERROR</status><statuscode>500</statuscode></response>`,
	}
	for format, s := range scripts() {
		if _, err := pollertest.Collect(open(t, format, s.with("conversations", lists[format])), window()); err == nil {
			t.Errorf("%s: no error", format)
		}
	}
}

func TestAnErrorDoesNotShowTheKey(t *testing.T) {
	for _, body := range []string{
		`{"response":{"status":"ERROR","statuscode":500,"errormessage":"key ` + key + ` is odd","debugmessage":"` + key + `"}}`,
		`500 {"response":{"status":"ERROR","errormessage":"key ` + key + `"}}`, "<" + key + ">",
	} {
		for _, format := range []string{"json", "xml"} {
			err := second(pollertest.Collect(open(t, format, script{"departments": body}), window()))
			if err == nil || strings.Contains(fmt.Sprintf("%+v %q", err, err), key) {
				t.Errorf("%s: %v", format, err)
			}
		}
	}
}

func TestWhatIsNoAnswerIsNeverEmpty(t *testing.T) {
	cases := map[string]map[string]string{
		"json": {
			"departments":               `{"response":{"departments":[]}}`,
			"departments ":              `{"response":{"departments":[{"name":"x"}]}}`,
			"conversations":             `{"response":{}}`,
			"conversations ":            `{"response":{"conversations":{}}}`,
			"conversations  ":           `{"response":{"conversations":null}`,
			"conversations   ":          `{"response":{"conversations":null}} x`,
			"conversations/c1":          `{"response":{}}`,
			"conversations/c1/messages": `{"response":[]}`,
			"conversations/c1/tags":     `{}`,
		},
		"xml": {
			"departments":               "<response><departments/></response>",
			"conversations":             "<response/>",
			"conversations ":            "<response><conversations><item><conversationid>c1</conversationid></item></conversations></response>",
			"conversations/c1":          "<response/>",
			"conversations/c1/messages": "<html><body/></html>",
			"conversations/c1/tags":     "<response><groups/></response>",
		},
	}
	for format, s := range scripts() {
		for path, body := range cases[format] {
			records, err := pollertest.Collect(open(t, format, s.with(strings.TrimSpace(path), body)), window())
			if !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("%s: %s gives %s: %d records, %v; want ErrIncomplete", format, path, body, len(records), err)
			}
		}
	}
}

func TestEmptyListsAreEmpty(t *testing.T) {
	empty := map[string][]string{
		"json": {`{"response":{"conversations":[]}}`, `{"response":{"conversations":null}}`, "\ufeff{\"response\":{\"conversations\":null}}\n"},
		"xml":  {"<response><conversations>\n </conversations></response>", "<response><conversations/></response>"},
	}
	for format, s := range scripts() {
		for _, body := range empty[format] {
			if records, err := pollertest.Collect(open(t, format, s.with("conversations", body)), window()); err != nil || len(records) != 0 {
				t.Errorf("%s: %s: %d records, %v", format, body, len(records), err)
			}
		}
	}
}

func TestAVanishedConversationKeepsWhatWasThere(t *testing.T) {
	const unloadable = `500 {"response":{"status":"ERROR","statuscode":500,"errormessage":"Unable to load conversation"}}`
	cases := map[string]struct {
		path, body string
		want       []string
	}{
		"404 of the detail":            {"conversations/c1", "404 gone", []string{""}},
		"the documented error":         {"conversations/c1", unloadable, []string{""}},
		"the documented error in 200":  {"conversations/c1", unloadable[4:], []string{""}},
		"404 of the messages":          {"conversations/c1/messages", "404 gone", []string{"", "detail"}},
		"an installation without tags": {"conversations/c1/tags", "404 no such call", []string{"", "detail", "messages"}},
	}
	for name, c := range cases {
		records, err := pollertest.Collect(open(t, "json", jsonScript().with(c.path, c.body)), window())
		if err != nil || len(records) != 1 || !slices.Equal(partNames(records[0]), c.want) || records[0].RequestedAt.IsZero() {
			t.Errorf("%s: %v, %v; want parts %q", name, records, err, c.want)
		}
	}
}

func TestARowWithoutAnAddressIsEmittedAsItIs(t *testing.T) {
	for row, wantKey := range map[string]string{`{"code":"x"}`: "", `null`: "", `{"conversationid":null}`: "", `{"conversationid":".."}`: ".."} {
		records, err := pollertest.Collect(open(t, "json", jsonScript().with("conversations", `{"response":{"conversations":[`+row+`]}}`)), window())
		if err != nil || len(records) != 1 || records[0].Key != wantKey || string(records[0].Part("")) != row || len(records[0].Parts) != 1 {
			t.Errorf("%s: %+v, %v", row, records, err)
		}
	}
}

func TestAnIDIsOneStepOfThePath(t *testing.T) {
	s := jsonScript().with(
		"conversations", `{"response":{"conversations":[{"conversationid":"a/../b?x#%"}]}}`,
		"conversations/a%2F..%2Fb%3Fx%23%25", `{"response":{"conversationid":"a"}}`,
		"conversations/a%2F..%2Fb%3Fx%23%25/messages", `{"response":{"groups":[]}}`, "conversations/a%2F..%2Fb%3Fx%23%25/tags", `{"response":{"tags":[]}}`)
	records, err := pollertest.Collect(open(t, "json", s), window())
	if err != nil || len(records) != 1 || records[0].Key != "a/../b?x#%" || len(records[0].Parts) != 4 {
		t.Errorf("%+v, %v", records, err)
	}
}

func TestAListOfACapsSizeIsCapped(t *testing.T) {
	list := func(n int) string {
		return `{"response":{"conversations":[` + strings.TrimSuffix(strings.Repeat(`{"conversationid":".."},`, n), ",") + `]}}`
	}
	for n, want := range map[int]bool{99: false, 100: true, 101: false, 999: false, 1000: true, 1001: false} {
		p := open(t, "json", jsonScript().with("conversations", list(n)))
		for _, span := range []time.Duration{time.Second, time.Hour} {
			emitted := 0
			w := window()
			w.From = w.To.Add(-span)
			reading, err := p.Fetch(context.Background(), w, func(events.Record) error { emitted++; return nil })
			if err != nil || reading.Capped != want || reading.Requests != 2 {
				t.Errorf("%d rows in %s: %+v, %v; want capped %v", n, span, reading, err, want)
			}
			// What will be read again in halves need not be emitted now.
			if whole := !want || span == time.Second; whole != (emitted == n) {
				t.Errorf("%d rows in %s: %d emitted", n, span, emitted)
			}
		}
	}
}

func TestAVendorThatPassesOverTheDatesIsNotBelieved(t *testing.T) {
	row := func(at string) string {
		return `{"response":{"conversations":[{"conversationid":"c1","datechanged":"` + at + `"}]}}`
	}
	for at, ok := range map[string]bool{
		"2026-10-27 08:00:00": true, "2026-10-26 08:00:00": true, "2026-10-28 08:00:00": true, "soon": true,
		"2026-10-25 08:00:00": false, "2026-10-29 08:00:00": false, "2012-03-02 11:21:04": false,
	} {
		if err := second(pollertest.Collect(open(t, "json", jsonScript().with("conversations", row(at))), window())); (err == nil) != ok {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestTheRangeAskedForHoldsTheWindowWhateverTheClocksDo(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	cases := map[string]struct{ from, to, want string }{
		"summer":                     {"2026-07-01 10:00:00", "2026-07-01 11:00:00", "btw:2026-07-01 02:59:59,2026-07-01 04:00:00"},
		"winter":                     {"2026-12-01 10:00:00", "2026-12-01 11:00:00", "btw:2026-12-01 01:59:59,2026-12-01 03:00:00"},
		"the first of the two hours": {"2026-11-01 08:10:00", "2026-11-01 08:20:00", "btw:2026-11-01 00:59:59,2026-11-01 02:00:00"},
		"the second of them":         {"2026-11-01 09:10:00", "2026-11-01 09:20:00", "btw:2026-11-01 00:59:59,2026-11-01 02:00:00"},
		"across the change":          {"2026-11-01 08:50:00", "2026-11-01 09:10:00", "btw:2026-11-01 00:59:59,2026-11-01 02:00:00"},
		"up to the two hours":        {"2026-11-01 07:00:00", "2026-11-01 08:00:00", "btw:2026-10-31 23:59:59,2026-11-01 02:00:00"},
		"before the two hours":       {"2026-11-01 07:00:00", "2026-11-01 07:59:59", "btw:2026-10-31 23:59:59,2026-11-01 00:59:59"},
		"from just after them":       {"2026-11-01 10:00:01", "2026-11-01 11:00:00", "btw:2026-11-01 02:00:00,2026-11-01 03:00:00"},
		"the day of the change":      {"2026-11-01 07:00:00", "2026-11-02 08:00:00", "btw:2026-10-31 23:59:59,2026-11-02 00:00:00"},
		"across the gap":             {"2026-03-08 09:30:00", "2026-03-08 10:30:00", "btw:2026-03-08 01:29:59,2026-03-08 03:30:00"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			asked := ""
			s := jsonScript().with("conversations", `{"response":{"conversations":[]}}`)
			p := open(t, "json", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = max(asked, r.URL.Query().Get("datechanged"))
				s.ServeHTTP(w, r)
			}))
			if err := second(pollertest.Collect(p, pollers.Window{Stream: "conversations", From: at(c.from), To: at(c.to)})); err != nil || asked != c.want {
				t.Errorf("asked for %s, %v; want %s", asked, err, c.want)
			}
		})
	}
}

func TestNothingIsMissedAroundAChangeOfClocks(t *testing.T) {
	o := simulated.Options{Seed: 5, Days: 2, Chats: 300, Start: time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC)}
	o.Now = func() time.Time { return o.Start }
	sim := liveagentsim.New(o)
	p := vendor("json", nil).Serve(t, sim, sim)
	for _, e := range sim.Ledger() {
		from := e.At.Truncate(10 * time.Minute)
		if e.Stream != "conversations" || e.At.Before(time.Date(2026, 11, 1, 7, 0, 0, 0, time.UTC)) || e.At.After(time.Date(2026, 11, 1, 11, 0, 0, 0, time.UTC)) {
			continue
		}
		records, err := pollertest.Collect(p, pollers.Window{Stream: "conversations", From: from, To: from.Add(10 * time.Minute)})
		if err != nil || !slices.ContainsFunc(records, func(r events.Record) bool { return r.Key == e.Key }) {
			t.Errorf("%s at %s is not in its window: %v", e.Key, e.At, err)
		}
	}
}

func TestCredentialsByNameAreCutOut(t *testing.T) {
	cases := map[string]map[string]string{
		"json": {
			`{"response":{"conversationid":"c1","authtoken":"s3cret","x":1}}`:                                  `{"response":{"conversationid":"c1","x":1}}`,
			`{"response":{"conversationid":"c1", "a":[{"AuthToken" : {"v":["s3cret}",1]}}, 2] }}`:              `{"response":{"conversationid":"c1", "a":[{}, 2] }}`,
			`{"response":{"conversationid":"c1" , "password":null}}`:                                           `{"response":{"conversationid":"c1" }}`,
			`{"response":{"conversationid":"c1","auth\u0074oken":"s3cret","api_key":5,"b":"apikey"}}`:          `{"response":{"conversationid":"c1","b":"apikey"}}`,
			`{"response":{"conversationid":"c1","t":"my \"authtoken\":\"no secret\"","browsercookiename":[]}}`: `{"response":{"conversationid":"c1","t":"my \"authtoken\":\"no secret\""}}`,
		},
		"xml": {
			"<response><conversationid>c1</conversationid><authtoken a='>'>s3cret</authtoken><x/></response>":        "<response><conversationid>c1</conversationid><x/></response>",
			"<response><conversationid>c1</conversationid><y><n:Password>s3\ncret</n:Password ></y></response>":      "<response><conversationid>c1</conversationid><y></y></response>",
			"<response><conversationid>c1</conversationid><apikey/><api_key /><authtokens>1</authtokens></response>": "<response><conversationid>c1</conversationid><authtokens>1</authtokens></response>",
		},
	}
	for format, s := range scripts() {
		for body, want := range cases[format] {
			records, err := pollertest.Collect(open(t, format, s.with("conversations/c1", body)), window())
			if err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if got := string(records[0].Part("detail")); got != want {
				t.Errorf("%s\nbecomes %s\nwant    %s", body, got, want)
			}
		}
	}
}

func TestTheKeyInABodyIsRedacted(t *testing.T) {
	records, err := pollertest.Collect(open(t, "json", jsonScript().with("conversations/c1", `{"response":{"conversationid":"c1","x":"`+key+`"}}`)), window())
	if err != nil || bytes.Contains(records[0].Part("detail"), []byte(key)) {
		t.Errorf("%s, %v", records[0].Part("detail"), err)
	}
}

func TestOfAPartTooLargeToKeepItsStartStays(t *testing.T) {
	filler := strings.Repeat("y", events.MaxRecordBytes)
	large := map[string][2]string{
		"json": {`{"response":{"conversationid":"c1","authtoken":"s3cret","x":"` + filler, `"}} `},
		"xml":  {`<response><conversationid>c1</conversationid><authtoken>s3cret</authtoken><x>` + filler, "</x></response>\n"},
	}
	for format, s := range scripts() {
		whole := large[format][0] + large[format][1]
		records, err := pollertest.Collect(open(t, format, s.with("conversations/c1", whole)), window())
		if err != nil || len(records) != 1 {
			t.Fatalf("%s: %d records, %v", format, len(records), err)
		}
		body, is := records[0].Oversize()
		if !is || body.Size != int64(len(whole)) || len(body.SHA256) != 64 || len(body.Bytes) > events.OversizeKeptBytes || bytes.Contains(body.Bytes, []byte("s3cret")) {
			t.Errorf("%s: size %d of %d, digest %s, %d bytes kept", format, body.Size, len(whole), body.SHA256, len(body.Bytes))
		}
		if err := second(pollertest.Collect(open(t, format, s.with("conversations/c1", large[format][0])), window())); !errors.Is(err, pollers.ErrIncomplete) {
			t.Errorf("%s: cut: %v", format, err)
		}
	}
}

func TestDeletedDepartmentsAreReadToo(t *testing.T) {
	s := jsonScript().with("departments", `{"response":{"departments":[{"departmentid":1,"deleted":"N"},{"departmentid":"d2","deleted":"Y"}]}}`,
		"conversations?1", `{"response":{"conversations":[]}}`)
	p := open(t, "json", s)
	keys := 0
	reading, err := p.Fetch(context.Background(), window(), func(events.Record) error { keys++; return nil })
	if err != nil || keys != 1 || reading.Requests != 1+2+3 {
		t.Errorf("%d records, %+v, %v", keys, reading, err)
	}
}

func TestSettingsAreHeldToTheirForms(t *testing.T) {
	for name, c := range map[string]struct {
		variables map[string]string
		want      []string
	}{
		"nothing":           {map[string]string{"VENDOR": "liveagent"}, []string{"T_API_KEY", "T_URL"}},
		"an unknown format": {map[string]string{"VENDOR": "liveagent", "URL": "https://a.example", "API_KEY": key, "FORMAT": "yaml"}, []string{"T_FORMAT"}},
	} {
		if got := faults(c.variables); !slices.Equal(got, c.want) {
			t.Errorf("%s: faults of %v, want %v", name, got, c.want)
		}
	}
}

func TestAListBeyondWhatIsHeldIsReadWhole(t *testing.T) {
	row := func(id string) string {
		return `{"conversationid":"` + id + `","preview":"` + strings.Repeat("y", 9<<20) + `"}`
	}
	list := `{"response":{"conversations":[` + row("c1") + "," + row("c1") + "," + row("..") + `]}}`
	records, err := pollertest.Collect(open(t, "json", jsonScript().with("conversations", list)), window())
	if err != nil || len(records) != 3 || len(records[1].Parts) != 4 || records[2].Key != ".." {
		t.Errorf("%d records, %v", len(records), err)
	}
	if err := second(pollertest.Collect(open(t, "json", jsonScript().with("conversations", list[:len(list)-3])), window())); !errors.Is(err, pollers.ErrIncomplete) {
		t.Errorf("cut: %v", err)
	}
}
