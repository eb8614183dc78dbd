package processors_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/content"
	"github.com/parley-stream/parley/processors/privacy"
)

// said lists the message events, in order: <entity> r<revision> <text>.
func said(t testing.TB, all []events.Event) (out []string) {
	t.Helper()
	for _, e := range all {
		if e.Kind() != events.KindMessage {
			continue
		}
		var m events.SingleMessage
		if err := json.Unmarshal(e.Data, &m); err != nil {
			t.Fatal(err)
		}
		if key := m.ConversationID; e.PartitionKey != key || !strings.HasPrefix(m.VendorID, strings.TrimPrefix(key, "testvendor:test:")+"/") {
			t.Errorf("%s has the partition key %q, its conversation is %q", e.ID, e.PartitionKey, m.ConversationID)
		}
		out = append(out, fmt.Sprintf("%s r%d %s", m.VendorID, e.Revision, m.Text))
	}
	return out
}

func lines(texts ...string) (out []line) {
	for i, text := range texts {
		out = append(out, line{ID: fmt.Sprint("m", i), Text: text})
	}
	return out
}

func wantSaid(t testing.TB, b *broker.Broker, want ...string) {
	t.Helper()
	drained(t, b)
	if got := said(t, emitted(t, b)); strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("message events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEachMessageIsAnEventOnceInItsOrderAndAnEditItsNextRevision(t *testing.T) {
	b := open(t, broker.Options{})
	_, stop := start(t, b, processors.Options{})
	raw(t, b, chat{ID: "before", Lines: lines("old")}, 0)
	drained(t, b)
	stop()
	_, stop = start(t, b, processors.Options{MessageEvents: true})
	raw(t, b, chat{ID: "c", Lines: lines("a", "b")}, 1)
	raw(t, b, chat{ID: "c", Lines: lines("a", "b", "c")}, 2)
	drained(t, b)
	raw(t, b, chat{ID: "c", Lines: lines("a", "b, edited", "c", "d")}, 3)
	raw(t, b, chat{ID: "c", Lines: lines("a", "b, edited", "c", "d"), Text: "rated since"}, 4)
	raw(t, b, chat{ID: "c", Lines: lines("a")}, 5) // the vendor shows fewer
	want := []string{"c/m0 r1 a", "c/m1 r1 b", "c/m2 r1 c", "c/m1 r2 b, edited", "c/m3 r1 d"}
	drained(t, b)
	stop()
	if err := b.PurgeStream(t.Context(), broker.State); err != nil { // EVENTS tells all the same
		t.Fatal(err)
	}
	start(t, b, processors.Options{MessageEvents: true})
	raw(t, b, chat{ID: "c", Lines: lines("a", "b, edited", "c", "d")}, 6)
	raw(t, b, chat{ID: "before", Lines: lines("old")}, 7) // unchanged, and its message is none yet
	wantSaid(t, b, append(want, "before/m0 r1 old")...)
}

func TestMessagesWithoutAnIdOrWithTheSameAreToldApartByTheirPlaces(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{MessageEvents: true})
	raw(t, b, chat{ID: "c", Lines: []line{{Text: "a"}, {ID: "x", Text: "b"}, {ID: "x", Text: "c"}, {ID: "#4", Text: "d"}, {Text: "e"}}}, 1)
	wantSaid(t, b, "c/#0 r1 a", "c/x r1 b", "c/#2 r1 c", "c/#4 r1 d", "c/#4# r1 e")
}

func TestAMessageEventSaysWhatItsConversationSaysAfterEnrichmentAndPolicy(t *testing.T) {
	policy := func(text string) processors.Guard {
		p, faults := privacy.New(text, strings.Repeat("k", 32))
		if faults != nil {
			t.Fatal(faults)
		}
		return p
	}
	for name, c := range map[string]struct {
		policy string
		want   []string
	}{
		"the visitor's name is hidden where another says it": {"visitor.email=mask", []string{"c/m0 r1 I am [email]", "c/m1 r1 fine"}},
		"text is dropped": {"messages.text=drop", []string{"c/m0 r1 ", "c/m1 r1 "}},
		"all messages":    {"messages=drop", nil},
		"an allow-list":   {"*=drop,channel=keep", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, broker.Options{})
			start(t, b, processors.Options{MessageEvents: true, Guard: policy(c.policy), Enrichers: []processors.Enricher{content.New()}})
			raw(t, b, chat{ID: "c", Email: "kim@visitor.example", Lines: lines("<p>I am kim@visitor.example</p>", "fine")}, 1)
			wantSaid(t, b, c.want...)
			raw(t, b, chat{ID: "c", Text: "changed", Email: "kim@visitor.example", Lines: lines("<p>I am kim@visitor.example</p>", "fine")}, 2)
			wantSaid(t, b, c.want...)
		})
	}
}

func TestOfAConversationThatTheGuardRefusesNoMessageIsSaid(t *testing.T) {
	b := open(t, broker.Options{})
	_, stop := start(t, b, processors.Options{})
	raw(t, b, chat{ID: "known", Text: "refused", Lines: lines("a")}, 1)
	drained(t, b)
	stop()
	start(t, b, processors.Options{MessageEvents: true, Guard: guard{refuses: "refused", hides: "canary"}, Logger: slog.New(slog.DiscardHandler)})
	raw(t, b, chat{ID: "known", Text: "refused", Lines: lines("a")}, 2) // unchanged: its message alone would be new
	raw(t, b, chat{ID: "new", Text: "refused", Lines: lines("a", "b")}, 3)
	wantSaid(t, b)
	if state, err := b.StreamState(t.Context(), broker.Dead); err != nil || state.Messages != 2 {
		t.Errorf("%d dead letters, %v; want one for each conversation", state.Messages, err)
	}
}

func TestAConversationOfMoreMessagesThanABatchTakesIsSaidWhole(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{MessageEvents: true})
	texts := make([]string, broker.MaxBatch+100)
	want := make([]string, len(texts))
	for i := range texts {
		texts[i] = fmt.Sprint("text ", i)
		want[i] = fmt.Sprintf("c/m%d r1 text %d", i, i)
	}
	raw(t, b, chat{ID: "c", Lines: lines(texts...)}, 1)
	wantSaid(t, b, want...)
}
