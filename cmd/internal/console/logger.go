package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"

	"github.com/parley-stream/parley/events"
)

// NewLogger logs to w from a level up. The format is text, json, or "": text on a terminal, else json. Every message and value is
// redacted (a nil redact changes nothing) and made Printable: one record is one line, whoever wrote the text. Lines about something that
// has a trace (events.WithTrace) carry its id.
func NewLogger(w io.Writer, level slog.Leveler, format string, redact func(string) string) *slog.Logger {
	replace := cleaner(redact)
	if format == "json" || (format == "" && !Terminal(w)) {
		return slog.New(traced{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: replace})})
	}
	layout := time.RFC3339
	if Terminal(w) {
		layout = time.TimeOnly
	}
	return slog.New(traced{tint.NewTextHandler(w, &tint.Options{
		Level: level, ReplaceAttr: replace, TimeFormat: layout, NoColor: !Colors(w),
	})})
}

// traced adds the id of the trace that a line's context carries.
type traced struct{ slog.Handler }

func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if id := events.TraceID(events.TraceOf(ctx)); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", id))
	}
	return t.Handler.Handle(ctx, r)
}

func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }

func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }

// cleaner rewrites every value that can hold text, whatever its type.
func cleaner(redact func(string) string) func([]string, slog.Attr) slog.Attr {
	if redact == nil {
		redact = func(s string) string { return s }
	}
	return func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Resolve(); v.Kind() {
		case slog.KindString:
			a.Value = slog.StringValue(Printable(redact(v.String())))
		case slog.KindAny:
			if _, isLevel := v.Any().(slog.Level); !isLevel {
				a.Value = slog.StringValue(Printable(redact(fmt.Sprintf("%+v", v.Any()))))
			}
		default: // numbers, booleans and times hold no text; a group's members come one by one
		}
		return a
	}
}
