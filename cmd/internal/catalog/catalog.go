// Package catalog is the one list of what this binary can read and write: vendors with their normalisers and
// simulators, what completes their events, and sinks. A new room is two lines here.
package catalog

import (
	"log/slog"
	"net/http"
	"net/url"

	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/cobrowser"
	"github.com/parley-stream/parley/pollers/cobrowser/cobrowsersim"
	"github.com/parley-stream/parley/pollers/liveagent"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/livechat"
	"github.com/parley-stream/parley/pollers/livechat/livechatsim"
	"github.com/parley-stream/parley/pollers/livechatreports"
	"github.com/parley-stream/parley/pollers/livechatreports/livechatreportssim"
	"github.com/parley-stream/parley/pollers/liveleader"
	"github.com/parley-stream/parley/pollers/liveleader/liveleadersim"
	"github.com/parley-stream/parley/pollers/simulated"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/content"
	"github.com/parley-stream/parley/processors/directory"
	"github.com/parley-stream/parley/processors/geo"
	normcobrowser "github.com/parley-stream/parley/processors/normalize/cobrowser"
	normliveagent "github.com/parley-stream/parley/processors/normalize/liveagent"
	normlivechat "github.com/parley-stream/parley/processors/normalize/livechat"
	normlivechatreports "github.com/parley-stream/parley/processors/normalize/livechatreports"
	normliveleader "github.com/parley-stream/parley/processors/normalize/liveleader"
	"github.com/parley-stream/parley/processors/page"
	"github.com/parley-stream/parley/processors/privacy"
	"github.com/parley-stream/parley/processors/timing"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/file"
	"github.com/parley-stream/parley/sinks/object"
	"github.com/parley-stream/parley/sinks/stdout"
	"github.com/parley-stream/parley/sinks/webhook"
)

// Simulator is a vendor's documented API over an invented account.
type Simulator interface {
	http.Handler
	Ledger() []simulated.Entry
	Change(n int) int
	Variables(base string) map[string]string
}

// Vendor is one that can be read.
type Vendor struct {
	Name      string // in VENDOR, subjects and events
	Open      pollers.Open
	Normalize processors.Normalizer
	Simulate  func(simulated.Options) Simulator
	// Path is where the vendor's access point lies, so that all simulators fit on one port.
	Path string
	// Directory are the kinds of which it lists every entity that its other records refer to by id.
	Directory []events.Kind
}

// Vendors gives every vendor, in the order in which they are shown.
func Vendors() []Vendor {
	return []Vendor{
		{"liveleader", liveleader.New, normliveleader.New(), func(o simulated.Options) Simulator { return liveleadersim.New(o) }, "/a/", nil},
		{"livechat", livechat.New, normlivechat.Normalize, func(o simulated.Options) Simulator { return livechatsim.New(o) }, "/chats", nil},
		{"livechat-reports", livechatreports.New, normlivechatreports.Normalize, func(o simulated.Options) Simulator { return livechatreportssim.New(o) }, "/v3.6/", nil},
		{"liveagent", liveagent.New, normliveagent.Normalize, func(o simulated.Options) Simulator { return liveagentsim.New(o) }, "/api/", []events.Kind{
			events.KindAgent, events.KindDepartment, events.KindTag,
		}},
		{"cobrowser", cobrowser.New, normcobrowser.Normalize, func(o simulated.Options) Simulator { return cobrowsersim.New(o) }, "/generic/", []events.Kind{
			events.KindAgent, events.KindAccount, events.KindSite,
		}},
	}
}

// Enrichment is one that completes entities.
type Enrichment struct {
	Name string // in PARLEY_ENRICH
	// Open gives nil where the configuration leaves nothing to do, or has a fault, which it then notes there.
	Open func(*config.Config, *slog.Logger) processors.Enricher
}

// Enrichments gives all of them, in the order in which they work: each sees what those before it did.
func Enrichments() []Enrichment {
	return []Enrichment{
		{"directory", func(*config.Config, *slog.Logger) processors.Enricher {
			has := make(map[string][]events.Kind)
			for _, v := range Vendors() {
				has[v.Name] = v.Directory
			}
			return directory.New(has)
		}},
		{"page", func(*config.Config, *slog.Logger) processors.Enricher { return page.New() }},
		{"content", func(*config.Config, *slog.Logger) processors.Enricher { return content.New() }},
		{"timing", func(*config.Config, *slog.Logger) processors.Enricher { return timing.New() }},
		{"geo", openGeo},
	}
}

func openGeo(c *config.Config, log *slog.Logger) processors.Enricher {
	if c.GeoIPDB == "" {
		return nil
	}
	e, err := geo.New(c.GeoIPDB, geo.Options{Logger: log})
	if err != nil {
		c.Fault("GEOIP_DB", "want a readable file in MaxMind's format: "+err.Error())
		return nil
	}
	return e
}

// Privacy is what keeps personal data in.
type Privacy interface {
	processors.Guard
	// Log treats what is logged.
	Log(text string) string
	// Hashed gives what stands for a value where a rule says hmac; "" where none does.
	Hashed(value string) string
}

// OpenPrivacy gives nil where no policy is configured, or a wrong one, whose faults it then notes.
func OpenPrivacy(c *config.Config) Privacy {
	if c.Privacy == "" {
		return nil
	}
	policy, faults := privacy.New(c.Privacy, c.PrivacyKey.Reveal())
	for _, f := range faults {
		if f.Key {
			c.Fault("PRIVACY_KEY", f.Want)
			continue
		}
		c.Fault("PRIVACY", f.Want)
	}
	if policy == nil {
		return nil
	}
	return policy
}

// Sink is a kind of destination.
type Sink struct {
	Scheme string // of the sink's URL
	Open   func(s sinks.Settings, vars *settings.Vars, u *url.URL, env sinks.Env) sinks.Opener
	// Find looks into what the destination holds; nil where nothing can be found.
	Find func(s sinks.Settings, vars *settings.Vars, u *url.URL, env sinks.Env) sinks.Finder
}

// Sinks gives every kind of destination.
func Sinks() []Sink {
	return []Sink{
		{"file", file.New, file.NewFinder},
		{"s3", object.New, object.NewFinder},
		{"gs", object.New, object.NewFinder},
		{"azblob", object.New, object.NewFinder},
		{"stdout", stdout.New, nil},
		{"https", webhook.New, nil},
		{"http", webhook.New, nil},
	}
}
