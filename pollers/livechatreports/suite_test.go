package livechatreports_test

import (
	"testing"

	"github.com/parley-stream/parley/pollers/livechatreports"
	"github.com/parley-stream/parley/pollers/livechatreports/livechatreportssim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

func newSim(o simulated.Options) pollertest.Sim { return livechatreportssim.New(o) }

func TestTheSuiteHolds(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"with a bearer token":          nil,
		"with a personal access token": {"ACCOUNT_ID": livechatreportssim.AccountID},
		"by GET":                       {"METHOD": "GET"},
		"by the hour":                  {"DISTRIBUTION": "hour"},
		"by the hour of the day":       {"DISTRIBUTION": "day-hours"},
	} {
		t.Run(name, func(t *testing.T) {
			pollertest.Run(t, pollertest.Vendor{NewSim: newSim, New: livechatreports.New, Secret: "TOKEN", Variables: variables})
		})
	}
}
