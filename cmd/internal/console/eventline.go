package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/parley-stream/parley/events"
)

// maxText is how many characters of a text a line shows.
const maxText = 60

// EventLine shows an event in one line: time, kind, what happened, vendor and source, the vendor's id, revision, and a glimpse
// of the content. Unless clear is set personal data is masked: names become initials, e-mail addresses
// disappear, and what people wrote is left out.
func EventLine(e events.Event, clear bool) string {
	line := fmt.Sprintf("%s %s %s %s %s r%d",
		e.Time.UTC().Format(time.RFC3339), e.Kind(), e.Type[strings.LastIndexByte(e.Type, '.')+1:],
		strings.TrimPrefix(e.Source, "/"), e.Subject, e.Revision)
	if facts := glimpse(e, clear); len(facts) > 0 {
		line += "  " + strings.Join(facts, ", ")
	}
	if !clear {
		line = maskAddresses(line)
	}
	return Printable(line)
}

// address finds e-mail addresses, also percent-encoded and with letters of any script.
var address = regexp.MustCompile(`[^\s@<>,;:/=()"]+(@|%40)[^\s@<>,;:/=()"]+`)

// content is what a line shows of an entity of any kind.
type content struct {
	Channel      string            `json:"channel"`
	Status       string            `json:"status"`
	Report       string            `json:"report"`
	Of           string            `json:"of"`
	State        string            `json:"state"`
	Value        string            `json:"value"`
	Name         string            `json:"name"`
	Subject      string            `json:"subject"`
	Comment      string            `json:"comment"`
	Visitor      *person           `json:"visitor"`
	Requester    *person           `json:"requester"`
	Agent        *person           `json:"agent"`
	Agents       []person          `json:"agents"`
	Messages     []json.RawMessage `json:"messages"`
	MessageCount *int              `json:"message_count"`
	Rating       *struct {
		Value string `json:"value"`
	} `json:"rating"`
	Measures map[string]json.Number `json:"measures"`
}

type person struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// glimpse gives the facts worth a place in the line.
func glimpse(e events.Event, clear bool) []string {
	if len(e.Data) == 0 {
		if e.DataRef != "" {
			return []string{"content in the object store"}
		}
		return nil
	}
	c, err := decode(e)
	if err != nil {
		return []string{"content cannot be read"}
	}
	facts := plain(c.Channel, c.Status, c.Report, c.Of, c.State, c.Value)
	facts = append(facts, counts(c)...)
	if c.Rating != nil && c.Rating.Value != "" {
		facts = append(facts, "rated "+c.Rating.Value)
	}
	facts = append(facts, people(c, clear)...)
	if c.Name != "" {
		facts = append(facts, nameOf(e.Kind(), c.Name, clear))
	}
	if clear {
		for _, text := range plain(c.Subject, c.Comment) {
			facts = append(facts, fmt.Sprintf("%q", text))
		}
	}
	return facts
}

// decode reads what it can: a field of an unexpected type is left out.
func decode(e events.Event) (content, error) {
	data := e.Data
	if e.DataContentType == events.ContentMsgpack {
		var err error
		if data, err = events.DecodeMsgpack(data); err != nil {
			return content{}, err
		}
	}
	var c content
	err := json.Unmarshal(data, &c)
	if typeErr := (*json.UnmarshalTypeError)(nil); errors.As(err, &typeErr) {
		err = nil
	}
	return c, err
}

func plain(values ...string) (facts []string) {
	for _, value := range values {
		if value != "" {
			facts = append(facts, shorten(value))
		}
	}
	return facts
}

func counts(c content) (facts []string) {
	switch {
	case c.MessageCount != nil:
		facts = append(facts, Count(*c.MessageCount, "message", "messages"))
	case len(c.Messages) > 0:
		facts = append(facts, Count(len(c.Messages), "message", "messages"))
	}
	if len(c.Measures) > 0 {
		facts = append(facts, Count(len(c.Measures), "measure", "measures"))
	}
	return facts
}

func people(c content, clear bool) (facts []string) {
	add := func(role string, p *person) {
		if p != nil && (p.Name != "" || p.Email != "") {
			facts = append(facts, role+" "+p.show(clear))
		}
	}
	add("visitor", c.Visitor)
	add("requester", c.Requester)
	add("agent", c.Agent)
	for i := range c.Agents {
		add("agent", &c.Agents[i])
	}
	return facts
}

func (p *person) show(clear bool) string {
	if clear {
		return shorten(strings.TrimSpace(p.Name + " " + p.Email))
	}
	if p.Name == "" {
		return initials(p.Email)
	}
	return initials(p.Name)
}

// nameOf shows an entity's own name: people's masked, those of departments, tags and the like as they are.
func nameOf(kind events.Kind, name string, clear bool) string {
	switch kind {
	case events.KindDepartment, events.KindSite, events.KindTag, events.KindGroup, events.KindArticle, events.KindCategory,
		events.KindApplication, events.KindAccount:
		return shorten(name)
	default:
		if clear {
			return shorten(name)
		}
		return initials(name)
	}
}

// initials gives the first letters of a name's first three words.
func initials(name string) string {
	var b strings.Builder
	for i, word := range strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
		if i == 3 || strings.Contains(name, "@") && i == 1 {
			break
		}
		first := []rune(word)[0]
		b.WriteRune(unicode.ToUpper(first))
		b.WriteByte('.')
	}
	if b.Len() == 0 {
		return "…"
	}
	return b.String()
}

func shorten(s string) string {
	if letters := []rune(s); len(letters) > maxText {
		return string(letters[:maxText-1]) + "…"
	}
	return s
}
