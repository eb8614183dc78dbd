package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/parley-stream/parley/events/broker"
)

// FanoutOptions steer Fanout.
type FanoutOptions struct {
	Records int
	Rounds  int
	Log     io.Writer // what is being done
}

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
	p.figures = nil
	var together, alone [][]Figure
	for round := range o.Rounds {
		figures, err := p.beside(ctx, round)
		if err != nil {
			return Report{}, err
		}
		together = append(together, figures)
	}
	for round := range o.Rounds {
		figures, err := p.eachSink(ctx, round)
		if err != nil {
			return Report{}, err
		}
		alone = append(alone, figures)
	}
	report = Report{Machine: machine(), Runs: []Run{
		{Server: s.server, Sync: s.sync, Stages: median(together)}, {Server: s.server, Sync: s.sync, Stages: median(alone)},
	}}
	return report, nil
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

// sinkAlone measures a sink that gets all events. One that acknowledges at once is done when all are settled, files when they are closed.
func (p *pipeline) sinkAlone(ctx context.Context, stage, name, url string, settled bool) (Figure, error) {
	return p.measure(ctx, measurement{
		stage: stage, records: p.emitted, job: job{Do: "play", Roles: "sink"}, environ: sinkVariables(name, url), done: delivered(ctx, name, settled), flush: !settled,
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
