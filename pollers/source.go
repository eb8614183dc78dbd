package pollers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
)

// Source is one configured account: its settings and the room's poller. Account and Rate are what the room
// said when it connected.
type Source struct {
	Settings Settings
	Poller   Poller
	Account  string
	Rate     Rate
	// Credential names the variables to look at when the vendor refuses the credentials.
	Credential string
	// Secrets are kept out of everything that this source says.
	Secrets Redactor
	// bodies redacts records: of longer secrets alone, because a short one may be a word of the vendor's format.
	bodies Redactor

	since  string  // the variable SINCE, by its whole name
	client *Client // the room's, which Bind gives its budget
	seen   *seen   // nil until a Runner has the source
}

// Open is a room's constructor.
type Open func(s Settings, vars *settings.Vars, env Env) Poller

// NewSource decodes a source's variables and opens its room. Faults stay in vars; a source with faults must not
// be used.
func NewSource(name string, vars *settings.Vars, open Open, log *slog.Logger) *Source {
	s := &Source{Settings: DecodeSettings(name, vars), since: vars.Name("SINCE")}
	s.Poller = open(s.Settings, vars, Env{
		Connect: func(account string, rate Rate, secrets []string) *Client {
			s.Account, s.Rate, s.Secrets = account, rate, NewRedactor(secrets)
			s.bodies = NewRedactor(slices.DeleteFunc(slices.Clone(secrets), func(secret string) bool { return len(secret) < minBodySecret }))
			s.client = NewClient(ClientOptions{Secrets: secrets, Retries: requestRetries})
			return s.client
		},
		Logger: log.With("source", name), Now: time.Now,
		Seen: func(ctx context.Context, stream string, keys []string) (map[string]string, error) {
			if s.seen == nil {
				return nil, nil
			}
			return s.seen.versions(ctx, stream, keys)
		},
	})
	for _, name := range vars.Credentials() {
		s.Credential = strings.TrimPrefix(s.Credential+", "+vars.Name(name), ", ")
	}
	if vars.Faults() == nil {
		s.checkStreams(vars)
		if wrong := Implausible(s.Settings.Since.In(s.Poller.Describe().Location), time.Now()); wrong != "" {
			vars.Fault("SINCE", wrong)
		}
	}
	return s
}

// checkStreams wants every name or glob to select something: a misspelt one would be missed only by its data.
func (s *Source) checkStreams(vars *settings.Vars) {
	streams := s.Poller.Describe().Streams
	for _, pattern := range s.Settings.Streams {
		only := Settings{Streams: []string{pattern}}
		if !slices.ContainsFunc(streams, func(stream Stream) bool { return only.Selects(stream.Name) }) {
			vars.Fault("STREAMS", fmt.Sprintf("%q matches no stream; there are %s", pattern, streamNames(streams)))
		}
	}
}

// redactBody takes the secrets out of a part's bytes; where these are only the start of it, also what may be the start of a secret.
func (s *Source) redactBody(b events.Body) events.Body {
	if b.Size > 0 {
		b.Bytes = s.bodies.redactStart(b.Bytes, true)
	} else {
		b.Bytes = s.bodies.RedactBytes(b.Bytes)
	}
	return b
}

// minBodySecret is the length from which a secret is looked for in records.
const minBodySecret = 10

// requestRetries is how often one request is tried again before its window fails: a window of many requests would
// otherwise not survive a vendor's bad moment.
const requestRetries = 3

func streamNames(streams []Stream) string {
	names := make([]string, len(streams))
	for i, s := range streams {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

// Skew is how far the vendor's clock is ahead of ours, by its last answer; false: there was none.
func (s *Source) Skew() (time.Duration, bool) { return s.client.Skew() }

// maxLag is the most that a vendor's clock is believed to be behind ours.
const maxLag = 15 * time.Minute

// lag is how long after its end, by our clock, a window of this vendor may still get records; what a clock is behind by less than a
// second and a half may be the rounding of its Date header.
func (s *Source) lag() time.Duration {
	skew, _ := s.Skew()
	if skew > -2*time.Second {
		return 0
	}
	return min(-skew, maxLag)
}

// plan is what is to be read of a stream.
func (s *Source) plan(stream Stream, state sourceState) Plan {
	p := NewPlan(s.Settings, s.Poller.Describe(), stream, state.Start)
	p.Ranges, p.Lag = state.Ranges, s.lag()
	return p
}

// Streams are those of the poller that the settings select.
func (s *Source) Streams() []Stream {
	var out []Stream
	for _, stream := range s.Poller.Describe().Streams {
		if s.Settings.Selects(stream.Name) {
			out = append(out, stream)
		}
	}
	return out
}

// sourceState is a source's value in its bucket.
type sourceState struct {
	// Start is the oldest moment to fetch, fixed at the source's first start.
	Start time.Time `json:"start"`
	// Ranges were asked for beside what Start and UNTIL give.
	Ranges []Range `json:"ranges,omitempty"`
	// Paused says why the vendor refuses the credentials; empty: it does not.
	Paused  string    `json:"paused,omitempty"`
	ProbeAt time.Time `json:"probe_at,omitzero"`
	Probes  int       `json:"probes,omitempty"`

	revision uint64
}

const (
	firstProbe   = 30 * time.Second
	longestProbe = 15 * time.Minute
	// sinceDefault is how far back a source without SINCE begins.
	sinceDefault = 24 * time.Hour
)

// loadState gives a source's state and fixes its start the first time.
func loadState(ctx context.Context, store Store, s *Source, now time.Time) (sourceState, error) {
	for {
		state, err := readState(ctx, store, s.Settings.Name)
		if !errors.Is(err, broker.ErrNotFound) {
			return state, err
		}
		state.Start = s.firstStart(now)
		if _, err := saveState(ctx, store, s.Settings.Name, state); err != nil && !errors.Is(err, broker.ErrConflict) {
			return state, err
		}
	}
}

// oldestData is before any vendor had its first chat.
var oldestData = time.Date(1990, time.January, 1, 0, 0, 0, 0, time.UTC)

// Implausible says what is wrong with a moment from which on a vendor is to be asked, and what is wanted; "" where nothing is, or where it is zero.
func Implausible(from, now time.Time) string {
	switch {
	case from.IsZero():
		return ""
	case from.After(now):
		return "lies in the future, of which no vendor has anything; want a moment that has passed"
	case from.Before(oldestData):
		return "is older than any vendor; want a moment from " + oldestData.Format(time.DateOnly) + " on"
	}
	return ""
}

// sinceNote says that SINCE is not what holds, and what to do about it; "" where it holds.
func (s *Source) sinceNote(state sourceState) string {
	since := s.Settings.Since.In(s.Poller.Describe().Location).UTC()
	if since.IsZero() || since.Equal(state.Start) {
		return ""
	}
	note := fmt.Sprintf("%s is %s, and what holds is the source's start at its first start, %s", s.since, since.Format(time.RFC3339), state.Start.UTC().Format(time.RFC3339))
	if since.After(state.Start) {
		return note + ": nothing is left out by that; a source of another name begins anew"
	}
	to := state.Start.UTC().Add(time.Second - 1).Truncate(time.Second)
	for _, r := range merge(slices.Clone(state.Ranges)) {
		if !r.From.After(since) && !r.To.Before(state.Start) {
			return "" // it was asked for since
		}
	}
	return note + fmt.Sprintf(": `parley backfill %s --from %s --to %s` reads what lies between", s.Settings.Name, since.Format(time.RFC3339), to.Format(time.RFC3339))
}

// firstStart is the oldest moment to fetch of a source that starts now.
func (s *Source) firstStart(now time.Time) time.Time {
	if since := s.Settings.Since.In(s.Poller.Describe().Location).UTC(); !since.IsZero() {
		return since
	}
	return now.Add(-sinceDefault).UTC()
}

// budget is the source's account's.
func (s *Source) budget(store Store, now func() time.Time) *Budget {
	rate := s.Rate
	if s.Settings.Rate.Requests > 0 {
		rate = s.Settings.Rate
	}
	return NewBudget(store, s.Account, rate, now)
}

// bind makes the source's requests take from its account's budget.
func (s *Source) bind(b *Budget) {
	s.client.Bind(b.Take)
	s.client.hold = b.Hold
}

// Share makes the source's requests take from its account's budget, as those of its Runners do, and gives the budget.
func (s *Source) Share(ctx context.Context, b *broker.Broker) (*Budget, error) {
	budgets, err := b.Bucket(ctx, broker.BudgetBucket)
	if err != nil {
		return nil, err
	}
	budget := s.budget(budgets, time.Now)
	s.bind(budget)
	return budget, nil
}

func readState(ctx context.Context, store Store, name string) (state sourceState, err error) {
	e, err := store.Get(ctx, name)
	if err == nil {
		err = json.Unmarshal(e.Value, &state)
	}
	if err != nil {
		return state, fmt.Errorf("state of source %s: %w", name, err)
	}
	state.revision = e.Revision
	return state, nil
}

func saveState(ctx context.Context, store Store, name string, state sourceState) (sourceState, error) {
	value, err := json.Marshal(state)
	if err == nil {
		state.revision, err = store.Set(ctx, name, value, state.revision)
	}
	if err != nil {
		return state, fmt.Errorf("state of source %s: %w", name, err)
	}
	return state, nil
}

// pause opens the circuit of a source whose credentials are refused: its windows wait, and one process at
// a time asks the vendor again, ever more rarely.
func pause(ctx context.Context, store Store, name, reason string, now time.Time) (bool, error) {
	state, err := readState(ctx, store, name)
	if err != nil || state.Paused != "" {
		return false, err
	}
	state.Paused, state.Probes = reason, 0
	state.ProbeAt = now.Add(firstProbe)
	_, err = saveState(ctx, store, name, state)
	if errors.Is(err, broker.ErrConflict) {
		return false, nil // another process paused it first
	}
	return err == nil, err
}

// probe asks the vendor whether the credentials hold again, if it is time and no other process
// does. It gives whether the source is still paused.
func (s *Source) probe(ctx context.Context, store Store, state sourceState, now time.Time) (paused bool, err error) {
	if now.Before(state.ProbeAt) && state.ProbeAt.Sub(now) <= longestProbe { // later than that says only a clock that was ahead
		return true, nil
	}
	state.Probes++
	state.ProbeAt = now.Add(min(firstProbe<<min(state.Probes, 10), longestProbe))
	if state, err = saveState(ctx, store, s.Settings.Name, state); err != nil {
		if errors.Is(err, broker.ErrConflict) {
			return true, nil
		}
		return true, err
	}
	if err := s.Poller.Check(ctx); err != nil {
		return true, nil //nolint:nilerr // still refused, or not to be reached: it stays paused
	}
	state.Paused, state.Probes, state.ProbeAt = "", 0, time.Time{}
	_, err = saveState(ctx, store, s.Settings.Name, state)
	return err != nil, err
}
