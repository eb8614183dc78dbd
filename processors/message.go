package processors

import (
	"github.com/parley-stream/parley/events"
)

// withMessages puts behind each conversation its messages, as entities of their own with digests, states and revisions of their own: one
// whose conversation changed is not emitted again. They are in no later round than the conversation, whose acknowledgement is theirs, and
// are published in its order.
func (p *partition) withMessages(items []*item) (all []*item, err error) {
	if !p.options.MessageEvents {
		return items, nil
	}
	for _, it := range items {
		all = append(all, it)
		c, ok := it.entity.(*events.Conversation)
		if !ok {
			continue
		}
		single := c.Single()
		for i := range single {
			m := &item{delivery: it.delivery, record: it.record, entity: &single[i], kind: events.KindMessage, fence: it.fence, of: it, position: i}
			if m.content, err = events.EncodeContent(m.entity); err != nil {
				return nil, err
			}
			base := m.entity.Common()
			m.path = events.EntityPath(events.KindMessage, base.Vendor, base.Source, base.VendorID)
			m.plain, m.digest = m.content, p.erased.Key().Content(m.content)
			all = append(all, m)
		}
	}
	return all, nil
}

// complete makes of a message what its completed conversation says of it; false when that says nothing.
func (p *partition) complete(it *item) (said bool) {
	p.enrichOne(it.of)
	if it.of.err != nil {
		return false
	}
	if it.of.single == nil {
		it.of.single = it.of.entity.(*events.Conversation).Single()
	}
	if it.position >= len(it.of.single) {
		return false // the privacy policy drops messages
	}
	m, own := &it.of.single[it.position], it.entity.Common()
	m.ID, m.VendorID = own.ID, own.VendorID // what the policy does to a message's id does not make another message of it
	content, err := events.EncodeContent(m)
	if err != nil {
		return false // the conversation, which holds it, could not be encoded either
	}
	it.entity, it.content, it.enriched = m, content, true
	return true
}
