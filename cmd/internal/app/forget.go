package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/sinks"
)

// ForgetRequest is what `parley forget` was asked for.
type ForgetRequest struct {
	// Visitor is an e-mail address, or the id of a visitor or customer.
	Visitor string
	// Again erases whoever was erased before and is there again, and nobody else unless a Visitor is named.
	Again bool
	// Source limits it to one source; an id needs it where there are several.
	Source string
	// FormerPolicy finds what was published under a privacy policy or key that the processors had before, and this command has.
	FormerPolicy bool
	DryRun       bool
	Yes          bool // do not ask
	JSON         bool
}

// forgotten is what `parley forget` prints.
type forgotten struct {
	processors.Erasure
	DryRun bool `json:"dry_run"`
	// Places are what destinations hold of the person, which only who runs them can remove.
	Places []place `json:"places"`
	// Unsearched are sinks that cannot tell, and why.
	Unsearched []string `json:"unsearched,omitempty"`
}

type place struct {
	Sink   string `json:"sink"`
	Place  string `json:"place"`
	Events int    `json:"events"`
}

// Forget erases a person, or says what would be erased.
func (a *App) Forget(ctx context.Context, q ForgetRequest, in *os.File) error {
	person, err := a.person(q)
	if err != nil {
		return err
	}
	b, err := a.ReachStored(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := a.knowsHashes(ctx, b, q); err != nil {
		return err
	}
	eraser, err := processors.NewEraser(ctx, b, processors.EraserOptions{
		Normalizers: a.processorOptions().Normalizers, Alias: a.alias(), List: processors.Erasures(a.Config.ErasedFile), Progress: func(what string) { a.Log.Debug(what) },
	})
	if err != nil {
		return err
	}
	if q.DryRun || !q.Yes {
		found, err := eraser.Find(ctx, person)
		if err != nil {
			return err
		}
		if err := a.printForgotten(ctx, found, q.JSON, true); err != nil || q.DryRun {
			return err
		}
		if sure, err := a.sure(in); err != nil || !sure {
			return err
		}
	}
	done, err := eraser.Erase(ctx, person)
	if err != nil {
		return err
	}
	return a.printForgotten(ctx, done, q.JSON, false)
}

// person gives the identifiers that are looked for first.
func (a *App) person(q ForgetRequest) ([]events.Identifier, error) {
	value := strings.TrimSpace(q.Visitor)
	var names []string
	for _, s := range a.sources {
		names = append(names, s.Settings.Name)
	}
	switch {
	case value == "" && q.Again:
		return nil, nil
	case value == "":
		return nil, fmt.Errorf("%w: --visitor: is empty; want an e-mail address, or the id of a visitor or customer, or --again", ErrUsage)
	case q.Source != "" && !slices.Contains(names, q.Source):
		return nil, fmt.Errorf("%w: --source: is %q, want one of %s", ErrUsage, q.Source, strings.Join(names, ", "))
	case strings.Contains(value, "@"):
		return []events.Identifier{{Kind: events.ByEmail, Source: q.Source, Value: strings.ToLower(value)}}, nil
	case q.Source == "" && len(names) != 1:
		return nil, fmt.Errorf("%w: --source: is empty; the same id is another person's in another source: name one of %s", ErrUsage, strings.Join(names, ", "))
	}
	source := q.Source
	if source == "" {
		source = names[0]
	}
	return []events.Identifier{{Kind: events.ByVisitor, Source: source, Value: value}}, nil
}

// knowsHashes refuses to look for a person by another privacy policy than the processors': what they published as hashes under another key would not
// be found. Where no processor has said its policy, there is nothing to compare; and of who was erased before the hashes are remembered, while the
// processors, whose policy may be a newer one than what was restored says, cannot start.
func (a *App) knowsHashes(ctx context.Context, b *broker.Broker, q ForgetRequest) error {
	if q.FormerPolicy || strings.TrimSpace(q.Visitor) == "" {
		return nil
	}
	err := a.comparePolicy(ctx, b, ", or the person is not found by what they hash. With --former-policy the person is looked for under a policy and key that they had before")
	if errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	return err
}

// alias gives what the privacy policy makes of a value that it hashes.
func (a *App) alias() func(string) string {
	if a.privacy == nil {
		return nil
	}
	return a.privacy.Hashed
}

// sure asks; without a terminal nobody can answer.
func (a *App) sure(in *os.File) (bool, error) {
	if !console.Terminal(in) {
		return false, fmt.Errorf("%w: nothing was erased; --yes erases without asking, --dry-run only shows", ErrUsage)
	}
	if _, err := fmt.Fprint(a.Err, "Erase this for good? Type yes: "); err != nil {
		return false, err
	}
	answer, _ := bufio.NewReader(in).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		_, err := fmt.Fprintln(a.Err, "nothing was erased")
		return false, err
	}
	return true, nil
}

// printForgotten says what was found or erased, and where destinations still hold it.
func (a *App) printForgotten(ctx context.Context, found processors.Erasure, asJSON, dry bool) error {
	f := forgotten{Erasure: found, DryRun: dry, Places: []place{}}
	a.searchSinks(ctx, &f)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if asJSON {
		return json.NewEncoder(a.Out).Encode(f)
	}
	var out strings.Builder
	word := "erased"
	if dry {
		word = "would be erased"
	}
	if found.Empty() {
		out.WriteString("no stream holds anything of this person, so files and objects were not searched; of one who was erased before, they were named then\n")
	}
	if len(found.Known) > 0 {
		fmt.Fprintf(&out, "also known as %s\n", strings.Join(found.Known, ", "))
	}
	for _, e := range found.Entities {
		note := ""
		if e.Mentioned {
			note = " (by what it says, or by its conversation)"
		}
		fmt.Fprintf(&out, "%s %s %s/%s %s%s\n", word, e.Kind, e.Vendor, e.Source, e.VendorID, note)
	}
	for _, stream := range slices.Sorted(maps.Keys(found.Messages)) {
		fmt.Fprintf(&out, "%s: %s %s\n", stream, console.Count(found.Messages[stream], "message", "messages"), word)
	}
	if !dry {
		fmt.Fprintf(&out, "%s so to sinks and subscribers\n", console.Count(found.Tombstones, "event says", "events say"))
	}
	for _, p := range f.Places {
		fmt.Fprintf(&out, "%s still holds %s in %s\n", p.Sink, console.Count(p.Events, "event", "events"), p.Place)
	}
	for _, u := range f.Unsearched {
		fmt.Fprintf(&out, "%s\n", u)
	}
	if !dry && a.Config.ErasedFile == "" {
		out.WriteString("should a backup that is older be restored, forget this person again; with PARLEY_ERASED_FILE, a file outside of what is restored, `parley forget --again` is enough\n")
	}
	_, err := fmt.Fprint(a.Out, printableLines(out.String()))
	return err
}

// printableLines takes out of each line what a terminal would obey.
func printableLines(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(console.Printable(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return out.String()
}

// searchSinks asks every destination that can tell what it holds of the entities.
func (a *App) searchSinks(ctx context.Context, f *forgotten) {
	if len(f.Entities) == 0 {
		return
	}
	ids := make([]string, len(f.Entities))
	for i := range f.Entities {
		ids[i] = f.Entities[i].VendorID
	}
	for _, s := range a.sinks {
		name := s.settings.Name
		if a.finder(s, s.settings.URL) == nil {
			f.Unsearched = append(f.Unsearched, "sink "+name+" cannot tell what it holds; it gets the events that say what was erased")
			continue
		}
		a.searchSink(ctx, f, name, a.finder(s, s.settings.URL), ids)
		// What was replayed lies beside.
		a.searchSink(ctx, f, sinks.ReplayKey(name), a.finder(s, besideURL(s.settings.URL)), ids)
	}
}

func (a *App) searchSink(ctx context.Context, f *forgotten, name string, finder sinks.Finder, ids []string) {
	err := finder.Find(ctx, ids, func(at string, n int) error {
		f.Places = append(f.Places, place{Sink: name, Place: at, Events: n})
		return nil
	})
	if err != nil && !errors.Is(err, ctx.Err()) {
		f.Unsearched = append(f.Unsearched, "sink "+name+" could not be searched wholly: "+a.redact.Redact(err.Error()))
	}
}

// finder gives a sink's, for one of its destinations; nil where that cannot tell.
func (a *App) finder(s sink, at *url.URL) sinks.Finder {
	for _, kind := range catalog.Sinks() {
		if kind.Scheme != s.settings.URL.Scheme || kind.Find == nil {
			continue
		}
		for _, conf := range a.Config.Sinks {
			if conf.Name == s.settings.Name {
				return kind.Find(s.settings, conf.Vars, at, sinks.Env{Stdout: a.Out, DataDir: a.Config.DataDir})
			}
		}
	}
	return nil
}
