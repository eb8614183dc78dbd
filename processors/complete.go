package processors

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Completer enriches stored events once more whose enrichment was not whole, by what is known now. Their ids, revisions and digests stay.
type Completer struct{ runner *Runner }

// NewCompleter makes it; its Learners know at once what there is. Of the options Enrichers, Guard, Encode and Logger count.
func NewCompleter(ctx context.Context, b *broker.Broker, o Options) (*Completer, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Completer{&Runner{broker: b, options: o, log: o.Logger}}
	for _, l := range c.runner.learners() {
		if err := c.runner.teachLast(ctx, l, filtersOf(l)); err != nil {
			return nil, fmt.Errorf("teach %s: %w", l.Name(), err)
		}
	}
	return c, nil
}

// Complete gives an event what it lacked, and tells whether it changed. Most events lack nothing and stay, byte for byte; so does one whose data is
// not inline, and one with which something goes wrong.
func (c *Completer) Complete(e *events.Event) (changed bool) {
	if e.Deleted() || !bytes.Contains(e.Data, []byte(AttributeMissing)) {
		return false
	}
	again := *e
	changed, err := c.complete(&again)
	if err != nil {
		c.runner.log.Debug("an event stays as it was", "event", e.ID, "error", c.runner.text(err.Error()))
		return false
	}
	if changed {
		*e = again
	}
	return changed
}

func (c *Completer) complete(e *events.Event) (changed bool, err error) {
	content := e.Data
	if e.DataContentType == events.ContentMsgpack {
		if content, err = events.DecodeMsgpack(content); err != nil {
			return false, err
		}
	}
	entity, err := events.DecodeContent(e.Kind(), content)
	if err != nil {
		return false, err
	}
	attributes := entity.Common().Attributes
	if _, marked := attributes[AttributeMissing]; !marked { // a text says so
		return false, nil
	}
	delete(attributes, AttributeMissing)
	for _, l := range c.runner.learners() {
		if err := c.runner.try(l.Name(), func() error { return l.Enrich(entity) }); err != nil {
			return false, err
		}
	}
	if g := c.runner.options.Guard; g != nil { // the names are new
		if err := c.runner.try("privacy policy", func() error { return g.Treat(entity) }); err != nil {
			return false, err
		}
	}
	if e.Data, err = events.EncodeContent(entity); err != nil {
		return false, err
	}
	e.DataContentType = events.ContentJSON
	if encode := c.runner.options.Encode; encode != nil {
		err = encode(e)
	}
	return true, err
}
