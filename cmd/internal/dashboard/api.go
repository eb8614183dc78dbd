package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/parley-stream/parley/cmd/internal/operator"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

const (
	pageLimit = 50
	maxPage   = 500
	// maxDays is how much of a calendar is sent: 53 weeks.
	maxDays = 371
	// maxRevisions is how many revisions of a conversation are shown.
	maxRevisions = 50
	// maxContent is the largest content that is sent whole.
	maxContent = 1 << 20
	// askLimit bounds one request to the broker.
	askLimit = 30 * time.Second
)

// answer writes what was found, or why not.
func (d *Dashboard) answer(w http.ResponseWriter, r *http.Request, value any, err error) {
	var refused *refusal
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value) // who asked may be gone
	case errors.As(err, &refused):
		writeError(w, refused.status, refused.text)
	case errors.Is(err, operator.ErrUnknown):
		writeError(w, http.StatusNotFound, err.Error())
	case r.Context().Err() != nil: // nobody waits for it
	default:
		text := d.options.Loggable(err.Error())
		d.options.Logger.Warn("the dashboard could not answer", "path", r.URL.Path, "error", text)
		writeError(w, http.StatusBadGateway, text)
	}
}

func (d *Dashboard) overview(w http.ResponseWriter, r *http.Request) {
	v, err := d.memory.look(r.Context())
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	live := make(map[string]sinkLive)
	for name, s := range d.options.SinkStats() {
		live[name] = sinkLive{Delivered: s.Delivered, Failed: s.Failed, DeadLetters: s.DeadLetters, Failing: s.Failing, Owner: s.Owner}
		if s.Failing || s.Failed > 0 {
			l := live[name]
			if l.LastError = d.options.Loggable(s.LastError); !d.guard.allowed(r) {
				l.LastError = maskReason(l.LastError)
			}
			live[name] = l
		}
	}
	d.answer(w, r, struct {
		At     time.Time           `json:"at"`
		Status operator.Status     `json:"status"`
		Live   map[string]sinkLive `json:"live"`
		Series series              `json:"series"`
	}{v.At, d.status(r, v.Status), live, d.memory.series(v)}, nil)
}

// sinkLive is what this process knows of a sink that it runs.
type sinkLive struct {
	Delivered   uint64 `json:"delivered"`
	Failed      uint64 `json:"failed"`
	DeadLetters uint64 `json:"dead_letters"`
	Failing     bool   `json:"failing"`
	Owner       bool   `json:"owner"`
	LastError   string `json:"last_error,omitempty"`
}

// streamDays is a stream's calendar.
type streamDays struct {
	operator.Coverage
	Windows  *operator.Window `json:"window,omitempty"` // a snapshot's
	Snapshot bool             `json:"snapshot"`
	Days     []operator.Day   `json:"days"`
	More     bool             `json:"more"` // there are older days
	Total    int              `json:"windows_total"`
}

func (d *Dashboard) coverage(w http.ResponseWriter, r *http.Request) {
	found, err := d.sourceStatus(r)
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	name := r.URL.Query().Get("source")
	streams := make([]streamDays, len(found.Streams))
	for i := range found.Streams {
		c := operator.CoverageOf(name, &found.Streams[i])
		c.Windows = d.reasons(r, c.Windows)
		s := streamDays{Coverage: c, Snapshot: c.Snapshot, Days: c.Days(), Total: len(c.Windows)}
		if n := len(s.Days); n > maxDays {
			s.Days, s.More = s.Days[n-maxDays:], true
		}
		if c.Snapshot && len(c.Windows) > 0 {
			s.Windows = &c.Windows[0]
		}
		streams[i] = s
	}
	d.answer(w, r, map[string]any{"source": name, "streams": streams}, nil)
}

func (d *Dashboard) sourceStatus(r *http.Request) (pollers.SourceStatus, error) {
	v, err := d.memory.look(r.Context())
	if err != nil {
		return pollers.SourceStatus{}, err
	}
	name := r.URL.Query().Get("source")
	found, ok := v.Sources[name]
	if !ok {
		return found, fmt.Errorf("source %q: %w", name, operator.ErrUnknown)
	}
	return found, nil
}

func (d *Dashboard) windows(w http.ResponseWriter, r *http.Request) {
	found, err := d.sourceStatus(r)
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	q := r.URL.Query()
	span, err := rangeOf(q.Get("from"), q.Get("to"))
	i := slices.IndexFunc(found.Streams, func(s pollers.StreamStatus) bool { return s.Stream.Name == q.Get("stream") })
	if i < 0 && err == nil {
		err = fmt.Errorf("stream %q: %w", q.Get("stream"), operator.ErrUnknown)
	}
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	list, more := []operator.Window{}, 0
	for _, window := range operator.CoverageOf(q.Get("source"), &found.Streams[i]).Windows {
		switch {
		case !window.From.Before(span.To) || !window.To.After(span.From):
		case len(list) == maxPage:
			more++
		default:
			list = append(list, window)
		}
	}
	d.answer(w, r, map[string]any{"windows": d.reasons(r, list), "more": more}, nil)
}

func rangeOf(from, to string) (r pollers.Range, err error) {
	if r.From, err = time.Parse(time.RFC3339, from); err == nil {
		r.To, err = time.Parse(time.RFC3339, to)
	}
	if err != nil || !r.From.Before(r.To) {
		return r, &refusal{http.StatusBadRequest, "want from before to, both as RFC 3339"}
	}
	return r, nil
}

func (d *Dashboard) readAgain(r *http.Request) (any, error) {
	var q struct{ Source, Stream, From, To string }
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	var span pollers.Range
	if q.From != "" || q.To != "" { // a snapshot has neither
		var err error
		if span, err = rangeOf(q.From, q.To); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), askLimit)
	defer cancel()
	n, err := d.operator.ReadAgain(ctx, q.Source, q.Stream, span)
	d.did(r, "windows are read again", err, "source", q.Source, "stream", q.Stream, "windows", n)
	return map[string]int{"windows": n}, err
}

func (d *Dashboard) pauseSink(r *http.Request) (any, error) {
	err := d.operator.HaltSink(r.Context(), r.PathValue("name"))
	d.did(r, "a sink is paused", err, "sink", r.PathValue("name"))
	return struct{}{}, err
}

func (d *Dashboard) resumeSink(r *http.Request) (any, error) {
	err := d.operator.ResumeSink(r.Context(), r.PathValue("name"))
	d.did(r, "a paused sink goes on", err, "sink", r.PathValue("name"))
	return struct{}{}, err
}

// did logs what somebody has done, and has the next look see it.
func (d *Dashboard) did(r *http.Request, what string, err error, facts ...any) {
	if err == nil {
		d.memory.forget()
		d.options.Logger.Info(what, append(facts, "asked_by", r.RemoteAddr)...)
	}
}

// deadLine is a dead letter in a list.
type deadLine struct {
	operator.DeadLetter
	Replayable bool `json:"replayable"`
}

func (d *Dashboard) deadLine(r *http.Request, l *operator.DeadLetter) deadLine {
	line := deadLine{DeadLetter: *l, Replayable: l.Replayable()}
	if !d.guard.allowed(r) {
		maskDead(&line.DeadLetter)
	}
	return line
}

func (d *Dashboard) deadLetters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	before, limit, err := paging(q)
	f := operator.DeadFilter{Stage: q.Get("stage"), Name: q.Get("name"), Vendor: q.Get("vendor"), Reason: q.Get("reason")}
	if f.Stage != "" && !slices.Contains(operator.Stages(), f.Stage) {
		err = &refusal{http.StatusBadRequest, "stage: want poll, process or sink"}
	}
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	if !d.guard.allowed(r) {
		f.Reason = "" // what is masked must not be found by guessing
	}
	ctx, cancel := context.WithTimeout(r.Context(), askLimit)
	defer cancel()
	page, next, err := d.operator.NewestDead(ctx, &f, before, limit)
	lines := []deadLine{}
	for i := range page {
		lines = append(lines, d.deadLine(r, &page[i]))
	}
	d.answer(w, r, map[string]any{"dead": lines, "next": next}, err)
}

func paging(q url.Values) (before uint64, limit int, err error) {
	limit = pageLimit
	if text := q.Get("before"); text != "" {
		before, err = strconv.ParseUint(text, 10, 64)
	}
	if text := q.Get("limit"); text != "" && err == nil {
		limit, err = strconv.Atoi(text)
	}
	if err != nil || limit < 1 || limit > maxPage {
		return 0, 0, &refusal{http.StatusBadRequest, fmt.Sprintf("want before to be a number, and limit one from 1 to %d", maxPage)}
	}
	return before, limit, nil
}

func (d *Dashboard) deadLetter(w http.ResponseWriter, r *http.Request) {
	sequence, err := strconv.ParseUint(r.PathValue("sequence"), 10, 64)
	if err != nil || sequence == 0 {
		d.answer(w, r, nil, &refusal{http.StatusBadRequest, "want the number of a dead letter"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askLimit)
	defer cancel()
	l, err := d.operator.Dead(ctx, sequence)
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	line := d.deadLine(r, l)
	var content any
	if !d.guard.allowed(r) {
		content = maskedContent(l)
	} else if content, err = bounded(d.operator.Content(ctx, l)); err != nil {
		d.answer(w, r, nil, err)
		return
	}
	d.answer(w, r, struct {
		deadLine
		Content any    `json:"content"`
		Advice  string `json:"advice"`
	}{line, content, l.Advice()}, nil)
}

// bounded encodes a content; of one that is too large only its size is told.
func bounded(content any) (json.RawMessage, error) {
	encoded, err := json.Marshal(content)
	if err == nil && len(encoded) > maxContent {
		return json.Marshal(map[string]any{"too_large_to_show": len(encoded), "see": "parley dlq show"})
	}
	return encoded, err
}

func (d *Dashboard) replayDead(r *http.Request) (any, error) {
	return d.handleDead(r, "dead letters are replayed", (*operator.Operator).ReplayDead)
}

func (d *Dashboard) dropDead(r *http.Request) (any, error) {
	return d.handleDead(r, "dead letters are dropped", (*operator.Operator).DropDead)
}

// handleDead does something with dead letters by their numbers. One that cannot be handled does not stop the others.
func (d *Dashboard) handleDead(r *http.Request, what string, do func(*operator.Operator, context.Context, *operator.DeadLetter) error) (any, error) {
	var q struct {
		Sequences []uint64 `json:"sequences"`
	}
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if len(q.Sequences) == 0 || len(q.Sequences) > maxPage {
		return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("sequences: want 1 to %d", maxPage)}
	}
	done, failed := []uint64{}, map[uint64]string{}
	for _, sequence := range q.Sequences {
		l, err := d.operator.Dead(r.Context(), sequence)
		if err == nil {
			err = do(d.operator, r.Context(), l)
		}
		if err != nil {
			failed[sequence] = d.options.Loggable(err.Error())
			continue
		}
		done = append(done, sequence)
	}
	d.did(r, what, r.Context().Err(), "done", len(done), "failed", len(failed))
	return map[string]any{"done": done, "failed": failed}, nil
}

// entry is an event as the page gets it.
type entry struct {
	Sequence uint64          `json:"sequence"`
	Stored   time.Time       `json:"stored"`
	Event    json.RawMessage `json:"event"` // structured; without data that is too large
	Size     int             `json:"size"`
}

func (d *Dashboard) entry(r *http.Request, v *operator.Revision) entry {
	e := v.Event
	return entry{Sequence: v.Sequence, Stored: v.Stored, Size: len(e.Data), Event: d.line(r, &e)}
}

func (d *Dashboard) conversations(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	before, limit, err := paging(q)
	if err != nil {
		d.answer(w, r, nil, err)
		return
	}
	subject := events.EventSubjects + "." + string(events.KindConversation) + "." + orAny(q.Get("vendor")) + "." + orAny(q.Get("source")) + ".>"
	ctx, cancel := context.WithTimeout(r.Context(), askLimit)
	defer cancel()
	page, next, err := d.operator.Newest(ctx, []string{subject}, before, limit)
	list := []entry{}
	for i := range page {
		list = append(list, d.entry(r, &page[i]))
	}
	d.answer(w, r, map[string]any{"conversations": list, "next": next}, err)
}

func orAny(name string) string {
	if name == "" {
		return "*"
	}
	return events.Token(name)
}

func (d *Dashboard) conversation(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	ctx, cancel := context.WithTimeout(r.Context(), askLimit)
	defer cancel()
	revisions, err := d.operator.History(ctx, events.KindConversation, events.Token(q.Get("vendor")), events.Token(q.Get("source")), q.Get("id"), maxRevisions)
	list := []entry{}
	for i := range revisions {
		list = append(list, d.entry(r, &revisions[i]))
	}
	d.answer(w, r, map[string]any{"revisions": list}, err)
}
