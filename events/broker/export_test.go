package broker

// SyncAlways tells whether the embedded server syncs every write before it acknowledges it.
func (b *Broker) SyncAlways() bool { return b.embedded.JetStreamConfig().SyncAlways }
