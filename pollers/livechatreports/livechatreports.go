// Package livechatreports reads the LiveChat Reports API v3.6 (document: livechat-reports-v3.6.txt): figures about
// chats, agents, tags and visitors. The document prints no response bodies; the shapes are those of LiveChat's published examples of the same
// methods.
//
// # Config
//
// TOKEN is an access token with the scope reports_read. With ACCOUNT_ID beside it, it is a personal access
// token and goes out as HTTP Basic; without, as Bearer. TIMEZONE (default UTC) is the zone of the buckets, sent with every request. URL defaults to
// https://api.livechatinc.com; the access path /v3.6/reports is added.
//
// DISTRIBUTION is how the reports that have buckets are asked for: hour, day (the default), day-hours, month or year. agents/availability
// knows hour and day alone: under the other three it is asked by day. A bucket of day-hours is an hour of one day, because a request is for one. Two
// sources give two distributions.
//
// METHOD is POST (the default: parameters are a JSON body) or GET (they are the query, with the documented square
// brackets of properties).
//
// FILTERS is one JSON object, the document's filters without their times: {"agents":{"values":["joe@acme.example"]},"tags":{"exclude_values":["spam"]},
// "properties":{"routing":{"continuous":{"values":[true]}}}}. It is held to the document before anything is sent: known
// fields, right types, exactly one of exists, values and exclude_values, agent_response.agents and .groups only with first. The times are Parley's: they are
// filters.from and filters.to, of chats/greetings_conversion filters.greetings.from and .to. To put them elsewhere write
// {"from":"{from}","to":"{to}"} in the one place that is to have them: the filters, greetings, or surveys (each of the list). Every stream that the
// source reads must take every filter, or the figures would not be what they seem: agents reports take agents and groups, tags/chat_usage groups,
// stats/visitors none, so that FILTERS mostly comes with STREAMS=chats/*. The surveys have no documented form in a query: they want POST.
//
// # Delivery
//
// Streams are the vendor's report names, 14 of them: chats/{duration, tags, total_chats, ratings, ranking, engagement,
// greetings_conversion, forms, response_time, first_response_time}, agents/{availability, performance}, tags/chat_usage and
// stats/visitors. One request asks for one day of the source's zone, and for one month or year under these distributions: so no
// record, the totals and summaries included, hangs on the window that it was read in. A window that starts or ends within a day (a month, a year) is
// widened to it. The end is exclusive here and inclusive there (all documented examples end at 23:59:59): it is sent as the last microsecond.
//
// A record is one metric, with the key of [events.MetricKey]: a bucket, {"2026-10-01":{"chats":3}}; one name of a bucket or of the
// records (Params dimension says what it names: tag, greeting, agent), {"refund":2}; of chats/forms a form, an answer, or a field that
// has no answers, in parts of these names. Values are verbatim. One more record per response holds every member but the
// records (total, summary, and what is not documented), with the grain window. Params: report, grain (hour, day,
// day-hours, month, year, window), bucket (the vendor's name of it), dimension, start and end (RFC 3339, UTC; days are 23 to 25 hours
// long), timezone, and of a source with FILTERS filters (in canonical form: sorted) and filter, the first 12 hex digits of its SHA-256, which is a
// dimension of every metric.
//
// A bucket whose name says no time, a form, field or answer without an id, and what comes a second time under one key are records without key; a
// bucket that is not what its report has keeps its key; the normaliser refuses them. A bucket out of the range, a member of the response or of the
// records twice, another report's name, no records (no summary of stats/visitors) or an error in a 200 make the response
// incomplete, and nothing of it is emitted. A 404 says that the account has no such report: its stream is unavailable.
//
// # Limits
//
// chats/greetings_conversion gives up to 100 greetings a day: a day with 100 is Capped. The vendor documents no rate, no largest range and no Retry-After. A
// response is held in memory, and refused over 64 MiB. Buckets that the vendor leaves out give no record, nor does an empty bucket of an
// hour that the clocks skipped; a tag, greeting or agent that a bucket no longer has keeps its last figures. How buckets other than days are named, it does not say: hours are understood as "2026-10-01 13:00", as RFC 3339
// and as "13:00", months as 2026-10, years as 2026, each also as the date on which they start. Of an hour that comes twice under one name the bucket covers both. It has no
// time of change: later changes show only when a window is read again. How chats that span midnight are filed, it does not say. When DISTRIBUTION or
// FILTERS change, the source goes on from where it is: a source of another name reads the past under them.
package livechatreports

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

const (
	documentedURL = "https://api.livechatinc.com"
	accessPath    = "/v3.6/reports"
	maxResponse   = 64 << 20
	// The document's form of times, which writes UTC as +00:00.
	timeForm = "2006-01-02T15:04:05.999999-07:00"
)

type poller struct {
	client       *pollers.Client
	endpoint     string
	location     *time.Location
	now          func() time.Time
	method       string
	distribution string
	filters      filters
	// authorization gives the header's value; a function, because fmt prints fields.
	authorization func() string
}

// New makes the poller of one account.
func New(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
	var own struct {
		AccountID    string          `env:"ACCOUNT_ID" credential:"user"`
		Token        settings.Secret `env:"TOKEN, required"`
		Distribution string          `env:"DISTRIBUTION, default=day"`
		Method       string          `env:"METHOD, default=POST"`
		Filters      string          `env:"FILTERS"`
	}
	vars.Decode(&own)
	if strings.Contains(own.AccountID, ":") {
		vars.Fault("ACCOUNT_ID", "want an account's id, which has no colon")
	}
	if !slices.Contains(distributions(), own.Distribution) {
		vars.Fault("DISTRIBUTION", "want "+strings.Join(distributions(), ", "))
	}
	if own.Method != http.MethodPost && own.Method != http.MethodGet {
		vars.Fault("METHOD", "want POST or GET")
	}
	f, faults := readFilters(own.Filters, own.Method, selected(s))
	if len(faults) > 0 {
		vars.Fault("FILTERS", "want the document's filters: "+strings.Join(faults, "; "))
	}
	token := own.Token.Reveal()
	basic := own.AccountID + ":" + token
	return &poller{
		client:   env.Connect(account(own.AccountID, token), pollers.Rate{}, slices.Concat(vars.Secrets(), []string{basic})),
		endpoint: s.Endpoint(documentedURL, accessPath), location: s.Location(time.UTC), now: env.Now,
		method: own.Method, distribution: own.Distribution, filters: f,
		authorization: func() string { return authorization(own.AccountID, token) },
	}
}

// selected are the reports that the source reads.
func selected(s pollers.Settings) []report {
	return slices.DeleteFunc(reports(), func(r report) bool { return !s.Selects(r.path) })
}

// account names the vendor's account. Where only the token tells accounts apart, it is a short digest of it, from which
// the token cannot be found.
func account(id, token string) string {
	if id == "" {
		sum := sha256.Sum256([]byte("livechat-reports " + token))
		id = "token-" + hex.EncodeToString(sum[:6])
	}
	return "livechat-reports/" + id
}

func authorization(accountID, token string) string {
	if accountID == "" {
		return "Bearer " + token
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(accountID+":"+token))
}

// Describe implements pollers.Poller.
func (p *poller) Describe() pollers.Description {
	d := pollers.Description{Location: p.location}
	for _, r := range reports() {
		d.Streams = append(d.Streams, pollers.Stream{
			Name: r.path, Grain: pollers.Day, MaxSpan: maxSpan(p.grainOf(r)), LiveSpan: pollers.Day,
		})
	}
	return d
}

// grainOf is the distribution by which a report is asked for.
func (p *poller) grainOf(r report) string {
	if !r.distributed || r.family == "agents" && p.distribution != grainHour {
		return grainDay
	}
	return p.distribution
}

// Check implements pollers.Poller: it asks how many chats there were today.
func (p *poller) Check(ctx context.Context) error {
	now := p.now()
	plain := *p
	plain.filters = filters{}
	_, err := plain.ask(ctx, reportOfCheck(), plain.periods(grainDay, now, now.Add(time.Second))[0])
	return err
}

// Fetch implements pollers.Poller with one request per day, month or year.
func (p *poller) Fetch(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	var reading pollers.Reading
	r, err := reportAt(w.Stream)
	if err != nil {
		return reading, err
	}
	if !w.From.Before(w.To) {
		return reading, events.Permanent(fmt.Errorf("report %s: window %s to %s is empty", r.path, w.From, w.To))
	}
	if refused := p.filters.refusedBy(r); len(refused) > 0 {
		return reading, events.Permanent(fmt.Errorf("report %s: %s", r.path, strings.Join(refused, "; ")))
	}
	for _, period := range p.periods(p.grainOf(r), w.From, w.To) {
		reading.Requests++
		a, err := p.ask(ctx, r, period)
		if err != nil {
			return reading, err
		}
		reading.Capped = reading.Capped || a.capped()
		if err := p.emit(a, emit); err != nil {
			return reading, err
		}
	}
	return reading, nil
}

// ask requests a report of one period and takes the response apart.
func (p *poller) ask(ctx context.Context, r report, period interval) (*answer, error) {
	a, err := p.request(ctx, r, period)
	if err != nil {
		return nil, fmt.Errorf("report %s of %s to %s: %w", r.path,
			period.from.Format(time.RFC3339), period.to.Format(time.RFC3339), err)
	}
	return a, nil
}

func (p *poller) request(ctx context.Context, r report, period interval) (*answer, error) {
	call, err := p.call(r, period)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(ctx, call)
	if err != nil {
		return nil, refusal(err)
	}
	defer resp.Body.Close()
	whole, err := readBounded(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{report: r, grain: p.grainOf(r), period: period, url: resp.URL, requestedAt: resp.RequestedAt}
	return a, p.takeApart(a, whole)
}

func (p *poller) call(r report, period interval) (pollers.Call, error) {
	call := pollers.Call{Method: p.method, URL: p.endpoint + "/" + r.path, Header: http.Header{"Authorization": {p.authorization()}}}
	form := func(t time.Time) string { return t.In(p.location).Format(timeForm) }
	f := p.filters.filled(r, form(period.from), form(period.to.Add(-time.Microsecond))) // both inclusive
	distribution := ""
	if r.distributed { // where it has no effect, or is no parameter, it is left out
		distribution = p.grainOf(r)
	}
	if p.method == http.MethodGet {
		call.Query = query(distribution, p.location.String(), f)
		return call, nil
	}
	body, err := json.Marshal(struct {
		Distribution string `json:"distribution,omitempty"`
		Timezone     string `json:"timezone"`
		Filters      any    `json:"filters"`
	}{distribution, p.location.String(), f})
	call.Header.Set("Content-Type", events.ContentJSON)
	call.Body = body
	return call, err
}

// query writes the parameters as the document writes its sample of filters.
func query(distribution, zone string, f map[string]any) url.Values {
	q := url.Values{"timezone": {zone}}
	if distribution != "" {
		q.Set("distribution", distribution)
	}
	flatten(q, "filters", f)
	return q
}

// flatten adds the leaves below a name; those of properties have the names of their two levels in brackets.
func flatten(q url.Values, name string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for member, inner := range v {
			if strings.HasPrefix(name, "filters.properties") && strings.Count(name, "[") < 2 {
				flatten(q, name+"["+member+"]", inner)
			} else {
				flatten(q, name+"."+member, inner)
			}
		}
	case []any:
		for _, inner := range v {
			q.Add(name, fmt.Sprint(inner))
		}
	default:
		q.Set(name, fmt.Sprint(v))
	}
}

func readBounded(r io.Reader) ([]byte, error) {
	whole, err := io.ReadAll(io.LimitReader(r, maxResponse+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("response: %w: %w", pollers.ErrIncomplete, err)
	case err != nil:
		return nil, fmt.Errorf("response: %w", err)
	case len(whole) > maxResponse:
		return nil, fmt.Errorf("response exceeds %d bytes: %w", maxResponse, pollers.ErrIncomplete)
	}
	return whole, nil
}
