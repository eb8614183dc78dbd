// Package cobrowser reads the CSV export of CoBrowser.net (cobrowser-csv.txt).
//
// Every command is a stream of its name, and every row a record: text/csv of the header row, a line feed and the row's own
// bytes, with the separator in Params. A response is taken to have a header when its first row holds the
// names that identify its rows, in any order and among any others; else the documented columns are its header in the
// documented order, if the row's time can be read, or, in a directory, if its ids are numbers. Keys are those of events.CobrowserKey.
//
//   - By day: conversations, agentactivity, slotsactivity, emails, agentperformance, accountspecshourly, hostspecshourly, filterstatshourly.
//   - As they are now, every SNAPSHOT_INTERVAL: accounts, hosts, agents; for CCC agents alone: cccagents, cccagentgroups, cccgroupaccounts.
//   - As it is now, every INTERVAL: cccslotsactivity, for CCC agents alone.
//
// # Config
//
//   - USER, API_KEY: as the vendor gives them out; both travel in the query, over https only.
//   - SEPARATOR: what the vendor is asked to put between values: ; (default) , : or |.
//   - TIMEZONE: the zone in which the vendor's days begin, which its document does not say. The default is
//     Europe/Amsterdam, the vendor's home and the zone of its one printed time. With another zone of the
//     account's, the rows near midnight are of another day than asked for, and the window fails and says so.
//   - URL: default https://client.cobrowser.net, to which /generic/api/csv.php is added.
//
// # Delivery
//
// The vendor is asked for whole days as "days ago". The number is made from the clock for each request; the answer counts
// only if the day in TIMEZONE did not change until its end and if every row is of the day
// asked for; rows of another day are not emitted and make the window incomplete, so that it is read again. A state (agentactivity)
// or a session (agentperformance) is of every day that it touches, other rows are of the day of their time. Rows of the day but
// not of the window (where SINCE or UNTIL is no midnight) are left out. A row without a readable time is emitted; it has a key if the
// vendor gave it an id.
//
// A command that this user may not call is Unavailable. The vendor does not document how it refuses one, so a refusal (401 or 403; of a CCC
// command also another 4xx or a text instead of a list) is one only if conversations are answered right after it; else
// it is what it looks like: wrong credentials, or an answer that is none.
//
// A CSV has no end mark. A response whose framing would not show a cut is read twice and must be the same both times. A last row
// without a line's end is whole only if the framing says so, its columns are all there and its quotes are
// closed. An empty body, HTML, JSON, and text among the rows (such as an error of the server's) are incomplete, never empty;
// a header alone is an empty list. A row with too few or too many columns is a malformed record.
// A day that has not begun is an error, not an empty day.
//
// Rows of cccslotsactivity that RAW has (Env.Seen) are not emitted again.
//
// # Limits
//
//   - One request covers one day: the vendor allows two, but not whether start=2&stop=0 is two or three.
//   - The vendor gives no messages, only transcriptUrl: whoever has it reads the whole transcript. It is
//     passed on in the record and never fetched.
//   - cccslotsactivity takes no range, and the document does not say how far back it goes: if only over today, what happens between the last
//     reading and midnight is lost. Therefore it is read every INTERVAL.
//   - A CCC command that is answered with nothing at all is incomplete, not Unavailable: nothing tells it from a cut.
//   - A server that ends its list early and frames that well cannot be told from a short list; SETTLE reads the day again.
//   - What disappears from a directory is not reported; a deleted agent has disabled = 1.
//   - An answer without framing is read twice, and a list that grows meanwhile is read again until it holds still.
//   - There is no time of change: a late successcode or the end of a state is seen when SETTLE reads the day again.
//   - Where this machine's clock and the vendor's differ, an answer without rows near midnight cannot show which day it
//     is of; SETTLE reads the day again.
//   - Columns of one name: the first counts for the key.
//   - Rates and errors are not documented: RATE has no default.
package cobrowser

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

const (
	documentedURL = "https://client.cobrowser.net"
	accessPath    = "/generic/api/csv.php"
	documentedTZ  = "Europe/Amsterdam"
)

// Poller reads one account. It is safe for concurrent use.
type Poller struct {
	client    *pollers.Client
	endpoint  string
	user      string
	apiKey    settings.Secret
	separator byte
	location  *time.Location
	now       func() time.Time
	known     func(ctx context.Context, stream string, keys []string) (map[string]string, error)
}

// New makes the poller of a source.
func New(s pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
	var cfg struct {
		User      string          `env:"USER, required" credential:"user"`
		APIKey    settings.Secret `env:"API_KEY, required"`
		Separator string          `env:"SEPARATOR, default=;"`
	}
	vars.Decode(&cfg)
	p := &Poller{
		endpoint: s.Endpoint(documentedURL, accessPath), user: cfg.User, apiKey: cfg.APIKey, separator: ';',
		location: location(s, vars), now: env.Now, known: env.Known,
	}
	if len(cfg.Separator) == 1 && strings.Contains(";,:|", cfg.Separator) {
		p.separator = cfg.Separator[0]
	} else {
		vars.Fault("SEPARATOR", "want one of ; , : |")
	}
	p.client = env.Connect("cobrowser/"+cfg.User, pollers.Rate{}, vars.Secrets())
	return p
}

func location(s pollers.Settings, vars *settings.Vars) *time.Location {
	if s.Timezone != nil {
		return s.Timezone
	}
	loc, err := time.LoadLocation(documentedTZ)
	if err != nil {
		vars.Fault("TIMEZONE", "is not set, and this machine does not know its default "+documentedTZ+"; set it, or install the time zones")
		return time.UTC
	}
	return loc
}

// Describe implements pollers.Poller.
func (p *Poller) Describe() pollers.Description {
	d := pollers.Description{Location: p.location}
	for _, c := range commands() {
		stream := pollers.Stream{Name: c.name, Snapshot: !c.ranged, Present: c.growing}
		if c.ranged {
			// One day, though the vendor allows two: whether start=2&stop=0 is two days or three is not documented.
			stream.Grain, stream.MaxSpan, stream.LiveSpan = pollers.Day, pollers.Day, pollers.Day
		}
		d.Streams = append(d.Streams, stream)
	}
	return d
}

// checked is the command that Check calls, and that every user may.
const checked = "conversations"

// Check implements pollers.Poller: it asks for today's conversations and reads their first row.
func (p *Poller) Check(ctx context.Context) error {
	if err := p.check(ctx); err != nil {
		return fmt.Errorf("list today's %s: %w", checked, incomplete(err))
	}
	return nil
}

func (p *Poller) check(ctx context.Context) error {
	c, err := p.command(checked)
	if err != nil {
		return err
	}
	resp, err := p.ask(ctx, c, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	first, err := newRows(resp.Body, p.separator).next()
	if err == io.EOF {
		return fmt.Errorf("%w: the body is empty", pollers.ErrIncomplete)
	}
	if err == nil {
		_, _, err = p.table(c, first)
	}
	return err
}

// String names the account without its key, which fmt would find in the fields.
func (p *Poller) String() string { return "cobrowser " + p.user + " at " + p.endpoint }

// GoString does the same for %#v.
func (p *Poller) GoString() string { return p.String() }
