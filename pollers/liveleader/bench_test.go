package liveleader_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers/internal/xmlsplit"
	"github.com/parley-stream/parley/pollers/liveleader/liveleadersim"
	"github.com/parley-stream/parley/pollers/simulated"
)

// chunk is some dozen chats, about 256 KiB of an export.
func chunk() []byte {
	var b bytes.Buffer
	for b.Len() < 256<<10 {
		b.WriteString("<chat>\n<id>5f0c3ad2-8f0e-4c39-9b0c-0a52f0a3e8d1</id>\n<operator>ada@agent.example</operator>\n<start>23-10-2026T12:49:1200</start>\n")
		b.WriteString(strings.Repeat("<msg from=\"visitor\" time=\"23-10-2026T12:49:1200\">\nCan I return the red shoes &lt;size 42&gt; &amp; get a refund?\n</msg>\n", 12))
		b.WriteString("</chat>\n")
	}
	return b.Bytes()
}

// BenchmarkExportOneGiB reads an export of 1 GiB over loopback and tells by how much memory grew over idle, the server's
// included: it generates the stream in the same process.
func BenchmarkExportOneGiB(b *testing.B) {
	piece := chunk()
	pieces := (1<<30 + len(piece) - 1) / len(piece)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<chats>\n"))
		for range pieces {
			_, _ = w.Write(piece)
		}
		_, _ = w.Write([]byte("</chats>\n"))
	}))
	defer server.Close()
	p := vendor().Open(b, liveleadersim.New(simulated.Options{Chats: 1}).Variables(server.URL))
	runtime.GC()
	idle := memory()
	peak, records := idle, 0
	b.SetBytes(int64(pieces * len(piece)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := p.Fetch(context.Background(), window, func(events.Record) error {
			if records++; records%1000 == 0 {
				peak = max(peak, memory())
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(peak-idle)/(1<<20), "MiB-above-idle")
	b.ReportMetric(float64(records)/float64(b.N), "records/op")
}

// memory is what the runtime holds from the system, less what it gave back.
func memory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// BenchmarkSplitting shows how fast the simulator's export is split beside reading its tokens.
func BenchmarkSplitting(b *testing.B) {
	start := time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)
	sim := liveleadersim.New(simulated.Options{Chats: 2000, Days: 6, Start: start, Now: func() time.Time { return start }})
	v := sim.Variables("")
	q := url.Values{
		"a": {"export"}, "email": {v["EMAIL"]}, "password": {v["PASSWORD"]},
		"start": {start.AddDate(0, 0, -6).Format("2006-01-02T15:04:05.000-07:00")}, "stop": {start.Format("2006-01-02T15:04:05.000-07:00")},
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://vendor.example/a/Srv?"+q.Encode(), nil))
	body := w.Body.Bytes()
	if w.Code != http.StatusOK || len(body) < 1<<20 {
		b.Fatal(w.Code, len(body))
	}
	for name, split := range map[string]func(io.Reader) error{
		"xml, xmlsplit": func(r io.Reader) error {
			return xmlsplit.Scan(r, []string{"chats"}, "chat", func(events.Body) error { return nil })
		},
		"xml, encoding": func(r io.Reader) error {
			for dec := xml.NewDecoder(r); ; {
				if _, err := dec.RawToken(); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := split(bytes.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
