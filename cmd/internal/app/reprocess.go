package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/processors"
)

// ReprocessRequest is what `parley reprocess` was asked for.
type ReprocessRequest struct {
	Source string
	// From and To bound when the records were stored, as times or dates (midnight UTC); an empty To is now.
	From, To string
	// DryRun only tells what would be done.
	DryRun bool
}

// Reprocess makes the processors of a running Parley normalise a source's stored records again, and follows them until that is done or the
// context ends: then they go on without it. Where no Parley runs on the data directory, this process does it.
func (a *App) Reprocess(ctx context.Context, r ReprocessRequest) error {
	if _, err := a.named([]string{r.Source}); err != nil {
		return err
	}
	q, err := r.request(time.Now())
	if err != nil {
		return err
	}
	b, err := a.Attach(ctx)
	running := err == nil
	if !running && len(a.Config.NATS.URLs) == 0 {
		b, err = a.ReachStored(ctx)
	}
	if err != nil {
		return err
	}
	defer b.Close()
	if r.DryRun {
		return a.tryReprocess(ctx, b, q)
	}
	if !running { // this process will be the processor
		if err := a.samePolicy(ctx, b); err != nil {
			return err
		}
	}
	if q, err = processors.Ask(ctx, b, q); err != nil {
		return err
	}
	if running {
		_, _ = fmt.Fprintf(a.Err, "%s of %s to be normalised again. Ctrl-C ends this view; the processors go on.\n", console.Count(q.Total, "stored record", "stored records"), q.Source)
		if err := a.followReprocess(ctx, b, &q); ctx.Err() == nil {
			return err
		}
		return nil // only the view ends
	}
	p, err := a.Process(ctx, b, Roles{Process: true}, time.Time{})
	if err != nil {
		return err
	}
	return p.run(ctx, func(ctx context.Context) error {
		_, _ = fmt.Fprintf(a.Err, "%s of %s to be normalised again, by this process: no other runs here. After Ctrl-C the same command goes on.\n", console.Count(q.Total, "stored record", "stored records"), q.Source)
		return a.followReprocess(ctx, b, &q)
	})
}

func (r *ReprocessRequest) request(now time.Time) (q processors.Reprocess, err error) {
	read := func(flag, value string) time.Time {
		var m pollers.Moment
		if decodeErr := m.EnvDecode(value); decodeErr != nil && err == nil {
			err = fmt.Errorf("%w: %s: is %q, want %s", ErrUsage, flag, value, m.Wanted())
		}
		return m.In(time.UTC)
	}
	q = processors.Reprocess{Source: r.Source, From: read("--from", r.From)}
	if r.To != "" {
		q.To = read("--to", r.To)
	}
	if err == nil && !q.To.IsZero() && !q.From.Before(q.To) {
		err = fmt.Errorf("%w: --from %s is not before --to %s", ErrUsage, q.From.Format(time.RFC3339), q.To.Format(time.RFC3339))
	}
	if err == nil && q.From.After(now) {
		err = fmt.Errorf("%w: --from %s lies in the future", ErrUsage, q.From.Format(time.RFC3339))
	}
	return q, err
}

// followReprocess shows how far a request is until it is done, and then what it did. An end of the context before that is its error.
func (a *App) followReprocess(ctx context.Context, b *broker.Broker, q *processors.Reprocess) error {
	progress := console.NewProgress(a.Err)
	defer progress.Close()
	began, before := time.Now(), int64(-1)
	for last, since := int64(-1), time.Now(); ; {
		redone, err := q.Progress(ctx, b)
		if err != nil && ctx.Err() == nil {
			return err
		}
		done := int64(redone.Records)
		if err == nil {
			if before < 0 {
				before = done
			}
			progress.Set(q.Source, done, int64(q.Total))
		}
		if redone.Done {
			progress.Close()
			return a.tellRedone(redone, done-before, time.Since(began))
		}
		if done != last {
			last, since = done, time.Now()
		} else if time.Since(since) > followPatience {
			since = time.Now()
			_, _ = fmt.Fprintln(progress, "nothing moves: is a processor running? `parley status` says what needs attention")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// tellRedone says what a request did, and how fast so many records of it went while it was watched.
func (a *App) tellRedone(r processors.Redone, watched int64, took time.Duration) error {
	_, err := fmt.Fprintf(a.Out, "%s normalised again (%.0f/s): %s, %s be read\n", console.Count(r.Records, "record is", "records are"),
		float64(watched)/max(took.Seconds(), 0.001), console.Count(r.Events, "new event", "new events"), console.Count(r.Unreadable, "record cannot", "records cannot"))
	return errors.Join(err, a.tellUnreadable(r))
}

// tryReprocess tells what a request would do.
func (a *App) tryReprocess(ctx context.Context, b *broker.Broker, q processors.Reprocess) error {
	o := a.processorOptions()
	o.Enrichers = nil // what would be added to the events decides nothing
	runner, err := processors.NewRunner(ctx, b, o)
	if err != nil {
		return err
	}
	progress := console.NewProgress(a.Err)
	defer progress.Close()
	tried, err := runner.TryReprocess(ctx, q, func(r processors.Redone, total uint64) {
		progress.Set(q.Source, int64(r.Records), int64(total))
	})
	progress.Close()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s would be normalised again: %s, %s be read\n", console.Count(tried.Records, "record", "records"),
		console.Count(tried.Events, "new event", "new events"), console.Count(tried.Unreadable, "record cannot", "records cannot"))
	return errors.Join(err, a.tellUnreadable(tried))
}

func (a *App) tellUnreadable(r processors.Redone) error {
	if r.Unreadable == 0 {
		return nil
	}
	_, err := fmt.Fprintf(a.Err, "such as %s\nWhat was never read is among the dead letters: `parley dlq ls --stage process`. What was read before keeps its event.\n",
		console.Printable(a.redact.Redact(r.Example)))
	return err
}
