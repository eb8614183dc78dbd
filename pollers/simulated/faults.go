package simulated

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Faults says how often (0 to 1) a simulator misbehaves, by the fault's name. Every fault passes: the
// same request asked again is answered well in the end.
type Faults map[string]float64

// The faults' names.
const (
	Fault429  = "429"  // too many requests; Retry-After in seconds and as an HTTP date in turn
	Fault500  = "500"  // server error
	FaultCut  = "cut"  // the body ends early, the declared length does not
	FaultHTML = "html" // 200 with a login page
	FaultSlow = "slow" // the body comes in small pieces with pauses between them, whole
	// FaultTruncated ends the body early, and only the format tells: there is no length, and the connection is closed. A closing
	// bracket or tag that is missing tells. CSV has none: a row that is cut shows, but rows that are missing behind a whole one do not, and a
	// reader can only ask again and compare. So the same request is never truncated twice running: two answers that agree are whole.
	FaultTruncated = "truncated"
	// FaultMoved moves the rows of a listing between two of its pages; simulators that have pages ask Moves for it.
	FaultMoved = "moved"
	// FaultLate changes an entity, in the way in which the vendor's change, after an answer that may have held it. There are at most 100 such
	// changes, so that whoever reads again comes to an end.
	FaultLate = "late"
	// FaultMidnight has the vendor's day change between a request and its answer; simulators of vendors that count days back from today ask a
	// Chance for it.
	FaultMidnight = "midnight"
)

// mostLate is how many changes FaultLate makes.
const mostLate = 100

// largestShare of all requests may be misbehaved to: above it a poller would wait for long.
const largestShare = 0.9

// FaultNames are all faults', sorted.
func FaultNames() []string {
	return []string{Fault429, Fault500, FaultCut, FaultHTML, FaultLate, FaultMidnight, FaultMoved, FaultSlow, FaultTruncated}
}

// ParseFaults reads "429=0.1,cut=0.05"; a name alone is 0.05.
func ParseFaults(text string) (Faults, error) {
	f := Faults{}
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, share, given := strings.Cut(item, "=")
		p := 0.05
		if given {
			var err error
			if p, err = strconv.ParseFloat(share, 64); err != nil || !(p >= 0 && p <= largestShare) { // NaN is no share either
				return nil, fmt.Errorf("fault %q: want a share from 0 to %v after =", item, largestShare)
			}
		}
		if !slices.Contains(FaultNames(), name) {
			return nil, fmt.Errorf("fault %q: want one of %s", name, strings.Join(FaultNames(), ", "))
		}
		f[name] = p
	}
	sum := 0.0
	for _, name := range f.answers() {
		sum += f[name]
	}
	if sum > largestShare {
		return nil, fmt.Errorf("faults %q: want shares that sum up to at most %v", text, largestShare)
	}
	return f, nil
}

// answers are the names of the faults that an answer as a whole can have, sorted.
func (f Faults) answers() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(f)), func(name string) bool {
		return name == FaultLate || name == FaultMidnight || name == FaultMoved
	})
}

// draws are seeded choices: one for each time that a request is asked, whatever else is asked meanwhile.
type draws struct {
	seed int64
	salt string

	mu    sync.Mutex
	asked map[string]int
}

func newDraws(seed int64, salt string) *draws {
	return &draws{seed: seed, salt: salt, asked: map[string]int{}}
}

// next gives the choices of a request that is asked once more.
func (d *draws) next(request string) *rand.Rand {
	d.mu.Lock()
	n := d.asked[request]
	d.asked[request] = n + 1
	d.mu.Unlock()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %s", d.salt, d.seed, n, request))
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])))
}

// Chance decides whether a fault that only a simulator itself can make falls on a request.
type Chance struct {
	share float64
	draws *draws
}

// NewChance makes the decisions of one simulator.
func NewChance(f Faults, seed int64, fault string) *Chance {
	return &Chance{share: f[fault], draws: newDraws(seed, fault)}
}

// Falls decides for a request that is asked once more.
func (c *Chance) Falls(r *http.Request) bool {
	return c.share > 0 && c.draws.next(r.URL.RequestURI()).Float64() < c.share
}

// Move is how the rows of a listing have moved since the page before was read.
type Move int

// The moves.
const (
	Stayed    Move = iota
	Inserted       // a row came before all others
	Deleted        // a row of a page before is gone
	Reordered      // the page's first row and the last of the page before have changed places
)

// Moves decides when rows move, by the share of the fault "moved". A simulator that has pages asks it at each of them, and answers with
// what Page gives. The move is in this one answer: a reading that begins anew finds the rows where they were.
type Moves struct {
	share float64
	draws *draws
}

// NewMoves makes the decisions of one simulator.
func NewMoves(f Faults, seed int64) *Moves {
	return &Moves{share: f[FaultMoved], draws: newDraws(seed, "moves")}
}

// Next decides for a request.
func (m *Moves) Next(r *http.Request) Move {
	if m.share == 0 {
		return Stayed
	}
	if rng := m.draws.next(r.URL.RequestURI()); rng.Float64() < m.share {
		return Inserted + Move(rng.IntN(3))
	}
	return Stayed
}

// Page gives a page (from 1) of so many rows each, and how many rows there are after the move. The first page shows no move: nothing was
// read before it.
func Page[T any](rows []T, page, size int, move Move) (shown []T, total int) {
	total = len(rows)
	start := min((page-1)*size, total)
	if start == 0 {
		move = Stayed
	}
	switch move {
	case Inserted:
		start, total = start-1, total+1
	case Deleted:
		start, total = min(start+1, len(rows)), total-1
	}
	shown = rows[start:min(start+size, len(rows))]
	if move == Reordered && len(shown) > 0 {
		shown = slices.Concat(rows[start-1:start], shown[1:])
	}
	return shown, total
}
