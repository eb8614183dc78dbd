package pollers_test

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

const prefix = "PARLEY_SOURCE_EU_"

// decode gives the settings of VENDOR and these variables, and the faults.
func decode(variables map[string]string) (pollers.Settings, settings.Faults) {
	values := map[string]string{"VENDOR": "acme"}
	maps.Copy(values, variables)
	vars := settings.New(prefix, values)
	s := pollers.DecodeSettings("eu", vars)
	vars.Unknown()
	return s, vars.Faults()
}

func TestSettingsHaveTheDocumentedDefaults(t *testing.T) {
	s, faults := decode(nil)
	if faults != nil {
		t.Fatal(faults)
	}
	if s.Name != "eu" || s.Vendor != "acme" || s.Interval != time.Minute || s.Window != 0 || s.SnapshotInterval != time.Hour || s.Concurrency != 2 ||
		s.URL != nil || s.Timezone != nil || s.Streams != nil || s.Rate != (pollers.Rate{}) || !s.Since.In(time.UTC).IsZero() || !s.Until.In(time.UTC).IsZero() {
		t.Errorf("the settings are %+v", s)
	}
	if want := []time.Duration{hour, 24 * hour, 72 * hour}; !slices.Equal(s.Settle, want) {
		t.Errorf("SETTLE is %s; want %s", s.Settle, want)
	}
	if !s.Selects("chats") || s.Location(time.UTC) != time.UTC {
		t.Error("want every stream, and the vendor's zone")
	}
}

func TestEveryVariableIsDecoded(t *testing.T) {
	s, faults := decode(map[string]string{
		"URL": "https://vendor.example/x", "STREAMS": "chats,reports/*", "SINCE": "2026-01-31", "UNTIL": "2026-02-03T04:05:06+01:00", "TIMEZONE": "Europe/Oslo",
		"INTERVAL": "30s", "WINDOW": "6h", "SETTLE": "72h,1h", "SNAPSHOT_INTERVAL": "5m", "CONCURRENCY": "64", "RATE": "3/s",
	})
	if faults != nil {
		t.Fatal(faults)
	}
	if s.URL.String() != "https://vendor.example/x" || s.Timezone.String() != "Europe/Oslo" || s.Interval != 30*second || s.Window != 6*hour ||
		!slices.Equal(s.Settle, []time.Duration{hour, 72 * hour}) || s.SnapshotInterval != 5*minute || s.Concurrency != 64 || s.Rate.Requests != 3 {
		t.Errorf("the settings are %+v", s)
	}
	if got, want := s.Since.In(s.Timezone), at(t, "2026-01-30T23:00:00Z"); !got.Equal(want) {
		t.Errorf("SINCE is %s; want %s", got, want)
	}
	if got, want := s.Until.In(s.Timezone), at(t, "2026-02-03T03:05:06Z"); !got.Equal(want) {
		t.Errorf("UNTIL is %s; want %s", got, want)
	}
}

func TestEveryVariableHasItsFault(t *testing.T) {
	cases := map[string]struct {
		variables map[string]string
		variable  string
		want      string
	}{
		"no vendor":                  {map[string]string{"VENDOR": ""}, "VENDOR", "is missing"},
		"an unknown variable":        {map[string]string{"INTERVALL": "1m"}, "INTERVALL", "is unknown"},
		"a URL without a scheme":     {map[string]string{"URL": "vendor.example"}, "URL", "https://host"},
		"a URL without a host":       {map[string]string{"URL": "https:///chats"}, "URL", "https://host"},
		"a URL with a port only":     {map[string]string{"URL": "https://:443"}, "URL", "https://host"},
		"a URL of another kind":      {map[string]string{"URL": "ftp://vendor.example"}, "URL", "https://host"},
		"a URL that is none":         {map[string]string{"URL": "https://vendor.example/%zz"}, "URL", "https://host"},
		"a URL with a user":          {map[string]string{"URL": "https://ada:pass-word@vendor.example"}, "URL", "without user"},
		"a URL with half a user":     {map[string]string{"URL": "https://ada:pass-w%ord@vendor.example"}, "URL", "without user"},
		"a URL with a query":         {map[string]string{"URL": "https://vendor.example/?key=pass-word"}, "URL", "query"},
		"a URL with an empty query":  {map[string]string{"URL": "https://vendor.example?"}, "URL", "query"},
		"a URL with a fragment":      {map[string]string{"URL": "https://vendor.example#x"}, "URL", "fragment"},
		"http to elsewhere":          {map[string]string{"URL": "http://vendor.example"}, "URL", prefix + "INSECURE=true"},
		"http to a name like ours":   {map[string]string{"URL": "http://localhost.vendor.example"}, "URL", "https://"},
		"INSECURE that is no bool":   {map[string]string{"INSECURE": "maybe"}, "INSECURE", "true or false"},
		"a glob that is none":        {map[string]string{"STREAMS": "chats,[a"}, "STREAMS", "globs"},
		"a SINCE that is no time":    {map[string]string{"SINCE": "yesterday"}, "SINCE", "a date such as"},
		"a SINCE without an offset":  {map[string]string{"SINCE": "2026-01-31T00:00:00"}, "SINCE", "a date such as"},
		"a SINCE that is no day":     {map[string]string{"SINCE": "2026-02-30"}, "SINCE", "a date such as"},
		"an UNTIL that is no time":   {map[string]string{"UNTIL": "31.01.2026"}, "UNTIL", "a date such as"},
		"an UNTIL before SINCE":      {map[string]string{"SINCE": "2026-02-01", "UNTIL": "2026-01-01"}, "UNTIL", "after SINCE"},
		"an UNTIL at SINCE":          {map[string]string{"SINCE": "2026-02-01", "UNTIL": "2026-02-01"}, "UNTIL", "after SINCE"},
		"an UNTIL before its zone's": {map[string]string{"SINCE": "2026-02-01", "UNTIL": "2026-02-01T05:00:00Z", "TIMEZONE": "America/Los_Angeles"}, "UNTIL", "after SINCE"},
		"a zone that is none":        {map[string]string{"TIMEZONE": "Europe/Blakstad"}, "TIMEZONE", "IANA"},
		"the machine's own zone":     {map[string]string{"TIMEZONE": "Local"}, "TIMEZONE", "IANA"},
		"a path for a zone":          {map[string]string{"TIMEZONE": "../../etc/passwd"}, "TIMEZONE", "IANA"},
		"an INTERVAL without a unit": {map[string]string{"INTERVAL": "60"}, "INTERVAL", "a duration such as"},
		"an INTERVAL that is none":   {map[string]string{"INTERVAL": "0s"}, "INTERVAL", "at least 1s"},
		"a negative WINDOW":          {map[string]string{"WINDOW": "-1h"}, "WINDOW", "positive"},
		"a WINDOW that is none":      {map[string]string{"WINDOW": "a day"}, "WINDOW", "a duration such as"},
		"a negative SETTLE":          {map[string]string{"SETTLE": "1h,-2h"}, "SETTLE", "positive"},
		"a SETTLE that is none":      {map[string]string{"SETTLE": "1h;2h"}, "SETTLE", "durations such as"},
		"a SNAPSHOT_INTERVAL of 1ms": {map[string]string{"SNAPSHOT_INTERVAL": "1ms"}, "SNAPSHOT_INTERVAL", "at least 1s"},
		"a SNAPSHOT_INTERVAL of x":   {map[string]string{"SNAPSHOT_INTERVAL": "x"}, "SNAPSHOT_INTERVAL", "a duration such as"},
		"no CONCURRENCY":             {map[string]string{"CONCURRENCY": "0"}, "CONCURRENCY", "1 to 64"},
		"too much CONCURRENCY":       {map[string]string{"CONCURRENCY": "65"}, "CONCURRENCY", "1 to 64"},
		"a CONCURRENCY in words":     {map[string]string{"CONCURRENCY": "two"}, "CONCURRENCY", "a whole number"},
		"a RATE that is none":        {map[string]string{"RATE": "fast"}, "RATE", "3/s"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, faults := decode(c.variables)
			if len(faults) != 1 || faults[0].Variable != prefix+c.variable || !strings.Contains(faults[0].Want, c.want) {
				t.Fatalf("the faults are %q; want one of %s with %q", faults, c.variable, c.want)
			}
			if strings.Contains(faults.Error(), "pass-w") {
				t.Errorf("the fault shows a password: %s", faults)
			}
		})
	}
	if _, faults := decode(map[string]string{"VENDOR": "", "INTERVAL": "x", "CONCURRENCY": "0", "RATE": "x", "TIMEZONE": "x", "URL": "x"}); len(faults) != 6 {
		t.Errorf("%d faults at once; want 6: %s", len(faults), faults)
	}
}

func TestHTTPIsForLoopbackOrOnRequest(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"localhost": {"URL": "http://localhost:8095"}, "LOCALHOST": {"URL": "http://LOCALHOST"}, "127.0.0.1": {"URL": "http://127.0.0.1/"}, "::1": {"URL": "http://[::1]:80"},
		"on request": {"URL": "http://vendor.example", "INSECURE": "true"},
	} {
		if s, faults := decode(variables); faults != nil || s.URL == nil {
			t.Errorf("%s: %v", name, faults)
		}
	}
	for _, url := range []string{"http://vendor.example", "http://10.0.0.1", "http://localhost.vendor.example", "http://127.0.0.1.vendor.example"} {
		if s, faults := decode(map[string]string{"URL": url}); len(faults) != 1 || s.URL != nil || !strings.Contains(faults[0].Want, "in clear") {
			t.Errorf("%s: %v; want it refused", url, faults)
		}
	}
}

func TestAnEndpointEndsInTheDocumentedPathOnce(t *testing.T) {
	cases := map[string]string{
		"":                               "https://documented.example/api",
		"https://eu.example":             "https://eu.example/api",
		"https://eu.example/":            "https://eu.example/api",
		"https://eu.example/api":         "https://eu.example/api",
		"https://eu.example/api/":        "https://eu.example/api",
		"https://eu.example/proxy":       "https://eu.example/proxy/api",
		"https://eu.example/proxy/api//": "https://eu.example/proxy/api",
		"https://eu.example/myapi":       "https://eu.example/myapi/api",
		"https://api":                    "https://api/api",
		"https://api/":                   "https://api/api",
		"https://api/api":                "https://api/api",
	}
	for base, want := range cases {
		s, faults := decode(map[string]string{"URL": base})
		if faults != nil {
			t.Fatal(faults)
		}
		if got := s.Endpoint("https://documented.example", "/api"); got != want {
			t.Errorf("URL=%s gives %s; want %s", base, got, want)
		}
	}
}

func TestStreamsAreNamesOrGlobs(t *testing.T) {
	cases := map[string][]string{ // STREAMS: what it selects
		"":                {"chats", "reports/chats", "reports/tickets/sla"},
		"chats":           {"chats"},
		"reports/*":       {"reports/chats"},
		"reports/*/*":     {"reports/tickets/sla"},
		"chats,reports/*": {"chats", "reports/chats"},
		"chat?":           {"chats"},
		"Chats":           nil,
	}
	for value, want := range cases {
		s, faults := decode(map[string]string{"STREAMS": value})
		var got []string
		for _, name := range []string{"chats", "reports/chats", "reports/tickets/sla"} {
			if s.Selects(name) {
				got = append(got, name)
			}
		}
		if faults != nil || !slices.Equal(got, want) {
			t.Errorf("STREAMS=%s selects %q, %v; want %q", value, got, faults, want)
		}
	}
}

func TestADateIsItsFirstInstantInTheSourcesZone(t *testing.T) {
	cases := map[string]struct{ date, zone, want string }{
		"Oslo":                          {"2026-01-31", "Europe/Oslo", "2026-01-30T23:00:00Z"},
		"Santiago, midnight is skipped": {"2026-09-06", "America/Santiago", "2026-09-06T04:00:00Z"},
		"Cairo, midnight is skipped":    {"2026-04-24", "Africa/Cairo", "2026-04-23T22:00:00Z"},
		"Amman, midnight comes twice":   {"2021-10-29", "Asia/Amman", "2021-10-28T21:00:00Z"},
	}
	for name, c := range cases {
		var m pollers.Moment
		if err := m.EnvDecode(c.date); err != nil {
			t.Fatal(err)
		}
		if got := m.In(location(t, c.zone)); !got.Equal(at(t, c.want)) {
			t.Errorf("%s: %s is %s; want %s", name, c.date, got, c.want)
		}
	}
	if m := pollers.MomentAt(clock); !m.In(location(t, "Asia/Kathmandu")).Equal(clock) {
		t.Error("an instant depends on the zone")
	}
}

func FuzzMoment(f *testing.F) {
	for _, value := range []string{"2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T24:00:00+14:00", "", "0001-01-01", "9999-12-31"} {
		f.Add(value)
	}
	loc := location(f, "America/Santiago")
	f.Fuzz(func(t *testing.T, value string) {
		var m pollers.Moment
		if m.EnvDecode(value) == nil {
			if got := m.In(loc); !strings.Contains(value, "T") && !got.IsZero() && got.In(loc).Format(time.DateOnly) != value {
				t.Errorf("%q is on %s", value, got.In(loc))
			}
		}
	})
}

func TestAMisspeltStreamAndAMissingSecretAreFaults(t *testing.T) {
	open := func(values map[string]string) (*pollers.Source, settings.Faults) {
		vars := settings.New(prefix, values)
		p := &scripted{streams: []pollers.Stream{{Name: "chats"}, {Name: "reports/ratings"}}}
		s := pollers.NewSource("eu", vars, func(_ pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
			var own struct {
				User string          `env:"USER" credential:"user"`
				Key  settings.Secret `env:"API_KEY, required"`
				More settings.Secret `env:"TOKEN"`
			}
			vars.Decode(&own)
			env.Connect("acme/1", pollers.Rate{Requests: 3, Period: time.Second}, vars.Secrets())
			return p
		}, slog.New(slog.DiscardHandler))
		return s, vars.Faults()
	}
	if _, faults := open(map[string]string{"VENDOR": "acme", "API_KEY": "key-key", "STREAMS": "chats,report/*"}); len(faults) != 1 ||
		!strings.Contains(faults.Error(), `"report/*" matches no stream; there are chats, reports/ratings`) {
		t.Errorf("a misspelt stream among others: %v", faults)
	}
	if _, faults := open(map[string]string{"VENDOR": "acme"}); len(faults) != 1 || faults[0].Variable != prefix+"API_KEY" {
		t.Errorf("no key: %v", faults)
	}
	s, faults := open(map[string]string{"VENDOR": "acme", "API_KEY": "key-key", "STREAMS": "reports/*"})
	if faults != nil || len(s.Streams()) != 1 || s.Account != "acme/1" || s.Rate.Requests != 3 || s.Secrets.Redact("a key-key") != "a [redacted]" {
		t.Errorf("the source is %+v, %v", s, faults)
	}
	if want := prefix + "USER, " + prefix + "API_KEY, " + prefix + "TOKEN"; s.Credential != want {
		t.Errorf("the variables to look at are %s; want %s", s.Credential, want)
	}
	if _, ok := s.Skew(); ok {
		t.Error("a skew before any answer")
	}
}
