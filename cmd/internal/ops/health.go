package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/sinks"
)

// State is how a check came out.
type State string

// The states. What is degraded waits and loses nothing, and this process does the rest of its work; what failed keeps it from its work.
const (
	OK       State = "ok"
	Degraded State = "degraded"
	Failed   State = "failed"
)

// Check is one thing that was looked at.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// What is wrong, and what to Do.
	What string `json:"what,omitempty"`
	Do   string `json:"do,omitempty"`
}

// Health is all that was looked at; its State is the worst.
type Health struct {
	State  State   `json:"state"`
	Checks []Check `json:"checks"`
}

func healthOf(checks []Check) Health {
	h := Health{State: OK, Checks: checks}
	for _, c := range checks {
		if c.State == Failed || c.State == Degraded && h.State == OK {
			h.State = c.State
		}
	}
	return h
}

// write answers 503 when something failed.
func (h Health) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if h.State == Failed {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(h) // a client that is gone needs no answer
}

// starting is the check of a process that has not looked around yet.
var starting = Check{
	Name: "start", State: Failed, What: "the process starts: it waits for the NATS server, or opens its store",
	Do: "wait; if it stays so, the log says what it waits for",
}

// Starting are the routes of a process that does not run yet: it is alive, and not ready.
func Starting() Routes {
	return Routes{
		Metrics: NewMetrics().Handler(),
		Alive:   func() Health { return healthOf([]Check{{Name: "start", State: OK}}) },
		Ready:   func() Health { return healthOf([]Check{starting}) },
	}
}

// How long ago a loop may have turned. None waits that long for a server or a destination; a sink may write a large file at once.
const (
	loopLimit = 5 * time.Minute
	sinkLimit = 15 * time.Minute
)

// Alive tells whether the process's loops turn: nothing outside of the process makes it fail, so that a restart is the remedy.
func (w *Watch) Alive() Health {
	now := w.now()
	checks := []Check{turns("watch", w.turned(), loopLimit, now)}
	if w.process.Pollers != nil {
		checks = append(checks, turns("poll", w.process.Pollers.Turned(), loopLimit, now))
	}
	if w.process.Processor != nil {
		checks = append(checks, turns("process", w.process.Processor.Turned(), loopLimit, now))
	}
	for _, name := range slices.Sorted(maps.Keys(w.process.Sinks)) {
		checks = append(checks, turns("sink "+name, w.process.Sinks[name].Stats().Turned, sinkLimit, now))
	}
	return healthOf(checks)
}

func turns(name string, at time.Time, limit time.Duration, now time.Time) Check {
	if ago := now.Sub(at); !at.IsZero() && ago > limit {
		return Check{
			Name: name, State: Failed, What: fmt.Sprintf("this loop last turned %s ago", ago.Round(time.Second)),
			Do: "restart the process, nothing is lost by that; PARLEY_PPROF=1 and /debug/pprof/goroutine?debug=2 show where it hangs",
		}
	}
	return Check{Name: name, State: OK}
}

// Ready tells whether the process can do its work. The broker, its store and the disks of the sinks here are what it cannot do without. A vendor
// that refuses credentials and a destination that takes nothing are told and fail nothing: what is theirs waits, and the process serves
// the others meanwhile.
func (w *Watch) Ready() Health {
	seen := w.view()
	if w.stopping.Load() {
		return healthOf([]Check{{Name: "stop", State: Failed, What: "the process is stopping", Do: "wait for the next one"}})
	}
	if seen == nil {
		return healthOf([]Check{starting})
	}
	checks := []Check{w.checkBroker(), w.checkStore(seen), seen.checkDead()}
	for _, s := range w.process.Sources {
		if found, ok := seen.sources[s.Settings.Name]; ok && w.process.Pollers != nil {
			checks = append(checks, checkSource(s, &found))
		}
	}
	if w.process.Pollers != nil {
		checks = append(checks, w.checkFetching())
	}
	for _, name := range slices.Sorted(maps.Keys(w.process.Sinks)) {
		checks = append(checks, checkSink(name, w.process.Sinks[name].Stats()))
	}
	for i := range checks {
		checks[i].What = w.redact(checks[i].What)
	}
	return healthOf(checks)
}

func (w *Watch) checkBroker() Check {
	c := Check{Name: "broker", State: OK}
	if !w.process.Broker.Connected() {
		c.State, c.What = Failed, "the NATS server is lost"
		c.Do = "start it, or look at the network and PARLEY_NATS_URL; parley tries again by itself and loses nothing meanwhile"
		if w.process.Broker.Embedded() {
			c.Do = "restart parley: its own server has ended"
		}
	}
	return c
}

func (w *Watch) checkStore(seen *view) Check {
	c := Check{Name: "store", State: OK}
	err := w.process.Broker.Health()
	if errors.Is(err, broker.ErrDisconnected) {
		err = nil // the broker's check says it
	}
	if err == nil {
		err = seen.store
	}
	switch {
	case err == nil:
		return c
	case !w.process.Broker.Embedded() && !w.wrote():
		// Its first write was never answered: this identity may lack the right, which says nothing of the store.
		c.State, c.What = Degraded, "whether the store takes writes is not known: "+err.Error()
		c.Do = "allow this role to publish to $KV." + broker.MembersBucket + ".health.>"
		return c
	}
	c.State, c.What = Failed, "the store takes no writes: "+err.Error()
	c.Do = "look at the disks and the JetStream limits of the NATS servers"
	if w.process.Broker.Embedded() {
		c.Do = fmt.Sprintf("make room on the disk of PARLEY_DATA_DIR (%s, %d MiB are free), then restart parley: its server stores nothing before that; nothing is lost",
			w.process.Broker.Options().DataDir, seen.free>>20)
	}
	return c
}

func (w *Watch) checkFetching() Check {
	if w.process.Pollers.Held() {
		return Check{
			Name: "fetching", State: Degraded, What: "nothing is fetched: records wait too long for processors, or " + broker.Raw + " is full",
			Do: "start more `parley process`, or raise PARLEY_RAW_MAX_BYTES",
		}
	}
	return Check{Name: "fetching", State: OK}
}

func (v *view) checkDead() Check {
	c := Check{Name: "dead letters", State: OK}
	dead := v.streams[broker.Dead]
	if dead.Fill() >= broker.DeadAlarm {
		c.State, c.What = Degraded, fmt.Sprintf("they fill %d %% of the %d MiB that %s takes; once it is full, what fails waits and holds up what follows it",
			dead.Fill(), dead.MaxBytes>>20, broker.Dead)
		c.Do = "look at `parley dlq ls`, then `parley dlq replay` or `drop`; or raise PARLEY_RAW_MAX_BYTES, of which they take a quarter"
	}
	return c
}

func checkSource(s *pollers.Source, found *pollers.SourceStatus) Check {
	c := Check{Name: "source " + s.Settings.Name, State: OK}
	if found.Paused != "" {
		c.State, c.What = Degraded, "the vendor refuses the credentials: "+found.Paused
		c.Do = fmt.Sprintf("set %s right; the vendor is asked again at %s, and by a new process at once", s.Credential, found.ProbeAt.UTC().Format(time.RFC3339))
	}
	return c
}

func checkSink(name string, s sinks.Stats) Check {
	c := Check{Name: "sink " + name, State: OK}
	variable := "PARLEY_SINK_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_") + "_URL"
	switch {
	case s.Pause != nil:
		c.State, c.What = Degraded, fmt.Sprintf("it is paused since %s: %s", s.Pause.Since.UTC().Format(time.RFC3339), s.Pause.Why)
		c.Do = "look at the destination, " + variable + "; its backlog waits, and one event now and then asks whether it is back"
		if s.Pause.ForGood {
			c.Do = "the destination asked not to be called again: look at " + variable + ", then restart this process"
		}
	case s.Failing && s.LastReason == sinks.ReasonDisk:
		c.State, c.What = Failed, "its disk takes no writes: "+s.LastError
		c.Do = "make room where " + variable + " points; it goes on by itself"
	case s.Failing && s.LastReason != sinks.ReasonBroker:
		c.State, c.What = Degraded, "it fails: "+s.LastError
		c.Do = "look at " + variable + "; what is not delivered waits"
	}
	return c
}
