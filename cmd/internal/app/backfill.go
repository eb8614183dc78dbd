package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// BackfillRequest is what `parley backfill` was asked for.
type BackfillRequest struct {
	Source string
	// From and To are times, or dates: midnight in the source's zone. To may be empty: now.
	From, To string
	// Again reads also what was read.
	Again bool
}

// Backfill asks the pollers for a past range and follows them until it is read, or until the context ends: then they go on without it.
func (a *App) Backfill(ctx context.Context, q BackfillRequest) error {
	sources, err := a.named([]string{q.Source})
	if err != nil {
		return err
	}
	s := sources[0]
	r, err := rangeOf(s, q, time.Now())
	if err != nil {
		return err
	}
	b, err := a.Attach(ctx)
	if errors.Is(err, broker.ErrEmpty) {
		return fmt.Errorf("%w\na backfill is read by the pollers of a running Parley: start `parley run`, or `parley poll` beside it", err)
	}
	if err != nil {
		return err
	}
	defer b.Close()
	if err := pollers.Backfill(ctx, b, s, r, q.Again); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(a.Err, "%s is asked for %s to %s. Ctrl-C ends this view; the pollers go on.\n", q.Source, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	progress := console.NewProgress(a.Err)
	defer progress.Close()
	err = a.follow(ctx, b, s, r, progress)
	if ctx.Err() != nil {
		return ctx.Err() // only the view ends, and what was asked for is not done yet
	}
	return err
}

func rangeOf(s *pollers.Source, q BackfillRequest, now time.Time) (r pollers.Range, err error) {
	loc := s.Poller.Describe().Location
	read := func(flag, value string) time.Time {
		var m pollers.Moment
		if decodeErr := m.EnvDecode(value); decodeErr != nil && err == nil {
			err = fmt.Errorf("%w: %s: is %q, want %s", ErrUsage, flag, value, m.Wanted())
		}
		return m.In(loc).UTC()
	}
	r.From, r.To = read("--from", q.From), now.UTC().Truncate(time.Second)
	if q.To != "" {
		r.To = read("--to", q.To)
	}
	if err == nil && !r.From.Before(r.To) {
		err = fmt.Errorf("%w: --from %s is not before --to %s", ErrUsage, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	}
	if wrong := pollers.Implausible(r.From, now); err == nil && wrong != "" {
		err = fmt.Errorf("%w: --from: %s %s", ErrUsage, q.From, wrong)
	}
	if err == nil && r.To.After(now) {
		err = fmt.Errorf("%w: --to %s lies in the future", ErrUsage, r.To.Format(time.RFC3339))
	}
	return r, err
}

const (
	followEvery = 500 * time.Millisecond
	// followPatience is how long nothing may move before somebody is told why that may be.
	followPatience = 30 * time.Second
)

// follow shows how much of a range is read until all of it is, and then what that was.
func (a *App) follow(ctx context.Context, b *broker.Broker, s *pollers.Source, r pollers.Range, progress *console.Progress) error {
	began, before := time.Now(), -1
	for last, since := -1, time.Now(); ; {
		status, err := pollers.Inspect(ctx, b, s, time.Now())
		if err != nil {
			return err
		}
		n := countRange(&status, r)
		if before < 0 {
			before = n.done
		}
		progress.Set(s.Settings.Name, int64(n.done), int64(n.total))
		if n.done == n.total {
			progress.Close()
			return a.tellRead(s.Settings.Name, &n, before, time.Since(began))
		}
		if n.done != last {
			last, since = n.done, time.Now()
		} else if time.Since(since) > followPatience {
			since = time.Now()
			_, _ = fmt.Fprintln(progress, "nothing moves: is a poller of this source running? `parley status` says what needs attention")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// tellRead says what a range held that is read to its end; before are the windows of it that were read when one began to look.
func (a *App) tellRead(source string, n *rangeCount, before int, took time.Duration) error {
	gaps := "no gaps"
	if n.partial > 0 {
		gaps = fmt.Sprintf("%s read in part, which `parley coverage %s` names", console.Count(n.partial, "window is", "windows are"), source)
	}
	_, err := fmt.Fprintf(a.Out, "%s: %s read (%d of them before) in %.1f s; they hold %s, %s\n",
		source, console.Count(n.done, "window is", "windows are"), before, took.Seconds(), console.Count(n.records, "record", "records"), gaps)
	if err == nil && n.partial > 0 {
		return ErrReported
	}
	return err
}

// rangeCount counts the windows of a range, and the records of those that are read.
type rangeCount struct{ done, total, partial, records int }

func countRange(status *pollers.SourceStatus, r pollers.Range) (n rangeCount) {
	overlaps := func(w pollers.Window) bool { return w.From.Before(r.To) && w.To.After(r.From) }
	for i := range status.Streams {
		stream := &status.Streams[i]
		if stream.Stream.Snapshot {
			continue
		}
		for _, e := range stream.Windows {
			if !overlaps(e.Window) {
				continue
			}
			n.total++
			if !e.ReadAt.IsZero() {
				n.done++
				n.records += e.Records
			}
			if e.State == pollers.StatePartial {
				n.partial++
			}
		}
		for _, hole := range stream.Holes {
			if overlaps(hole) {
				n.total++
			}
		}
	}
	return n
}
