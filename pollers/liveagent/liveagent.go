package liveagent

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

// accessPath is the document's.
const accessPath = "/api"

// defaultZone is the document's zone of all times.
const defaultZone = "America/Los_Angeles"

// vendorRate is the limit per API key (LiveAgent's help, article 217359).
var vendorRate = pollers.Rate{Requests: 180, Period: time.Minute}

// stream is what the room can read, and how.
type stream struct {
	pollers.Stream
	fetch func(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error)
}

func streams(reports []*report) []stream {
	return append([]stream{
		{
			// The live window is read every INTERVAL with three requests per conversation: one of an
			// hour would take the vendor's rate for itself.
			Stream: pollers.Stream{Name: "conversations", Grain: time.Second, MaxSpan: pollers.Day, LiveSpan: 10 * time.Minute},
			fetch:  fetchConversations,
		},
	}, reportStreams(reports)...)
}

type poller struct {
	client   *pollers.Client
	endpoint string
	format   format
	location *time.Location
	streams  []stream
	known    func(ctx context.Context, stream string, keys []string) (map[string]string, error)
	now      func() time.Time
	// Functions, since fmt prints the fields of what it is given, however private.
	apiKey func() string
	redact func(error) error
}

// New makes the room's poller; faults stay in vars.
func New(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
	var cfg struct {
		APIKey  settings.Secret `env:"API_KEY, required"`
		Format  string          `env:"FORMAT, default=json"`
		Queries []string        `env:"KB_QUERIES"`
		Columns []string        `env:"COLUMNS"`
	}
	vars.Decode(&cfg)
	if s.URL == nil {
		vars.Fault("URL", "want the account's address, such as https://company.example")
	}
	f, known := formats()[cfg.Format]
	if !known {
		vars.Fault("FORMAT", "want json or xml")
	}
	endpoint := s.Endpoint("", accessPath)
	read := append(streams(narrow(reports(), cfg.Columns, vars)), directoryStreams(searches(cfg.Queries, vars))...)
	return &poller{
		client: env.Connect(account(endpoint), vendorRate, vars.Secrets()), endpoint: endpoint, format: f, location: location(s, vars),
		streams: read, known: env.Known, now: env.Now, apiKey: cfg.APIKey.Reveal, redact: pollers.NewRedactor(vars.Secrets()).Error,
	}
}

// account names the installation: its keys share one budget, because the vendor counts by address too.
func account(endpoint string) string {
	_, place, _ := strings.Cut(endpoint, "://")
	return "liveagent|" + place
}

func location(s pollers.Settings, vars *settings.Vars) *time.Location {
	if s.Timezone != nil {
		return s.Timezone
	}
	zone, err := time.LoadLocation(defaultZone)
	if err != nil {
		vars.Fault("TIMEZONE", "want a time zone database that knows "+defaultZone)
		return time.UTC
	}
	return zone
}

// Describe implements pollers.Poller.
func (p *poller) Describe() pollers.Description {
	d := pollers.Description{Location: p.location}
	for _, s := range p.streams {
		d.Streams = append(d.Streams, s.Stream)
	}
	return d
}

// Fetch implements pollers.Poller.
func (p *poller) Fetch(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	i := slices.IndexFunc(p.streams, func(s stream) bool { return s.Name == w.Stream })
	if i < 0 {
		return pollers.Reading{}, events.Permanent(fmt.Errorf("liveagent has no stream %q", w.Stream))
	}
	reading, err := p.streams[i].fetch(ctx, p, w, emit)
	return reading, p.redact(err)
}

// Check implements pollers.Poller: it lists the departments, which every stream of conversations needs.
func (p *poller) Check(ctx context.Context) error {
	_, err := p.departments(ctx)
	return p.redact(err)
}

// departments gives the ids of all departments. An account has one from its beginning, so a list of none is
// no answer: it would make every window empty.
func (p *poller) departments(ctx context.Context) ([]string, error) {
	var ids []string
	err := p.list(ctx, departmentList, nil, func(_ source, body events.Body) error {
		id := p.format.fields(body.Bytes, departmentList.item)["departmentid"]
		if id == "" {
			return fmt.Errorf("a department has no departmentid: %w", pollers.ErrIncomplete)
		}
		ids = append(ids, id)
		return nil
	})
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("there are none: %w", pollers.ErrIncomplete)
	}
	if err != nil {
		return nil, fmt.Errorf("list departments: %w", err)
	}
	return ids, nil
}

// source is where a part came from.
type source struct {
	url string // without the key
	at  time.Time
}

// get makes a call; its path is below the access point.
func (p *poller) get(ctx context.Context, path string, query url.Values) (*pollers.Response, source, error) {
	call := pollers.Call{URL: p.endpoint + "/" + path + p.format.suffix, Query: url.Values{"apikey": {p.apiKey()}}}
	from := source{url: call.URL}
	if len(query) > 0 {
		from.url += "?" + query.Encode()
	}
	for name, values := range query {
		call.Query[name] = values
	}
	resp, err := p.client.Do(ctx, call)
	if err != nil {
		return nil, source{}, steer(err)
	}
	from.url = p.client.Redact(from.url)
	from.at = resp.RequestedAt
	return resp, from, nil
}
