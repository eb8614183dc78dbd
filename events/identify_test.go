package events_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
)

func TestAddressesAreFoundHoweverTheyAreWritten(t *testing.T) {
	for text, want := range map[string]string{
		`{"email":"Ann.O+x@Shop.example"}`:     "ann.o+x@shop.example",
		`"text":"mail me:\nann@shop.example."`: "ann@shop.example",
		"?mail=ann%40shop.example&x=1":         "ann@shop.example",
		`<p>ann&#64;shop.example</p>`:          "ann@shop.example",
		`"ann\u0040shop.example"`:              "ann@shop.example",
		"ann＠shop.example":                     "ann@shop.example",
		"\xb0ann@shop.example\xa4name":         "ann@shop.example",
		"jörg@bücher.example":                  "jörg@bücher.example",
		"<mailto:ann@shop.example>":            "ann@shop.example",
	} {
		if got := events.EmailsIn([]byte(text)); !slices.Contains(got, want) {
			t.Errorf("%q: %q; want %q among them", text, got, want)
		}
	}
	for _, text := range []string{"", "@", "a@", "@b", "5 @ 3 euro"} {
		if got := events.EmailsIn([]byte(text)); len(got) > 0 {
			t.Errorf("%q: %q; want none", text, got)
		}
	}
}

func values(ids []events.Identifier) string {
	var all []string
	for _, i := range ids {
		if i.Kind == events.ByEmail && i.Source != "" {
			continue // each is there twice
		}
		all = append(all, i.Kind+" "+i.Value)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

func TestAnEntityIsKnownByItsVisitorsAndByNoAgent(t *testing.T) {
	base := events.Base{ID: "v:s:1", Vendor: "v", Source: "s", VendorID: "1"}
	for name, c := range map[string]struct {
		entity events.Entity
		want   string
	}{
		"a conversation": {&events.Conversation{
			Base: base, Visitor: &events.Visitor{ID: "v1", Email: "Ann@visitor.example"}, Agents: []events.Agent{{Email: "kim@shop.example"}},
			Messages: []events.Message{
				{Author: &events.Author{Type: events.AuthorAgent, ID: "lee@shop.example"}, Text: "is bob@visitor.example yours?"},
				{Author: &events.Author{Type: events.AuthorVisitor, ID: "v2"}},
			},
			Surveys: []events.Survey{{Responses: []events.Response{{Answer: "ann@work.example"}}}},
		}, "conversation v:s:1, email ann@visitor.example, email ann@work.example, email bob@visitor.example, visitor v1, visitor v2"},
		"a rating":   {&events.Rating{Base: base, ConversationID: "v:s:7", Requester: &events.Visitor{ID: "v1"}}, "conversation v:s:7, visitor v1"},
		"an sla":     {&events.SLA{Base: base, Requester: &events.Visitor{ID: "v1"}, Agent: &events.Agent{Email: "kim@shop.example"}}, "visitor v1"},
		"an e-mail":  {&events.Email{Base: base, To: "ann@visitor.example, bob@visitor.example"}, "email ann@visitor.example, email bob@visitor.example"},
		"a message":  {&events.SingleMessage{Base: base, ConversationID: "v:s:7", Author: &events.Author{Type: "visitor", Email: "ann@visitor.example"}}, "conversation v:s:7, email ann@visitor.example"},
		"a customer": {&events.Reference{Of: events.KindContact, Base: base, Fields: map[string]any{"emails": []any{"ann@visitor.example"}, "user_id": "u1"}}, "email ann@visitor.example, visitor 1, visitor u1"},
		"an agent":   {&events.Reference{Of: events.KindAgent, Base: base, Fields: map[string]any{"email": "kim@shop.example"}}, ""},
		"a metric":   {&events.Metric{Base: base, Dimensions: map[string]string{"agent": "kim@shop.example"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := events.EncodeContent(c.entity)
			if err != nil {
				t.Fatal(err)
			}
			if got := values(events.Identifiers(c.entity, content)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestBytesThatCannotBeReadAreSearchedForAddressesAndIds(t *testing.T) {
	got := values(events.IdentifiersIn("s", []byte(`<chat id="x" visitor="S1.c0" mail="Ann@visitor.example`)))
	if want := "email ann@visitor.example, visitor S1.c0"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestDigestsHangOnTheKeyAndOnWhatTheyAreOf(t *testing.T) {
	a, b := events.NewDigestKey([]byte("a")), events.NewDigestKey([]byte("b"))
	if other := events.NewDigestKey([]byte("a")); a.Content([]byte("x")) != other.Content([]byte("x")) || len(a.Content(nil)) != 32 {
		t.Error("the same content has two digests under one key, or one of another length")
	}
	all := []string{a.Content([]byte("x")), b.Content([]byte("x")), events.Digest([]byte("x"))}
	for _, i := range []events.Identifier{{"email", "", "x"}, {"visitor", "", "x"}, {"email", "s", "x"}, {"emails", "", "x"}, {"email", "", "y"}} {
		all = append(all, a.Identifier(i))
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 8 {
		t.Errorf("%q; want all of them different", all)
	}
}
