package liveagent

import (
	"errors"
	"fmt"
	"slices"

	"github.com/parley-stream/parley/events"
)

// directory is how the records of a stream without a time become entities.
type directory struct {
	id     string // the member that is the entity's id; "" of a stream of one entity
	prefix string // of the id in the key
	parts  []string
	entity func(*sheet) (events.Entity, error)
}

var directories = map[string]directory{
	"agents":                   {id: "userid", entity: agent},
	"application/status":       {entity: application},
	"customers":                {id: "contactid", parts: []string{"groups"}, entity: contact},
	"customersgroups":          {id: "id", entity: named(events.KindGroup)},
	"departments":              {id: "departmentid", parts: []string{"agents"}, entity: department},
	"knowledgebase/articles":   {id: "kb_entry_id", prefix: "knowledgebase/articles/", entity: article},
	"knowledgebase/search":     {id: "kb_entry_id", prefix: "knowledgebase/search/", entity: article},
	"onlinestatus/agents":      {id: "id", prefix: "onlinestatus/agents/", entity: agentPresence},
	"onlinestatus/departments": {id: "id", prefix: "onlinestatus/departments/", entity: departmentPresence},
	"suggestioncategories":     {id: "id", entity: named(events.KindCategory)},
	"tags":                     {id: "id", entity: named(events.KindTag)},
	"chats/overview":           {entity: overview("chatsOverview", "visitors", "chats", "queue", "agents")},
	"calls/overview":           {entity: overview("callsOverview", "running", "ringing", "inqueue")},
}

// sheet is a record of a directory while its entity is made.
type sheet struct {
	record *events.Record
	base   events.Base
	// fields are the detail's members, and those of the row that it lacks. What is taken out of them has its place in the entity.
	fields
	more   map[string]fields // the other parts
	beside map[string]tree   // the members beside a document's response, by part
	times  moments

	invalidUTF8, invalidXMLChar bool
}

func (d directory) normalize(record *events.Record) (events.Entity, error) {
	s, err := d.read(record)
	if err != nil {
		return nil, err
	}
	entity, err := d.entity(s)
	if err != nil {
		return nil, err
	}
	*entity.Common() = s.rest()
	return entity, nil
}

// read decodes the record's parts and holds their ids to its key.
func (d directory) read(record *events.Record) (*sheet, error) {
	zone, err := zoneOf(record)
	if err != nil {
		return nil, err
	}
	if body, large := record.Oversize(); large {
		return nil, fmt.Errorf("a part is too large to keep: %d bytes", body.Size)
	}
	if record.Key == "" && d.id == "" || len(record.Parts) == 0 {
		return nil, errors.New("the record has no key or no part")
	}
	s := &sheet{record: record, base: events.NewBase(record), fields: fields{}, more: map[string]fields{}, beside: map[string]tree{}, times: moments{zone}}
	for i := range record.Parts {
		part := &record.Parts[i]
		if err := d.part(s, part); err != nil {
			return nil, fmt.Errorf("part %q: %w", part.Name, err)
		}
	}
	if d.id != "" {
		s.word(d.id) // is the key
	}
	return s, nil
}

func (d directory) part(s *sheet, part *events.Part) error {
	decoded, err := decode(part)
	if err != nil {
		return err
	}
	s.invalidUTF8 = s.invalidUTF8 || decoded.invalidUTF8
	s.invalidXMLChar = s.invalidXMLChar || decoded.invalidXMLChar
	content := decoded.content
	if part.Name != "" {
		if content, err = decoded.response(); err != nil {
			return err
		}
		delete(decoded.content, "response")
		s.beside[part.Name] = decoded.content
	}
	switch {
	case part.Name == "" || part.Name == "detail":
		return d.add(s, content)
	case slices.Contains(d.parts, part.Name):
		s.more[part.Name] = content
		return nil
	}
	return errors.New("is unknown")
}

// add merges a part about the entity itself; what the later part says counts.
func (d directory) add(s *sheet, content fields) error {
	if d.id != "" {
		id, _ := scalar(content[d.id])
		id = trimmed(id)
		if id == "" {
			return fmt.Errorf("%s is missing", d.id)
		}
		if d.prefix+id != s.record.Key {
			return fmt.Errorf("%s is %q, the record's key %q", d.id, id, s.record.Key)
		}
	}
	for name, value := range content {
		if _, given := s.fields[name]; !given || !empty(value) {
			s.fields[name] = value
		}
	}
	return nil
}

// rest gives the base with everything that nothing has used.
func (s *sheet) rest() events.Base {
	rest := leftovers{&s.base}
	rest.add("detail", tree(s.fields))
	for _, name := range []string{"agents", "groups"} {
		rest.add(name, tree(s.more[name]))
	}
	for _, name := range []string{"detail", "agents", "groups"} {
		rest.add(name, s.beside[name])
	}
	rest.flag("invalid_utf8", s.invalidUTF8)
	rest.flag("invalid_xml_characters", s.invalidXMLChar)
	return s.base
}
