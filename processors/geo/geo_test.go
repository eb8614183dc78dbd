package geo_test

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/geo"
	"github.com/parley-stream/parley/processors/processortest"
)

// write makes a database in which one network lies in a city.
func write(t testing.TB, path, city string) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	name := func(s string) mmdbtype.Map { return mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(s)}} }
	country := name("Netherlands")
	country["iso_code"] = mmdbtype.String("NL")
	for _, network := range []string{"198.51.100.0/24", "2001:db8::/32"} {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		err = tree.Insert(n, mmdbtype.Map{
			"city": name(city), "subdivisions": mmdbtype.Slice{name("Utrecht"), name("Inner")}, "country": country,
			"location": mmdbtype.Map{"time_zone": mmdbtype.String("Europe/Amsterdam")}, "autonomous_system_organization": mmdbtype.String("Bluewave"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func opened(t testing.TB, path string, o geo.Options) processors.Enricher {
	t.Helper()
	e, err := geo.New(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func visitor(t testing.TB, e processors.Enricher, v events.Visitor) events.Visitor {
	t.Helper()
	c := &events.Conversation{Visitor: &v}
	if err := e.Enrich(c); err != nil {
		t.Fatal(err)
	}
	return *c.Visitor
}

func TestItKeepsTheContractOfEnrichers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places.mmdb")
	write(t, path, "Utrecht")
	base := events.Base{ID: "v:s:1", Vendor: "v", Source: "s", VendorID: "1"}
	processortest.Enricher(t, opened(t, path, geo.Options{}), []events.Entity{
		&events.Conversation{Base: base, Visitor: &events.Visitor{IP: "198.51.100.23"}},
		&events.Rating{Base: base, Requester: &events.Visitor{IP: "2001:db8::7"}},
		&events.SLA{Base: base, Requester: &events.Visitor{IP: "198.51.100.23", Country: "France"}},
	})
}

func TestAPlaceIsFilledInWhereTheVendorGaveNoneOrTheSameCountry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places.mmdb")
	write(t, path, "Utrecht")
	e := opened(t, path, geo.Options{})
	code := map[string]any{"country_code": "NL"}
	whole := events.Visitor{City: "Utrecht", Region: "Utrecht", Country: "Netherlands", Timezone: "Europe/Amsterdam", ISP: "Bluewave", Attributes: code}
	with := func(ip string, change func(*events.Visitor)) events.Visitor {
		v := whole
		v.IP = ip
		change(&v)
		return v
	}
	nothing := func(*events.Visitor) {}
	for name, c := range map[string]struct{ given, want events.Visitor }{
		"IPv4":                 {events.Visitor{IP: "198.51.100.23"}, with("198.51.100.23", nothing)},
		"IPv4 written as IPv6": {events.Visitor{IP: "::ffff:198.51.100.23"}, with("::ffff:198.51.100.23", nothing)},
		"IPv6 in a zone":       {events.Visitor{IP: "2001:db8::1%eth0"}, with("2001:db8::1%eth0", nothing)},
		"the same country":     {events.Visitor{IP: "198.51.100.23", Country: "netherlands", City: "Zeist"}, with("198.51.100.23", func(v *events.Visitor) { v.Country, v.City = "netherlands", "Zeist" })},
		"another country": {
			events.Visitor{IP: "198.51.100.23", Country: "France"},
			events.Visitor{IP: "198.51.100.23", Country: "France", Timezone: "Europe/Amsterdam", ISP: "Bluewave"},
		},
		"an unknown address": {events.Visitor{IP: "203.0.113.1"}, events.Visitor{IP: "203.0.113.1"}},
		"no address":         {events.Visitor{IP: "hidden"}, events.Visitor{IP: "hidden"}},
		"none":               {events.Visitor{Name: "x"}, events.Visitor{Name: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, visitor(t, e, c.given)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAChangedFileIsReadAgainAndABrokenOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places.mmdb")
	write(t, path, "Utrecht")
	now := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	var log strings.Builder
	e := opened(t, path, geo.Options{Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	city := func() string { return visitor(t, e, events.Visitor{IP: "198.51.100.23"}).City }
	write(t, path, "Amersfoort")
	if got := city(); got != "Utrecht" {
		t.Errorf("at once: %s; the file is looked at every ten seconds", got)
	}
	now = now.Add(11 * time.Second)
	if got := city(); got != "Amersfoort" {
		t.Errorf("after ten seconds: %s", got)
	}
	for _, broken := range []func() error{
		func() error { return os.WriteFile(path, []byte("half a file"), 0o600) },
		func() error { return os.Remove(path) },
	} {
		if err := broken(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(11 * time.Second)
		if got := city(); got != "Amersfoort" {
			t.Errorf("with a broken file: %s", got)
		}
	}
	if n := strings.Count(log.String(), "cannot be read again"); n != 2 {
		t.Errorf("%d complaints; want 2:\n%s", n, log.String())
	}
	write(t, path, "Zeist")
	now = now.Add(11 * time.Second)
	if got := city(); got != "Zeist" {
		t.Errorf("mended: %s", got)
	}
}

func TestAFileThatIsAbsentOrNoDatabaseIsRefused(t *testing.T) {
	if _, err := geo.New(filepath.Join(t.TempDir(), "gone"), geo.Options{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := geo.New(path, geo.Options{}); err == nil {
		t.Error("a text file is taken for a database")
	}
}
