package livechatreports

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-stream/parley/events"
)

// levels are the parts of a form's record, from the outside in, with the ids that are dimensions.
func levels() []level {
	return []level{
		{"form", map[string]string{"form_id": "form", "group_id": "group"}},
		{"field", map[string]string{"field_id": "field"}},
		{"answer", map[string]string{"answer_id": "answer"}},
	}
}

// level is a part, and its dimensions by the vendor's names of their values.
type level struct {
	part string
	ids  map[string]string
}

// form adds a form, field or answer: the innermost part is what the record is of. Of the parts around it, what is no id is in
// the attribute of the part's name.
func form(m *events.Metric, r *events.Record) error {
	present := slices.DeleteFunc(levels(), func(l level) bool { return r.Part(l.part) == nil })
	if len(present) == 0 {
		return errors.New("the record is of no form")
	}
	for i, l := range present {
		members, err := decode(r.Part(l.part))
		if err == nil {
			err = ids(m, l, members)
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", l.part, err)
		case i == len(present)-1:
			innermost(m, l.part, members)
		case len(members) > 0:
			m.Set(l.part, members)
		}
	}
	return nil
}

// ids takes the dimensions out of a part's members.
func ids(m *events.Metric, l level, members map[string]any) error {
	for name, what := range l.ids {
		id := scalar(members[name])
		if id == "" && what == "group" {
			continue // a form that is in none; a value that is no id stays an attribute
		}
		if err := dimension(m, what, id); err != nil {
			return err
		}
		delete(members, name)
	}
	return nil
}

// innermost adds the members of what the record is of; a field has no figures.
func innermost(m *events.Metric, part string, members map[string]any) {
	if part != "field" {
		figures(m, members)
		return
	}
	for name, value := range members {
		add(m, name, value)
	}
}

// scalar is the text of a string or number.
func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}
