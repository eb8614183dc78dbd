package livechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
)

const (
	pageSize = 25
	// maxPages can be reached; a total beyond them is a cap.
	maxPages = 1000
	// rereadings of a window whose pages move. A busy account's newest day moves
	// often; what was emitted stays, and the window comes up again.
	rereadings = 3
	// pageAttempts is how often a page is asked for that does not come whole: a range has up to a thousand, and one broken connection among
	// them must not cost all the others.
	pageAttempts = 3
)

// torn marks the error of a page that was not whole, or was something else than a page. Asked again it may be well.
type torn struct{ error }

func (t torn) Unwrap() error { return t.error }

// errMoved says that the pages that were read do not belong together.
var errMoved = errors.New("pages moved while they were read")

func moved(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", errMoved, fmt.Sprintf(format, args...), pollers.ErrIncomplete)
}

// reading is one Fetch.
type reading struct {
	*poller
	days     days
	emit     func(events.Record) error
	requests int
	capped   bool
	seen     map[string]bool // the keys of this pass
	rows     int             // the chats of this pass
	keys     []string        // of the page that is being read
}

func (p *poller) reading(w pollers.Window, emit func(events.Record) error) *reading {
	return &reading{poller: p, days: p.daysOf(w), emit: emit, seen: map[string]bool{}}
}

// extent is what each page says of the whole.
type extent struct{ total, pages int }

func (r *reading) window(ctx context.Context) error {
	err := r.pass(ctx)
	for range rereadings {
		if !errors.Is(err, errMoved) {
			break
		}
		err = r.pass(ctx)
	}
	return err
}

// pass reads all pages once.
func (r *reading) pass(ctx context.Context) error {
	r.seen, r.rows, r.capped = map[string]bool{}, 0, false
	first, err := r.page(ctx, 1)
	if err != nil {
		return err
	}
	r.capped = first.total >= maxPages*pageSize
	if r.capped && !r.days.single {
		return nil // the window will be split: reading all that can be reached would be in vain
	}
	for page := 2; page <= min(first.pages, maxPages); page++ {
		if err := r.nextPage(ctx, page, first); err != nil {
			return err
		}
	}
	if want := min(first.total, maxPages*pageSize); r.rows != want {
		return moved("%d chats came of %d", r.rows, want)
	}
	return nil
}

func (r *reading) nextPage(ctx context.Context, page int, first extent) error {
	before := r.rows
	now, err := r.page(ctx, page)
	var status *pollers.StatusError
	switch {
	case errors.As(err, &status) && (status.Status == http.StatusBadRequest || status.Status == http.StatusNotFound):
		return moved("page %d of %d is refused: %v", page, first.pages, err)
	case err != nil:
		return err
	case now != first:
		return moved("page %d tells of %d chats on %d pages, page 1 of %d on %d", page, now.total, now.pages, first.total, first.pages)
	case r.rows == before:
		return moved("page %d of %d is empty", page, first.pages)
	}
	return nil
}

// page reads a page, again when it is torn.
func (r *reading) page(ctx context.Context, page int) (extent, error) {
	before := r.rows
	for attempt := 1; ; attempt++ {
		told, err := r.once(ctx, page)
		if err == nil {
			return told, nil
		}
		if again := (torn{}); !errors.As(err, &again) || attempt == pageAttempts || ctx.Err() != nil {
			return extent{}, err
		}
		// What came of it comes once more, and is no chat that comes twice.
		r.rows = before
		for _, key := range r.keys {
			delete(r.seen, key)
		}
	}
}

// once emits the chats of a page, also of one that turns out to be wrong: they are real.
func (r *reading) once(ctx context.Context, page int) (extent, error) {
	r.requests++
	r.keys = r.keys[:0]
	response, err := r.get(ctx, r.days, page)
	if err != nil {
		return extent{}, fmt.Errorf("page %d: %w", page, err)
	}
	defer response.Body.Close()
	var wrong, failed error
	rest, err := jsonsplit.Scan(response.Body, []string{"chats"}, func(body events.Body) error {
		body.Bytes = r.client.RedactBytes(body.Bytes)
		c := parseChat(body.Bytes)
		if err := r.note(c); wrong == nil {
			wrong = err
		}
		failed = r.emit(record(c.key, body, response))
		return failed
	})
	switch {
	case failed != nil:
		return extent{}, failed
	case err != nil:
		return extent{}, fmt.Errorf("page %d%s: %w", page, r.complaint(rest), torn{err})
	case wrong != nil:
		return extent{}, fmt.Errorf("page %d: %w", page, wrong)
	}
	return extentOf(page, rest)
}

func record(key string, body events.Body, from *pollers.Response) events.Record {
	return events.Record{
		Key: key, RequestedAt: from.RequestedAt,
		Parts: []events.Part{{ContentType: events.ContentJSON, URL: from.URL, Body: body}},
	}
}

// note counts a chat. Chats without an id cannot be told apart: each counts.
func (r *reading) note(c chat) error {
	if r.rows++; r.rows > maxPages*pageSize {
		return fmt.Errorf("more than %d chats came: %w", maxPages*pageSize, pollers.ErrIncomplete)
	}
	if r.days.outside(c) {
		return fmt.Errorf("chat %.64q from %s to %s is outside of the days asked for: %w", c.key, c.start.UTC(), c.end.UTC(), pollers.ErrIncomplete)
	}
	if c.key == "" {
		return nil
	}
	if r.seen[c.key] {
		return moved("chat %.64q came twice", c.key)
	}
	r.seen[c.key] = true
	r.keys = append(r.keys, c.key)
	return nil
}

// complaint is what the vendor says instead of giving chats, if it does.
func (r *reading) complaint(rest map[string]json.RawMessage) string {
	for _, name := range []string{"error", "errors", "message"} {
		if text := string(rest[name]); text != "" {
			text = strings.ToValidUTF8(r.client.Redact(text), "\ufffd")
			return fmt.Sprintf(": %s %s", name, strconv.QuoteToGraphic(fmt.Sprintf("%.200s", text)))
		}
	}
	return ""
}

func extentOf(page int, rest map[string]json.RawMessage) (told extent, err error) {
	if told.total, err = count(rest, "total"); err == nil {
		told.pages, err = count(rest, "pages")
	}
	if err != nil {
		err = fmt.Errorf("page %d: %w", page, torn{err})
	}
	return told, err
}

// count reads a number of the response, also one in quotes.
func count(rest map[string]json.RawMessage, name string) (int, error) {
	n, err := strconv.Atoi(strings.Trim(string(rest[name]), `"`))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is %.40q, want a count: %w", name, rest[name], pollers.ErrIncomplete)
	}
	return n, nil
}
