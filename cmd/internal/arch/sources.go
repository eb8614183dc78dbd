package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// headings are those of a room's package comment, with what stands under them.
var headings = [][2]string{
	{"# Config", "its variables, or that there are none"},
	{"# Delivery", "what one record is, and when it counts as delivered"},
	{"# Limits", "what it cannot give, or what is not documented"},
}

// roomsSayWhatTheyDo wants each room's package comment to answer the same three questions.
func roomsSayWhatTheyDo(t Tree) (faults []string) {
	for _, room := range t.rooms() {
		var comment strings.Builder
		for _, f := range room.code() {
			comment.WriteString(f.Syntax.Doc.Text())
		}
		for _, heading := range headings {
			if !slices.Contains(strings.Split(comment.String(), "\n"), heading[0]) {
				faults = append(faults, fmt.Sprintf("%s: its package comment has no heading %q: %s", room.Path, heading[0], heading[1]))
			}
		}
	}
	return faults
}

// roomsPassTheirSuite wants each room's tests to use the suite of its kind.
func roomsPassTheirSuite(t Tree) (faults []string) {
	for _, room := range t.rooms() {
		if l, _, _ := layerOf(room.Path); !imports(room.tests(), l.room) {
			faults = append(faults, room.Path+": no test uses "+l.room+", whose package comment says how")
		}
	}
	return faults
}

// roomsOwnNoLife refuses in rooms what belongs to their caller: goroutines, start-up, contexts, sleep.
func roomsOwnNoLife(t Tree) (faults []string) {
	for _, room := range t.rooms() {
		for _, f := range room.code() {
			for _, what := range ownLife(f) {
				faults = append(faults, f.Name+": a room has no "+what)
			}
		}
	}
	return faults
}

func ownLife(f File) (found []string) {
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "go statement: its caller runs it")
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				found = append(found, "init: the catalog lists it")
			}
		case *ast.SelectorExpr:
			switch f.qualified(n) {
			case "context.Background", "context." + "TODO":
				found = append(found, f.qualified(n)+": its caller gives the context")
			case "time.Sleep":
				found = append(found, "time.Sleep: wait on a timer and the context")
			}
		}
		return true
	})
	return found
}

// qualified gives path.Name for what is selected from an imported package, under whatever name it is imported, else "".
func (f File) qualified(s *ast.SelectorExpr) string {
	ident, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	for i, spec := range f.Syntax.Imports {
		name := path.Base(f.Imports[i])
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == ident.Name {
			return f.Imports[i] + "." + s.Sel.Name
		}
	}
	return ""
}

// noDotImports keeps every name's package visible, and the other rules able to see it.
func noDotImports(t Tree) []string {
	return t.eachFile(func(f File) (found []string) {
		for _, spec := range f.Syntax.Imports {
			if spec.Name != nil && spec.Name.Name == "." {
				found = append(found, "imports "+spec.Path.Value+" with a dot")
			}
		}
		return found
	})
}

// noTestSkips refuses what lets a check not run and still pass.
func noTestSkips(t Tree) []string {
	return t.eachFile(func(f File) (found []string) {
		testers := f.testers()
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			ident, _ := s.X.(*ast.Ident)
			skips := slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name)
			if (skips && ident != nil && testers[ident.Name]) || f.qualified(s) == "testing.Short" {
				found = append(found, "a test skips; a check that cannot run must fail")
			}
			return true
		})
		return found
	})
}

// testers are the names of parameters of type *testing.T and the like.
func (f File) testers() map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		typ := field.Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if s, ok := typ.(*ast.SelectorExpr); ok && strings.HasPrefix(f.qualified(s), "testing.") {
			for _, name := range field.Names {
				names[name.Name] = true
			}
		}
		return true
	})
	return names
}

var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// noUnfinishedMarks wants an issue instead of a mark in a comment.
func noUnfinishedMarks(t Tree) []string {
	return t.eachFile(func(f File) (found []string) {
		for _, group := range f.Syntax.Comments {
			if mark := unfinished.FindString(group.Text()); mark != "" {
				found = append(found, "a comment says "+mark+"; finish it, or open an issue")
			}
		}
		return found
	})
}

// badNames say when or how, and not what.
var badNames = []string{"util", "utils", "common", "helper", "helpers", "types", "poc", "misc", "base", "v2"}

// packagesAreNamedForWhatTheyAre refuses names that gather what belongs nowhere.
func packagesAreNamedForWhatTheyAre(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		if base := path.Base(pkg); slices.Contains(badNames, base) {
			faults = append(faults, pkg+": "+base+" says nothing of what it holds")
		}
	}
	return faults
}

// testsComeFromOutside wants tests to use what callers use. An export_test.go may open a package to its tests, and tests nothing itself.
func testsComeFromOutside(t Tree) (faults []string) {
	for _, pkg := range t.paths() {
		for _, f := range t[pkg].tests() {
			if strings.HasSuffix(f.Syntax.Name.Name, "_test") {
				continue
			}
			if path.Base(f.Name) != "export_test.go" || f.runsTests() {
				faults = append(faults, f.Name+": want package "+f.Syntax.Name.Name+"_test")
			}
		}
	}
	return faults
}

var testFunction = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)($|[^a-z])`)

func (f File) runsTests() bool {
	return slices.ContainsFunc(f.Syntax.Decls, func(d ast.Decl) bool {
		function, ok := d.(*ast.FuncDecl)
		return ok && function.Recv == nil && testFunction.MatchString(function.Name.Name)
	})
}

// configKnowsNoVendor refuses in cmd/internal/config the variables that a room alone decodes.
func configKnowsNoVendor(t Tree) (faults []string) {
	const config = "cmd/internal/config"
	if t[config] == nil {
		return []string{config + ": is not there"}
	}
	shared := map[string]bool{}
	for _, pkg := range []string{"pollers", "sinks"} {
		if t[pkg] != nil {
			for _, name := range variables(t[pkg]) {
				shared[name] = true
			}
		}
	}
	fields := map[string]string{}
	for _, room := range t.rooms() {
		for _, name := range variables(room) {
			if !shared[name] {
				fields[name] = room.Path
			}
		}
	}
	for _, f := range t[config].code() {
		for _, name := range append(literals(f), tagged(f)...) {
			if room := fields[name]; room != "" {
				faults = append(faults, fmt.Sprintf("%s: names %s, which is for %s to decode", f.Name, name, room))
			}
		}
	}
	return faults
}

// variables are the names in a package's env tags.
func variables(p *Package) (names []string) {
	for _, f := range p.code() {
		names = append(names, tagged(f)...)
	}
	return names
}

func tagged(f File) (names []string) {
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && field.Tag != nil {
			tag, _ := strconv.Unquote(field.Tag.Value)
			if name, _, _ := strings.Cut(reflect.StructTag(tag).Get("env"), ","); name != "" {
				names = append(names, strings.TrimSpace(name))
			}
		}
		return true
	})
	return names
}

func literals(f File) (values []string) {
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if value, err := strconv.Unquote(lit.Value); err == nil {
				values = append(values, value)
			}
		}
		return true
	})
	return values
}

// rooms are the packages that one vendor or destination has to itself.
func (t Tree) rooms() (rooms []*Package) {
	for _, pkg := range t.paths() {
		if l, _, _ := layerOf(pkg); l.room != "" {
			rooms = append(rooms, t[pkg])
		}
	}
	return rooms
}

func (t Tree) eachFile(check func(File) []string) (faults []string) {
	for _, pkg := range t.paths() {
		for _, f := range t[pkg].Files {
			for _, fault := range check(f) {
				faults = append(faults, f.Name+": "+fault)
			}
		}
	}
	return faults
}
