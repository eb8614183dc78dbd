package sinks

import "context"

// Finder is a destination that can tell what it holds of some entities: what was written cannot be taken back, and whoever erases a
// person must know where the person still is.
type Finder interface {
	// Find calls found for each place (a file, an object) with how many events it holds of these entities, by their subjects; places that hold none
	// are not named. It reads beside a sink that writes, and one that cannot be read does not end it: the error names each of
	// those. An error of found does, and is returned.
	Find(ctx context.Context, entities []string, found func(place string, events int) error) error
}
