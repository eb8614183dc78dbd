package processors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

// open starts a broker of its own for a test.
func open(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	o.DataDir = t.TempDir()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	b, err := broker.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// chat is the raw record of these tests' vendor.
type chat struct {
	ID      string `json:"id"`
	Text    string `json:"text"`
	Updated int64  `json:"updated,omitempty"` // Unix seconds
	Lines   []line `json:"lines,omitempty"`
	Email   string `json:"email,omitempty"` // the visitor's
	Visitor string `json:"visitor,omitempty"`
}

type line struct {
	ID   string `json:"id,omitempty"`
	Text string `json:"text"`
}

// normalize is that vendor's normaliser.
func normalize(r *events.Record) (events.Entity, error) {
	var c chat
	if err := json.Unmarshal(r.Part(""), &c); err != nil {
		return nil, err
	}
	if c.Text == "panic" {
		panic("this record is poison")
	}
	if c.Text == "agent" {
		return &events.Reference{Of: events.KindAgent, Base: events.NewBase(r), Name: c.ID}, nil
	}
	e := &events.Conversation{Base: events.NewBase(r), Subject: c.Text}
	if c.Email != "" || c.Visitor != "" {
		e.Visitor = &events.Visitor{ID: c.Visitor, Email: c.Email}
	}
	for i, l := range c.Lines {
		e.Messages = append(e.Messages, events.Message{ID: l.ID, At: epoch.Add(time.Duration(i) * time.Second), Text: l.Text})
	}
	if c.Updated > 0 {
		e.UpdatedAt = time.Unix(c.Updated, 0).UTC()
	}
	return e, nil
}

var epoch = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

// raw publishes one record, asked for at a second.
func raw(t testing.TB, b *broker.Broker, c chat, second int) {
	t.Helper()
	publishRaw(t, b, rawMessage(t, b, c, second))
}

func rawMessage(t testing.TB, b *broker.Broker, c chat, second int) broker.Message {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &events.Record{
		Vendor: "testvendor", Source: "test", Stream: "chats", Key: c.ID, RequestedAt: epoch.Add(time.Duration(second) * time.Second),
		Parts: []events.Part{{ContentType: events.ContentJSON, URL: "https://vendor.example/", Body: events.Body{Bytes: body}}},
	}
	e, err := events.NewRawEvent(r, fmt.Sprintf("%s.%d", c.ID, second))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Offload(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	m := broker.Message{Subject: events.RawSubject(r), Header: map[string][]string{}, Data: e.Data}
	e.SetHeaders(m.Header)
	return m
}

func publishRaw(t testing.TB, b *broker.Broker, messages ...broker.Message) {
	t.Helper()
	for _, result := range b.Publish(t.Context(), messages) {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
	}
}

// start runs a processor until the test ends or stop is called.
func start(t testing.TB, b *broker.Broker, o processors.Options) (r *processors.Runner, stop func()) {
	t.Helper()
	if o.Normalizers == nil {
		o.Normalizers = map[string]processors.Normalizer{"testvendor": normalize}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	r, err := processors.NewRunner(t.Context(), b, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return r, stop
}

// drained waits until every partition has processed what RAW holds.
func drained(t testing.TB, b *broker.Broker) {
	t.Helper()
	eventually(t, "RAW is processed", func() bool {
		done, err := b.Processed(t.Context())
		return err == nil && done
	})
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// emitted gives every event that EVENTS holds, in order.
func emitted(t testing.TB, b *broker.Broker) []events.Event {
	t.Helper()
	state, err := b.StreamState(t.Context(), broker.Events)
	if err != nil {
		t.Fatal(err)
	}
	var all []events.Event
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		m, err := b.Read(t.Context(), broker.Events, seq)
		if errors.Is(err, broker.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.FromMessage(m.Header, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// texts gives the contents that were emitted for one chat, checking that its revisions have no gap.
func texts(t testing.TB, all []events.Event, id string) []string {
	t.Helper()
	var out []string
	for _, e := range all {
		if e.Subject != id {
			continue
		}
		var c events.Conversation
		if err := json.Unmarshal(e.Data, &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c.Subject)
		if e.Revision != uint64(len(out)) {
			t.Errorf("chat %s: event %d has revision %d", id, len(out), e.Revision)
		}
	}
	return out
}

func TestUnchangedContentIsEmittedOnceAndChangedContentAsTheNextRevision(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{})
	for second, text := range []string{"a", "a", "b", "a", "a", "c"} {
		raw(t, b, chat{ID: "one", Text: text}, second)
		raw(t, b, chat{ID: "two", Text: "constant"}, second)
	}
	drained(t, b)
	all := emitted(t, b)
	if got := strings.Join(texts(t, all, "one"), ""); got != "abac" {
		t.Errorf("one: %s; want abac: content that returns is new content", got)
	}
	if got := texts(t, all, "two"); len(got) != 1 {
		t.Errorf("two: %d events; want 1", len(got))
	}
	for _, e := range all {
		want := "dev.parley.conversation.updated"
		if e.Revision == 1 {
			want = "dev.parley.conversation.created"
		}
		if e.Type != want {
			t.Errorf("revision %d has type %s; want %s", e.Revision, e.Type, want)
		}
	}
}

func TestAnOlderReadingThatArrivesLateOverwritesNothing(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{})
	raw(t, b, chat{ID: "asked", Text: "new"}, 10)
	raw(t, b, chat{ID: "asked", Text: "old"}, 5)
	raw(t, b, chat{ID: "dated", Text: "new", Updated: 2000}, 1)
	raw(t, b, chat{ID: "dated", Text: "stale replica", Updated: 1000}, 9)
	drained(t, b)
	all := emitted(t, b)
	for _, id := range []string{"asked", "dated"} {
		if got := texts(t, all, id); len(got) != 1 || got[0] != "new" {
			t.Errorf("%s: %v; want only the newer", id, got)
		}
	}
}

// A vendor's mistake of a year must not make every later change look old.
func TestATimeOfChangeInTheFutureHidesNoLaterChange(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{})
	raw(t, b, chat{ID: "ahead", Text: "dated in the future", Updated: epoch.AddDate(1, 0, 0).Unix()}, 10)
	raw(t, b, chat{ID: "ahead", Text: "dated well", Updated: epoch.Add(time.Minute).Unix()}, 90)
	drained(t, b)
	if got := texts(t, emitted(t, b), "ahead"); len(got) != 2 || got[1] != "dated well" {
		t.Errorf("%q; want the later change too", got)
	}
}

func TestWhatIsKnownSurvivesANewProcessorAndALostIndex(t *testing.T) {
	b := open(t, broker.Options{})
	_, stop := start(t, b, processors.Options{})
	for i := range 300 {
		raw(t, b, chat{ID: fmt.Sprint(i), Text: "v1"}, i)
	}
	drained(t, b)
	stop()
	if err := b.PurgeStream(t.Context(), broker.State); err != nil {
		t.Fatal(err)
	}
	start(t, b, processors.Options{})
	for i := range 300 {
		text := "v1"
		if i%3 == 0 {
			text = "v2"
		}
		raw(t, b, chat{ID: fmt.Sprint(i), Text: text}, 1000+i)
	}
	drained(t, b)
	all := emitted(t, b)
	if len(all) != 400 {
		t.Errorf("%d events; want 300 of v1 and 100 of v2", len(all))
	}
	for i := range 300 {
		texts(t, all, fmt.Sprint(i))
	}
}

func TestAnEntityWhoseEventsHaveAgedOutIsStillKnown(t *testing.T) {
	b := open(t, broker.Options{})
	_, stop := start(t, b, processors.Options{})
	raw(t, b, chat{ID: "old", Text: "v1"}, 1)
	drained(t, b)
	stop()
	if err := b.PurgeStream(t.Context(), broker.Events); err != nil {
		t.Fatal(err)
	}
	start(t, b, processors.Options{})
	raw(t, b, chat{ID: "old", Text: "v1"}, 2)
	raw(t, b, chat{ID: "old", Text: "v2"}, 3)
	drained(t, b)
	all := emitted(t, b)
	if len(all) != 1 || all[0].Revision != 2 {
		t.Fatalf("%d events, the first %+v; want one with revision 2", len(all), all)
	}
}

func TestAnEntryOfADirectoryDoesNotAgeOut(t *testing.T) {
	b := open(t, broker.Options{EventsRetention: time.Second, Partitions: 1})
	start(t, b, processors.Options{})
	for i := range 120 { // enough for an atomic batch
		raw(t, b, chat{ID: fmt.Sprint("agent-", i), Text: "agent"}, 1)
	}
	for _, id := range []string{"a", "b"} {
		raw(t, b, chat{ID: id, Text: "v1"}, 1)
	}
	drained(t, b)
	eventually(t, "the chats have aged out", func() bool {
		state, err := b.StreamState(t.Context(), broker.Events)
		return err == nil && state.LastSeq == 122 && state.Messages <= 120
	})
	if all := emitted(t, b); len(all) != 120 || all[0].Kind() != events.KindAgent {
		t.Errorf("%d events are left; want those of the agents", len(all))
	}
}

func TestABadRecordIsADeadLetterWithItsBytesAndTheRestGoesOn(t *testing.T) {
	b := open(t, broker.Options{})
	r, _ := start(t, b, processors.Options{})
	raw(t, b, chat{ID: "good", Text: "x"}, 1)
	raw(t, b, chat{ID: "poison", Text: "panic"}, 2)
	bad := rawMessage(t, b, chat{ID: "bytes", Text: "x"}, 3)
	bad.Data = []byte("\x00 no record")
	publishRaw(t, b, bad)
	again := rawMessage(t, b, chat{ID: "bytes", Text: "x"}, 4) // both once more
	again.Data = bad.Data
	publishRaw(t, b, again)
	raw(t, b, chat{ID: "poison", Text: "panic"}, 4)
	raw(t, b, chat{ID: "after", Text: "x"}, 5)
	drained(t, b)
	if all := emitted(t, b); len(all) != 2 {
		t.Errorf("%d events; want those of the two good records", len(all))
	}
	state, err := b.StreamState(t.Context(), broker.Dead)
	if err != nil {
		t.Fatal(err)
	}
	if state.Messages != 2 {
		t.Fatalf("%d dead letters; want one for each bad record, however often it was read", state.Messages)
	}
	reasons := ""
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := b.Read(t.Context(), broker.Dead, seq)
		if err != nil {
			t.Fatal(err)
		}
		dead, err := events.ReadDeadLetter(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		reasons += dead.Reason
		if len(m.Data) == 0 || dead.Sequence == 0 || dead.Stage != events.StageProcess {
			t.Errorf("dead letter %+v with %d bytes; want where it belongs and what it was", dead, len(m.Data))
		}
	}
	if !strings.Contains(reasons, "poison") || !strings.Contains(reasons, "decode raw record") {
		t.Errorf("reasons %q; want the panic and the decoder's error", reasons)
	}
	eventually(t, "the counts say two dead letters", func() bool {
		n := 0
		for _, c := range r.Counts() {
			n += c.DeadLetters
		}
		return n == 2
	})
}

func TestDataOverOneMebibyteTravelsByReference(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{})
	text := strings.Repeat("all work and no play ", 100_000)
	raw(t, b, chat{ID: "large", Text: text}, 1)
	drained(t, b)
	all := emitted(t, b)
	if len(all) != 1 || all[0].DataRef == "" || len(all[0].Data) != 0 {
		t.Fatalf("%d events, reference %q, %d bytes inline; want one with its data in the object store", len(all), all[0].DataRef, len(all[0].Data))
	}
	if err := b.Resolve(t.Context(), &all[0]); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, all, "large"); got[0] != text {
		t.Errorf("%d bytes came back; want %d", len(got[0]), len(text))
	}
}

func TestProcessorsShareThePartitionsAndALateJoinerGetsItsPart(t *testing.T) {
	b := open(t, broker.Options{})
	first, _ := start(t, b, processors.Options{})
	for i := range 200 {
		raw(t, b, chat{ID: fmt.Sprint(i), Text: "early"}, i)
	}
	drained(t, b)
	second, stopSecond := start(t, b, processors.Options{})
	feed := 0
	eventually(t, "the late joiner processes about half", func() bool {
		for range 50 {
			feed++
			raw(t, b, chat{ID: fmt.Sprint(feed % 200), Text: fmt.Sprint("late ", feed)}, 1000+feed)
		}
		drained(t, b)
		return total(second) >= 100
	})
	before := total(second)
	for range 400 {
		feed++
		raw(t, b, chat{ID: fmt.Sprint(feed % 200), Text: fmt.Sprint("shared ", feed)}, 1000+feed)
	}
	drained(t, b)
	if part := total(second) - before; part < 100 || part > 300 {
		t.Errorf("the late joiner processed %d of 400 records; want about half", part)
	}
	stopSecond()
	for range 100 {
		feed++
		raw(t, b, chat{ID: fmt.Sprint(feed % 200), Text: fmt.Sprint("alone ", feed)}, 1000+feed)
	}
	drained(t, b)
	if got, want := total(first)+total(second), 200+feed; got != want {
		t.Errorf("%d events; want %d: nothing lost, nothing twice", got, want)
	}
	all := emitted(t, b)
	for i := range 200 {
		texts(t, all, fmt.Sprint(i))
	}
}

// A processor that was killed holds records and its pin. Its successor need not wait until the server takes them for lost.
func TestWhatADeadProcessorHeldIsProcessedBeforeItsAckWait(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	raw(t, b, chat{ID: "held", Text: "x"}, 1)
	dead, err := b.Consumer(t.Context(), broker.PartitionConsumer(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Next(t.Context(), 1); !errors.Is(err, broker.ErrNewOwner) {
		t.Fatalf("%v; want to be the owner", err)
	}
	died := time.Now()
	dead.Close()
	start(t, b, processors.Options{})
	drained(t, b)
	if took, limit := time.Since(died), broker.PartitionConsumer(0).AckWait; took >= limit {
		t.Errorf("after %v; the AckWait is %v", took, limit)
	}
	texts(t, emitted(t, b), "held")
}

func total(r *processors.Runner) (n int) {
	for _, c := range r.Counts() {
		n += c.Events
	}
	return n
}

func TestAStateThatAnOwnerOfThePastWritesLateIsRefused(t *testing.T) {
	b := open(t, broker.Options{})
	_, stop := start(t, b, processors.Options{})
	raw(t, b, chat{ID: "one", Text: "a"}, 1)
	drained(t, b)
	subjects, err := b.Subjects(t.Context(), broker.State, events.StateSubjects+".conversation.>")
	if err != nil || len(subjects) != 1 {
		t.Fatalf("%d states, %v; want one", len(subjects), err)
	}
	for subject := range subjects {
		last, err := b.Last(t.Context(), broker.State, []string{subject})
		if err != nil {
			t.Fatal(err)
		}
		raw(t, b, chat{ID: "one", Text: "b"}, 2)
		drained(t, b)
		present, err := b.Last(t.Context(), broker.State, []string{subject})
		if err != nil {
			t.Fatal(err)
		}
		now, was := present[subject], last[subject]
		if replaced := now.Get(broker.HeaderExpectedSequence); replaced != fmt.Sprint(was.Sequence) {
			t.Errorf("the state names %q as what it replaces; want %d", replaced, was.Sequence)
		}
		// The old owner wakes up and sends again what it meant to send: after no entry.
		late := broker.Message{Subject: subject, Data: last[subject].Data, Header: map[string][]string{broker.HeaderExpectedSequence: {"0"}}}
		if result := b.Publish(t.Context(), []broker.Message{late})[0]; !errors.Is(result.Err, broker.ErrConflict) {
			t.Fatalf("the late state: %v; want a conflict", result.Err)
		}
	}
	stop()
	start(t, b, processors.Options{})
	raw(t, b, chat{ID: "one", Text: "a"}, 3)
	drained(t, b)
	if got := strings.Join(texts(t, emitted(t, b), "one"), ""); got != "aba" {
		t.Errorf("%s; want aba", got)
	}
}

// A rival that asks all the time takes over from an owner that is silent for ten seconds.
func TestAPartitionThatWorksOrWaitsForItsTurnKeepsItsOwner(t *testing.T) {
	t.Parallel()
	partitions := max(2, runtime.GOMAXPROCS(0)) + 1 // one more than work at once
	b := open(t, broker.Options{Partitions: partitions})
	held := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(held) })
	defer goOn()
	start(t, b, processors.Options{Batch: 4, Normalizers: map[string]processors.Normalizer{"testvendor": func(r *events.Record) (events.Entity, error) {
		<-held
		return normalize(r)
	}}})
	const count = 100
	for i := range count {
		raw(t, b, chat{ID: fmt.Sprint("c", i), Text: "one"}, i)
	}
	eventually(t, "each partition has an owner", func() bool {
		for p := range partitions {
			if state, err := b.ConsumerState(t.Context(), broker.Raw, broker.PartitionConsumer(p).Name); err != nil || !state.Pinned {
				return false
			}
		}
		return true
	})
	var rivals sync.WaitGroup
	for p := range partitions {
		rivals.Go(func() {
			consumer, err := b.Consumer(t.Context(), broker.PartitionConsumer(p))
			if err != nil {
				t.Error(err)
				return
			}
			defer consumer.Close()
			for range 7 { // of two seconds each; records wait for whoever is the owner
				if got, err := consumer.Next(t.Context(), 1); err != nil || len(got) > 0 {
					t.Errorf("a rival got %d records of partition %d, %v", len(got), p, err)
					return
				}
			}
		})
	}
	rivals.Wait()
	goOn()
	drained(t, b)
	if got := len(emitted(t, b)); got != count {
		t.Errorf("%d events, want %d", got, count)
	}
}
