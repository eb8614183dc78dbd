package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/sinks"
)

// Finding is one line of `parley check`.
type Finding struct {
	What string `json:"what"` // nats, source eu-chats, sink files
	OK   bool   `json:"ok"`
	// Warning marks what works and may still not be what is wanted.
	Warning bool   `json:"warning,omitempty"`
	Text    string `json:"text"` // what was found, or what is wrong and what to do
}

const (
	checkLimit = 30 * time.Second
	natsLimit  = 5 * time.Second
)

// Check tries everything that the configuration names and tells whether all of it works.
func (a *App) Check(ctx context.Context, asJSON bool) (bool, error) {
	if len(a.sources) == 0 && len(a.sinks) == 0 {
		return false, a.Missing(Roles{Poll: true, Sink: true}) // a process may well have one without the other
	}
	b, finding := a.checkNATS(ctx)
	findings := []Finding{finding}
	if a.privacy != nil {
		findings = append(findings, a.finding("privacy", nil, a.privacy.String()))
	}
	if a.Config.MessageEvents {
		findings = append(findings, a.finding("message events", nil, "on: an event for each message, beside its conversation's"))
	}
	for _, s := range a.sources {
		findings = append(findings, a.checkSource(ctx, b, s))
	}
	if b != nil {
		defer b.Close()
	}
	for _, s := range a.sinks {
		findings = append(findings, a.checkSink(ctx, b, s))
	}
	ok := true
	for _, f := range findings {
		ok = ok && f.OK
	}
	if asJSON {
		return ok, json.NewEncoder(a.Out).Encode(findings)
	}
	for _, f := range findings {
		word := "ok"
		if f.Warning {
			word = "warning"
		}
		if !f.OK {
			word = "FAULT"
		}
		if _, err := fmt.Fprintf(a.Out, "%-7s  %s: %s\n", word, f.What, console.Printable(f.Text)); err != nil {
			return ok, err
		}
	}
	return ok, nil
}

func (a *App) finding(what string, err error, text string) Finding {
	if err != nil {
		return Finding{What: what, Text: a.redact.Redact(err.Error())}
	}
	return Finding{What: what, OK: true, Text: text}
}

// checkNATS reaches the configured broker, which may be the embedded one of a Parley that is running; nil when it cannot be reached.
func (a *App) checkNATS(ctx context.Context) (*broker.Broker, Finding) {
	ctx, cancel := context.WithTimeout(ctx, natsLimit)
	defer cancel()
	embedded := len(a.Config.NATS.URLs) == 0
	if embedded {
		if b, err := broker.Attach(ctx, a.brokerOptions()); err == nil {
			return b, a.finding("nats", nil, "embedded, running, in "+a.Config.DataDir)
		}
	}
	b, err := a.Broker(ctx)
	if err == nil && !b.Provisions() {
		if err = b.Provisioned(ctx, natsLimit/2); err != nil {
			b.Close()
		}
		if errors.Is(err, broker.ErrEmpty) {
			err = broker.ErrNotProvisioned
		}
	}
	switch {
	case err != nil:
		return nil, a.finding("nats", err, "")
	case embedded:
		return b, a.finding("nats", nil, "embedded, in "+a.Config.DataDir+", every message on disk before it counts")
	case a.Config.NATS.Replicas == 1:
		return b, Finding{What: "nats", OK: true, Warning: true, Text: "one replica on an external server is safe only if it runs with sync_interval: always, " +
			"which a client cannot see"}
	default:
		return b, a.finding("nats", nil, fmt.Sprintf("external, %d replicas", a.Config.NATS.Replicas))
	}
}

// skewLimit is how far a vendor's clock may be off before a check calls it a fault: windows end at our now.
const skewLimit = time.Minute

// checkSource asks a vendor, out of the account's budget where there is a broker that has it.
func (a *App) checkSource(ctx context.Context, b *broker.Broker, s *pollers.Source) Finding {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	what := "source " + s.Settings.Name
	if left, is := leftTo(broker.RolePoller, b, what); is {
		return left
	}
	if b != nil {
		turn, err := nextTurn(ctx, b, s)
		if err != nil {
			return a.finding(what, err, "")
		}
		if time.Until(turn) > checkLimit/2 {
			return Finding{What: what, OK: true, Warning: true, Text: "is not asked: the account's budget gives no turn before " + turn.Format(time.RFC3339)}
		}
	}
	if err := s.Poller.Check(ctx); err != nil {
		if pollers.IsUnauthorized(err) {
			err = fmt.Errorf("%w; look at %s", err, s.Credential)
		} else {
			err = fmt.Errorf("%w; if the vendor can be reached from here, look at %s", err, config.SourceVariable(s.Settings.Name, "URL"))
		}
		return a.finding(what, err, "")
	}
	text := fmt.Sprintf("%s accepts the credentials; time zone %s", s.Settings.Vendor, s.Poller.Describe().Location)
	if skew, known := s.Skew(); known {
		if skew.Abs() <= 2*time.Second {
			return Finding{What: what, OK: true, Text: text + "; its clock agrees with ours"}
		}
		text += fmt.Sprintf("; its clock is %s from ours", skew)
		if skew.Abs() > skewLimit {
			return Finding{What: what, Text: text + ", more than " + skewLimit.String() + ": set this machine's clock by NTP"}
		}
	}
	return Finding{What: what, OK: true, Text: text}
}

// nextTurn makes a source take from its account's budget, and tells when that gives it a turn.
func nextTurn(ctx context.Context, b *broker.Broker, s *pollers.Source) (time.Time, error) {
	budget, err := s.Share(ctx, b)
	if err != nil {
		return time.Time{}, err
	}
	status, err := budget.Status(ctx)
	turn := time.Now().UTC().Add(status.Queue)
	if status.HeldUntil.After(turn) {
		turn = status.HeldUntil
	}
	return turn, err
}

// leftTo tells whether this process has the identity of another role than the one whose work it would have to do: only that may, and has what it takes.
func leftTo(role string, b *broker.Broker, what string) (left Finding, is bool) {
	if b == nil || b.Role() == "" || b.Role() == role {
		return left, false
	}
	return Finding{What: what, OK: true, Warning: true, Text: fmt.Sprintf("is not tried, because PARLEY_NATS_CREDS is the identity of the %s: "+
		"run `parley check` where the %s runs, with its variables", b.Role(), role)}, true
}

func (a *App) checkSink(ctx context.Context, b *broker.Broker, s sink) Finding {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	what := "sink " + s.settings.Name
	if b == nil {
		return Finding{What: what, OK: true, Warning: true, Text: "is not tried, because NATS cannot be used"}
	}
	if left, is := leftTo(broker.RoleSink, b, what); is {
		return left
	}
	found, err := sinks.NewRunner(s.settings.Name, b, s.open, a.sinkOptions(s)).Check(ctx)
	if errors.Is(err, sinks.ErrBusy) {
		return a.finding(what, nil, "is being written by a parley that is running")
	}
	if err != nil {
		err = fmt.Errorf("%w; look at %s", err, config.SinkVariable(s.settings.Name, "URL"))
	}
	return a.finding(what, err, cmp.Or(found, "can be written"))
}
