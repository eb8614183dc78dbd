package config

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/parley-stream/parley/events/settings"
)

// nameForm is what the names of sources and sinks look like: they are tokens of subjects and parts of paths.
var nameForm = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// named is one source or sink and the variables whose names begin with its own.
type named struct {
	name string
	vars *settings.Vars
	raw  map[string]string
}

// group gives each name its variables. A variable belongs to the longest name that it begins with: EU_CHATS_URL
// is URL of eu-chats, and CHATS_URL of eu only where there is no eu-chats.
func (c *Config) group(vars *settings.Vars, list, infix string, names []string, values map[string]string) []named {
	names = checkNames(vars, list, names)
	groups := make([]named, len(names))
	for i, name := range names {
		groups[i] = named{name: name, raw: map[string]string{}}
	}
	for _, variable := range slices.Sorted(maps.Keys(values)) {
		if i := longestMatch(names, variable); i >= 0 {
			groups[i].raw[variable[len(variableForm(names[i]))+1:]] = values[variable]
			continue
		}
		want := "belongs to no name in " + vars.Name(list)
		if len(names) > 0 {
			want += " (" + strings.Join(names, ", ") + ")"
		}
		c.faults = append(c.faults, settings.Fault{Variable: vars.Name(infix + variable), Want: want + "; add its name there"})
	}
	for i := range groups {
		groups[i].vars = settings.New(vars.Name(infix)+variableForm(groups[i].name)+"_", groups[i].raw)
	}
	return groups
}

// checkNames gives the names that can be used.
func checkNames(vars *settings.Vars, list string, names []string) []string {
	var good []string
	seen := map[string]string{}
	for _, name := range names {
		form := variableForm(name)
		first, twice := seen[form]
		seen[form] = name
		switch {
		case twice && first == name:
			vars.Fault(list, "want each name once; twice there is "+name)
		case twice:
			vars.Fault(list, "want names with variables of their own; both "+first+" and "+name+" would have "+form+"_…")
		case !nameForm.MatchString(name):
			vars.Fault(list, "want names of a to z, 0 to 9 and hyphens (at most 64), separated by commas")
		default:
			good = append(good, name)
		}
	}
	return good
}

// variableForm writes a name as in names of variables.
func variableForm(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// SourceVariable is the full name of a source's variable.
func SourceVariable(source, name string) string {
	return Prefix + "SOURCE_" + variableForm(source) + "_" + name
}

// SinkVariable is the full name of a sink's variable.
func SinkVariable(sink, name string) string {
	return Prefix + "SINK_" + variableForm(sink) + "_" + name
}

// longestMatch gives the index of the longest name whose variable this is; -1 if there is none.
func longestMatch(names []string, variable string) int {
	best := -1
	for i, name := range names {
		if strings.HasPrefix(variable, variableForm(name)+"_") && (best < 0 || len(name) > len(names[best])) {
			best = i
		}
	}
	return best
}

func newSource(g named, vendors []string) Source {
	var raw struct {
		Vendor string `env:"VENDOR"`
	}
	g.vars.Decode(&raw)
	s := Source{Name: g.name, Vars: g.vars}
	if known(g.vars, "VENDOR", raw.Vendor, vendors) {
		s.Vendor = raw.Vendor
	}
	return s
}

func newSink(g named, schemes []string) SinkConf {
	var raw struct {
		URL string `env:"URL"`
	}
	g.vars.Decode(&raw)
	s := SinkConf{Name: g.name, Vars: g.vars}
	_, rest, _ := strings.Cut(raw.URL, "://")
	if strings.ContainsAny(raw.URL, "@?") || strings.Contains(rest, "/") && !strings.HasPrefix(raw.URL, "file:") {
		g.vars.Redact("URL") // a password or a token may be in it; of a webhook the path may be one
	}
	scheme, _, ok := strings.Cut(raw.URL, ":")
	if !ok && raw.URL != "" {
		g.vars.Fault("URL", "want a URL such as file:///var/lib/parley/events or stdout:")
	} else if known(g.vars, "URL", scheme, schemes) {
		s.URL = raw.URL
	}
	return s
}

// known tells whether a kind is one of those that there are, and adds a fault if not.
func known(vars *settings.Vars, name, kind string, kinds []string) bool {
	list := strings.Join(kinds, ", ")
	switch {
	case kind == "":
		vars.Fault(name, strings.TrimSuffix("is missing; want one of "+list, "; want one of "))
	case len(kinds) > 0 && !slices.Contains(kinds, kind):
		vars.Fault(name, "want one of "+list)
	default:
		return true
	}
	return false
}

// RedactURL gives a URL as it may be shown: without the user and password that it may hold. Of what cannot be parsed nothing is shown.
func RedactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "[malformed URL]"
	}
	if u.User == nil {
		return raw
	}
	u.User = url.User("redacted")
	return u.String()
}

// urlSecrets are the user and password in a URL (NATS takes a lone user as a token).
func urlSecrets(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return nil
	}
	if password, ok := u.User.Password(); ok {
		return []string{password}
	}
	return []string{u.User.Username()}
}
