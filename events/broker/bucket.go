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
	var kv jetstream.KeyValue
	err := b.ask(ctx, on("$JS.API.STREAM.INFO.KV_"+name), func(ctx context.Context) (err error) {
		kv, err = b.js.KeyValue(ctx, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, b.missing(err, jetstream.ErrBucketNotFound))
	}
	return &Bucket{broker: b, name: name, kv: kv}, nil
}

// Get gives a key's entry as it is now, whatever the replicas know, or ErrNotFound.
func (k *Bucket) Get(ctx context.Context, key string) (e Entry, err error) {
	m, err := k.broker.fromLeader(ctx, "KV_"+k.name, leaderRequest{Last: k.subject(key)})
	if err == nil {
		if _, e = k.entry(&m); e.Revision == 0 {
			err = ErrNotFound
		}
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s/%s: %w", k.name, key, err)
	}
	return e, nil
}

// ask has f write a key.
func (k *Bucket) ask(ctx context.Context, key string, f func(ctx context.Context) error) error {
	subject := k.subject(key)
	// Where a key was deleted the client asks for its last entry.
	return k.broker.ask(ctx, func(s string) bool { return s == subject || s == "$JS.API.DIRECT.GET.KV_"+k.name+"."+subject }, f)
}

// Set stores a value if the key's revision is still the given one (0: the key does not exist), or gives ErrConflict.
func (k *Bucket) Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	err := k.ask(ctx, key, func(ctx context.Context) (err error) {
		if revision > 0 {
			revision, err = k.kv.Update(ctx, key, value, revision)
			return err
		}
		if revision, err = k.kv.Create(ctx, key, value); errors.Is(err, jetstream.ErrKeyExists) {
			err = ErrConflict
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%s/%s: %w", k.name, key, apiError(err))
	}
	return revision, nil
}

// Put stores a value whatever was there.
func (k *Bucket) Put(ctx context.Context, key string, value []byte) error {
	err := k.ask(ctx, key, func(ctx context.Context) error {
		_, err := k.kv.Put(ctx, key, value)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s/%s: %w", k.name, key, err)
	}
	return nil
}

// Delete removes a key, whatever it holds.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	if err := k.ask(ctx, key, func(ctx context.Context) error { return k.kv.Purge(ctx, key) }); err != nil {
		return fmt.Errorf("%s/%s: %w", k.name, key, err)
	}
	return nil
}

// All gives every key that a pattern of subjects (source.*.*) matches.
func (k *Bucket) All(ctx context.Context, pattern string) (map[string]Entry, error) {
	all := make(map[string]Entry)
	err := k.broker.Scan(ctx, "KV_"+k.name, []string{k.subject(pattern)}, time.Time{}, func(m Message) error {
		if key, e := k.entry(&m); e.Revision > 0 {
			all[key] = e
		} else {
			delete(all, key)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", k.name, pattern, err)
	}
	return all, nil
}

// subject is where a key is stored.
func (k *Bucket) subject(key string) string { return "$KV." + k.name + "." + key }

// entry is what a bucket's message says of a key; the zero Entry says that it was deleted.
func (k *Bucket) entry(m *Message) (key string, e Entry) {
	key = strings.TrimPrefix(m.Subject, k.subject(""))
	if m.Get("KV-Operation") == "" && m.Get("Nats-Marker-Reason") == "" {
		e = Entry{Value: m.Data, Revision: m.Sequence}
	}
	return key, e
}

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
	known   map[string]bool // the keys that are there, and whether the present reading has seen them
	ready   chan struct{}
	reached uint64 // the latest revision that was seen
}

// NewMirror gives an empty one; Bucket.Follow keeps it current.
func NewMirror() *Mirror {
	return &Mirror{changes: make(map[string]Entry), known: make(map[string]bool), ready: make(chan struct{})}
}

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

// Follow keeps a mirror current until the context ends, whatever happens to the server meanwhile.
func (k *Bucket) Follow(ctx context.Context, m *Mirror) error {
	for failing := false; ctx.Err() == nil; {
		err := k.follow(ctx, m)
		if ctx.Err() == nil && !failing {
			k.broker.options.Logger.Debug("a bucket is read from its beginning", "bucket", k.name, "error", err.Error())
		}
		failing = true
		select {
		case <-ctx.Done():
		case <-time.After(lookBehind / 8):
		}
	}
	return ctx.Err()
}

// follow applies what is there and what comes, until the bucket cannot be read or is not the same any more.
func (k *Bucket) follow(ctx context.Context, m *Mirror) error {
	m.reset()
	r := k.broker.read("KV_"+k.name, []string{k.subject(">")}, 0, time.Time{})
	var err error
	if r.until, err = k.last(ctx); err != nil {
		return err
	}
	for looked := time.Now(); ; {
		message, ok, err := r.next(ctx)
		if err != nil {
			return err
		}
		if ok {
			m.apply(k, &message)
			continue
		}
		m.complete()
		if time.Since(looked) > lookBehind {
			looked = time.Now()
			last, err := k.last(ctx)
			if err != nil {
				return fmt.Errorf("follow %s: %w", k.name, err)
			}
			if last < m.revision() {
				return fmt.Errorf("follow %s: it is at revision %d, and was at %d", k.name, last, m.revision())
			}
		}
		r.again()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
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

// reset begins a new reading.
func (m *Mirror) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reached = 0
	for key := range m.known {
		m.known[key] = false
	}
}

// complete ends a reading: what it has not seen is there no more.
func (m *Mirror) complete() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, seen := range m.known {
		if !seen {
			delete(m.known, key)
			m.changes[key] = Entry{}
		}
	}
	select {
	case <-m.ready:
	default:
		close(m.ready)
	}
}

func (m *Mirror) apply(k *Bucket, message *Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reached = message.Sequence
	key, entry := k.entry(message)
	m.changes[key] = entry
	if m.known[key] = true; entry.Revision == 0 {
		delete(m.known, key)
	}
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
