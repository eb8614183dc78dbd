package file

import (
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// Steps names the steps of a commit.
func Steps() []string {
	names := []string{"write"}
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// SetFault makes steps fail.
func SetFault(s sinks.Sink, fault func(step string) error) {
	f := s.(*Sink)
	f.fault, f.files.Fault = fault, fault
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
