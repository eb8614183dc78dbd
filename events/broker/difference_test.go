package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events/broker"
)

func TestWhatCannotBeChangedInPlaceIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	stream := func(c jetstream.StreamConfig) func(t *testing.T, js jetstream.JetStream) {
		return func(t *testing.T, js jetstream.JetStream) {
			_ = js.DeleteStream(t.Context(), c.Name)
			if _, err := js.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		options broker.Options
		change  func(t *testing.T, js jetstream.JetStream)
		want    []string
	}{
		"a stream of another kind": {
			change: stream(jetstream.StreamConfig{Name: broker.Windows, Subjects: []string{"parley.windows.>"}, Storage: jetstream.MemoryStorage, MaxBytes: 4096}),
			want: []string{
				"stream PARLEY_WINDOWS: ", "storage is Memory, want File", "retention is Limits, want WorkQueue", "max bytes is 4096, want unlimited",
				"remove it (`nats stream rm PARLEY_WINDOWS`)", "parley provision",
			},
		},
		"a bucket in memory": {
			change: stream(jetstream.StreamConfig{
				Name: "KV_parley-ledger", Description: "how complete each window is", Subjects: []string{"$KV.parley-ledger.>"}, MaxMsgsPerSubject: 1,
				Storage: jetstream.MemoryStorage, AllowDirect: true, Discard: jetstream.DiscardNew,
			}),
			want: []string{"bucket parley-ledger: storage is Memory, want File: ", "`nats stream rm KV_parley-ledger`"},
		},
		"objects in memory": {
			change: stream(jetstream.StreamConfig{
				Name: objectStream, Subjects: []string{"$O.parley-objects.C.>", "$O.parley-objects.M.>"}, Storage: jetstream.MemoryStorage,
			}),
			want: []string{"object store parley-objects: ", "storage is Memory, want File", "`nats stream rm OBJ_parley-objects`"},
		},
		"a consumer that acknowledges nothing": {
			change: func(t *testing.T, js jetstream.JetStream) {
				if err := js.DeleteConsumer(t.Context(), broker.Raw, "process-1"); err != nil {
					t.Fatal(err)
				}
				if _, err := js.CreateConsumer(t.Context(), broker.Raw, jetstream.ConsumerConfig{Durable: "process-1", AckPolicy: jetstream.AckNonePolicy}); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{
				"consumer process-1 of PARLEY_RAW: ", "filter is [], want [parley.raw.1.>]", "acknowledgement is AckNone, want AckExplicit", "one owner is false, want true",
				"`nats consumer rm PARLEY_RAW process-1`",
			},
		},
		"subjects of somebody else": {
			change: func(t *testing.T, js jetstream.JetStream) {
				if err := js.DeleteStream(t.Context(), broker.Events); err != nil {
					t.Fatal(err)
				}
				stream(jetstream.StreamConfig{Name: "MINE", Subjects: []string{"parley.events.mine"}})(t, js)
			},
			want: []string{"stream PARLEY_EVENTS: ", "subjects overlap", "nats stream ls --subject 'parley.>'"},
		},
		"more replicas than servers": {
			options: broker.Options{Replicas: 3},
			change:  func(*testing.T, jetstream.JetStream) {},
			want:    []string{"stream PARLEY_WINDOWS: replicas is 1, want 3: ", "PARLEY_NATS_REPLICAS: want at most as many"},
		},
		"more than the server has room for": {
			options: broker.Options{RawMaxBytes: 1 << 55},
			change:  func(*testing.T, jetstream.JetStream) {},
			want:    []string{"stream PARLEY_RAW: max bytes is 10737418240, want 36028797018963968: ", "PARLEY_RAW_MAX_BYTES"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startExternal(t)
			before := e.connect(t)
			test.change(t, admin(t, before))
			test.options.URLs, test.options.Partitions = []string{e.url()}, 2
			b, err := broker.Open(t.Context(), test.options)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			err = b.Provision(t.Context())
			if err == nil {
				t.Fatal("what cannot be changed was changed")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is missing in: %v", part, err)
				}
			}
		})
	}
}

func TestProvisioningAgainChangesNothing(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	js := admin(t, b)
	changes, err := js.Conn().SubscribeSync("$JS.API.STREAM.UPDATE.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Conn().Request("$JS.API.INFO", nil, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if n, _, err := changes.Pending(); n > 0 || err != nil {
		t.Errorf("%d streams were changed without need: %v", n, err)
	}
}
