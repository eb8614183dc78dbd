package file

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// Sink writes events into the files of one directory.
type Sink struct {
	directory
	finder
	files  *rolling.Files
	pruned time.Time
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, b sinks.Batch) ([]uint64, error) {
	durable, err := s.files.Deliver(ctx, b)
	s.prune(b.AckFloor, time.Now())
	return durable, err
}

// Flush implements sinks.Sink.
func (s *Sink) Flush(ctx context.Context) ([]uint64, error) { return s.files.Flush(ctx) }

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	s.files.Discard()
	return s.release()
}

// Committed implements rolling.Destination.
func (s *Sink) Committed(_ context.Context, dir string) (rolling.Committed, error) {
	s.highest = max(s.highest, s.files.Highest)
	last, err := s.lastIn(dir)
	return rolling.Committed{Last: last}, err
}

// newest is the file that says which event is the newest.
func (d *directory) newest() string { return path.Join(d.state, "newest") }

// Keep implements rolling.Destination.
func (s *Sink) Keep(_ context.Context, newest []byte) error {
	return s.writeOnce(s.newest(), string(newest))
}

func (s *Sink) follow(ctx context.Context, o sinks.Ownership) error {
	kept, err := s.root.ReadFile(s.newest())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.files.Follow(ctx, o, kept)
}

// Discard implements rolling.Destination.
func (s *Sink) Discard(out *rolling.File) {
	_ = out.Spool.Close()
	_ = s.root.Remove(out.Temp) // the next owner removes what stays
}
