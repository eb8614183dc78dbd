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
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// Reach gives a running Parley's broker, or else starts the embedded server for the time of a command that only looks.
func (a *App) Reach(ctx context.Context) (*broker.Broker, error) {
	if b, err := a.Attach(ctx); err == nil || len(a.Config.NATS.URLs) > 0 {
		return b, err
	}
	return a.Broker(ctx)
}

// window is one of `parley coverage --json`.
type window struct {
	From     time.Time     `json:"from,omitzero"` // a snapshot has neither from nor to
	To       time.Time     `json:"to,omitzero"`
	State    pollers.State `json:"state"`
	Records  int           `json:"records"`
	Requests int           `json:"requests"`
	ReadAt   time.Time     `json:"read_at,omitzero"`
	Attempts int           `json:"attempts,omitempty"`
	Error    string        `json:"error,omitempty"`
	RetryAt  time.Time     `json:"retry_at,omitzero"`
}

// coverage is what `parley coverage` shows of one stream.
type coverage struct {
	Source  string                `json:"source"`
	Stream  string                `json:"stream"`
	Zone    string                `json:"timezone"`
	Counts  map[pollers.State]int `json:"counts"`
	Records int                   `json:"records"`
	Windows []window              `json:"windows"`

	snapshot bool
	loc      *time.Location
}

// Coverage shows which windows are read, with counts, and where the gaps are; of all sources, or of those that are named.
func (a *App) Coverage(ctx context.Context, names []string, asJSON bool) error {
	sources, err := a.named(names)
	if err != nil {
		return err
	}
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	all := []coverage{}
	for _, s := range sources {
		status, err := pollers.Inspect(ctx, b, s, time.Now())
		if err != nil {
			return err
		}
		for i := range status.Streams {
			all = append(all, coverageOf(s.Settings.Name, &status.Streams[i]))
		}
	}
	if asJSON {
		encoder := json.NewEncoder(a.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(all)
	}
	for i := range all {
		if err := all[i].print(a.Out); err != nil {
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

func coverageOf(source string, s *pollers.StreamStatus) coverage {
	c := coverage{
		Source: source, Stream: s.Stream.Name, Zone: s.Location.String(), Counts: s.Count(), Windows: []window{},
		snapshot: s.Stream.Snapshot, loc: s.Location,
	}
	for _, e := range s.Windows {
		c.Records += e.Records
		c.Windows = append(c.Windows, window{
			From: e.From, To: e.To, State: e.Standing(), Records: e.Records, Requests: e.Requests, ReadAt: e.ReadAt,
			Attempts: e.Attempts, Error: e.Error, RetryAt: e.RetryAt,
		})
	}
	for _, hole := range s.Holes {
		c.Windows = append(c.Windows, window{From: hole.From, To: hole.To, State: pollers.StatePlanned})
	}
	slices.SortStableFunc(c.Windows, func(a, b window) int { return a.From.Compare(b.From) })
	return c
}

// print writes the stream's line, its calendar and its gaps.
func (c *coverage) print(w io.Writer) error {
	var states []string
	for _, state := range slices.Sorted(maps.Keys(c.Counts)) {
		if n := c.Counts[state]; n > 0 {
			states = append(states, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(states) == 0 {
		states = append(states, "nothing yet")
	}
	if _, err := fmt.Fprintf(w, "%s %s: %s; %d records\n", c.Source, c.Stream, strings.Join(states, ", "), c.Records); err != nil {
		return err
	}
	if !c.snapshot && len(c.Windows) > 0 {
		first, days := c.days()
		if err := console.Calendar(w, first, days); err != nil {
			return err
		}
	}
	return c.printGaps(w)
}

// maxGaps is how many of a stream's gaps are named.
const maxGaps = 10

func (c *coverage) printGaps(w io.Writer) error {
	var out strings.Builder
	gaps := 0
	for _, g := range c.gaps() {
		if gaps++; gaps > maxGaps {
			continue
		}
		fmt.Fprintf(&out, "  %-8s %s to %s", g.State, g.From.In(c.loc).Format(time.RFC3339), g.To.In(c.loc).Format(time.RFC3339))
		if g.Error != "" {
			fmt.Fprintf(&out, ": %s (attempt %d, again at %s)", console.Printable(g.Error), g.Attempts, g.RetryAt.In(c.loc).Format(time.RFC3339))
		}
		out.WriteByte('\n')
	}
	if gaps > maxGaps {
		fmt.Fprintf(&out, "  and %d more; --json has them all\n", gaps-maxGaps)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// gaps are the windows that are not complete; neighbours that are merely planned are one.
func (c *coverage) gaps() (out []window) {
	for _, w := range c.Windows {
		if w.State == pollers.StateComplete || w.State == pollers.StateRunning || c.snapshot && w.Error == "" {
			continue
		}
		if n := len(out); n > 0 && w.State == pollers.StatePlanned && out[n-1].State == w.State && out[n-1].To.Equal(w.From) {
			out[n-1].To = w.To
			continue
		}
		out = append(out, w)
	}
	return out
}

// days gives a mark for each day of the stream's zone.
func (c *coverage) days() (first time.Time, days []console.Mark) {
	last := c.Windows[0].To
	for _, w := range c.Windows {
		if w.To.After(last) {
			last = w.To
		}
	}
	y, m, d := c.Windows[0].From.In(c.loc).Date()
	first = time.Date(y, m, d, 0, 0, 0, 0, c.loc)
	for day := first; day.Before(last); day = day.AddDate(0, 0, 1) {
		next, mark := day.AddDate(0, 0, 1), console.MarkNone
		for _, w := range c.Windows {
			if w.From.Before(next) && w.To.After(day) {
				mark = max(mark, markOf(w.State))
			}
		}
		days = append(days, mark)
	}
	return first, days
}

func markOf(s pollers.State) console.Mark {
	switch s {
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
