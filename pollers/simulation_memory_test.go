package pollers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

var errLost = errors.New("no answer from the server")

// memoryStore is a bucket that remembers how it came to what it holds.
type memoryStore struct {
	*memory
	story *story
	name  string

	log   []change
	said  map[string]pollers.Entry // the ledger's entries, as they were last written
	held  time.Time
	since time.Time
}

type change struct {
	at    time.Time
	key   string
	entry broker.Entry
	says  pollers.Entry // what the entry says
}

func newMemoryStore(s *story, name string) *memoryStore {
	return &memoryStore{memory: newMemory(), story: s, name: name, said: map[string]pollers.Entry{}}
}

// heldUntil is until when the account is held, and since when that is known.
func (m *memoryStore) heldUntil() (until, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held, m.since
}

// windows are the ledger's entries.
func (m *memoryStore) windows() []pollers.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Collect(maps.Values(m.said))
	slices.SortFunc(out, func(a, b pollers.Entry) int {
		return strings.Compare(a.Stream+pollers.WindowID(a.Window), b.Stream+pollers.WindowID(b.Window))
	})
	return out
}

// storeOf is a store as a process sees it.
type storeOf struct {
	p *process
	*memoryStore
}

func (s storeOf) Get(ctx context.Context, key string) (broker.Entry, error) {
	d, err := s.p.step(ctx, s.name+" get "+key)
	if err != nil {
		return broker.Entry{}, err
	}
	if s.p.flaky(&d) {
		return broker.Entry{}, errLost
	}
	e, err := s.memory.Get(ctx, key)
	if spent := s.p.spend(0); spent != nil {
		return e, spent
	}
	return e, err
}

func (s storeOf) All(ctx context.Context, pattern string) (map[string]broker.Entry, error) {
	d, err := s.p.step(ctx, s.name+" all")
	if err != nil {
		return nil, err
	}
	if s.p.flaky(&d) {
		return nil, errLost
	}
	return s.memory.All(ctx, pattern)
}

func (s storeOf) Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	d, err := s.p.step(ctx, s.name+" set "+key)
	if err != nil {
		return 0, err
	}
	lost := s.p.flaky(&d)
	if lost && d.n(2) == 0 {
		return 0, errLost
	}
	revision, err = s.memory.Set(ctx, key, value, revision)
	if err == nil {
		s.applied(s.p, key, broker.Entry{Value: value, Revision: revision})
	}
	if spent := s.p.spend(d.upTo(time.Millisecond)); spent != nil {
		return 0, spent
	}
	if lost {
		return 0, errLost // it was applied, and its answer is lost
	}
	return revision, err
}

// applied looks at what was written.
func (m *memoryStore) applied(p *process, key string, after broker.Entry) {
	switch m.name {
	case "ledger":
		var is pollers.Entry
		if err := json.Unmarshal(after.Value, &is); err != nil {
			m.story.failed("the ledger's %s cannot be read: %v", key, err)
		}
		m.mu.Lock()
		was := m.said[key]
		m.said[key] = is
		m.log = append(m.log, change{time.Now(), key, after, is})
		m.mu.Unlock()
		m.checkEntry(p, was, is)
	case "budgets":
		var state struct {
			Held int64 `json:"held"`
		}
		_ = json.Unmarshal(after.Value, &state)
		m.mu.Lock()
		if held := time.Unix(0, state.Held); held.After(m.held) {
			m.held, m.since = held, time.Now()
		}
		m.mu.Unlock()
	}
}

// checkEntry looks whether the ledger may say so.
func (m *memoryStore) checkEntry(p *process, was, is pollers.Entry) {
	s, id := m.story, is.Stream+" "+pollers.WindowID(is.Window)
	s.note("process %d: window %s is %s, read at %s", p.id, id, is.State, is.ReadAt.Format("15:04:05.000"))
	if was.State == pollers.StateSplit && is.State != pollers.StateSplit {
		s.failed("process %d says that window %s, which was split, is %s", p.id, id, is.State)
	}
	if is.ReadAt.Before(was.ReadAt) && !s.jumps && !s.skews {
		s.failed("process %d says that window %s was read at %s; it was read at %s", p.id, id, is.ReadAt, was.ReadAt)
	}
	if is.State == pollers.StateSplit && was.State != pollers.StateSplit {
		m.checkHalves(is)
		return
	}
	if is.ReadAt.IsZero() || is.ReadAt.Equal(was.ReadAt) {
		return
	}
	p.mu.Lock()
	at := is.ReadAt.Add(-p.ahead)
	p.mu.Unlock()
	for _, r := range s.vendor.rows(is.Window, at) {
		if want, have := r.version(at), s.raw.version(r); have < want {
			s.failed("process %d says that window %s is %s, read at %s; RAW has version %d of %s, and the vendor showed version %d", p.id, id, is.State, at, have, r.id, want)
			return
		}
	}
}

// checkHalves wants the halves of a window to be in the ledger before it is split.
func (m *memoryStore) checkHalves(split pollers.Entry) {
	at := split.From
	for moved := true; moved; {
		moved = false
		for _, e := range m.windows() {
			if e.Stream == split.Stream && e.From.Equal(at) && e.To.Before(split.To.Add(1)) && e.Window != split.Window {
				at, moved = e.To, true
			}
		}
	}
	if at.Before(split.To) {
		m.story.failed("window %s %s is split, and nothing in the ledger begins at %s", split.Stream, pollers.WindowID(split.Window), at)
	}
}

// mirrorOf is a process's copy of the ledger, which lags.
type mirrorOf struct {
	p     *process
	ready chan struct{}
	at    int // in the log
}

func newMirrorOf(p *process) *mirrorOf {
	return &mirrorOf{p: p, ready: make(chan struct{})}
}

func (m *mirrorOf) Ready() <-chan struct{} { return m.ready }

func (m *mirrorOf) Follow(ctx context.Context) error {
	if _, err := m.p.step(ctx, "follow"); err == nil {
		close(m.ready)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (m *mirrorOf) Changes() map[string]broker.Entry {
	d := m.p.story.throw("mirror " + strconv.Itoa(m.p.id))
	until := time.Now().Add(-d.upTo(2 * time.Second))
	store := m.p.story.ledger
	store.mu.Lock()
	changed := map[string]broker.Entry{}
	for ; m.at < len(store.log) && !store.log[m.at].at.After(until); m.at++ {
		c := &store.log[m.at]
		changed[c.key] = c.entry
		m.p.looked[c.key] = c.says
	}
	store.mu.Unlock()
	m.p.offered = pollers.ClassLive // what the planner offers next is by this look
	return changed
}

// memoryQueue is a work queue with leases, which gives each window to who has waited longest.
type memoryQueue struct {
	story *story

	mu      sync.Mutex
	items   []*item
	waiting []*waiter
}

type item struct {
	key    string
	task   []byte
	free   time.Time // from then on it may be taken
	holder *process  // nil: nobody
}

type waiter struct {
	p     *process
	given chan *item
}

func newMemoryQueue(s *story) *memoryQueue { return &memoryQueue{story: s} }

func (q *memoryQueue) find(key string) *item {
	for _, it := range q.items {
		if it.key == key {
			return it
		}
	}
	return nil
}

// holds tells whether a process has taken a window and not lost it.
func (q *memoryQueue) holds(p *process, key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.find(key)
	return it != nil && it.holder == p && time.Now().Before(it.free)
}

// deal gives what is free to who waits.
func (q *memoryQueue) deal() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, taken := time.Now(), 0
	for _, it := range q.items {
		if it.holder != nil && now.Before(it.free) {
			taken++
		}
	}
	for _, it := range q.items {
		if len(q.waiting) == 0 || taken >= q.story.concurrency {
			return
		}
		if now.Before(it.free) {
			continue
		}
		w := q.waiting[0]
		q.waiting = q.waiting[1:]
		it.holder = w.p
		q.until(it, q.story.lease)
		taken++
		w.given <- it
	}
}

// until keeps an item from others for a while.
func (q *memoryQueue) until(it *item, d time.Duration) {
	it.free = time.Now().Add(d)
	time.AfterFunc(d, q.deal)
}

// queueOf is the queue as a process sees it.
type queueOf struct{ p *process }

func (q queueOf) Offer(ctx context.Context, _ string, w pollers.Window, task []byte) error {
	s := q.p.story
	key := pollers.WindowKey(simSource, w)
	d, err := q.p.step(ctx, "offer "+key)
	if err != nil {
		return err
	}
	lost := q.p.flaky(&d)
	if lost && d.n(2) == 0 {
		return errLost
	}
	q.p.checkOffer(w, key)
	s.queue.mu.Lock()
	if s.queue.find(key) == nil {
		s.queue.items = append(s.queue.items, &item{key: key, task: task})
		s.note("process %d offers %s", q.p.id, key)
	}
	s.queue.mu.Unlock()
	s.queue.deal()
	if lost {
		return errLost
	}
	return nil
}

// class is why a window is read, as a reader of the documents would say it; what ended lately and was never read may count as either.
func (s *story) class(w pollers.Window, e pollers.Entry, now time.Time) (least, most pollers.Class) {
	span := 24 * time.Hour
	for _, stream := range s.streams {
		if stream.Name == w.Stream && stream.LiveSpan > 0 {
			span = stream.LiveSpan
		}
	}
	switch {
	case w.Snapshot() || w.To.After(now):
		return pollers.ClassLive, pollers.ClassLive
	case !e.ReadAt.IsZero() && !e.ReadAt.Before(w.To):
		return pollers.ClassSettle, pollers.ClassSettle
	case now.Sub(w.To) < span:
		return pollers.ClassLive, pollers.ClassBackfill
	}
	return pollers.ClassBackfill, pollers.ClassBackfill
}

// checkOffer wants nothing to be queued before what is more urgent.
func (p *process) checkOffer(w pollers.Window, key string) {
	s, now := p.story, p.now()
	if s.skews || s.jumps {
		return
	}
	least, most := s.class(w, p.looked[key], now)
	if most < p.offered {
		s.failed("process %d offers %s, which is %s, after what was %s", p.id, key, most, p.offered)
	}
	p.offered = max(p.offered, least)
	p.queued[key] = true
	if least != pollers.ClassBackfill || !now.Before(s.until) {
		return
	}
	for _, stream := range s.streams {
		if stream.Snapshot || p.liveIsKnown(stream.Name, now) {
			continue
		}
		s.failed("process %d offers %s, which is backfill, and the live window of %s is not queued", p.id, key, stream.Name)
	}
}

// liveIsKnown tells whether a stream's newest window is queued, or need not be.
func (p *process) liveIsKnown(stream string, now time.Time) bool {
	for key, e := range p.looked {
		if e.Stream == stream && e.State != pollers.StateSplit && e.Holds(now) {
			return p.queued[key] || now.Before(e.ReadAt.Add(p.story.interval+time.Second)) || now.Before(e.RetryAt)
		}
	}
	for key := range p.queued {
		if strings.HasPrefix(key, simSource+"."+stream+".") && len(key) > 37 {
			from, errFrom := time.Parse("20060102T150405Z", key[len(key)-33:len(key)-17])
			to, errTo := time.Parse("20060102T150405Z", key[len(key)-16:])
			if errFrom == nil && errTo == nil && !now.Before(from) && now.Before(to) {
				return true
			}
		}
	}
	return false
}

func (q queueOf) Queued(ctx context.Context, _ string) (map[string]bool, error) {
	d, err := q.p.step(ctx, "queued")
	if err != nil {
		return nil, err
	}
	if q.p.flaky(&d) {
		return nil, errLost
	}
	keys := map[string]bool{}
	queue := q.p.story.queue
	queue.mu.Lock()
	for _, it := range queue.items {
		keys[it.key] = true
	}
	queue.mu.Unlock()
	q.p.queued = maps.Clone(keys)
	return keys, nil
}

func (q queueOf) Taker(context.Context, *pollers.Source, time.Duration) (pollers.Taker, error) {
	return &takerOf{p: q.p}, nil
}

type takerOf struct {
	p *process
	w *waiter
}

func (t *takerOf) Next(ctx context.Context) (*pollers.Delivery, error) {
	d, err := t.p.step(ctx, "next")
	if err != nil {
		return nil, err
	}
	if t.p.flaky(&d) {
		return nil, errLost
	}
	q := t.p.story.queue
	if t.w == nil {
		t.w = &waiter{t.p, make(chan *item, 1)}
		q.mu.Lock()
		q.waiting = append(q.waiting, t.w)
		q.mu.Unlock()
		q.deal()
	}
	timer := time.NewTimer(20*time.Minute + d.upTo(time.Minute))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		t.leave()
		return nil, t.p.spend(0)
	case it := <-t.w.given:
		t.w = nil
		if err := t.p.spend(d.upTo(time.Millisecond)); err != nil {
			return nil, err
		}
		t.p.story.note("process %d takes %s", t.p.id, it.key)
		return pollers.NewDelivery(it.key, it.task, &holdOf{t.p, it}), nil
	}
}

// leave leaves the line.
func (t *takerOf) leave() {
	q := t.p.story.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, t.w); i >= 0 {
		q.waiting, t.w = slices.Delete(q.waiting, i, i+1), nil
	}
}

// Close leaves the line: what is given to nobody waits for its lease, as what a dead process still waited for does.
func (t *takerOf) Close() {
	if !t.p.isDead() {
		t.leave()
	}
}

// holdOf is what a process can say of what it took. As in the real queue, the word of who lost its lease still counts.
type holdOf struct {
	p  *process
	it *item
}

func (h *holdOf) Done(ctx context.Context) error {
	d, err := h.p.step(ctx, "done "+h.it.key)
	if err != nil {
		return err
	}
	lost := h.p.flaky(&d)
	if !lost || d.n(2) == 0 {
		q := h.p.story.queue
		q.mu.Lock()
		q.items = slices.DeleteFunc(q.items, func(it *item) bool { return it == h.it })
		q.mu.Unlock()
		q.deal()
	}
	if lost {
		<-ctx.Done() // an answer that never comes
		return ctx.Err()
	}
	return h.p.spend(0)
}

func (h *holdOf) InProgress() error {
	if _, err := h.p.step(context.Background(), "in progress "+h.it.key); err != nil {
		return err
	}
	q := h.p.story.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Now().Before(h.it.free) {
		q.until(h.it, q.story.lease)
	}
	return nil
}

func (h *holdOf) Return(delay time.Duration) error {
	if _, err := h.p.step(context.Background(), "return "+h.it.key); err != nil {
		return err
	}
	q := h.p.story.queue
	q.mu.Lock()
	if h.it.holder != nil {
		h.it.holder = nil
		q.until(h.it, delay)
	}
	q.mu.Unlock()
	return nil
}

// memoryRaw knows which version of each record it has acknowledged.
type memoryRaw struct {
	story *story

	mu   sync.Mutex
	have map[string]int
	seen map[string]int
}

func (r *memoryRaw) version(record *simRecord) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.have[record.id]
}

// store takes a message: a record, or the note that a version of it is known.
func (r *memoryRaw) store(m broker.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(m.Subject, events.SeenSubjects+".") {
		version, _ := strconv.Atoi(string(m.Data))
		r.seen[m.Subject] = version
		id := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
		if r.have[id] < version {
			r.story.failed("version %d of %s is noted as known, and RAW has %d", version, id, r.have[id])
		}
		return
	}
	_, body, _ := bytes.Cut(m.Data, []byte("<<"))
	body, _, _ = bytes.Cut(body, []byte(">>"))
	id, text, _ := strings.Cut(string(body), " ")
	version, _ := strconv.Atoi(text)
	r.have[id] = max(r.have[id], version)
}

// rawOf is RAW as a process sees it.
type rawOf struct{ p *process }

func (r rawOf) Pipeline(ctx context.Context) pollers.Pipeline { return &pipelineOf{p: r.p, ctx: ctx} }

func (rawOf) Offload(context.Context, *events.Event) error { return nil }

func (r rawOf) Bury(context.Context, broker.Message) (bool, error) {
	r.p.story.failed("a record is dead-lettered")
	return true, nil
}

func (r rawOf) Last(ctx context.Context, _ string, subjects []string) (map[string]broker.Message, error) {
	d, err := r.p.step(ctx, "last")
	if err != nil {
		return nil, err
	}
	if r.p.flaky(&d) {
		return nil, errLost
	}
	raw, out := r.p.story.raw, map[string]broker.Message{}
	raw.mu.Lock()
	defer raw.mu.Unlock()
	for _, subject := range subjects {
		if version, ok := raw.seen[subject]; ok {
			out[subject] = broker.Message{Subject: subject, Data: []byte(strconv.Itoa(version))}
		}
	}
	return out, nil
}

// pipelineOf keeps what it is given until a batch is full, and then RAW may take a part of it.
type pipelineOf struct {
	p    *process
	ctx  context.Context
	rest []broker.Message
}

func (l *pipelineOf) Send(m broker.Message) error {
	if l.rest = append(l.rest, m); len(l.rest) < 7 {
		return nil
	}
	return l.Flush()
}

func (l *pipelineOf) Flush() error {
	if len(l.rest) == 0 {
		return l.ctx.Err()
	}
	batch := l.rest
	l.rest = nil
	d, err := l.p.step(l.ctx, "flush")
	if err != nil {
		return err
	}
	if l.p.flaky(&d) {
		batch, err = batch[:d.n(len(batch)+1)], errLost
	}
	for _, m := range batch {
		l.p.story.raw.store(m)
	}
	if spent := l.p.spend(d.upTo(5 * time.Millisecond)); spent != nil {
		return spent
	}
	return err
}
