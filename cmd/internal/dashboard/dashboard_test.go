package dashboard_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/dashboard"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// actions are all there are.
var actions = map[string]string{
	"/api/read-again":         `{"source":"eu","stream":"chats","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`,
	"/api/sinks/files/pause":  `{}`,
	"/api/sinks/files/resume": `{}`,
	"/api/dead/replay":        `{"sequences":[1]}`,
	"/api/dead/drop":          `{"sequences":[1]}`,
}

func TestWithoutATokenThereAreNoActions(t *testing.T) {
	b := newBench(t)
	for path, body := range actions {
		if status, _, answer := b.ask(t, http.MethodPost, path, body); status != http.StatusForbidden || !strings.Contains(answer, "PARLEY_HTTP_TOKEN") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if status, _, _ := b.ask(t, http.MethodPost, "/api/session", `{"token":""}`); status != http.StatusForbidden {
		t.Errorf("an empty token signs in where there is none: %d", status)
	}
	var session map[string]bool
	b.get(t, "/api/session", &session, func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") })
	if session["configured"] || session["allowed"] {
		t.Errorf("session: %v", session)
	}
}

func TestActionsNeedTheTokenAndNoOtherSiteMayAskForThem(t *testing.T) {
	b := signed(t)
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		edit func(*http.Request)
		want int
	}{
		"nobody":                           {anonymous, http.StatusUnauthorized},
		"a wrong token":                    {set("Authorization", "Bearer "+token+"x"), http.StatusUnauthorized},
		"a part of it":                     {set("Authorization", "Bearer "+token[:20]), http.StatusUnauthorized},
		"nothing for a token":              {set("Authorization", "Bearer "), http.StatusUnauthorized},
		"another scheme":                   {set("Authorization", "Basic "+token), http.StatusUnauthorized},
		"the right one, from another site": {set("Origin", "https://evil.example"), http.StatusForbidden},
		"the same, as a new browser says":  {set("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"from another port of this host":   {set("Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		"a form":                           {set("Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType},
		"text that looks like JSON":        {set("Content-Type", "text/plain"), http.StatusUnsupportedMediaType},
	} {
		for path, body := range actions {
			if status, _, answer := b.ask(t, http.MethodPost, path, body, c.edit); status != c.want {
				t.Errorf("%s: POST %s: %d %s; want %d", name, path, status, answer, c.want)
			}
		}
	}
	for path, body := range actions {
		if status, _, answer := b.ask(t, http.MethodPost, path, body, set("Origin", b.server.URL)); status != http.StatusOK {
			t.Errorf("who may: POST %s: %d %s", path, status, answer)
		}
	}
	// What was refused has done nothing, and what was not has.
	if text := b.log.String(); strings.Contains(text, token) {
		t.Errorf("the token is in the log:\n%s", text)
	} else if n := strings.Count(text, "a sink is paused"); n != 1 {
		t.Errorf("%d pauses are logged, want one:\n%s", n, text)
	}
}

func TestTheTokenIsExchangedForACookieThatOnlyThisServerSees(t *testing.T) {
	b := signed(t)
	if status, h, _ := b.ask(t, http.MethodPost, "/api/session", `{"token":"something else entirely"}`, anonymous); status != http.StatusUnauthorized || h.Get("Set-Cookie") != "" {
		t.Errorf("a wrong token: %d, %v", status, h)
	}
	status, h, body := b.ask(t, http.MethodPost, "/api/session", `{"token":"`+token+`"}`, anonymous)
	if status != http.StatusNoContent {
		t.Fatalf("sign in: %d %s", status, body)
	}
	cookie, err := http.ParseSetCookie(h.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.MaxAge <= 0 || cookie.Secure || strings.Contains(h.Get("Set-Cookie"), token) {
		t.Errorf("cookie: %v", h.Get("Set-Cookie"))
	}
	_, h, _ = b.ask(t, http.MethodPost, "/api/session", `{"token":"`+token+`"}`, anonymous, func(r *http.Request) {
		r.Host = "localhost"
		r.Header.Set("Origin", "https://localhost")
	})
	if !strings.Contains(h.Get("Set-Cookie"), "Secure") {
		t.Errorf("a browser that speaks TLS with a proxy gets: %v", h.Get("Set-Cookie"))
	}
	past := fmt.Sprint(time.Now().Add(-time.Minute).Unix())
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("parley dashboard session until " + past))
	for name, c := range map[string]struct {
		value string
		want  bool
	}{
		"as it was given":      {cookie.Value, true},
		"with a later end":     {"9" + cookie.Value, false},
		"with another mark":    {cookie.Value[:len(cookie.Value)-1] + "~", false},
		"with no mark":         {strings.SplitAfter(cookie.Value, ".")[0], false},
		"one that is too old":  {past + "." + hex.EncodeToString(mac.Sum(nil)), false},
		"the token itself":     {strings.ReplaceAll(token, " ", "_"), false},
		"an empty one":         {"", false},
		"one that is no value": {"..", false},
	} {
		var session map[string]bool
		b.get(t, "/api/session", &session, anonymous, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookie.Name, Value: c.value}) })
		if session["allowed"] != c.want {
			t.Errorf("%s: %v", name, session)
		}
	}
	_, h, _ = b.ask(t, http.MethodDelete, "/api/session", "")
	if gone, err := http.ParseSetCookie(h.Get("Set-Cookie")); err != nil || gone.MaxAge >= 0 || gone.Name != cookie.Name {
		t.Errorf("sign out: %v, %v", h.Get("Set-Cookie"), err)
	}
}

func TestOnlyNamesOfThisMachineAreAnsweredUnlessThereAreMore(t *testing.T) {
	for name, c := range map[string]struct {
		addr  string
		hosts []string
		host  string
		want  bool
	}{
		"localhost":                              {"127.0.0.1:8090", nil, "localhost:8090", true},
		"the address":                            {"127.0.0.1:8090", nil, "127.0.0.1:8090", true},
		"the address of IPv6":                    {"[::1]:8090", nil, "[::1]:8090", true},
		"an address without a port":              {"127.0.0.1:80", nil, "127.0.0.1", true},
		"IPv6 without a port":                    {"[::1]:80", nil, "[::1]", true},
		"a name below localhost":                 {"localhost:8090", nil, "parley.localhost:8090", true},
		"a name that somebody points at us":      {"127.0.0.1:8090", nil, "evil.example:8090", false},
		"one that begins like ours":              {"127.0.0.1:8090", nil, "localhost.evil.example", false},
		"one that ends like an address":          {"127.0.0.1:8090", nil, "127.0.0.1.evil.example", false},
		"another address":                        {"127.0.0.1:8090", nil, "192.0.2.1", false},
		"no name":                                {"127.0.0.1:8090", nil, "", false},
		"a name that was allowed":                {"127.0.0.1:8090", []string{"parley.example.org"}, "Parley.Example.org:443", true},
		"another than that":                      {"127.0.0.1:8090", []string{"parley.example.org"}, "evil.example", false},
		"beyond loopback every name":             {"0.0.0.0:8090", nil, "parley.internal:8090", true},
		"beyond loopback, every interface":       {":8090", nil, "parley.internal:8090", true},
		"beyond loopback with names, only those": {":8090", []string{"parley.example.org"}, "evil.example", false},
	} {
		d := dashboard.New(nil, nil, dashboard.Options{Addr: c.addr, Hosts: c.hosts})
		for _, path := range []string{"/", "/api/session", "/assets/app.js"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = c.host
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			if ok := w.Code == http.StatusOK; ok != c.want || !ok && w.Code != http.StatusMisdirectedRequest {
				t.Errorf("%s: GET %s: %d", name, path, w.Code)
			}
		}
	}
}

func TestEveryAnswerForbidsWhatThePageDoesNotNeed(t *testing.T) {
	d := dashboard.New(nil, nil, dashboard.Options{})
	for _, path := range []string{"/", "/assets/app.css", "/api/session", "/nothing", "/assets/../guard.go", "/api/dead/x"} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		h := w.Header()
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// What a page is made of neither makes markup of texts nor asks anybody else.
func TestThePageMakesNoMarkupOfTextsAndAsksNobodyElse(t *testing.T) {
	names, err := filepath.Glob("files/*")
	if err != nil || len(names) < 5 {
		t.Fatalf("%v, %v", names, err)
	}
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|\bstyle=|javascript:|<script>|on(?:click|error|load)=`)
	elsewhere := regexp.MustCompile(`https?://[^\s'"]+|@import|url\(`)
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := never.FindAllString(string(content), -1); found != nil {
			t.Errorf("%s has %q", name, found)
		}
		for _, found := range elsewhere.FindAllString(string(content), -1) {
			if found != "http://www.w3.org/2000/svg" {
				t.Errorf("%s has %q", name, found)
			}
		}
	}
}

func TestRequestsAreBounded(t *testing.T) {
	b := signed(t)
	for name, c := range map[string]struct {
		method, path, body string
		want               int
	}{
		"a body over 64 KiB":     {http.MethodPost, "/api/dead/drop", `{"sequences":[1` + strings.Repeat(",1", 40_000) + `]}`, http.StatusRequestEntityTooLarge},
		"too many numbers":       {http.MethodPost, "/api/dead/drop", `{"sequences":[1` + strings.Repeat(",1", 500) + `]}`, http.StatusBadRequest},
		"no numbers":             {http.MethodPost, "/api/dead/replay", `{"sequences":[]}`, http.StatusBadRequest},
		"what is no JSON":        {http.MethodPost, "/api/dead/replay", `sequences`, http.StatusBadRequest},
		"a field of no meaning":  {http.MethodPost, "/api/dead/replay", `{"numbers":[1]}`, http.StatusBadRequest},
		"too large a page":       {http.MethodGet, "/api/dead?limit=501", "", http.StatusBadRequest},
		"no page at all":         {http.MethodGet, "/api/conversations?limit=0", "", http.StatusBadRequest},
		"a page of letters":      {http.MethodGet, "/api/conversations?before=x", "", http.StatusBadRequest},
		"a stage of no meaning":  {http.MethodGet, "/api/dead?stage=*", "", http.StatusBadRequest},
		"a dead letter by name":  {http.MethodGet, "/api/dead/x", "", http.StatusBadRequest},
		"one that is not there":  {http.MethodGet, "/api/dead/99", "", http.StatusNotFound},
		"an unknown source":      {http.MethodGet, "/api/coverage?source=us", "", http.StatusNotFound},
		"an unknown stream":      {http.MethodGet, "/api/windows?source=eu&stream=x&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z", "", http.StatusNotFound},
		"a time that is none":    {http.MethodGet, "/api/windows?source=eu&stream=chats&from=today&to=now", "", http.StatusBadRequest},
		"a range backwards":      {http.MethodPost, "/api/read-again", `{"source":"eu","stream":"chats","from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}`, http.StatusBadRequest},
		"again: unknown source":  {http.MethodPost, "/api/read-again", `{"source":"us","stream":"chats"}`, http.StatusNotFound},
		"again: unknown stream":  {http.MethodPost, "/api/read-again", `{"source":"eu","stream":"emails"}`, http.StatusNotFound},
		"an unknown sink":        {http.MethodPost, "/api/sinks/nowhere/pause", `{}`, http.StatusNotFound},
		"a chat that is unknown": {http.MethodGet, "/api/conversation?vendor=livechat&source=eu&id=x", "", http.StatusNotFound},
		"a chat by a wildcard":   {http.MethodGet, "/api/conversation?vendor=*&source=%3E&id=*", "", http.StatusNotFound},
		"a filter of no meaning": {http.MethodGet, "/events?filter=a..b", "", http.StatusBadRequest},
		"a file that is not":     {http.MethodGet, "/assets/..%2Fguard.go", "", http.StatusNotFound},
		"another method":         {http.MethodPost, "/api/overview", `{}`, http.StatusMethodNotAllowed},
	} {
		if status, _, answer := b.ask(t, c.method, c.path, c.body); status != c.want || len(answer) > 1000 {
			t.Errorf("%s: %d %.300s; want %d", name, status, answer, c.want)
		}
	}
}

func TestPersonalDataIsForWhoHasTheToken(t *testing.T) {
	b := signed(t)
	b.publish(t, conversation("c1", 2), 1)
	b.bury(t, "d1", `{"visitor":"`+personName+`"}`, `the field "`+personName+`" of `+personMail+` is wrong`)
	chat := conversation("c2", 1)
	content, err := events.EncodeContent(chat)
	if err != nil {
		t.Fatal(err)
	}
	e := events.NewEvent(chat, &events.Record{Vendor: "livechat", Source: "eu"}, 1, "d", content)
	b.buryEvent(t, &e, "parley.events.conversation.livechat.eu.c2", events.DeadLetter{Stage: events.StageSink, Name: "files", Reason: "answered 400"})
	for _, path := range []string{
		"/api/overview", "/api/conversations", "/api/conversation?vendor=livechat&source=eu&id=c1", "/api/dead", "/api/dead/1", "/api/dead/2", "/api/coverage?source=eu",
	} {
		status, _, body := b.ask(t, http.MethodGet, path, "", anonymous)
		if status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
		for _, secret := range []string{personName, personMail, personText, token} {
			if strings.Contains(body, secret) {
				t.Errorf("GET %s shows %q to everybody: %s", path, secret, body)
			}
		}
	}
	for path, want := range map[string]string{
		"/api/conversations": personText, "/api/conversation?vendor=livechat&source=eu&id=c1": personMail,
		"/api/dead": personMail, "/api/dead/1": personName, "/api/dead/2": personText,
	} {
		if _, _, body := b.ask(t, http.MethodGet, path, ""); !strings.Contains(body, want) {
			t.Errorf("GET %s does not show %q to who may see it: %s", path, want, body)
		}
	}
	// A guess must not tell what is masked.
	var list struct{ Dead []struct{ Sequence uint64 } }
	b.get(t, "/api/dead?reason=zzz", &list, anonymous)
	if len(list.Dead) != 2 {
		t.Errorf("everybody's filter by reason leaves %d of 2", len(list.Dead))
	}
}

func TestTheOverviewSaysHowEverythingStands(t *testing.T) {
	b := signed(t)
	b.dash.SampleEvery(50 * time.Millisecond)
	b.run(t)
	day := time.Now().Add(-48 * time.Hour).UTC().Truncate(24 * time.Hour)
	window := pollers.Window{Stream: "chats", From: day, To: day.Add(24 * time.Hour)}
	b.read(t, pollers.Entry{Window: window, State: pollers.StateFailed, Attempts: 3, Error: "answered 500", RetryAt: time.Now().Add(time.Hour)})
	b.bury(t, "d1", "{}", "no id")
	for n := range 20 {
		b.publish(t, conversation(fmt.Sprint("c", n), 1), 1)
	}
	var o struct {
		Status struct {
			Sources []struct {
				Source, Vendor, Stream string
				Windows                map[string]int
			}
			Sinks []struct {
				Sink  string
				Never bool `json:"never_ran"`
			}
			Dead      map[string]int `json:"dead_letters"`
			Attention []string
		}
		Series struct {
			At      []time.Time
			Events  []*float64
			Sources map[string]struct{ Lag, Events []*float64 }
		}
	}
	await(t, "there is a history", func() bool {
		b.get(t, "/api/overview", &o)
		return len(o.Series.At) > 1
	})
	s := o.Status
	if len(s.Sources) != 1 || s.Sources[0].Source != "eu" || s.Sources[0].Windows["failed"] != 1 || s.Sources[0].Windows["planned"] == 0 {
		t.Errorf("sources: %+v", s.Sources)
	}
	if len(s.Sinks) != 2 || !s.Sinks[0].Never || s.Dead["process.livechat"] != 1 {
		t.Errorf("sinks: %+v, dead %v", s.Sinks, s.Dead)
	}
	for _, want := range []string{"1 window could not be read", "1 dead letter of process.livechat", "no poller runs"} {
		if !slices.ContainsFunc(s.Attention, func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("attention lacks %q: %q", want, s.Attention)
		}
	}
	if n := len(o.Series.At); len(o.Series.Events) != n || len(o.Series.Sources["eu"].Events) != n || len(o.Series.Sources["eu"].Lag) != n {
		t.Errorf("series of different lengths: %+v", o.Series)
	}
}

func TestACalendarShowsTheWorstOfEachDayAndADayIsReadAgain(t *testing.T) {
	b := signed(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	y, m, d := time.Now().In(berlin).AddDate(0, 0, -5).Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, berlin)
	at := func(days, hours int) time.Time {
		return day.AddDate(0, 0, days).Add(time.Duration(hours) * time.Hour).UTC()
	}
	b.read(t,
		pollers.Entry{Window: pollers.Window{Stream: "chats", From: at(0, 0), To: at(0, 12)}, State: pollers.StateComplete, ReadAt: time.Now(), Records: 7, Requests: 2},
		pollers.Entry{Window: pollers.Window{Stream: "chats", From: at(0, 12), To: at(1, 0)}, State: pollers.StateFailed, Error: "answered 500", Attempts: 1, RetryAt: time.Now().Add(time.Hour)},
		pollers.Entry{Window: pollers.Window{Stream: "chats", From: at(1, 0), To: at(2, 0)}, State: pollers.StateComplete, ReadAt: time.Now(), Records: 5, Requests: 1},
	)
	type calendar struct {
		Streams []struct {
			Stream, Timezone string
			Days             []struct {
				From, To         time.Time
				State            string
				Windows, Records int
			}
		}
	}
	stateOf := func(when time.Time) (state string, windows, records int) {
		var c calendar
		b.get(t, "/api/coverage?source=eu", &c)
		for _, d := range c.Streams[0].Days {
			if d.From.Equal(when) {
				return d.State, d.Windows, d.Records
			}
		}
		return "no such day", 0, 0
	}
	if state, windows, records := stateOf(at(0, 0)); state != "failed" || windows != 2 || records != 7 {
		t.Errorf("the first day: %s, %d windows, %d records", state, windows, records)
	}
	if state, windows, records := stateOf(at(1, 0)); state != "complete" || windows != 1 || records != 5 {
		t.Errorf("the second day: %s, %d windows, %d records", state, windows, records)
	}
	if state, _, _ := stateOf(at(-3, 0)); state != "planned" {
		t.Errorf("a day that nobody read: %s", state)
	}
	path := "/api/windows?source=eu&stream=chats&from=" + at(0, 0).Format(time.RFC3339) + "&to=" + at(1, 0).Format(time.RFC3339)
	var list struct {
		Windows []struct {
			State, Error string
			Records      int
		}
	}
	if b.get(t, path, &list); len(list.Windows) != 2 || list.Windows[1].Error != "answered 500" || list.Windows[0].Records != 7 {
		t.Errorf("the windows: %+v", list.Windows)
	}
	var answer map[string]int
	b.post(t, "/api/read-again", fmt.Sprintf(`{"source":"eu","stream":"chats","from":%q,"to":%q}`, at(1, 0).Format(time.RFC3339), at(2, 0).Format(time.RFC3339)), &answer)
	if answer["windows"] != 1 {
		t.Errorf("read again: %v", answer)
	}
	if state, _, _ := stateOf(at(1, 0)); state != "planned" {
		t.Errorf("the second day, read again: %s", state)
	}
	if state, _, _ := stateOf(at(0, 0)); state != "failed" {
		t.Errorf("the first day, which is not: %s", state)
	}
}

func TestASinkIsPausedAndGoesOn(t *testing.T) {
	b := signed(t)
	paused := func() []string {
		var o struct {
			Status struct {
				Sinks []struct {
					Sink   string
					Halted time.Time `json:"halted_since"`
				}
			}
		}
		b.get(t, "/api/overview", &o)
		var names []string
		for _, s := range o.Status.Sinks {
			if !s.Halted.IsZero() {
				names = append(names, s.Sink)
			}
		}
		return names
	}
	var answer struct{}
	b.post(t, "/api/sinks/files/pause", `{}`, &answer)
	if got := paused(); !slices.Equal(got, []string{"files"}) {
		t.Errorf("paused: %v", got)
	}
	b.post(t, "/api/sinks/files/resume", `{}`, &answer)
	if got := paused(); got != nil {
		t.Errorf("still paused: %v", got)
	}
}

type deadPage struct {
	Dead []struct {
		Sequence             uint64
		Stage, Name, Subject string
		Replayable           bool
	}
	Next uint64
}

func TestDeadLettersAreListedFilteredAndExplained(t *testing.T) {
	b := signed(t)
	for n := range 7 {
		b.bury(t, fmt.Sprint("d", n), `{"n":1}`, fmt.Sprintf("fault number %d", n%2))
	}
	var e events.Event
	e.ID, e.Source, e.Type, e.Vendor = "x", "/livechat/eu", events.TypeRawRecord, "livechat"
	b.buryEvent(t, &e, "", events.DeadLetter{Stage: events.StagePoll, Name: "eu", Reason: "over 32 MiB"})
	numbers := func(path string) (got []uint64) {
		for before := uint64(0); ; {
			var page deadPage
			b.get(t, fmt.Sprintf("%s&before=%d&limit=3", path, before), &page)
			for _, d := range page.Dead {
				got = append(got, d.Sequence)
			}
			if before = page.Next; before == 0 {
				return got
			}
		}
	}
	for query, want := range map[string][]uint64{
		"":                        {8, 7, 6, 5, 4, 3, 2, 1},
		"stage=poll":              {8},
		"stage=process":           {7, 6, 5, 4, 3, 2, 1},
		"name=livechat":           {7, 6, 5, 4, 3, 2, 1},
		"reason=NUMBER+1":         {6, 4, 2},
		"vendor=liveleader":       nil,
		"stage=sink&name=%2A":     nil,
		"stage=process&name=%3E":  nil,
		"vendor=livechat&name=eu": {8},
	} {
		if got := numbers("/api/dead?" + query); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
	var one struct {
		Reason, Advice string
		Attempts       int
		Replayable     bool
		Content        struct {
			Key   string
			Parts []struct{ Text string }
		}
	}
	b.get(t, "/api/dead/2", &one)
	if one.Reason != "fault number 1" || !strings.Contains(one.Advice, "replay") || one.Attempts != 1 || !one.Replayable || one.Content.Key != "d1" || one.Content.Parts[0].Text != `{"n":1}` {
		t.Errorf("one: %+v", one)
	}
	if b.get(t, "/api/dead/8", &one); one.Replayable {
		t.Error("what was cut can be replayed")
	}
}

func TestDeadLettersAreReplayedAndDropped(t *testing.T) {
	b := signed(t)
	for n := range 3 {
		b.bury(t, fmt.Sprint("d", n), "{}", "no id")
	}
	var answer struct {
		Done   []uint64
		Failed map[string]string
	}
	b.post(t, "/api/dead/drop", `{"sequences":[1]}`, &answer)
	if !slices.Equal(answer.Done, []uint64{1}) || len(answer.Failed) != 0 {
		t.Errorf("drop: %+v", answer)
	}
	b.post(t, "/api/dead/replay", `{"sequences":[1,2]}`, &answer)
	if !slices.Equal(answer.Done, []uint64{2}) || len(answer.Failed) != 1 {
		t.Errorf("replay: %+v", answer)
	}
	var page deadPage
	if b.get(t, "/api/dead", &page); len(page.Dead) != 1 || page.Dead[0].Sequence != 3 {
		t.Errorf("left: %+v", page)
	}
	if s, err := b.broker.StreamState(t.Context(), broker.Raw); err != nil || s.Messages != 1 {
		t.Errorf("%d records wait for a processor, %v; want the one that is replayed", s.Messages, err)
	}
}

func TestAConversationIsShownWithItsRevisions(t *testing.T) {
	b := signed(t)
	for n := range 60 {
		b.publish(t, conversation(fmt.Sprint("c", n), 1), 1)
	}
	odd := "a/b c*>ü"
	b.publish(t, conversation(odd, 1), 1)
	b.publish(t, conversation(odd, 3), 2)
	type list struct {
		Conversations, Revisions []struct {
			Sequence uint64
			Event    struct {
				Subject  string
				Revision int
				Data     struct{ Messages []any }
			}
		}
		Next uint64
	}
	var first, second, one list
	b.get(t, "/api/conversations", &first)
	b.get(t, fmt.Sprint("/api/conversations?before=", first.Next), &second)
	if len(first.Conversations) != 50 || first.Conversations[0].Event.Subject != odd || len(second.Conversations) != 12 || second.Next != 0 {
		t.Errorf("%d and %d conversations, next %d; the first %+v", len(first.Conversations), len(second.Conversations), second.Next, first.Conversations[0])
	}
	b.get(t, "/api/conversation?vendor=livechat&source=eu&id=a%2Fb+c%2A%3E%C3%BC", &one)
	if len(one.Revisions) != 2 || one.Revisions[1].Event.Revision != 2 || len(one.Revisions[0].Event.Data.Messages) != 1 || len(one.Revisions[1].Event.Data.Messages) != 3 {
		t.Errorf("revisions: %+v", one.Revisions)
	}
	var none list
	if b.get(t, "/api/conversations?source=us", &none); len(none.Conversations) != 0 {
		t.Errorf("of another source: %+v", none)
	}
}

// tail reads the live tail until it is told to stop.
func (b *bench) tail(t *testing.T, query string, edits ...func(*http.Request)) *bufio.Scanner {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for _, edit := range edits {
		edit(req)
	}
	resp, err := b.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("tail: %s %v", resp.Status, resp.Header)
	}
	return bufio.NewScanner(resp.Body)
}

// next gives the next event of a tail; the test's publications go on until there is one, because a tail begins at some moment.
func (b *bench) next(t *testing.T, lines *bufio.Scanner, publish func(n int)) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			publish(n)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	defer func() {
		cancel()
		<-done
	}()
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			return data
		}
	}
	t.Fatalf("the tail ended: %v", lines.Err())
	return ""
}

func TestTheLiveTailIsFilteredAndMasked(t *testing.T) {
	b := signed(t)
	tag := &events.Reference{Base: events.Base{ID: "livechat:eu:t", Vendor: "livechat", Source: "eu", VendorID: "t"}, Name: "vip"}
	tag.Of = events.KindTag
	publish := func(n int) {
		b.publish(t, tag, uint64(n+1))
		b.publish(t, conversation(fmt.Sprint("x", n), 1), 1)
	}
	everybody, known := b.tail(t, "filter=conversation", anonymous), b.tail(t, "filter=conversation.livechat.*&filter=rating")
	if data := b.next(t, everybody, publish); !strings.Contains(data, `"dev.parley.conversation.created"`) || strings.Contains(data, personName) || strings.Contains(data, personText) {
		t.Errorf("everybody sees %s", data)
	}
	if data := b.next(t, known, publish); !strings.Contains(data, `"dev.parley.conversation.created"`) || !strings.Contains(data, personText) {
		t.Errorf("who has the token sees %s", data)
	}
}

func TestOnlySoManyLiveTailsAreOpenAndAllEndWithTheDashboard(t *testing.T) {
	b := signed(t)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- b.dash.Run(ctx) }()
	tails := make([]*bufio.Scanner, 32)
	for i := range tails {
		tails[i] = b.tail(t, "")
	}
	if status, h, _ := b.ask(t, http.MethodGet, "/events", ""); status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", status)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	for _, lines := range tails {
		for lines.Scan() {
		}
	}
}

func TestNothingOfHostileTextIsMarkupInAnAnswer(t *testing.T) {
	b := signed(t)
	const canary = `<script>alert(1)</script><img src=x onerror=alert(1)>`
	c := conversation(canary, 1)
	c.Subject, c.Messages[0].Text, c.Visitor.Name = canary, canary, canary
	b.publish(t, c, 1)
	b.bury(t, canary, canary, canary)
	for _, path := range []string{"/api/conversations", "/api/conversation?vendor=livechat&source=eu&id=" + hexQuery(canary), "/api/dead", "/api/dead/1", "/api/coverage?source=" + hexQuery(canary)} {
		_, h, body := b.ask(t, http.MethodGet, path, "")
		if !strings.HasPrefix(h.Get("Content-Type"), "application/json") || strings.Contains(body, "<script") || strings.Contains(body, "<img") {
			t.Errorf("GET %s: %s: %s", path, h.Get("Content-Type"), body)
		}
	}
}

func hexQuery(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func TestWhatErrorsQuoteIsForWhoMaySeeIt(t *testing.T) {
	b := signed(t)
	b.run(t)
	day := time.Now().Add(-48 * time.Hour).UTC().Truncate(24 * time.Hour)
	window := pollers.Window{Stream: "chats", From: day, To: day.Add(24 * time.Hour)}
	b.read(t, pollers.Entry{
		Window: window, State: pollers.StateFailed, Attempts: 3, Error: `answered 500: "customer Mauzi \"the cat\" Bianchi, ann@visitor.example"`, RetryAt: time.Now().Add(time.Hour),
	})
	b.bury(t, "agent=kim@harbour.example", "{}", `no id in "Mauzi"`)
	span := "&from=" + window.From.Format(time.RFC3339) + "&to=" + window.To.Format(time.RFC3339)
	for _, path := range []string{"/api/overview", "/api/coverage?source=eu", "/api/windows?source=eu&stream=chats" + span, "/api/dead", "/api/dead/1"} {
		secret := regexp.MustCompile(`Mauzi|Bianchi|ann(@|=40)visitor|kim(@|=40)harbour`)
		await(t, "what was read shows in "+path, func() bool {
			_, _, answer := b.ask(t, http.MethodGet, path, "")
			return secret.MatchString(answer)
		})
		if _, _, answer := b.ask(t, http.MethodGet, path, "", anonymous); secret.MatchString(answer) || !strings.Contains(answer, "“…”") {
			t.Errorf("%s: who may not see personal data sees %s", path, answer)
		}
	}
}
