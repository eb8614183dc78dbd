package broker_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

func TestABatchIsAtomicFromWhereThatIsQuicker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		each         time.Duration
		last, atomic int // the last count of messages that go one by one, and the first that go at once
	}{
		"no sync":            {40 * time.Microsecond, 1000, 0},
		"no sync, and busy":  {149 * time.Microsecond, 1000, 0},
		"a sync, very quick": {175 * time.Microsecond, 19, 20},
		"a sync, quick":      {250 * time.Microsecond, 13, 14},
		"a sync, slow":       {800 * time.Microsecond, 3, 4},
		"a sync, very slow":  {10 * time.Millisecond, 3, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p broker.Pace
			for range 8 {
				p.Note(50, 50*c.each)
			}
			if got := p.Alone(c.last); got != c.last {
				t.Errorf("of %d messages %d go one by one, want all", c.last, got)
			}
			if got := p.Alone(c.atomic); c.atomic > 0 && got != 0 {
				t.Errorf("of %d messages %d go one by one, want none", c.atomic, got)
			}
		})
	}
}

func TestTheServersPaceIsMeasuredFirstAndNowAndThen(t *testing.T) {
	t.Parallel()
	var p broker.Pace
	p.Note(15, time.Minute) // too few to tell
	if got := []int{p.Alone(10), p.Alone(1000)}; got[0] != 10 || got[1] != 64 {
		t.Fatalf("before anything is known %v of 10 and of 1000 messages go one by one, want 10 and 64", got)
	}
	for range 7 {
		p.Note(64, 64*time.Millisecond)
		if got := p.Alone(1000); got != 64 {
			t.Fatalf("%d of 1000 messages go one by one, want 64: a process that has just started is busy", got)
		}
	}
	p.Note(64, 64*time.Millisecond)
	for _, pause := range []int{8, 16, 32, 64, 128, 256, 512, 1024, 1024} {
		for i := range pause {
			if got := p.Alone(1000); got != 0 {
				t.Fatalf("batch %d of %d: %d messages go one by one, want none", i, pause, got)
			}
		}
		if got := p.Alone(1000); got != 64 {
			t.Fatalf("after %d batches %d go one by one, want 64", pause, got)
		}
	}
}

// The way to the server is long where the machine is full: only a larger sample tells what a message costs.
func TestASampleIsAsLargeAsTheServersPaceAllows(t *testing.T) {
	t.Parallel()
	var p broker.Pace
	for each, want := range map[time.Duration]int{time.Millisecond: 64, 400 * time.Microsecond: 256} {
		p.Forget()
		p.Note(64, 64*each)
		if got := p.Alone(1000); got != want {
			t.Errorf("at %v for a message %d are measured, want %d", each, got, want)
		}
	}
}

func TestAClustersBatchesAreAtomicFromSixteenUnmeasured(t *testing.T) {
	t.Parallel()
	if got := []int{broker.Alone(3, 15), broker.Alone(3, 16), broker.Alone(3, 1000)}; got[0] != 15 || got[1] != 0 || got[2] != 0 {
		t.Errorf("%v of 15, 16 and 1000 messages go one by one, want 15, 0 and 0", got)
	}
}

func TestABusyHourDoesNotHideTheServersPace(t *testing.T) {
	t.Parallel()
	var p broker.Pace
	note := func(each time.Duration, times int) {
		for range times {
			p.Note(64, 64*each)
		}
	}
	note(2*time.Millisecond, 20)
	if got := p.Alone(1000); got != 0 {
		t.Fatalf("%d of 1000 go one by one, want none", got)
	}
	note(40*time.Microsecond, 1)
	note(2*time.Millisecond, 1000)
	if got := p.Alone(1000); got != 1000 {
		t.Errorf("%d of 1000 go one by one, want all", got)
	}
	p.Forget() // it is another server now
	note(2*time.Millisecond, 8)
	if got := p.Alone(1000); got != 0 {
		t.Errorf("%d of 1000 go one by one, want none", got)
	}
}

func TestABatchThatMeasuresIsStoredWhole(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	messages := eventsOf("first", 300)
	wantStored(t, b, messages, committer(t, b).Commit(t.Context(), messages))
	again := eventsOf("first", 20) // all refused: their time is no message's
	for _, result := range committer(t, b).Commit(t.Context(), again) {
		if result.Err == nil {
			t.Fatal("stored twice")
		}
	}
	if got := broker.Measured(b); got != 1 {
		t.Errorf("measured %d times, want once", got)
	}
	broker.SyncsEach(b)
	measured := broker.Measured(b)
	messages = eventsOf("second", 300)
	wantStored(t, b, messages, committer(t, b).Commit(t.Context(), messages))
	if got := broker.Measured(b); got != measured {
		t.Errorf("measured again at once")
	}
}

func TestWhatWasStoredBeforeTellsNoPace(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	messages := records(20)
	for i := range messages {
		messages[i].Header = map[string][]string{broker.HeaderMsgID: {strconv.Itoa(i)}}
	}
	publish(t, b, messages...)
	for i, result := range b.Publish(t.Context(), messages) {
		if result.Err != nil || !result.Duplicate {
			t.Fatalf("message %d: %+v, want a duplicate", i, result)
		}
	}
	if got := broker.Measured(b); got != 1 {
		t.Errorf("measured %d times, want once: no disk is synced for what is there", got)
	}
}

func TestAServerThatIsBackIsMeasuredAnew(t *testing.T) {
	t.Parallel()
	server := startExternal(t)
	b := server.connect(t)
	broker.SyncsEach(b)
	server.stop()
	server.start(t)
	eventually(t, "what was measured is forgotten", func() bool { return broker.Measured(b) == 0 })
}
