// Package operator is what somebody who operates Parley asks and does: how everything stands, which windows are read and which to read
// again, dead letters, events as they come and as they were, halting a sink. The command line and the dashboard show it, each in its way.
//
// Everything is read from the broker, so that it is the same from whatever process it is asked.
package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/sinks"
)

// ErrUnknown is in the error about a source, stream, sink or dead letter that there is none of.
var ErrUnknown = errors.New("not known")

// Operator looks at a Parley and acts on it. It is safe for concurrent use.
type Operator struct {
	broker  *broker.Broker
	sources []*pollers.Source
	sinks   []string
}

// New makes the operator of these sources and sinks; the broker must be provisioned.
func New(b *broker.Broker, sources []*pollers.Source, sinkNames []string) *Operator {
	return &Operator{broker: b, sources: sources, sinks: sinkNames}
}

// ReadAgain makes what a source has of one stream due again where it overlaps a range, and tells how many windows that are; of a snapshot,
// which has no range, its one. Pollers read it within the account's budget; records that have not changed add no event.
func (o *Operator) ReadAgain(ctx context.Context, source, stream string, r pollers.Range) (int, error) {
	i := slices.IndexFunc(o.sources, func(s *pollers.Source) bool { return s.Settings.Name == source })
	if i < 0 {
		return 0, fmt.Errorf("source %q: %w", source, ErrUnknown)
	}
	if !slices.ContainsFunc(o.sources[i].Streams(), func(s pollers.Stream) bool { return s.Name == stream }) {
		return 0, fmt.Errorf("stream %q of %s: %w", stream, source, ErrUnknown)
	}
	return pollers.ReadAgain(ctx, o.broker, o.sources[i], stream, r)
}

// HaltSink has a sink deliver nothing until ResumeSink; its backlog waits.
func (o *Operator) HaltSink(ctx context.Context, sink string) error {
	return o.withSink(ctx, sink, func(bucket *broker.Bucket) error { return sinks.Halt(ctx, bucket, sink, time.Now()) })
}

// ResumeSink has a halted sink go on.
func (o *Operator) ResumeSink(ctx context.Context, sink string) error {
	return o.withSink(ctx, sink, func(bucket *broker.Bucket) error { return sinks.Resume(ctx, bucket, sink) })
}

func (o *Operator) withSink(ctx context.Context, sink string, do func(*broker.Bucket) error) error {
	if !slices.Contains(o.sinks, sink) {
		return fmt.Errorf("sink %q: %w", sink, ErrUnknown)
	}
	bucket, err := o.broker.Bucket(ctx, broker.SinksBucket)
	if err != nil {
		return err
	}
	return do(bucket)
}

// Tail hands events of these subjects to visit as they come, with their data, until the context ends or visit fails. One that cannot be
// read comes with its error, one whose data has aged out without it.
func (o *Operator) Tail(ctx context.Context, subjects []string, visit func(sequence uint64, e events.Event, err error) error) error {
	return o.broker.Follow(ctx, broker.Events, subjects, func(m broker.Message) error {
		e, err := events.FromMessage(m.Header, m.Data)
		if err != nil {
			return visit(m.Sequence, e, err)
		}
		if err := o.broker.Resolve(ctx, &e); err != nil && !events.IsPermanent(err) {
			return err
		}
		return visit(m.Sequence, e, nil)
	})
}
