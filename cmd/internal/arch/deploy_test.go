package arch_test

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"gopkg.in/yaml.v3"

	"github.com/parley-stream/parley/cmd/internal/app"
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
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Image       string
	Entrypoint  []string
	Command     []string
	Build       struct{ Context, Dockerfile string }
	EnvFile     []string `yaml:"env_file"`
	Environment map[string]string
	Volumes     []mount
	DependsOn   names `yaml:"depends_on"`
	Deploy      struct{ Replicas int }
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
		"identities": "identities 0", "provision": "provision 0", "vendors": "simulate 0", "poller": "poll 2", "processor": "process 2", "sink": "sink 0", "dashboard": "dashboard 0",
		"forget": "forget 0",
	}
	got := map[string]string{}
	for name, service := range compose(t).Services {
		if service.Image == "parley" {
			command := slices.Concat(service.Entrypoint, service.Command)
			if len(service.Entrypoint) > 0 {
				command = command[1:]
			}
			got[name] = command[0] + " " + string(rune('0'+service.Deploy.Replicas))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("command and replicas (-want +got):\n%s", diff)
	}
}

// environment is a service's, with the files that it sees of the volumes `identities` and `secrets`, which are made for the test.
func (f composeFile) environment(t *testing.T, name string, made map[string]string) (environ []string) {
	t.Helper()
	service := f.Services[name]
	for _, file := range service.EnvFile {
		environ = append(environ, variables(t, file)...)
	}
	for variable, value := range service.Environment {
		if strings.HasSuffix(variable, "_FILE") || variable == "PARLEY_NATS_CREDS" {
			value = service.seen(t, value, made)
		}
		environ = append(environ, variable+"="+value)
	}
	return environ
}

// seen is where a file of a container lies: in one of the volumes that are made.
func (s composeService) seen(t *testing.T, file string, made map[string]string) string {
	t.Helper()
	for _, m := range s.Volumes {
		if dir := made[m.Source]; dir != "" && m.Target == path.Dir(file) && m.Subpath != "" {
			return path.Join(dir, m.Subpath, path.Base(file))
		}
	}
	t.Fatalf("%s is in no volume of the service", file)
	return ""
}

// secrets runs the script that makes them, as compose does.
func secrets(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if out, err := exec.Command("/bin/sh", path.Join(root, "deploy/compose/secrets"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func TestEachServiceOfComposeIsConfiguredRight(t *testing.T) {
	file := compose(t)
	made := map[string]string{"identities": t.TempDir(), "secrets": secrets(t)}
	if err := broker.WriteIdentities(made["identities"]); err != nil {
		t.Fatal(err)
	}
	roles := map[string]app.Roles{"poller": {Poll: true}, "processor": {Process: true}, "sink": {Sink: true}, "dashboard": {}}
	for name, wanted := range roles {
		a, err := app.New(file.environment(t, name, made), io.Discard, io.Discard)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := a.Missing(wanted); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a.Config.HTTPAddr != "0.0.0.0:8090" || (a.Config.HTTPToken.Reveal() != "") != (name == "dashboard") {
			t.Errorf("%s: serves HTTP at %q; the dashboard alone acts", name, a.Config.HTTPAddr)
		}
	}
	// The provisioner reads what is common to sources and sinks; the eraser looks into sinks.
	if _, err := config.Load(file.environment(t, "provision", made), config.Kinds{}); err != nil {
		t.Errorf("provision: %v", err)
	}
	if _, err := app.New(file.environment(t, "forget", made), io.Discard, io.Discard); err != nil {
		t.Errorf("forget: %v", err)
	}
}

func TestComposeProvisionsWhatItsRolesTake(t *testing.T) {
	file := compose(t)
	sinks := func(name string) map[string]string {
		of := map[string]string{}
		for variable, value := range file.Services[name].Environment {
			if variable == "PARLEY_SINKS" || strings.HasPrefix(variable, "PARLEY_SINK_") && !strings.Contains(variable, "KEY") && !strings.Contains(variable, "SECRET") {
				of[variable] = value
			}
		}
		return of
	}
	for _, other := range []string{"sink", "dashboard"} {
		if diff := cmp.Diff(sinks("provision"), sinks(other)); diff != "" {
			t.Errorf("sinks of provision and of %s (-provision +%s):\n%s", other, other, diff)
		}
	}
	for _, other := range []string{"poller", "dashboard"} {
		if !slices.Equal(file.Services["provision"].EnvFile, file.Services[other].EnvFile) {
			t.Errorf("provision and %s have other sources: %q, %q", other, file.Services["provision"].EnvFile, file.Services[other].EnvFile)
		}
	}
	var schemes []string
	for name := range strings.SplitSeq(sinks("sink")["PARLEY_SINKS"], ",") {
		u, err := url.Parse(sinks("sink")["PARLEY_SINK_"+strings.ToUpper(name)+"_URL"])
		if err != nil {
			t.Fatal(err)
		}
		schemes = append(schemes, u.Scheme)
		if endpoint := u.Query().Get("endpoint"); endpoint != "" {
			if u, err = url.Parse(endpoint); err != nil {
				t.Fatal(err)
			}
		}
		// Each destination is a service that listens there.
		if command := strings.Join(file.Services[u.Hostname()].Command, " "); u.Host != "" && !strings.Contains(command, u.Port()) {
			t.Errorf("%s: delivers to %s; %q runs there", name, u.Host, command)
		}
	}
	if !slices.Equal(schemes, []string{"file", "http", "s3"}) {
		t.Errorf("sinks %q; want one of each kind", schemes)
	}
}

func TestTheSecretsOfComposeAreMadeOnceAndEachServiceSeesItsOwn(t *testing.T) {
	dir := secrets(t)
	before := tree(t, dir)
	if out, err := exec.Command("/bin/sh", path.Join(root, "deploy/compose/secrets"), dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("a second start made others (-first +second):\n%s", diff)
	}
	for name, secret := range before {
		if len(secret) < 32 || strings.ContainsAny(secret, " \n") {
			t.Errorf("%s is no secret: %d bytes", name, len(secret))
		}
	}
	want := map[string]string{
		"sink": "objects/key webhook/secret", "receiver": "webhook/secret", "objects": "objects/key", "dashboard": "dashboard/token", "grafana": "grafana/password",
		"forget": "objects/key",
	}
	got := map[string]string{}
	for name, service := range compose(t).Services {
		if slices.Contains(service.Command, "/secrets") {
			continue // it makes them
		}
		var seen []string
		for _, m := range service.Volumes {
			if m.Source != "secrets" {
				continue
			}
			if !slices.Contains(service.DependsOn, "secrets") || m.Subpath == "" {
				t.Errorf("%s: does not wait for its secrets, or sees those of others", name)
			}
			for file := range tree(t, path.Join(dir, m.Subpath)) {
				// It names each where it is mounted.
				if text := fmt.Sprint(service.Command, service.Environment); !strings.Contains(text, m.Target+"/"+file) {
					t.Errorf("%s: does not use %s/%s", name, m.Target, file)
				}
				seen = append(seen, m.Subpath+"/"+file)
			}
		}
		if slices.Sort(seen); len(seen) > 0 {
			got[name] = strings.Join(seen, " ")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

// tree gives the files below a directory with what they hold.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path.Join(dir, name))
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheObjectsOfComposeLieInABucketThatIsThere(t *testing.T) {
	file := compose(t)
	sink, err := url.Parse(file.Services["sink"].Environment["PARLEY_SINK_OBJECTS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	server := file.Services["objects"]
	command := strings.Fields(strings.Join(server.Command, " "))
	if at := path.Join(command[len(command)-1], sink.Host); !slices.Contains(server.Volumes, mount{"objects", at, ""}) {
		t.Errorf("no volume is mounted as the bucket %s, at %s", sink.Host, at)
	}
	if id := file.Services["sink"].Environment["PARLEY_SINK_OBJECTS_ACCESS_KEY_ID"]; command[0] != "ROOT_ACCESS_KEY="+id {
		t.Errorf("the sink is %q, and the server knows %q", id, command[0])
	}
	module := regexp.MustCompile(`github.com/versity/versitygw (v\S+)`).FindSubmatch(read(t, "tools/s3/go.mod"))
	if want := "versity/versitygw:" + string(module[1]); server.Image != want {
		t.Errorf("image %q; want %q, the server that the tests run against", server.Image, want)
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
	t.Setenv("NATS_NAME", "its-name")
	options, err := server.ProcessConfigFile(path.Join(dir, "cluster.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if options.ServerName != "its-name" {
		t.Errorf("its name is %q; one that is given by a flag cannot be reloaded", options.ServerName)
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
		if route.Hostname() != name || !slices.Equal(service.Volumes, want) || !slices.Equal(service.Command, []string{"-c", "/etc/nats/cluster.conf"}) || service.Environment["NATS_NAME"] != name {
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
	want := map[string]string{
		"provision": broker.RoleProvisioner, "poller": broker.RolePoller, "processor": broker.RoleProcessor, "sink": broker.RoleSink, "dashboard": broker.RoleOperator, "forget": broker.RoleEraser,
	}
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
