package sinks_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
)

const benchEvents = 60_000

// BenchmarkEventsToSinks compares, in one run and on one stream of 2 KiB events, the file sink and requests that are answered at once
// with a consumer that only acknowledges.
func BenchmarkEventsToSinks(b *testing.B) {
	br := openBroker(b)
	pad := strings.Repeat("x", 2000)
	for n := 0; n < benchEvents; n += 1000 {
		messages := make([]broker.Message, 1000)
		for i := range messages {
			e := sinktest.Event(fmt.Sprint("e", n+i), uint64(n+i+1))
			e.Data = fmt.Appendf(nil, `{"id":"acme:eu:%d","text":"%s"}`, n+i, pad)
			h := map[string][]string{}
			e.SetHeaders(h)
			messages[i] = broker.Message{Subject: fmt.Sprint("parley.events.conversation.acme.eu.e", n+i), Header: h, Data: e.Data}
		}
		if _, err := br.PublishAtomic(b.Context(), messages); err != nil {
			b.Fatal(err)
		}
	}
	round := 0
	for _, name := range []string{
		"bare", "requests", "ndjson", "ndjson&compress=gzip", "ndjson&compress=zstd", "csv", "csv&compress=zstd", "parquet", "parquet&compress=zstd",
	} {
		b.Run(name, func(b *testing.B) {
			cpu, start := cpuTime(), time.Now()
			for b.Loop() {
				round++
				if name == "bare" {
					bare(b, br, fmt.Sprint("bare-", round))
					continue
				}
				open := fileSink(b, b.TempDir(), "format="+name)
				if name == "requests" {
					open = sinks.Requests((&peer{}).open, sinks.RequestOptions{})
				}
				r := sinks.NewRunner(fmt.Sprint("bench-", round), br, open, sinks.Options{})
				stop := run(b, r)
				drain(b, r)
				stop()
			}
			total := float64(b.N * benchEvents)
			b.ReportMetric(total/time.Since(start).Seconds(), "events/s")
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/total, "cpu-µs/event")
		})
	}
}

// BenchmarkADeadSinkBesideOthers prints how many events two sinks deliver a second with a dead third one beside them, and without.
func BenchmarkADeadSinkBesideOthers(b *testing.B) {
	br := openBroker(b)
	const events = 20_000
	publish(b, br, 1, events)
	round := 0
	measure := func(b *testing.B, dead bool) (rate float64) {
		var spent time.Duration
		for range b.N {
			round++
			var runners []*sinks.Runner
			stops := []func(){}
			if dead {
				p := &peer{answer: down}
				r := sinks.NewRunner(fmt.Sprint("dead-", round), br, sinks.Requests(p.open, sinks.RequestOptions{}), sinks.Options{})
				stops = append(stops, run(b, r))
				for r.Stats().Pause == nil {
					<-time.After(10 * time.Millisecond)
				}
			}
			start := time.Now()
			for _, name := range []string{"requests", "files"} {
				open := fileSink(b, b.TempDir(), "")
				if name == "requests" {
					open = sinks.Requests((&peer{}).open, sinks.RequestOptions{})
				}
				r := sinks.NewRunner(fmt.Sprint(name, "-", round), br, open, sinks.Options{})
				runners, stops = append(runners, r), append(stops, run(b, r))
			}
			for _, r := range runners {
				drain(b, r)
			}
			spent += time.Since(start)
			for _, stop := range stops {
				stop()
			}
		}
		rate = float64(2*events*b.N) / spent.Seconds()
		b.ReportMetric(rate, "events/s")
		return rate
	}
	var without float64
	b.Run("without", func(b *testing.B) { without = measure(b, false) })
	b.Run("with", func(b *testing.B) { b.ReportMetric(measure(b, true)/without, "of-without") })
}

func bare(b *testing.B, br *broker.Broker, name string) {
	c, err := br.Consumer(b.Context(), broker.ConsumerConfig{
		Stream: broker.Events, Name: name, Pinned: true, MaxAckPending: 1 << 16, AckWait: time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for got := 0; got < benchEvents; {
		batch, err := c.Next(b.Context(), 512)
		if errors.Is(err, broker.ErrNewOwner) {
			if err := c.Reset(b.Context()); err != nil {
				b.Fatal(err)
			}
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range batch {
			if err := d.Ack(); err != nil {
				b.Fatal(err)
			}
		}
		got += len(batch)
	}
}

// cpuTime is what this process has used, the embedded server included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
