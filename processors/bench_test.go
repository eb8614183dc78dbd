package processors_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/content"
	"github.com/parley-stream/parley/processors/directory"
	"github.com/parley-stream/parley/processors/normalize/livechat"
	"github.com/parley-stream/parley/processors/page"
	"github.com/parley-stream/parley/processors/privacy"
	"github.com/parley-stream/parley/processors/timing"
)

// document is a chat of about 2 KiB.
func document(id string) string {
	var messages []string
	for i := range 10 {
		who := `"user_type":"visitor","author_name":"Linh Castro"`
		if i%2 == 1 {
			who = `"user_type":"agent","agent_id":"kim.lund@harbour.example","author_name":"Kim Lund"`
		}
		messages = append(messages, fmt.Sprintf(`{"type":"message",%s,"date":"Sun, 10/25/26 11:30:%02d am","timestamp":%d,"text":"My order %d has not come yet, can you look where it is?"}`,
			who, i, 1792924200+20*i, i))
	}
	return fmt.Sprintf(`{"type":"chat","id":%q,"visitor_name":"Linh Castro","visitor_id":"S1.c0","visitor_ip":"198.51.100.21",`+
		`"visitor":{"id":"S1.c0","name":"Linh Castro","email":"linh@visitor.example","ip":"198.51.100.21","city":"Utrecht","country":"Netherlands"},`+
		`"agents":[{"display_name":"Kim Lund","email":"kim.lund@harbour.example"}],"rate":"rated_good","duration":200,"started_timestamp":1792924200,"ended_timestamp":1792924400,`+
		`"chat_start_url":"https://shop.example/pricing?utm_source=newsletter","referrer":"https://search.example/find?q=pricing","messages":[%s]}`, id, strings.Join(messages, ","))
}

// BenchmarkProcess gives the time for one new record of 2 KiB, from RAW to its acknowledgement, without and with every enricher and a policy.
func BenchmarkProcess(b *testing.B) {
	policy, faults := privacy.New("*=mask,visitor.ip=truncate,visitor.email=hmac,visitor.name=drop", strings.Repeat("k", 32))
	if faults != nil {
		b.Fatal(faults)
	}
	all := []processors.Enricher{directory.New(nil), page.New(), content.New(), timing.New()}
	for _, bench := range []struct {
		name    string
		options processors.Options
	}{
		{"plain", processors.Options{}},
		{"enriched", processors.Options{Enrichers: all}},
		{"enriched with privacy", processors.Options{Enrichers: all, Guard: policy}},
	} {
		b.Run(bench.name, func(b *testing.B) { benchmarkProcess(b, bench.options) })
	}
}

func benchmarkProcess(b *testing.B, o processors.Options) {
	br := open(b, broker.Options{})
	var messages []broker.Message
	for i := range b.N {
		id := fmt.Sprint("C", i)
		r := &events.Record{
			Vendor: "livechat", Source: "test", Stream: "chats", Key: id, RequestedAt: epoch,
			Parts: []events.Part{{ContentType: events.ContentJSON, URL: "https://vendor.example/", Body: events.Body{Bytes: []byte(document(id))}}},
		}
		e, err := events.NewRawEvent(r, id)
		if err != nil {
			b.Fatal(err)
		}
		m := broker.Message{Subject: events.RawSubject(r), Header: map[string][]string{}, Data: e.Data}
		e.SetHeaders(m.Header)
		if messages = append(messages, m); len(messages) == 500 {
			publishRaw(b, br, messages...)
			messages = nil
		}
	}
	publishRaw(b, br, messages...)
	o.Normalizers = map[string]processors.Normalizer{"livechat": livechat.Normalize}
	r, err := processors.NewRunner(b.Context(), br, o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	b.ResetTimer()
	before := cpu(b)
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	for processed(r) < b.N {
		<-time.After(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op") // the server's included; wall time depends on the disk
	cancel()
	<-done
}

// cpu is how much processor time this process has taken.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func processed(r *processors.Runner) (n int) {
	for _, c := range r.Counts() {
		n += c.Events + c.DeadLetters
	}
	return n
}

// BenchmarkWarmDirectory gives how long a start takes until the directory knows 100,000 entities, and the processor time of it, the server's included.
func BenchmarkWarmDirectory(b *testing.B) {
	const entities = 100_000
	br := open(b, broker.Options{SyncInterval: time.Minute})
	var batch []broker.Message
	for i := range entities {
		id := fmt.Sprint("agents/", i)
		agent := &events.Reference{
			Of: events.KindAgent, Base: events.Base{ID: "testvendor:test:" + id, Vendor: "testvendor", Source: "test", VendorID: id},
			Name: fmt.Sprint("Agent ", i), Fields: map[string]any{"email": fmt.Sprintf("agent%d@shop.example", i), "department": "returns"},
		}
		content, err := events.EncodeContent(agent)
		if err != nil {
			b.Fatal(err)
		}
		e := events.NewEvent(agent, &events.Record{Stream: "agents"}, 1, events.Digest(content), content)
		m := broker.Message{Subject: events.EventSubjects + "." + events.EntityPath(events.KindAgent, "testvendor", "test", id), Header: map[string][]string{}, Data: e.Data}
		e.SetHeaders(m.Header)
		if batch = append(batch, m); len(batch) == 1000 {
			if _, err := br.PublishAtomic(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	names := directory.New(nil)
	taken := time.Duration(0)
	for b.Loop() {
		before := cpu(b)
		names = directory.New(nil)
		_, stop := start(b, br, processors.Options{Enrichers: []processors.Enricher{names}})
		eventually(b, "every entity is known", func() bool { return names.Len() == entities })
		taken += cpu(b) - before
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(taken.Milliseconds())/float64(b.N), "cpu-ms/op")
}

// BenchmarkEntity gives the time that an entity takes between its record and its event, the broker left out.
func BenchmarkEntity(b *testing.B) {
	policy, faults := privacy.New("*=mask,visitor.ip=truncate,visitor.email=hmac,visitor.name=drop", strings.Repeat("k", 32))
	if faults != nil {
		b.Fatal(faults)
	}
	r := &events.Record{
		Vendor: "livechat", Source: "test", Stream: "chats", Key: "C1", RequestedAt: epoch,
		Parts: []events.Part{{ContentType: events.ContentJSON, Body: events.Body{Bytes: []byte(document("C1"))}}},
	}
	entity := func() events.Entity {
		e, err := livechat.Normalize(r)
		if err != nil {
			b.Fatal(err)
		}
		content, err := events.EncodeContent(e)
		if err != nil {
			b.Fatal(err)
		}
		events.Digest(content)
		return e
	}
	all := []processors.Enricher{directory.New(nil), page.New(), content.New(), timing.New()}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			entity()
		}
	})
	enrich := func(b *testing.B, treat func(events.Entity) error) {
		for b.Loop() {
			e := entity()
			for _, enricher := range all {
				if err := enricher.Enrich(e); err != nil {
					b.Fatal(err)
				}
			}
			if err := treat(e); err != nil {
				b.Fatal(err)
			}
			if _, err := events.EncodeContent(e); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("enriched", func(b *testing.B) { enrich(b, func(events.Entity) error { return nil }) })
	b.Run("enriched with privacy", func(b *testing.B) { enrich(b, policy.Treat) })
}
