package format

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
)

// shape is what the values of a column are.
type shape uint8

const (
	text     shape = iota // a JSON string
	number                // a JSON number, a double
	integer               // a JSON number without a fraction, 64 bits
	boolean               //
	instant               // a time, RFC 3339 in UTC
	document              // any JSON value, as its text
	record                // fields
	list                  // elements of one column
)

// column is a place in a row: a leaf, or a record or list of others.
type column struct {
	name    string // in the JSON
	flat    string // of a leaf: the name in a flat table
	shape   shape
	fields  []*column // of a record
	element *column   // of a list
	leaf    int       // of a leaf: its number in the row
	repeat  int       // of a list: its repetition level
}

// table is what the rows of a kind look like: the event's attributes, the fields of the kind, and what has no column.
type table struct {
	attributes []*column
	content    *column // a record
	other      *column // the fields of data that have no column, or a value that theirs does not take
	raw        *column // data that is no JSON object
	leaves     []*column
}

// reference holds the fields that every reference kind has; their own vary by vendor.
type reference struct {
	events.Base
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// contents gives the fields of each kind.
func contents(kind events.Kind) reflect.Type {
	switch kind {
	case events.KindConversation:
		return reflect.TypeFor[events.Conversation]()
	case events.KindMetric:
		return reflect.TypeFor[events.Metric]()
	case events.KindActivity:
		return reflect.TypeFor[events.Activity]()
	case events.KindPresence:
		return reflect.TypeFor[events.Presence]()
	case events.KindRating:
		return reflect.TypeFor[events.Rating]()
	case events.KindSLA:
		return reflect.TypeFor[events.SLA]()
	case events.KindEmail:
		return reflect.TypeFor[events.Email]()
	case events.KindMessage:
		return reflect.TypeFor[events.SingleMessage]()
	case events.KindAgent, events.KindAccount, events.KindDepartment, events.KindSite, events.KindTag, events.KindContact,
		events.KindGroup, events.KindMembership, events.KindArticle, events.KindCategory, events.KindApplication:
		return reflect.TypeFor[reference]()
	default:
		return reflect.TypeFor[struct{}]() // no event of ours: all of it goes into other
	}
}

// attributeShapes are the attributes of an event, in their order, and what they hold.
var attributeShapes = []struct {
	name  string
	shape shape
}{
	{"ce_id", text},
	{"ce_source", text},
	{"ce_type", text},
	{"ce_subject", text},
	{"ce_time", instant},
	{"ce_dataschema", text},
	{"ce_datacontenttype", text},
	{"ce_dataref", text},
	{"ce_revision", integer},
	{"ce_digest", text},
	{"ce_vendor", text},
	{"ce_stream", text},
	{"ce_partitionkey", text},
	{"ce_traceparent", text},
	{"ce_extensions", document},
}

// tableOf gives the table of a kind. In a flat one, lists are documents.
func tableOf(kind events.Kind, flat bool) *table {
	t := &table{
		content: &column{shape: record, fields: fieldsOf(contents(kind), flat)},
		other:   &column{name: "other", shape: document},
		raw:     &column{name: "data_base64", shape: text},
	}
	for _, a := range attributeShapes {
		t.attributes = append(t.attributes, &column{name: a.name, shape: a.shape})
	}
	for _, c := range t.columns() {
		t.number(c, "", 0)
	}
	return t
}

// columns are those at the top, in the order of the file.
func (t *table) columns() []*column {
	all := append(append([]*column{}, t.attributes...), t.content.fields...)
	return append(all, t.other, t.raw)
}

// number gives the leaves their places and flat names, and lists their levels.
func (t *table) number(c *column, path string, repeat int) {
	path += c.name
	switch c.shape {
	case record:
		for _, f := range c.fields {
			t.number(f, path+"_", repeat)
		}
	case list:
		c.repeat = repeat + 1
		t.number(c.element, path, c.repeat)
	default:
		c.leaf, c.flat = len(t.leaves), path
		t.leaves = append(t.leaves, c)
	}
}

// maxFields is how many fields one record may have: the reader of rows keeps a bit for each.
const maxFields = 64

func fieldsOf(t reflect.Type, flat bool) (fields []*column) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			fields = append(fields, fieldsOf(f.Type, flat)...)
			continue
		}
		c := columnOf(f.Type, flat)
		c.name = name
		fields = append(fields, c)
	}
	if len(fields) > maxFields {
		panic(fmt.Sprintf("%s has %d fields, at most %d can be", t, len(fields), maxFields))
	}
	return fields
}

func columnOf(t reflect.Type, flat bool) *column {
	if t == reflect.TypeFor[time.Time]() {
		return &column{shape: instant}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return columnOf(t.Elem(), flat)
	case reflect.String:
		return &column{shape: text}
	case reflect.Float64:
		return &column{shape: number}
	case reflect.Int:
		return &column{shape: integer}
	case reflect.Bool:
		return &column{shape: boolean}
	case reflect.Struct:
		return &column{shape: record, fields: fieldsOf(t, flat)}
	case reflect.Slice:
		if !flat {
			return &column{shape: list, element: columnOf(t.Elem(), flat)}
		}
	}
	return &column{shape: document}
}
