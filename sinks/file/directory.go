package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// The names of files below hidden do not end like a published one's: a loader that looks there all the same reads nothing twice.
const (
	pendingSuffix = ".pending"
	markSuffix    = ".mark"
)

const (
	hidden   = ".parley"
	dirMode  = 0o700
	fileMode = 0o600
	// markGrace is how long a mark outlives the acknowledgement of its events: the server writes its consumers' positions lazily, and
	// forgets the last moments of them when it crashes.
	markGrace  = time.Hour
	pruneEvery = time.Minute
)

// directory is the destination under its owner's lock. All access goes through root: no name leads outside.
type directory struct {
	root  *os.Root
	lock  *os.File
	state string // .parley/<sink>
	// highest is a sequence that the stream has reached.
	highest uint64
	marks   []mark
	temps   int
	// made are the directories that are known to be there; parents are those in which one may not be on the disk yet.
	made, parents map[string]bool
	// fault stands before every step that touches the disk; tests make it fail.
	fault func(step string) error
}

// mark says that everything of a path up to a sequence is committed.
type mark struct {
	name string // of the file, below the directory
	last uint64
	at   time.Time
}

func (d *directory) pendingDir(dir string) string { return path.Join(d.state, "pending", dir) }
func (d *directory) doneDir(dir string) string    { return path.Join(d.state, "done", dir) }

// pending and done give where a file is before it is published, and its mark.
func (d *directory) pending(name string) string { return d.pendingDir(name) + pendingSuffix }
func (d *directory) done(name string) string    { return d.doneDir(name) + markSuffix }

// open implements sinks.Opener.
func (c config) open(ctx context.Context, o sinks.Ownership) (sinks.Sink, error) {
	if err := os.MkdirAll(c.dir, dirMode); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, err
	}
	s := &Sink{finder: finder{c.dir}, directory: directory{
		root: root, state: path.Join(hidden, o.Sink), highest: o.LastSequence, fault: func(string) error { return nil },
		made: make(map[string]bool), parents: make(map[string]bool),
	}, pruned: time.Now()}
	s.files = rolling.New(c.options, s)
	err = s.prepare(o)
	if err == nil {
		err = s.follow(ctx, o)
	}
	if err != nil {
		_ = s.release()
		return nil, fmt.Errorf("directory %s: %w", c.dir, err)
	}
	for _, m := range s.marks {
		s.files.Note(path.Dir(m.name), m.last)
	}
	return s, nil
}

// prepare locks the directory, makes sure that it belongs to this sink, and brings it in order.
func (d *directory) prepare(o sinks.Ownership) error {
	// Looked at before the sink's own folder is made: a refused sink leaves nothing behind that would refuse the rightful one.
	if err := d.unshared(o.Sink); err != nil {
		return err
	}
	if err := errors.Join(d.mkdir(d.state), d.syncParents()); err != nil {
		return err
	}
	if err := d.acquire(); err != nil {
		return err
	}
	if err := d.claim(o); err != nil {
		return err
	}
	for _, dir := range []string{"open", "pending", "done"} {
		if err := d.mkdir(path.Join(d.state, dir)); err != nil {
			return err
		}
	}
	if err := errors.Join(d.syncParents(), d.recover()); err != nil {
		return err
	}
	return d.readMarks()
}

// acquire takes the lock that keeps an owner who was paused, and does not know yet that another took over, from writing beside
// it. The kernel frees it when the process ends, however it ends.
func (d *directory) acquire() error {
	lock, err := d.root.OpenFile(path.Join(d.state, "lock"), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	d.lock = lock
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, 32)
		n, _ := lock.ReadAt(holder, 0)
		return fmt.Errorf("is still locked by the sink's last owner (process %s); waiting for it to end or to go on: %w", strings.TrimSpace(string(holder[:n])), sinks.ErrBusy)
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	_, err = lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// unshared refuses a directory that another sink has.
func (d *directory) unshared(name string) error {
	owners, err := fs.ReadDir(d.root.FS(), hidden)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, owner := range owners {
		if owner.Name() != name {
			return fmt.Errorf("belongs to the sink %q; give each sink a directory of its own", owner.Name())
		}
	}
	return err
}

// claim makes the directory this sink's in this stream store. Names of another would say of events that they are committed which never were.
func (d *directory) claim(o sinks.Ownership) error {
	name := path.Join(d.state, "origin")
	origin, err := d.root.ReadFile(name)
	if err == nil && string(origin) == o.Origin {
		return nil
	}
	empty, emptyErr := d.untouched()
	switch {
	case emptyErr != nil:
		return emptyErr
	case err == nil && empty:
		// Nothing was ever written here: whoever opened it only looked.
		if err := d.root.Remove(name); err != nil {
			return err
		}
		return d.writeOnce(name, o.Origin)
	case err == nil:
		return errors.New("holds files that came from another stream store (was PARLEY_DATA_DIR removed?); give the sink another directory, or empty this one with its .parley")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	found, err := d.stranger()
	if err != nil {
		return err
	}
	if found != "" {
		return fmt.Errorf("holds files of an earlier sink (%s); give this one another directory, or empty it", found)
	}
	return d.writeOnce(name, o.Origin)
}

// stranger finds a file that looks like a sink's.
func (d *directory) stranger() (found string, err error) {
	err = fs.WalkDir(d.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == hidden {
			return fs.SkipDir
		}
		if _, _, ours := rolling.ParseName(entry.Name()); ours {
			found = name
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}

// untouched tells whether no event was ever written here: there is no file, none on its way and no mark.
func (d *directory) untouched() (bool, error) {
	if found, err := d.stranger(); err != nil || found != "" {
		return false, err
	}
	empty := true
	err := fs.WalkDir(d.root.FS(), d.state, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path.Dir(name) != d.state {
			empty = false
		}
		return err
	})
	return empty, err
}

// writeOnce makes a small file that is whole or absent.
func (d *directory) writeOnce(name, content string) error {
	temp := name + ".new"
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := d.root.Rename(temp, name); err != nil {
		return err
	}
	return d.sync(path.Dir(name))
}

func (d *directory) readMarks() error {
	names, err := d.files(d.doneDir("."), markSuffix)
	if err != nil {
		return err
	}
	for _, name := range names {
		_, last, _ := rolling.ParseName(path.Base(name))
		if err := d.plausible(name, last); err != nil {
			return err
		}
		info, err := d.root.Lstat(d.done(name))
		if err != nil {
			return err
		}
		d.marks = append(d.marks, mark{name: name, last: last, at: info.ModTime()})
	}
	return nil
}

// plausible refuses names of sequences that the stream has not reached: they are another stream's.
func (d *directory) plausible(name string, last uint64) error {
	if last <= d.highest {
		return nil
	}
	return fmt.Errorf("%s names a sequence that the stream has not reached (%d): it is another stream's; give the sink another directory, or empty this one with its .parley",
		name, d.highest)
}

// lastIn gives the last sequence that the published files of a path hold.
func (d *directory) lastIn(dir string) (last uint64, err error) {
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		_, n, ours := rolling.ParseName(entry.Name())
		if !ours || n <= last {
			continue
		}
		if err := d.plausible(path.Join(dir, entry.Name()), n); err != nil {
			return 0, err
		}
		last = n
	}
	return last, nil
}

// prune removes marks that no event can ask for any more.
func (s *Sink) prune(floor uint64, now time.Time) {
	if now.Sub(s.pruned) < pruneEvery {
		return
	}
	s.pruned = now
	kept := s.marks[:0]
	for _, m := range s.marks {
		if m.last > floor || now.Sub(m.at) < markGrace {
			kept = append(kept, m)
			continue
		}
		// What cannot be removed now is found again at the next start.
		_ = s.root.Remove(s.done(m.name))
		if dir := s.doneDir(path.Dir(m.name)); s.root.Remove(dir) == nil { // it was empty
			s.forget(dir)
		}
	}
	s.marks = kept
}

// Create implements rolling.Destination.
func (d *directory) Create(out *rolling.File) error {
	d.temps++
	out.Temp = path.Join(d.state, "open", fmt.Sprintf("%08d", d.temps))
	file, err := d.root.OpenFile(out.Temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	out.Spool = file
	return err
}

// mkdir makes a directory and those above it; syncParents is called after it. A symbolic link is refused: it could lead two paths into
// one directory.
func (d *directory) mkdir(dir string) error {
	for i := 0; i < len(dir) && !d.made[dir]; {
		end := strings.IndexByte(dir[i:], '/')
		if end < 0 {
			end = len(dir) - i
		}
		i += end
		if err := d.mkdirOne(dir[:i]); err != nil {
			return err
		}
		i++
	}
	return nil
}

func (d *directory) mkdirOne(dir string) error {
	if d.made[dir] {
		return nil
	}
	if err := d.root.Mkdir(dir, dirMode); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err := d.root.Lstat(dir)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is %s, want a directory", dir, info.Mode().Type())
		}
	}
	d.made[dir], d.parents[path.Dir(dir)] = true, true
	return nil
}

// forget says that a directory may be gone, and those above it.
func (d *directory) forget(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		delete(d.made, dir)
	}
}

// syncParents brings to the disk that there are the directories which mkdir has found or made: one that a process made may not be there yet, whoever
// made it.
func (d *directory) syncParents() error {
	err := rolling.Each(slices.Collect(maps.Keys(d.parents)), syncs, d.sync)
	if err == nil {
		clear(d.parents)
	}
	return lossy(err)
}

func (d *directory) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// files lists the files whose stand-ins with a suffix are below a directory, by the names under which they are published, and removes
// directories that are empty.
func (d *directory) files(top, suffix string) (names []string, err error) {
	var dirs []string
	err = fs.WalkDir(d.root.FS(), top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != top {
				dirs = append(dirs, name)
			}
			return nil
		}
		published, found := strings.CutSuffix(name, suffix)
		if _, _, ours := rolling.ParseName(path.Base(published)); found && ours && entry.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(published, top+"/"))
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = d.root.Remove(dirs[i])
	}
	return names, err
}

func (d *directory) empty(dir string) error {
	dir = path.Join(d.state, dir)
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := d.root.Remove(path.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// release lets the directory go.
func (d *directory) release() error {
	var err error
	if d.lock != nil {
		err = d.lock.Close()
	}
	return errors.Join(err, d.root.Close())
}
