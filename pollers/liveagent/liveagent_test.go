package liveagent_test

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveagent"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

// vendor is the room in a format, with more variables.
func vendor(format string, variables map[string]string) pollertest.Vendor {
	all := map[string]string{"FORMAT": format}
	maps.Copy(all, variables)
	return pollertest.Vendor{
		NewSim: func(o simulated.Options) pollertest.Sim { return liveagentsim.New(o) },
		New:    liveagent.New, Secret: "API_KEY", Variables: all,
	}
}

func TestConformanceInJSON(t *testing.T) { pollertest.Run(t, vendor("json", nil)) }

func TestConformanceInXML(t *testing.T) { pollertest.Run(t, vendor("xml", nil)) }

// faults gives the names of the variables that are wrong, sorted.
func faults(variables map[string]string) []string {
	vars := settings.New("T_", variables)
	liveagent.New(pollers.DecodeSettings("test", vars), vars, pollers.Env{
		Connect: func(string, pollers.Rate, []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{})
		},
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	vars.Unknown()
	var names []string
	for _, f := range vars.Faults() {
		names = append(names, f.Variable)
	}
	slices.Sort(names)
	return names
}
