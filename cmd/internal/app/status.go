package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/cmd/internal/operator"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// operator looks at what the configuration names, and acts on it.
func (a *App) operator(b *broker.Broker) *operator.Operator {
	names := make([]string, len(a.sinks))
	for i, s := range a.sinks {
		names[i] = s.settings.Name
	}
	return operator.New(b, a.sources, names)
}

// ShowStatus prints how everything stands.
func (a *App) ShowStatus(ctx context.Context, asJSON bool) error {
	b, err := a.ReachStored(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	view, err := a.operator(b).Look(ctx, time.Now())
	if err != nil {
		return err
	}
	s := &view.Status
	if asJSON {
		encoder := json.NewEncoder(a.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	return printStatus(a.Out, s, time.Now())
}

// lateness says at which ages windows were read again, and how many of them had changed.
func lateness(ages []operator.LatenessLine) string {
	var told []string
	for _, l := range ages {
		if age, err := time.ParseDuration(l.Age); err == nil && l.Reads > 0 {
			told = append(told, fmt.Sprintf("%d of %d at %s", l.Changed, l.Reads, short(age)))
		}
	}
	return strings.Join(told, ", ")
}

// short writes a span as SETTLE has it: 72h, and not 72h0m0s.
func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// limitOf says what an account allows.
func limitOf(rate string) string {
	if rate == (pollers.Rate{}).String() {
		return "no limit"
	}
	return "at most " + rate
}

func printStatus(w io.Writer, s *operator.Status, now time.Time) error {
	rows := make([][]any, 0, len(s.Sources))
	var out strings.Builder
	asked := ""
	for _, l := range s.Sources {
		if l.Source != asked { // its streams have one budget together
			asked = l.Source
			fmt.Fprintf(&out, "source %s: %s in the last whole minute, %s\n", l.Source, console.Count(l.Requests, "request", "requests"), limitOf(l.Rate))
		}
		fresh, unsettled := "never read", ""
		if !l.FreshAt.IsZero() {
			fresh = console.Ago(now.Sub(l.FreshAt))
		}
		if !l.Unsettled.IsZero() {
			unsettled = console.Ago(now.Sub(l.Unsettled))
		}
		c := l.Counts
		rows = append(rows, []any{
			l.Source, l.Stream, c[pollers.StateComplete], l.Due + c[pollers.StateRunning], c[pollers.StateFailed], c[pollers.StatePartial],
			fresh, unsettled, lateness(l.Lateness),
		})
	}
	if len(rows) > 0 {
		err := console.Table(w, []string{"source", "stream", "complete", "to read", "failed", "partial", "data up to", "unsettled since", "changed later"}, rows, nil)
		if err != nil {
			return err
		}
	}
	for _, l := range s.Sinks {
		fmt.Fprintf(&out, "sink %s: ", l.Sink)
		if l.Never {
			out.WriteString("has never run")
		} else {
			fmt.Fprintf(&out, "%s, %d in hand", console.Count(l.Waiting, "event waits", "events wait"), l.InHand)
		}
		if l.Again > 0 {
			fmt.Fprintf(&out, ", %d to be given again", l.Again)
		}
		if !l.Halted.IsZero() {
			out.WriteString(", paused")
		}
		out.WriteByte('\n')
	}
	fmt.Fprintf(&out, "records not processed yet: %d", s.Raw)
	if !s.OldestRaw.IsZero() {
		fmt.Fprintf(&out, ", the oldest %s", console.Ago(now.Sub(s.OldestRaw)))
	}
	fmt.Fprintf(&out, "\nrunning: %s, %s\n", console.Count(s.Alive["poll"], "poller", "pollers"), console.Count(s.Alive["process"], "processor", "processors"))
	if len(s.Attention) == 0 {
		out.WriteString("nothing needs attention\n")
	}
	for _, line := range s.Attention {
		fmt.Fprintln(&out, "look:", console.Printable(line))
	}
	_, err := io.WriteString(w, out.String())
	return err
}
