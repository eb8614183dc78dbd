package processors_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

func TestARecordThatComesAgainAsItWasIsNormalisedAgainOnlyByAnotherProgram(t *testing.T) {
	b := open(t, broker.Options{})
	var calls atomic.Int64
	begin := func(program string) (stop func()) {
		_, stop = start(t, b, processors.Options{Program: program, Normalizers: map[string]processors.Normalizer{
			"testvendor": func(r *events.Record) (events.Entity, error) {
				calls.Add(1)
				return normalize(r)
			},
		}})
		return stop
	}
	const chats = 40
	read := func(text string, second int) (normalised int64) {
		before := calls.Load()
		for i := range chats {
			raw(t, b, chat{ID: fmt.Sprint(i), Text: text}, second+i)
		}
		drained(t, b)
		return calls.Load() - before
	}
	stop := begin("one")
	if n := read("a", 0); n != chats {
		t.Errorf("%d of %d new records were normalised", n, chats)
	}
	if n := read("a", 100); n != 0 {
		t.Errorf("%d records were normalised again, want none", n)
	}
	stop()
	stop = begin("one")
	// Until the first is normalised a new process does not know what kind the stream's records are.
	if n := read("a", 200); n == chats {
		t.Error("a new process of the same program normalised every record again")
	}
	stop()
	stop = begin("another")
	if n := read("a", 300); n != chats {
		t.Errorf("another program normalised %d of %d records", n, chats)
	}
	if n := read("b", 400) + read("a", 500); n != 2*chats {
		t.Errorf("%d of %d changed records were normalised", n, 2*chats)
	}
	stop()
	all := emitted(t, b)
	for i := range chats {
		if got := strings.Join(texts(t, all, fmt.Sprint(i)), ""); got != "aba" {
			t.Errorf("chat %d: %s, want aba", i, got)
		}
	}
}

func TestARecognisedReadingIsTheNewestOne(t *testing.T) {
	b := open(t, broker.Options{})
	start(t, b, processors.Options{})
	for _, reading := range []struct {
		text   string
		second int
	}{{"a", 0}, {"a", 100}, {"late", 50}, {"b", 200}} {
		raw(t, b, chat{ID: "one", Text: reading.text}, reading.second)
		drained(t, b)
	}
	if got := strings.Join(texts(t, emitted(t, b), "one"), ","); got != "a,b" {
		t.Errorf("%s; want a,b: what was read before the last equal reading is old", got)
	}
}
