package events

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Tracer records what happens to records and events on their way, as spans of the traces that their traceparents name. Any goroutine may
// call it.
type Tracer interface {
	// Span begins a span under a parent, a W3C traceparent; "" begins a trace. It gives the span's own traceparent, for what is sent on, and what
	// ends it, with what went wrong if anything did. Attributes are a name and a value in turn.
	Span(parent, name string, attributes ...string) (traceparent string, end func(error))
}

// NewTraceparent begins a trace that nobody records: what carries its id, logs and events, belongs together all the same.
func NewTraceparent() string {
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails
	return "00-" + hex.EncodeToString(id[:16]) + "-" + hex.EncodeToString(id[16:]) + unsampled
}

// unsampled ends a traceparent that asks nobody for spans.
const unsampled = "-00"

// Sampled tells whether a traceparent asks those who meet it for spans: the lowest bit of the last of its hex digits says so.
func Sampled(traceparent string) bool {
	return len(traceparent) >= len(unsampled) && strings.IndexByte("13579bdf", traceparent[len(traceparent)-1]) >= 0
}

// Unsampled is the same place of the same trace, asking for no spans.
func Unsampled(traceparent string) string {
	if !Sampled(traceparent) {
		return traceparent
	}
	return traceparent[:len(traceparent)-len(unsampled)] + unsampled
}

// TraceID is the trace that a traceparent names; "" when it is none.
func TraceID(traceparent string) string {
	if parts := strings.Split(traceparent, "-"); len(parts) == 4 && len(parts[1]) == 32 && strings.Trim(parts[1], lowerHex) == "" {
		return parts[1]
	}
	return ""
}

const lowerHex = "0123456789abcdef"

type traceKey struct{}

// WithTrace gives a context whose log lines carry a traceparent's trace id.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// TraceOf is the traceparent that a context has from WithTrace; "" without.
func TraceOf(ctx context.Context) string {
	traceparent, _ := ctx.Value(traceKey{}).(string)
	return traceparent
}
