package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

func TestLastFindsEveryLastMessageAndInventsNone(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	var stored []broker.Message
	for n := range 3000 {
		stored = append(stored, broker.Message{Subject: state(fmt.Sprint("e", n)), Data: fmt.Append(nil, "old ", n)})
	}
	for range 2 {
		for at := 0; at < len(stored); at += broker.MaxBatch {
			if _, err := b.PublishAtomic(t.Context(), stored[at:at+broker.MaxBatch]); err != nil {
				t.Fatal(err)
			}
		}
		for n := range stored {
			stored[n].Data = fmt.Append(nil, "new ", n)
		}
	}
	for _, count := range []int{0, 1, 1024, 1025, 3000} {
		for name, missing := range map[string]int{"all there": 0, "some missing": 700, "more missing than one request asks": 2500} {
			t.Run(fmt.Sprint(count, " ", name), func(t *testing.T) {
				var subjects []string
				for n := range count {
					subjects = append(subjects, state(fmt.Sprint("e", n)))
				}
				for n := range missing {
					subjects = append(subjects, state(fmt.Sprint("missing", n)))
				}
				asked := strings.Join(subjects, " ")
				found, err := b.Last(t.Context(), broker.State, subjects)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Join(subjects, " ") != asked {
					t.Error("the caller's subjects were changed")
				}
				if len(found) != count {
					t.Fatalf("%d found, want %d", len(found), count)
				}
				for n := range count {
					m := found[state(fmt.Sprint("e", n))]
					if want := fmt.Sprint("new ", n); string(m.Data) != want || m.Sequence != uint64(3001+n) || m.Time.IsZero() {
						t.Fatalf("e%d: %q, sequence %d, time %v", n, m.Data, m.Sequence, m.Time)
					}
				}
			})
		}
	}
}

// The server cuts an answer at 64 MiB, and drops the connection of a reader that has more to come.
func TestAnAnswerThatIsTooLargeForOneIsStillWhole(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	const count = 80
	var subjects []string
	for n := range count {
		m := event(fmt.Sprint("e", n))
		m.Data = bytes.Repeat([]byte{byte(n)}, 1<<20)
		publish(t, b, m)
		subjects = append(subjects, event(fmt.Sprint("missing", n)).Subject, m.Subject)
	}
	found, err := b.Last(t.Context(), broker.Events, subjects)
	if err != nil {
		t.Fatal(err)
	}
	for n := range count {
		m := found[event(fmt.Sprint("e", n)).Subject]
		if len(m.Data) != 1<<20 || m.Data[0] != byte(n) {
			t.Fatalf("e%d has %d bytes", n, len(m.Data))
		}
	}
	if len(found) != count {
		t.Errorf("%d found", len(found))
	}
}

func TestAnAnswerThatDoesNotComeIsIncompleteAndNeverNothing(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	if _, err := b.Last(t.Context(), "NO_SUCH_STREAM", []string{"a.b"}); !errors.Is(err, broker.ErrIncomplete) {
		t.Errorf("no such stream: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Last(ctx, broker.State, []string{state("a")}); !errors.Is(err, broker.ErrIncomplete) || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// What the server says in place of an answer: only "No Results" means that there is none.
func TestAnAnswerThatSaysSomethingElseIsIncomplete(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	nc := admin(t, b).Conn()
	message := &nats.Msg{Header: nats.Header{"Nats-Subject": {"a"}, "Nats-Sequence": {"1"}}}
	says := func(status, description, pending string) *nats.Msg {
		return &nats.Msg{Header: nats.Header{"Status": {status}, "Description": {description}, "Nats-Num-Pending": {pending}}}
	}
	for name, c := range map[string]struct {
		answer []*nats.Msg
		want   error
		found  int
	}{
		"all":                 {[]*nats.Msg{message, says("204", "EOB", "0")}, nil, 1},
		"none":                {[]*nats.Msg{says("404", "No Results", "")}, nil, 0},
		"one cannot be read":  {[]*nats.Msg{message, says("404", "Message Not Found", "")}, broker.ErrIncomplete, 0},
		"none can be read":    {[]*nats.Msg{says("404", "Message Not Found", "")}, broker.ErrIncomplete, 0},
		"too many":            {[]*nats.Msg{says("413", "Too Many Results", "")}, broker.ErrIncomplete, 0},
		"an error":            {[]*nats.Msg{says("500", "disk", "")}, broker.ErrIncomplete, 0},
		"cut before anything": {[]*nats.Msg{says("204", "EOB", "2")}, broker.ErrIncomplete, 0},
	} {
		t.Run(name, func(t *testing.T) {
			stream := "FAKE_" + strings.ReplaceAll(name, " ", "_")
			_, err := nc.Subscribe("$JS.API.DIRECT.GET."+stream, func(m *nats.Msg) {
				for _, answer := range c.answer {
					if err := m.RespondMsg(&nats.Msg{Header: answer.Header}); err != nil {
						t.Error(err)
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			found, err := b.Last(t.Context(), stream, []string{"a", "b"})
			if !errors.Is(err, c.want) || len(found) != c.found {
				t.Errorf("%d found, %v", len(found), err)
			}
		})
	}
}

func TestIdsOfAnyBytesAreLookedUpAsThemselves(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	ids := []string{
		"", ".", "..", "*", ">", "a.b", "a*b", "a>b", " ", "\r\n", "\x00", "$JS", "$KV.x", "Grüße", "\xff\xfe", "=", "==", "=2A",
		strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("x", 4096), strings.Repeat(">", 4096),
	}
	var subjects []string
	for _, id := range ids {
		subject := state(events.Token(id))
		subjects = append(subjects, subject)
		publish(t, b, broker.Message{Subject: subject, Data: []byte(id)})
	}
	found, err := b.Last(t.Context(), broker.State, subjects)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if got := string(found[subjects[i]].Data); got != id {
			t.Errorf("%q brought %q", id, got)
		}
	}
}

func TestASubjectThatNamesOthersIsRefused(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	publish(t, b, broker.Message{Subject: state("a")}, broker.Message{Subject: state("b")})
	for _, subject := range []string{"", ">", state("*"), state(">"), state(""), "*.state", state("a b"), state("a\r\n"), state("a") + ".", state("\x00")} {
		if found, err := b.Last(t.Context(), broker.State, []string{state("a"), subject}); err == nil {
			t.Errorf("%q brought %v", subject, found)
		}
	}
}

func TestReadGivesOneMessageOrNotFound(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	start := time.Now()
	publish(t, b, record(7))
	m, err := b.Read(t.Context(), broker.Raw, 1)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != "7" || m.Get("Number") != "7" || m.Get("None") != "" || m.Sequence != 1 || m.Time.Before(start.Add(-time.Second)) {
		t.Errorf("got %+v", m)
	}
	if _, err := b.Read(t.Context(), broker.Raw, 2); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("a message that is not there: %v", err)
	}
	if _, err := b.Read(t.Context(), "NO_SUCH_STREAM", 1); err == nil || errors.Is(err, broker.ErrNotFound) {
		t.Errorf("a stream that is not there: %v", err)
	}
}
