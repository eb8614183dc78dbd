package stdout_test

import (
	"bytes"
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
	"github.com/parley-stream/parley/sinks/stdout"
)

func TestTheStdoutSinkPassesTheSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{AtLeastOnce: true, New: func(*testing.T) sinktest.Destination {
		var out bytes.Buffer
		return sinktest.Destination{
			Open:  stdout.New(sinks.Settings{}, settings.New("", nil), &url.URL{Scheme: "stdout"}, sinks.Env{Stdout: &out}),
			Crash: func(sinks.Sink) {},
			Read:  func(t *testing.T) []events.Event { return parse(t, out.Bytes()) },
		}
	}})
}

func parse(t *testing.T, text []byte) (all []events.Event) {
	t.Helper()
	for line := range bytes.Lines(text) {
		e, err := events.ParseStructured(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			t.Fatalf("%v in %.200q", err, line)
		}
		all = append(all, e)
	}
	return all
}

// stubborn takes a few bytes at a time and then an error, as a full pipe does.
type stubborn struct {
	bytes.Buffer
	take int
}

func (w *stubborn) Write(p []byte) (int, error) {
	if len(p) <= w.take {
		return w.Buffer.Write(p)
	}
	n, _ := w.Buffer.Write(p[:w.take])
	return n, errors.New("the pipe is full")
}

func TestALineThatWasHalfWrittenIsContinued(t *testing.T) {
	out := &stubborn{take: 100}
	s, err := stdout.New(sinks.Settings{}, settings.New("", nil), &url.URL{Scheme: "stdout"}, sinks.Env{Stdout: out})(t.Context(), sinks.Ownership{})
	if err != nil {
		t.Fatal(err)
	}
	batch := sinks.Batch{Items: []sinks.Item{{Sequence: 4, Event: sinktest.Event("a", 4)}, {Sequence: 6, Event: sinktest.Event("b", 6)}}}
	durable, err := s.Deliver(t.Context(), batch)
	for attempts := 0; err != nil && attempts < 50; attempts++ {
		durable, err = s.Deliver(t.Context(), batch)
	}
	if err != nil || !slices.Equal(durable, []uint64{4, 6}) {
		t.Errorf("got %v, %v", durable, err)
	}
	if got := parse(t, out.Bytes()); len(got) != 2 || got[0].Subject != "a" || got[1].Subject != "b" {
		t.Errorf("got %v", got)
	}
}

func TestStdoutTakesNoParameters(t *testing.T) {
	for text, faults := range map[string]int{"stdout:": 0, "stdout:x": 1, "stdout:?a=b": 1, "stdout:///dev/null": 1} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		vars := settings.New("PARLEY_SINK_T_", map[string]string{"URL": text})
		stdout.New(sinks.Settings{}, vars, u, sinks.Env{})
		if got := vars.Faults(); len(got) != faults {
			t.Errorf("%s: got %v, want %d", text, got, faults)
		}
	}
}
