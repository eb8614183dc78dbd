package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Reference is an entity of a reference kind (agent, account, department, site, tag, contact,
// group, membership, article, category, application): a name, and the fields of the vendor's
// documentation in snake_case.
type Reference struct {
	Of Kind
	Base
	Name      string
	CreatedAt time.Time
	UpdatedAt time.Time
	// Fields stand beside the others in the JSON. Their values are as those of Attributes, and nil
	// and empty strings are left out as Set leaves them; a name of the fields above is an error.
	Fields map[string]any
}

// head is what a Reference's JSON begins with, before its Fields.
type head struct {
	Base
	Name      string    `json:"name,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// headNames are the names that head takes.
func headNames() []string {
	return []string{"id", "vendor", "source", "vendor_id", "attributes", "name", "created_at", "updated_at"}
}

// MarshalJSON implements json.Marshaler: the fields of every kind, the name, the times, and then Fields sorted, all
// in one object. Of goes into the event's type instead.
func (r Reference) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(head{Base: r.Base, Name: r.Name, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}); err != nil {
		return nil, err
	}
	buf.Truncate(buf.Len() - len("}\n"))
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		if value := r.Fields[name]; value == nil || value == "" {
			continue
		}
		if slices.Contains(headNames(), name) {
			return nil, fmt.Errorf("field %q: every %s has one of its own", name, r.Of)
		}
		buf.WriteByte(',')
		buf.Write(appendString(buf.AvailableBuffer(), name))
		buf.WriteByte(':')
		if err := enc.Encode(r.Fields[name]); err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
		buf.Truncate(buf.Len() - len("\n"))
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler; numbers in Fields are json.Number, and Of stays as it is.
func (r *Reference) UnmarshalJSON(b []byte) error {
	var h head
	if err := json.Unmarshal(b, &h); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil {
		return err
	}
	for _, name := range headNames() {
		delete(fields, name)
	}
	if len(fields) == 0 {
		fields = nil
	}
	*r = Reference{
		Of: r.Of, Base: h.Base, Name: h.Name, CreatedAt: h.CreatedAt, UpdatedAt: h.UpdatedAt, Fields: fields,
	}
	return nil
}

// Kind implements Entity.
func (r *Reference) Kind() Kind { return r.Of }

// OccurredAt implements Entity.
func (r *Reference) OccurredAt() time.Time { return firstTime(r.UpdatedAt, r.CreatedAt) }

// Version implements Entity.
func (r *Reference) Version() time.Time { return r.UpdatedAt }

// Conversation implements Entity.
func (*Reference) Conversation() string { return "" }
