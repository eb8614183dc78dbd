// Package subscribe_test runs the subscribers that the page beside it shows.
package subscribe_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// patience is for a busy machine; nothing here takes a minute.
const patience = 3 * time.Minute

func TestThePageShowsTheFilesThatAreTested(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for language, file := range map[string]string{"go": "go/main.go", "js": "js/subscribe.mjs", "python": "python/subscribe.py"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, fmt.Appendf(nil, "\n```%s\n%s```\n", language, code)) {
			t.Errorf("README.md does not show %s as it is", file)
		}
	}
}

func TestThePythonSubscriberParses(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("there is no python3: its syntax is not looked at")
		return
	}
	if out, err := exec.Command(python, "-c", `import ast; ast.parse(open("python/subscribe.py").read())`).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheGoSubscriberHasEveryEventOfTheDemoOnce(t *testing.T) {
	program := build(t, "go")
	judge(t, demo(t), program)
}

func TestTheGoSubscriberReadsMsgpack(t *testing.T) {
	program := build(t, "go")
	readsMsgpack(t, program)
}

// build makes the program of a folder that is a module, or a command of this one.
func build(t *testing.T, folder string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "program")
	command := exec.Command("go", "build", "-o", program, ".")
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", folder, err, out)
	}
	return program
}

// process is a command that runs until the test ends, and what it has said.
type process struct {
	command *exec.Cmd
	done    chan struct{}

	mu    sync.Mutex
	lines []string
	err   error
}

func start(t *testing.T, environ []string, program string, args ...string) *process {
	t.Helper()
	p := &process{command: exec.Command(program, args...), done: make(chan struct{})}
	p.command.Env = append(os.Environ(), environ...)
	p.command.Stderr = os.Stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, scanner.Text())
			p.mu.Unlock()
		}
		p.err = p.command.Wait()
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.done
	})
	return p
}

// said gives the lines so far.
func (p *process) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// interrupt ends it as Ctrl-C does.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	_ = p.command.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if p.err != nil {
		t.Errorf("it ends with %v", p.err)
	}
}

// eventually waits for what a process does, if it goes on.
func eventually(t *testing.T, p *process, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); <-time.After(50 * time.Millisecond) {
		select {
		case <-p.done:
			t.Fatalf("it ended with %v, before this: %s; it said\n%s", p.err, what, strings.Join(p.said(), "\n"))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// world is a Parley that runs.
type world struct {
	server string            // its NATS server
	stored map[string]string // the canonical ids of conversations by the ids of their events
}

// demo starts the demo and gives the conversations that it has in its files.
func demo(t *testing.T) world {
	t.Helper()
	dir := t.TempDir()
	p := start(t, []string{"TMPDIR=" + dir}, build(t, "../../cmd/parley"), "demo")
	eventually(t, p, "the demo has read its history", func() bool {
		return strings.Contains(strings.Join(p.said(), "\n"), "The files are in")
	})
	return world{server: p.server(t, filepath.Join(dir, "parley-demo-*", "data")), stored: conversations(t, filepath.Join(dir, "parley-demo-*", "files"))}
}

// server gives the address of a Parley's embedded server, once it is there.
func (p *process) server(t *testing.T, data string) (address string) {
	t.Helper()
	eventually(t, p, "the server says where it is", func() bool {
		found, err := filepath.Glob(filepath.Join(data, "address"))
		if err != nil || len(found) != 1 {
			return false
		}
		content, err := os.ReadFile(found[0])
		address = string(content)
		return err == nil && address != ""
	})
	return address
}

// conversations reads a file sink's files.
func conversations(t *testing.T, pattern string) map[string]string {
	t.Helper()
	dirs, err := filepath.Glob(pattern)
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v, %v; want one folder", dirs, err)
	}
	all := make(map[string]string)
	err = filepath.WalkDir(dirs[0], func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".ndjson" || strings.Contains(path, ".parley") {
			return err
		}
		content, err := os.ReadFile(path)
		for line := range bytes.Lines(content) {
			var e struct {
				ID   string
				Data struct{ ID string }
			}
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if strings.HasPrefix(e.ID, string(events.KindConversation)+".") {
				all[e.ID] = e.Data.ID
			}
		}
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d conversations in the files, %v", len(all), err)
	}
	return all
}

// judge runs a subscriber twice, and wants every stored conversation from both together, each once; then what it must make of an event that
// comes again, of an old revision, and of an erasure.
func judge(t *testing.T, w world, program string, args ...string) {
	t.Helper()
	first := start(t, []string{"NATS_URL=" + w.server}, program, args...)
	eventually(t, first, "it has what the files have", func() bool { return len(w.missing(first.said())) == 0 })
	first.interrupt(t)
	// What follows goes to the second run, behind what came meanwhile.
	erased := w.publish(t)
	second := start(t, []string{"NATS_URL=" + w.server}, program, args...)
	eventually(t, second, "it has gone on", func() bool { return strings.Contains(strings.Join(second.said(), "\n"), "erased "+erased) })
	second.interrupt(t)
	times := make(map[string]int)
	for _, line := range append(first.said(), second.said()...) {
		if strings.HasPrefix(line, "stored "+strings.TrimSuffix(erased, "3")+"1 ") {
			t.Errorf("%q: it keeps a revision that is older than what it has", line)
		}
		if times[line]++; times[line] > 1 {
			t.Errorf("it says %q a second time", line)
		}
	}
}

// missing gives a line that a subscriber has not said, for each conversation that it has not, or has otherwise.
func (w world) missing(said []string) (lines []string) {
	has := make(map[string]bool, len(said))
	for _, line := range said {
		has[line] = true
	}
	for id, conversation := range w.stored {
		if line := fmt.Sprintf("stored %s %s", id, conversation); !has[line] {
			lines = append(lines, line)
		}
	}
	return lines
}

// publish stores the second revision of a chat, the first one behind it, which changes nothing, and its erasure, twice. It gives
// the erasure's id.
func (w world) publish(t *testing.T) (erased string) {
	t.Helper()
	b, err := broker.Open(t.Context(), broker.Options{URLs: []string{w.server}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const path = "conversation.livechat.page.X=2F=25=C3=A9"
	for _, one := range []struct {
		revision uint64
		what     string
	}{{2, "updated"}, {1, "created"}, {3, "deleted"}, {3, "deleted"}} {
		e := events.Event{
			ID: fmt.Sprintf("%s.%d", path, one.revision), Source: "/livechat/page", Subject: "X/%é", Revision: one.revision,
			Type: "dev.parley.conversation." + one.what, DataContentType: events.ContentJSON, Data: []byte(`{"id":"livechat:page:X/%é"}`),
		}
		m := broker.Message{Subject: events.EventSubjects + "." + path, Header: map[string][]string{}, Data: e.Data}
		e.SetHeaders(m.Header)
		if result := b.Publish(t.Context(), []broker.Message{m})[0]; result.Err != nil {
			t.Fatal(result.Err)
		}
		erased = e.ID
	}
	return erased
}

// readsMsgpack runs a subscriber on a Parley that encodes its events so.
func readsMsgpack(t *testing.T, program string, args ...string) {
	t.Helper()
	parley, dir := build(t, "../../cmd/parley"), t.TempDir()
	sims := start(t, nil, parley, "simulate", "--addr", "127.0.0.1:0", "--days", "2", "--chats", "20")
	eventually(t, sims, "the simulators say how they are reached", func() bool {
		return strings.Contains(strings.Join(sims.said(), "\n"), "PARLEY_SOURCE_LIVECHAT_VENDOR=")
	})
	environ := []string{
		"PARLEY_DATA_DIR=" + filepath.Join(dir, "data"), "PARLEY_EVENTS_ENCODING=msgpack", "PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file://" + dir + "/out",
	}
	for _, line := range sims.said() {
		if line = strings.TrimPrefix(line, "export "); strings.HasPrefix(line, "PARLEY_SOURCE_LIVECHAT_") && !strings.HasPrefix(line, "PARLEY_SOURCE_LIVECHAT_REPORTS_") {
			environ = append(environ, strings.ReplaceAll(line, "'", ""))
		}
	}
	run := start(t, append(environ, "PARLEY_SOURCES=livechat"), parley, "run")
	server := run.server(t, filepath.Join(dir, "data"))
	eventually(t, run, "it has made its streams", func() bool {
		look := exec.Command(parley, "coverage") // which waits for them for a while
		look.Env = append(os.Environ(), append(environ, "PARLEY_SOURCES=livechat")...)
		return look.Run() == nil
	})
	p := start(t, []string{"NATS_URL=" + server}, program, args...)
	eventually(t, p, "it has read conversations", func() bool { return len(p.said()) > 3 })
	p.interrupt(t)
	for _, line := range p.said() {
		if words := strings.Fields(line); len(words) != 3 || !strings.HasPrefix(words[2], "livechat:livechat:") {
			t.Errorf("it says %q; want the conversation's id", line)
		}
	}
}
