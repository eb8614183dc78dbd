package cobrowser

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/parley-stream/parley/events"
)

const (
	// batchRecords and batchBytes bound what waits for one look-up.
	batchRecords = 512
	batchBytes   = 1 << 20
)

// unseen passes records on that RAW does not have as they are. It holds a batch of them, for one look-up each.
type unseen struct {
	known     func(ctx context.Context, stream string, keys []string) (map[string]string, error)
	emit      func(events.Record) error
	stream    string
	waiting   []events.Record
	bytes     int
	unchanged int
}

func (u *unseen) add(ctx context.Context, r events.Record) error {
	sum := sha256.Sum256(r.Parts[0].Body.Bytes)
	r.Version = hex.EncodeToString(sum[:16])
	u.waiting = append(u.waiting, r)
	u.bytes += len(r.Parts[0].Body.Bytes)
	if len(u.waiting) < batchRecords && u.bytes < batchBytes {
		return nil
	}
	return u.flush(ctx)
}

// flush passes on what waits.
func (u *unseen) flush(ctx context.Context) error {
	keys := make([]string, 0, len(u.waiting))
	for i := range u.waiting {
		if u.waiting[i].Key != "" {
			keys = append(keys, u.waiting[i].Key)
		}
	}
	known, err := u.known(ctx, u.stream, keys)
	if err != nil {
		return err
	}
	for _, r := range u.waiting {
		if known[r.Key] == r.Version {
			u.unchanged++
		} else if err := u.emit(r); err != nil {
			return err
		}
	}
	u.waiting, u.bytes = u.waiting[:0], 0
	return nil
}
