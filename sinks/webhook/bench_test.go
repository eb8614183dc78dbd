package webhook_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
)

func TestMain(m *testing.M) {
	if os.Getenv("WEBHOOK_TEST_RECEIVER") != "" {
		receive()
		return
	}
	os.Exit(m.Run())
}

// receive is a receiver in a process of its own, so that its CPU time is not the sender's.
func receive() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
}

func receiver(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WEBHOOK_TEST_RECEIVER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

// BenchmarkEventsToAWebhook sends events of 2 KiB of 500 entities; bare is a loop of eight that posts the same bytes and does nothing else.
func BenchmarkEventsToAWebhook(b *testing.B) {
	target := receiver(b)
	const events = 4000
	items := make([]sinks.Item, events)
	for i := range items {
		items[i] = sinks.Item{Sequence: uint64(i + 1), Event: sinktest.Event("e"+strconv.Itoa(i%500), uint64(i+1))}
		items[i].Event.Data = fmt.Appendf(nil, `{"id":"acme:eu:%d","text":"%s"}`, i, strings.Repeat("x", 2000))
	}
	for _, mode := range []string{"bare", "binary", "structured", "batch"} {
		b.Run(mode, func(b *testing.B) {
			cpu, start := cpuTime(), time.Now()
			for b.Loop() {
				if mode == "bare" {
					bare(b, target, items)
					continue
				}
				deliverAll(b, opener(b, target+"?mode="+mode, map[string]string{"SECRET": newKey}), items)
			}
			total := float64(b.N * events)
			b.ReportMetric(total/time.Since(start).Seconds(), "events/s")
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/total, "cpu-µs/event")
		})
	}
}

func deliverAll(b *testing.B, open sinks.Opener, items []sinks.Item) {
	s, err := open(b.Context(), sinks.Ownership{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Deliver(b.Context(), sinks.Batch{Items: items}); err != nil {
		b.Fatal(err)
	}
	if _, err := s.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func bare(b *testing.B, target string, items []sinks.Item) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	work, done := make(chan []byte), make(chan error)
	for range 8 {
		go func() {
			var last error
			for body := range work {
				r, err := client.Post(target, "application/json", bytes.NewReader(body))
				if err != nil {
					last = err
					continue
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
			}
			done <- last
		}()
	}
	for _, i := range items {
		work <- i.Event.Data
	}
	close(work)
	for range 8 {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
