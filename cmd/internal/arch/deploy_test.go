package arch_test

import (
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"gopkg.in/yaml.v3"

	"github.com/parley-stream/parley/cmd/internal/config"
	"github.com/parley-stream/parley/pollers/cobrowser/cobrowsersim"
	"github.com/parley-stream/parley/pollers/liveagent/liveagentsim"
	"github.com/parley-stream/parley/pollers/livechat/livechatsim"
	"github.com/parley-stream/parley/pollers/livechatreports/livechatreportssim"
	"github.com/parley-stream/parley/pollers/liveleader/liveleadersim"
	"github.com/parley-stream/parley/pollers/simulated"
)

// composeFile is what this test reads of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Build       struct{ Context, Dockerfile string }
		EnvFile     []string `yaml:"env_file"`
		Environment map[string]string
		Volumes     []string
		DependsOn   []string `yaml:"depends_on"`
		Deploy      struct{ Replicas int }
	}
	Volumes map[string]any
}

func compose(t *testing.T) composeFile {
	t.Helper()
	var file composeFile
	if err := yaml.Unmarshal(read(t, "docker-compose.yml"), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(path.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestComposeRefersOnlyToFilesOfTheRepository(t *testing.T) {
	file := compose(t)
	for name, service := range file.Services {
		if service.Build.Context != "" && service.Build.Context != "." {
			t.Errorf("%s: build context %q", name, service.Build.Context)
		}
		var files []string
		if service.Build.Dockerfile != "" {
			files = append(files, service.Build.Dockerfile)
		}
		files = append(files, service.EnvFile...)
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, named := file.Volumes[from]; !named {
				files = append(files, from)
			}
		}
		for _, f := range files {
			if path.IsAbs(f) || strings.HasPrefix(path.Clean(f), "..") {
				t.Errorf("%s: %s is not in the repository", name, f)
			}
			read(t, f)
		}
		for _, other := range service.DependsOn {
			if _, ok := file.Services[other]; !ok {
				t.Errorf("%s: depends on %s, which is no service", name, other)
			}
		}
	}
}

func TestComposeRunsEachRole(t *testing.T) {
	want := map[string]string{"nats": "-c 0", "vendors": "simulate 0", "poller": "poll 2", "processor": "process 2", "sink": "sink 0"}
	got := map[string]string{}
	for name, service := range compose(t).Services {
		got[name] = service.Command[0] + " " + string(rune('0'+service.Deploy.Replicas))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("command and replicas (-want +got):\n%s", diff)
	}
}

func TestEachServiceOfComposeIsConfiguredRight(t *testing.T) {
	for name, service := range compose(t).Services {
		var environ []string
		for _, file := range service.EnvFile {
			environ = append(environ, variables(t, file)...)
		}
		for variable, value := range service.Environment {
			environ = append(environ, variable+"="+value)
		}
		kinds := config.Kinds{
			Vendors: []string{"liveleader", "livechat", "livechat-reports", "liveagent", "cobrowser"},
			Schemes: []string{"file", "stdout"},
		}
		if _, err := config.Load(environ, kinds); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// variables are the lines of an env file.
func variables(t *testing.T, file string) []string {
	t.Helper()
	var environ []string
	for line := range strings.Lines(string(read(t, file))) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			environ = append(environ, line)
		}
	}
	return environ
}

func TestTheExampleReachesTheSimulators(t *testing.T) {
	o := simulated.Options{Chats: 1, Start: time.Date(2026, 10, 27, 0, 0, 0, 0, time.UTC)}
	sims := map[string]interface {
		Variables(base string) map[string]string
	}{
		"liveleader": liveleadersim.New(o), "livechat": livechatsim.New(o), "livechat-reports": livechatreportssim.New(o),
		"liveagent": liveagentsim.New(o), "cobrowser": cobrowsersim.New(o),
	}
	want := []string{"PARLEY_SOURCES=liveleader,livechat,livechat-reports,liveagent,cobrowser"}
	for name, sim := range sims {
		// All are on one port: their documented paths tell them apart.
		values := maps.Clone(sim.Variables("http://vendors:8095"))
		values["INSECURE"] = "true" // a private network without TLS
		for variable, value := range values {
			want = append(want, "PARLEY_SOURCE_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"_"+variable+"="+value)
		}
	}
	slices.Sort(want)
	got := slices.Sorted(slices.Values(variables(t, "deploy/parley.env.example")))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("deploy/parley.env.example (-want +got):\n%s", diff)
	}
}

func TestTheNATSServerOfComposeKeepsWhatItAcknowledges(t *testing.T) {
	service := compose(t).Services["nats"]
	options, err := server.ProcessConfigFile(path.Join(root, "deploy/nats/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !options.JetStream || !options.SyncAlways || options.MaxPayload != 8<<20 || options.StoreDir != "/data" {
		t.Errorf("jetstream %v, sync always %v, max payload %d, store %q", options.JetStream, options.SyncAlways, options.MaxPayload, options.StoreDir)
	}
	want := []string{"./deploy/nats/nats.conf:/etc/nats/nats.conf:ro", "nats:" + options.StoreDir}
	if !slices.Equal(service.Volumes, want) || !slices.Equal(service.Command, []string{"-c", "/etc/nats/nats.conf"}) {
		t.Errorf("volumes %q, command %q", service.Volumes, service.Command)
	}
	if version := "nats:" + server.VERSION + "-alpine"; service.Image != version {
		t.Errorf("image %q; want %q, the server that the tests run against", service.Image, version)
	}
}

func TestTheImageCopiesOnlyWhatTheRepositoryHolds(t *testing.T) {
	for line := range strings.Lines(string(read(t, "deploy/Dockerfile"))) {
		fields := strings.Fields(line)
		if len(fields) < 3 || (fields[0] != "COPY" && fields[0] != "ADD") || strings.HasPrefix(fields[1], "--from=") {
			continue
		}
		for _, source := range fields[1 : len(fields)-1] {
			if _, err := os.Stat(path.Join(root, source)); err != nil || fields[0] == "ADD" {
				t.Errorf("%s: error %v", strings.TrimSpace(line), err)
			}
		}
	}
}
