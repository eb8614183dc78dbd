package processors_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/privacy"
)

// canaries are what may stand nowhere after the person was erased.
var canaries = []string{"ann@visitor.example", "visitor-77ann", "my cat is called Mauzi", "Mauzi"}

// stands gives the canaries that stand in any byte of a store's directory.
func stands(t testing.TB, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // the server removes files meanwhile
		}
		content, _ := os.ReadFile(path)
		for _, canary := range canaries {
			if bytes.Contains(content, []byte(canary)) {
				found = append(found, canary+" in "+strings.TrimPrefix(path, dir))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func eraser(t testing.TB, b *broker.Broker) *processors.Eraser {
	t.Helper()
	e, err := processors.NewEraser(t.Context(), b, processors.EraserOptions{Normalizers: map[string]processors.Normalizer{"testvendor": normalize}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var ann = []events.Identifier{{Kind: events.ByEmail, Value: "ann@visitor.example"}}

// chatsOf publishes what a poll of the vendor gives: four of the person, one of them by her id alone and one that is malformed, and two of others.
func chatsOf(t testing.TB, b *broker.Broker, second int) {
	t.Helper()
	raw(t, b, chat{ID: "a1", Email: "Ann@visitor.example", Visitor: "visitor-77ann", Lines: lines("my cat is called Mauzi")}, second)
	raw(t, b, chat{ID: "a2", Visitor: "visitor-77ann", Lines: lines("Mauzi again")}, second)
	raw(t, b, chat{ID: "a3", Text: "transcript for ann@visitor.example: Mauzi"}, second)
	raw(t, b, chat{ID: "bad", Text: "panic", Email: "ann@visitor.example", Lines: lines("Mauzi")}, second)
	raw(t, b, chat{ID: "large", Email: "ann@visitor.example", Text: strings.Repeat("my cat is called Mauzi ", 60_000)}, second)
	raw(t, b, chat{ID: "b1", Email: "bob@visitor.example", Lines: lines("a dog")}, second)
	raw(t, b, chat{ID: "bad2", Text: "panic", Email: "bob@visitor.example"}, second)
}

func TestAForgottenPersonIsInNoByteAndComesBackByNoReading(t *testing.T) {
	b := open(t, broker.Options{Partitions: 2})
	dir := b.Options().DataDir
	quiet := slog.New(slog.DiscardHandler)
	r, stop := start(t, b, processors.Options{MessageEvents: true, Logger: quiet})
	chatsOf(t, b, 1)
	drained(t, b)
	if len(stands(t, dir)) == 0 {
		t.Fatal("the person stands nowhere even before: the test shows nothing")
	}
	e := eraser(t, b)
	found, err := e.Find(t.Context(), ann)
	if err != nil || len(found.Entities) < 4 || found.Messages[broker.Dead] != 1 || !slices.Contains(found.Known, "visitor-77ann") {
		t.Fatalf("%+v, %v; want her chats, her messages, a dead letter, and her id", found, err)
	}
	done, err := e.Erase(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Entities) != len(found.Entities) || done.Tombstones != len(found.Entities) {
		t.Errorf("erased %d of %d entities, and %d events say so", len(done.Entities), len(found.Entities), done.Tombstones)
	}
	chatsOf(t, b, 2) // the vendor still has her
	drained(t, b)
	eventually(t, "every record of her is dropped and counted", func() bool { return r.Counts()[processors.CountKey{Vendor: "testvendor"}].Erased == 5 })
	stop()
	_, stop = start(t, b, processors.Options{MessageEvents: true, Logger: quiet})
	chatsOf(t, b, 3)
	drained(t, b)
	again, err := e.Erase(t.Context(), ann)
	if err != nil || !again.Empty() || again.Tombstones != 0 {
		t.Errorf("forgotten again: %+v, %v; want nothing to be there", again, err)
	}
	stop()
	tombs, others := 0, 0
	for _, event := range emitted(t, b) {
		switch {
		case event.Deleted():
			tombs++
		case event.Subject == "b1" || strings.HasPrefix(event.Subject, "b1/"):
			others++
		default:
			t.Errorf("%s %s is there", event.Type, event.ID)
		}
	}
	if tombs != len(found.Entities) || others != 2 {
		t.Errorf("%d tombstones and %d events of another; want %d and 2", tombs, others, len(found.Entities))
	}
	state, err := b.StreamState(t.Context(), broker.Dead)
	if err != nil || state.Messages != 1 {
		t.Errorf("%d dead letters, %v; want the other's", state.Messages, err)
	}
	b.Close()
	if where := stands(t, dir); len(where) > 0 {
		t.Errorf("she stands in\n%s", strings.Join(where, "\n"))
	}
}

func TestAPersonWhoIsLeftOnlyAsAHashIsFoundByItsKeyAlone(t *testing.T) {
	policy := func(key string) *privacy.Policy {
		p, faults := privacy.New("visitor.email=hmac,visitor.id=drop,messages=drop", key)
		if faults != nil {
			t.Fatal(faults)
		}
		return p
	}
	former, present := policy("the key of last month"), policy("the key of this month")
	b := open(t, broker.Options{Partitions: 1})
	for i, p := range []*privacy.Policy{former, present} {
		_, stop := start(t, b, processors.Options{Guard: p})
		raw(t, b, chat{ID: fmt.Sprint("ann ", i), Email: "Ann@visitor.example"}, i+1)
		raw(t, b, chat{ID: fmt.Sprint("bob ", i), Email: "bob@visitor.example"}, i+1)
		drained(t, b)
		stop()
	}
	if err := b.PurgeStream(t.Context(), broker.Raw); err != nil { // as its retention does
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		alias func(string) string
		want  string
	}{
		"the present key": {present.Hashed, "ann 1"},
		"the former key":  {former.Hashed, "ann 0"},
		"no key":          {nil, ""},
	} {
		e, err := processors.NewEraser(t.Context(), b, processors.EraserOptions{Alias: c.alias})
		if err != nil {
			t.Fatal(err)
		}
		found, err := e.Find(t.Context(), ann)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, entity := range found.Entities {
			ids = append(ids, entity.VendorID)
		}
		if got := strings.Join(ids, ", "); got != c.want {
			t.Errorf("by %s %q is found, want %q", name, got, c.want)
		}
	}
}

func TestAnErasureThatIsEndedAnywhereCompletesWhenItIsDoneAgain(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	_, stop := start(t, b, processors.Options{Logger: slog.New(slog.DiscardHandler)})
	chatsOf(t, b, 1)
	drained(t, b)
	stop()
	for steps := 3; steps < 12; steps++ {
		ctx, end := context.WithCancel(t.Context())
		n := 0
		e, err := processors.NewEraser(ctx, b, processors.EraserOptions{
			Normalizers: map[string]processors.Normalizer{"testvendor": normalize},
			Progress: func(string) {
				if n++; n == steps {
					end()
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = e.Erase(ctx, ann)
		end()
	}
	if _, err := eraser(t, b).Erase(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if where := stands(t, b.Options().DataDir); len(where) > 0 {
		t.Errorf("she stands in\n%s", strings.Join(where, "\n"))
	}
}

func TestDigestsThatWereMadeBeforeTheKeyEmitNothingAgain(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	_, stop := start(t, b, processors.Options{})
	raw(t, b, chat{ID: "one", Text: "a"}, 1)
	drained(t, b)
	stop()
	content, err := events.EncodeContent(&events.Conversation{Base: events.Base{
		ID: "testvendor:test:one", Vendor: "testvendor", Source: "test", VendorID: "one",
	}, Subject: "a"})
	if err != nil {
		t.Fatal(err)
	}
	subject := events.StateSubjects + ".conversation.testvendor.test.one"
	last, err := b.Last(t.Context(), broker.State, []string{subject})
	if err != nil {
		t.Fatal(err)
	}
	m := last[subject]
	words := strings.Fields(string(m.Data))
	keyed := words[2]
	words[2] = events.Digest(content)
	publishRaw(t, b, broker.Message{Subject: subject, Data: []byte(strings.Join(words, " "))})
	start(t, b, processors.Options{})
	raw(t, b, chat{ID: "one", Text: "a"}, 2)
	drained(t, b)
	if all := emitted(t, b); len(all) != 1 {
		t.Errorf("%d events; want the one", len(all))
	}
	last, err = b.Last(t.Context(), broker.State, []string{subject})
	if m = last[subject]; err != nil || !strings.Contains(string(m.Data), keyed) {
		t.Errorf("the state is %q, %v; want its digest with the key", m.Data, err)
	}
}
