package liveleader_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/liveleader"
	"github.com/parley-stream/parley/pollers/liveleader/liveleadersim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

func vendor() pollertest.Vendor {
	return pollertest.Vendor{
		NewSim: func(o simulated.Options) pollertest.Sim { return liveleadersim.New(o) },
		New:    liveleader.New,
		Secret: "PASSWORD",
	}
}

func TestLiveLeader(t *testing.T) { pollertest.Run(t, vendor()) }

// answering gives a poller of a vendor that always answers so, and what it was last asked.
func answering(t testing.TB, body string, variables map[string]string) (pollers.Poller, *url.Values) {
	t.Helper()
	asked := &url.Values{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.Query()
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	all := liveleadersim.New(simulated.Options{Chats: 1}).Variables(server.URL)
	maps.Copy(all, variables)
	return vendor().Open(t, all), asked
}

var window = pollers.Window{
	Stream: "chats", From: time.Date(2026, 10, 20, 6, 0, 0, 0, time.UTC), To: time.Date(2026, 10, 20, 7, 0, 0, 0, time.UTC),
}

func TestAWindowIsAskedForWithItsOverlapInTheDocumentedForm(t *testing.T) {
	cases := map[string]struct{ overlap, start string }{
		"one hour by default": {"", "2026-10-20T05:00:00.000+00:00"},
		"as set":              {"90s", "2026-10-20T05:58:30.000+00:00"},
		"none":                {"0s", "2026-10-20T06:00:00.000+00:00"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, asked := answering(t, "<chats/>", map[string]string{"OVERLAP": c.overlap})
			if records, err := pollertest.Collect(p, window); err != nil || len(records) != 0 {
				t.Fatalf("%d records, %v; want none", len(records), err)
			}
			if start, stop := asked.Get("start"), asked.Get("stop"); start != c.start || stop != "2026-10-20T07:00:00.000+00:00" {
				t.Errorf("asked from %s to %s; want from %s", start, stop, c.start)
			}
		})
	}
}

func TestAChatThatSpansTheBorderIsReadUnderEveryRuleOfTheVendor(t *testing.T) {
	start, stop := window.To.Add(-20*time.Minute), window.To.Add(20*time.Minute)
	rules := map[string]func(from, to time.Time) bool{
		"chats that start in the period": func(from, to time.Time) bool { return !start.Before(from) && start.Before(to) },
		"chats that stop in the period":  func(from, to time.Time) bool { return stop.After(from) && !stop.After(to) },
		"chats that touch the period":    func(from, to time.Time) bool { return stop.After(from) && start.Before(to) },
		"chats that lie in the period":   func(from, to time.Time) bool { return !start.Before(from) && !stop.After(to) },
	}
	next := pollers.Window{Stream: "chats", From: window.To, To: window.To.Add(time.Hour)}
	for name, holds := range rules {
		t.Run(name, func(t *testing.T) {
			sim := liveleadersim.New(simulated.Options{Chats: 1})
			p := vendor().Serve(t, sim, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				from, _ := time.Parse(time.RFC3339, r.URL.Query().Get("start"))
				to, _ := time.Parse(time.RFC3339, r.URL.Query().Get("stop"))
				chat := ""
				if holds(from, to) {
					chat = "<chat><id>a-1</id></chat>"
				}
				_, _ = io.WriteString(w, "<chats>"+chat+"</chats>")
			}))
			found := 0
			for _, w := range []pollers.Window{window, next} {
				records, err := pollertest.Collect(p, w)
				if err != nil {
					t.Fatal(err)
				}
				found += len(records)
			}
			if found == 0 {
				t.Error("the chat is in neither window")
			}
		})
	}
}

func TestARecordIsTheChatsBytesUnderItsID(t *testing.T) {
	const first, second = "<chat n='>'>\n<id> a-1 </id><msg>\xff\x01</msg></chat>", "<chat><userinfo><id>no</id></userinfo></chat>"
	p, _ := answering(t, "\xef\xbb\xbf<?xml version='1.0'?>\n<chats>\n"+first+"\n"+second+"</chats>\n", nil)
	records, err := pollertest.Collect(p, window)
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v; want 2", len(records), err)
	}
	for i, want := range []struct{ key, body string }{{"a-1", first}, {"", second}} {
		r := records[i]
		if r.Key != want.key || string(r.Parts[0].Body.Bytes) != want.body || r.Parts[0].ContentType != events.ContentXML {
			t.Errorf("record %d: key %q, %q; want %q, %q", i, r.Key, r.Parts[0].Body.Bytes, want.key, want.body)
		}
	}
	u, err := url.Parse(records[0].Parts[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(u.Query())); !slices.Equal(names, []string{"a", "start", "stop"}) || u.Path != "/a/Srv" {
		t.Errorf("the record's URL is %s; want a, start and stop alone", u)
	}
}

func TestWhatIsNotChatsAloneIsIncomplete(t *testing.T) {
	cases := map[string]string{
		"an error in chats":      "<chats><error>Wrong password</error></chats>",
		"text in chats":          "<chats>Wrong password</chats>",
		"a notice between chats": "<chats><chat><id>1</id></chat>Notice<chat><id>2</id></chat></chats>",
		"a doctype":              "<!DOCTYPE chats [<!ENTITY a 'b'>]><chats/>",
		"a second document":      "<chats/><chats/>",
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := answering(t, body, nil)
			if _, err := pollertest.Collect(p, window); !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("%v; want ErrIncomplete", err)
			} else if strings.Contains(err.Error(), "Wrong") {
				t.Errorf("%v quotes the vendor's text", err)
			}
		})
	}
}

func TestAnElementNamedLikeThePasswordIsRedacted(t *testing.T) {
	p, _ := answering(t, "<canary-9173/>", map[string]string{"PASSWORD": "canary-9173"})
	if _, err := pollertest.Collect(p, window); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v; want an error without the password", err)
	}
}

func TestWrongVariablesAreFaultsThatNameThem(t *testing.T) {
	good := map[string]string{"VENDOR": "liveleader", "EMAIL": "ada@agent.example", "PASSWORD": "invented-password"}
	cases := map[string]struct{ name, value string }{
		"no email":               {"EMAIL", ""},
		"an email that is none":  {"EMAIL", "ada"},
		"no password":            {"PASSWORD", ""},
		"a negative overlap":     {"OVERLAP", "-1h"},
		"an overlap over a day":  {"OVERLAP", "25h"},
		"an overlap that is odd": {"OVERLAP", "an hour"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			values := maps.Clone(good)
			values[c.name] = c.value
			if _, _, faults := open(values); len(faults) != 1 || faults[0].Variable != "PARLEY_SOURCE_A_"+c.name {
				t.Errorf("faults %v; want one of %s", faults, c.name)
			}
		})
	}
	if p, _, faults := open(good); len(faults) != 0 || p.Describe().Location != time.UTC {
		t.Errorf("faults %v, zone %v; want none and UTC", faults, p.Describe().Location)
	}
}

// open makes a poller that is never used, and gives the account that it named.
func open(values map[string]string) (pollers.Poller, string, settings.Faults) {
	vars := settings.New("PARLEY_SOURCE_A_", values)
	s := pollers.DecodeSettings("a", vars)
	var account string
	p := liveleader.New(s, vars, pollers.Env{
		Connect: func(name string, _ pollers.Rate, secrets []string) *pollers.Client {
			account = name
			return pollers.NewClient(pollers.ClientOptions{Secrets: secrets})
		},
		Now: time.Now,
	})
	vars.Unknown()
	return p, account, vars.Faults()
}

func TestSourcesOfOneOperatorShareAnAccount(t *testing.T) {
	cases := map[string]struct{ url, want string }{
		"the documented URL": {"", "liveleader|www.liveleader.com|ada@agent.example"},
		"its whole path":     {"https://WWW.liveleader.com/a/Srv", "liveleader|www.liveleader.com|ada@agent.example"},
		"another host":       {"https://chat.example/", "liveleader|chat.example|ada@agent.example"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, account, faults := open(map[string]string{"VENDOR": "liveleader", "URL": c.url, "EMAIL": "Ada@agent.example", "PASSWORD": "invented-password"})
			if account != c.want || len(faults) != 0 {
				t.Errorf("account %q, faults %v; want %q", account, faults, c.want)
			}
		})
	}
}

func TestFaultsPass(t *testing.T) {
	for name, faults := range map[string]simulated.Faults{
		"that tell":           {simulated.Fault429: 0.2, simulated.Fault500: 0.2, simulated.FaultCut: 0.2, simulated.FaultHTML: 0.2},
		"that only XML tells": {simulated.FaultTruncated: 0.8},
		"that are also slow":  {simulated.FaultSlow: 0.1, simulated.FaultTruncated: 0.4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := liveleadersim.New(simulated.Options{Seed: 3, Chats: 20, Start: window.To, Days: 1, Now: func() time.Time { return window.To }, Faults: faults})
			p := vendor().Serve(t, sim, sim)
			all := pollers.Window{Stream: "chats", From: window.To.Add(-48 * time.Hour), To: window.To.Add(time.Hour)}
			complete := 0
			for range 60 {
				records, err := pollertest.Collect(p, all)
				if err == nil && len(records) != len(sim.Ledger()) {
					t.Fatalf("complete with %d records; want %d", len(records), len(sim.Ledger()))
				}
				if err == nil {
					complete++
				}
			}
			if complete == 0 || complete == 60 {
				t.Errorf("%d of 60 windows are complete; want some and not all", complete)
			}
		})
	}
}
