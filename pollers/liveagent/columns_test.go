package liveagent_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

func TestOnlyTheColumnsThatAreWantedAreAskedFor(t *testing.T) {
	cases := map[string]struct {
		columns, stream, want string
	}{
		"some":                                     {"chats, answers", "reports/agents", "id,answers,chats"},
		"the same of another report":               {"chats,answers", "reports/tags", "id,answers,chats"},
		"a bucket says where it ends":              {"answers", "reports/performance", "datetime,dateto,answers"},
		"a length comes with its end":              {"hours_online", "reports/calls/agentsavailability", "id,hours_online,to_date"},
		"an offset comes with the closing":         {"sla", "reports/chats/slalog", "id,sla,date_closed,server_date_closed"},
		"a report without any of them has all":     {"f_calls", "reports/ranking", "id,rankingType,datecreated,conversationid,agentcontactid,agentEmail,agent,contactid,requesterEmail,requester,comment"},
		"a report without the parameter is let be": {"answers", "reports/chats/load", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			sim := liveagentsim.New(simulated.Options{Seed: 5, Days: 9, Chats: 120, Start: now, Now: func() time.Time { return now }})
			p := vendor("json", map[string]string{"COLUMNS": c.columns}).Serve(t, sim, sim)
			rows := 0
			for _, w := range pollers.Cut(c.stream, pollers.Floor(now.AddDate(0, 0, -9), pollers.Day, pacific), pollers.Ceil(now, pollers.Day, pacific), 7*pollers.Day, pacific) {
				records, err := pollertest.Collect(p, w)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					rows++
					if got, want := columnsOf(t, r.Part("")), strings.Split(c.want, ","); c.want != "" && !slices.Equal(got, sortedCopy(want)) {
						t.Fatalf("a row has the columns %s, want %s", got, want)
					} else if c.want == "" && len(got) < 8 {
						t.Fatalf("a row has the columns %s, want all of them", got)
					}
				}
			}
			if rows == 0 {
				t.Error("there is no row: the test shows nothing")
			}
		})
	}
}

func sortedCopy(names []string) []string { return slices.Sorted(slices.Values(names)) }

func columnsOf(t *testing.T, row []byte) []string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(row, &members); err != nil {
		t.Fatalf("%s: %v", row, err)
	}
	return slices.Sorted(maps.Keys(members))
}

func TestAColumnThatNoReportHasIsAFault(t *testing.T) {
	for columns, bad := range map[string]bool{
		"": false, "answers": false, " answers , requesterEmail": false, "id": false, "dateto,f_calls": false,
		"answer": true, "answers,": true, "answers,,chats": true, "answers;chats": true, "Answers": true, "authtoken": true, "mins": true,
	} {
		got := faults(map[string]string{"VENDOR": "liveagent", "URL": "https://a.example", "API_KEY": "k7Qw2mZr9TxV4nLs", "COLUMNS": columns})
		want := []string{}
		if bad {
			want = []string{"T_COLUMNS"}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: faults of %v, want %v", columns, got, want)
		}
	}
}
