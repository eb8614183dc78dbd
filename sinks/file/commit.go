package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// The commit of a file, one step after the other; each can be tried again, and a crash between any two is mended by recover.
//
//	open/<n>                       a file that may be torn or not; a crash throws it away, its events come again
//	pending/<path>/<name>.pending  whole, synced, decided: it will be published, now or by the next owner
//	done/<path>/<name>.mark        the mark beside it, a hard link: it outlives what a loader does to the published file
//	<dir>/<path>/<name>            published, by one rename out of pending: there is no moment in which it is in both or in neither, so
//	                               the next owner knows by pending alone whether it was published, even when a loader has deleted it since
//
// Files are committed together, each step for all of them before the next: the disk is waited for a few times, and not a few times for each file.
var steps = []struct {
	name   string
	atOnce int
	run    func(*Sink, *rolling.File) error
}{
	// The bytes are on the disk before the name says that they are.
	{"sync", syncs, func(_ *Sink, out *rolling.File) error { return lossy(out.Spool.Sync()) }},
	{"pending directory", 1, func(s *Sink, out *rolling.File) error { return s.mkdir(s.pendingDir(out.Path)) }},
	{"intend", 1, func(s *Sink, out *rolling.File) error { return s.root.Rename(out.Temp, s.pending(nameOf(out))) }},
	// The intent is on the disk before the mark: a mark without an intent says "published".
	{"sync intent", syncs, func(s *Sink, out *rolling.File) error { return lossy(s.sync(s.pendingDir(out.Path))) }},
	{"done directory", 1, func(s *Sink, out *rolling.File) error { return s.mkdir(s.doneDir(out.Path)) }},
	// The mark is on the disk before the file can be seen: once a loader can take it away, nothing else says that its events were written.
	{"mark", 1, func(s *Sink, out *rolling.File) error { return s.mark(nameOf(out)) }},
	{"sync mark", syncs, func(s *Sink, out *rolling.File) error { return lossy(s.sync(s.doneDir(out.Path))) }},
	{"directory", 1, func(s *Sink, out *rolling.File) error { return s.mkdir(out.Path) }},
	{"publish", 1, func(s *Sink, out *rolling.File) error { return s.publish(nameOf(out)) }},
	// The file is there for good before its events are acknowledged.
	{"sync directory", syncs, func(s *Sink, out *rolling.File) error { return lossy(s.sync(out.Path)) }},
}

// syncs is how many syncs the disk is given at once: it does them together.
const syncs = 16

// lossy marks the error of a sync: the kernel may have dropped what was not written, and a second sync would say that all is well.
func lossy(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", sinks.ErrReopen, err)
}

// nameOf is the file's path below the directory.
func nameOf(out *rolling.File) string { return path.Join(out.Path, out.Name()) }

// Commit implements rolling.Destination.
func (s *Sink) Commit(_ context.Context, files []*rolling.File) error {
	for i, step := range steps {
		due := slices.DeleteFunc(slices.Clone(files), func(out *rolling.File) bool { return out.Done != i })
		err := rolling.Each(due, step.atOnce, func(out *rolling.File) error {
			err := s.fault(step.name)
			if err == nil {
				err = step.run(s, out)
			}
			if err != nil {
				return fmt.Errorf("%s %s: %w", step.name, nameOf(out), err)
			}
			out.Done++
			return nil
		})
		if err = errors.Join(err, s.syncParents()); err != nil {
			return err
		}
	}
	for _, out := range files {
		out.Durable = true
		s.marks = append(s.marks, mark{name: nameOf(out), last: out.Last(), at: time.Now()})
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
		return d.move(name)
	case err != nil:
		return err
	}
	// After a power cut some file systems show a rename's two names at once.
	if err := d.same(d.pending(name), name); err != nil {
		return err
	}
	return d.root.Remove(d.pending(name))
}

// move does so where nothing is. A loader may have removed the directory that it had emptied.
func (d *directory) move(name string) error {
	err := d.root.Rename(d.pending(name), name)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.forget(path.Dir(name))
	if err := errors.Join(d.mkdir(path.Dir(name)), d.syncParents()); err != nil {
		return err
	}
	return d.root.Rename(d.pending(name), name)
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
		d.syncParents,
		func() error { return d.publish(name) },
		func() error { return d.sync(dir) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
