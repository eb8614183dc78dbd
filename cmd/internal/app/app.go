// Package app builds Parley's roles from its configuration, runs them together and takes them down in reverse.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/cmd/internal/ops"
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

// Process is an App's roles, made and ready to run on a broker.
type Process struct {
	app       *App
	broker    *broker.Broker
	pollers   *pollers.Runner
	processor *processors.Runner
	sinks     map[string]*sinks.Runner
	again     []*sinks.Runner // of the same sinks, for what they are given again
	metrics   *ops.Metrics
	tracing   *ops.Tracing // nil: there are no traces
	read      atomic.Bool  // Once has read everything that is due
}

// Process makes the roles. With a once time, the poller ends when everything that `run --once` reads was read after it.
func (a *App) Process(ctx context.Context, b *broker.Broker, roles Roles, once time.Time) (p *Process, err error) {
	tracing, err := ops.OpenTracing(ctx, a.loggable, a.Log)
	if err != nil {
		return nil, err
	}
	err = b.Await(ctx, func(ctx context.Context) error {
		p, err = a.process(ctx, b, roles, once, tracing)
		return err
	})
	if err != nil {
		tracing.Close()
	}
	return p, err
}

func (a *App) process(ctx context.Context, b *broker.Broker, roles Roles, once time.Time, tracing *ops.Tracing) (*Process, error) {
	p := &Process{app: a, broker: b, sinks: make(map[string]*sinks.Runner), metrics: ops.NewMetrics(), tracing: tracing}
	var err error
	if roles.Process || roles.Sink {
		if err := processors.Erasures(a.Config.ErasedFile).Check(ctx, b); err != nil {
			return nil, err
		}
	}
	if roles.Poll {
		o := pollers.Options{OnceSince: once, Logger: a.Log, Observer: p.metrics, Tracer: tracing.Tracer()}
		if a.privacy != nil {
			o.Text = a.privacy.Text
		}
		if p.pollers, err = pollers.NewRunner(ctx, b, a.sources, o); err != nil {
			return nil, err
		}
	}
	if roles.Process {
		o := a.processorOptions()
		o.Tracer = tracing.Tracer()
		if p.processor, err = processors.NewRunner(ctx, b, o); err != nil {
			return nil, err
		}
	}
	if roles.Sink {
		for _, s := range a.sinks {
			if len(roles.Sinks) > 0 && !slices.Contains(roles.Sinks, s.settings.Name) {
				continue
			}
			o := a.sinkOptions(s)
			o.Delivered, o.Tracer = p.metrics.Delivered(s.settings.Name), tracing.Tracer()
			p.sinks[s.settings.Name] = sinks.NewRunner(s.settings.Name, b, s.open, o)
			if once.IsZero() {
				again := a.sinkOptions(s)
				again.Replay = true
				p.again = append(p.again, sinks.NewRunner(s.settings.Name, b, s.again, again))
			}
		}
	}
	return p, nil
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

// Run plays the roles until the context ends: then nothing new is taken, what is in hand is finished or given back, and
// the roles end in the order in which records travel. It returns early when a role cannot go on.
func (p *Process) Run(ctx context.Context) error {
	return p.run(ctx, nil)
}

// run plays the roles; the script, if any, decides when it is over.
func (p *Process) run(ctx context.Context, script func(ctx context.Context) error) error {
	defer p.tracing.Close() // when the last role has ended
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stages := []func() error{}
	start := func(role string, run func(context.Context) error) {
		// Each stage ends when its predecessors have: its own context is cancelled by stopAll, in order.
		stageCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func() {
			err := run(stageCtx)
			if err != nil && stageCtx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", role, err))
			}
			done <- err
		}()
		stages = append(stages, func() error {
			stop()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", role, err)
			}
			return nil
		})
	}
	if p.pollers != nil && script == nil {
		start("poll", p.pollers.Run)
	}
	if p.processor != nil {
		start("process", p.processor.Run)
	}
	if len(p.sinks) > 0 {
		start("sink", p.runSinks)
	}
	var err error
	if script != nil {
		err = script(ctx)
	} else {
		<-ctx.Done()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	for _, stop := range stages {
		if stopErr := stop(); err == nil {
			err = stopErr
		}
	}
	return err
}

func (p *Process) runSinks(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 0, len(p.sinks))
	var mu sync.Mutex
	for _, s := range p.again {
		wg.Go(func() { _ = s.Run(ctx) }) // what could not be flushed comes again, and the log says so
	}
	for name, s := range p.sinks {
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// patience is how long a run that must end waits for processors or a sink that do not get on.
const patience = 30 * time.Second

// settle waits until what was fetched is processed and every sink has it. A sink that does not get on is given up: its
// events stay in EVENTS, and the report names it.
func (p *Process) settle(ctx context.Context) error {
	for last, since := uint64(0), time.Now(); ; {
		left, err := p.broker.Unprocessed(ctx)
		if err == nil && left == 0 {
			break
		}
		if left != last {
			last, since = left, time.Now()
		}
		if time.Since(since) > 2*patience {
			return fmt.Errorf("%s not processed and nothing moves; they stay in %s, and the log says why", console.Count(left, "record is", "records are"), broker.Raw)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	for name, s := range p.sinks {
		if err := drain(ctx, s); err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
	}
	return nil
}

// awaited says what is left to do when everything is read; "" when nothing is.
func (p *Process) awaited(ctx context.Context) string {
	if left, err := p.broker.Unprocessed(ctx); err != nil || left > 0 {
		return console.Count(left, "record is", "records are") + " not processed yet"
	}
	var behind []string
	for _, name := range slices.Sorted(maps.Keys(p.sinks)) {
		state, err := p.broker.ConsumerState(ctx, broker.Events, sinks.ConsumerName(name))
		if err != nil || state.Done() {
			continue
		}
		text := fmt.Sprintf("sink %s has %s to deliver", name, console.Count(state.Pending+state.Unacked, "event", "events"))
		if stats := p.sinks[name].Stats(); stats.Failing {
			text += ", and fails: " + stats.LastError
		}
		behind = append(behind, text)
	}
	return strings.Join(behind, "; ")
}

// drain waits for a sink, but not for one that has been failing for some time without delivering anything.
func drain(ctx context.Context, s *sinks.Runner) error {
	drainCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Drain(drainCtx) }()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for delivered, since := uint64(0), time.Now(); ; {
		select {
		case err := <-done:
			if errors.Is(err, sinks.ErrHalted) {
				return nil // the report says so
			}
			return err
		case <-look.C:
		}
		stats := s.Stats()
		if !stats.Failing || stats.Delivered != delivered {
			delivered, since = stats.Delivered, time.Now()
		}
		if time.Since(since) > patience {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
	}
}

// Once reads what is due, processes it and flushes every sink. The report is whole even where something failed.
func (p *Process) Once(ctx context.Context, watch func(context.Context)) (Report, error) {
	err := p.run(ctx, func(ctx context.Context) error {
		watchCtx, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		if watch != nil {
			wg.Go(func() { watch(watchCtx) })
		}
		defer wg.Wait()
		defer stop()
		if err := p.pollers.Run(ctx); err != nil {
			return err
		}
		p.read.Store(true)
		return p.settle(ctx)
	})
	if err != nil {
		return Report{}, err
	}
	return p.Report(ctx)
}

// Report is what a run did.
type Report struct {
	Tallies []console.Tally
	// Failed are the windows that could not be read, one line each.
	Failed []string
	// Notes are what is no failure and yet worth knowing, one line each.
	Notes       []string
	DeadLetters int64
	// SinkErrors are the last errors of sinks that are failing or dead-lettered events.
	SinkErrors []string
}

// Report gives what was done so far.
func (p *Process) Report(ctx context.Context) (Report, error) {
	tallies := make(map[string]map[events.Kind]*console.Tally)
	tally := func(vendor string, kind events.Kind) *console.Tally {
		if tallies[vendor] == nil {
			tallies[vendor] = make(map[events.Kind]*console.Tally)
		}
		if tallies[vendor][kind] == nil {
			tallies[vendor][kind] = &console.Tally{Vendor: vendor, Kind: string(kind)}
		}
		return tallies[vendor][kind]
	}
	var r Report
	for key, c := range p.processor.Counts() {
		t := tally(key.Vendor, key.Kind)
		t.Events += int64(c.Events)
		t.Duplicates += int64(c.Duplicates)
		t.DeadLetters += int64(c.DeadLetters)
		t.Fetched += int64(c.Events + c.Duplicates + c.DeadLetters)
	}
	if err := p.addSources(ctx, &r, tally); err != nil {
		return r, err
	}
	for _, vendor := range slices.Sorted(maps.Keys(tallies)) {
		for _, kind := range slices.Sorted(maps.Keys(tallies[vendor])) {
			t := *tallies[vendor][kind]
			if t.Kind == "" {
				t.Kind = "(malformed)"
			}
			r.DeadLetters += t.DeadLetters
			r.Tallies = append(r.Tallies, t)
		}
	}
	for name, s := range p.sinks {
		stats := s.Stats()
		r.DeadLetters += int64(stats.DeadLetters)
		if stats.Halt != nil {
			r.SinkErrors = append(r.SinkErrors, fmt.Sprintf("sink %s is paused since %s; `parley resume %s` has it go on",
				name, stats.Halt.Since.Local().Format(time.DateTime), name))
		}
		if stats.DeadLetters > 0 || stats.Failing {
			r.SinkErrors = append(r.SinkErrors, fmt.Sprintf("sink %s (look at %s): %s, last error: %s",
				name, config.SinkVariable(name, "URL"), console.Count(stats.DeadLetters, "dead letter", "dead letters"), stats.LastError))
		}
	}
	return r, nil
}

func (p *Process) addSources(ctx context.Context, r *Report, tally func(string, events.Kind) *console.Tally) error {
	counts := p.pollers.Counts()
	for _, s := range p.app.sources {
		if c := counts[s.Settings.Name]; c.DeadLetters > 0 {
			t := tally(s.Settings.Vendor, "")
			t.DeadLetters += int64(c.DeadLetters)
			t.Fetched += int64(c.DeadLetters)
		}
		progress, err := p.pollers.Progress(ctx, s)
		if err != nil {
			return err
		}
		if progress.Paused != "" {
			r.Failed = append(r.Failed, fmt.Sprintf("%s: paused, the vendor refuses its credentials; look at %s: %s", s.Settings.Name, s.Credential, progress.Paused))
		}
		for _, stream := range slices.Sorted(maps.Keys(progress.Denied)) {
			r.Notes = append(r.Notes, fmt.Sprintf("%s %s: left out, this account may not read it: %s", s.Settings.Name, stream, progress.Denied[stream]))
		}
		for _, e := range progress.Partial {
			r.Failed = append(r.Failed, fmt.Sprintf("%s %s %s: read in part; the vendor's cap hides the rest at its finest grain", s.Settings.Name, e.Stream, pollers.WindowID(e.Window)))
		}
		for _, e := range progress.Failed {
			r.Failed = append(r.Failed, fmt.Sprintf("%s %s %s: %s", s.Settings.Name, e.Stream, pollers.WindowID(e.Window), e.Error))
		}
	}
	return nil
}

// plus is what two runs did, one after the other; what failed is the later one's word.
func (r Report) plus(later Report) Report {
	sum := later
	sum.Tallies = slices.Clone(later.Tallies)
	for _, t := range r.Tallies {
		i := slices.IndexFunc(sum.Tallies, func(u console.Tally) bool { return u.Vendor == t.Vendor && u.Kind == t.Kind })
		if i < 0 {
			sum.Tallies = append(sum.Tallies, t)
			continue
		}
		sum.Tallies[i].Fetched += t.Fetched
		sum.Tallies[i].Duplicates += t.Duplicates
		sum.Tallies[i].Events += t.Events
		sum.Tallies[i].DeadLetters += t.DeadLetters
	}
	sum.DeadLetters += r.DeadLetters
	return sum
}

// OK tells whether everything was read and nothing was dead-lettered.
func (r Report) OK() bool { return len(r.Failed) == 0 && r.DeadLetters == 0 && len(r.SinkErrors) == 0 }

// Print writes the summary for a person.
func (r Report) Print(w io.Writer) error {
	if err := console.Summary(w, r.Tallies); err != nil {
		return err
	}
	var text strings.Builder
	for _, line := range r.Failed {
		fmt.Fprintln(&text, "not read:", console.Printable(line))
	}
	for _, line := range r.Notes {
		fmt.Fprintln(&text, "note:", console.Printable(line))
	}
	for _, line := range r.SinkErrors {
		fmt.Fprintln(&text, "not delivered:", console.Printable(line))
	}
	if r.DeadLetters > 0 {
		fmt.Fprintf(&text, "%s: `parley dlq ls` lists them, `parley dlq show NUMBER` says why and what to do\n", console.Count(r.DeadLetters, "dead letter", "dead letters"))
	}
	_, err := io.WriteString(w, text.String())
	return err
}
