package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events/broker"
)

// MemoryOptions steer Memory.
type MemoryOptions struct {
	Records  int
	Entities int // each is among the records so many times
	Changed  int // percent of the records of a known chat that changed
	Steps    int // how often it is looked
	Server   string
	Sync     string
	Cache    string    // PARLEY_DEDUPE_CACHE; "": its default
	Profiles string    // a folder for the heap's at each step; "" is none
	Log      io.Writer // each step
}

// MemoryReport is what the whole way holds while records pass.
type MemoryReport struct {
	Machine  Machine      `json:"machine"`
	Server   string       `json:"server"`
	Sync     string       `json:"sync"`
	Records  int          `json:"records"`
	Entities int          `json:"entities"`
	Cache    string       `json:"dedupe_cache,omitempty"`
	Stopped  bool         `json:"stopped,omitempty"` // before all records had passed
	Steps    []MemoryStep `json:"steps"`
}

// MemoryStep is the process when RAW had so many records.
type MemoryStep struct {
	Records   int     `json:"records"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	// LiveMiB is what the last collection left, HeapMiB what there is of objects, live or not; ResidentMiB and PeakMiB are the process's.
	LiveMiB     float64 `json:"live_mib"`
	HeapMiB     float64 `json:"heap_mib"`
	ResidentMiB float64 `json:"resident_mib"`
	PeakMiB     float64 `json:"peak_mib"`
}

// Memory measures one process that polls, processes and writes files, in steps. When the context ends it gives the steps so far.
func Memory(ctx context.Context, o MemoryOptions) (report MemoryReport, err error) {
	report = MemoryReport{Machine: machine(), Server: o.Server, Sync: o.Sync, Records: o.Records, Entities: o.Entities, Cache: o.Cache}
	s, err := newStation(ctx, o.Server, o.Sync, "", o.Log)
	if err == nil {
		report.Steps, err = o.steps(ctx, s)
		err = errors.Join(err, s.close())
	}
	if report.Stopped = ctx.Err() != nil && len(report.Steps) > 0; report.Stopped {
		return report, nil // what ended with it does not count
	}
	return report, err
}

func (o MemoryOptions) steps(ctx context.Context, s *station) (steps []MemoryStep, err error) {
	c := chats(o.Records)
	c.Entities, c.Changed = o.Entities, o.Changed
	vendor, err := start(ctx, job{Do: "vendor", Chats: c})
	if err != nil {
		return nil, err
	}
	defer vendor.kill()
	if err := vendor.begin(); err != nil {
		return nil, err
	}
	const windowChats = 1000
	environ := append(sourceVariables(vendor.address, c, windowChats*c.Every, 0, share), sinkVariables(files, s.files(files, "format=ndjson"))...)
	if o.Cache != "" {
		environ = append(environ, "PARLEY_DEDUPE_CACHE="+o.Cache)
	}
	whole, err := s.begin(ctx, job{Do: "play", Roles: "poll process sink"}, environ)
	if err != nil {
		return nil, err
	}
	defer whole.kill()
	began := time.Now()
	if err := whole.begin(); err != nil {
		return nil, err
	}
	for n := range o.Steps {
		want := o.Records * (n + 1) / o.Steps
		if err := s.await(ctx, func(b *broker.Broker) (bool, error) { return o.passed(ctx, b, c, want) }); err != nil {
			return steps, err
		}
		if o.Profiles != "" {
			if err := whole.tell("heap " + filepath.Join(o.Profiles, fmt.Sprint("heap-", want, ".pprof"))); err != nil {
				return steps, err
			}
		}
		u, err := whole.usage()
		if err != nil {
			return steps, err
		}
		step := memoryStep(want, time.Since(began), u)
		_, _ = fmt.Fprintf(o.Log, "%d records after %.0f s: %.0f MiB live, %.0f MiB heap, %.0f MiB resident, %.0f MiB at most\n",
			step.Records, step.Seconds, step.LiveMiB, step.HeapMiB, step.ResidentMiB, step.PeakMiB)
		steps = append(steps, step)
	}
	return steps, nil
}

func memoryStep(records int, took time.Duration, u usage) MemoryStep {
	mib := func(bytes int64) float64 { return float64(bytes) / (1 << 20) }
	return MemoryStep{
		Records: records, Seconds: took.Seconds(), PerSecond: float64(records) / took.Seconds(),
		LiveMiB: mib(u.Live), HeapMiB: mib(u.Heap), ResidentMiB: mib(u.Resident), PeakMiB: mib(u.Peak),
	}
}

// passed tells that RAW has got so many records; of the last ones that all of it is through, and that each change became one event.
func (o MemoryOptions) passed(ctx context.Context, b *broker.Broker, c Chats, want int) (bool, error) {
	state, err := b.StreamState(ctx, broker.Raw)
	if err != nil || state.LastSeq < uint64(want) || want < o.Records {
		return err == nil && state.LastSeq >= uint64(want), err
	}
	if done, err := b.Processed(ctx); err != nil || !done {
		return false, err
	}
	emitted, err := b.StreamState(ctx, broker.Events)
	if err == nil && emitted.LastSeq != uint64(c.versions()) {
		err = fmt.Errorf("%d records became %d events, want %d", o.Records, emitted.LastSeq, c.versions())
	}
	if err != nil {
		return false, err
	}
	return delivered(ctx, files, false)(b)
}

// JSON writes the report as JSON.
func (r MemoryReport) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Table writes the report for a person.
func (r MemoryReport) Table(w io.Writer) error {
	note := ""
	if r.Stopped {
		note = ", stopped"
	}
	_, _ = fmt.Fprintf(w, "%s server, sync %s, %d records of %d chats%s; %d processors, %s %s\n", // the table after it meets the same error
		r.Server, r.Sync, r.Records, r.Entities, note, r.Machine.Processors, r.Machine.Go, r.Machine.Platform)
	var rows [][]any
	for _, s := range r.Steps {
		rows = append(rows, []any{
			s.Records, round(s.Seconds, 0), round(s.PerSecond, 0), round(s.LiveMiB, 0), round(s.HeapMiB, 0), round(s.ResidentMiB, 0), round(s.PeakMiB, 0),
		})
	}
	return console.Table(w, []string{"records", "seconds", "records/s", "live MiB", "heap MiB", "resident MiB", "peak MiB"}, rows, nil)
}

// Guard fails when the process was larger at any time.
func (r MemoryReport) Guard(mostMiB float64) error {
	if len(r.Steps) == 0 || mostMiB == 0 {
		return nil
	}
	if last := r.Steps[len(r.Steps)-1]; last.PeakMiB > mostMiB {
		return fmt.Errorf("the process had %.0f MiB at most, more than %g", last.PeakMiB, mostMiB)
	}
	return nil
}
