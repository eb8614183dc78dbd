package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/sinks"
)

// Status is what `parley status` shows.
type Status struct {
	Sources []SourceLine `json:"sources"`
	Sinks   []SinkLine   `json:"sinks"`
	// Raw counts the records that no processor has processed yet; OldestRaw is when the oldest of them was fetched.
	Raw       uint64    `json:"raw_unprocessed"`
	OldestRaw time.Time `json:"raw_oldest,omitzero"`
	// DeadLetters by stage and name, such as sink.files.
	DeadLetters map[string]uint64 `json:"dead_letters"`
	// Alive counts the processes by role.
	Alive map[string]int `json:"alive"`
	// Attention is what somebody should look at, with what to do, one line each.
	Attention []string `json:"attention"`
}

// SourceLine is how one stream of a source stands.
type SourceLine struct {
	Source string                `json:"source"`
	Vendor string                `json:"vendor"`
	Stream string                `json:"stream"`
	Counts map[pollers.State]int `json:"windows"`
	Due    int                   `json:"due"`
	// FreshAt is up to when its data is known, Lag how long ago that is.
	FreshAt   time.Time `json:"fresh_at,omitzero"`
	Lag       float64   `json:"lag_s,omitempty"`
	Unsettled time.Time `json:"unsettled_from,omitzero"`
	// Lateness is how often windows had changed when they were read again, by age.
	Lateness []LatenessLine `json:"lateness,omitempty"`
	// Rate is the account's, Requests those of its last minute.
	Rate     string `json:"rate"`
	Requests int    `json:"requests_last_minute"`
	Paused   string `json:"paused,omitempty"`
}

// LatenessLine is one age of a stream's settle schedule.
type LatenessLine struct {
	Age     string `json:"age"`
	Reads   int    `json:"reads"`
	Changed int    `json:"changed"`
}

// SinkLine is how a sink stands.
type SinkLine struct {
	Sink    string `json:"sink"`
	Waiting uint64 `json:"waiting"`
	InHand  uint64 `json:"in_hand"`
	Owned   bool   `json:"owned"`
	// Again counts the events that it is given a second time and that wait.
	Again uint64 `json:"replay_waiting,omitempty"`
	Never bool   `json:"never_ran,omitempty"`
}

// ShowStatus prints how everything stands.
func (a *App) ShowStatus(ctx context.Context, asJSON bool) error {
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	s, err := a.status(ctx, b, time.Now())
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(a.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	return s.print(a.Out, time.Now())
}

func (a *App) status(ctx context.Context, b *broker.Broker, now time.Time) (s Status, err error) {
	s = Status{Sources: []SourceLine{}, Sinks: []SinkLine{}, DeadLetters: map[string]uint64{}, Alive: map[string]int{}, Attention: []string{}}
	for _, source := range a.sources {
		found, err := pollers.Inspect(ctx, b, source, now)
		if err != nil {
			return s, err
		}
		s.addSource(source, &found, now)
	}
	for _, sink := range a.sinks {
		if err := s.addSink(ctx, b, sink.settings.Name); err != nil {
			return s, err
		}
	}
	if s.Raw, err = b.Unprocessed(ctx); err != nil {
		return s, err
	}
	if s.OldestRaw, err = b.OldestUnprocessed(ctx); err != nil {
		return s, err
	}
	dead, err := b.Subjects(ctx, broker.Dead, events.DeadSubjects+".>")
	if err != nil {
		return s, err
	}
	for subject, n := range dead {
		s.DeadLetters[strings.TrimPrefix(subject, events.DeadSubjects+".")] = n
	}
	members, err := b.Bucket(ctx, broker.MembersBucket)
	if err != nil {
		return s, err
	}
	alive, err := members.All(ctx, ">")
	for name := range alive {
		if role, _, _ := strings.Cut(name, "."); role != ops.HealthRole {
			s.Alive[role]++
		}
	}
	s.look()
	return s, err
}

func (s *Status) addSource(source *pollers.Source, found *pollers.SourceStatus, now time.Time) {
	name := source.Settings.Name
	if found.Paused != "" {
		s.Attention = append(s.Attention, fmt.Sprintf("%s is paused, the vendor refuses its credentials: set %s right; it is asked again at %s: %s",
			name, source.Credential, found.ProbeAt.Local().Format(time.TimeOnly), found.Paused))
	}
	if !found.Budget.HeldUntil.IsZero() {
		s.Attention = append(s.Attention, fmt.Sprintf("%s: the vendor asked to be left alone until %s; a lower PARLEY_SOURCE_%s_RATE avoids that",
			name, found.Budget.HeldUntil.Local().Format(time.TimeOnly), strings.ToUpper(strings.ReplaceAll(name, "-", "_"))))
	}
	for i := range found.Streams {
		stream := &found.Streams[i]
		line := SourceLine{
			Source: name, Vendor: source.Settings.Vendor, Stream: stream.Stream.Name, Counts: stream.Count(), Due: len(stream.Due),
			FreshAt: stream.FreshAt, Unsettled: stream.UnsettledFrom, Rate: found.Budget.Rate.String(), Requests: found.Budget.LastMinute, Paused: found.Paused,
		}
		if !stream.FreshAt.IsZero() {
			line.Lag = now.Sub(stream.FreshAt).Round(time.Second).Seconds()
		}
		for _, l := range stream.Lateness {
			line.Lateness = append(line.Lateness, LatenessLine{Age: l.Age.String(), Reads: l.Reads, Changed: l.Changed})
		}
		s.Sources = append(s.Sources, line)
		if advice := stream.Advise(); advice != "" {
			s.Attention = append(s.Attention, fmt.Sprintf("%s %s: %s", name, stream.Stream.Name, advice))
		}
		s.Attention = append(s.Attention, failures(name, stream)...)
	}
}

// failures names a stream's windows that could not be read: the newest, and how many more there are.
func failures(source string, stream *pollers.StreamStatus) []string {
	var failed []pollers.Entry
	partial := 0
	for _, e := range stream.Windows {
		switch e.State {
		case pollers.StateFailed:
			failed = append(failed, e)
		case pollers.StatePartial:
			partial++
		}
	}
	var out []string
	if n := len(failed); n > 0 {
		e := failed[n-1]
		out = append(out, fmt.Sprintf("%s %s: %d windows could not be read, the newest %s after %d attempts, again at %s: %s",
			source, stream.Stream.Name, n, pollers.WindowID(e.Window), e.Attempts, e.RetryAt.Local().Format(time.TimeOnly), e.Error))
	}
	if partial > 0 {
		out = append(out, fmt.Sprintf("%s %s: %d windows are partial: the vendor's cap hides the rest at its finest grain; narrower filters in a second source may show it",
			source, stream.Stream.Name, partial))
	}
	return out
}

func (s *Status) addSink(ctx context.Context, b *broker.Broker, name string) error {
	state, err := b.ConsumerState(ctx, broker.Events, sinks.ConsumerName(name))
	if errors.Is(err, broker.ErrNotFound) {
		s.Sinks = append(s.Sinks, SinkLine{Sink: name, Never: true})
		return nil
	}
	if err != nil {
		return err
	}
	again, err := b.ConsumerState(ctx, broker.Replay, sinks.ConsumerName(sinks.ReplayKey(name)))
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		return err
	}
	s.Sinks = append(s.Sinks, SinkLine{
		Sink: name, Waiting: state.Pending, InHand: state.Unacked, Owned: state.Pinned, Again: again.Pending + again.Unacked,
	})
	if !state.Pinned && !state.Done() {
		s.Attention = append(s.Attention, fmt.Sprintf("sink %s: %d events wait and nobody delivers them: start `parley sink %s` or `parley run`", name, state.Pending+state.Unacked, name))
	}
	return nil
}

// look finds what somebody should do that no source or sink says by itself.
func (s *Status) look() {
	if s.Raw > 0 && s.Alive["process"] == 0 {
		s.Attention = append(s.Attention, fmt.Sprintf("%d records wait and no processor runs: start `parley process` or `parley run`", s.Raw))
	}
	due := 0
	for _, line := range s.Sources {
		due += line.Due
	}
	if due > 0 && s.Alive["poll"] == 0 {
		s.Attention = append(s.Attention, fmt.Sprintf("%d windows are due and no poller runs: start `parley poll` or `parley run`", due))
	}
	for _, name := range slices.Sorted(maps.Keys(s.DeadLetters)) {
		s.Attention = append(s.Attention, fmt.Sprintf("%d dead letters of %s, with their bytes and reasons in the stream %s", s.DeadLetters[name], name, broker.Dead))
	}
}

func (s *Status) print(w io.Writer, now time.Time) error {
	rows := make([][]any, 0, len(s.Sources))
	for _, l := range s.Sources {
		fresh, unsettled := "never read", ""
		if !l.FreshAt.IsZero() {
			fresh = console.Ago(now.Sub(l.FreshAt))
		}
		if !l.Unsettled.IsZero() {
			unsettled = console.Ago(now.Sub(l.Unsettled))
		}
		c := l.Counts
		rows = append(rows, []any{
			l.Source, l.Stream, c[pollers.StateComplete], c[pollers.StatePlanned] + c[pollers.StateRunning], c[pollers.StateFailed], c[pollers.StatePartial],
			fresh, unsettled, fmt.Sprintf("%d of %s", l.Requests, l.Rate),
		})
	}
	if len(rows) > 0 {
		err := console.Table(w, []string{"source", "stream", "complete", "to read", "failed", "partial", "data up to", "unsettled since", "requests/min"}, rows, nil)
		if err != nil {
			return err
		}
	}
	var out strings.Builder
	for _, l := range s.Sinks {
		switch {
		case l.Never:
			fmt.Fprintf(&out, "sink %s: has never run\n", l.Sink)
		default:
			fmt.Fprintf(&out, "sink %s: %d events wait, %d in hand", l.Sink, l.Waiting, l.InHand)
			if l.Again > 0 {
				fmt.Fprintf(&out, ", %d to be given again", l.Again)
			}
			out.WriteByte('\n')
		}
	}
	fmt.Fprintf(&out, "records not processed yet: %d", s.Raw)
	if !s.OldestRaw.IsZero() {
		fmt.Fprintf(&out, ", the oldest %s", console.Ago(now.Sub(s.OldestRaw)))
	}
	fmt.Fprintf(&out, "\nrunning: %d pollers, %d processors\n", s.Alive["poll"], s.Alive["process"])
	if len(s.Attention) == 0 {
		out.WriteString("nothing needs attention\n")
	}
	for _, line := range s.Attention {
		fmt.Fprintln(&out, "look:", console.Printable(line))
	}
	_, err := io.WriteString(w, out.String())
	return err
}
