package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events/broker"
)

const day = 24 * time.Hour

// architecture.md, section 1.
func TestStreamsAreMadeAsTheArchitectureSays(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{Partitions: 16, RawMaxBytes: 1 << 20})
	js := admin(t, b)
	type kept struct {
		Subjects    []string
		Retention   jetstream.RetentionPolicy
		MaxAge      time.Duration
		MaxBytes    int64
		PerSubject  int64
		Discard     jetstream.DiscardPolicy
		NewPer      bool
		Atomic, TTL bool
		Direct      bool
		Storage     jetstream.StorageType
		Replicas    int
	}
	file := kept{MaxBytes: -1, PerSubject: -1, Direct: true, Storage: jetstream.FileStorage, Replicas: 1}
	with := func(change func(*kept)) kept {
		k := file
		change(&k)
		return k
	}
	for name, want := range map[string]kept{
		broker.Windows: with(func(k *kept) {
			k.Subjects, k.Retention, k.PerSubject = []string{"parley.windows.>"}, jetstream.WorkQueuePolicy, 1
			k.Discard, k.NewPer = jetstream.DiscardNew, true
		}),
		broker.Raw: with(func(k *kept) {
			k.Subjects, k.MaxAge, k.MaxBytes = []string{"parley.raw.*.*.*.*"}, 7*day, 1<<20
			k.Discard, k.Atomic = jetstream.DiscardNew, true
		}),
		broker.Events: with(func(k *kept) {
			k.Subjects, k.MaxAge, k.Atomic, k.TTL = []string{"parley.events.>"}, 90*day, true, true
		}),
		broker.State: with(func(k *kept) { k.Subjects, k.PerSubject, k.Atomic = []string{"parley.state.>"}, 1, true }),
		broker.Dead: with(func(k *kept) {
			k.Subjects, k.MaxAge, k.MaxBytes, k.Discard = []string{"parley.dead.>"}, 30*day, 64<<20, jetstream.DiscardNew
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			c := s.CachedInfo().Config
			got := kept{
				c.Subjects, c.Retention, c.MaxAge, c.MaxBytes, c.MaxMsgsPerSubject, c.Discard, c.DiscardNewPerSubject,
				c.AllowAtomicPublish, c.AllowMsgTTL, c.AllowDirect, c.Storage, c.Replicas,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if name == broker.Dead && c.Duplicates != c.MaxAge {
				t.Errorf("a dead letter's id is known for %s and the letter kept for %s; want the same", c.Duplicates, c.MaxAge)
			}
		})
	}
}

func TestBucketsAreMadeAsTheArchitectureSays(t *testing.T) {
	t.Parallel()
	js := admin(t, open(t, broker.Options{}))
	for name, ttl := range map[string]time.Duration{
		broker.LedgerBucket: 0, broker.BudgetBucket: 0, broker.SourcesBucket: 0, broker.SinksBucket: 0, broker.ErasedBucket: 0,
		broker.MembersBucket: broker.MemberTTL,
	} {
		kv, err := js.KeyValue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		status, err := kv.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status.TTL() != ttl || status.History() != 1 {
			t.Errorf("%s: TTL %v, history %d", name, status.TTL(), status.History())
		}
	}
	objects, err := js.ObjectStore(t.Context(), broker.ObjectsBucket)
	if err != nil {
		t.Fatal(err)
	}
	status, err := objects.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// An event of 90 days becomes a dead letter of 30 on its last day, and a day is there to put the object anew.
	if status.TTL() != 121*day {
		t.Errorf("objects live for %v", status.TTL())
	}
}

func TestProvisioningAgainUpdatesWhatDiffersAndKeepsThePartitionsAndTheMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, broker.Options{DataDir: dir, Partitions: 4})
	publish(t, b, records(20)...)
	before := positions(t, b, 4)
	// The server counts what is stored for its consumers a moment later.
	for deadline := time.Now().Add(time.Minute); pending(before) < 20; before = positions(t, b, 4) {
		if time.Now().After(deadline) {
			t.Fatalf("the consumers have %d of 20 records before them", pending(before))
		}
	}
	for range 2 {
		if err := b.Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()

	b = open(t, broker.Options{
		DataDir: dir, Partitions: 9, RawRetention: time.Hour, EventsRetention: 200 * day, RawMaxBytes: 5 << 20,
	})
	if n, err := b.Partitions(t.Context()); n != 4 || err != nil {
		t.Errorf("%d partitions, %v: records of one entity would be in two", n, err)
	}
	if got := size(t, b, broker.Raw); got.Messages != 20 || got.MaxBytes != 5<<20 {
		t.Errorf("RAW: %+v", got)
	}
	if diff := cmp.Diff(before, positions(t, b, 4)); diff != "" {
		t.Errorf("consumers moved: %s", diff)
	}
	js := admin(t, b)
	for name, age := range map[string]time.Duration{broker.Raw: time.Hour, broker.Events: 200 * day, objectStream: 231 * day} {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().Config.MaxAge; got != age {
			t.Errorf("%s keeps %v, want %v", name, got, age)
		}
	}
}

// positions are the states of the partitions' consumers.
func pending(all []broker.ConsumerState) (n uint64) {
	for _, s := range all {
		n += s.Pending
	}
	return n
}

func positions(t testing.TB, b *broker.Broker, partitions int) (all []broker.ConsumerState) {
	t.Helper()
	for p := range partitions {
		s, err := b.ConsumerState(t.Context(), broker.Raw, broker.PartitionConsumer(p).Name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func TestEightProcessesProvisionAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := broker.Open(t.Context(), broker.Options{DataDir: dir, SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	var group sync.WaitGroup
	for range 8 {
		b, err := broker.Attach(t.Context(), broker.Options{DataDir: dir, Partitions: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		group.Go(func() {
			if err := b.Provision(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n, err := first.Partitions(t.Context()); n != 3 || err != nil {
		t.Errorf("%d partitions, %v", n, err)
	}
}

// An update races in the server with whoever makes a consumer of the stream, and costs a write: every process provisions when it starts.
func TestProvisioningWhatIsThereUpdatesNothing(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{EventsRetention: 200 * day})
	nc, err := nats.Connect(address(t, b.Options().DataDir))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	updates, err := nc.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.UPDATED.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	js := admin(t, b)
	s, err := js.Stream(t.Context(), broker.Dead)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Description = "the last update, so that the test knows when it has seen all"
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	m, err := updates.NextMsgWithContext(t.Context())
	if err != nil || m.Subject != "$JS.EVENT.ADVISORY.STREAM.UPDATED."+broker.Dead {
		t.Errorf("updated: %+v, %v", m, err)
	}
}

func TestAStreamThatParleyDidNotMakeIsToldInsteadOfGuessed(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	js := admin(t, b)
	for name, transform := range map[string]*jetstream.SubjectTransformConfig{
		"has no partitions": nil,
		"does not make":     {Source: "parley.raw.*.*.*.*", Destination: "parley.raw.x.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}"},
	} {
		if err := js.DeleteStream(t.Context(), broker.Raw); err != nil {
			t.Fatal(err)
		}
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: broker.Raw, Subjects: []string{"parley.raw.*.*.*.*"}, SubjectTransform: transform, AllowDirect: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Partitions(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The server counts a message for its consumers some time after it has acknowledged it.
func TestWhatWasJustPublishedIsNeverTakenForProcessed(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{Partitions: 1})
	o := owner(t, b, broker.PartitionConsumer(0))
	processed := func() bool {
		t.Helper()
		is, err := b.Processed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if !processed() {
		t.Error("an empty stream is not processed")
	}
	for i, m := range records(300) {
		publish(t, b, m)
		if processed() {
			t.Fatalf("record %d is processed, which nobody took", i)
		}
		acked(t, o.take(1)...)
		if !processed() {
			t.Fatalf("record %d is not processed", i)
		}
	}
}

func TestUnprocessedCountsWhatNobodyAcknowledged(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	left := func() uint64 {
		n, err := b.Unprocessed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	publish(t, b, records(50)...)
	eventually(t, "all are counted", func() bool { return left() == 50 })
	for p := range 2 {
		o := owner(t, b, broker.PartitionConsumer(p))
		for _, d := range o.all() {
			if err := d.AckWait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := left(); n != 0 {
		t.Errorf("at the end: %d", n)
	}
}

// The ack floor of an idle partition stays where its last record was, long before the others' records.
func TestAnIdlePartitionDoesNotMakeTheOldestRecordOld(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	oldest := func() time.Time {
		at, err := b.OldestUnprocessed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if !oldest().IsZero() {
		t.Error("an empty stream has an oldest record")
	}
	// One record in each partition, processed; and then many of one partition alone.
	publish(t, b, records(20)...)
	owners := []*owned{owner(t, b, broker.PartitionConsumer(0)), owner(t, b, broker.PartitionConsumer(1))}
	entity := map[int]string{}
	for p, o := range owners {
		for _, d := range o.all() {
			entity[p] = d.Subject[strings.LastIndex(d.Subject, ".")+1:]
			if err := d.AckWait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !oldest().IsZero() {
		t.Error("everything is processed, and something is old")
	}
	busy := 1
	of := func(n int) broker.Message {
		m := record(n)
		m.Subject = "parley.raw.acme.main.chats." + entity[busy]
		return m
	}
	results := publish(t, b, of(100), of(101), of(102))
	eventually(t, "they are counted", func() bool { return stateOf(t, b, broker.PartitionConsumer(busy)).Pending == 3 })
	stored := func(i int) time.Time {
		m, err := b.Read(t.Context(), broker.Raw, results[i].Sequence)
		if err != nil {
			t.Fatal(err)
		}
		return m.Time
	}
	if got := oldest(); !got.Equal(stored(0)) {
		t.Errorf("oldest %v, want the first of the busy partition %v", got, stored(0))
	}
	held := owners[busy].all()
	if err := held[0].AckWait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := oldest(); !got.Equal(stored(1)) {
		t.Errorf("oldest %v, want the second %v: delivered is not processed", got, stored(1))
	}
	if err := held[2].AckWait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := oldest(); !got.Equal(stored(1)) {
		t.Errorf("oldest %v, want the second %v, which is not acknowledged", got, stored(1))
	}
}

func TestPurgeRemovesEveryMessageAndSubjectsCountsThem(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	for n := range 3 {
		publish(t, b, broker.Message{Subject: fmt.Sprintf("parley.events.conversation.acme.main.e%d", n%2)})
	}
	got, err := b.Subjects(t.Context(), broker.Events, "parley.events.*.acme.>")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"parley.events.conversation.acme.main.e0": 2, "parley.events.conversation.acme.main.e1": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := b.PurgeStream(t.Context(), broker.Events); err != nil {
		t.Fatal(err)
	}
	if s := size(t, b, broker.Events); s.Messages != 0 || s.LastSeq != 3 {
		t.Errorf("after the purge: %+v", s)
	}
}

func TestTrimmingRemovesTheOldestQuarterAndNothingThatIsNotProcessed(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{Partitions: 1})
	trim := func(want bool, first uint64) {
		t.Helper()
		trimmed, err := b.TrimRaw(t.Context())
		if err != nil || trimmed != want {
			t.Fatalf("trimmed %v, %v", trimmed, err)
		}
		if got := size(t, b, broker.Raw).FirstSeq; got != first {
			t.Fatalf("RAW begins with %d, want %d", got, first)
		}
	}
	trim(false, 0)
	publish(t, b, records(100)...)
	trim(false, 1) // nothing is processed
	o := owner(t, b, broker.PartitionConsumer(0))
	held := o.take(100)
	acked(t, held[0], held[1], held[2], held[50])
	trim(true, 4) // the fourth is the oldest that is not processed
	acked(t, held[3:50]...)
	acked(t, held[51:]...)
	trim(true, 29) // a quarter of 4 to 100
}

// A dead letter is known by its id over a restart, and for as long as it is kept.
func TestADeadLetterComesOnceAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for run := range 2 {
		b, err := broker.Open(t.Context(), broker.Options{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		if err := b.Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
		letter := broker.Message{Subject: "parley.dead.process.eu", Header: map[string][]string{broker.HeaderMsgID: {"process:eu:1"}}, Data: []byte("bad")}
		if r := b.Bury(t.Context(), letter); r.Err != nil || r.Duplicate != (run > 0) {
			t.Errorf("run %d: %+v", run, r)
		}
		b.Close()
	}
}

func TestWhoComesTooEarlyWaitsForTheStreamsOfAProcessThatHasJustStarted(t *testing.T) {
	t.Parallel()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provisioned(t.Context(), 300*time.Millisecond); !errors.Is(err, broker.ErrEmpty) {
		t.Errorf("nothing is there: %v; want %v", err, broker.ErrEmpty)
	}
	server := startExternal(t)
	far := server.connect(t)
	server.stop()
	if err := far.Provisioned(t.Context(), 300*time.Millisecond); err == nil || errors.Is(err, broker.ErrEmpty) {
		t.Errorf("a server that does not answer: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- b.Provisioned(t.Context(), time.Minute) }()
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("it is made meanwhile: %v", err)
	}
	if _, err := b.Bucket(t.Context(), broker.ErasedBucket); err != nil {
		t.Error(err)
	}
}
