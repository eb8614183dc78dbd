package processors_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

// preview is an enricher that writes what a function gives into the preview.
type preview struct {
	name string
	of   func(c *events.Conversation) (string, error)
}

func (p preview) Name() string { return p.name }

func (p preview) Enrich(e events.Entity) error {
	c := e.(*events.Conversation)
	text, err := p.of(c)
	c.Preview += text
	return err
}

func constant(text string) preview {
	return preview{text, func(*events.Conversation) (string, error) { return text, nil }}
}

// guard drops the subject and refuses and hides what its words say.
type guard struct{ refuses, hides string }

func (g guard) String() string { return "refuse " + g.refuses }

func (g guard) Treat(e events.Entity) error {
	c := e.(*events.Conversation)
	switch {
	case c.Subject == "guard panic":
		panic("no rule for " + g.hides)
	case strings.Contains(c.Subject, g.refuses):
		return fmt.Errorf("no rule for %q", g.hides)
	}
	c.Subject = ""
	return nil
}

func (g guard) Text(reason string) string { return strings.ReplaceAll(reason, g.hides, "[hidden]") }

func conversation(t testing.TB, e events.Event) (c events.Conversation) {
	t.Helper()
	if err := json.Unmarshal(e.Data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEnrichersWorkInTheirOrderAndAnUnchangedRecordStaysUnchangedWhenTheyDoNot(t *testing.T) {
	b := open(t, broker.Options{})
	_, stop := start(t, b, processors.Options{Enrichers: []processors.Enricher{constant("a"), constant("b")}})
	raw(t, b, chat{ID: "one", Text: "x"}, 1)
	drained(t, b)
	stop()
	start(t, b, processors.Options{Enrichers: []processors.Enricher{constant("renamed")}})
	raw(t, b, chat{ID: "one", Text: "x"}, 2)
	drained(t, b)
	all := emitted(t, b)
	if len(all) != 1 {
		t.Fatalf("%d events; want one: what an enricher adds is no change", len(all))
	}
	if got := conversation(t, all[0]).Preview; got != "ab" {
		t.Errorf("preview %q; want ab", got)
	}
	plain, err := events.EncodeContent(&events.Conversation{Base: events.Base{
		ID: "testvendor:test:one", Vendor: "testvendor", Source: "test", VendorID: "one",
	}, Subject: "x"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := b.DigestKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := key.Content(plain); all[0].Digest != want {
		t.Errorf("digest %s; want %s, that of the content before", all[0].Digest, want)
	}
}

func TestAnEnricherThatFailsOrPanicsMarksTheEventAndTheOthersGoOn(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{Logger: slog.New(slog.DiscardHandler), Enrichers: []processors.Enricher{
		preview{"broken", func(*events.Conversation) (string, error) { return "", errors.New("no data") }},
		preview{"poison", func(*events.Conversation) (string, error) { panic("poison") }},
		preview{"asks", func(c *events.Conversation) (string, error) {
			processors.MarkMissing(c, "agent/17", "agent/17", "site/4")
			return "", nil
		}},
		constant("works"),
	}})
	raw(t, b, chat{ID: "one", Text: "x"}, 1)
	drained(t, b)
	all := emitted(t, b)
	if len(all) != 1 {
		t.Fatalf("%d events; want the one", len(all))
	}
	c := conversation(t, all[0])
	if c.Preview != "works" || fmt.Sprint(c.Attributes) != "map[enrichment_failed:[broken poison] enrichment_missing:[agent/17 site/4]]" {
		t.Errorf("preview %q, attributes %v", c.Preview, c.Attributes)
	}
}

func TestWhatTheGuardRefusesIsADeadLetterAndNoEvent(t *testing.T) {
	b := open(t, broker.Options{})
	var log strings.Builder
	r, stop := start(t, b, processors.Options{
		Guard:  guard{refuses: "refused", hides: "canary"},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	raw(t, b, chat{ID: "good", Text: "x"}, 1)
	for i := range 3 {
		raw(t, b, chat{ID: fmt.Sprint("bad", i), Text: fmt.Sprint("refused ", i)}, 2+i)
	}
	raw(t, b, chat{ID: "worse", Text: "guard panic"}, 5)
	raw(t, b, chat{ID: "after", Text: "y"}, 6)
	drained(t, b)
	eventually(t, "four records are dead letters", func() bool {
		n := 0
		for _, c := range r.Counts() {
			n += c.DeadLetters
		}
		return n == 4
	})
	stop()
	var ids []string
	for _, e := range emitted(t, b) {
		ids = append(ids, e.Subject)
		if c := conversation(t, e); c.Subject != "" {
			t.Errorf("%s left with its subject %q", e.Subject, c.Subject)
		}
	}
	slices.Sort(ids)
	if got := strings.Join(ids, " "); got != "after good" {
		t.Errorf("events of %q; want after and good", got)
	}
	state, err := b.StreamState(t.Context(), broker.Dead)
	if err != nil || state.Messages != 4 {
		t.Fatalf("%d dead letters, %v; want 4", state.Messages, err)
	}
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := b.Read(t.Context(), broker.Dead, seq)
		if err != nil {
			t.Fatal(err)
		}
		dead, err := events.ReadDeadLetter(m.Header)
		if err != nil || strings.Contains(dead.Reason, "canary") || !strings.Contains(dead.Reason, "[hidden]") {
			t.Errorf("reason %q, %v", dead.Reason, err)
		}
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the log says\n%s", log.String())
	}
	if len(emitted(t, b)) != 2 {
		t.Error("want two events")
	}
}

// names learns the names of agents and puts them into the preview of every conversation.
type names struct {
	mu    sync.Mutex
	known map[string]uint64
}

func (*names) Name() string         { return "names" }
func (*names) Kinds() []events.Kind { return []events.Kind{events.KindConversation} }

func (n *names) Enrich(events.Entity) error { return nil }

func (n *names) Learn(e *events.Event) error {
	if e.Subject == "poison" {
		panic("poison")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[e.Subject] = max(n.known[e.Subject], e.Revision)
	return nil
}

func (n *names) revision(id string) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[id]
}

func TestALearnerKnowsWhatThereIsBeforeTheFirstRecordAndThenWhatComes(t *testing.T) {
	b := open(t, broker.Options{})
	_, stop := start(t, b, processors.Options{})
	for i := range 3000 {
		raw(t, b, chat{ID: fmt.Sprint(i), Text: "a"}, 1)
	}
	raw(t, b, chat{ID: "7", Text: "b"}, 2)
	raw(t, b, chat{ID: "poison", Text: "a"}, 2)
	drained(t, b)
	stop()
	learner := &names{known: make(map[string]uint64)}
	first := &names{known: make(map[string]uint64)}
	asked := make(chan uint64, 1)
	start(t, b, processors.Options{Logger: slog.New(slog.DiscardHandler), Enrichers: []processors.Enricher{learner, preview{"asks", func(*events.Conversation) (string, error) {
		select {
		case asked <- learner.revision("7"):
		default:
		}
		return "", nil
	}}}})
	start(t, b, processors.Options{Logger: slog.New(slog.DiscardHandler), Enrichers: []processors.Enricher{first}}) // another process
	raw(t, b, chat{ID: "new", Text: "a"}, 3)
	drained(t, b)
	eventually(t, "both know everything", func() bool {
		return learner.revision("new") == 1 && first.revision("new") == 1 && first.revision("2999") == 1 && first.revision("7") == 2
	})
	select {
	case known := <-asked:
		if known != 2 {
			t.Errorf("when the first record came, 7 was known at revision %d; want 2", known)
		}
	default: // the other process had it
	}
}
