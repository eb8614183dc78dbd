package sinks

import (
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
)

// Settings are the variables that every sink has; the room decodes its own beside them.
type Settings struct {
	Name string
	// URL names the destination; its scheme chose the room. Nil when the variable has a fault.
	URL *url.URL
	// Filter holds kinds or subject patterns; empty is everything.
	Filter []string
	Start  Start
	// Concurrency, Timeout, MaxAttempts and AllowPrivate serve sinks that make requests.
	Concurrency  int
	Timeout      time.Duration
	MaxAttempts  int
	AllowPrivate bool
}

// Env is what the process lends to a sink.
type Env struct {
	Stdout io.Writer
	// DataDir is where a sink may keep files of its own.
	DataDir string
}

// Start is where a new sink begins: with all that EVENTS holds (the zero value), with what is new, or at a time.
type Start struct {
	New bool
	At  time.Time
}

// EnvDecode reads all, new or RFC 3339.
func (s *Start) EnvDecode(value string) (err error) {
	switch value {
	case "all":
		*s = Start{}
	case "new":
		*s = Start{New: true}
	default:
		*s = Start{}
		s.At, err = time.Parse(time.RFC3339, value)
	}
	return err
}

// Wanted says what a variable of this type takes.
func (*Start) Wanted() string { return "all, new or a time such as 2026-01-31T00:00:00Z" }

// DecodeSettings reads the common variables; faults stay in vars.
func DecodeSettings(name string, vars *settings.Vars) Settings {
	var raw struct {
		URL          string        `env:"URL, required"`
		Filter       []string      `env:"FILTER"`
		Start        Start         `env:"START, default=all"`
		Concurrency  int           `env:"CONCURRENCY, default=8"`
		Timeout      time.Duration `env:"TIMEOUT, default=15s"`
		MaxAttempts  int           `env:"MAX_ATTEMPTS, default=20"`
		AllowPrivate bool          `env:"ALLOW_PRIVATE, default=false"`
	}
	vars.Decode(&raw)
	s := Settings{
		Name: name, Filter: raw.Filter, Start: raw.Start, Concurrency: raw.Concurrency, Timeout: raw.Timeout,
		MaxAttempts: raw.MaxAttempts, AllowPrivate: raw.AllowPrivate,
	}
	if raw.URL != "" {
		s.URL = decodeURL(raw.URL, vars)
	}
	if _, err := events.FilterSubjects(raw.Filter); err != nil {
		vars.Fault("FILTER", err.Error())
	}
	positive := func(name string, ok bool) {
		// A value that could not be read is zero, and has its fault already.
		if !ok && !faulty(vars, name) {
			vars.Fault(name, "want more than zero")
		}
	}
	positive("CONCURRENCY", s.Concurrency > 0)
	positive("MAX_ATTEMPTS", s.MaxAttempts > 0)
	if s.Timeout < minTimeout && !faulty(vars, "TIMEOUT") {
		vars.Fault("TIMEOUT", fmt.Sprintf("want %s or more, such as 15s: it is the time for one request, its connection and its answer", minTimeout))
	}
	return s
}

// minTimeout is below what any destination needs: with less every request would fail, and the sink would look as if its destination were down.
const minTimeout = 100 * time.Millisecond

func decodeURL(text string, vars *settings.Vars) *url.URL {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		vars.Redact("URL") // it may hold a password
		vars.Fault("URL", "want a URL such as file:///var/lib/parley/events, https://host/path or stdout:")
	case u.Scheme == "":
		vars.Fault("URL", "want a scheme before it, such as file: in file:///var/lib/parley/events")
	default:
		return u
	}
	return nil
}

func faulty(vars *settings.Vars, name string) bool {
	for _, f := range vars.Faults() {
		if f.Variable == vars.Name(name) {
			return true
		}
	}
	return false
}
