package rolling

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/parley-stream/parley/sinks/internal/format"
)

// Name names a file after the first and last sequence of its path that it holds.
func Name(first, last uint64, extension string) string {
	return fmt.Sprintf("%020d-%020d%s", first, last, extension)
}

// stemLength is that of two sequences and what is between them.
const stemLength = 41

// ParseName reads what Name wrote, whatever the format; false for every other name.
func ParseName(name string) (first, last uint64, ok bool) {
	if len(name) <= stemLength || name[20] != '-' {
		return 0, 0, false
	}
	for _, extension := range format.Extensions() {
		ok = ok || name[stemLength:] == extension
	}
	first, firstErr := strconv.ParseUint(name[:20], 10, 64)
	last, lastErr := strconv.ParseUint(name[21:stemLength], 10, 64)
	return first, last, ok && firstErr == nil && lastErr == nil && first <= last && !strings.HasPrefix(name, "+")
}
