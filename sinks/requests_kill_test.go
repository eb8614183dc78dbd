package sinks_test

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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
	spawn := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SINKS_TEST_CHILD="+dataDir, "SINKS_TEST_HOOK="+server.URL)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = bufio.NewReader(out).ReadString('\n')
		return cmd
	}
	published := 0
	procs := []*exec.Cmd{spawn(), spawn()}
	for range kills {
		publish(t, b, published+1, published+300)
		published += 300
		<-time.After(time.Duration(rand.IntN(600)) * time.Millisecond)
		i := rand.IntN(2)
		_ = procs[i].Process.Kill()
		_ = procs[i].Wait()
		procs[i] = spawn()
	}
	for _, p := range procs {
		_ = p.Process.Kill()
		_ = p.Wait()
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
	t.Logf("%d events, %d of them twice", published, h.got-published)
}
