package object

import (
	"context"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// config is what the URL and the variables say.
type config struct {
	bucket, prefix   string // the prefix ends with a slash, or is empty
	region, endpoint string
	spool            string
	timeout          time.Duration
	keyID            settings.Secret
	secret           settings.Secret
	session          settings.Secret
	googleKey        settings.Secret
	scheme           string
	options          rolling.Options
}

// maxObject is the largest that a request of a plain put could take; parts would allow more, and nobody wants it.
const maxObject = 5 << 30

var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// New reads the sink's parameters; faults stay in vars. The Opener makes a client for one ownership.
func New(s sinks.Settings, vars *settings.Vars, u *url.URL, env sinks.Env) sinks.Opener {
	return decode(s, vars, u, env).open
}

// NewFinder is New for who only looks: it needs no ownership, and reads beside the sink that writes.
func NewFinder(s sinks.Settings, vars *settings.Vars, u *url.URL, env sinks.Env) sinks.Finder {
	return finder{decode(s, vars, u, env)}
}

func decode(s sinks.Settings, vars *settings.Vars, u *url.URL, env sinks.Env) config {
	fault := func(want string) { vars.Fault("URL", want) }
	c := config{scheme: u.Scheme, bucket: u.Host, spool: filepath.Join(env.DataDir, "spool"), timeout: s.Timeout}
	if u.User != nil {
		vars.Redact("URL")
		fault("holds credentials: want them in " + vars.Name("ACCESS_KEY_ID") + " and " + vars.Name("SECRET_ACCESS_KEY") + ", or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	if !bucketForm.MatchString(u.Host) {
		fault("names no bucket: want " + u.Scheme + "://bucket/prefix, a bucket's name having 3 to 63 of a-z, 0-9, hyphen and dot")
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		if path.Clean(prefix) != prefix || strings.HasPrefix(prefix, ".") || strings.ContainsAny(prefix, "\x00\r\n\\") {
			fault("has a prefix that is no path: want one like s3://bucket/chats/eu")
		}
		c.prefix = prefix + "/"
	}
	own := map[string]string{"endpoint": "", "insecure": "false"}
	if u.Scheme == "s3" {
		own["region"] = ""
	}
	p := rolling.ParseParameters(u.RawQuery, own, fault)
	c.options = p.Options()
	if c.options.Size > maxObject {
		p.Fault("parameter rotate_size: is %q, want at most 5GiB", p.Value("rotate_size"))
	}
	c.place(p)
	switch u.Scheme {
	case "gs":
		c.googleCredentials(vars)
	default:
		c.findRegion(p)
		c.credentials(vars)
	}
	return c
}

// store reaches the bucket.
func (c config) store(ctx context.Context) (store, error) {
	switch c.scheme {
	case "gs":
		return c.openGoogle(ctx)
	default:
		return c.openS3(ctx)
	}
}

// place finds the server.
func (c *config) place(p rolling.Parameters) {
	c.endpoint = p.Value("endpoint")
	insecure := p.OneOf("insecure", "true", "false") == "true"
	if c.endpoint != "" {
		u, err := url.Parse(c.endpoint)
		switch {
		case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http"):
			p.Fault("parameter endpoint: want https://host:port, percent-encoded where it has to be")
		case u.Scheme == "http" && !loopback(u.Hostname()) && !insecure:
			p.Fault("parameter endpoint: is %q, want https://: without it chats travel in the clear; insecure=true allows that", c.endpoint)
		}
	}
}

// findRegion finds where an S3 bucket is.
func (c *config) findRegion(p rolling.Parameters) {
	if c.region = p.Value("region"); c.region == "" {
		c.region = firstSet("AWS_REGION", "AWS_DEFAULT_REGION")
	}
	elsewhere := firstSet("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CONFIG_FILE")
	switch {
	case c.region != "":
	case c.endpoint != "":
		c.region = "us-east-1"
	case elsewhere == "":
		p.Fault("parameter region: is missing; add region=eu-west-1 or what the bucket's is, or set AWS_REGION")
	}
}

func firstSet(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *config) credentials(vars *settings.Vars) {
	var raw struct {
		KeyID   settings.Secret `env:"ACCESS_KEY_ID"`
		Secret  settings.Secret `env:"SECRET_ACCESS_KEY"`
		Session settings.Secret `env:"SESSION_TOKEN"`
	}
	vars.Decode(&raw)
	c.keyID, c.secret, c.session = raw.KeyID, raw.Secret, raw.Session
	switch id, secret := c.keyID.Reveal() != "", c.secret.Reveal() != ""; {
	case id && !secret:
		vars.Fault("SECRET_ACCESS_KEY", "is missing; it goes together with "+vars.Name("ACCESS_KEY_ID"))
	case secret && !id:
		vars.Fault("ACCESS_KEY_ID", "is missing; it goes together with "+vars.Name("SECRET_ACCESS_KEY"))
	case c.session.Reveal() != "" && !id:
		vars.Fault("SESSION_TOKEN", "belongs to "+vars.Name("ACCESS_KEY_ID")+" and "+vars.Name("SECRET_ACCESS_KEY")+"; set them too")
	}
}

func (c *config) googleCredentials(vars *settings.Vars) {
	var raw struct {
		Key settings.Secret `env:"CREDENTIALS"`
	}
	vars.Decode(&raw)
	c.googleKey = raw.Key
}
