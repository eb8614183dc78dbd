package broker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events"
)

const (
	// keyEntry is where the bucket of the erased holds the installation's key: 32 random bytes, made once.
	keyEntry = "key"
	// digestEntry begins the names of the others.
	digestEntry = "digest."
	// keyMark is where STATE says with which key its digests were made.
	keyMark = events.StateSubjects + ".key"
	// erasedMark is where STATE says up to which revision of the bucket everybody who was erased is gone from the streams.
	erasedMark = events.StateSubjects + ".erased"
	keyBytes   = 32
)

// ErrKeyLost says that the installation's key is not the one that STATE's digests were made with.
var ErrKeyLost = errors.New("the installation's key is lost: the digests in " + State + " were made with another one, and every entity that is read again " +
	"would be emitted again; restore the bucket " + ErasedBucket + " from the backup that " + State + " is of, or, to accept that, remove the message on " + keyMark)

// DigestKey gives the installation's key. The first to ask makes it.
func (b *Broker) DigestKey(ctx context.Context) (*events.DigestKey, error) {
	key, _, err := b.digestKey(ctx)
	return key, err
}

func (b *Broker) digestKey(ctx context.Context) (key *events.DigestKey, name string, err error) {
	bucket, err := b.Bucket(ctx, ErasedBucket)
	if err != nil {
		return nil, "", err
	}
	marks, err := b.Last(ctx, State, []string{keyMark})
	if err != nil {
		return nil, "", err
	}
	mark, marked := marks[keyMark]
	if _, err := bucket.Get(ctx, keyEntry); errors.Is(err, ErrNotFound) && !marked {
		key := make([]byte, keyBytes)
		_, _ = rand.Read(key)                                                                        // never fails
		if _, err := bucket.Set(ctx, keyEntry, key, 0); err != nil && !errors.Is(err, ErrConflict) { // another was first
			return nil, "", err
		}
	}
	entry, err := bucket.Get(ctx, keyEntry)
	if errors.Is(err, ErrNotFound) {
		return nil, "", ErrKeyLost
	}
	if err != nil {
		return nil, "", err
	}
	name = keyName(entry.Value)
	if !marked {
		// Two who write it at once write the same.
		if err := b.Publish(ctx, []Message{{Subject: keyMark, Data: []byte(name)}})[0].Err; err != nil {
			return nil, "", fmt.Errorf("mark %s: %w", State, err)
		}
	} else if string(mark.Data) != name {
		return nil, "", ErrKeyLost
	}
	return events.NewDigestKey(entry.Value), name, nil
}

// keyName tells a key from others, and nothing else of it.
func keyName(key []byte) string {
	sum := sha256.Sum256(append([]byte("parley installation key\n"), key...))
	return hex.EncodeToString(sum[:4])
}

// installationKey gives the key as it is; ErrNotFound before there is one.
func (b *Broker) installationKey(ctx context.Context) (*events.DigestKey, error) {
	bucket, err := b.Bucket(ctx, ErasedBucket)
	if err != nil {
		return nil, err
	}
	entry, err := bucket.Get(ctx, keyEntry)
	if err != nil {
		return nil, err
	}
	return events.NewDigestKey(entry.Value), nil
}

// Erased knows the identifiers whose persons were erased, as digests alone. It is safe for concurrent use; what another process
// remembers is known a moment later.
type Erased struct {
	broker *Broker
	bucket *Bucket
	copy   *Copy
	key    *events.DigestKey
	name   string
}

// Erased opens it; Follow keeps it current.
func (b *Broker) Erased(ctx context.Context) (*Erased, error) {
	key, name, err := b.digestKey(ctx)
	if err != nil {
		return nil, err
	}
	bucket, err := b.Bucket(ctx, ErasedBucket)
	if err != nil {
		return nil, err
	}
	return &Erased{broker: b, bucket: bucket, copy: NewCopy(), key: key, name: name}, nil
}

// Follow keeps it current until the context ends. Ready is closed once it knows what there was.
func (e *Erased) Follow(ctx context.Context) error { return e.copy.Follow(ctx, e.bucket) }

// Ready is closed once Follow has read what there was.
func (e *Erased) Ready() <-chan struct{} { return e.copy.Ready() }

// Key is the installation's.
func (e *Erased) Key() *events.DigestKey { return e.key }

// KeyName tells the installation's key from others.
func (e *Erased) KeyName() string { return e.name }

// Revision is how far Follow is: what Remember gave a revision up to this is known.
func (e *Erased) Revision() uint64 { return e.copy.mirror.revision() }

// Nobody tells whether nobody was ever erased, as far as Follow is.
func (e *Erased) Nobody() bool { return e.copy.size() < 2 } // the key is an entry, too

// Has tells whether one of these was erased, as far as Follow is.
func (e *Erased) Has(ids []events.Identifier) bool {
	for _, id := range ids {
		if e.copy.has(digestEntry + e.key.Identifier(id)) {
			return true
		}
	}
	return false
}

// Digests gives every digest that is remembered, by asking the bucket.
func (e *Erased) Digests(ctx context.Context) (map[string]bool, error) {
	entries, err := e.bucket.All(ctx, digestEntry+"*")
	if err != nil {
		return nil, err
	}
	all := make(map[string]bool, len(entries))
	for name := range entries {
		all[strings.TrimPrefix(name, digestEntry)] = true
	}
	return all, nil
}

// Remember remembers these digests for good, and gives the revision from which every Follow knows them.
func (e *Erased) Remember(ctx context.Context, digests []string, at time.Time) (revision uint64, err error) {
	for _, digest := range digests {
		if _, err := e.bucket.Set(ctx, digestEntry+digest, []byte(at.UTC().Format(time.RFC3339)), 0); err != nil && !errors.Is(err, ErrConflict) {
			return 0, err
		}
	}
	return e.bucket.last(ctx)
}

// Unknown gives those of the digests that the bucket does not know, and the name of the key that it has: "" when it has none.
func (b *Broker) Unknown(ctx context.Context, digests []string) (unknown []string, key string, err error) {
	bucket, err := b.Bucket(ctx, ErasedBucket)
	if err != nil {
		return nil, "", err
	}
	entry, err := bucket.Get(ctx, keyEntry)
	if errors.Is(err, ErrNotFound) {
		return digests, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	for chunk := range slices.Chunk(digests, erasedAtOnce) {
		subjects := make([]string, len(chunk))
		for i, digest := range chunk {
			subjects[i] = bucket.subject(digestEntry + digest)
		}
		found, err := b.Last(ctx, "KV_"+ErasedBucket, subjects)
		if err != nil {
			return nil, "", err
		}
		for i, digest := range chunk {
			if _, known := found[subjects[i]]; !known {
				unknown = append(unknown, digest)
			}
		}
	}
	return unknown, keyName(entry.Value), nil
}

// erasedAtOnce is how many digests are asked for at once.
const erasedAtOnce = 512

// Gone notes in STATE that everybody who was erased up to a revision of the bucket is gone from the streams.
func (e *Erased) Gone(ctx context.Context, revision uint64) error {
	if err := e.broker.Publish(ctx, []Message{{Subject: erasedMark, Data: []byte(strconv.FormatUint(revision, 10))}})[0].Err; err != nil {
		return fmt.Errorf("mark %s: %w", State, err)
	}
	return nil
}

// AllGone tells whether everybody who was erased, as far as Follow is, is gone from the streams, as STATE says: it does not after an erasure that
// was ended, nor after STATE was restored from a backup that is older than one.
func (e *Erased) AllGone(ctx context.Context) (bool, error) {
	if e.Nobody() {
		return true, nil
	}
	marks, err := e.broker.Last(ctx, State, []string{erasedMark})
	if err != nil {
		return false, err
	}
	m := marks[erasedMark]
	until, _ := strconv.ParseUint(string(m.Data), 10, 64)
	return until >= e.Revision(), nil
}

// Bury publishes a dead letter, unless DEAD has one of its message id, and takes it back, bytes and all, with what it refers to, when it is of a person who was erased: then the result says Erased. The look
// comes after the publication: whoever erases a person remembers him first and searches DEAD then, so one of the two finds it.
func (b *Broker) Bury(ctx context.Context, m Message) Result {
	r := b.publishDead(ctx, m)
	if r.Err != nil {
		return r
	}
	var dataRef string
	if r.Erased, dataRef, r.Err = b.ofErased(ctx, &m); r.Err != nil || !r.Erased {
		return r
	}
	if r.Err = b.RemoveObject(ctx, dataRef); r.Err == nil {
		r.Err = b.Remove(ctx, Dead, r.Sequence)
	}
	return r
}

// publishDead publishes a dead letter. DEAD knows the message id of one that was dropped, or replayed, as well: a message that fails again after that
// is a letter of its own, named after the one that is gone.
func (b *Broker) publishDead(ctx context.Context, m Message) Result {
	for {
		r := b.Publish(ctx, []Message{m})[0]
		if errors.Is(r.Err, ErrFull) {
			r.Err = fmt.Errorf("%w: %w", ErrDeadFull, r.Err)
		}
		if r.Err != nil || !r.Duplicate {
			return r
		}
		_, err := b.Read(ctx, Dead, r.Sequence)
		if !errors.Is(err, ErrNotFound) {
			r.Err = err
			return r
		}
		header := maps.Clone(m.Header)
		header[HeaderMsgID] = []string{m.Get(HeaderMsgID) + ":" + strconv.FormatUint(r.Sequence, 10)}
		m.Header = header
	}
}

// ofErased tells whether a message holds a record or event of a person who was erased, as the bucket knows it now, and where its data lies.
func (b *Broker) ofErased(ctx context.Context, m *Message) (erased bool, dataRef string, err error) {
	state, err := b.StreamState(ctx, "KV_"+ErasedBucket)
	if err != nil || state.Messages < 2 {
		return false, "", err
	}
	// Digests lie beside the key that they were made with: whether STATE's are of another is the processors' matter.
	key, err := b.installationKey(ctx)
	if err != nil {
		return false, "", err
	}
	told, err := b.Tell(ctx, m)
	if err != nil {
		return false, "", err
	}
	subjects := make([]string, 0, len(told.Identifiers))
	for _, id := range told.Identifiers {
		subjects = append(subjects, "$KV."+ErasedBucket+"."+digestEntry+key.Identifier(id))
	}
	found, err := b.Last(ctx, "KV_"+ErasedBucket, subjects)
	return len(found) > 0, told.DataRef, err
}

// OfErased tells whether a stored or published message is of a person who was erased.
func (b *Broker) OfErased(ctx context.Context, m Message) (bool, error) {
	erased, _, err := b.ofErased(ctx, &m)
	return erased, err
}

// Told is what a message says of itself, as far as it can be read without its vendor's normaliser.
type Told struct {
	// Event has its data inline; Record is what a RAW event holds, Entity what another holds. Each is nil where it cannot be read.
	Event  *events.Event
	Record *events.Record
	Entity events.Entity
	// DataRef is where the data lay, if not in the message.
	DataRef     string
	Identifiers []events.Identifier
}

// Tell reads a message of RAW, EVENTS, DEAD or the replays. Of what cannot be decoded the bytes are searched. An error is the server's.
func (b *Broker) Tell(ctx context.Context, m *Message) (t Told, err error) {
	event, err := events.FromMessage(m.Header, m.Data)
	if err != nil {
		t.Identifiers = events.IdentifiersIn("", m.Data)
		return t, nil //nolint:nilerr // what is no event is searched
	}
	t.Event, t.DataRef = &event, event.DataRef
	if err := b.Resolve(ctx, t.Event); err != nil && !events.IsPermanent(err) {
		return t, err
	}
	_, source, _ := strings.Cut(strings.TrimPrefix(event.Source, "/"), "/")
	t.Identifiers = []events.Identifier{events.RecordIdentifier(source, event.Stream, event.Subject)}
	if reason := m.Get(events.HeaderReason); reason != "" { // of a dead letter
		t.Identifiers = append(t.Identifiers, events.IdentifiersIn(source, []byte(reason))...)
	}
	t.decode(source)
	return t, nil
}

func (t *Told) decode(source string) {
	data := t.Event.Data
	if t.Event.Type == events.TypeRawRecord {
		record, err := events.DecodeRecord(data)
		if err != nil {
			t.Identifiers = append(t.Identifiers, events.IdentifiersIn(source, data)...)
			return
		}
		t.Record = record
		for i := range record.Parts {
			t.Identifiers = append(t.Identifiers, events.IdentifiersIn(source, record.Parts[i].Body.Bytes)...)
		}
		return
	}
	if t.Event.DataContentType == events.ContentMsgpack {
		if decoded, err := events.DecodeMsgpack(data); err == nil {
			data = decoded
		}
	}
	entity, err := events.DecodeContent(t.Event.Kind(), data)
	if err != nil {
		t.Identifiers = append(t.Identifiers, events.IdentifiersIn(source, data)...)
		return
	}
	t.Entity = entity
	t.Identifiers = append(t.Identifiers, events.Identifiers(entity, data)...)
}

// RemoveObject removes the data that a DataRef names and overwrites its bytes; data that is gone is no error.
func (b *Broker) RemoveObject(ctx context.Context, dataRef string) error {
	name, ours := strings.CutPrefix(dataRef, dataRefPrefix)
	if !ours {
		return nil
	}
	info, about, err := b.objectInfo(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("object %s: %w", name, err)
	}
	stream := "OBJ_" + ObjectsBucket
	var chunks []uint64
	err = b.Scan(ctx, stream, []string{"$O." + ObjectsBucket + ".C." + info.NUID}, time.Time{}, func(m Message) error {
		chunks = append(chunks, m.Sequence)
		return nil
	})
	if err != nil {
		return err
	}
	for _, sequence := range chunks {
		if err := b.Remove(ctx, stream, sequence); err != nil {
			return err
		}
	}
	// A deletion by the object store would leave the name, which is a digest of the data.
	return b.Remove(ctx, stream, about)
}

// PurgeDone removes what a work queue still has on disk of messages that are done, when it holds no others.
func (b *Broker) PurgeDone(ctx context.Context, stream string) error {
	state, err := b.StreamState(ctx, stream)
	if err != nil || state.Messages > 0 || state.LastSeq == 0 {
		return err
	}
	// What comes between the look and the purge has a higher sequence.
	return b.purge(ctx, stream, jetstream.WithPurgeSequence(state.LastSeq+1))
}
