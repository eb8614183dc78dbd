package pollers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// memory is a Store without a server, so that time in it can be virtual.
type memory struct {
	mu      sync.Mutex
	entries map[string]broker.Entry
	last    uint64
	fails   error
}

func newMemory() *memory { return &memory{entries: map[string]broker.Entry{}} }

func (m *memory) Get(_ context.Context, key string) (broker.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if m.fails != nil {
		return e, m.fails
	}
	if !ok {
		return e, broker.ErrNotFound
	}
	return e, nil
}

func (m *memory) Set(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return 0, m.fails
	}
	if m.entries[key].Revision != revision {
		return 0, broker.ErrConflict
	}
	m.last++
	m.entries[key] = broker.Entry{Value: slices.Clone(value), Revision: m.last}
	return m.last, nil
}

func (m *memory) All(_ context.Context, pattern string) (map[string]broker.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]broker.Entry{}
	for key, e := range m.entries {
		if strings.HasPrefix(key, strings.TrimSuffix(pattern, ">")) {
			out[key] = e
		}
	}
	return out, m.fails
}

func ledgerWindow(hour int) pollers.Window {
	from := clock.Truncate(24 * time.Hour).Add(time.Duration(hour) * time.Hour)
	return pollers.Window{Stream: "reports/chats", From: from, To: from.Add(time.Hour)}
}

func TestOfTwoWritersOfALedgerEntryTheFirstCounts(t *testing.T) {
	ctx, ledger := t.Context(), pollers.NewLedger(newMemory())
	w := ledgerWindow(3)
	mine, err := ledger.Get(ctx, "eu", w)
	if err != nil || mine.State != pollers.StatePlanned || !mine.ReadAt.IsZero() || mine.Window != w {
		t.Fatalf("a window that was never touched is %+v, %v; want a planned one", mine, err)
	}
	others := mine
	mine.State = pollers.StateRunning
	if mine, err = ledger.Set(ctx, "eu", mine); err != nil {
		t.Fatal(err)
	}
	others.State = pollers.StateFailed
	if _, err := ledger.Set(ctx, "eu", others); !errors.Is(err, broker.ErrConflict) {
		t.Errorf("a second first writer: %v; want ErrConflict", err)
	}
	stale := mine
	mine.State, mine.ReadAt, mine.Records = pollers.StateComplete, clock, 7
	if mine, err = ledger.Set(ctx, "eu", mine); err != nil {
		t.Fatal(err)
	}
	stale.State = pollers.StateFailed
	if _, err := ledger.Set(ctx, "eu", stale); !errors.Is(err, broker.ErrConflict) {
		t.Errorf("a zombie: %v; want ErrConflict", err)
	}
	got, err := ledger.Get(ctx, "eu", w)
	if diff := cmp.Diff(mine, got, cmpopts.IgnoreUnexported(pollers.Entry{})); err != nil || diff != "" {
		t.Errorf("the entry came back with %v as\n%s", err, diff)
	}
}

func TestALedgerGivesOneSourcesEntriesByStreamOldestFirst(t *testing.T) {
	ctx, store := t.Context(), newMemory()
	ledger := pollers.NewLedger(store)
	snapshot := pollers.Window{Stream: "agents"}
	for _, w := range []pollers.Window{ledgerWindow(5), ledgerWindow(3), ledgerWindow(4), snapshot} {
		for _, source := range []string{"eu", "eu-2"} {
			if _, err := ledger.Set(ctx, source, pollers.Entry{Window: w, State: pollers.StateComplete, ReadAt: clock}); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := ledger.All(ctx, "eu")
	if err != nil || len(all) != 2 || len(all["agents"]) != 1 || !all["agents"][0].Snapshot() {
		t.Fatalf("the entries are %v, %v", all, err)
	}
	var hours []int
	for _, e := range all["reports/chats"] {
		hours = append(hours, e.From.Hour())
	}
	if !slices.Equal(hours, []int{3, 4, 5}) {
		t.Errorf("the hours are %v; want 3, 4, 5", hours)
	}
	e := all["reports/chats"][0]
	e.State = pollers.StateFailed
	if _, err := ledger.Set(ctx, "eu", e); err != nil {
		t.Errorf("an entry of All cannot be written: %v", err)
	}
}

func TestAnUnreadableLedgerEntryIsAnErrorAndNotAHole(t *testing.T) {
	ctx, store := t.Context(), newMemory()
	ledger := pollers.NewLedger(store)
	if _, err := ledger.Set(ctx, "eu", pollers.Entry{Window: ledgerWindow(1)}); err != nil {
		t.Fatal(err)
	}
	for key, e := range store.entries {
		e.Value = []byte("{")
		store.entries[key] = e
	}
	if _, err := ledger.Get(ctx, "eu", ledgerWindow(1)); err == nil {
		t.Error("Get: no error")
	}
	if _, err := ledger.All(ctx, "eu"); err == nil {
		t.Error("All: no error")
	}
	store.fails = errors.New("no server")
	if _, err := ledger.Get(ctx, "eu", ledgerWindow(2)); !errors.Is(err, store.fails) {
		t.Errorf("Get without a server: %v", err)
	}
}
