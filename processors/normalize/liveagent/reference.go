package liveagent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
)

// noTime is the start of what has none.
var noTime time.Time

func trimmed(s string) string { return strings.TrimSpace(s) }

// reference begins an entity of a reference kind.
func (s *sheet) reference(kind events.Kind, name string) *events.Reference {
	return &events.Reference{Of: kind, Name: name, Fields: map[string]any{}}
}

// copyTo sets fields of the entity to the vendor's texts: the entity's name for each and the vendor's in turn.
func (f fields) copyTo(into map[string]any, names ...string) {
	for i := 0; i+1 < len(names); i += 2 {
		if value := f.text(names[i+1]); value != "" {
			into[names[i]] = trimmed(value)
		}
	}
}

// fullName takes a person's names out, as one and as two.
func (f fields) fullName(into map[string]any) string {
	first, last := f.word("firstname"), f.word("lastname")
	if into != nil {
		put(into, "first_name", first)
		put(into, "last_name", last)
	}
	return trimmed(first + " " + last)
}

func put(into map[string]any, name, value string) {
	if value != "" {
		into[name] = value
	}
}

// letter takes a letter out for its word; one without a word stays.
func (f fields) letter(name string, words map[string]string) string {
	text, _ := scalar(f[name])
	word := words[trimmed(text)]
	if word != "" {
		delete(f, name)
	}
	return word
}

// The document's words for letters.
var (
	genders      = map[string]string{"M": "male", "F": "female"}
	agentRoles   = map[string]string{"D": "administrator", "A": "agent", "O": "owner"}
	contactRoles = map[string]string{"V": "visitor", "R": "registered_visitor"}
)

// yes takes a flag out; what is neither Y nor N stays.
func (f fields) yes(into map[string]any, name string) {
	if word := f.letter(name, map[string]string{"Y": "true", "N": "false"}); word != "" {
		into[name] = word == "true"
	}
}

// figure takes a number out; what is none stays.
func (f fields) figure(name string) (float64, bool) {
	text, ok := scalar(f[name])
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(trimmed(text), 64)
	if err != nil || n-n != 0 { // neither infinite nor no number
		return 0, false
	}
	delete(f, name)
	return n, true
}

// whole takes a whole number out; what is none stays.
func (f fields) whole(into map[string]any, name, vendorName string) {
	text, ok := scalar(f[vendorName])
	if !ok {
		return
	}
	if n, err := strconv.ParseInt(trimmed(text), 10, 64); err == nil {
		into[name] = json.Number(strconv.FormatInt(n, 10))
		delete(f, vendorName)
	}
}

// services takes out what somebody is online for, in an order of ours. The text stays when it says more: F (offline), or a letter
// that the document does not know.
func (f fields) services(name string) []string {
	text, ok := scalar(f[name])
	if !ok {
		return nil
	}
	var online []string
	known := 0
	text = trimmed(text)
	for _, s := range [][2]string{{"T", "chat"}, {"P", "phone"}, {"M", "message"}, {"R", "read"}} {
		if n := strings.Count(text, s[0]); n > 0 {
			known += n
			online = append(online, s[1])
		}
	}
	if known < len(text) {
		if strings.Trim(text, "TPMRF") != "" {
			return nil // a word, not letters
		}
		return online
	}
	delete(f, name)
	return online
}

func (f fields) servicesTo(into map[string]any, name, vendorName string) {
	if online := f.services(vendorName); len(online) > 0 {
		list := make([]any, len(online))
		for i, s := range online {
			list[i] = s
		}
		into[name] = list
	}
}

func agent(s *sheet) (events.Entity, error) {
	r := s.reference(events.KindAgent, "")
	r.Name = s.fullName(r.Fields)
	s.copyTo(r.Fields, "contact_id", "contactid", "email", "email", "system_name", "systemname")
	put(r.Fields, "gender", s.letter("gender", genders))
	put(r.Fields, "role", s.letter("role", agentRoles))
	return r, nil
}

func application(s *sheet) (events.Entity, error) {
	r := s.reference(events.KindApplication, "")
	s.copyTo(r.Fields, "liveagent_version", "liveagentversion", "gpf_version", "gpfversion")
	r.CreatedAt, _ = takeTime(s.fields, "dateinstalled", s.times)
	r.UpdatedAt, _ = takeTime(s.fields, "datelatestupdate", s.times)
	// Installations are known to tell the time as well: that of the reading, which would be a change each time.
	delete(s.fields, "current_server_time")
	return r, nil
}

func contact(s *sheet) (events.Entity, error) {
	r := s.reference(events.KindContact, "")
	r.Name = s.fullName(r.Fields)
	s.copyTo(r.Fields, "email", "email", "system_name", "systemname", "user_id", "userid")
	put(r.Fields, "gender", s.letter("gender", genders))
	put(r.Fields, "role", s.letter("role", contactRoles))
	r.CreatedAt, _ = takeTime(s.fields, "datecreated", s.times)
	values, odd := customFields(s.fields)
	if len(values) > 0 {
		r.Fields["custom_fields"] = values
	}
	if len(odd) > 0 {
		s.base.Set("customfields", odd)
	}
	s.list(r.Fields, "groups", func(o fields) map[string]any {
		group := map[string]any{}
		o.copyTo(group, "id", "groupid", "name", "groupname")
		return group
	})
	return r, nil
}

// list sets a field to the objects of the part of that name, by their ids: their order is not the vendor's promise. What an object has
// beside is in it by the vendor's names.
func (s *sheet) list(into map[string]any, name string, read func(fields) map[string]any) {
	objects, others := s.more[name].objects(name)
	var all []any
	for _, o := range objects {
		entry := read(o)
		for key, value := range filled(o) {
			for entry[key] != nil {
				key += "+"
			}
			entry[key] = value
		}
		if len(entry) > 0 {
			all = append(all, entry)
		}
	}
	slices.SortStableFunc(all, func(a, b any) int { return cmp.Compare(idIn(a), idIn(b)) })
	if len(all) > 0 {
		into[name] = all
	}
	if len(others) > 0 {
		s.base.Set(name, others)
	}
}

func idIn(entry any) string {
	id, _ := entry.(map[string]any)["id"].(string)
	return id
}

// named makes entities of tags, groups and categories.
func named(kind events.Kind) func(*sheet) (events.Entity, error) {
	return func(s *sheet) (events.Entity, error) {
		r := s.reference(kind, s.word("name"))
		if r.Name == "" {
			r.Name = s.word("title")
		}
		s.copyTo(r.Fields, "color", "color", "bg_color", "bg_color", "path", "path")
		return r, nil
	}
}

func department(s *sheet) (events.Entity, error) {
	r := s.reference(events.KindDepartment, s.word("name"))
	s.copyTo(r.Fields, "description", "description")
	s.yes(r.Fields, "deleted")
	s.servicesTo(r.Fields, "online", "onlinestatus")
	s.servicesTo(r.Fields, "preset", "presetstatus")
	s.list(r.Fields, "agents", func(o fields) map[string]any {
		a := map[string]any{}
		put(a, "name", o.fullName(a))
		o.copyTo(a, "id", "userid", "email", "email")
		o.servicesTo(a, "online", "onlinestatus")
		o.servicesTo(a, "preset", "presetstatus")
		return a
	})
	return r, nil
}

// article makes entities of both lists of articles.
func article(s *sheet) (events.Entity, error) {
	r := s.reference(events.KindArticle, s.word("title"))
	s.copyTo(r.Fields,
		"parent_id", "parent_entry_id", "rtype", "rtype", "rstatus", "rstatus", "access", "access", "access_inherited", "access_inherited",
		"url_code", "urlcode", "tree_path", "treepath", "meta_description", "metadescription", "keywords", "keywords", "content", "content",
		"content_text", "content_text", "content_simple_html", "content_simple_html", "department_id", "departmentid", "description", "description", "url", "url")
	s.whole(r.Fields, "order", "rorder")
	s.whole(r.Fields, "views", "views")
	s.whole(r.Fields, "votes", "votes")
	s.whole(r.Fields, "votes", "votesCount")
	s.yes(r.Fields, "deleted")
	if id := s.word("conversationid"); id != "" {
		r.Fields["conversation_id"] = events.CanonicalID(s.record.Vendor, s.record.Source, id)
	}
	r.CreatedAt, _ = takeTime(s.fields, "datecreated", s.times)
	r.UpdatedAt, _ = takeTime(s.fields, "datechanged", s.times)
	return r, nil
}

func agentPresence(s *sheet) (events.Entity, error) {
	return &events.Presence{Of: "agent", Name: s.fullName(nil), Online: s.services("onlineStatus"), Preset: s.services("presetStatus")}, nil
}

func departmentPresence(s *sheet) (events.Entity, error) {
	p := &events.Presence{Of: "department", Name: s.word("name"), Online: s.services("onlineStatus"), Preset: s.services("presetStatus")}
	p.Measures = s.measures("chat_count", "new_count", "customer_reply_count", "total_count", "max_count")
	return p, nil
}

func (f fields) measures(names ...string) map[string]float64 {
	measures := map[string]float64{}
	for _, name := range names {
		if n, ok := f.figure(name); ok {
			measures[name] = n
		}
	}
	return measures
}

// overview makes the metric of a list of one row.
func overview(list string, names ...string) func(*sheet) (events.Entity, error) {
	return func(s *sheet) (events.Entity, error) {
		objects, others := s.objects(list)
		if one, is := s.fields[list].(tree); is {
			objects = []fields{one}
			delete(s.fields, list)
		}
		if len(objects) != 1 || len(others) > 0 {
			return nil, fmt.Errorf("%s has %d rows, want one", list, len(objects)+len(others))
		}
		if want := events.MetricKey(s.record.Stream, noTime, "snapshot", nil); s.record.Key != want {
			return nil, errors.New("the record's key is not " + want)
		}
		m := &events.Metric{Report: s.record.Stream, Interval: &events.Interval{Grain: "snapshot"}, Measures: objects[0].measures(names...)}
		(leftovers{&s.base}).add(list, tree(objects[0]))
		return m, nil
	}
}
