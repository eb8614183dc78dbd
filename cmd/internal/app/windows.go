package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/cmd/internal/operator"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

// Reach gives a running Parley's broker, or else starts the embedded server for the time of a command.
func (a *App) Reach(ctx context.Context) (*broker.Broker, error) {
	if b, err := a.Attach(ctx); err == nil || len(a.Config.NATS.URLs) > 0 {
		return b, err
	}
	return a.Broker(ctx)
}

// ReachStored is Reach for a command that only looks or needs what is stored: it makes no store where there is none.
func (a *App) ReachStored(ctx context.Context) (*broker.Broker, error) {
	if len(a.Config.NATS.URLs) == 0 && !broker.HasStore(a.Config.DataDir) {
		return nil, settings.Faults{{Variable: "PARLEY_DATA_DIR", Got: a.Config.DataDir, Want: "holds nothing: no parley has run there yet; " +
			"start `parley run`, or set it, or PARLEY_NATS_URL, to where one runs"}}
	}
	return a.Reach(ctx)
}

// Coverage shows which windows are read, with counts, and where the gaps are; of all sources, or of those that are named.
func (a *App) Coverage(ctx context.Context, names []string, asJSON bool) error {
	sources, err := a.named(names)
	if err != nil {
		return err
	}
	b, err := a.ReachStored(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	all := []operator.Coverage{}
	for _, s := range sources {
		status, err := pollers.Inspect(ctx, b, s, time.Now())
		if err != nil {
			return err
		}
		for i := range status.Streams {
			all = append(all, operator.CoverageOf(s.Settings.Name, &status.Streams[i]))
		}
	}
	if asJSON {
		encoder := json.NewEncoder(a.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(all)
	}
	for i := range all {
		if err := printCoverage(a.Out, &all[i]); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(a.Out, console.Legend())
	return err
}

// named gives the sources with these names, or all.
func (a *App) named(names []string) ([]*pollers.Source, error) {
	if err := a.Missing(Roles{Poll: true}); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return a.sources, nil
	}
	var out []*pollers.Source
	for _, name := range names {
		i := slices.IndexFunc(a.sources, func(s *pollers.Source) bool { return s.Settings.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: PARLEY_SOURCES has no source %q", ErrUsage, name)
		}
		out = append(out, a.sources[i])
	}
	return out, nil
}

// printCoverage writes the stream's line, its calendar and its gaps.
func printCoverage(w io.Writer, c *operator.Coverage) error {
	var states []string
	for _, state := range slices.Sorted(maps.Keys(c.Counts)) {
		if n := c.Counts[state]; n > 0 {
			states = append(states, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(states) == 0 {
		states = append(states, "nothing yet")
	}
	if _, err := fmt.Fprintf(w, "%s %s: %s; %s\n", c.Source, c.Stream, strings.Join(states, ", "), console.Count(c.Records, "record", "records")); err != nil {
		return err
	}
	if days := c.Days(); len(days) > 0 {
		marks := make([]console.Mark, len(days))
		for i, d := range days {
			marks[i] = markOf(d.State)
		}
		if err := console.Calendar(w, days[0].From, marks); err != nil {
			return err
		}
	}
	return printGaps(w, c)
}

// maxGaps is how many of a stream's gaps are named.
const maxGaps = 10

func printGaps(w io.Writer, c *operator.Coverage) error {
	var out strings.Builder
	gaps := 0
	for _, g := range c.Gaps() {
		if gaps++; gaps > maxGaps {
			continue
		}
		fmt.Fprintf(&out, "  %-8s %s to %s", g.State, g.From.In(c.Location).Format(time.RFC3339), g.To.In(c.Location).Format(time.RFC3339))
		if g.Error != "" {
			fmt.Fprintf(&out, ": %s (attempt %d, again at %s)", console.Printable(g.Error), g.Attempts, g.RetryAt.In(c.Location).Format(time.RFC3339))
		}
		out.WriteByte('\n')
	}
	if gaps > maxGaps {
		fmt.Fprintf(&out, "  and %d more; --json has them all\n", gaps-maxGaps)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func markOf(s pollers.State) console.Mark {
	switch s {
	case "":
		return console.MarkNone
	case pollers.StateComplete:
		return console.MarkComplete
	case pollers.StateRunning:
		return console.MarkRunning
	case pollers.StatePartial:
		return console.MarkPartial
	case pollers.StateFailed:
		return console.MarkFailed
	default:
		return console.MarkPlanned
	}
}
