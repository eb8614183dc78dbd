package file

import (
	"sync"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// Steps names the steps of a commit.
func Steps() []string {
	names := []string{"write", "newest"}
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// SetFault makes steps fail; it is asked by one goroutine at a time.
func SetFault(s sinks.Sink, fault func(step string) error) {
	f := s.(*Sink)
	var asking sync.Mutex
	f.files.Fault = func(step string) error {
		asking.Lock()
		defer asking.Unlock()
		return fault(step)
	}
	f.fault = f.files.Fault
}

// Abandon ends a sink as the end of its process does: descriptors close, nothing else happens.
func Abandon(s sinks.Sink) {
	f := s.(*Sink)
	for _, out := range f.files.Unfinished() {
		_ = out.Spool.Close()
	}
	_ = f.release()
}

// WrapSpool stands between the files and the disk.
func WrapSpool(s sinks.Sink, wrap func(rolling.Spool) rolling.Spool) { s.(*Sink).files.Wrap = wrap }
