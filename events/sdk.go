package events

import (
	"fmt"
	"math"
	"strconv"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// CloudEvent gives the same event as the SDK's type.
func (e *Event) CloudEvent() (cloudevents.Event, error) {
	out := cloudevents.New(cloudevents.CloudEventsVersionV1)
	out.SetID(e.ID)
	out.SetSource(e.Source)
	out.SetType(e.Type)
	if e.Subject != "" {
		out.SetSubject(e.Subject)
	}
	if !e.Time.IsZero() {
		out.SetTime(e.Time)
	}
	if e.DataSchema != "" {
		out.SetDataSchema(e.DataSchema)
	}
	if e.DataContentType != "" {
		out.SetDataContentType(e.DataContentType)
	}
	e.extensions(func(name, value string) { out.SetExtension(name, value) })
	if e.Revision > 0 {
		if e.Revision > math.MaxInt32 {
			return out, fmt.Errorf("revision %d: a CloudEvents integer holds at most %d", e.Revision, math.MaxInt32)
		}
		out.SetExtension("revision", int32(e.Revision))
	}
	if len(e.Data) > 0 {
		out.DataEncoded = e.Data
		out.DataBase64 = !isJSON(e.DataContentType)
	}
	return out, out.Validate()
}

// extensions visits the attributes that are no core attributes, revision apart.
func (e *Event) extensions(visit func(name, value string)) {
	e.attributes(func(name, value string) {
		switch name {
		case "specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "revision":
		default:
			visit(name, value)
		}
	})
}

// FromCloudEvent reads the SDK's type.
func FromCloudEvent(in cloudevents.Event) (Event, error) {
	e := Event{
		ID: in.ID(), Source: in.Source(), Type: in.Type(), Subject: in.Subject(), Time: in.Time().UTC(),
		DataSchema: in.DataSchema(), DataContentType: in.DataContentType(), Data: in.Data(),
	}
	for name, value := range in.Extensions() {
		text, ok := value.(string)
		if n, isInt := value.(int32); isInt {
			text, ok = strconv.FormatInt(int64(n), 10), true
		}
		if !ok {
			text = fmt.Sprint(value)
		}
		if err := e.set(name, text); err != nil {
			return Event{}, Permanent(err)
		}
	}
	return e, e.Valid()
}
