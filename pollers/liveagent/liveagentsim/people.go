package liveagentsim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// agent is one of the account's; token and cookie are what nobody may keep.
type agent struct{ contactID, userID, email, first, last, system, token, cookie, gender, role string }

func (s *Sim) agents() []agent {
	var all []agent
	for i, p := range s.account.Agents() {
		first, last, _ := strings.Cut(p.Name, " ")
		a := agent{"ac" + p.ID, p.ID, p.Email, first, last, "ag" + p.ID[:4], "5c" + p.ID + "tk" + p.ID, "A_auth", "F", "A"}
		if i%2 == 1 {
			a.gender = "M"
		}
		switch i {
		case 0:
			a.role = "O"
		case 1:
			a.role = "D"
		}
		all = append(all, a)
	}
	if spec, is := s.specimen(); is {
		all = append(all, spec.agent())
	}
	return all
}

func (s specimen) agent() agent {
	one := func(name string) string { return s.text(field{atAgent, name}) }
	return agent{
		one("contactid"),
		one("userid"), one("email"), one("firstname"), one("lastname"), one("systemname"),
		s.secret(field{atAgent, "authtoken"}), s.secret(field{atAgent, "browsercookiename"}), one("gender"), one("role"),
	}
}

func (a agent) object() object {
	return object{
		{"contactid", a.contactID},
		{"userid", a.userID},
		{"email", a.email},
		{"firstname", a.first},
		{"lastname", text(a.last)},
		{"systemname", a.system},
		{"authtoken", a.token},
		{"browsercookiename", a.cookie},
		{"gender", a.gender},
		{"role", a.role},
	}
}

func (s *Sim) agent(q url.Values, id string) (object, *refusal) {
	for _, a := range s.agents() {
		if id == a.userID || id == a.email {
			return a.object(), only(q)
		}
	}
	return nil, refuse(http.StatusNotFound, "agent with email or userid %s not found", id)
}

// pair is a name, code or id with what belongs to it.
type pair struct{ name, value string }

// customer is a contact: the visitor of every fifth chat left an address that was kept.
type customer struct {
	contactID, email, first, last, system, userID, created, role, gender string
	token, cookie                                                        string
	fields, groups                                                       []pair
}

func (s *Sim) customers(chats []simulated.Chat) []customer {
	var all []customer
	if spec, is := s.specimen(); is {
		all = append(all, spec.customer()) // a first page has it too
	}
	for i := range chats {
		if c := &chats[i]; c.Number%5 == 0 {
			all = append(all, s.customer(c))
		}
	}
	return all
}

func (s *Sim) customer(c *simulated.Chat) customer {
	first, last, _ := strings.Cut(c.Visitor.Name, " ")
	out := customer{
		contactID: "ct" + c.Visitor.ID, email: c.Visitor.Email, first: first, last: last, system: fmt.Sprintf("cu%06d", c.Number),
		userID: c.Visitor.ID, created: s.local(c.Start), role: "V", gender: "F", token: "7d" + c.Visitor.ID + "tk", cookie: "LaVisitorId",
		fields: []pair{{"customer_no", fmt.Sprint(c.CustomerNo)}, {"city", c.Visitor.City}},
	}
	if c.Number%2 == 0 {
		out.role, out.cookie, out.gender = "R", "V_auth", "M"
	}
	for i, g := range customerGroups() {
		if c.Number/5%(i+2) == 0 {
			out.groups = append(out.groups, pair{g.id, g.name})
		}
	}
	return out
}

func (s specimen) customer() customer {
	both := func(name string) []field {
		return []field{{atCustomers, "customers." + name}, {atCustomer, name}}
	}
	one := func(name string) string { return s.text(field{atCustomer, name}) }
	return customer{
		contactID: s.text(both("contactid")...), email: s.text(both("email")...), first: s.text(both("firstname")...), last: s.text(both("lastname")...),
		system: s.text(both("systemname")...), userID: s.text(both("userid")...), created: s.date(both("datecreated")...),
		role: s.text(both("role")...), gender: s.text(both("gender")...),
		token: s.secret(field{atCustomer, "authtoken"}), cookie: s.secret(field{atCustomer, "browsercookiename"}),
		fields: []pair{{one("customfields.code"), one("customfields.value")}},
		groups: []pair{{s.text(field{atGroupsOf, "groups.groupid"}), s.text(field{atGroupsOf, "groups.groupname"})}},
	}
}

func (c *customer) row() object {
	return object{
		{"contactid", c.contactID},
		{"email", c.email},
		{"firstname", c.first},
		{"lastname", text(c.last)},
		{"systemname", c.system},
		{"userid", c.userID},
		{"datecreated", c.created},
		{"role", c.role},
		{"gender", c.gender},
	}
}

func (c *customer) detail() object {
	fields := list{item: "customfield"}
	for _, f := range c.fields {
		fields.items = append(fields.items, object{{"code", f.name}, {"value", text(f.value)}})
	}
	return object{
		{"contactid", c.contactID},
		{"email", c.email},
		{"firstname", c.first},
		{"lastname", text(c.last)},
		{"systemname", c.system},
		{"authtoken", c.token},
		{"browsercookiename", c.cookie},
		{"role", c.role},
		{"gender", c.gender},
		{"userid", c.userID},
		{"datecreated", c.created},
		{"customfields", fields},
	}
}

func (s *Sim) listCustomers(q url.Values) (object, *refusal) {
	if err := only(q, "email", "firstname", "lastname", "datecreatedfrom", "datecreatedto", "limitcount", "limitfrom"); err != nil {
		return nil, err
	}
	for _, name := range []string{"datecreatedfrom", "datecreatedto"} {
		if q.Has(name) {
			if err := checkDate(name, q.Get(name)); err != nil {
				return nil, err
			}
		}
	}
	page, err := pageOf(q, pageRule{count: "limitcount", from: "limitfrom", usual: 100, most: 1000})
	if err != nil {
		return nil, err
	}
	out := list{item: "customer"}
	customers := s.look().customers
	for i := range customers {
		if c := &customers[i]; c.shownBy(q) && page.takes() {
			out.items = append(out.items, c.row())
		}
	}
	return object{{"customers", out}}, nil
}

// shownBy matches like *string*, and dates of creation strictly after and before.
func (c *customer) shownBy(q url.Values) bool {
	for name, value := range map[string]string{"email": c.email, "firstname": c.first, "lastname": c.last} {
		if !strings.Contains(strings.ToLower(value), strings.ToLower(q.Get(name))) {
			return false
		}
	}
	return (!q.Has("datecreatedfrom") || c.created > q.Get("datecreatedfrom")) && (!q.Has("datecreatedto") || c.created < q.Get("datecreatedto"))
}

func (s *Sim) oneCustomer(q url.Values, id string, part []string) (object, *refusal) {
	v := s.look()
	i, known := v.contacts[id]
	if !known {
		return nil, refuse(http.StatusNotFound, "customer %s not found", id)
	}
	c := &v.customers[i]
	if len(part) == 0 {
		return c.detail(), only(q)
	}
	groups := list{item: "group"}
	for _, g := range c.groups {
		groups.items = append(groups.items, object{{"groupid", g.name}, {"groupname", g.value}})
	}
	return object{{"groups", groups}}, only(q)
}

// phase counts up every five minutes in an account where chats go on arriving, and is 0 in one that rests.
func (s *Sim) phase() int {
	o := s.account.Options()
	if o.LivePerHour == 0 {
		return 0
	}
	return int(s.account.Now().Sub(o.Start) / (5 * time.Minute))
}
