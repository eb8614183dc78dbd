// Package processortest is what every vendor's normaliser must pass.
package processortest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Record gives a raw record with everything stamped that a worker stamps; parts are name (may be ""), content
// type and body in turn.
func Record(vendor, stream, key, timezone string, parts ...string) *events.Record {
	r := &events.Record{
		Vendor: vendor, Source: "test", Stream: stream, Key: key, Timezone: timezone,
		WindowFrom:  time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC),
		WindowTo:    time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC),
		RequestedAt: time.Date(2026, 10, 2, 0, 0, 1, 0, time.UTC),
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	for i := 0; i+2 < len(parts); i += 3 {
		r.Parts = append(r.Parts, events.Part{
			Name: parts[i], ContentType: parts[i+1], URL: "https://vendor.example/", Body: events.Body{Bytes: []byte(parts[i+2])},
		})
	}
	return r
}

// Golden normalises a record, checks what holds for every entity, and compares the canonical content, indented, with
// testdata/<name>.golden.json (go test -update writes it).
func Golden(t *testing.T, normalize processors.Normalizer, name string, r *events.Record) {
	t.Helper()
	entity, err := normalize(r)
	if err != nil {
		t.Fatalf("normalise: %v", err)
	}
	content := Check(t, normalize, r, entity)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, content, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update writes it, and what it says is then yours to judge", err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// Check holds an entity to what is promised of every one, and gives its canonical content.
func Check(t testing.TB, normalize processors.Normalizer, r *events.Record, entity events.Entity) []byte {
	t.Helper()
	base := entity.Common()
	if base.ID != events.CanonicalID(r.Vendor, r.Source, r.Key) || base.VendorID != r.Key || r.Key == "" {
		t.Errorf("id %q, vendor_id %q; want those of key %q", base.ID, base.VendorID, r.Key)
	}
	if !slices.Contains(events.Kinds(), entity.Kind()) {
		t.Errorf("kind %q is unknown", entity.Kind())
	}
	content, err := events.EncodeContent(entity)
	if err != nil {
		t.Fatal(err)
	}
	again, err := normalize(reread(r))
	if err != nil {
		t.Fatalf("normalise a second reading: %v", err)
	}
	if content2, err := events.EncodeContent(again); err != nil || !bytes.Equal(content, content2) {
		t.Errorf("the same record gives other content when it is read a second time:\n%s\n%s", content, content2)
	}
	Validate(t, entity.Kind(), content)
	return content
}

// reread is the same record, read later in another window.
func reread(r *events.Record) *events.Record {
	later := *r
	later.WindowFrom, later.WindowTo, later.RequestedAt = r.WindowFrom.Add(-36*time.Hour), r.WindowTo.Add(time.Hour), r.RequestedAt.Add(100*time.Hour)
	later.Traceparent = ""
	later.Parts = slices.Clone(r.Parts)
	for i := range later.Parts {
		later.Parts[i].URL = "https://other.example/again"
	}
	return &later
}

// Validate holds canonical content to the JSON Schema of its kind.
func Validate(t testing.TB, kind events.Kind, content []byte) {
	t.Helper()
	schema, err := compiled(kind)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("content of %s: %v", kind, err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("content of %s against its schema (times are in UTC, what is unknown is absent, what has no place is in attributes): %v\n%s", kind, err, content)
	}
}

var schemas sync.Map // of *jsonschema.Schema by events.Kind: compiling is dear and fuzzing asks often

func compiled(kind events.Kind) (*jsonschema.Schema, error) {
	if s, ok := schemas.Load(kind); ok {
		return s.(*jsonschema.Schema), nil
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema(kind)))
	if err != nil {
		return nil, fmt.Errorf("schema of %q: %w", kind, err)
	}
	id := events.SchemaPrefix + string(kind) + ":v1"
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(id, document); err != nil {
		return nil, fmt.Errorf("schema of %q: %w", kind, err)
	}
	s, err := compiler.Compile(id)
	if err != nil {
		return nil, fmt.Errorf("schema of %q: %w", kind, err)
	}
	schemas.Store(kind, s)
	return s, nil
}

// Malformed checks that a record is refused with an error that names what is wrong.
func Malformed(t *testing.T, normalize processors.Normalizer, r *events.Record, wantInError string) {
	t.Helper()
	entity, err := normalize(r)
	if err == nil {
		t.Fatalf("normalised to %+v; want an error", entity)
	}
	if !bytes.Contains([]byte(err.Error()), []byte(wantInError)) {
		t.Errorf("error %q; want it to name %q", err, wantInError)
	}
}

// Fuzz checks that no bytes make the normaliser panic, hang or break its promises. Body is the part of the
// record that varies.
func Fuzz(f *testing.F, normalize processors.Normalizer, record func(body []byte) *events.Record) {
	f.Fuzz(func(t *testing.T, body []byte) {
		r := record(body)
		if entity, err := normalize(r); err == nil {
			Check(t, normalize, r, entity)
		}
	})
}
