package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
)

// Errors that say how a command ended.
var (
	// ErrReported: it failed, and everything there is to say was said.
	ErrReported = errors.New("failed")
	// ErrUsage: it was asked for what cannot be.
	ErrUsage = errors.New("wrong usage")
	// ErrInterrupted: it was stopped before it had done what was asked; nothing is lost by that.
	ErrInterrupted = errors.New("interrupted before everything was read and delivered; the next run goes on from here")
)

// Run plays roles until the context ends.
func (a *App) Run(ctx context.Context, roles Roles) error {
	if err := a.Missing(roles); err != nil {
		return err
	}
	web, err := a.startWeb(ctx)
	if err != nil {
		return err
	}
	defer web.stop()
	b, err := a.Broker(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	p, err := a.Process(ctx, b, roles, time.Time{})
	if err != nil {
		return err
	}
	a.Log.Info("parley runs", "sources", len(a.sources), "sinks", len(p.sinks))
	return web.run(ctx, p)
}

// RunRole plays one role beside other processes, for which it needs a server that they share.
func (a *App) RunRole(ctx context.Context, roles Roles) error {
	if len(a.Config.NATS.URLs) == 0 {
		return settings.Faults{{Variable: "PARLEY_NATS_URL", Want: "is empty; a role alone needs a NATS server that the other roles reach too, such as nats://127.0.0.1:4222 (`parley run` plays every role on its own server)"}}
	}
	return a.Run(ctx, roles)
}

// RunDashboard serves the dashboard and plays no role: it shows and does what its identity may.
func (a *App) RunDashboard(ctx context.Context) error {
	if a.Config.HTTPAddr == "" {
		return settings.Faults{{Variable: "PARLEY_HTTP_ADDR", Want: "is empty; want where the dashboard is served, such as 127.0.0.1:8090"}}
	}
	return a.RunRole(ctx, Roles{})
}

// RunOnce reads everything that is due, delivers it and prints a summary.
func (a *App) RunOnce(ctx context.Context) error {
	if err := a.Missing(All()); err != nil {
		return err
	}
	b, err := a.Broker(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	progress := console.NewProgress(a.Err)
	report, err := a.once(ctx, b, progress)
	progress.Close()
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	if err != nil {
		return err
	}
	if err := report.Print(a.summaryTo()); err != nil {
		return err
	}
	if !report.OK() {
		return ErrReported
	}
	return nil
}

// summaryTo is where a command's results go: stdout, unless a sink writes events there, which a program reads.
func (a *App) summaryTo() io.Writer {
	for _, s := range a.sinks {
		if s.settings.URL.Scheme == "stdout" {
			return a.Err
		}
	}
	return a.Out
}

// once reads what is due now and delivers it, showing how far it is.
func (a *App) once(ctx context.Context, b *broker.Broker, progress *console.Progress) (Report, error) {
	p, err := a.Process(ctx, b, All(), time.Now())
	if err != nil {
		return Report{}, err
	}
	return p.Once(ctx, func(ctx context.Context) { p.showProgress(ctx, progress) })
}

// RunTail shows the events of a Parley that is running.
func (a *App) RunTail(ctx context.Context, filter []string, asJSON, clear bool) error {
	if _, err := events.FilterSubjects(filter); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	b, err := a.Attach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	return a.Tail(ctx, b, filter, asJSON, clear)
}
