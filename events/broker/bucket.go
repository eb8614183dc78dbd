package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is one of the key-value buckets.
type Bucket struct {
	name string
	kv   jetstream.KeyValue
}

// Entry is a key's value and the revision that a compare-and-set names.
type Entry struct {
	Value    []byte
	Revision uint64
}

// Bucket opens a bucket that Provision made.
func (b *Broker) Bucket(ctx context.Context, name string) (*Bucket, error) {
	kv, err := b.js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	return &Bucket{name: name, kv: kv}, nil
}

// Get gives a key's entry, or ErrNotFound.
func (k *Bucket) Get(ctx context.Context, key string) (Entry, error) {
	e, err := k.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s/%s: %w", k.name, key, err)
	}
	return Entry{Value: e.Value(), Revision: e.Revision()}, nil
}

// Set stores a value if the key's revision is still the given one (0: the key does not exist), or gives ErrConflict.
func (k *Bucket) Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	var err error
	if revision == 0 {
		revision, err = k.kv.Create(ctx, key, value)
		if errors.Is(err, jetstream.ErrKeyExists) {
			err = ErrConflict
		}
	} else {
		revision, err = k.kv.Update(ctx, key, value, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("%s/%s: %w", k.name, key, apiError(err))
	}
	return revision, nil
}

// Put stores a value whatever was there.
func (k *Bucket) Put(ctx context.Context, key string, value []byte) error {
	if _, err := k.kv.Put(ctx, key, value); err != nil {
		return fmt.Errorf("%s/%s: %w", k.name, key, err)
	}
	return nil
}

// Delete removes a key, whatever it holds.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	if err := k.kv.Purge(ctx, key); err != nil {
		return fmt.Errorf("%s/%s: %w", k.name, key, err)
	}
	return nil
}

// All gives every key that a pattern of subjects (source.*.*) matches.
func (k *Bucket) All(ctx context.Context, pattern string) (map[string]Entry, error) {
	w, err := k.kv.Watch(ctx, pattern, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", k.name, pattern, err)
	}
	defer w.Stop() //nolint:errcheck // the watch is gone either way
	all := make(map[string]Entry)
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return nil, fmt.Errorf("%s/%s: %w", k.name, pattern, ErrIncomplete)
			}
			if e == nil {
				return all, nil
			}
			all[e.Key()] = Entry{Value: e.Value(), Revision: e.Revision()}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Mirror is a copy of part of a bucket that follows it. It may lag by a moment.
type Mirror struct {
	mu      sync.Mutex
	entries map[string]Entry
	ready   chan struct{}
}

// NewMirror gives an empty one; Bucket.Follow keeps it current.
func NewMirror() *Mirror { return &Mirror{entries: make(map[string]Entry), ready: make(chan struct{})} }

// Ready is closed once the mirror holds what was there at its start.
func (m *Mirror) Ready() <-chan struct{} { return m.ready }

// Entries gives a copy.
func (m *Mirror) Entries() map[string]Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]Entry, len(m.entries))
	for k, e := range m.entries {
		out[k] = e
	}
	return out
}

// Follow keeps a mirror of the keys under a pattern until the context ends.
func (k *Bucket) Follow(ctx context.Context, pattern string, m *Mirror) error {
	w, err := k.kv.Watch(ctx, pattern)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", k.name, pattern, err)
	}
	defer w.Stop() //nolint:errcheck // the watch is gone either way
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("%s/%s: the watch ended", k.name, pattern)
			}
			m.apply(e)
		}
	}
}

func (m *Mirror) apply(e jetstream.KeyValueEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case e == nil:
		select {
		case <-m.ready:
		default:
			close(m.ready)
		}
	case e.Operation() == jetstream.KeyValuePut:
		m.entries[strings.Clone(e.Key())] = Entry{Value: e.Value(), Revision: e.Revision()}
	default:
		delete(m.entries, e.Key())
	}
}
