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
	account          string // of Azure
	azureKey         settings.Secret
	azureSignature   settings.Secret
	scheme           string
	options          rolling.Options
}

// maxObject is the largest that a request of a plain put could take; parts would allow more, and nobody wants it.
const maxObject = 5 << 30

var (
	bucketForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	containerForm = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
	accountForm   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
)

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
	if u.User != nil || u.Query().Has("sig") { // a pasted address of Azure has a signature in it
		vars.Redact("URL")
		fault("holds credentials: want them in " + credentialVariables(vars, u.Scheme))
	}
	switch {
	case u.Scheme == "azblob" && (len(u.Host) > 63 || !containerForm.MatchString(u.Host)):
		fault("names no container: want azblob://container/prefix, a container's name having 3 to 63 of a-z, 0-9 and single hyphens")
	case u.Scheme != "azblob" && !bucketForm.MatchString(u.Host):
		fault("names no bucket: want " + u.Scheme + "://bucket/prefix, a bucket's name having 3 to 63 of a-z, 0-9, hyphen and dot")
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		if path.Clean(prefix) != prefix || strings.HasPrefix(prefix, ".") || strings.ContainsAny(prefix, "\x00\r\n\\") {
			fault("has a prefix that is no path: want one like s3://bucket/chats/eu")
		}
		c.prefix = prefix + "/"
	}
	own := map[string]string{"endpoint": "", "insecure": "false"}
	switch u.Scheme {
	case "s3":
		own["region"] = ""
	case "azblob":
		own["account"] = ""
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
	case "azblob":
		c.findAccount(p)
		c.azureCredentials(vars)
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
	case "azblob":
		return c.openAzure()
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

// credentialVariables names where a provider's credentials belong.
func credentialVariables(vars *settings.Vars, scheme string) string {
	switch scheme {
	case "gs":
		return vars.Name("CREDENTIALS_FILE") + ", or GOOGLE_APPLICATION_CREDENTIALS"
	case "azblob":
		return vars.Name("ACCOUNT_KEY") + " or " + vars.Name("SAS_TOKEN") + ", or the variables AZURE_…"
	default:
		return vars.Name("ACCESS_KEY_ID") + " and " + vars.Name("SECRET_ACCESS_KEY") + ", or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	}
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

// findAccount finds whose an Azure container is.
func (c *config) findAccount(p rolling.Parameters) {
	c.account = p.Value("account")
	if c.account == "" {
		c.account = os.Getenv("AZURE_STORAGE_ACCOUNT")
	}
	switch {
	case c.account == "":
		p.Fault("parameter account: is missing; add account= and the storage account's name, or set AZURE_STORAGE_ACCOUNT")
	case !accountForm.MatchString(c.account):
		p.Fault("parameter account: is %q, want a storage account's name: 3 to 24 of a-z and 0-9", c.account)
	}
}

func (c *config) azureCredentials(vars *settings.Vars) {
	var raw struct {
		Key       settings.Secret `env:"ACCOUNT_KEY"`
		Signature settings.Secret `env:"SAS_TOKEN"`
	}
	vars.Decode(&raw)
	c.azureKey, c.azureSignature = raw.Key, raw.Signature
	switch key, signature := c.azureKey.Reveal() != "", c.azureSignature.Reveal() != ""; {
	case key && signature:
		vars.Fault("SAS_TOKEN", "is set beside "+vars.Name("ACCOUNT_KEY")+"; want one of them")
	case !key && !signature:
		c.azureKey, c.azureSignature = settings.NewSecret(os.Getenv("AZURE_STORAGE_KEY")), settings.NewSecret(os.Getenv("AZURE_STORAGE_SAS_TOKEN"))
	}
}
