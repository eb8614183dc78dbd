// Package arch holds the rules of the tree: who may import whom, what a room must have and must not do, and how
// decisions are recorded. Its tests hold the repository to them, and each rule to a tree that breaks it: a rule is a test, or
// it is not a rule.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Module is the module's path, which import paths begin with.
const Module = "github.com/parley-stream/parley"

// Tree is a parsed module: packages by their folder ("pollers/liveagent").
type Tree map[string]*Package

// Package is one folder's Go files.
type Package struct {
	Path  string
	Files []File
}

// File is one Go file.
type File struct {
	Name   string // from the module's root
	Test   bool
	Syntax *ast.File
	// Imports are what it imports: of this module by folder, others by path.
	Imports []string
}

// Load parses every Go file below the root, whatever its build tags; testdata, hidden folders and nested modules (tools) are no part of the tree.
func Load(root fs.FS) (Tree, error) {
	tree := Tree{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(root, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		file, err := parse(root, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if tree[dir] == nil {
			tree[dir] = &Package{Path: dir}
		}
		tree[dir].Files = append(tree[dir].Files, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parse the tree: %w", err)
	}
	return tree, nil
}

func skip(root fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	if err == nil || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	return nil
}

func parse(root fs.FS, name string) (File, error) {
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return File{}, err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, err
	}
	file := File{Name: name, Test: strings.HasSuffix(name, "_test.go"), Syntax: syntax}
	for _, spec := range syntax.Imports {
		file.Imports = append(file.Imports, importPath(spec))
	}
	return file, nil
}

func importPath(spec *ast.ImportSpec) string {
	imported, _ := strconv.Unquote(spec.Path.Value) // the parser took it
	if imported == Module {
		return "."
	}
	return strings.TrimPrefix(imported, Module+"/")
}

// Ours tells whether an import is a package of the tree.
func (t Tree) Ours(imported string) bool { return t[imported] != nil }

// code are the package's files without its tests, tests the others.
func (p *Package) code() []File  { return p.files(false) }
func (p *Package) tests() []File { return p.files(true) }

func (p *Package) files(test bool) []File {
	var files []File
	for _, f := range p.Files {
		if f.Test == test {
			files = append(files, f)
		}
	}
	return files
}

// imports tells whether any of the files imports a package.
func imports(files []File, imported string) bool {
	for _, f := range files {
		for _, i := range f.Imports {
			if i == imported {
				return true
			}
		}
	}
	return false
}
