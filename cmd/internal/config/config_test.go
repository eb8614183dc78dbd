package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/events/settings"
)

var kinds = config.Kinds{Vendors: []string{"alpha", "beta"}, Schemes: []string{"file", "stdout"}, Enrichments: []string{"page", "place"}}

func TestAnEmptyEnvironmentGivesTheDefaults(t *testing.T) {
	cfg, err := config.Load([]string{"HOME=/home/me", "PATH=/bin"}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		NATS: config.NATS{Replicas: 1}, DataDir: "parley-data", HTTPAddr: "127.0.0.1:8090",
		RawRetention: 168 * time.Hour, EventsRetention: 2160 * time.Hour, EventsEncoding: "json", Partitions: 16,
		RawMaxBytes: 10 << 30, DedupeCache: 64 << 20, LogLevel: slog.LevelInfo, Enrich: []string{"page", "place"},
	}
	if diff := cmp.Diff(want, *cfg, cmpopts.IgnoreUnexported(config.Config{}, settings.Secret{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEveryVariableArrives(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load([]string{
		"PARLEY_NATS_URL=nats://one:4222,tls://two:4222", "PARLEY_NATS_REPLICAS=3", "PARLEY_NATS_CREDS=" + key,
		"PARLEY_NATS_CA=" + key, "PARLEY_NATS_CERT=" + key, "PARLEY_NATS_KEY=" + key, "PARLEY_DATA_DIR=/data",
		"PARLEY_HTTP_ADDR=", "PARLEY_HTTP_TOKEN=0123456789abcdef", "PARLEY_HTTP_HOSTS=Parley.Example.org, p2", "PARLEY_PPROF=1", "PARLEY_RAW_RETENTION=24h", "PARLEY_EVENTS_RETENTION=48h", "PARLEY_EVENTS_ENCODING=msgpack",
		"PARLEY_PARTITIONS=4", "PARLEY_RAW_MAX_BYTES=1.5GB", "PARLEY_DEDUPE_CACHE=512KiB", "PARLEY_LOG_LEVEL=WARN",
		"PARLEY_LOG_FORMAT=json", "PARLEY_ENRICH=place", "PARLEY_GEOIP_DB=/db", "PARLEY_PRIVACY=visitor.ip=drop",
		"PARLEY_PRIVACY_KEY=a key", "PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file:///events",
	}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	sink := cfg.Sinks[0]
	sink.Vars, cfg.Sinks = nil, nil
	wantSink := config.SinkConf{Name: "files", URL: "file:///events"}
	if !reflect.DeepEqual(sink, wantSink) {
		t.Errorf("sink %+v\nwant %+v", sink, wantSink)
	}
	want := config.Config{
		NATS: config.NATS{
			URLs: []string{"nats://one:4222", "tls://two:4222"}, Creds: key, CA: key, Cert: key, Key: key, Replicas: 3,
		},
		PProf:   true,
		DataDir: "/data", HTTPHosts: []string{"parley.example.org", "p2"}, RawRetention: 24 * time.Hour, EventsRetention: 48 * time.Hour, EventsEncoding: "msgpack",
		Partitions: 4, RawMaxBytes: 1_500_000_000, DedupeCache: 512 << 10, LogLevel: slog.LevelWarn, LogFormat: "json",
		Enrich: []string{"place"}, GeoIPDB: "/db", Privacy: "visitor.ip=drop",
	}
	if diff := cmp.Diff(want, *cfg, cmpopts.IgnoreUnexported(config.Config{}, settings.Secret{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEachFaultNamesItsVariableAndWhatIsWanted(t *testing.T) {
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"a misspelt variable is suggested":     {[]string{"PARLEY_SOURCE=x"}, "PARLEY_SOURCE: is unknown; did you mean PARLEY_SOURCES?"},
		"another misspelling":                  {[]string{"PARLEY_NATS_URI=x"}, "PARLEY_NATS_URI: is unknown; did you mean PARLEY_NATS_URL?"},
		"a far name has no suggestion":         {[]string{"PARLEY_COLOUR_SCHEME=x"}, "PARLEY_COLOUR_SCHEME: is unknown"},
		"an undeclared source":                 {[]string{"PARLEY_SOURCE_EU_URL=x"}, "PARLEY_SOURCE_EU_URL: belongs to no name in PARLEY_SOURCES; add its name there"},
		"an undeclared sink beside a declared": {[]string{"PARLEY_SINKS=out", "PARLEY_SINK_OUT_URL=stdout:", "PARLEY_SINK_FILES_URL=x"}, "PARLEY_SINK_FILES_URL: belongs to no name in PARLEY_SINKS (out); add its name there"},
		"a name in capitals":                   {[]string{"PARLEY_SOURCES=EU"}, `PARLEY_SOURCES: is "EU", want names of a to z, 0 to 9 and hyphens (at most 64), separated by commas`},
		"a name twice":                         {[]string{"PARLEY_SOURCES=eu,eu", "PARLEY_SOURCE_EU_VENDOR=alpha"}, `PARLEY_SOURCES: is "eu,eu", want each name once; twice there is eu`},
		"two names with the same variables":    {[]string{"PARLEY_SOURCES=eu-chats,eu_chats", "PARLEY_SOURCE_EU_CHATS_VENDOR=alpha"}, `PARLEY_SOURCES: is "eu-chats,eu_chats", want names with variables of their own; both eu-chats and eu_chats would have EU_CHATS_…`},
		"a source without a vendor":            {[]string{"PARLEY_SOURCES=eu"}, "PARLEY_SOURCE_EU_VENDOR: is missing; want one of alpha, beta"},
		"an unknown vendor":                    {[]string{"PARLEY_SOURCES=eu", "PARLEY_SOURCE_EU_VENDOR=gamma"}, `PARLEY_SOURCE_EU_VENDOR: is "gamma", want one of alpha, beta`},
		"a sink without a URL":                 {[]string{"PARLEY_SINKS=out"}, "PARLEY_SINK_OUT_URL: is missing; want one of file, stdout"},
		"an unknown scheme":                    {[]string{"PARLEY_SINKS=out", "PARLEY_SINK_OUT_URL=ftp://x"}, `PARLEY_SINK_OUT_URL: is "ftp://x", want one of file, stdout`},
		"a path for a URL":                     {[]string{"PARLEY_SINKS=out", "PARLEY_SINK_OUT_URL=/x"}, `PARLEY_SINK_OUT_URL: is "/x", want a URL such as file:///var/lib/parley/events or stdout:`},
		"a server that is no NATS URL":         {[]string{"PARLEY_NATS_URL=http://x"}, "PARLEY_NATS_URL: want nats://host:4222 or tls://host:4222, several separated by commas"},
		"replicas of an embedded server":       {[]string{"PARLEY_NATS_REPLICAS=3"}, `PARLEY_NATS_REPLICAS: is "3", want 1: the embedded server is alone; replicas need a cluster in PARLEY_NATS_URL`},
		"too many replicas":                    {[]string{"PARLEY_NATS_URL=nats://x", "PARLEY_NATS_REPLICAS=6"}, `PARLEY_NATS_REPLICAS: is "6", want 1 to 5`},
		"credentials of an embedded server":    {[]string{"PARLEY_NATS_CREDS=x"}, `PARLEY_NATS_CREDS: is "x", belongs to external servers: set PARLEY_NATS_URL too`},
		"a credentials file that is not there": {[]string{"PARLEY_NATS_URL=nats://x", "PARLEY_NATS_CREDS=gone"}, `PARLEY_NATS_CREDS: is "gone", want a readable file: no such file or directory`},
		"a certificate without its key":        {[]string{"PARLEY_NATS_URL=nats://x", "PARLEY_NATS_CERT=config.go"}, "PARLEY_NATS_KEY: is missing; a certificate and its key go together"},
		"an address without a port":            {[]string{"PARLEY_HTTP_ADDR=localhost"}, `PARLEY_HTTP_ADDR: is "localhost", want host:port such as 127.0.0.1:8090, or nothing for none`},
		"a retention that is no duration":      {[]string{"PARLEY_RAW_RETENTION=7d"}, `PARLEY_RAW_RETENTION: is "7d", want a duration such as 90s, 15m or 24h`},
		"a retention of seconds":               {[]string{"PARLEY_EVENTS_RETENTION=5s"}, `PARLEY_EVENTS_RETENTION: is "5s", want at least 1m`},
		"an unknown encoding":                  {[]string{"PARLEY_EVENTS_ENCODING=avro"}, `PARLEY_EVENTS_ENCODING: is "avro", want json or msgpack`},
		"no partitions":                        {[]string{"PARLEY_PARTITIONS=0"}, `PARLEY_PARTITIONS: is "0", want 1 to 1000`},
		"more partitions than consumers":       {[]string{"PARLEY_PARTITIONS=1001"}, `PARLEY_PARTITIONS: is "1001", want 1 to 1000`},
		"a size without a number":              {[]string{"PARLEY_RAW_MAX_BYTES=GiB"}, `PARLEY_RAW_MAX_BYTES: is "GiB", want a size such as 10GiB, 64MiB or 512KB`},
		"room for nothing":                     {[]string{"PARLEY_RAW_MAX_BYTES=1"}, `PARLEY_RAW_MAX_BYTES: is "1", want at least 8MiB`},
		"an unknown level":                     {[]string{"PARLEY_LOG_LEVEL=loud"}, `PARLEY_LOG_LEVEL: is "loud", want debug or info or warn or error`},
		"an unknown format":                    {[]string{"PARLEY_LOG_FORMAT=xml"}, `PARLEY_LOG_FORMAT: is "xml", want text or json`},
		"a key without a policy":               {[]string{"PARLEY_PRIVACY_KEY=0123456789abcdef"}, "PARLEY_PRIVACY_KEY: has nothing to do without PARLEY_PRIVACY; set that too, or take it out"},
		"a key's file that is not there":       {[]string{"PARLEY_PRIVACY=visitor.ip=hmac", "PARLEY_PRIVACY_KEY_FILE=gone"}, `PARLEY_PRIVACY_KEY_FILE: is "gone", want a readable file: no such file or directory`},
		"a key's file of a misspelt name":      {[]string{"PARLEY_GEOIP_DB_FILE=x"}, "PARLEY_GEOIP_DB_FILE: is unknown"},
		"an unknown enrichment":                {[]string{"PARLEY_ENRICH=page,wether"}, `PARLEY_ENRICH: is "page,wether", want all, none, or some of page, place`},
		"a switch is on or off":                {[]string{"PARLEY_PPROF=perhaps"}, "PARLEY_PPROF: "},
		"a token that can be guessed":          {[]string{"PARLEY_HTTP_TOKEN=0123456789abcde"}, "PARLEY_HTTP_TOKEN: want at least 16 characters that nobody can guess"},
		"a host with its port":                 {[]string{"PARLEY_HTTP_HOSTS=a.example,b.example:80"}, `PARLEY_HTTP_HOSTS: is "a.example,b.example:80", want names as a browser shows them, without scheme and port`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Load(c.env, kinds)
			faults := faultsOf(t, err)
			if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if cfg == nil {
				t.Error("no Config beside the faults")
			}
		})
	}
}

func faultsOf(t *testing.T, err error) settings.Faults {
	t.Helper()
	var faults settings.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("error %v; want settings.Faults", err)
	}
	return faults
}

func TestAllFaultsComeAtOnceSortedByVariable(t *testing.T) {
	cfg, _ := config.Load([]string{
		"PARLEY_SOURCES=eu", "PARLEY_SOURCE_EU_VENDOR=alpha", "PARLEY_SOURCE_EU_COLOUR=red", "PARLEY_SOURCE_US_VENDOR=beta",
		"PARLEY_PARTITIONS=0", "PARLEY_LOG_FORMAT=xml", "PARLEY_SINKS=out", "PARLEY_SINK_OUT_COLOUR=0", "PARLEY_ZZZ=1",
	}, kinds)
	var room struct {
		Login settings.Secret `env:"LOGIN, required"`
	}
	cfg.Sources[0].Vars.Decode(&room)
	err := cfg.Check()
	var got []string
	for _, f := range faultsOf(t, err) {
		got = append(got, f.Variable)
	}
	want := []string{
		"PARLEY_LOG_FORMAT", "PARLEY_PARTITIONS", "PARLEY_SINK_OUT_URL",
		"PARLEY_SOURCE_EU_COLOUR", "PARLEY_SOURCE_EU_LOGIN", "PARLEY_SOURCE_US_VENDOR", "PARLEY_ZZZ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if again := cfg.Check(); again.Error() != err.Error() {
		t.Errorf("a second Check gives\n%v\nafter\n%v", again, err)
	}
}

func TestAVariableBelongsToTheLongestNameItBeginsWith(t *testing.T) {
	cfg, err := config.Load([]string{
		"PARLEY_SOURCES=eu, eu-chats", "PARLEY_SOURCE_EU_VENDOR=alpha", "PARLEY_SOURCE_EU_CHATS_VENDOR=beta",
		"PARLEY_SOURCE_EU_CHATS_COLOUR=red", "PARLEY_SOURCE_EU_COLOUR=blue",
	}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range cfg.Sources {
		var room struct {
			Colour string `env:"COLOUR"`
		}
		s.Vars.Decode(&room)
		got[s.Name] = s.Vendor + " " + room.Colour
	}
	if diff := cmp.Diff(map[string]string{"eu": "alpha blue", "eu-chats": "beta red"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
}

func TestTheLaterOfTwoValuesHoldsSoThatFlagsOverride(t *testing.T) {
	cfg, err := config.Load([]string{"PARLEY_LOG_LEVEL=error", "PARLEY_DATA_DIR=a", "PARLEY_DATA_DIR=b", "PARLEY_LOG_LEVEL=debug"}, kinds)
	if err != nil || cfg.DataDir != "b" || cfg.LogLevel != slog.LevelDebug {
		t.Errorf("data dir %q, level %v, error %v", cfg.DataDir, cfg.LogLevel, err)
	}
}

func TestAnEmptyVariableIsUnset(t *testing.T) {
	if _, err := config.Load([]string{"PARLEY_PRIVACY=", "PARLEY_PPROF="}, kinds); err != nil {
		t.Error(err)
	}
}

func TestNoFaultShowsASecret(t *testing.T) {
	const canary = "c4nary-Passw0rd"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, loadErr := config.Load([]string{
		"PARLEY_NATS_URL=http://me:" + canary + "@host", "PARLEY_HTTP_TOKEN=" + canary[:15], "PARLEY_PASWORD=" + canary,
		"PARLEY_SOURCES=eu,us", "PARLEY_SOURCE_EU_VENDOR=alpha", "PARLEY_SOURCE_EU_KEY=" + canary, "PARLEY_SOURCE_EU_KEI=" + canary,
		"PARLEY_SOURCE_US_VENDOR=alpha", "PARLEY_SOURCE_US_KEY_FILE=" + file, "PARLEY_SOURCE_XX_KEY=" + canary,
		"PARLEY_SINKS=one,two,three,four", "PARLEY_SINK_FOUR_URL=htps://host/" + canary, "PARLEY_SINK_ONE_URL=ftp://me:" + canary + "@host",
		"PARLEY_SINK_TWO_URL=ftp://host/?token=" + canary, "PARLEY_SINK_THREE_URL=ftp://me:" + canary + "@ho st\n",
	}, kinds)
	for _, s := range cfg.Sources {
		var room struct {
			Key settings.Secret `env:"KEY"`
		}
		s.Vars.Decode(&room)
		s.Vars.Fault("KEY", "want another")
		if room.Key.Reveal() != canary {
			t.Errorf("%s: the room got %q", s.Name, room.Key.Reveal())
		}
	}
	text := fmt.Sprintf("%v\n%v", loadErr, cfg.Check())
	if strings.Contains(text, canary) {
		t.Errorf("a fault shows a secret:\n%s", text)
	}
	if !slices.Contains(cfg.Secrets(), canary) {
		t.Error("Secrets lacks what the rooms decoded")
	}
}

func TestURLsAreShownWithoutTheirCredentials(t *testing.T) {
	for name, c := range map[string]struct{ url, want string }{
		"nothing to hide":     {"file:///events?format=ndjson", "file:///events?format=ndjson"},
		"user and password":   {"nats://me:c4nary@host:4222", "nats://redacted@host:4222"},
		"a token":             {"nats://c4nary@host", "nats://redacted@host"},
		"what cannot be read": {"nats://me:c4nary@ho st", "[malformed URL]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := config.RedactURL(c.url); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	cfg, err := config.Load([]string{"PARLEY_NATS_URL=nats://me:secret-one@a,nats://secret-two@b"}, kinds)
	if diff := cmp.Diff([]string{"secret-one", "secret-two"}, cfg.Secrets()); err != nil || diff != "" {
		t.Errorf("%v; secrets (-want +got):\n%s", err, diff)
	}
}

func TestSizesHaveUnits(t *testing.T) {
	for value, want := range map[string]config.ByteSize{
		"1": 1, "512B": 512, "512KB": 512_000, "512kB": 512_000, "1KiB": 1024, "64MiB": 64 << 20, "10GiB": 10 << 30,
		"1.5 GiB": 3 << 29, "2TB": 2_000_000_000_000, "1TiB": 1 << 40,
		"": 0, "0": 0, "-1": 0, "NaN": 0, "Inf": 0, "9999999TiB": 0, "1 GiB x": 0, "GiB": 0,
	} {
		t.Run(value, func(t *testing.T) {
			var got config.ByteSize
			if err := got.EnvDecode(value); got != want || (err == nil) != (want != 0) {
				t.Errorf("%d, error %v; want %d", got, err, want)
			}
		})
	}
}

func FuzzByteSize(f *testing.F) {
	f.Add("10GiB")
	f.Add("1e3KB")
	f.Fuzz(func(t *testing.T, value string) {
		var size config.ByteSize
		if err := size.EnvDecode(value); err == nil && size < 1 {
			t.Errorf("%q gives %d", value, size)
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("eu,eu-chats", "EU_CHATS_VENDOR", "alpha")
	f.Add("a,,-", "_", "%zz")
	f.Fuzz(func(t *testing.T, names, variable, value string) {
		cfg, err := config.Load([]string{
			"PARLEY_SOURCES=" + names, "PARLEY_SOURCE_" + variable + "=" + value,
			"PARLEY_SINKS=" + names, "PARLEY_SINK_" + variable + "=" + value, "PARLEY_" + variable + "=" + value,
		}, kinds)
		if cfg == nil || (err != nil && len(faultsOf(t, err)) == 0) {
			t.Errorf("config %v, error %v", cfg, err)
		}
	})
}
