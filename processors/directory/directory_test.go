package directory_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/directory"
	"github.com/parley-stream/parley/processors/processortest"
)

var _ processors.Learner = (*directory.Directory)(nil)

var has = map[string][]events.Kind{"acme": {events.KindAgent, events.KindDepartment, events.KindAccount, events.KindSite}}

func entry(kind events.Kind, id, name, email string, revision uint64) *events.Event {
	r := &events.Reference{Of: kind, Base: base(id), Name: name, Fields: map[string]any{"email": email}}
	content, err := events.EncodeContent(r)
	if err != nil {
		panic(err)
	}
	e := events.NewEvent(r, &events.Record{}, revision, "", content)
	return &e
}

func base(id string) events.Base {
	return events.Base{ID: "acme:eu:" + id, Vendor: "acme", Source: "eu", VendorID: id}
}

func filled(t testing.TB) *directory.Directory {
	t.Helper()
	d := directory.New(has)
	for _, e := range []*events.Event{
		entry(events.KindAgent, "agents/17", "Kim Lund", "kim@shop.example", 1), entry(events.KindAgent, "cccagents/17", "Head Office", "", 1),
		entry(events.KindAgent, "ag1", "Noor Dahl", "noor@shop.example", 1), entry(events.KindDepartment, "d1", "Returns", "", 1),
		entry(events.KindAccount, "41", "Shop", "", 1), entry(events.KindSite, "3102", "shop.example", "", 1),
		entry(events.KindContact, "v1", "Élise Fofana", "elise@visitor.example", 1), entry(events.KindTag, "t1", "refund", "", 1),
	} {
		if err := d.Learn(e); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func enriched(t testing.TB, d *directory.Directory, e events.Entity) events.Entity {
	t.Helper()
	if err := d.Enrich(e); err != nil {
		t.Fatal(err)
	}
	return e
}

func conversation() *events.Conversation {
	c := &events.Conversation{
		Base: base("1"), Visitor: &events.Visitor{ID: "v1"}, Department: &events.Named{ID: "d1"},
		Agents: []events.Agent{{ID: "17"}, {ID: "ag1", Name: "given"}, {ID: "gone"}, {Name: "no id"}},
		Messages: []events.Message{
			{Author: &events.Author{Type: "agent", ID: "ag1"}}, {Author: &events.Author{Type: "visitor", ID: "ag1"}}, {Author: &events.Author{Type: "agent", ID: "gone"}}, {},
		},
	}
	c.Set("account_id", "41")
	c.Set("accept_host_id", "3102")
	return c
}

func TestItKeepsTheContractOfEnrichers(t *testing.T) {
	processortest.Enricher(t, filled(t), []events.Entity{conversation()})
}

func TestIdsGetTheirNamesAndWhatIsMissingIsListed(t *testing.T) {
	want := conversation()
	want.Visitor = &events.Visitor{ID: "v1", Name: "Élise Fofana", Email: "elise@visitor.example"}
	want.Department.Name = "Returns"
	want.Agents = []events.Agent{
		{ID: "17", Name: "Kim Lund", Email: "kim@shop.example"}, {ID: "ag1", Name: "given", Email: "noor@shop.example"}, {ID: "gone"}, {Name: "no id"},
	}
	want.Messages[0].Author = &events.Author{Type: "agent", ID: "ag1", Name: "Noor Dahl", Email: "noor@shop.example"}
	want.Set("account_name", "Shop")
	want.Set("accept_host_name", "shop.example")
	want.Set(processors.AttributeMissing, []any{"agent/gone"})
	if diff := cmp.Diff(events.Entity(want), enriched(t, filled(t), conversation())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOtherKindsGetNamesToo(t *testing.T) {
	d := filled(t)
	for name, c := range map[string]struct{ entity, want events.Entity }{
		"activity": {
			&events.Activity{Base: base("agentactivity/7"), Agent: &events.Named{ID: "17"}, Account: &events.Named{ID: "41"}},
			&events.Activity{Base: base("agentactivity/7"), Agent: &events.Named{ID: "17", Name: "Kim Lund"}, Account: &events.Named{ID: "41", Name: "Shop"}},
		},
		"activity of another level": {
			&events.Activity{Base: base("cccslotsactivity/7"), Agent: &events.Named{ID: "17"}},
			&events.Activity{Base: base("cccslotsactivity/7"), Agent: &events.Named{ID: "17", Name: "Head Office"}},
		},
		"rating": {
			&events.Rating{Base: base("1"), Agent: &events.Agent{ID: "ag1"}, Requester: &events.Visitor{ID: "v1", Name: "given"}},
			&events.Rating{
				Base: base("1"), Agent: &events.Agent{ID: "ag1", Name: "Noor Dahl", Email: "noor@shop.example"},
				Requester: &events.Visitor{ID: "v1", Name: "given", Email: "elise@visitor.example"},
			},
		},
		"metric": {
			&events.Metric{Base: base("1"), Dimensions: map[string]string{"agent": "17", "tag": "t1", "site": "unknown", "preset": "x"}},
			&events.Metric{
				Base:       events.Base{ID: "acme:eu:1", Vendor: "acme", Source: "eu", VendorID: "1", Attributes: map[string]any{"agent_name": "Kim Lund", "tag_name": "refund"}},
				Dimensions: map[string]string{"agent": "17", "tag": "t1", "site": "unknown", "preset": "x"},
			},
		},
		"another source": {
			&events.Email{Base: events.Base{ID: "acme:us:1", Vendor: "acme", Source: "us", VendorID: "1"}, Agent: &events.Named{ID: "17"}},
			&events.Email{
				Base:  events.Base{ID: "acme:us:1", Vendor: "acme", Source: "us", VendorID: "1", Attributes: map[string]any{processors.AttributeMissing: []any{"agent/17"}}},
				Agent: &events.Named{ID: "17"},
			},
		},
		"a vendor without directories": {
			&events.Email{Base: events.Base{Vendor: "plain"}, Agent: &events.Named{ID: "17"}},
			&events.Email{Base: events.Base{Vendor: "plain"}, Agent: &events.Named{ID: "17"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, enriched(t, d, c.entity)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheLatestRevisionCountsWhateverTheOrder(t *testing.T) {
	d := directory.New(has)
	name := func() string {
		return enriched(t, d, &events.Email{Base: base("1"), Agent: &events.Named{ID: "a"}}).(*events.Email).Agent.Name
	}
	learn := func(e *events.Event) {
		if err := d.Learn(e); err != nil {
			t.Fatal(err)
		}
	}
	learn(entry(events.KindAgent, "a", "second", "", 2))
	learn(entry(events.KindAgent, "a", "first", "", 1))
	if got := name(); got != "second" {
		t.Errorf("%q; want the second revision's", got)
	}
	packed := entry(events.KindAgent, "a", "third", "", 3)
	var err error
	if packed.Data, err = events.EncodeMsgpack(packed.Data); err != nil {
		t.Fatal(err)
	}
	packed.DataContentType = events.ContentMsgpack
	learn(packed)
	if got := name(); got != "third" {
		t.Errorf("%q; want that of msgpack", got)
	}
	gone := entry(events.KindAgent, "a", "third", "", 4)
	gone.Type, gone.Data = "dev.parley.agent.deleted", nil
	learn(gone)
	learn(entry(events.KindAgent, "a", "third", "", 3))
	if got := name(); got != "" || d.Len() != 1 {
		t.Errorf("%q after its deletion, %d entries", got, d.Len())
	}
	for _, bad := range []*events.Event{{Source: "acme"}, {Source: "/acme/eu", Type: "dev.parley.agent.created", Data: []byte("{")}} {
		if d.Learn(bad) == nil {
			t.Errorf("%+v is learned", bad)
		}
	}
}

func BenchmarkLearn(b *testing.B) {
	d := directory.New(has)
	var all []*events.Event
	for i := range 1000 {
		all = append(all, entry(events.KindAgent, fmt.Sprint(i), "Kim Lund", "kim@shop.example", 1))
	}
	for i := 0; b.Loop(); i++ {
		if err := d.Learn(all[i%len(all)]); err != nil {
			b.Fatal(err)
		}
	}
}
