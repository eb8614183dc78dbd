package catalog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers/simulated"
	"github.com/parley-stream/parley/processors/processortest"
)

// TestEveryDocumentedFieldReachesTheOutput is field coverage: the simulators fill every response field that the vendors' documents
// name, and each must be found in an event; what the documents call tokens must be found in none, and in no record either.
func TestEveryDocumentedFieldReachesTheOutput(t *testing.T) {
	for _, v := range catalog.Vendors() {
		if ways[v.Name] == nil {
			t.Run(v.Name, func(t *testing.T) { cover(t, v, way{}) })
		}
		for name, how := range ways[v.Name] {
			t.Run(v.Name+" "+name, func(t *testing.T) { cover(t, v, how) })
		}
	}
}

func cover(t *testing.T, v catalog.Vendor, how way) {
	fields := simulated.NewFields()
	sim := v.Simulate(simulated.Options{Seed: 11, Days: 2, Chats: 10, Start: now, Now: func() time.Time { return now }, Fields: fields})
	server := httptest.NewServer(sim)
	defer server.Close()
	all := sim.Variables(server.URL)
	maps.Copy(all, how.variables)
	out := newArrivals()
	for _, r := range readAll(t, v, open(t, v, all)) {
		for _, part := range r.Parts {
			out.stored = append(out.stored, part.Body.Bytes)
		}
		entity, err := v.Normalize(r)
		if err != nil {
			t.Errorf("record %q of %s: %v", r.Key, r.Stream, err)
			continue
		}
		processortest.Check(t, v.Normalize, r, entity)
		content, err := events.EncodeContent(entity)
		if err != nil {
			t.Fatal(err)
		}
		out.add(t, content)
	}
	report(t, v.Name, fields.All(), out)
}

// report prints how many of each endpoint's fields arrived and names what did not.
func report(t *testing.T, vendor string, fields []simulated.Field, out *arrivals) {
	t.Helper()
	if len(fields) == 0 {
		t.Fatalf("the simulator of %s noted no field: the test shows nothing; with Options.Fields set it serves one record more, in which each documented field has a value (simulated.Fields)", vendor)
	}
	type tally struct{ documented, arrived, secrets, leaked int }
	tallies, order := make(map[string]*tally), []string{}
	for _, f := range fields {
		if tallies[f.Endpoint] == nil {
			tallies[f.Endpoint] = new(tally)
			order = append(order, f.Endpoint)
		}
		c := tallies[f.Endpoint]
		switch {
		case f.Secret:
			c.secrets++
			if out.storedAnywhere(f.Forms[0]) {
				c.leaked++
				t.Errorf("%s: %s is a secret and is stored", f.Endpoint, f.Name)
			}
		case out.has(f.Forms):
			c.documented++
			c.arrived++
		default:
			c.documented++
			t.Errorf("%s: %s (%s) is in no event", f.Endpoint, f.Name, strings.Join(f.Forms, " or "))
		}
	}
	for endpoint, want := range documented[vendor] {
		if c := tallies[endpoint]; c == nil || c.documented+c.secrets != want {
			t.Errorf("%s: the simulator noted %+v; the document has %d fields", endpoint, c, want)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "vendor\tendpoint\tfields\tarrived\tsecrets\tleaked")
	for _, endpoint := range order {
		c := tallies[endpoint]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", vendor, endpoint, c.documented, c.arrived, c.secrets, c.leaked)
	}
	_ = w.Flush()
}

// arrivals are the scalars of all events.
type arrivals struct {
	scalars map[string]bool
	long    []string // strings, in which a form may be a part
	paths   map[string]bool
	stored  [][]byte // records and events
}

func newArrivals() *arrivals {
	return &arrivals{scalars: make(map[string]bool), paths: make(map[string]bool)}
}

func (a *arrivals) add(t *testing.T, content []byte) {
	t.Helper()
	a.stored = append(a.stored, content)
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	a.walk("", value)
}

func (a *arrivals) walk(path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			a.scalars[name] = true
			a.walk(path+"."+name, inner)
		}
	case []any:
		for _, inner := range v {
			a.walk(path, inner)
		}
	default:
		text := fmt.Sprint(v)
		a.scalars[text] = true
		if len(text) >= longForm {
			a.long = append(a.long, text)
		}
		a.paths[path+"="+text] = true
	}
}

// longForm is the length from which a form may be a part of a string.
const longForm = 8

func (a *arrivals) has(forms []string) bool {
	for _, form := range forms {
		if path, is := strings.CutPrefix(form, "@"); is {
			if slices.ContainsFunc(slices.Collect(maps.Keys(a.paths)), func(p string) bool { return strings.HasSuffix(p, "."+path) }) {
				return true
			}
			continue
		}
		if a.scalars[form] || len(form) >= longForm && slices.ContainsFunc(a.long, func(s string) bool { return strings.Contains(s, form) }) {
			return true
		}
	}
	return false
}

func (a *arrivals) storedAnywhere(text string) bool {
	return slices.ContainsFunc(a.stored, func(b []byte) bool { return bytes.Contains(b, []byte(text)) })
}
