package arch

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// layer says what the packages of one place may import of the tree. In patterns * is one folder; /... at
// the end is the folder and all below it; $v is the folder that * stood for.
type layer struct {
	packages string
	code     []string // what the code may import
	tests    []string // what the tests may import beside that and the package itself
	room     string   // the suite, where the packages are rooms
	sim      bool     // the packages are vendors' simulators
}

// layers are tried in order: the first whose pattern fits is the package's.
var layers = []layer{
	{packages: "events"},
	{packages: "events/settings"},
	{packages: "events/subscribe", tests: []string{"events", "events/broker"}},
	{packages: "events/broker/...", code: []string{"events", "events/broker/..."}},

	// The tests of a contract's package may run it against its own rooms.
	{packages: "pollers", code: []string{"events", "events/settings", "events/broker"}, tests: []string{"events/broker/...", "pollers/..."}},
	{packages: "pollers/simulated"},
	{packages: "pollers/pollertest", code: []string{"events", "events/settings", "pollers", "pollers/simulated"}},
	{packages: "pollers/internal/*", code: []string{"events", "events/settings", "pollers", "pollers/internal/..."}, tests: []string{"pollers/simulated"}},
	{
		packages: "pollers/*", room: "pollers/pollertest",
		code:  []string{"events", "events/settings", "pollers", "pollers/internal/..."},
		tests: []string{"pollers/pollertest", "pollers/simulated", "pollers/$v/$vsim"},
	},
	{packages: "pollers/*/*", sim: true, code: []string{"pollers/simulated"}},

	{packages: "processors", code: []string{"events", "events/settings", "events/broker"}, tests: []string{"events/broker/...", "processors/..."}},
	{packages: "processors/processortest", code: []string{"events", "processors"}},
	{packages: "processors/internal/*", code: []string{"events", "processors", "processors/internal/..."}},
	{
		packages: "processors/normalize/*", room: "processors/processortest",
		code: []string{"events", "processors", "processors/internal/..."}, tests: []string{"processors/processortest"},
	},
	{
		packages: "processors/*", room: "processors/processortest",
		code: []string{"events", "processors", "processors/internal/..."}, tests: []string{"processors/processortest"},
	},

	{packages: "sinks", code: []string{"events", "events/settings", "events/broker"}, tests: []string{"events/broker/...", "sinks/..."}},
	{packages: "sinks/sinktest", code: []string{"events", "events/settings", "sinks"}},
	{packages: "sinks/s3test"},
	{packages: "sinks/internal/*", code: []string{"events", "sinks", "sinks/internal/..."}, tests: []string{"sinks/sinktest"}},
	{
		packages: "sinks/*", room: "sinks/sinktest",
		code: []string{"events", "events/settings", "sinks", "sinks/internal/..."}, tests: []string{"sinks/sinktest", "sinks/s3test"},
	},

	{packages: "cmd/internal/arch", tests: []string{"cmd/internal/...", "events/broker", "pollers/..."}},
	{packages: "cmd/internal/config", code: []string{"events/settings"}},
	{packages: "cmd/internal/console", code: []string{"events"}, tests: []string{"events/..."}},
	{
		packages: "cmd/internal/catalog", tests: []string{"..."},
		code: []string{"cmd/internal/config", "events", "events/settings", "pollers/...", "processors/...", "sinks/..."},
	},
	{
		packages: "cmd/internal/app", tests: []string{"..."},
		code: []string{"cmd/internal/...", "events/...", "pollers", "pollers/simulated", "processors", "sinks"},
	},
	{packages: "cmd/internal/operator", tests: []string{"..."}, code: []string{"cmd/internal/console", "events", "events/broker", "pollers", "sinks"}},
	{
		packages: "cmd/internal/ops", tests: []string{"..."},
		code: []string{"events", "events/settings", "events/broker", "pollers", "processors", "sinks"},
	},
	{
		packages: "cmd/internal/dashboard", tests: []string{"..."},
		code: []string{"cmd/internal/console", "cmd/internal/operator", "events", "events/broker", "pollers", "sinks"},
	},
	{packages: "cmd/internal/load", code: []string{"cmd/internal/load/measure"}},
	{
		packages: "cmd/internal/load/measure", code: []string{"cmd/internal/app", "cmd/internal/catalog", "cmd/internal/console", "events/...", "pollers", "processors", "sinks", "sinks/s3test"},
	},
	{
		packages: "cmd/parley", tests: []string{"..."},
		code: []string{"cmd/internal/app", "cmd/internal/config", "cmd/internal/console"},
	},
}

// suites are imported from tests and from each other alone; the catalog, whose imports are rooms, is held to it too.
var suites = []string{"pollers/pollertest", "processors/processortest", "sinks/sinktest"}

const catalog = "cmd/internal/catalog"

// nats are the modules that events/broker alone knows.
var nats = []string{"github.com/nats-io/nats.go", "github.com/nats-io/nats-server"}

// layerOf gives a package's layer and the folder that its pattern's first * stood for.
func layerOf(pkg string) (layer, string, bool) {
	for _, l := range layers {
		if star, ok := match(l.packages, pkg); ok {
			return l, star, true
		}
	}
	return layer{}, "", false
}

func match(pattern, pkg string) (star string, ok bool) {
	if pattern == "..." {
		return "", true
	}
	if base, deep := strings.CutSuffix(pattern, "/..."); deep {
		return "", pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	want, have := strings.Split(pattern, "/"), strings.Split(pkg, "/")
	if len(want) != len(have) {
		return "", false
	}
	for i := range want {
		switch {
		case want[i] == have[i]:
		case want[i] != "*":
			return "", false
		case star == "":
			star = have[i]
		}
	}
	return star, true
}

// everyPackageHasARule refuses a package whose place nobody has thought about.
func everyPackageHasARule(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		if _, _, ok := layerOf(pkg); !ok {
			faults = append(faults, pkg+": no rule says what it may import; give it one in cmd/internal/arch")
		}
	}
	return faults
}

// importsPointDown holds every package to its layer.
func importsPointDown(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		l, star, _ := layerOf(pkg)
		for _, file := range t[pkg].Files {
			for _, imported := range file.Imports {
				if t.Ours(imported) && !l.allows(imported, pkg, star, file.Test) {
					faults = append(faults, fmt.Sprintf("%s: %s may not import %s", file.Name, kindOf(file), imported))
				}
			}
		}
	}
	return faults
}

func kindOf(f File) string {
	if f.Test {
		return "a test here"
	}
	return "code here"
}

func (l layer) allows(imported, pkg, star string, test bool) bool {
	allowed := l.code
	if test {
		allowed = slices.Concat(l.code, l.tests, []string{pkg})
	}
	return slices.ContainsFunc(allowed, func(pattern string) bool {
		_, ok := match(strings.ReplaceAll(pattern, "$v", star), imported)
		return ok
	})
}

// suitesServeTests refuses a suite in code: it would carry package testing into the binary.
func suitesServeTests(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		for _, suite := range suites {
			if pkg != suite && imports(t[pkg].code(), suite) {
				faults = append(faults, pkg+": only tests may import "+suite)
			}
		}
	}
	return faults
}

// brokerAloneKnowsNATS refuses NATS elsewhere, in tests too, except the command's.
func brokerAloneKnowsNATS(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		if _, broker := match("events/broker/...", pkg); broker {
			continue
		}
		_, cmd := match("cmd/...", pkg)
		for _, file := range t[pkg].Files {
			for _, imported := range file.Imports {
				if isNATS(imported) && (!cmd || !file.Test) {
					faults = append(faults, fmt.Sprintf("%s: imports %s, which events/broker alone knows", file.Name, imported))
				}
			}
		}
	}
	return faults
}

func isNATS(imported string) bool {
	return slices.ContainsFunc(nats, func(module string) bool {
		return imported == module || strings.HasPrefix(imported, module+"/")
	})
}

// catalogAloneListsRooms refuses rooms and simulators anywhere but in the catalog, the room itself and tests.
func catalogAloneListsRooms(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		if pkg == catalog {
			continue
		}
		for _, file := range t[pkg].code() {
			for _, imported := range file.Imports {
				if l, _, _ := layerOf(imported); t.Ours(imported) && (l.room != "" || l.sim) {
					faults = append(faults, fmt.Sprintf("%s: imports %s; rooms are listed in %s alone", file.Name, imported, catalog))
				}
			}
		}
	}
	return faults
}

// roomsAreInTheCatalog refuses a room or simulator that no binary would have.
func roomsAreInTheCatalog(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		l, _, _ := layerOf(pkg)
		if l.room == "" && !l.sim {
			continue
		}
		if t[catalog] == nil || !imports(t[catalog].code(), pkg) {
			faults = append(faults, pkg+": is not in "+catalog+": no binary would have it")
		}
	}
	return faults
}

// simulatorsAreNamedAfterTheirVendor refuses a folder in a poller's room that is not its simulator.
func simulatorsAreNamedAfterTheirVendor(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		if l, vendor, _ := layerOf(pkg); l.sim && path.Base(pkg) != vendor+"sim" {
			faults = append(faults, pkg+": want "+path.Dir(pkg)+"/"+vendor+"sim; code that vendors share lives in pollers/internal")
		}
	}
	return faults
}

func (t Tree) paths() []string { return slices.Sorted(maps.Keys(t)) }
