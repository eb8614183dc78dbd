package rolling

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/parley-stream/parley/sinks"
)

// newest says of which life of the stream a destination's files are. The stream's origin and its numbers come back with an older backup, and new
// events get numbers that files hold; but none of these events was stored as early as the ones that it took the numbers of.
type newest struct {
	Origin string `json:"origin"`
	// Sequence is the highest that a committed file may hold, and Stored when the last event up to it was stored.
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
}

// Follow compares what the last owner gave to Keep with the stream, and refuses where the life was undone that the files are of. Without anything that was
// kept (an older version's files), or where the message is gone, nothing is refused yet: Deliver looks at each event, too.
func (s *Files) Follow(ctx context.Context, o sinks.Ownership, kept []byte) error {
	s.newest = newest{Origin: o.Origin}
	if len(kept) == 0 {
		return nil
	}
	var n newest
	if err := json.Unmarshal(kept, &n); err != nil {
		return fmt.Errorf("what says which event is the newest: %w", err)
	}
	if n.Origin != o.Origin {
		return nil // of one who wrote no file: the files' origin was looked at before
	}
	s.newest, s.latest = n, n.Stored
	if n.Sequence > o.LastSequence {
		return fmt.Errorf("the files here hold events up to number %d, which the stream has not reached (%d): %s", n.Sequence, o.LastSequence, undone)
	}
	if o.Stored == nil {
		return nil
	}
	stored, err := o.Stored(ctx, n.Sequence)
	if err != nil {
		return err
	}
	return n.allows(n.Sequence, stored)
}

// undone says why numbers come twice, and what to do.
const undone = "an older backup of the stream was restored without these files, or its server lost its last moments; give the sink another directory or prefix, " +
	"or restore this one, its .parley included, as it was when the stream was backed up"

// allows refuses an event whose number another had before it.
func (n newest) allows(sequence uint64, stored time.Time) error {
	if sequence > n.Sequence || !stored.After(n.Stored) {
		return nil
	}
	return fmt.Errorf("the files here hold events up to number %d, the last of them stored at %s, and the stream's number %d was stored after that, at %s: %s",
		n.Sequence, n.Stored.Format(time.RFC3339Nano), sequence, stored.UTC().Format(time.RFC3339Nano), undone)
}

// keep has the destination know the newest event of what is committed next. It comes before the files: none may be there of which it does not
// know. That a file of it never comes is no harm, the event was in the stream.
func (s *Files) keep(ctx context.Context, batch []*File) error {
	n := s.newest
	for _, out := range batch {
		n.Sequence = max(n.Sequence, out.Last())
	}
	if n.Sequence == s.newest.Sequence || s.latest.IsZero() {
		return nil
	}
	n.Stored = s.latest
	content, err := json.Marshal(n)
	if err == nil {
		err = s.Fault("newest")
	}
	if err == nil {
		err = s.destination.Keep(ctx, content)
	}
	if err != nil {
		return fmt.Errorf("keep which event is the newest: %w", err)
	}
	s.newest = n
	return nil
}
