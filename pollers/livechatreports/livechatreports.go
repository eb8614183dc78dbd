// Package livechatreports reads the LiveChat Reports API v3.6 (document: livechat-reports-v3.6.txt): figures about
// chats, by day. LiveChat's documents print no response bodies; the shapes are those of facts.md 1.4.
//
// # Config
//
// TOKEN is an access token with the scope reports_read. With ACCOUNT_ID beside it, it is a personal access
// token and goes out as HTTP Basic; without, as Bearer. TIMEZONE (default UTC) is the zone of the days. URL defaults to
// https://api.livechatinc.com; the access path /v3.6/reports is added.
//
// # Delivery
//
// Streams are the vendor's report names: chats/total_chats and chats/ratings. Each request asks
// for whole days with distribution "day", and always with the zone and both times, because the vendor's
// defaults depend on whose token asks. The end is exclusive here and inclusive there (all documented examples end at 23:59:59): it
// is sent as the last whole second. A window that starts or ends within a day is widened to the day, so
// that a bucket holds the same figures whatever window it is read in.
//
// A record is one bucket, {"2026-10-01":{"chats":3}}, value verbatim, with the key of
// [events.MetricKey]. Params: report, grain (day), bucket (the vendor's name of the day), start and end (RFC 3339, UTC; days are 23
// to 25 hours long), timezone. One more record per response holds every member but the records (total, and what is
// not documented): grain window, start and end those of the range that was asked for, no bucket.
//
// A bucket that is not named by a day is a record without key; a bucket that is no object keeps its key;
// the normaliser refuses both. A day out of the range, a day or a member twice, another report's name, no records or
// an error in a 200 make the whole response incomplete, and nothing of it is emitted.
//
// # Limits
//
// The vendor documents no rate, no largest range and no Retry-After. The range per request is 30 days. A response is held in
// memory: it is some dozen bytes per day, and refused over 64 MiB. Days that the vendor leaves out give
// no record. Should the vendor compare the end to the fraction of a second, chats in a window's last second are not counted. It has no time of change: later changes show only when a window is read again. How
// chats that span midnight are filed, it does not say.
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
	maxSpan       = 30 * pollers.Day
	maxResponse   = 64 << 20
	// The document's form of times, which writes UTC as +00:00.
	timeForm = "2006-01-02T15:04:05.999999-07:00"
)

// report is one method of the API; its records are buckets by day.
type report struct {
	path string // below the access path; the stream's name
	name string // what the response calls itself
}

func reports() []report {
	return []report{
		{"chats/total_chats", "total-chats-report"},
		{"chats/ratings", "ratings-report"},
	}
}

func reportAt(path string) (report, error) {
	for _, r := range reports() {
		if r.path == path {
			return r, nil
		}
	}
	return report{}, events.Permanent(fmt.Errorf("stream %q: the Reports API has no such report", path))
}

type poller struct {
	client   *pollers.Client
	endpoint string
	location *time.Location
	now      func() time.Time
	// authorization gives the header's value; a function, because fmt prints fields.
	authorization func() string
}

// New makes the poller of one account.
func New(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
	var own struct {
		AccountID string          `env:"ACCOUNT_ID"`
		Token     settings.Secret `env:"TOKEN, required"`
	}
	vars.Decode(&own)
	if strings.Contains(own.AccountID, ":") {
		vars.Fault("ACCOUNT_ID", "want an account's id, which has no colon")
	}
	token := own.Token.Reveal()
	basic := own.AccountID + ":" + token
	return &poller{
		client:        env.Connect(account(own.AccountID, token), pollers.Rate{}, slices.Concat(vars.Secrets(), []string{basic})),
		endpoint:      s.Endpoint(documentedURL, accessPath),
		location:      s.Location(time.UTC),
		now:           env.Now,
		authorization: func() string { return authorization(own.AccountID, token) },
	}
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
			Name: r.path, Grain: pollers.Day, MaxSpan: maxSpan, LiveSpan: pollers.Day,
		})
	}
	return d
}

// Check implements pollers.Poller: it asks how many chats there were today.
func (p *poller) Check(ctx context.Context) error {
	now := p.now()
	_, err := p.ask(ctx, reports()[0], p.wholeDays(now, now.Add(time.Second)))
	return err
}

// Fetch implements pollers.Poller with one request.
func (p *poller) Fetch(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	r, err := reportAt(w.Stream)
	if err != nil {
		return pollers.Reading{}, err
	}
	if !w.From.Before(w.To) {
		return pollers.Reading{}, events.Permanent(fmt.Errorf("report %s: window %s to %s is empty", r.path, w.From, w.To))
	}
	a, err := p.ask(ctx, r, p.wholeDays(w.From, w.To))
	if err != nil {
		return pollers.Reading{Requests: 1}, err
	}
	return pollers.Reading{Requests: 1}, p.emit(a, emit)
}

// interval is a half-open range of time, UTC.
type interval struct{ from, to time.Time }

// wholeDays gives the days that [from, to) touches.
func (p *poller) wholeDays(from, to time.Time) interval {
	return interval{
		from: pollers.Floor(from, pollers.Day, p.location),
		to:   pollers.Ceil(to.Add(-1), pollers.Day, p.location),
	}
}

// ask requests a report of some days and takes the response apart.
func (p *poller) ask(ctx context.Context, r report, days interval) (*answer, error) {
	a, err := p.request(ctx, r, days)
	if err != nil {
		return nil, fmt.Errorf("report %s of %s to %s: %w", r.path,
			days.from.Format(time.RFC3339), days.to.Format(time.RFC3339), err)
	}
	return a, nil
}

func (p *poller) request(ctx context.Context, r report, days interval) (*answer, error) {
	body, err := p.requestBody(days)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(ctx, pollers.Call{
		Method: http.MethodPost,
		URL:    p.endpoint + "/" + r.path,
		Header: http.Header{"Authorization": {p.authorization()}, "Content-Type": {events.ContentJSON}},
		Body:   body,
	})
	if err != nil {
		return nil, refusal(err)
	}
	defer resp.Body.Close()
	whole, err := readBounded(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{report: r, days: days, url: resp.URL, requestedAt: resp.RequestedAt}
	return a, p.takeApart(a, whole)
}

func (p *poller) requestBody(days interval) ([]byte, error) {
	type filters struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	return json.Marshal(struct {
		Distribution string  `json:"distribution"`
		Timezone     string  `json:"timezone"`
		Filters      filters `json:"filters"`
	}{"day", p.location.String(), filters{
		From: days.from.In(p.location).Format(timeForm),
		To:   days.to.Add(-time.Microsecond).In(p.location).Format(timeForm), // inclusive
	}})
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
