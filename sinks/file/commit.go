package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/sinks"
)

// The commit of a file, one step after the other; each can be tried again, and a crash between any two is mended by recover.
//
//	open/<n>                       a file that may be torn or not; a crash throws it away, its events come again
//	pending/<path>/<stem>.pending  whole, synced, decided: it will be published, now or by the next owner
//	done/<path>/<stem>.mark        the mark beside it, a hard link: it outlives what a loader does to the published file
//	<dir>/<path>/<stem>.ndjson     published, by one rename out of pending: there is no moment in which it is in both or in neither, so
//	                               the next owner knows by pending alone whether it was published, even when a loader has deleted it since
var steps = []struct {
	name string
	run  func(*Sink, *output) error
}{
	{"write", (*Sink).write},
	// The bytes are on the disk before the name says that they are.
	{"sync", func(_ *Sink, out *output) error { return lossy(out.file.Sync()) }},
	{"pending directory", func(s *Sink, out *output) error { return s.mkdir(s.pendingDir(out.partition.path)) }},
	{"intend", func(s *Sink, out *output) error { return s.root.Rename(out.temp, s.pending(out.name())) }},
	// The intent is on the disk before the mark: a mark without an intent says "published".
	{"sync intent", func(s *Sink, out *output) error { return lossy(s.sync(s.pendingDir(out.partition.path))) }},
	{"done directory", func(s *Sink, out *output) error { return s.mkdir(s.doneDir(out.partition.path)) }},
	// The mark is on the disk before the file can be seen: once a loader can take it away, nothing else says that its events were written.
	{"mark", func(s *Sink, out *output) error { return s.mark(out.name()) }},
	{"sync mark", func(s *Sink, out *output) error { return lossy(s.sync(s.doneDir(out.partition.path))) }},
	{"directory", func(s *Sink, out *output) error { return s.mkdir(out.partition.path) }},
	{"publish", func(s *Sink, out *output) error { return s.publish(out.name()) }},
	// The file is there for good before its events are acknowledged.
	{"sync directory", func(s *Sink, out *output) error { return lossy(s.sync(out.partition.path)) }},
}

// lossy marks the error of a sync: the kernel may have dropped what was not written, and a second sync would say that all is well.
func lossy(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", sinks.ErrReopen, err)
}

// name is the file's path below the directory.
func (out *output) name() string {
	first, last := out.sequences[0], out.sequences[len(out.sequences)-1]
	return path.Join(out.partition.path, fileName(first, last))
}

// commit makes every closed file durable, in order.
func (s *Sink) commit() error {
	for len(s.closing) > 0 {
		out := s.closing[0]
		for ; out.done < len(steps); out.done++ {
			step := steps[out.done]
			err := s.fault(step.name)
			if err == nil {
				err = step.run(s, out)
			}
			if err != nil {
				return fmt.Errorf("commit %s: %s: %w", out.name(), step.name, err)
			}
		}
		_ = out.file.Close() // it is synced
		p := out.partition
		p.committed = out.sequences[len(out.sequences)-1]
		s.marks = append(s.marks, mark{name: out.name(), last: p.committed, at: time.Now()})
		s.durable = append(s.durable, out.sequences...)
		s.closing = s.closing[1:]
	}
	return nil
}

// mark links a pending file under done.
func (d *directory) mark(name string) error {
	err := d.root.Link(d.pending(name), d.done(name))
	if errors.Is(err, fs.ErrExist) {
		return d.same(d.pending(name), d.done(name))
	}
	return err
}

// publish renames a pending file to where loaders look. A rename would replace what is there: nothing may be.
func (d *directory) publish(name string) error {
	switch _, err := d.root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return d.root.Rename(d.pending(name), name)
	case err != nil:
		return err
	}
	// After a power cut some file systems show a rename's two names at once.
	if err := d.same(d.pending(name), name); err != nil {
		return err
	}
	return d.root.Remove(d.pending(name))
}

// same reports an error unless two names are one file.
func (d *directory) same(a, b string) error {
	infoA, err := d.root.Lstat(a)
	if err != nil {
		return err
	}
	infoB, err := d.root.Lstat(b)
	if err != nil {
		return err
	}
	if !os.SameFile(infoA, infoB) {
		return fmt.Errorf("%s is another file; move it away", b)
	}
	return nil
}

// recover publishes what the last owner had decided to publish, and throws away what it had not.
func (d *directory) recover() error {
	if err := d.empty("open"); err != nil {
		return err
	}
	names, err := d.files(d.pendingDir("."), pendingSuffix)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := d.republish(name); err != nil {
			return fmt.Errorf("publish %s, which an earlier process had written: %w", name, err)
		}
	}
	return nil
}

func (d *directory) republish(name string) error {
	dir := path.Dir(name)
	for _, step := range []func() error{
		func() error { return d.mkdir(d.doneDir(dir)) },
		func() error { return d.mark(name) },
		func() error { return d.sync(d.doneDir(dir)) },
		func() error { return d.mkdir(dir) },
		func() error { return d.publish(name) },
		func() error { return d.sync(dir) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

const extension = ".ndjson"

// fileName names a file after the first and last sequence of its path that it holds.
func fileName(first, last uint64) string { return fmt.Sprintf("%020d-%020d%s", first, last, extension) }

// parseName reads what fileName wrote; false for every other name.
func parseName(name string) (last uint64, ok bool) {
	stem, ok := strings.CutSuffix(name, extension)
	if !ok || len(stem) != 41 || stem[20] != '-' {
		return 0, false
	}
	first, err := strconv.ParseUint(stem[:20], 10, 64)
	if err != nil {
		return 0, false
	}
	last, err = strconv.ParseUint(stem[21:], 10, 64)
	return last, err == nil && first <= last
}
