package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/catalog"
	"github.com/parley-stream/parley/pollers/simulated"
)

// Simulation says how the simulators are made.
type Simulation struct {
	Addr  string
	Seed  int64
	Days  int
	Chats int // of each vendor
	// LivePerHour chats go on arriving at each vendor.
	LivePerHour int
	// Faults as simulated.ParseFaults reads them: 429=0.1,slow=0.05. Each name is one of simulated.FaultNames.
	Faults    string
	Malformed int
	// Now is the simulators' clock; nil is the real one.
	Now func() time.Time
}

// Simulators are the vendors' APIs on one port.
type Simulators struct {
	listener net.Listener
	server   *http.Server
	names    []string
	sims     map[string]catalog.Simulator
	base     string
}

// Simulate starts them; Serve answers.
func Simulate(s Simulation) (*Simulators, error) {
	faults, err := simulated.ParseFaults(s.Faults)
	if err != nil {
		return nil, fmt.Errorf("--fault: %w", err)
	}
	listener, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return nil, fmt.Errorf("--addr: %w", err)
	}
	out := &Simulators{listener: listener, sims: make(map[string]catalog.Simulator), base: "http://" + listener.Addr().String()}
	mux := http.NewServeMux()
	for i, v := range catalog.Vendors() {
		sim := v.Simulate(simulated.Options{
			Seed: s.Seed + int64(i), Days: s.Days, Chats: s.Chats, LivePerHour: s.LivePerHour, Malformed: s.Malformed, Faults: faults, Now: s.Now,
		})
		out.names = append(out.names, v.Name)
		out.sims[v.Name] = sim
		mux.Handle(v.Path, sim)
	}
	mux.HandleFunc("POST /_sim/change", out.change)
	mux.HandleFunc("GET /_sim/ledger", out.ledger)
	out.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return out, nil
}

// Serve answers until the context ends.
func (s *Simulators) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.server.Close() })
	defer stop()
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("simulators: %w", err)
	}
	return nil
}

// change edits n chats of a vendor, or of every one.
func (s *Simulators) change(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 1 {
		http.Error(w, fmt.Sprintf("n: is %q, want a whole number above 0", r.URL.Query().Get("n")), http.StatusBadRequest)
		return
	}
	names := s.names
	if vendor := r.URL.Query().Get("vendor"); vendor != "" {
		if s.sims[vendor] == nil {
			http.Error(w, fmt.Sprintf("vendor: is %q, want one of %s", vendor, strings.Join(s.names, ", ")), http.StatusBadRequest)
			return
		}
		names = []string{vendor}
	}
	changed := make(map[string]int)
	for _, name := range names {
		changed[name] = s.sims[name].Change(n)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(changed) // the caller went away
}

// ledger shows what a poller must find.
func (s *Simulators) ledger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.Ledgers()) // the caller went away
}

// Base is the simulators' URL.
func (s *Simulators) Base() string { return s.base }

// Names are the vendors'.
func (s *Simulators) Names() []string { return slices.Clone(s.names) }

// Ledgers give what a poller must find, by vendor.
func (s *Simulators) Ledgers() map[string][]simulated.Entry {
	all := make(map[string][]simulated.Entry)
	for name, sim := range s.sims {
		all[name] = sim.Ledger()
	}
	return all
}

// Environ gives the variables that reach the simulators, NAME=value, sorted.
func (s *Simulators) Environ() []string {
	environ := []string{"PARLEY_SOURCES=" + strings.Join(s.names, ",")}
	for _, name := range s.names {
		prefix := "PARLEY_SOURCE_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_") + "_"
		variables := s.sims[name].Variables(s.base)
		// The vendors' own limits are for vendors; a simulator may be asked as fast as one likes.
		variables["RATE"] = "100000/s"
		for _, key := range slices.Sorted(maps.Keys(variables)) {
			environ = append(environ, prefix+key+"="+variables[key])
		}
	}
	return environ
}

// PrintEnviron writes the variables as a shell takes them.
func (s *Simulators) PrintEnviron(w io.Writer) error {
	for _, line := range s.Environ() {
		name, value, _ := strings.Cut(line, "=")
		if _, err := fmt.Fprintf(w, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`)); err != nil {
			return err
		}
	}
	return nil
}
