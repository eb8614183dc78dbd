package app

import (
	"github.com/parley-stream/parley/cmd/internal/dashboard"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

// Dashboard makes what a browser shows: an http.Handler, which remembers the last hour while its Run runs. The process may be nil.
func (a *App) Dashboard(b *broker.Broker, p *Process) *dashboard.Dashboard {
	return dashboard.New(a.operator(b), b, dashboard.Options{
		Token: a.Config.HTTPToken.Reveal(), Addr: a.Config.HTTPAddr, Hosts: a.Config.HTTPHosts,
		SinkStats: p.sinkStats, Loggable: a.loggable, Logger: a.Log,
	})
}

// sinkStats are those of the sinks that this process runs, by name.
func (p *Process) sinkStats() map[string]sinks.Stats {
	if p == nil {
		return nil
	}
	all := make(map[string]sinks.Stats, len(p.sinks))
	for name, s := range p.sinks {
		all[name] = s.Stats()
	}
	return all
}
