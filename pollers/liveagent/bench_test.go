package liveagent_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
	"github.com/parley-stream/parley/pollers/internal/xmlsplit"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

// listOf gives a large list of the simulator's.
func listOf(b *testing.B, suffix string) string {
	b.Helper()
	start := time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)
	sim := liveagentsim.New(simulated.Options{Chats: 30000, Days: 300, Start: start, Now: func() time.Time { return start }})
	q := url.Values{"apikey": {sim.Variables("")["API_KEY"]}, "department": {"dp01sale"}}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://vendor.example/api/conversations"+suffix+"?"+q.Encode(), nil))
	if w.Code != http.StatusOK {
		b.Fatal(w.Body)
	}
	return w.Body.String()
}

// BenchmarkSplitting shows how fast a list is split beside decoding it.
func BenchmarkSplitting(b *testing.B) {
	path := []string{"response", "conversations"}
	ignore := func(events.Body) error { return nil }
	inJSON, inXML := listOf(b, ""), listOf(b, ".xml")
	splitters := map[string]struct {
		body  string
		split func(r io.Reader) error
	}{
		"json, jsonsplit": {inJSON, func(r io.Reader) error {
			_, err := jsonsplit.Scan(r, path, ignore)
			return err
		}},
		"json, encoding": {inJSON, func(r io.Reader) error {
			var doc struct {
				Response struct{ Conversations []json.RawMessage }
			}
			return json.NewDecoder(r).Decode(&doc)
		}},
		"xml, xmlsplit": {inXML, func(r io.Reader) error { return xmlsplit.Scan(r, path, "conversation", ignore) }},
		"xml, encoding": {inXML, func(r io.Reader) error {
			for dec := xml.NewDecoder(r); ; {
				if _, err := dec.RawToken(); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		}},
	}
	for name, s := range splitters {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s.body)))
			for b.Loop() {
				if err := s.split(strings.NewReader(s.body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConversation is a window of one conversation: five responses, without a network.
func BenchmarkConversation(b *testing.B) {
	for format, s := range scripts() {
		b.Run(format, func(b *testing.B) {
			p := inMemory(format, s)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pollertest.Collect(p, window()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkManyConversations reads whole histories and reports the most memory that was in use beside the simulator's: it must not
// grow with the number of conversations.
func BenchmarkManyConversations(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			sim := liveagentsim.New(simulated.Options{Seed: 3, Chats: n, Days: n / 2500, Start: now, Now: clock})
			p := without(b, nil, withKey(sim), pollers.Env{})
			stream := p.Describe().Streams[0]
			windows := pollers.Cut(stream.Name, now.AddDate(0, 0, -n/2500-1), now.Add(time.Hour), stream.MaxSpan, p.Describe().Location)
			if _, err := pollertest.Collect(p, windows[0]); err != nil { // the simulator makes its account
				b.Fatal(err)
			}
			base := heap()
			for b.Loop() {
				records, peak := 0, uint64(0)
				for _, w := range windows {
					_, err := p.Fetch(b.Context(), w, func(events.Record) error {
						if records++; records%2000 == 0 {
							peak = max(peak, heap())
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				if records < n {
					b.Fatalf("%d records of %d", records, n)
				}
				b.ReportMetric(float64(int64(peak)-int64(base))/(1<<20), "peak-MiB")
				b.ReportMetric(float64(records), "records")
			}
		})
	}
}

// heap is what is in use after a collection.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
