package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// hook is a webhook's destination. The first customer whose conversation comes, and says enough of him, is the person: what holds his address it refuses for good, until it
// is told to take everything.
type hook struct {
	url    string
	mu     sync.Mutex
	person string
	open   bool
	got    []events.Event
}

func newHook(t testing.TB) *hook {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *hook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	e, err := events.ParseStructured(body)
	if err == nil && h.person == "" && e.Vendor == "liveagent" && e.Kind() == events.KindConversation {
		var c events.Conversation
		if err = json.Unmarshal(e.Data, &c); err == nil && c.Visitor != nil && saysWhere(&c) {
			h.person = c.Visitor.Email
		}
	}
	if err != nil || !h.open && h.person != "" && bytes.Contains(e.Data, []byte(h.person)) {
		rw.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	h.got = append(h.got, e)
}

// saysWhere tells whether a message has its visitor's network address: names and phrases may be others', too.
func saysWhere(c *events.Conversation) bool {
	return slices.ContainsFunc(c.Messages, func(m events.Message) bool { return strings.Contains(m.Text, "(198.51.100.") })
}

func (h *hook) takeAll() (person string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = true
	return h.person
}

func (h *hook) events() []events.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// forgetting is what `parley forget --json` prints.
type forgetting struct {
	Entities []struct {
		Kind                   events.Kind
		Vendor, Source, Stream string
		VendorID               string `json:"vendor_id"`
	}
	Messages   map[string]int
	Tombstones int
	Places     []struct {
		Sink, Place string
		Events      int
	}
	Unsearched []string
}

func (w *world) forget(t testing.TB, email string, args ...string) (f forgetting, stderr string) {
	t.Helper()
	p := command(t, w.environ, append([]string{"forget", "--visitor", email, "--json"}, args...)...).once(t, exitDone)
	if err := json.Unmarshal(p.stdout.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	return f, p.stderr.String()
}

// entities are the erased ones by kind and canonical id.
func (f *forgetting) entities() map[string]bool {
	all := make(map[string]bool)
	for _, e := range f.Entities {
		all[string(e.Kind)+" "+events.CanonicalID(e.Vendor, e.Source, e.VendorID)] = true
	}
	return all
}

func entityOf(e *events.Event) string {
	_, source, _ := strings.Cut(strings.TrimPrefix(e.Source, "/"), "/")
	return string(e.Kind()) + " " + events.CanonicalID(e.Vendor, source, e.Subject)
}

func decoded(t testing.TB, e *events.Event) events.Entity {
	t.Helper()
	if e.Deleted() {
		return nil
	}
	entity, err := events.DecodeContent(e.Kind(), e.Data)
	if err != nil {
		t.Fatal(err)
	}
	return entity
}

// words are what the erased entities tell of a person and no other event does: his address, name, number, and what he wrote.
func words(t testing.TB, f *files, erased map[string]bool, email string) (all []string) {
	t.Helper()
	candidates := map[string]bool{email: true}
	var others bytes.Buffer
	for _, e := range f.events {
		if !erased[entityOf(&e)] {
			others.Write(e.Data)
			continue
		}
		c, is := decoded(t, &e).(*events.Conversation)
		if !is || c.Visitor == nil {
			continue
		}
		for _, word := range []string{c.Visitor.Name, c.Visitor.Email, c.Visitor.IP} {
			candidates[word] = true
		}
		for i := range c.Messages {
			if text := c.Messages[i].Text; len(text) > 12 && !strings.ContainsAny(text, "\"\\<>&\n") {
				candidates[text] = true
			}
		}
	}
	delete(candidates, "")
	for word := range candidates {
		if !bytes.Contains(bytes.ToLower(others.Bytes()), bytes.ToLower([]byte(word))) {
			all = append(all, word)
		}
	}
	slices.Sort(all)
	return all
}

// whereIn gives the files below a directory that hold one of the words.
func whereIn(t testing.TB, dir string, words []string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		content = bytes.ToLower(content)
		for _, word := range words {
			if at := bytes.Index(content, bytes.ToLower([]byte(word))); at >= 0 {
				found = append(found, fmt.Sprintf("%q in %s: …%q", word, strings.TrimPrefix(path, dir), content[max(0, at-80):min(len(content), at+120)]))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAForgottenPersonIsInNoStoreAfterEverythingIsReadAgain(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 22, Days: 2, Chats: 15, Malformed: 1})
	h := newHook(t)
	w.set("PARLEY_SINKS", "files,hook")
	w.set("PARLEY_SINK_HOOK_URL", h.url+"?mode=structured")
	w.set("PARLEY_SINK_HOOK_ALLOW_PRIVATE", "true")
	w.set("PARLEY_SINK_HOOK_MAX_ATTEMPTS", "1")
	w.set("PARLEY_MESSAGE_EVENTS", "true")
	w.set("PARLEY_LOG_LEVEL", "debug")
	command(t, w.environ, "run", "--once").once(t, exitFailed) // the malformed records
	before := w.readFiles(t)
	email := h.takeAll()

	trial, _ := w.forget(t, email, "--dry-run")
	erased := trial.entities()
	canaries := words(t, &before, erased, email)
	if len(erased) < 3 || len(canaries) == 0 { // his address is his alone; who else is told of the rest is the simulators' chance
		t.Fatalf("%d entities and %q: too little to show anything", len(erased), canaries)
	}
	data := filepath.Join(w.dir, "data")
	if len(whereIn(t, data, canaries)) == 0 {
		t.Fatal("the person stands in no store before: the test shows nothing")
	}
	since := time.Now().AddDate(0, 0, -3).UTC().Format(time.DateOnly)
	command(t, w.environ, "replay", "hook", "--from", since).once(t, exitDone) // nobody takes it before the erasure

	w.leaveAReplay(t, trial.Places[0].Place)

	done, stderr := w.forget(t, email, "--yes")
	said := []string{stderr}
	erased = done.entities()
	if done.Tombstones != len(erased) || len(erased) < len(trial.Entities) {
		t.Errorf("%d entities, %d before; %d events say so", len(erased), len(trial.Entities), done.Tombstones)
	}
	for _, stream := range []string{broker.Raw, broker.Events, broker.Dead, broker.Seen, broker.Replay} {
		if done.Messages[stream] == 0 {
			t.Errorf("nothing was erased in %s: %v", stream, done.Messages)
		}
	}
	if len(done.Places) == 0 || len(done.Unsearched) != 1 || !strings.Contains(done.Unsearched[0], "hook") {
		t.Errorf("places %v, not searched %v; want files, and that the webhook cannot tell", done.Places, done.Unsearched)
	}
	if found := whereIn(t, data, canaries); len(found) > 0 {
		t.Errorf("at once after the erasure the person stands in\n%s", strings.Join(found, "\n"))
	}
	// What files hold is for whoever runs them to remove, by the list.
	replayed := 0
	for _, p := range done.Places {
		dir := map[string]string{"files": "out", "files-replay": "out-replay"}[p.Sink]
		if err := os.Remove(filepath.Join(w.dir, dir, p.Place)); err != nil {
			t.Errorf("%s: %v", p.Sink, err)
		}
		if p.Sink == "files-replay" {
			replayed++
		}
	}
	if replayed != 1 {
		t.Errorf("%d places of a replay are named, want 1: %v", replayed, done.Places)
	}

	// The vendors still have him, and are asked for everything again, in all the ways that there are.
	said = append(said, command(t, w.environ, "run", "--once").once(t, exitDone).stderr.String())
	run := command(t, w.environ, "run")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitForServer(t)
	for _, args := range [][]string{
		{"backfill", "liveagent", "--from", since, "--again"},
		{"reprocess", "liveagent", "--from", since},
		{"replay", "files", "--from", since},
		{"replay", "hook", "--from", since},
	} {
		said = append(said, command(t, w.environ, args...).once(t, exitDone).stderr.String())
	}
	_ = run.Process.Signal(os.Interrupt)
	if err := run.Wait(); err != nil {
		t.Errorf("%v\n%s", err, run.stderr)
	}
	said = append(said, run.stderr.String(), command(t, w.environ, "dlq", "replay", "--all").once(t, exitDone).stderr.String(), command(t, w.environ, "run", "--once").once(t, exitFailed).stderr.String())

	if found := whereIn(t, w.dir, canaries); len(found) > 0 {
		t.Errorf("after everything was read again the person stands in\n%s", strings.Join(found, "\n"))
	}
	for _, text := range said {
		for _, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("a log says %q:\n%s", canary, text)
			}
		}
	}
	after := w.readFiles(t)
	wantGone(t, "files", erased, slices.Collect(maps.Values(after.events)))
	got := h.events()
	wantTombstones(t, "webhook", erased, got)
	again, _ := w.forget(t, email, "--yes")
	if len(again.Entities) > 0 || len(again.Messages) > 0 || again.Tombstones > 0 {
		t.Errorf("forgotten once more: %+v; want nothing to be there", again)
	}
}

// leaveAReplay puts one of the sink's files where a replay had put it.
func (w *world) leaveAReplay(t testing.TB, name string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, "out", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "out-replay"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "out-replay", strings.TrimSuffix(filepath.Base(name), ".mark")), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantTombstones wants one .deleted event for each erased entity, and that it is the last of it.
func wantTombstones(t testing.TB, sink string, erased map[string]bool, all []events.Event) {
	t.Helper()
	last := make(map[string]events.Event)
	for _, e := range all {
		if e.Revision >= last[entityOf(&e)].Revision {
			last[entityOf(&e)] = e
		}
	}
	for entity := range erased {
		if e := last[entity]; !e.Deleted() {
			t.Errorf("%s: the last of %s is %q, want its .deleted", sink, entity, e.ID)
		}
	}
	for entity, e := range last {
		if e.Deleted() && !erased[entity] {
			t.Errorf("%s: %s was deleted, and nobody asked for it", sink, entity)
		}
	}
}

// wantGone wants that besides the tombstones there is nothing of the erased entities.
func wantGone(t testing.TB, sink string, erased map[string]bool, all []events.Event) {
	t.Helper()
	wantTombstones(t, sink, erased, all)
	for _, e := range all {
		if erased[entityOf(&e)] && !e.Deleted() {
			t.Errorf("%s: %s is there", sink, e.ID)
		}
	}
}
