package arch_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/parley-stream/parley/cmd/internal/config"
)

// workload is what this test reads of a Kubernetes object.
type workload struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		MaxUnavailable int `yaml:"maxUnavailable"`
		Selector       struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		ScaleTargetRef struct{ Name string } `yaml:"scaleTargetRef"`
		Template       struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				SecurityContext struct {
					RunAsNonRoot bool `yaml:"runAsNonRoot"`
					RunAsUser    int  `yaml:"runAsUser"`
				} `yaml:"securityContext"`
				Containers []container
				Volumes    []struct{ Name string }
			}
		}
	}
}

type container struct {
	Image, Name string
	Args        []string
	EnvFrom     []struct {
		ConfigMapRef struct{ Name string } `yaml:"configMapRef"`
	} `yaml:"envFrom"`
	Env   []struct{ Name, Value string }
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe    probe `yaml:"startupProbe"`
	LivenessProbe   probe `yaml:"livenessProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// base gives the objects of deploy/kubernetes/base by kind and name. A field that is given twice is an error of the parser.
func base(t *testing.T) map[string]workload {
	t.Helper()
	var k struct{ Resources []string }
	if err := yaml.Unmarshal(read(t, "deploy/kubernetes/base/kustomization.yaml"), &k); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(path.Join(root, "deploy/kubernetes/base"))
	if err != nil || len(entries) != len(k.Resources)+1 {
		t.Fatalf("%d files, %d resources in kustomization.yaml: %v", len(entries), len(k.Resources), err)
	}
	all := make(map[string]workload)
	for _, name := range k.Resources {
		d := yaml.NewDecoder(bytes.NewReader(read(t, "deploy/kubernetes/base/"+name)))
		for {
			var w workload
			if err := d.Decode(&w); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all[w.Kind+" "+w.Metadata.Name] = w
		}
	}
	return all
}

func TestKubernetesRunsEachRoleWithADisruptionBudgetAndScalesThePollers(t *testing.T) {
	objects := base(t)
	want := []string{
		"Deployment parley-poll", "Deployment parley-process", "Deployment parley-sink", "Job parley-provision", "PersistentVolumeClaim parley-files",
		"PodDisruptionBudget parley-poll", "PodDisruptionBudget parley-process", "PodDisruptionBudget parley-sink", "ScaledObject parley-poll",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(objects))); diff != "" {
		t.Fatalf("objects (-want +got):\n%s", diff)
	}
	for _, role := range []string{"poll", "process", "sink"} {
		d, budget := objects["Deployment parley-"+role], objects["PodDisruptionBudget parley-"+role]
		labels := map[string]string{"app": "parley", "role": role}
		for what, got := range map[string]map[string]string{
			"selector": d.Spec.Selector.MatchLabels, "labels": d.Spec.Template.Metadata.Labels, "budget": budget.Spec.Selector.MatchLabels,
		} {
			if !maps.Equal(got, labels) {
				t.Errorf("%s: %s %v", role, what, got)
			}
		}
		if budget.Spec.MaxUnavailable != 1 {
			t.Errorf("%s: the budget lets %d go", role, budget.Spec.MaxUnavailable)
		}
	}
	if got := objects["ScaledObject parley-poll"].Spec.ScaleTargetRef.Name; got != "parley-poll" {
		t.Errorf("KEDA scales %q", got)
	}
}

func TestEachPodOfKubernetesIsConfiguredRightAndMayDoNothingElse(t *testing.T) {
	for name, w := range base(t) {
		if w.Kind != "Deployment" && w.Kind != "Job" {
			continue
		}
		pod := w.Spec.Template.Spec
		c := pod.Containers[0]
		environ := slices.DeleteFunc(variables(t, "deploy/kubernetes/example/sources.properties"), func(string) bool { return c.EnvFrom == nil })
		mounts := map[string]bool{}
		for _, m := range c.VolumeMounts {
			mounts[m.MountPath] = slices.ContainsFunc(pod.Volumes, func(v struct{ Name string }) bool { return v.Name == m.Name })
			if !mounts[m.MountPath] {
				t.Errorf("%s: mounts %s, which is no volume", name, m.Name)
			}
		}
		// The secrets' files are there only in the cluster.
		for _, v := range c.Env {
			file, secret := strings.CutPrefix(v.Value, "/run/secrets/")
			if secret && !mounts["/run/secrets/"+path.Dir(file)] {
				t.Errorf("%s: %s is in no volume", name, v.Name)
			}
			if secret {
				v.Value = path.Join(t.TempDir(), "secret")
				if err := os.WriteFile(v.Value, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			environ = append(environ, v.Name+"="+v.Value)
		}
		for i, e := range environ {
			variable, value, _ := strings.Cut(e, "=")
			if short, secret := strings.CutSuffix(variable, "_FILE"); secret {
				if w.Kind == "Deployment" && !mounts[path.Dir(value)] {
					t.Errorf("%s: %s is in no volume", name, variable)
				}
				environ[i] = short + "=k7Qw2mZr9TxV4nLsB8yD"
			}
		}
		got, err := config.Load(environ, config.Kinds{Vendors: []string{"livechat"}, Schemes: []string{"file"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if w.Kind == "Deployment" && (len(c.Ports) != 1 || c.Ports[0].Name != "http" || !strings.HasSuffix(got.HTTPAddr, ":8090") || c.Ports[0].ContainerPort != 8090) {
			t.Errorf("%s: ports %v, address %q", name, c.Ports, got.HTTPAddr)
		}
		probes := []string{c.StartupProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path}
		if w.Kind == "Deployment" && (!slices.Equal(probes, []string{"/healthz", "/healthz", "/readyz"}) || c.ReadinessProbe.HTTPGet.Port != "http" || c.LivenessProbe.HTTPGet.Port != "http") {
			t.Errorf("%s: probes %q", name, probes)
		}
		s := c.SecurityContext
		if !pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.RunAsUser != 65532 || s.AllowPrivilegeEscalation == nil ||
			*s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s: may more than it needs: %+v %+v", name, pod.SecurityContext, s)
		}
		if vendors := mounts["/run/secrets/vendors"]; vendors != (name == "Deployment parley-poll") || vendors != (c.EnvFrom != nil && w.Kind == "Deployment") {
			t.Errorf("%s: has the vendors' credentials: %v", name, vendors)
		}
	}
}
