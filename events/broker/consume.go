package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
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
	// Ahead asks for the next messages while the last ones are worked on. They wait in this process, and are delivered already.
	Ahead bool
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
	// pullBytes is how much one request may give: what waits in this process for its turn is in memory.
	pullBytes = 16 << 20
	// settle is how long a batch waits for more messages once it has one.
	settle = 2 * time.Millisecond
)

// ErrNewOwner says that this process has just become the pinned owner of a consumer. What was delivered is
// dropped: the caller forgets what it knew, calls Reset, and gets everything from the ack floor on again, in order.
var ErrNewOwner = errors.New("became the owner")

// Consumer takes messages from a durable consumer. One goroutine uses it.
//
// It pulls by itself instead of through the client's Fetch, whose inbox cannot be given up at a known moment: what
// the server sends to a forgotten request after a reset is lost until its AckWait.
type Consumer struct {
	broker  *Broker
	config  ConsumerConfig
	sub     *nats.Subscription // the inbox of the open request
	wanted  int                // messages that the open request may still give; 0: none is open
	expires time.Time          // of the open request
	pin     string
	// expected is the consumer's own count of the next delivery; 0 when it is not known. The server counts without gaps, so
	// a gap is what was lost on its way with a connection. It would come after its AckWait, behind what follows it.
	expected uint64
}

// Consumer creates or updates the durable consumer, keeping its position, and gives access to it. Who may not make consumers takes it as the
// provisioner made it.
func (b *Broker) Consumer(ctx context.Context, c ConsumerConfig) (*Consumer, error) {
	cfg := c.jetStream()
	var differ differences
	existing, err := b.consumer(ctx, c.Stream, c.Name)
	if err == nil {
		// Where a consumer began cannot be changed, and must not: it is its own from then on.
		info := existing.CachedInfo().Config
		differ = consumerDifferences(info, cfg)
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = info.DeliverPolicy, info.OptStartTime, info.OptStartSeq
	}
	if b.Provisions() {
		err = b.ask(ctx, on("$JS.API.CONSUMER.CREATE."+c.Stream+"."+c.Name), func(ctx context.Context) error {
			_, err := b.js.CreateOrUpdateConsumer(ctx, c.Stream, cfg)
			return err
		})
		err = explained(err, differ, fmt.Sprintf("nats consumer rm %s %s", c.Stream, c.Name))
	} else if err == nil {
		err = b.wants(cfg, existing.CachedInfo().Config)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s of %s: %w", c.Name, c.Stream, b.missing(err, jetstream.ErrConsumerNotFound))
	}
	return &Consumer{broker: b, config: c}, nil
}

// consumer asks for a durable consumer.
func (b *Broker) consumer(ctx context.Context, stream, name string) (c jetstream.Consumer, err error) {
	err = b.ask(ctx, on("$JS.API.CONSUMER.INFO."+stream+"."+name), func(ctx context.Context) error {
		c, err = b.js.Consumer(ctx, stream, name)
		return err
	})
	return c, err
}

// jetStream is a new consumer's configuration.
func (c *ConsumerConfig) jetStream() jetstream.ConsumerConfig {
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
	return cfg
}

// wants tells whether a consumer that this process may not change gives what it needs. Another pace is no reason to stand still.
func (b *Broker) wants(want, is jetstream.ConsumerConfig) error {
	if is.FilterSubject != want.FilterSubject || !slices.Equal(is.FilterSubjects, want.FilterSubjects) || is.PriorityPolicy != want.PriorityPolicy {
		return fmt.Errorf("it is for %q, and this process is configured for %q: %w", append(is.FilterSubjects, is.FilterSubject), append(want.FilterSubjects, want.FilterSubject), ErrNotProvisioned)
	}
	if is.MaxAckPending != want.MaxAckPending || is.AckWait != want.AckWait {
		b.options.Logger.Warn("a consumer has another pace than this process is configured for; `parley provision` changes it",
			"consumer", want.Durable, "in_flight", is.MaxAckPending, "configured", want.MaxAckPending)
	}
	return nil
}

// Delivery is a message that was delivered and waits for its acknowledgement.
type Delivery struct {
	Message
	// Delivered counts how often this message was delivered since the consumer was last reset.
	Delivered uint64
	// Pending is how many messages waited behind this one.
	Pending uint64

	broker *Broker
	reply  string
}

// Stored makes a delivery of a message that was read from its stream and not delivered by a consumer: nobody waits for its
// acknowledgement.
func Stored(m Message) *Delivery { return &Delivery{Message: m} }

// Stored tells whether the delivery was made by Stored.
func (d *Delivery) Stored() bool { return d.reply == "" }

// Ack says that the message is done with. It does not wait: a lost acknowledgement means another delivery.
func (d *Delivery) Ack() error {
	if d.Stored() {
		return nil
	}
	return d.broker.nc.Publish(d.reply, []byte("+ACK"))
}

// AckWait says so and waits for the server's word.
func (d *Delivery) AckWait(ctx context.Context) error {
	return d.broker.ask(ctx, on(d.reply), func(ctx context.Context) error {
		_, err := d.broker.nc.RequestWithContext(ctx, d.reply, []byte("+ACK"))
		return err
	})
}

// InProgress keeps the message from being delivered again while it is worked on.
func (d *Delivery) InProgress() error { return d.broker.nc.Publish(d.reply, []byte("+WPI")) }

// Return gives the message back, to be delivered again after a delay.
func (d *Delivery) Return(delay time.Duration) error {
	return d.broker.nc.Publish(d.reply, fmt.Appendf(nil, `-NAK {"delay":%d}`, delay.Nanoseconds()))
}

// Next gives up to limit messages: as soon as there is one, what came with it. Nil without an error means that none
// came for a while (about two seconds), or that another process owns the consumer. ErrNewOwner: see there.
func (c *Consumer) Next(ctx context.Context, limit int) (batch []*Delivery, err error) {
	err = c.broker.ask(ctx, on(c.pulls()), func(ctx context.Context) error {
		batch, err = c.take(ctx, limit)
		return err
	})
	return batch, err
}

// More gives up to limit messages that have come of the open request since Next, without waiting: to one who was busy when they came.
func (c *Consumer) More(limit int) (batch []*Delivery, err error) {
	for len(batch) < limit && c.wanted > 0 && c.waits() {
		d, err := c.receive(context.Background(), 0)
		if errors.Is(err, ErrNewOwner) {
			return nil, err
		}
		if err != nil {
			break // Next meets it too
		}
		if d != nil {
			batch = append(batch, d)
		}
	}
	return batch, c.checkPin(batch)
}

// pulls is the subject of requests for messages.
func (c *Consumer) pulls() string {
	return "$JS.API.CONSUMER.MSG.NEXT." + c.config.Stream + "." + c.config.Name
}

// take is Next.
func (c *Consumer) take(ctx context.Context, limit int) ([]*Delivery, error) {
	if c.wanted == 0 || c.lapsed() {
		if err := c.request(limit); err != nil {
			return nil, fmt.Errorf("pull from %s: %w", c.config.Name, err)
		}
	}
	var batch []*Delivery
	for len(batch) < limit && c.wanted > 0 {
		patience := time.Until(c.expires.Add(time.Second))
		if len(batch) > 0 {
			patience = settle
		}
		d, err := c.receive(ctx, patience)
		if errors.Is(err, ErrNewOwner) {
			return nil, err
		}
		if err != nil {
			// What was received is the caller's: dropped here it would come after what follows it. An error that lasts meets the next call too.
			if len(batch) > 0 || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				break
			}
			return nil, fmt.Errorf("pull from %s: %w", c.config.Name, err)
		}
		if d != nil {
			batch = append(batch, d)
		}
	}
	if err := c.checkPin(batch); err != nil {
		return nil, err
	}
	if c.config.Ahead && len(batch) > 0 && c.wanted == 0 && c.request(limit) != nil {
		c.wanted = 0 // the next call asks again, and tells
	}
	return batch, nil
}

// lapsed tells whether nothing more comes of the open request. What it gave may still wait for its turn here: asked again before that is taken, the server
// would give ever more to one who is slow.
func (c *Consumer) lapsed() bool { return time.Now().After(c.expires.Add(time.Second)) && !c.waits() }

// waits tells whether a message is here that was not taken.
func (c *Consumer) waits() bool {
	if c.sub == nil {
		return false
	}
	n, _, err := c.sub.Pending()
	return err == nil && n > 0
}

// request asks the server for messages.
func (c *Consumer) request(limit int) (err error) {
	if c.sub == nil {
		if c.sub, err = c.broker.nc.SubscribeSync(c.broker.nc.NewInbox()); err != nil {
			return err
		}
		if err := c.sub.SetPendingLimits(-1, -1); err != nil {
			return err
		}
	}
	ask := struct {
		Batch   int           `json:"batch"`
		Bytes   int           `json:"max_bytes"`
		Expires time.Duration `json:"expires"`
		Group   string        `json:"group,omitempty"`
		Pin     string        `json:"id,omitempty"`
	}{Batch: limit, Bytes: pullBytes, Expires: pull}
	if c.config.Pinned {
		ask.Group, ask.Pin = pinGroup, c.pin
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	c.wanted, c.expires = limit, time.Now().Add(pull)
	return c.broker.nc.PublishRequest(c.pulls(), c.sub.Subject, body)
}

// receive gives the next message; nil when the server only said something about the request.
func (c *Consumer) receive(ctx context.Context, patience time.Duration) (*Delivery, error) {
	if !c.waits() { // a timer for each message that is here already would cost more than taking it
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(patience, 0))
		defer cancel()
	}
	m, err := c.sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
		return nil, c.status(status, m.Header.Get("Description"))
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("a delivery without metadata: %w", err)
	}
	c.wanted--
	if c.config.Pinned && c.expected != 0 && meta.Sequence.Consumer != c.expected {
		c.expected, c.pin = 0, m.Header.Get("Nats-Pin-Id")
		return nil, ErrNewOwner
	}
	c.expected = meta.Sequence.Consumer + 1
	return &Delivery{
		Message:   Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: meta.Sequence.Stream, Time: meta.Timestamp},
		Delivered: meta.NumDelivered, Pending: meta.NumPending, broker: c.broker, reply: m.Reply,
	}, nil
}

// status is the server's word on the open request.
func (c *Consumer) status(code, description string) error {
	if code == "409" && description == batchCompleted {
		return nil
	}
	switch code {
	case "100": // a heartbeat
		return nil
	case "404", "408": // none came in time
		c.wanted = 0
		return nil
	case "423": // another process has become the owner
		c.wanted, c.pin = 0, ""
		return nil
	}
	c.wanted = 0
	if code == "409" && description == bytesReached {
		return nil
	}
	return fmt.Errorf("%s %s", code, description)
}

// What the server says of a request that has given what it may: the messages that it was for, which are counted here too (the word may come
// when the next request is open), or their bytes.
const (
	batchCompleted = "Batch Completed"
	bytesReached   = "Message Size Exceeds MaxBytes"
)

// checkPin tells when a delivery shows that this process has become the owner.
func (c *Consumer) checkPin(batch []*Delivery) error {
	if !c.config.Pinned {
		return nil
	}
	for _, d := range batch {
		if id := d.Get("Nats-Pin-Id"); id != "" && id != c.pin {
			c.pin = id
			return ErrNewOwner
		}
	}
	return nil
}

// abandon gives the inbox up: the server finds nobody there and keeps what it would have sent.
func (c *Consumer) abandon() {
	if c.sub != nil {
		_ = c.sub.Unsubscribe()
	}
	c.sub, c.wanted, c.expected = nil, 0, 0
}

// Close gives the consumer up in this process; its position stays. What was delivered here and not taken goes to another at once, as far as
// the server can be told.
func (c *Consumer) Close() {
	defer c.abandon()
	if c.sub == nil || c.sub.Drain() != nil || c.broker.nc.FlushTimeout(time.Second) != nil {
		return
	}
	for c.waits() {
		d, err := c.receive(context.Background(), 0)
		if err == nil && d != nil {
			err = d.Return(0)
		}
		if err != nil {
			return
		}
	}
}

// Reset makes the server deliver everything above the ack floor again, in order, even what was acknowledged above it.
func (c *Consumer) Reset(ctx context.Context) error {
	c.abandon()
	if err := c.reset(ctx); err != nil {
		return fmt.Errorf("reset consumer %s: %w", c.config.Name, err)
	}
	cons, err := c.broker.consumer(ctx, c.config.Stream, c.config.Name)
	if err != nil {
		return fmt.Errorf("reset consumer %s: %w", c.config.Name, err)
	}
	c.expected = cons.CachedInfo().Delivered.Consumer + 1
	return nil
}

func (c *Consumer) reset(ctx context.Context) error {
	return c.broker.ask(ctx, on("$JS.API.CONSUMER.RESET."+c.config.Stream+"."+c.config.Name), func(ctx context.Context) error {
		_, err := c.broker.js.ResetConsumer(ctx, c.config.Stream, c.config.Name)
		return err
	})
}

// Keep renews the ownership of a pinned consumer without taking anything; without it or Next it passes on after ten seconds.
func (c *Consumer) Keep() error {
	if c.pin == "" {
		return nil
	}
	// The server renews the pin when it reads a request, and finds that this one has run out and that nobody waits for its answer.
	ask := fmt.Appendf(nil, `{"batch":1,"expires":1000000,"group":%q,"id":%q}`, pinGroup, c.pin)
	err := c.broker.nc.PublishRequest(c.pulls(), c.broker.nc.NewInbox(), ask)
	if err != nil {
		return fmt.Errorf("keep %s: %w", c.config.Name, err)
	}
	return nil
}

// Owns tells whether this process owns the pinned consumer, as far as it knows.
func (c *Consumer) Owns() bool { return c.pin != "" }

// Release gives a pinned consumer up at once, if this process owns it, so that another need not wait. What is delivered
// and not acknowledged comes again to the next owner: nobody becomes one without a delivery.
func (c *Consumer) Release(ctx context.Context) error {
	c.abandon()
	if c.pin == "" {
		return nil
	}
	c.pin = ""
	err := c.reset(ctx)
	if err == nil {
		err = c.broker.withStream(ctx, c.config.Stream, "$JS.API.CONSUMER.UNPIN.", func(ctx context.Context, s jetstream.Stream) error {
			return s.UnpinConsumer(ctx, c.config.Name, pinGroup)
		})
	}
	if err != nil {
		return fmt.Errorf("release consumer %s: %w", c.config.Name, err)
	}
	return nil
}

// ConsumerState is how far a consumer is, and comparable.
type ConsumerState struct {
	// AckFloor is the stream sequence up to which everything is acknowledged.
	AckFloor uint64
	// Delivered is the last that was delivered.
	Delivered uint64
	// Unacked messages are delivered and not acknowledged; Pending ones are not delivered yet.
	Unacked, Pending uint64
	// Pinned tells whether some process owns a pinned consumer. Nobody becomes the owner without a delivery: where what is left is all
	// unacked, and nobody is the owner, it waits for its AckWait or a Reset.
	Pinned bool
}

// Done tells whether nothing is left to do, as far as the consumer has counted; see Exhausted.
func (s ConsumerState) Done() bool { return s.Unacked == 0 && s.Pending == 0 }

// ConsumerState asks for a durable consumer's state; ErrNotFound if there is none.
func (b *Broker) ConsumerState(ctx context.Context, stream, name string) (ConsumerState, error) {
	cons, err := b.consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return ConsumerState{}, fmt.Errorf("consumer %s of %s: %w", name, stream, ErrNotFound)
	}
	if err != nil {
		return ConsumerState{}, fmt.Errorf("consumer %s of %s: %w", name, stream, err)
	}
	return stateOfConsumer(cons.CachedInfo()), nil
}

func stateOfConsumer(info *jetstream.ConsumerInfo) ConsumerState {
	pinned := slices.ContainsFunc(info.PriorityGroups, func(g jetstream.PriorityGroupState) bool { return g.PinnedClientID != "" })
	return ConsumerState{
		AckFloor: info.AckFloor.Stream, Delivered: info.Delivered.Stream, Unacked: uint64(info.NumAckPending), Pending: info.NumPending, Pinned: pinned,
	}
}

// Exhausted is Broker.Exhausted.
func (c *Consumer) Exhausted(ctx context.Context) (bool, error) {
	return c.broker.Exhausted(ctx, c.config.Stream, c.config.Name)
}

// Exhausted tells whether a durable consumer has nothing left of all that its stream had acknowledged when it was asked. The consumer's own count
// cannot say so: the server adds a message to it some time after it has acknowledged the message to its publisher. The stream can.
func (b *Broker) Exhausted(ctx context.Context, stream, name string) (bool, error) {
	cons, err := b.consumer(ctx, stream, name)
	if err != nil {
		return false, fmt.Errorf("consumer %s of %s: %w", name, stream, err)
	}
	info := cons.CachedInfo()
	state := stateOfConsumer(info)
	if !state.Done() {
		return false, nil
	}
	filters := info.Config.FilterSubjects
	if len(filters) == 0 {
		filters = []string{cmp.Or(info.Config.FilterSubject, ">")}
	}
	for _, filter := range filters {
		_, err := b.fromLeader(ctx, stream, leaderRequest{Sequence: state.AckFloor + 1, Next: filter})
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("what is left of %s for %s: %w", stream, name, err)
		}
		return false, nil
	}
	return true, nil
}

// State asks for this consumer's state.
func (c *Consumer) State(ctx context.Context) (ConsumerState, error) {
	return c.broker.ConsumerState(ctx, c.config.Stream, c.config.Name)
}
