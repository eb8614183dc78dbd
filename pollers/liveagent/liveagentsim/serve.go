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
	case path == "conversations":
		return s.listConversations(q)
	case steps[0] == "conversations" && (len(steps) == 2 || len(steps) == 3):
		return s.conversation(q, steps[1], steps[2:])
	case steps[0] == "reports":
		return s.report(q, path)
	}
	if response, err, known := s.directory(q, steps); known {
		return response, err
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

func (s *Sim) listConversations(q url.Values) (object, *refusal) {
	err := only(q, "owneridentifier", "department", "status", "datefrom", "dateto", "datechanged", "subject")
	if err != nil {
		return nil, err
	}
	f, err := s.newFilter(q)
	if err != nil {
		return nil, err
	}
	out := list{item: "conversation"}
	for _, c := range s.look().chats {
		if f.shows(c) {
			out.items = append(out.items, s.row(c))
		}
	}
	if spec, is := s.specimen(); is {
		if c := spec.conversation(); f.showsSpecimen(c.row) {
			out.items = append(out.items, c.row)
		}
	}
	return object{{"conversations", out}}, nil
}

func (s *Sim) conversation(q url.Values, id string, part []string) (object, *refusal) {
	if spec, is := s.specimen(); is {
		if c := spec.conversation(); id == c.row.get("conversationid") {
			return map[string]object{"": c.detail, "messages": {{"groups", c.groups}}, "tags": {{"tags", c.tags}}}[strings.Join(part, "/")], only(q)
		}
	}
	v := s.look()
	i, known := v.byName[id]
	if !known {
		return nil, refuse(http.StatusNotFound, "conversation %s not found", id)
	}
	c := v.chats[i]
	switch {
	case len(part) == 0:
		return s.detail(c), only(q)
	case part[0] == "tags":
		return object{{"tags", tagsOf(c.Chat)}}, only(q)
	case part[0] == "messages":
		return s.messages(q, c.Chat)
	}
	return nil, refuse(http.StatusNotFound, "unknown call conversations/%s/%s", id, part[0])
}

func (s *Sim) messages(q url.Values, c *simulated.Chat) (object, *refusal) {
	if err := only(q, "datefrom", "dateto"); err != nil {
		return nil, err
	}
	from, to, err := s.ages(q)
	if err != nil {
		return nil, err
	}
	return object{{"groups", s.groups(c, func(at string) bool { return from(at) && to(at) })}}, nil
}
