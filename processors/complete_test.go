package processors_test

import (
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/directory"
	"github.com/parley-stream/parley/processors/privacy"
)

// seat makes a conversation with one agent of whom the vendor tells the id alone, or the entry of an agent.
func seat(r *events.Record) (events.Entity, error) {
	name, is := strings.CutPrefix(string(r.Part("")), `{"id":"`+r.Key+`","text":"named `)
	if is {
		return &events.Reference{Of: events.KindAgent, Base: events.NewBase(r), Name: strings.TrimSuffix(name, `"}`)}, nil
	}
	return &events.Conversation{
		Base: events.NewBase(r), Agents: []events.Agent{{ID: "17"}}, Visitor: &events.Visitor{Email: "ann@visitor.example"}, Subject: "of enrichment_missing",
	}, nil
}

func TestAnEventThatWasPublishedBeforeItsEntryIsNotPublishedAgainAndIsCompletedWhenItIsGivenAgain(t *testing.T) {
	for name, c := range map[string]struct {
		policy, encoding, want string
	}{
		"without a policy": {"", "", "Kim Lund"},
		"in msgpack":       {"", "msgpack", "Kim Lund"},
		"under a policy":   {"agents.name=mask,visitor.email=hmac", "", "[name]"},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, broker.Options{Partitions: 1})
			options := func() processors.Options {
				o := processors.Options{
					Normalizers: map[string]processors.Normalizer{"testvendor": seat},
					Enrichers:   []processors.Enricher{directory.New(map[string][]events.Kind{"testvendor": {events.KindAgent}})},
				}
				if c.policy != "" {
					p, faults := privacy.New(c.policy, strings.Repeat("k", 32))
					if faults != nil {
						t.Fatal(faults)
					}
					o.Guard = p
				}
				if c.encoding != "" {
					o.Encode = func(e *events.Event) (err error) {
						e.Data, err = events.EncodeMsgpack(e.Data)
						e.DataContentType = events.ContentMsgpack
						return err
					}
				}
				return o
			}
			start(t, b, options())
			raw(t, b, chat{ID: "c1"}, 1)
			drained(t, b)
			raw(t, b, chat{ID: "17", Text: "named Kim Lund"}, 2)
			drained(t, b)
			raw(t, b, chat{ID: "c1"}, 3) // read again: it is the same
			drained(t, b)
			if said, err := processors.Policy(t.Context(), b); err != nil || said != processors.PolicyOf(options().Guard) {
				t.Errorf("the processor says its policy is %q, %v", said, err)
			}
			all := emitted(t, b)
			if len(all) != 2 {
				t.Fatalf("%d events; want the conversation's and the entry's, once", len(all))
			}
			completer, err := processors.NewCompleter(t.Context(), b, options())
			if err != nil {
				t.Fatal(err)
			}
			before := seated(t, &all[0])
			again := all[0]
			if missing := before.Attributes[processors.AttributeMissing]; missing == nil || before.Agents[0].Name != "" {
				t.Fatalf("published: %v, missing %v; want that the agent is missing", before.Agents, missing)
			}
			if !completer.Complete(&again) || again.ID != all[0].ID || again.Revision != 1 || again.Digest != all[0].Digest || again.DataContentType != all[0].DataContentType {
				t.Errorf("given again: %+v", again)
			}
			after := seated(t, &again)
			if after.Agents[0].Name != c.want || after.Attributes[processors.AttributeMissing] != nil || after.Visitor.Email != before.Visitor.Email {
				t.Errorf("given again: %+v, %v, %+v; want the name %q and the visitor as before, who was %+v", after.Agents, after.Attributes, after.Visitor, c.want, before.Visitor)
			}
			if whole := again; completer.Complete(&whole) || string(whole.Data) != string(again.Data) {
				t.Error("what lacks nothing is changed")
			}
		})
	}
}

func seated(t testing.TB, e *events.Event) *events.Conversation {
	t.Helper()
	data := e.Data
	if e.DataContentType == events.ContentMsgpack {
		var err error
		if data, err = events.DecodeMsgpack(data); err != nil {
			t.Fatal(err)
		}
	}
	entity, err := events.DecodeContent(events.KindConversation, data)
	if err != nil {
		t.Fatal(err)
	}
	return entity.(*events.Conversation)
}
