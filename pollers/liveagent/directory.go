package liveagent

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// directory is a list of entities without a time. Its stream has the name of the list's path.
type directory struct {
	listing
	id          string // the member of a row that is its id
	prefix      string // of keys, where another stream has the same kind
	supplements []supplement
	paging      *paging // nil: the list comes whole
	// remembered skips entities whose rows have not changed.
	remembered bool
	present    bool
	// lasting lists are never empty: one of none is no answer.
	lasting bool
}

func directories() []directory {
	alone := func(member string) supplement { return supplement{"detail", "", member, true} }
	return []directory{
		{
			listing: listing{"customers", "customers", "customer"}, id: "contactid", paging: &paging{"limitcount", "limitfrom", 1000}, remembered: true,
			supplements: []supplement{alone("contactid"), {"groups", "/groups", "groups", true}},
		},
		{listing: listing{"customersgroups", "groups", "group"}, id: "id", supplements: []supplement{alone("id")}},
		{listing: departmentList, id: "departmentid", supplements: []supplement{alone("departmentid"), {"agents", "/agents", "agents", true}}, lasting: true},
		// Articles are long: a page of the most that is allowed, 500, would take much memory.
		{listing: listing{"knowledgebase/articles", "articles", "article"}, id: "kb_entry_id", prefix: "knowledgebase/articles/", paging: &paging{"limit", "offset", 100}},
		{listing: listing{"onlinestatus/agents", "agentsOnlineStates", "agentsOnlineState"}, id: "id", prefix: "onlinestatus/agents/", present: true},
		{listing: listing{"onlinestatus/departments", "departmentsOnlineStates", "departmentsOnlineState"}, id: "id", prefix: "onlinestatus/departments/", present: true},
		{listing: listing{"suggestioncategories", "suggestioncategories", "suggestioncategorie"}, id: "id"},
		{listing: listing{"tags", "tags", "tag"}, id: "id", supplements: []supplement{alone("id")}},
	}
}

// directoryStreams are the streams without a time. The knowledge base is searched when there is something to search for.
func directoryStreams(queries []string) []stream {
	all := []stream{
		{Stream: snapshot("agents"), fetch: fetchAgents},
		{Stream: snapshot("application/status"), fetch: single("liveagentversion", "application")},
		{Stream: present("chats/overview"), fetch: single("chatsOverview", events.MetricKey("chats/overview", time.Time{}, "snapshot", nil))},
		{Stream: present("calls/overview"), fetch: single("callsOverview", events.MetricKey("calls/overview", time.Time{}, "snapshot", nil))},
	}
	for _, d := range directories() {
		s := stream{Stream: snapshot(d.path), fetch: d.fetch}
		s.Present = d.present
		all = append(all, s)
	}
	if len(queries) > 0 {
		all = append(all, stream{Stream: snapshot(searchList.path), fetch: search(queries)})
	}
	return all
}

func snapshot(name string) pollers.Stream { return pollers.Stream{Name: name, Snapshot: true} }

func present(name string) pollers.Stream {
	return pollers.Stream{Name: name, Snapshot: true, Present: true}
}

// fetch reads the directory.
func (d directory) fetch(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	r := &reader{poller: p, stream: w.Stream, path: d.path, supplements: d.supplements, emit: emit}
	if d.remembered {
		r.version = p.weekly
	}
	count := 0
	work := func(rows []row) error {
		count += len(rows)
		kept, err := r.changed(ctx, rows)
		if err != nil {
			return err
		}
		return r.emitAll(ctx, kept)
	}
	var err error
	if d.paging != nil {
		err = d.pages(ctx, r, work)
	} else {
		err = d.whole(ctx, r, nil, work)
	}
	if err == nil && d.lasting && count == 0 {
		err = fmt.Errorf("there are no %s: %w", d.path, pollers.ErrIncomplete)
	}
	return pollers.Reading{Requests: r.requests, Unchanged: r.unchanged}, d.steer(err)
}

// steer tells a call that an older installation does not have from other failures. Every installation has departments.
func (d directory) steer(err error) error {
	if d.lasting {
		return err
	}
	return optional(d.path, err)
}

// optional says of a call that is not there, or not for this key, that this account may not read it: many came with a later version of
// the application. A key that is refused altogether shows at the conversations.
func optional(path string, err error) error {
	if s := (*pollers.StatusError)(nil); errors.As(err, &s) && (s.Status == http.StatusNotFound || s.Status == http.StatusForbidden) {
		return pollers.Unavailable(s)
	}
	if e := (*apiError)(nil); errors.As(err, &e) && (e.code == "404" || e.code == "403") {
		return pollers.Unavailable(fmt.Errorf("%s: %w", path, e))
	}
	return err
}

// weekly is the version of a row that does not show all of its entity: it holds for seven days, which end on another day for each.
func (p *poller) weekly(w row) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(w.key)) // never fails
	const week = 7
	day := p.now().Unix()/int64(pollers.Day/time.Second) + int64(h.Sum32()%week)
	return w.digest() + "/" + strconv.FormatInt(day/week, 10)
}

// whole reads a list that comes in one response, or one page, and hands over its rows when the response is whole.
func (d directory) whole(ctx context.Context, r *reader, query url.Values, work func([]row) error) error {
	rows, err := d.rows(ctx, r, query)
	if err != nil {
		return err
	}
	return work(rows)
}

func (d directory) rows(ctx context.Context, r *reader, query url.Values) ([]row, error) {
	var rows []row
	r.requests++
	err := r.list(ctx, d.listing, query, func(from source, body events.Body) error {
		rows = append(rows, r.take(from, body, r.format.fields(body.Bytes, d.item)[d.id], d.prefix))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.path, err)
	}
	return rows, nil
}

// single is the stream of a call that answers with one document about the account.
func single(member, key string) func(context.Context, *poller, pollers.Window, func(events.Record) error) (pollers.Reading, error) {
	return func(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
		reading := pollers.Reading{Requests: 1}
		part, from, err := p.document(ctx, "detail", w.Stream, member)
		if err != nil {
			return reading, optional(w.Stream, fmt.Errorf("%s: %w", w.Stream, err))
		}
		return reading, emit(events.Record{Key: key, RequestedAt: from.at, Parts: []events.Part{part}})
	}
}

// missing tells whether an error says that there is nothing at the place that was asked.
func missing(err error) bool {
	if s := (*pollers.StatusError)(nil); errors.As(err, &s) {
		return s.Status == http.StatusNotFound
	}
	e := (*apiError)(nil)
	return errors.As(err, &e) && e.code == "404"
}
