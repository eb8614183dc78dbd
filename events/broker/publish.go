package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	HeaderTTL              = "Nats-TTL"
	// TTLNever keeps a message beyond its stream's age limit.
	TTLNever = "never"
)

const (
	maxInFlight = 1024
	// MaxBatch is the most messages that one atomic batch may hold.
	MaxBatch = 1000
)

// Result is what became of one published message.
type Result struct {
	Sequence  uint64
	Duplicate bool
	Erased    bool  // it was of a person who was erased, and is gone; see Bury
	Err       error // ErrConflict, ErrFull, or the connection's
}

// Publish stores messages, pipelined and each on its own, and waits for every answer. The results are in the messages' order.
func (b *Broker) Publish(ctx context.Context, messages []Message) (results []Result) {
	_ = b.ask(ctx, about(messages), func(ctx context.Context) error {
		results = b.publish(ctx, messages)
		return nil
	})
	return results
}

// about tells the subjects of messages.
func about(messages []Message) func(subject string) bool {
	return func(subject string) bool {
		return slices.ContainsFunc(messages, func(m Message) bool { return m.Subject == subject })
	}
}

func (b *Broker) publish(ctx context.Context, messages []Message) []Result {
	began := time.Now()
	results := make([]Result, len(messages))
	futures := make([]jetstream.PubAckFuture, len(messages))
	done := 0
	for i := range messages {
		if i-done >= maxInFlight/2 {
			results[done].await(ctx, futures[done])
			done++
		}
		if results[i].Err = context.Cause(ctx); results[i].Err == nil {
			futures[i], results[i].Err = b.js.PublishMsgAsync(toNats(&messages[i]), jetstream.WithStallWait(30*time.Second))
		}
	}
	for ; done < len(messages); done++ {
		results[done].await(ctx, futures[done])
	}
	if !slices.ContainsFunc(results, func(r Result) bool { return r.Err != nil || r.Duplicate }) {
		b.pace.note(len(messages), time.Since(began))
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

// await waits for the answer to what was sent; nil was not sent, and why not is the result already.
func (r *Result) await(ctx context.Context, f jetstream.PubAckFuture) {
	if f == nil {
		return
	}
	select {
	case ack := <-f.Ok():
		*r = Result{Sequence: ack.Sequence, Duplicate: ack.Duplicate}
	case err := <-f.Err():
		*r = Result{Err: apiError(err)}
	case <-ctx.Done():
		*r = Result{Err: context.Cause(ctx)}
	}
}

// PublishAtomic stores up to MaxBatch messages as one atomic batch, all or none, with one sync to disk.
// No two may have the same subject with an expected sequence. It gives the sequence of the first; the others follow it.
func (b *Broker) PublishAtomic(ctx context.Context, messages []Message) (first uint64, err error) {
	err = b.ask(ctx, about(messages), func(ctx context.Context) error {
		first, err = b.publishAtomic(ctx, messages)
		return err
	})
	return first, err
}

func (b *Broker) publishAtomic(ctx context.Context, messages []Message) (first uint64, err error) {
	if len(messages) == 0 || len(messages) > MaxBatch {
		return 0, fmt.Errorf("atomic batch of %d messages: want 1 to %d", len(messages), MaxBatch)
	}
	ctx, cancel := b.whileConnected(ctx, 20*time.Second)
	defer cancel()
	if err := context.Cause(ctx); err != nil {
		return 0, fmt.Errorf("publish batch of %d: %w", len(messages), err)
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
	reply, err := b.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, cmp.Or(context.Cause(ctx), err)
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

// Pipeline publishes messages of one stream in batches, one of them on its way while the next is filled, and keeps at it: what
// met a lost server or a full stream is sent again until the context ends. While nothing fails the stream has them in the order of Send.
//
// Each message has a Nats-Msg-Id, so that one that was stored and whose answer was lost is stored once for as long as the stream knows its
// ids (a minute or two). A message that was sent again can be stored behind others that were sent after it, and, after a longer loss,
// twice. Who consumes such a stream orders by something of the message's own, as the fence of a record does: by the vendor's time of
// change, else by the request's start, and by RAW's sequence only where these are equal.
//
// One goroutine uses it.
type Pipeline struct {
	ctx    context.Context
	broker *Broker
	id     string // of this pipeline, which begins its messages' ids
	sent   int
	batch  []Message
	since  time.Time // when the batch got its first message
	bytes  int
	flying chan error // the batch on its way; nil: none
}

const (
	pipelineBatch = 256
	pipelineBytes = 4 << 20
	// pipelineLinger is how long a batch waits to be full while the server has nothing else to do: a vendor that answers slowly gives a record
	// now and then, and each of them is news.
	pipelineLinger = 20 * time.Millisecond
)

// Pipeline starts one.
func (b *Broker) Pipeline(ctx context.Context) *Pipeline {
	return &Pipeline{ctx: ctx, broker: b, id: nuid.Next()}
}

// Send takes a message, whose header is the pipeline's from then on; its data must not change until Flush. A message without an id gets one. It
// blocks while two batches are unfinished. What was sent last can wait for the next Send or Flush.
func (p *Pipeline) Send(m Message) error {
	if m.Header == nil {
		m.Header = make(map[string][]string, 1)
	}
	if m.Get(HeaderMsgID) == "" {
		p.sent++
		m.Header[HeaderMsgID] = []string{p.id + "." + strconv.Itoa(p.sent)}
	}
	if len(p.batch) == 0 {
		p.since = time.Now()
	}
	p.batch = append(p.batch, m)
	p.bytes += len(m.Data)
	if len(p.batch) < pipelineBatch && p.bytes < pipelineBytes && !p.overdue() {
		return nil
	}
	return p.dispatch()
}

// overdue tells whether a batch that is not full goes all the same: nothing is on its way, and it has waited.
func (p *Pipeline) overdue() bool {
	return (p.flying == nil || len(p.flying) > 0) && time.Since(p.since) >= pipelineLinger
}

// Flush waits until every message is acknowledged.
func (p *Pipeline) Flush() error {
	err := p.dispatch()
	if landed := p.land(); err == nil {
		err = landed
	}
	return err
}

// dispatch sends the batch on its way when the one before has landed.
func (p *Pipeline) dispatch() error {
	if err := p.land(); err != nil || len(p.batch) == 0 {
		return err
	}
	batch, flying := p.batch, make(chan error, 1)
	p.batch, p.bytes, p.flying = nil, 0, flying
	go func() { flying <- p.publish(batch) }()
	return nil
}

// land waits for the batch on its way.
func (p *Pipeline) land() error {
	if p.flying == nil {
		return nil
	}
	err := <-p.flying
	p.flying = nil
	return err
}

// publish stores a batch: as one if that is quicker, else each message for itself.
func (p *Pipeline) publish(batch []Message) error {
	alone := p.broker.alone(len(batch))
	if err := p.publishEach(batch[:alone]); err != nil || alone == len(batch) {
		return err
	}
	batch = batch[alone:]
	if _, err := p.broker.PublishAtomic(p.ctx, batch); err == nil {
		return nil
	}
	// Nothing is known of a batch whose answer was lost; of what it stored, the ids are.
	return p.publishEach(batch)
}

// publishEach stores messages one by one, and those again that met a lost server or a full stream. Of none, it waits for the server.
func (p *Pipeline) publishEach(batch []Message) error {
	for attempt := 0; ; attempt++ {
		if err := p.broker.awaitServer(p.ctx); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		var left []Message
		var last error
		for i, result := range p.broker.Publish(p.ctx, batch) {
			if result.Err == nil {
				continue
			}
			if refused(result.Err) {
				return fmt.Errorf("publish to %s: %w", batch[i].Subject, result.Err)
			}
			left, last = append(left, batch[i]), result.Err
		}
		if len(left) == 0 {
			return nil
		}
		batch = left
		select {
		case <-p.ctx.Done():
			return fmt.Errorf("publish: %w", last)
		case <-time.After(min(50*time.Millisecond<<min(attempt, 7), 5*time.Second)):
		}
	}
}

// refused tells answers that no waiting changes.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, ErrDenied) || errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) ||
		(errors.As(err, &api) && !errors.Is(err, ErrFull) && api.Code < 500)
}
