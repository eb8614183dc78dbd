package pollers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// backend is what a Runner stands on: JetStream, or memory in virtual time.
type backend struct {
	queue  queue
	raw    raw
	copies versions
	// ledger, budgets and sources are the buckets of these names; mirror follows the ledger's.
	ledger, budgets, sources Store
	mirror                   mirror
	// behind tells why no more records may be fetched; "" when they may.
	behind func(ctx context.Context, now time.Time) (why string, err error)
	// announce says that this process is alive until the context ends.
	announce func(ctx context.Context)
}

// queue holds the windows that are due, each once.
type queue interface {
	// Offer queues a window; one that is queued already stays the one.
	Offer(ctx context.Context, source string, w Window, task []byte) error
	// Queued gives the windows of a source that are queued or taken, by windowKey.
	Queued(ctx context.Context, source string) (map[string]bool, error)
	// Taker gives access to a source's windows, of which at most s.Settings.Concurrency are taken at once over all takers. Who is silent for
	// a lease loses what it took.
	Taker(ctx context.Context, s *Source, lease time.Duration) (taker, error)
}

// taker takes windows. One goroutine uses it.
type taker interface {
	// Next waits for a window; nil when none comes for a while.
	Next(ctx context.Context) (*delivery, error)
	// Close leaves to others what would still come here.
	Close()
}

// delivery is a window that was taken.
type delivery struct {
	Key  string
	Task []byte
	hold
}

// hold is what its taker can say of a delivery. Each is lost without harm: the window comes again after its lease.
type hold interface {
	// Done removes the window from the queue, and waits for the queue's word.
	Done(ctx context.Context) error
	// InProgress renews the lease.
	InProgress() error
	// Return lets another have the window after a delay.
	Return(delay time.Duration) error
}

// raw takes records.
type raw interface {
	// Pipeline starts the way of one reading's records.
	Pipeline(ctx context.Context) pipeline
	// Offload keeps large data elsewhere and leaves a reference in the event.
	Offload(ctx context.Context, e *events.Event) error
	// Bury publishes a dead letter, and tells whether it is new.
	Bury(ctx context.Context, m broker.Message) (first bool, err error)
}

// pipeline is broker.Pipeline.
type pipeline interface {
	Send(m broker.Message) error
	Flush() error
}

// mirror is broker.Mirror with the bucket that it follows.
type mirror interface {
	Follow(ctx context.Context) error
	Ready() <-chan struct{}
	Changes() map[string]broker.Entry
}

// versions gives the last message of each subject that has one.
type versions interface {
	Last(ctx context.Context, stream string, subjects []string) (map[string]broker.Message, error)
}

// onBroker is the backend that lasts.
func onBroker(ctx context.Context, b *broker.Broker) (backend, error) {
	out := backend{
		queue: jetQueue{b, make(map[string]*stuck)}, raw: jetRaw{b}, copies: b,
		behind:   func(ctx context.Context, now time.Time) (string, error) { return behind(ctx, b, now) },
		announce: func(ctx context.Context) { b.Announce(ctx, "poll."+strings.ToLower(rand.Text())) },
	}
	book, err := b.Bucket(ctx, broker.LedgerBucket)
	if err != nil {
		return out, err
	}
	budgets, err := b.Bucket(ctx, broker.BudgetBucket)
	if err != nil {
		return out, err
	}
	states, err := b.Bucket(ctx, broker.SourcesBucket)
	if err != nil {
		return out, err
	}
	out.ledger, out.budgets, out.sources = book, budgets, states
	out.mirror = jetMirror{broker.NewMirror(), book}
	return out, nil
}

// jetQueue is the stream of windows, which takes one message for each subject.
type jetQueue struct {
	*broker.Broker
	stuck map[string]*stuck // by source; the planner's
}

func (q jetQueue) Offer(ctx context.Context, source string, w Window, task []byte) error {
	subject := subjectOf(source, windowKey(source, w))
	result := q.Publish(ctx, []broker.Message{{Subject: subject, Data: task}})[0]
	// A full subject means that another planner was first.
	if errors.Is(result.Err, broker.ErrFull) {
		return nil
	}
	return result.Err
}

func (q jetQueue) Queued(ctx context.Context, source string) (map[string]bool, error) {
	subjects, err := q.Subjects(ctx, broker.Windows, subjectOf(source, ""))
	if err != nil {
		return nil, err
	}
	if q.stuck[source] == nil {
		q.stuck[source] = newStuck(q.Broker)
	}
	freed, err := q.stuck[source].free(ctx, consumerName(source), subjects, time.Now())
	if err != nil {
		return nil, err
	}
	if freed > 0 {
		return q.Queued(ctx, source)
	}
	keys := make(map[string]bool, len(subjects))
	for subject := range subjects {
		keys[strings.TrimPrefix(subject, events.WindowSubjects+".")] = true
	}
	return keys, nil
}

func (q jetQueue) Taker(ctx context.Context, s *Source, lease time.Duration) (taker, error) {
	var consumer *broker.Consumer
	err := q.Await(ctx, func(ctx context.Context) (err error) {
		consumer, err = q.Consumer(ctx, windowConsumer(&s.Settings, lease))
		return err
	})
	return jetTaker{consumer}, err
}

type jetTaker struct{ consumer *broker.Consumer }

func (t jetTaker) Next(ctx context.Context) (*delivery, error) {
	deliveries, err := t.consumer.Next(ctx, 1)
	if err != nil || len(deliveries) == 0 {
		return nil, err
	}
	d := deliveries[0]
	return &delivery{Key: strings.TrimPrefix(d.Subject, events.WindowSubjects+"."), Task: d.Data, hold: jetHold{d}}, nil
}

func (t jetTaker) Close() { t.consumer.Close() }

type jetHold struct{ *broker.Delivery }

func (h jetHold) Done(ctx context.Context) error { return h.AckWait(ctx) }

type jetRaw struct{ *broker.Broker }

func (r jetRaw) Pipeline(ctx context.Context) pipeline { return r.Broker.Pipeline(ctx) }

func (r jetRaw) Bury(ctx context.Context, m broker.Message) (bool, error) {
	result := r.Broker.Bury(ctx, m)
	return !result.Duplicate && !result.Erased, result.Err
}

type jetMirror struct {
	*broker.Mirror
	book *broker.Bucket
}

func (m jetMirror) Follow(ctx context.Context) error { return m.book.Follow(ctx, m.Mirror) }

// windowConsumer describes the consumer that all workers of a source share.
func windowConsumer(s *Settings, lease time.Duration) broker.ConsumerConfig {
	return broker.ConsumerConfig{
		Stream: broker.Windows, Name: consumerName(s.Name), Filters: []string{subjectOf(s.Name, "")},
		MaxAckPending: s.Concurrency, AckWait: lease,
	}
}

// Provision makes what the pollers of a source share, on a broker that has its streams, for pollers that may not.
func Provision(ctx context.Context, b *broker.Broker, s *Settings) error {
	_, err := b.Consumer(ctx, windowConsumer(s, lease))
	return err
}

// consumerName is the durable consumer's of a source's windows.
func consumerName(source string) string { return "poll-" + source }

// TakeOver makes windows that are held by nobody any more free at once, without waiting for their leases. Only a process that
// knows that it is alone may say so: one that has just started the server.
func TakeOver(ctx context.Context, b *broker.Broker, sources []*Source) error {
	for _, s := range sources {
		consumer, err := b.Consumer(ctx, windowConsumer(&s.Settings, lease))
		if err == nil {
			err = consumer.Reset(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// subjectOf is the subject of a window's key, or the filter of a source's windows.
func subjectOf(source, key string) string {
	if key == "" {
		return events.WindowSubjects + "." + source + ".>"
	}
	return events.WindowSubjects + "." + key
}

// behind tells why no more records may be fetched; "" when they may. Records that are processed make room first.
func behind(ctx context.Context, b *broker.Broker, now time.Time) (why string, err error) {
	for {
		state, err := b.StreamState(ctx, broker.Raw)
		if err != nil {
			return "", err
		}
		if state.MaxBytes <= 0 || state.Bytes*100 <= uint64(state.MaxBytes)*gateFill {
			break
		}
		trimmed, err := b.TrimRaw(ctx)
		if err != nil {
			return "", err
		}
		if !trimmed {
			return fmt.Sprintf("%s holds %d bytes that are not processed yet, more than %d %% of PARLEY_RAW_MAX_BYTES (%d); processors must catch up",
				broker.Raw, state.Bytes, gateFill, state.MaxBytes), nil
		}
	}
	oldest, err := b.OldestUnprocessed(ctx)
	if err != nil || oldest.IsZero() {
		return "", err
	}
	if age, limit := now.Sub(oldest), b.Options().RawRetention/gateAge; age > limit {
		return fmt.Sprintf("the oldest record that is not processed yet is %s old, more than a quarter of PARLEY_RAW_RETENTION; processors must catch up", age.Round(time.Minute)), nil
	}
	return "", nil
}
