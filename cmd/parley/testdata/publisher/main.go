// Command publisher stores numbered records in Parley's own embedded server until it is killed, as a poller does: some as a batch, some
// alone, and then the ledger's entry that says how far it came. It writes a line for whatever was acknowledged.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

const (
	batch = 40
	alone = 5
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, from, interval string) error {
	next, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	o := broker.Options{DataDir: dir, Partitions: 2}
	if o.SyncInterval, err = time.ParseDuration(interval); err != nil {
		return err
	}
	b, err := broker.Open(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Provision(ctx); err != nil {
		return err
	}
	ledger, err := b.Bucket(ctx, broker.LedgerBucket)
	if err != nil {
		return err
	}
	for ; ; next += batch + alone {
		if err := publish(ctx, b, next); err != nil {
			return err
		}
		last := strconv.Itoa(next + batch + alone - 1)
		if err := ledger.Put(ctx, "last", []byte(last)); err != nil {
			return err
		}
		fmt.Println("ledger", last)
	}
}

func publish(ctx context.Context, b *broker.Broker, number int) error {
	first, err := b.PublishAtomic(ctx, records(number, batch))
	if err != nil {
		return err
	}
	for i := range batch {
		fmt.Println(first+uint64(i), number+i)
	}
	number += batch
	for i := range alone {
		result := b.Publish(ctx, records(number+i, 1))[0]
		if result.Err != nil {
			return result.Err
		}
		fmt.Println(result.Sequence, number+i)
	}
	return nil
}

func records(number, n int) []broker.Message {
	out := make([]broker.Message, n)
	for i := range out {
		out[i] = broker.Message{
			Subject: fmt.Sprintf("%s.acme.main.chats.e%d", events.RawSubjects, number+i),
			Data:    []byte(strconv.Itoa(number + i)),
		}
	}
	return out
}
