package broker

import (
	"context"
	"errors"
	"sync"
)

// Committer stores the messages of several callers in one stream together: what is given while a batch is on its way goes with the next, whoever
// gave it. An atomic batch costs the server 3 to 4 ms however few are in it; one for all is what a database calls a group commit. It may be used by
// any number of goroutines.
type Committer struct {
	broker *Broker
	ctx    context.Context
	cancel context.CancelFunc
	works  sync.WaitGroup

	mu      sync.Mutex
	waiting []*commit
	working bool
}

// commit is what one caller waits for.
type commit struct {
	messages []Message
	results  []Result // when done is closed
	done     chan struct{}
}

// commitBytes bounds how much a batch of several callers' messages holds.
const commitBytes = 16 << 20

// Committer makes one for a stream, whose batches outlast the context's end; Close ends it.
func (b *Broker) Committer(ctx context.Context) *Committer {
	c := &Committer{broker: b}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return c
}

// Close gives up what is on its way, and waits for that.
func (c *Committer) Close() {
	c.cancel()
	c.works.Wait()
}

// Commit stores messages and waits for every answer; the results are in the messages' order, as those of Publish. Nothing is stored of a message whose
// result is ErrConflict; of one with another error that is not known. No two messages may have the same subject with an expected sequence.
// The messages must not be changed, even when the context has ended before the answers.
func (c *Committer) Commit(ctx context.Context, messages []Message) []Result {
	if len(messages) == 0 {
		return nil
	}
	mine := &commit{messages: messages, done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, mine)
	if !c.working {
		c.working = true
		c.works.Go(c.work)
	}
	c.mu.Unlock()
	select {
	case <-mine.done:
		return mine.results
	case <-ctx.Done():
		return failed(len(messages), context.Cause(ctx))
	}
}

// work stores what waits, batch after batch, until nothing does.
func (c *Committer) work() {
	for {
		commits := c.next()
		if commits == nil {
			return
		}
		var batch []Message
		for _, each := range commits {
			batch = append(batch, each.messages...)
		}
		results := c.store(batch)
		for _, each := range commits {
			each.results, results = results[:len(each.messages):len(each.messages)], results[len(each.messages):]
			close(each.done)
		}
	}
}

// next takes the commits that go together: the first, and those behind it for which there is room.
func (c *Committer) next() (commits []*commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	count, bytes := 0, 0
	for i, each := range c.waiting {
		count += len(each.messages)
		for _, m := range each.messages {
			bytes += len(m.Data)
		}
		if i > 0 && (count > MaxBatch || bytes > commitBytes) {
			break
		}
		commits = append(commits, each)
	}
	c.waiting = c.waiting[len(commits):]
	c.working = commits != nil
	return commits
}

// store stores messages in atomic batches where that is quicker than one by one. A refused batch stores nothing and does not say which message it
// is about: then each is sent by itself, and only that one is refused.
func (c *Committer) store(messages []Message) (results []Result) {
	for len(messages) > 0 {
		part := messages[:min(len(messages), MaxBatch)]
		messages = messages[len(part):]
		results = append(results, c.storePart(part)...)
	}
	return results
}

func (c *Committer) storePart(part []Message) []Result {
	alone := c.broker.alone(len(part))
	results := c.broker.Publish(c.ctx, part[:alone])
	if alone == len(part) {
		return results
	}
	return append(results, c.storeAtOnce(part[alone:])...)
}

func (c *Committer) storeAtOnce(part []Message) []Result {
	first, err := c.broker.PublishAtomic(c.ctx, part)
	switch {
	case errors.Is(err, ErrConflict) || refused(err):
		return c.broker.Publish(c.ctx, part)
	case err != nil: // its answer may be lost, or the disk is full
		return failed(len(part), err)
	}
	results := make([]Result, len(part))
	for i := range results {
		results[i].Sequence = first + uint64(i)
	}
	return results
}

func failed(n int, err error) []Result {
	results := make([]Result, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}
