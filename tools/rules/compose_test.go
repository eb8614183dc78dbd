package rules_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/dns"
	"gopkg.in/yaml.v3"
)

// parley is the image that compose builds.
const parley = "parley"

// project is docker-compose.yml as `docker compose config` reads it, by its own library: what that refuses, it refuses.
func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithWorkingDirectory("../.."))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mounted gives the file of the repository that a service sees at a path.
func mounted(t *testing.T, service types.ServiceConfig, target string) string {
	t.Helper()
	for _, v := range service.Volumes {
		if v.Type == types.VolumeTypeBind && v.Target == target {
			content, err := os.ReadFile(v.Source)
			if err != nil {
				t.Fatal(err)
			}
			return string(content)
		}
	}
	t.Fatalf("%s has nothing at %s", service.Name, target)
	return ""
}

func TestComposeReadsItsFile(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			info, err := os.Stat(v.Source)
			switch {
			case v.Type != types.VolumeTypeBind:
			case err != nil || info.IsDir() || !v.ReadOnly:
				t.Errorf("%s: %s: want a file that is there, mounted read-only: error %v", name, v.Source, err)
			}
		}
		if image, tag, _ := strings.Cut(s.Image, ":"); image != parley && (tag == "" || tag == "latest") {
			t.Errorf("%s: image %s has no version", name, image)
		}
	}
}

// Services that build one image are built at once: "image … already exists" is what a fresh machine gets of that. The others wait for the one.
func TestComposeBuildsItsImageOnce(t *testing.T) {
	var builders []string
	for name, s := range project(t).Services {
		if s.Build != nil {
			builders = append(builders, name+" "+s.Image)
		}
	}
	if want := []string{"identities " + parley}; !slices.Equal(builders, want) {
		t.Errorf("%q are built; want %q", builders, want)
	}
}

func TestComposeOpensPortsToThisMachineAlone(t *testing.T) {
	want := map[string]string{"dashboard": "127.0.0.1:8090:8090", "prometheus": "127.0.0.1:9090:9090", "grafana": "127.0.0.1:3000:3000"}
	got := map[string]string{}
	for name, s := range project(t).Services {
		for _, port := range s.Ports {
			got[name] += net.JoinHostPort(port.HostIP, port.Published) + ":" + strconv.Itoa(int(port.Target))
		}
		if s.NetworkMode == "host" {
			t.Errorf("%s: has the host's network", name)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("ports %v; want %v", got, want)
	}
}

func TestEveryLastingServiceOfComposeHasAHealthCheck(t *testing.T) {
	for name, s := range project(t).Services {
		lasts := s.Restart == types.RestartPolicyUnlessStopped
		switch check := s.HealthCheck; {
		case s.Image == parley && !lasts, name == "vendors":
			if check == nil || !check.Disable {
				t.Errorf("%s serves no /readyz: its image's check would fail", name)
			}
		case s.Image == parley:
			if check != nil {
				t.Errorf("%s: has another check than its image's", name)
			}
		case lasts && (check == nil || len(check.Test) == 0):
			t.Errorf("%s: has no check", name)
		}
	}
}

func TestNoContainerOfComposeFillsTheDiskWithItsLog(t *testing.T) {
	for name, s := range project(t).Services {
		if lasts := s.Restart == types.RestartPolicyUnlessStopped; lasts && (s.Logging == nil || s.Logging.Driver != "local") {
			t.Errorf("%s: its log is not rotated", name)
		}
	}
}

// What depends on a service is stopped before it: a sink ends well only while its destinations are there.
func TestComposeStopsTheSinkBeforeWhatItWritesTo(t *testing.T) {
	services := project(t).Services
	for _, destination := range []string{"receiver", "objects", "nats-1", "nats-2", "nats-3"} {
		if _, ok := services["sink"].DependsOn[destination]; !ok {
			t.Errorf("%s can be stopped before the sink", destination)
		}
	}
	if init := services["receiver"].Init; init == nil || !*init {
		t.Error("Python as the first process of a container does not hear SIGTERM")
	}
}

// scrape reads prometheus.yml by Prometheus' own parser, and gives its one job.
func scrape(t *testing.T, content string) (*promconfig.Config, *promconfig.ScrapeConfig) {
	t.Helper()
	c, err := promconfig.Load(content, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := c.GetScrapeConfigs()
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs: %v", len(jobs), err)
	}
	return c, jobs[0]
}

func TestPrometheusFindsEveryReplicaThatServesMetrics(t *testing.T) {
	p := project(t)
	prometheus := p.Services["prometheus"]
	_, job := scrape(t, mounted(t, prometheus, "/etc/prometheus/prometheus.yml"))
	var found []string
	for _, d := range job.ServiceDiscoveryConfigs {
		names, ok := d.(*dns.SDConfig)
		if !ok || names.Type != "A" {
			t.Fatalf("replicas are found by %T; want A records, one for each", d)
		}
		for _, name := range names.Names {
			found = append(found, name)
			address := p.Services[name].Environment["PARLEY_HTTP_ADDR"]
			if address == nil || *address != "0.0.0.0:"+strconv.Itoa(names.Port) {
				t.Errorf("%s: is asked at port %d, and serves elsewhere", name, names.Port)
			}
		}
	}
	var serve []string
	for name, s := range p.Services {
		if s.Image == parley && (s.HealthCheck == nil || !s.HealthCheck.Disable) {
			serve = append(serve, name)
		}
	}
	slices.Sort(serve)
	slices.Sort(found)
	if !slices.Equal(found, serve) {
		t.Errorf("found %q; served by %q", found, serve)
	}
	if job.MetricsPath != "/metrics" || job.Scheme != "http" {
		t.Errorf("scraped at %s%s", job.Scheme, job.MetricsPath)
	}
}

func TestPrometheusNamesEachJobAsItsService(t *testing.T) {
	_, job := scrape(t, read(t, "prometheus/prometheus.yml"))
	var c discovery.Config = job.ServiceDiscoveryConfigs[0]
	if c.Name() != "dns" || len(job.RelabelConfigs) != 1 {
		t.Fatalf("found by %s, %d relabellings", c.Name(), len(job.RelabelConfigs))
	}
	r := job.RelabelConfigs[0]
	if !slices.Equal(r.SourceLabels, model.LabelNames{"__meta_dns_name"}) || r.TargetLabel != "job" || r.Replacement != "$1" {
		t.Errorf("relabelling %+v", r)
	}
}

func TestPrometheusHasTheAlertRules(t *testing.T) {
	prometheus := project(t).Services["prometheus"]
	c, _ := scrape(t, mounted(t, prometheus, "/etc/prometheus/prometheus.yml"))
	if !slices.Equal(c.RuleFiles, []string{"/etc/prometheus/rules.yml"}) {
		t.Fatalf("rule files %q", c.RuleFiles)
	}
	if mounted(t, prometheus, c.RuleFiles[0]) != read(t, "prometheus/rules.yml") {
		t.Error("other rules than those of deploy/prometheus are mounted")
	}
}

func TestGrafanaShowsTheDashboardOnThePrometheusOfCompose(t *testing.T) {
	p := project(t)
	grafana := p.Services["grafana"]
	var boards struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	var sources struct {
		Datasources []struct {
			UID, Type, URL string
			IsDefault      bool `yaml:"isDefault"`
		}
	}
	for at, into := range map[string]any{
		"/etc/grafana/provisioning/dashboards/parley.yaml": &boards, "/etc/grafana/provisioning/datasources/prometheus.yaml": &sources,
	} {
		if err := yaml.Unmarshal([]byte(mounted(t, grafana, at)), into); err != nil {
			t.Fatal(err)
		}
	}
	if len(boards.Providers) != 1 || boards.Providers[0].Type != "file" || len(sources.Datasources) != 1 {
		t.Fatalf("providers %+v, datasources %+v", boards.Providers, sources.Datasources)
	}
	home := path.Join(boards.Providers[0].Options.Path, "parley.json")
	if got := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]; got == nil || *got != home {
		t.Errorf("the first page is not %s", home)
	}
	var board struct {
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
	}
	content := mounted(t, grafana, home)
	if err := json.Unmarshal([]byte(content), &board); err != nil || content != read(t, "grafana/parley.json") {
		t.Fatalf("the dashboard that is mounted is not deploy/grafana/parley.json: %v", err)
	}
	// The dashboard takes the default one of its variable's type.
	source, list := sources.Datasources[0], board.Templating.List
	if len(list) != 1 || list[0].Type != "datasource" || list[0].Query != source.Type || !source.IsDefault {
		t.Errorf("the dashboard asks for %+v; there is %+v", list, source)
	}
	for _, uid := range regexp.MustCompile(`"uid": "([^"]*)"\n\s*}`).FindAllStringSubmatch(content, -1) {
		if uid[1] != "${"+list[0].Name+"}" && uid[1] != source.UID {
			t.Errorf("a panel asks the datasource %q", uid[1])
		}
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(source.URL, "http://"))
	prometheus, ok := p.Services[host]
	if err != nil || !ok || !strings.HasPrefix(prometheus.Image, "prom/prometheus:") || port != "9090" {
		t.Errorf("Grafana asks %s", source.URL)
	}
}

func TestTheImageOfPrometheusIsTheParsersVersion(t *testing.T) {
	content, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`github.com/prometheus/prometheus v0\.(\d)(\d\d)\.(\d+)\n`).FindStringSubmatch(string(content))
	if m == nil {
		t.Fatal("the module has no version of Prometheus")
	}
	minor, err := strconv.Atoi(m[2])
	if err != nil {
		t.Fatal(err)
	}
	if want := "prom/prometheus:v" + m[1] + "." + strconv.Itoa(minor) + "." + m[3]; project(t).Services["prometheus"].Image != want {
		t.Errorf("image %s; want %s", project(t).Services["prometheus"].Image, want)
	}
}
