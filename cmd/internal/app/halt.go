package app

import (
	"context"
	"fmt"

	"github.com/parley-stream/parley/cmd/internal/console"
)

// PauseSink has a sink deliver nothing, wherever it runs, until ResumeSink; its backlog waits.
func (a *App) PauseSink(ctx context.Context, name string) error {
	return a.steerSink(ctx, name, true, "is paused, and stays so over restarts; `parley resume "+name+"` has it go on")
}

// ResumeSink has a paused sink go on.
func (a *App) ResumeSink(ctx context.Context, name string) error {
	return a.steerSink(ctx, name, false, "goes on")
}

func (a *App) steerSink(ctx context.Context, name string, halt bool, done string) error {
	if err := a.Missing(Roles{Sink: true, Sinks: []string{name}}); err != nil {
		return err
	}
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	steer := a.operator(b).ResumeSink
	if halt {
		steer = a.operator(b).HaltSink
	}
	if err := steer(ctx, name); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s %s\n", console.Printable(name), done)
	return err
}
