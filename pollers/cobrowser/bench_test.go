package cobrowser_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers/cobrowser"
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

// BenchmarkSplitting only finds the rows, beside encoding/csv, which also makes strings of their values.
func BenchmarkSplitting(b *testing.B) {
	const rows = 50_000
	body := large(rows)
	for name, count := range map[string]func(io.Reader) (int, error){
		"csv, rows":     func(r io.Reader) (int, error) { return cobrowser.CountRows(r, ';') },
		"csv, encoding": countByEncodingCSV,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := count(strings.NewReader(body)); err != nil || n != rows+1 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func countByEncodingCSV(body io.Reader) (n int, err error) {
	r := csv.NewReader(body)
	r.Comma, r.ReuseRecord = ';', true
	for {
		if _, err := r.Read(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}

// generated is a response of so many rows that are made while they are read.
func generated(rows int, header string, row func(i int) string) io.Reader {
	return &generator{rows: rows, row: row, left: header}
}

type generator struct {
	rows, next int
	row        func(i int) string
	left       string
}

func (g *generator) Read(p []byte) (int, error) {
	if g.left == "" {
		if g.next == g.rows {
			return 0, io.EOF
		}
		g.left = g.row(g.next)
		g.next++
	}
	n := copy(p, g.left)
	g.left = g.left[n:]
	return n, nil
}

// million gives the body of a list's rows, all of 2026-10-27.
func million(stream string, rows int) io.Reader {
	start := at("2026-10-27 00:00:00")
	if stream == "conversations" {
		return generated(rows, export(), func(i int) string {
			return line(";", chat(fmt.Sprint(9_000_000+i), start.Add(time.Duration(i%86_000)*time.Second))...) + "\r\n"
		})
	}
	l := lists[stream]
	return generated(rows, l.export(), func(i int) string {
		return line(";", l.at(start.Add(time.Duration(i%86_000)*time.Second), map[string]string{"activity_id": fmt.Sprint(i)})...) + "\r\n"
	})
}

// peaks reads so many rows and gives the largest live heap of the first tenth of them and of all, in MiB.
func peaks(t testing.TB, stream string, rows int) (early, late float64) {
	t.Helper()
	w := &wire{answer: func(int, url.Values) reply { return reply{body: million(stream, rows), framed: true} }}
	window := day("2026-10-27")
	window.Stream = stream
	if stream != "conversations" {
		window = lists[stream].window(stream, "2026-10-27")
	}
	n := 0
	_, err := open(t, w, clock("2026-10-27 23:59:59")).Fetch(context.Background(), window, func(events.Record) error {
		if n++; n%(rows/50) == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if late = max(late, float64(m.HeapAlloc)/(1<<20)); n <= rows/10 {
				early = late
			}
		}
		return nil
	})
	if err != nil || n != rows {
		t.Fatal(n, err)
	}
	return early, late
}

func TestMemoryStaysFlatHoweverManyRowsPass(t *testing.T) {
	for _, stream := range []string{"conversations", "slotsactivity", "cccslotsactivity"} {
		if early, late := peaks(t, stream, 60_000); late > early+2 {
			t.Errorf("%s: %.1f MiB live after a tenth of the rows, %.1f MiB in the end", stream, early, late)
		}
	}
}

// BenchmarkMillionRows gives the live heap while a million rows pass, and the rate with the making of the rows.
func BenchmarkMillionRows(b *testing.B) {
	const rows = 1_000_000
	for _, stream := range []string{"conversations", "slotsactivity", "agentperformance", "cccslotsactivity"} {
		b.Run(stream, func(b *testing.B) {
			var early, late float64
			for b.Loop() {
				early, late = peaks(b, stream, rows)
			}
			b.ReportMetric(early, "MiB-at-100k")
			b.ReportMetric(late, "MiB-at-1M")
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
