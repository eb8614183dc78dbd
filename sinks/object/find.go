package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/parley-stream/parley/sinks/internal/format"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// finder looks into what a prefix holds.
type finder struct{ config }

// Find implements sinks.Finder. Places are the objects' URLs. Each is copied to the spool first, one at a time.
func (f finder) Find(ctx context.Context, entities []string, found func(place string, events int) error) error {
	store, err := f.store(ctx)
	if err != nil {
		return err
	}
	subjects := format.NewSubjects(entities)
	keys, err := f.keys(ctx, store)
	if err != nil {
		return err
	}
	var unread []error
	for _, key := range keys {
		events, err := f.count(ctx, store, key, subjects)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errMissing): // moved away since
		case err != nil:
			unread = append(unread, fmt.Errorf("read %s: %w", store.place(key), err))
		case events > 0:
			if err := found(store.place(key), events); err != nil {
				return errors.Join(append(unread, err)...)
			}
		}
	}
	return errors.Join(unread...)
}

func (f finder) keys(ctx context.Context, s store) (keys []string, err error) {
	err = s.list(ctx, f.prefix, false, func(o found) bool {
		_, _, ours := rolling.ParseName(path.Base(o.key))
		if ours && !strings.HasPrefix(o.key, f.prefix+hidden) {
			keys = append(keys, o.key)
		}
		return true
	})
	return keys, err
}

func (f finder) count(ctx context.Context, s store, key string, subjects format.Subjects) (events int, err error) {
	if err := os.MkdirAll(f.spool, 0o700); err != nil {
		return 0, err
	}
	spool, err := unnamed(f.spool)
	if err != nil {
		return 0, err
	}
	defer spool.Close()
	content, err := s.read(ctx, key)
	if err != nil {
		return 0, err
	}
	size, err := io.Copy(spool, content)
	if err = errors.Join(err, content.Close()); err != nil {
		return 0, err
	}
	return subjects.Count(key, spool, size)
}

// unnamed makes a file that has no name: it goes with the process, however that ends.
func unnamed(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "*")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}
