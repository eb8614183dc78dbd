// Command parley turns live-chat vendors into one stream of CloudEvents.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
	_ "time/tzdata" // an image without a zone database still knows every zone

	"github.com/alecthomas/kong"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/cmd/internal/config"
)

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

type cli struct {
	Run        runCmd        `cmd:"" help:"Play every role in one process."`
	Poll       pollCmd       `cmd:"" help:"Fetch windows from the vendors, on an external NATS; start as many as you like."`
	Process    processCmd    `cmd:"" help:"Turn raw records into events, on an external NATS; start as many as you like."`
	Sink       sinkCmd       `cmd:"" help:"Deliver events to the sinks, on an external NATS."`
	Demo       demoCmd       `cmd:"" help:"Run everything on invented vendors, without any configuration."`
	Simulate   simulateCmd   `cmd:"" help:"Serve the vendors' APIs over invented accounts."`
	Check      checkCmd      `cmd:"" help:"Try the configuration: NATS, credentials, clocks, sinks."`
	Status     statusCmd     `cmd:"" help:"Show how sources, sinks and processors stand, and what needs attention."`
	Coverage   coverageCmd   `cmd:"" help:"Show which windows are read, and where the gaps are."`
	Backfill   backfillCmd   `cmd:"" help:"Read a past range, and follow it; any number at once."`
	Reprocess  reprocessCmd  `cmd:"" help:"Normalise a source's stored records again, after an upgrade; only what differs becomes an event."`
	Replay     replayCmd     `cmd:"" help:"Give stored events to one sink again."`
	Dashboard  dashboardCmd  `cmd:"" help:"Serve the dashboard at PARLEY_HTTP_ADDR and play no role, on an external NATS; as the operator, it shows all of it."`
	Pause      pauseCmd      `cmd:"" help:"Have a sink deliver nothing, wherever it runs; its backlog waits."`
	Resume     resumeCmd     `cmd:"" help:"Have a paused sink go on."`
	Dlq        dlqCmd        `cmd:"" help:"Dead letters: list, explain, replay, drop."`
	Forget     forgetCmd     `cmd:"" help:"Erase a person from everything that is stored, and tell sinks and subscribers."`
	Tail       tailCmd       `cmd:"" help:"Show events as they come."`
	Provision  provisionCmd  `cmd:"" help:"Make the streams and consumers that roles with permissions of their own take."`
	Identities identitiesCmd `cmd:"" help:"Make an identity on NATS for each role, for deploy/nats."`
	Health     healthCmd     `cmd:"" help:"Ask the process that serves PARLEY_HTTP_ADDR whether it can do its work; 1 and why, if not."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

type runCmd struct {
	Once bool `help:"Read everything that is due once, deliver it, print a summary and end."`
}

func (c *runCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error {
		if c.Once {
			return a.RunOnce(ctx)
		}
		return lasting(a.Run(ctx, app.All()))
	})
}

type pollCmd struct{}

func (*pollCmd) Run(ctx context.Context) error { return role(ctx, app.Roles{Poll: true}) }

type processCmd struct{}

func (*processCmd) Run(ctx context.Context) error { return role(ctx, app.Roles{Process: true}) }

type sinkCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Sinks to run; all of PARLEY_SINKS without any."`
}

func (c *sinkCmd) Run(ctx context.Context) error {
	return role(ctx, app.Roles{Sink: true, Sinks: c.Names})
}

type demoCmd struct {
	Once bool `help:"End when the files hold every seeded chat."`
}

func (c *demoCmd) Run(ctx context.Context) error {
	return lasting(app.Demo(ctx, c.Once, os.Stdout, os.Stderr))
}

type simulateCmd struct {
	Addr  string `default:"127.0.0.1:8095" help:"Address to listen on (${default})."`
	Seed  int64  `default:"1" help:"Seed of the invented accounts (${default})."`
	Days  int    `default:"14" help:"Days of history (${default})."`
	Chats int    `default:"200" help:"Chats of each vendor (${default})."`
	Live  int    `default:"0" help:"Chats of each vendor that go on arriving per hour (${default})."`
	Bad   int    `default:"0" help:"Malformed records of each vendor (${default})."`
	Fault string `help:"Faults and their shares, such as 429=0.1,500=0.05,cut=0.01; there are 429, 500, cut, html, late (a chat changes after it was read), midnight (the day changes while days are counted back), moved (pages), slow, truncated."`
}

func (c *simulateCmd) Run(ctx context.Context) error {
	if c.Days < 1 || c.Chats < 1 || c.Live < 0 || c.Bad < 0 {
		return usage(errors.New("--days and --chats: want at least 1; --live and --bad: want at least 0"))
	}
	sims, err := app.Simulate(app.Simulation{
		Addr: c.Addr, Seed: c.Seed, Days: c.Days, Chats: c.Chats, LivePerHour: c.Live, Malformed: c.Bad, Faults: c.Fault,
	})
	if err != nil {
		return usage(err)
	}
	if err := sims.PrintEnviron(os.Stdout); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d vendors are simulated on %s; the variables above reach them. Ctrl-C ends.\n", len(sims.Names()), c.Addr)
	return lasting(sims.Serve(ctx))
}

type checkCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *checkCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error {
		ok, err := a.Check(ctx, c.JSON)
		if err == nil && !ok {
			return errReported
		}
		return err
	})
}

type statusCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *statusCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return a.ShowStatus(ctx, c.JSON) })
}

type coverageCmd struct {
	Sources []string `arg:"" optional:"" name:"source" help:"Sources to show; all without any."`
	JSON    bool     `name:"json" help:"Print every window as JSON."`
}

func (c *coverageCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return a.Coverage(ctx, c.Sources, c.JSON) })
}

type backfillCmd struct {
	Source string `arg:"" help:"The source to read."`
	From   string `required:"" help:"Oldest moment: a time such as 2026-01-31T00:00:00Z, or a date (midnight in the source's zone)."`
	To     string `help:"Newest moment, exclusive; now without it."`
	Again  bool   `help:"Read also what was read; unchanged records add no event."`
}

func (c *backfillCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error {
		return a.Backfill(ctx, app.BackfillRequest{Source: c.Source, From: c.From, To: c.To, Again: c.Again})
	})
}

type reprocessCmd struct {
	Source string `arg:"" help:"The source whose records they are."`
	From   string `required:"" help:"Records that were stored from then on: a time, or a date (midnight UTC)."`
	To     string `help:"Up to then, exclusive; now without it."`
	DryRun bool   `help:"Only say what would be done."`
}

func (c *reprocessCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error {
		return a.Reprocess(ctx, app.ReprocessRequest{Source: c.Source, From: c.From, To: c.To, DryRun: c.DryRun})
	})
}

type replayCmd struct {
	Sink   string   `arg:"" help:"The sink that gets them."`
	From   string   `required:"" help:"Events that were stored from then on: a time, or a date (midnight UTC)."`
	To     string   `help:"Up to then, exclusive; now without it."`
	Filter []string `help:"Kinds or subject patterns, such as conversation or conversation.liveagent.*."`
	Rate   int      `help:"At most so many events a second; no limit without it."`
}

func (c *replayCmd) Run(ctx context.Context) error {
	if c.Rate < 0 {
		return usage(errors.New("--rate: want a number above 0"))
	}
	return withApp(func(a *app.App) error {
		return a.Replay(ctx, app.ReplayRequest{Sink: c.Sink, From: c.From, To: c.To, Filter: c.Filter, Rate: c.Rate})
	})
}

type dashboardCmd struct{}

func (*dashboardCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return lasting(a.RunDashboard(ctx)) })
}

type pauseCmd struct {
	Sink string `arg:"" help:"The sink."`
}

func (c *pauseCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return a.PauseSink(ctx, c.Sink) })
}

type resumeCmd struct {
	Sink string `arg:"" help:"The sink."`
}

func (c *resumeCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return a.ResumeSink(ctx, c.Sink) })
}

type dlqCmd struct {
	Ls     dlqLsCmd     `cmd:"" help:"List dead letters."`
	Show   dlqShowCmd   `cmd:"" help:"Show one whole: what failed and why, its bytes, and what to do."`
	Replay dlqReplayCmd `cmd:"" help:"Send dead letters through the stage that gave them up, and only there."`
	Drop   dlqDropCmd   `cmd:"" help:"Delete dead letters for good."`
}

type deadFilter struct {
	Stage  string        `help:"Of this stage: poll, process or sink."`
	Name   string        `help:"Of this source or sink."`
	Vendor string        `help:"Of this vendor."`
	Reason string        `help:"Whose reason has this in it."`
	Since  time.Duration `help:"That are younger than this, such as 24h."`
	Until  time.Duration `help:"That are older than this."`
}

func (f *deadFilter) filter(sequences []uint64) app.DeadFilter {
	out := app.DeadFilter{Stage: f.Stage, Name: f.Name, Vendor: f.Vendor, Reason: f.Reason, Sequences: sequences}
	if f.Since > 0 {
		out.Since = time.Now().Add(-f.Since)
	}
	if f.Until > 0 {
		out.Until = time.Now().Add(-f.Until)
	}
	return out
}

type dlqLsCmd struct {
	deadFilter
	JSON bool `name:"json" help:"Print JSON, one a line."`
}

func (c *dlqLsCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return a.ListDead(ctx, c.filter(nil), c.JSON) })
}

type dlqShowCmd struct {
	Number uint64 `arg:"" help:"As ls lists it."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c *dlqShowCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return a.ShowDead(ctx, c.Number, c.JSON) })
}

// chosen are dead letters by number, or by filter; all of them only when that is said.
type chosen struct {
	deadFilter
	Numbers []uint64 `arg:"" optional:"" name:"number" help:"As ls lists them."`
	All     bool     `help:"All that the filters leave; without any filter, every one."`
	DryRun  bool     `help:"Only say what would be done."`
}

func (c *chosen) choose() (app.DeadFilter, error) {
	if len(c.Numbers) == 0 && !c.All && c.deadFilter == (deadFilter{}) {
		return app.DeadFilter{}, usage(errors.New("which ones? Give numbers, filters, or --all"))
	}
	return c.filter(c.Numbers), nil
}

type dlqReplayCmd struct{ chosen }

func (c *dlqReplayCmd) Run(ctx context.Context) error {
	f, err := c.choose()
	if err != nil {
		return err
	}
	return withApp(func(a *app.App) error { return a.ReplayDead(ctx, f, c.DryRun) })
}

type dlqDropCmd struct{ chosen }

func (c *dlqDropCmd) Run(ctx context.Context) error {
	f, err := c.choose()
	if err != nil {
		return err
	}
	return withApp(func(a *app.App) error { return a.DropDead(ctx, f, c.DryRun) })
}

type forgetCmd struct {
	Visitor string `help:"The person's e-mail address, or id as a visitor or customer."`
	Again   bool   `help:"Whoever was forgotten before: after a backup was restored."`
	Source  string `help:"Only in this source; an id needs it where there are several."`
	Former  bool   `name:"former-policy" help:"What was published under another privacy policy or key, which this command has and the processors had."`
	DryRun  bool   `help:"Only say what would be erased."`
	Yes     bool   `help:"Erase without asking."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (c *forgetCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error {
		return a.Forget(ctx, app.ForgetRequest{Visitor: c.Visitor, Again: c.Again, Source: c.Source, FormerPolicy: c.Former, DryRun: c.DryRun, Yes: c.Yes, JSON: c.JSON}, os.Stdin)
	})
}

type tailCmd struct {
	Filter []string `arg:"" optional:"" help:"Kinds or subject patterns, such as conversation or conversation.liveagent.*."`
	JSON   bool     `name:"json" help:"Print whole events as JSON, one a line."`
	Clear  bool     `help:"Show personal data as it is."`
}

func (c *tailCmd) Run(ctx context.Context) error {
	return withApp(func(a *app.App) error { return lasting(a.RunTail(ctx, c.Filter, c.JSON, c.Clear)) })
}

type provisionCmd struct{}

func (*provisionCmd) Run(ctx context.Context) error {
	return app.Provision(ctx, os.Environ(), os.Stdout, os.Stderr)
}

type identitiesCmd struct {
	Dir string `arg:"" help:"Where: <role>/nkey is for that role's PARLEY_NATS_CREDS, nats/users.conf for the server. What is there stays."`
}

func (c *identitiesCmd) Run() error { return app.Identities(c.Dir, os.Stdout) }

type healthCmd struct{}

func (*healthCmd) Run(ctx context.Context) error {
	return app.Health(ctx, os.Environ(), os.Stdout)
}

type versionCmd struct{}

func (*versionCmd) Run() error {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Println("parley " + version + revision)
	return err
}

func role(ctx context.Context, roles app.Roles) error {
	return withApp(func(a *app.App) error { return lasting(a.RunRole(ctx, roles)) })
}

// lasting is the end of a command that runs until it is stopped: to be stopped is what it was there for. Any other that is stopped has not done
// what was asked.
func lasting(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func withApp(run func(*app.App) error) error {
	a, err := app.New(os.Environ(), os.Stdout, os.Stderr)
	if err != nil {
		return err
	}
	return run(a)
}

// errReported fails the command when everything there is to say was said.
var errReported = errors.New("failed")

func usage(err error) error { return fmt.Errorf("%w: %w", app.ErrUsage, err) }

func main() { os.Exit(run()) }

func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "stopping; once more stops at once")
		cancel()
		select {
		case <-signals:
		case <-time.After(stopLimit):
			fmt.Fprintln(os.Stderr, "stopping took too long; what was not finished comes again at the next start")
		}
		os.Exit(exitFailed)
	}()
	var c cli
	parser, err := kong.New(&c, kong.Name("parley"), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Live-chat vendors as one stream of CloudEvents on NATS JetStream. Configuration is by PARLEY_ variables; see the README."),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(durationFlag)),
		kong.KindMapper(reflect.Int, kong.MapperFunc(numberFlag)), kong.KindMapper(reflect.Int64, kong.MapperFunc(numberFlag)),
		kong.KindMapper(reflect.Uint64, kong.MapperFunc(numberFlag)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "parley:", err)
		return exitFailed
	}
	command, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "parley: %v; `parley --help` lists the commands\n", err)
		return exitUsage
	}
	return exitCode(command.Run())
}

// durationFlag reads a duration.
func durationFlag(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("is %q, want a duration such as 90s, 15m or 24h", text)
	}
	target.SetInt(int64(d))
	return nil
}

// numberFlag reads a whole number.
func numberFlag(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("number", &text); err != nil {
		return err
	}
	if target.CanUint() {
		n, err := strconv.ParseUint(text, 10, target.Type().Bits())
		if err != nil {
			return fmt.Errorf("is %q, want a whole number that is not negative", text)
		}
		target.SetUint(n)
		return nil
	}
	n, err := strconv.ParseInt(text, 10, target.Type().Bits())
	if err != nil {
		return fmt.Errorf("is %q, want a whole number", text)
	}
	target.SetInt(n)
	return nil
}

// stopLimit is how long a stop may take before the process ends as it is.
const stopLimit = 10 * time.Second

func exitCode(err error) int {
	var faults config.Faults
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &faults):
		fmt.Fprintf(os.Stderr, "parley: the configuration is not right:\n%v\n", faults)
		return exitUsage
	case errors.Is(err, app.ErrUsage):
		fmt.Fprintln(os.Stderr, "parley:", err)
		return exitUsage
	case errors.Is(err, errReported), errors.Is(err, app.ErrReported), errors.Is(err, context.Canceled):
		return exitFailed
	default:
		fmt.Fprintln(os.Stderr, "parley:", err)
		return exitFailed
	}
}
