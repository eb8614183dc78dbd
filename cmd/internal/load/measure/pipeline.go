package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

// The stages, in their order.
const (
	stagePublish   = "publish raw"
	stageRelay     = "bare relay"
	stageNew       = "process, new"
	stageUnchanged = "process, 90 % unchanged"
	stageConsume   = "bare consume"
	stageFile      = "events to ndjson"
	stageParquet   = "events to parquet"
	stageWebhook   = "events to webhook"
	stageWhole     = "vendor to ndjson"
)

// stages name them on the command line.
var stages = []struct{ name, title string }{
	{"publish", stagePublish},
	{"relay", stageRelay},
	{"new", stageNew},
	{"unchanged", stageUnchanged},
	{"consume", stageConsume},
	{"file", stageFile},
	{"parquet", stageParquet},
	{"webhook", stageWebhook},
	{"whole", stageWhole},
}

// StageNames lists what Options.Stages may be.
func StageNames() string {
	names := make([]string, len(stages))
	for i, s := range stages {
		names[i] = s.name
	}
	return strings.Join(names, ", ")
}

// Options steer Pipeline.
type Options struct {
	Records    int
	Duplicates int      // percent of the records that repeat an earlier one
	Servers    []string // external, embedded
	Syncs      []string // default, always
	Stages     []string // none is all
	Runs       int
	Profiles   string    // a folder; "" is none
	Log        io.Writer // what is being done
}

// Pipeline measures every stage on every kind of server.
func Pipeline(ctx context.Context, o Options) (Report, error) {
	for _, name := range o.Stages {
		if !slices.Contains(strings.Split(StageNames(), ", "), name) {
			return Report{}, fmt.Errorf("--stage: is %q, want some of %s", name, StageNames())
		}
	}
	report := Report{Machine: machine()}
	for _, server := range o.Servers {
		for _, sync := range o.Syncs {
			var measured [][]Figure
			for range max(o.Runs, 1) {
				figures, err := o.run(ctx, server, sync)
				if err != nil {
					return Report{}, fmt.Errorf("%s server, sync %s: %w", server, sync, err)
				}
				measured = append(measured, figures)
			}
			report.Runs = append(report.Runs, Run{Server: server, Sync: sync, Stages: median(measured)})
		}
	}
	return report, nil
}

// run measures every stage once.
func (o Options) run(ctx context.Context, server, sync string) (all []Figure, err error) {
	s, err := newStation(ctx, server, sync, o.Profiles, o.Log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p := &pipeline{Options: o, station: s, chats: chats(o.Records)}
	if err := p.stages(ctx); err != nil {
		return nil, err
	}
	return p.figures, nil
}

// chats start every six minutes, a hundred in ten hours.
func chats(n int) Chats {
	const every = 6 * time.Minute
	start := time.Now().UTC().Add(-240 * time.Hour).Truncate(24 * time.Hour)
	return Chats{Count: n, Start: start.Add(-time.Duration(n) * every), Every: every}
}

type pipeline struct {
	Options
	*station
	chats          Chats
	figures        []Figure
	relay, consume Figure
	emitted        int // events in EVENTS
}

func (p *pipeline) wants(name string) bool {
	return len(p.Stages) == 0 || slices.Contains(p.Stages, name)
}

// add notes a figure that was asked for.
func (p *pipeline) add(name string, f Figure) {
	if p.wants(name) {
		p.figures = append(p.figures, f)
	}
}

func (p *pipeline) stages(ctx context.Context) error {
	steps := []func(context.Context) error{p.publish, p.copy, p.processNew, p.processUnchanged, p.take}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, sink := range []struct{ name, title, url string }{
		{"file", stageFile, "format=ndjson"}, {"parquet", stageParquet, "format=parquet"}, {"webhook", stageWebhook, ""},
	} {
		if !p.wants(sink.name) {
			continue
		}
		if err := p.deliver(ctx, sink.name, sink.title, sink.url); err != nil {
			return err
		}
	}
	if !p.wants("whole") {
		return nil
	}
	return p.whole(ctx)
}

func (p *pipeline) publish(ctx context.Context) error {
	f, err := p.run1(ctx, stagePublish, job{Do: "publish", Chats: p.chats, Messages: p.Records, Duplicates: p.Duplicates})
	p.add("publish", f)
	return err
}

// run1 measures a job that ends by itself.
func (p *pipeline) run1(ctx context.Context, stage string, j job) (Figure, error) {
	return p.measure(ctx, measurement{stage: stage, records: j.Messages, job: j})
}

func (p *pipeline) copy(ctx context.Context) (err error) {
	j := job{Do: "relay", Messages: p.Records, Atomic: p.sync == "always"}
	if p.relay, err = p.run1(ctx, stageRelay, j); err != nil {
		return err
	}
	p.add("relay", p.relay)
	return p.onBroker(ctx, func(b *broker.Broker) error { return b.PurgeStream(ctx, broker.Events) })
}

func (p *pipeline) processNew(ctx context.Context) error {
	p.emitted = distinct(plan(p.Records, p.Duplicates, 0))
	f, err := p.process(ctx, stageNew, p.Records, p.emitted)
	p.add("new", f)
	return err
}

func (p *pipeline) processUnchanged(ctx context.Context) error {
	if !p.wants("unchanged") {
		return nil
	}
	n := p.emitted // each chat once
	if _, err := p.run1(ctx, "publish again", job{Do: "publish", Chats: p.chats, Messages: n, Duplicates: 90, Reading: 1}); err != nil {
		return err
	}
	changed := 0
	for _, r := range plan(n, 90, 1) {
		changed += min(r.version, 1)
	}
	f, err := p.process(ctx, stageUnchanged, n, changed)
	p.emitted += changed
	p.add("unchanged", f)
	return err
}

// process turns what is in RAW into so many events.
func (p *pipeline) process(ctx context.Context, stage string, records, want int) (Figure, error) {
	before := uint64(0)
	err := p.onBroker(ctx, func(b *broker.Broker) error {
		state, err := b.StreamState(ctx, broker.Events)
		before = state.LastSeq
		return err
	})
	if err != nil {
		return Figure{}, err
	}
	f, err := p.measure(ctx, measurement{
		stage: stage, records: records, job: job{Do: "play", Roles: "process"},
		done: func(b *broker.Broker) (bool, error) {
			state, err := b.StreamState(ctx, broker.Events)
			if err != nil || state.LastSeq < before+uint64(want) {
				return false, err
			}
			processed, err := b.Processed(ctx)
			if err == nil && processed && state.LastSeq != before+uint64(want) {
				err = fmt.Errorf("%d events came of the records, want %d", state.LastSeq-before, want)
			}
			return processed, err
		},
	})
	return f.of(p.relay), err
}

func (p *pipeline) take(ctx context.Context) (err error) {
	if !p.wants("consume") && !p.wants("file") && !p.wants("parquet") && !p.wants("webhook") {
		return nil
	}
	p.consume, err = p.run1(ctx, stageConsume, job{Do: "consume", Messages: p.emitted})
	p.add("consume", p.consume)
	return err
}

// delivered tells that a sink's consumer has given it everything, or that it also has all of it.
func delivered(ctx context.Context, sink string, all bool) func(*broker.Broker) (bool, error) {
	return func(b *broker.Broker) (bool, error) {
		state, err := b.ConsumerState(ctx, broker.Events, sinks.ConsumerName(sink))
		if errors.Is(err, broker.ErrNotFound) {
			return false, nil
		}
		return err == nil && state.Pending == 0 && (!all || state.Unacked == 0) && state.AckFloor+state.Unacked > 0, err
	}
}

func (p *pipeline) deliver(ctx context.Context, name, title, parameters string) error {
	m := measurement{stage: title, records: p.emitted, job: job{Do: "play", Roles: "sink"}}
	if name == "webhook" {
		peer, err := p.peer(ctx)
		if err != nil {
			return err
		}
		defer peer.kill()
		m.environ = sinkVariables(name, peer.address+"/hook?mode=batch")
		m.done = delivered(ctx, name, true)
	} else {
		m.environ = sinkVariables(name, p.files(name, parameters))
		m.done, m.flush = delivered(ctx, name, false), true
	}
	f, err := p.measure(ctx, m)
	p.add(name, f.of(p.consume))
	return err
}

// files is the URL of a sink of files.
func (s *station) files(name, parameters string) string {
	return "file://" + s.folder(name) + "?" + parameters
}

// folder is where that sink writes.
func (s *station) folder(name string) string { return filepath.Join(s.dir, "out", name) }

func sinkVariables(name, url string) []string {
	return []string{
		"PARLEY_SINKS=" + name, "PARLEY_SINK_" + strings.ToUpper(name) + "_URL=" + url, "PARLEY_SINK_" + strings.ToUpper(name) + "_ALLOW_PRIVATE=true",
	}
}

// sourceVariables configure a source that reads a vendor's chats in windows.
func sourceVariables(url string, c Chats, window, overlap time.Duration, concurrency int) []string {
	prefix := "PARLEY_SOURCE_" + strings.ToUpper(source) + "_"
	return []string{
		"PARLEY_SOURCES=" + source, prefix + "VENDOR=liveleader", prefix + "URL=" + url, prefix + "EMAIL=load@agent.example", prefix + "PASSWORD=none",
		prefix + "RATE=100000/s", prefix + "WINDOW=" + window.String(), prefix + "OVERLAP=" + overlap.String(),
		prefix + "SINCE=" + c.Start.Format(time.RFC3339), prefix + "UNTIL=" + c.at(c.Count).Format(time.RFC3339),
		fmt.Sprint(prefix, "CONCURRENCY=", concurrency),
	}
}

// whole reads a vendor whose windows overlap, into files, on a server that is empty.
func (p *pipeline) whole(ctx context.Context) (err error) {
	s, err := newStation(ctx, p.server, p.sync, "", p.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.profiles = p.Profiles
	vendor, err := start(ctx, job{Do: "vendor", Chats: p.chats})
	if err != nil {
		return err
	}
	defer vendor.kill()
	if err := vendor.begin(); err != nil {
		return err
	}
	const windowChats = 1000
	window := windowChats * p.chats.Every
	environ := append(sourceVariables(vendor.address, p.chats, window, min(window*time.Duration(p.Duplicates)/100, 24*time.Hour), 4),
		sinkVariables(files, s.files(files, "format=ndjson"))...)
	f, err := s.measure(ctx, measurement{
		stage: stageWhole, records: p.Records, job: job{Do: "play", Roles: "poll process sink"}, environ: environ, flush: true,
		done: func(b *broker.Broker) (bool, error) {
			state, err := b.StreamState(ctx, broker.Events)
			if err != nil || state.LastSeq < uint64(p.Records) {
				return false, err
			}
			return delivered(ctx, files, false)(b)
		},
	})
	if err != nil {
		return err
	}
	lines, err := countLines(filepath.Join(s.dir, "out", files))
	if err == nil && lines != p.Records {
		err = fmt.Errorf("the files hold %d events, want %d", lines, p.Records)
	}
	p.add("whole", f.of(p.relay))
	return err
}

// countLines counts the lines of the files that are finished.
func countLines(dir string) (n int, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && d.Name() == ".parley" {
				return filepath.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(path)
		n += bytes.Count(content, []byte("\n"))
		return err
	})
	return n, err
}
