package rolling_test

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

func FuzzPath(f *testing.F) {
	f.Add("{kind}/{vendor}/x-{source}/{date}", "dev.parley.conversation.created", "acme", "/acme/eu", int64(0))
	f.Add("{source}", "../..", "..", "/../..", int64(-1))
	f.Fuzz(func(t *testing.T, template, kind, vendor, source string, unix int64) {
		e := events.Event{Type: kind, Vendor: vendor, Source: source, Time: time.Unix(unix, 0)}
		layout, err := rolling.ParseLayout(template)
		if err != nil {
			return
		}
		path := layout.Path(&e)
		if !fs.ValidPath(path) || path == "." {
			t.Errorf("got %q", path)
		}
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "" || segment[0] == '.' || len(segment) > 255 || strings.ContainsAny(segment, "\\\x00\n ") {
				t.Errorf("got the segment %q in %q", segment, path)
			}
		}
	})
}

func FuzzParseSize(f *testing.F) {
	f.Add("64MiB")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := rolling.ParseSize(text); err == nil && (n < 1 || n > 1<<40) {
			t.Errorf("%q gives %d", text, n)
		}
	})
}
