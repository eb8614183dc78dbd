package processors

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// headerFence carries an event's fence, so that EVENTS alone can tell what STATE must hold.
const headerFence = "Parley-Fence"

// maxAhead is how far a vendor's clock or zone may be ahead of ours.
const maxAhead = 25 * time.Hour

// erasedDigest stands in the state of an entity whose person was erased: nothing of it is emitted again.
const erasedDigest = "erased"

// fence orders readings of one entity: by the vendor's own time of change where there is one, then by when the vendor was
// asked, then by RAW's sequence. A reading that is not newer than the last one that counted is dropped: an older
// fetch that arrives late never overwrites a newer one.
type fence struct {
	version   int64 // Unix microseconds; 0: the vendor gives none
	requested int64 // Unix microseconds
	sequence  uint64
}

func newFence(version, requested time.Time, sequence uint64) fence {
	f := fence{sequence: sequence}
	if !requested.IsZero() {
		f.requested = requested.UnixMicro()
	}
	// A time of change that lies ahead of the request is a mistake, and would make every later one look old.
	if !version.IsZero() && !version.After(requested.Add(maxAhead)) {
		f.version = version.UnixMicro()
	}
	return f
}

// compare is negative when f is older than g. Without a version on both sides it does not count.
func (f fence) compare(g fence) int {
	if f.version != 0 && g.version != 0 && f.version != g.version {
		return cmp.Compare(f.version, g.version)
	}
	return cmp.Or(cmp.Compare(f.requested, g.requested), cmp.Compare(f.sequence, g.sequence))
}

// sameReading tells whether both are of one record; its version may have been read by another normaliser.
func (f fence) sameReading(g fence) bool {
	return f.requested == g.requested && f.sequence == g.sequence
}

func (f fence) String() string { return string(f.append(make([]byte, 0, 64))) }

func (f fence) append(dst []byte) []byte {
	dst = append(strconv.AppendInt(dst, f.version, 10), '.')
	dst = append(strconv.AppendInt(dst, f.requested, 10), '.')
	return strconv.AppendUint(dst, f.sequence, 10)
}

func parseFence(text string) (f fence, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return f, fmt.Errorf("fence %q: want three numbers", text)
	}
	f.version, err = strconv.ParseInt(parts[0], 10, 64)
	if err == nil {
		f.requested, err = strconv.ParseInt(parts[1], 10, 64)
	}
	if err == nil {
		f.sequence, err = strconv.ParseUint(parts[2], 10, 64)
	}
	if err != nil {
		return f, fmt.Errorf("fence %q: want three numbers", text)
	}
	return f, nil
}

// state is what is known of an entity: its last event. The zero state is an entity that was never emitted.
type state struct {
	sequence uint64 // of the event in EVENTS; 0 when it has aged out
	revision uint64
	digest   string
	fence    fence
	stored   uint64 // the sequence of this entry in STATE; 0: there is none
}

// encode writes STATE's value: four words.
func (s state) encode() []byte {
	dst := append(strconv.AppendUint(make([]byte, 0, 128), s.sequence, 10), ' ')
	dst = append(strconv.AppendUint(dst, s.revision, 10), ' ')
	dst = append(append(dst, s.digest...), ' ')
	return s.fence.append(dst)
}

func decodeState(value []byte) (s state, err error) {
	words := strings.Fields(string(value))
	if len(words) != 4 {
		return s, fmt.Errorf("state %q: want sequence, revision, digest and fence", value)
	}
	if s.sequence, err = strconv.ParseUint(words[0], 10, 64); err != nil {
		return s, fmt.Errorf("state %q: sequence: %w", value, err)
	}
	if s.revision, err = strconv.ParseUint(words[1], 10, 64); err != nil {
		return s, fmt.Errorf("state %q: revision: %w", value, err)
	}
	if s.digest, err = parseDigest(words[2]); err != nil {
		return s, fmt.Errorf("state %q: %w", value, err)
	}
	s.fence, err = parseFence(words[3])
	return s, err
}

// parseDigest reads what a state may have for a digest. Another one is a later version's: whoever guessed what it means would emit an entity twice.
func parseDigest(text string) (string, error) {
	if bytes, err := hex.DecodeString(text); text != erasedDigest && (err != nil || len(bytes) != len(packed{}.digest)) {
		return "", fmt.Errorf("digest %q: want 32 hex digits", text)
	}
	return text, nil
}

// stateOf reads the state off the entity's last event.
func stateOf(m broker.Message) (s state, err error) {
	e, err := events.FromMessage(m.Header, nil)
	if err != nil {
		return s, err
	}
	s = state{sequence: m.Sequence, revision: e.Revision, digest: erasedDigest}
	if !e.Deleted() {
		if s.digest, err = parseDigest(e.Digest); err != nil {
			return s, err
		}
	}
	s.fence, err = parseFence(m.Get(headerFence))
	return s, err
}
