package rules_test

import (
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// object is what these tests read of a rendered Kubernetes object.
type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Spec     struct {
		ScaleTargetRef struct{ Name string } `yaml:"scaleTargetRef"`
		Triggers       []struct{ Metadata map[string]string }
		Template       struct {
			Metadata struct{ Annotations map[string]string }
			Spec     pod
		}
	}
}

type pod struct {
	Containers []struct {
		Image   string
		EnvFrom []struct {
			ConfigMapRef struct{ Name string } `yaml:"configMapRef"`
		} `yaml:"envFrom"`
		Env []struct{ Name, Value string }
	}
	Volumes []struct {
		Secret struct {
			SecretName string `yaml:"secretName"`
		}
		PersistentVolumeClaim struct {
			ClaimName string `yaml:"claimName"`
		} `yaml:"persistentVolumeClaim"`
	}
}

// rendered gives the objects of a kustomization by kind and name, as `kubectl kustomize` renders them.
func rendered(t *testing.T, dir string) map[string]object {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), deploy+"kubernetes/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]object{}
	for _, r := range all.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := yaml.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
		objects[o.Kind+" "+o.Metadata.Name] = o
	}
	return objects
}

func TestTheBaseIsRendered(t *testing.T) {
	if got := len(rendered(t, "base")); got != 9 {
		t.Errorf("%d objects; want 9", got)
	}
}

func TestTheExampleNamesImagesConfigMapsAndVolumesThatExist(t *testing.T) {
	objects := rendered(t, "example")
	pods, claims := 0, 0
	for name, o := range objects {
		if o.Metadata.Namespace != "parley" {
			t.Errorf("%s: in the namespace %q", name, o.Metadata.Namespace)
		}
		for _, c := range o.Spec.Template.Spec.Containers {
			pods++
			if c.Image != "registry.example/parley:1" {
				t.Errorf("%s: image %q is not the overlay's", name, c.Image)
			}
			for _, from := range c.EnvFrom {
				// The generator adds a digest to the name, so that another content starts other pods.
				made, ok := objects["ConfigMap "+from.ConfigMapRef.Name]
				if !ok || from.ConfigMapRef.Name == "parley-sources" || made.Data["PARLEY_SOURCES"] == "" {
					t.Errorf("%s: takes its sources from %q: %v", name, from.ConfigMapRef.Name, made.Data)
				}
			}
		}
		for _, v := range o.Spec.Template.Spec.Volumes {
			claim := v.PersistentVolumeClaim.ClaimName
			if claim == "" {
				continue
			}
			claims++
			if objects["PersistentVolumeClaim "+claim].Kind == "" {
				t.Errorf("%s: claims %q, which is not there", name, claim)
			}
		}
	}
	if pods != 4 || claims != 1 {
		t.Errorf("%d containers, %d volumes; want those of four roles, and the sink's files", pods, claims)
	}
}

func TestTheExampleSaysHowToMakeEachSecretThatPodsName(t *testing.T) {
	howTo := read(t, "kubernetes/example/kustomization.yaml")
	var named []string
	for name, o := range rendered(t, "example") {
		for _, v := range o.Spec.Template.Spec.Volumes {
			if secret := v.Secret.SecretName; secret != "" {
				named = append(named, secret)
				if !strings.Contains(howTo, secret) {
					t.Errorf("%s: nobody says how the secret %q is made", name, secret)
				}
			}
		}
	}
	slices.Sort(named)
	if want := []string{"parley-poll-nats", "parley-process-nats", "parley-provision-nats", "parley-sink-nats", "parley-vendors"}; !slices.Equal(named, want) {
		t.Errorf("secrets %q; want %q", named, want)
	}
}

func TestTheExampleScalesADeploymentThatExistsByMetricsThatPrometheusIsToldToScrape(t *testing.T) {
	known, objects := metrics(t), rendered(t, "example")
	scaler := objects["ScaledObject parley-poll"]
	target, ok := objects["Deployment "+scaler.Spec.ScaleTargetRef.Name]
	if !ok || len(scaler.Spec.Triggers) != 1 {
		t.Fatalf("scales %q by %d triggers", scaler.Spec.ScaleTargetRef.Name, len(scaler.Spec.Triggers))
	}
	check(t, known, "keda", scaler.Spec.Triggers[0].Metadata["query"])
	address := ""
	for _, e := range target.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "PARLEY_HTTP_ADDR" {
			address = e.Value
		}
	}
	if a := target.Spec.Template.Metadata.Annotations; a["prometheus.io/scrape"] != "true" || address != "0.0.0.0:"+a["prometheus.io/port"] {
		t.Errorf("scraped as %v says; served at %q", a, address)
	}
}
