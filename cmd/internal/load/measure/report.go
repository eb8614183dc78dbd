package measure

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
)

// Report is what was measured.
type Report struct {
	Machine Machine `json:"machine"`
	Runs    []Run   `json:"runs"`
}

// Machine is where it was measured.
type Machine struct {
	Processors int    `json:"processors"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
}

func machine() Machine {
	return Machine{Processors: runtime.NumCPU(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

// Run is one kind of server.
type Run struct {
	Server string   `json:"server,omitempty"` // external, embedded
	Sync   string   `json:"sync,omitempty"`   // default, always
	Stages []Figure `json:"stages"`
	// Pairs compare stages that were measured next to each other in several rounds.
	Pairs []Pairs `json:"pairs,omitempty"`
}

// Pairs are a stage's ratios to another of the same round, as in Figure.
type Pairs struct {
	Stage      string `json:"stage"`
	Of         string `json:"of"`
	Rounds     int    `json:"rounds"`
	Throughput Spread `json:"throughput"`
	CPU        Spread `json:"cpu"`
}

// Spread is a median between its quartiles.
type Spread struct {
	Low    float64 `json:"low"`
	Median float64 `json:"median"`
	High   float64 `json:"high"`
}

func spread(values []float64) Spread {
	slices.Sort(values)
	at := func(quarter int) float64 {
		place := float64(quarter*(len(values)-1)) / 4
		below := int(place)
		return values[below] + (place-float64(below))*(values[min(below+1, len(values)-1)]-values[below])
	}
	return Spread{Low: at(1), Median: at(2), High: at(3)}
}

// String shows the median and the quartiles.
func (s Spread) String() string { return fmt.Sprintf("%.3f (%.3f to %.3f)", s.Median, s.Low, s.High) }

// Figure is one stage's.
type Figure struct {
	Stage   string  `json:"stage"`
	Records int     `json:"records"`
	Seconds float64 `json:"seconds"`
	// PerSecond are records.
	PerSecond float64 `json:"per_second"`
	// Of is the stage that Ratio compares the throughput with. CPURatio is the ceiling's processor time for a record, the server's included,
	// over this stage's: what Ratio is on a machine that does nothing else, whatever else it does.
	Of       string  `json:"of,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	CPURatio float64 `json:"cpu_ratio,omitempty"`
	// Own and Server are processor time for a record in microseconds; an embedded server's is in Own.
	Own    float64 `json:"own_us"`
	Server float64 `json:"server_us"`
	// PeakMiB is the most memory of the process that was measured.
	PeakMiB float64 `json:"peak_mib,omitempty"`
}

// figure is a stage that took so long.
func figure(stage string, records int, took time.Duration, own, server usage) Figure {
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(records) }
	return Figure{
		Stage: stage, Records: records, Seconds: took.Seconds(), PerSecond: float64(records) / took.Seconds(),
		Own: each(own.CPU), Server: each(server.CPU), PeakMiB: float64(own.Peak) / (1 << 20),
	}
}

// and is a stage that was measured once more; nothing and a stage is that stage.
func (f Figure) and(g Figure) Figure {
	records, more := float64(f.Records), float64(g.Records)
	g.Own, g.Server = (f.Own*records+g.Own*more)/(records+more), (f.Server*records+g.Server*more)/(records+more)
	g.Records, g.Seconds, g.PeakMiB = f.Records+g.Records, f.Seconds+g.Seconds, max(f.PeakMiB, g.PeakMiB)
	g.PerSecond = float64(g.Records) / g.Seconds
	return g
}

// of compares a stage with its ceiling.
func (f Figure) of(ceiling Figure) Figure {
	if f.Stage == ceiling.Stage || ceiling.PerSecond == 0 {
		return f
	}
	f.Of, f.Ratio = ceiling.Stage, f.PerSecond/ceiling.PerSecond
	f.CPURatio = (ceiling.Own + ceiling.Server) / (f.Own + f.Server)
	return f
}

// median gives for each stage the one whose ratio is the median of several measurements, or whose throughput is where there is no ratio.
func median(measured [][]Figure) (all []Figure) {
	for i := range measured[0] {
		same := make([]Figure, len(measured))
		for n, m := range measured {
			same[n] = m[i]
		}
		slices.SortFunc(same, func(a, b Figure) int {
			return cmp.Or(cmp.Compare(a.Ratio, b.Ratio), cmp.Compare(a.PerSecond, b.PerSecond))
		})
		all = append(all, same[len(same)/2])
	}
	return all
}

// JSON writes the report as JSON.
func (r Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Table writes the report for a person.
func (r Report) Table(w io.Writer) error {
	for i, run := range r.Runs {
		if i > 0 {
			_, _ = fmt.Fprintln(w) // the table after it meets the same error
		}
		if run.Server != "" {
			_, _ = fmt.Fprintf(w, "%s server, sync %s; %d processors, %s %s\n", run.Server, run.Sync, r.Machine.Processors, r.Machine.Go, r.Machine.Platform)
		}
		if err := run.table(w); err != nil {
			return err
		}
	}
	return nil
}

func (r Run) table(w io.Writer) error {
	header := []string{"stage", "records", "seconds", "records/s", "ratio", "by CPU", "of", "own µs", "server µs", "peak MiB"}
	var rows [][]any
	for _, f := range r.Stages {
		row := []any{f.Stage, f.Records, round(f.Seconds, 2), round(f.PerSecond, 0), "", "", f.Of, round(f.Own, 1), round(f.Server, 1), round(f.PeakMiB, 0)}
		if f.Of != "" {
			row[4], row[5] = fmt.Sprintf("%.2f", f.Ratio), fmt.Sprintf("%.2f", f.CPURatio)
		}
		rows = append(rows, row)
	}
	if err := console.Table(w, header, rows, nil); err != nil {
		return err
	}
	for _, p := range r.Pairs {
		if _, err := fmt.Fprintf(w, "%s, of %s, median and quartiles of %d rounds: records/s %s, by CPU %s\n", p.Stage, p.Of, p.Rounds, p.Throughput, p.CPU); err != nil {
			return err
		}
	}
	return nil
}

func round(x float64, digits int) string { return fmt.Sprintf("%.*f", digits, x) }

// floors are where a stage has fallen so far that something is broken: a third of what it should reach, or less. They are compared with
// the ratio of processor times, which other work on the machine changes little.
var floors = map[string]float64{
	stageNew: 0.10, stageUnchanged: 0.20, stageFile: 0.25, stageWhole: 0.08,
}

// Guard fails when a stage has fallen far below its ceiling.
func (r Report) Guard() error {
	var fallen []error
	for _, run := range r.Runs {
		for _, f := range run.Stages {
			if floor := floors[f.Stage]; f.Of != "" && f.CPURatio < floor {
				fallen = append(fallen, fmt.Errorf("%s on the %s server takes %.1f µs of processor time for a record, %.2f of %s, less than %.2f; see its profile (--cpuprofile)",
					f.Stage, run.Server, f.Own+f.Server, f.CPURatio, f.Of, floor))
			}
		}
	}
	return errors.Join(fallen...)
}
