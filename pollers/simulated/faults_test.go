package simulated_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

func TestFaultsAreReadStrictly(t *testing.T) {
	got, err := simulated.ParseFaults("429=0.1, cut=0.05,,html,moved=0.9,truncated,slow=0")
	want := simulated.Faults{"429": 0.1, "cut": 0.05, "html": 0.05, "moved": 0.9, "truncated": 0.05, "slow": 0}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"418", "429=", "429=-1", "429=1", "429=NaN", "cut=x", "=0.1", "429=0.5,500=0.5"} {
		if got, err := simulated.ParseFaults(text); err == nil {
			t.Errorf("%q is %v; want an error", text, got)
		}
	}
	if _, err := simulated.ParseFaults("quake"); err == nil || !strings.Contains(err.Error(), strings.Join(simulated.FaultNames(), ", ")) {
		t.Errorf("%v; want all names of faults", err)
	}
}

// answer is what a client sees of an answer.
type answer struct {
	status     int
	retryAfter string
	body       string
	err        error
	framed     bool
	took       time.Duration
}

func (a answer) well() bool { return a.status == http.StatusOK && a.err == nil && a.body == text }

const text = "\na body of some length, and more of it\n"

// serve puts a fault in front of a vendor that is always well, and gives what asks it.
func serve(t *testing.T, f simulated.Faults, seed int64) func(method, target, body string) answer {
	t.Helper()
	server := httptest.NewServer(simulated.Faulty(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		if got, _ := io.ReadAll(r.Body); r.Method == http.MethodPost && len(got) == 0 {
			http.Error(w, "the body is gone", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, text)
	}), f, seed, nil))
	t.Cleanup(server.Close)
	return func(method, target, body string) answer {
		t.Helper()
		request, err := http.NewRequest(method, server.URL+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return answer{
			status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After"), body: string(got), err: err,
			framed: resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0, took: time.Since(asked),
		}
	}
}

func TestEachFaultIsSeenAndPasses(t *testing.T) {
	cases := map[string]func(a answer) bool{
		simulated.Fault429:  func(a answer) bool { return a.status == http.StatusTooManyRequests && a.retryAfter != "" },
		simulated.Fault500:  func(a answer) bool { return a.status == http.StatusInternalServerError },
		simulated.FaultHTML: func(a answer) bool { return a.status == http.StatusOK && strings.Contains(a.body, "<html>") },
		simulated.FaultCut:  func(a answer) bool { return errors.Is(a.err, io.ErrUnexpectedEOF) && a.framed },
		simulated.FaultSlow: func(a answer) bool { return a.well() && a.took > 150*time.Millisecond },
		simulated.FaultTruncated: func(a answer) bool {
			return a.status == http.StatusOK && a.err == nil && !a.framed && strings.HasPrefix(text, a.body) && len(a.body) < len(text)-2
		},
	}
	for name, is := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := serve(t, simulated.Faults{name: 0.5}, 7)
			faults, well := 0, 0
			for i := range 40 {
				a := ask("GET", fmt.Sprintf("/chats?page=%d", i%2), "")
				switch {
				case is(a):
					faults++
				case a.well():
					well++
				default:
					t.Errorf("%+v is neither the fault nor well", a)
				}
			}
			if faults < 8 || well < 8 {
				t.Errorf("%d faults, %d well of 40; want about half", faults, well)
			}
		})
	}
}

func TestAnAnswerIsChosenByTheRequestAndHowOftenItWasAsked(t *testing.T) {
	f := simulated.Faults{simulated.Fault500: 0.3, simulated.FaultHTML: 0.3}
	alone, among := serve(t, f, 3), serve(t, f, 3)
	bodies := map[bool]bool{}
	for i := range 20 {
		_ = among("GET", fmt.Sprintf("/other/%d", i), "")
		for _, request := range [][3]string{{"GET", "/a", ""}, {"POST", "/a", "x"}, {"POST", "/a", "y"}} {
			a, b := alone(request[0], request[1], request[2]), among(request[0], request[1], request[2])
			if a.status != b.status || a.body != b.body {
				t.Errorf("%v for the time %d: %d %q alone, %d %q among others", request, i, a.status, a.body, b.status, b.body)
			}
			bodies[a.well()] = true
		}
	}
	if len(bodies) != 2 {
		t.Error("all answers are alike: the test shows nothing")
	}
	x, y := "", ""
	for range 20 {
		x += fmt.Sprint(alone("POST", "/b", "x").well())
		y += fmt.Sprint(alone("POST", "/b", "y").well())
	}
	if x == y {
		t.Error("requests that differ in their body alone share their faults")
	}
}

func TestARetryIsAskedForInBothFormsInTurn(t *testing.T) {
	ask := serve(t, simulated.Faults{simulated.Fault429: 0.9}, 1)
	var forms []string
	for i := range 20 {
		a := ask("GET", fmt.Sprintf("/%d", i), "")
		if a.status != http.StatusTooManyRequests {
			continue
		}
		if a.retryAfter == "1" {
			forms = append(forms, "seconds")
			continue
		}
		at, err := http.ParseTime(a.retryAfter)
		if wait := time.Until(at); err != nil || wait <= 0 || wait > 2*time.Second {
			t.Errorf("Retry-After: %q is in %v, %v; want a date within two seconds", a.retryAfter, wait, err)
		}
		forms = append(forms, "date")
	}
	if len(forms) < 4 {
		t.Fatalf("only %v", forms)
	}
	for i, form := range forms {
		if want := []string{"seconds", "date"}[i%2]; form != want {
			t.Errorf("answer %d has %s; want %s", i, form, want)
		}
	}
}

func TestNoRequestIsTruncatedTwiceRunning(t *testing.T) {
	ask := serve(t, simulated.Faults{simulated.FaultTruncated: 0.9}, 5)
	truncated := 0
	last := map[string]bool{}
	places := map[int]bool{}
	for i := range 60 {
		request := fmt.Sprintf("/%d", i%3)
		a := ask("GET", request, "")
		if !a.well() && last[request] {
			t.Errorf("%s is truncated again: %q", request, a.body)
		}
		if last[request] = !a.well(); last[request] {
			truncated++
			places[len(a.body)] = true
		}
	}
	if truncated < 20 || len(places) < 5 {
		t.Errorf("%d of 60 are truncated, at %d places; want about half, at many", truncated, len(places))
	}
}

func TestWhatCannotBeTruncatedIsWhole(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"an empty body":    func(http.ResponseWriter) {},
		"white space":      func(w http.ResponseWriter) { _, _ = io.WriteString(w, " \n") },
		"an error's body":  func(w http.ResponseWriter) { http.Error(w, "no such day", http.StatusBadRequest) },
		"no connection":    func(w http.ResponseWriter) { _, _ = io.WriteString(w, "text") },
		"a single visible": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") },
	} {
		next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })
		plain, faulty := httptest.NewRecorder(), httptest.NewRecorder() // a recorder has no connection to close
		next.ServeHTTP(plain, nil)
		simulated.Faulty(next, simulated.Faults{simulated.FaultTruncated: 1}, 1, nil).ServeHTTP(faulty, httptest.NewRequest(http.MethodGet, "/", nil))
		if plain.Code != faulty.Code || plain.Body.String() != faulty.Body.String() {
			t.Errorf("%s: %d %q; want %d %q", name, faulty.Code, faulty.Body, plain.Code, plain.Body)
		}
	}
}

func TestASlowBodyEndsWithItsReader(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	simulated.Faulty(next, simulated.Faults{simulated.FaultSlow: 1}, 1, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	if w.Body.Len() >= len(text) {
		t.Error("it went on to the end")
	}
}

func TestMovesAreSeededAndOfEverySort(t *testing.T) {
	seen := map[simulated.Move]int{}
	a, b := simulated.NewMoves(simulated.Faults{simulated.FaultMoved: 0.6}, 4), simulated.NewMoves(simulated.Faults{simulated.FaultMoved: 0.6}, 4)
	for i := range 60 {
		r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/chats?page=%d", i%4), nil)
		move := a.Next(r)
		if again := b.Next(r); again != move {
			t.Errorf("%v and %v of one seed", move, again)
		}
		seen[move]++
	}
	for _, move := range []simulated.Move{simulated.Stayed, simulated.Inserted, simulated.Deleted, simulated.Reordered} {
		if seen[move] < 5 {
			t.Errorf("move %v: %d of 60", move, seen[move])
		}
	}
	none := simulated.NewMoves(simulated.Faults{simulated.Fault500: 0.5}, 4)
	for range 20 {
		if move := none.Next(httptest.NewRequest(http.MethodGet, "/", nil)); move != simulated.Stayed {
			t.Errorf("%v without the fault", move)
		}
	}
}

func TestAPageShowsItsMove(t *testing.T) {
	rows := []int{1, 2, 3, 4, 5, 6, 7}
	cases := map[string]struct {
		page  int
		move  simulated.Move
		want  []int
		total int
	}{
		"at rest":                            {2, simulated.Stayed, []int{4, 5, 6}, 7},
		"the last":                           {3, simulated.Stayed, []int{7}, 7},
		"behind the last":                    {4, simulated.Stayed, []int{}, 7},
		"the first never moves":              {1, simulated.Inserted, []int{1, 2, 3}, 7},
		"a row before: one comes twice":      {2, simulated.Inserted, []int{3, 4, 5}, 8},
		"a row gone: one is left out":        {2, simulated.Deleted, []int{5, 6, 7}, 6},
		"a row gone, and with it the page":   {3, simulated.Deleted, []int{}, 6},
		"two rows in each other's place":     {2, simulated.Reordered, []int{3, 5, 6}, 7},
		"the last page in another order":     {3, simulated.Reordered, []int{6}, 7},
		"another order where nothing is any": {4, simulated.Reordered, []int{}, 7},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, total := simulated.Page(rows, c.page, 3, c.move)
			if !slices.Equal(got, c.want) || total != c.total {
				t.Errorf("%v of %d; want %v of %d", got, total, c.want, c.total)
			}
		})
	}
	if !slices.Equal(rows, []int{1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("the rows were changed: %v", rows)
	}
}

func TestSomethingChangesAfterAnAnswerAndNotForEver(t *testing.T) {
	answers, changes, early := 0, 0, false
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answers++ })
	change := func(n int) int {
		early = early || answers == changes // no answer came before it
		changes += n
		return n
	}
	ask := func(f simulated.Faults, n int) int {
		answers, changes = 0, 0
		h := simulated.Faulty(next, f, 3, change)
		for i := range n {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, fmt.Sprintf("/%d", i%7), nil))
		}
		return changes
	}
	if n := ask(simulated.Faults{simulated.FaultLate: 0.5}, 60); n < 15 || n > 45 || early {
		t.Errorf("%d changes after 60 answers, one before its answer: %v; want about half as many, each behind one", n, early)
	}
	if n := ask(simulated.Faults{simulated.FaultLate: 0.9}, 300); n != 100 {
		t.Errorf("%d changes after 300 answers; want an end at 100", n)
	}
	if n := ask(simulated.Faults{simulated.FaultMoved: 0.9, simulated.FaultMidnight: 0.9}, 60); n != 0 {
		t.Errorf("%d changes without the fault", n)
	}
	if n := ask(simulated.Faults{simulated.FaultLate: 0.5, simulated.FaultCut: 0.4}, 60); n < 15 {
		t.Errorf("%d changes after 60 answers of which some are cut", n)
	}
}

func TestAChanceIsSeededAndPasses(t *testing.T) {
	f := simulated.Faults{simulated.FaultMidnight: 0.5}
	a, b := simulated.NewChance(f, 4, simulated.FaultMidnight), simulated.NewChance(f, 4, simulated.FaultMidnight)
	other := simulated.NewChance(f, 4, simulated.FaultLate)
	fell := 0
	for i := range 60 {
		r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/csv.php?start=%d", i%3), nil)
		falls := a.Falls(r)
		if b.Falls(r) != falls {
			t.Errorf("request %d: two of one seed differ", i)
		}
		if falls {
			fell++
		}
		if other.Falls(r) {
			t.Errorf("request %d: a fault falls that was not asked for", i)
		}
	}
	if fell < 15 || fell > 45 {
		t.Errorf("%d of 60; want about half", fell)
	}
}
