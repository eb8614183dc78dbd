package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks/s3test"
)

// FanoutOptions steer Fanout.
type FanoutOptions struct {
	Records int
	Rounds  int
	Parts   []string  // together, formats
	Log     io.Writer // what is being done
}

// The parts of Fanout.
const (
	partTogether = "together" // two sinks without a third, beside one that is alive and beside one that is dead
	partFormats  = "formats"  // each kind of sink and format by itself, beside a bare consumer
)

// Thirds are what the third of three sinks may be: what the other two do is measured beside each.
const (
	thirdNone  = "two sinks, no third"
	thirdAlive = "two sinks, the third alive"
	thirdDead  = "two sinks, the third dead"
)

// Fanout measures two sinks of files without a third sink, beside a webhook that answers, and beside one where nobody listens, in turn; and
// then each kind of sink and format by itself beside a bare consumer.
func Fanout(ctx context.Context, o FanoutOptions) (report Report, err error) {
	s, err := newStation(ctx, "external", "default", "", o.Log)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p := &pipeline{Options: Options{Records: o.Records, Log: o.Log}, station: s, chats: chats(o.Records)}
	for _, step := range []func(context.Context) error{p.publish, p.copy, p.processNew, p.take} {
		if err := step(ctx); err != nil {
			return Report{}, err
		}
	}
	report.Machine = machine()
	for _, part := range o.Parts {
		measure := p.beside
		if part == partFormats {
			measure = p.eachSink
		}
		run, err := p.rounds(ctx, o.Rounds, measure)
		if err != nil {
			return Report{}, err
		}
		report.Runs = append(report.Runs, run)
	}
	return report, nil
}

// rounds measures the same several times.
func (p *pipeline) rounds(ctx context.Context, n int, measure func(context.Context, int) ([]Figure, error)) (Run, error) {
	var measured [][]Figure
	for round := range n {
		figures, err := measure(ctx, round)
		if err != nil {
			return Run{}, err
		}
		measured = append(measured, figures)
	}
	return Run{Server: p.server, Sync: p.sync, Stages: median(measured), Medians: ratios(measured)}, nil
}

// ratios compare the median throughput beside a third sink with that without one.
func ratios(measured [][]Figure) (all []Ratio) {
	first := typical(measured, 0)
	for i, f := range measured[0] {
		if f.Of == thirdNone {
			all = append(all, Ratio{Stage: f.Stage, Of: f.Of, Ratio: typical(measured, i) / first})
		}
	}
	return all
}

// typical is the median of a stage's throughputs.
func typical(measured [][]Figure, stage int) float64 {
	var all []float64
	for _, figures := range measured {
		all = append(all, figures[stage].PerSecond)
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// beside measures the two once beside each third. The order turns from round to round: what the machine does meanwhile meets all of them.
func (p *pipeline) beside(ctx context.Context, round int) ([]Figure, error) {
	peer, err := p.peer(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.kill()
	dead, err := deadAddress()
	if err != nil {
		return nil, err
	}
	thirds := []struct{ stage, url string }{{thirdNone, ""}, {thirdAlive, peer.address + "/hook?mode=batch"}, {thirdDead, "http://" + dead + "/hook?mode=batch"}}
	figures := make([]Figure, len(thirds))
	for i := range thirds {
		at := (i + round) % len(thirds)
		if figures[at], err = p.two(ctx, thirds[at].stage, thirds[at].url, fmt.Sprint("r", round, "t", at)); err != nil {
			return nil, err
		}
	}
	figures[1], figures[2] = figures[1].of(figures[0]), figures[2].of(figures[0])
	return figures, nil
}

// two measures two new sinks of files, which get all events, beside a third; no url: without one.
func (p *pipeline) two(ctx context.Context, stage, url, name string) (Figure, error) {
	names := []string{name + "a", name + "b"}
	m := measurement{stage: stage, records: 2 * p.emitted, job: job{Do: "play", Roles: "sink"}}
	for _, n := range names {
		m.environ = append(m.environ, sinkVariables(n, p.files(n, "format=ndjson"))[1:]...)
	}
	all := names
	if url != "" {
		third := name + "c"
		all = append(all[:2:2], third)
		m.environ = append(m.environ, sinkVariables(third, url)[1:]...)
	}
	m.environ = append(m.environ, "PARLEY_SINKS="+strings.Join(all, ","))
	m.done = func(b *broker.Broker) (bool, error) {
		for _, n := range names {
			if done, err := delivered(ctx, n, false)(b); err != nil || !done {
				return false, err
			}
		}
		return true, nil
	}
	return p.measure(ctx, m)
}

// eachSink measures every kind and format once.
func (p *pipeline) eachSink(ctx context.Context, round int) ([]Figure, error) {
	figures := []Figure{p.consume}
	measured := func(f Figure, err error) error {
		figures = append(figures, f.of(p.consume))
		return err
	}
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			name := fmt.Sprint(format, compression, round)
			if err := measured(p.sinkAlone(ctx, "file "+format+" "+compression, name, p.files(name, "format="+format+"&compress="+compression), false)); err != nil {
				return nil, err
			}
		}
	}
	if err := p.objects(ctx, round, measured); err != nil {
		return nil, err
	}
	peer, err := p.peer(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.kill()
	for _, mode := range []string{"binary", "structured", "batch"} {
		if err := measured(p.sinkAlone(ctx, "webhook "+mode, fmt.Sprint(mode, round), peer.address+"/hook?mode="+mode, true)); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// objects measures objects on an S3 server of this machine, which takes its own part of the processors.
func (p *pipeline) objects(ctx context.Context, round int, measured func(Figure, error) error) error {
	server, err := s3test.Start(ctx)
	if err != nil {
		return err
	}
	defer server.Stop()
	for _, format := range []string{"ndjson", "parquet"} {
		name := fmt.Sprint("object", format, round)
		at := fmt.Sprintf("s3://%s/%s?format=%s&endpoint=%s", s3test.Bucket, name, format, url.QueryEscape(server.Endpoint))
		f, err := p.sinkAlone(ctx, "object "+format, name, at, false, "AWS_ACCESS_KEY_ID="+s3test.KeyID, "AWS_SECRET_ACCESS_KEY="+s3test.Secret)
		if err := measured(f, err); err != nil {
			return err
		}
	}
	return nil
}

// sinkAlone measures a sink that gets all events. One that acknowledges at once is done when all are settled, files when they are closed.
func (p *pipeline) sinkAlone(ctx context.Context, stage, name, url string, settled bool, environ ...string) (Figure, error) {
	return p.measure(ctx, measurement{
		stage: stage, records: p.emitted, job: job{Do: "play", Roles: "sink"}, environ: append(environ, sinkVariables(name, url)...), done: delivered(ctx, name, settled), flush: !settled,
	})
}

// peer is an endpoint that accepts everything.
func (p *pipeline) peer(ctx context.Context) (*child, error) {
	peer, err := start(ctx, job{Do: "receive"})
	if err != nil {
		return nil, err
	}
	if err := peer.begin(); err != nil {
		peer.kill()
		return nil, err
	}
	return peer, nil
}

// deadAddress is one where nobody listens.
func deadAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
