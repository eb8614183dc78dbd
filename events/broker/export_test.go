package broker

import "time"

// SyncAlways tells whether the embedded server syncs every write before it acknowledges it.
func (b *Broker) SyncAlways() bool { return b.embedded.JetStreamConfig().SyncAlways }

// LeavesObject tells whether an object that was put at a time is not put anew.
func LeavesObject(put, now time.Time) bool { return outlives(put, now) }
