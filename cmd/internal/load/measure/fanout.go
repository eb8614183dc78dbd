package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

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
	return Run{Server: p.server, Sync: p.sync, Stages: median(measured), Pairs: pairs(measured)}, nil
}

// pairs compare each round's figures beside a third sink with the same round's without one: the machine drifts by more than what is looked for from
// one minute to the next, and less within a round.
func pairs(measured [][]Figure) (all []Pairs) {
	for i, f := range measured[0] {
		if f.Of != thirdNone {
			continue
		}
		var speeds, times []float64
		for _, figures := range measured {
			speeds, times = append(speeds, figures[i].Ratio), append(times, figures[i].CPURatio)
		}
		all = append(all, Pairs{Stage: f.Stage, Of: f.Of, Rounds: len(measured), Throughput: spread(speeds), CPU: spread(times)})
	}
	return all
}

// beside measures the two beside each third, forth and back: what grows or fades meanwhile meets the first as it meets the last.
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
	// The dead one is next to none: it is what they are compared for.
	thirds := []struct{ stage, url string }{{thirdNone, ""}, {thirdDead, "http://" + dead + "/hook?mode=batch"}, {thirdAlive, peer.address + "/hook?mode=batch"}}
	figures := make([]Figure, len(thirds))
	for i := range 2 * len(thirds) {
		at := min(i, 2*len(thirds)-1-i)
		f, err := p.two(ctx, thirds[at].stage, thirds[at].url, fmt.Sprint("r", round, "n", i))
		if err != nil {
			return nil, err
		}
		figures[at] = figures[at].and(f)
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
	syscall.Sync() // what the last ones wrote is not these ones' work
	f, err := p.measure(ctx, m)
	for _, n := range names {
		err = errors.Join(err, os.RemoveAll(p.folder(n)))
	}
	return f, err
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
