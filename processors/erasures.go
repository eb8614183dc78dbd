package processors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parley-stream/parley/events/broker"
)

// Erasures is the list of who was erased that lies outside of the streams, in a file of digests, so that it outlives that they are restored
// from a backup which is older. The empty path is no list.
type Erasures string

// erasuresTitle begins the file; the name of the key that the digests were made with follows.
const erasuresTitle = "parley erased, key "

// Check gives an error that says what to do when the list knows erasures that the streams do not.
func (l Erasures) Check(ctx context.Context, b *broker.Broker) error {
	key, digests, err := l.read()
	if err != nil || len(digests) == 0 {
		return err
	}
	unknown, theirs, err := b.Unknown(ctx, digests)
	switch {
	case err != nil:
		return err
	case theirs != "" && theirs != key:
		return l.another(key, theirs)
	case len(unknown) > 0:
		return fmt.Errorf("the streams do not know %d of the %d erasures in %s: they were restored from a backup that is older, and hold persons who were "+
			"forgotten since. Run `parley forget --again`, then start once more", len(unknown), len(digests), string(l))
	}
	return nil
}

func (l Erasures) another(key, theirs string) error {
	return fmt.Errorf("%s lists the erasures of another installation: its digests were made with the key %s, and the streams have %s", string(l), key, theirs)
}

// read gives the digests, and the name of their key; nothing when there is no file yet.
func (l Erasures) read() (key string, digests []string, err error) {
	if l == "" {
		return "", nil, nil
	}
	content, err := os.ReadFile(string(l))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("list of erasures: %w", err)
	}
	lines := strings.Fields(strings.TrimPrefix(string(content), erasuresTitle))
	if !strings.HasPrefix(string(content), erasuresTitle) || len(lines) == 0 {
		return "", nil, fmt.Errorf("%s is no list of erasures: want %q in its first line", string(l), erasuresTitle+"…")
	}
	return lines[0], lines[1:], nil
}

// digests gives those of the list, which must be of this key.
func (l Erasures) digests(key string) ([]string, error) {
	theirs, digests, err := l.read()
	if err == nil && theirs != "" && theirs != key {
		err = l.another(theirs, key)
	}
	return digests, err
}

// add writes digests that the list does not have. It is on disk, whole, when add returns.
func (l Erasures) add(key string, fresh []string) error {
	if l == "" {
		return nil
	}
	digests, err := l.digests(key)
	if err != nil {
		return err
	}
	all := slices.Compact(slices.Sorted(slices.Values(append(digests, fresh...))))
	if len(all) == len(digests) {
		return nil
	}
	if err := l.replace(erasuresTitle + key + "\n" + strings.Join(all, "\n") + "\n"); err != nil {
		return fmt.Errorf("list of erasures: %w", err)
	}
	return nil
}

// replace puts a new file in the old one's place: a crash leaves one of the two.
func (l Erasures) replace(content string) error {
	dir := filepath.Dir(string(l))
	temporary, err := os.CreateTemp(dir, filepath.Base(string(l))+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // it is gone after the rename
	_, err = temporary.WriteString(content)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), string(l))
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}
