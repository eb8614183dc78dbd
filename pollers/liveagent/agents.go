package liveagent

import (
	"context"
	"fmt"
	"net/url"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// fetchAgents reads every agent that can be found. The vendor lists no agents as such: those of the departments and those of whom
// it says whether they are online are asked for one by one.
func fetchAgents(ctx context.Context, p *poller, w pollers.Window, emit func(events.Record) error) (pollers.Reading, error) {
	r := &reader{poller: p, stream: w.Stream, path: "agents", emit: emit}
	err := r.agents(ctx)
	return pollers.Reading{Requests: r.requests}, err
}

func (r *reader) agents(ctx context.Context) error {
	ids, err := r.agentIDs(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		r.requests++
		part, from, err := r.document(ctx, "detail", "agents/"+url.PathEscape(id), "userid")
		if gone(err) {
			continue // what the lists say of it is in their own streams
		}
		if err != nil {
			return fmt.Errorf("agent %q: %w", id, err)
		}
		if err := r.emit(events.Record{Key: id, RequestedAt: from.at, Parts: []events.Part{part}}); err != nil {
			return err
		}
	}
	return nil
}

// agentIDs gives the userids of all agents that the lists show, each once.
func (r *reader) agentIDs(ctx context.Context) ([]string, error) {
	r.requests++
	departments, err := r.departments(ctx)
	if err != nil {
		return nil, err
	}
	lists := []directory{{listing: listing{"onlinestatus/agents", "agentsOnlineStates", "agentsOnlineState"}, id: "id"}}
	for _, id := range departments {
		if addressable(id) {
			lists = append(lists, directory{listing: listing{departmentList.path + "/" + url.PathEscape(id) + "/agents", "agents", "agent"}, id: "userid"})
		}
	}
	var ids []string
	seen := map[string]bool{}
	for _, list := range lists {
		rows, err := list.rows(ctx, r, nil)
		if missing(err) {
			continue // an older installation, or a department that was removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		for _, w := range rows {
			if addressable(w.id) && !seen[w.id] {
				seen[w.id] = true
				ids = append(ids, w.id)
			}
		}
	}
	return ids, nil
}
