package broker

import "time"

// SyncAlways tells whether the embedded server syncs every write before it acknowledges it.
func (b *Broker) SyncAlways() bool { return b.embedded.JetStreamConfig().SyncAlways }

// LeavesObject tells whether an object that was put at a time is not put anew.
func LeavesObject(put, now time.Time) bool { return outlives(put, now) }

// Hold makes commits wait until the function that it gives is called.
func Hold(c *Committer) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working = true
	return func() { c.works.Go(c.work) }
}

// Waiting is how many commits wait, and Working whether there is somebody who stores them.
func Waiting(c *Committer) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

func Working(c *Committer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.working
}

// Together tells how many of some commits go in each batch.
func Together(c *Committer, commits ...[]Message) (counts []int) {
	for _, messages := range commits {
		c.waiting = append(c.waiting, &commit{messages: messages})
	}
	for batch := c.next(); batch != nil; batch = c.next() {
		counts = append(counts, len(batch))
	}
	return counts
}

// Pace learns what a message costs that is stored by itself.
type Pace struct{ pace }

func (p *Pace) Note(n int, took time.Duration) { p.note(n, took) }
func (p *Pace) Alone(n int) int                { return p.alone(n) }
func (p *Pace) Forget()                        { p.forget() }

// SyncsEach has a broker take its server for one that syncs its disk for each message.
func SyncsEach(b *Broker) {
	b.pace.forget()
	for range samplesAtFirst {
		b.pace.note(leastSample, leastSample*time.Millisecond)
	}
}

// Measured is how many times the broker has measured its server.
func Measured(b *Broker) int {
	b.pace.mu.Lock()
	defer b.pace.mu.Unlock()
	return b.pace.samples
}

// Alone tells how many of n messages are stored one by one by a cluster's client that has measured nothing.
func Alone(replicas, n int) int { return (&Broker{options: Options{Replicas: replicas}}).alone(n) }
