package arch_test

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/parley-stream/parley/cmd/internal/arch"
)

const root = "../../.."

func TestTheTreeKeepsItsRules(t *testing.T) {
	tree, err := arch.Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree) < 8 {
		t.Fatalf("only %d packages found", len(tree))
	}
	for name, rule := range arch.Rules() {
		t.Run(name, func(t *testing.T) {
			for _, fault := range rule(tree) {
				t.Error(fault)
			}
		})
	}
}

const roomComment = "// Package acme reads Acme.\n//\n// # Config\n//\n// # Delivery\n//\n// # Limits\n"

// good is a small tree that keeps every rule; the bad ones differ from it by one file.
func good() map[string]string {
	return map[string]string{
		"events/events.go":                       "package events\n",
		"events/settings/settings.go":            "package settings\n",
		"events/broker/broker.go":                `package broker; import (_ "P/events"; _ "github.com/nats-io/nats.go")`,
		"pollers/pollers.go":                     "package pollers; import _ `P/events`; type shared struct { URL string `env:\"URL\"` }",
		"pollers/simulated/simulated.go":         "package simulated\n",
		"pollers/pollertest/pollertest.go":       `package pollertest; import (_ "P/pollers"; _ "P/pollers/simulated")`,
		"pollers/acme/acme.go":                   roomComment + "package acme; import _ `P/pollers`; type s struct { URL string `env:\"URL\"`; Login string `env:\"LOGIN, required\"` }",
		"pollers/acme/acme_test.go":              `package acme_test; import (_ "P/pollers/acme"; _ "P/pollers/acme/acmesim"; _ "P/pollers/pollertest"; _ "P/pollers/simulated")`,
		"pollers/acme/acmesim/sim.go":            `package acmesim; import _ "P/pollers/simulated"`,
		"processors/processors.go":               `package processors; import _ "P/events"`,
		"processors/processortest/suite.go":      `package processortest; import _ "P/processors"`,
		"processors/normalize/acme/acme.go":      roomComment + `package acme; import (_ "P/events"; _ "P/processors")`,
		"processors/normalize/acme/acme_test.go": `package acme_test; import (_ "P/processors/normalize/acme"; _ "P/processors/processortest")`,
		"sinks/sinks.go":                         `package sinks; import _ "P/events"`,
		"sinks/sinktest/suite.go":                `package sinktest; import _ "P/sinks"`,
		"sinks/drain/drain.go":                   roomComment + `package drain; import _ "P/sinks"`,
		"sinks/drain/export_test.go":             "package drain; func Testing() {}; func Open() {}",
		"sinks/drain/drain_test.go":              `package drain_test; import _ "P/sinks/sinktest"`,
		"cmd/internal/config/config.go":          "package config; import _ `P/events/settings`; type s struct { URL string `env:\"URL\"` }",
		"cmd/internal/console/console.go":        `package console; import _ "P/events"`,
		"cmd/internal/catalog/catalog.go":        `package catalog; import (_ "P/pollers/acme"; _ "P/pollers/acme/acmesim"; _ "P/processors/normalize/acme"; _ "P/sinks/drain")`,
		"cmd/internal/app/app.go":                `package app; import (_ "P/cmd/internal/catalog"; _ "P/cmd/internal/config"; _ "P/events/broker"; _ "P/pollers")`,
		"cmd/internal/app/app_test.go":           `package app_test; import (_ "P/sinks/drain"; _ "github.com/nats-io/nats-server/v2/server")`,
		"cmd/parley/main.go":                     `package main; import (_ "P/cmd/internal/app"; _ "P/cmd/internal/config"; _ "P/cmd/internal/console")`,
		"tools/go.mod":                           "module tools\n",
		"tools/tools.go":                         `package util; import _ "P/anything"`,
		"events/testdata/broken.go":              "no Go",
	}
}

func load(t *testing.T, sources map[string]string) arch.Tree {
	t.Helper()
	files := fstest.MapFS{}
	for name, source := range sources {
		files[name] = &fstest.MapFile{Data: []byte(strings.NewReplacer(`"P/`, `"`+arch.Module+"/", "`P/", "`"+arch.Module+"/").Replace(source))}
	}
	tree, err := arch.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestAGoodTreeBreaksNoRule(t *testing.T) {
	tree := load(t, good())
	for name, rule := range arch.Rules() {
		if faults := rule(tree); len(faults) > 0 {
			t.Errorf("%s: %s", name, strings.Join(faults, "\n"))
		}
	}
}

// bad is one file that breaks one rule, and what the rule must say; a nil source takes the file away.
type bad struct{ rule, file, source, want string }

func TestEachRuleRefusesWhatBreaksIt(t *testing.T) {
	cases := map[string]bad{
		"a package of no layer":               {"every package has a rule", "brokers/kafka/kafka.go", "package kafka", "brokers/kafka: no rule"},
		"a package at the root":               {"every package has a rule", "parley.go", "package parley", ".: no rule"},
		"a package too deep":                  {"every package has a rule", "sinks/drain/deep/deep.go", "package deep", "sinks/drain/deep: no rule"},
		"events imports ours":                 {"imports point down", "events/x.go", `package events; import _ "P/events/settings"`, "events/x.go: code here may not import events/settings"},
		"settings imports ours":               {"imports point down", "events/settings/x.go", `package settings; import _ "P/events"`, "may not import events"},
		"the broker imports pollers":          {"imports point down", "events/broker/x.go", `package broker; import _ "P/pollers"`, "may not import pollers"},
		"pollers import processors":           {"imports point down", "pollers/x.go", `package pollers; import _ "P/processors"`, "may not import processors"},
		"processors import sinks":             {"imports point down", "processors/x.go", `package processors; import _ "P/sinks"`, "may not import sinks"},
		"sinks import pollers":                {"imports point down", "sinks/x.go", `package sinks; import _ "P/pollers"`, "may not import pollers"},
		"a poller room imports the broker":    {"imports point down", "pollers/acme/x.go", `package acme; import _ "P/events/broker"`, "may not import events/broker"},
		"a poller room imports its simulator": {"imports point down", "pollers/acme/x.go", `package acme; import _ "P/pollers/acme/acmesim"`, "may not import pollers/acme/acmesim"},
		"a poller room imports another":       {"imports point down", "pollers/other/other.go", `package other; import _ "P/pollers/acme"`, "may not import pollers/acme"},
		"a poller's test uses another's sim":  {"imports point down", "pollers/other/other_test.go", `package other_test; import _ "P/pollers/acme/acmesim"`, "a test here may not import pollers/acme/acmesim"},
		"a simulator imports its room":        {"imports point down", "pollers/acme/acmesim/x.go", `package acmesim; import _ "P/pollers/acme"`, "may not import pollers/acme"},
		"a simulator imports pollers":         {"imports point down", "pollers/acme/acmesim/x.go", `package acmesim; import _ "P/pollers"`, "may not import pollers"},
		"a simulator's test imports the room": {"imports point down", "pollers/acme/acmesim/x_test.go", `package acmesim_test; import _ "P/pollers/acme"`, "may not import pollers/acme"},
		"a normaliser imports a poller":       {"imports point down", "processors/normalize/acme/x.go", `package acme; import _ "P/pollers"`, "may not import pollers"},
		"a normaliser's test imports one":     {"imports point down", "processors/normalize/acme/x_test.go", `package acme_test; import _ "P/pollers/acme"`, "may not import pollers/acme"},
		"a normaliser reads configuration":    {"imports point down", "processors/normalize/acme/x.go", `package acme; import _ "P/events/settings"`, "may not import events/settings"},
		"a sink imports another":              {"imports point down", "sinks/other/other.go", `package other; import _ "P/sinks/drain"`, "may not import sinks/drain"},
		"the sinks' tests import a poller":    {"imports point down", "sinks/x_test.go", `package sinks_test; import _ "P/pollers"`, "a test here may not import pollers"},
		"config imports a room":               {"imports point down", "cmd/internal/config/x.go", `package config; import _ "P/pollers/acme"`, "may not import pollers/acme"},
		"console imports pollers":             {"imports point down", "cmd/internal/console/x.go", `package console; import _ "P/pollers"`, "may not import pollers"},
		"the command holds logic":             {"imports point down", "cmd/parley/x.go", `package main; import _ "P/events/broker"`, "may not import events/broker"},
		"the catalog imports the app":         {"imports point down", "cmd/internal/catalog/x.go", `package catalog; import _ "P/cmd/internal/app"`, "may not import cmd/internal/app"},
		"code uses a suite":                   {"suites serve tests", "pollers/acme/x.go", `package acme; import _ "P/pollers/pollertest"`, "pollers/acme: only tests may import pollers/pollertest"},
		"the app uses a suite":                {"suites serve tests", "cmd/internal/app/x.go", `package app; import _ "P/sinks/sinktest"`, "cmd/internal/app: only tests"},
		"a poller knows NATS":                 {"the broker alone knows NATS", "pollers/x.go", `package pollers; import _ "github.com/nats-io/nats.go/jetstream"`, "pollers/x.go: imports github.com/nats-io/nats.go/jetstream"},
		"a poller's test knows NATS":          {"the broker alone knows NATS", "pollers/x_test.go", `package pollers_test; import _ "github.com/nats-io/nats-server/v2/server"`, "pollers/x_test.go: imports"},
		"the app's code knows NATS":           {"the broker alone knows NATS", "cmd/internal/app/x.go", `package app; import _ "github.com/nats-io/nats.go"`, "cmd/internal/app/x.go: imports"},
		"the app lists rooms":                 {"the catalog alone lists rooms", "cmd/internal/app/x.go", `package app; import _ "P/sinks/drain"`, "imports sinks/drain; rooms are listed in"},
		"the app lists simulators":            {"the catalog alone lists rooms", "cmd/internal/app/x.go", `package app; import _ "P/pollers/acme/acmesim"`, "imports pollers/acme/acmesim"},
		"a poller is in no catalog":           {"every room is in the catalog", "pollers/other/other.go", "package other", "pollers/other: is not in cmd/internal/catalog"},
		"a simulator is in no catalog":        {"every room is in the catalog", "pollers/other/othersim/sim.go", "package othersim", "pollers/other/othersim: is not in"},
		"there is no catalog":                 {"every room is in the catalog", "cmd/internal/catalog/catalog.go", "", "sinks/drain: is not in"},
		"a simulator under another name":      {"simulators are named after their vendor", "pollers/acme/fake/fake.go", "package fake", "pollers/acme/fake: want pollers/acme/acmesim"},
		"a room without a comment":            {"rooms say what they do", "sinks/drain/drain.go", "package drain", `sinks/drain: its package comment has no heading "# Config"`},
		"a room without its limits":           {"rooms say what they do", "pollers/acme/acme.go", "// Package acme reads.\n//\n// # Config\n//\n// # Delivery\npackage acme", `no heading "# Limits"`},
		"a room without tests":                {"rooms pass their suite", "sinks/drain/drain_test.go", "", "sinks/drain: no test uses sinks/sinktest"},
		"a room that runs its suite nowhere":  {"rooms pass their suite", "pollers/acme/acme_test.go", "package acme_test", "pollers/acme: no test uses pollers/pollertest"},
		"a room starts a goroutine":           {"rooms own no life", "pollers/acme/x.go", "package acme; func f() { go f() }", "pollers/acme/x.go: a room has no go statement"},
		"a room registers itself":             {"rooms own no life", "sinks/drain/x.go", "package drain; func init() {}", "a room has no init"},
		"a room makes a context":              {"rooms own no life", "pollers/acme/x.go", `package acme; import "context"; var x = context.Background()`, "no context.Background"},
		"a room makes one under an alias":     {"rooms own no life", "pollers/acme/x.go", `package acme; import c "context"; var x = c.TODO()`, "a room has no context."},
		"a room sleeps":                       {"rooms own no life", "processors/normalize/acme/x.go", `package acme; import "time"; func f() { time.Sleep(1) }`, "no time.Sleep"},
		"a dot import":                        {"no dot imports", "sinks/x.go", `package sinks; import . "time"`, `imports "time" with a dot`},
		"a test skips":                        {"no test skips", "sinks/x_test.go", `package sinks_test; import "testing"; func TestX(t *testing.T) { t.Skip() }`, "sinks/x_test.go: a test skips"},
		"a test skips under another name":     {"no test skips", "sinks/x_test.go", `package sinks_test; import "testing"; func TestX(tt *testing.T) { tt.SkipNow() }`, "a test skips"},
		"a suite skips":                       {"no test skips", "sinks/sinktest/x.go", `package sinktest; import "testing"; func Run(tb testing.TB) { tb.Skipf("") }`, "a test skips"},
		"a short test":                        {"no test skips", "sinks/x_test.go", `package sinks_test; import "testing"; var short = testing.Short()`, "a test skips"},
		"an unfinished comment":               {"nothing is marked unfinished", "sinks/x.go", "package sinks\n\n// TO" + "DO: more", "sinks/x.go: a comment says TO" + "DO"},
		"a broken comment":                    {"nothing is marked unfinished", "sinks/x.go", "package sinks // FIX" + "ME", "a comment says FIX" + "ME"},
		"a package that gathers":              {"packages are named for what they are", "pollers/internal/util/x.go", "package util", "pollers/internal/util: util says nothing"},
		"a package named for when":            {"packages are named for what they are", "sinks/v2/x.go", "package v2", "sinks/v2: v2 says"},
		"a test from inside":                  {"tests come from outside", "sinks/x_test.go", "package sinks", "sinks/x_test.go: want package sinks_test"},
		"a test in an export_test.go":         {"tests come from outside", "sinks/export_test.go", `package sinks; import "testing"; func TestX(t *testing.T) {}`, "sinks/export_test.go: want package sinks_test"},
		"config decodes a vendor's variable":  {"configuration knows no vendor's variables", "cmd/internal/config/x.go", "package config; type x struct { L string `env:\"LOGIN\"` }", "cmd/internal/config/x.go: names LOGIN, which is for pollers/acme"},
		"config names a vendor's variable":    {"configuration knows no vendor's variables", "cmd/internal/config/x.go", `package config; const x = "LOGIN"`, "names LOGIN"},
		"there is no config":                  {"configuration knows no vendor's variables", "cmd/internal/config/config.go", "", "is not there"},
	}
	tried := map[string]bool{}
	for name, c := range cases {
		tried[c.rule] = true
		t.Run(name, func(t *testing.T) {
			sources := good()
			sources[c.file] = c.source
			if c.source == "" {
				delete(sources, c.file)
			}
			faults := arch.Rules()[c.rule](load(t, sources))
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("faults %q; want one that says %q", faults, c.want)
			}
		})
	}
	for rule := range arch.Rules() {
		if !tried[rule] {
			t.Errorf("no example breaks the rule %q", rule)
		}
	}
}

func TestOtherSkipsAreNoSkippedTests(t *testing.T) {
	sources := good()
	sources["sinks/x_test.go"] = `package sinks_test; import ("encoding/xml"; "testing"); func TestX(t *testing.T) { var d *xml.Decoder; d.Skip() }`
	if faults := arch.Rules()["no test skips"](load(t, sources)); len(faults) > 0 {
		t.Errorf("%q", faults)
	}
}

func TestAFileThatIsNoGoIsAnError(t *testing.T) {
	if _, err := arch.Load(fstest.MapFS{"x/x.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("no error")
	}
}

var recordName = regexp.MustCompile(`^([0-9]{4})-[a-z0-9-]+\.md$`)

func TestDecisionRecordsAreShortAndHaveTheSameForm(t *testing.T) {
	records, err := os.ReadDir("decisions")
	if err != nil || len(records) == 0 {
		t.Fatalf("%d records, error %v", len(records), err)
	}
	numbers := map[string]string{}
	for _, record := range records {
		t.Run(record.Name(), func(t *testing.T) {
			parts := recordName.FindStringSubmatch(record.Name())
			if parts == nil {
				t.Fatal("want a name such as 0001-objects-age-out.md")
			}
			if other := numbers[parts[1]]; other != "" {
				t.Errorf("has the number of %s", other)
			}
			numbers[parts[1]] = record.Name()
			checkRecord(t, record.Name(), parts[1])
		})
	}
}

func checkRecord(t *testing.T, name, number string) {
	content, err := os.ReadFile(path.Join("decisions", name))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	if len(lines) > 40 {
		t.Errorf("has %d lines, want at most 40", len(lines))
	}
	if !strings.HasPrefix(lines[0], "# "+number+" ") {
		t.Errorf("begins with %q, want # %s and its title", lines[0], number)
	}
	var headings []string
	for _, line := range lines[1:] {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			headings = append(headings, heading)
		}
	}
	if want := []string{"Context", "Decision", "Consequences"}; !slices.Equal(headings, want) {
		t.Errorf("has the headings %q, want %q", headings, want)
	}
}
