package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events"
)

const (
	// objectPatience is how long the largest object may take over a slow line.
	objectPatience = 5 * time.Minute
	// objectRenewal is the age from which an object is put anew when it is referred to; objectTTL allows for it.
	objectRenewal = 12 * time.Hour
)

const (
	dataRefPrefix = "nats-object://" + ObjectsBucket + "/"
	objectsStream = "OBJ_" + ObjectsBucket
)

// Offload puts an event's data into the object store when it is too large for a message, and leaves a reference
// (the CloudEvents claim check). It must be called at every publication: each makes sure that the object
// outlives the message.
func (b *Broker) Offload(ctx context.Context, e *events.Event) error {
	if len(e.Data) <= b.maxInline() {
		return nil
	}
	sum := sha256.Sum256(e.Data)
	name := hex.EncodeToString(sum[:])
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	// Putting replaces the chunks under whoever reads them: an object that is young enough is left alone.
	if info, _, err := b.objectInfo(ctx, name); err != nil || !outlives(info.ModTime, time.Now()) {
		if err := b.putObject(ctx, name, e.Data); err != nil {
			return fmt.Errorf("object %s: %w", name, err)
		}
	}
	e.DataRef, e.Data = dataRefPrefix+name, nil
	return nil
}

func (b *Broker) putObject(ctx context.Context, name string, data []byte) error {
	concerns := on("$O."+ObjectsBucket+".", "$JS.API.STREAM.INFO."+objectsStream, "$JS.API.DIRECT.GET."+objectsStream, "$JS.API.STREAM.PURGE."+objectsStream)
	return b.ask(ctx, concerns, func(ctx context.Context) error {
		store, err := b.js.ObjectStore(ctx, ObjectsBucket)
		if err != nil {
			return err
		}
		_, err = store.Put(ctx, jetstream.ObjectMeta{Name: name}, bytes.NewReader(data))
		return err
	})
}

// maxInline is how much data travels in a message, on a server with small messages less than elsewhere.
func (b *Broker) maxInline() int {
	return min(events.MaxInlineData, int(b.nc.MaxPayload())-headerRoom)
}

// outlives tells whether an object that was put at a time outlives every message that refers to it from now on.
func outlives(put, now time.Time) bool { return now.Sub(put) <= objectRenewal }

// Resolve fetches the data that an event refers to; an event with its data is left alone. The error is permanent when the reference is
// none of ours, when there is no such object (ErrNotFound), or when its bytes are not those that its name says. An object that is
// put anew while it is read is there at the next attempt.
func (b *Broker) Resolve(ctx context.Context, e *events.Event) error {
	if e.DataRef == "" || len(e.Data) > 0 {
		return nil
	}
	name, ok := strings.CutPrefix(e.DataRef, dataRefPrefix)
	if sum, err := hex.DecodeString(name); !ok || err != nil || len(sum) != sha256.Size {
		return events.Permanent(fmt.Errorf("dataref %q: want %s<sha256>", e.DataRef, dataRefPrefix))
	}
	ctx, cancel := context.WithTimeout(ctx, objectPatience)
	defer cancel()
	data, err := b.object(ctx, name)
	if err != nil {
		return fmt.Errorf("object %s: %w", name, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != name {
		return events.Permanent(fmt.Errorf("object %s: its bytes have another digest", name))
	}
	e.Data, e.DataRef = data, "" // nobody outside could follow the reference
	return nil
}

// objectInfo is what the store says of an object, and the sequence under which it says so; ErrNotFound when there is none.
func (b *Broker) objectInfo(ctx context.Context, name string) (info jetstream.ObjectInfo, sequence uint64, err error) {
	about := "$O." + ObjectsBucket + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
	m, err := b.fromLeader(ctx, objectsStream, leaderRequest{Last: about})
	if err != nil {
		return info, 0, err
	}
	if err := json.Unmarshal(m.Data, &info); err != nil {
		return info, 0, fmt.Errorf("what the store says of it: %w", err)
	}
	if info.Deleted {
		return info, 0, ErrNotFound
	}
	info.ModTime = m.Time
	return info, m.Sequence, nil
}

// object reads an object's chunks. The store's own Get makes a consumer for that: see reader.
func (b *Broker) object(ctx context.Context, name string) ([]byte, error) {
	info, _, err := b.objectInfo(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, events.Permanent(ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if info.Size > 2*events.MaxRecordBytes {
		return nil, events.Permanent(fmt.Errorf("it has %d bytes, more than an event can have", info.Size))
	}
	data := make([]byte, 0, info.Size)
	err = b.Scan(ctx, objectsStream, []string{"$O." + ObjectsBucket + ".C." + info.NUID}, time.Time{}, func(m Message) error {
		data = append(data, m.Data...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if uint64(len(data)) == info.Size {
		return data, nil
	}
	if now, _, err := b.objectInfo(ctx, name); err != nil || now.NUID != info.NUID {
		return nil, fmt.Errorf("%w: it was put anew meanwhile", ErrIncomplete)
	}
	return nil, events.Permanent(fmt.Errorf("%d of its %d bytes are there", len(data), info.Size))
}
