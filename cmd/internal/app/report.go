package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

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
