// Package processors turns RAW records into canonical events: it normalises, drops
// what is known, gives revisions, and publishes each entity's content once.
package processors

import "github.com/parley-stream/parley/events"

// Normalizer makes the canonical entity of one vendor's raw record. It is a pure function of the
// record: same bytes, same entity; it may be called from several goroutines at once. Of the record's windows, time of request, URLs and
// trace it takes no notice: a Runner does not normalise a record again that differs in these alone.
//
// The entity's Base is events.NewBase(record): its key must be the one that the record itself shows. An error
// is for a record that is malformed (not decodable, without an id, or with an id that is not the record's Key);
// it names the field, and the record is dead-lettered whole. An odd value is no error: it stays
// in attributes, and the rest is mapped. Every field of the record reaches the entity.
type Normalizer func(record *events.Record) (events.Entity, error)
