package webhook

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
)

// mode is how events become requests.
type mode string

const (
	binary     mode = "binary"
	structured mode = "structured"
	batch      mode = "batch"
)

// The values of the parameter handshake.
const (
	auto     = "auto"
	required = "required"
	off      = "off"
)

// config is what the variables say.
type config struct {
	target      *url.URL // without user and Parley's own parameters
	basic       *url.Userinfo
	mode        mode
	handshake   string
	origin      string
	keys        [][]byte
	timeout     time.Duration
	concurrency int
	guard       guard
}

const (
	batchEvents = 100
	batchBytes  = 1 << 20
	// A key has as many bytes as Standard Webhooks want.
	minKey, maxKey = 24, 64
	keyPrefix      = "whsec_"
)

// New checks the sink's variables; faults stay in vars.
func New(s sinks.Settings, vars *settings.Vars, u *url.URL, _ sinks.Env) sinks.Opener {
	c, options := configure(s, vars, u)
	return sinks.Requests(func(context.Context, sinks.Ownership) (sinks.Sender, error) { return newSender(c), nil }, options)
}

func configure(s sinks.Settings, vars *settings.Vars, u *url.URL) (config, sinks.RequestOptions) {
	vars.Redact("URL") // its path may be the secret
	var raw struct {
		Secret settings.Secret `env:"SECRET"`
	}
	vars.Decode(&raw)
	p := parser{vars: vars}
	c := p.parse(u, s)
	c.keys = p.keys(raw.Secret.Reveal())
	options := sinks.RequestOptions{Concurrency: s.Concurrency, MaxAttempts: s.MaxAttempts}
	if c.mode == batch {
		options.BatchEvents, options.BatchBytes = batchEvents, batchBytes
	}
	return c, options
}

type parser struct{ vars *settings.Vars }

func (p *parser) fault(format string, args ...any) { p.vars.Fault("URL", fmt.Sprintf(format, args...)) }

func (p *parser) parse(u *url.URL, s sinks.Settings) config {
	target := *u
	c := config{
		target: &target, basic: u.User, mode: binary, handshake: auto, origin: "parley",
		timeout: s.Timeout, concurrency: s.Concurrency, guard: guard{private: s.AllowPrivate, plain: u.Scheme == "http"},
	}
	target.User, target.Fragment, target.RawFragment = nil, "", ""
	p.host(u, &c.guard)
	if u.Fragment != "" {
		p.fault("has a fragment (#…), which is never sent: want it without, or a # in the path as %%23")
	}
	var rest []string
	given := map[string]bool{}
	for _, pair := range strings.Split(u.RawQuery, "&") {
		// Names are compared as they are written, so that an endpoint's own parameter can be told apart.
		name, value, _ := strings.Cut(pair, "=")
		if name != "mode" && name != "handshake" && name != "origin" {
			rest = append(rest, pair)
			continue
		}
		if given[name] {
			p.fault("parameter %s: is there twice, want it once", name)
		}
		given[name] = true
		p.parameter(&c, name, value)
	}
	target.RawQuery = strings.Join(rest, "&")
	target.ForceQuery = false
	return c
}

func (p *parser) parameter(c *config, name, value string) {
	value, err := url.QueryUnescape(value)
	if err != nil {
		p.fault("parameter %s: cannot be read: want it percent-encoded", name)
		return
	}
	switch name {
	case "mode":
		switch c.mode = mode(value); c.mode {
		case binary, structured, batch:
		default:
			p.fault("parameter mode: is %q, want binary, structured or batch", value)
		}
	case "handshake":
		switch c.handshake = value; value {
		case auto, required, off:
		default:
			p.fault("parameter handshake: is %q, want auto, required or off", value)
		}
	case "origin":
		if c.origin = value; value == "" || len(value) > 253 || strings.Trim(value, originLetters) != "" {
			p.fault("parameter origin: is %q, want a DNS name such as parley.example.com", value)
		}
	}
}

const originLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

func (p *parser) host(u *url.URL, g *guard) {
	host := u.Hostname()
	if u.Opaque != "" || host == "" {
		p.fault("names no host: want %s://host/path", u.Scheme)
		return
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			p.fault("has the port %s: want one from 1 to 65535", port)
		}
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(host, "."))
	switch {
	case err == nil && address.Unmap().IsLoopback(), strings.EqualFold(host, "localhost"):
		g.loopback = true
	case err != nil && numeric(host):
		p.fault("has a number for a host: want a name, or an address such as 192.0.2.1 or [2001:db8::1]")
	case err == nil:
		if reason := g.refuses(address); reason != "" {
			p.fault("names an address that is not called: %s", reason)
		}
	case g.plain && !g.private:
		p.fault("is http:// to another machine: want https://, or http:// with %s=true to a private network", p.vars.Name("ALLOW_PRIVATE"))
	}
}

// numeric tells hosts that some resolvers take for addresses in other notations: 2130706433, 0x7f.1, 0177.0.0.1.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
	_, err := strconv.ParseUint(strings.TrimSuffix(last, "."), 0, 64)
	decimal := strings.Trim(last, "0123456789.") == ""
	return err == nil || decimal
}

// keys reads one or two signing keys. Nothing of their values is in a fault.
func (p *parser) keys(text string) (keys [][]byte) {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > 2 {
		p.vars.Fault("SECRET", fmt.Sprintf("has %d keys, want one, or two while one replaces the other", len(parts)))
	}
	for i, part := range parts {
		encoded, ok := strings.CutPrefix(strings.TrimSpace(part), keyPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minKey || len(key) > maxKey {
			p.vars.Fault("SECRET", fmt.Sprintf("its key %d is none: want %s and %d to %d random bytes in base64, such as `echo %s$(openssl rand -base64 32)` prints",
				i+1, keyPrefix, minKey, maxKey, keyPrefix))
			continue
		}
		keys = append(keys, key)
	}
	return keys
}
