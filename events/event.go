package events

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The attribute values that are the same for many events.
const (
	SpecVersion   = "1.0"
	TypePrefix    = "dev.parley."
	TypeRawRecord = "dev.parley.raw.record"
	SchemaPrefix  = "urn:parley:schema:"
)

// MaxInlineData is the largest data that travels in a message; larger data lies in the object
// store and DataRef names it.
const MaxInlineData = 1 << 20

// Event is one CloudEvents 1.0 event. It holds the attributes and extensions of Parley's contract
// as fields, and whatever else came along in Extensions, so that the hot path never
// builds the SDK's event; CloudEvent and FromCloudEvent convert.
type Event struct {
	ID              string
	Source          string // /<vendor>/<source>
	Type            string // dev.parley.<kind>.created | .updated | .deleted, or TypeRawRecord
	Subject         string // the vendor's own id
	Time            time.Time
	DataSchema      string
	DataContentType string
	// DataRef is nats-object://<bucket>/<sha256> when the data is not inline (claim check).
	DataRef      string
	Revision     uint64 // 0: none (RAW)
	Digest       string
	Vendor       string
	Stream       string
	PartitionKey string
	TraceParent  string
	// Extensions holds the attributes that Parley does not know, by their lower-case names.
	Extensions map[string]string
	Data       []byte
}

// NewEvent gives the event of an entity at a revision. The content is what EncodeContent made
// (after enrichment), the digest that of the content before it.
func NewEvent(e Entity, r *Record, revision uint64, digest string, content []byte) Event {
	base, kind := e.Common(), e.Kind()
	change := ".updated"
	if revision == 1 {
		change = ".created"
	}
	at := e.OccurredAt()
	if at.IsZero() {
		at = r.RequestedAt
	}
	key := e.Conversation()
	if key == "" {
		key = base.ID
	}
	return Event{
		ID:              EntityPath(kind, base.Vendor, base.Source, base.VendorID) + "." + strconv.FormatUint(revision, 10),
		Source:          "/" + base.Vendor + "/" + base.Source,
		Type:            TypePrefix + string(kind) + change,
		Subject:         base.VendorID,
		Time:            at.UTC(),
		DataSchema:      SchemaPrefix + string(kind) + ":v1",
		DataContentType: ContentJSON,
		Revision:        revision,
		Digest:          digest,
		Vendor:          base.Vendor,
		Stream:          r.Stream,
		PartitionKey:    key,
		TraceParent:     r.Traceparent,
		Data:            content,
	}
}

// NewTombstone gives the event that says of an entity that it was erased. Its data is the entity's identity alone; belongsTo is the conversation
// that its order hangs on, or "".
func NewTombstone(kind Kind, base Base, belongsTo, stream string, revision uint64, at time.Time, traceparent string) (Event, error) {
	identity, err := json.Marshal(struct {
		ID       string `json:"id"`
		Vendor   string `json:"vendor"`
		Source   string `json:"source"`
		VendorID string `json:"vendor_id"`
	}{base.ID, base.Vendor, base.Source, base.VendorID})
	if err != nil {
		return Event{}, fmt.Errorf("tombstone of %s: %w", base.ID, err)
	}
	return Event{
		ID:     EntityPath(kind, base.Vendor, base.Source, base.VendorID) + "." + strconv.FormatUint(revision, 10),
		Source: "/" + base.Vendor + "/" + base.Source, Type: TypePrefix + string(kind) + deleted, Subject: base.VendorID,
		Time: at.UTC(), DataSchema: SchemaPrefix + string(kind) + ":v1", DataContentType: ContentJSON, Revision: revision,
		Vendor: base.Vendor, Stream: stream, PartitionKey: cmp.Or(belongsTo, base.ID), TraceParent: traceparent, Data: identity,
	}, nil
}

// deleted ends the type of an erasure's event.
const deleted = ".deleted"

// Deleted tells whether an event says that its entity was erased.
func (e *Event) Deleted() bool {
	return strings.HasPrefix(e.Type, TypePrefix) && strings.HasSuffix(e.Type, deleted)
}

// NewRawEvent gives the RAW event of a record under an id that is unique within its source.
func NewRawEvent(r *Record, id string) (Event, error) {
	data, err := EncodeRecord(r)
	if err != nil {
		return Event{}, err
	}
	return Event{
		ID: id, Source: "/" + r.Vendor + "/" + r.Source, Type: TypeRawRecord, Subject: r.Key,
		Time: r.RequestedAt.UTC(), DataContentType: ContentMsgpack,
		Vendor: r.Vendor, Stream: r.Stream, TraceParent: r.Traceparent, Data: data,
	}, nil
}

// Kind reads the kind off the type; "" for what is no canonical event.
func (e *Event) Kind() Kind {
	t, ok := strings.CutPrefix(e.Type, TypePrefix)
	if !ok {
		return ""
	}
	kind, change, _ := strings.Cut(t, ".")
	switch change {
	case "created", "updated", "deleted":
		return Kind(kind)
	default:
		return ""
	}
}

// Valid reports what CloudEvents demands of an event and this one lacks. The error is Permanent.
func (e *Event) Valid() error {
	for _, a := range [...]struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			return Permanent(fmt.Errorf("cloudevents attribute %s: is empty or missing, want a value", a.name))
		}
	}
	if len(e.Extensions) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		if err := extensionName(name); err != nil {
			return Permanent(err)
		}
	}
	return nil
}
