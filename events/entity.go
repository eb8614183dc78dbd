package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Kind names a canonical kind; it is a token of the event's subject and type.
type Kind string

// The canonical kinds.
const (
	KindConversation Kind = "conversation"
	KindMetric       Kind = "metric"
	KindActivity     Kind = "activity"
	KindPresence     Kind = "presence"
	KindRating       Kind = "rating"
	KindSLA          Kind = "sla"
	KindEmail        Kind = "email"
	KindMessage      Kind = "message" // only where PARLEY_MESSAGE_EVENTS is on
	KindAgent        Kind = "agent"
	KindAccount      Kind = "account"
	KindDepartment   Kind = "department"
	KindSite         Kind = "site"
	KindTag          Kind = "tag"
	KindContact      Kind = "contact"
	KindGroup        Kind = "group"
	KindMembership   Kind = "membership"
	KindArticle      Kind = "article"
	KindCategory     Kind = "category"
	KindApplication  Kind = "application"
)

// Kinds lists every canonical kind.
func Kinds() []Kind {
	return []Kind{
		KindConversation, KindMetric, KindActivity, KindPresence, KindRating, KindSLA, KindEmail, KindMessage,
		KindAgent, KindAccount, KindDepartment, KindSite, KindTag, KindContact, KindGroup,
		KindMembership, KindArticle, KindCategory, KindApplication,
	}
}

// Entity is one canonical thing: what a normaliser makes of a Record.
type Entity interface {
	// Kind is a constant of the type, except for References.
	Kind() Kind
	// Common gives the fields that every kind has, for reading and setting.
	Common() *Base
	// OccurredAt is the time attribute: the first there is of updated_at,
	// ended_at, at, started_at, created_at, interval.start; zero if none.
	OccurredAt() time.Time
	// Version is the vendor's own time of the last change, the first part of
	// the fence; zero where the vendor gives none.
	Version() time.Time
	// Conversation is the canonical id of the conversation that the entity
	// belongs to, or "" when it belongs to none.
	Conversation() string
}

// Base holds the fields that every kind has.
type Base struct {
	ID       string `json:"id"` // <vendor>:<source>:<vendor_id>
	Vendor   string `json:"vendor"`
	Source   string `json:"source"`
	VendorID string `json:"vendor_id"`
	// Attributes holds every vendor field without a canonical place, by its
	// vendor name. Values are what encoding/json decodes with UseNumber
	// (string, json.Number, bool, nil, []any, map[string]any), so that their
	// encoding is deterministic. Set them with Set, which leaves nil maps nil.
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Common implements Entity.
func (b *Base) Common() *Base { return b }

// Set adds an attribute; a nil value and an empty string say "unknown" and are left out.
func (b *Base) Set(name string, value any) {
	if value == nil || value == "" {
		return
	}
	if b.Attributes == nil {
		b.Attributes = make(map[string]any)
	}
	b.Attributes[name] = value
}

// NewBase gives the common fields of a record's entity under its key.
func NewBase(r *Record) Base {
	return Base{
		ID: CanonicalID(r.Vendor, r.Source, r.Key), Vendor: r.Vendor, Source: r.Source, VendorID: r.Key,
	}
}

// CanonicalID is the id field of an entity and of references to it.
func CanonicalID(vendor, source, vendorID string) string {
	return vendor + ":" + source + ":" + vendorID
}

// Digest is the digest attribute: the first 32 hex digits of the SHA-256 of
// canonical content.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}

// Ptr gives a pointer to a value; it fills the optional fields of the kinds, whose nil
// means "unknown" and whose zero is a real zero.
func Ptr[T any](v T) *T { return &v }

// DecodeContent reads the canonical JSON of an entity of a kind; numbers of free-form values are json.Number. The error is Permanent.
func DecodeContent(kind Kind, content []byte) (Entity, error) {
	e := newEntity(kind)
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.UseNumber()
	if err := dec.Decode(e); err != nil {
		return nil, Permanent(fmt.Errorf("decode %s: %w", kind, err))
	}
	return e, nil
}

func newEntity(kind Kind) Entity {
	switch kind {
	case KindConversation:
		return &Conversation{}
	case KindMetric:
		return &Metric{}
	case KindActivity:
		return &Activity{}
	case KindPresence:
		return &Presence{}
	case KindRating:
		return &Rating{}
	case KindSLA:
		return &SLA{}
	case KindEmail:
		return &Email{}
	case KindMessage:
		return &SingleMessage{}
	default:
		return &Reference{Of: kind}
	}
}

// firstTime returns the first time that is set.
func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
