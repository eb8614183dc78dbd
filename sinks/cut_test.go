package sinks_test

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

// cutter passes a TCP connection on and cuts it when it is told to, whatever is under way.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) serve(l net.Listener, target string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", target)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		go func() { _, _ = io.Copy(in, out) }()
		go func() { _, _ = io.Copy(out, in) }()
	}
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// What the server had sent when a connection broke is lost on its way. It must not come after what follows it.
func TestConnectionsThatBreakLoseNothing(t *testing.T) {
	dataDir, dir := t.TempDir(), t.TempDir()
	server, err := broker.Open(t.Context(), broker.Options{DataDir: dataDir, SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if err := server.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dataDir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var proxy cutter
	go proxy.serve(listener, address.Host)
	address.Host = listener.Addr().String()
	client, err := broker.Open(t.Context(), broker.Options{URLs: []string{address.String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)

	const rounds, each = 12, 6000
	publish(t, server, 1, rounds*each)
	said := &log{}
	o := sinks.Options{Logger: slog.New(slog.NewTextHandler(said, nil))}
	r := sinks.NewRunner("archive", client, fileSink(t, dir, "rotate_size=64KB&rotate_age=1s"), o)
	run(t, r)
	for range rounds {
		// A lost connection is back within about a second; then some thousand events a moment are on their way.
		for before := r.Stats().Delivered; before < rounds*each && r.Stats().Delivered == before; {
			<-time.After(time.Millisecond)
		}
		<-time.After(time.Duration(rand.IntN(30)) * time.Millisecond)
		proxy.cut()
	}
	drain(t, r)
	wantOnce(t, revisions(t, dir), rounds*each)
	if now, anew := said.count("has the sink now"), said.count("has the sink anew"); now != 1 || anew == 0 {
		t.Errorf("it is said %d times that this process has the sink now, and %d times anew; want once, and why it has it again", now, anew)
	}
}
