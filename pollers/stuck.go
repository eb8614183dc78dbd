package pollers

import (
	"context"
	"time"

	"github.com/parley-stream/parley/events/broker"
)

// stuckAfter is how long a window may be queued before somebody makes sure that it can still be delivered.
const stuckAfter = 10 * time.Second

// stuck finds windows that stay in the queue although their consumer is done with them (see broker.RemoveDone): they are never delivered,
// and while they are there their windows cannot be queued again. One goroutine uses it.
type stuck struct {
	remove func(ctx context.Context, stream, consumer string, subjects []string) (removed int, err error)
	since  map[string]time.Time // by subject: when it was first seen in the queue, or last looked at
}

func newStuck(b *broker.Broker) *stuck {
	return &stuck{remove: b.RemoveDone, since: make(map[string]time.Time)}
}

// free removes the stuck ones of a source's queued subjects, so that the planner can offer their windows again.
func (s *stuck) free(ctx context.Context, consumer string, queued map[string]uint64, now time.Time) (freed int, err error) {
	for subject := range s.since {
		if _, is := queued[subject]; !is {
			delete(s.since, subject)
		}
	}
	var old []string
	for subject := range queued {
		if since, seen := s.since[subject]; !seen {
			s.since[subject] = now
		} else if now.Sub(since) >= stuckAfter {
			s.since[subject] = now // one that waits for its turn is looked at again after a while
			old = append(old, subject)
		}
	}
	if len(old) == 0 {
		return 0, nil
	}
	return s.remove(ctx, broker.Windows, consumer, old)
}
