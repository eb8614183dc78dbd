package liveagent_test

import (
	"maps"
	"testing"

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
