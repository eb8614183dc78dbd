package pollers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// SourceStatus is how far a source is, read from the ledger by whoever asks: no poller need run.
type SourceStatus struct {
	// Started tells whether a poller has ever had the source; without, the rest is what would be planned now.
	Started bool
	Start   time.Time
	// Ranges were asked for beside Start and UNTIL.
	Ranges []Range
	// SinceNote says that SINCE is another moment than Start, and what to do; "" where it holds.
	SinceNote string
	// Paused says why the vendor refuses the credentials; it is asked again at ProbeAt.
	Paused  string
	ProbeAt time.Time
	Budget  BudgetStatus
	// Denied are the streams that the account may not read, with the vendor's words, as far as the asked Runner knows.
	Denied  map[string]string
	Streams []StreamStatus
}

// StreamStatus is how far one stream is.
type StreamStatus struct {
	Stream Stream
	// Location is the zone of its days.
	Location *time.Location
	// Windows are those of the ledger that were not split, oldest first, and Holes what it does not have of what is wanted.
	Windows []Entry
	Holes   []Window
	// Due are the windows that are to be read now.
	Due []Task
	// FreshAt is up to when the newest data is known: when the live window was last read whole, or the end of the newest window that was. Zero:
	// nothing was read.
	FreshAt time.Time
	// UnsettledFrom is the start of the oldest window that is still to be read again for late changes; zero: there is none.
	UnsettledFrom time.Time
	Lateness      []Lateness
}

// Lateness is how often a window held something else when it was read again at an age.
type Lateness struct {
	Age            time.Duration
	Reads, Changed int
}

// Count gives the windows by state; windows that are planned count as such, whether the ledger has them or not.
func (s *StreamStatus) Count() map[State]int {
	counts := make(map[State]int)
	for _, e := range s.Windows {
		counts[e.Standing()]++
	}
	counts[StatePlanned] += len(s.Holes)
	return counts
}

// Standing is a window's state as a user sees it: one that is read again keeps what it has.
func (e *Entry) Standing() State {
	if e.State == StatePlanned && !e.ReadAt.IsZero() {
		return StateComplete
	}
	return e.State
}

// Inspect tells how far a source is.
func Inspect(ctx context.Context, b *broker.Broker, s *Source, now time.Time) (SourceStatus, error) {
	states, err := b.Bucket(ctx, broker.SourcesBucket)
	if err != nil {
		return SourceStatus{}, err
	}
	book, err := b.Bucket(ctx, broker.LedgerBucket)
	if err != nil {
		return SourceStatus{}, err
	}
	budgets, err := b.Bucket(ctx, broker.BudgetBucket)
	if err != nil {
		return SourceStatus{}, err
	}
	return s.inspect(ctx, states, budgets, now, func() (map[string][]Entry, error) { return NewLedger(book).All(ctx, s.Settings.Name) })
}

// Inspect tells how far a source is, from this process's copy of the ledger: cheap enough to be asked every few seconds. What
// is due excludes the streams that the account may not read.
func (r *Runner) Inspect(ctx context.Context, s *Source) (SourceStatus, error) {
	select {
	case <-r.mirror.Ready():
	default:
		return SourceStatus{}, fmt.Errorf("source %s: the ledger is not read yet", s.Settings.Name)
	}
	now := r.now()
	out, err := s.inspect(ctx, r.sources, r.budgets, now, func() (map[string][]Entry, error) {
		return r.known(s)
	})
	for i := range out.Streams {
		stream := &out.Streams[i]
		if d, is := r.denial(s.Settings.Name, stream.Stream.Name, now); is {
			if out.Denied == nil {
				out.Denied = make(map[string]string)
			}
			out.Denied[stream.Stream.Name] = d.Why
			stream.Due = nil
		}
	}
	return out, err
}

// known gives a source's entries by stream, oldest window first, as far as this process's copy of the ledger knows them.
func (r *Runner) known(s *Source) (map[string][]Entry, error) {
	r.viewing.Lock()
	defer r.viewing.Unlock()
	r.view.apply(r.mirror.Changes())
	if err := r.view.readable(s.Settings.Name); err != nil {
		return nil, err
	}
	known := make(map[string][]Entry)
	for _, stream := range s.Streams() {
		known[stream.Name] = slices.Clone(r.view.entries(s.Settings.Name, stream.Name))
	}
	return known, nil
}

func (s *Source) inspect(ctx context.Context, states, budgets Store, now time.Time, book func() (map[string][]Entry, error)) (SourceStatus, error) {
	state, err := readState(ctx, states, s.Settings.Name)
	started := err == nil
	if errors.Is(err, broker.ErrNotFound) {
		state.Start, err = s.firstStart(now), nil
	}
	if err != nil {
		return SourceStatus{}, err
	}
	out := SourceStatus{Started: started, Start: state.Start, Ranges: state.Ranges, SinceNote: s.sinceNote(state), Paused: state.Paused, ProbeAt: state.ProbeAt}
	if out.Budget, err = s.budget(budgets, func() time.Time { return now }).Status(ctx); err != nil {
		return SourceStatus{}, err
	}
	entries, err := book()
	if err != nil {
		return SourceStatus{}, err
	}
	for _, stream := range s.Streams() {
		out.Streams = append(out.Streams, s.plan(stream, state).status(entries[stream.Name], now))
	}
	return out, nil
}

// status sums a stream up.
func (p Plan) status(entries []Entry, now time.Time) StreamStatus {
	s := StreamStatus{Stream: p.Stream, Location: p.Location, Due: p.Due(entries, now), Lateness: p.lateness(entries)}
	for _, e := range entries {
		if e.State == StateSplit {
			continue
		}
		s.Windows = append(s.Windows, e)
		if !e.ReadAt.IsZero() {
			s.FreshAt = later(s.FreshAt, freshUpTo(e))
		}
		if s.UnsettledFrom.IsZero() && p.unsettled(e, now) {
			s.UnsettledFrom = e.From
		}
	}
	if !p.Stream.Snapshot {
		for _, task := range p.missing(math.MaxInt, entries, now) {
			s.Holes = append(s.Holes, task.Window)
		}
		slices.SortFunc(s.Holes, func(a, b Window) int { return a.From.Compare(b.From) })
	}
	return s
}

func freshUpTo(e Entry) time.Time {
	if e.Snapshot() || e.ReadAt.Before(e.To) {
		return e.ReadAt
	}
	return e.To
}

// unsettled tells whether a window will be read again for late changes.
func (p Plan) unsettled(e Entry, now time.Time) bool {
	if e.Snapshot() || len(p.Settle) == 0 || e.To.After(now) {
		return false
	}
	return e.ReadAt.Before(e.To.Add(p.maxSettle()))
}

// lateness sums the readings up by the age at which they were due.
func (p Plan) lateness(entries []Entry) []Lateness {
	out := make([]Lateness, len(p.Settle))
	for i, age := range p.Settle {
		out[i].Age = age
	}
	for _, e := range entries {
		for _, read := range e.Reads {
			i := len(p.Settle) - 1
			for i >= 0 && read.Age < p.Settle[i] {
				i--
			}
			if i < 0 {
				continue // an extra reading, before the first age
			}
			out[i].Reads++
			if read.Changed {
				out[i].Changed++
			}
		}
	}
	return out
}

const (
	// enoughReads is from how many readings at an age something follows.
	enoughReads = 20
	// lateShare is the share of changed readings, one in so many, from which an age is worth its requests.
	lateShare = 100
)

// Advise says what SETTLE should be, where the readings so far tell; "" where they do not or it is right.
func (s *StreamStatus) Advise() string {
	last := len(s.Lateness) - 1
	if last < 0 {
		return ""
	}
	if l := s.Lateness[last]; l.Reads >= enoughReads && l.Changed*lateShare >= l.Reads {
		return fmt.Sprintf("%d of %d windows still changed at the last age, %s: add a later one to SETTLE", l.Changed, l.Reads, l.Age)
	}
	quiet := last + 1
	for quiet > 0 && s.Lateness[quiet-1].Reads >= enoughReads && s.Lateness[quiet-1].Changed == 0 {
		quiet--
	}
	if last-quiet < 1 {
		return "" // one quiet age at the end is what a good schedule looks like
	}
	return fmt.Sprintf("no window changed at %s or later: SETTLE could end with that and save requests", s.Lateness[quiet].Age)
}

// Backfill asks the pollers for a past range of a source's streams, beside what they read anyway; again makes them read also what they have
// read. It returns once that is written down: any poller of the source does it, this process need not stay.
func Backfill(ctx context.Context, b *broker.Broker, s *Source, r Range, again bool) error {
	states, err := b.Bucket(ctx, broker.SourcesBucket)
	if err != nil {
		return err
	}
	if err := addRange(ctx, states, s, r); err != nil || !again {
		return err
	}
	book, err := b.Bucket(ctx, broker.LedgerBucket)
	if err != nil {
		return err
	}
	return readAgain(ctx, NewLedger(book), s, r, time.Now())
}

func addRange(ctx context.Context, states Store, s *Source, r Range) error {
	for {
		state, err := loadState(ctx, states, s, time.Now())
		if err != nil {
			return err
		}
		state.Ranges = merge(append(slices.Clone(state.Ranges), r))
		if _, err = saveState(ctx, states, s.Settings.Name, state); !errors.Is(err, broker.ErrConflict) {
			return err
		}
	}
}

// ReadAgain makes every window of a stream that overlaps a range due, or the one of a snapshot stream, and tells how many these are. Any
// poller of the source reads them.
func ReadAgain(ctx context.Context, b *broker.Broker, s *Source, stream string, r Range) (int, error) {
	book, err := b.Bucket(ctx, broker.LedgerBucket)
	if err != nil {
		return 0, err
	}
	ledger := NewLedger(book)
	all, err := ledger.All(ctx, s.Settings.Name)
	if err != nil {
		return 0, err
	}
	chosen := func(w Window) bool { return w.Snapshot() || r.overlaps(w) }
	return readStreamAgain(ctx, ledger, s.Settings.Name, all[stream], time.Now(), chosen)
}

func (r Range) overlaps(w Window) bool { return w.From.Before(r.To) && w.To.After(r.From) }

// readAgain makes every window that overlaps the range due.
func readAgain(ctx context.Context, ledger *Ledger, s *Source, r Range, now time.Time) error {
	all, err := ledger.All(ctx, s.Settings.Name)
	if err != nil {
		return err
	}
	for _, stream := range s.Streams() {
		chosen := func(w Window) bool { return !w.Snapshot() && r.overlaps(w) }
		if _, err := readStreamAgain(ctx, ledger, s.Settings.Name, all[stream.Name], now, chosen); err != nil {
			return err
		}
	}
	return nil
}

// readStreamAgain makes the chosen windows due. One that is being read at this moment is read anew as well: its worker's word counts no
// more.
func readStreamAgain(ctx context.Context, ledger *Ledger, source string, entries []Entry, now time.Time, chosen func(Window) bool) (n int, err error) {
	for _, e := range entries {
		if e.State == StateSplit || !chosen(e.Window) {
			continue
		}
		if err := ledger.forget(ctx, source, e.Window, now); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// forget makes a window due as if neither it nor, before now, what is in it had ever been read.
func (l *Ledger) forget(ctx context.Context, source string, w Window, now time.Time) error {
	for {
		e, err := l.Get(ctx, source, w)
		if err != nil {
			return err
		}
		e.State, e.ReadAt, e.RetryAt, e.Attempts, e.Error, e.Anew = StatePlanned, time.Time{}, time.Time{}, 0, "", now.UTC()
		if _, err = l.Set(ctx, source, e); !errors.Is(err, broker.ErrConflict) {
			return err
		}
	}
}
