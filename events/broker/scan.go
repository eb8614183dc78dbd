package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Scan hands the messages that a stream holds now to visit, oldest first, from a time on (zero: the oldest); what comes later is left. It
// ends early when visit fails. A work queue takes ScanQueue.
func (b *Broker) Scan(ctx context.Context, stream string, filters []string, from time.Time, visit func(Message) error) error {
	return b.scan(ctx, stream, scanFrom(filters, from), visit)
}

// ScanQueue is Scan of a work queue, to which no further consumer can be made: its messages are asked for one by one, and stay.
func (b *Broker) ScanQueue(ctx context.Context, stream string, visit func(Message) error) error {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	last := s.CachedInfo().State.LastSeq
	for sequence := uint64(1); sequence <= last; sequence++ {
		m, err := s.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(">")) // this one, or the next that there is
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if sequence = m.Sequence; sequence > last {
			return nil
		}
		if err := visit(Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Time: m.Time}); err != nil {
			return err
		}
	}
	return nil
}

// ScanFrom is Scan from a sequence on.
func (b *Broker) ScanFrom(ctx context.Context, stream string, filters []string, sequence uint64, visit func(Message) error) error {
	return b.scan(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: sequence,
	}, visit)
}

// Count tells how many messages Scan would visit.
func (b *Broker) Count(ctx context.Context, stream string, filters []string, from time.Time) (uint64, error) {
	cons, err := b.js.OrderedConsumer(ctx, stream, scanFrom(filters, from))
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", stream, err)
	}
	return cons.CachedInfo().NumPending, nil
}

func scanFrom(filters []string, from time.Time) jetstream.OrderedConsumerConfig {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: filters, DeliverPolicy: jetstream.DeliverAllPolicy}
	if !from.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &from
	}
	return cfg
}

func (b *Broker) scan(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig, visit func(Message) error) error {
	state, err := b.StreamState(ctx, stream)
	if err != nil || state.LastSeq == 0 {
		return err
	}
	cons, err := b.js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	if info := cons.CachedInfo(); info != nil && info.NumPending == 0 {
		return nil
	}
	// A consumer that its server forgot is made anew when its heartbeats are missed, within idle.
	messages, err := cons.Messages(jetstream.PullMaxBytes(pullBytes), jetstream.PullHeartbeat(idle/4))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for at := (jetstream.MsgMetadata{}); ; {
		m, err := messages.Next(jetstream.NextMaxWait(idle))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, nats.ErrTimeout) {
			if atEnd(ctx, cons, &at) {
				return nil
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if at = *meta; at.Sequence.Stream > state.LastSeq {
			return nil
		}
		err = visit(Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data(), Sequence: at.Sequence.Stream, Time: at.Timestamp})
		if err != nil || at.NumPending == 0 || at.Sequence.Stream == state.LastSeq {
			return err
		}
	}
}

// idle is how long a Scan waits for the next message before it asks whether there is one.
const idle = 2 * time.Second

// atEnd tells whether nothing comes after the last message that came: those that stood behind it were deleted meanwhile. Where the server does
// not say so, it is asked again later.
func atEnd(ctx context.Context, cons jetstream.Consumer, last *jetstream.MsgMetadata) bool {
	info, err := cons.Info(ctx)
	if err != nil || info.NumPending > 0 {
		return false
	}
	came := uint64(0) // of this consumer, which may have been made anew since
	if last.Consumer == info.Name {
		came = last.Sequence.Consumer
	}
	return info.Delivered.Consumer == came // else more is on its way
}

// Remove deletes one message for good and overwrites its bytes; one that is gone already is no error.
func (b *Broker) Remove(ctx context.Context, stream string, sequence uint64) error {
	s, err := b.js.Stream(ctx, stream)
	if err == nil {
		err = s.SecureDeleteMsg(ctx, sequence)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) || isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete message %d of %s: %w", sequence, stream, err)
	}
	return nil
}

// RemoveDone removes from a work queue the last messages of these subjects that its consumer is done with, and tells how many: a server that
// dies after the consumer's state is written and before the message is removed leaves one that is never delivered again and, where the stream takes
// one message for each subject, keeps its successor out.
func (b *Broker) RemoveDone(ctx context.Context, stream, consumer string, subjects []string) (removed int, err error) {
	// The messages first: one that is stored after the consumer was asked must not be judged by it.
	messages, err := b.Last(ctx, stream, subjects)
	if err != nil {
		return 0, err
	}
	state, err := b.ConsumerState(ctx, stream, consumer)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if m.Sequence > state.AckFloor && !state.Done() {
			continue
		}
		if err := b.Remove(ctx, stream, m.Sequence); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// isGone tells how the server says that it cannot delete what is not there: by a code of its own, or in words, under the code of every failed
// deletion.
func isGone(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "err_code=10043 ") || strings.Contains(err.Error(), "no message found"))
}
