package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/processors"
)

// ReplayRequest is what `parley replay` was asked for.
type ReplayRequest struct {
	Sink string
	// From and To bound when the events were stored, as times or dates (midnight UTC); an empty To is now.
	From, To string
	Filter   []string
	Rate     int // events a second; 0: no limit
}

// Replay gives stored events to one sink again, which delivers them beside its live ones: with the names that were not known yet when they were
// published, else as they are. It returns once all of them are on their way.
func (a *App) Replay(ctx context.Context, q ReplayRequest) error {
	if err := a.Missing(Roles{Sink: true, Sinks: []string{q.Sink}}); err != nil {
		return err
	}
	subjects, err := events.FilterSubjects(q.Filter)
	if err != nil {
		return fmt.Errorf("%w: --filter: %w", ErrUsage, err)
	}
	from, to, err := replayRange(q, time.Now())
	if err != nil {
		return err
	}
	b, err := a.ReachStored(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := a.samePolicy(ctx, b); err != nil {
		return err
	}
	completer, err := processors.NewCompleter(ctx, b, a.processorOptions())
	if err != nil {
		return err
	}
	progress := console.NewProgress(a.Err)
	defer progress.Close()
	sent, err := copyEvents(ctx, b, completer, q, subjects, from, to, progress)
	progress.Close()
	if err != nil && ctx.Err() == nil {
		return err
	}
	if _, err := fmt.Fprintf(a.Out, "%s on the way to %s again; `parley status` tells how many still wait\n", console.Count(sent, "event is", "events are"), q.Sink); err != nil {
		return err
	}
	return ctx.Err()
}

// samePolicy refuses to publish by another privacy policy than the installation's processors do: a replay by somebody who has no PARLEY_PRIVACY would
// add names that the processors mask.
func (a *App) samePolicy(ctx context.Context, b *broker.Broker) error {
	err := a.comparePolicy(ctx, b, "")
	if errors.Is(err, broker.ErrNotFound) {
		return errors.New("it is not known by which privacy policy the processors publish, because none of this version has started yet; start `parley run` or `parley process` first")
	}
	return err
}

// comparePolicy tells when this command's privacy policy is not the processors', and what else can be done about it; broker.ErrNotFound when it is
// not known what theirs is.
func (a *App) comparePolicy(ctx context.Context, b *broker.Broker, orElse string) error {
	theirs, err := processors.Policy(ctx, b)
	if err != nil {
		return err
	}
	if ours := processors.PolicyOf(a.processorOptions().Guard); ours != theirs {
		return settings.Faults{{Variable: "PARLEY_PRIVACY", Want: fmt.Sprintf("the processors' policy is %q, and this command's is %q; set it, and PARLEY_PRIVACY_KEY, as the processors have them%s", theirs, ours, orElse)}}
	}
	return nil
}

func replayRange(q ReplayRequest, now time.Time) (from, to time.Time, err error) {
	read := func(flag, value string) time.Time {
		var m pollers.Moment
		if decodeErr := m.EnvDecode(value); decodeErr != nil && err == nil {
			err = fmt.Errorf("%w: %s: is %q, want %s", ErrUsage, flag, value, m.Wanted())
		}
		return m.In(time.UTC)
	}
	from, to = read("--from", q.From), now
	if q.To != "" {
		to = read("--to", q.To)
	}
	if err == nil && !from.Before(to) {
		err = fmt.Errorf("%w: --from %s is not before --to %s", ErrUsage, from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return from, to, err
}

// copyEvents sends events of EVENTS to the sink's replays, oldest first, and tells how many. Live events are not touched: there is no gap
// between the two, and what both deliver is the same event under the same id.
func copyEvents(ctx context.Context, b *broker.Broker, completer *processors.Completer, q ReplayRequest, subjects []string, from, to time.Time, progress *console.Progress) (sent int, err error) {
	state, err := b.StreamState(ctx, broker.Events)
	if err != nil {
		return 0, err
	}
	limit := rate.NewLimiter(rate.Inf, 0)
	if q.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(q.Rate), max(q.Rate/10, 1))
	}
	out := b.Pipeline(ctx)
	first := uint64(0)
	err = b.Scan(ctx, broker.Events, subjects, from, func(m broker.Message) error {
		if first == 0 {
			first = m.Sequence
		}
		progress.Set(q.Sink, int64(m.Sequence-first), int64(state.LastSeq-first))
		if !m.Time.Before(to) {
			return nil
		}
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		sent++
		again := broker.Message{Subject: events.ReplaySubject(q.Sink, m.Subject), Header: events.PublishedHeaders(m.Header), Data: slices.Clone(m.Data)}
		// What is no event is the sink's to refuse.
		if e, err := events.FromMessage(again.Header, again.Data); err == nil && completer.Complete(&e) {
			e.SetHeaders(again.Header)
			again.Data = e.Data
		}
		return out.Send(again)
	})
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	if err == nil && first > 0 {
		progress.Set(q.Sink, int64(state.LastSeq-first), int64(state.LastSeq-first))
	}
	return sent, err
}
