package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/format"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// NewFinder is New for who only looks: it needs no ownership, and reads beside the sink that writes.
func NewFinder(_ sinks.Settings, vars *settings.Vars, u *url.URL, _ sinks.Env) sinks.Finder {
	return finder{directoryOf(u, func(want string) { vars.Fault("URL", want) })}
}

type finder struct{ dir string }

// Find implements sinks.Finder. Places are paths below the directory. Beside published files these are, below .parley, files that are
// decided and not published yet, and marks: a mark is a link to what its file held, and keeps it when the file is removed or replaced. Who
// removes what was found removes it in every place; the sink needs no mark of what it was acknowledged for.
func (f finder) Find(ctx context.Context, entities []string, found func(place string, events int) error) error {
	root, err := os.OpenRoot(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	s := search{root: root, subjects: format.NewSubjects(entities), found: found}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil // moved away since
		case err != nil:
			s.unread = append(s.unread, err)
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		return s.look(name)
	})
	return errors.Join(append(s.unread, err)...)
}

// search is one Find.
type search struct {
	root     *os.Root
	subjects format.Subjects
	found    func(place string, events int) error
	unread   []error
}

func (s *search) look(name string) error {
	published := publishedName(name)
	if _, _, ours := rolling.ParseName(path.Base(published)); !ours {
		return nil
	}
	events, err := s.count(name, published)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		s.unread = append(s.unread, fmt.Errorf("read %s: %w", name, err))
		return nil
	case events == 0:
		return nil
	}
	return s.found(name, events)
}

// publishedName gives the name that a file below .parley has, had or will have.
func publishedName(name string) string {
	below, hides := strings.CutPrefix(name, hidden+"/")
	if !hides {
		return name
	}
	_, below, _ = strings.Cut(below, "/") // the sink's
	for dir, suffix := range map[string]string{"pending/": pendingSuffix, "done/": markSuffix} {
		if rest, ok := strings.CutPrefix(below, dir); ok {
			return strings.TrimSuffix(rest, suffix)
		}
	}
	return ""
}

func (s *search) count(name, published string) (events int, err error) {
	file, err := s.root.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return s.subjects.Count(published, file, info.Size())
}
