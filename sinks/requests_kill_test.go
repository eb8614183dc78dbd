package sinks_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
	"github.com/parley-stream/parley/sinks/webhook"
)

// hook is a receiver that refuses now and then, and keeps which revisions came first.
type hook struct {
	mu       sync.Mutex
	times    map[uint64]int
	last     map[string]uint64
	inverted int
	got      int
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	e, err := events.FromMessage(r.Header, body)
	if err != nil {
		panic(err)
	}
	if rand.IntN(20) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got++
	h.times[e.Revision]++
	// What comes for the first time must not come before what it follows.
	if h.times[e.Revision] == 1 && e.Revision < h.last[e.Subject] {
		h.inverted++
	}
	h.last[e.Subject] = max(h.last[e.Subject], e.Revision)
}

func TestKilledProcessesLoseNothingOnItsWayToAWebhookAndInvertNothing(t *testing.T) {
	kills := sinktest.Kills(t, 5)
	dataDir := t.TempDir()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dataDir, SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &hook{times: map[uint64]int{}, last: map[string]uint64{}}
	server := httptest.NewServer(h)
	defer server.Close()
	published, owners := 0, 0
	start := func() *victim { return spawn(t, dataDir, "SINKS_TEST_HOOK="+server.URL) }
	procs := []*victim{start(), start()}
	for range kills {
		publish(t, b, published+1, published+300)
		published += 300
		<-time.After(time.Duration(rand.IntN(600)) * time.Millisecond)
		i := rand.IntN(2)
		if procs[i].kill() {
			owners++
			depose(t, dataDir, sinks.ConsumerName("hook"))
		}
		procs[i] = start()
	}
	for _, p := range procs {
		if p.kill() {
			depose(t, dataDir, sinks.ConsumerName("hook"))
		}
	}
	vars := settings.New("", map[string]string{"URL": server.URL})
	s := sinks.DecodeSettings("hook", vars)
	r := sinks.NewRunner("hook", b, webhook.New(s, vars, s.URL, sinks.Env{}), sinks.Options{})
	run(t, r)
	drain(t, r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.times) != published || h.inverted > 0 || r.Stats().DeadLetters > 0 {
		t.Errorf("%d of %d events came, %d out of order, %d dead letters", len(h.times), published, h.inverted, r.Stats().DeadLetters)
	}
	t.Logf("%d events, killed %d times at random, %d times the one that sent; %d came twice", published, kills, owners, h.got-published)
}
