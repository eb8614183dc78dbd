package app_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

// BenchmarkEnrichers gives how much of the throughput is left with every enricher on: over all records that the five simulated vendors have, from a
// record's bytes to its event's, the broker left out, which makes the ratio the worst that it can be. Both are measured in turns, as processor
// time: a busy machine slows both.
func BenchmarkEnrichers(b *testing.B) {
	w := enrichedWorld(b)
	var plain, enriched time.Duration
	for b.Loop() {
		before := processorTime(b)
		w.process(b, nil)
		between := processorTime(b)
		w.process(b, w.enrichers)
		plain += between - before
		enriched += processorTime(b) - between
	}
	records := float64(b.N * len(w.records))
	b.ReportMetric(0, "ns/op") // of both together: says nothing
	b.ReportMetric(float64(plain.Nanoseconds())/1e3/records, "plain-µs/record")
	b.ReportMetric(float64(enriched.Nanoseconds())/1e3/records, "enriched-µs/record")
	b.ReportMetric(float64(plain)/float64(enriched), "throughput-ratio")
}

type benchWorld struct {
	records     [][]byte
	normalizers map[string]processors.Normalizer
	enrichers   []processors.Enricher
	key         *events.DigestKey
}

// process does with every record what a processor does between RAW and EVENTS.
func (w *benchWorld) process(b *testing.B, enrichers []processors.Enricher) {
	for _, data := range w.records {
		r, err := events.DecodeRecord(data)
		if err != nil {
			b.Fatal(err)
		}
		e, err := w.normalizers[r.Vendor](r)
		if err != nil {
			continue // a malformed one, for both
		}
		content, err := events.EncodeContent(e)
		if err != nil {
			b.Fatal(err)
		}
		digest := w.key.Content(content)
		for _, enricher := range enrichers {
			if err := enricher.Enrich(e); err != nil {
				b.Fatal(err)
			}
		}
		if len(enrichers) > 0 {
			if content, err = events.EncodeContent(e); err != nil {
				b.Fatal(err)
			}
		}
		event := events.NewEvent(e, r, 1, digest, content)
		event.SetHeaders(make(map[string][]string, 16))
	}
}

// enrichedWorld reads what the vendors have once, and fills the directory with it.
func enrichedWorld(b *testing.B) *benchWorld {
	b.Helper()
	dir := b.TempDir()
	a, err := app.New(append(simulatedVendors(b), "PARLEY_DATA_DIR="+filepath.Join(dir, "data"), "PARLEY_SINKS=files",
		"PARLEY_SINK_FILES_URL=file://"+filepath.Join(dir, "files"), "PARLEY_HTTP_ADDR=", "PARLEY_GEOIP_DB="+geoFile(b, dir)), io.Discard, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	if err := a.RunOnce(b.Context()); err != nil {
		b.Fatal(err)
	}
	w := &benchWorld{normalizers: make(map[string]processors.Normalizer), key: events.NewDigestKey(make([]byte, 32))}
	for _, v := range catalog.Vendors() {
		w.normalizers[v.Name] = v.Normalize
	}
	for _, e := range catalog.Enrichments() {
		enricher := e.Open(a.Config, a.Log)
		if enricher == nil {
			b.Fatalf("%s is not on", e.Name)
		}
		w.enrichers = append(w.enrichers, enricher)
	}
	w.read(b, a.Config.DataDir)
	return w
}

func (w *benchWorld) read(b *testing.B, dataDir string) {
	b.Helper()
	br, err := broker.Open(b.Context(), broker.Options{DataDir: dataDir})
	if err != nil {
		b.Fatal(err)
	}
	defer br.Close()
	each := func(stream string, do func(e events.Event)) {
		err := br.Scan(b.Context(), stream, nil, time.Time{}, func(m broker.Message) error {
			e, err := events.FromMessage(m.Header, m.Data)
			if err == nil {
				err = br.Resolve(b.Context(), &e)
			}
			if err != nil {
				return err
			}
			do(e)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	each(broker.Raw, func(e events.Event) { w.records = append(w.records, e.Data) })
	each(broker.Events, func(e events.Event) {
		for _, enricher := range w.enrichers {
			if l, ok := enricher.(processors.Learner); ok {
				if err := l.Learn(&e); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	if len(w.records) < 500 {
		b.Fatalf("%d records: too few", len(w.records))
	}
}

// geoFile knows the network of the simulated visitors.
func geoFile(b *testing.B, dir string) string {
	b.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", IncludeReservedNetworks: true})
	if err != nil {
		b.Fatal(err)
	}
	_, network, _ := net.ParseCIDR("198.51.100.0/24")
	names := func(name string) mmdbtype.Map {
		return mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(name)}}
	}
	country := names("Netherlands")
	country["iso_code"] = mmdbtype.String("NL")
	if err := tree.Insert(network, mmdbtype.Map{"country": country, "city": names("Utrecht")}); err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "geo.mmdb"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if _, err := tree.WriteTo(file); err != nil {
		b.Fatal(err)
	}
	return file.Name()
}

// processorTime is how much this process has taken.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
