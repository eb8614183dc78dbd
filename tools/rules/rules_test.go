// Package rules_test holds the alert rules, the Grafana dashboard and the KEDA scaler to the metrics that Parley has.
package rules_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

const deploy = "../../deploy/"

// metrics gives the labels of each metric, from the list that a test of cmd/internal/ops holds to the registry.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(parley_[a-z_]+)` \\| (\\w+) \\| ([a-z, ]*) \\|").FindAllStringSubmatch(read(t, "prometheus/metrics.md"), -1) {
		names := []string{m[1]}
		if m[2] == "histogram" {
			names = []string{m[1] + "_bucket", m[1] + "_sum", m[1] + "_count"}
		}
		for _, name := range names {
			found[name] = append(strings.Split(m[3], ", "), "instance", "job")
		}
	}
	if len(found) < 40 {
		t.Fatalf("only %d metrics are listed", len(found))
	}
	found["process_resident_memory_bytes"] = []string{"instance", "job"}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(deploy + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// check holds one query to the metrics and their labels.
func check(t *testing.T, known map[string][]string, where, query string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %q: %v", where, query, err)
		return
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		has, ok := known[selector.Name]
		if !ok {
			t.Errorf("%s: there is no metric %s", where, selector.Name)
			return nil
		}
		for _, m := range selector.LabelMatchers {
			if m.Name != labels.MetricName && !slices.Contains(has, m.Name) {
				t.Errorf("%s: %s has no label %s", where, selector.Name, m.Name)
			}
		}
		return nil
	})
}

func TestEveryAlertIsOfMetricsThatExistAndSaysWhatToDo(t *testing.T) {
	known := metrics(t)
	groups, errs := rulefmt.Parse([]byte(read(t, "prometheus/rules.yml")), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) == 0 {
		t.Fatal("there are no rules")
	}
	once := make(map[string]bool)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if name := r.Alert + labels.FromMap(r.Labels).String(); once[name] {
				t.Errorf("%s is there twice", name)
			} else {
				once[name] = true
			}
			check(t, known, r.Alert, r.Expr)
			if r.Annotations["summary"] == "" || r.Annotations["action"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s: want a summary, an action and a severity", r.Alert)
			}
		}
	}
}

func TestEveryPanelIsOfMetricsThatExist(t *testing.T) {
	known := metrics(t)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/parley.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) == 0 {
		t.Fatal("there are no panels")
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			check(t, known, p.Title, target.Expr)
		}
	}
}

func TestTheScalerIsOfMetricsThatExist(t *testing.T) {
	known := metrics(t)
	var scaler struct {
		Spec struct {
			Triggers []struct{ Metadata map[string]string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "kubernetes/base/keda.yaml")), &scaler); err != nil {
		t.Fatal(err)
	}
	if len(scaler.Spec.Triggers) == 0 {
		t.Fatal("there are no triggers")
	}
	for _, trigger := range scaler.Spec.Triggers {
		check(t, known, "keda", trigger.Metadata["query"])
	}
}
