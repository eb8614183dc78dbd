package catalog_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/simulated"
	"github.com/parley-stream/parley/processors/processortest"
)

// now is two days after Europe's clocks changed.
var now = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

const (
	days      = 6
	malformed = 2
)

// way is how a vendor is read: with variables beside its simulator's, and so with records of one content type ("" for any).
type way struct {
	variables   map[string]string
	contentType string
}

// ways are those of vendors that can be read in several.
var ways = map[string]map[string]way{
	"liveagent": {
		"in JSON": {map[string]string{"FORMAT": "json"}, events.ContentJSON},
		"in XML":  {map[string]string{"FORMAT": "xml"}, events.ContentXML},
	},
	"livechat-reports": {
		"by the day":  {map[string]string{"DISTRIBUTION": "day"}, events.ContentJSON},
		"by the hour": {map[string]string{"DISTRIBUTION": "hour", "METHOD": "GET"}, events.ContentJSON},
	},
}

func TestEveryRecordOfEveryVendorBecomesItsEntity(t *testing.T) {
	for _, v := range catalog.Vendors() {
		if ways[v.Name] == nil {
			t.Run(v.Name, func(t *testing.T) { conform(t, v, way{}) })
		}
		for name, how := range ways[v.Name] {
			t.Run(v.Name+" "+name, func(t *testing.T) { conform(t, v, how) })
		}
	}
}

func conform(t *testing.T, v catalog.Vendor, how way) {
	sim := v.Simulate(simulated.Options{Seed: 11, Days: days, Chats: 90, Malformed: malformed, Start: now, Now: func() time.Time { return now }})
	server := httptest.NewServer(sim)
	defer server.Close()
	all := sim.Variables(server.URL)
	maps.Copy(all, how.variables)
	poller := open(t, v, all)
	records := readAll(t, v, poller)
	wantNoCredential(t, records, sim.Variables(server.URL))

	entities, refused := make(map[string]bool), make(map[string]bool)
	unnamed := 0
	for _, r := range records {
		if got := r.Parts[0].ContentType; how.contentType != "" && got != how.contentType {
			t.Errorf("record %q is %s, want %s", r.Key, got, how.contentType)
		}
		entity, err := v.Normalize(r)
		if err != nil {
			if r.Key == "" {
				unnamed++
			}
			refused[r.Stream+" "+r.Key] = true
			continue
		}
		processortest.Check(t, v.Normalize, r, entity)
		entities[r.Stream+" "+entity.Common().VendorID] = true
	}
	compare(t, sim.Ledger(), entities, refused, unnamed)
}

// compare holds what came of the records to the ledger.
func compare(t *testing.T, ledger []simulated.Entry, entities, refused map[string]bool, unnamed int) {
	t.Helper()
	good, bad := make(map[string]bool), make(map[string]bool)
	badUnnamed := 0
	for _, e := range ledger {
		switch {
		case !e.Malformed:
			good[e.Stream+" "+e.Key] = true
		default:
			bad[e.Stream+" "+e.Key] = true
			if e.Key == "" {
				badUnnamed++
			}
		}
	}
	if len(good) == 0 || len(bad) == 0 {
		t.Fatalf("the ledger has %d good keys and %d malformed ones: the test shows nothing", len(good), len(bad))
	}
	wantKeys(t, "entities", entities, good)
	wantKeys(t, "refused records", refused, bad)
	if unnamed != badUnnamed {
		t.Errorf("%d records without a key were refused, %d were planted", unnamed, badUnnamed)
	}
}

func wantKeys(t *testing.T, what string, got, want map[string]bool) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !got[key] {
			t.Errorf("%s: %q is missing", what, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if !want[key] {
			t.Errorf("%s: %q is not in the ledger", what, key)
		}
	}
}

// open makes the vendor's poller.
func open(t *testing.T, v catalog.Vendor, variables map[string]string) pollers.Poller {
	t.Helper()
	vars := settings.New("PARLEY_SOURCE_TEST_", variables)
	s := pollers.DecodeSettings("test", vars)
	poller := v.Open(s, vars, pollers.Env{
		Connect: func(_ string, _ pollers.Rate, secrets []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{Secrets: secrets, Stall: 30 * time.Second})
		},
		Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return now },
	})
	vars.Unknown()
	if faults := vars.Faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	return poller
}

// readAll reads all windows of all streams over the history, and stamps the records as a worker does.
func readAll(t *testing.T, v catalog.Vendor, poller pollers.Poller) (records []*events.Record) {
	t.Helper()
	d := poller.Describe()
	for _, stream := range d.Streams {
		windows := []pollers.Window{{Stream: stream.Name}}
		if !stream.Snapshot {
			from := pollers.Floor(now.AddDate(0, 0, -days-2), pollers.Day, d.Location)
			windows = pollers.Cut(stream.Name, from, now.Add(time.Hour), stream.MaxSpan, d.Location)
		}
		for _, w := range windows {
			records = append(records, read(t, v, poller, w)...)
		}
	}
	return records
}

func read(t *testing.T, v catalog.Vendor, poller pollers.Poller, w pollers.Window) (records []*events.Record) {
	t.Helper()
	_, err := poller.Fetch(t.Context(), w, func(r events.Record) error {
		r.Vendor, r.Source, r.Stream = v.Name, "test", w.Stream
		r.Timezone = poller.Describe().Location.String()
		r.WindowFrom, r.WindowTo = w.From, w.To
		r.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		r.Parts = slices.Clone(r.Parts)
		for i := range r.Parts {
			r.Parts[i].Body.Bytes = bytes.Clone(r.Parts[i].Body.Bytes)
		}
		records = append(records, &r)
		return nil
	})
	if err != nil {
		t.Fatalf("%s from %s to %s: %v", w.Stream, w.From, w.To, err)
	}
	return records
}

// wantNoCredential looks for credentials, in every form in which they travel, in whatever of a record is stored. Every variable of a
// simulator is one but those that say which vendor, where, in which zone and what is searched for: logins too.
func wantNoCredential(t *testing.T, records []*events.Record, variables map[string]string) {
	t.Helper()
	for _, name := range []string{"VENDOR", "URL", "TIMEZONE", "KB_QUERIES"} {
		delete(variables, name)
	}
	credentials := slices.Collect(maps.Values(variables))
	if len(credentials) == 0 {
		t.Fatal("the simulator has no credential: the test shows nothing")
	}
	redactor := pollers.NewRedactor(credentials)
	for _, r := range records {
		stored := fmt.Sprintf("%s %s %v", r.Stream, r.Key, r.Params)
		for _, p := range r.Parts {
			stored += " " + p.Name + " " + p.ContentType + " " + p.URL + " " + string(p.Body.Bytes)
		}
		if redactor.Redact(stored) != stored {
			t.Errorf("the record %q of %s shows a credential", r.Key, r.Stream)
		}
	}
}
