package arch_test

import (
	"fmt"
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
	"github.com/parley-stream/parley/events/broker"
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
		Volumes     []mount
		DependsOn   names `yaml:"depends_on"`
		Deploy      struct{ Replicas int }
	}
	Volumes map[string]any
}

// mount is a volume in its short form, from:to[:ro], or its long one.
type mount struct{ Source, Target, Subpath string }

func (m *mount) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		parts := strings.Split(node.Value, ":")
		m.Source, m.Target = parts[0], parts[1]
		return nil
	}
	var long struct {
		Source, Target string
		Volume         struct{ Subpath string }
	}
	err := node.Decode(&long)
	*m = mount{long.Source, long.Target, long.Volume.Subpath}
	return err
}

// names is a list, or a map by name.
type names []string

func (n *names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.SequenceNode {
		return node.Decode((*[]string)(n))
	}
	var m map[string]any
	err := node.Decode(&m)
	*n = slices.Sorted(maps.Keys(m))
	return err
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
			if _, named := file.Volumes[volume.Source]; !named {
				files = append(files, volume.Source)
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
	want := map[string]string{
		"identities": "identities 0", "nats-1": "-c 0", "nats-2": "-c 0", "nats-3": "-c 0", "provision": "provision 0", "vendors": "simulate 0", "poller": "poll 2", "processor": "process 2", "sink": "sink 0",
	}
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
		// The identity is a file of the container's.
		environ = slices.DeleteFunc(environ, func(v string) bool { return v == "PARLEY_NATS_CREDS=/run/identity/nkey" })
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

func TestTheNATSServersOfComposeKeepWhatTheyAcknowledge(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"nats.conf", "cluster.conf", "roles.conf"} {
		if err := os.WriteFile(path.Join(dir, name), read(t, "deploy/nats/"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := broker.WriteIdentities(path.Join(dir, "identities")); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(path.Join(dir, "cluster.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !options.JetStream || !options.SyncAlways || options.MaxPayload != 8<<20 || options.StoreDir != "/data" {
		t.Errorf("jetstream %v, sync always %v, max payload %d, store %q", options.JetStream, options.SyncAlways, options.MaxPayload, options.StoreDir)
	}
	for i, route := range options.Routes {
		name := fmt.Sprint("nats-", i+1)
		service := compose(t).Services[name]
		want := []mount{
			{"./deploy/nats/nats.conf", "/etc/nats/nats.conf", ""},
			{"./deploy/nats/cluster.conf", "/etc/nats/cluster.conf", ""},
			{"./deploy/nats/roles.conf", "/etc/nats/roles.conf", ""},
			{"identities", "/etc/nats/identities/nats", "nats"},
			{name, options.StoreDir, ""},
		}
		if route.Hostname() != name || !slices.Equal(service.Volumes, want) || !slices.Equal(service.Command, []string{"-c", "/etc/nats/cluster.conf", "--name", name}) {
			t.Errorf("%s: route %s, volumes %q, command %q", name, route, service.Volumes, service.Command)
		}
		if version := "nats:" + server.VERSION + "-alpine"; service.Image != version {
			t.Errorf("image %q; want %q, the server that the tests run against", service.Image, version)
		}
	}
	if len(options.Routes) != 3 {
		t.Errorf("%d routes; want those of three", len(options.Routes))
	}
}

func TestEachServiceOfComposeHasTheIdentityOfItsRoleAlone(t *testing.T) {
	want := map[string]string{"provision": broker.RoleProvisioner, "poller": broker.RolePoller, "processor": broker.RoleProcessor, "sink": broker.RoleSink}
	got := map[string]string{}
	for name, service := range compose(t).Services {
		for _, volume := range service.Volumes {
			if volume.Source == "identities" && name != "identities" && !strings.HasPrefix(name, "nats-") {
				got[name] = volume.Subpath
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("identities (-want +got):\n%s", diff)
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
