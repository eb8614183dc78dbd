package liveagent

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

var searchList = listing{"knowledgebase/search", "articles", "article"}

// searchRows is how many rows a search is asked for: the most that the list of articles may give; the document names no limit of the search's own.
const searchRows = 500

// searches reads KB_QUERIES.
func searches(queries []string, vars *settings.Vars) []string {
	var out []string
	for _, q := range queries {
		if q = strings.TrimSpace(q); q == "" {
			vars.Fault("KB_QUERIES", "want searches separated by commas, none of them empty")
			return nil
		}
		out = append(out, q)
	}
	return out
}

// search reads what each of the queries finds. An article that several find is one record: that of the first.
func search(queries []string) func(context.Context, *poller, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
	return func(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		r := &reader{poller: p, stream: w.Stream, path: searchList.path, emit: emit}
		capped := false
		err := error(nil)
		found := map[string]bool{}
		for _, query := range queries {
			var full bool
			if full, err = r.search(ctx, query, found); err != nil {
				err = optional(w.Stream, fmt.Errorf("search for %q: %w", query, err))
				break
			}
			capped = capped || full
		}
		return pollers.Reading{Capped: capped, Requests: r.requests}, err
	}
}

// search emits what a query finds and was not found before; full says that there may be more.
func (r *reader) search(ctx context.Context, query string, found map[string]bool) (full bool, err error) {
	d := directory{listing: searchList, id: "kb_entry_id", prefix: searchList.path + "/"}
	rows, err := d.rows(ctx, r, url.Values{"query": {query}, "limit": {strconv.Itoa(searchRows)}})
	if err != nil {
		return false, err
	}
	for _, w := range rows {
		if found[w.identity()] {
			continue
		}
		found[w.identity()] = true
		if err := r.emit(events.Record{Key: w.key, RequestedAt: w.from.at, Parts: []events.Part{r.rowPart(w)}}); err != nil {
			return false, err
		}
	}
	return len(rows) >= searchRows, nil
}
