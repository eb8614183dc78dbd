package processors_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

// keyless is a row that cannot be read and has no key: of a day's window, like the same row of another day's.
func keyless(t *testing.T, stream string, day int) broker.Message {
	t.Helper()
	r := &events.Record{
		Vendor: "testvendor", Source: "test", Stream: stream, RequestedAt: epoch.AddDate(0, 0, day),
		WindowFrom: epoch.AddDate(0, 0, day-1), WindowTo: epoch.AddDate(0, 0, day),
		Parts: []events.Part{{ContentType: events.ContentJSON, URL: "https://vendor.example/", Body: events.Body{Bytes: []byte(`{"answers":0`)}}},
	}
	e, err := events.NewRawEvent(r, stream)
	if err != nil {
		t.Fatal(err)
	}
	m := broker.Message{Subject: events.RawSubject(r), Header: map[string][]string{}, Data: e.Data}
	e.SetHeaders(m.Header)
	return m
}

func letters(t *testing.T, b *broker.Broker) uint64 {
	t.Helper()
	state, err := b.StreamState(t.Context(), broker.Dead)
	if err != nil {
		t.Fatal(err)
	}
	return state.Messages
}

func TestBadRecordsThatLookAlikeAreLettersOfTheirOwn(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	start(t, b, processors.Options{Normalizers: map[string]processors.Normalizer{"testvendor": normalize}})
	publishRaw(t, b, keyless(t, "reports/agents", 1), keyless(t, "reports/agents", 2), keyless(t, "reports/tags", 1))
	drained(t, b)
	if got := letters(t, b); got != 3 {
		t.Errorf("of two streams and two days: %d letters, want 3", got)
	}
	publishRaw(t, b, keyless(t, "reports/agents", 2))
	drained(t, b)
	if got := letters(t, b); got != 3 {
		t.Errorf("one read again: %d letters, want 3", got)
	}
}

func TestLargeRecordsWhoseDataIsGoneAreLettersOfTheirOwn(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	for i, id := range []string{"a", "b", "c"} {
		m := rawMessage(t, b, chat{ID: id, Text: strings.Repeat(id, 2<<20)}, i)
		e, err := events.FromMessage(m.Header, m.Data)
		if err != nil || e.DataRef == "" {
			t.Fatal(err, e.DataRef)
		}
		if err := b.RemoveObject(t.Context(), e.DataRef); err != nil {
			t.Fatal(err)
		}
		publishRaw(t, b, m)
	}
	start(t, b, processors.Options{Normalizers: map[string]processors.Normalizer{"testvendor": normalize}})
	drained(t, b)
	if got := letters(t, b); got != 3 {
		t.Errorf("%d letters, want 3", got)
	}
}

func TestARecordThatFailsAgainAfterItsLetterWentIsALetterAgain(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	start(t, b, processors.Options{Normalizers: map[string]processors.Normalizer{"testvendor": normalize}})
	for day := range 3 {
		raw(t, b, chat{ID: "p", Text: "panic"}, 2*day)
		raw(t, b, chat{ID: "p", Text: "panic"}, 2*day+1)
		drained(t, b)
		var last uint64
		err := b.Scan(t.Context(), broker.Dead, nil, time.Time{}, func(m broker.Message) error {
			last = m.Sequence
			return nil
		})
		if got := letters(t, b); err != nil || got != 1 {
			t.Fatalf("time %d: %d letters, %v; want one", day+1, got, err)
		}
		if err := b.Remove(t.Context(), broker.Dead, last); err != nil { // as it is dropped, or replayed
			t.Fatal(err)
		}
	}
}

func TestABadRecordWaitsWhileTheDeadLettersAreFull(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1, RawMaxBytes: 128 << 20, SyncInterval: time.Minute})
	letter := broker.Message{Subject: events.DeadSubjects + ".poll.test", Data: make([]byte, 1<<20)}
	var first, full uint64
	for {
		result := b.Bury(t.Context(), letter)
		if errors.Is(result.Err, broker.ErrDeadFull) {
			break
		}
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		if full++; first == 0 {
			first = result.Sequence
		}
	}
	letter.Data = make([]byte, 1<<10) // to the brim
	for b.Bury(t.Context(), letter).Err == nil {
		full++
	}
	if got := letters(t, b); got != full {
		t.Fatalf("%d letters are there, want all %d", got, full)
	}
	log := &logged{}
	start(t, b, processors.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	body := rawMessage(t, b, chat{ID: "p", Text: "panic"}, 1)
	body.Header["Padding"] = []string{strings.Repeat("x", 2<<10)}
	publishRaw(t, b, body)
	eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "parley dlq replay") })
	if left, err := b.Unprocessed(t.Context()); err != nil || left != 1 {
		t.Errorf("%d records are left, %v; want the bad one", left, err)
	}
	if err := b.Remove(t.Context(), broker.Dead, first); err != nil {
		t.Fatal(err)
	}
	drained(t, b)
	if got := letters(t, b); got != full { // one less, one more
		t.Errorf("%d letters, want %d", got, full)
	}
}
