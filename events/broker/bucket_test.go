package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events/broker"
)

func bucket(t testing.TB, b *broker.Broker, name string) *broker.Bucket {
	t.Helper()
	k, err := b.Bucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func set(t testing.TB, k *broker.Bucket, key, value string, revision uint64) uint64 {
	t.Helper()
	revision, err := k.Set(t.Context(), key, []byte(value), revision)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func TestEightWritersIncrementOneKeyToExactlyTheirSum(t *testing.T) {
	t.Parallel()
	k := bucket(t, open(t, broker.Options{}), broker.BudgetBucket)
	const writers, each = 8, 50
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				if err := increment(t.Context(), k); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	e, err := k.Get(t.Context(), "count")
	if err != nil || string(e.Value) != strconv.Itoa(writers*each) {
		t.Errorf("%q, %v", e.Value, err)
	}
}

func increment(ctx context.Context, k *broker.Bucket) error {
	for {
		e, err := k.Get(ctx, "count")
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			return err
		}
		n, _ := strconv.Atoi(string(e.Value))
		_, err = k.Set(ctx, "count", []byte(strconv.Itoa(n+1)), e.Revision)
		if !errors.Is(err, broker.ErrConflict) {
			return err
		}
	}
}

func TestSetKeepsToTheRevisionAlsoOfAKeyThatWasDeleted(t *testing.T) {
	t.Parallel()
	k := bucket(t, open(t, broker.Options{}), broker.SourcesBucket)
	conflict := func(what string, revision uint64) {
		t.Helper()
		if _, err := k.Set(t.Context(), "a", []byte("x"), revision); !errors.Is(err, broker.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	conflict("a revision of a key that never was", 3)
	first := set(t, k, "a", "1", 0)
	conflict("made a second time", 0)
	second := set(t, k, "a", "2", first)
	conflict("an old revision", first)
	if err := k.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(t.Context(), "a"); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("a deleted key: %v", err)
	}
	conflict("a revision from before it was deleted", second)
	set(t, k, "a", "3", 0)
	if err := k.Put(t.Context(), "a", []byte("4")); err != nil {
		t.Fatal(err)
	}
	if e, err := k.Get(t.Context(), "a"); err != nil || string(e.Value) != "4" {
		t.Errorf("%q, %v", e.Value, err)
	}
}

func TestABucketThatNobodyMadeIsNamed(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	if _, err := b.Bucket(t.Context(), "none"); err == nil || !bytes.Contains([]byte(err.Error()), []byte("bucket none")) {
		t.Errorf("got %v", err)
	}
}

func TestAllGivesWhatItsPatternCoversAndNothingDeleted(t *testing.T) {
	t.Parallel()
	k := bucket(t, open(t, broker.Options{}), broker.LedgerBucket)
	for n := range 300 {
		set(t, k, fmt.Sprintf("main.chats.w%d", n), strconv.Itoa(n), 0)
	}
	revision := set(t, k, "main.ratings.w1", "r", 0)
	set(t, k, "other.chats.w1", "o", 0)
	set(t, k, "main", "m", 0)
	set(t, k, "main.chats.gone", "g", 0)
	if err := k.Delete(t.Context(), "main.chats.gone"); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]int{
		"main.chats.*": 300, "main.>": 301, "*.chats.w1": 2, ">": 303, "main.ratings.*": 1, "main": 1, "none.>": 0, "main.chats.gone": 0,
	} {
		all, err := k.All(t.Context(), pattern)
		if err != nil || len(all) != want {
			t.Errorf("%s: %d, %v, want %d", pattern, len(all), err, want)
		}
	}
	all, err := k.All(t.Context(), "main.ratings.*")
	if diff := cmp.Diff(map[string]broker.Entry{"main.ratings.w1": {Value: []byte("r"), Revision: revision}}, all); diff != "" || err != nil {
		t.Error(diff, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.All(ctx, ">"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestAMirrorFollowsWritesDeletesAndKeysThatComeBack(t *testing.T) {
	t.Parallel()
	k := bucket(t, open(t, broker.Options{}), broker.LedgerBucket)
	set(t, k, "main.a", "1", 0)
	m := broker.NewMirror()
	select {
	case <-m.Ready():
		t.Error("ready before it began")
	default:
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Follow(ctx, m) }()
	<-m.Ready()
	last := map[string]broker.Entry{}
	tells := func(want map[string]string) {
		t.Helper()
		got := map[string]string{}
		eventually(t, fmt.Sprint("the mirror tells ", want), func() bool {
			for key, e := range m.Changes() {
				got[key], last[key] = string(e.Value), e
			}
			return maps.Equal(got, want)
		})
	}
	tells(map[string]string{"main.a": "1"})
	set(t, k, "main.b", "1", 0)
	set(t, k, "main.a", "2", last["main.a"].Revision)
	tells(map[string]string{"main.a": "2", "main.b": "1"})
	if err := k.Delete(t.Context(), "main.a"); err != nil {
		t.Fatal(err)
	}
	tells(map[string]string{"main.a": ""})
	if got := last["main.a"].Revision; got != 0 {
		t.Errorf("a deleted key has revision %d", got)
	}
	revision := set(t, k, "main.a", "3", 0)
	tells(map[string]string{"main.a": "3"})
	if got := last["main.a"].Revision; got != revision {
		t.Errorf("revision %d, want %d", got, revision)
	}
	if got := m.Changes(); len(got) != 0 {
		t.Errorf("without a change it tells %v", got)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestAMirrorOfNothingIsReady(t *testing.T) {
	t.Parallel()
	k := bucket(t, open(t, broker.Options{}), broker.LedgerBucket)
	m := broker.NewMirror()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Follow(ctx, m) }()
	<-m.Ready()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// Who does not say that it is alive is gone after MemberTTL. The stream behind the bucket gets a shorter one here.
func TestAMemberThatFallsSilentVanishes(t *testing.T) {
	t.Parallel()
	b := open(t, broker.Options{})
	js := admin(t, b)
	s, err := js.Stream(t.Context(), "KV_"+broker.MembersBucket)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if cfg.MaxAge != broker.MemberTTL || cfg.Storage != jetstream.FileStorage {
		t.Errorf("members live for %v", cfg.MaxAge)
	}
	cfg.MaxAge, cfg.Duplicates = broker.MemberTTL/10, broker.MemberTTL/10
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	k := bucket(t, b, broker.MembersBucket)
	if err := k.Put(t.Context(), "process.silent", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the silent one vanishes, the other stays", func() bool {
		if err := k.Put(t.Context(), "process.alive", nil); err != nil {
			t.Fatal(err)
		}
		all, err := k.All(t.Context(), "process.*")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := all["process.alive"]; !ok {
			t.Fatal("the one that speaks is gone")
		}
		return len(all) == 1
	})
}
