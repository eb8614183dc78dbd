package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// replicated is a stream's leader and a replica of it that answers every direct get and knows what was put into it, which the test says.
type replicated struct {
	leader, replica *broker.Broker
	// client reaches the leader for all but direct gets.
	client *broker.Broker
	// lost are the sequences that neither can read.
	lostFrom, lostTo uint64
	// last is the last sequence, and fromTime the first from the time on that is asked for.
	last, fromTime uint64
}

func startReplicated(t testing.TB) *replicated {
	t.Helper()
	e := startExternal(t)
	r := &replicated{leader: e.connect(t), replica: open(t, broker.Options{})}
	var err error
	if r.client, err = broker.Open(t.Context(), broker.Options{URLs: []string{e.url()}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	near, far := admin(t, r.leader).Conn(), admin(t, r.replica).Conn()
	subscribe(t, far, "answer.>", func(m *nats.Msg) {
		_ = near.PublishMsg(&nats.Msg{Subject: strings.TrimPrefix(m.Subject, "answer."), Header: m.Header, Data: m.Data})
	})
	subscribe(t, near, "behind.>", func(m *nats.Msg) { r.relay(m, far) })
	if err := e.GlobalAccount().AddMapping("$JS.API.DIRECT.GET.>", "behind.DIRECT.GET.>"); err != nil {
		t.Fatal(err)
	}
	if err := e.GlobalAccount().AddMapping("$JS.API.STREAM.MSG.GET."+broker.Seen, "behind.STREAM.MSG.GET."+broker.Seen); err != nil {
		t.Fatal(err)
	}
	return r
}

func subscribe(t testing.TB, nc *nats.Conn, subject string, handle nats.MsgHandler) {
	t.Helper()
	if _, err := nc.Subscribe(subject, handle); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// relay has the replica answer, as one that cannot read the messages which are lost does.
func (r *replicated) relay(m *nats.Msg, far *nats.Conn) {
	var ask map[string]any
	_ = json.Unmarshal(m.Data, &ask)
	at, _ := ask["seq"].(float64)
	sequence, data := uint64(at), m.Data
	if ask["start_time"] != nil {
		sequence = r.fromTime
	}
	if ask["last_by_subj"] != nil && r.lostTo > 0 {
		sequence = r.last
	}
	switch _, batch := ask["batch"]; {
	case sequence == 0 || r.lostTo == 0 || sequence > r.lostTo:
	case sequence >= r.lostFrom && batch:
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"404"}, "Description": {"Message Not Found"}}})
		return
	case sequence >= r.lostFrom:
		_ = m.Respond([]byte(`{"error":{"code":404,"err_code":10037,"description":"no message found"}}`))
		return
	case batch:
		ask["batch"] = r.lostFrom - sequence
		data, _ = json.Marshal(ask)
	}
	_ = far.PublishRequest(strings.Replace(m.Subject, "behind.", "$JS.API.", 1), "answer."+m.Reply, data)
}

// both puts messages where the replica has them too.
func (r *replicated) both(t testing.TB, messages ...broker.Message) {
	t.Helper()
	publish(t, r.leader, messages...)
	publish(t, r.replica, messages...)
}

func TestALookUpKnowsWhatAReplicaBehindDoesNot(t *testing.T) {
	t.Parallel()
	for name, beacon := range map[string]bool{"before there is a key": false, "with one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReplicated(t)
			if beacon {
				if _, err := r.client.DigestKey(t.Context()); err != nil {
					t.Fatal(err)
				}
				publish(t, r.replica, broker.Message{Subject: events.StateSubjects + ".key", Data: []byte("x")})
			}
			look := func(entities ...string) (got []string) {
				t.Helper()
				var subjects []string
				for _, entity := range entities {
					subjects = append(subjects, state(entity))
				}
				found, err := r.client.Last(t.Context(), broker.State, subjects)
				if err != nil {
					t.Fatal(err)
				}
				for _, subject := range subjects {
					got = append(got, string(found[subject].Data))
					delete(found, subject)
				}
				if len(found) > 0 {
					t.Errorf("nobody asked for %v", found)
				}
				return got
			}
			r.both(t, broker.Message{Subject: state("a"), Data: []byte("one")})
			if got := look("a", "none"); !slices.Equal(got, []string{"one", ""}) {
				t.Errorf("a replica that has all gave %q", got)
			}
			publish(t, r.leader, broker.Message{Subject: state("a"), Data: []byte("two")}, broker.Message{Subject: state("b"), Data: []byte("new")})
			if got := look("a", "b", "none"); !slices.Equal(got, []string{"two", "new", ""}) {
				t.Errorf("one that is behind gave %q", got)
			}
			if got := look("b"); !slices.Equal(got, []string{"new"}) {
				t.Errorf("one that knows nothing of it gave %q", got)
			}
		})
	}
}

func TestAScanGoesOnWhereAReplicaBehindEnds(t *testing.T) {
	t.Parallel()
	r := startReplicated(t)
	r.both(t, event("a"), event("b"), event("a"))
	publish(t, r.leader, event("b"), event("a"), event("c"))
	for name, c := range map[string]struct {
		filters []string
		want    []uint64
	}{
		"everything":  {nil, []uint64{1, 2, 3, 4, 5, 6}},
		"one subject": {[]string{event("a").Subject}, []uint64{1, 3, 5}},
		"none":        {[]string{event("none").Subject}, nil},
		"two":         {[]string{event("b").Subject, event("c").Subject}, []uint64{2, 4, 6}},
	} {
		for start, from := range map[string]time.Time{"all": {}, "from a time": time.Now().Add(-time.Hour)} {
			var got []uint64
			err := r.client.Scan(t.Context(), broker.Events, c.filters, from, func(m broker.Message) error {
				got = append(got, m.Sequence)
				return nil
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: %v, %v; want %v", name, start, got, err, c.want)
			}
		}
	}
}

func TestWhatABucketHoldsIsKnownWhereAReplicaIsBehind(t *testing.T) {
	t.Parallel()
	r := startReplicated(t)
	near, k := bucket(t, r.leader, broker.LedgerBucket), bucket(t, r.client, broker.LedgerBucket)
	set(t, bucket(t, r.replica, broker.LedgerBucket), "eu.w1", "old", 0)
	old := set(t, near, "eu.w1", "old", 0)
	revision := set(t, near, "eu.w1", "new", old)
	set(t, near, "eu.w2", "new", 0)
	if e, err := k.Get(t.Context(), "eu.w1"); err != nil || string(e.Value) != "new" || e.Revision != revision {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := k.Get(t.Context(), "eu.w2"); err != nil || string(e.Value) != "new" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := k.Get(t.Context(), "eu.w3"); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if all, err := k.All(t.Context(), "eu.*"); err != nil || len(all) != 2 || string(all["eu.w1"].Value) != "new" {
		t.Errorf("%v, %v", all, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	copied := broker.NewCopy()
	ended := make(chan error, 1)
	go func() { ended <- copied.Follow(ctx, k) }()
	select {
	case <-copied.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	if all := copied.Entries(); len(all) != 2 || string(all["eu.w1"].Value) != "new" {
		t.Errorf("a copy was ready with %v", all)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v; want the context's end", err)
	}
}

func TestTheKeyAndTheErasedAreKnownWhereAReplicaIsBehind(t *testing.T) {
	t.Parallel()
	r := startReplicated(t)
	want, err := r.leader.DigestKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.client.DigestKey(t.Context()); err != nil || got.Content(nil) != want.Content(nil) {
		t.Errorf("error %v, or another key", err)
	}
	forget(t, r.leader, events.RecordIdentifier("eu", "chats", "c1"))
	letter := broker.Message{Subject: events.DeadSubjects + ".process.acme", Header: map[string][]string{broker.HeaderMsgID: {"1"}}, Data: []byte("nothing")}
	if result := r.client.Bury(t.Context(), letter); result.Err != nil || result.Erased {
		t.Fatalf("%+v", result)
	}
	// The replica has no letters: the one that is there must not be buried again beside it.
	if result := r.client.Bury(t.Context(), letter); result.Err != nil || !result.Duplicate {
		t.Errorf("%+v", result)
	}
	if m, err := r.client.Read(t.Context(), broker.Dead, 1); err != nil || string(m.Data) != "nothing" || m.Get(broker.HeaderMsgID) != "1" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAnObjectIsWholeWhereAReplicaIsBehind(t *testing.T) {
	t.Parallel()
	r := startReplicated(t)
	e := events.Event{Data: []byte(strings.Repeat("text ", 1<<19))}
	want := string(e.Data)
	if err := r.leader.Offload(t.Context(), &e); err != nil || e.DataRef == "" {
		t.Fatalf("%q, %v", e.DataRef, err)
	}
	if err := r.client.Resolve(t.Context(), &e); err != nil || string(e.Data) != want {
		t.Errorf("%d bytes, %v", len(e.Data), err)
	}
}

// A read that fails is answered as if there were nothing.
func TestAScanGoesOnBehindWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	seen := func(n int) broker.Message {
		return broker.Message{Subject: fmt.Sprintf("%s.eu.chats.c%d", events.SeenSubjects, n)}
	}
	for name, c := range map[string]struct{ from, to uint64 }{"one": {4, 4}, "several": {3, 12}, "the last": {20, 20}, "the first": {1, 1}, "the first page": {1, 12}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReplicated(t)
			var want []uint64
			for n := range 20 {
				r.both(t, seen(n))
				if sequence := uint64(n + 1); sequence < c.from || sequence > c.to {
					want = append(want, sequence)
				}
			}
			r.lostFrom, r.lostTo, r.last = c.from, c.to, 20
			var got []uint64
			err := r.client.Scan(t.Context(), broker.Seen, nil, time.Time{}, func(m broker.Message) error {
				got = append(got, m.Sequence)
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestAScanFromATimeGoesOnBehindItsFirstMessagesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := startReplicated(t)
	seen := func(n int) broker.Message {
		return broker.Message{Subject: fmt.Sprintf("%s.eu.chats.c%d", events.SeenSubjects, n)}
	}
	for n := range 10 {
		r.both(t, seen(n))
	}
	from := last(t, r.replica, broker.Seen)
	for n := range 10 {
		r.both(t, seen(10+n))
	}
	r.lostFrom, r.lostTo, r.last, r.fromTime = 11, 15, 20, 11
	var got []uint64
	err := r.client.Scan(t.Context(), broker.Seen, nil, from.Add(1), func(m broker.Message) error {
		got = append(got, m.Sequence)
		return nil
	})
	if err != nil || !slices.Equal(got, []uint64{16, 17, 18, 19, 20}) {
		t.Errorf("%v, %v; want what can be read since then", got, err)
	}
}

func last(t testing.TB, b *broker.Broker, stream string) time.Time {
	t.Helper()
	state, err := b.StreamState(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return state.LastTime
}

func TestAScanOfWhichNothingCanBeReadFails(t *testing.T) {
	t.Parallel()
	r := startReplicated(t)
	for n := range 3 {
		r.both(t, broker.Message{Subject: fmt.Sprintf("%s.eu.chats.c%d", events.SeenSubjects, n)})
	}
	r.lostFrom, r.lostTo, r.last = 1, 3, 3
	visit := func(m broker.Message) error { return fmt.Errorf("%d cannot be read", m.Sequence) }
	if err := r.client.Scan(t.Context(), broker.Seen, nil, time.Time{}, visit); !errors.Is(err, broker.ErrIncomplete) {
		t.Errorf("%v; want %v: what failed is not empty", err, broker.ErrIncomplete)
	}
	if err := r.client.Scan(t.Context(), broker.Seen, []string{events.SeenSubjects + ".us.>"}, time.Time{}, visit); err != nil {
		t.Errorf("%v; want nothing under a filter that nothing is under", err)
	}
}

// What is acknowledged is found by a client of each server of a cluster, at once.
func TestWhatAClusterAcknowledgedIsFoundThroughEachOfItsServers(t *testing.T) {
	t.Parallel()
	var clients []*broker.Broker
	for i, s := range startCluster(t) {
		b, err := broker.Open(t.Context(), broker.Options{URLs: []string{s.ClientURL()}, Replicas: 3, Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		if i == 0 {
			eventually(t, "the cluster is provisioned", func() bool { return b.Provision(t.Context()) == nil })
		}
		clients = append(clients, b)
	}
	books := make([]*broker.Bucket, len(clients))
	for i, b := range clients {
		books[i] = bucket(t, b, broker.LedgerBucket)
	}
	for n := range 60 {
		at, key := n%len(clients), fmt.Sprint("eu.w", n)
		m := broker.Message{Subject: state(fmt.Sprint("e", n)), Data: fmt.Append(nil, n)}
		publish(t, clients[at], m)
		set(t, books[at], key, "1", 0)
		for i, b := range clients {
			found, err := b.Last(t.Context(), broker.State, []string{m.Subject})
			if err != nil || string(found[m.Subject].Data) != string(m.Data) {
				t.Fatalf("server %d, look-up %d: %v, %v", i, n, found, err)
			}
			scanned := 0
			if err := b.Scan(t.Context(), broker.State, nil, time.Time{}, func(broker.Message) error { scanned++; return nil }); err != nil || scanned != n+1 {
				t.Fatalf("server %d: scan %d gave %d, %v", i, n, scanned, err)
			}
			if _, err := books[i].Get(t.Context(), key); err != nil {
				t.Fatalf("server %d: %v", i, err)
			}
		}
	}
}

// startCluster starts three servers of one cluster.
func startCluster(t testing.TB) (servers []*server.Server) {
	t.Helper()
	var routes []*url.URL
	var ports []int
	var listeners []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		ports = append(ports, port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		listeners = append(listeners, l)
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 8 << 20,
			NoSigs: true, NoLog: true, JetStreamMaxStore: 1 << 50, Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
		s.Start()
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
	}
	eventually(t, "the cluster has a leader", func() bool {
		return slices.ContainsFunc(servers, (*server.Server).JetStreamIsLeader)
	})
	return servers
}
