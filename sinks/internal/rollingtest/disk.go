// Package rollingtest makes the disk full on which sinks of files write.
package rollingtest

import (
	"syscall"

	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// Disk has so much room; a write that does not fit is done in part.
type Disk struct{ Room int64 }

// Wrap has a file take its room from the disk: as much as it grows by.
func (d *Disk) Wrap(s rolling.Spool) rolling.Spool { return &spool{Spool: s, disk: d} }

type spool struct {
	rolling.Spool
	disk *Disk
	end  int64
}

func (s *spool) WriteAt(p []byte, at int64) (int, error) {
	fits := min(int64(len(p)), s.end-at+s.disk.Room)
	n, err := s.Spool.WriteAt(p[:fits], at)
	if grown := at + int64(n) - s.end; grown > 0 {
		s.end += grown
		s.disk.Room -= grown
	}
	if err == nil && fits < int64(len(p)) {
		err = syscall.ENOSPC
	}
	return n, err
}
