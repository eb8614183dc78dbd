package dashboard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/cmd/internal/dashboard"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

const token = "correct horse battery staple"

// bench is a dashboard over a broker that a test fills; no role runs.
type bench struct {
	app    *app.App
	broker *broker.Broker
	dash   *dashboard.Dashboard
	server *httptest.Server
	log    *buffer
}

// buffer is written and read by several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newBench has a source eu of LiveChat, and the sinks files and spare.
func newBench(t testing.TB, environ ...string) *bench {
	t.Helper()
	dir := t.TempDir()
	environ = append([]string{
		"PARLEY_SOURCES=eu", "PARLEY_SOURCE_EU_VENDOR=livechat", "PARLEY_SOURCE_EU_LOGIN=me@example.org", "PARLEY_SOURCE_EU_API_KEY=0123456789abcdef",
		"PARLEY_SOURCE_EU_SINCE=" + time.Now().AddDate(0, 0, -20).UTC().Format(time.DateOnly), "PARLEY_SOURCE_EU_WINDOW=24h", "PARLEY_SOURCE_EU_TIMEZONE=Europe/Berlin",
		"PARLEY_SINKS=files,spare", "PARLEY_SINK_FILES_URL=file://" + filepath.Join(dir, "files"), "PARLEY_SINK_SPARE_URL=file://" + filepath.Join(dir, "spare"),
		"PARLEY_DATA_DIR=" + filepath.Join(dir, "data"), "PARLEY_LOG_FORMAT=json",
	}, environ...)
	b := &bench{log: &buffer{}}
	var err error
	if b.app, err = app.New(environ, io.Discard, b.log); err != nil {
		t.Fatal(err)
	}
	if b.broker, err = b.app.Broker(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.broker.Close)
	b.dash = b.app.Dashboard(b.broker, nil)
	b.serve(t)
	return b
}

func (b *bench) serve(t testing.TB) {
	t.Helper()
	b.server = httptest.NewServer(b.dash)
	t.Cleanup(b.server.Close)
}

// signed has a token.
func signed(t testing.TB) *bench {
	t.Helper()
	return newBench(t, "PARLEY_HTTP_TOKEN="+token)
}

// ask sends a request as somebody who knows the token, unless edits say otherwise, and gives what came.
func (b *bench) ask(t testing.TB, method, path, body string, edits ...func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, edit := range edits {
		edit(req)
	}
	resp, err := b.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(content)
}

// get reads JSON that must be there.
func (b *bench) get(t testing.TB, path string, into any, edits ...func(*http.Request)) {
	t.Helper()
	status, _, body := b.ask(t, http.MethodGet, path, "", edits...)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("GET %s: %v in %s", path, err, body)
	}
}

func (b *bench) post(t testing.TB, path, body string, into any) {
	t.Helper()
	status, _, answer := b.ask(t, http.MethodPost, path, body)
	if status != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, status, answer)
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		t.Fatalf("POST %s: %v in %s", path, err, answer)
	}
}

// anonymous takes the token away.
func anonymous(r *http.Request) { r.Header.Del("Authorization") }

// person is in every event of a test.
const (
	personName = "Ada Lovelace"
	personMail = "ada@example.org"
	personText = "my secret question"
)

// conversation is the data of a chat of a person.
func conversation(id string, messages int) *events.Conversation {
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	c := &events.Conversation{
		Base:    events.Base{ID: events.CanonicalID("livechat", "eu", id), Vendor: "livechat", Source: "eu", VendorID: id},
		Channel: "chat", Status: "ended", StartedAt: at,
		Visitor: &events.Visitor{Name: personName, Email: personMail},
		Agents:  []events.Agent{{ID: "a1", Name: "Grace Hopper", Role: events.RoleAgent}},
	}
	for i := range messages {
		who := events.Author{Type: events.AuthorVisitor, Name: personName}
		if i%2 == 1 {
			who = events.Author{Type: events.AuthorAgent, Name: "Grace Hopper"}
		}
		c.Messages = append(c.Messages, events.Message{ID: fmt.Sprint(i), At: at.Add(time.Duration(i) * time.Minute), Author: &who, Text: fmt.Sprintf("%s %d", personText, i)})
	}
	return c
}

// publish stores an entity as its revision.
func (b *bench) publish(t testing.TB, e events.Entity, revision uint64) {
	t.Helper()
	content, err := events.EncodeContent(e)
	if err != nil {
		t.Fatal(err)
	}
	base := e.Common()
	event := events.NewEvent(e, &events.Record{Vendor: base.Vendor, Source: base.Source, Stream: "chats", RequestedAt: time.Now()}, revision, events.Digest(content), content)
	m := broker.Message{Subject: events.EventSubjects + "." + events.EntityPath(e.Kind(), base.Vendor, base.Source, base.VendorID), Header: map[string][]string{}, Data: event.Data}
	event.SetHeaders(m.Header)
	b.store(t, m)
}

func (b *bench) store(t testing.TB, m broker.Message) {
	t.Helper()
	if r := b.broker.Publish(t.Context(), []broker.Message{m})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
}

// bury makes a dead letter of a vendor's record.
func (b *bench) bury(t testing.TB, key, body, reason string) {
	t.Helper()
	r := &events.Record{
		Vendor: "livechat", Source: "eu", Stream: "chats", Key: key, RequestedAt: time.Now(), Timezone: "Europe/Berlin",
		Parts: []events.Part{{ContentType: events.ContentJSON, Body: events.Body{Bytes: []byte(body)}}},
	}
	e, err := events.NewRawEvent(r, "r-"+key)
	if err != nil {
		t.Fatal(err)
	}
	b.buryEvent(t, &e, events.RawSubject(r), events.DeadLetter{Stage: events.StageProcess, Name: "livechat", Reason: reason, Attempts: 1, Stream: broker.Raw, Sequence: 7, At: time.Now()})
}

func (b *bench) buryEvent(t testing.TB, e *events.Event, subject string, d events.DeadLetter) {
	t.Helper()
	d.Subject = subject
	h := map[string][]string{}
	e.SetHeaders(h)
	d.SetHeaders(h)
	delete(h, broker.HeaderMsgID)
	b.store(t, broker.Message{Subject: d.DeadSubject(), Header: h, Data: e.Data})
}

// read says in the ledger that windows were read.
func (b *bench) read(t testing.TB, entries ...pollers.Entry) {
	t.Helper()
	bucket, err := b.broker.Bucket(t.Context(), broker.LedgerBucket)
	if err != nil {
		t.Fatal(err)
	}
	ledger := pollers.NewLedger(bucket)
	for _, e := range entries {
		if _, err := ledger.Set(t.Context(), "eu", e); err != nil {
			t.Fatal(err)
		}
	}
}

// run has the dashboard remember, until the test ends.
func (b *bench) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.dash.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !so(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it never came to this: %s", what)
		}
	}
}
