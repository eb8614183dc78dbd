package pollers

import (
	"context"
	"time"

	"github.com/parley-stream/parley/events"
)

// Observer is told what a Runner does, as it is done. Several goroutines call it; it returns at once.
type Observer interface {
	// Answered says with which status a source's vendor answered a request, and after which time; 0 is no answer.
	Answered(source string, status int, took time.Duration)
	// Read says that a window was read, or why it was not, after which time. A reading that a stop interrupted is not told.
	Read(source string, t Task, took time.Duration, err error)
}

// Turned is when the planner last began a turn; zero: never. One that has not for minutes hangs: without a server it turns, too.
func (r *Runner) Turned() time.Time {
	if at := r.turned.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Held tells whether no window is taken, because RAW is full or processors are behind.
func (r *Runner) Held() bool { return r.gate.closed.Load() }

// trace begins the trace of a reading. What ends it also tells the observer.
func (w *worker) trace(ctx context.Context, t Task) (traced context.Context, end func(error)) {
	source, began := w.source.Settings.Name, w.now()
	traceparent, endSpan := events.NewTraceparent(), func(error) {}
	if tracer := w.options.Tracer; tracer != nil {
		traceparent, endSpan = tracer.Span("", "poll "+source, "parley.source", source, "parley.vendor", w.source.Settings.Vendor,
			"parley.stream", t.Stream, "parley.window", WindowID(t.Window), "parley.class", t.Class.String())
	}
	return events.WithTrace(ctx, traceparent), func(err error) {
		endSpan(w.source.Secrets.Error(err))
		if o := w.options.Observer; o != nil && ctx.Err() == nil {
			o.Read(source, t, w.now().Sub(began), err)
		}
	}
}
