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
	"github.com/nats-io/nuid"
)

// Headers that publishers set.
const (
	HeaderExpectedSequence = "Nats-Expected-Last-Subject-Sequence"
	HeaderMsgID            = "Nats-Msg-Id"
)

const (
	maxInFlight      = 1024
	maxInFlightBytes = 16 << 20
	// MaxBatch is the most messages that one atomic batch may hold.
	MaxBatch = 1000
)

// Result is what became of one published message.
type Result struct {
	Sequence  uint64
	Duplicate bool
	Err       error // ErrConflict, ErrFull, or the connection's
}

// Publish stores messages, pipelined and each on its own, and waits for every answer. The results are in the messages' order.
func (b *Broker) Publish(ctx context.Context, messages []Message) []Result {
	results := make([]Result, len(messages))
	futures := make([]jetstream.PubAckFuture, len(messages))
	done := 0
	for i := range messages {
		if i-done >= maxInFlight/2 {
			results[done] = await(ctx, futures[done])
			done++
		}
		futures[i], results[i].Err = b.js.PublishMsgAsync(toNats(&messages[i]), jetstream.WithStallWait(30*time.Second))
	}
	for ; done < len(messages); done++ {
		if futures[done] != nil {
			results[done] = await(ctx, futures[done])
		}
	}
	return results
}

func toNats(m *Message) *nats.Msg {
	header := nats.Header(m.Header)
	if header == nil {
		header = nats.Header{}
	}
	return &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}
}

func await(ctx context.Context, f jetstream.PubAckFuture) Result {
	if f == nil {
		return Result{Err: errors.New("was not sent")}
	}
	select {
	case ack := <-f.Ok():
		return Result{Sequence: ack.Sequence, Duplicate: ack.Duplicate}
	case err := <-f.Err():
		return Result{Err: apiError(err)}
	case <-ctx.Done():
		return Result{Err: ctx.Err()}
	}
}

// PublishAtomic stores up to MaxBatch messages as one atomic batch, all or none, with one sync to disk.
// No two may have the same subject with an expected sequence. It gives the sequence of the first; the others follow it.
func (b *Broker) PublishAtomic(ctx context.Context, messages []Message) (first uint64, err error) {
	if len(messages) == 0 || len(messages) > MaxBatch {
		return 0, fmt.Errorf("atomic batch of %d messages: want 1 to %d", len(messages), MaxBatch)
	}
	id := nuid.Next()
	last := len(messages) - 1
	for i := range messages {
		m := toNats(&messages[i])
		header := make(nats.Header, len(m.Header)+3) // the caller may publish the same message again, alone
		for name, values := range m.Header {
			header[name] = values
		}
		header["Nats-Batch-Id"] = []string{id}
		header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		m.Header = header
		if i < last {
			if err := b.nc.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("publish batch: %w", err)
			}
			continue
		}
		header["Nats-Batch-Commit"] = []string{"1"}
		if first, err = b.commit(ctx, m); err != nil {
			return 0, fmt.Errorf("publish batch of %d: %w", len(messages), err)
		}
	}
	return first - uint64(last), nil
}

// commit sends the last message of a batch and gives its sequence.
func (b *Broker) commit(ctx context.Context, m *nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	reply, err := b.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Sequence uint64 `json:"seq"`
		Error    *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, fmt.Errorf("answer %q: %w", reply.Data, err)
	}
	if ack.Error != nil {
		return 0, codeError(ack.Error.Code, fmt.Errorf("%s (%d)", ack.Error.Description, ack.Error.Code))
	}
	return ack.Sequence, nil
}

// Pipeline publishes a stream of messages with many in flight, and keeps at it: a message that met a lost
// server or a full stream is sent again until the context ends. One goroutine uses it.
type Pipeline struct {
	ctx     context.Context
	broker  *Broker
	flying  []flight
	bytes   int
	backoff func(attempt int) time.Duration
}

type flight struct {
	message Message
	future  jetstream.PubAckFuture
}

// Pipeline starts one.
func (b *Broker) Pipeline(ctx context.Context) *Pipeline {
	return &Pipeline{ctx: ctx, broker: b, backoff: func(attempt int) time.Duration {
		return min(50*time.Millisecond<<min(attempt, 7), 5*time.Second)
	}}
}

// Send takes a message; its header and data must not change until Flush. It blocks while too much is in flight.
func (p *Pipeline) Send(m Message) error {
	for len(p.flying) >= maxInFlight/2 || (p.bytes > 0 && p.bytes+len(m.Data) > maxInFlightBytes) {
		if err := p.land(); err != nil {
			return err
		}
	}
	future, err := p.broker.js.PublishMsgAsync(toNats(&m), jetstream.WithStallWait(30*time.Second))
	if err != nil {
		future = nil // land sends it again
	}
	p.flying = append(p.flying, flight{message: m, future: future})
	p.bytes += len(m.Data)
	return nil
}

// Flush waits until every message is acknowledged.
func (p *Pipeline) Flush() error {
	for len(p.flying) > 0 {
		if err := p.land(); err != nil {
			return err
		}
	}
	return nil
}

// land waits for the oldest message in flight.
func (p *Pipeline) land() error {
	f := p.flying[0]
	result := await(p.ctx, f.future)
	for attempt := 0; result.Err != nil; attempt++ {
		if err := p.ctx.Err(); err != nil {
			return fmt.Errorf("publish: %w", result.Err)
		}
		if refused(result.Err) {
			return fmt.Errorf("publish to %s: %w", f.message.Subject, result.Err)
		}
		select {
		case <-p.ctx.Done():
			return fmt.Errorf("publish: %w", result.Err)
		case <-time.After(p.backoff(attempt)):
		}
		result = p.broker.Publish(p.ctx, []Message{f.message})[0]
	}
	p.bytes -= len(f.message.Data)
	p.flying[0] = flight{}
	p.flying = p.flying[1:]
	return nil
}

// refused tells answers that no waiting changes.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) ||
		(errors.As(err, &api) && !errors.Is(err, ErrFull) && api.Code < 500)
}
