package cobrowser_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/pollertest"
)

// answers gives every command a status and a body; conversations are "today" unless it names them.
type answers map[string]struct {
	status int
	body   string
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	got, ok := a[r.URL.Query().Get("c")]
	if !ok {
		got.status, got.body = http.StatusOK, export()
	}
	return &http.Response{
		StatusCode: got.status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Retry-After": {"9"}}, ContentLength: int64(len(got.body)),
		Body: io.NopCloser(strings.NewReader(got.body)), Request: r,
	}, nil
}

func TestARefusalIsOfTheCommandOnlyIfOthersAreAnswered(t *testing.T) {
	const ok = http.StatusOK
	const unavailable, unauthorized, incomplete, other = "unavailable", "unauthorized", "incomplete", "other"
	for name, test := range map[string]struct {
		answers answers
		stream  string
		want    string
	}{
		"forbidden":                      {answers{"cccagents": {403, "only for CCC agents"}}, "cccagents", unavailable},
		"not authorized":                 {answers{"cccagents": {401, ""}}, "cccagents", unavailable},
		"a bad request":                  {answers{"cccslotsactivity": {400, "no"}}, "cccslotsactivity", unavailable},
		"not found":                      {answers{"cccagentgroups": {404, "no"}}, "cccagentgroups", unavailable},
		"a word":                         {answers{"cccgroupaccounts": {ok, "denied"}}, "cccgroupaccounts", unavailable},
		"a sentence with separators":     {answers{"cccagents": {ok, "sorry; this command; only works; for; CCC; agents\n"}}, "cccagents", unavailable},
		"a sentence in quotes":           {answers{"cccagents": {ok, "\"This command only works for CCC Agents\"\r\n"}}, "cccagents", unavailable},
		"a page":                         {answers{"cccagents": {ok, "<html><body>no</body></html>"}}, "cccagents", unavailable},
		"an object":                      {answers{"cccagents": {ok, `{"error":"no"}`}}, "cccagents", unavailable},
		"forbidden, of any command":      {answers{"hosts": {403, "no"}}, "hosts", unavailable},
		"a text, of another command":     {answers{"hosts": {ok, "denied"}}, "hosts", incomplete},
		"not found, of another command":  {answers{"hosts": {404, "no"}}, "hosts", other},
		"nobody is authorized":           {answers{"cccagents": {403, "no"}, "conversations": {401, "no"}}, "cccagents", unauthorized},
		"conversations are forbidden":    {answers{"conversations": {403, "no"}}, "conversations", unauthorized},
		"a page for everybody":           {answers{"cccagents": {ok, "<html>"}, "conversations": {ok, "<html>"}}, "cccagents", incomplete},
		"forbidden, then a page":         {answers{"cccagents": {403, "no"}, "conversations": {ok, "<html>"}}, "cccagents", incomplete},
		"the server fails":               {answers{"cccagents": {500, "oops"}}, "cccagents", other},
		"nothing":                        {answers{"cccagents": {ok, ""}}, "cccagents", incomplete},
		"a header cut in a name":         {answers{"cccagents": {ok, `"id";"user`}}, "cccagents", incomplete},
		"a header cut after a name":      {answers{"cccagents": {ok, `"cccaccount_id"`}}, "cccagents", incomplete},
		"a header cut, without quotes":   {answers{"cccagents": {ok, `usern`}}, "cccagents", incomplete},
		"a row cut in quotes":            {answers{"cccagents": {ok, `"Ada Lovelace`}}, "cccagents", incomplete},
		"figures that are no row":        {answers{"cccagents": {ok, "12;13"}}, "cccagents", incomplete},
		"a text after a header":          {answers{"cccagents": {ok, line(";", lists["cccagents"].columnsOf()...) + "\nFatal error"}}, "cccagents", incomplete},
		"too many, with a time to wait":  {answers{"cccagents": {429, "later"}}, "cccagents", "later"},
		"too many, and none is answered": {answers{"cccagents": {403, "no"}, "conversations": {429, "later"}}, "cccagents", "later"},
		"a list":                         {answers{"cccagents": {ok, line(";", lists["cccagents"].columnsOf()...)}}, "cccagents", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, test.answers, clock("2026-10-27 12:00:00"))
			window := pollers.Window{Stream: test.stream}
			if test.stream == "conversations" {
				window = day("2026-10-27")
			}
			_, err := p.Fetch(context.Background(), window, func(events.Record) error { return nil })
			delay, later := events.RetryDelay(err)
			got := map[string]bool{
				unavailable: pollers.IsUnavailable(err), unauthorized: pollers.IsUnauthorized(err),
				"later": later && delay == 9*time.Second, "": err == nil,
			}
			got[incomplete] = errors.Is(err, pollers.ErrIncomplete) && !got[unavailable]
			got[other] = err != nil && !got[unavailable] && !got[unauthorized] && !got[incomplete] && !later
			for what, is := range got {
				if is != (what == test.want) {
					t.Errorf("%v: %q is %v; want %q", err, what, is, test.want)
				}
			}
		})
	}
}

func TestARefusalIsCountedAndSaidInTheVendorsWords(t *testing.T) {
	p := open(t, answers{"cccagents": {403, "only for CCC agents, not for " + apiKey}}, clock("2026-10-27 12:00:00"))
	reading, err := p.Fetch(context.Background(), pollers.Window{Stream: "cccagents"}, func(events.Record) error { return nil })
	if reading.Requests != 2 || err == nil || !strings.Contains(err.Error(), "list cccagents: the account may not call this command") ||
		!strings.Contains(err.Error(), "only for CCC agents") || strings.Contains(err.Error(), apiKey) {
		t.Errorf("%d requests, %v", reading.Requests, err)
	}
}

func TestADirectoryWithoutFramingIsReadTwice(t *testing.T) {
	l := lists["hosts"]
	one, two := l.export(l.at(ten, nil)), l.export(l.at(ten, nil), l.at(ten, map[string]string{"id": "4"}))
	for name, test := range map[string]struct {
		bodies []string
		whole  bool
	}{"the same twice": {[]string{two, two}, true}, "less and then more": {[]string{one, two}, false}} {
		w := &wire{}
		w.answer = func(n int, _ url.Values) reply { return unframed(test.bodies[n]) }
		records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), pollers.Window{Stream: "hosts"})
		if (err == nil) != test.whole || err != nil && !errors.Is(err, pollers.ErrIncomplete) || len(w.queries) != 2 {
			t.Errorf("%s: %d records, %v after %d requests", name, len(records), err, len(w.queries))
		}
	}
}

func TestRefusedConversationsAreTheCredentialsAtOnce(t *testing.T) {
	p := open(t, answers{"conversations": {403, "no"}}, clock("2026-10-27 12:00:00"))
	reading, err := p.Fetch(context.Background(), day("2026-10-27"), func(events.Record) error { return nil })
	if !pollers.IsUnauthorized(err) || reading.Requests != 1 {
		t.Errorf("%v after %d requests; want Unauthorized after one: they are what is asked to tell", err, reading.Requests)
	}
}
