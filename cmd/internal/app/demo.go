package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers/simulated"
)

// demoSimulation is the demo's story: two weeks of chats of every vendor, a few faults, a few bad records.
var demoSimulation = Simulation{
	Addr: "127.0.0.1:0", Seed: 1, Days: 14, Chats: 120, LivePerHour: 720, Faults: "429=0.02,500=0.02,cut=0.004", Malformed: 1,
}

// demoEdits chats of each vendor are edited after the first reading.
const demoEdits = 3

// Demo runs everything on invented vendors: history with progress, a summary, then the live tail until the context ends. With
// once it ends after the summary. It fails unless the files hold every seeded chat exactly once.
func Demo(ctx context.Context, once bool, out, errout io.Writer) error {
	dir, err := os.MkdirTemp("", "parley-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The vendors' clock stands until history is read and checked: no chat comes between.
	var stands atomic.Bool
	stands.Store(true)
	start := time.Now()
	simulation := demoSimulation
	simulation.Now = func() time.Time {
		if stands.Load() {
			return start
		}
		return time.Now()
	}
	sims, err := Simulate(simulation)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = sims.Serve(ctx) })
	d := &demo{sims: sims, files: filepath.Join(dir, "files"), out: out, errout: errout, goOn: func() { stands.Store(false) }}
	return d.run(ctx, dir, once)
}

type demo struct {
	sims   *Simulators
	files  string
	out    io.Writer
	errout io.Writer
	goOn   func() // lets the vendors' clock run
}

func (d *demo) environ(dir string) []string {
	environ := append(d.sims.Environ(),
		"PARLEY_DATA_DIR="+filepath.Join(dir, "data"), "PARLEY_LOG_LEVEL=error",
		"PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file://"+d.files+"?rotate_age=5s",
	)
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "PARLEY_HTTP_") || strings.HasPrefix(entry, "PARLEY_PPROF=") {
			environ = append(environ, entry) // how it is looked at is the user's choice in a demo, too
		}
	}
	since := time.Now().AddDate(0, 0, -demoSimulation.Days-1).UTC().Format(time.DateOnly)
	for _, name := range d.sims.names {
		for variable, value := range map[string]string{"SINCE": since, "INTERVAL": "2s", "WINDOW": "48h"} {
			environ = append(environ, config.SourceVariable(name, variable)+"="+value)
		}
	}
	return environ
}

func (d *demo) run(ctx context.Context, dir string, once bool) error {
	progress := console.NewProgress(d.errout)
	a, err := New(d.environ(dir), d.out, progress)
	if err != nil {
		return err
	}
	b, err := a.Broker(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	// Nobody is there to be told that a terminal is gone.
	_, _ = fmt.Fprintf(progress, "%d invented vendors, %d days of chats of each; a few answers are cut, slow down or fail.\n", len(d.sims.names), demoSimulation.Days)
	want := d.wanted(nil)
	report, err := a.once(ctx, b, progress)
	if err == nil {
		// Late edits: they come as revision 2, and all that is read again with them is dropped.
		for _, sim := range d.sims.sims {
			sim.Change(demoEdits)
		}
		_, _ = fmt.Fprintf(progress, "%d chats of each vendor are edited; everything young enough to change is read again.\n", demoEdits)
		var again Report
		again, err = a.once(ctx, b, progress)
		report = report.plus(again)
	}
	progress.Close()
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	if err != nil {
		return err
	}
	if err := report.Print(d.out); err != nil {
		return err
	}
	if err := d.verify(d.wanted(want)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(d.out, "\nThe files are in %s\n`parley dlq ls` and `parley tail` show this demo with PARLEY_DATA_DIR=%s\n", d.files, a.Config.DataDir); err != nil {
		return err
	}
	if len(report.Failed) > 0 || len(report.SinkErrors) > 0 {
		return errors.New("demo: not everything was read and delivered; see above")
	}
	if once {
		return nil
	}
	web, err := a.startWeb(ctx)
	if err != nil {
		return err
	}
	defer web.stop()
	goesOn := "Chats go on; Ctrl-C ends."
	if addr := web.addr(); addr != "" {
		goesOn = "Chats go on, as http://" + addr + " shows; Ctrl-C ends."
	}
	if _, err := fmt.Fprintln(d.out, goesOn); err != nil {
		return err
	}
	d.goOn()
	live, err := a.Process(ctx, b, All(), time.Time{})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	tailCtx, endTail := context.WithCancel(ctx)
	defer endTail() // before the wait: a role that cannot go on ends the tail, too
	wg.Go(func() { _ = a.Tail(tailCtx, b, nil, false, false) })
	return web.run(ctx, live)
}

// awaitedEvery is how often a run that has read everything says what it waits for.
const awaitedEvery = 5 * time.Second

// showProgress draws a bar for each source until the context ends, and then what is still to be done.
func (p *Process) showProgress(ctx context.Context, progress *console.Progress) {
	for told := time.Now(); ; {
		for _, s := range p.app.sources {
			if now, ok := p.pollers.Glance(s); ok {
				progress.Set(s.Settings.Name, int64(now.Done), int64(now.Done+now.Left))
			}
		}
		if p.read.Load() && time.Since(told) > awaitedEvery {
			told = time.Now()
			if what := p.awaited(ctx); what != "" && ctx.Err() == nil {
				_, _ = fmt.Fprintln(progress, "everything is read; "+console.Printable(what))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// wanted gives the records that are visible now, by vendor: what the files must hold in the end. A vendor that makes its records
// when it is asked (reports) shows none before; it is asked again afterwards.
func (d *demo) wanted(before map[string][]simulated.Entry) map[string][]simulated.Entry {
	want := make(map[string][]simulated.Entry)
	for name, sim := range d.sims.sims {
		if want[name] = before[name]; len(want[name]) > 0 {
			continue
		}
		for _, e := range sim.Ledger() {
			if !e.Malformed {
				want[name] = append(want[name], e)
			}
		}
	}
	return want
}

// verify reads the files back and compares them with the simulators' ledgers.
func (d *demo) verify(want map[string][]simulated.Entry) error {
	held, err := readFiles(d.files)
	if err != nil {
		return err
	}
	twice := 0
	for _, n := range held.ids {
		if n > 1 {
			twice++
		}
	}
	total, missing := 0, []string{}
	for _, vendor := range slices.Sorted(maps.Keys(want)) {
		for _, e := range want[vendor] {
			total++
			if !held.entities[events.CanonicalID(vendor, vendor, e.Key)] {
				missing = append(missing, vendor+" "+e.Stream+" "+e.Key)
			}
		}
	}
	edits := demoEdits * len(d.sims.names)
	if _, err := fmt.Fprintf(d.out, "\n%d of %d seeded chats are in the files, %d of %d edits as their next revision; %d of %d events are there more than once.\n",
		total-len(missing), total, held.revised, edits, twice, len(held.ids)); err != nil {
		return err
	}
	if len(missing) > 0 || twice > 0 || held.revised < edits {
		return fmt.Errorf("demo: the files do not hold every seeded chat once; missing: %s", strings.Join(missing[:min(10, len(missing))], "; "))
	}
	return nil
}

// contents are what files hold: how often each event, and which entities.
type contents struct {
	ids      map[string]int
	entities map[string]bool
	revised  int // events of revision 2 and later
}

func readFiles(dir string) (*contents, error) {
	c := &contents{ids: make(map[string]int), entities: make(map[string]bool)}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".ndjson") {
			return nil
		}
		return c.read(path)
	})
	if err != nil {
		return c, fmt.Errorf("read the files back: %w", err)
	}
	return c, nil
}

func (c *contents) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: last line: %w", path, err)
		}
		e, err := events.ParseStructured(line)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var entity struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(e.Data, &entity); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		c.ids[e.Source+" "+e.ID]++
		c.entities[entity.ID] = true
		if e.Revision > 1 {
			c.revised++
		}
	}
}
