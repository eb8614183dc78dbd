package sinks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
)

func TestSettingsHaveTheirDefaults(t *testing.T) {
	vars := settings.New("PARLEY_SINK_A_", map[string]string{"URL": "file:out"})
	got := sinks.DecodeSettings("a", vars)
	if f := vars.Faults(); f != nil {
		t.Fatal(f)
	}
	if got.Name != "a" || got.URL.Opaque != "out" || got.Filter != nil || got.Start != (sinks.Start{}) ||
		got.Concurrency != 8 || got.Timeout != 15*time.Second || got.MaxAttempts != 20 || got.AllowPrivate {
		t.Errorf("got %+v", got)
	}
}

func TestSettingsReadTheStart(t *testing.T) {
	for text, want := range map[string]sinks.Start{
		"all": {}, "new": {New: true}, "2026-01-31T00:00:00Z": {At: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)},
	} {
		vars := settings.New("", map[string]string{"URL": "stdout:", "START": text})
		if got := sinks.DecodeSettings("a", vars); got.Start != want || vars.Faults() != nil {
			t.Errorf("%s: got %+v, %v", text, got.Start, vars.Faults())
		}
	}
}

func TestWrongSettingsGiveAllTheirFaults(t *testing.T) {
	vars := settings.New("PARLEY_SINK_A_", map[string]string{
		"URL": "https://user:hunter2hunter2@ho st/", "FILTER": "conversation,chats", "START": "yesterday", "CONCURRENCY": "0",
		"TIMEOUT": "x", "MAX_ATTEMPTS": "-1", "ALLOW_PRIVATE": "maybe", "COLOUR": "blue",
	})
	sinks.DecodeSettings("a", vars)
	vars.Unknown()
	text := vars.Faults().Error()
	for _, name := range []string{"URL", "FILTER", "START", "CONCURRENCY", "TIMEOUT", "MAX_ATTEMPTS", "ALLOW_PRIVATE", "COLOUR"} {
		if strings.Count(text, "PARLEY_SINK_A_"+name+":") != 1 {
			t.Errorf("want one fault of %s in\n%s", name, text)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Errorf("a password is shown:\n%s", text)
	}
}

func TestATimeInWhichNothingCanBeAnsweredIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"1ns": `PARLEY_SINK_A_TIMEOUT: is "1ns", want 100ms or more`, "99ms": `is "99ms", want 100ms or more`, "0s": `is "0s", want 100ms or more`,
		"-5s": `is "-5s", want 100ms or more`, "15": `is "15", want a duration`, "100ms": "", "10m": "",
	} {
		vars := settings.New("PARLEY_SINK_A_", map[string]string{"URL": "https://h.example/", "TIMEOUT": text})
		sinks.DecodeSettings("a", vars)
		got := ""
		if faults := vars.Faults(); faults != nil {
			got = faults.Error()
		}
		if (got == "") != (want == "") || !strings.Contains(got, want) || strings.Count(got, "TIMEOUT:") > 1 {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func FuzzStart(f *testing.F) {
	f.Add("2026-01-31T00:00:00Z")
	f.Fuzz(func(t *testing.T, text string) {
		var s sinks.Start
		if err := s.EnvDecode(text); err == nil && s.New && text != "new" {
			t.Errorf("%q is taken for new", text)
		}
	})
}
