package livechat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/livechat"
	"github.com/parley-stream/parley/pollers/livechat/livechatsim"
	"github.com/parley-stream/parley/pollers/pollertest"
	"github.com/parley-stream/parley/pollers/simulated"
)

var vendor = pollertest.Vendor{
	NewSim: func(o simulated.Options) pollertest.Sim { return livechatsim.New(o) },
	New:    livechat.New,
	Secret: "API_KEY",
}

func TestVendor(t *testing.T) { pollertest.Run(t, vendor) }

// now is the clock of the suite's pollers.
var now = time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// window is whole days in Berlin, the last one included.
func window(t testing.TB, first, last string) pollers.Window {
	t.Helper()
	from, err1 := time.ParseInLocation(time.DateOnly, first, berlin(t))
	to, err2 := time.ParseInLocation(time.DateOnly, last, berlin(t))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return pollers.Window{Stream: "chats", From: from.UTC(), To: to.AddDate(0, 0, 1).UTC()}
}

// script is a vendor whose pages are written by the test.
func script(t testing.TB, page func(q url.Values, n int) string) pollers.Poller {
	t.Helper()
	sim := livechatsim.New(simulated.Options{})
	var requests atomic.Int64
	return vendor.Serve(t, sim, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, page(r.URL.Query(), int(requests.Add(1))))
	}))
}

func fetch(p pollers.Poller, w pollers.Window) (keys []string, reading pollers.Reading, err error) {
	reading, err = p.Fetch(context.Background(), w, func(r events.Record) error {
		keys = append(keys, r.Key)
		return nil
	})
	return keys, reading, err
}

func page(total, pages any, chats ...string) string {
	return fmt.Sprintf(`{"chats":[%s],"total":%v,"pages":%v}`, strings.Join(chats, ","), total, pages)
}

// rows are n well-formed chats, numbered from a number on.
func rows(from, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(`{"id":"c%d","started_timestamp":1792922400,"ended_timestamp":1792922460}`, from+i)
	}
	return out
}

func TestAWindowIsAskedForByItsDaysInTheAccountsZone(t *testing.T) {
	cases := map[string]struct {
		w        pollers.Window
		from, to string
	}{
		"whole days, the last inclusive":      {window(t, "2026-10-19", "2026-10-25"), "2026-10-19", "2026-10-25"},
		"the day on which clocks are changed": {window(t, "2026-10-25", "2026-10-25"), "2026-10-25", "2026-10-25"},
		"the newest window ends today":        {window(t, "2026-10-26", "2026-10-29"), "2026-10-26", "2026-10-27"},
		"a part of a day is the day": {
			pollers.Window{Stream: "chats", From: time.Date(2026, 10, 20, 22, 30, 0, 0, time.UTC), To: time.Date(2026, 10, 20, 23, 0, 0, 0, time.UTC)}, "2026-10-21", "2026-10-21",
		},
		"all of it after now": {window(t, "2026-10-29", "2026-10-30"), "2026-10-29", "2026-10-29"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got url.Values
			p := script(t, func(q url.Values, _ int) string { got = q; return page(0, 0) })
			if _, _, err := fetch(p, c.w); err != nil {
				t.Fatal(err)
			}
			if want := (url.Values{"date_from": {c.from}, "date_to": {c.to}, "page": {"1"}}); !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("asked for %v, want %v", got, want)
			}
		})
	}
}

// filtered opens a poller with some filters over a simulator.
func filtered(t testing.TB, sim *livechatsim.Sim, handler http.Handler, filters map[string]string) pollers.Poller {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	variables := sim.Variables(server.URL)
	maps.Copy(variables, filters)
	return vendor.Open(t, variables)
}

func TestEveryDocumentedFilterIsSentAsItIs(t *testing.T) {
	cases := map[string]struct{ value, parameter string }{
		"AGENT": {"kim.lund+chat@harbour.example", "agent"}, "GROUP": {"0", "group"}, "GOAL": {"71", "goal"}, "HAS_GOAL": {"1", "has_goal"},
		"RATE_FILTER": {"rated_bad", "rate"}, "QUERY": {"$5 & more: ä?", "query"}, "VISITOR_ID": {"S1355415390.49b8940793", "visitor_id"}, "TYPE": {"missed_chat", "type"},
	}
	all, wantAll := map[string]string{}, url.Values{}
	for name, c := range cases {
		all[name] = c.value
		wantAll.Set(c.parameter, c.value)
	}
	check := func(filters map[string]string, want url.Values) {
		t.Helper()
		var asked []url.Values
		p := filtered(t, livechatsim.New(simulated.Options{}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.Query())
			shown, total := simulated.Page(rows(0, 26), min(len(asked), 2), 25, simulated.Stayed)
			_, _ = io.WriteString(w, page(total, 2, shown...))
		}), filters)
		if _, _, err := fetch(p, window(t, "2026-10-25", "2026-10-25")); err != nil {
			t.Fatal(err)
		}
		_ = p.Check(t.Context()) // whose answer is of another day; what matters is what it asks
		if len(asked) != 3 {
			t.Fatalf("%d requests; want one for each page and one to check", len(asked))
		}
		for i, got := range asked {
			for _, name := range []string{"date_from", "date_to", "page"} {
				if got.Get(name) == "" {
					t.Errorf("request %d has no %s", i, name)
				}
				got.Del(name)
			}
			if !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("%v: request %d asked for %v; want %v", filters, i, got, want)
			}
		}
	}
	check(nil, url.Values{})
	check(all, wantAll)
	for name, c := range cases {
		check(map[string]string{name: c.value}, url.Values{c.parameter: {c.value}})
	}
}

func TestFiltersThatTheDocumentDoesNotAllowAreRefusedAtTheStart(t *testing.T) {
	for name, values := range map[string][]string{
		"AGENT": {" kim", "kim ", "\t"}, "GROUP": {"-1", "1.5", "sales", "01", "1 ", "99999999999999999999"}, "GOAL": {"checkout", "+1", "0x1"},
		"HAS_GOAL": {"true", "yes", "2", "01"}, "RATE_FILTER": {"good", "RATED", "rated,not_rated"}, "QUERY": {" ", " refund"},
		"VISITOR_ID": {" S1"}, "TYPE": {"missed", "ticket", "chat,missed_chat"},
	} {
		for _, value := range values {
			vars := settings.New("PARLEY_SOURCE_A_", map[string]string{"VENDOR": "livechat", "LOGIN": "a@x.example", "API_KEY": "0123456789abcdef", name: value})
			s := pollers.DecodeSettings("a", vars)
			livechat.New(s, vars, pollers.Env{Connect: func(string, pollers.Rate, []string) *pollers.Client { return nil }, Now: time.Now})
			vars.Unknown()
			if faults := vars.Faults(); len(faults) != 1 || faults[0].Variable != "PARLEY_SOURCE_A_"+name || !strings.HasPrefix(faults[0].Want, "want ") {
				t.Errorf("%s=%q: faults %v; want one of it", name, value, faults)
			}
		}
	}
}

func TestFiltersPartTheChats(t *testing.T) {
	sim := story(9, func() time.Time { return now })
	read := func(filters map[string]string) []string {
		t.Helper()
		keys, _, err := fetch(filtered(t, sim, sim, filters), window(t, "2026-10-21", "2026-10-27"))
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	whole := len(read(nil))
	for name, values := range map[string][]string{
		"TYPE": {"chat", "missed_chat"}, "RATE_FILTER": {"not_rated", "rated_good", "rated_bad"}, "HAS_GOAL": {"0", "1"}, "GROUP": {"0", "1", "2"},
	} {
		sum := 0
		for _, value := range values {
			n := len(read(map[string]string{name: value}))
			if n == 0 || n == whole {
				t.Errorf("%s=%s gives %d of %d chats", name, value, n, whole)
			}
			sum += n
		}
		if sum != whole {
			t.Errorf("%s: its values give %d chats; there are %d", name, sum, whole)
		}
	}
	if n := len(read(map[string]string{"RATE_FILTER": "rated", "TYPE": "missed_chat"})); n != 0 {
		t.Errorf("%d missed chats are rated", n)
	}
}

func TestPagesThatMoveAreReadAgain(t *testing.T) {
	first := func(total, pages any) string { return page(total, pages, rows(0, 25)...) }
	cases := map[string]func(p string) string{
		"the total grows": func(p string) string {
			return map[string]string{"1": first(30, 2), "2": page(31, 2, rows(25, 5)...)}[p]
		},
		"the pages grow": func(p string) string {
			return map[string]string{"1": first(30, 2), "2": page(30, 3, rows(25, 5)...)}[p]
		},
		"a chat comes twice": func(p string) string {
			return map[string]string{"1": first(30, 2), "2": page(30, 2, rows(24, 5)...)}[p]
		},
		"a chat is missing": func(p string) string {
			return map[string]string{"1": first(30, 2), "2": page(30, 2, rows(25, 4)...)}[p]
		},
		"there is one too many": func(p string) string {
			return map[string]string{"1": first(30, 2), "2": page(30, 2, rows(25, 6)...)}[p]
		},
		"the last page repeats": func(p string) string {
			return first(75, 3)
		},
		"a page is empty": func(p string) string {
			return map[string]string{"1": first(75, 3), "2": page(75, 3), "3": page(75, 3, rows(50, 25)...)}[p]
		},
		"pages without end": func(p string) string {
			n, _ := strconv.Atoi(p)
			return page(100, 1000000, rows(25*n, 25)...)
		},
		"chats but a total of none": func(string) string { return first(0, 0) },
		"a total but no chats":      func(string) string { return page(3, 1) },
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			broken := script(t, func(q url.Values, _ int) string { return answer(q.Get("page")) })
			_, reading, err := fetch(broken, window(t, "2026-10-25", "2026-10-25"))
			if !errors.Is(err, pollers.ErrIncomplete) || !strings.Contains(err.Error(), "moved") {
				t.Errorf("%v; want ErrIncomplete because pages moved", err)
			}
			if reading.Requests > 4*1001 || reading.Requests < 4 {
				t.Errorf("%d requests, want four readings", reading.Requests)
			}
			good := page(1, 1, rows(0, 1)...)
			healed := script(t, func(q url.Values, n int) string {
				if n > reading.Requests*3/4 { // the fourth reading
					return good
				}
				return answer(q.Get("page"))
			})
			if _, _, err := fetch(healed, window(t, "2026-10-25", "2026-10-25")); err != nil {
				t.Errorf("%v; want the fourth reading to be complete", err)
			}
		})
	}
}

// A vendor may promise any number of pages: what is behind an empty one is not asked for.
func TestAPageThatIsEmptyEndsItsReading(t *testing.T) {
	for name, told := range map[string]struct{ total, pages int }{
		"in the middle": {75, 3}, "of very many": {100, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			p := script(t, func(q url.Values, _ int) string {
				asked = append(asked, q.Get("page"))
				if q.Get("page") == "2" {
					return page(told.total, told.pages)
				}
				n, _ := strconv.Atoi(q.Get("page"))
				return page(told.total, told.pages, rows(25*n, 25)...)
			})
			if _, _, err := fetch(p, window(t, "2026-10-25", "2026-10-25")); !errors.Is(err, pollers.ErrIncomplete) || !strings.Contains(err.Error(), "page 2 of") {
				t.Errorf("%v; want ErrIncomplete because of page 2", err)
			}
			if want := []string{"1", "2", "1", "2", "1", "2", "1", "2"}; !slices.Equal(asked, want) {
				t.Errorf("%d requests, the first of pages %q; want pages 1 and 2 in each of four readings", len(asked), asked[:min(len(asked), 8)])
			}
		})
	}
}

func TestAPageThatIsTornIsAskedForAgainByItself(t *testing.T) {
	whole := page(60, 3, rows(25, 25)...)
	for name, torn := range map[string]string{
		"cut":            whole[:len(whole)-40],
		"cut at the end": whole[:len(whole)-1],
		"cut at once":    "",
		"a login page":   "<html>Please sign in</html>",
		"an error":       `{"error":"try later"}`,
		"without total":  `{"chats":[` + strings.Join(rows(25, 25), ",") + `],"pages":3}`,
	} {
		for times, complete := range map[int]bool{1: true, 2: true, 3: false} {
			t.Run(fmt.Sprintf("%s, %d times", name, times), func(t *testing.T) {
				asked := map[string]int{}
				p := script(t, func(q url.Values, _ int) string {
					n, _ := strconv.Atoi(q.Get("page"))
					if asked[q.Get("page")]++; n == 2 && asked["2"] <= times {
						return torn
					}
					shown, total := simulated.Page(rows(0, 60), n, 25, simulated.Stayed)
					return page(total, 3, shown...)
				})
				keys, reading, err := fetch(p, window(t, "2026-10-25", "2026-10-25"))
				slices.Sort(keys)
				if (err == nil) != complete || complete && len(slices.Compact(keys)) != 60 || !complete && !errors.Is(err, pollers.ErrIncomplete) {
					t.Errorf("%v with %d chats; complete wanted: %v", err, len(keys), complete)
				}
				if asked["1"] != 1 || complete && reading.Requests != 3+times {
					t.Errorf("pages were asked for so often: %v", asked)
				}
			})
		}
	}
}

func TestAPageThatIsRefusedMidwayHasMoved(t *testing.T) {
	sim := livechatsim.New(simulated.Options{})
	var requests atomic.Int64
	p := vendor.Serve(t, sim, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) {
		case 1:
			_, _ = io.WriteString(w, page(26, 2, rows(0, 25)...))
		case 2:
			http.Error(w, "no such page", http.StatusNotFound)
		default:
			_, _ = io.WriteString(w, page(25, 1, rows(0, 25)...))
		}
	}))
	if keys, _, err := fetch(p, window(t, "2026-10-25", "2026-10-25")); err != nil || len(keys) != 50 {
		t.Errorf("%d chats, %v; want 25 twice", len(keys), err)
	}
}

// story is an account with a few pages, all of it within a week.
func story(seed int64, clock func() time.Time) *livechatsim.Sim {
	return livechatsim.New(simulated.Options{Seed: seed, Days: 4, Chats: 110, LivePerHour: 30, Malformed: 2, Start: now.Add(-3 * time.Hour), Now: clock})
}

func ledgerKeys(sim *livechatsim.Sim) []string {
	var keys []string
	for _, e := range sim.Ledger() {
		if !e.Malformed {
			keys = append(keys, e.Key)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestNothingIsLostWhenAChatEndsOrIsDeletedBetweenTwoPages(t *testing.T) {
	// Before each request of one reading there is a chance for one event.
	for after := 1; after <= 4; after++ {
		for name, move := range map[string]func(sim *livechatsim.Sim, clock *atomic.Int64){
			"a chat ends":           func(_ *livechatsim.Sim, clock *atomic.Int64) { clock.Add(int64(2 * time.Minute)) },
			"many chats end":        func(_ *livechatsim.Sim, clock *atomic.Int64) { clock.Add(int64(90 * time.Minute)) },
			"the newest is deleted": func(sim *livechatsim.Sim, _ *atomic.Int64) { sim.Delete(newest(sim, 0)) },
			"the oldest is deleted": func(sim *livechatsim.Sim, _ *atomic.Int64) { sim.Delete(newest(sim, -1)) },
			"one ends and the oldest is deleted": func(sim *livechatsim.Sim, clock *atomic.Int64) {
				clock.Add(int64(2 * time.Minute))
				sim.Delete(newest(sim, -1))
			},
			"one in the middle goes, others come": func(sim *livechatsim.Sim, clock *atomic.Int64) {
				sim.Delete(newest(sim, 60))
				clock.Add(int64(10 * time.Minute))
			},
		} {
			t.Run(fmt.Sprintf("%s after page %d", name, after), func(t *testing.T) {
				var clock atomic.Int64
				clock.Store(now.Add(-2 * time.Hour).UnixNano())
				sim := story(int64(after), func() time.Time { return time.Unix(0, clock.Load()).UTC() })
				moved := false
				sim.OnPage = func(page int) {
					if page == after && !moved {
						moved = true
						move(sim, &clock)
					}
				}
				atStart := ledgerKeys(sim)
				keys, reading, err := fetch(vendor.Serve(t, sim, sim), window(t, "2026-10-21", "2026-10-27"))
				if err != nil || !moved {
					t.Fatalf("%v, moved %v; want a complete reading in the end", err, moved)
				}
				for _, key := range atStart {
					if !slices.Contains(keys, key) && slices.Contains(ledgerKeys(sim), key) {
						t.Errorf("chat %s was there throughout and was not read, in %d requests", key, reading.Requests)
					}
				}
			})
		}
	}
}

// newest gives the key of the nth well-formed chat from the newest start; from the oldest with -1.
func newest(sim *livechatsim.Sim, n int) string {
	ledger := slices.DeleteFunc(sim.Ledger(), func(e simulated.Entry) bool { return e.Malformed })
	if n < 0 {
		n += len(ledger)
	}
	return ledger[n].Key
}

func TestPagesThatNeverRestAreNeverComplete(t *testing.T) {
	var clock atomic.Int64
	clock.Store(now.Add(-3 * time.Hour).UnixNano())
	sim := story(3, func() time.Time { return time.Unix(0, clock.Load()).UTC() })
	sim.OnPage = func(int) { clock.Add(int64(2 * time.Minute)) }
	_, reading, err := fetch(vendor.Serve(t, sim, sim), window(t, "2026-10-21", "2026-10-27"))
	if !errors.Is(err, pollers.ErrIncomplete) || reading.Requests > 40 {
		t.Errorf("%v after %d requests; want ErrIncomplete after few", err, reading.Requests)
	}
}

func TestFullPagesAreCounted(t *testing.T) {
	for _, n := range []int{0, 1, 24, 25, 26, 49, 50, 51} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			pages := (n + 24) / 25
			p := script(t, func(q url.Values, _ int) string {
				at, _ := strconv.Atoi(q.Get("page"))
				return page(n, pages, rows(25*(at-1), min(25, n-25*(at-1)))...)
			})
			keys, reading, err := fetch(p, window(t, "2026-10-25", "2026-10-25"))
			if err != nil || len(keys) != n || reading.Requests != max(pages, 1) || reading.Capped {
				t.Errorf("%d chats in %d requests, capped %v, %v", len(keys), reading.Requests, reading.Capped, err)
			}
		})
	}
}

func TestAnUnreachableRestIsCapped(t *testing.T) {
	for _, total := range []int{24999, 25000, 25001} {
		answer := func(q url.Values, _ int) string {
			at, _ := strconv.Atoi(q.Get("page"))
			return page(total, (total+24)/25, rows(25*(at-1), min(25, total-25*(at-1)))...)
		}
		capped := total >= 25000
		t.Run(fmt.Sprintf("a day of %d", total), func(t *testing.T) {
			keys, reading, err := fetch(script(t, answer), window(t, "2026-10-25", "2026-10-25"))
			if err != nil || reading.Capped != capped || len(keys) != min(total, 25000) || reading.Requests != 1000 {
				t.Errorf("%d chats in %d requests, capped %v, %v", len(keys), reading.Requests, reading.Capped, err)
			}
		})
		t.Run(fmt.Sprintf("two days of %d", total), func(t *testing.T) {
			_, reading, err := fetch(script(t, answer), window(t, "2026-10-24", "2026-10-25"))
			if err != nil || reading.Capped != capped || (capped && reading.Requests != 1) {
				t.Errorf("%d requests, capped %v, %v; want no reading of what will be split", reading.Requests, reading.Capped, err)
			}
		})
	}
}

func TestCountsMustBeThere(t *testing.T) {
	for name, body := range map[string]string{
		"no total":          `{"chats":[],"pages":1}`,
		"no pages":          `{"chats":[],"total":0}`,
		"a total of null":   page("null", 1),
		"a negative total":  page(-1, 1),
		"a total of text":   page(`"many"`, 1),
		"a broken total":    page(1.5, 1),
		"huge":              page("99999999999999999999", 1),
		"chats are null":    `{"chats":null,"total":0,"pages":0}`,
		"chats are objects": `{"chats":{},"total":0,"pages":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := script(t, func(url.Values, int) string { return body })
			if _, _, err := fetch(p, window(t, "2026-10-25", "2026-10-25")); !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("%v; want ErrIncomplete", err)
			}
		})
	}
	p := script(t, func(url.Values, int) string { return page(`"1"`, `"1"`, rows(0, 1)...) })
	if keys, _, err := fetch(p, window(t, "2026-10-25", "2026-10-25")); err != nil || len(keys) != 1 {
		t.Errorf("counts in quotes: %d chats, %v; want them accepted", len(keys), err)
	}
}

func TestAChatWhollyOutsideOfTheDaysMakesTheWindowIncomplete(t *testing.T) {
	at := func(s string) int64 {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.Unix()
	}
	cases := map[string]struct {
		chat     string
		complete bool
	}{
		"in it":                         {fmt.Sprintf(`"started_timestamp":%d,"ended_timestamp":%d`, at("2026-10-24T12:00:00Z"), at("2026-10-24T12:05:00Z")), true},
		"a day before, filed otherwise": {fmt.Sprintf(`"started_timestamp":%d,"ended_timestamp":%d`, at("2026-10-23T12:00:00Z"), at("2026-10-23T12:05:00Z")), true},
		"from long before into it":      {fmt.Sprintf(`"started_timestamp":%d,"ended_timestamp":%d`, at("2026-09-01T12:00:00Z"), at("2026-10-24T12:05:00Z")), true},
		"no times":                      {`"time":"Sat, 10/24/26 11:40:53 am"`, true},
		"zero times":                    {`"started_timestamp":0,"ended_timestamp":0`, true},
		"times of text":                 {`"started_timestamp":"soon","ended_timestamp":[]`, true},
		"days before":                   {fmt.Sprintf(`"started_timestamp":%d,"ended_timestamp":%d`, at("2026-10-21T12:00:00Z"), at("2026-10-21T12:05:00Z")), false},
		"days after":                    {fmt.Sprintf(`"started_timestamp":"%d"`, at("2026-10-26T12:00:00Z")), false},
		"only an end, days before":      {fmt.Sprintf(`"ended_timestamp":%d`, at("2026-10-20T12:00:00Z")), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := script(t, func(url.Values, int) string { return page(2, 1, `{"id":"a",`+c.chat+`}`, `{"id":"b"}`) })
			keys, _, err := fetch(p, window(t, "2026-10-24", "2026-10-24"))
			if (err == nil) != c.complete || (err != nil && !errors.Is(err, pollers.ErrIncomplete)) {
				t.Errorf("%v; complete wanted: %v", err, c.complete)
			}
			if len(keys) != 2 {
				t.Errorf("%v were emitted, want both: they are real", keys)
			}
		})
	}
}

func TestBrokenChatsAreEmittedAsTheyAre(t *testing.T) {
	chats := []string{`{"id":null}`, `{"name":"no id"}`, `{"id":7}`, `"text"`, `null`, `{"id":"x" "y"}`, `{"id":{"a":1}}`, "{\"id\":\"u\xff\"}"}
	p := script(t, func(url.Values, int) string { return page(len(chats), 1, chats...) })
	var keys, bodies []string
	_, err := p.Fetch(context.Background(), window(t, "2026-10-24", "2026-10-24"), func(r events.Record) error {
		keys, bodies = append(keys, r.Key), append(bodies, string(r.Parts[0].Body.Bytes))
		return nil
	})
	if err != nil || !slices.Equal(bodies, chats) {
		t.Errorf("%q, %v; want %q", bodies, err, chats)
	}
	if want := []string{"", "", "7", "", "", "x", "", "u\ufffd"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
}

func TestNoErrorAndNoRecordShowsTheKeyInAnyForm(t *testing.T) {
	sim := livechatsim.New(simulated.Options{})
	header := ""
	for name, answer := range map[string]func(w http.ResponseWriter){
		"in an error":        func(w http.ResponseWriter) { http.Error(w, header, http.StatusInternalServerError) },
		"in an error of 200": func(w http.ResponseWriter) { _, _ = fmt.Fprintf(w, `{"error":%q}`, header) },
		"in a chat": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, page(1, 1, fmt.Sprintf(`{"id":"a","text":%q}`, header)))
		},
		"in the id of a chat": func(w http.ResponseWriter) { _, _ = io.WriteString(w, page(1, 1, fmt.Sprintf(`{"id":%q}`, header))) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				login, key, _ := r.BasicAuth()
				header = r.Header.Get("Authorization") + " " + login + ":" + key
				answer(w)
			}))
			defer server.Close()
			variables := sim.Variables(server.URL)
			records, err := pollertest.Collect(vendor.Open(t, variables), window(t, "2026-10-24", "2026-10-24"))
			text := fmt.Sprint(err)
			for _, r := range records {
				text += r.Key + string(r.Parts[0].Body.Bytes) + r.Parts[0].URL
			}
			encoded := strings.TrimPrefix(strings.Fields(header)[1], "Basic ")
			if strings.Contains(text, variables["API_KEY"]) || strings.Contains(text, encoded) {
				t.Errorf("it shows the key: %s", text)
			}
		})
	}
}

func TestAnErrorOfTheVendorIsTold(t *testing.T) {
	p := script(t, func(url.Values, int) string { return `{"error":{"message":"archives are closed"}}` })
	if _, _, err := fetch(p, window(t, "2026-10-24", "2026-10-24")); err == nil || !strings.Contains(err.Error(), "archives are closed") {
		t.Errorf("%v; want the vendor's words", err)
	}
}

func TestFaultsPass(t *testing.T) {
	for name, faults := range map[string]simulated.Faults{
		"that tell":             {simulated.Fault429: .1, simulated.Fault500: .1, simulated.FaultCut: .1, simulated.FaultHTML: .1},
		"that only JSON tells":  {simulated.FaultTruncated: .3},
		"that are only slow":    {simulated.FaultSlow: .1},
		"that only counts tell": {simulated.FaultMoved: .6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := livechatsim.New(simulated.Options{Seed: 5, Days: 4, Chats: 110, Start: now, Now: func() time.Time { return now }, Faults: faults})
			p := vendor.Serve(t, sim, sim)
			read := map[string]bool{}
			for range 200 {
				keys, _, err := fetch(p, window(t, "2026-10-21", "2026-10-27"))
				for _, key := range keys {
					read[key] = true
				}
				if err != nil {
					continue
				}
				for _, key := range ledgerKeys(sim) {
					if !read[key] || !slices.Contains(keys, key) {
						t.Errorf("chat %s is not in a complete reading", key)
					}
				}
				return
			}
			t.Error("no reading was complete")
		})
	}
}

func TestEverySortOfMoveMakesTheReadingBeginAnew(t *testing.T) {
	all := rows(0, 60)
	for _, at := range []int{2, 3} {
		for name, move := range map[string]simulated.Move{"insert": simulated.Inserted, "delete": simulated.Deleted, "reorder": simulated.Reordered} {
			t.Run(fmt.Sprintf("%s before page %d", name, at), func(t *testing.T) {
				moves := 0
				p := script(t, func(q url.Values, _ int) string {
					n, _ := strconv.Atoi(q.Get("page"))
					now := simulated.Stayed
					if n == at && moves == 0 {
						moves++
						now = move
					}
					shown, total := simulated.Page(all, n, 25, now)
					return page(total, (total+24)/25, shown...)
				})
				keys, reading, err := fetch(p, window(t, "2026-10-25", "2026-10-25"))
				slices.Sort(keys)
				if keys = slices.Compact(keys); err != nil || len(keys) != 60 {
					t.Errorf("%d chats, %v; want all 60", len(keys), err)
				}
				if reading.Requests < 3+at || reading.Requests > 3+3 {
					t.Errorf("%d requests; want the %d up to the move, and then all three pages", reading.Requests, at)
				}
			})
		}
	}
}

func FuzzAResponseNeverPanicsAndIsCompleteOnlyWhenItCounts(f *testing.F) {
	f.Add([]byte(page(1, 1, rows(0, 1)...)))
	f.Add([]byte(page(2, 1, rows(0, 1)...)))
	f.Add([]byte(`{"error":"x"}`))
	f.Add([]byte(`{"chats":[{"id":1},{"id":"1"}],"total":"2","pages":0}`))
	sim := livechatsim.New(simulated.Options{})
	var body atomic.Value
	body.Store([]byte{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body.Load().([]byte)) }))
	f.Cleanup(server.Close)
	p := vendor.Open(f, sim.Variables(server.URL))
	w := window(f, "2026-10-24", "2026-10-24")
	f.Fuzz(func(t *testing.T, b []byte) {
		body.Store(b)
		keys, _, err := fetch(p, w)
		if err != nil {
			return
		}
		var whole struct {
			Chats []json.RawMessage `json:"chats"`
		}
		if json.Unmarshal(bytes.TrimPrefix(b, []byte("\ufeff")), &whole) == nil && len(whole.Chats) != len(keys) {
			t.Errorf("%q: %d chats, want %d", b, len(keys), len(whole.Chats))
		}
	})
}

func TestTheURLOfARecordAsksForItsPage(t *testing.T) {
	p := script(t, func(url.Values, int) string { return page(1, 1, rows(0, 1)...) })
	records, err := pollertest.Collect(p, window(t, "2026-10-24", "2026-10-25"))
	if err != nil || len(records) != 1 || !strings.HasSuffix(records[0].Parts[0].URL, "/chats?date_from=2026-10-24&date_to=2026-10-25&page=1") {
		t.Errorf("%+v, %v", records, err)
	}
}
