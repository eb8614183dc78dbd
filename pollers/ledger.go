package pollers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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
	// Anew, when set, makes the next reading ask for everything whose version was remembered before it: `backfill --again`.
	Anew time.Time `json:",omitzero"`

	revision uint64 // of the ledger's key; 0: there is none
	// unknown are the fields that a newer version wrote; they are written back as they were.
	unknown map[string]json.RawMessage
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
	return streamKey(source, w.Stream) + "." + WindowID(w)
}

// streamKey is what the keys of a stream's windows share.
func streamKey(source, stream string) string { return source + "." + events.Token(stream) }

// cutKey divides a window's key.
func cutKey(key string) (stream, id string) {
	i := strings.LastIndexByte(key, '.')
	return key[:max(i, 0)], key[i+1:]
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
	value, err := encodeEntry(e)
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
	v := newLedgerView()
	v.apply(raw)
	if err := v.readable(source); err != nil {
		return nil, err
	}
	byStream := make(map[string][]Entry, len(v.streams))
	for _, entries := range v.streams {
		byStream[entries[0].Stream] = entries
	}
	return byStream, nil
}

// ledgerView is a copy of the ledger, kept current by what changes. One goroutine uses it.
type ledgerView struct {
	streams    map[string][]Entry // none of them empty, oldest window first; by the part of their keys that they share
	unreadable map[string]error   // by key
}

func newLedgerView() *ledgerView {
	return &ledgerView{streams: make(map[string][]Entry), unreadable: make(map[string]error)}
}

// apply takes over what was written; the zero broker.Entry deletes.
func (v *ledgerView) apply(changes map[string]broker.Entry) {
	// Keys sort as their windows do: a whole ledger is appended, not inserted.
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		delete(v.unreadable, key)
		stream, id := cutKey(key)
		if changes[key].Revision == 0 {
			v.remove(stream, id)
		} else if e, err := decodeEntry(changes[key]); err != nil {
			v.unreadable[key] = fmt.Errorf("ledger entry %s: %w", key, err)
		} else {
			v.put(stream, e)
		}
	}
}

func (v *ledgerView) put(stream string, e Entry) {
	entries := v.streams[stream]
	i, found := slices.BinarySearchFunc(entries, e.Window, Entry.compareWindow)
	if found {
		entries[i] = e
		return
	}
	v.streams[stream] = slices.Insert(entries, i, e)
}

func (v *ledgerView) remove(stream, id string) {
	entries := slices.DeleteFunc(v.streams[stream], func(e Entry) bool { return WindowID(e.Window) == id })
	if v.streams[stream] = entries; len(entries) == 0 {
		delete(v.streams, stream)
	}
}

// readable tells what of a source's part cannot be read: it is not known what that is, and what is not known is no hole.
func (v *ledgerView) readable(source string) error {
	for key, err := range v.unreadable {
		if strings.HasPrefix(key, source+".") {
			return err
		}
	}
	return nil
}

// entries are a stream's, oldest window first; they change with the next apply.
func (v *ledgerView) entries(source, stream string) []Entry {
	return v.streams[streamKey(source, stream)]
}

// compareWindow orders windows by their start, then by their end.
func (e Entry) compareWindow(w Window) int {
	return cmp.Or(e.From.Compare(w.From), e.To.Compare(w.To))
}

func decodeEntry(e broker.Entry) (Entry, error) {
	var entry Entry
	strict := json.NewDecoder(bytes.NewReader(e.Value))
	strict.DisallowUnknownFields()
	if strict.Decode(&entry) != nil || strict.More() {
		// Rare, and so worth the second look: it is no entry, or one of a newer version.
		entry = Entry{}
		if err := errors.Join(json.Unmarshal(e.Value, &entry), json.Unmarshal(e.Value, &entry.unknown)); err != nil {
			return Entry{}, fmt.Errorf("decode ledger entry: %w", err)
		}
	}
	entry.revision = e.Revision
	return entry, nil
}

// encodeEntry writes what this version knows over what it does not.
func encodeEntry(e Entry) ([]byte, error) {
	value, err := json.Marshal(e)
	if err != nil || e.unknown == nil {
		return value, err
	}
	own := reflect.TypeFor[Entry]()
	merged := maps.Clone(e.unknown)
	maps.DeleteFunc(merged, func(name string, _ json.RawMessage) bool { _, is := own.FieldByName(name); return is })
	if err := json.Unmarshal(value, &merged); err != nil {
		return nil, err
	}
	return json.Marshal(merged)
}
