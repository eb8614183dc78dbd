package pollers

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// seen remembers which version of an entity RAW has, for streams whose lists tell whether an entity changed. What it forgets is read
// once more, so it may age.
type seen struct {
	copies versions
	source string
}

func (s *seen) subject(stream, key string) string {
	return events.SeenSubjects + "." + s.source + "." + events.Token(stream) + "." + events.Token(key)
}

// since is the key of a reading's context for the time from which on it counts what is remembered.
type since struct{}

// remembering is the context of a reading that counts nothing that was remembered before a time; zero counts all of it.
func remembering(ctx context.Context, from time.Time) context.Context {
	if from.IsZero() {
		return ctx
	}
	return context.WithValue(ctx, since{}, from)
}

// versions gives what is remembered of these keys.
func (s *seen) versions(ctx context.Context, stream string, keys []string) (map[string]string, error) {
	subjects := make([]string, len(keys))
	for i, key := range keys {
		subjects[i] = s.subject(stream, key)
	}
	found, err := s.copies.Last(ctx, broker.Seen, subjects)
	if err != nil {
		return nil, fmt.Errorf("what was read of %s: %w", stream, err)
	}
	from, _ := ctx.Value(since{}).(time.Time)
	versions := make(map[string]string, len(found))
	for i, key := range keys {
		if m, ok := found[subjects[i]]; ok && !m.Time.Before(from) {
			versions[key] = string(m.Data)
		}
	}
	return versions, nil
}

// message says that RAW has a version of an entity.
func (s *seen) message(stream, key, version string) broker.Message {
	return broker.Message{Subject: s.subject(stream, key), Data: []byte(version)}
}
