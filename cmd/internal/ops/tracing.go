package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
)

// Tracing sends spans to an OpenTelemetry collector.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	redact   func(string) string
}

// OpenTracing reads OpenTelemetry's own variables (OTEL_…), which the environment alone gives. It is nil where they ask for no traces: they
// do with an OTLP endpoint, or with OTEL_TRACES_EXPORTER=otlp. Sampling, batching, headers, TLS and the resource are as the variables say;
// error texts go through redact. Its error is settings.Faults.
func OpenTracing(ctx context.Context, redact func(string) string, log *slog.Logger) (*Tracing, error) {
	if wanted, err := tracesWanted(os.Getenv); !wanted || err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OpenTelemetry traces: %w", err)
	}
	version, _, _ := version()
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "parley"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("OpenTelemetry resource: %w", err), exporter.Shutdown(ctx))
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(&quiet{SpanExporter: exporter, log: log}), sdk.WithResource(about))
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/parley-stream/parley"), redact: redact}, nil
}

// tracesWanted tells whether the variables ask for traces.
func tracesWanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	exporter := getenv("OTEL_TRACES_EXPORTER")
	endpoint := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") + getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	switch {
	case exporter == "none", exporter == "" && endpoint == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, settings.Faults{{Variable: "OTEL_TRACES_EXPORTER", Got: exporter, Want: "want otlp or none"}}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := getenv(name); protocol != "" {
			if protocol != "http/protobuf" {
				return false, settings.Faults{{Variable: name, Got: protocol, Want: "want http/protobuf, which collectors take on port 4318"}}
			}
			break // the first holds
		}
	}
	return true, nil
}

// Tracer is the Tracing as its users take it: nil where there are no traces.
func (t *Tracing) Tracer() events.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// Span implements events.Tracer.
func (t *Tracing) Span(parent, name string, attributes ...string) (traceparent string, end func(error)) {
	ctx := context.Background()
	if parent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
	}
	values := make([]attribute.KeyValue, 0, len(attributes)/2)
	for i := 0; i+1 < len(attributes); i += 2 {
		values = append(values, attribute.String(attributes[i], attributes[i+1]))
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithAttributes(values...))
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"], func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, t.redact(err.Error()))
		}
		span.End()
	}
}

// flushLimit is how long the last spans may take when the process ends.
const flushLimit = time.Second

// Close sends what is left. A nil Tracing has nothing to send.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // spans that nobody takes are no harm
}

// quiet says once that a collector does not take spans, and once that it does again.
type quiet struct {
	sdk.SpanExporter
	log     *slog.Logger
	failing bool
}

// ExportSpans implements sdk.SpanExporter, which calls it one batch at a time.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !q.failing:
		q.log.Warn("traces cannot be sent; they are dropped until their collector is back", "error", err.Error())
	case err == nil && q.failing:
		q.log.Info("traces are sent again")
	}
	q.failing = err != nil
	return nil
}
