package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/sinks"
)

// View is how everything stood at one moment.
type View struct {
	At     time.Time
	Status Status
	// Sources holds what the status sums up, by source.
	Sources map[string]pollers.SourceStatus
	// Sequence is the last of EVENTS.
	Sequence uint64
}

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
	// Rate is the account's, Requests those of its last minute; HeldUntil is when its vendor may be asked again.
	Rate      string    `json:"rate"`
	Requests  int       `json:"requests_last_minute"`
	HeldUntil time.Time `json:"held_until,omitzero"`
	Paused    string    `json:"paused,omitempty"`
	Snapshot  bool      `json:"snapshot,omitempty"`
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
	// Halted is since when somebody has stopped it.
	Halted time.Time `json:"halted_since,omitzero"`
	// Paused says why it sends nothing but a probe now and then, and since when.
	Paused      string    `json:"paused,omitempty"`
	PausedSince time.Time `json:"paused_since,omitzero"`
	DeadLetters uint64    `json:"dead_letters,omitempty"`
	// Position is the sequence of EVENTS up to which all is delivered.
	Position uint64 `json:"position"`
}

// Look tells how everything stands.
func (o *Operator) Look(ctx context.Context, now time.Time) (*View, error) {
	v := &View{At: now, Sources: make(map[string]pollers.SourceStatus), Status: Status{
		Sources: []SourceLine{}, Sinks: []SinkLine{}, DeadLetters: map[string]uint64{}, Alive: map[string]int{}, Attention: []string{},
	}}
	s := &v.Status
	for _, source := range o.sources {
		found, err := pollers.Inspect(ctx, o.broker, source, now)
		if err != nil {
			return nil, err
		}
		v.Sources[source.Settings.Name] = found
		s.addSource(source, &found, now)
	}
	if err := s.countDead(ctx, o.broker); err != nil {
		return nil, err
	}
	if err := o.addSinks(ctx, s); err != nil {
		return nil, err
	}
	state, err := o.broker.StreamState(ctx, broker.Events)
	if err != nil {
		return nil, err
	}
	v.Sequence = state.LastSeq
	if s.Raw, err = o.broker.Unprocessed(ctx); err != nil {
		return nil, err
	}
	if s.OldestRaw, err = o.broker.OldestUnprocessed(ctx); err != nil {
		return nil, err
	}
	if err := s.countMembers(ctx, o.broker); err != nil {
		return nil, err
	}
	s.look()
	return v, nil
}

func (s *Status) countDead(ctx context.Context, b *broker.Broker) error {
	dead, err := b.Subjects(ctx, broker.Dead, events.DeadSubjects+".>")
	for subject, n := range dead {
		s.DeadLetters[strings.TrimPrefix(subject, events.DeadSubjects+".")] = n
	}
	if err != nil {
		return err
	}
	state, err := b.StreamState(ctx, broker.Dead)
	if fill := state.Fill(); fill >= broker.DeadAlarm {
		s.Attention = append(s.Attention, fmt.Sprintf("the dead letters fill %d %% of the %d MiB that %s takes; once it is full, what fails waits and holds up what follows it: "+
			"`parley dlq replay` or `drop` makes room", fill, state.MaxBytes>>20, broker.Dead))
	}
	return err
}

func (s *Status) countMembers(ctx context.Context, b *broker.Broker) error {
	members, err := b.Bucket(ctx, broker.MembersBucket)
	if err != nil {
		return err
	}
	alive, err := members.All(ctx, ">")
	for name := range alive {
		if role, _, _ := strings.Cut(name, "."); role != broker.HealthMember {
			s.Alive[role]++
		}
	}
	return err
}

func (s *Status) addSource(source *pollers.Source, found *pollers.SourceStatus, now time.Time) {
	name := source.Settings.Name
	if found.SinceNote != "" {
		s.Attention = append(s.Attention, name+": "+found.SinceNote)
	}
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
			FreshAt: stream.FreshAt, Unsettled: stream.UnsettledFrom, Rate: found.Budget.Rate.String(), Requests: found.Budget.LastMinute,
			HeldUntil: found.Budget.HeldUntil, Paused: found.Paused, Snapshot: stream.Stream.Snapshot,
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
		out = append(out, fmt.Sprintf("%s %s: %s could not be read, the newest %s after %s, again at %s: %s",
			source, stream.Stream.Name, console.Count(n, "window", "windows"), pollers.WindowID(e.Window), console.Count(e.Attempts, "attempt", "attempts"), e.RetryAt.Local().Format(time.TimeOnly), e.Error))
	}
	if partial > 0 {
		out = append(out, fmt.Sprintf("%s %s: %s partial: the vendor's cap hides the rest at its finest grain; narrower filters in a second source may show it",
			source, stream.Stream.Name, console.Count(partial, "window is", "windows are")))
	}
	return out
}

func (o *Operator) addSinks(ctx context.Context, s *Status) error {
	bucket, err := o.broker.Bucket(ctx, broker.SinksBucket)
	if err != nil {
		return err
	}
	for _, name := range o.sinks {
		line, err := o.sinkLine(ctx, bucket, name)
		if err != nil {
			return err
		}
		line.DeadLetters = s.DeadLetters[events.StageSink+"."+events.Token(name)]
		s.Sinks = append(s.Sinks, line)
		s.judge(&line)
	}
	return nil
}

func (o *Operator) sinkLine(ctx context.Context, bucket *broker.Bucket, name string) (SinkLine, error) {
	line := SinkLine{Sink: name}
	halted, err := sinks.HaltOf(ctx, bucket, name)
	if err != nil {
		return line, err
	}
	if halted != nil {
		line.Halted = halted.Since
	}
	if line.Again, err = o.waitAgain(ctx, name); err != nil {
		return line, err
	}
	state, err := o.broker.ConsumerState(ctx, broker.Events, sinks.ConsumerName(name))
	if errors.Is(err, broker.ErrNotFound) {
		line.Never = true
		return line, nil
	}
	if err != nil {
		return line, err
	}
	pause, err := sinks.PauseOf(ctx, bucket, name)
	if err != nil {
		return line, err
	}
	if pause != nil {
		line.Paused, line.PausedSince = pause.Why, pause.Since
	}
	line.Waiting, line.InHand, line.Owned, line.Position = state.Pending, state.Unacked, state.Pinned, state.AckFloor
	return line, nil
}

// waitAgain counts the events that a sink is given a second time and does not have yet.
func (o *Operator) waitAgain(ctx context.Context, sink string) (n uint64, err error) {
	state, err := o.broker.ConsumerState(ctx, broker.Replay, sinks.ConsumerName(sinks.ReplayKey(sink)))
	if !errors.Is(err, broker.ErrNotFound) {
		return state.Pending + state.Unacked, err
	}
	// The sink has not run yet: then the queue has all of them.
	waiting, err := o.broker.Subjects(ctx, broker.Replay, events.ReplaySubject(sink, ">"))
	for _, count := range waiting {
		n += count
	}
	return n, err
}

// judge finds what somebody should do about a sink.
func (s *Status) judge(l *SinkLine) {
	left := l.Waiting + l.InHand
	waiting := console.Count(left, "event waits", "events wait")
	switch {
	case !l.Halted.IsZero():
		if l.Never { // before its first start nobody knows which events it will want
			waiting = "before its first start"
		}
		s.Attention = append(s.Attention, fmt.Sprintf("sink %s is paused since %s, %s: `parley resume %s` has it go on",
			l.Sink, l.Halted.Local().Format(time.DateTime), waiting, l.Sink))
	case !l.Never && !l.Owned && left > 0:
		s.Attention = append(s.Attention, fmt.Sprintf("sink %s: %s and nobody delivers: start `parley sink %s` or `parley run`", l.Sink, waiting, l.Sink))
	case l.Paused != "":
		s.Attention = append(s.Attention, fmt.Sprintf("sink %s: its destination accepts nothing since %s, %s: %s",
			l.Sink, l.PausedSince.Local().Format(time.DateTime), waiting, l.Paused))
	}
}

// look finds what somebody should do that no source or sink says by itself.
func (s *Status) look() {
	if s.Raw > 0 && s.Alive["process"] == 0 {
		s.Attention = append(s.Attention, console.Count(s.Raw, "record waits", "records wait")+" and no processor runs: start `parley process` or `parley run`")
	}
	due := 0
	for _, line := range s.Sources {
		due += line.Due
	}
	if due > 0 && s.Alive["poll"] == 0 {
		s.Attention = append(s.Attention, console.Count(due, "window is due", "windows are due")+" and no poller runs: start `parley poll` or `parley run`")
	}
	for _, name := range slices.Sorted(maps.Keys(s.DeadLetters)) {
		stage, of, _ := strings.Cut(name, ".")
		s.Attention = append(s.Attention, fmt.Sprintf("%s of %s: `parley dlq ls --stage %s --name %s` says why", console.Count(s.DeadLetters[name], "dead letter", "dead letters"), name, stage, of))
	}
}
