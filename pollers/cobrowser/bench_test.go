package cobrowser_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
)

// large is a day of so many conversations.
func large(rows int) string {
	var b strings.Builder
	start := at("2026-10-27 00:00:00")
	b.WriteString(line(";", columns...) + "\r\n")
	for i := range rows {
		b.WriteString(line(";", chat(fmt.Sprint(9_000_000+i), start.Add(time.Duration(i%86_000)*time.Second))...) + "\r\n")
	}
	return b.String()
}

// BenchmarkFetch reads a day from memory: it finds the rows, checks their day, makes the keys and the records.
func BenchmarkFetch(b *testing.B) {
	const rows = 50_000
	body := large(rows)
	p := open(b, always(body), clock("2026-10-27 23:59:00"))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := p.Fetch(context.Background(), day("2026-10-27"), func(events.Record) error { n++; return nil }); err != nil || n != rows {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkEncodingCSV only reads the same rows, for comparison.
func BenchmarkEncodingCSV(b *testing.B) {
	const rows = 50_000
	body := large(rows)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := csv.NewReader(strings.NewReader(body))
		r.Comma, r.ReuseRecord = ';', true
		n := -1
		for {
			if _, err := r.Read(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != rows {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
