// Command load measures Parley beside its own ceilings: each stage beside a bare relay or a bare consumer that does no work, in the same
// run on the same server, because only such ratios and the processor time of a record mean anything on a machine whose speed drifts.
//
// Every stage is a process of its own, so that its processor time and memory are its own: the command starts itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/parley-stream/parley/cmd/internal/load/measure"
)

type cli struct {
	JSON     bool        `name:"json" help:"Print JSON."`
	Pipeline pipelineCmd `cmd:"" help:"Measure each stage and the whole way from a simulated vendor to files, beside their ceilings."`
	Fanout   fanoutCmd   `cmd:"" help:"Measure two sinks without a third, beside one that is alive and beside one that is dead; then each kind of sink and format."`
	Scale    scaleCmd    `cmd:"" help:"Measure how much more several pollers fetch of a slow vendor than one."`
	Memory   memoryCmd   `cmd:"" help:"Measure the memory of the whole way from a simulated vendor to files while records pass. Ctrl-C ends it with what was measured."`
	Latency  latencyCmd  `cmd:"" help:"Measure how long a record takes from its arrival at the poller to a file's line and a webhook's request, at a steady rate."`
}

type fanoutCmd struct {
	Records int      `default:"200000" help:"Records (${default}), 2 KiB each."`
	Rounds  int      `default:"3" help:"How often everything is measured, in turn, two sinks together forth and back; the medians are shown (${default})."`
	Part    []string `default:"together,formats" enum:"together,formats" help:"What is measured: two sinks together, without and with a third; each kind of sink and format (${default})."`
}

func (c *fanoutCmd) Run(ctx context.Context, out *output) error {
	if c.Records < 1000 || c.Rounds < 1 {
		return usageError{errors.New("--records: want at least 1000; --rounds: want at least 1")}
	}
	report, err := measure.Fanout(ctx, measure.FanoutOptions{Records: c.Records, Rounds: c.Rounds, Parts: c.Part, Log: os.Stderr})
	if err != nil {
		return err
	}
	return out.print(report)
}

type pipelineCmd struct {
	Records    int      `default:"200000" help:"Records (${default}), 2 KiB each."`
	Duplicates int      `default:"10" help:"Percent of them that repeat an earlier one (${default})."`
	Server     []string `default:"external" enum:"external,embedded" help:"Where the NATS server is: external (a process of its own), embedded (${default})."`
	Sync       []string `default:"default" enum:"default,always" help:"When the server syncs its disk: default (every two minutes), always (${default})."`
	Stage      []string `help:"Only these stages, and what they need: ${stages}."`
	Runs       int      `default:"1" help:"How often everything is measured; the medians are shown (${default})."`
	CPUProfile string   `name:"cpuprofile" help:"Folder for a processor profile of each stage."`
	Guard      bool     `help:"Fail if a stage has fallen far below what it should reach of its ceiling."`
}

func (c *pipelineCmd) Run(ctx context.Context, out *output) error {
	if c.Records < 1000 || c.Duplicates < 0 || c.Duplicates > 90 || c.Runs < 1 {
		return usageError{errors.New("--records: want at least 1000; --duplicates: want 0 to 90; --runs: want at least 1")}
	}
	report, err := measure.Pipeline(ctx, measure.Options{
		Records: c.Records, Duplicates: c.Duplicates, Servers: c.Server, Syncs: c.Sync, Stages: c.Stage, Runs: c.Runs, Profiles: c.CPUProfile, Log: os.Stderr,
	})
	if err != nil {
		return err
	}
	if err := out.print(report); err != nil || !c.Guard {
		return err
	}
	return report.Guard()
}

type scaleCmd struct {
	Pollers []int         `default:"1,4" help:"How many poller processes, one measurement each (${default}); the first is what the others are compared with."`
	Windows int           `default:"192" help:"Windows that are read (${default})."`
	Pages   int           `default:"10" help:"Requests of each window (${default})."`
	Delay   time.Duration `default:"50ms" help:"What the vendor takes for an answer (${default})."`
	Least   float64       `help:"Fail if the last number of pollers did not fetch so many times what the first did."`
}

func (c *scaleCmd) Run(ctx context.Context, out *output) error {
	if len(c.Pollers) == 0 || slices.Min(c.Pollers) < 1 || c.Windows < 1 || c.Pages < 1 || c.Pages > 1000 || c.Delay <= 0 {
		return usageError{errors.New("--pollers, --windows: want at least 1; --pages: want 1 to 1000; --delay: want more than 0")}
	}
	report, err := measure.Scale(ctx, measure.ScaleOptions{Pollers: c.Pollers, Windows: c.Windows, Pages: c.Pages, Delay: c.Delay, Log: os.Stderr})
	if err != nil {
		return err
	}
	if err := out.print(report); err != nil {
		return err
	}
	return report.Guard(c.Least)
}

type latencyCmd struct {
	Rate   float64       `default:"2000" help:"Records a second (${default}), each at its time whatever became of those before it."`
	For    time.Duration `default:"30s" help:"How long they come (${default})."`
	Warm   time.Duration `default:"5s" help:"How much of it, at the start, is not measured (${default})."`
	Server []string      `default:"external,embedded" enum:"external,embedded" help:"Where the NATS server is: external (a process of its own), embedded (${default})."`
	Sync   []string      `default:"default,always" enum:"default,always" help:"When the server syncs its disk: default (every two minutes), always (${default})."`
	Mode   string        `default:"binary" enum:"binary,structured,batch" help:"Of the webhook: binary, structured, batch (${default})."`
	Most   time.Duration `help:"Fail if the p99 of a place is above."`
}

func (c *latencyCmd) Run(ctx context.Context, out *output) error {
	if c.Rate < 1 || c.Rate > 100_000 || c.Warm < 0 || c.For <= c.Warm || c.For > 5*time.Minute {
		return usageError{errors.New("--rate: want 1 to 100000; --for: want more than --warm and at most 5m")}
	}
	report, err := measure.Latency(ctx, measure.LatencyOptions{
		Rate: c.Rate, For: c.For, Warm: c.Warm, Servers: c.Server, Syncs: c.Sync, Mode: c.Mode, Log: os.Stderr,
	})
	if err != nil {
		return err
	}
	if err := out.print(report); err != nil {
		return err
	}
	return report.Guard(c.Most)
}

type memoryCmd struct {
	Records    int     `default:"2000000" help:"Records (${default}), 2 KiB each."`
	Entities   int     `default:"200000" help:"Chats that they are of (${default})."`
	Changed    int     `default:"10" help:"Percent of a chat's later records that changed (${default})."`
	Steps      int     `default:"10" help:"How often it is looked (${default})."`
	Server     string  `default:"external" enum:"external,embedded" help:"Where the NATS server is: external (a process of its own), embedded (${default})."`
	Sync       string  `default:"default" enum:"default,always" help:"When the server syncs its disk: default (every two minutes), always (${default})."`
	Cache      string  `help:"PARLEY_DEDUPE_CACHE of the process, such as 16MiB."`
	MemProfile string  `name:"memprofile" help:"Folder for a profile of the heap at each step."`
	Most       float64 `help:"Fail if the process had more MiB at any time."`
}

func (c *memoryCmd) Run(ctx context.Context, out *output) error {
	if c.Records < 1000 || c.Entities < 8000 || c.Entities > c.Records || c.Changed < 0 || c.Changed > 100 || c.Steps < 1 || c.Steps > c.Records {
		return usageError{errors.New("--records: want at least 1000; --entities: want 8000 to --records; --changed: want 0 to 100; --steps: want at least 1")}
	}
	report, err := measure.Memory(ctx, measure.MemoryOptions{
		Records: c.Records, Entities: c.Entities, Changed: c.Changed, Steps: c.Steps,
		Server: c.Server, Sync: c.Sync, Cache: c.Cache, Profiles: c.MemProfile, Log: os.Stderr,
	})
	if err != nil {
		return err
	}
	if err := out.print(report); err != nil {
		return err
	}
	return report.Guard(c.Most)
}

// report is what a command measured.
type report interface {
	JSON(w io.Writer) error
	Table(w io.Writer) error
}

type output struct{ json bool }

func (o *output) print(r report) error {
	if o.json {
		return r.JSON(os.Stdout)
	}
	return r.Table(os.Stdout)
}

type usageError struct{ error }

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if job, is := measure.Child(os.Args); is {
		if err := job(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			return 1
		}
		return 0
	}
	var c cli
	var out output
	parser, err := kong.New(&c, kong.Name("load"), kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&out),
		kong.Description("Measures Parley beside its own ceilings."), kong.Vars{"stages": measure.StageNames()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		return 1
	}
	command, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		return 2
	}
	out.json = c.JSON
	err = command.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
	}
	if wrong := (usageError{}); errors.As(err, &wrong) {
		return 2
	}
	if err != nil {
		return 1
	}
	return 0
}
