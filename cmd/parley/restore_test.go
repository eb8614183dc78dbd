package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// snapshot is a stream as `nats stream backup` has it.
type snapshot struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
	chunks [][]byte
}

const replyLimit = 30 * time.Second

// ask sends a request of JetStream's and reads its answer.
func ask(t testing.TB, nc *nats.Conn, subject string, request, answer any) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := nc.Request(subject, body, replyLimit)
	if err != nil {
		t.Fatal(subject, err)
	}
	var refused struct{ Error *struct{ Description string } }
	if err := json.Unmarshal(reply.Data, &refused); err != nil || refused.Error != nil {
		t.Fatalf("%s: %s", subject, reply.Data)
	}
	if err := json.Unmarshal(reply.Data, answer); err != nil {
		t.Fatal(err)
	}
}

func take(t testing.TB, nc *nats.Conn, stream string) (s snapshot) {
	t.Helper()
	inbox := nats.NewInbox()
	chunks, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = chunks.Unsubscribe() }()
	ask(t, nc, "$JS.API.STREAM.SNAPSHOT."+stream, map[string]any{"deliver_subject": inbox}, &s)
	for {
		m, err := chunks.NextMsg(replyLimit)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Data) == 0 {
			return s
		}
		s.chunks = append(s.chunks, bytes.Clone(m.Data))
		if m.Reply != "" {
			_ = m.Respond(nil)
		}
	}
}

func restore(t testing.TB, nc *nats.Conn, stream string, s *snapshot) {
	t.Helper()
	var ready struct {
		Deliver string `json:"deliver_subject"`
	}
	ask(t, nc, "$JS.API.STREAM.DELETE."+stream, struct{}{}, &struct{}{})
	ask(t, nc, "$JS.API.STREAM.RESTORE."+stream, s, &ready)
	for _, chunk := range append(s.chunks, nil) {
		reply, err := nc.Request(ready.Deliver, chunk, replyLimit)
		if err != nil || bytes.Contains(reply.Data, []byte("error")) {
			t.Fatalf("%s: %v, %s", stream, err, reply.Data)
		}
	}
}

// oneSource leaves of the simulated vendors a single one.
func (w *world) oneSource(name string) {
	prefix := "PARLEY_SOURCE_" + strings.ToUpper(name)
	w.environ = slices.DeleteFunc(w.environ, func(e string) bool {
		return strings.HasPrefix(e, "PARLEY_SOURCE_") && !strings.HasPrefix(e, prefix+"_")
	})
	w.set("PARLEY_SOURCES", name)
}

// someone gives the address of a visitor of whom there are events.
func someone(t testing.TB, f *files) string {
	t.Helper()
	for _, e := range f.events {
		if c, is := decoded(t, &e).(*events.Conversation); is && c.Visitor != nil && c.Visitor.Email != "" {
			return c.Visitor.Email
		}
	}
	t.Fatal("no visitor has an address")
	return ""
}

// said waits until a process that plays the processors' role says something, and stops it.
func (w *world) said(t testing.TB, what string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := command(t, w.environ, "process")
	p.Stderr = log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(100 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), what) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a processor does not say %q within two minutes:\n%s", what, text)
		}
	}
	_ = p.Process.Signal(os.Interrupt)
	_ = p.Wait()
}

// TestAForgottenPersonDoesNotComeBackWithARestoredStream forgets a person between the backup of all streams and their restoration: with the
// bucket of the erased as it was last, and with the one that is of the backup.
func TestAForgottenPersonDoesNotComeBackWithARestoredStream(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 22, Days: 1, Chats: 6})
	server := newExternalServer(t)
	w.oneSource("liveagent")
	w.set("PARLEY_NATS_URL", server.url())
	w.set("PARLEY_ERASED_FILE", filepath.Join(w.dir, "erased"))
	command(t, w.environ, "run", "--once").once(t, exitDone)
	f := w.readFiles(t)
	email := someone(t, &f)
	nc, err := nats.Connect(server.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	backup := make(map[string]snapshot)
	var names struct{ Streams []string }
	ask(t, nc, "$JS.API.STREAM.NAMES", struct{}{}, &names)
	for _, name := range names.Streams {
		backup[name] = take(t, nc, name)
	}
	erased := "KV_" + broker.ErasedBucket
	if _, is := backup[erased]; !is || len(backup) < 8 {
		t.Fatalf("a backup of %v; want every stream and bucket", names.Streams)
	}
	if done, _ := w.forget(t, email, "--yes"); len(done.Entities) == 0 {
		t.Fatal("nothing was erased: the test shows nothing")
	}
	found := func() []string { return whereIn(t, server.store, []string{email}) }
	again := func() {
		t.Helper()
		if len(found()) == 0 {
			t.Fatal("the person is in no backup: the test shows nothing")
		}
		command(t, w.environ, "forget", "--again", "--yes").once(t, exitDone)
		if where := found(); len(where) > 0 {
			t.Errorf("after `forget --again` the person stands in\n%s", strings.Join(where, "\n"))
		}
	}
	for name, s := range backup {
		if name != erased {
			restore(t, nc, name, &s)
		}
	}
	w.said(t, "parley forget --again")
	again()
	for name, s := range backup {
		restore(t, nc, name, &s)
	}
	for _, role := range [][]string{{"process"}, {"sink"}, {"run", "--once"}} {
		if p := command(t, w.environ, role...).once(t, exitFailed); !strings.Contains(p.stderr.String(), "parley forget --again") {
			t.Errorf("%s: want to be told what to do:\n%s", role, p.stderr)
		}
	}
	again()
	command(t, w.environ, "run", "--once").once(t, exitDone) // the vendor still has him
	if where := found(); len(where) > 0 {
		t.Errorf("after everything was read again the person stands in\n%s", strings.Join(where, "\n"))
	}
}
