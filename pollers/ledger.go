package pollers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// State is how complete a window is.
type State string

// The states of a window in the ledger. A window that the ledger does not have is planned.
const (
	StatePlanned  State = "planned"
	StateRunning  State = "running"
	StateComplete State = "complete"
	StatePartial  State = "partial" // the vendor's cap was reached at the finest grain
	StateFailed   State = "failed"
	StateSplit    State = "split" // its halves are in the ledger instead
)

// Class is why a window is read; lower ones go first.
type Class int

// The classes of windows.
const (
	ClassLive Class = iota
	ClassSettle
	ClassBackfill
)

// String names the class.
func (c Class) String() string { return [...]string{"live", "settle", "backfill"}[c] }

// Entry is what the ledger knows of one window.
type Entry struct {
	Window
	State State
	// ReadAt is when the last complete reading began; zero: there was none. The cursor of the window: it is set
	// only after RAW has every record of that reading.
	ReadAt time.Time
	// Records and Requests are the last complete reading's; Fingerprint tells whether two held the same.
	Records     int
	Requests    int
	Fingerprint string
	// Reads are the latest readings after the window's end that could differ from one before.
	Reads []Read `json:",omitempty"`
	// Attempts counts failures since the last complete reading, Error is the last one's, and the window
	// is not read before RetryAt.
	Attempts int
	Error    string
	FailedAt time.Time
	RetryAt  time.Time

	revision uint64 // of the ledger's key; 0: there is none
}

// Read is one reading of a window that had been read before: how long after the window's end, and whether it held something else.
type Read struct {
	Age     time.Duration
	Changed bool
}

// maxReads is how many of them are kept of a window.
const maxReads = 8

// compare notes a reading that followed another one of a window that had ended.
func (e *Entry) compare(before Entry) {
	if e.Snapshot() || before.ReadAt.Before(e.To) {
		return
	}
	e.Reads = append(slices.Clone(e.Reads), Read{Age: e.ReadAt.Sub(e.To), Changed: e.Fingerprint != before.Fingerprint})
	e.Reads = e.Reads[max(0, len(e.Reads)-maxReads):]
}

const windowTime = "20060102T150405Z"

// WindowID names a window within its stream.
func WindowID(w Window) string {
	if w.Snapshot() {
		return "snapshot"
	}
	return w.From.UTC().Format(windowTime) + "-" + w.To.UTC().Format(windowTime)
}

func windowKey(source string, w Window) string {
	return source + "." + events.Token(w.Stream) + "." + WindowID(w)
}

// Store keeps small values under compare-and-set: a bucket.
type Store interface {
	Get(ctx context.Context, key string) (broker.Entry, error)
	Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	All(ctx context.Context, pattern string) (map[string]broker.Entry, error)
}

// Ledger is the record of which window is how complete.
type Ledger struct{ store Store }

// NewLedger keeps the ledger in a store.
func NewLedger(store Store) *Ledger { return &Ledger{store} }

// Get gives a window's entry; a window that was never touched has a planned one.
func (l *Ledger) Get(ctx context.Context, source string, w Window) (Entry, error) {
	e, err := l.store.Get(ctx, windowKey(source, w))
	if errors.Is(err, broker.ErrNotFound) {
		return Entry{Window: w, State: StatePlanned}, nil
	}
	if err != nil {
		return Entry{}, err
	}
	return decodeEntry(e)
}

// Set stores an entry if nobody changed it since it was got, and gives it with its new revision. A
// worker that lost its lease finds the entry changed (broker.ErrConflict) and its word does not count.
func (l *Ledger) Set(ctx context.Context, source string, e Entry) (Entry, error) {
	value, err := json.Marshal(e)
	if err != nil {
		return e, fmt.Errorf("encode ledger entry: %w", err)
	}
	e.revision, err = l.store.Set(ctx, windowKey(source, e.Window), value, e.revision)
	return e, err
}

// All gives a source's entries, by stream, oldest window first.
func (l *Ledger) All(ctx context.Context, source string) (map[string][]Entry, error) {
	raw, err := l.store.All(ctx, source+".>")
	if err != nil {
		return nil, err
	}
	return newLedgerView().entries(source, raw)
}

// ledgerView decodes entries once for each revision. It is safe for concurrent use.
type ledgerView struct {
	mu      sync.Mutex
	decoded map[string]Entry
}

func newLedgerView() *ledgerView { return &ledgerView{decoded: make(map[string]Entry)} }

// entries gives a source's part of the ledger's values, by stream, oldest window first.
func (v *ledgerView) entries(source string, raw map[string]broker.Entry) (map[string][]Entry, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	byStream := make(map[string][]Entry)
	for key, value := range raw {
		if !strings.HasPrefix(key, source+".") {
			continue
		}
		e, ok := v.decoded[key]
		if !ok || e.revision != value.Revision {
			var err error
			if e, err = decodeEntry(value); err != nil {
				return nil, fmt.Errorf("ledger entry %s: %w", key, err)
			}
			v.decoded[key] = e
		}
		byStream[e.Stream] = append(byStream[e.Stream], e)
	}
	for _, entries := range byStream {
		slices.SortFunc(entries, func(a, b Entry) int { return a.From.Compare(b.From) })
	}
	return byStream, nil
}

func decodeEntry(e broker.Entry) (Entry, error) {
	var entry Entry
	if err := json.Unmarshal(e.Value, &entry); err != nil {
		return Entry{}, fmt.Errorf("decode ledger entry: %w", err)
	}
	entry.revision = e.Revision
	return entry, nil
}
