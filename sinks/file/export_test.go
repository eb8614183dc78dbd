package file

import (
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks"
)

// Steps names the steps of a commit.
func Steps() (names []string) {
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// SetFault makes steps fail.
func SetFault(s sinks.Sink, fault func(step string) error) { s.(*Sink).fault = fault }

// Abandon ends a sink as the end of its process does: descriptors close, nothing else happens.
func Abandon(s sinks.Sink) {
	f := s.(*Sink)
	for out := range f.open {
		_ = out.file.Close()
	}
	for _, out := range f.closing {
		_ = out.file.Close()
	}
	_ = f.release()
}

// Path gives an event's path under a template.
func Path(template string, e *events.Event) (string, error) {
	l, err := parseLayout(template)
	if err != nil {
		return "", err
	}
	return l.path(e), nil
}

// ParseSize reads a size.
var ParseSize = parseSize
