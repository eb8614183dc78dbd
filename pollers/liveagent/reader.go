package liveagent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"

	"github.com/parley-stream/parley/events"
)

// knownAtOnce is how many rows are asked for at once whether they were seen before.
const knownAtOnce = 512

// row is an element of a list.
type row struct {
	from source
	id   string // the vendor's; "" when it has none
	key  string // the record's
	body events.Body
	// fresh rows are asked for again: the next change may be of the same second.
	fresh bool
}

// digest names what the row shows.
func (r row) digest() string {
	sum := sha256.Sum256(r.body.Bytes)
	return hex.EncodeToString(sum[:16])
}

// identity tells the row from others of its list.
func (r row) identity() string {
	if r.key == "" {
		return "\x00" + r.digest()
	}
	return r.key
}

// supplement is a document that completes a row: a part of the record, from a call below that of the row's entity.
type supplement struct {
	part, below, member string
	// later says that the call came with a later version of the application: an entity without it is whole.
	later bool
}

// reader works off the rows of a stream.
type reader struct {
	*poller
	stream      string
	path        string // below which an entity's calls are: conversations
	supplements []supplement
	// version tells whether a row shows its entity as it was; nil: every entity is read every time.
	version func(row) string
	emit    func(events.Record) error

	requests, unchanged int
}

// take makes a row of an element, whose bytes are the list's buffer.
func (r *reader) take(from source, body events.Body, id, prefix string) row {
	body.Bytes = r.client.RedactBytes(r.format.scrub(bytes.Clone(body.Bytes)))
	taken := row{from: from, id: id, body: body}
	if id != "" {
		taken.key = prefix + id
	}
	return taken
}

// rowPart is a row's part of its record; its credentials are gone since it was taken.
func (r *reader) rowPart(w row) events.Part {
	return events.Part{ContentType: r.format.contentType, URL: w.from.url, Body: w.body}
}

// changed gives the rows whose entities are not known as these rows show them.
func (r *reader) changed(ctx context.Context, rows []row) ([]row, error) {
	if r.version == nil || len(rows) == 0 {
		return rows, nil
	}
	var keys []string
	for _, w := range rows {
		if w.key != "" {
			keys = append(keys, w.key)
		}
	}
	known, err := r.known(ctx, r.stream, keys)
	if err != nil {
		return nil, fmt.Errorf("what was seen before: %w", err)
	}
	kept := rows[:0]
	for _, w := range rows {
		if v := r.versionOf(w); v != "" && known[w.key] == v {
			r.unchanged++
			continue
		}
		kept = append(kept, w)
	}
	return kept, nil
}

// versionOf gives a row's version; "" of one that is no whole entity, or whose next change it may not show.
func (r *reader) versionOf(w row) string {
	if r.version == nil || w.key == "" || w.body.Size > 0 || w.fresh {
		return ""
	}
	return r.version(w)
}

func (r *reader) emitAll(ctx context.Context, rows []row) error {
	for _, w := range rows {
		record, err := r.record(ctx, w)
		if err != nil {
			return fmt.Errorf("%s %q: %w", r.path, w.id, err)
		}
		if err := r.emit(record); err != nil {
			return err
		}
	}
	return nil
}

// record completes a row by the documents of its entity. Its RequestedAt, which orders readings of the same change, is
// when the detail was asked for: whatever was written before is in it.
func (r *reader) record(ctx context.Context, w row) (events.Record, error) {
	record := events.Record{Key: w.key, RequestedAt: w.from.at, Version: r.versionOf(w), Parts: []events.Part{r.rowPart(w)}}
	if w.body.Size > 0 || !addressable(w.id) {
		return record, nil
	}
	path := r.path + "/" + url.PathEscape(w.id)
	for _, s := range r.supplements {
		r.requests++
		part, from, err := r.document(ctx, s.part, path+s.below, s.member)
		if gone(err) {
			if !s.later {
				record.Version = "" // whoever is listed again all the same is asked for again
			}
			return record, nil
		}
		if err != nil {
			return record, fmt.Errorf("%s: %w", s.part, err)
		}
		if s.part == "detail" {
			record.RequestedAt = from.at
		}
		record.Parts = append(record.Parts, part)
	}
	return record, nil
}

// addressable tells whether an id makes a path of its own: none does not, and dots lead elsewhere.
func addressable(id string) bool { return id != "" && id != "." && id != ".." }
