package app

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/sinks"
)

// Provision makes what the roles take: streams, buckets, and a consumer for each partition, source and sink. It needs the sources' and
// sinks' names and common variables, and no credentials of theirs.
func Provision(ctx context.Context, environ []string, out, errout io.Writer) error {
	cfg, _ := config.Load(environ, kinds()) // CheckKnown gives the faults again
	sources, destinations := make([]pollers.Settings, len(cfg.Sources)), make([]sinks.Settings, len(cfg.Sinks))
	for i, s := range cfg.Sources {
		sources[i] = pollers.DecodeSettings(s.Name, s.Vars)
	}
	for i, s := range cfg.Sinks {
		destinations[i] = sinks.DecodeSettings(s.Name, s.Vars)
	}
	if err := cfg.CheckKnown(); err != nil {
		return err
	}
	if len(cfg.NATS.URLs) == 0 {
		return settings.Faults{{Variable: "PARLEY_NATS_URL", Want: "is empty; the embedded server is provisioned by whoever starts it"}}
	}
	hide := pollers.NewRedactor(cfg.Secrets())
	a := &App{Config: cfg, Out: out, Err: errout, Log: console.NewLogger(errout, cfg.LogLevel, cfg.LogFormat, hide.Redact)}
	b, err := broker.Open(ctx, a.brokerOptions())
	if err != nil {
		return err
	}
	defer b.Close()
	if !b.Provisions() {
		return settings.Faults{{Variable: "PARLEY_NATS_CREDS", Want: "is the identity of another role, which may make nothing; want the provisioner's, provisioner/nkey of `parley identities`"}}
	}
	err = b.Await(ctx, func(ctx context.Context) error { return a.provision(ctx, b, sources, destinations) })
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	_, err = fmt.Fprintf(out, "provisioned: streams, buckets, %s, %s\n", console.Count(len(sources), "source", "sources"), console.Count(len(destinations), "sink", "sinks"))
	return err
}

func (a *App) provision(ctx context.Context, b *broker.Broker, sources []pollers.Settings, destinations []sinks.Settings) error {
	if err := b.Provision(ctx); err != nil {
		return err
	}
	for i := range sources {
		if err := pollers.Provision(ctx, b, &sources[i]); err != nil {
			return err
		}
	}
	for i := range destinations {
		options := a.sinkOptions(sink{settings: destinations[i]})
		for _, options.Replay = range []bool{false, true} {
			if err := sinks.NewRunner(destinations[i].Name, b, nil, options).Provision(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Identities makes an identity on NATS for each role that has none in a directory yet.
func Identities(dir string, out io.Writer) error {
	if err := broker.WriteIdentities(dir); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s has an identity for each of: %s\n", dir, strings.Join(broker.Roles(), ", "))
	return err
}
