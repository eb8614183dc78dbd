package liveagentsim

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/parley-stream/parley/pollers/simulated"
)

// refusal is an error response: the document's status code and an errormessage.
type refusal struct {
	code    int
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

func (r *refusal) object() object {
	return object{
		{"status", "ERROR"}, {"statuscode", number(fmt.Sprint(r.code))}, {"errormessage", r.message}, {"debugmessage", nil},
	}
}

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	path, asXML := strings.CutSuffix(r.URL.Path, ".xml")
	write, contentType := writeJSON, "application/json; charset=utf-8"
	if asXML {
		write, contentType = writeXML, "application/xml; charset=utf-8"
	}
	response, status := s.answer(r, path)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(write(response))
}

func (s *Sim) answer(r *http.Request, path string) (object, int) {
	response, err := s.route(r, path)
	if err != nil {
		return err.object(), err.code
	}
	return response, http.StatusOK
}

func (s *Sim) route(r *http.Request, path string) (object, *refusal) {
	q, err := s.authorise(r)
	if err != nil {
		return nil, err
	}
	path, ok := strings.CutPrefix(path, "/api/")
	steps := strings.Split(path, "/")
	switch {
	case !ok:
		return nil, refuse(http.StatusNotFound, "unknown call %s", r.URL.Path)
	case r.Method != http.MethodGet:
		return nil, refuse(http.StatusMethodNotAllowed, "method %s is not simulated", r.Method)
	case path == "application/status":
		return s.applicationStatus(q)
	case steps[0] == "departments" && len(steps) <= 2:
		return listDepartments(q, steps[1:])
	case path == "conversations":
		return s.listConversations(q)
	case steps[0] == "conversations" && (len(steps) == 2 || len(steps) == 3):
		return s.conversation(q, steps[1], steps[2:])
	case steps[0] == "reports":
		return s.report(q, path)
	}
	return nil, refuse(http.StatusNotFound, "unknown call %s", path)
}

// authorise checks the key, which is an ordinary parameter.
func (s *Sim) authorise(r *http.Request) (url.Values, *refusal) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusInternalServerError, "malformed query")
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("apikey")), []byte(apiKey)) != 1 {
		return nil, refuse(http.StatusUnauthorized, "Forbidden: authentication with the given API key failed")
	}
	return q, nil
}

// only refuses parameters that a call does not document, and such as are there twice.
func only(q url.Values, names ...string) *refusal {
	for name, values := range q {
		if name != "apikey" && !slices.Contains(names, name) {
			return refuse(http.StatusInternalServerError, "unknown parameter %s", name)
		}
		if len(values) > 1 {
			return refuse(http.StatusInternalServerError, "parameter %s is given twice", name)
		}
	}
	return nil
}

func (s *Sim) applicationStatus(q url.Values) (object, *refusal) {
	if err := only(q); err != nil {
		return nil, err
	}
	installed := s.account.Options().Start.AddDate(-2, 0, 0)
	return object{
		{"liveagentversion", "4.16.4.2"}, {"gpfversion", "1.9.2.0"}, {"dateinstalled", s.local(installed)}, {"datelatestupdate", s.local(installed.AddDate(1, 2, 3))},
	}, nil
}

func listDepartments(q url.Values, id []string) (object, *refusal) {
	if err := only(q); err != nil {
		return nil, err
	}
	all := list{item: "department"}
	for _, d := range departments() {
		if len(id) > 0 && d.id == id[0] {
			return d.object(), nil
		}
		all.items = append(all.items, d.object())
	}
	if len(id) > 0 {
		return nil, refuse(http.StatusNotFound, "department %s not found", id[0])
	}
	return object{{"departments", all}}, nil
}

func (s *Sim) listConversations(q url.Values) (object, *refusal) {
	err := only(q, "owneridentifier", "department", "status", "datefrom", "dateto", "datechanged", "subject")
	if err != nil {
		return nil, err
	}
	f, err := newFilter(q)
	if err != nil {
		return nil, err
	}
	out := list{item: "conversation"}
	for _, c := range s.account.Chats() {
		if f.shows(&c, s.local) {
			out.items = append(out.items, s.row(&c))
		}
	}
	return object{{"conversations", out}}, nil
}

// find gives the conversation by its id, code or public url code.
func (s *Sim) find(id string) (*simulated.Chat, *refusal) {
	for _, c := range s.account.Chats() {
		if id == conversationID(&c) || id == code(&c) || id == publicURLCode(&c) {
			return &c, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "conversation %s not found", id)
}

func (s *Sim) conversation(q url.Values, id string, part []string) (object, *refusal) {
	c, err := s.find(id)
	if err != nil {
		return nil, err
	}
	switch {
	case len(part) == 0:
		return s.detail(c), only(q)
	case part[0] == "tags":
		return object{{"tags", tagsOf(c)}}, only(q)
	case part[0] == "messages":
		return s.messages(q, c)
	}
	return nil, refuse(http.StatusNotFound, "unknown call conversations/%s/%s", id, part[0])
}

func (s *Sim) messages(q url.Values, c *simulated.Chat) (object, *refusal) {
	if err := only(q, "datefrom", "dateto"); err != nil {
		return nil, err
	}
	older, newer, err := ages(q)
	if err != nil {
		return nil, err
	}
	return object{{"groups", s.groups(c, func(at string) bool { return older(at) && newer(at) })}}, nil
}
