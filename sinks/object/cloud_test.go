package object_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/formattest"
	"github.com/parley-stream/parley/sinks/object"
	"github.com/parley-stream/parley/sinks/sinktest"
)

// cloud is another provider's bucket than S3's, as a loader sees it.
type cloud struct {
	scheme    string
	address   string            // of the server
	base      string            // of the sink's endpoint below an address: on Azure the account
	variables map[string]string // credentials
	list      func(t testing.TB, prefix string) []string
	content   func(t testing.TB, key string) []byte
}

const cloudBucket = "parley-test"

func (c cloud) open(t testing.TB, at, prefix, query string) sinks.Opener {
	t.Helper()
	vars := settings.New("PARLEY_SINK_T_", c.variables)
	open := object.New(sinks.Settings{Timeout: 30 * time.Second}, vars, c.url(at, prefix, query), sinks.Env{DataDir: t.TempDir()})
	if faults := vars.Faults(); faults != nil {
		t.Fatal(faults)
	}
	return open
}

func (c cloud) url(at, prefix, query string) *url.URL {
	if c.scheme == "azblob" {
		query += "&account=" + strings.TrimPrefix(c.base, "/")
	}
	return &url.URL{Scheme: c.scheme, Host: cloudBucket, Path: "/" + prefix, RawQuery: "endpoint=" + url.QueryEscape(at+c.base) + "&" + query}
}

func (c cloud) objects(t testing.TB, prefix string) (all []stored) {
	t.Helper()
	for _, key := range c.list(t, prefix+"/") {
		if !strings.Contains(key, "/.parley/") {
			all = append(all, stored{key, c.content(t, key)})
		}
	}
	slices.SortFunc(all, func(a, b stored) int { return strings.Compare(path.Base(a.key), path.Base(b.key)) })
	return all
}

func (c cloud) read(t testing.TB, prefix string) (all []events.Event) {
	t.Helper()
	for _, o := range c.objects(t, prefix) {
		list, err := formattest.Read(o.key, o.content)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

func (c cloud) sequences(t testing.TB, prefix string) (got []uint64) {
	for _, e := range c.read(t, prefix) {
		got = append(got, e.Revision)
	}
	slices.Sort(got)
	return got
}

func (c cloud) passesTheSuite(t *testing.T) {
	for name, query := range map[string]string{"ndjson": "", "csv": "format=csv&compress=gzip", "parquet": "format=parquet&compress=zstd"} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{Kept: formattest.Kept(name), New: func(t *testing.T) sinktest.Destination {
				prefix := newPrefix()
				return sinktest.Destination{
					Open: c.open(t, c.address, prefix, query), Crash: object.Abandon, Read: func(t *testing.T) []events.Event { return c.read(t, prefix) },
				}
			}})
		})
	}
}

func (c cloud) survivesCrashes(t *testing.T) {
	for _, step := range object.Steps() {
		t.Run(step, func(t *testing.T) {
			prefix := newPrefix()
			open := c.open(t, c.address, prefix, "path={kind}")
			wakesLate(t, open, step, func() []uint64 { return c.sequences(t, prefix) })
		})
	}
}

func (c cloud) survivesFaults(t *testing.T, requests map[string]func(*http.Request) bool, answers map[string]func(http.ResponseWriter, *http.Request, http.Handler)) {
	faults := maps.Clone(answers)
	faults["a lost reply"], faults["a reset"] = loseReply, resetInTheMiddle
	for what, fits := range requests {
		for name, do := range faults {
			for _, times := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s meets %s %d times", what, name, times), func(t *testing.T) { c.meet(t, fault{fits, do}, times) })
			}
		}
	}
}

func (c cloud) meet(t *testing.T, f fault, times int) {
	t.Parallel()
	prefix := newPrefix()
	p, at := startProxyTo(t, c.address, f, times)
	open := c.open(t, at, prefix, "path={kind}")
	var s sinks.Sink
	durable := map[uint64]bool{}
	err := errors.New("not tried")
	for attempt := 0; err != nil && attempt < 12; attempt++ {
		if s == nil {
			if s, err = open(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 1 << 40}); err != nil {
				s = nil
				continue
			}
			object.SetPart(s, 5<<20)
		}
		var d []uint64
		if d, err = s.Deliver(t.Context(), sinks.Batch{Items: large(1, 4)}); err == nil {
			var flushed []uint64
			flushed, err = s.Flush(t.Context())
			d = append(d, flushed...)
		}
		for _, sequence := range d {
			durable[sequence] = true
		}
	}
	if err != nil || len(durable) != 4 || p.met == 0 {
		t.Fatalf("%d durable, %v; the fault was met %d times", len(durable), err, p.met)
	}
	if got := c.sequences(t, prefix); !slices.Equal(got, upTo(4)) {
		t.Errorf("got %v, want 1 to 4 once", got)
	}
}

func (c cloud) findsEvents(t *testing.T) {
	for name, query := range variants() {
		prefix := newPrefix()
		s := own(t, c.open(t, c.address, prefix, query))
		_, _ = s.Deliver(t.Context(), sinks.Batch{Items: items(1, 9)})
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		vars := settings.New("", c.variables)
		looks := object.NewFinder(sinks.Settings{Timeout: time.Minute}, vars, c.url(c.address, prefix, query), sinks.Env{DataDir: t.TempDir()})
		if faults := vars.Faults(); faults != nil {
			t.Fatal(faults)
		}
		for who, f := range map[string]sinks.Finder{"the sink": s.(sinks.Finder), "who only looks": looks} {
			got := map[string]int{}
			err := f.Find(t.Context(), []string{"x", "nobody"}, func(place string, events int) error {
				got[place[:strings.Index(place, ".")]] = events
				return nil
			})
			want := map[string]int{c.scheme + "://parley-test/" + prefix + "/conversation/acme/eu/2026-03-02/00000000000000000002-00000000000000000008": 4}
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%s, %s: got %v, %v; want %v", who, name, got, err, want)
			}
		}
	}
}
