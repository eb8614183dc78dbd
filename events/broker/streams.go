package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-stream/parley/events"
)

// The streams.
const (
	Windows = "PARLEY_WINDOWS"
	Raw     = "PARLEY_RAW"
	Events  = "PARLEY_EVENTS"
	State   = "PARLEY_STATE"
	Dead    = "PARLEY_DEAD"
	Seen    = "PARLEY_SEEN"
	Replay  = "PARLEY_REPLAY"
)

// The buckets.
const (
	LedgerBucket    = "parley-ledger"
	BudgetBucket    = "parley-budget"
	SourcesBucket   = "parley-sources"
	SinksBucket     = "parley-sinks"
	MembersBucket   = "parley-members"
	ReprocessBucket = "parley-reprocess"
	ErasedBucket    = "parley-erased"
	ObjectsBucket   = "parley-objects"
)

// HealthMember begins the keys of MembersBucket that are written only to see whether they can be: it is no role.
const HealthMember = "health"

const (
	// maxPayload is the embedded server's. leastPayload is what Parley cannot do without: a look-up of 1,024 subjects is one message, and a
	// chunk of an object too; the default of other servers is 1 MiB.
	maxPayload   = 8 << 20
	leastPayload = 512 << 10
	// headerRoom is the most that a message's headers may take.
	headerRoom    = 64 << 10
	deadRetention = 30 * 24 * time.Hour
	// DEAD takes a quarter of what RAW does, or deadLeast.
	deadShare = 4
	deadLeast = 64 << 20
	// DeadAlarm is how full DEAD is, in percent, when somebody must be told.
	DeadAlarm = 80
	// manyPartitions take so long to provision, each a write to the disk, that somebody who waits must be told.
	manyPartitions = 128
	// MemberTTL is how long a process counts as alive after it last said so.
	MemberTTL = 10 * time.Second
)

// Provision creates what is missing and updates what differs. It may run at once in several processes.
func (b *Broker) Provision(ctx context.Context) error {
	// Nobody else makes or changes any of it meanwhile, in this process.
	return b.ask(ctx, on("$JS.API.INFO", "$JS.API.STREAM.CREATE.", "$JS.API.STREAM.UPDATE."), b.provision)
}

func (b *Broker) provision(ctx context.Context) error {
	for _, cfg := range b.streamConfigs() {
		if err := b.provisionStream(ctx, cfg); err != nil {
			return fmt.Errorf("stream %s: %w", cfg.Name, err)
		}
	}
	partitions, err := b.Partitions(ctx)
	if err != nil {
		return err
	}
	if partitions >= manyPartitions {
		b.options.Logger.Info("there is a consumer for each partition; looking at so many, or making them, takes a while", "partitions", partitions)
	}
	for p := range partitions {
		if _, err := b.Consumer(ctx, PartitionConsumer(p)); err != nil {
			return err
		}
	}
	for _, cfg := range b.bucketConfigs() {
		if err := b.provisionBucket(ctx, cfg); err != nil {
			return fmt.Errorf("bucket %s: %w", cfg.Bucket, err)
		}
	}
	if err := b.provisionObjects(ctx); err != nil {
		return fmt.Errorf("object store %s: %w", ObjectsBucket, err)
	}
	return nil
}

// stream asks for a stream.
func (b *Broker) stream(ctx context.Context, name string) (s jetstream.Stream, err error) {
	err = b.ask(ctx, on("$JS.API.STREAM.INFO."+name), func(ctx context.Context) error {
		s, err = b.js.Stream(ctx, name)
		return err
	})
	return s, err
}

// withStream does something with a stream that is asked for under a subject that ends in its name.
func (b *Broker) withStream(ctx context.Context, name, subject string, do func(ctx context.Context, s jetstream.Stream) error) error {
	s, err := b.stream(ctx, name)
	if err != nil {
		return err
	}
	return b.ask(ctx, on(subject+name), func(ctx context.Context) error { return do(ctx, s) })
}

// Provisioned waits until what Provision makes is there, because a process that was just started may be at it; ErrEmpty if it still is not
// when the patience or the context ends. A server that does not say, as while a cluster has no leader, is another error.
func (b *Broker) Provisioned(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for missing := false; ; {
		_, err := b.stream(ctx, "OBJ_"+ObjectsBucket) // the last that is made
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrStreamNotFound):
			missing = true
		case ctx.Err() == nil:
			return fmt.Errorf("stream of %s: %w", ObjectsBucket, err)
		case !missing:
			return fmt.Errorf("NATS does not say whether Parley's streams are there; do enough of its servers run for one to lead? %w", err)
		}
		select {
		case <-ctx.Done():
			return ErrEmpty
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *Broker) provisionBucket(ctx context.Context, cfg jetstream.KeyValueConfig) error {
	differ, there := b.differs(ctx, jetstream.StreamConfig{
		Name: "KV_" + cfg.Bucket, Description: cfg.Description, Subjects: []string{"$KV." + cfg.Bucket + ".>"}, MaxAge: cfg.TTL,
		MaxMsgsPerSubject: int64(cfg.History), Storage: cfg.Storage, Replicas: cfg.Replicas, Discard: jetstream.DiscardNew, AllowDirect: true,
	})
	if there && len(differ) == 0 {
		return nil
	}
	_, err := b.js.CreateOrUpdateKeyValue(ctx, cfg)
	return explained(err, differ, "nats stream rm KV_"+cfg.Bucket)
}

func (b *Broker) provisionObjects(ctx context.Context) error {
	cfg := jetstream.ObjectStoreConfig{
		Bucket: ObjectsBucket, Description: "data over 1 MiB, under its digest", Storage: jetstream.FileStorage, Replicas: b.options.Replicas, TTL: b.objectTTL(),
	}
	differ, there := b.differs(ctx, jetstream.StreamConfig{
		Name: "OBJ_" + cfg.Bucket, Description: cfg.Description, Subjects: []string{"$O." + cfg.Bucket + ".C.>", "$O." + cfg.Bucket + ".M.>"},
		MaxAge: cfg.TTL, Storage: cfg.Storage, Replicas: cfg.Replicas, Discard: jetstream.DiscardNew, AllowDirect: true,
	})
	if there && len(differ) == 0 {
		return nil
	}
	_, err := b.js.CreateOrUpdateObjectStore(ctx, cfg)
	return explained(err, differ, "nats stream rm OBJ_"+cfg.Bucket)
}

// differs compares the stream behind a bucket, if it is there. One that is updated without need costs a write, and races in the server with
// whoever makes a consumer of it.
func (b *Broker) differs(ctx context.Context, want jetstream.StreamConfig) (differ differences, there bool) {
	s, err := b.stream(ctx, want.Name)
	if err != nil {
		return nil, false
	}
	return streamDifferences(s.CachedInfo().Config, want), true
}

// objectTTL outlives every message that can refer to an object: each reference puts its object anew.
func (b *Broker) objectTTL() time.Duration {
	return max(b.options.RawRetention, b.options.EventsRetention) + deadRetention + 24*time.Hour
}

func (b *Broker) provisionStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	existing, err := b.stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = b.js.CreateStream(ctx, cfg)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return explained(err, nil, "")
		}
		existing, err = b.stream(ctx, cfg.Name)
	}
	if err != nil {
		return err
	}
	if cfg.Name == Raw {
		// Changing the number would move entities between partitions whose records are in flight.
		cfg.SubjectTransform = existing.CachedInfo().Config.SubjectTransform
	}
	differ := streamDifferences(existing.CachedInfo().Config, cfg)
	if len(differ) == 0 {
		return nil
	}
	_, err = b.js.UpdateStream(ctx, cfg)
	return explained(err, differ, "nats stream rm "+cfg.Name)
}

func (b *Broker) streamConfigs() []jetstream.StreamConfig {
	o := b.options
	configs := []jetstream.StreamConfig{
		{
			Name: Windows, Description: "windows that are due to be fetched", Subjects: []string{events.WindowSubjects + ".>"},
			Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		},
		{
			Name: Raw, Description: "vendor records, verbatim", Subjects: []string{events.RawSubjects + ".*.*.*.*"},
			SubjectTransform: &jetstream.SubjectTransformConfig{
				Source: events.RawSubjects + ".*.*.*.*",
				Destination: fmt.Sprintf("%s.{{partition(%d,1,2,3,4)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}",
					events.RawSubjects, o.Partitions),
			},
			MaxAge: o.RawRetention, MaxBytes: o.RawMaxBytes, Discard: jetstream.DiscardNew, AllowAtomicPublish: true,
			// Longer than an answer is waited for, twice, and no longer: an id takes 300 bytes of the server's memory.
			Duplicates: min(time.Minute, o.RawRetention),
		},
		{
			Name: Events, Description: "canonical events: the truth of what was emitted", Subjects: []string{events.EventSubjects + ".>"},
			MaxAge: o.EventsRetention, AllowAtomicPublish: true, AllowMsgTTL: true,
		},
		{
			Name: State, Description: "index of the last event per entity", Subjects: []string{events.StateSubjects + ".>"},
			MaxMsgsPerSubject: 1, AllowAtomicPublish: true,
		},
		{
			Name: Dead, Description: "what could not be processed or delivered", Subjects: []string{events.DeadSubjects + ".>"},
			// A record that is read again after days, as SETTLE has it, is the same dead letter for as long as that is kept.
			MaxAge: deadRetention, Duplicates: deadRetention,
			// They must not take the disk that all others write to, and none may be lost for a newer one: see ErrDeadFull.
			MaxBytes: max(o.RawMaxBytes/deadShare, deadLeast), Discard: jetstream.DiscardNew,
		},
		{
			Name: Replay, Description: "events that one sink gets again", Subjects: []string{events.ReplaySubjects + ".>"},
			Retention: jetstream.WorkQueuePolicy, MaxAge: deadRetention, AllowAtomicPublish: true,
		},
		{
			Name: Seen, Description: "which version of an entity was read, where a list tells", Subjects: []string{events.SeenSubjects + ".*.*.*"},
			MaxMsgsPerSubject: 1, MaxAge: o.EventsRetention, AllowAtomicPublish: true,
		},
	}
	for i := range configs {
		configs[i].Storage = jetstream.FileStorage
		configs[i].Replicas = o.Replicas
		configs[i].AllowDirect = true
	}
	return configs
}

func (b *Broker) bucketConfigs() []jetstream.KeyValueConfig {
	configs := []jetstream.KeyValueConfig{
		{Bucket: LedgerBucket, Description: "how complete each window is"},
		{Bucket: BudgetBucket, Description: "rate budget of each vendor account"},
		{Bucket: SourcesBucket, Description: "start and pause of each source"},
		{Bucket: SinksBucket, Description: "start and pause of each sink"},
		{Bucket: MembersBucket, Description: "who is alive", TTL: MemberTTL},
		{Bucket: ReprocessBucket, Description: "which records are to be normalised again, and how far that is"},
		{Bucket: ErasedBucket, Description: "HMACs of erased identifiers"},
	}
	for i := range configs {
		configs[i].History = 1
		configs[i].Storage = jetstream.FileStorage
		configs[i].Replicas = b.options.Replicas
	}
	return configs
}

// Partitions is how many parts RAW has; it was fixed when the stream was made.
func (b *Broker) Partitions(ctx context.Context) (int, error) {
	s, err := b.stream(ctx, Raw)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", Raw, b.missing(err, jetstream.ErrStreamNotFound))
	}
	var n int
	t := s.CachedInfo().Config.SubjectTransform
	if t == nil {
		return 0, fmt.Errorf("stream %s has no partitions: it was not made by parley", Raw)
	}
	if _, err := fmt.Sscanf(t.Destination, events.RawSubjects+".{{partition(%d,", &n); err != nil {
		return 0, fmt.Errorf("stream %s has partitions %q, which parley does not make", Raw, t.Destination)
	}
	return n, nil
}

// PartitionConsumer describes the durable consumer of one partition of RAW. Provision makes them all, so that what is
// not processed yet can be told even before the first processor starts.
func PartitionConsumer(partition int) ConsumerConfig {
	return ConsumerConfig{
		Stream: Raw, Name: fmt.Sprintf("process-%d", partition), Filters: []string{fmt.Sprintf("%s.%d.>", events.RawSubjects, partition)},
		MaxAckPending: 4096, AckWait: time.Minute, Pinned: true,
	}
}

// Unprocessed counts the records of RAW that no processor has acknowledged, without those of the last moment; see Processed.
func (b *Broker) Unprocessed(ctx context.Context) (uint64, error) {
	partitions, err := b.Partitions(ctx)
	if err != nil {
		return 0, err
	}
	left := uint64(0)
	for p := range partitions {
		state, err := b.ConsumerState(ctx, Raw, PartitionConsumer(p).Name)
		if err != nil {
			return 0, err
		}
		left += state.Unacked + state.Pending
	}
	return left, nil
}

// Processed tells whether processors have acknowledged every record that RAW held when it was asked.
func (b *Broker) Processed(ctx context.Context) (bool, error) {
	partitions, err := b.Partitions(ctx)
	if err != nil {
		return false, err
	}
	for p := range partitions {
		if done, err := b.Exhausted(ctx, Raw, PartitionConsumer(p).Name); err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

// PurgeStream removes every message of a stream. Sequences go on.
func (b *Broker) PurgeStream(ctx context.Context, stream string) error {
	return b.purge(ctx, stream)
}

func (b *Broker) purge(ctx context.Context, stream string, opts ...jetstream.StreamPurgeOpt) error {
	err := b.withStream(ctx, stream, "$JS.API.STREAM.PURGE.", func(ctx context.Context, s jetstream.Stream) error { return s.Purge(ctx, opts...) })
	if err != nil {
		return fmt.Errorf("purge %s: %w", stream, err)
	}
	return nil
}

// OldestUnprocessed is when the oldest record of RAW that is not acknowledged by its processor was stored; zero if
// there is none.
func (b *Broker) OldestUnprocessed(ctx context.Context) (time.Time, error) {
	_, at, err := b.oldestUnprocessed(ctx, false)
	return at, err
}

// oldestUnprocessed gives that record's sequence and time; 0 if there is none, which is not said of one of the last moment unless that is asked of
// the stream, too.
func (b *Broker) oldestUnprocessed(ctx context.Context, exact bool) (sequence uint64, at time.Time, err error) {
	if b.identity.role == RoleSink {
		return 0, at, fmt.Errorf("oldest record: %w", ErrDenied) // it would have to read what the vendors said
	}
	partitions, err := b.Partitions(ctx)
	if err != nil {
		return 0, at, err
	}
	for p := range partitions {
		consumer := PartitionConsumer(p)
		state, err := b.ConsumerState(ctx, Raw, consumer.Name)
		if err != nil {
			return 0, at, err
		}
		if state.Done() && !exact {
			continue
		}
		m, err := b.fromLeader(ctx, Raw, leaderRequest{Sequence: state.AckFloor + 1, Next: consumer.Filters[0]})
		if errors.Is(err, ErrNotFound) {
			continue // it was processed between the two questions
		}
		if err != nil {
			return 0, at, fmt.Errorf("oldest record of partition %d: %w", p, err)
		}
		if sequence == 0 || m.Sequence < sequence {
			sequence, at = m.Sequence, m.Time
		}
	}
	return sequence, at, nil
}

// TrimRaw makes room in RAW: it removes the oldest quarter, but nothing that is not processed yet, and tells whether it removed
// anything. What was processed is kept only for being normalised again.
func (b *Broker) TrimRaw(ctx context.Context) (bool, error) {
	state, err := b.StreamState(ctx, Raw)
	if err != nil || state.Messages == 0 {
		return false, err
	}
	keep := state.FirstSeq + (state.LastSeq-state.FirstSeq)/4 + 1
	// Asked after the stream's state: what has come since is younger than all that may go.
	oldest, _, err := b.oldestUnprocessed(ctx, true)
	if err != nil {
		return false, err
	}
	if oldest > 0 {
		keep = min(keep, oldest)
	}
	if keep <= state.FirstSeq {
		return false, nil
	}
	if err := b.purge(ctx, Raw, jetstream.WithPurgeSequence(keep)); err != nil {
		return false, err
	}
	return true, nil
}

// StreamState is a stream's present size.
type StreamState struct {
	Messages, Bytes     uint64
	FirstSeq, LastSeq   uint64
	FirstTime, LastTime time.Time
	MaxBytes            int64 // -1: unlimited
}

// Fill is how full a stream is, in percent of its limit; 0 if it has none.
func (s StreamState) Fill() int {
	if s.MaxBytes <= 0 {
		return 0
	}
	return int(s.Bytes * 100 / uint64(s.MaxBytes))
}

// StreamState asks for a stream's size.
func (b *Broker) StreamState(ctx context.Context, stream string) (StreamState, error) {
	s, err := b.stream(ctx, stream)
	if err != nil {
		return StreamState{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	info := s.CachedInfo()
	return StreamState{
		Messages: info.State.Msgs, Bytes: info.State.Bytes, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq,
		FirstTime: info.State.FirstTime, LastTime: info.State.LastTime, MaxBytes: info.Config.MaxBytes,
	}, nil
}

// Subjects counts the messages that a stream holds, by subject, under a filter.
func (b *Broker) Subjects(ctx context.Context, stream, filter string) (map[string]uint64, error) {
	var info *jetstream.StreamInfo
	err := b.withStream(ctx, stream, "$JS.API.STREAM.INFO.", func(ctx context.Context, s jetstream.Stream) (err error) {
		info, err = s.Info(ctx, jetstream.WithSubjectFilter(filter))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("subjects of %s: %w", stream, err)
	}
	return info.State.Subjects, nil
}
