package app

import (
	"context"
	"errors"
	"sync"
	"syscall"

	"github.com/parley-stream/parley/cmd/internal/ops"
	"github.com/parley-stream/parley/events/settings"
)

// web is a process's HTTP server. It answers from before the broker is reached until after the roles have ended, so that a process which
// waits for its server, or finishes what it has in hand, is seen to be alive.
type web struct {
	app    *App
	server *ops.Server // nil: there is none
	cancel context.CancelFunc
	served sync.WaitGroup
}

// startWeb begins to answer, if there is an address to do so.
func (a *App) startWeb(ctx context.Context) (*web, error) {
	w := &web{app: a, cancel: func() {}}
	server, err := a.listen()
	if err != nil || server == nil {
		return w, err
	}
	w.server = server
	server.Answer(ops.Starting())
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.served.Go(func() {
		if err := server.Serve(ctx); err != nil {
			a.Log.Error("the HTTP server has ended; the roles go on", "error", err.Error())
		}
	})
	a.Log.Info("HTTP is served", "address", "http://"+server.Addr())
	return w, nil
}

// listen takes the configured address. Where nobody has chosen it, and it is in use, another process of Parley has it most likely: then any free
// port is better than neither metrics nor roles.
func (a *App) listen() (*ops.Server, error) {
	addr := a.Config.HTTPAddr
	if addr == "" {
		return nil, nil
	}
	server, err := ops.Listen(addr, ops.Limits{}, a.Log)
	if err == nil {
		return server, nil
	}
	if a.Config.HTTPAddrSet {
		return nil, settings.Faults{{Variable: "PARLEY_HTTP_ADDR", Got: addr, Want: unusable(err) + "; want an address of this machine with a free port (0: any), or nothing for none"}}
	}
	a.Log.Warn("the default HTTP address cannot be used; a free port is taken instead", "error", unusable(err), "variable", "PARLEY_HTTP_ADDR")
	if server, err = ops.Listen("127.0.0.1:0", ops.Limits{}, a.Log); err != nil {
		a.Log.Warn("HTTP is not served", "error", err.Error())
		return nil, nil
	}
	return server, nil
}

// unusable says why an address cannot be listened on.
func unusable(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return "is in use by another process"
	}
	return "cannot be listened on: " + err.Error()
}

// addr is where it answers; "": nowhere.
func (w *web) addr() string {
	if w.server == nil {
		return ""
	}
	return w.server.Addr()
}

// run plays a process's roles, and shows it meanwhile.
func (w *web) run(ctx context.Context, p *Process) error {
	if w.server == nil {
		return p.Run(ctx)
	}
	watch := ops.NewWatch(
		ops.Process{Broker: p.broker, Sources: w.app.sources, Pollers: p.pollers, Processor: p.processor, Sinks: p.sinks},
		ops.WatchOptions{Redact: w.app.loggable, Logger: w.app.Log},
	)
	p.metrics.Watch(watch)
	pages := w.app.Dashboard(p.broker, p)
	w.server.Answer(ops.Routes{
		Metrics: p.metrics.Handler(), Alive: watch.Alive, Ready: watch.Ready, Profiles: w.app.Config.PProf,
		Pages: pages,
	})
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { watch.Run(watching) })
	wg.Go(func() { _ = pages.Run(watching) }) // it ends with the context alone
	defer context.AfterFunc(ctx, watch.Stopping)()
	return p.Run(ctx)
}

// stop ends the server. The roles have ended.
func (w *web) stop() {
	w.cancel()
	w.served.Wait()
}
