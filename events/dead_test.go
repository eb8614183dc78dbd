package events_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
)

func TestADeadLetterSurvivesItsHeaders(t *testing.T) {
	letters := map[string]events.DeadLetter{
		"whole": {
			Stage: events.StageSink, Name: "archive", Reason: `post event: the answer was "no"`, Attempts: 20,
			Stream: "PARLEY_EVENTS", Sequence: 42, Subject: "parley.events.conversation.acme.eu.7=2E1",
			At: time.Date(2026, 3, 1, 10, 0, 0, 5, time.UTC),
		},
		"hostile":      {Stage: events.StageProcess, Name: "eu", Reason: " a\r\nNats-Msg-Id: x\x00 50% größer\u2028 ", Subject: "a b", Attempts: 1},
		"never stored": {Stage: events.StagePoll, Name: "eu"},
	}
	for name, want := range letters {
		t.Run(name, func(t *testing.T) {
			h := map[string][]string{}
			want.SetHeaders(h)
			for name, values := range h {
				if strings.ContainsAny(values[0], "\r\n\x00") || strings.TrimSpace(values[0]) != values[0] {
					t.Errorf("header %s cannot travel: %q", name, values[0])
				}
			}
			got, err := events.ReadDeadLetter(h)
			if err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestADeadLetterKeepsTheFailedMessagesHeadersButNotTheServers(t *testing.T) {
	h := map[string][]string{
		"ce-id": {"1"}, "Nats-Msg-Id": {"old"}, "nats-expected-last-subject-sequence": {"7"}, "Parley-Error": {"earlier"}, "X-Other": {"y"},
	}
	d := events.DeadLetter{Stage: events.StageSink, Name: "archive", Stream: "EVENTS", Sequence: 9, Attempts: 1}
	d.SetHeaders(h)
	want := map[string]string{
		"ce-id": "1", "X-Other": "y", "Nats-Msg-Id": "sink:archive:EVENTS:9", "Parley-Stage": "sink", "Parley-Stream": "EVENTS",
		"Parley-Name": "archive", "Parley-Sequence": "9", "Parley-Attempts": "1",
	}
	got := map[string]string{}
	for name, values := range h {
		got[name] = values[0]
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAReasonIsCutAtAWholeCharacter(t *testing.T) {
	h := map[string][]string{}
	d := events.DeadLetter{Stage: "sink", Name: "a", Reason: strings.Repeat("é", 5000) + "\xff"}
	d.SetHeaders(h)
	got, err := events.ReadDeadLetter(h)
	if err != nil || got.Reason != strings.Repeat("é", 2048) {
		t.Errorf("got %d bytes, %v", len(got.Reason), err)
	}
}

func TestADeadLettersSubjectIsOneTokenPerPart(t *testing.T) {
	d := events.DeadLetter{Stage: events.StageSink, Name: "a.>"}
	if got := d.DeadSubject(); got != "parley.dead.sink.a=2E=3E" {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsNoDeadLetterIsRefused(t *testing.T) {
	for name, h := range map[string]map[string][]string{
		"no headers":   {},
		"bad sequence": {"Parley-Stage": {"sink"}, "Parley-Name": {"a"}, "Parley-Sequence": {"x"}},
		"bad escape":   {"Parley-Stage": {"sink"}, "Parley-Name": {"%zz"}},
	} {
		if _, err := events.ReadDeadLetter(h); err == nil || !events.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent error", name, err)
		}
	}
}

func FuzzReadDeadLetter(f *testing.F) {
	f.Add("sink", "archive", "why", "subject")
	f.Fuzz(func(t *testing.T, stage, name, reason, subject string) {
		_, _ = events.ReadDeadLetter(map[string][]string{
			"Parley-Stage": {stage}, "Parley-Name": {name}, "Parley-Error": {reason}, "Parley-Subject": {subject}, "Parley-Sequence": {stage}, "Parley-At": {name},
		})
		d := events.DeadLetter{Stage: "sink", Name: "n", Reason: reason}
		h := map[string][]string{}
		d.SetHeaders(h)
		got, err := events.ReadDeadLetter(h)
		if err != nil || (len(reason) < 1024 && got.Reason != strings.ToValidUTF8(reason, "\uFFFD")) {
			t.Errorf("got %q, %v; want %q", got.Reason, err, reason)
		}
	})
}
