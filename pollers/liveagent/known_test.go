package liveagent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveagent"
	"github.com/parley-stream/parley/pollers/pollertest"
)

// memoryOf is what the core remembers of records: their versions, once they were emitted.
type memoryOf map[string]string

func (m memoryOf) seen(_ context.Context, stream string, keys []string) (map[string]string, error) {
	out := map[string]string{}
	for _, key := range keys {
		if v, ok := m[stream+" "+key]; ok {
			out[key] = v
		}
	}
	return out, nil
}

// direct answers requests by a handler without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	resp := w.Result()
	resp.ContentLength, resp.Request = int64(w.Body.Len()), r
	return resp, nil
}

// without gives the poller that reads a handler without a network.
func without(t testing.TB, variables map[string]string, handler http.Handler, env pollers.Env) pollers.Poller {
	t.Helper()
	values := map[string]string{"VENDOR": "liveagent", "URL": "https://vendor.example", "API_KEY": key}
	maps.Copy(values, variables)
	vars := settings.New("T_", values)
	env.Connect = func(_ string, _ pollers.Rate, secrets []string) *pollers.Client {
		return pollers.NewClient(pollers.ClientOptions{Secrets: secrets, Transport: direct{handler}})
	}
	env.Logger = slog.New(slog.DiscardHandler)
	if env.Now == nil {
		env.Now = clock
	}
	p := liveagent.New(pollers.DecodeSettings("test", vars), vars, env)
	if faults := vars.Faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	return p
}

// remembering gives a poller that is told what was emitted before, at a time.
func remembering(t testing.TB, handler http.Handler, m memoryOf, at *time.Time) pollers.Poller {
	t.Helper()
	return without(t, nil, handler, pollers.Env{Now: func() time.Time { return *at }, Seen: m.seen})
}

// read reads a window and remembers what was emitted, up to so many records.
func (m memoryOf) read(p pollers.Poller, w pollers.Window, atMost int) (keys []string, reading pollers.Reading, err error) {
	reading, err = p.Fetch(context.Background(), w, func(r events.Record) error {
		if len(keys) == atMost {
			return errDied
		}
		keys = append(keys, r.Key)
		if r.Version != "" {
			m[w.Stream+" "+r.Key] = r.Version
		}
		return nil
	})
	return keys, reading, err
}

var errDied = errors.New("the process died")

const all = 1 << 30

// counting counts the requests for each path.
type counting struct {
	next http.Handler
	mu   sync.Mutex
	by   map[string]int
}

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[strings.TrimPrefix(r.URL.Path, "/api/")]++
	c.mu.Unlock()
	c.next.ServeHTTP(w, r)
}

func TestAConversationIsAskedForWhenItsRowShowsAChange(t *testing.T) {
	rows := map[string]string{"c1": "08:00:00", "c2": "08:00:01"}
	preview := ""
	handler := &counting{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := jsonScript()
		list := []string{}
		for _, id := range []string{"c1", "c2"} {
			list = append(list, `{"conversationid":"`+id+`","datechanged":"2026-10-27 `+rows[id]+`","preview":"`+preview+`"}`)
			s["conversations/"+id] = `{"response":{"conversationid":"` + id + `"}}`
			s["conversations/"+id+"/messages"], s["conversations/"+id+"/tags"] = s["conversations/c1/messages"], s["conversations/c1/tags"]
		}
		s["conversations"] = `{"response":{"conversations":[` + strings.Join(list, ",") + `]}}`
		s.ServeHTTP(w, r)
	})}
	m, at := memoryOf{}, now
	p := remembering(t, handler, m, &at)
	steps := []struct {
		name      string
		change    func()
		want      []string
		unchanged int
	}{
		{"first", func() {}, []string{"c1", "c2"}, 0},
		{"nothing changed", func() {}, nil, 2},
		{"one was changed", func() { rows["c2"] = "08:30:00" }, []string{"c2"}, 1},
		{"what the list shows of both", func() { preview = "x" }, []string{"c1", "c2"}, 0},
		{"nothing changed any more", func() {}, nil, 2},
	}
	for _, s := range steps {
		s.change()
		before := handler.by["conversations/c1/messages"] + handler.by["conversations/c2/messages"]
		keys, reading, err := m.read(p, window(), all)
		if err != nil || fmt.Sprint(keys) != fmt.Sprint(s.want) || reading.Unchanged != s.unchanged || reading.Requests != 2+3*len(s.want) {
			t.Errorf("%s: %q, %+v, %v; want %q and %d unchanged", s.name, keys, reading, err, s.want, s.unchanged)
		}
		if asked := handler.by["conversations/c1/messages"] + handler.by["conversations/c2/messages"] - before; asked != len(s.want) {
			t.Errorf("%s: messages were asked for %d times", s.name, asked)
		}
	}
}

// Two changes of one second, and a reading between them: the row of the list is the same after both.
func TestTheSecondOfTwoChangesInOneSecondIsRead(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles") // the default
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	changed := at
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := jsonScript()
		s["conversations"] = `{"response":{"conversations":[{"conversationid":"c1","datechanged":"` + changed.In(zone).Format(time.DateTime) + `"}]}}`
		s.ServeHTTP(w, r)
	})
	m := memoryOf{}
	p := remembering(t, handler, m, &at)
	for _, step := range []struct {
		name string
		ago  time.Duration // when it was changed
		want int
	}{
		{"just now", 0, 1}, {"as it was, and maybe changed since", 0, 1}, {"a minute ago", time.Minute, 1}, {"as it was", time.Minute, 0},
	} {
		changed = at.Add(-step.ago)
		keys, _, err := m.read(p, pollers.Window{Stream: "conversations", From: at.Add(-time.Hour), To: at}, all)
		if err != nil || len(keys) != step.want {
			t.Errorf("%s: %q, %v; want %d", step.name, keys, err, step.want)
		}
	}
}

func TestAWindowOfTenThousandConversationsGoesOnWhereItDied(t *testing.T) {
	const n = 10_000
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, `,{"conversationid":"c%05d","datechanged":"2026-10-27 08:00:00"}`, i)
	}
	details := 0
	m, at := memoryOf{}, now
	p := remembering(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"response":{"groups":[],"tags":[],"conversationid":"x"}}`
		switch r.URL.Path {
		case "/api/departments":
			answer = `{"response":{"departments":[{"departmentid":"d1"}]}}`
		case "/api/conversations":
			answer = `{"response":{"conversations":[` + list.String()[1:] + `]}}`
		default:
			details++
		}
		_, _ = w.Write([]byte(answer))
	}), m, &at)
	if keys, _, err := m.read(p, window(), 6000); !errors.Is(err, errDied) || len(keys) != 6000 {
		t.Fatalf("%d records, %v", len(keys), err)
	}
	details = 0
	keys, reading, err := m.read(p, window(), all)
	if err != nil || len(keys) != n-6000 || keys[0] != "c06000" || reading.Unchanged != 6000 || details != 3*(n-6000) {
		t.Errorf("%d records from %q on, %+v, %d requests for details, %v", len(keys), keys[0], reading, details, err)
	}
}

func TestWhoVanishedAndIsListedAgainIsAskedForAgain(t *testing.T) {
	cases := map[string]struct {
		path  string
		again bool
	}{
		"no detail": {"conversations/c1", true}, "no messages": {"conversations/c1/messages", true}, "an installation without tags": {"conversations/c1/tags", false},
	}
	for name, c := range cases {
		m, at := memoryOf{}, now
		p := remembering(t, jsonScript().with(c.path, "404 gone"), m, &at)
		for i, want := range []bool{true, c.again} {
			if keys, _, err := m.read(p, window(), all); err != nil || (len(keys) == 1) != want {
				t.Errorf("%s, reading %d: %q, %v; want it read: %v", name, i, keys, err, want)
			}
		}
	}
}

func TestWhatWasSeenCannotBeTold(t *testing.T) {
	boom := errors.New("boom")
	p := without(t, nil, jsonScript(), pollers.Env{Seen: func(context.Context, string, []string) (map[string]string, error) { return nil, boom }})
	if _, err := pollertest.Collect(p, window()); !errors.Is(err, boom) {
		t.Errorf("%v; want the core's error", err)
	}
}

func customerScript() script {
	return script{
		"customers":           `{"response":{"customers":[{"contactid":"k1","email":"a@b.example"}]}}`,
		"customers/k1":        `{"response":{"contactid":"k1","authtoken":"s3cret","browsercookiename":"V_auth"}}`,
		"customers/k1/groups": `{"response":{"groups":[]}}`,
	}
}

func TestACustomersDetailIsReadAgainWhenItsRowChangesAndOnceAWeek(t *testing.T) {
	m, at := memoryOf{}, now
	s := customerScript()
	p := remembering(t, s, m, &at)
	w := pollers.Window{Stream: "customers"}
	read := func() int {
		keys, reading, err := m.read(p, w, all)
		if err != nil || reading.Unchanged != 1-len(keys) {
			t.Fatalf("%q, %+v, %v", keys, reading, err)
		}
		return len(keys)
	}
	if read() != 1 || read() != 0 {
		t.Error("the first reading gives one record, the second none")
	}
	s["customers"] = strings.Replace(s["customers"], "a@b", "c@d", 1)
	if read() != 1 || read() != 0 {
		t.Error("a changed row is read once more")
	}
	records := 0
	for range 70 {
		at = at.Add(24 * time.Hour)
		records += read()
	}
	if records != 10 {
		t.Errorf("%d readings in 70 days, want one a week", records)
	}
}
