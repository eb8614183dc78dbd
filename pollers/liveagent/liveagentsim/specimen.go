package liveagentsim

import (
	"fmt"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// The endpoints by their names in the document.
const (
	atAgent         = "GET agents/[agentidentifier]"
	atStatus        = "GET application/status"
	atConversations = "GET conversations"
	atConversation  = "GET conversations/[conversationid]"
	atMessages      = "GET conversations/[conversationid]/messages"
	atTagsOf        = "GET conversations/[conversationid]/tags"
	atCustomers     = "GET customers"
	atCustomer      = "GET customers/[customeridentifier]"
	atGroupsOf      = "GET customers/[customeridentifier]/groups"
	atGroups        = "GET customersgroups"
	atGroup         = "GET customersgroups/[groupid]"
	atDepartments   = "GET departments"
	atDepartment    = "GET departments/[departmentid]"
	atAgentsOf      = "GET departments/[departmentid]/agents"
	atArticles      = "GET knowledgebase/articles"
	atSearch        = "GET knowledgebase/search"
	atOnlineAgents  = "GET onlinestatus/agents"
	atOnlineDeparts = "GET onlinestatus/departments"
	atCategories    = "GET suggestioncategories"
	atTags          = "GET tags"
	atTag           = "GET tags/[tagid]"
	atChatsOverview = "GET chats/overview"
	atCallsOverview = "GET calls/overview"
)

// field is a place in an endpoint's answer.
type field struct{ endpoint, name string }

// specimen gives documented fields values of their own. An entity that several endpoints show has the same value in each.
type specimen struct {
	*simulated.Fields
	sim *Sim
}

// text gives the fields one unique text.
func (s specimen) text(fields ...field) string {
	return s.note(s.Text(fields[0].endpoint, fields[0].name), fields[1:])
}

// number gives the fields one unique number.
func (s specimen) number(fields ...field) string {
	return s.note(fmt.Sprint(s.Number(fields[0].endpoint, fields[0].name)), fields[1:])
}

// date gives the fields one unique time in the last hour of the history.
func (s specimen) date(fields ...field) string {
	place := s.Number(fields[0].endpoint, fields[0].name) % 3600
	at := s.sim.account.Options().Start.Add(-time.Hour + time.Duration(place)*time.Second)
	return s.note(s.sim.local(at), fields, at.UTC().Format(time.RFC3339))
}

// secret gives a field a unique text that must arrive nowhere.
func (s specimen) secret(f field) string { return s.Secret(f.endpoint, f.name) }

// also notes that a value of another endpoint's arrives at a path of its own.
func (s specimen) also(f field, path, value string) string {
	s.At(f.endpoint, f.name, path, value)
	return value
}

// note notes the same value for more fields, and the forms in which it may arrive beside its own.
func (s specimen) note(value string, fields []field, forms ...string) string {
	for _, f := range fields {
		s.Put(f.endpoint, f.name, append([]string{value}, forms...)...)
	}
	return value
}

// specimen gives the source of specimens, and whether there is one.
func (s *Sim) specimen() (specimen, bool) {
	fields := s.account.Options().Fields
	return specimen{fields, s}, fields != nil
}

// conversation is one that has every documented field.
func (s specimen) conversation() *specimenConversation {
	both := func(name string) []field {
		return []field{{atConversations, "conversations." + name}, {atConversation, name}}
	}
	c := &specimenConversation{row: object{
		{"conversationid", s.text(both("conversationid")...)},
		{"code", s.text(both("code")...)},
		{"datecreated", s.date(both("datecreated")...)},
		{"datechanged", s.date(both("datechanged")...)},
		{"departmentname", s.text(both("departmentname")...)},
		{"departmentid", s.departmentID()},
		{"status", s.text(both("status")...)},
		{"ownername", s.text(both("ownername")...)},
		{"owneremail", s.text(both("owneremail")...)},
		{"subject", s.text(both("subject")...)},
		{"preview", s.text(both("preview")...)},
		{"publicurlcode", s.text(both("publicurlcode")...)},
	}}
	one := func(name string) string { return s.text(field{atConversation, name}) }
	c.detail = append(append(object{}, c.row...),
		member{"ownernote", one("ownernote")},
		member{"assignedto", one("assignedto")},
		member{"customfields", list{"customfield", []object{{{"code", one("customfields.code")}, {"value", one("customfields.value")}}}}},
	)
	c.tags = list{"tag", []object{{{"id", s.text(field{atTagsOf, "tags.id"})}, {"name", s.text(field{atTagsOf, "tags.name"})}}}}
	c.groups = s.messageGroups()
	return c
}

// departmentID is that of the department and of its conversation.
func (s specimen) departmentID() string {
	id := s.text(field{atDepartments, "departments.departmentid"}, field{atDepartment, "departmentid"})
	s.also(field{atConversations, "conversations.departmentid"}, "department.id", id)
	return s.also(field{atConversation, "departmentid"}, "department.id", id)
}

func (s specimen) messageGroups() list {
	in := func(name string) field { return field{atMessages, name} }
	message := object{
		{"messageid", s.text(in("groups.messages.messageid"))},
		{"userid", s.text(in("groups.messages.userid"))},
		{"rtype", s.text(in("groups.messages.rtype"))},
		{"datecreated", s.date(in("groups.messages.datecreated"))},
		{"message", s.text(in("groups.messages.message"))},
	}
	return list{"group", []object{{
		{"messagegroupid", s.text(in("groups.messagegroupid"))},
		{"userid", s.text(in("groups.userid"))},
		{"rtype", s.text(in("groups.rtype"))},
		{"rstatus", s.text(in("groups.rstatus"))},
		{"datecreated", s.date(in("groups.datecreated"))},
		{"datefinished", s.date(in("groups.datefinished"))},
		{"messages", list{"message", []object{message}}},
	}}}
}

// specimenConversation is a conversation that is no chat of the story.
type specimenConversation struct {
	row, detail  object
	groups, tags list
}

// get gives a member's text.
func (o object) get(name string) string {
	for _, m := range o {
		if m.name == name {
			s, _ := m.value.(string)
			return s
		}
	}
	return ""
}
