// Package livechat reads the chats of a LiveChat account from its chats API, version 2 (document:
// livechat-chats-v2.txt).
//
// It has one stream, "chats": all ended chats and all missed ones, one record per chat, which is the
// JSON object of the response. The key is the chat's id.
//
// # Config
//
//   - LOGIN: the login (e-mail address) of an agent who may read the archives. Required.
//   - API_KEY, or API_KEY_FILE: that agent's API key. Required, secret.
//   - TIMEZONE: the account's zone: the vendor files chats by its days and prints times in it without an
//     offset. Default UTC.
//   - URL: default https://api.livechatinc.com.
//   - AGENT, GROUP, GOAL, HAS_GOAL, RATE_FILTER, QUERY, VISITOR_ID, TYPE: the document's filters, sent as they are (RATE_FILTER is its rate:
//     RATE is how often the vendor may be asked). Default none: all chats. GROUP and GOAL are whole numbers, HAS_GOAL is 1 or
//     0, RATE_FILTER is rated, not_rated, rated_good or rated_bad, TYPE is chat or missed_chat. A source that is given other filters reads
//     what is due from then on: give another source another name.
//
// # Delivery
//
// The vendor can be asked by date only, so windows are whole days in the account's zone, at most 7. A page
// is streamed: its chats are emitted while it comes. The pages of one reading belong together
// only if nothing moved meanwhile: total and pages are the same on each, no chat comes twice, and as many chats
// come as the total says. Else the window is read again, up to three times, and is then
// incomplete. A page that does not come whole is asked for again by itself, twice. A chat that lies wholly more than a day outside of the days asked for makes it incomplete as well.
//
// # Limits
//
// Only the latest 25 000 chats of a range can be reached (1000 pages of 25): a range with so many is capped,
// and a day with so many stays partial. A chat that vanishes from a page that was read already, and
// another that appears on a page that was not, between the same two requests, cancel out in all
// that the vendor tells: a chat can then be missed until the window is read again.
// A filter makes that likelier: under RATE_FILTER=not_rated a chat vanishes when it is rated, and is not told of any more.
// There is no time of change: late ratings and tags, and chats that end days after the day that
// they are filed under, are found only by reading a window again. Whether a chat is filed by its start or its end is not documented, nor are a limit of
// requests and the form of errors.
package livechat

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
)

const (
	documentedURL = "https://api.livechatinc.com"
	accessPath    = "/chats"
	stream        = "chats"
)

type poller struct {
	url      string
	location *time.Location
	client   *pollers.Client
	now      func() time.Time
	filters  url.Values // by the document's names
	// authorize sets the headers of a request. The credentials live in it alone, where no printing reaches them.
	authorize func(http.Header)
}

// New makes the poller of one account; see the package comment for its variables.
func New(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
	var cfg struct {
		Login  string          `env:"LOGIN, required" credential:"user"`
		APIKey settings.Secret `env:"API_KEY, required"`
	}
	vars.Decode(&cfg)
	if strings.Contains(cfg.Login, ":") {
		vars.Fault("LOGIN", "want a login without a colon, as HTTP Basic has it")
	}
	credentials := cfg.Login + ":" + cfg.APIKey.Reveal()
	return &poller{
		filters:  decodeFilters(vars),
		url:      s.Endpoint(documentedURL, accessPath),
		location: s.Location(time.UTC),
		// The header holds the login and the key encoded as one, which redaction knows only as one.
		client: env.Connect("livechat:"+cfg.Login, pollers.Rate{}, slices.Concat(vars.Secrets(), []string{credentials})),
		now:    env.Now,
		authorize: func(h http.Header) {
			request := http.Request{Header: h}
			request.SetBasicAuth(cfg.Login, cfg.APIKey.Reveal())
			h.Set("X-API-Version", "2")
		},
	}
}

// Describe implements pollers.Poller.
func (p *poller) Describe() pollers.Description {
	return pollers.Description{
		Location: p.location,
		Streams:  []pollers.Stream{{Name: stream, Grain: pollers.Day, MaxSpan: 7 * pollers.Day}},
	}
}

// Check asks for the first page of today.
func (p *poller) Check(ctx context.Context) error {
	today := p.now()
	r := p.reading(pollers.Window{From: today, To: today}, func(events.Record) error { return nil })
	_, err := r.page(ctx, 1)
	return err
}

// Fetch implements pollers.Poller.
func (p *poller) Fetch(ctx context.Context, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	if w.Stream != stream {
		return pollers.Reading{}, events.Permanent(fmt.Errorf("stream %q: is unknown, LiveChat has %q only", w.Stream, stream))
	}
	r := p.reading(w, emit)
	err := r.window(ctx)
	if err != nil {
		err = fmt.Errorf("chats of %s to %s: %w", r.days.first, r.days.last, err)
	}
	return pollers.Reading{Capped: r.capped, Requests: r.requests}, err
}

// days are the dates to ask for, both inclusive, and the instants that they and a day on either side span.
type days struct {
	first, last      string
	single           bool
	earliest, latest time.Time
}

// daysOf gives the days that a window touches, none after today: the newest window ends in the future.
func (p *poller) daysOf(w pollers.Window) days {
	end := w.To.Add(-1)
	if now := p.now(); end.After(now) {
		end = now
	}
	if end.Before(w.From) {
		end = w.From
	}
	from, to := w.From.In(p.location), end.In(p.location)
	d := days{first: from.Format(time.DateOnly), last: to.Format(time.DateOnly)}
	d.single = d.first == d.last
	d.earliest = pollers.Floor(from, pollers.Day, p.location).Add(-pollers.Day)
	d.latest = pollers.Ceil(to, pollers.Day, p.location).Add(pollers.Day)
	return d
}

// get requests one page.
func (p *poller) get(ctx context.Context, d days, page int) (*pollers.Response, error) {
	header := http.Header{}
	p.authorize(header)
	query := url.Values{"date_from": {d.first}, "date_to": {d.last}, "page": {strconv.Itoa(page)}}
	maps.Copy(query, p.filters)
	return p.client.Do(ctx, pollers.Call{URL: p.url, Header: header, Query: query})
}

// chat is what the poller itself reads of a chat.
type chat struct {
	key        string
	start, end time.Time // zero: not given
}

// parseChat reads what it can: of a chat that is broken, or only its start, what comes before the break.
func parseChat(object []byte) chat {
	var c chat
	_ = jsonsplit.Members(object, func(name string, value []byte) { // a broken chat is the normaliser's to refuse
		switch name {
		case "id":
			c.key = events.LiveChatKey(value)
		case "started_timestamp":
			c.start = epoch(value)
		case "ended_timestamp":
			c.end = epoch(value)
		}
	})
	return c
}

// epoch reads seconds, also in quotes; zero for what is none.
func epoch(value []byte) time.Time {
	seconds, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// outside tells whether all that is known of a chat's time lies outside of the days and a day around them.
func (d days) outside(c chat) bool {
	start, end := c.start, c.end
	if start.IsZero() {
		start = end
	}
	if end.IsZero() {
		end = start
	}
	return !start.IsZero() && (end.Before(d.earliest) || !start.Before(d.latest))
}
