package pollers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

const (
	// lease is how long a worker may be silent before its window is given to another.
	lease = 30 * time.Second
	// idle is the pause of a worker that may not take a window now.
	idle = time.Second
	// lastWord is how long a stop waits for what became of a window to be written.
	lastWord = 2 * time.Second
)

// worker reads windows of one source, one at a time. Several of them, in several processes, share the
// source's consumer, whose limit of unacknowledged windows is the source's concurrency.
type worker struct {
	*Runner
	source  *Source
	windows taker
}

// run takes windows until the context ends.
func (w *worker) run(ctx context.Context) {
	// What the server would still send here goes to another worker instead of waiting for its lease.
	defer w.windows.Close()
	failures, refusals := 0, 0
	for ctx.Err() == nil {
		if w.gate.closed.Load() {
			_ = wait(ctx, idle)
			continue
		}
		if !w.mayTake(ctx) {
			// A pause may last for days, in many processes: looking whether it is over must not be what the server does meanwhile.
			_ = wait(ctx, w.rest(refusals))
			refusals++
			continue
		}
		refusals = 0
		d, err := w.windows.Next(ctx)
		if err == nil && d != nil {
			err = w.take(ctx, d)
		}
		if err == nil {
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if failures++; failures == 1 {
			w.log.Warn("a worker cannot go on; it tries again", "source", w.source.Settings.Name, "error", err.Error())
		}
		_ = wait(ctx, w.rest(failures))
	}
}

// rest is how long a worker waits that cannot go on, the longer the more often it could not.
func (w *worker) rest(times int) time.Duration { return min(idle<<min(times, 5), w.lease) }

// mayTake holds workers back while the source is paused, and asks now and then whether it still must be.
func (w *worker) mayTake(ctx context.Context) bool {
	state, err := readState(ctx, w.sources, w.source.Settings.Name)
	if err != nil {
		return false
	}
	if state.Paused == "" {
		return true
	}
	paused, err := w.source.probe(ctx, w.sources, state, w.now())
	if err == nil && !paused {
		w.log.Info("the vendor accepts the credentials again", "source", w.source.Settings.Name)
	}
	return err == nil && !paused
}

// claimed is a window that the ledger says is this worker's.
type claimed struct {
	plan          Plan
	class         Class
	before, entry Entry // as the ledger had it, and as it has it now
}

// take reads one window: ledger, records, ledger, and only then the acknowledgement. A crash between any two reads
// the window again and never skips it.
func (w *worker) take(ctx context.Context, d *delivery) error {
	c, err := w.claim(ctx, d)
	if err != nil && ctx.Err() != nil {
		_ = d.Return(0) // a stop came before the work did: nobody shall wait for the lease
	}
	if err != nil || c == nil {
		return err
	}
	defer w.keep(ctx, d)()
	ctx, end := w.trace(ctx, Task{Window: c.entry.Window, Class: c.class})
	entry, err := w.read(ctx, c.plan, c.entry)
	end(err)
	if err != nil {
		return w.failed(ctx, d, c.before, entry, err)
	}
	w.fared(w.source.Settings.Name, entry.Window, true)
	return w.completed(ctx, d, c.plan, entry)
}

// claim writes into the ledger that the window is being read; nil when it shall not be, or not by this worker.
func (w *worker) claim(ctx context.Context, d *delivery) (*claimed, error) {
	var task Task
	if err := json.Unmarshal(d.Task, &task); err != nil {
		w.log.Error("a queued window cannot be read; it is planned anew", "window", d.Key, "error", err.Error())
		return nil, w.done(ctx, d)
	}
	// The vendor may have refused the credentials while this worker waited for a window: each such request brings a lockout nearer.
	if state, err := readState(ctx, w.sources, w.source.Settings.Name); err != nil {
		return nil, err
	} else if state.Paused != "" {
		return nil, d.Return(idle)
	}
	entry, err := w.book.Get(ctx, w.source.Settings.Name, task.Window)
	if err != nil {
		return nil, err
	}
	plan, ok := w.plans[w.source.Settings.Name][task.Stream]
	if _, denied := w.denial(w.source.Settings.Name, task.Stream, w.now()); denied || !ok || w.lost(w.source.Settings.Name) {
		return nil, w.done(ctx, d) // the stream is no longer selected, may not be read, or its vendor is down
	}
	plan.Lag = w.source.lag()
	class, due := plan.due(&entry, w.now())
	if !due {
		return nil, w.done(ctx, d) // it was read; only its acknowledgement was lost
	}
	c := &claimed{plan: plan, class: class, before: entry}
	entry.State = StateRunning
	c.entry, err = w.book.Set(ctx, w.source.Settings.Name, entry)
	if errors.Is(err, broker.ErrConflict) {
		return nil, d.Return(idle) // another worker has it
	}
	return c, err
}

// done says that a window needs no more work. The ledger has said so before: without an answer the window comes again and is dropped, and
// nobody waits for one that a lost server will never give.
func (w *worker) done(ctx context.Context, d *delivery) error {
	ctx, cancel := context.WithTimeout(ctx, w.lease)
	defer cancel()
	return d.Done(ctx)
}

// keep prolongs the lease until the returned function is called.
func (w *worker) keep(ctx context.Context, d *delivery) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait(ctx, w.lease/3) == nil {
			_ = d.InProgress()
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// read fetches the window and publishes its records; the entry is what the ledger shall say of it.
func (w *worker) read(ctx context.Context, plan Plan, entry Entry) (Entry, error) {
	started := w.now().UTC()
	out := w.publish(ctx, entry.Window)
	var reading Reading
	err := w.try(func() (err error) {
		reading, err = w.source.Poller.Fetch(remembering(ctx, entry.Anew), entry.Window, out.emit)
		return err
	})
	if flushErr := out.flush(); err == nil {
		err = flushErr
	}
	w.count(w.source, out.records)
	if err != nil {
		return entry, err
	}
	was := entry
	entry.State, entry.ReadAt, entry.Anew = StateComplete, started, time.Time{}
	entry.Records, entry.Requests = out.records+reading.Unchanged, reading.Requests
	if out.records > 0 || reading.Unchanged == 0 {
		entry.Fingerprint = hex.EncodeToString(out.sum[:])
	}
	entry.compare(was)
	entry.Attempts, entry.Error, entry.FailedAt, entry.RetryAt = 0, "", time.Time{}, time.Time{}
	if !reading.Capped {
		return entry, nil
	}
	if entry, err = w.split(ctx, plan, entry, was.Anew); err != nil {
		return was, err // its cap hides a part of it: without its halves this was no reading
	}
	return entry, nil
}

// try makes an error of a panic in the room: its window fails, and nobody else's.
func (w *worker) try(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the %s poller panicked: %v", w.source.Settings.Vendor, p)
			w.log.Error("a poller panicked", "source", w.source.Settings.Name, "stack", string(debug.Stack()))
		}
	}()
	return f()
}

// split replaces a capped window by its halves: first they are in the ledger, then it is split. At
// the grain it is partial, visibly.
func (w *worker) split(ctx context.Context, plan Plan, entry Entry, anew time.Time) (Entry, error) {
	older, newer, ok := entry.Window.Split(plan.Stream.Grain, plan.Location)
	if !ok {
		entry.State = StatePartial
		return entry, nil
	}
	for _, half := range []Window{older, newer} {
		_, err := w.book.Set(ctx, w.source.Settings.Name, Entry{Window: half, State: StatePlanned, Anew: anew})
		if err != nil && !errors.Is(err, broker.ErrConflict) {
			return entry, err
		}
	}
	entry.State = StateSplit
	return entry, nil
}

func (w *worker) completed(ctx context.Context, d *delivery, plan Plan, entry Entry) error {
	return w.conclude(ctx, entry, func(ctx context.Context) error {
		if entry.State == StatePartial {
			w.log.WarnContext(ctx, "a window is partial: the vendor's cap was reached at its finest grain",
				"source", w.source.Settings.Name, "stream", entry.Stream, "from", entry.From, "to", entry.To, "grain", plan.Stream.Grain.String())
		}
		return w.done(ctx, d)
	})
}

// conclude writes what became of the window, and only then answers for the delivery. Who lost the lease does
// neither: the window is another worker's, whose word counts. A stop leaves it the time for both, or else the window would be nobody's
// until its lease ends.
func (w *worker) conclude(ctx context.Context, entry Entry, answer func(context.Context) error) error {
	ctx, cancel := outlasting(ctx, lastWord)
	defer cancel()
	_, err := w.book.Set(ctx, w.source.Settings.Name, entry)
	if errors.Is(err, broker.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	return answer(ctx)
}

// outlasting gives a context that ends a while after its parent.
func outlasting(parent context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		_ = wait(ctx, by)
		cancel()
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// failed says in the ledger why a window was not read and when it is tried again. The task is
// acknowledged and planned anew then: a window that waits holds no place in the queue.
func (w *worker) failed(ctx context.Context, d *delivery, before, entry Entry, err error) error {
	name := w.source.Settings.Name
	if ctx.Err() != nil {
		return w.giveBack(ctx, d, before, entry)
	}
	text := w.text(err.Error())
	now := w.now()
	switch {
	case IsUnavailable(err):
		// The account is at fault, not the window: it is asked for again when the stream is.
		entry.State = before.State
		if w.deny(name, entry.Stream, text, now) {
			w.log.WarnContext(ctx, "this account may not read this stream; it is left out and asked for again in a day", "source", name, "stream", entry.Stream, "error", text)
		}
	case IsUnauthorized(err):
		// The source is at fault, not the window: it is not burnt.
		entry.State = before.State
		if first, pauseErr := pause(ctx, w.sources, name, text, now); pauseErr != nil {
			return pauseErr
		} else if first {
			w.log.ErrorContext(ctx, "the vendor refuses the credentials; the source is paused", "source", name,
				"look at", w.source.Credential, "error", text)
		}
	default:
		w.fared(name, entry.Window, false)
		entry = w.blame(ctx, entry, err, text, now)
	}
	return w.conclude(ctx, entry, func(ctx context.Context) error { return w.done(ctx, d) })
}

// text is what the ledger, the log and dead letters may say.
func (w *worker) text(said string) string {
	said = w.source.Secrets.Redact(said)
	if w.options.Text == nil {
		return said
	}
	return w.options.Text(said)
}

// blame counts a failure of the window and sets when it is tried again.
func (w *worker) blame(ctx context.Context, entry Entry, err error, text string, now time.Time) Entry {
	if w.once() && entry.FailedAt.Before(w.options.OnceSince) {
		entry.Attempts = 0
	}
	entry.Attempts++
	entry.State, entry.Error, entry.FailedAt = StateFailed, text, now.UTC()
	delay := backoff(entry.Attempts, w.jitter)
	if asked, ok := events.RetryDelay(err); ok {
		asked = min(asked, maxRetryAfter)
		delay = max(delay, asked)
		if holdErr := w.turns[w.source.Settings.Name].Hold(ctx, asked); holdErr != nil {
			w.log.WarnContext(ctx, "the budget cannot be held back", "source", w.source.Settings.Name, "error", holdErr.Error())
		}
	}
	if events.IsPermanent(err) {
		delay = max(delay, time.Hour)
		if w.once() {
			entry.Attempts = onceAttempts
		}
	}
	entry.RetryAt = now.Add(delay).UTC()
	w.log.WarnContext(ctx, "a window was not read; it is tried again", "source", w.source.Settings.Name, "stream", entry.Stream,
		"window", WindowID(entry.Window), "attempt", entry.Attempts, "in", delay.Round(time.Millisecond).String(), "error", text)
	return entry
}

// giveBack returns a window that a stop interrupted, so that another process takes it at once.
func (w *worker) giveBack(ctx context.Context, d *delivery, before, entry Entry) error {
	entry.State = before.State
	return w.conclude(ctx, entry, func(context.Context) error { return d.Return(0) })
}

// jitter gives a random time below n.
type jitter func(n time.Duration) time.Duration

// backoff grows from half a second to ten minutes, with full jitter above a floor.
func backoff(attempt int, random jitter) time.Duration {
	limit := min(500*time.Millisecond<<min(attempt-1, 12), 10*time.Minute)
	return limit/4 + random(limit*3/4+1)
}

// publication is one reading's way to RAW.
type publication struct {
	worker      *worker
	ctx         context.Context
	window      Window
	pipeline    pipeline
	id          string
	traceparent string
	untraced    string // the same without asking for spans
	records     int
	sum         [16]byte         // of the records' fingerprints, whatever their order
	versions    []broker.Message // of records on their way, to be remembered once RAW has them
	lost        error            // RAW does not have every record of this reading, and this one will not bring it there
}

// versionBatch is how many records with a version travel before they are waited for: what dies then is read again.
const versionBatch = 256

// flush waits until RAW has every record, and remembers those that have a version. An error of the broker only: what it stored before is
// remembered or read again.
func (p *publication) flush() error {
	if err := p.settle(p.pipeline.Flush()); err != nil || len(p.versions) == 0 {
		return err
	}
	for _, m := range p.versions {
		if err := p.settle(p.pipeline.Send(m)); err != nil {
			return err
		}
	}
	p.versions = p.versions[:0]
	return p.settle(p.pipeline.Flush())
}

// settle keeps the pipeline's first error: the batch that it was about is gone, and a later one that lands does not bring it back.
func (p *publication) settle(err error) error {
	if p.lost == nil {
		p.lost = err
	}
	return p.lost
}

func (w *worker) publish(ctx context.Context, window Window) *publication {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	traceparent := events.TraceOf(ctx)
	return &publication{
		worker: w, ctx: ctx, window: window, pipeline: w.raw.Pipeline(ctx), id: hex.EncodeToString(id[:]),
		traceparent: traceparent, untraced: events.Unsampled(traceparent),
	}
}

// tracedRecords is how many records of a reading are followed to the sinks by spans of their own: a trace of ten thousand shows nothing more.
const tracedRecords = 16

// maxKey bounds a record's key: it travels in headers, of which a message has 64 KiB, twice and percent-encoded.
const maxKey = 4 << 10

// emit takes a record. What the room gave may be reused once emit returns: the encoding is a copy. An error stays the reading's, whatever
// the room makes of it.
func (p *publication) emit(r events.Record) error {
	if p.lost != nil {
		return p.lost
	}
	return p.settle(p.send(r))
}

// send stamps a record and sends it.
func (p *publication) send(r events.Record) error {
	source := p.worker.source
	r.Vendor, r.Source, r.Stream = source.Settings.Vendor, source.Settings.Name, p.window.Stream
	r.Timezone = source.Poller.Describe().Location.String()
	r.WindowFrom, r.WindowTo, r.Traceparent = p.window.From, p.window.To, p.traceparent
	if p.records >= tracedRecords {
		r.Traceparent = p.untraced
	}
	for i := range r.Parts {
		// A vendor may echo the key that it was asked with.
		r.Parts[i].Body = source.redactBody(r.Parts[i].Body)
	}
	r.Key = source.bodies.Redact(r.Key)
	reason := p.unfit(&r) // which cuts: after a cut a half of a secret would not be known as one
	fingerprint, err := hex.DecodeString(r.Fingerprint())
	if err != nil {
		return fmt.Errorf("fingerprint of %s: %w", r.Key, err)
	}
	for i := range p.sum {
		p.sum[i] += fingerprint[i]
	}
	p.records++
	event, err := events.NewRawEvent(&r, p.id+"."+fmt.Sprint(p.records))
	if err != nil {
		return err
	}
	if reason != "" {
		return p.bury(&r, event, reason)
	}
	if err := p.worker.raw.Offload(p.ctx, &event); err != nil {
		return err
	}
	message := broker.Message{Subject: events.RawSubject(&r), Header: make(map[string][]string, 12), Data: event.Data}
	event.SetHeaders(message.Header)
	if err := p.settle(p.pipeline.Send(message)); err != nil || r.Version == "" {
		return err
	}
	p.versions = append(p.versions, source.seen.message(r.Stream, r.Key, r.Version))
	if len(p.versions) < versionBatch {
		return nil
	}
	return p.flush()
}

// unfit says why a record cannot travel, and cuts it to what its dead letter can hold; "" when it can.
func (p *publication) unfit(r *events.Record) (reason string) {
	size := int64(0)
	for _, part := range r.Parts {
		size += max(part.Body.Size, int64(len(part.Body.Bytes)))
	}
	body, cut := r.Oversize()
	switch {
	case cut:
		reason = fmt.Sprintf("the record has %d bytes (sha256 %s); %d are the most that is kept whole", body.Size, body.SHA256, events.MaxRecordBytes)
	case size > events.MaxRecordBytes:
		reason = fmt.Sprintf("the record's %d parts have %d bytes; %d are the most that is kept whole", len(r.Parts), size, events.MaxRecordBytes)
	case len(r.Key) > maxKey:
		reason = fmt.Sprintf("the record's key has %d bytes, more than %d; it begins with %q", len(r.Key), maxKey, r.Key[:64])
	default:
		return ""
	}
	if len(r.Key) > maxKey {
		r.Key = ""
	}
	parts := make([]events.Part, len(r.Parts))
	for i, part := range r.Parts {
		if b := part.Body.Bytes; len(b) > events.OversizeKeptBytes {
			sum := sha256.Sum256(b)
			part.Body = events.Body{Bytes: b[:events.OversizeKeptBytes], Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}
		}
		parts[i] = part
	}
	r.Parts = parts
	return reason
}

// bury dead-letters a record that cannot travel on. The same record read again is the same dead letter.
func (p *publication) bury(r *events.Record, event events.Event, reason string) error {
	dead := events.DeadLetter{Stage: events.StagePoll, Name: r.Source, Reason: p.worker.text(reason), Attempts: 1, Subject: events.RawSubject(r), At: p.worker.now().UTC()}
	// The starts of many parts are together more than a message may hold.
	if err := p.worker.raw.Offload(p.ctx, &event); err != nil {
		return err
	}
	header := make(map[string][]string, 16)
	event.SetHeaders(header)
	dead.SetHeaders(header)
	header[broker.HeaderMsgID] = []string{events.StagePoll + ":" + r.Source + ":" + r.DeadName()}
	first, err := p.worker.raw.Bury(p.ctx, broker.Message{Subject: dead.DeadSubject(), Header: header, Data: event.Data})
	if err != nil {
		return fmt.Errorf("dead-letter a record of %s: %w", r.Source, err)
	}
	if first {
		p.worker.bury(p.worker.source)
	}
	return nil
}
