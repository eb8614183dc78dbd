package broker

import (
	"slices"
	"sync"
	"time"
)

// replicated is from how many messages an atomic batch is quicker on a cluster: measured, it is even at twenty. Servers hold such a batch in memory,
// and agree upon it once instead of once for each message.
const replicated = 16

// alone tells how many of a batch's n messages, from the first on, are to be stored one by one: all, none, or as many as have to be measured.
func (b *Broker) alone(n int) int {
	switch {
	case b.options.Replicas == 1:
		return b.pace.alone(n)
	case n < replicated:
		return n
	}
	return 0
}

// pace learns what a message costs that a server alone stores by itself, and so from how many on an atomic batch is quicker: it syncs its disk for
// each message or seldom, and does not tell which. An atomic batch costs it one sync, and a store on disk of the batch's own.
type pace struct {
	mu      sync.Mutex
	each    []time.Duration // the last ones' time for a message
	batches int             // since one was measured
}

const (
	// batchCost is what an atomic batch takes beside its messages: measured, the same by default and with `sync_interval: always`.
	batchCost = 3500 * time.Microsecond
	// A server that takes less than unsynced for a message syncs none, or has a disk so quick that a batch spares it little: all go one by one.
	unsynced = 100 * time.Microsecond
	// fewest are in an atomic batch, however slow the disk.
	fewest = 4
	// sample is how many messages are measured: with fewer, the way to the server counts.
	sample, leastSample = 64, 16
	// Of the last paceWindow measurements the quickest is right: a busy machine makes others longer, nothing makes one shorter.
	// A process that has just started is busy.
	paceWindow, paceAtFirst = 16, 8
	// paceEvery is after how many atomic batches the first messages of one are measured again.
	paceEvery = 64
)

// note takes the time of n messages that were stored one by one.
func (p *pace) note(n int, took time.Duration) {
	if n < leastSample {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches = 0
	p.each = append(p.each, took/time.Duration(n))
	if len(p.each) > paceWindow {
		p.each = slices.Delete(p.each, 0, 1)
	}
}

func (p *pace) alone(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.each) < paceAtFirst {
		return min(n, sample)
	}
	each := slices.Min(p.each)
	if each < unsynced || n < max(int(batchCost/each), fewest) {
		return n
	}
	if p.batches++; p.batches >= paceEvery {
		return min(n, sample)
	}
	return 0
}
