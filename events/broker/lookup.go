package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxLookup is how many existing subjects one answer may hold.
const maxLookup = 1024

// Last gives the last message of each of these literal subjects that has one, in one request for each 1,024.
// The result is whole: a short answer is ErrIncomplete, never "not found".
func (b *Broker) Last(ctx context.Context, stream string, subjects []string) (map[string]Message, error) {
	found := make(map[string]Message, len(subjects))
	for len(subjects) > 0 {
		n := min(len(subjects), maxLookup)
		if err := b.last(ctx, stream, subjects[:n], found); err != nil {
			return nil, fmt.Errorf("look up %d subjects of %s: %w", n, stream, err)
		}
		subjects = subjects[n:]
	}
	return found, nil
}

func (b *Broker) last(ctx context.Context, stream string, subjects []string, found map[string]Message) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := json.Marshal(map[string][]string{"multi_last": subjects})
	if err != nil {
		return err
	}
	// NewRespInbox would be matched by the connection's own request subscription as well: everything twice.
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the subscription is gone either way
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	if err := b.nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, request); err != nil {
		return err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrIncomplete, err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			message := fromDirect(m)
			found[message.Subject] = message
		case "404":
			return nil
		case "204":
			if pending := m.Header.Get("Nats-Num-Pending"); pending != "0" {
				return fmt.Errorf("%w: %s messages were left out", ErrIncomplete, pending)
			}
			return nil
		default:
			return fmt.Errorf("%w: status %s %s", ErrIncomplete, status, m.Header.Get("Description"))
		}
	}
}

func fromDirect(m *nats.Msg) Message {
	out := Message{Header: m.Header, Data: m.Data}
	out.Subject = out.Get("Nats-Subject")
	out.Sequence, _ = strconv.ParseUint(out.Get("Nats-Sequence"), 10, 64)
	out.Time, _ = time.Parse(time.RFC3339Nano, out.Get("Nats-Time-Stamp"))
	return out
}

// Read gives one message by its sequence.
func (b *Broker) Read(ctx context.Context, stream string, sequence uint64) (Message, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return Message{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	m, err := s.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, fmt.Errorf("message %d of %s: %w", sequence, stream, ErrNotFound)
	}
	if err != nil {
		return Message{}, fmt.Errorf("message %d of %s: %w", sequence, stream, err)
	}
	return Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Time: m.Time}, nil
}
