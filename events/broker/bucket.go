package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is one of the key-value buckets.
type Bucket struct {
	broker *Broker
	name   string
	kv     jetstream.KeyValue
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
	return &Bucket{broker: b, name: name, kv: kv}, nil
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
	ctx, cancel := k.broker.whileConnected(ctx, allPatience)
	defer cancel()
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
			return nil, fmt.Errorf("%s/%s: %w", k.name, pattern, context.Cause(ctx))
		}
	}
}

// allPatience is how long All may take.
const allPatience = 30 * time.Second

// Announce says under a name of the members' bucket that this process is alive, until the context ends; then it says that it left.
func (b *Broker) Announce(ctx context.Context, name string) {
	members, err := b.Bucket(ctx, MembersBucket)
	for ctx.Err() == nil {
		if err == nil {
			err = members.Put(ctx, name, []byte("1"))
		} else {
			members, err = b.Bucket(ctx, MembersBucket)
		}
		if err != nil && ctx.Err() == nil {
			b.options.Logger.Debug("a member could not say that it is alive", "name", name, "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(MemberTTL / 5):
		}
	}
	if members == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = members.Delete(ctx, name) // it is forgotten after MemberTTL anyway
}

// Mirror follows a bucket for one who keeps a copy of it. It may lag by a moment.
type Mirror struct {
	mu      sync.Mutex
	changes map[string]Entry
	ready   chan struct{}
	reached uint64 // the latest revision that was seen
}

// NewMirror gives an empty one; Bucket.Follow keeps it current.
func NewMirror() *Mirror { return &Mirror{changes: make(map[string]Entry), ready: make(chan struct{})} }

// Ready is closed once the mirror has seen what was there at its start.
func (m *Mirror) Ready() <-chan struct{} { return m.ready }

// Changes gives the last entry of each key that was written since Changes was last called, at first of all; the zero Entry says that the key
// was deleted.
func (m *Mirror) Changes() map[string]Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	changes := m.changes
	m.changes = make(map[string]Entry)
	return changes
}

// lookBehind is how often a mirror is compared with its bucket.
const lookBehind = 2 * time.Second

// Follow keeps a mirror current until the context ends, whatever happens to the server meanwhile: a watch that its server forgot looks
// like a bucket that nobody writes to, so the bucket is asked how far it is.
func (k *Bucket) Follow(ctx context.Context, m *Mirror) error {
	for ctx.Err() == nil {
		if err := k.watch(ctx, m); ctx.Err() == nil {
			k.broker.options.Logger.Debug("a bucket is watched anew", "bucket", k.name, "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookBehind / 8):
		}
	}
	return ctx.Err()
}

// watch applies what comes until the watch ends or falls behind.
func (k *Bucket) watch(ctx context.Context, m *Mirror) error {
	w, err := k.kv.Watch(ctx, ">")
	if err != nil {
		return fmt.Errorf("watch %s: %w", k.name, err)
	}
	defer w.Stop() //nolint:errcheck // the watch is gone either way
	look := time.NewTicker(lookBehind)
	defer look.Stop()
	for before := uint64(0); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("watch %s: it ended", k.name)
			}
			m.apply(e)
		case <-look.C:
			last, err := k.last(ctx)
			if err != nil {
				return err
			}
			// What was there at the last look and is still not here does not come any more.
			if reached := m.revision(); reached < before {
				return fmt.Errorf("watch %s: it is at revision %d, and the bucket was at %d for %s", k.name, reached, before, lookBehind)
			}
			before = last
		}
	}
}

// last is the revision of the latest write to the bucket.
func (k *Bucket) last(ctx context.Context) (uint64, error) {
	state, err := k.broker.StreamState(ctx, "KV_"+k.name)
	return state.LastSeq, err
}

func (m *Mirror) revision() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reached
}

func (m *Mirror) apply(e jetstream.KeyValueEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e == nil {
		select {
		case <-m.ready:
		default:
			close(m.ready)
		}
		return
	}
	m.reached = max(m.reached, e.Revision())
	entry := Entry{}
	if e.Operation() == jetstream.KeyValuePut {
		entry = Entry{Value: e.Value(), Revision: e.Revision()}
	}
	m.changes[strings.Clone(e.Key())] = entry
}

// Copy is all that a bucket holds, as a mirror tells it. It may lag by a moment, and is safe for concurrent use.
type Copy struct {
	mirror *Mirror

	mu      sync.Mutex
	entries map[string]Entry
}

// NewCopy gives an empty one; Follow keeps it current.
func NewCopy() *Copy { return &Copy{mirror: NewMirror(), entries: make(map[string]Entry)} }

// Follow keeps the copy current until the context ends, whose error it returns.
func (c *Copy) Follow(ctx context.Context, k *Bucket) error { return k.Follow(ctx, c.mirror) }

// Ready is closed once the copy holds what was there at its start.
func (c *Copy) Ready() <-chan struct{} { return c.mirror.Ready() }

// Entries gives what the bucket holds, by key.
func (c *Copy) Entries() map[string]Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	return maps.Clone(c.entries)
}

func (c *Copy) has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	_, there := c.entries[key]
	return there
}

func (c *Copy) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.update()
	return len(c.entries)
}

// update takes over what changed; under mu.
func (c *Copy) update() {
	for key, entry := range c.mirror.Changes() {
		if c.entries[key] = entry; entry.Revision == 0 {
			delete(c.entries, key)
		}
	}
}
