package object

import (
	"context"
	"sync"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// Steps names the steps of a commit.
func Steps() []string {
	names := []string{"write", "newest"}
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// SetFault makes steps fail; it is asked by one goroutine at a time.
func SetFault(s sinks.Sink, fault func(step string) error) {
	var asking sync.Mutex
	s.(*Sink).files.Fault = func(step string) error {
		asking.Lock()
		defer asking.Unlock()
		return fault(step)
	}
}

// SetPart changes the size of parts.
func SetPart(s sinks.Sink, bytes int64) { s.(*Sink).part = bytes }

// Abandon ends a sink as the end of its process does.
func Abandon(s sinks.Sink) {
	for _, out := range s.(*Sink).files.Unfinished() {
		_ = out.Spool.Close()
	}
}

// Prune removes marks and claims from before a moment.
func Prune(ctx context.Context, s sinks.Sink, floor uint64, before time.Time) {
	o := s.(*Sink)
	o.marks = o.prune(ctx, o.marks, floor, before)
	o.claims = o.prune(ctx, o.claims, floor, before)
}

// Sweep gives up uploads from before a moment.
func Sweep(ctx context.Context, s sinks.Sink, before time.Time) error {
	o := s.(*Sink)
	return o.sweep(ctx, o.prefix, before, o.ours)
}

// WrapSpool stands between the files and the disk.
func WrapSpool(s sinks.Sink, wrap func(rolling.Spool) rolling.Spool) { s.(*Sink).files.Wrap = wrap }
