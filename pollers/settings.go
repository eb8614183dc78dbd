package pollers

import (
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/settings"
)

// Settings are the variables that every source has; the room decodes its own beside them.
type Settings struct {
	Name   string
	Vendor string
	// Streams are names or globs; empty is all.
	Streams []string
	// Since and Until bound the range to fetch, Until exclusively; zero is "24 hours before the first start" and "none".
	Since, Until     Moment
	Timezone         *time.Location // nil: the vendor's default
	Interval         time.Duration
	Window           time.Duration // 0: the stream's MaxSpan
	Settle           []time.Duration
	SnapshotInterval time.Duration
	Concurrency      int
	Rate             Rate     // zero: the vendor's
	URL              *url.URL // nil: the vendor's documented one
}

// Moment is an instant, or a date: midnight in a zone that is known later.
type Moment struct {
	at   time.Time
	date bool
}

// MomentAt is an instant.
func MomentAt(t time.Time) Moment { return Moment{at: t} }

// EnvDecode reads RFC 3339 or a date.
func (m *Moment) EnvDecode(value string) error {
	if t, err := time.Parse(time.DateOnly, value); err == nil {
		*m = Moment{at: t, date: true}
		return nil
	}
	t, err := time.Parse(time.RFC3339, value)
	*m = Moment{at: t}
	return err
}

// Wanted says what a variable of this type takes.
func (*Moment) Wanted() string {
	return "a time such as 2026-01-31T00:00:00Z, or a date such as 2026-01-31"
}

// In gives the instant, a date being midnight in loc; zero when the moment was not set.
func (m Moment) In(loc *time.Location) time.Time {
	if !m.date || m.at.IsZero() {
		return m.at
	}
	return midnight(dayNumber(m.at, time.UTC), loc)
}

// DecodeSettings reads the common variables; faults stay in vars.
func DecodeSettings(name string, vars *settings.Vars) Settings {
	var raw struct {
		Vendor           string          `env:"VENDOR, required"`
		URL              string          `env:"URL"`
		Insecure         bool            `env:"INSECURE"`
		Streams          []string        `env:"STREAMS"`
		Since            Moment          `env:"SINCE"`
		Until            Moment          `env:"UNTIL"`
		Timezone         string          `env:"TIMEZONE"`
		Interval         time.Duration   `env:"INTERVAL, default=1m"`
		Window           time.Duration   `env:"WINDOW"`
		Settle           []time.Duration `env:"SETTLE, default=1h,24h,72h"`
		SnapshotInterval time.Duration   `env:"SNAPSHOT_INTERVAL, default=1h"`
		Concurrency      int             `env:"CONCURRENCY, default=2"`
		Rate             Rate            `env:"RATE"`
	}
	vars.Decode(&raw)
	s := Settings{
		Name: name, Vendor: raw.Vendor, Streams: raw.Streams, Since: raw.Since, Until: raw.Until,
		Interval: raw.Interval, Window: raw.Window, Settle: raw.Settle, SnapshotInterval: raw.SnapshotInterval,
		Concurrency: raw.Concurrency, Rate: raw.Rate, URL: decodeURL(vars, raw.URL, raw.Insecure),
	}
	if raw.Timezone != "" {
		loc, err := time.LoadLocation(raw.Timezone)
		if err != nil || raw.Timezone == "Local" {
			vars.Fault("TIMEZONE", "want an IANA time zone such as Europe/Oslo or UTC")
		}
		s.Timezone = loc
	}
	s.check(vars)
	slices.Sort(s.Settle)
	return s
}

func (s Settings) check(vars *settings.Vars) {
	fault := func(name, want string) {
		// What could not be decoded is zero, which is no second fault.
		for _, f := range vars.Faults() {
			if f.Variable == vars.Name(name) {
				return
			}
		}
		vars.Fault(name, want)
	}
	for _, pattern := range s.Streams {
		if _, err := path.Match(pattern, ""); err != nil {
			fault("STREAMS", "want names or globs such as chats,reports/*")
		}
	}
	if s.Interval < time.Second {
		fault("INTERVAL", "want at least 1s")
	}
	if s.SnapshotInterval < time.Second {
		fault("SNAPSHOT_INTERVAL", "want at least 1s")
	}
	if s.Window < 0 {
		fault("WINDOW", "want a positive duration such as 24h")
	}
	for _, d := range s.Settle {
		if d <= 0 {
			fault("SETTLE", "want positive durations such as 1h,24h,72h")
		}
	}
	if s.Concurrency < 1 || s.Concurrency > 64 {
		fault("CONCURRENCY", "want 1 to 64")
	}
	zone := s.Location(time.UTC) // a date's midnight is the vendor's zone's, which is not known here
	if until := s.Until.In(time.UTC); s.Since.In(time.UTC).IsZero() && !until.IsZero() && until.Before(time.Now().Add(-sinceDefault)) {
		vars.Fault("UNTIL", "want a moment in the last 24 hours or later, or SINCE set to when it begins: without it a source begins 24 hours ago")
	}
	if since, until := s.Since.In(zone), s.Until.In(zone); !until.IsZero() && !since.Before(until) {
		fault("UNTIL", "want a moment after SINCE")
	}
}

func decodeURL(vars *settings.Vars, raw string, insecure bool) *url.URL {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	switch {
	case strings.ContainsAny(raw, "@?#"):
		// Credentials have variables of their own, which are redacted.
		vars.Redact("URL")
		vars.Fault("URL", "want a URL without user, password, query and fragment; credentials have variables of their own")
	case err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		vars.Fault("URL", "want https://host[/path]")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		vars.Fault("URL", "want https://: http:// would send the credentials in clear; "+vars.Name("INSECURE")+"=true allows it")
	default:
		return u
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// Endpoint is the URL of an access point: the documented path is added to the base unless it
// ends so. The base is the setting's, or else the vendor's documented one.
func (s Settings) Endpoint(documented, accessPath string) string {
	base := documented
	if s.URL != nil {
		base = s.URL.String()
	}
	base = strings.TrimRight(base, "/")
	_, authority, _ := strings.Cut(base, "://")
	if _, path, _ := strings.Cut(authority, "/"); strings.HasSuffix("/"+path, accessPath) {
		return base // and not where the host is named like the path
	}
	return base + accessPath
}

// Location is the source's zone: the setting's or the vendor's default.
func (s Settings) Location(vendor *time.Location) *time.Location {
	if s.Timezone != nil {
		return s.Timezone
	}
	return vendor
}

// Selects tells whether the source reads a stream.
func (s Settings) Selects(stream string) bool {
	if len(s.Streams) == 0 {
		return true
	}
	for _, pattern := range s.Streams {
		if ok, _ := path.Match(pattern, stream); ok {
			return true
		}
	}
	return false
}
