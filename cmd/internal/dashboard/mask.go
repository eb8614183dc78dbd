package dashboard

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/cmd/internal/operator"
	"github.com/parley-stream/parley/events"
)

// line gives an event in structured JSON, with personal data for who may see it. Data that is too large to show is left out.
func (d *Dashboard) line(r *http.Request, e *events.Event) json.RawMessage {
	if len(e.Data) > maxContent {
		e.Data = nil
	}
	if !d.guard.allowed(r) {
		console.Mask(e)
	}
	if e.DataContentType == events.ContentMsgpack && len(e.Data) > 0 {
		e.Data, _ = events.DecodeMsgpack(e.Data) // nil when it cannot be read
		e.DataContentType = events.ContentJSON
	}
	return e.AppendStructured(nil)
}

// address finds e-mail addresses in free text.
var address = regexp.MustCompile(`[^\s@<>,;:/=()"]+(@|%40)[^\s@<>,;:/=()"]+`)

// quoted finds what an error quotes of what it met.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)

// escaped finds e-mail addresses in subjects.
var escaped = regexp.MustCompile(`[A-Za-z0-9_=-]+=40[A-Za-z0-9_=-]+`)

// maskDead keeps a reason's words, and hides what it quotes of somebody's data, and addresses in ids.
func maskDead(l *operator.DeadLetter) {
	l.Reason = maskReason(l.Reason)
	l.Subject = address.ReplaceAllString(l.Subject, "…@…")
	l.Stored = escaped.ReplaceAllString(l.Stored, "…")
}

// maskReason keeps the words of an error, which may quote what a vendor answered.
func maskReason(text string) string {
	return address.ReplaceAllString(quoted.ReplaceAllString(text, "“…”"), "…@…")
}

// reasons gives windows as whoever asks may see them.
func (d *Dashboard) reasons(r *http.Request, windows []operator.Window) []operator.Window {
	if d.guard.allowed(r) {
		return windows
	}
	windows = slices.Clone(windows)
	for i := range windows {
		windows[i].Error = maskReason(windows[i].Error)
	}
	return windows
}

// status gives it as whoever asks may see it.
func (d *Dashboard) status(r *http.Request, s operator.Status) operator.Status {
	if d.guard.allowed(r) {
		return s
	}
	s.Sources, s.Sinks, s.Attention = slices.Clone(s.Sources), slices.Clone(s.Sinks), slices.Clone(s.Attention)
	for i := range s.Sources {
		s.Sources[i].Paused = maskReason(s.Sources[i].Paused)
	}
	for i := range s.Sinks {
		s.Sinks[i].Paused = maskReason(s.Sinks[i].Paused)
	}
	for i := range s.Attention {
		s.Attention[i] = maskReason(s.Attention[i])
	}
	return s
}

// maskedContent is what everybody may see of what failed: an event with masked data; of a vendor's record nothing, for where people are in
// it is what could not be read.
func maskedContent(l *operator.DeadLetter) any {
	if l.Event == nil || l.Event.Type == events.TypeRawRecord || len(l.Event.Data) == 0 || len(l.Event.Data) > maxContent {
		return map[string]any{"hidden": l.Size}
	}
	e := *l.Event
	console.Mask(&e)
	return json.RawMessage(e.AppendStructured(nil))
}
