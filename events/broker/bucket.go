package broker

import (
	"context"
	"errors"
	"fmt"
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
		return nil, fmt.Errorf("bucket %s: %w", name, b.missing(err, jetstream.ErrBucketNotFound))
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
	all := make(map[string]Entry)
	r := k.broker.read("KV_"+k.name, []string{k.subject(pattern)}, 0, time.Time{})
	for {
		m, ok, err := r.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", k.name, pattern, err)
		}
		if !ok {
			return all, nil
		}
		k.apply(all, &m)
	}
}

// subject is where a key is stored.
func (k *Bucket) subject(key string) string { return "$KV." + k.name + "." + key }

// apply keeps entries as the bucket's messages, in their order, say.
func (k *Bucket) apply(entries map[string]Entry, m *Message) {
	key := strings.TrimPrefix(m.Subject, k.subject(""))
	if m.Get("KV-Operation") != "" || m.Get("Nats-Marker-Reason") != "" {
		delete(entries, key)
		return
	}
	entries[key] = Entry{Value: m.Data, Revision: m.Sequence}
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

// Mirror is a copy of a bucket that follows it. It may lag by a moment.
type Mirror struct {
	mu      sync.Mutex
	entries map[string]Entry // what is shown
	reading map[string]Entry // what is being read; the same once all was
	ready   chan struct{}
	reached uint64 // the latest revision that was seen
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
			if last, err := k.last(ctx); err != nil || last < m.revision() {
				return fmt.Errorf("follow %s: it is at revision %d, and was at %d: %w", k.name, last, m.revision(), err)
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

// reset begins a new reading; until it is complete the mirror shows what it held.
func (m *Mirror) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading, m.reached = make(map[string]Entry), 0
}

// complete shows what was read.
func (m *Mirror) complete() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = m.reading
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
	k.apply(m.reading, message)
}
