package arch_test

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const faultTable = "decisions/0012-each-fault-has-its-test.md"

var (
	faultRow  = regexp.MustCompile(`^\| ([A-Z][0-9]+) \|[^|]+\|([^|]+)\|[^|]+\|$`)
	testFunc  = regexp.MustCompile(`(?m)^func (?:\(\w+ \*?\w+\) )?((?:[tT]est|Fuzz)[A-Z]\w*)\(\w+ \*testing\.[TF]\)`)
	testWords = regexp.MustCompile(`^(?:[tT]est|Fuzz)[A-Z]\w*$`)
)

// faults are the rows of a table: the tests that each names.
func faults(table string) (rows []string, tests map[string][]string) {
	tests = map[string][]string{}
	for line := range strings.Lines(table) {
		if m := faultRow.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			rows = append(rows, m[1])
			tests[m[1]] = strings.Fields(m[2])
		}
	}
	return rows, tests
}

// testsOf are the tests of a tree, and the parts of its suites.
func testsOf(tree fs.FS) (map[string]bool, error) {
	found := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "test/") {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		for _, m := range testFunc.FindAllSubmatch(content, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	return found, err
}

func TestEachFaultOfTheTableHasTestsThatExist(t *testing.T) {
	table, err := os.ReadFile(faultTable)
	if err != nil {
		t.Fatal(err)
	}
	rows, tests := faults(string(table))
	var want []string
	for _, group := range []struct {
		letter string
		to     int
	}{{"A", 16}, {"B", 7}, {"H", 5}} {
		for n := 1; n <= group.to; n++ {
			want = append(want, fmt.Sprint(group.letter, n))
		}
	}
	if !slices.Equal(rows, want) {
		t.Errorf("the rows are %v; want %v", rows, want)
	}
	exist, err := testsOf(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if len(tests[row]) == 0 {
			t.Errorf("%s names no test", row)
		}
		for _, name := range tests[row] {
			if !testWords.MatchString(name) || !exist[name] {
				t.Errorf("%s names %s, which is no test", row, name)
			}
		}
	}
}
