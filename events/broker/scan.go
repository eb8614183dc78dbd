package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Scan hands the messages that a stream holds now to visit, oldest first, from a time on (zero: the oldest); what comes later is left. It
// ends early when visit fails.
func (b *Broker) Scan(ctx context.Context, stream string, filters []string, from time.Time, visit func(Message) error) error {
	state, err := b.StreamState(ctx, stream)
	if err != nil || state.LastSeq == 0 {
		return err
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: filters, DeliverPolicy: jetstream.DeliverAllPolicy}
	if !from.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &from
	}
	cons, err := b.js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	if info := cons.CachedInfo(); info != nil && info.NumPending == 0 {
		return nil
	}
	messages, err := cons.Messages()
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		m, err := messages.Next()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if meta.Sequence.Stream > state.LastSeq {
			return nil
		}
		err = visit(Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp})
		if err != nil || meta.NumPending == 0 || meta.Sequence.Stream == state.LastSeq {
			return err
		}
	}
}

// Remove deletes one message for good and overwrites its bytes; one that is gone already is no error.
func (b *Broker) Remove(ctx context.Context, stream string, sequence uint64) error {
	s, err := b.js.Stream(ctx, stream)
	if err == nil {
		err = s.SecureDeleteMsg(ctx, sequence)
	}
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.As(err, &api) && api.ErrorCode == noSuchMessage {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete message %d of %s: %w", sequence, stream, err)
	}
	return nil
}

// noSuchMessage is the server's code for a delete of what is not there: "sequence not found".
const noSuchMessage = 10043
