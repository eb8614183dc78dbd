package broker_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// canary stands in what the person wrote, and may stand in no byte of the store after it was removed.
const canary = "my cat is called Mauzi"

// stands tells whether a text stands in any byte of a store.
func stands(t testing.TB, b *broker.Broker, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(b.Options().DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // the server removes files meanwhile
		}
		content, _ := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// letter is a dead letter of a record, with its data where it belongs.
func letter(t testing.TB, b *broker.Broker, key, text string) broker.Message {
	t.Helper()
	r := &events.Record{
		Vendor: "acme", Source: "main", Stream: "chats", Key: key, RequestedAt: time.Unix(1_700_000_000, 0),
		Parts: []events.Part{{ContentType: events.ContentJSON, Body: events.Body{Bytes: []byte(text)}}},
	}
	e, err := events.NewRawEvent(r, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Offload(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	header := make(map[string][]string)
	e.SetHeaders(header)
	dead := events.DeadLetter{Stage: events.StagePoll, Name: "main", Reason: "too large", Attempts: 1, Subject: events.RawSubject(r), At: time.Now()}
	dead.SetHeaders(header)
	return broker.Message{Subject: dead.DeadSubject(), Header: header, Data: e.Data}
}

// forget remembers the person as erased.
func forget(t testing.TB, b *broker.Broker, ids ...events.Identifier) {
	t.Helper()
	erased, err := b.Erased(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	for _, id := range ids {
		digests = append(digests, erased.Key().Identifier(id))
	}
	if _, err := erased.Remember(t.Context(), digests, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestAKeyThatStaysAwayIsLost(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	if _, err := b.DigestKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	bucket, err := b.Bucket(t.Context(), broker.ErasedBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.Delete(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DigestKey(t.Context()); !errors.Is(err, broker.ErrKeyLost) {
		t.Errorf("error %v", err)
	}
}

func TestADeadLetterOfAForgottenPersonIsTakenBackWithItsBytes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, text string
		erased    bool
	}{
		"by an address":                  {"c1", `{"mail":"Ann@visitor.example","text":"` + canary + `"}`, true},
		"by an address, large":           {"c1", `{"mail":"ann@visitor.example","text":"` + strings.Repeat(canary+" ", 80_000) + `"}`, true},
		"by an id":                       {"c1", `{"visitor":"visitor-77ann","text":"` + canary + `"}`, true},
		"as a record that was forgotten": {"gone", `{"text":"` + canary + `"}`, true},
		"another's":                      {"c1", `{"mail":"bob@visitor.example","text":"` + canary + `"}`, false},
		"another's, large":               {"c1", `{"mail":"bob@visitor.example","text":"` + strings.Repeat(canary+" ", 80_000) + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, broker.Options{})
			first := b.Bury(t.Context(), letter(t, b, c.key, c.text))
			if first.Err != nil || first.Erased || !stands(t, b, canary) {
				t.Fatalf("before anybody is forgotten: %+v", first)
			}
			if err := b.Remove(t.Context(), broker.Dead, first.Sequence); err != nil {
				t.Fatal(err)
			}
			forget(t, b, events.Identifier{Kind: events.ByEmail, Value: "ann@visitor.example"},
				events.Identifier{Kind: events.ByVisitor, Source: "main", Value: "visitor-77ann"}, events.RecordIdentifier("main", "chats", "gone"))
			result := b.Bury(t.Context(), letter(t, b, c.key, c.text))
			if result.Err != nil || result.Erased != c.erased {
				t.Errorf("%+v; want erased to be %v", result, c.erased)
			}
			left := uint64(1)
			if c.erased {
				left = 0
			}
			if n := size(t, b, broker.Dead).Messages; n != left {
				t.Errorf("%d dead letters; want %d", n, left)
			}
			if stands(t, b, canary) == c.erased {
				t.Errorf("what was written stands in the store: %v", !c.erased)
			}
		})
	}
}

func TestARemovedObjectIsInNoByteAndTheOthersAreThere(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	put := func(text string) events.Event {
		t.Helper()
		e := events.Event{Data: []byte(strings.Repeat(text+" ", 80_000))}
		if err := b.Offload(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	hers, his := put(canary), put("a dog")
	name := base64.URLEncoding.EncodeToString([]byte(strings.TrimPrefix(hers.DataRef, refPrefix)))
	if !stands(t, b, canary) || !stands(t, b, name) {
		t.Fatal("the object is in no file even before: the test shows nothing")
	}
	for _, ref := range []string{hers.DataRef, hers.DataRef, "", "https://elsewhere.example/" + digest([]byte("x")), refPrefix + digest([]byte("nothing"))} {
		if err := b.RemoveObject(t.Context(), ref); err != nil {
			t.Errorf("%q: %v; want what is gone or another's to be no error", ref, err)
		}
	}
	if stands(t, b, canary) || stands(t, b, name) {
		t.Error("its bytes or its name are in the store")
	}
	if err := b.Resolve(t.Context(), &hers); !events.IsPermanent(err) {
		t.Errorf("what was removed is read: %v", err)
	}
	if err := b.Resolve(t.Context(), &his); err != nil || !bytes.Contains(his.Data, []byte("a dog")) {
		t.Errorf("another's: %v", err)
	}
}
