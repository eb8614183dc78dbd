package file

import (
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
)

// config is what the URL says.
type config struct {
	dir        string
	layout     layout
	rotateSize int64
	rotateAge  time.Duration
}

const (
	minRotateAge = time.Second
	maxRotateAge = time.Hour
)

// New reads the sink's parameters from its URL; faults stay in vars. The Opener opens the directory for one ownership.
func New(_ sinks.Settings, vars *settings.Vars, u *url.URL, _ sinks.Env) sinks.Opener {
	p := parser{vars: vars, values: map[string]string{
		"format": "ndjson", "compress": "none", "path": "{kind}/{vendor}/{source}/{date}", "rotate_size": "64MiB", "rotate_age": "1m",
	}}
	c := p.parse(u)
	return c.open
}

type parser struct {
	vars   *settings.Vars
	values map[string]string
}

func (p *parser) fault(format string, args ...any) { p.vars.Fault("URL", fmt.Sprintf(format, args...)) }

func (p *parser) parse(u *url.URL) config {
	var c config
	c.dir = p.dir(u)
	p.query(u)
	p.oneOf("format", []string{"ndjson"}, []string{"csv", "parquet"})
	p.oneOf("compress", []string{"none"}, []string{"gzip", "zstd"})
	var err error
	if c.layout, err = parseLayout(p.values["path"]); err != nil {
		p.fault("parameter path: %s", err)
	}
	if c.rotateSize, err = parseSize(p.values["rotate_size"]); err != nil {
		p.fault("parameter rotate_size: %s", err)
	}
	c.rotateAge, err = time.ParseDuration(p.values["rotate_age"])
	if err != nil || c.rotateAge < minRotateAge || c.rotateAge > maxRotateAge {
		p.fault("parameter rotate_age: is %q, want a duration from %s to %s such as 90s", p.values["rotate_age"], minRotateAge, maxRotateAge)
	}
	return c
}

// dir takes file:///abs, file:/abs, file:rel and file://./rel.
func (p *parser) dir(u *url.URL) string {
	dir := u.Path
	switch {
	case u.Opaque != "":
		opaque, err := url.PathUnescape(u.Opaque)
		if err != nil {
			opaque = ""
		}
		dir = opaque
	case u.Host == "." || u.Host == "..":
		dir = u.Host + u.Path
	case u.Host != "" && u.Host != "localhost":
		p.fault("names the host %q: want file:///absolute/dir or file:relative/dir", u.Host)
		return ""
	}
	if dir == "" || strings.ContainsRune(dir, 0) {
		p.fault("names no directory: want file:///absolute/dir or file:relative/dir")
		return ""
	}
	return filepath.Clean(dir)
}

func (p *parser) query(u *url.URL) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		p.fault("its parameters cannot be read: want name=value&name=value, percent-encoded")
	}
	known := make([]string, 0, len(p.values))
	for name := range p.values {
		known = append(known, name)
	}
	slices.Sort(known)
	for name, values := range query {
		switch _, ok := p.values[name]; {
		case !ok:
			p.fault("parameter %s: is unknown; known are %s", name, strings.Join(known, ", "))
		case len(values) > 1:
			p.fault("parameter %s: is there %d times, want it once", name, len(values))
		default:
			p.values[name] = values[0]
		}
	}
}

func (p *parser) oneOf(name string, built, planned []string) {
	value := p.values[name]
	switch {
	case slices.Contains(built, value):
	case slices.Contains(planned, value):
		p.fault("parameter %s: %s is not built yet; want %s", name, value, strings.Join(built, " or "))
	default:
		p.fault("parameter %s: is %q, want %s", name, value, strings.Join(built, " or "))
	}
}

// parseSize reads a number of bytes with or without a unit.
func parseSize(text string) (int64, error) {
	units := []struct {
		suffix string
		bytes  float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}
	for _, unit := range units {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		size := n * unit.bytes
		if err != nil || math.IsNaN(size) || size < 1 || size > 1<<40 {
			break
		}
		return int64(size), nil
	}
	return 0, fmt.Errorf("is %q, want a size from 1 to 1024GiB such as 64MiB", text)
}
