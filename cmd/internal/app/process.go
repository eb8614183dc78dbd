package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/sinks"
)

// Process is an App's roles, made and ready to run on a broker.
type Process struct {
	app       *App
	broker    *broker.Broker
	pollers   *pollers.Runner
	processor *processors.Runner
	sinks     map[string]*sinks.Runner
	again     []*sinks.Runner // of the same sinks, for what they are given again
	metrics   *ops.Metrics
	tracing   *ops.Tracing // nil: there are no traces
	read      atomic.Bool  // Once has read everything that is due
}

// Process makes the roles. With a once time, the poller ends when everything that `run --once` reads was read after it.
func (a *App) Process(ctx context.Context, b *broker.Broker, roles Roles, once time.Time) (p *Process, err error) {
	tracing, err := ops.OpenTracing(ctx, a.loggable, a.Log)
	if err != nil {
		return nil, err
	}
	err = b.Await(ctx, func(ctx context.Context) error {
		p, err = a.process(ctx, b, roles, once, tracing)
		return err
	})
	if err != nil {
		tracing.Close()
	}
	return p, err
}

func (a *App) process(ctx context.Context, b *broker.Broker, roles Roles, once time.Time, tracing *ops.Tracing) (*Process, error) {
	p := &Process{app: a, broker: b, sinks: make(map[string]*sinks.Runner), metrics: ops.NewMetrics(), tracing: tracing}
	var err error
	if roles.Process || roles.Sink {
		if err := processors.Erasures(a.Config.ErasedFile).Check(ctx, b); err != nil {
			return nil, err
		}
	}
	if roles.Poll {
		o := pollers.Options{OnceSince: once, Logger: a.Log, Observer: p.metrics, Tracer: tracing.Tracer()}
		if a.privacy != nil {
			o.Text = a.privacy.Text
		}
		if p.pollers, err = pollers.NewRunner(ctx, b, a.sources, o); err != nil {
			return nil, err
		}
	}
	if roles.Process {
		o := a.processorOptions()
		o.Tracer = tracing.Tracer()
		if p.processor, err = processors.NewRunner(ctx, b, o); err != nil {
			return nil, err
		}
	}
	if roles.Sink {
		for _, s := range a.sinks {
			if len(roles.Sinks) > 0 && !slices.Contains(roles.Sinks, s.settings.Name) {
				continue
			}
			o := a.sinkOptions(s)
			o.Delivered, o.Tracer = p.metrics.Delivered(s.settings.Name), tracing.Tracer()
			p.sinks[s.settings.Name] = sinks.NewRunner(s.settings.Name, b, s.open, o)
			if once.IsZero() {
				again := a.sinkOptions(s)
				again.Replay = true
				p.again = append(p.again, sinks.NewRunner(s.settings.Name, b, s.again, again))
			}
		}
	}
	return p, nil
}

// Run plays the roles until the context ends: then nothing new is taken, what is in hand is finished or given back, and
// the roles end in the order in which records travel. It returns early when a role cannot go on.
func (p *Process) Run(ctx context.Context) error {
	return p.run(ctx, nil)
}

// run plays the roles; the script, if any, decides when it is over.
func (p *Process) run(ctx context.Context, script func(ctx context.Context) error) error {
	defer p.tracing.Close() // when the last role has ended
	frugal()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stages := []func() error{}
	start := func(role string, run func(context.Context) error) {
		// Each stage ends when its predecessors have: its own context is cancelled by stopAll, in order.
		stageCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func() {
			err := run(stageCtx)
			if err != nil && stageCtx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", role, err))
			}
			done <- err
		}()
		stages = append(stages, func() error {
			stop()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", role, err)
			}
			return nil
		})
	}
	if p.pollers != nil && script == nil {
		start("poll", p.pollers.Run)
	}
	if p.processor != nil {
		start("process", p.processor.Run)
	}
	if len(p.sinks) > 0 {
		start("sink", p.runSinks)
	}
	var err error
	if script != nil {
		err = script(ctx)
	} else {
		<-ctx.Done()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	for _, stop := range stages {
		if stopErr := stop(); err == nil {
			err = stopErr
		}
	}
	return err
}

// frugal lets the collector run after half as much as usual, where GOGC does not say otherwise: most of what a process holds passes through it
// and is soon garbage. Decision 0026 has what that saves.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

func (p *Process) runSinks(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 0, len(p.sinks))
	var mu sync.Mutex
	for _, s := range p.again {
		wg.Go(func() { _ = s.Run(ctx) }) // what could not be flushed comes again, and the log says so
	}
	for name, s := range p.sinks {
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// patience is how long a run that must end waits for processors or a sink that do not get on.
const patience = 30 * time.Second

// settle waits until what was fetched is processed and every sink has it. A sink that does not get on is given up: its
// events stay in EVENTS, and the report names it.
func (p *Process) settle(ctx context.Context) error {
	for last, since := uint64(0), time.Now(); ; {
		left, err := p.broker.Unprocessed(ctx)
		if err == nil && left == 0 {
			if done, err := p.broker.Processed(ctx); err == nil && done {
				break
			}
		}
		if left != last {
			last, since = left, time.Now()
		}
		if time.Since(since) > 2*patience {
			return fmt.Errorf("%s not processed and nothing moves; they stay in %s, and the log says why", console.Count(left, "record is", "records are"), broker.Raw)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	for name, s := range p.sinks {
		if err := drain(ctx, s); err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
	}
	return nil
}

// awaited says what is left to do when everything is read; "" when nothing is.
func (p *Process) awaited(ctx context.Context) string {
	if left, err := p.broker.Unprocessed(ctx); err != nil || left > 0 {
		return console.Count(left, "record is", "records are") + " not processed yet"
	}
	var behind []string
	for _, name := range slices.Sorted(maps.Keys(p.sinks)) {
		state, err := p.broker.ConsumerState(ctx, broker.Events, sinks.ConsumerName(name))
		if err != nil || state.Done() {
			continue
		}
		text := fmt.Sprintf("sink %s has %s to deliver", name, console.Count(state.Pending+state.Unacked, "event", "events"))
		if stats := p.sinks[name].Stats(); stats.Failing {
			text += ", and fails: " + stats.LastError
		}
		behind = append(behind, text)
	}
	return strings.Join(behind, "; ")
}

// drain waits for a sink, but not for one that has been failing for some time without delivering anything.
func drain(ctx context.Context, s *sinks.Runner) error {
	drainCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Drain(drainCtx) }()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for delivered, since := uint64(0), time.Now(); ; {
		select {
		case err := <-done:
			if errors.Is(err, sinks.ErrHalted) {
				return nil // the report says so
			}
			return err
		case <-look.C:
		}
		stats := s.Stats()
		if !stats.Failing || stats.Delivered != delivered {
			delivered, since = stats.Delivered, time.Now()
		}
		if time.Since(since) > patience {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
	}
}

// Once reads what is due, processes it and flushes every sink. The report is whole even where something failed.
func (p *Process) Once(ctx context.Context, watch func(context.Context)) (Report, error) {
	err := p.run(ctx, func(ctx context.Context) error {
		watchCtx, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		if watch != nil {
			wg.Go(func() { watch(watchCtx) })
		}
		defer wg.Wait()
		defer stop()
		if err := p.pollers.Run(ctx); err != nil {
			return err
		}
		p.read.Store(true)
		return p.settle(ctx)
	})
	if err != nil {
		return Report{}, err
	}
	return p.Report(ctx)
}
