package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
)

// asked is a request as a vendor sees it.
type asked struct {
	at     time.Time
	poller int
	what   string
}

// counter stands before a simulator and keeps every request's time. It can keep one poller waiting for an answer.
type counter struct {
	next http.Handler

	mu       sync.Mutex
	requests []asked
	delays   []time.Duration // how long its own requests were on their way, which no budget can know of
	detained int             // the poller whose next request waits; -1: none
	held     chan string     // what the detained one asked for
	release  chan struct{}
}

// serve gives the URL at which one poller reaches the simulator.
func (c *counter) serve(t *testing.T, poller int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		at := time.Now()
		c.mu.Lock()
		if sent, err := time.Parse(time.RFC3339Nano, r.Header.Get("Sent")); err == nil {
			c.delays = append(c.delays, at.Sub(sent))
			c.mu.Unlock()
			return
		}
		c.requests = append(c.requests, asked{at, poller, r.URL.RawQuery})
		detained := c.detained == poller
		if detained {
			c.detained = -1
		}
		c.mu.Unlock()
		if detained {
			c.held <- r.URL.RawQuery
			<-c.release
		}
		c.next.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// watch sends requests of its own, to learn how exact times are on this machine, until the returned function is called.
func (c *counter) watch(t *testing.T, url string) (stop func()) {
	t.Helper()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			due := time.Now().Add(10 * time.Millisecond)
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err == nil {
				r.Header.Set("Sent", due.Format(time.RFC3339Nano))
				var resp *http.Response
				if resp, err = http.DefaultClient.Do(r); err == nil {
					_ = resp.Body.Close()
				}
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

func (c *counter) seen() []asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]asked(nil), c.requests...)
}

// check wants no interval, of one period or of many, to hold more requests than the rate allows. Times are as exact as the machine keeps them, and
// never so vague that two budgets would pass for one; that is the same for an interval of any length, so that a long one bounds the rate closely.
func (c *counter) check(t *testing.T, requests int, period time.Duration) {
	t.Helper()
	vague := time.Duration(0)
	for _, d := range c.delays {
		vague = max(vague, d)
	}
	vague = min(vague, period/3)
	all, least := c.seen(), time.Hour
	for i := range all {
		for n := 1; i+n*requests < len(all); n++ {
			took := all[i+n*requests].at.Sub(all[i].at)
			if took < time.Duration(n)*period-vague {
				t.Fatalf("%d requests came within %s; the rate is %d in %s, and times are exact to %s", n*requests+1, took, requests, period, vague)
			}
			if n == 1 {
				least = min(least, took)
			}
		}
	}
	t.Logf("%d requests, any %d of them within %s or more; times are exact to %s", len(all), requests+1, least, vague)
}

func TestFourPollersHaveOneBudgetAndOneThatSleepsPastItsLeaseLosesAndDoublesNothing(t *testing.T) {
	const rate = 10 // a second
	w := newWorld(t, app.Simulation{Seed: 15, Days: 200, Chats: 900})
	w.read("livechat")
	b, server := sharedServer(t)
	w.set("PARLEY_NATS_URL", server)
	w.set("PARLEY_HTTP_ADDR", "")
	w.set("PARLEY_SOURCE_LIVECHAT_RATE", fmt.Sprint(rate, "/s"))
	w.set("PARLEY_SOURCE_LIVECHAT_WINDOW", "24h")
	w.set("PARLEY_SOURCE_LIVECHAT_INTERVAL", "1s")
	w.set("PARLEY_SOURCE_LIVECHAT_CONCURRENCY", "8")
	simulator, err := url.Parse(w.sims.Base())
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{next: httputil.NewSingleHostReverseProxy(simulator), detained: -1, held: make(chan string, 1), release: make(chan struct{})}
	started := func(environ []string, args ...string) *parley {
		t.Helper()
		p := command(t, environ, args...)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	var pollers []*parley
	stop := c.watch(t, c.serve(t, -1))
	for i := range 4 {
		pollers = append(pollers, started(append(w.environ[:len(w.environ):len(w.environ)], "PARLEY_SOURCE_LIVECHAT_URL="+c.serve(t, i)), "poll"))
	}
	others := []*parley{started(w.environ, "process"), started(w.environ, "sink")}
	until := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(4 * time.Minute); !is(); <-time.After(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within four minutes: %s", what)
			}
		}
	}
	until("every poller asks", func() bool {
		who := map[int]bool{}
		for _, r := range c.seen() {
			who[r.poller] = true
		}
		return len(who) == 4
	})
	c.mu.Lock()
	c.detained = 0
	c.mu.Unlock()
	window := <-c.held
	signal(t, pollers[0], syscall.SIGSTOP)
	close(c.release) // its answer comes while it sleeps
	asleep := len(c.seen())
	until("what it held is another's", func() bool {
		for _, r := range c.seen()[asleep:] {
			if r.poller != 0 && r.what == window {
				return true
			}
		}
		return false
	})
	signal(t, pollers[0], syscall.SIGCONT)
	awake := len(c.seen())
	until("it goes on", func() bool {
		for _, r := range c.seen()[awake:] {
			if r.poller == 0 {
				return true
			}
		}
		return false
	})
	settled(t, b, w)
	stop()
	for _, p := range append(pollers, others...) {
		signal(t, p, os.Interrupt)
		if err := p.Wait(); err != nil {
			t.Errorf("%s ended with %v:\n%s", p.Args[1], err, p.stderr)
		}
	}
	f := w.readFiles(t)
	w.wantAll(t, f)
	for id, e := range f.events {
		if e.Revision != 1 {
			t.Errorf("%s has revision %d; nothing changed", id, e.Revision)
		}
	}
	c.check(t, rate, time.Second)
	if !strings.Contains(window, "date_from") {
		t.Errorf("what was held is %q; want a page of a window", window)
	}
}

func signal(t *testing.T, p *parley, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
