// Package app builds Parley's roles from its configuration, runs them together and takes them down in reverse.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/sinks"
)

// Roles are the parts of Parley that a process plays.
type Roles struct {
	Poll, Process, Sink bool
	// Sinks are the names of those to run; none means all.
	Sinks []string
}

// All plays every role.
func All() Roles { return Roles{Poll: true, Process: true, Sink: true} }

// App is a process of Parley, configured and not yet running.
type App struct {
	Config  *config.Config
	Log     *slog.Logger
	Out     io.Writer // data
	Err     io.Writer // everything else
	sources []*pollers.Source
	sinks   []sink
	redact  pollers.Redactor

	enrichers []processors.Enricher
	privacy   catalog.Privacy // nil: everything is published
}

type sink struct {
	settings sinks.Settings
	open     sinks.Opener
	// again opens the destination for events that it is given again; nil where its variables have faults.
	again sinks.Opener
}

// New decodes the configuration, rooms' variables included. Its error is settings.Faults: all of them.
func New(environ []string, out, errout io.Writer) (*App, error) {
	cfg, _ := config.Load(environ, kinds()) // Check gives the faults again, with the rooms'
	a := &App{Config: cfg, Out: out, Err: errout}
	// Secrets are known only when the rooms have decoded; nothing is logged before.
	a.Log = console.NewLogger(errout, cfg.LogLevel, cfg.LogFormat, a.loggable)
	a.openSources()
	a.openSinks()
	a.openEnrichers()
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	a.redact = pollers.NewRedactor(cfg.Secrets())
	return a, nil
}

// loggable is a text without secrets and, where there is a policy, without personal data.
func (a *App) loggable(text string) string {
	text = a.redact.Redact(text)
	if a.privacy != nil {
		text = a.privacy.Log(text)
	}
	return text
}

func kinds() config.Kinds {
	var k config.Kinds
	for _, v := range catalog.Vendors() {
		k.Vendors = append(k.Vendors, v.Name)
	}
	for _, s := range catalog.Sinks() {
		k.Schemes = append(k.Schemes, s.Scheme)
	}
	for _, e := range catalog.Enrichments() {
		k.Enrichments = append(k.Enrichments, e.Name)
	}
	return k
}

// openEnrichers opens those that are on, in the catalog's order.
func (a *App) openEnrichers() {
	a.privacy = catalog.OpenPrivacy(a.Config)
	for _, e := range catalog.Enrichments() {
		if !slices.Contains(a.Config.Enrich, e.Name) {
			continue
		}
		if enricher := e.Open(a.Config, a.Log); enricher != nil {
			a.enrichers = append(a.enrichers, enricher)
		}
	}
}

func (a *App) openSources() {
	for _, conf := range a.Config.Sources {
		for _, v := range catalog.Vendors() {
			if v.Name != conf.Vendor {
				continue
			}
			s := pollers.NewSource(conf.Name, conf.Vars, v.Open, a.Log)
			if settle := s.Settings.Settle; len(settle) > 0 && slices.Max(settle) > a.Config.EventsRetention {
				conf.Vars.Fault("SETTLE", fmt.Sprintf("want ages up to PARLEY_EVENTS_RETENTION (%s): a window that is read again later would meet events that are gone", a.Config.EventsRetention))
			}
			a.sources = append(a.sources, s)
		}
	}
}

func (a *App) openSinks() {
	for _, conf := range a.Config.Sinks {
		scheme, _, _ := strings.Cut(conf.URL, ":")
		for _, kind := range catalog.Sinks() {
			if kind.Scheme != scheme {
				continue
			}
			s := sinks.DecodeSettings(conf.Name, conf.Vars)
			checkVendors(conf.Vars, s.Filter)
			if s.URL == nil {
				continue // its fault is in Vars
			}
			env := sinks.Env{Stdout: a.Out, DataDir: a.Config.DataDir}
			one := sink{settings: s, open: kind.Open(s, conf.Vars, s.URL, env)}
			if conf.Vars.Faults() == nil {
				one.again = kind.Open(s, conf.Vars, besideURL(s.URL), env)
			}
			a.sinks = append(a.sinks, one)
		}
	}
}

// besideURL is where a sink writes what it is given again: files and objects lie beside the others, because they hold events a second time;
// everything else goes to the same destination.
func besideURL(u *url.URL) *url.URL {
	beside := *u
	switch {
	case u.Scheme == "file" && u.Opaque != "":
		beside.Opaque = sinks.ReplayKey(strings.TrimRight(u.Opaque, "/"))
	case slices.Contains([]string{"file", "s3", "gs", "azblob"}, u.Scheme):
		beside.Path = sinks.ReplayKey(strings.TrimRight(u.Path, "/"))
		beside.RawPath = ""
	}
	return &beside
}

// checkVendors finds filters that can never match, because there is no such vendor.
func checkVendors(vars *settings.Vars, filter []string) {
	known := kinds().Vendors
	for _, f := range filter {
		tokens := strings.Split(strings.TrimSpace(f), ".")
		if len(tokens) > 1 && !slices.Contains(append(known, "*", ">"), tokens[1]) {
			vars.Fault("FILTER", fmt.Sprintf("%q is no vendor; want one of %s, or *", tokens[1], strings.Join(known, ", ")))
		}
	}
}

// Missing gives what a process with these roles cannot do without, as faults.
func (a *App) Missing(roles Roles) error {
	var faults settings.Faults
	if roles.Poll && len(a.sources) == 0 {
		faults = append(faults, settings.Fault{Variable: "PARLEY_SOURCES", Want: "is empty; name at least one source, such as PARLEY_SOURCES=chats with PARLEY_SOURCE_CHATS_VENDOR (`parley simulate` prints variables to try)"})
	}
	if roles.Sink && len(a.sinks) == 0 {
		faults = append(faults, settings.Fault{Variable: "PARLEY_SINKS", Want: "is empty; name at least one sink, such as PARLEY_SINKS=files with PARLEY_SINK_FILES_URL=file:out"})
	}
	for _, name := range roles.Sinks {
		if !slices.ContainsFunc(a.sinks, func(s sink) bool { return s.settings.Name == name }) {
			faults = append(faults, settings.Fault{Variable: "PARLEY_SINKS", Want: fmt.Sprintf("has no sink %q", name)})
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// Broker opens the configured broker and makes its streams, if its identity is none that takes them as they are.
func (a *App) Broker(ctx context.Context) (*broker.Broker, error) {
	b, err := broker.Open(ctx, a.brokerOptions())
	if err != nil {
		return nil, err
	}
	err = b.Await(ctx, func(ctx context.Context) error {
		if !b.Provisions() {
			return nil
		}
		if err := b.Provision(ctx); err != nil || !b.Embedded() {
			return err
		}
		return pollers.TakeOver(ctx, b, a.sources)
	})
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// startPatience is how long a command waits for the streams of a Parley that was just started.
const startPatience = 10 * time.Second

// Attach reaches a Parley that is running: the external servers, or the embedded one of this data directory.
func (a *App) Attach(ctx context.Context) (*broker.Broker, error) {
	reach := broker.Attach
	if len(a.Config.NATS.URLs) > 0 {
		// A role waits for its server for ever; somebody who asked for something is told.
		reach = func(ctx context.Context, o broker.Options) (*broker.Broker, error) {
			ctx, cancel := context.WithTimeout(ctx, natsLimit)
			defer cancel()
			return broker.Open(ctx, o)
		}
	}
	b, err := reach(ctx, a.brokerOptions())
	if err != nil {
		return nil, err
	}
	if err := b.Provisioned(ctx, startPatience); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (a *App) brokerOptions() broker.Options {
	c := a.Config
	return broker.Options{
		URLs: c.NATS.URLs, Creds: c.NATS.Creds, CA: c.NATS.CA, Cert: c.NATS.Cert, Key: c.NATS.Key, Replicas: c.NATS.Replicas,
		DataDir: c.DataDir, RawRetention: c.RawRetention, EventsRetention: c.EventsRetention, RawMaxBytes: c.RawMaxBytes,
		Partitions: c.Partitions, Logger: a.Log,
	}
}

func (a *App) sinkOptions(s sink) sinks.Options {
	return sinks.Options{Filter: s.settings.Filter, Start: s.settings.Start, Logger: a.Log}
}

func (a *App) processorOptions() processors.Options {
	o := processors.Options{Normalizers: make(map[string]processors.Normalizer), CacheBytes: a.Config.DedupeCache, Enrichers: a.enrichers, MessageEvents: a.Config.MessageEvents, Logger: a.Log}
	if a.privacy != nil {
		o.Guard = a.privacy
	}
	for _, v := range catalog.Vendors() {
		o.Normalizers[v.Name] = v.Normalize
	}
	if a.Config.EventsEncoding == "msgpack" {
		o.Encode = func(e *events.Event) error {
			data, err := events.EncodeMsgpack(e.Data)
			e.Data, e.DataContentType = data, events.ContentMsgpack
			return err
		}
	}
	return o
}
