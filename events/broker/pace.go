package broker

import (
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
// each message or seldom, and does not tell which.
type pace struct {
	mu sync.Mutex
	measured
}

type measured struct {
	each    time.Duration // the quickest sample's time for a message: a busy machine makes others longer, nothing makes one shorter
	samples int
	batches int // atomic ones, since a sample was asked for
	pause   int // after how many of them the next one is
}

const (
	// batchCost is what an atomic batch takes beside its messages: measured, the same by default and with `sync_interval: always`.
	batchCost = 3500 * time.Microsecond
	// A server that takes less than unsynced for a message syncs none, or has a disk so quick that a batch spares it little: all go one by one.
	// By default one takes 20 to 40 µs, and up to 150 where the machine is full; with `always` 250 or more.
	unsynced = 150 * time.Microsecond
	// fewest are in an atomic batch, however slow the disk.
	fewest = 4
	// A sample has largeSample messages: with fewer, it is the way to the server that counts, which is long where the machine is full. It has fewer
	// until it is known that a message takes no longer than affordable, and none has fewer than leastSample.
	largeSample, smallSample, leastSample = 256, 64, 16
	affordable                            = 500 * time.Microsecond
	// samplesAtFirst are taken at once, for a process that has just started is busy; then one after firstPause atomic batches, and after twice as many
	// each time: where a machine is full from the start, a server that does not sync looks as if it did.
	samplesAtFirst, firstPause, longestPause = 8, 8, 1024
)

// note takes the time of n messages that were stored one by one, none of which was stored before.
func (p *pace) note(n int, took time.Duration) {
	if n < leastSample {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if each := took / time.Duration(n); p.samples == 0 || each < p.each {
		p.each = each
	}
	p.samples++
}

func (p *pace) alone(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.samples < samplesAtFirst {
		return min(n, p.sample())
	}
	if p.each < unsynced || n < max(int(batchCost/p.each), fewest) {
		return n
	}
	pause := max(p.pause, firstPause)
	if p.batches++; p.batches > pause {
		p.batches, p.pause = 0, min(2*pause, longestPause)
		return min(n, p.sample())
	}
	return 0
}

// sample is how many messages the next sample has.
func (m *measured) sample() int {
	if m.samples > 0 && m.each < affordable {
		return largeSample
	}
	return smallSample
}

// forget begins anew: the server may be another one.
func (p *pace) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.measured = measured{}
}
