package object

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

const (
	hidden     = ".parley/"
	markSuffix = ".mark"
	// markGrace is how long a mark outlives the acknowledgement of its events: the server writes its consumers' positions lazily, and
	// forgets the last moments of them when it crashes.
	markGrace = time.Hour
	// claimGrace is how long a process may have been stopped that wakes and writes on.
	claimGrace = 24 * time.Hour
	pruneEvery = time.Minute
	pruneMost  = 100
	sweepEvery = time.Hour
	// sweepAge is how old an upload is that nobody goes on with.
	sweepAge = 15 * time.Minute
	// partSize is that of a part, and what is put in one request; a larger one of an object that would have over 10,000 parts.
	partSize = 8 << 20
	maxParts = 10_000
	// uploads is how many objects are committed at once.
	uploads = 8
)

// Sink writes events into the objects of one prefix.
type Sink struct {
	store
	finder
	files  *rolling.Files
	prefix string
	state  string // <prefix>.parley/<sink>/
	spool  string
	part   int64
	// highest is a sequence that the stream has reached.
	highest uint64
	// adopted are the claims of earlier owners whose objects are not there, by key.
	adopted map[string]string // the version
	// noting is held by who notes a mark or claim while objects are committed.
	noting          sync.Mutex
	marked          map[string]uint64 // what the marks said at the beginning, by path
	marks           []note
	claims          []note
	pruned, sweptAt time.Time
}

// note is an object of ours that goes once everything up to its last sequence is acknowledged.
type note struct {
	key  string
	last uint64 // 0: unknown
	at   time.Time
}

// open implements sinks.Opener.
func (c config) open(ctx context.Context, o sinks.Ownership) (sinks.Sink, error) {
	store, err := c.store(ctx)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		store: store, finder: finder{c}, prefix: c.prefix, state: c.prefix + hidden + o.Sink + "/", spool: filepath.Join(c.spool, o.Sink), part: partSize, highest: o.LastSequence,
		adopted: make(map[string]string), marked: make(map[string]uint64), pruned: time.Now(),
	}
	s.files = rolling.New(c.options, s)
	if err := os.MkdirAll(s.spool, 0o700); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, o); err != nil {
		return nil, fmt.Errorf("%s: %w", store.place(c.prefix), err)
	}
	return s, nil
}

// prepare makes sure that the prefix belongs to this sink in this stream store, and reads what is committed.
func (s *Sink) prepare(ctx context.Context, o sinks.Ownership) error {
	stranger := ""
	err := s.list(ctx, s.prefix+hidden, true, func(f found) bool {
		if f.key != s.state {
			stranger = strings.TrimPrefix(f.key, s.prefix+hidden)
		}
		return stranger == ""
	})
	if err != nil {
		return err
	}
	if stranger != "" {
		return fmt.Errorf("belongs to the sink %q; give each sink a prefix of its own", strings.TrimSuffix(stranger, "/"))
	}
	if err := s.claimPrefix(ctx, o.Origin); err != nil {
		return err
	}
	if err := s.readState(ctx); err != nil {
		return err
	}
	kept, _, err := s.get(ctx, s.newest())
	if err != nil && !errors.Is(err, errMissing) {
		return err
	}
	return s.files.Follow(ctx, o, kept)
}

// newest is the object that says which event is the newest.
func (s *Sink) newest() string { return s.state + "newest" }

// Keep implements rolling.Destination. An owner that wakes too late keeps what is older, and as true.
func (s *Sink) Keep(ctx context.Context, newest []byte) error {
	return s.put(ctx, s.newest(), newest, false, "")
}

// claimPrefix fixes whose the prefix is; the first process to ask does.
func (s *Sink) claimPrefix(ctx context.Context, origin string) error {
	key := s.state + "origin"
	content, _, err := s.get(ctx, key)
	if errors.Is(err, errMissing) {
		if err := s.unused(ctx); err != nil {
			return err
		}
		err = s.put(ctx, key, []byte(origin), true, "")
		if !errors.Is(err, errExists) {
			return err
		}
		content, _, err = s.get(ctx, key)
	}
	if err != nil {
		return err
	}
	if string(content) == origin {
		return nil
	}
	// Nothing was ever written here: whoever opened it only looked.
	if s.unused(ctx) == nil {
		return s.put(ctx, key, []byte(origin), false, "")
	}
	return errors.New("holds objects that came from another stream store (was PARLEY_DATA_DIR removed?); give the sink another prefix, or empty this one with its .parley")
}

// unused refuses a prefix that has objects of a sink, or what says of some that they were there.
func (s *Sink) unused(ctx context.Context) error {
	stranger := ""
	err := s.list(ctx, s.prefix, false, func(f found) bool {
		if strings.HasPrefix(f.key, s.state) && f.key != s.state+"origin" && f.key != s.newest() || s.ours(f.key) {
			stranger = f.key
		}
		return stranger == ""
	})
	if err == nil && stranger != "" {
		err = fmt.Errorf("holds objects of an earlier sink (%s); give this one another prefix, or empty it", stranger)
	}
	return err
}

// ours tells whether a key is one of an object that a sink writes.
func (s *Sink) ours(key string) bool {
	_, _, ok := rolling.ParseName(path.Base(key))
	return ok && !strings.HasPrefix(key, s.prefix+hidden)
}

// readState reads the marks, and which claims there are.
func (s *Sink) readState(ctx context.Context) error {
	var implausible error
	err := s.list(ctx, s.state+"done/", false, func(f found) bool {
		name := strings.TrimSuffix(strings.TrimPrefix(f.key, s.state+"done/"), markSuffix)
		_, last, ok := rolling.ParseName(path.Base(name))
		if !ok {
			return true
		}
		implausible = s.plausible(name, last)
		s.marks = append(s.marks, note{f.key, last, f.at})
		s.marked[path.Dir(name)] = max(s.marked[path.Dir(name)], last)
		return implausible == nil
	})
	if err = errors.Join(err, implausible); err != nil {
		return err
	}
	return s.list(ctx, s.state+"claims/", false, func(f found) bool {
		s.claims = append(s.claims, note{f.key, 0, f.at})
		return true
	})
}

// plausible refuses names of sequences that the stream has not reached: they are another stream's.
func (s *Sink) plausible(name string, last uint64) error {
	if last <= max(s.highest, s.files.Highest) {
		return nil
	}
	return fmt.Errorf("%s names a sequence that the stream has not reached (%d): it is another stream's; give the sink another prefix, or empty this one with its .parley",
		name, max(s.highest, s.files.Highest))
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, b sinks.Batch) ([]uint64, error) {
	now := time.Now()
	if now.Sub(s.sweptAt) >= sweepEvery {
		s.sweptAt = now
		// What cannot be swept now is found the next time. Not before the first batch: who only looks changes nothing.
		_ = s.sweep(ctx, s.prefix, now.Add(-sweepAge), s.ours)
	}
	durable, err := s.files.Deliver(ctx, b)
	if now.Sub(s.pruned) >= pruneEvery {
		s.pruned = now
		s.marks = s.prune(ctx, s.marks, b.AckFloor, now.Add(-markGrace))
		s.claims = s.prune(ctx, s.claims, b.AckFloor, now.Add(-claimGrace))
	}
	return durable, err
}

// Flush implements sinks.Sink.
func (s *Sink) Flush(ctx context.Context) ([]uint64, error) { return s.files.Flush(ctx) }

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	s.files.Discard()
	return nil
}

// Create implements rolling.Destination. The file has no name: it goes with the process, however that ends.
func (s *Sink) Create(f *rolling.File) error {
	file, err := unnamed(s.spool)
	if err != nil {
		return err
	}
	f.Spool, f.Temp = file, file.Name()
	return nil
}

// Discard implements rolling.Destination.
func (s *Sink) Discard(f *rolling.File) {
	_ = f.Spool.Close()
}

// Committed implements rolling.Destination.
func (s *Sink) Committed(ctx context.Context, dir string) (c rolling.Committed, err error) {
	var implausible error
	err = s.list(ctx, s.prefix+dir+"/", true, func(f found) bool {
		if _, last, ok := rolling.ParseName(path.Base(f.key)); ok && last > c.Last {
			c.Last, implausible = last, s.plausible(f.key, last)
		}
		return implausible == nil
	})
	if err = errors.Join(err, implausible); err != nil {
		return c, err
	}
	c.Last = max(c.Last, s.marked[dir])
	return s.claimed(ctx, dir, c)
}

// claimed adds what the claims say of a path: the newest follows what is committed, and what it claims may not be there.
func (s *Sink) claimed(ctx context.Context, dir string, c rolling.Committed) (rolling.Committed, error) {
	newest, after := "", uint64(0)
	err := s.list(ctx, s.state+"claims/"+dir+"/", true, func(f found) bool {
		if n, err := strconv.ParseUint(path.Base(f.key), 10, 64); err == nil && (newest == "" || n > after) {
			newest, after = f.key, n
		}
		return true
	})
	if err != nil || newest == "" || after < c.Last {
		return c, err
	}
	// Who claimed this had everything before it committed, even where it was moved away since.
	c.Last = after
	content, etag, err := s.get(ctx, newest)
	if err != nil {
		return c, err
	}
	var other claim
	if err := json.Unmarshal(content, &other); err != nil {
		return c, fmt.Errorf("claim %s: %w", s.place(newest), err)
	}
	if _, last, ok := rolling.ParseName(other.Name); ok {
		c.Next = last
	}
	s.adopted[newest] = etag
	return c, nil
}

// claim says which object comes next in a path.
type claim struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// The steps of a commit; a crash between any two is mended by the next owner.
var steps = []struct {
	name string
	run  func(*Sink, context.Context, *rolling.File) error
}{
	{"digest", (*Sink).sum},
	// One of two owners wins; the other must not put an object.
	{"claim", (*Sink).claim},
	{"put", (*Sink).create},
	// The mark is there before the events are acknowledged: once a loader has taken the object away, nothing else says that they were written.
	{"mark", (*Sink).mark},
}

// Commit implements rolling.Destination. What a store takes for an answer, the objects of different paths wait for together.
func (s *Sink) Commit(ctx context.Context, files []*rolling.File) error {
	return rolling.Each(files, uploads, func(f *rolling.File) error {
		if err := s.commit(ctx, f); err != nil {
			return fmt.Errorf("%s/%s: %w", f.Path, f.Name(), err)
		}
		f.Durable = true
		return nil
	})
}

func (s *Sink) commit(ctx context.Context, f *rolling.File) error {
	for ; f.Done < len(steps); f.Done++ {
		step := steps[f.Done]
		err := s.files.Fault(step.name)
		if err == nil {
			err = step.run(s, ctx, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// note notes a mark or claim; objects that are committed at once share them.
func (s *Sink) note(notes *[]note, key string, f *rolling.File) {
	s.noting.Lock()
	defer s.noting.Unlock()
	*notes = append(*notes, note{key, f.Last(), time.Now()})
}

func (s *Sink) sum(_ context.Context, f *rolling.File) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f.Spool, 0, f.Size)); err != nil {
		return fmt.Errorf("read the spool: %w", err)
	}
	f.Digest = hex.EncodeToString(sum.Sum(nil))
	return nil
}

func (s *Sink) claim(ctx context.Context, f *rolling.File) error {
	key := fmt.Sprintf("%sclaims/%s/%020d", s.state, f.Path, f.After)
	mine := claim{Name: f.Name(), SHA256: f.Digest}
	content, _ := json.Marshal(mine) // two strings always encode
	err := s.put(ctx, key, content, true, "")
	if errors.Is(err, errExists) {
		err = s.contest(ctx, key, mine, content)
	}
	if err == nil {
		s.note(&s.claims, key, f)
	}
	return err
}

// contest deals with a claim that is there: our own, whose reply was lost or which an earlier owner made for the same object; an earlier owner's for another one,
// which is not there and will not be; or that of a process that took the sink over.
func (s *Sink) contest(ctx context.Context, key string, mine claim, content []byte) error {
	there, etag, err := s.get(ctx, key)
	if err != nil {
		return err
	}
	var other claim
	if err := json.Unmarshal(there, &other); err != nil {
		return fmt.Errorf("claim %s: %w", s.place(key), err)
	}
	if other == mine {
		return nil
	}
	if s.adopted[key] == etag {
		err = s.put(ctx, key, content, false, etag)
		if !errors.Is(err, errExists) {
			return err
		}
	}
	return fmt.Errorf("another process has claimed %s where this one has %s: %w", other.Name, mine.Name, sinks.ErrReopen)
}

func (s *Sink) create(ctx context.Context, f *rolling.File) error {
	key := s.prefix + f.Path + "/" + f.Name()
	format := s.files.Format()
	u := upload{key: key, contentType: format.ContentType(), digest: f.Digest, body: f.Spool, size: f.Size}
	err := s.store.create(ctx, u, max(s.part, f.Size/maxParts+1))
	if err == nil {
		return nil
	}
	// Whatever the answer was: it may be there. A reply can be lost, and the next attempt is answered by what the lost one made.
	digest, lookErr := s.digest(ctx, key)
	switch {
	case lookErr != nil:
		return err
	case digest == u.digest:
		return nil
	default:
		return fmt.Errorf("%s is there with other content: %w", s.place(key), sinks.ErrReopen)
	}
}

func (s *Sink) mark(ctx context.Context, f *rolling.File) error {
	key := s.state + "done/" + f.Path + "/" + f.Name() + markSuffix
	if err := s.put(ctx, key, nil, false, ""); err != nil {
		return err
	}
	s.note(&s.marks, key, f)
	return nil
}

// prune removes notes that no event can ask for any more, some at a time. What cannot be removed now is tried again.
func (s *Sink) prune(ctx context.Context, notes []note, floor uint64, before time.Time) []note {
	kept, removed := notes[:0], 0
	for _, n := range notes {
		if removed < pruneMost && n.at.Before(before) {
			removed++
			if n.last == 0 {
				n.last = s.lastClaimed(ctx, n.key)
			}
			if n.last != 0 && n.last <= floor && s.remove(ctx, n.key) == nil {
				continue
			}
		}
		kept = append(kept, n)
	}
	return kept
}

// lastClaimed gives the last sequence of what a claim is for; 0 when it cannot be read.
func (s *Sink) lastClaimed(ctx context.Context, key string) uint64 {
	var c claim
	content, _, err := s.get(ctx, key)
	if err != nil || json.Unmarshal(content, &c) != nil {
		return 0
	}
	_, last, _ := rolling.ParseName(c.Name)
	return last
}
