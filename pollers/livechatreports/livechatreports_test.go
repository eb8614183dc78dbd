package livechatreports_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/livechatreports"
	"github.com/parley-stream/parley/pollers/pollertest"
)

const token = "fra:canary-0f3c9b"

// vendor answers every request alike and keeps the last one, and the bodies of all.
type vendor struct {
	status int
	header http.Header
	body   []byte

	request *http.Request
	sent    string
	all     []string
}

func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	v.request, v.sent = r, string(sent)
	v.all = append(v.all, v.sent)
	header := v.header
	if header == nil {
		header = http.Header{}
	}
	status := v.status
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(v.body)), ContentLength: int64(len(v.body)), Request: r,
	}, err
}

var now = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func open(t testing.TB, v *vendor, more map[string]string) (pollers.Poller, string) {
	t.Helper()
	variables := map[string]string{"VENDOR": "livechat-reports", "TOKEN": token, "TIMEZONE": "Europe/Oslo"}
	maps.Copy(variables, more)
	vars := settings.New("PARLEY_SOURCE_TEST_", variables)
	account := ""
	p := livechatreports.New(pollers.DecodeSettings("test", vars), vars, pollers.Env{
		Connect: func(name string, _ pollers.Rate, secrets []string) *pollers.Client {
			account = name
			return pollers.NewClient(pollers.ClientOptions{Secrets: secrets, Transport: v})
		},
		Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return now },
	})
	if vars.Unknown(); len(vars.Faults()) > 0 {
		t.Fatal(vars.Faults())
	}
	return p, account
}

func date(t testing.TB, zone string, y int, m time.Month, d, h int) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return time.Date(y, m, d, h, 0, 0, 0, loc).UTC()
}

// october is the window of the 25th in Oslo, which has 25 hours.
func october(t testing.TB) pollers.Window { return of(t, "chats/ratings") }

// of is that window of another report.
func of(t testing.TB, report string) pollers.Window {
	return pollers.Window{Stream: report, From: date(t, "Europe/Oslo", 2026, 10, 25, 0), To: date(t, "Europe/Oslo", 2026, 10, 26, 0)}
}

func answer(records string) []byte {
	return []byte(`{"name":"ratings-report","total":4,"records":` + records + `}`)
}

func TestTheRequestsNameZoneAndBothEndsOfEachPeriod(t *testing.T) {
	body := func(distribution, zone, from, to string) string {
		return `{"distribution":"` + distribution + `","timezone":"` + zone + `","filters":{"from":"` + from + `","to":"` + to + `"}}`
	}
	cases := map[string]struct {
		zone, distribution string
		from, to           time.Time
		want               []string
	}{
		"over the end of summer time": {
			"Europe/Oslo", "day", date(t, "Europe/Oslo", 2026, 10, 24, 0), date(t, "Europe/Oslo", 2026, 10, 27, 0), []string{
				body("day", "Europe/Oslo", "2026-10-24T00:00:00+02:00", "2026-10-24T23:59:59.999999+02:00"),
				body("day", "Europe/Oslo", "2026-10-25T00:00:00+02:00", "2026-10-25T23:59:59.999999+01:00"),
				body("day", "Europe/Oslo", "2026-10-26T00:00:00+01:00", "2026-10-26T23:59:59.999999+01:00"),
			},
		},
		"a day of 23 hours by the hour": {
			"Europe/Oslo", "hour", date(t, "Europe/Oslo", 2026, 3, 29, 0), date(t, "Europe/Oslo", 2026, 3, 30, 0),
			[]string{body("hour", "Europe/Oslo", "2026-03-29T00:00:00+01:00", "2026-03-29T23:59:59.999999+02:00")},
		},
		"a window within days is widened to them": {
			"Europe/Oslo", "day-hours", date(t, "Europe/Oslo", 2026, 10, 26, 15), date(t, "Europe/Oslo", 2026, 10, 27, 1), []string{
				body("day-hours", "Europe/Oslo", "2026-10-26T00:00:00+01:00", "2026-10-26T23:59:59.999999+01:00"),
				body("day-hours", "Europe/Oslo", "2026-10-27T00:00:00+01:00", "2026-10-27T23:59:59.999999+01:00"),
			},
		},
		"months": {
			"Europe/Oslo", "month", date(t, "Europe/Oslo", 2026, 9, 30, 0), date(t, "Europe/Oslo", 2026, 10, 2, 0), []string{
				body("month", "Europe/Oslo", "2026-09-01T00:00:00+02:00", "2026-09-30T23:59:59.999999+02:00"),
				body("month", "Europe/Oslo", "2026-10-01T00:00:00+02:00", "2026-10-31T23:59:59.999999+01:00"),
			},
		},
		"a year": {
			"Europe/Oslo", "year", date(t, "Europe/Oslo", 2026, 9, 30, 0), date(t, "Europe/Oslo", 2026, 10, 2, 0),
			[]string{body("year", "Europe/Oslo", "2026-01-01T00:00:00+01:00", "2026-12-31T23:59:59.999999+01:00")},
		},
		"UTC and days by default": {
			"", "", date(t, "UTC", 2026, 10, 24, 0), date(t, "UTC", 2026, 10, 25, 0),
			[]string{body("day", "UTC", "2026-10-24T00:00:00+00:00", "2026-10-24T23:59:59.999999+00:00")},
		},
		"a zone that skips midnight": {
			"Africa/Cairo", "day", date(t, "Africa/Cairo", 2026, 4, 24, 1), date(t, "Africa/Cairo", 2026, 4, 25, 0),
			[]string{body("day", "Africa/Cairo", "2026-04-24T01:00:00+03:00", "2026-04-24T23:59:59.999999+03:00")},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := &vendor{body: answer(`{}`)}
			p, _ := open(t, v, map[string]string{"TIMEZONE": c.zone, "DISTRIBUTION": c.distribution})
			reading, err := p.Fetch(t.Context(), pollers.Window{Stream: "chats/ratings", From: c.from, To: c.to}, func(events.Record) error { return nil })
			if err != nil || reading.Requests != len(c.want) {
				t.Fatal(reading.Requests, err)
			}
			if !slices.Equal(v.all, c.want) {
				t.Errorf("sent %s\nwant %s", strings.Join(v.all, "\n"), strings.Join(c.want, "\n"))
			}
			if v.request.Method != http.MethodPost || v.request.URL.String() != "https://api.livechatinc.com/v3.6/reports/chats/ratings" ||
				v.request.Header.Get("Content-Type") != "application/json" || v.request.Header.Get("Authorization") != "Bearer "+token {
				t.Errorf("%s %s %v", v.request.Method, v.request.URL, v.request.Header)
			}
		})
	}
}

func TestAccountsAreToldApartWithoutTheToken(t *testing.T) {
	_, id := open(t, &vendor{}, map[string]string{"ACCOUNT_ID": "a-1"})
	_, one := open(t, &vendor{}, nil)
	_, same := open(t, &vendor{}, map[string]string{"TIMEZONE": "UTC"})
	_, other := open(t, &vendor{}, map[string]string{"TOKEN": "fra:another-token"})
	if id != "livechat-reports/a-1" || one != same || one == other || strings.Contains(one, token) {
		t.Errorf("accounts %q, %q, %q, %q", id, one, same, other)
	}
}

func TestAnAccountIDWithAColonIsAFault(t *testing.T) {
	vars := settings.New("PARLEY_SOURCE_TEST_", map[string]string{"VENDOR": "livechat-reports", "TOKEN": token, "ACCOUNT_ID": "a:b"})
	livechatreports.New(pollers.DecodeSettings("test", vars), vars, pollers.Env{
		Connect: func(string, pollers.Rate, []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{})
		},
	})
	if faults := vars.Faults(); len(faults) != 1 || faults[0].Variable != "PARLEY_SOURCE_TEST_ACCOUNT_ID" {
		t.Errorf("faults %v; want one of ACCOUNT_ID", faults)
	}
}

// told is a record as a test compares it.
type told struct{ key, body, params string }

func tell(r events.Record) told {
	var bodies []string
	for _, p := range r.Parts {
		bodies = append(bodies, p.Name+string(p.Body.Bytes))
	}
	return told{r.Key, strings.Join(bodies, " "), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(r.Params), "map["), "]")}
}

func wantRecords(t *testing.T, records []events.Record, want []told) {
	t.Helper()
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d: %v", len(records), len(want), records)
	}
	for i, w := range want {
		if got := tell(records[i]); got != w {
			t.Errorf("record %d:\n%+v, want\n%+v", i, got, w)
		}
	}
}

const sunday = "start:2026-10-24T22:00:00Z timezone:Europe/Oslo"

func TestEachBucketAndTheRestIsARecord(t *testing.T) {
	v := &vendor{body: []byte(`{ "name":"ratings-report", "total" : 4, "records": {
		"2026-10-25": { "bad":1,"chats":3 } }, "request":{"timezone":"Europe/Oslo"}}`)}
	p, _ := open(t, v, nil)
	records, err := pollertest.Collect(p, october(t))
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, records, []told{
		{
			"chats/ratings/2026-10-24T22:00:00Z/day", `{"2026-10-25":{ "bad":1,"chats":3 }}`,
			"bucket:2026-10-25 end:2026-10-25T23:00:00Z grain:day report:chats/ratings " + sunday,
		},
		{
			"chats/ratings/2026-10-24T22:00:00Z/window", `{"name":"ratings-report","total":4,"request":{"timezone":"Europe/Oslo"}}`,
			"end:2026-10-25T23:00:00Z grain:window report:chats/ratings " + sunday,
		},
	})
}

func TestDaysThatTheVendorLeavesOutGiveNoRecord(t *testing.T) {
	for body, want := range map[string]int{
		`{"name":"ratings-report","total":0,"records":{}}`:                         1,
		`{"name":"ratings-report","records":{}}`:                                   0,
		`{"name":"ratings-report","error":null,"records":{"2026-10-25":{}}}`:       2,
		`{"name":"ratings-report","total":1,"records":{"2026-10-25":{"chats":1}}}`: 2,
	} {
		p, _ := open(t, &vendor{body: []byte(body)}, nil)
		if records, err := pollertest.Collect(p, october(t)); err != nil || len(records) != want {
			t.Errorf("%s: %d records, %v; want %d", body, len(records), err, want)
		}
	}
}

func TestABrokenBucketIsARecordForTheDeadLetters(t *testing.T) {
	const day = "chats/ratings/2026-10-24T22:00:00Z/day"
	cases := map[string]struct{ records, key, body string }{
		"a string":             {`{"2026-10-25":"no"}`, day, `{"2026-10-25":"no"}`},
		"null":                 {`{"2026-10-25":null}`, day, `{"2026-10-25":null}`},
		"broken inside":        {`{"2026-10-25":{"chats" 3}}`, day, `{"2026-10-25":{"chats" 3}}`},
		"an escaped name":      {`{"2026-10-2\u0035":{}}`, day, `{"2026-10-25":{}}`},
		"no day":               {`{"unassigned":{"chats":3}}`, "", `{"unassigned":{"chats":3}}`},
		"a time":               {`{"2026-10-25T00:00:00Z":{}}`, "", `{"2026-10-25T00:00:00Z":{}}`},
		"a day of no calendar": {`{"2026-02-30":{}}`, "", `{"2026-02-30":{}}`},
		"no name":              {`{"":{}}`, "", `{"":{}}`},
		"a name with a quote":  {`{"a\"b":{}}`, "", `{"a\"b":{}}`},
		"invalid UTF-8":        {"{\"\xff\":{}}", "", "{\"\xff\":{}}"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := open(t, &vendor{body: answer(c.records)}, nil)
			records, err := pollertest.Collect(p, october(t))
			if err != nil || len(records) != 2 {
				t.Fatalf("%d records, %v; want 2", len(records), err)
			}
			if r := records[0]; r.Key != c.key || string(r.Part("")) != c.body {
				t.Errorf("key %q, body %s; want %q, %s", r.Key, r.Part(""), c.key, c.body)
			}
		})
	}
}

func TestADayThatTheZoneSkippedHasNoKey(t *testing.T) {
	p, _ := open(t, &vendor{body: answer(`{"2011-12-29":{},"2011-12-30":{}}`)}, map[string]string{"TIMEZONE": "Pacific/Apia"})
	w := pollers.Window{Stream: "chats/ratings", From: date(t, "Pacific/Apia", 2011, 12, 29, 0), To: date(t, "Pacific/Apia", 2011, 12, 31, 0)}
	records, err := pollertest.Collect(p, w)
	if err != nil || len(records) != 3 || records[0].Key == "" || records[1].Key != "" || records[2].Key == "" {
		t.Errorf("%v, %v; want a second record without a key", records, err)
	}
}

func TestWhatIsNotTheReportIsIncompleteAndGivesNothing(t *testing.T) {
	cases := map[string]string{
		"a day before the window":    string(answer(`{"2026-10-25":{},"2026-10-24":{}}`)),
		"a day after the window":     string(answer(`{"2026-10-25":{},"2026-10-26":{}}`)),
		"a day twice":                string(answer(`{"2026-10-25":{},"2026-10-25":{"chats":1}}`)),
		"a day twice, once escaped":  string(answer(`{"2026-10-25":{},"2026-10-2\u0035":{}}`)),
		"records that are null":      string(answer(`null`)),
		"records that are a list":    string(answer(`[]`)),
		"records twice":              `{"name":"ratings-report","records":{},"records":{"2026-10-25":{}}}`,
		"no records":                 `{"name":"ratings-report","total":4}`,
		"another report":             `{"name":"total-chats-report","total":4,"records":{"2026-10-25":{}}}`,
		"no name":                    `{"total":4,"records":{"2026-10-25":{}}}`,
		"a name of other letters":    `{"Name":"ratings-report","total":4,"records":{"2026-10-25":{}}}`,
		"a name that is a number":    `{"name":7,"total":4,"records":{"2026-10-25":{}}}`,
		"garbage behind it":          string(answer(`{"2026-10-25":{}}`)) + "x",
		"a second answer behind it":  string(answer(`{"2026-10-25":{}}`)) + string(answer(`{}`)),
		"a comma too many":           string(answer(`{"2026-10-25":{},}`)),
		"an error beside the answer": `{"name":"ratings-report","records":{"2026-10-25":{}},"error":"half of it"}`,
		"an answer that nests deep":  string(answer(`{"2026-10-25":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`)),
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := open(t, &vendor{body: []byte(body)}, nil)
			if records, err := pollertest.Collect(p, october(t)); !errors.Is(err, pollers.ErrIncomplete) || len(records) != 0 {
				t.Errorf("%d records, %v; want none and ErrIncomplete", len(records), err)
			}
		})
	}
}

func TestEveryTruncationIsIncomplete(t *testing.T) {
	body := answer(`{"2026-10-25":{"chats":3,"good":1}}`)
	for at := range body {
		p, _ := open(t, &vendor{body: body[:at]}, nil)
		if _, err := pollertest.Collect(p, october(t)); !errors.Is(err, pollers.ErrIncomplete) {
			t.Fatalf("cut at %d: %v; want ErrIncomplete", at, err)
		}
	}
}

func TestAResponseTooLargeToHoldIsRefused(t *testing.T) {
	body := answer(`{"2026-10-24":{"note":"` + strings.Repeat("x", 64<<20) + `"}}`)
	p, _ := open(t, &vendor{body: body}, nil)
	if _, err := pollertest.Collect(p, october(t)); !errors.Is(err, pollers.ErrIncomplete) || !strings.Contains(err.Error(), "exceeds") {
		t.Errorf("%v; want ErrIncomplete that says why", err)
	}
}

func TestOfATooLargeBucketTheStartIsKept(t *testing.T) {
	bucket := `{"note":"` + strings.Repeat("x", events.MaxRecordBytes) + `"}`
	p, _ := open(t, &vendor{body: answer(`{"2026-10-25":` + bucket + `}`)}, nil)
	records, err := pollertest.Collect(p, october(t))
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"2026-10-25":` + bucket + `}`
	sum := sha256.Sum256([]byte(whole))
	b, over := records[0].Oversize()
	if !over || b.Size != int64(len(whole)) || b.SHA256 != hex.EncodeToString(sum[:]) || string(b.Bytes) != whole[:events.OversizeKeptBytes] {
		t.Errorf("oversize %v, size %d, digest %s, %d bytes", over, b.Size, b.SHA256, len(b.Bytes))
	}
}

// steering is what an error makes its caller do.
func steering(err error) string {
	switch {
	case err == nil:
		return "none"
	case pollers.IsUnauthorized(err):
		return "unauthorized"
	case events.IsPermanent(err):
		return "permanent"
	default:
		return "retry"
	}
}

func TestTheTypeOfAnErrorSteersBeforeTheStatus(t *testing.T) {
	types := map[string]string{
		"authentication": "unauthorized", "authorization": "unauthorized", "license_expired": "unauthorized",
		"validation": "permanent", "unsupported_version": "permanent", "wrong_product_version": "permanent", "misdirected_request": "permanent",
		"too_many_requests": "retry", "internal": "retry", "request_timeout": "retry", "service_unavailable": "retry",
	}
	for kind, want := range types {
		for _, status := range []int{200, 400, 403, 421, 429, 500} {
			v := &vendor{status: status, body: []byte(`{"error":{"type":"` + kind + `","message":"no","data":{}}}`)}
			p, _ := open(t, v, nil)
			if _, err := pollertest.Collect(p, october(t)); steering(err) != want {
				t.Errorf("%s with %d: %s (%v); want %s", kind, status, steering(err), err, want)
			}
		}
	}
	for status, want := range map[int]string{200: "retry", 400: "retry", 401: "unauthorized", 403: "unauthorized", 500: "retry"} {
		for _, body := range []string{`{"error":{"type":"brand_new"}}`, `{"error":"no"}`, `no`} {
			p, _ := open(t, &vendor{status: status, body: []byte(body)}, nil)
			if _, err := pollertest.Collect(p, october(t)); steering(err) != want {
				t.Errorf("%s with %d: %s (%v); want %s", body, status, steering(err), err, want)
			}
		}
	}
}

func TestRetryAfterIsKeptBesideAType(t *testing.T) {
	v := &vendor{status: 429, header: http.Header{"Retry-After": {"9"}}, body: []byte(`{"error":{"type":"too_many_requests","message":"no"}}`)}
	p, _ := open(t, v, nil)
	_, err := pollertest.Collect(p, october(t))
	if d, ok := events.RetryDelay(err); !ok || d != 9*time.Second {
		t.Errorf("delay %v, %v; want 9s", d, ok)
	}
}

func TestASecretThatTheVendorEchoesShowsNowhere(t *testing.T) {
	more := map[string]string{"ACCOUNT_ID": "acc-1"}
	forms := pollers.NewRedactor([]string{token, "acc-1:" + token})
	long := strings.Repeat("x", 190)
	for _, body := range []string{
		`{"error":{"type":"` + long + token + `","message":"` + long + token + `"}}`,
		`{"error":"` + long + token + `"}`,
		`{"name":"` + token + `","records":{}}`,
		string(answer(`{"2026-10-25":{"` + token + `":"Basic YWNjLTE6ZnJhOmNhbmFyeS0wZjNjOWI="},"` + token + `":{}}`)),
	} {
		p, _ := open(t, &vendor{body: []byte(body)}, more)
		records, err := pollertest.Collect(p, october(t))
		text := fmt.Sprint(err)
		for _, r := range records {
			text += fmt.Sprintf("%s %v %s", r.Key, r.Params, r.Part(""))
		}
		if forms.Redact(text) != text || strings.Contains(text, token[:8]) {
			t.Errorf("%s: shows the secret: %s", body, text)
		}
	}
}

func TestASecretThatIsANameShowsInNoKey(t *testing.T) {
	for report, body := range map[string]string{
		"chats/tags":      `{"name":"tags-report","records":{"2026-10-25":{"` + token + `":1}}}`,
		"tags/chat_usage": `{"name":"tags-chat-usage-report","records":{"` + token + `":1}}`,
		"chats/forms": `{"name":"form-report","records":[{"form_id":"` + token + `","group_id":"` + token + `","fields":[{"field_id":"` + token +
			`","answers":[{"answer_id":"` + token + `","label":"` + token + `"}]}]}]}`,
	} {
		p, _ := open(t, &vendor{body: []byte(body)}, nil)
		records, err := pollertest.Collect(p, of(t, report))
		if text := fmt.Sprintf("%v", records); err != nil || len(records) == 0 || records[0].Key == "" || strings.Contains(text, token) {
			t.Errorf("%s: %v, %v", report, text, err)
		}
		for _, r := range records {
			for _, part := range r.Parts {
				if strings.Contains(string(part.Body.Bytes), token) {
					t.Errorf("%s: %s", report, part.Body.Bytes)
				}
			}
		}
	}
}

func TestAnEmptyWindowIsAPermanentError(t *testing.T) {
	p, _ := open(t, &vendor{}, nil)
	if _, err := pollertest.Collect(p, pollers.Window{Stream: "chats/ratings"}); !events.IsPermanent(err) {
		t.Errorf("%v; want a permanent error", err)
	}
}

func TestCheckAsksForTodayWhateverTheFiltersAre(t *testing.T) {
	v := &vendor{body: []byte(`{"name":"total-chats-report","total":0,"records":{"2026-10-27":{}}}`)}
	p, _ := open(t, v, map[string]string{"FILTERS": `{"tags":{"exists":true}}`, "STREAMS": "chats/*"})
	if err := p.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := `"filters":{"from":"2026-10-27T00:00:00+01:00","to":"2026-10-27T23:59:59.999999+01:00"}`; !strings.Contains(v.sent, want) {
		t.Errorf("sent %s; want %s in it", v.sent, want)
	}
}

func TestEveryStreamIsReadByWholeDays(t *testing.T) {
	spans := map[string][2]time.Duration{
		"": {pollers.Day, pollers.Day}, "hour": {pollers.Day, pollers.Day}, "month": {30 * pollers.Day, pollers.Day}, "year": {360 * pollers.Day, pollers.Day},
	}
	for distribution, want := range spans {
		p, _ := open(t, &vendor{}, map[string]string{"DISTRIBUTION": distribution})
		d := p.Describe()
		if d.Location.String() != "Europe/Oslo" || len(d.Streams) != 14 {
			t.Errorf("%d streams in %v", len(d.Streams), d.Location)
		}
		for _, s := range d.Streams {
			span := want[0]
			if !slices.Contains(distributed, s.Name) {
				span = want[1]
			}
			if s.Grain != pollers.Day || s.MaxSpan != span || s.LiveSpan != pollers.Day || s.Snapshot {
				t.Errorf("%s: %+v, want a span of %v", distribution, s, span)
			}
		}
	}
}

func FuzzFetch(f *testing.F) {
	for _, seed := range []string{
		string(answer(`{"2026-10-25":{"bad":1}}`)), string(answer(`{"2026-10-2\u0035":"no","x":[1]}`)), `{"error":{"type":"validation"}}`,
		`{"name":"ratings-report","records":{"":{"a":"\\\""}}}`, "\ufeff{}", "{\"name\":\"ratings-report\",\"records\":{\"\xff\":1e999}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, _ := open(t, &vendor{body: body}, nil)
		records, err := pollertest.Collect(p, october(t))
		if err != nil && len(records) > 0 {
			t.Fatalf("%d records beside %v", len(records), err)
		}
		var whole struct{ Records map[string]json.RawMessage }
		if err != nil || json.Unmarshal(body, &whole) != nil {
			return
		}
		for _, r := range records {
			if r.Params["grain"] == "day" {
				checkBucket(t, whole.Records, r)
			}
		}
	})
}

// checkBucket looks for a record's one member in the response as encoding/json reads it.
func checkBucket(t *testing.T, all map[string]json.RawMessage, r events.Record) {
	t.Helper()
	var one map[string]json.RawMessage
	if err := json.Unmarshal(r.Part(""), &one); err != nil || len(one) != 1 {
		t.Fatalf("%q: %v, %d members", r.Part(""), err, len(one))
	}
	for name, value := range one {
		if !strings.ContainsRune(name, '\ufffd') && !bytes.Equal(bytes.TrimSpace(all[name]), value) {
			t.Fatalf("%q is %q in the record, %q in the response", name, value, all[name])
		}
	}
}
