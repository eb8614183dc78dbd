package privacy

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
)

// echo is something about a person that a rule hides, and must not stand elsewhere in the event.
type echo struct {
	forms   []string // as it is, and as it stands in addresses
	treated string   // "": dropped
	mark    string   // stands for it in text
	inText  bool     // long enough to be looked for in text
}

// people notes what will be hidden of the persons of an entity.
func (t *treatment) people(e events.Entity) {
	switch e := e.(type) {
	case *events.Conversation:
		t.person("visitor", e.Visitor)
		for i := range e.Messages {
			if a := e.Messages[i].Author; a != nil && a.Type == events.AuthorVisitor {
				t.person("visitor", &events.Visitor{ID: a.ID, Name: a.Name, Email: a.Email})
			}
		}
	case *events.Rating:
		t.person("requester", e.Requester)
	case *events.SLA:
		t.person("requester", e.Requester)
	case *events.Email:
		t.note(e.From, "from")
		t.note(e.To, "to")
		t.note(e.Bcc, "bcc")
	case *events.Reference:
		if e.Of != events.KindContact {
			return
		}
		t.note(e.Name, "name")
		for name, value := range e.Fields {
			if s, ok := value.(string); ok && slices.Contains(whole, strings.ToLower(name)) {
				t.note(s, name)
			}
		}
	}
}

func (t *treatment) person(field string, v *events.Visitor) {
	if v == nil {
		return
	}
	t.note(v.ID, field, "id")
	t.note(v.Name, field, "name")
	t.note(v.Email, field, "email")
	t.note(v.IP, field, "ip")
}

func (t *treatment) note(value string, path ...string) {
	a, itself := t.policy.decide(t.kind, path)
	if value == "" || a == keep || slices.ContainsFunc(t.echoes, func(e echo) bool { return e.forms[0] == value }) {
		return
	}
	name := path[len(path)-1]
	e := echo{
		forms: []string{value}, treated: t.text(value, a, path, itself), mark: "[" + strings.ToLower(name) + "]",
		inText: utf8.RuneCountInString(value) >= 4,
	}
	if e.treated == value {
		return
	}
	for _, form := range []string{url.QueryEscape(value), url.PathEscape(value), strings.ReplaceAll(value, " ", "%20")} {
		if !slices.Contains(e.forms, form) {
			e.forms = append(e.forms, form)
		}
	}
	t.echoes = append(t.echoes, e)
}

// hide gives a text without the echoes.
func (t *treatment) hide(s string) string {
	for i := range t.echoes {
		e := &t.echoes[i]
		if strings.EqualFold(strings.TrimSpace(s), e.forms[0]) {
			return e.treated
		}
	}
	for i := range t.echoes {
		if e := &t.echoes[i]; e.inText {
			for _, form := range e.forms {
				s = replaceFold(s, form, e.mark)
			}
		}
	}
	return s
}

// replaceFold replaces what stands between other things than letters and digits, in small or capital letters.
func replaceFold(s, old, replacement string) string {
	var out strings.Builder
	copied := 0
	for i := nextFold(s, 0, old); i >= 0; {
		if !strings.EqualFold(s[i:i+len(old)], old) || !bounded(s, i, i+len(old)) {
			i = nextFold(s, i+1, old)
			continue
		}
		out.WriteString(s[copied:i])
		out.WriteString(replacement)
		copied = i + len(old)
		i = nextFold(s, copied, old)
	}
	if copied == 0 {
		return s
	}
	out.WriteString(s[copied:])
	return out.String()
}

// nextFold gives where, from a place on, what begins like old may stand; -1 for nowhere.
func nextFold(s string, from int, old string) int {
	last := len(s) - len(old)
	if from > last {
		return -1
	}
	c := old[0]
	if c >= utf8.RuneSelf { // every place where a character begins
		for from <= last && !utf8.RuneStart(s[from]) {
			from++
		}
		if from > last {
			return -1
		}
		return from
	}
	next := strings.IndexByte(s[from:last+1], c)
	if c|0x20 >= 'a' && c|0x20 <= 'z' {
		if other := strings.IndexByte(s[from:last+1], c^0x20); next < 0 || other >= 0 && other < next {
			next = other
		}
	}
	if next < 0 {
		return -1
	}
	return from + next
}

func bounded(s string, from, to int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:from])
	after, _ := utf8.DecodeRuneInString(s[to:])
	return (from == 0 || !wordRune(before)) && (to == len(s) || !wordRune(after))
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// hideEchoes looks through every text of an entity.
func (t *treatment) hideEchoes(v reflect.Value, plan []field) {
	for i := range plan {
		f := &plan[i]
		if !f.figure {
			t.hideIn(v.FieldByIndex(f.index), f)
		}
	}
}

func (t *treatment) hideIn(v reflect.Value, f *field) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && f.sub != nil {
			t.hideEchoes(v.Elem(), f.sub)
		}
	case reflect.Struct:
		if f.sub != nil {
			t.hideEchoes(v, f.sub)
		}
	case reflect.String:
		if s := v.String(); s != "" {
			v.SetString(t.hide(s))
		}
	case reflect.Slice:
		if texts, ok := v.Interface().([]string); ok {
			for i := range texts {
				texts[i] = t.hide(texts[i])
			}
			v.Set(reflect.ValueOf(slices.DeleteFunc(texts, func(s string) bool { return s == "" })))
			return
		}
		for i := range v.Len() {
			t.hideEchoes(v.Index(i), f.sub)
		}
	case reflect.Map:
		switch m := v.Interface().(type) {
		case map[string]any:
			t.hideInMap(m)
		case map[string]string:
			for key, value := range m {
				if m[key] = t.hide(value); m[key] == "" {
					delete(m, key)
				}
			}
		}
	}
}

func (t *treatment) hideInMap(m map[string]any) {
	for key, value := range m {
		hidden, stays := t.hideInAny(value)
		name := t.hide(key)
		if name == "" {
			name = "[hidden]"
		}
		if name != key || !stays {
			delete(m, key)
		}
		if stays {
			m[name] = hidden
		}
	}
}

func (t *treatment) hideInAny(value any) (any, bool) {
	switch v := value.(type) {
	case string:
		s := t.hide(v)
		return s, s != ""
	case map[string]any:
		t.hideInMap(v)
		return v, len(v) > 0
	case []any:
		kept := v[:0]
		for _, item := range v {
			if hidden, stays := t.hideInAny(item); stays {
				kept = append(kept, hidden)
			}
		}
		return kept, len(kept) > 0
	case nil, bool:
		return v, true
	case json.Number, float64, int, int32, int64, uint64: // an id may be one
		plain, _ := json.Marshal(v)
		s := t.hide(string(plain))
		if s == string(plain) {
			return value, true
		}
		return s, s != ""
	}
	general, err := generic(value)
	if err != nil {
		t.err = err
		return nil, false
	}
	return t.hideInAny(general)
}
