package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Tail writes events as they come, one line each, until the context ends: for a person, personal data masked unless
// clear, or as structured JSON.
func (a *App) Tail(ctx context.Context, b *broker.Broker, filter []string, asJSON, clear bool) error {
	subjects, err := events.FilterSubjects(filter)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(a.Err, "waiting for new events; Ctrl-C ends"); err != nil {
		return err
	}
	err = a.operator(b).Tail(ctx, subjects, func(sequence uint64, e events.Event, unreadable error) error {
		if unreadable != nil {
			_, err := fmt.Fprintf(a.Err, "event %d cannot be read: %v\n", sequence, unreadable)
			return err
		}
		if asJSON {
			if !clear {
				console.Mask(&e)
			}
			_, err := a.Out.Write(e.Line())
			return err
		}
		_, err := fmt.Fprintln(a.Out, console.EventLine(e, clear))
		return err
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
