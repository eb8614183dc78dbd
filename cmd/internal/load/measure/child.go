// Package measure runs Parley's stages as processes of their own, beside a bare relay and a bare consumer on the same server, and
// reports their throughput, processor time and memory.
package measure

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// childArgument marks a process that this one started; the job follows as JSON.
const childArgument = "child"

// job is what a child process does. Its zero fields are not used.
type job struct {
	Do   string `json:"do"`
	Dir  string `json:"dir"`  // the server's
	Sync string `json:"sync"` // of the embedded server in this process; "": the server is another process's
	// Records, Duplicates and Changed steer what is published.
	Chats      Chats  `json:"chats"`
	Duplicates int    `json:"duplicates"`
	Reading    int    `json:"reading"`
	Roles      string `json:"roles"` // poll, process, sink
	Messages   int    `json:"messages"`
	Atomic     bool   `json:"atomic"`  // copies are published in atomic batches, which is faster where each sync counts
	Profile    string `json:"profile"` // a file
	// Delay is what the slow vendor takes for an answer.
	Delay time.Duration `json:"delay"`
	// Rate is how many chats a second the live vendor writes.
	Rate float64 `json:"rate"`
}

// usage is what a process has used so far.
type usage struct {
	CPU  time.Duration `json:"cpu"`
	Peak int64         `json:"peak"` // bytes of resident memory at most
	// Resident is that memory now; Live is what the last collection left of the heap, Heap its objects now.
	Resident int64 `json:"resident,omitempty"`
	Live     int64 `json:"live,omitempty"`
	Heap     int64 `json:"heap,omitempty"`
}

func (u usage) minus(before usage) usage { return usage{CPU: u.CPU - before.CPU, Peak: u.Peak} }

func ownUsage() (u usage) {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // it has no other error than a wrong argument
	u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	// Of rusage's own peak a part is that of the process which started this one.
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		name, text, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
		switch name {
		case "VmHWM":
			u.Peak = kib << 10
		case "VmRSS":
			u.Resident = kib << 10
		}
	}
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	u.Live, u.Heap = int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64())
	return u
}

// outcome is what a child says at last.
type outcome struct {
	Usage   usage         `json:"usage"`
	Took    time.Duration `json:"took"`
	Count   int           `json:"count"`
	Span    time.Duration `json:"span,omitempty"` // from a vendor's first request to its last answer
	Message string        `json:"message,omitempty"`
	// Arrivals are when an observer saw each chat; a vendor began to write at Began.
	Arrivals arrivals  `json:"arrivals,omitempty"`
	Began    time.Time `json:"began,omitzero"`
}

// Child tells whether these arguments are those of a child process, and gives its job.
func Child(args []string) (run func(context.Context) error, is bool) {
	if len(args) != 3 || args[1] != childArgument {
		return nil, false
	}
	return func(ctx context.Context) error {
		var j job
		if err := json.Unmarshal([]byte(args[2]), &j); err != nil {
			return fmt.Errorf("job: %w", err)
		}
		if err := j.run(ctx, os.Stdin, os.Stdout); err != nil {
			return fmt.Errorf("%s: %w", j.Do, err)
		}
		return nil
	}, true
}

// run gets ready, says "ready" and what its parent must know, does the work after "go", and ends it when told so or by itself.
func (j job) run(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := j.prepare(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	say := json.NewEncoder(out)
	if err := say.Encode(outcome{Message: w.address}); err != nil {
		return err
	}
	words := bufio.NewScanner(in)
	if !words.Scan() {
		return nil // the parent gave up
	}
	before, began := ownUsage(), time.Now()
	if j.Profile != "" {
		stop, err := profile(j.Profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	ended := make(chan struct{})
	go func() { // it ends with the parent's last word
		defer close(ended)
		defer cancel()
		stopProfile := func() {}
		defer func() { stopProfile() }()
		for words.Scan() {
			word, path, _ := strings.Cut(words.Text(), " ")
			switch word {
			case "usage":
				_ = say.Encode(outcome{Usage: ownUsage()})
			case "heap":
				_ = heapProfile(path) // without it there is a figure all the same
			case "profile": // what comes now, into this file
				stopProfile()
				if stop, err := profile(path); err == nil {
					stopProfile = stop // a measurement without a profile is one, too
				}
			}
		}
	}()
	last, err := w.work(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	last.Took, last.Usage = time.Since(began), ownUsage().minus(before)
	if err := say.Encode(last); err != nil {
		return err
	}
	<-ended
	return nil
}

func profile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// heapProfile writes what the last collection left, and who took it.
func heapProfile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// child is a process that this one started.
type child struct {
	job     job
	command *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	address string
}

// start starts a process and waits until it is ready. Only PARLEY_ variables that are given reach it.
func start(ctx context.Context, j job, environ ...string) (*child, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{job: j, command: exec.CommandContext(ctx, self, childArgument, string(text))}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PARLEY_") {
			c.command.Env = append(c.command.Env, variable)
		}
	}
	c.command.Env = append(c.command.Env, environ...)
	c.command.Stderr = os.Stderr
	c.command.Cancel = func() error { return c.command.Process.Signal(syscall.SIGTERM) }
	c.command.WaitDelay = 20 * time.Second
	if c.in, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", j.Do, err)
	}
	c.out = json.NewDecoder(out)
	ready, err := c.listen()
	if err != nil {
		c.kill()
		return nil, err
	}
	c.address = ready.Message
	return c, nil
}

func (c *child) listen() (o outcome, err error) {
	if err := c.out.Decode(&o); err != nil {
		return o, fmt.Errorf("%s said nothing: %w", c.job.Do, err)
	}
	return o, nil
}

func (c *child) tell(word string) error {
	if _, err := io.WriteString(c.in, word+"\n"); err != nil {
		return fmt.Errorf("tell %s to %s: %w", c.job.Do, word, err)
	}
	return nil
}

// begin makes it work.
func (c *child) begin() error { return c.tell("go") }

// usage asks a process that works what it has used.
func (c *child) usage() (usage, error) {
	if err := c.tell("usage"); err != nil {
		return usage{}, err
	}
	o, err := c.listen()
	return o.Usage, err
}

// wait waits for a process that ends by itself.
func (c *child) wait() (outcome, error) {
	o, err := c.listen()
	return o, errors.Join(err, c.in.Close(), c.command.Wait())
}

// end makes it finish what it has in hand, and gives its last word.
func (c *child) end() (outcome, error) {
	if err := c.in.Close(); err != nil {
		return outcome{}, err
	}
	o, err := c.listen()
	return o, errors.Join(err, c.command.Wait())
}

func (c *child) kill() {
	_ = c.command.Process.Kill()
	_ = c.command.Wait() // it was killed
}

// profilePath is where a stage's profile goes; "" without a folder.
func profilePath(folder, stage string) string {
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, strings.NewReplacer(" ", "-", ",", "").Replace(stage)+".pprof")
}
