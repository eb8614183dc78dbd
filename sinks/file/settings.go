package file

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/rolling"
)

// config is what the URL says.
type config struct {
	dir     string
	options rolling.Options
}

// New reads the sink's parameters from its URL; faults stay in vars. The Opener opens the directory for one ownership.
func New(_ sinks.Settings, vars *settings.Vars, u *url.URL, _ sinks.Env) sinks.Opener {
	fault := func(want string) { vars.Fault("URL", want) }
	c := config{dir: directoryOf(u, fault)}
	c.options = rolling.ParseParameters(u.RawQuery, nil, fault).Options()
	return c.open
}

// directoryOf takes file:///abs, file:/abs, file:rel and file://./rel.
func directoryOf(u *url.URL, fault func(want string)) string {
	dir := u.Path
	switch {
	case u.Opaque != "":
		opaque, err := url.PathUnescape(u.Opaque)
		if err != nil {
			opaque = ""
		}
		dir = opaque
	case u.Host == "." || u.Host == "..":
		dir = u.Host + u.Path
	case u.Host != "" && u.Host != "localhost":
		fault(fmt.Sprintf("names the host %q: want file:///absolute/dir or file:relative/dir", u.Host))
		return ""
	}
	if dir == "" || strings.ContainsRune(dir, 0) {
		fault("names no directory: want file:///absolute/dir or file:relative/dir")
		return ""
	}
	return filepath.Clean(dir)
}
