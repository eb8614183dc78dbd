package processors

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/parley-stream/parley/events"
)

// Enricher adds to an entity what its subscribers would otherwise look up or work out each for himself. It sees the entity after its
// digest was taken: what it adds never makes an unchanged entity look changed, and what it learns later is added to later events only.
//
// A Runner asks its Enrichers in their order, for changed entities alone, from several goroutines at once. Enrich fills what is absent and
// leaves what the vendor gave, and gives the same for the same entity a second time. Its error or panic costs the event nothing
// but the mark AttributeFailed.
type Enricher interface {
	// Name is one word, for the mark.
	Name() string
	Enrich(e events.Entity) error
}

// Learner is an Enricher that knows what events have told it. A Runner gives it the last event of every entity of its
// kinds when it starts, and each new one as it comes; the same may come again, and an older one after a newer.
type Learner interface {
	Enricher
	Kinds() []events.Kind
	// Learn may be called while Enrich is. The data is inline and may not be kept.
	Learn(e *events.Event) error
}

// Guard is the last that sees an entity before it leaves the processor. What it refuses or panics on is not published: the record is
// a dead letter, like one that cannot be normalised.
type Guard interface {
	Treat(e events.Entity) error
	// Text treats what is said about records in dead letters' reasons and in logs.
	Text(reason string) string
	// String names what it does, without secrets: who publishes stored events again must have one of the same name.
	String() string
}

// The attributes that mark an event whose enrichment is not whole; their values are lists.
const (
	AttributeFailed  = "enrichment_failed"  // names of Enrichers
	AttributeMissing = "enrichment_missing" // what nobody could tell, such as agent/17
)

// MarkMissing notes on an entity what an Enricher found no answer to.
func MarkMissing(e events.Entity, what ...string) { mark(e, AttributeMissing, what...) }

func mark(e events.Entity, attribute string, what ...string) {
	base := e.Common()
	marks, _ := base.Attributes[attribute].([]any)
	marks = slices.Clone(marks)
	for _, w := range what {
		if !slices.Contains(marks, any(w)) {
			marks = append(marks, w)
		}
	}
	if len(marks) > 0 {
		base.Set(attribute, marks)
	}
}

// enrich completes items that will be published, each once, however often its publication is tried, and gives what goes on. One that the
// guard refuses has an error afterwards; a message of which nothing is left is left out.
func (p *partition) enrich(items []*item) (left []*item) {
	for _, it := range items {
		if it.of == nil {
			p.enrichOne(it)
			left = append(left, it)
			continue
		}
		switch {
		case it.enriched || p.complete(it):
			left = append(left, it)
		case it.of.err != nil && !slices.Contains(left, it.of):
			left = append(left, it.of) // it is a dead letter, although it did not change
		}
	}
	return left
}

func (p *partition) enrichOne(it *item) {
	if it.enriched || it.err != nil || len(p.options.Enrichers) == 0 && p.options.Guard == nil {
		return
	}
	it.enriched = true
	for _, e := range p.options.Enrichers {
		if err := p.try(e.Name(), func() error { return e.Enrich(it.entity) }); err != nil {
			mark(it.entity, AttributeFailed, e.Name())
			p.log.Debug("an enrichment failed; its event says so", "enricher", e.Name(), "raw sequence", it.delivery.Sequence, "error", p.text(err.Error()))
		}
	}
	if g := p.options.Guard; g != nil {
		if it.err = p.try("privacy policy", func() error { return g.Treat(it.entity) }); it.err != nil {
			return
		}
	}
	it.content, it.err = events.EncodeContent(it.entity)
}

// try makes an error of a panic.
func (r *Runner) try(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the %s panicked: %s", what, panicText(p))
			r.log.Debug("a part of the processor panicked", "part", what, "stack", string(debug.Stack()))
		}
	}()
	return f()
}

// panicText quotes what was said in a panic, as errors quote what records hold; the runtime's own words hold nothing of them.
func panicText(r any) string {
	if err, ok := r.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%q", fmt.Sprint(r))
}

// text is what may be said of a record.
func (r *Runner) text(reason string) string {
	if r.options.Guard == nil {
		return reason
	}
	return r.options.Guard.Text(reason)
}
