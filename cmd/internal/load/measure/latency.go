package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events/broker"
)

// LatencyOptions steer Latency.
type LatencyOptions struct {
	Rate    float64       // records a second
	For     time.Duration // how long they come
	Warm    time.Duration // what of it, at the start, is not measured
	Servers []string      // external, embedded
	Syncs   []string      // default, always
	Mode    string        // of the webhook
	Log     io.Writer     // what is being done
}

// LatencyReport is how long after its arrival a record is elsewhere.
type LatencyReport struct {
	Machine Machine      `json:"machine"`
	Rate    float64      `json:"per_second"`
	Seconds float64      `json:"seconds"`
	Mode    string       `json:"webhook_mode"`
	Runs    []LatencyRun `json:"runs"`
}

// LatencyRun is one kind of server.
type LatencyRun struct {
	Server  string          `json:"server"`
	Sync    string          `json:"sync"`
	Figures []LatencyFigure `json:"figures"`
	// Own and Server are processor time for a record in microseconds, and Peak the most memory of the process that was measured; an embedded
	// server's is in its own.
	Own         float64 `json:"own_us"`
	ServerMicro float64 `json:"server_us"`
	PeakMiB     float64 `json:"peak_mib"`
}

// LatencyFigure is how long after its time a record was somewhere. Times are a schedule's: a record that comes late because those before it
// held it up is as late as it came.
type LatencyFigure struct {
	Place   string  `json:"place"`
	Records int     `json:"records"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// The places that a record comes to.
const (
	placeVendor  = "written by the vendor"
	placeRaw     = "stored in RAW"
	placeEvents  = "event in EVENTS"
	placeFile    = "line in the file"
	placeWebhook = "request at the webhook"
)

const webhook = "hook"

// Latency measures how long a record takes through one process from its arrival at the poller to everywhere, at a steady rate.
func Latency(ctx context.Context, o LatencyOptions) (LatencyReport, error) {
	report := LatencyReport{Machine: machine(), Rate: o.Rate, Seconds: (o.For - o.Warm).Seconds(), Mode: o.Mode}
	for _, server := range o.Servers {
		for _, sync := range o.Syncs {
			run, err := o.run(ctx, server, sync)
			if err != nil {
				return LatencyReport{}, fmt.Errorf("%s server, sync %s: %w", server, sync, err)
			}
			report.Runs = append(report.Runs, run)
		}
	}
	return report, nil
}

// count is how many records come in a while.
func (o LatencyOptions) count(d time.Duration) int { return int(o.Rate * d.Seconds()) }

// observers are the processes that see a record before and after the one that is measured.
type observers struct{ vendor, hook, tail *child }

func (o LatencyOptions) run(ctx context.Context, server, sync string) (run LatencyRun, err error) {
	s, err := newStation(ctx, server, sync, "", o.Log)
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	seen, end, err := o.observe(ctx, s)
	defer end()
	if err != nil {
		return run, err
	}
	f, err := s.measure(ctx, measurement{
		stage: fmt.Sprintf("%g records/s for %s", o.Rate, o.For), records: o.count(o.For), job: job{Do: "play", Roles: "poll process sink"},
		environ: o.environ(s, seen), done: o.through(ctx), flush: true,
	})
	if err != nil {
		return run, err
	}
	run = LatencyRun{Server: server, Sync: sync, Own: f.Own, ServerMicro: f.Server, PeakMiB: f.PeakMiB}
	run.Figures, err = o.figures(ctx, s, seen)
	return run, err
}

// observe starts the observers; end kills those that are left.
func (o LatencyOptions) observe(ctx context.Context, s *station) (seen observers, end func(), err error) {
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -30)
	n := o.count(o.For)
	var started []*child
	end = func() {
		for _, c := range started {
			c.kill()
		}
	}
	for _, begun := range []struct {
		child **child
		job   job
	}{
		{&seen.vendor, job{Do: "live vendor", Messages: n, Rate: o.Rate, Chats: Chats{Count: n, Start: day, Every: 24 * time.Hour / time.Duration(n)}}},
		{&seen.hook, job{Do: "hook", Messages: n}},
		{&seen.tail, job{Do: "tail", Messages: n, Dir: filepath.Join(s.dir, "out", files, ".parley", files, "open")}},
	} {
		c, err := start(ctx, begun.job)
		if err != nil {
			return seen, end, err
		}
		started, *begun.child = append(started, c), c
		if err := c.begin(); err != nil {
			return seen, end, err
		}
	}
	return seen, end, nil
}

// environ configures a source of one window, which is one request, and both sinks.
func (o LatencyOptions) environ(s *station, seen observers) []string {
	chats := seen.vendor.job.Chats
	chats.Every, chats.Count = 24*time.Hour, 1
	environ := sourceVariables(seen.vendor.address, chats, 24*time.Hour, 0, 1)
	environ = append(environ, sinkVariables(files, s.files(files, "format=ndjson"))[1:]...)
	environ = append(environ, sinkVariables(webhook, seen.hook.address+"/hook?mode="+o.Mode)[1:]...)
	return append(environ, "PARLEY_SINKS="+strings.Join([]string{files, webhook}, ","))
}

// through tells that everything came and both sinks have it. While records come it does not ask: that would be work of the server's.
func (o LatencyOptions) through(ctx context.Context) func(*broker.Broker) (bool, error) {
	end := time.Now().Add(o.For)
	return func(b *broker.Broker) (bool, error) {
		if time.Now().Before(end) {
			return false, nil
		}
		state, err := b.StreamState(ctx, broker.Events)
		if err != nil || state.LastSeq < uint64(o.count(o.For)) {
			return false, err
		}
		if is, err := delivered(ctx, files, false)(b); err != nil || !is {
			return false, err
		}
		return delivered(ctx, webhook, true)(b)
	}
}

// figures ends the observers and compares what they saw with the schedule.
func (o LatencyOptions) figures(ctx context.Context, s *station, seen observers) (all []LatencyFigure, err error) {
	places := map[string]arrivals{}
	var began time.Time
	for _, c := range []struct {
		place string
		child *child
	}{{placeVendor, seen.vendor}, {placeFile, seen.tail}, {placeWebhook, seen.hook}} {
		last, err := c.child.end()
		if err != nil {
			return nil, err
		}
		places[c.place] = last.Arrivals
		if c.child == seen.vendor {
			if began = last.Began; last.Count != 1 {
				return nil, fmt.Errorf("the vendor was asked %d times, want once", last.Count)
			}
		}
	}
	err = s.onBroker(ctx, func(b *broker.Broker) error {
		for place, stream := range map[string]string{placeRaw: broker.Raw, placeEvents: broker.Events} {
			came := make(arrivals, o.count(o.For))
			places[place] = came
			err := b.Scan(ctx, stream, nil, time.Time{}, func(m broker.Message) error {
				came.note(m.Subject, m.Time)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, place := range []string{placeVendor, placeRaw, placeEvents, placeFile, placeWebhook} {
		d, err := places[place].since(began, o.Rate, o.count(o.Warm))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		all = append(all, LatencyFigure{Place: place, Records: d.count, P50: d.p50, P99: d.p99, Max: d.max})
	}
	return all, nil
}

// JSON writes the report as JSON.
func (r LatencyReport) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Table writes the report for a person.
func (r LatencyReport) Table(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "%g records/s for %g s, webhook mode %s; %d processors, %s %s\n", // the table after it meets the same error
		r.Rate, r.Seconds, r.Mode, r.Machine.Processors, r.Machine.Go, r.Machine.Platform)
	var rows [][]any
	for _, run := range r.Runs {
		for _, f := range run.Figures {
			rows = append(rows, []any{run.Server, run.Sync, f.Place, f.Records, round(f.P50, 1), round(f.P99, 1), round(f.Max, 1)})
		}
	}
	return console.Table(w, []string{"server", "sync", "a record is", "records", "p50 ms", "p99 ms", "max ms"}, rows, nil)
}

// Guard fails when of a hundred records more than one came later to some place.
func (r LatencyReport) Guard(most time.Duration) error {
	var late []error
	for _, run := range r.Runs {
		for _, f := range run.Figures {
			if most > 0 && f.P99 > float64(most.Microseconds())/1000 {
				late = append(late, fmt.Errorf("%s server, sync %s: %s after %.0f ms (p99), more than %s", run.Server, run.Sync, f.Place, f.P99, most))
			}
		}
	}
	return errors.Join(late...)
}
