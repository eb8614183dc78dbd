package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/broker"
)

const (
	// source and files name what the measured configuration has one of.
	source = "load"
	files  = "files"
	// pullers is how many take from one stream at once where no order is kept.
	pullers = 4
	pulled  = 512
)

// work is a job that is ready to begin.
type work struct {
	address string // what the parent must know to reach it
	work    func(ctx context.Context) (outcome, error)
	close   func()
}

func (j job) prepare(ctx context.Context) (*work, error) {
	switch j.Do {
	case "vendor":
		return j.vendor()
	case "receive":
		return j.receiver()
	case "slow vendor":
		return j.slowVendor()
	case "live vendor":
		return j.liveVendor()
	case "hook":
		return j.hook()
	case "tail":
		return j.tail()
	}
	b, err := j.broker(ctx)
	if err != nil {
		return nil, err
	}
	w := &work{close: b.Close}
	switch j.Do {
	case "server":
		w.work = func(ctx context.Context) (outcome, error) {
			<-ctx.Done()
			return outcome{}, nil
		}
	case "publish":
		w.work = func(ctx context.Context) (outcome, error) { return j.publish(ctx, b) }
	case "relay":
		w.work = func(ctx context.Context) (outcome, error) {
			return j.pull(ctx, b, broker.Raw, func(batch []*broker.Delivery) error { return j.copy(ctx, b, batch) })
		}
	case "consume":
		w.work = func(ctx context.Context) (outcome, error) {
			return j.pull(ctx, b, broker.Events, func([]*broker.Delivery) error { return nil })
		}
	case "play":
		w.work, err = j.play(ctx, b)
	default:
		err = fmt.Errorf("there is no such job")
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return w, nil
}

// broker reaches the server of another process, or opens one in this process.
func (j job) broker(ctx context.Context) (*broker.Broker, error) {
	if j.Sync == "" {
		return broker.Attach(ctx, broker.Options{DataDir: j.Dir})
	}
	b, err := broker.Open(ctx, brokerOptions(j.Dir, j.Sync))
	if err != nil {
		return nil, err
	}
	if err := b.Provision(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func brokerOptions(dir, sync string) broker.Options {
	o := broker.Options{DataDir: dir}
	if sync == "default" {
		o.SyncInterval = 2 * time.Minute
	}
	return o
}

// play runs Parley's roles as its environment configures them.
func (j job) play(ctx context.Context, b *broker.Broker) (func(context.Context) (outcome, error), error) {
	a, err := app.New(os.Environ(), io.Discard, os.Stderr)
	if err != nil {
		return nil, err
	}
	roles := app.Roles{Poll: strings.Contains(j.Roles, "poll"), Process: strings.Contains(j.Roles, "process"), Sink: strings.Contains(j.Roles, "sink")}
	p, err := a.Process(ctx, b, roles, time.Time{})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (outcome, error) { return outcome{}, p.Run(ctx) }, nil
}

// publish fills RAW as a poller does. Of its messages so many percent repeat an earlier one; of a later reading so many are unchanged.
func (j job) publish(ctx context.Context, b *broker.Broker) (outcome, error) {
	pipeline := b.Pipeline(ctx)
	for _, p := range plan(j.Messages, j.Duplicates, j.Reading) {
		m, err := j.Chats.raw(p.chat, p.version, p.reading)
		if err == nil {
			err = pipeline.Send(m)
		}
		if err != nil {
			return outcome{}, err
		}
	}
	return outcome{Count: j.Messages}, pipeline.Flush()
}

// planned is a record that is published.
type planned struct{ chat, version, reading int }

// plan spreads unchanged records evenly over n. Of the first reading each other record is a new chat, and an unchanged one is some hundred
// records old; a later reading has each chat once, and the others were edited.
func plan(n, unchanged, reading int) []planned {
	all := make([]planned, 0, n)
	for i, chats, share := 0, 0, 0; i < n; i++ {
		share += unchanged
		same := share >= 100
		if same {
			share -= 100
		}
		switch {
		case reading > 0 && same:
			all = append(all, planned{chat: i, reading: reading})
		case reading > 0:
			all = append(all, planned{chat: i, version: reading, reading: reading})
		case same && chats > 0:
			all = append(all, planned{chat: max(chats-300, 0), reading: 0})
		default:
			all = append(all, planned{chat: chats})
			chats++
		}
	}
	return all
}

// distinct counts what is not unchanged.
func distinct(all []planned) (n int) {
	seen := make(map[planned]bool, len(all))
	for _, p := range all {
		if p.reading = 0; !seen[p] {
			seen[p] = true
			n++
		}
	}
	return n
}

// pull takes so many messages of a stream and acknowledges them, by several pullers at once: as fast as it goes when nothing is done.
func (j job) pull(ctx context.Context, b *broker.Broker, stream string, do func([]*broker.Delivery) error) (outcome, error) {
	var taken atomic.Int64
	var pulling sync.WaitGroup
	errs := make([]error, pullers)
	for i := range errs {
		c, err := b.Consumer(ctx, broker.ConsumerConfig{Stream: stream, Name: j.Do, MaxAckPending: 1 << 16, AckWait: time.Minute})
		if err != nil {
			return outcome{}, err
		}
		pulling.Go(func() {
			defer c.Close()
			for errs[i] == nil && taken.Load() < int64(j.Messages) {
				n, err := pullOnce(ctx, c, do)
				taken.Add(int64(n))
				errs[i] = err
			}
		})
	}
	pulling.Wait()
	return outcome{Count: int(taken.Load())}, errors.Join(errs...)
}

func pullOnce(ctx context.Context, c *broker.Consumer, do func([]*broker.Delivery) error) (int, error) {
	next, cancel := context.WithTimeout(ctx, 100*time.Millisecond) // another may have taken the last ones
	defer cancel()
	batch, err := c.Next(next, pulled)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return 0, nil
		}
		return 0, err
	}
	if err := do(batch); err != nil {
		return 0, err
	}
	for _, d := range batch {
		if err := d.Ack(); err != nil {
			return 0, err
		}
	}
	return len(batch), nil
}

// copy publishes a batch's messages as they are to EVENTS, in the way that is the fastest on this server.
func (j job) copy(ctx context.Context, b *broker.Broker, batch []*broker.Delivery) error {
	messages := make([]broker.Message, len(batch))
	for i, d := range batch {
		for _, name := range []string{"Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"} {
			delete(d.Header, name) // the batch in which it came is over
		}
		messages[i] = broker.Message{Subject: "parley.events.conversation.relay.copy." + d.Subject[strings.LastIndexByte(d.Subject, '.')+1:], Header: d.Header, Data: d.Data}
	}
	if len(messages) == 0 {
		return nil
	}
	if !j.Atomic {
		for _, r := range b.Publish(ctx, messages) {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	}
	for part := range slices.Chunk(messages, broker.MaxBatch) {
		if _, err := b.PublishAtomic(ctx, part); err != nil {
			return err
		}
	}
	return nil
}
