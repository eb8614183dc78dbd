package processors

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

const (
	// warmLimit is how long records wait at a start for Learners that read what is there. Later they go without.
	warmLimit = 10 * time.Second
	// relearn is how long after the first reading what came meanwhile is read again: following may have begun only after it.
	relearn = 2 * time.Second
	// lookUp is how many entities are asked for at once: what the broker asks in one request.
	lookUp = 1000
)

// learners are the Enrichers that learn.
func (r *Runner) learners() (all []Learner) {
	for _, e := range r.options.Enrichers {
		if l, ok := e.(Learner); ok {
			all = append(all, l)
		}
	}
	return all
}

// keepLearning teaches every Learner until the context ends, and returns when they know what there is now, or after warmLimit. The function that
// it gives waits for the end.
func (r *Runner) keepLearning(ctx context.Context) (wait func()) {
	var all, warm sync.WaitGroup
	for _, l := range r.learners() {
		warm.Add(1)
		known := sync.OnceFunc(warm.Done)
		all.Go(func() {
			defer known()
			r.keepTeaching(ctx, l, known)
		})
	}
	ready := make(chan struct{})
	all.Go(func() {
		warm.Wait()
		close(ready)
	})
	select {
	case <-ready:
	case <-ctx.Done():
	case <-time.After(warmLimit):
		r.log.Warn("what enriches events is not all known yet; what is missing is marked")
	}
	return all.Wait
}

// keepTeaching goes on after every error: nothing depends on it but names.
func (r *Runner) keepTeaching(ctx context.Context, l Learner, known func()) {
	for failures := 0; ctx.Err() == nil; {
		err := r.teach(ctx, l, known)
		if ctx.Err() != nil {
			return
		}
		if failures++; failures == 1 && r.broker.Connected() {
			r.log.Warn("an enricher learns nothing new; trying again", "enricher", l.Name(), "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(250*time.Millisecond<<min(failures, 6), 10*time.Second)):
		}
	}
}

// teach gives a Learner the last event of each entity and then those that come.
func (r *Runner) teach(ctx context.Context, l Learner, known func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now().Add(-time.Second) // the server's clock may be another
	filters := filtersOf(l)
	visit := func(m broker.Message) error {
		r.teachOne(ctx, l, m)
		return ctx.Err()
	}
	ended := make(chan error, 1)
	go func() { ended <- r.broker.Follow(ctx, broker.Events, filters, visit) }()
	err := r.teachLast(ctx, l, filters)
	if err == nil {
		known()
		select {
		case err = <-ended:
			return err
		case <-time.After(relearn):
		}
		err = r.broker.Scan(ctx, broker.Events, filters, began, visit)
	}
	if err != nil {
		cancel()
		return errors.Join(err, <-ended)
	}
	return <-ended
}

// filtersOf are the subjects of what a Learner learns.
func filtersOf(l Learner) []string {
	filters := make([]string, 0, len(l.Kinds()))
	for _, kind := range l.Kinds() {
		filters = append(filters, events.EventSubjects+"."+string(kind)+".>")
	}
	return filters
}

// teachLast gives a Learner the last event of each entity, by look-ups: to read all events would be a little cheaper at first, but every revision of a
// directory's entry stays.
func (r *Runner) teachLast(ctx context.Context, l Learner, filters []string) error {
	for _, filter := range filters {
		subjects, err := r.broker.Subjects(ctx, broker.Events, filter)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(slices.Sorted(maps.Keys(subjects)), lookUp) {
			found, err := r.broker.Last(ctx, broker.Events, chunk)
			if err != nil {
				return err
			}
			for _, m := range found {
				r.teachOne(ctx, l, m)
			}
		}
	}
	return nil
}

// teachOne gives a Learner one event. One that it cannot learn costs no other.
func (r *Runner) teachOne(ctx context.Context, l Learner, m broker.Message) {
	err := r.try(l.Name(), func() error {
		event, err := events.FromMessage(m.Header, m.Data)
		if err == nil {
			err = r.broker.Resolve(ctx, &event)
		}
		if err != nil {
			return err
		}
		return l.Learn(&event)
	})
	if err != nil {
		r.log.Debug("an enricher cannot learn an event", "enricher", l.Name(), "sequence", m.Sequence, "error", r.text(err.Error()))
	}
}

// pass gives this process's Learners at once what it published itself: the next record may need it.
func (p *partition) pass(it *item, revision uint64) {
	for _, l := range p.learners() {
		if !slices.Contains(l.Kinds(), it.entity.Kind()) {
			continue
		}
		err := p.try(l.Name(), func() error {
			event := events.NewEvent(it.entity, it.record, revision, it.digest, it.content)
			return l.Learn(&event)
		})
		if err != nil {
			p.log.Debug("an enricher cannot learn an event", "enricher", l.Name(), "error", p.text(err.Error()))
		}
	}
}
