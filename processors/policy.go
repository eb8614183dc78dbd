package processors

import (
	"context"
	"fmt"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// policyMark is where STATE says by which policy the processors publish.
const policyMark = events.StateSubjects + ".policy"

// noPolicy is the mark of processors without a Guard.
const noPolicy = "none"

// PolicyOf names what a Guard does; two with the same name treat an entity alike. Without a Guard it is "none".
func PolicyOf(g Guard) string {
	if g == nil {
		return noPolicy
	}
	return g.String()
}

// Policy names the policy of the processor that started last, here or elsewhere: what others publish in its place must be treated alike. It is
// broker.ErrNotFound when none has started yet that says so.
func Policy(ctx context.Context, b *broker.Broker) (string, error) {
	marks, err := b.Last(ctx, broker.State, []string{policyMark})
	if err != nil {
		return "", err
	}
	mark, ok := marks[policyMark]
	if !ok {
		return "", fmt.Errorf("the processors' privacy policy: %w", broker.ErrNotFound)
	}
	return string(mark.Data), nil
}

// markPolicy says by which policy this processor publishes, before it publishes anything.
func (r *Runner) markPolicy(ctx context.Context) error {
	mine := PolicyOf(r.options.Guard)
	marks, err := r.broker.Last(ctx, broker.State, []string{policyMark})
	if mark, ok := marks[policyMark]; err != nil || ok && string(mark.Data) == mine {
		return err
	}
	if err := r.broker.Publish(ctx, []broker.Message{{Subject: policyMark, Data: []byte(mine)}})[0].Err; err != nil {
		return fmt.Errorf("say the privacy policy in %s: %w", broker.State, err)
	}
	return nil
}
