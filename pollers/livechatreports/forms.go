package livechatreports

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// fileForms makes rows of the list of forms: one of each form without its fields, one of each answer with what says where it belongs, and one
// of each field that has no answers.
func (p *poller) fileForms(a *answer, records []byte) error {
	forms, err := elementsOf(records)
	if err != nil {
		return err
	}
	for _, form := range forms {
		p.fileForm(a, form)
	}
	return nil
}

// elementsOf lists the elements of a JSON array.
func elementsOf(list []byte) ([]json.RawMessage, error) {
	if len(list) == 0 || list[0] != '[' {
		return nil, fmt.Errorf("are no list: %w", pollers.ErrIncomplete)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(list, &elements); err != nil {
		return nil, fmt.Errorf("%w: %w", pollers.ErrIncomplete, err)
	}
	return elements, nil
}

// piece is a form, field or answer: its members but those that hold the level below, its id, and the level below.
type piece struct {
	members []member
	id      string
	below   []json.RawMessage
}

// pieceOf takes an object apart; false when it is none, has no id, or has something else than a list below.
func (p *poller) pieceOf(text []byte, idName, belowName string) (piece, bool) {
	members, err := membersOf(text)
	if err != nil {
		return piece{}, false
	}
	id, _ := take(members, idName)
	out := piece{members: members, id: p.client.Redact(scalar(id))}
	var below []byte
	if belowName != "" {
		below, out.members = take(members, belowName)
	}
	if len(below) > 0 && string(below) != "null" {
		if out.below, err = elementsOf(below); err != nil {
			return piece{}, false
		}
	}
	return out, out.id != ""
}

// scalar is the text of a string or of a number as it is written; "" of anything else.
func scalar(raw []byte) string { return events.LiveChatKey(raw) }

func (p *poller) fileForm(a *answer, text []byte) {
	form, ok := p.pieceOf(text, "form_id", "fields")
	if !ok {
		a.rows = append(a.rows, p.malformed(a, "form", text))
		return
	}
	base := row{grain: a.grain, at: a.period, dims: map[string]string{"form": form.id}}
	group, _ := take(form.members, "group_id")
	if id := p.client.Redact(scalar(group)); id != "" {
		base.dims["group"] = id
	}
	a.rows = append(a.rows, with(base, part{"form", object(form.members...)}))
	// A form's count is not an answer's: of the form, an answer has what says which it is.
	base.parts = []part{{"form", object(only(form.members, "form_id", "group_id")...)}}
	for _, field := range form.below {
		p.fileField(a, base, field)
	}
}

func (p *poller) fileField(a *answer, base row, text []byte) {
	field, ok := p.pieceOf(text, "field_id", "answers")
	if !ok {
		a.rows = append(a.rows, p.malformed(a, "field", text))
		return
	}
	in := with(base, part{"field", object(field.members...)})
	in.dims["field"] = field.id
	if len(field.below) == 0 {
		a.rows = append(a.rows, in)
	}
	for _, answer := range field.below {
		one, ok := p.pieceOf(answer, "answer_id", "")
		if !ok {
			a.rows = append(a.rows, p.malformed(a, "answer", answer))
			continue
		}
		r := with(in, part{"answer", object(one.members...)})
		r.dims["answer"] = one.id
		a.rows = append(a.rows, r)
	}
}

// malformed is a row of what has no id.
func (*poller) malformed(a *answer, name string, text []byte) row {
	return row{parts: []part{{name, text}}, grain: a.grain, keyless: true}
}

// with is a row with one more part and dimensions of its own.
func with(r row, more part) row {
	r.parts = append(r.parts[:len(r.parts):len(r.parts)], more)
	r.dims = maps.Clone(r.dims)
	return r
}

func only(members []member, names ...string) []member {
	return slices.DeleteFunc(slices.Clone(members), func(m member) bool { return !slices.Contains(names, m.name) })
}
