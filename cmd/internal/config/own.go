package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/settings"
)

// variables are Parley's own, without PARLEY_.
type variables struct {
	NATSURL         []string        `env:"NATS_URL"`
	NATSCreds       string          `env:"NATS_CREDS"`
	NATSCA          string          `env:"NATS_CA"`
	NATSCert        string          `env:"NATS_CERT"`
	NATSKey         string          `env:"NATS_KEY"`
	NATSReplicas    int             `env:"NATS_REPLICAS, default=1"`
	DataDir         string          `env:"DATA_DIR, default=parley-data"`
	HTTPAddr        string          `env:"HTTP_ADDR, default=127.0.0.1:8090"`
	PProf           bool            `env:"PPROF"`
	HTTPToken       settings.Secret `env:"HTTP_TOKEN"`
	HTTPHosts       []string        `env:"HTTP_HOSTS"`
	RawRetention    time.Duration   `env:"RAW_RETENTION, default=168h"`
	EventsRetention time.Duration   `env:"EVENTS_RETENTION, default=2160h"`
	EventsEncoding  string          `env:"EVENTS_ENCODING, default=json"`
	Partitions      int             `env:"PARTITIONS, default=16"`
	RawMaxBytes     ByteSize        `env:"RAW_MAX_BYTES, default=10GiB"`
	DedupeCache     ByteSize        `env:"DEDUPE_CACHE, default=64MiB"`
	LogLevel        string          `env:"LOG_LEVEL, default=info"`
	LogFormat       string          `env:"LOG_FORMAT"`
	Enrich          string          `env:"ENRICH, default=all"`
	GeoIPDB         string          `env:"GEOIP_DB"`
	Privacy         string          `env:"PRIVACY"`
	PrivacyKey      settings.Secret `env:"PRIVACY_KEY"`
	MessageEvents   bool            `env:"MESSAGE_EVENTS"`
	ErasedFile      string          `env:"ERASED_FILE"`
	Sources         []string        `env:"SOURCES"`
	Sinks           []string        `env:"SINKS"`
}

// decode fills what belongs to Parley itself and gives the names of the sources and sinks.
func (c *Config) decode(vars *settings.Vars, values map[string]string) (sources, sinks []string) {
	var v variables
	vars.Decode(&v)
	c.NATS = NATS{
		URLs: v.NATSURL, Creds: v.NATSCreds, CA: v.NATSCA, Cert: v.NATSCert, Key: v.NATSKey, Replicas: v.NATSReplicas,
	}
	c.DataDir, c.HTTPAddr = v.DataDir, v.HTTPAddr
	if value, set := values["HTTP_ADDR"]; set && value == "" {
		c.HTTPAddr = ""
	} else {
		c.HTTPAddrSet = set
	}
	c.PProf = v.PProf
	c.HTTPToken, c.HTTPHosts = v.HTTPToken, v.HTTPHosts
	c.RawRetention, c.EventsRetention = v.RawRetention, v.EventsRetention
	c.EventsEncoding, c.Partitions = v.EventsEncoding, v.Partitions
	c.RawMaxBytes, c.DedupeCache = int64(v.RawMaxBytes), int64(v.DedupeCache)
	c.LogFormat = v.LogFormat
	c.Enrich = c.enrich(vars, v.Enrich)
	if v.GeoIPDB == "" && strings.TrimSpace(v.Enrich) != "all" && slices.Contains(c.Enrich, "geo") {
		vars.Fault("GEOIP_DB", "want the path of a MaxMind file, since "+vars.Name("ENRICH")+" asks for geo; set it, or take geo out there")
	}
	c.GeoIPDB, c.Privacy, c.PrivacyKey = v.GeoIPDB, strings.TrimSpace(v.Privacy), v.PrivacyKey
	c.MessageEvents, c.ErasedFile = v.MessageEvents, v.ErasedFile
	if c.Privacy == "" && c.PrivacyKey.Reveal() != "" {
		vars.Fault("PRIVACY_KEY", "has nothing to do without "+vars.Name("PRIVACY")+"; set that too, or take it out")
	}
	c.checkNATS(vars)
	c.check(vars, v.LogLevel)
	c.refuse(values)
	return v.Sources, v.Sinks
}

// enrich gives the enrichments that are wanted, in their order.
func (c *Config) enrich(vars *settings.Vars, list string) []string {
	switch list = strings.TrimSpace(list); list {
	case "none", "":
		return nil
	case "all":
		return slices.Clone(c.kinds.Enrichments)
	}
	var wanted []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); len(c.kinds.Enrichments) > 0 && !slices.Contains(c.kinds.Enrichments, name) {
			vars.Fault("ENRICH", "want all, none, or some of "+strings.Join(c.kinds.Enrichments, ", "))
			return nil
		}
		wanted = append(wanted, name)
	}
	return wanted
}

// minToken is how long the token of actions over HTTP must be.
const minToken = 16

func (c *Config) check(vars *settings.Vars, level string) {
	if c.HTTPAddr != "" {
		if _, port, err := net.SplitHostPort(c.HTTPAddr); err != nil || port == "" {
			vars.Fault("HTTP_ADDR", "want host:port such as 127.0.0.1:8090, or nothing for none")
		}
	}
	if n := len(c.HTTPToken.Reveal()); n > 0 && n < minToken {
		vars.Fault("HTTP_TOKEN", fmt.Sprintf("want at least %d characters that nobody can guess, such as `openssl rand -hex 16` prints", minToken))
	}
	for i, host := range c.HTTPHosts {
		c.HTTPHosts[i] = strings.ToLower(strings.TrimSpace(host))
		if strings.ContainsAny(c.HTTPHosts[i], "/:@ ") || c.HTTPHosts[i] == "" {
			vars.Fault("HTTP_HOSTS", "want names as a browser shows them, without scheme and port, such as parley.example.org, several separated by commas")
			break
		}
	}
	// A field whose variable was malformed is zero and has its fault already.
	for name, d := range map[string]time.Duration{"RAW_RETENTION": c.RawRetention, "EVENTS_RETENTION": c.EventsRetention} {
		if d < 0 || (d > 0 && d < time.Minute) {
			vars.Fault(name, "want at least 1m")
		}
	}
	if c.RawMaxBytes < leastRaw && !faulty(vars, "RAW_MAX_BYTES") {
		vars.Fault("RAW_MAX_BYTES", "want at least 8MiB: in less the largest records never find room")
	}
	oneOf(vars, "EVENTS_ENCODING", c.EventsEncoding, "json", "msgpack")
	oneOf(vars, "LOG_FORMAT", c.LogFormat, "", "text", "json")
	if oneOf(vars, "LOG_LEVEL", strings.ToLower(level), "debug", "info", "warn", "error") {
		_ = c.LogLevel.UnmarshalText([]byte(level)) // one of the four always is a level
	}
	if (c.Partitions < 1 && !faulty(vars, "PARTITIONS")) || c.Partitions > 1000 {
		vars.Fault("PARTITIONS", "want 1 to 1000, which is how many consumers a stream of NATS takes")
	}
}

// leastRaw is the least that RAW works with: fetching stops when it is 80 % full, and a record of the largest size that travels whole, 1 MiB and its
// headers, must fit beside that, else it is sent again and again for ever.
const leastRaw = 8 << 20

// checkNATS holds the server's variables together.
func (c *Config) checkNATS(vars *settings.Vars) {
	for _, raw := range c.NATS.URLs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			vars.Redact("NATS_URL") // a malformed URL may hold a password anywhere
			vars.Fault("NATS_URL", "want nats://host:4222 or tls://host:4222, several separated by commas")
			break
		}
	}
	if (c.NATS.Replicas < 1 && !faulty(vars, "NATS_REPLICAS")) || c.NATS.Replicas > 5 {
		vars.Fault("NATS_REPLICAS", "want 1 to 5")
	}
	embedded := len(c.NATS.URLs) == 0
	if embedded && c.NATS.Replicas > 1 {
		vars.Fault("NATS_REPLICAS", "want 1: the embedded server is alone; replicas need a cluster in "+vars.Name("NATS_URL"))
	}
	files := map[string]string{
		"NATS_CREDS": c.NATS.Creds, "NATS_CA": c.NATS.CA, "NATS_CERT": c.NATS.Cert, "NATS_KEY": c.NATS.Key,
	}
	for name, path := range files {
		switch {
		case path == "":
		case embedded:
			vars.Fault(name, "belongs to external servers: set "+vars.Name("NATS_URL")+" too")
		default:
			readable(vars, name, path)
		}
	}
	if (c.NATS.Cert == "") != (c.NATS.Key == "") {
		missing := "NATS_CERT"
		if c.NATS.Key == "" {
			missing = "NATS_KEY"
		}
		vars.Fault(missing, "is missing; a certificate and its key go together")
	}
}

// refuse adds a fault for every variable that Parley does not know.
func (c *Config) refuse(values map[string]string) {
	known := knownNames()
	for name := range values {
		if !slices.Contains(known, name) {
			// The value may be a secret under a misspelt name: it is not shown.
			c.faults = append(c.faults, settings.Fault{Variable: Prefix + name, Want: "is unknown" + suggestion(name, known)})
		}
	}
}

func knownNames() []string {
	var names []string
	for field := range reflect.TypeFor[variables]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		names = append(names, name)
		if field.Type == reflect.TypeFor[settings.Secret]() {
			names = append(names, name+"_FILE")
		}
	}
	return names
}

func suggestion(name string, known []string) string {
	best, distance := "", 4 // farther names are no misspellings
	for _, k := range known {
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + Prefix + best + "?"
}

// editDistance counts the letters to insert, remove or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// oneOf tells whether a value is among those allowed, and adds a fault if not.
func oneOf(vars *settings.Vars, name, value string, allowed ...string) bool {
	if slices.Contains(allowed, value) {
		return true
	}
	allowed = slices.DeleteFunc(allowed, func(s string) bool { return s == "" })
	vars.Fault(name, "want "+strings.Join(allowed, " or "))
	return false
}

// faulty tells whether a variable has a fault already.
func faulty(vars *settings.Vars, name string) bool {
	return slices.ContainsFunc(vars.Faults(), func(f settings.Fault) bool { return f.Variable == vars.Name(name) })
}

func readable(vars *settings.Vars, name, path string) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = errors.New("is a directory")
	}
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if err != nil {
		vars.Fault(name, fmt.Sprintf("want a readable file: %v", err))
	}
}
