package processors

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Eraser finds and removes what the streams hold of a person. See NewEraser.
type Eraser struct {
	broker  *broker.Broker
	erased  *broker.Erased
	options EraserOptions
	// remembered is the revision of what is remembered.
	remembered uint64
}

// EraserOptions steer an Eraser; only Normalizers is required.
type EraserOptions struct {
	// Normalizers by the vendor's name: RAW is understood by them.
	Normalizers map[string]Normalizer
	// Alias gives what the privacy policy makes of a value that it hashes, so that events that hold only that are found; nil: nothing.
	Alias func(value string) string
	// List remembers who was erased outside of the streams, too.
	List Erasures
	// Progress is told what is being done; nil is told nothing.
	Progress func(what string)
	Now      func() time.Time
}

// NewEraser makes an Eraser. Processors, pollers and sinks may run beside it.
func NewEraser(ctx context.Context, b *broker.Broker, o EraserOptions) (*Eraser, error) {
	if o.Alias == nil {
		o.Alias = func(string) string { return "" }
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	erased, err := b.Erased(ctx)
	if err != nil {
		return nil, err
	}
	return &Eraser{broker: b, erased: erased, options: o}, nil
}

// Erasure is what was found of a person, or removed.
type Erasure struct {
	Entities []ErasedEntity `json:"entities"`
	// Known are the identifiers that stand beside the given one, and by which the rest was found.
	Known []string `json:"known_as"`
	// Messages counts, by stream, what was found or removed there.
	Messages map[string]int `json:"messages"`
	// Tombstones counts the events that say so.
	Tombstones int `json:"tombstones"`
}

// Empty tells whether nothing was found.
func (e *Erasure) Empty() bool { return len(e.Entities) == 0 && len(e.Messages) == 0 }

// ErasedEntity is one entity of the person.
type ErasedEntity struct {
	Kind     events.Kind `json:"kind"`
	Vendor   string      `json:"vendor"`
	Source   string      `json:"source"`
	VendorID string      `json:"vendor_id"`
	Stream   string      `json:"stream"`
	// Mentioned is set where the person is named and nobody's visitor or customer.
	Mentioned bool `json:"only_mentioned,omitempty"`

	base      events.Base
	belongsTo string
}

func (e *ErasedEntity) path() string {
	return events.EntityPath(e.Kind, e.Vendor, e.Source, e.VendorID)
}

// Find gives what there is of a person, and changes nothing.
func (e *Eraser) Find(ctx context.Context, person []events.Identifier) (Erasure, error) {
	s, err := e.search(ctx, person)
	if err != nil {
		return Erasure{}, err
	}
	if err := s.run(ctx); err != nil {
		return Erasure{}, err
	}
	return s.report(), nil
}

// Erase remembers a person as erased and removes everything of him, and of whoever was erased before and was not wholly removed. Nothing is
// removed before what it was found by is remembered, as digests: ended at any point and done again it completes, and what arrives
// meanwhile is dropped by processors or found by the next look. It ends when a look finds nothing more.
func (e *Eraser) Erase(ctx context.Context, person []events.Identifier) (all Erasure, err error) {
	all.Messages = make(map[string]int)
	s, err := e.search(ctx, person)
	if err != nil {
		return all, err
	}
	for round := 0; ; round++ {
		fresh, err := e.remember(ctx, s)
		if err != nil {
			return all, err
		}
		if err := s.run(ctx); err != nil {
			return all, err
		}
		more, err := e.remember(ctx, s)
		if err != nil {
			return all, err
		}
		found := s.report()
		all.add(&found)
		if found.Empty() && !fresh && !more {
			return all, e.finish(ctx)
		}
		if round == maxLooks {
			return all, errors.New("what is removed comes again and again: is a parley of an older version running? Stop it, and forget once more")
		}
		removed, err := e.remove(ctx, s)
		all.Tombstones += removed
		if err != nil {
			return all, err
		}
		s.clear()
	}
}

// finish takes off the disk what a work queue is done with, and notes that nobody who was erased is left.
func (e *Eraser) finish(ctx context.Context) error {
	if err := e.broker.PurgeDone(ctx, broker.Replay); err != nil {
		return err
	}
	return e.erased.Gone(ctx, e.remembered)
}

// maxLooks is far above what a running Parley needs: two, and one for each hand that held something.
const maxLooks = 20

// add counts what a further look found.
func (e *Erasure) add(more *Erasure) {
	for _, entity := range more.Entities {
		if !slices.ContainsFunc(e.Entities, func(known ErasedEntity) bool { return known.path() == entity.path() }) {
			e.Entities = append(e.Entities, entity)
		}
	}
	for stream, n := range more.Messages {
		e.Messages[stream] += n
	}
	e.Known = more.Known
}

// remember remembers the digests that are new, waits until no processor works on by what it knew before, and tells whether there were any.
func (e *Eraser) remember(ctx context.Context, s *search) (bool, error) {
	fresh := slices.Sorted(maps.Keys(s.fresh))
	// The list comes first: what it knows and the streams do not is said at the next start.
	if err := e.options.List.add(e.erased.KeyName(), fresh); err != nil {
		return false, err
	}
	revision, err := e.erased.Remember(ctx, fresh, e.options.Now())
	if err != nil {
		return false, err
	}
	e.remembered = revision
	if len(fresh) == 0 {
		return false, nil
	}
	clear(s.fresh)
	return true, e.awaitProcessors(ctx, revision)
}

// processorPatience is how long processors may take to know who was erased, and to finish the batch in hand.
const processorPatience = time.Minute

// awaitProcessors waits until every processor has said that it knows a revision, and has finished what it had in hand then.
func (e *Eraser) awaitProcessors(ctx context.Context, revision uint64) error {
	e.options.Progress("waiting for processors to know")
	ctx, cancel := context.WithTimeoutCause(ctx, processorPatience, errors.New("a processor does not get on; what was done stays done, and forgetting once more goes on from here"))
	defer cancel()
	members, err := e.broker.Bucket(ctx, broker.MembersBucket)
	if err != nil {
		return err
	}
	alive := 0
	err = poll(ctx, func() (bool, error) {
		all, err := members.All(ctx, memberPrefix+"*")
		alive = len(all)
		for _, member := range all {
			knows, _ := strconv.ParseUint(string(member.Value), 10, 64)
			if knows < revision {
				return false, err
			}
		}
		return err == nil, err
	})
	if err != nil || alive == 0 {
		return err
	}
	partitions, err := e.broker.Partitions(ctx)
	if err != nil {
		return err
	}
	for p := range partitions {
		consumer := broker.PartitionConsumer(p).Name
		then, err := e.broker.ConsumerState(ctx, broker.Raw, consumer)
		if err != nil {
			return err
		}
		err = poll(ctx, func() (bool, error) {
			now, err := e.broker.ConsumerState(ctx, broker.Raw, consumer)
			return now.Unacked == 0 || now.AckFloor >= then.Delivered, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// poll asks until it is so.
func poll(ctx context.Context, so func() (bool, error)) error {
	for {
		yes, err := so()
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// remove takes out what a search found: first the tombstones, which make a processor's late event of the same entity
// impossible, then the rest.
func (e *Eraser) remove(ctx context.Context, s *search) (tombstones int, err error) {
	for i, path := range slices.Sorted(maps.Keys(s.entities)) {
		e.options.Progress(fmt.Sprintf("erasing %d of %d entities", i+1, len(s.entities)))
		published, err := e.bury(ctx, s.entities[path])
		if published {
			tombstones++
		}
		if err != nil {
			return tombstones, err
		}
	}
	for _, ref := range s.refs {
		if ref.dataRef != "" {
			if err := e.broker.RemoveObject(ctx, ref.dataRef); err != nil {
				return tombstones, err
			}
		}
		if err := e.broker.Remove(ctx, ref.stream, ref.sequence); err != nil {
			return tombstones, err
		}
	}
	return tombstones, nil
}

// bury publishes an entity's tombstone, unless it has one or nothing of it was ever published, and makes its state say that it was erased.
func (e *Eraser) bury(ctx context.Context, entity *ErasedEntity) (published bool, err error) {
	path := entity.path()
	for range maxRepairs {
		known, tombstone, err := e.last(ctx, path)
		if err != nil {
			return published, err
		}
		if known.revision == 0 {
			return published, nil
		}
		if !tombstone {
			known.sequence, err = e.publishTombstone(ctx, entity, &known)
			if errors.Is(err, broker.ErrConflict) {
				continue
			}
			if err != nil {
				return published, err
			}
			known.revision++
			published = true
		}
		if known.digest == erasedDigest && known.stored > 0 && tombstone {
			return published, nil
		}
		known.digest, known.fence = erasedDigest, fence{}
		err = e.broker.Publish(ctx, []broker.Message{{
			Subject: stateSubject(path), Data: known.encode(),
			Header: map[string][]string{broker.HeaderExpectedSequence: {strconv.FormatUint(known.stored, 10)}},
		}})[0].Err
		if !errors.Is(err, broker.ErrConflict) {
			return published, err
		}
	}
	return published, fmt.Errorf("erase %s: another processor writes its state again and again", path)
}

// last gives what STATE and EVENTS know of an entity, and whether its last event is a tombstone. The digest is STATE's.
func (e *Eraser) last(ctx context.Context, path string) (known state, tombstone bool, err error) {
	states, err := e.broker.Last(ctx, broker.State, []string{stateSubject(path)})
	if err != nil {
		return known, false, err
	}
	if m, ok := states[stateSubject(path)]; ok {
		if known, err = decodeState(m.Data); err != nil {
			return known, false, err
		}
		known.stored = m.Sequence
	}
	last, err := e.broker.Last(ctx, broker.Events, []string{eventSubject(path)})
	if err != nil {
		return known, false, err
	}
	known.sequence = 0
	m, ok := last[eventSubject(path)]
	if !ok {
		return known, known.digest == erasedDigest, nil // its tombstone has aged out
	}
	event, err := events.FromMessage(m.Header, nil)
	if err != nil {
		return known, false, fmt.Errorf("last event of %s: %w", path, err)
	}
	known.sequence, known.revision = m.Sequence, event.Revision
	return known, event.Deleted(), nil
}

func (e *Eraser) publishTombstone(ctx context.Context, entity *ErasedEntity, known *state) (sequence uint64, err error) {
	var trace [24]byte
	_, _ = rand.Read(trace[:]) // never fails
	traceparent := "00-" + hex.EncodeToString(trace[:16]) + "-" + hex.EncodeToString(trace[16:]) + "-01"
	event, err := events.NewTombstone(entity.Kind, entity.base, entity.belongsTo, entity.Stream, known.revision+1, e.options.Now(), traceparent)
	if err != nil {
		return 0, err
	}
	header := make(map[string][]string, 16)
	event.SetHeaders(header)
	header[headerFence] = []string{fence{}.String()}
	header[broker.HeaderExpectedSequence] = []string{strconv.FormatUint(known.sequence, 10)}
	result := e.broker.Publish(ctx, []broker.Message{{Subject: eventSubject(entity.path()), Header: header, Data: event.Data}})[0]
	if result.Err != nil {
		return 0, fmt.Errorf("tombstone of %s: %w", entity.path(), result.Err)
	}
	return result.Sequence, nil
}

// How an identifier came to be looked for.
const (
	given  = iota + 1 // with what stands beside it in a visitor or customer, it is the person
	beside            // it stands beside a given one; what stands beside it is not followed: two persons may share an id
	linked            // of what was found
)

// search looks for a person through every stream that can hold something of him.
type search struct {
	*Eraser
	wanted   map[string]int // digests, and how they came
	fresh    map[string]bool
	known    []string
	entities map[string]*ErasedEntity
	refs     []ref
	met      map[ref]bool
	counts   map[string]int
}

// ref is a message that will be removed.
type ref struct {
	stream   string
	sequence uint64
	dataRef  string
}

// search begins with the given identifiers and what is remembered of all who were erased, in the streams and in the list.
func (e *Eraser) search(ctx context.Context, person []events.Identifier) (*search, error) {
	remembered, err := e.erased.Digests(ctx)
	if err != nil {
		return nil, err
	}
	listed, err := e.options.List.digests(e.erased.KeyName())
	if err != nil {
		return nil, err
	}
	s := &search{Eraser: e, wanted: make(map[string]int), fresh: make(map[string]bool)}
	s.clear()
	for digest := range remembered {
		s.wanted[digest] = linked
	}
	for _, digest := range listed {
		s.wanted[digest], s.fresh[digest] = linked, !remembered[digest]
	}
	maps.DeleteFunc(s.fresh, func(_ string, fresh bool) bool { return !fresh })
	for _, id := range person {
		s.want(id, given)
	}
	return s, nil
}

func (s *search) clear() {
	s.entities, s.met, s.refs, s.counts = make(map[string]*ErasedEntity), make(map[ref]bool), nil, make(map[string]int)
}

// want adds an identifier, and what a policy makes of it, and tells whether it was new.
func (s *search) want(id events.Identifier, how int) (added bool) {
	values := []string{id.Value}
	if id.Kind == events.ByEmail || id.Kind == events.ByVisitor {
		values = append(values, s.options.Alias(id.Value))
	}
	for _, value := range values {
		id.Value = value
		digest := s.erased.Key().Identifier(id)
		was := s.wanted[digest]
		if value == "" || was != 0 && was <= how {
			continue
		}
		s.wanted[digest] = how
		if was == 0 {
			s.fresh[digest], added = true, true
		}
		if added && how == beside && !slices.Contains(s.known, value) {
			s.known = append(s.known, value)
		}
	}
	return added
}

// how tells how the nearest of these identifiers came; 0 when none is looked for.
func (s *search) how(ids []events.Identifier) (nearest int) {
	for _, id := range ids {
		if how := s.wanted[s.erased.Key().Identifier(id)]; how != 0 && (nearest == 0 || how < nearest) {
			nearest = how
		}
	}
	return nearest
}

// searched are the streams that hold records and events.
var searched = []string{broker.Raw, broker.Events, broker.Dead, broker.Replay}

// run looks until a look adds no identifier: what was found by the last is found by all.
func (s *search) run(ctx context.Context) error {
	for more := true; more; {
		more = false
		for _, stream := range searched {
			s.options.Progress("looking through " + stream)
			err := s.broker.Scan(ctx, stream, nil, time.Time{}, func(m broker.Message) error {
				added, err := s.visit(ctx, stream, &m)
				more = more || added
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return s.findSeen(ctx)
}

// visit looks at one message, and tells whether it added identifiers.
func (s *search) visit(ctx context.Context, stream string, m *broker.Message) (added bool, err error) {
	r := ref{stream: stream, sequence: m.Sequence}
	if s.met[r] {
		return false, nil
	}
	told, err := s.broker.Tell(ctx, m)
	if err != nil || told.Event != nil && told.Event.Deleted() {
		return false, err
	}
	s.understand(&told)
	how := s.how(told.Identifiers)
	if how == 0 {
		return false, nil
	}
	s.met[r] = true
	s.counts[stream]++
	r.dataRef = told.DataRef
	s.refs = append(s.refs, r)
	return s.follow(&told), nil
}

// understand makes the entity of a record by its normaliser. The record's identifiers are then the entity's: bytes may look like another's id.
func (s *search) understand(told *broker.Told) {
	if told.Record == nil {
		return
	}
	normalize := s.options.Normalizers[told.Record.Vendor]
	if _, too := told.Record.Oversize(); too || normalize == nil {
		return
	}
	entity, err := normalizeSafely(normalize, told.Record)
	if err != nil {
		return
	}
	content, err := events.EncodeContent(entity)
	if err != nil {
		return
	}
	told.Entity = entity
	told.Identifiers = append(events.Identifiers(entity, content), events.RecordIdentifier(told.Record.Source, told.Record.Stream, told.Record.Key))
}

// normalizeSafely makes an error of a panic: such a record is a dead letter, or will be one.
func normalizeSafely(normalize Normalizer, r *events.Record) (e events.Entity, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the normaliser panicked: %s", panicText(p))
		}
	}()
	return normalize(r)
}

// follow notes the entity of what was found, and what is found by it in turn.
func (s *search) follow(told *broker.Told) (added bool) {
	if told.Event == nil {
		return false
	}
	_, source, _ := strings.Cut(strings.TrimPrefix(told.Event.Source, "/"), "/")
	added = s.want(events.RecordIdentifier(source, told.Event.Stream, told.Event.Subject), linked)
	if told.Entity == nil {
		return added
	}
	base := told.Entity.Common()
	entity := &ErasedEntity{
		Kind: told.Entity.Kind(), Vendor: base.Vendor, Source: base.Source, VendorID: base.VendorID, Stream: told.Event.Stream, Mentioned: true,
		base: *base, belongsTo: told.Entity.Conversation(),
	}
	if was := s.entities[entity.path()]; was != nil {
		entity = was
	}
	s.entities[entity.path()] = entity
	for _, person := range events.Persons(told.Entity) {
		ids := person.Identifiers(source)
		how := s.how(ids)
		entity.Mentioned = entity.Mentioned && how == 0
		if how != given {
			continue
		}
		for _, id := range ids {
			added = s.want(id, beside) || added
		}
	}
	if entity.belongsTo != "" {
		added = s.want(events.Identifier{Kind: events.ByConversation, Source: source, Value: entity.belongsTo}, linked) || added
	}
	return added
}

// findSeen finds what pollers remember of the versions of the entities.
func (s *search) findSeen(ctx context.Context) error {
	var subjects []string
	for _, entity := range s.entities {
		subjects = append(subjects, strings.Join([]string{events.SeenSubjects, entity.Source, events.Token(entity.Stream), events.Token(entity.VendorID)}, "."))
	}
	if len(subjects) == 0 {
		return nil
	}
	found, err := s.broker.Last(ctx, broker.Seen, subjects)
	if err != nil {
		return err
	}
	for _, m := range found {
		s.counts[broker.Seen]++
		s.refs = append(s.refs, ref{stream: broker.Seen, sequence: m.Sequence})
	}
	return nil
}

func (s *search) report() Erasure {
	r := Erasure{Messages: s.counts, Known: slices.Clone(s.known), Entities: []ErasedEntity{}}
	for _, entity := range s.entities {
		r.Entities = append(r.Entities, *entity)
	}
	slices.SortFunc(r.Entities, func(a, b ErasedEntity) int { return cmp.Compare(a.path(), b.path()) })
	return r
}
