package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// refusals tell those who ask the server that it refuses them. It does not answer a request that the identity has no right to, it only says
// beside it which subject that was.
type refusals struct {
	mu      sync.Mutex
	waiting map[*asker]struct{}
}

// asker waits for the answer to something that it asked on some subjects.
type asker struct {
	concerns func(subject string) bool
	refuse   context.CancelCauseFunc
}

// on tells the subjects that begin so.
func on(prefixes ...string) func(subject string) bool {
	return func(subject string) bool {
		for _, prefix := range prefixes {
			if strings.HasPrefix(subject, prefix) {
				return true
			}
		}
		return false
	}
}

// ask runs f, which asks the server on some subjects. When the server refuses one of them f's context ends at once, and the error is ErrDenied with
// the subject and the role; what is refused to others meanwhile is theirs.
func (b *Broker) ask(ctx context.Context, concerns func(subject string) bool, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer b.refusals.add(&asker{concerns, cancel})()
	err := f(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrDenied) {
		return cause
	}
	return err
}

func (r *refusals) add(a *asker) (remove func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = make(map[*asker]struct{})
	}
	r.waiting[a] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, a)
	}
}

// tell passes on what the server said.
func (r *refusals) tell(role string, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	verb, subject := violation(err.Error())
	denied := fmt.Errorf("%w: %s may not %s %s", ErrDenied, cmp.Or(role, "an identity without a role"), verb, subject)
	r.mu.Lock()
	defer r.mu.Unlock()
	for a := range r.waiting {
		// Only inboxes are subscribed to: without them nobody hears an answer.
		if verb == subscribe || a.concerns(subject) {
			a.refuse(denied)
		}
	}
}

const subscribe = "subscribe to"

// violation reads the server's words: Permissions Violation for Publish to "a.b", or for Subscription to "a.b" and more.
func violation(text string) (verb, subject string) {
	verb = "publish to"
	_, quoted, found := strings.Cut(text, "for Publish to ")
	if !found {
		verb = subscribe
		_, quoted, _ = strings.Cut(text, "for Subscription to ")
	}
	quoted, err := strconv.QuotedPrefix(quoted)
	if err == nil {
		subject, err = strconv.Unquote(quoted)
	}
	if err != nil {
		return verb, text
	}
	return verb, subject
}
