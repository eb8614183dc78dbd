package ops_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/processors"
)

var update = flag.Bool("update", false, "write the list of metrics anew")

// list is what users read of the metrics, and what rules and dashboards are checked against.
const list = "../../../deploy/prometheus/metrics.md"

func TestTheListOfMetricsIsTheRegistrys(t *testing.T) {
	var want strings.Builder
	want.WriteString("# Metrics\n\nWhat `/metrics` gives beside `go_…` and `process_…`. What stands in the broker (windows, budgets, backlogs) is given by every process that\n" +
		"looks at it, with the same value: take `max by (…)`, not `sum`.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range ops.NewMetrics().Catalog() {
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
	}
	if *update {
		if err := os.WriteFile(list, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("run this test with -update; -want +got:\n%s", diff)
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	units := []string{"_seconds", "_bytes", "_total", "_info"}
	for _, m := range ops.NewMetrics().Catalog() {
		if !strings.HasPrefix(m.Name, "parley_") || m.Help == "" || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: want the prefix parley_ and a sentence of help", m.Name)
		}
		if (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s is a %s; counters, and nothing else, end in _total", m.Name, m.Type)
		}
		for _, bad := range []string{"_ms", "_millis", "_minutes", "_mb", "_percent"} {
			if strings.HasSuffix(m.Name, bad) {
				t.Errorf("%s: want a base unit (%s)", m.Name, strings.Join(units, ", "))
			}
		}
	}
}

func scrape(t *testing.T, m *ops.Metrics) string {
	t.Helper()
	r := httptest.NewRecorder()
	m.Handler().ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if r.Code != http.StatusOK {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	return r.Body.String()
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			t.Errorf("no %q; there are %q", line, linesWith(text, strings.Fields(name)[0]))
		}
	}
}

func linesWith(text, part string) (found []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, part) {
			found = append(found, line)
		}
	}
	return found
}

func TestWhatHappensIsCounted(t *testing.T) {
	m := ops.NewMetrics()
	for _, status := range []int{200, 200, 301, 401, 403, 404, 429, 500, 503, 0} {
		m.Answered("eu", status, 300*time.Millisecond)
	}
	live := pollers.Task{Class: pollers.ClassLive}
	for _, err := range []error{nil, context.DeadlineExceeded, pollers.Unauthorized(os.ErrPermission), pollers.Unavailable(os.ErrPermission)} {
		m.Read("eu", live, time.Second, err)
	}
	m.Delivered("files")(2 * time.Second)
	wantLines(t, scrape(t, m),
		`parley_requests_total{class="2xx",source="eu"} 2`, `parley_requests_total{class="3xx",source="eu"} 1`, `parley_requests_total{class="401",source="eu"} 1`,
		`parley_requests_total{class="403",source="eu"} 1`, `parley_requests_total{class="429",source="eu"} 1`, `parley_requests_total{class="4xx",source="eu"} 1`,
		`parley_requests_total{class="5xx",source="eu"} 2`, `parley_requests_total{class="none",source="eu"} 1`,
		`parley_request_duration_seconds_bucket{source="eu",le="0.25"} 0`, `parley_request_duration_seconds_bucket{source="eu",le="0.5"} 10`,
		`parley_window_readings_total{class="live",outcome="read",source="eu"} 1`, `parley_window_readings_total{class="live",outcome="failed",source="eu"} 1`,
		`parley_window_readings_total{class="live",outcome="refused",source="eu"} 1`, `parley_window_readings_total{class="live",outcome="denied",source="eu"} 1`,
		`parley_window_reading_duration_seconds_count{source="eu"} 1`,
		`parley_sink_delivery_seconds_bucket{sink="files",le="1"} 0`, `parley_sink_delivery_seconds_bucket{sink="files",le="5"} 1`,
	)
}

// publish stores so many events.
func publish(t *testing.T, b *broker.Broker, n int) {
	t.Helper()
	messages := make([]broker.Message, n)
	for i := range messages {
		id := strconv.Itoa(i)
		e := events.Event{ID: id, Source: "/acme/eu", Type: events.TypePrefix + "rating.created", Subject: id, Data: []byte("{}"), DataContentType: events.ContentJSON}
		messages[i] = broker.Message{Subject: events.EventSubjects + ".rating.acme.eu." + id, Header: make(map[string][]string), Data: e.Data}
		e.SetHeaders(messages[i].Header)
	}
	for _, r := range b.Publish(t.Context(), messages) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func TestWhatStandsInTheBrokerIsShown(t *testing.T) {
	e := newExternal(t)
	b := open(t, broker.Options{URLs: []string{e.ClientURL()}, RawMaxBytes: 1 << 20})
	publish(t, b, 3)
	m := ops.NewMetrics()
	w := watch(t, ops.Process{Broker: b, Processor: processor(t, b)}, ops.WatchOptions{})
	m.Watch(w)
	until(t, w, "store", ops.OK)
	wantLines(t, scrape(t, m),
		"parley_ready 1", "parley_broker_connected 1", "parley_store_writable 1", `parley_check_ok{check="store"} 1`,
		`parley_stream_messages{stream="PARLEY_EVENTS"} 3`, `parley_stream_max_bytes{stream="PARLEY_RAW"} 1.048576e+06`,
		"parley_raw_unprocessed_records 0", "parley_raw_oldest_unprocessed_seconds 0", `parley_members{role="process"} 0`,
	)
	e.stop()
	until(t, w, "broker", ops.Failed)
	for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		text := scrape(t, m)
		if strings.Contains(text, "parley_broker_connected 0") && !strings.Contains(text, "parley_stream_messages{") {
			wantLines(t, text, "parley_ready 0", "parley_store_writable 0", `parley_check_ok{check="broker"} 0`)
			break // what is not known is not shown
		}
		if time.Now().After(deadline) {
			t.Fatal("a lost broker's figures are shown for ever")
		}
	}
}

// What an identity may not ask costs a time-out, and is asked ever more rarely.
func TestAQuestionThatIsNotAnsweredIsAskedMoreRarely(t *testing.T) {
	b := open(t, broker.Options{DataDir: filepath.Join(t.TempDir(), "data")})
	var asked, others int
	w := ops.NewWatch(ops.Process{Broker: b}, ops.WatchOptions{Every: time.Second})
	ops.Ask(w, func(context.Context) error { asked++; return context.DeadlineExceeded })
	ops.Ask(w, func(context.Context) error { others++; return nil })
	for range 20 {
		ops.Look(t.Context(), w)
	}
	if asked != 1 || others != 20 {
		t.Errorf("within a second it was asked %d times and the others %d times, want 1 and 20", asked, others)
	}
}

func processor(t *testing.T, b *broker.Broker) *processors.Runner {
	t.Helper()
	r, err := processors.NewRunner(t.Context(), b, processors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
