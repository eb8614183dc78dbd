// Package liveleader reads the LiveLeader data export (document: liveleader-export.txt): finished chats with
// their messages, as XML over one GET.
//
// # Config
//
// EMAIL and PASSWORD are those of an operator with account permission, on a plan with data export; the vendor has no other
// credential, and takes both in the URL. OVERLAP (default 1h, at most 24h) is explained under Delivery. TIMEZONE (default UTC) is the
// zone of the times in the chats, which have no offset. URL defaults to https://www.liveleader.com; the access
// path /a/Srv is added.
//
// # Delivery
//
// The one stream is chats. A record is one chat element, verbatim, as application/xml without a declaration (the document says that
// all responses are UTF-8); its key is that of [events.LiveLeaderKey]. The record's URL has neither email nor password.
//
// The document does not say which chats belong to a period: those that start in it, stop in it, touch it, or lie within it whole. Under the
// last rule a chat that spans the border of two windows would be in neither. So each window is asked for from OVERLAP before its
// start: under every rule, a chat no longer than OVERLAP is in the window that holds its last message. Chats come in two windows thereby, and
// their content makes one event of them. Ends are asked for as they are, in UTC with milliseconds.
//
// A response is complete when the root element chats was closed and nothing followed. Another root, a child of chats that is no
// chat, or text between chats is an error of the window: the form of the vendor's own errors is not documented, and
// one of them must not pass for a period without chats. A chat without id, or whose inside is not well-formed, is a record
// that the normaliser refuses.
//
// # Limits
//
// Undocumented at the vendor, and thus chosen here: the largest period (7 days per request), the rate (none), the answer to bad credentials
// (401 and 403 are taken as such; an HTML page or a redirect is an error that is retried). There is no paging and no
// declared count: a vendor that left chats out of a well-formed response would not be noticed. The times inside the chats are not
// compared with the period: they have no offset, and a wrong TIMEZONE would fail every window. The vendor has no time of change:
// later changes show when a window is read again. Missed chats are not exported (operator and msg occur at least
// once), nor are message ids, agents' names and ratings; a rating is an answer in an exit survey.
package liveleader

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/xmlsplit"
)

const (
	documentedURL = "https://www.liveleader.com"
	accessPath    = "/a/Srv"
	stream        = "chats"
	maxSpan       = 7 * pollers.Day
	liveSpan      = time.Hour
	maxOverlap    = 24 * time.Hour
	// timeForm is the document's form of start and stop.
	timeForm = "2006-01-02T15:04:05.000-07:00"
)

type poller struct {
	client   *pollers.Client
	secrets  pollers.Redactor
	now      func() time.Time
	location *time.Location
	endpoint string
	email    string
	password settings.Secret
	overlap  time.Duration
}

// New makes the poller of one account.
func New(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
	var cfg struct {
		Email    string          `env:"EMAIL, required" credential:"user"`
		Password settings.Secret `env:"PASSWORD, required"`
		Overlap  time.Duration   `env:"OVERLAP, default=1h"`
	}
	vars.Decode(&cfg)
	if cfg.Email != "" && !strings.Contains(cfg.Email, "@") {
		vars.Fault("EMAIL", "want the e-mail address of an operator")
	}
	if cfg.Overlap < 0 || cfg.Overlap > maxOverlap {
		vars.Fault("OVERLAP", "want a duration of 0 to 24h")
	}
	endpoint := s.Endpoint(documentedURL, accessPath)
	return &poller{
		client:   env.Connect(account(endpoint, cfg.Email), pollers.Rate{}, vars.Secrets()),
		secrets:  pollers.NewRedactor(vars.Secrets()),
		now:      env.Now,
		location: s.Location(time.UTC),
		endpoint: endpoint,
		email:    cfg.Email,
		password: cfg.Password,
		overlap:  cfg.Overlap,
	}
}

// account names the vendor's account: its host, whatever the path, and the operator.
func account(endpoint, email string) string {
	host := endpoint
	if u, err := url.Parse(endpoint); err == nil {
		host = u.Host
	}
	return "liveleader|" + strings.ToLower(host) + "|" + strings.ToLower(email)
}

// String names the endpoint, and nothing of the credentials.
func (p *poller) String() string { return "liveleader poller of " + p.endpoint }

// GoString is String: the %#v of a struct would show the fields.
func (p *poller) GoString() string { return p.String() }

// Describe implements pollers.Poller.
func (p *poller) Describe() pollers.Description {
	return pollers.Description{
		Location: p.location,
		Streams:  []pollers.Stream{{Name: stream, Grain: time.Second, MaxSpan: maxSpan, LiveSpan: liveSpan}},
	}
}

// Fetch implements pollers.Poller.
func (p *poller) Fetch(ctx context.Context, window pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	if window.Stream != stream {
		return pollers.Reading{}, events.Permanent(fmt.Errorf("liveleader has no stream %q", window.Stream))
	}
	err := p.export(ctx, window.From.Add(-p.overlap), window.To, emit)
	return pollers.Reading{Requests: 1}, err
}

// Check implements pollers.Poller: it asks for the chats of the last second.
func (p *poller) Check(ctx context.Context) error {
	now := p.now()
	return p.export(ctx, now.Add(-time.Second), now, func(events.Record) error { return nil })
}

// export emits the chats of a period.
func (p *poller) export(ctx context.Context, from, to time.Time, emit func(events.Record) error) error {
	period := url.Values{"a": {"export"}, "start": {from.UTC().Format(timeForm)}, "stop": {to.UTC().Format(timeForm)}}
	address := p.endpoint + "?" + period.Encode()
	query := url.Values{"email": {p.email}, "password": {p.password.Reveal()}}
	for name, values := range period {
		query[name] = values
	}
	response, err := p.client.Do(ctx, pollers.Call{Method: http.MethodGet, URL: p.endpoint, Query: query})
	if err != nil {
		return fmt.Errorf("export chats: %w", err)
	}
	defer response.Body.Close()
	var refused error
	splitter := xmlsplit.Splitter{Path: []string{"chats"}, Element: "chat", Other: notChat}
	err = splitter.Scan(response.Body, func(body events.Body) error {
		refused = emit(record(body, address, response.RequestedAt))
		return refused
	})
	if refused != nil {
		return refused
	}
	if err != nil {
		return fmt.Errorf("export chats: %w", p.secrets.Error(err))
	}
	return nil
}

// notChat refuses a child of chats that the document does not have; its text may be anyone's and is not told.
func notChat(path, _ string) error {
	return fmt.Errorf("XML response: there is an element %s, want chats/chat alone: %w", path, pollers.ErrIncomplete)
}

func record(body events.Body, address string, requestedAt time.Time) events.Record {
	return events.Record{
		Key:         events.LiveLeaderKey(body.Bytes),
		Parts:       []events.Part{{ContentType: events.ContentXML, URL: address, Body: body}},
		RequestedAt: requestedAt,
	}
}
