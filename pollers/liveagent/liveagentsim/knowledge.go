package liveagentsim

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// article is one of the knowledge base; most of its columns are texts in the document.
type article struct {
	id, parent, rtype, rstatus, access, inherited, urlcode, treepath, order, title, meta, keywords, content, conversation, department, views, votes,
	created, changed, deleted, description, url, text, simple string
}

// chapters are the knowledge base's categories; each has articles below it.
var chapters = []string{"Orders", "Delivery", "Returns"}

func (s *Sim) articles() []article {
	var all []article
	for i, chapter := range chapters {
		parent := s.article(10*(i+1), chapter, "Everything about "+strings.ToLower(chapter))
		parent.rtype, parent.treepath = "C", "0|"
		all = append(all, parent)
		for j := range 7 {
			a := s.article(10*(i+1)+j+1, fmt.Sprintf("%s, question %d", chapter, j+1), fmt.Sprintf("<p>How %s works & what it costs, part %d</p>", strings.ToLower(chapter), j+1))
			a.parent, a.treepath, a.order = parent.id, "0|"+parent.id+"|", strconv.Itoa(j)
			all = append(all, a)
		}
	}
	return all
}

func (s *Sim) article(number int, title, content string) article {
	made := s.account.Options().Start.Add(-time.Duration(200-number) * 24 * time.Hour)
	plain := strings.NewReplacer("<p>", "", "</p>", "").Replace(content)
	a := article{
		id: strconv.Itoa(number), rtype: "A", rstatus: "P", access: "P", inherited: "P", urlcode: fmt.Sprintf("%06d", number*7919), order: "0", title: title,
		keywords: strings.ToLower(title), content: content, views: strconv.Itoa(number * 13), votes: strconv.Itoa(number % 4),
		created: s.local(made), changed: s.local(made.Add(36 * time.Hour)), deleted: "N", text: plain, simple: content,
	}
	if number%5 == 0 {
		a.department = departments()[number/5%2].id
	}
	if number%17 == 0 {
		a.deleted, a.meta = "Y", "Formerly: "+title
	}
	a.url = "//help.example/" + a.urlcode + "-" + strings.ReplaceAll(strings.ReplaceAll(title, ",", ""), " ", "-")
	return a
}

func (s specimen) article() article {
	one := func(name string) field { return field{atArticles, "articles." + name} }
	text := func(name string) string { return s.text(one(name)) }
	return article{
		id: text("kb_entry_id"), parent: text("parent_entry_id"), rtype: text("rtype"), rstatus: text("rstatus"), access: text("access"),
		inherited: text("access_inherited"), urlcode: text("urlcode"), treepath: text("treepath"), order: s.number(one("rorder")), title: text("title"),
		meta: text("metadescription"), keywords: text("keywords"), content: text("content"), conversation: text("conversationid"),
		department: text("departmentid"), views: s.number(one("views")), votes: s.number(one("votes")), created: s.date(one("datecreated")),
		changed: s.date(one("datechanged")), deleted: text("deleted"), description: text("description"), url: text("url"),
	}
}

// found is an article that every search finds.
func (s specimen) found() article {
	one := func(name string) field { return field{atSearch, "articles." + name} }
	text := func(name string) string { return s.text(one(name)) }
	return article{
		id: text("kb_entry_id"), urlcode: text("urlcode"), title: text("title"), text: text("content_text"), simple: text("content_simple_html"),
		treepath: text("treepath"), rtype: text("rtype"), rstatus: text("rstatus"), votes: s.number(one("votesCount")), changed: s.date(one("datechanged")),
		conversation: text("conversationid"), url: text("url"),
	}
}

func (a *article) object() object {
	return object{
		{"kb_entry_id", a.id},
		{"parent_entry_id", text(a.parent)},
		{"rtype", a.rtype},
		{"rstatus", a.rstatus},
		{"access", a.access},
		{"access_inherited", a.inherited},
		{"urlcode", a.urlcode},
		{"treepath", a.treepath},
		{"rorder", a.order},
		{"title", a.title},
		{"metadescription", text(a.meta)},
		{"keywords", text(a.keywords)},
		{"content", text(a.content)},
		{"conversationid", text(a.conversation)},
		{"departmentid", text(a.department)},
		{"views", a.views},
		{"votes", a.votes},
		{"datecreated", a.created},
		{"datechanged", a.changed},
		{"deleted", a.deleted},
		{"description", text(a.description)},
		{"url", a.url},
	}
}

// found is the article in a search.
func (a *article) found() object {
	return object{
		{"kb_entry_id", a.id},
		{"urlcode", a.urlcode},
		{"title", a.title},
		{"content_text", text(a.text)},
		{"content_simple_html", text(a.simple)},
		{"treepath", a.treepath},
		{"rtype", a.rtype},
		{"rstatus", a.rstatus},
		{"votesCount", a.votes},
		{"datechanged", a.changed},
		{"conversationid", text(a.conversation)},
		{"url", a.url},
	}
}

func (s *Sim) listArticles(q url.Values) (object, *refusal) {
	if err := only(q, "limit", "offset", "tree_path", "parent_id", "article_id"); err != nil {
		return nil, err
	}
	page, err := pageOf(q, pageRule{count: "limit", from: "offset", usual: 10, most: 500})
	if err != nil {
		return nil, err
	}
	is := func(name, value string) bool { return !q.Has(name) || q.Get(name) == value }
	all, out := s.articles(), list{item: "article"}
	if spec, is := s.specimen(); is {
		all = append([]article{spec.article()}, all...) // a first page has it too
	}
	for _, a := range all {
		if strings.HasPrefix(a.treepath, q.Get("tree_path")) && is("parent_id", a.parent) && is("article_id", a.id) && page.takes() {
			out.items = append(out.items, a.object())
		}
	}
	return object{{"articles", out}}, nil
}

func (s *Sim) search(q url.Values) (object, *refusal) {
	if err := only(q, "query", "top_article_id", "limit"); err != nil {
		return nil, err
	}
	if q.Get("query") == "" {
		return nil, refuse(http.StatusInternalServerError, "parameter query is missing")
	}
	page, err := pageOf(q, pageRule{count: "limit", usual: 10, most: 1 << 30})
	if err != nil {
		return nil, err
	}
	out := list{item: "article"}
	for _, a := range s.articles() {
		if a.matches(q.Get("query")) && a.below(q.Get("top_article_id")) && page.takes() {
			out.items = append(out.items, a.found())
		}
	}
	if spec, is := s.specimen(); is {
		found := spec.found()
		out.items = append(out.items, found.found())
	}
	return object{{"articles", out}}, nil
}

// matches tells whether a search finds the article.
func (a *article) matches(query string) bool {
	for _, where := range []string{a.title, a.text} {
		if strings.Contains(strings.ToLower(where), strings.ToLower(query)) {
			return true
		}
	}
	return false
}

// below tells whether a search that starts at an article reaches this one.
func (a *article) below(top string) bool {
	return top == "" || a.id == top || strings.Contains("|"+a.treepath, "|"+top+"|")
}

// pageRule names a call's paging parameters; from is "" where there is none.
type pageRule struct {
	count, from string
	usual, most int
}

// page lets a stretch of a list through.
type page struct{ skip, left int }

func pageOf(q url.Values, rule pageRule) (*page, *refusal) {
	p := &page{left: rule.usual}
	for name, into := range map[string]*int{rule.count: &p.left, rule.from: &p.skip} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.Atoi(q.Get(name))
		if err != nil || n < 0 || strconv.Itoa(n) != q.Get(name) {
			return nil, refuse(http.StatusInternalServerError, "parameter %s: %q is no integer value greater or equal to zero", name, q.Get(name))
		}
		*into = n
	}
	if p.left > rule.most {
		return nil, refuse(http.StatusInternalServerError, "parameter %s: max allowed value is %d", rule.count, rule.most)
	}
	return p, nil
}

// takes tells of the next element of the list whether it is on the page.
func (p *page) takes() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	p.left--
	return p.left >= 0
}
