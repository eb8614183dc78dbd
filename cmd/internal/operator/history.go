package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// errEnough ends a scan that has what it looked for.
var errEnough = errors.New("enough")

const (
	// stride is how many sequences newest looks at in one scan, and maxStrides how many such scans one call makes.
	stride, maxStrides = 2000, 10
)

// newest gives up to limit messages of some subjects of a stream that come before a sequence (0: all), newest first, and where to go on (0:
// at the end). A call looks at a bounded part of the stream, so that it may give fewer although there are more.
func (o *Operator) newest(ctx context.Context, stream string, subjects []string, before uint64, limit int, take func(*broker.Message) bool) (page []broker.Message, next uint64, err error) {
	state, err := o.broker.StreamState(ctx, stream)
	if err != nil || state.Messages == 0 {
		return nil, 0, err
	}
	if before == 0 || before > state.LastSeq+1 {
		before = state.LastSeq + 1
	}
	for range maxStrides {
		if before <= state.FirstSeq {
			return page, 0, nil
		}
		from := max(state.FirstSeq, before-min(before, stride))
		var found []broker.Message // oldest first
		err := o.broker.ScanFrom(ctx, stream, subjects, from, func(m broker.Message) error {
			if m.Sequence >= before {
				return errEnough
			}
			if take(&m) {
				found = append(found, m)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, 0, err
		}
		for i := len(found) - 1; i >= 0; i-- {
			if len(page) == limit {
				return page, page[limit-1].Sequence, nil
			}
			page = append(page, found[i])
		}
		before = from
	}
	return page, before, nil
}

// Newest gives up to limit events of these subjects that were stored before a sequence (0: all), newest first, and the sequence to go on
// before (0: there are no more). Data that lies in the object store is not fetched.
func (o *Operator) Newest(ctx context.Context, subjects []string, before uint64, limit int) (page []Revision, next uint64, err error) {
	messages, next, err := o.newest(ctx, broker.Events, subjects, before, limit, func(*broker.Message) bool { return true })
	for _, m := range messages {
		if r, err := revisionOf(m); err == nil {
			page = append(page, r)
		}
	}
	return page, next, err
}

// Revision is an event of EVENTS and where it is stored.
type Revision struct {
	Sequence uint64
	Stored   time.Time
	Event    events.Event
}

func revisionOf(m broker.Message) (Revision, error) {
	e, err := events.FromMessage(m.Header, m.Data)
	return Revision{Sequence: m.Sequence, Stored: m.Time, Event: e}, err
}

// History gives the last limit revisions of an entity that EVENTS still holds, oldest first, with their data; ErrUnknown where it holds none.
func (o *Operator) History(ctx context.Context, kind events.Kind, vendor, source, vendorID string, limit int) ([]Revision, error) {
	subject := events.EventSubjects + "." + events.EntityPath(kind, vendor, source, vendorID)
	var out []Revision
	err := o.broker.Scan(ctx, broker.Events, []string{subject}, time.Time{}, func(m broker.Message) error {
		r, err := revisionOf(m)
		if err != nil {
			return nil //nolint:nilerr // what is no event is no revision
		}
		if out = append(out, r); len(out) > limit {
			out = out[1:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s %s: %w", kind, vendorID, ErrUnknown)
	}
	for i := range out {
		if err := o.broker.Resolve(ctx, &out[i].Event); err != nil && !events.IsPermanent(err) {
			return nil, err
		}
	}
	return out, nil
}
