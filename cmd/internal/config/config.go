// Package config turns the environment into typed configuration. Of a source or a sink it knows the name, the
// kind and which variables are its own; what they mean is decoded in the room.
//
// Every fault is collected, so that a user sees all of them at once:
//
//	cfg, _ := config.Load(environ, kinds) // its faults come again from Check
//	for _, source := range cfg.Sources { … the room decodes source.Vars … }
//	if err := cfg.Check(); err != nil { … exit 2 … }
package config

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/settings"
)

// Prefix is what the names of all of Parley's variables begin with.
const Prefix = "PARLEY_"

// Faults is what the errors of Load and Check are: the user's to mend.
type Faults = settings.Faults

// Kinds are the rooms that this binary has. An empty list accepts every name.
type Kinds struct {
	Vendors []string // what a source's VENDOR may be
	Schemes []string // what a sink's URL may begin with, without the colon
	// Enrichments are what may be in ENRICH, and what all of them are, in their order.
	Enrichments []string
}

// Config is everything that the environment says.
type Config struct {
	NATS    NATS
	DataDir string
	// HTTPAddr is where the HTTP server listens; "" is nowhere. HTTPAddrSet tells whether somebody asked for that very address.
	HTTPAddr    string
	HTTPAddrSet bool
	// HTTPToken is what actions over HTTP need; without one there are none. HTTPHosts are names that the dashboard is reached under.
	HTTPToken                     settings.Secret
	HTTPHosts                     []string
	PProf                         bool // profiles are served there too
	RawRetention, EventsRetention time.Duration
	EventsEncoding                string // json or msgpack
	Partitions                    int
	RawMaxBytes, DedupeCache      int64 // bytes
	LogLevel                      slog.Level
	LogFormat                     string   // text, json, or "": text on a terminal, else json
	Enrich                        []string // the enrichments that are on
	GeoIPDB                       string   // a file; "" is none
	Privacy                       string   // the policy; "" is none
	PrivacyKey                    settings.Secret
	MessageEvents                 bool
	ErasedFile                    string // the list of who was erased; "" is none
	Sources                       []Source
	Sinks                         []SinkConf

	kinds  Kinds
	own    *settings.Vars
	faults Faults // of no source and no sink, and of no variable of ours
}

// NATS says which servers to use.
type NATS struct {
	URLs                 []string // none: the embedded server; they may hold credentials
	Creds, CA, Cert, Key string   // paths of files; "" is none
	Replicas             int      // of every stream and bucket
}

// Source is one account of one vendor.
type Source struct {
	Name string
	// Vendor is "" when VENDOR is missing or no room's; Load says so, and the room cannot decode Vars.
	Vendor string
	Vars   *settings.Vars
}

// SinkConf is one destination.
type SinkConf struct {
	Name string
	// URL may hold credentials; RedactURL gives what may be shown. "" when it is missing or no room's:
	// Load says so, and the room cannot decode Vars.
	URL  string
	Vars *settings.Vars
}

// Load reads an environment of NAME=value; of a name that comes twice the later value holds, so flags are appended to it.
// The Config is never nil. The error is Faults, sorted by variable; Check gives them again.
func Load(environ []string, kinds Kinds) (*Config, error) {
	own, sources, sinks := split(environ)
	vars := settings.New(Prefix, own)
	cfg := &Config{kinds: kinds, own: vars}
	sourceNames, sinkNames := cfg.decode(vars, own)
	for _, g := range cfg.group(vars, "SOURCES", "SOURCE_", sourceNames, sources) {
		cfg.Sources = append(cfg.Sources, newSource(g, kinds.Vendors))
	}
	for _, g := range cfg.group(vars, "SINKS", "SINK_", sinkNames, sinks) {
		cfg.Sinks = append(cfg.Sinks, newSink(g, kinds.Schemes))
	}
	return cfg, cfg.collect()
}

// Fault adds a fault of a variable of Parley itself (ENRICH) that its room found.
func (c *Config) Fault(name, want string) { c.own.Fault(name, want) }

// Check gives all faults: Load's, those that the rooms left in the Vars of sources and sinks, and the variables
// that no room knew. Call it when the rooms have decoded. The error is Faults.
func (c *Config) Check() error {
	for _, s := range c.Sources {
		if s.Vendor != "" {
			s.Vars.Unknown()
		}
	}
	for _, s := range c.Sinks {
		if s.URL != "" {
			s.Vars.Unknown()
		}
	}
	return c.collect()
}

// CheckKnown is Check for a command that decodes no room's variables: what nobody knew is not told.
func (c *Config) CheckKnown() error { return c.collect() }

func (c *Config) collect() error {
	all := slices.Clone(c.faults)
	for _, vars := range c.vars() {
		all = append(all, vars.Faults()...)
	}
	slices.SortStableFunc(all, func(a, b settings.Fault) int { return strings.Compare(a.Variable, b.Variable) })
	if all = slices.Compact(all); len(all) > 0 {
		return all
	}
	return nil
}

// Secrets are all values that no output may show, for redaction: those that the rooms decoded so far, and
// the passwords in URLs.
func (c *Config) Secrets() []string {
	var secrets []string
	for _, vars := range c.vars() {
		secrets = append(secrets, vars.Secrets()...)
	}
	for _, raw := range c.NATS.URLs {
		secrets = append(secrets, urlSecrets(raw)...)
	}
	for _, s := range c.Sinks {
		secrets = append(secrets, urlSecrets(s.URL)...)
	}
	slices.Sort(secrets)
	return slices.Compact(secrets)
}

func (c *Config) vars() []*settings.Vars {
	vars := []*settings.Vars{c.own}
	for _, s := range c.Sources {
		vars = append(vars, s.Vars)
	}
	for _, s := range c.Sinks {
		vars = append(vars, s.Vars)
	}
	return vars
}

// split sorts Parley's variables by their beginning, which the names then lack.
func split(environ []string) (own, sources, sinks map[string]string) {
	own, sources, sinks = map[string]string{}, map[string]string{}, map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(name, Prefix)
		if !ours {
			continue
		}
		if rest, ok := strings.CutPrefix(name, "SOURCE_"); ok {
			sources[rest] = value
		} else if rest, ok := strings.CutPrefix(name, "SINK_"); ok {
			sinks[rest] = value
		} else {
			own[name] = value
		}
	}
	return own, sources, sinks
}
