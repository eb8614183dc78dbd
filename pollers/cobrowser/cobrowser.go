// Package cobrowser reads the CSV export of CoBrowser.net (cobrowser-csv.txt).
//
// The stream is conversations, one record per conversation: text/csv of the header row, a line feed and the row's own
// bytes, with the separator in Params. A response is taken to have a header when its first row holds the
// names that make the key, in any order and among any others; else the documented columns are its header in the
// documented order. The vendor gives no id, so the key is
// <account_id>-<browse_id>-<conversation_start as Unix seconds>.
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
// only if the day in TIMEZONE did not change until its end and if every row began on the day
// asked for; rows of another day are not emitted and make the window incomplete, so that it is read again. Rows of the day but
// not of the window (where SINCE or UNTIL is no midnight) are left out. A row without a readable time is emitted with no key.
//
// A CSV has no end mark. A response whose framing would not show a cut is read twice and must be the same both times. A last row
// without a line's end is whole only if the framing says so, its columns are all there and its quotes are
// closed. An empty body, HTML, JSON, and text among the rows (such as an error of the server's) are incomplete, never empty;
// a header alone is a day without conversations. A row with too few or too many columns is a malformed record.
// A day that has not begun is an error, not an empty day.
//
// # Limits
//
//   - One request covers one day: the vendor allows two, but not whether start=2&stop=0 is two or three.
//   - The vendor gives no messages, only transcriptUrl: whoever has it reads the whole transcript. It is
//     passed on in the record and never fetched.
//   - The vendor's other fourteen commands are not read.
//   - There is no time of change: a late successcode is seen when SETTLE reads the day again.
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
		User      string          `env:"USER, required"`
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
