package main_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/broker"
)

// externalServer is a NATS server that can be stopped and started again on the same port and store.
type externalServer struct {
	*server.Server
	port  int
	store string
}

func newExternalServer(t testing.TB) *externalServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &externalServer{port: l.Addr().(*net.TCPAddr).Port, store: filepath.Join(t.TempDir(), "store")}
	_ = l.Close()
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *externalServer) start(t testing.TB) {
	t.Helper()
	var err error
	s.Server, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: s.port, JetStream: true, StoreDir: s.store, SyncAlways: true, MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
		JetStreamMaxStore: 1 << 50,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
}

func (s *externalServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

func (s *externalServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

func TestEverythingWaitsForALostServerAndGoesOn(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 11, Days: 4, Chats: 300})
	s := newExternalServer(t)
	w.set("PARLEY_NATS_URL", s.url())
	var roles []*parley
	for _, role := range []string{"poll", "process", "sink"} {
		p := command(t, w.environ, role)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		roles = append(roles, p)
	}
	for range 3 {
		<-time.After(1200 * time.Millisecond)
		s.stop()
		<-time.After(1500 * time.Millisecond)
		s.start(t)
	}
	b, err := broker.Open(t.Context(), broker.Options{URLs: []string{s.url()}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	settled(t, b, w)
	for _, p := range roles {
		_ = p.Process.Signal(os.Interrupt)
		if err := p.Wait(); err != nil {
			t.Errorf("%s ended with %v:\n%s", p.Args[1], err, p.stderr)
		}
	}
	w.wantAll(t, w.readFiles(t))
}
