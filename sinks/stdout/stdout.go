// Package stdout writes events to the standard output, one line of structured-mode CloudEvents JSON each.
//
// # Config
//
// The URL is stdout: and has no parameters.
//
// # Delivery
//
// An event is acknowledged once it was written. At least once: after a crash the last events come again, and lines that were
// written are written again.
//
// # Limits
//
// Written means that the pipe or the terminal took it; whether its reader kept it is not known.
package stdout

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
)

// Sink writes lines. After an error it writes on where the writer stopped.
type Sink struct {
	out     io.Writer
	taken   uint64   // the last sequence whose line was written or waits
	lines   []byte   // what the writer has not taken
	waiting []uint64 // the sequences of these lines
}

// New checks the URL; faults stay in vars. Every Sink writes to env.Stdout.
func New(_ sinks.Settings, vars *settings.Vars, u *url.URL, env sinks.Env) sinks.Opener {
	if u.Opaque+u.Host+u.Path+u.RawQuery+u.Fragment != "" {
		vars.Fault("URL", "want stdout: and nothing after it")
	}
	return func(context.Context, sinks.Ownership) (sinks.Sink, error) { return &Sink{out: env.Stdout}, nil }
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(_ context.Context, b sinks.Batch) (durable []uint64, err error) {
	for i := range b.Items {
		item := &b.Items[i]
		switch {
		case item.Sequence > s.taken:
			s.lines = append(item.Event.AppendStructured(s.lines), '\n')
			s.waiting = append(s.waiting, item.Sequence)
			s.taken = item.Sequence
		case len(s.waiting) == 0 || item.Sequence < s.waiting[0]:
			durable = append(durable, item.Sequence)
		}
	}
	written, err := s.write()
	return append(durable, written...), err
}

// Flush implements sinks.Sink.
func (s *Sink) Flush(context.Context) ([]uint64, error) { return s.write() }

// Close implements sinks.Sink; the writer stays open.
func (s *Sink) Close() error { return nil }

func (s *Sink) write() (written []uint64, err error) {
	if len(s.lines) == 0 {
		return nil, nil
	}
	n, err := s.out.Write(s.lines)
	if err != nil {
		s.lines = s.lines[n:]
		return nil, fmt.Errorf("write to standard output: %w", err)
	}
	written, s.waiting = s.waiting, nil
	if s.lines = s.lines[:0]; cap(s.lines) > maxKept {
		s.lines = nil
	}
	return written, nil
}

// maxKept bounds the buffer that is kept for the next batch.
const maxKept = 1 << 20
