package dashboard

import (
	"encoding/json"
	"net/http"
	"regexp"

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

// maskDead keeps a reason's words, and hides what it quotes of somebody's data.
func maskDead(l *operator.DeadLetter) {
	l.Reason = address.ReplaceAllString(quoted.ReplaceAllString(l.Reason, "“…”"), "…@…")
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
