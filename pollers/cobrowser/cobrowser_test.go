package cobrowser_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/cobrowser"
	"github.com/parley-stream/parley/pollers/cobrowser/cobrowsersim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

func TestTheRoomReadsItsVendor(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"semicolons": nil,
		"colons":     {"SEPARATOR": ":"},
	} {
		t.Run(name, func(t *testing.T) {
			pollertest.Run(t, pollertest.Vendor{
				NewSim:    func(o simulated.Options) pollertest.Sim { return cobrowsersim.New(o) },
				New:       cobrowser.New,
				Secret:    "API_KEY",
				Variables: variables,
			})
		})
	}
}

const apiKey = "Zk4Invented7Key9x"

// wire answers requests in memory and remembers their queries.
type wire struct {
	answer func(n int, q url.Values) reply

	mu      sync.Mutex
	queries []url.Values
}

// reply is one response; an unframed one ends with its connection.
type reply struct {
	body   io.Reader
	framed bool
	ends   error // what the body ends with instead of io.EOF
}

func framed(body string) reply { return reply{body: strings.NewReader(body), framed: true} }

func unframed(body string) reply { return reply{body: strings.NewReader(body)} }

// always gives every request the same framed body.
func always(body string) *wire {
	return &wire{answer: func(int, url.Values) reply { return framed(body) }}
}

type endless struct {
	io.Reader
	end error
}

func (e endless) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err == io.EOF && e.end != nil {
		err = e.end
	}
	return n, err
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	n := len(w.queries)
	w.queries = append(w.queries, r.URL.Query())
	w.mu.Unlock()
	a := w.answer(n, r.URL.Query())
	resp := &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: -1, Request: r,
		Body: io.NopCloser(endless{a.body, a.ends}),
	}
	if a.framed {
		resp.TransferEncoding = []string{"chunked"}
	}
	return resp, nil
}

// open makes a poller over the wire. More are variables, name and value in turn.
func open(t testing.TB, w http.RoundTripper, now func() time.Time, more ...string) pollers.Poller {
	t.Helper()
	variables := map[string]string{"VENDOR": "cobrowser", "USER": "reporting@shop.example", "API_KEY": apiKey, "TIMEZONE": "Europe/Amsterdam"}
	for i := 0; i < len(more); i += 2 {
		variables[more[i]] = more[i+1]
	}
	vars := settings.New("X_", variables)
	p := cobrowser.New(pollers.DecodeSettings("x", vars), vars, pollers.Env{
		Connect: func(_ string, _ pollers.Rate, secrets []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{Secrets: secrets, Transport: w})
		},
		Logger: slog.New(slog.DiscardHandler),
		Now:    now,
	})
	vars.Unknown()
	if faults := vars.Faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	return p
}

var amsterdam = func() *time.Location {
	loc, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		panic(err)
	}
	return loc
}()

func at(text string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, text, amsterdam)
	if err != nil {
		panic(err)
	}
	return t
}

func clock(text string) func() time.Time { return func() time.Time { return at(text) } }

// day is the window of a whole day in Amsterdam.
func day(date string) pollers.Window {
	from := at(date + " 00:00:00")
	return pollers.Window{Stream: "conversations", From: from.UTC(), To: from.AddDate(0, 0, 1).UTC()}
}

var columns = []string{
	"conversation_start", "browse_id", "account_id", "num_messages", "duration_secs", "avgMessageLength", "maxMessageLength",
	"last_agent_id", "reseller_id", "visitor_id", "requestType", "assigned_agent_id", "acceptUrl", "accept_host_id",
	"decisionTime", "firstResponseTime", "transcriptUrl", "avgResponseTime", "maxResponseTime", "successcode", "firstReplyTime",
}

// line joins values as the vendor documents.
func line(sep string, values ...string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
	}
	return strings.Join(quoted, sep)
}

// chat gives the values of one conversation.
func chat(browseID string, start time.Time) []string {
	return []string{
		start.In(amsterdam).Format(time.RFC1123Z), browseID, "41", "7", "312", "38.5", "120", "90417", "77", "v58213009", "ask_reactive", "90311",
		"https://shop.example/a;b,c:d|e?utm_source=newsletter&utm_medium=mail&utm_campaign=autumn&item=" + browseID, "3", "4", "11", "https://transcripts.shop.example/read?b=" + browseID + "&t=5f0c29d1a7e84b3690ffab1274c3de58", "10", "31", "sale", "12",
	}
}

func key(browseID string, start time.Time) string {
	return fmt.Sprintf("41-%s-%d", browseID, start.Unix())
}

// export gives a response of these rows under the documented header.
func export(rows ...[]string) string {
	out := line(";", columns...) + "\r\n"
	for _, r := range rows {
		out += line(";", r...) + "\r\n"
	}
	return out
}

func keys(records []events.Record) []string {
	out := make([]string, len(records))
	for i := range records {
		out[i] = records[i].Key
	}
	return out
}

func same(a, b []string) bool {
	return strings.Join(a, "\n") == strings.Join(b, "\n") && len(a) == len(b)
}

func TestARecordIsTheHeaderAndTheRowsOwnBytes(t *testing.T) {
	start := at("2026-10-27 10:00:00")
	for _, sep := range []string{";", ",", ":", "|"} {
		row := chat("9001", start)
		row[19] = "a " + sep + " \"b\"\r\nc\nd\x00"
		header := line(sep, columns...)
		w := always(header + "\r\n" + line(sep, row...) + "\r\n" + line(sep, chat("9002", start)...) + "\r\n")
		records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00"), "SEPARATOR", sep), day("2026-10-27"))
		if err != nil || !same(keys(records), []string{key("9001", start), key("9002", start)}) {
			t.Fatalf("separator %s: keys %v, %v", sep, keys(records), err)
		}
		r := records[0]
		if got, want := string(r.Parts[0].Body.Bytes), header+"\n"+line(sep, row...); got != want {
			t.Errorf("separator %s: bytes\n%q, want\n%q", sep, got, want)
		}
		if r.Parts[0].ContentType != events.ContentCSV || r.Params["separator"] != sep {
			t.Errorf("separator %s: content type %q, parameters %v", sep, r.Parts[0].ContentType, r.Params)
		}
	}
}

func TestTheQueryIsTheDocumentedOneAndTheRecordsURLHoldsNoCredential(t *testing.T) {
	w := always(export(chat("1", at("2026-10-24 10:00:00"))))
	records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00"), "SEPARATOR", ";"), day("2026-10-24"))
	if err != nil {
		t.Fatal(err)
	}
	want := "apiKey=" + apiKey + "&c=conversations&csvseperator=%3B&start=3&stop=3&user=reporting%40shop.example"
	if got := w.queries[0].Encode(); got != want {
		t.Errorf("query %s, want %s", got, want)
	}
	const shown = "https://client.cobrowser.net/generic/api/csv.php?c=conversations&csvseperator=%3B&start=3&stop=3"
	if got := records[0].Parts[0].URL; got != shown {
		t.Errorf("URL %s, want %s", got, shown)
	}
}

func TestTheColumnsAreFoundByNameOrElseByTheDocumentedOrder(t *testing.T) {
	start := at("2026-10-27 10:00:00")
	c := chat("9001", start)
	documented := line(";", columns...)
	for name, test := range map[string]struct{ body, header, row string }{
		"documented":           {documented + "\n" + line(";", c...) + "\n", documented, line(";", c...)},
		"a byte order mark":    {"\xef\xbb\xbf" + documented + "\r\n" + line(";", c...) + "\r\n", documented, line(";", c...)},
		"no header":            {line(";", c...) + "\r\n", documented, line(";", c...)},
		"a mark, no header":    {"\xef\xbb\xbf" + line(";", c...) + "\n", documented, line(";", c...)},
		"another order":        {line(";", "x", "account_id", "browse_id", "conversation_start") + "\n" + line(";", "?", c[2], c[1], c[0]) + "\n", line(";", "x", "account_id", "browse_id", "conversation_start"), line(";", "?", c[2], c[1], c[0])},
		"without quotes":       {"conversation_start;browse_id;account_id\n" + c[0] + ";9001;41\r\n", "conversation_start;browse_id;account_id", c[0] + ";9001;41"},
		"empty lines":          {"\r\n\n" + documented + "\n\n" + line(";", c...) + "\r\n\r\n", documented, line(";", c...)},
		"a line break in it":   {line(";", append(columns, "two\r\nlines")...) + "\r\n" + line(";", append(c, "x")...) + "\r\n", line(";", append(columns, "two\r\nlines")...), line(";", append(c, "x")...)},
		"no end of last line":  {documented + "\r\n" + line(";", c...), documented, line(";", c...)},
		"half an end, CR only": {documented + "\r\n" + line(";", c...) + "\r", documented, line(";", c...)},
	} {
		t.Run(name, func(t *testing.T) {
			records, err := pollertest.Collect(open(t, always(test.body), clock("2026-10-27 12:00:00")), day("2026-10-27"))
			if err != nil || !same(keys(records), []string{key("9001", start)}) {
				t.Fatalf("keys %q, %v", keys(records), err)
			}
			if got, want := string(records[0].Parts[0].Body.Bytes), test.header+"\n"+test.row; got != want {
				t.Errorf("bytes\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestAHeaderAloneIsAnEmptyDay(t *testing.T) {
	for name, body := range map[string]string{"with its end": export(), "without": line(";", columns...)} {
		records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), day("2026-10-27"))
		if err != nil || len(records) != 0 {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
	}
}

func TestWhatIsNotTheDocumentedAnswerIsIncomplete(t *testing.T) {
	c := chat("9001", at("2026-10-27 10:00:00"))
	untimed := append([]string{"today"}, c[1:]...)
	for name, body := range map[string]string{
		"nothing":                      "",
		"a byte order mark":            "\xef\xbb\xbf",
		"line ends":                    "\r\n\r\n",
		"HTML":                         "<html>\n<body>Please sign in</body>\n</html>\n",
		"JSON":                         `{"error":"oops"}`,
		"a word":                       "denied",
		"a row too short for a header": line(";", c[:20]...) + "\n",
		"a first row without a time":   line(";", untimed...) + "\n",
		"another separator":            line(",", columns...) + "\n" + line(",", c...) + "\n",
		"UTF-16":                       "\xff\xfe\"\x00c\x00",
		"half a header":                line(";", columns[:9]...),
		"a header cut in a name":       `"conversation_start";"browse_id";"account_id";"num`,
		"a first line without end":     strings.Repeat("x", 3<<20),
		"an error at the end":          export(c) + "Fatal error: time exceeded in csv.php\n",
		"an error among the rows":      export(c) + "<br />\n<b>Warning</b>: oops<br />\n" + line(";", c...) + "\n",
		"a row that stops":             export(c) + line(";", c[:5]...),
		"a row that stops in quotes":   export(c) + `"Tue, 27 Oct`,
		"a row that stops after one":   export(c) + line(";", c[:20]...) + ";",
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, always(body), clock("2026-10-27 12:00:00"))
			records, err := pollertest.Collect(p, day("2026-10-27"))
			if !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("%d records, %v; want ErrIncomplete", len(records), err)
			}
			for _, r := range records {
				if r.Key != key("9001", at("2026-10-27 10:00:00")) {
					t.Errorf("a record %q was emitted", r.Parts[0].Body.Bytes)
				}
			}
		})
	}
}

func TestABadRowIsAMalformedRecordAndTheRestIsRead(t *testing.T) {
	start := at("2026-10-27 10:00:00")
	good := chat("9001", start)
	edit := func(i int, value string) []string {
		row := chat("9002", start)
		row[i] = value
		return row
	}
	for name, bad := range map[string]string{
		"a column too few":      line(";", good[:20]...),
		"a column too many":     line(";", append(good, "x")...),
		"no browse id":          line(";", edit(1, "")...),
		"no account":            line(";", edit(2, " ")...),
		"no time":               line(";", edit(0, "")...),
		"a time of no form":     line(";", edit(0, "2026-10-27 10:00")...),
		"an id of bytes":        line(";", edit(1, "\xff\xfe")...),
		"quotes not doubled":    strings.Replace(line(";", edit(19, "*")...), "*", `he said "hi"; bye`, 1),
		"a thousand separators": `"` + strings.Repeat(`";"`, 3000) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			body := export(good) + bad + "\r\n" + line(";", chat("9003", start)...) + "\r\n"
			records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), day("2026-10-27"))
			if err != nil || !same(keys(records), []string{key("9001", start), "", key("9003", start)}) {
				t.Fatalf("keys %q, %v", keys(records), err)
			}
			if got, want := string(records[1].Parts[0].Body.Bytes), line(";", columns...)+"\n"+bad; got != want {
				t.Errorf("bytes\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestAQuoteThatIsNotDoubledIsTextWhereItCannotEndItsValue(t *testing.T) {
	start := at("2026-10-27 10:00:00")
	row := strings.Replace(line(";", chat("9001", start)...), "sale", `said "yes" and left`, 1)
	body := export() + row + "\r\n"
	records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), day("2026-10-27"))
	if err != nil || !same(keys(records), []string{key("9001", start)}) {
		t.Errorf("keys %q, %v", keys(records), err)
	}
}

func TestAnUnclosedQuoteSpoilsItsRowAndTheNextOnly(t *testing.T) {
	start := at("2026-10-27 10:00:00")
	bad := strings.TrimSuffix(line(";", chat("9002", start)...), `"`)
	body := export(chat("9001", start)) + bad + "\r\n" + line(";", chat("9003", start)...) + "\r\n" + line(";", chat("9004", start)...) + "\r\n"
	records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), day("2026-10-27"))
	if err != nil || !same(keys(records), []string{key("9001", start), "", key("9004", start)}) {
		t.Fatalf("keys %q, %v", keys(records), err)
	}
	if !bytes.Contains(records[1].Parts[0].Body.Bytes, []byte(bad+"\r\n"+line(";", chat("9003", start)...))) {
		t.Errorf("the malformed record lacks bytes of its rows: %q", records[1].Parts[0].Body.Bytes)
	}
}

func TestRowsOfTheDayOutsideTheWindowAreLeftOut(t *testing.T) {
	w := day("2026-10-27")
	w.From, w.To = at("2026-10-27 09:00:00").UTC(), at("2026-10-27 10:00:00").UTC()
	body := export(chat("1", at("2026-10-27 08:59:59")), chat("2", w.From), chat("3", at("2026-10-27 09:59:59")), chat("4", w.To))
	records, err := pollertest.Collect(open(t, always(body), clock("2026-10-27 12:00:00")), w)
	if err != nil || !same(keys(records), []string{key("2", w.From), key("3", at("2026-10-27 09:59:59"))}) {
		t.Errorf("keys %q, %v", keys(records), err)
	}
}

func TestACredentialThatTheVendorEchoesDoesNotEnterARecord(t *testing.T) {
	start := at("2026-10-27 10:00:00")
	row := chat("9001", start)
	row[16] = "https://transcripts.shop.example/?apiKey=" + apiKey
	records, err := pollertest.Collect(open(t, always(export(row)), clock("2026-10-27 12:00:00")), day("2026-10-27"))
	if err != nil || !same(keys(records), []string{key("9001", start)}) {
		t.Fatalf("keys %q, %v", keys(records), err)
	}
	if body := string(records[0].Parts[0].Body.Bytes); strings.Contains(body, apiKey) || !strings.Contains(body, "apiKey=[redacted]") {
		t.Errorf("the record holds %q", body)
	}
}

func TestAnErrorShowsNoPartOfACredentialThatTheVendorEchoes(t *testing.T) {
	for pad := range 140 {
		w := always(strings.Repeat("x", pad) + apiKey + "\n")
		_, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), day("2026-10-27"))
		if err == nil || strings.Contains(err.Error(), apiKey[:4]) {
			t.Fatalf("after %d bytes: %v", pad, err)
		}
	}
}

func TestSettingsNameWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		variables map[string]string
		want      string
	}{
		"a separator that is none": {map[string]string{"USER": "u", "API_KEY": apiKey, "SEPARATOR": "tab"}, "X_SEPARATOR"},
		"no user":                  {map[string]string{"API_KEY": apiKey}, "X_USER"},
		"no key":                   {map[string]string{"USER": "u"}, "X_API_KEY"},
	} {
		vars := settings.New("X_", test.variables)
		cobrowser.New(pollers.Settings{}, vars, pollers.Env{
			Connect: func(string, pollers.Rate, []string) *pollers.Client {
				return pollers.NewClient(pollers.ClientOptions{})
			},
		})
		if faults := vars.Faults(); len(faults) != 1 || faults[0].Variable != test.want {
			t.Errorf("%s: %v; want one of %s", name, faults, test.want)
		}
	}
}

func TestTheDefaultZoneIsTheVendorsHome(t *testing.T) {
	p := open(t, always(""), clock("2026-10-27 12:00:00"), "TIMEZONE", "")
	if got := p.Describe().Location.String(); got != "Europe/Amsterdam" {
		t.Errorf("zone %s", got)
	}
}

func TestCheckReadsNoMoreThanTheFirstRow(t *testing.T) {
	w := &wire{answer: func(int, url.Values) reply {
		return reply{body: io.MultiReader(strings.NewReader(export()), strings.NewReader("<broken>")), framed: true, ends: io.ErrUnexpectedEOF}
	}}
	if err := open(t, w, clock("2026-10-27 12:00:00")).Check(context.Background()); err != nil {
		t.Error(err)
	}
	if q := w.queries[0]; q.Get("start") != "0" || q.Get("stop") != "0" {
		t.Errorf("query %v; want today", q)
	}
}

func days(w *wire) string {
	var out []string
	for _, q := range w.queries {
		out = append(out, q.Get("start")+"-"+q.Get("stop"))
	}
	return strings.Join(out, " ")
}
