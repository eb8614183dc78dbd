package liveleadersim_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/liveleader/liveleadersim"
	"github.com/parley-stream/parley/pollers/simulated"
)

var now = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func newSim(malformed int) *liveleadersim.Sim {
	return liveleadersim.New(simulated.Options{Seed: 5, Days: 4, Chats: 40, Malformed: malformed, Start: now, Now: func() time.Time { return now }})
}

func good(s *liveleadersim.Sim) url.Values {
	v := s.Variables("")
	return url.Values{
		"a": {"export"}, "email": {v["EMAIL"]}, "password": {v["PASSWORD"]},
		"start": {"2026-10-01T00:00:00.000+02:00"}, "stop": {"2026-11-01T00:00:00.000+01:00"},
	}
}

func ask(s http.Handler, method, target string) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Code, w.Body.String()
}

// export is the response as the document tells it.
type export struct {
	XMLName xml.Name `xml:"chats"`
	Chats   []struct {
		ID        []string `xml:"id"`
		Operators []string `xml:"operator"`
		Start     []string `xml:"start"`
		Stop      []string `xml:"stop"`
		Duration  []int    `xml:"duration"`
		VisitorIP []string `xml:"visitorip"`
		URL       []string `xml:"url"`
		Messages  []struct {
			From string `xml:"from,attr"`
			Time string `xml:"time,attr"`
			Text string `xml:",chardata"`
		} `xml:"msg"`
	} `xml:"chat"`
}

func TestAnExportHasTheDocumentedForm(t *testing.T) {
	s := newSim(0)
	status, body := ask(s, "GET", "/a/Srv?"+good(s).Encode())
	var e export
	if err := xml.Unmarshal([]byte(body), &e); err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	if len(e.Chats) == 0 || len(e.Chats) != len(s.Ledger()) {
		t.Errorf("%d chats; the ledger has %d", len(e.Chats), len(s.Ledger()))
	}
	form := regexp.MustCompile(`^\d\d-\d\d-\d{4}T\d\d:\d\d:\d{4}$`)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for _, c := range e.Chats {
		if !uuid.MatchString(strings.Join(c.ID, "")) {
			t.Errorf("id %q is not of the documented form", c.ID)
		}
		for name, n := range map[string]int{"id": len(c.ID), "start": len(c.Start), "stop": len(c.Stop), "duration": len(c.Duration), "visitorip": len(c.VisitorIP), "url": len(c.URL)} {
			if n != 1 {
				t.Errorf("%d elements %s; want 1", n, name)
			}
		}
		if len(c.Operators) == 0 || len(c.Messages) == 0 {
			t.Errorf("%d operators, %d messages; want some", len(c.Operators), len(c.Messages))
		}
		for _, m := range c.Messages {
			if !form.MatchString(m.Time) || m.From == "" || !strings.HasPrefix(m.Text, "\n") {
				t.Errorf("message %+v is not of the documented form", m)
			}
		}
	}
}

func TestEachElementComesAsOftenAsTheDocumentSays(t *testing.T) {
	s := liveleadersim.New(simulated.Options{Seed: 5, Days: 4, Chats: 200, Start: now, Now: func() time.Time { return now }})
	_, body := ask(s, "GET", "/a/Srv?"+good(s).Encode())
	chats := strings.Split(body, "</chat>")
	chats = chats[:len(chats)-1]
	cases := map[string]struct {
		element     string
		least, most int // in one chat; most is what some chat has
	}{
		"id": {"<id>", 1, 1}, "referrer": {"<referrer>", 0, 1}, "keywords": {"<keywords>", 0, 1}, "operators": {"<operator>", 1, 2},
		"visitorip": {"<visitorip>", 1, 1}, "start": {"<start>", 1, 1}, "stop": {"<stop>", 1, 1}, "duration": {"<duration>", 1, 1}, "url": {"<url>", 1, 1},
		"city": {"<city>", 0, 1}, "country": {"<country>", 0, 1}, "organization": {"<organization>", 0, 1}, "ISP": {"<ISP>", 0, 1},
		"messages": {"<msg ", 2, 10}, "userinfo": {"<userinfo>", 0, 1}, "surveys": {"<survey ", 0, 2},
		"surveys on entry": {`<survey context="entry">`, 0, 1}, "surveys on exit": {`<survey context="exit">`, 0, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			least, most := 100, 0
			for _, chat := range chats {
				n := strings.Count(chat, c.element)
				least, most = min(least, n), max(most, n)
			}
			if least != c.least || most != c.most {
				t.Errorf("%d to %d in one chat; want %d to %d", least, most, c.least, c.most)
			}
		})
	}
	optional := regexp.MustCompile(`<(referrer|keywords|city|country|organization|ISP|userinfo|survey)\b`)
	for _, chat := range chats {
		if !optional.MatchString(chat) {
			return
		}
	}
	t.Error("no chat lacks all that may be absent")
}

func TestAPeriodCostsWhatItHoldsAndNotTheAccount(t *testing.T) {
	s := liveleadersim.New(simulated.Options{Seed: 5, Days: 14, Chats: 10_000, Start: now, Now: func() time.Time { return now }})
	query := good(s)
	query.Set("start", "2026-10-20T10:00:00.000+02:00")
	query.Set("stop", "2026-10-20T10:10:00.000+02:00")
	if _, body := ask(s, "GET", "/a/Srv?"+query.Encode()); strings.Count(body, "<chat>") < 2 {
		t.Fatalf("the period holds %q", body)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		ask(s, "GET", "/a/Srv?"+query.Encode())
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 20; each > 512<<10 {
		t.Errorf("a period of ten minutes takes %d bytes", each)
	}
}

func TestRequestsMustBeAsDocumented(t *testing.T) {
	cases := map[string]struct {
		change func(url.Values)
		want   int
	}{
		"as it is":                     {func(url.Values) {}, http.StatusOK},
		"another a":                    {func(q url.Values) { q.Set("a", "Export") }, http.StatusBadRequest},
		"no a":                         {func(q url.Values) { q.Del("a") }, http.StatusBadRequest},
		"no email":                     {func(q url.Values) { q.Del("email") }, http.StatusBadRequest},
		"no password":                  {func(q url.Values) { q.Del("password") }, http.StatusBadRequest},
		"no start":                     {func(q url.Values) { q.Del("start") }, http.StatusBadRequest},
		"no stop":                      {func(q url.Values) { q.Del("stop") }, http.StatusBadRequest},
		"start twice":                  {func(q url.Values) { q.Add("start", q.Get("start")) }, http.StatusBadRequest},
		"an empty start":               {func(q url.Values) { q.Set("start", "") }, http.StatusBadRequest},
		"a twice":                      {func(q url.Values) { q.Add("a", "export") }, http.StatusBadRequest},
		"start and stop the same":      {func(q url.Values) { q.Set("start", q.Get("stop")) }, http.StatusOK},
		"an unknown parameter":         {func(q url.Values) { q.Set("page", "2") }, http.StatusBadRequest},
		"another email":                {func(q url.Values) { q.Set("email", "ada@agent.example") }, http.StatusUnauthorized},
		"a wrong password":             {func(q url.Values) { q.Set("password", "wrong") }, http.StatusUnauthorized},
		"start without offset":         {func(q url.Values) { q.Set("start", "2026-10-01T00:00:00.000") }, http.StatusBadRequest},
		"start without milliseconds":   {func(q url.Values) { q.Set("start", "2026-10-01T00:00:00+02:00") }, http.StatusBadRequest},
		"start in the response's form": {func(q url.Values) { q.Set("start", "01-10-2026T00:00:0000") }, http.StatusBadRequest},
		"start after stop":             {func(q url.Values) { q.Set("start", "2027-10-01T00:00:00.000+02:00") }, http.StatusBadRequest},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSim(0)
			query := good(s)
			c.change(query)
			if got, _ := ask(s, "GET", "/a/Srv?"+query.Encode()); got != c.want {
				t.Errorf("%d; want %d", got, c.want)
			}
		})
	}
}

func TestOtherPathsMethodsAndEncodingsAreRefused(t *testing.T) {
	s := newSim(0)
	query := good(s).Encode()
	cases := map[string]struct {
		method, target string
		want           int
	}{
		"another path":          {"GET", "/?" + query, http.StatusNotFound},
		"a path in lower case":  {"GET", "/a/srv?" + query, http.StatusNotFound},
		"a POST":                {"POST", "/a/Srv?" + query, http.StatusMethodNotAllowed},
		"a plus not encoded":    {"GET", "/a/Srv?" + strings.ReplaceAll(query, "%2B", "+"), http.StatusBadRequest},
		"a malformed parameter": {"GET", "/a/Srv?" + query + "&x=%zz", http.StatusBadRequest},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, _ := ask(s, c.method, c.target); got != c.want {
				t.Errorf("%d; want %d", got, c.want)
			}
		})
	}
}

func TestAPeriodHoldsTheChatsThatTouchIt(t *testing.T) {
	s := newSim(0)
	at := s.Ledger()[3]
	query := good(s)
	form := "2006-01-02T15:04:05.000-07:00"
	query.Set("start", at.At.Format(form))
	query.Set("stop", at.At.Add(time.Second).Format(form))
	if _, body := ask(s, "GET", "/a/Srv?"+query.Encode()); !strings.Contains(body, at.Key) {
		t.Errorf("the second in which chat %s starts does not hold it", at.Key)
	}
	query.Set("stop", at.At.Format(form))
	query.Set("start", at.At.Add(-time.Second).Format(form))
	if _, body := ask(s, "GET", "/a/Srv?"+query.Encode()); strings.Contains(body, at.Key) {
		t.Errorf("the second before chat %s starts holds it", at.Key)
	}
}

func TestAChangeIsOneEntryOfEachChat(t *testing.T) {
	s := newSim(2)
	_, before := ask(s, "GET", "/a/Srv?"+good(s).Encode())
	if n := s.Change(3); n != 3 {
		t.Fatalf("Change(3) = %d", n)
	}
	_, after := ask(s, "GET", "/a/Srv?"+good(s).Encode())
	const edit = "<entry key=\"Edited\">1</entry>\n"
	if n := strings.Count(after, edit); n != 3 || strings.ReplaceAll(after, edit, "") != before {
		t.Errorf("%d edits; want 3 and nothing else changed", n)
	}
}

func TestAChangeShowsAlsoInAChatWithoutUserinfo(t *testing.T) {
	s := newSim(0)
	n := s.Change(1000)
	_, body := ask(s, "GET", "/a/Srv?"+good(s).Encode())
	if shown := strings.Count(body, "<entry key=\"Edited\">1</entry>"); shown != n || n != len(s.Ledger()) {
		t.Errorf("%d of %d changes are shown, of %d chats", shown, n, len(s.Ledger()))
	}
}

func TestMalformedChatsAreInTheLedgerAndInAWholeResponse(t *testing.T) {
	s := newSim(4)
	_, body := ask(s, "GET", "/a/Srv?"+good(s).Encode())
	malformed, keyless := 0, 0
	for _, e := range s.Ledger() {
		if e.Malformed {
			malformed++
			if e.Key == "" {
				keyless++
			}
		}
	}
	if malformed < 2 || keyless == 0 || keyless == malformed {
		t.Errorf("%d malformed chats, %d without key; want both sorts", malformed, keyless)
	}
	if got := strings.Count(body, "<chat>"); got != len(s.Ledger()) || got != strings.Count(body, "</chat>") || got-keyless != strings.Count(body, "<id>") {
		t.Errorf("%d chats and %d ids; the ledger has %d, %d without", got, strings.Count(body, "<id>"), len(s.Ledger()), keyless)
	}
	if err := xml.Unmarshal([]byte(body), new(export)); err == nil {
		t.Error("encoding/xml accepts the malformed chats")
	}
}

func TestTheClockShowsChatsWhenTheyHaveEnded(t *testing.T) {
	clock := now
	s := liveleadersim.New(simulated.Options{Seed: 5, Chats: 5, LivePerHour: 4, Start: now, Now: func() time.Time { return clock }})
	before := len(s.Ledger())
	clock = clock.Add(6 * time.Hour)
	if after := len(s.Ledger()); after <= before {
		t.Errorf("%d chats six hours later; there were %d", after, before)
	}
}

func TestFaultsStandInFront(t *testing.T) {
	s := liveleadersim.New(simulated.Options{Chats: 1, Faults: simulated.Faults{simulated.Fault500: 0.9}})
	server := httptest.NewServer(s)
	defer server.Close()
	for range 50 {
		resp, err := http.Get(server.URL + "/a/Srv?" + good(s).Encode())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusInternalServerError {
			return
		}
	}
	t.Error("no fault in 50 requests")
}
