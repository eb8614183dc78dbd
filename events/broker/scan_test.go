package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

func TestScanGivesWhatIsThereAndEnds(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	scan := func(filters []string, from time.Time) (got []uint64) {
		t.Helper()
		err := b.Scan(t.Context(), broker.Events, filters, from, func(m broker.Message) error {
			got = append(got, m.Sequence)
			// What comes while it is read is not part of it: it would never end.
			publishEvents(t, b, 1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := scan(nil, time.Time{}); got != nil {
		t.Errorf("an empty stream gave %v", got)
	}
	publish(t, b, event("a"), event("b"), event("a"))
	if got := scan(nil, time.Time{}); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("everything: %v", got)
	}
	if got := scan([]string{event("b").Subject}, time.Time{}); !slices.Equal(got, []uint64{2}) {
		t.Errorf("one subject: %v", got)
	}
	if got := scan([]string{event("none").Subject}, time.Time{}); got != nil {
		t.Errorf("a subject without messages gave %v", got)
	}
	if got := scan(nil, time.Now().Add(time.Hour)); got != nil {
		t.Errorf("from the future: %v", got)
	}
	enough := errors.New("enough")
	if err := b.Scan(t.Context(), broker.Events, nil, time.Time{}, func(broker.Message) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v; want the visitor's error", err)
	}
}

func TestScanEndsWhenWhatIsLeftOfItIsDeleted(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	const count = 24 // of one MiB: more than is on its way at once
	for name, filters := range map[string][]string{"everything": nil, "filtered": {events.EventSubjects + ".>"}} {
		t.Run(name, func(t *testing.T) {
			for range count {
				m := event("large")
				m.Data = make([]byte, 1<<20)
				publish(t, b, m)
			}
			last := size(t, b, broker.Events).LastSeq
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var got []uint64
			err := b.Scan(ctx, broker.Events, filters, time.Time{}, func(m broker.Message) error {
				if got = append(got, m.Sequence); len(got) == 1 {
					return nil
				}
				if len(got) > 2 {
					return nil // it was on its way already
				}
				// Another process deletes everything else that there is.
				for sequence := m.Sequence + 1; sequence <= last; sequence++ {
					if err := b.Remove(t.Context(), broker.Events, sequence); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil || len(got) < 2 || len(got) >= count || !slices.IsSorted(got) {
				t.Errorf("%d messages, %v; want it to end with what is there", len(got), err)
			}
		})
	}
}

func TestRemoveIsForGoodAndTwiceIsNoError(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publish(t, b, event("a"), event("b"))
	for range 2 {
		if err := b.Remove(t.Context(), broker.Events, 1); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Read(t.Context(), broker.Events, 1); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("%v; want it gone", err)
	}
	if got := size(t, b, broker.Events).Messages; got != 1 {
		t.Errorf("%d messages are left", got)
	}
}

func TestAWorkQueueIsReadBesideItsConsumerAndLosesNothing(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	queue := func() (got []uint64) {
		t.Helper()
		err := b.Scan(t.Context(), broker.Replay, nil, time.Time{}, func(m broker.Message) error {
			got = append(got, m.Sequence)
			if m.Subject != events.ReplaySubjects+".files.x" || string(m.Data) != "payload" || m.Get("Ce-Id") != "1" || m.Time.IsZero() {
				t.Errorf("%+v", m)
			}
			publish(t, b, broker.Message{Subject: events.ReplaySubjects + ".files.x"}) // not part of it
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := queue(); got != nil {
		t.Errorf("an empty queue gave %v", got)
	}
	consumer, err := b.Consumer(t.Context(), broker.ConsumerConfig{
		Stream: broker.Replay, Name: "sink-files", Filters: []string{events.ReplaySubjects + ".files.>"}, MaxAckPending: 10, AckWait: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		publish(t, b, broker.Message{Subject: events.ReplaySubjects + ".files.x", Header: map[string][]string{"Ce-Id": {"1"}}, Data: []byte("payload")})
	}
	if err := b.Remove(t.Context(), broker.Replay, 2); err != nil {
		t.Fatal(err)
	}
	if got := queue(); !slices.Equal(got, []uint64{1, 3, 4}) {
		t.Errorf("got %v; want what is there", got)
	}
	if got, err := consumer.Next(t.Context(), 10); err != nil || len(got) == 0 || got[0].Sequence != 1 {
		t.Errorf("%v, %v; want what was read to be there still", sequences(got), err)
	}
	enough := errors.New("enough")
	if err := b.Scan(t.Context(), broker.Replay, nil, time.Time{}, func(broker.Message) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v; want the visitor's error", err)
	}
}

func TestWhatIsStuckInAWorkQueueIsRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	queue := broker.ConsumerConfig{
		Stream: broker.Windows, Name: "poll-eu", Filters: []string{events.WindowSubjects + ".eu.>"}, MaxAckPending: 2, AckWait: time.Minute,
	}
	consumer, err := b.Consumer(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for i := range 5 {
		subjects = append(subjects, fmt.Sprintf("%s.eu.chats.w%d", events.WindowSubjects, i))
		publish(t, b, broker.Message{Subject: subjects[i]})
	}
	// As a dying server leaves it: the consumer's state is past the first two, and they are there. The third is delivered, two wait.
	if _, err := admin(t, b).ResetConsumerToSequence(t.Context(), broker.Windows, queue.Name, 3); err != nil {
		t.Fatal(err)
	}
	if got, err := consumer.Next(t.Context(), 1); err != nil || len(got) != 1 || got[0].Sequence != 3 {
		t.Fatalf("%v, %v; want the third", sequences(got), err)
	}
	removed, err := b.RemoveDone(t.Context(), broker.Windows, queue.Name, subjects)
	if err != nil || removed != 2 {
		t.Errorf("%d were removed, %v; want the two that are stuck", removed, err)
	}
	left, err := b.Subjects(t.Context(), broker.Windows, ">")
	if err != nil || len(left) != 3 || left[subjects[0]]+left[subjects[1]] > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	// Nothing is delivered and nothing waits: what is there all the same is stuck.
	if _, err := admin(t, b).ResetConsumerToSequence(t.Context(), broker.Windows, queue.Name, 6); err != nil {
		t.Fatal(err)
	}
	if removed, err := b.RemoveDone(t.Context(), broker.Windows, queue.Name, subjects); err != nil || removed != 3 {
		t.Errorf("%d were removed, %v; want the rest", removed, err)
	}
}

func TestAMessageThatTwoFiltersMatchComesOnce(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	filters, err := events.FilterSubjects([]string{"conversation", "*.livechat"})
	if err != nil || len(filters) != 2 {
		t.Fatal(filters, err)
	}
	var want []uint64
	for i, path := range []string{"conversation.livechat.eu.a", "rating.livechat.eu.a", "conversation.liveagent.eu.a", "rating.liveagent.eu.a", "conversation.livechat.eu.b"} {
		publish(t, b, broker.Message{Subject: events.EventSubjects + "." + path})
		if path != "rating.liveagent.eu.a" {
			want = append(want, uint64(i+1))
		}
	}
	var got []uint64
	err = b.Scan(t.Context(), broker.Events, filters, time.Time{}, func(m broker.Message) error {
		got = append(got, m.Sequence)
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}
