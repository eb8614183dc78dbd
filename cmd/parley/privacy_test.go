package main_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
)

// visitors are what the simulated vendors tell of theirs: addresses for letters and of networks.
var visitors = regexp.MustCompile(`[0-9a-f]{4}\.[0-9a-f]{4}(@|%40|&#64;)visitor\.example|198\.51\.100\.\d+`)

func TestUnderAPolicyNoVisitorIsSeenInAnyOutput(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 23, Days: 2, Chats: 15, Malformed: 1})
	w.set("PARLEY_LOG_LEVEL", "debug")
	w.set("PARLEY_LOG_FORMAT", "json")
	w.set("PARLEY_HTTP_ADDR", "127.0.0.1:0")
	w.set("PARLEY_MESSAGE_EVENTS", "true")
	open := append([]string{}, w.environ...)
	w.set("PARLEY_PRIVACY", "*=mask,visitor.name=drop")
	log, err := os.Create(filepath.Join(w.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	run := command(t, w.environ, "run")
	run.Stderr = log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	w.waitForServer(t)
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(200 * time.Millisecond) {
		missing := w.missing(w.readFiles(t))
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after two minutes %d entities are in no file, such as %s", len(missing), missing[0])
		}
	}
	said := map[string]string{}
	logged, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`"address":"(http://[^"]+)"`).FindSubmatch(logged)
	if address == nil {
		t.Fatalf("the log names no address:\n%s", logged)
	}
	for _, path := range []string{
		"/api/overview", "/api/coverage?source=liveagent", "/api/windows?source=liveagent", "/api/dead", "/api/dead/1", "/api/dead/2", "/api/dead/3",
		"/api/conversations", "/api/conversations?vendor=liveagent", "/metrics", "/readyz", "/healthz",
	} {
		said[path] = get(t, string(address[1])+path)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(said["/api/dead"], "liveagent") && time.Now().Before(deadline); <-time.After(200 * time.Millisecond) {
		said["/api/dead"] = get(t, string(address[1])+"/api/dead") // letters do not wait for files, nor files for them
	}
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"coverage"}, {"coverage", "--json"}, {"dlq", "ls"}, {"dlq", "ls", "--json"}, {"check", "--json"}} {
		p := command(t, w.environ, args...)
		_ = p.Run() // what it says counts, and not whether it finds fault
		said[strings.Join(args, " ")] = p.stdout.String() + p.stderr.String()
	}
	_ = run.Process.Signal(os.Interrupt)
	if err := run.Wait(); err != nil {
		t.Error(err)
	}
	logged, err = os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	said["the log"], said["stdout"] = string(logged), run.stdout.String()
	if !strings.Contains(said["/api/dead"], "liveagent") || !strings.Contains(said["/api/conversations?vendor=liveagent"], "liveagent") || !strings.Contains(said["check --json"], "visitor.name=drop") {
		t.Errorf("too little is said to show anything: %.500s\n%.500s\n%.2000s", said["/api/dead"], said["/api/conversations?vendor=liveagent"], said["check --json"])
	}
	for where, text := range said {
		for line := range strings.Lines(text) {
			if found := visitors.FindString(line); found != "" {
				t.Errorf("%s says %q: %.600s", where, found, line)
			}
		}
	}
	if where := filesWith(t, filepath.Join(w.dir, "out"), visitors); len(where) > 0 {
		t.Errorf("visitors stand in %v", where)
	}
	// Without the policy they do.
	w.environ = open
	w.set("PARLEY_DATA_DIR", filepath.Join(w.dir, "data2"))
	w.set("PARLEY_SINK_FILES_URL", "file://"+filepath.Join(w.dir, "out2")+"?rotate_age=1s")
	command(t, w.environ, "run", "--once").once(t, exitFailed) // the malformed records
	if where := filesWith(t, filepath.Join(w.dir, "out2"), visitors); len(where) == 0 {
		t.Error("no visitor stands in any file without a policy either: the test shows nothing")
	}
}

// wanted counts the entities that the vendors have.
func (w *world) wanted() (n int) {
	for _, ledger := range w.ledgers() {
		for _, e := range ledger {
			if !e.Malformed {
				n++
			}
		}
	}
	return n
}

func filesWith(t testing.TB, dir string, what *regexp.Regexp) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for line := range bytes.Lines(content) {
			if found := what.Find(line); found != nil {
				names = append(names, path+": "+string(line[:min(len(line), 1500)]))
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// get reads a page.
func get(t testing.TB, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
