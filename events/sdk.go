package events

import (
	"fmt"
	"math"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// CloudEvent gives the same event as the SDK's type; the data is shared. The SDK wants an id, type and
// subject of more than blanks, and a source and schema that parse as URIs.
func (e *Event) CloudEvent() (cloudevents.Event, error) {
	out := cloudevents.New(cloudevents.CloudEventsVersionV1)
	// Its setters trim blanks off; a vendor's id may begin with one.
	out.Context = &cloudevents.EventContextV1{
		ID: e.ID, Type: e.Type, DataContentType: some(e.DataContentType), Subject: some(e.Subject),
	}
	out.SetSource(e.Source)
	if writable(e.Time) {
		out.SetTime(e.Time)
	}
	if e.DataSchema != "" {
		out.SetDataSchema(e.DataSchema)
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
		// The SDK knows no JSON but these, and would write any other as a string of text.
		media := out.DataMediaType()
		out.DataBase64 = media != "" && media != cloudevents.ApplicationJSON && media != cloudevents.TextJSON
	}
	if err := out.Validate(); err != nil {
		return out, fmt.Errorf("cloudevent %s: %w", e.ID, err)
	}
	return out, nil
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// extensions visits the attributes that are no core attributes, revision apart.
func (e *Event) extensions(visit func(name, value string)) {
	e.attributes(func(header, value string) {
		switch name := header[len(headerPrefix):]; name {
		case "specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "revision":
		default:
			visit(name, value)
		}
	})
}

// FromCloudEvent reads the SDK's type; extensions that Parley does not know become strings. The error
// is Permanent.
func FromCloudEvent(in cloudevents.Event) (Event, error) {
	e := Event{
		ID: in.ID(), Source: in.Source(), Type: in.Type(), Subject: in.Subject(), Time: in.Time().UTC(),
		DataSchema: in.DataSchema(), DataContentType: in.DataContentType(), Data: in.Data(),
	}
	for name, value := range in.Extensions() {
		text, err := types.Format(value)
		if err == nil {
			err = e.set(name, text)
		}
		if err != nil {
			return Event{}, Permanent(fmt.Errorf("cloudevent %s: %s: %w", e.ID, name, err))
		}
	}
	return e, e.Valid()
}
