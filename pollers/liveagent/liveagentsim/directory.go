package liveagentsim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/parley-stream/parley/pollers/simulated"
)

// queries are what the account's knowledge base is searched for.
var queries = []string{"delivery", "returns"}

// directory answers the calls for whatever has no time; false: there is no such call.
func (s *Sim) directory(q url.Values, steps []string) (object, *refusal, bool) {
	call, id := strings.Join(steps, "/"), ""
	if len(steps) > 1 {
		id = steps[1]
	}
	var response object
	var err *refusal
	switch {
	case call == "application/status":
		response, err = s.applicationStatus(), only(q)
	case call == "customers":
		response, err = s.listCustomers(q)
	case call == "customersgroups":
		response, err = labelList("groups", "group", s.groupsOfCustomers()), only(q)
	case call == "departments":
		response, err = s.listDepartments(), only(q)
	case call == "knowledgebase/articles":
		response, err = s.listArticles(q)
	case call == "knowledgebase/search":
		response, err = s.search(q)
	case call == "onlinestatus/agents":
		response, err = s.onlineAgents(), only(q)
	case call == "onlinestatus/departments":
		response, err = s.onlineDepartments(), only(q)
	case call == "suggestioncategories":
		response, err = s.categories(), only(q)
	case call == "tags":
		response, err = labelList("tags", "tag", s.labels()), only(q)
	case call == "chats/overview" || call == "calls/overview":
		response, err = s.overview(steps[0]), only(q)
	case len(steps) == 2 && steps[0] == "agents":
		response, err = s.agent(q, id)
	case len(steps) == 2 && steps[0] == "customersgroups":
		response, err = oneLabel(q, "customers group", id, s.groupsOfCustomers())
	case len(steps) == 2 && steps[0] == "tags":
		response, err = oneLabel(q, "tag", id, s.labels())
	case steps[0] == "customers" && (len(steps) == 2 || len(steps) == 3 && steps[2] == "groups"):
		response, err = s.oneCustomer(q, id, steps[2:])
	case steps[0] == "departments" && (len(steps) == 2 || len(steps) == 3 && steps[2] == "agents"):
		response, err = s.oneDepartment(q, id, steps[2:])
	default:
		return nil, nil, false
	}
	return response, err, true
}

func (s *Sim) applicationStatus() object {
	installed := s.account.Options().Start.AddDate(-2, 0, 0)
	o := object{
		{"liveagentversion", "4.17.1.3"},
		{"gpfversion", "1.9.2.0"},
		{"dateinstalled", s.local(installed)},
		{"datelatestupdate", s.local(installed.AddDate(1, 2, 3))},
	}
	if spec, is := s.specimen(); is {
		for i, name := range []string{"liveagentversion", "gpfversion"} {
			o[i].value = spec.text(field{atStatus, name})
		}
		for i, name := range []string{"dateinstalled", "datelatestupdate"} {
			o[2+i].value = spec.date(field{atStatus, name})
		}
	}
	return o
}

// label is a tag or a group of customers.
type label struct{ id, name, color, background string }

// customerGroups are those of the story.
func customerGroups() []label {
	return []label{{"gr01vip", "VIP", "FFFFFF", "0000FF"}, {"gr02prem", "Premium & more", "000000", "FFD700"}, {"gr03test", "Testers", "", ""}}
}

func (s *Sim) groupsOfCustomers() []label {
	return s.withSpecimen(customerGroups(), "groups", atGroups, atGroup)
}

// labels are the tags that chats have.
func (s *Sim) labels() []label {
	var all []label
	for i, name := range []string{"refund", "delivery", "praise", "bug", "sales lead"} {
		all = append(all, label{tagID(name), name, "FFFFFF", fmt.Sprintf("%02X8040", 40*i)})
	}
	return s.withSpecimen(all, "tags", atTags, atTag)
}

func (s *Sim) withSpecimen(all []label, list, inList, alone string) []label {
	spec, is := s.specimen()
	if !is {
		return all
	}
	both := func(name string) []field { return []field{{inList, list + "." + name}, {alone, name}} }
	return append(all, label{spec.text(both("id")...), spec.text(both("name")...), spec.text(field{alone, "color"}), spec.text(field{alone, "bg_color"})})
}

func labelList(name, item string, labels []label) object {
	out := list{item: item}
	for _, l := range labels {
		out.items = append(out.items, object{{"id", l.id}, {"name", l.name}})
	}
	return object{{name, out}}
}

func oneLabel(q url.Values, what, id string, labels []label) (object, *refusal) {
	for _, l := range labels {
		if l.id == id {
			return object{{"id", l.id}, {"name", l.name}, {"color", text(l.color)}, {"bg_color", text(l.background)}}, only(q)
		}
	}
	return nil, refuse(http.StatusNotFound, "%s %s not found", what, id)
}

func (s *Sim) categories() object {
	out := list{item: "suggestioncategorie"}
	for i, title := range []string{"Shop", "Delivery", "Other ideas"} {
		out.items = append(out.items, object{{"id", fmt.Sprint(71 + i)}, {"title", title}, {"path", "Suggestions / " + title}})
	}
	if spec, is := s.specimen(); is {
		one := func(name string) string { return spec.text(field{atCategories, "suggestioncategories." + name}) }
		out.items = append(out.items, object{{"id", one("id")}, {"title", one("title")}, {"path", one("path")}})
	}
	return object{{"suggestioncategories", out}}
}

func (s *Sim) listDepartments() object {
	out := list{item: "department"}
	for _, d := range s.departments() {
		out.items = append(out.items, d.object())
	}
	return object{{"departments", out}}
}

// departments are those of the story and the specimen, which has the specimen of the conversations.
func (s *Sim) departments() []department {
	all := departments()
	if spec, is := s.specimen(); is {
		both := func(name string) []field {
			return []field{{atDepartments, "departments." + name}, {atDepartment, name}}
		}
		all = append(all, department{
			spec.departmentID(), spec.text(both("name")...), spec.text(both("description")...),
			spec.text(both("onlinestatus")...), spec.text(both("presetstatus")...), spec.text(both("deleted")...),
		})
	}
	return all
}

func (s *Sim) oneDepartment(q url.Values, id string, part []string) (object, *refusal) {
	for i, d := range s.departments() {
		switch {
		case d.id != id:
		case len(part) == 0:
			return d.object(), only(q)
		default:
			return object{{"agents", s.agentsOf(i)}}, only(q)
		}
	}
	return nil, refuse(http.StatusNotFound, "department %s not found", id)
}

// agentsOf lists a department's agents: every second one is in each of the first two, none in the deleted one.
func (s *Sim) agentsOf(number int) list {
	out := list{item: "agent"}
	for i, a := range s.agents() {
		if number > 1 || i%2 != number {
			continue
		}
		out.items = append(out.items, object{
			{"userid", a.userID}, {"firstname", a.first}, {"lastname", text(a.last)}, {"email", a.email}, {"onlinestatus", "TM"}, {"presetstatus", "TPM"},
		})
	}
	if spec, is := s.specimen(); is && number == len(departments()) {
		one := func(name string) string { return spec.text(field{atAgentsOf, "agents." + name}) }
		out.items = append(out.items, object{
			{"userid", spec.also(field{atAgentsOf, "agents.userid"}, "agents.id", spec.agent().userID)},
			{"firstname", one("firstname")},
			{"lastname", one("lastname")},
			{"email", one("email")},
			{"onlinestatus", one("onlinestatus")},
			{"presetstatus", one("presetstatus")},
		})
	}
	return out
}

func (s *Sim) onlineAgents() object {
	out := list{item: "agentsOnlineState"}
	for i, p := range s.account.Agents() {
		a := s.agents()[i]
		online := []string{"MPRT", "MT", "F", "R"}[(i+s.phase())%4]
		out.items = append(out.items, object{
			{"id", p.ID},
			{"contactid", a.contactID},
			{"username", a.email},
			{"firstname", a.first},
			{"lastname", text(a.last)},
			{"avatar_url", fmt.Sprintf("themes/img/user%02d.png", i)},
			{"presetStatus", "MPRT"},
			{"onlineStatus", online},
		})
	}
	if spec, is := s.specimen(); is {
		id := spec.agent().userID
		spec.also(field{atOnlineAgents, "agentsOnlineStates.id"}, "vendor_id", "onlinestatus/agents/"+id)
		o := object{{"id", id}}
		for _, name := range []string{"contactid", "username", "firstname", "lastname", "avatar_url", "presetStatus", "onlineStatus"} {
			o = append(o, member{name, spec.text(field{atOnlineAgents, "agentsOnlineStates." + name})})
		}
		out.items = append(out.items, o)
	}
	return object{{"agentsOnlineStates", out}}
}

func (s *Sim) onlineDepartments() object {
	out := list{item: "departmentsOnlineState"}
	for i, d := range departments() {
		if d.deleted == "Y" {
			continue
		}
		out.items = append(out.items, object{
			{"id", d.id},
			{"name", d.name},
			{"onlineStatus", []string{"MT", "F"}[i]},
			{"presetStatus", "MPRT"},
			{"chat_count", count(s.phase()%3 + i)},
			{"new_count", count(4 + i)},
			{"customer_reply_count", count(11 * i)},
			{"total_count", count(587 + 100*i)},
			{"max_count", count(687)},
		})
	}
	if spec, is := s.specimen(); is {
		var o object
		for _, name := range []string{"id", "name", "onlineStatus", "presetStatus"} {
			o = append(o, member{name, spec.text(field{atOnlineDeparts, "departmentsOnlineStates." + name})})
		}
		for _, name := range []string{"chat_count", "new_count", "customer_reply_count", "total_count", "max_count"} {
			o = append(o, member{name, number(spec.number(field{atOnlineDeparts, "departmentsOnlineStates." + name}))})
		}
		out.items = append(out.items, o)
	}
	return object{{"departmentsOnlineStates", out}}
}

// count is a number, which the vendor is known to write as text as well.
func count(n int) any { return fmt.Sprint(n) }

// overviews are the columns of what is going on now.
var overviews = map[string][]string{"chats": {"visitors", "chats", "queue", "agents"}, "calls": {"running", "ringing", "inqueue"}}

func (s *Sim) overview(of string) object {
	endpoint := map[string]string{"chats": atChatsOverview, "calls": atCallsOverview}[of]
	var o object
	for i, name := range overviews[of] {
		value := fmt.Sprint((5*i + 3 + s.phase()) % 17)
		if spec, is := s.specimen(); is {
			value = spec.number(field{endpoint, of + "Overview." + name})
		}
		o = append(o, member{name, number(value)})
	}
	return object{{of + "Overview", list{"item", []object{o}}}}
}

// entries are what a poller must find in the directories.
func (s *Sim) entries() []simulated.Entry {
	var all []simulated.Entry
	add := func(stream string, keys ...string) {
		for _, key := range keys {
			all = append(all, simulated.Entry{Stream: stream, Key: key, At: s.account.Options().Start, Version: 1})
		}
	}
	add("application/status", "application")
	for _, a := range s.account.Agents() {
		add("agents", a.ID)
		add("onlinestatus/agents", "onlinestatus/agents/"+a.ID)
	}
	for _, c := range s.look().customers {
		add("customers", c.contactID)
	}
	for _, g := range customerGroups() {
		add("customersgroups", g.id)
	}
	for _, d := range departments() {
		add("departments", d.id)
		if d.deleted == "N" {
			add("onlinestatus/departments", "onlinestatus/departments/"+d.id)
		}
	}
	for _, a := range s.articles() {
		add("knowledgebase/articles", "knowledgebase/articles/"+a.id)
		for _, query := range queries {
			if a.matches(query) {
				add("knowledgebase/search", "knowledgebase/search/"+a.id)
				break
			}
		}
	}
	add("suggestioncategories", "71", "72", "73")
	for _, l := range s.labels() {
		add("tags", l.id)
	}
	add("chats/overview", "chats/overview/snapshot")
	add("calls/overview", "calls/overview/snapshot")
	return all
}
