// Package rolling collects the events of a sink into files: one open file for each path, closed by size, age and idleness, committed in
// order. What a destination makes of a closed file is its own.
package rolling

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/format"
)

const (
	maxOpen = 256
	// maxClosing is how many files are closed before they are committed.
	maxClosing = 64
	bufferSize = 32 << 10
	// maxHeld bounds what the open files have in memory.
	maxHeld = 48 << 20
)

// Destination is where closed files go.
type Destination interface {
	// Committed tells what is durable of a path. Of the sequences of the stream it is asked only once for each path.
	Committed(ctx context.Context, path string) (Committed, error)
	// Create makes an empty file to write to, and may note in it where it is.
	Create(f *File) error
	// Commit makes files durable that were closed and are written, each of another path, and says so of each in Durable. After an error it
	// is called again for those of which it did not, and perhaps for more.
	Commit(ctx context.Context, files []*File) error
	// Keep makes durable what the next owner gives to Follow, in place of what was kept before.
	Keep(ctx context.Context, newest []byte) error
	// Discard gives up a file that nobody will commit.
	Discard(f *File)
}

// Spool is a file on the disk.
type Spool interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// Committed is what a destination knows of a path.
type Committed struct {
	// Last is a sequence up to which everything of the path is durable; 0 for none.
	Last uint64
	// Next, if there is one, is where the next file of the path must end: an earlier owner has decided it, and may still be about to write it.
	Next uint64
}

// Files implements sinks.Sink but for Close, on a Destination.
type Files struct {
	options     Options
	format      *format.Format
	destination Destination
	// Fault stands before every step that touches the disk; tests make it fail.
	Fault func(step string) error
	// Wrap stands between the files and the disk; tests make it full.
	Wrap func(Spool) Spool
	// Highest is a sequence that the stream has reached.
	Highest uint64
	// newest is what is kept, and latest when the last of the events was stored that were taken or are committed.
	newest     newest
	latest     time.Time
	partitions map[string]*partition
	known      map[group]*partition
	open       map[*File]bool
	held       int
	// closing are files that get no more events, in the order in which they were closed. Those of a path are committed in that order, one
	// after the other: a name says that everything up to its last sequence is committed. Those of different paths are committed together:
	// what waits for a disk or a server then waits once.
	closing []*File
	durable []uint64
}

// partition is one path.
type partition struct {
	path string
	// committed is the last sequence that a committed file of the path holds: of this path, everything up to it is durable, because
	// events come in order and files are committed in order.
	committed uint64
	next      uint64 // Committed.Next
	// taken is the last sequence that was appended.
	taken uint64
	out   *File
}

// group is what the path of an event hangs on.
type group struct {
	kind, vendor, source string
	day                  int // as dayOf gives it
}

// File is one that is being written or committed.
type File struct {
	// Path is where it belongs, without its name.
	Path string
	// After is the last sequence of the path that was committed or closed before it; 0 for none.
	After uint64
	// Temp is what Create notes.
	Temp string
	// Spool is what Create opened.
	Spool Spool
	// Size is how much is written.
	Size int64
	// Done counts the steps of the commit, and Digest is that of the content; they are the destination's.
	Done   int
	Digest string
	// Durable is what Commit says.
	Durable bool

	partition      *partition
	extension      string
	sequences      []uint64
	buffer         []byte
	encoder        format.Encoder // nil once it is finished
	held           int
	since, touched time.Time
}

// First and Last give the sequences that the name says.
func (f *File) First() uint64 { return f.sequences[0] }

// Last gives the last sequence.
func (f *File) Last() uint64 { return f.sequences[len(f.sequences)-1] }

// Name is the file's name without its path.
func (f *File) Name() string { return Name(f.First(), f.Last(), f.extension) }

// New makes the files of one owner.
func New(o Options, d Destination) *Files {
	return &Files{
		options: o, format: o.NewFormat(), destination: d, Fault: func(string) error { return nil }, Wrap: func(s Spool) Spool { return s },
		partitions: make(map[string]*partition), known: make(map[group]*partition), open: make(map[*File]bool),
	}
}

// Format is what the files are written in.
func (s *Files) Format() *format.Format { return s.format }

// Note says that everything of a path up to a sequence is committed.
func (s *Files) Note(path string, last uint64) {
	p := s.at(path)
	p.committed = max(p.committed, last)
	p.taken = max(p.taken, p.committed)
}

// Deliver implements sinks.Sink. What was appended before an error stays: it counts as taken when it comes again.
func (s *Files) Deliver(ctx context.Context, b sinks.Batch) ([]uint64, error) {
	now := time.Now()
	err := s.resume(ctx)
	for i := 0; i < len(b.Items) && err == nil; i++ {
		err = s.take(ctx, &b.Items[i], now)
	}
	if err == nil {
		err = s.closeOld(ctx, now)
	}
	return s.settled(), err
}

// Flush implements sinks.Sink.
func (s *Files) Flush(ctx context.Context) ([]uint64, error) {
	err := s.resume(ctx)
	for _, out := range s.ordered(func(a, b *File) int { return cmp.Compare(a.First(), b.First()) }) {
		s.close(out)
	}
	if err == nil {
		err = s.commit(ctx)
	}
	return s.settled(), err
}

// Discard gives up what is not committed.
func (s *Files) Discard() {
	for out := range s.open {
		s.discard(out)
	}
	for _, out := range s.closing {
		s.discard(out)
	}
}

func (s *Files) discard(out *File) {
	if out.encoder != nil {
		out.encoder.Discard()
	}
	s.destination.Discard(out)
}

// Unfinished gives the files that are open or not committed.
func (s *Files) Unfinished() (all []*File) {
	for out := range s.open {
		all = append(all, out)
	}
	return append(all, s.closing...)
}

func (s *Files) settled() []uint64 {
	durable := s.durable
	s.durable = nil
	return durable
}

// resume goes on where an error ended the last call.
func (s *Files) resume(ctx context.Context) error {
	if err := s.commit(ctx); err != nil {
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

func (s *Files) take(ctx context.Context, item *sinks.Item, now time.Time) error {
	if err := s.newest.allows(item.Sequence, item.Stored); err != nil {
		return err
	}
	s.Highest = max(s.Highest, item.Sequence)
	if item.Stored.After(s.latest) {
		s.latest = item.Stored.UTC()
	}
	p, err := s.partition(ctx, &item.Event)
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
		if err := s.create(ctx, p, item.Event.Kind(), now); err != nil {
			return err
		}
	}
	if err := s.append(p.out, item, now); err != nil {
		return err
	}
	out := p.out
	if p.full(s.options.Size) {
		s.close(out)
	}
	if s.held > maxHeld {
		s.relieve()
	}
	if len(s.closing) >= maxClosing {
		return s.commit(ctx)
	}
	if p.out == out && len(out.buffer) >= bufferSize {
		return s.write(out)
	}
	return nil
}

// append takes an event into a file.
func (s *Files) append(out *File, item *sinks.Item, now time.Time) (err error) {
	out.buffer, err = out.encoder.Append(out.buffer, &item.Event)
	if err != nil {
		// What the encoder has of the file is unknown now.
		return fmt.Errorf("encode event %d: %w: %w", item.Sequence, sinks.ErrReopen, err)
	}
	out.sequences = append(out.sequences, item.Sequence)
	out.touched = now
	out.partition.taken = item.Sequence
	s.hold(out, out.encoder.Held())
	return nil
}

func (s *Files) hold(out *File, bytes int) {
	s.held += bytes - out.held
	out.held = bytes
}

// full tells whether a partition's file gets no more events.
func (p *partition) full(size int64) bool {
	if p.next >= p.out.First() {
		return p.taken >= p.next
	}
	return p.out.Size+int64(len(p.out.buffer)+p.out.encoder.Waiting()) >= size
}

// at gives the partition of a path.
func (s *Files) at(path string) *partition {
	p := s.partitions[path]
	if p == nil {
		p = &partition{path: path}
		s.partitions[path] = p
	}
	return p
}

// partition finds the path of an event, and what is committed there.
func (s *Files) partition(ctx context.Context, e *events.Event) (*partition, error) {
	g := group{kind: e.Type, vendor: e.Vendor, source: e.Source, day: dayOf(e.Time)}
	if p := s.known[g]; p != nil {
		return p, nil
	}
	path := s.options.Layout.Path(e)
	p := s.at(path)
	c, err := s.destination.Committed(ctx, path)
	if err != nil {
		return nil, err
	}
	p.committed = max(p.committed, c.Last)
	p.taken = max(p.taken, p.committed)
	p.next = max(p.next, c.Next)
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

func (s *Files) create(ctx context.Context, p *partition, kind events.Kind, now time.Time) error {
	if len(s.open) >= maxOpen {
		for _, out := range s.ordered(func(a, b *File) int { return a.touched.Compare(b.touched) })[:maxClosing] {
			s.close(out)
		}
		if err := s.commit(ctx); err != nil {
			return err
		}
	}
	out := &File{Path: p.path, After: p.taken, partition: p, since: now, extension: s.format.Extension()}
	err := s.Fault("create")
	if err == nil {
		err = s.destination.Create(out)
	}
	if err != nil {
		return fmt.Errorf("file for %s: %w", p.path, err)
	}
	out.Spool = s.Wrap(out.Spool)
	out.encoder = s.format.Encoder(kind)
	p.out = out
	s.open[out] = true
	return nil
}

// ordered gives the open files in an order.
func (s *Files) ordered(order func(a, b *File) int) []*File {
	return slices.SortedFunc(maps.Keys(s.open), order)
}

// relieve closes those open files that hold most memory, until a quarter of what may be held is free.
func (s *Files) relieve() {
	for _, out := range s.ordered(func(a, b *File) int { return cmp.Compare(b.held, a.held) }) {
		if s.held <= maxHeld*3/4 {
			return
		}
		s.close(out)
	}
}

// closeOld closes files by age and by idleness.
func (s *Files) closeOld(ctx context.Context, now time.Time) error {
	for out := range s.open {
		if now.Sub(out.since) >= s.options.Age || now.Sub(out.touched) >= s.options.Idle {
			s.close(out)
		}
	}
	return s.commit(ctx)
}

// close lets a file get no more events. What it holds in memory is on its way to the disk.
func (s *Files) close(out *File) {
	delete(s.open, out)
	out.partition.out = nil
	s.hold(out, 0)
	s.closing = append(s.closing, out)
}

// commit makes every closed file durable, in order.
func (s *Files) commit(ctx context.Context) error {
	for len(s.closing) > 0 {
		batch, err := s.written()
		if len(batch) > 0 {
			commitErr := s.keep(ctx, batch)
			if commitErr == nil {
				commitErr = s.destination.Commit(ctx, batch)
			}
			s.settle(batch)
			err = cmp.Or(commitErr, err)
		}
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return nil
}

// written gives the first closed file of each path; of these, the ones before what could not be written.
func (s *Files) written() (batch []*File, err error) {
	paths := make(map[*partition]bool)
	for _, out := range s.closing {
		if paths[out.partition] {
			continue
		}
		paths[out.partition] = true
		if err := s.finish(out); err != nil {
			return batch, fmt.Errorf("%s/%s: %w", out.Path, out.Name(), err)
		}
		batch = append(batch, out)
	}
	return batch, nil
}

// settle notes what of a batch is durable.
func (s *Files) settle(batch []*File) {
	for _, out := range batch {
		if !out.Durable {
			continue
		}
		_ = out.Spool.Close() // what of it matters is durable
		out.partition.committed = out.Last()
		s.durable = append(s.durable, out.sequences...)
	}
	s.closing = slices.DeleteFunc(s.closing, func(out *File) bool { return out.Durable })
}

// finish writes all that a closed file holds.
func (s *Files) finish(out *File) (err error) {
	if out.encoder != nil {
		if out.buffer, err = out.encoder.Finish(out.buffer); err != nil {
			return fmt.Errorf("encode: %w: %w", sinks.ErrReopen, err)
		}
		out.encoder = nil
	}
	if len(out.buffer) == 0 {
		return nil
	}
	return s.write(out)
}

// write brings the buffer into the file. After an error the same bytes are written again to the same place, so that half a line
// of a full disk is overwritten.
func (s *Files) write(out *File) error {
	if err := s.Fault("write"); err != nil {
		return fmt.Errorf("write %s: %w", out.Temp, err)
	}
	if _, err := out.Spool.WriteAt(out.buffer, out.Size); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	out.Size += int64(len(out.buffer))
	if cap(out.buffer) > 4*bufferSize {
		out.buffer = nil // a large event's, or a row group
	}
	out.buffer = out.buffer[:0]
	return nil
}
