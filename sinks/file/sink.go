package file

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks"
)

const (
	maxOpen    = 256
	bufferSize = 64 << 10
)

// Sink writes events into the files of one directory.
type Sink struct {
	config
	directory
	partitions map[string]*partition
	known      map[group]*partition
	open       map[*output]bool
	// closing are files that get no more events, in the order in which they were closed. They are committed in that order: a mark says
	// that everything up to its last sequence is committed, so no later file of a path may be marked before an earlier one.
	closing []*output
	durable []uint64
	pruned  time.Time
}

// partition is one path below the directory.
type partition struct {
	path string
	// committed is the last sequence that a committed file of the path holds: of this path, everything up to it is durable, because
	// events come in order and files are committed in order.
	committed uint64
	// taken is the last sequence that was appended.
	taken uint64
	out   *output
}

// group is what the path of an event hangs on.
type group struct {
	kind, vendor, source string
	day                  int // as dayOf gives it
}

// output is a file that is being written or committed.
type output struct {
	partition      *partition
	file           *os.File
	temp           string
	sequences      []uint64
	size           int64 // written
	buffer         []byte
	since, touched time.Time
	done           int // steps of the commit
}

// Deliver implements sinks.Sink. What was appended before an error stays: it counts as taken when it comes again.
func (s *Sink) Deliver(_ context.Context, b sinks.Batch) ([]uint64, error) {
	now := time.Now()
	err := s.resume()
	for i := 0; i < len(b.Items) && err == nil; i++ {
		err = s.take(&b.Items[i], now)
	}
	if err == nil {
		err = s.closeOld(now)
	}
	s.prune(b.AckFloor, now)
	return s.settled(), err
}

// Flush implements sinks.Sink.
func (s *Sink) Flush(context.Context) ([]uint64, error) {
	err := s.resume()
	for out := range s.open {
		s.close(out)
	}
	if err == nil {
		err = s.commit()
	}
	return s.settled(), err
}

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	for out := range s.open {
		s.discard(out)
	}
	for _, out := range s.closing {
		s.discard(out)
	}
	return s.release()
}

func (s *Sink) settled() []uint64 {
	durable := s.durable
	s.durable = nil
	return durable
}

// resume goes on where an error ended the last call.
func (s *Sink) resume() error {
	if err := s.commit(); err != nil {
		return err
	}
	for out := range s.open {
		if len(out.buffer) >= bufferSize {
			if err := s.write(out); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sink) take(item *sinks.Item, now time.Time) error {
	s.highest = max(s.highest, item.Sequence)
	p, err := s.partition(&item.Event)
	if err != nil {
		return err
	}
	switch {
	case item.Sequence <= p.committed:
		s.durable = append(s.durable, item.Sequence)
		return nil
	case item.Sequence <= p.taken:
		return nil
	}
	if p.out == nil {
		if err := s.create(p, now); err != nil {
			return err
		}
	}
	out := p.out
	out.buffer = append(item.Event.AppendStructured(out.buffer), '\n')
	out.sequences = append(out.sequences, item.Sequence)
	out.touched = now
	p.taken = item.Sequence
	if out.size+int64(len(out.buffer)) >= s.rotateSize {
		s.close(out)
		return s.commit()
	}
	if len(out.buffer) >= bufferSize {
		return s.write(out)
	}
	return nil
}

// partition finds the path of an event, and what is committed there.
func (s *Sink) partition(e *events.Event) (*partition, error) {
	g := group{kind: e.Type, vendor: e.Vendor, source: e.Source, day: dayOf(e.Time)}
	if p := s.known[g]; p != nil {
		return p, nil
	}
	path := s.layout.path(e)
	p := s.partitions[path]
	if p == nil {
		p = &partition{path: path}
		s.partitions[path] = p
	}
	last, err := s.lastIn(path)
	if err != nil {
		return nil, err
	}
	p.committed = max(p.committed, last)
	p.taken = max(p.taken, p.committed)
	s.known[g] = p
	return p, nil
}

// dayOf tells dates in UTC apart, and the unknown one from all.
func dayOf(t time.Time) int {
	if t.IsZero() {
		return -1 << 31
	}
	year, month, day := t.UTC().Date()
	return year*512 + int(month)*32 + day
}

func (s *Sink) create(p *partition, now time.Time) error {
	if len(s.open) >= maxOpen {
		s.close(s.quietest())
		if err := s.commit(); err != nil {
			return err
		}
	}
	file, temp, err := s.temporary()
	if err != nil {
		return fmt.Errorf("file for %s: %w", p.path, err)
	}
	p.out = &output{partition: p, file: file, temp: temp, since: now}
	s.open[p.out] = true
	return nil
}

func (s *Sink) quietest() *output {
	var found *output
	for out := range s.open {
		if found == nil || out.touched.Before(found.touched) {
			found = out
		}
	}
	return found
}

// closeOld closes files by age and by idleness.
func (s *Sink) closeOld(now time.Time) error {
	for out := range s.open {
		if now.Sub(out.since) >= s.rotateAge || now.Sub(out.touched) >= s.rotateAge/4 {
			s.close(out)
		}
	}
	return s.commit()
}

// close lets a file get no more events.
func (s *Sink) close(out *output) {
	delete(s.open, out)
	out.partition.out = nil
	s.closing = append(s.closing, out)
}

// write brings the buffer into the file. After an error the same bytes are written again to the same place, so that half a line
// of a full disk is overwritten.
func (s *Sink) write(out *output) error {
	if err := s.fault("write"); err != nil {
		return fmt.Errorf("write %s: %w", out.temp, err)
	}
	if _, err := out.file.WriteAt(out.buffer, out.size); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	out.size += int64(len(out.buffer))
	if cap(out.buffer) > 4*bufferSize {
		out.buffer = nil // a large event's
	}
	out.buffer = out.buffer[:0]
	return nil
}

func (s *Sink) discard(out *output) {
	_ = out.file.Close()
	_ = s.root.Remove(out.temp) // the next owner removes what stays
}
