// Package directory puts names to ids: of agents, departments, accounts, sites, tags and customers, from the vendor's own directories, which the
// events of the reference kinds are.
//
// # Config
//
// None: which of these kinds a vendor has is in the catalog.
//
// # Delivery
//
// An agent of a conversation, rating, SLA line, activity or e-mail, an agent or supervisor who wrote a message, a department, an account and a
// visitor who have an id get the name, and where there is a place for it the e-mail address, that the directory has; what the vendor gave
// stays. Where only an id has a place, the name is an attribute beside the others: account_name and accept_host_name beside
// account_id and accept_host_id, and <dimension>_name of a metric's agent, account, site, department and tag.
//
// What has neither a name nor an entry, although the vendor has such a directory, is listed in attributes.enrichment_missing (agent/17): the
// entry comes later, or was deleted. Of visitors and metrics none is missed, since most have no entry. An event that was published before
// its entry came is not published again; `parley replay` gives it to a sink with what is known then.
//
// # Limits
//
// About 300 bytes of memory for each entry; 100,000 are there within seconds of a start. A directory entry that the privacy policy treats is
// known as it was published.
package directory

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

// kinds are those that put a name to an id.
var kinds = []events.Kind{
	events.KindAgent, events.KindDepartment, events.KindAccount, events.KindSite, events.KindTag, events.KindContact,
}

// Directory knows names. It implements processors.Learner.
type Directory struct {
	has map[string][]events.Kind

	mu      sync.RWMutex
	entries map[key]entry
}

// key is an entity. The vendor's id is without the stream that it may begin with.
type key struct {
	vendor, source string
	kind           events.Kind
	id             string
}

// entry is what is known of an entity; deleted ones stay, so that an older event does not bring them back.
type entry struct {
	name, email string
	revision    uint64
}

// New makes an empty directory. Of each vendor has tells the directories that it gives.
func New(has map[string][]events.Kind) *Directory {
	return &Directory{has: has, entries: make(map[key]entry)}
}

// Name implements processors.Enricher.
func (*Directory) Name() string { return "directory" }

// Kinds implements processors.Learner.
func (*Directory) Kinds() []events.Kind { return kinds }

// Learn implements processors.Learner.
func (d *Directory) Learn(e *events.Event) error {
	vendor, source, ok := strings.Cut(strings.TrimPrefix(e.Source, "/"), "/")
	if !ok {
		return fmt.Errorf("event %s: source %q: want /<vendor>/<source>", e.ID, e.Source)
	}
	learned := entry{revision: e.Revision}
	if !strings.HasSuffix(e.Type, ".deleted") {
		data := e.Data
		if e.DataContentType == events.ContentMsgpack {
			var err error
			if data, err = events.DecodeMsgpack(data); err != nil {
				return fmt.Errorf("event %s: %w", e.ID, err)
			}
		}
		var content struct {
			Name  string `json:"name"`
			Email any    `json:"email"` // some vendors give a list
		}
		if err := json.Unmarshal(data, &content); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		learned.name = content.Name
		learned.email, _ = content.Email.(string)
	}
	k := key{vendor, source, e.Kind(), e.Subject}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, there := d.entries[k]; !there || known.revision <= learned.revision {
		d.entries[k] = learned
	}
	return nil
}

// Len is how many entries there are.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.entries)
}

// prefixes are the streams that an id of a kind may be written with.
var prefixes = map[events.Kind][]string{
	events.KindAgent: {"", "agents/", "cccagents/"},
}

func (q *query) find(kind events.Kind, id string) (entry, bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	forms := prefixes[kind]
	if forms == nil {
		forms = []string{""}
	}
	if len(forms) > 1 && strings.HasPrefix(q.base.VendorID, "ccc") { // a list of another level of the organisation
		forms = []string{"cccagents/", "", "agents/"}
	}
	for _, prefix := range forms {
		if found, ok := q.entries[key{q.base.Vendor, q.base.Source, kind, prefix + id}]; ok && found != (entry{revision: found.revision}) {
			return found, true
		}
	}
	return entry{}, false
}

// query is one entity that asks.
type query struct {
	*Directory
	base    *events.Base
	missing []string
}

// Enrich implements processors.Enricher.
func (d *Directory) Enrich(e events.Entity) error {
	q := &query{Directory: d, base: e.Common()}
	switch e := e.(type) {
	case *events.Conversation:
		q.conversation(e)
	case *events.Metric:
		q.metric(e)
	case *events.Activity:
		q.named(events.KindAgent, e.Agent)
		q.named(events.KindAccount, e.Account)
	case *events.Rating:
		q.agent(e.Agent)
		q.visitor(e.Requester)
	case *events.SLA:
		q.agent(e.Agent)
		q.visitor(e.Requester)
	case *events.Email:
		q.named(events.KindAgent, e.Agent)
	}
	processors.MarkMissing(e, q.missing...)
	return nil
}

func (q *query) conversation(c *events.Conversation) {
	for i := range c.Agents {
		q.agent(&c.Agents[i])
	}
	q.named(events.KindDepartment, c.Department)
	q.visitor(c.Visitor)
	for i := range c.Messages {
		a := c.Messages[i].Author
		if a == nil || a.Type != events.AuthorAgent && a.Type != events.AuthorSupervisor {
			continue
		}
		q.fill(events.KindAgent, a.ID, &a.Name, &a.Email)
	}
	q.beside("account_id", "account_name", events.KindAccount)
	q.beside("accept_host_id", "accept_host_name", events.KindSite)
}

func (q *query) agent(a *events.Agent) {
	if a != nil {
		q.fill(events.KindAgent, a.ID, &a.Name, &a.Email)
	}
}

func (q *query) named(kind events.Kind, n *events.Named) {
	if n != nil {
		q.fill(kind, n.ID, &n.Name, nil)
	}
}

func (q *query) visitor(v *events.Visitor) {
	if v == nil || v.ID == "" || v.Name != "" && v.Email != "" {
		return
	}
	if found, ok := q.find(events.KindContact, v.ID); ok {
		set(&v.Name, found.name)
		set(&v.Email, found.email)
	}
}

// fill puts what is known of an id into what is absent; email is nil where there is no place for it.
func (q *query) fill(kind events.Kind, id string, name, email *string) {
	if id == "" || *name != "" && (email == nil || *email != "") {
		return
	}
	found, ok := q.find(kind, id)
	if !ok {
		if *name == "" {
			q.miss(kind, id)
		}
		return
	}
	set(name, found.name)
	if email != nil {
		set(email, found.email)
	}
}

func set(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// beside names in an attribute what another has the id of.
func (q *query) beside(of, attribute string, kind events.Kind) {
	id, ok := q.base.Attributes[of].(string)
	if _, there := q.base.Attributes[attribute]; !ok || there {
		return
	}
	found, ok := q.find(kind, id)
	if !ok {
		q.miss(kind, id)
		return
	}
	q.base.Set(attribute, found.name)
}

func (q *query) metric(m *events.Metric) {
	for _, kind := range kinds {
		id := m.Dimensions[string(kind)]
		if _, there := m.Attributes[string(kind)+"_name"]; id == "" || there {
			continue
		}
		if found, ok := q.find(kind, id); ok && found.name != id {
			m.Set(string(kind)+"_name", found.name)
		}
	}
}

func (q *query) miss(kind events.Kind, id string) {
	for _, k := range q.has[q.base.Vendor] {
		if k == kind {
			q.missing = append(q.missing, string(kind)+"/"+id)
		}
	}
}
