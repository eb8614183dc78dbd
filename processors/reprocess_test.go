package processors_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

// newer is the normaliser's next version: it says something else of every record, and reads what normalize refuses.
func newer(r *events.Record) (events.Entity, error) {
	entity, err := normalize(r)
	if err != nil {
		return &events.Conversation{Base: events.NewBase(r), Subject: "read at last"}, nil
	}
	c := entity.(*events.Conversation)
	c.Subject = "newer " + c.Subject
	return c, nil
}

func with(n processors.Normalizer) processors.Options {
	return processors.Options{Normalizers: map[string]processors.Normalizer{"testvendor": n}}
}

// ask makes a request for everything that the source has.
func ask(t testing.TB, b *broker.Broker, to time.Time) processors.Reprocess {
	t.Helper()
	q, err := processors.Ask(t.Context(), b, processors.Reprocess{Source: "test", To: to})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// redone waits for a request's end.
func redone(t testing.TB, b *broker.Broker, q processors.Reprocess) (sum processors.Redone) {
	t.Helper()
	eventually(t, "the request is done", func() bool {
		var err error
		if sum, err = q.Progress(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return sum.Done
	})
	return sum
}

func wantTexts(t testing.TB, b *broker.Broker, id string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, texts(t, emitted(t, b), id)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", id, diff)
	}
}

func TestANewerNormaliserGivesARevisionOfWhatItReadsOtherwiseAndTheSameOneNone(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	raw(t, b, chat{ID: "a", Text: "one"}, 1)
	raw(t, b, chat{ID: "a", Text: "two"}, 2)
	raw(t, b, chat{ID: "a", Text: "one"}, 3)
	raw(t, b, chat{ID: "b", Text: "still"}, 1)
	raw(t, b, chat{ID: "b", Text: "still"}, 2) // unchanged: the state's fence stays that of the first
	_, stop := start(t, b, with(normalize))
	drained(t, b)

	same := redone(t, b, ask(t, b, time.Time{}))
	if same.Records != 5 || same.Events != 0 || same.Unreadable != 0 {
		t.Errorf("with the same normaliser: %+v; want 5 records and nothing else", same)
	}
	stop()
	_, _ = start(t, b, with(newer))
	changed := redone(t, b, ask(t, b, time.Time{}))
	if changed.Records != 5 || changed.Events != 2 {
		t.Errorf("with a newer one: %+v; want 2 events of 5 records", changed)
	}
	wantTexts(t, b, "a", "one", "two", "one", "newer one")
	wantTexts(t, b, "b", "still", "newer still")
	if again := redone(t, b, ask(t, b, time.Time{})); again.Events != 0 || again.Records != 5 {
		t.Errorf("a second time: %+v; want no event", again)
	}
	// The fences are still those of the readings: what comes next is decided as ever.
	raw(t, b, chat{ID: "a", Text: "late"}, 2)
	raw(t, b, chat{ID: "a", Text: "now"}, 9)
	drained(t, b)
	wantTexts(t, b, "a", "one", "two", "one", "newer one", "newer now")
}

func TestAnOlderReadingOverwritesNothingWhenItIsReprocessed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		records []chat // one second after the other, in this order, and then those of late
		late    []chat // asked for before all others
		want    []string
	}{
		"by when it was asked for":    {[]chat{{Text: "one"}, {Text: "two"}}, []chat{{Text: "zero"}}, []string{"one", "two", "newer two"}},
		"by the vendor's own time":    {[]chat{{Text: "new", Updated: 9000}, {Text: "old", Updated: 8000}}, nil, []string{"new", "newer new"}},
		"behind what changed nothing": {[]chat{{Text: "one"}, {Text: "one"}}, []chat{{Text: "zero"}}, []string{"one", "newer one"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, broker.Options{})
			_, stop := start(t, b, with(normalize))
			for i, one := range c.records {
				one.ID = "x"
				raw(t, b, one, 10+i)
			}
			for _, one := range c.late {
				one.ID = "x"
				raw(t, b, one, 1)
			}
			drained(t, b)
			stop()
			_, _ = start(t, b, with(newer))
			redone(t, b, ask(t, b, time.Time{}))
			wantTexts(t, b, "x", c.want...)
		})
	}
}

func TestAVersionThatAnotherNormaliserReadCountsNotAgainstTheSameReading(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	_, stop := start(t, b, with(normalize))
	raw(t, b, chat{ID: "x", Text: "one", Updated: epoch.Unix()}, 10)
	drained(t, b)
	stop()
	_, _ = start(t, b, with(func(r *events.Record) (events.Entity, error) {
		e, err := normalize(r)
		if err == nil {
			c := e.(*events.Conversation)
			c.UpdatedAt = c.UpdatedAt.Add(-time.Hour) // its zone was read wrong
		}
		return e, err
	}))
	if got := redone(t, b, ask(t, b, time.Time{})); got.Events != 1 {
		t.Errorf("%+v; want one event", got)
	}
	// The next change is an hour older by the present reading than the first was by the former, and newer all the same.
	raw(t, b, chat{ID: "x", Text: "two", Updated: epoch.Add(10 * time.Minute).Unix()}, 20)
	drained(t, b)
	wantTexts(t, b, "x", "one", "one", "two")
}

func TestADeadLetteredRecordThatCanBeReadNowIsEmittedAndOneThatCannotIsTold(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	_, stop := start(t, b, with(normalize))
	raw(t, b, chat{ID: "x", Text: "panic"}, 1)
	drained(t, b)
	still := redone(t, b, ask(t, b, time.Time{}))
	if still.Unreadable != 1 || still.Events != 0 || !strings.Contains(still.Example, "poison") || !strings.Contains(still.Example, "record 1") {
		t.Errorf("%+v; want one record that cannot be read, and why", still)
	}
	if state, err := b.StreamState(t.Context(), broker.Dead); err != nil || state.Messages != 1 {
		t.Errorf("%d dead letters, %v; want the one that there was", state.Messages, err)
	}
	stop()
	_, _ = start(t, b, with(func(r *events.Record) (events.Entity, error) {
		return &events.Conversation{Base: events.NewBase(r), Subject: "read at last"}, nil
	}))
	if got := redone(t, b, ask(t, b, time.Time{})); got.Events != 1 || got.Unreadable != 0 {
		t.Errorf("%+v; want one event", got)
	}
	wantTexts(t, b, "x", "read at last")
}

func TestOnlyWhatWasStoredInTheRangeIsReprocessed(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	_, stop := start(t, b, with(normalize))
	raw(t, b, chat{ID: "early", Text: "one"}, 1)
	drained(t, b)
	border := time.Now()
	eventually(t, "the clock goes on", func() bool { return time.Since(border) > 10*time.Millisecond })
	raw(t, b, chat{ID: "late", Text: "one"}, 2)
	drained(t, b)
	stop()
	_, _ = start(t, b, with(newer))
	q := ask(t, b, border)
	if got := redone(t, b, q); q.Total != 1 || got.Records != 1 || got.Events != 1 {
		t.Errorf("%d wanted, %+v; want the one that was stored before", q.Total, got)
	}
	wantTexts(t, b, "early", "one", "newer one")
	wantTexts(t, b, "late", "one")
}

// many entities, in one partition, so that a request takes several slices and batches.
const many = 600

func fill(t testing.TB, b *broker.Broker) {
	t.Helper()
	for from := 0; from < many; from += 300 {
		messages := make([]broker.Message, 300)
		for i := range messages {
			messages[i] = rawMessage(t, b, chat{ID: fmt.Sprint(from + i), Text: "one"}, 1)
		}
		publishRaw(t, b, messages...)
	}
}

func TestARequestThatIsInterruptedGoesOnAndGivesEachRevisionOnce(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{Partitions: 1})
	_, stop := start(t, b, with(normalize))
	fill(t, b)
	drained(t, b)
	stop()
	q := ask(t, b, time.Time{})
	if q.Total != many {
		t.Errorf("%d records are to be done; want %d", q.Total, many)
	}
	bucket, err := b.Bucket(t.Context(), broker.ReprocessBucket)
	if err != nil {
		t.Fatal(err)
	}
	revisions := func() uint64 {
		state, err := b.StreamState(t.Context(), broker.Events)
		if err != nil {
			t.Fatal(err)
		}
		return state.Messages - many
	}
	for _, killed := range []bool{false, true} {
		before := revisions()
		o := with(newer)
		o.Batch = 20
		_, stop := start(t, b, o)
		eventually(t, "some are done", func() bool { return revisions() > before+100 })
		stop()
		if killed {
			// A process that is killed notes nothing of its last slice; here it is as if it had noted nothing at all.
			if err := bucket.Delete(t.Context(), "test.0"); err != nil {
				t.Fatal(err)
			}
		}
		if revisions() == many {
			t.Fatal("all was done before the interruption: the test shows nothing")
		}
	}
	if same := ask(t, b, time.Time{}); same.ID != q.ID {
		t.Errorf("asked again it is request %s; want %s to go on", same.ID, q.ID)
	}
	_, _ = start(t, b, with(newer))
	redone(t, b, q)
	count := map[string]uint64{}
	for _, e := range emitted(t, b) {
		if count[e.Subject]++; e.Revision != count[e.Subject] || e.Revision > 2 {
			t.Fatalf("%s: revision %d is event %d of its entity", e.Subject, e.Revision, count[e.Subject])
		}
	}
	if got := revisions(); got != many {
		t.Errorf("%d revisions; want %d", got, many)
	}
}

func TestWhatComesMeanwhileIsNewerThanWhatIsReprocessed(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{Partitions: 1})
	_, stop := start(t, b, with(normalize))
	fill(t, b)
	drained(t, b)
	stop()
	q := ask(t, b, time.Time{})
	o := with(newer)
	o.Batch = 50
	_, _ = start(t, b, o)
	for i := 0; i < many; i += 50 {
		raw(t, b, chat{ID: fmt.Sprint(i), Text: "two"}, 2)
	}
	redone(t, b, q)
	drained(t, b)
	last := map[string]string{}
	for _, e := range emitted(t, b) {
		last[e.Subject] = conversation(t, e).Subject
	}
	for i := range many {
		want := "newer one"
		if i%50 == 0 {
			want = "newer two"
		}
		if got := last[fmt.Sprint(i)]; got != want {
			t.Fatalf("%d ends as %q; want %q", i, got, want)
		}
	}
}

func TestATrialTellsWhatARequestWouldDoAndDoesNothing(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	_, stop := start(t, b, with(normalize))
	raw(t, b, chat{ID: "a", Text: "one"}, 1)
	raw(t, b, chat{ID: "a", Text: "one"}, 2)
	raw(t, b, chat{ID: "a", Text: "two"}, 3)
	raw(t, b, chat{ID: "b", Text: "panic"}, 1)
	raw(t, b, chat{ID: "c", Text: "still"}, 1)
	drained(t, b)
	stop()
	before := emitted(t, b)
	trial := func(n processors.Normalizer) processors.Redone {
		t.Helper()
		r, err := processors.NewRunner(t.Context(), b, with(n))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.TryReprocess(t.Context(), processors.Reprocess{Source: "test"}, func(processors.Redone, uint64) {})
		if err != nil || !got.Done {
			t.Fatalf("%+v, %v", got, err)
		}
		return got
	}
	if got := trial(normalize); got.Records != 5 || got.Events != 0 || got.Unreadable != 1 {
		t.Errorf("with the same normaliser: %+v; want no event of 5 records, one of which cannot be read", got)
	}
	if got := trial(newer); got.Records != 5 || got.Events != 2 {
		t.Errorf("with a newer one: %+v; want 2 events of 5 records", got)
	}
	if after := emitted(t, b); len(after) != len(before) {
		t.Errorf("%d events after trials; want %d", len(after), len(before))
	}
	bucket, err := b.Bucket(t.Context(), broker.ReprocessBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Get(t.Context(), "test"); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("%v; want no request", err)
	}
}
