package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ConsumerConfig describes a durable consumer.
type ConsumerConfig struct {
	Stream string
	Name   string
	// Filters are subjects; none is everything.
	Filters []string
	// MaxAckPending bounds the deliveries that are not acknowledged, over all processes.
	MaxAckPending int
	AckWait       time.Duration
	// Pinned consumers deliver to one process at a time, in stream order.
	Pinned bool
	// StartTime is where a new consumer begins; zero is the stream's first message.
	StartTime time.Time
	// New makes a new consumer begin with what comes after it.
	New bool
}

const (
	pinGroup = "owner"
	// pinTTL is how long an owner may be silent before another process takes over.
	pinTTL = 10 * time.Second
	// pull is how long one request to the server stays open; it also keeps the pin.
	pull = 2 * time.Second
	// settle is how long a batch waits for more messages once it has one.
	settle = 2 * time.Millisecond
)

// ErrNewOwner says that this process has just become the pinned owner of a consumer. What was delivered is
// dropped: the caller forgets what it knew, calls Reset, and gets everything from the ack floor on again, in order.
var ErrNewOwner = errors.New("became the owner")

// Consumer takes messages from a durable consumer. One goroutine uses it.
type Consumer struct {
	broker *Broker
	config ConsumerConfig
	cons   jetstream.Consumer
	open   jetstream.MessageBatch // what the last request still gives
	pin    string
}

// Consumer creates or updates the durable consumer, keeping its position, and gives access to it.
func (b *Broker) Consumer(ctx context.Context, c ConsumerConfig) (*Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		Durable: c.Name, FilterSubjects: c.Filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.AckWait,
		MaxAckPending: c.MaxAckPending, MaxDeliver: -1, DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if len(c.Filters) == 1 {
		cfg.FilterSubject, cfg.FilterSubjects = c.Filters[0], nil
	}
	if c.Pinned {
		cfg.PriorityPolicy, cfg.PriorityGroups, cfg.PinnedTTL = jetstream.PriorityPolicyPinned, []string{pinGroup}, pinTTL
	}
	switch {
	case c.New:
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	case !c.StartTime.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &c.StartTime
	}
	if existing, err := b.js.Consumer(ctx, c.Stream, c.Name); err == nil {
		// Where a consumer began cannot be changed, and must not: it is its own from then on.
		info := existing.CachedInfo().Config
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = info.DeliverPolicy, info.OptStartTime, info.OptStartSeq
	}
	cons, err := b.js.CreateOrUpdateConsumer(ctx, c.Stream, cfg)
	if err != nil {
		return nil, fmt.Errorf("consumer %s of %s: %w", c.Name, c.Stream, err)
	}
	return &Consumer{broker: b, config: c, cons: cons}, nil
}

// Delivery is a message that was delivered and waits for its acknowledgement.
type Delivery struct {
	Message
	// Delivered counts how often this message was delivered since the consumer was last reset.
	Delivered uint64
	// Pending is how many messages waited behind this one.
	Pending uint64
	// AckFloor is not known here; see Consumer.State.
	msg jetstream.Msg
}

// Ack says that the message is done with. It does not wait: a lost acknowledgement means another delivery.
func (d *Delivery) Ack() error { return d.msg.Ack() }

// AckWait says so and waits for the server's word.
func (d *Delivery) AckWait(ctx context.Context) error { return d.msg.DoubleAck(ctx) }

// InProgress keeps the message from being delivered again while it is worked on.
func (d *Delivery) InProgress() error { return d.msg.InProgress() }

// Return gives the message back, to be delivered again after a delay.
func (d *Delivery) Return(delay time.Duration) error { return d.msg.NakWithDelay(delay) }

// Next gives up to limit messages: as soon as there is one, what came with it. Nil without an error means that none
// came for a while (about two seconds), or that another process owns the consumer. ErrNewOwner: see there.
func (c *Consumer) Next(ctx context.Context, limit int) ([]*Delivery, error) {
	if c.open == nil {
		opts := []jetstream.FetchOpt{jetstream.FetchMaxWait(pull)}
		if c.config.Pinned {
			opts = append(opts, jetstream.FetchPriorityGroup(pinGroup))
		}
		open, err := c.cons.Fetch(limit, opts...)
		if err != nil {
			return nil, fmt.Errorf("fetch from %s: %w", c.config.Name, err)
		}
		c.open = open
	}
	batch, ended, err := collect(ctx, c.open, limit)
	if ended {
		if fetchErr := c.open.Error(); err == nil && fetchErr != nil && len(batch) == 0 && !harmless(fetchErr) {
			err = fmt.Errorf("fetch from %s: %w", c.config.Name, fetchErr)
		}
		c.open = nil
	}
	if err != nil {
		return nil, err
	}
	return c.checkPin(batch)
}

// harmless are the ends of a request that mean nothing more than "none came".
func harmless(err error) bool {
	return errors.Is(err, jetstream.ErrPinIDMismatch) || errors.Is(err, jetstream.ErrNoMessages)
}

func collect(ctx context.Context, open jetstream.MessageBatch, limit int) (batch []*Delivery, ended bool, err error) {
	var quiet <-chan time.Time
	for len(batch) < limit {
		select {
		case m, ok := <-open.Messages():
			if !ok {
				return batch, true, nil
			}
			d, err := delivery(m)
			if err != nil {
				return nil, false, err
			}
			batch = append(batch, d)
			continue
		default:
		}
		if len(batch) > 0 && quiet == nil {
			quiet = time.After(settle)
		}
		select {
		case m, ok := <-open.Messages():
			if !ok {
				return batch, true, nil
			}
			d, err := delivery(m)
			if err != nil {
				return nil, false, err
			}
			batch = append(batch, d)
		case <-quiet:
			return batch, false, nil
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	return batch, false, nil
}

func delivery(m jetstream.Msg) (*Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("delivery without metadata: %w", err)
	}
	return &Delivery{
		Message:   Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp},
		Delivered: meta.NumDelivered, Pending: meta.NumPending, msg: m,
	}, nil
}

func (c *Consumer) checkPin(batch []*Delivery) ([]*Delivery, error) {
	if !c.config.Pinned {
		return batch, nil
	}
	for _, d := range batch {
		if id := d.Get("Nats-Pin-Id"); id != "" && id != c.pin {
			c.pin = id
			c.open = nil
			return nil, ErrNewOwner
		}
	}
	return batch, nil
}

// Reset makes the server deliver everything above the ack floor again, in order, even what was acknowledged above it.
func (c *Consumer) Reset(ctx context.Context) error {
	c.open = nil
	if _, err := c.broker.js.ResetConsumer(ctx, c.config.Stream, c.config.Name); err != nil {
		return fmt.Errorf("reset consumer %s: %w", c.config.Name, err)
	}
	return nil
}

// Release gives a pinned consumer up at once, if this process owns it, so that another need not wait.
func (c *Consumer) Release(ctx context.Context) error {
	c.open = nil
	if c.pin == "" {
		return nil
	}
	c.pin = ""
	s, err := c.broker.js.Stream(ctx, c.config.Stream)
	if err == nil {
		err = s.UnpinConsumer(ctx, c.config.Name, pinGroup)
	}
	if err != nil {
		return fmt.Errorf("release consumer %s: %w", c.config.Name, err)
	}
	return nil
}

// ConsumerState is how far a consumer is.
type ConsumerState struct {
	// AckFloor is the stream sequence up to which everything is acknowledged.
	AckFloor uint64
	// Unacked messages are delivered and not acknowledged; Pending ones are not delivered yet.
	Unacked, Pending uint64
}

// Done tells whether nothing is left to do.
func (s ConsumerState) Done() bool { return s.Unacked == 0 && s.Pending == 0 }

// ConsumerState asks for a durable consumer's state; ErrNotFound if there is none.
func (b *Broker) ConsumerState(ctx context.Context, stream, name string) (ConsumerState, error) {
	cons, err := b.js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return ConsumerState{}, fmt.Errorf("consumer %s of %s: %w", name, stream, ErrNotFound)
	}
	if err != nil {
		return ConsumerState{}, fmt.Errorf("consumer %s of %s: %w", name, stream, err)
	}
	info := cons.CachedInfo()
	return ConsumerState{AckFloor: info.AckFloor.Stream, Unacked: uint64(info.NumAckPending), Pending: info.NumPending}, nil
}

// State asks for this consumer's state.
func (c *Consumer) State(ctx context.Context) (ConsumerState, error) {
	return c.broker.ConsumerState(ctx, c.config.Stream, c.config.Name)
}

// Follow hands every message that comes from now on to visit, in order, without any acknowledgement, until the
// context ends or visit fails.
func (b *Broker) Follow(ctx context.Context, stream string, filters []string, visit func(Message) error) error {
	cons, err := b.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return fmt.Errorf("follow %s: %w", stream, err)
	}
	messages, err := cons.Messages()
	if err != nil {
		return fmt.Errorf("follow %s: %w", stream, err)
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
			return fmt.Errorf("follow %s: %w", stream, err)
		}
		d, err := delivery(m)
		if err == nil {
			err = visit(d.Message)
		}
		if err != nil {
			return err
		}
	}
}
