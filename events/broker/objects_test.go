package broker_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

const (
	refPrefix    = "nats-object://parley-objects/"
	objectStream = "OBJ_" + broker.ObjectsBucket
)

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestDataTravelsByReferenceFromTheLimitOn(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	for name, c := range map[string]struct {
		size      int
		offloaded bool
	}{
		"none": {0, false}, "the limit": {events.MaxInlineData, false}, "one more": {events.MaxInlineData + 1, true},
		"the largest record": {events.MaxRecordBytes, true}, "what a record becomes": {events.MaxRecordBytes + 4096, true},
	} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Repeat([]byte("parley "), c.size/7+1)[:c.size]
			e := events.Event{Data: bytes.Clone(data)}
			if err := b.Offload(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
			if c.offloaded && (e.DataRef != refPrefix+digest(data) || e.Data != nil) || !c.offloaded && e.DataRef != "" {
				t.Errorf("dataref %q, %d bytes", e.DataRef, len(e.Data))
			}
			if err := b.Resolve(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.Data, data) || e.DataRef != "" {
				t.Errorf("came back as %d bytes, dataref %q", len(e.Data), e.DataRef)
			}
		})
	}
}

func TestOnAServerWithSmallMessagesMoreTravelsByReference(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	e.stop()
	e.options.MaxPayload = 1 << 20
	e.start(t)
	b := e.connect(t)
	for _, size := range []int{1<<20 - 64<<10, 1<<20 - 64<<10 + 1, 1 << 20} {
		data := bytes.Repeat([]byte("x"), size)
		e := events.Event{Data: bytes.Clone(data)}
		if err := b.Offload(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		m := event("a")
		m.Header, m.Data = map[string][]string{"Large": {strings.Repeat("x", 60<<10)}}, e.Data
		publish(t, b, m)
		if err := b.Resolve(t.Context(), &e); err != nil || !bytes.Equal(e.Data, data) {
			t.Errorf("%d bytes came back as %d, %v", size, len(e.Data), err)
		}
	}
}

func TestAServerWithTooSmallMessagesIsRefused(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	e.stop()
	e.options.MaxPayload = 256 << 10
	e.start(t)
	b, err := broker.Open(t.Context(), broker.Options{URLs: []string{e.url()}})
	if err == nil {
		b.Close()
		t.Fatal("it was opened")
	}
	for _, want := range []string{"PARLEY_NATS_URL", "max_payload", "262144", "524288"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want it to name %s", err, want)
		}
	}
}

func TestAReferenceThatLeadsNowhereIsPermanent(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	store, err := admin(t, b).ObjectStore(t.Context(), broker.ObjectsBucket)
	if err != nil {
		t.Fatal(err)
	}
	wrong := digest([]byte("what it should be"))
	if _, err := store.PutBytes(t.Context(), wrong, []byte("what it is")); err != nil {
		t.Fatal(err)
	}
	deleted := digest([]byte("deleted"))
	if _, err := store.PutBytes(t.Context(), deleted, []byte("deleted")); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ref      string
		notFound bool
	}{
		"missing":            {refPrefix + digest([]byte("missing")), true},
		"deleted":            {refPrefix + deleted, true},
		"other bytes":        {refPrefix + wrong, false},
		"another's":          {"https://example.com/" + wrong, false},
		"another bucket":     {"nats-object://other/" + wrong, false},
		"no name":            {refPrefix, false},
		"a path":             {refPrefix + "../" + wrong, false},
		"half a digest":      {refPrefix + wrong[:32], false},
		"no digest":          {refPrefix + strings.Repeat("z", 64), false},
		"digest and more":    {refPrefix + wrong + "00", false},
		"capital hexadecima": {refPrefix + strings.ToUpper(deleted), true},
	} {
		t.Run(name, func(t *testing.T) {
			e := events.Event{DataRef: c.ref}
			err := b.Resolve(t.Context(), &e)
			if !events.IsPermanent(err) || errors.Is(err, broker.ErrNotFound) != c.notFound {
				t.Errorf("got %v", err)
			}
			if e.DataRef != c.ref || e.Data != nil {
				t.Errorf("the event became %+v", e)
			}
		})
	}
}

func TestBytesThatAreLostInTheStoreArePermanent(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	e := events.Event{Data: make([]byte, 3<<20)}
	if err := b.Offload(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	s, err := admin(t, b).Stream(t.Context(), objectStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 2); err != nil { // the second of its chunks
		t.Fatal(err)
	}
	if err := b.Resolve(t.Context(), &e); !events.IsPermanent(err) || errors.Is(err, broker.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestDataThatIsThereIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	e := events.Event{DataRef: "https://example.com/x", Data: []byte("x")}
	if err := b.Resolve(t.Context(), &e); err != nil || string(e.Data) != "x" || e.DataRef == "" {
		t.Errorf("%v, %+v", err, e)
	}
}

// Putting an object anew takes its bytes from under whoever reads them.
func TestAnObjectThatOutlivesItsReferencesIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	data := make([]byte, 2<<20)
	for range 3 {
		e := events.Event{Data: data}
		if err := b.Offload(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
	if s := size(t, b, objectStream); s.LastSeq != s.Messages {
		t.Errorf("%d messages were written for %d", s.LastSeq, s.Messages)
	}
}

// An object ends when the last message may end that refers to it, or later.
func TestAnObjectIsPutAnewBeforeItsReferencesOutliveIt(t *testing.T) {
	t.Parallel()
	const retention = 400 * day
	b := open(t, broker.Options{EventsRetention: retention})
	s, err := admin(t, b).Stream(t.Context(), objectStream)
	if err != nil {
		t.Fatal(err)
	}
	ttl, now := s.CachedInfo().Config.MaxAge, time.Now()
	for age := time.Duration(0); age < ttl; age += time.Hour {
		put := now.Add(-age)
		if broker.LeavesObject(put, now) && put.Add(ttl).Before(now.Add(retention)) {
			t.Fatalf("an object of the age %v is left alone", age)
		}
	}
}

func TestADeletedObjectIsPutAgain(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	data := make([]byte, 2<<20)
	store, err := admin(t, b).ObjectStore(t.Context(), broker.ObjectsBucket)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e := events.Event{Data: data}
		if err := b.Offload(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		if err := b.Resolve(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		if err := store.Delete(t.Context(), digest(data)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnObjectThatIsOffloadedAndReadAtOnceIsNeverTakenForDamaged(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	e := events.Event{Data: data}
	if err := b.Offload(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	for range 2 {
		group.Go(func() {
			for range 10 {
				again := events.Event{Data: data}
				if err := b.Offload(t.Context(), &again); err != nil {
					t.Error(err)
				}
				read := e
				if err := b.Resolve(t.Context(), &read); err != nil || !bytes.Equal(read.Data, data) {
					t.Errorf("%d bytes, %v", len(read.Data), err)
				}
			}
		})
	}
}
