package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/broker"
)

// node is one nats-server process of a cluster.
type node struct {
	name, dir, log    string // dir holds its configuration
	port, route, http int
	process           *exec.Cmd
}

// cluster is three nats-server processes from the deployment's files; only ports and places are others.
type cluster struct {
	binary, files string
	nodes         []*node
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{binary: filepath.Join(t.TempDir(), "nats-server"), files: natsFiles(t)}
	if out, err := exec.Command("go", "build", "-o", c.binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	ports := freePorts(t, 9)
	for i := range 3 {
		dir := t.TempDir()
		for _, name := range []string{"nats.conf", "cluster.conf", "roles.conf"} {
			content, err := os.ReadFile(filepath.Join(c.files, name))
			if err != nil {
				t.Fatal(err)
			}
			// A flag cannot say where the store is when the file does.
			content = bytes.Replace(content, []byte("store_dir: /data"), fmt.Appendf(nil, "store_dir: %q", filepath.Join(dir, "store")), 1)
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(filepath.Join(c.files, "identities"), filepath.Join(dir, "identities")); err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, &node{
			name: fmt.Sprintf("nats-%d", i+1), dir: dir, log: filepath.Join(dir, "log"),
			port: ports[3*i], route: ports[3*i+1], http: ports[3*i+2],
		})
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.kill()
		}
	})
	for _, n := range c.nodes {
		c.start(t, n)
	}
	return c
}

func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func (c *cluster) start(t testing.TB, n *node) {
	t.Helper()
	var routes []string
	for _, other := range c.nodes {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", other.route))
	}
	n.process = exec.Command(c.binary, "-c", filepath.Join(n.dir, "cluster.conf"), "-a", "127.0.0.1", "-p", fmt.Sprint(n.port),
		"-m", fmt.Sprint(n.http), "--cluster", fmt.Sprintf("nats://127.0.0.1:%d", n.route), "--routes", strings.Join(routes, ","), "-l", n.log)
	n.process.Stderr = os.Stderr // what is wrong before there is a log
	n.process.Env = append(os.Environ(), "NATS_NAME="+n.name)
	if err := n.process.Start(); err != nil {
		t.Fatal(err)
	}
}

// reload has every node read its configuration again, as after identities were made anew.
func (c *cluster) reload(t testing.TB) {
	t.Helper()
	for _, n := range c.nodes {
		if err := n.process.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.nodes {
		for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
			content, _ := os.ReadFile(n.log)
			if bytes.Contains(content, []byte("Reloaded server configuration")) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s did not reload its configuration: %s", n.name, c.logs())
			}
		}
	}
}

// kill ends a node as a crash does.
func (n *node) kill() {
	if n.process != nil {
		_ = n.process.Process.Kill()
		_ = n.process.Wait()
		n.process = nil
	}
}

func (c *cluster) urls() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", n.port))
	}
	return strings.Join(urls, ",")
}

// replicas are who leads a stream, and how many of the others have all of it.
func (c *cluster) replicas(t testing.TB, operator *nats.Conn, stream string) (leader string, current int) {
	t.Helper()
	m, err := operator.Request("$JS.API.STREAM.INFO."+stream, nil, 2*time.Second)
	if err != nil {
		return "", 0 // no leader at the moment
	}
	var info struct {
		Cluster struct {
			Leader   string
			Replicas []struct{ Current, Offline bool }
		}
	}
	if err := json.Unmarshal(m.Data, &info); err != nil {
		t.Fatal(err)
	}
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline {
			current++
		}
	}
	return info.Cluster.Leader, current
}

// whole waits until each node has all of what matters, and gives the leader of EVENTS.
func (c *cluster) whole(t testing.TB, operator *nats.Conn) (leader *node) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; {
		whole := true
		var name string
		for _, stream := range []string{broker.Raw, broker.State, "KV_" + broker.LedgerBucket, broker.Events} {
			var current int
			name, current = c.replicas(t, operator, stream)
			whole = whole && name != "" && current == len(c.nodes)-1
		}
		for _, n := range c.nodes {
			if whole && n.name == name {
				return n
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster is not whole after three minutes; its log: %s", c.logs())
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (c *cluster) logs() string {
	var out strings.Builder
	for _, n := range c.nodes {
		content, _ := os.ReadFile(n.log)
		fmt.Fprintf(&out, "\n%s:\n%s", n.name, content[max(0, len(content)-4000):])
	}
	return out.String()
}

// pauses writes to a bucket of three replicas all the time, and knows how long that was not possible.
type pauses struct {
	acked   chan time.Time
	longest chan time.Duration
}

func watchPauses(ctx context.Context, b *broker.Broker) *pauses {
	p := &pauses{acked: make(chan time.Time, 1), longest: make(chan time.Duration, 1)}
	go func() {
		longest, last := time.Duration(0), time.Now()
		var members *broker.Bucket
		for ctx.Err() == nil {
			err := p.write(ctx, b, &members)
			if now := time.Now(); err == nil {
				longest, last = max(longest, now.Sub(last)), now
				select {
				case p.acked <- now:
				default:
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		p.longest <- longest
	}()
	return p
}

func (p *pauses) write(ctx context.Context, b *broker.Broker, members **broker.Bucket) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if *members == nil {
		if *members, err = b.Bucket(ctx, broker.MembersBucket); err != nil {
			return err
		}
	}
	return (*members).Put(ctx, "poll.probe", []byte("1"))
}

// over waits until the cluster takes writes that began after now.
func (p *pauses) over(t testing.TB) {
	t.Helper()
	now := time.Now()
	for deadline := time.After(3 * time.Minute); ; {
		select {
		case at := <-p.acked:
			if at.After(now.Add(time.Second)) {
				return
			}
		case <-deadline:
			t.Fatal("nothing can be written for three minutes")
		}
	}
}

func TestAClusterThatIsKilledLosesNothingAndDoublesNothing(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 31, Days: 4, Chats: 120})
	c := newCluster(t)
	w.set("PARLEY_NATS_URL", c.urls())
	w.set("PARLEY_NATS_REPLICAS", "3")
	w.operator = seedOf(c.files, broker.RoleOperator)
	w.set("PARLEY_PARTITIONS", "4")
	w.as(t, c.files, broker.RoleProvisioner, "provision").once(t, exitDone)
	var roles []*parley
	for _, role := range [][2]string{
		{broker.RolePoller, "poll"}, {broker.RolePoller, "poll"}, {broker.RoleProcessor, "process"}, {broker.RoleProcessor, "process"}, {broker.RoleSink, "sink"},
	} {
		p := w.as(t, c.files, role[0], role[1])
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		roles = append(roles, p)
	}
	operator := loginAs(t, c.urls(), c.files, broker.RoleOperator)
	probe, err := broker.Open(t.Context(), broker.Options{URLs: strings.Split(c.urls(), ","), Creds: seedOf(c.files, broker.RolePoller)})
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := watchPauses(ctx, probe)

	leader := c.whole(t, operator.Conn)
	c.reload(t)
	leader.kill() // the leader
	p.over(t)
	w.change(t, "livechat", 3)
	c.start(t, leader)
	leader = c.whole(t, operator.Conn)
	for _, n := range c.nodes { // one that follows
		if n != leader {
			n.kill()
			p.over(t)
			w.change(t, "liveagent", 3)
			c.start(t, n)
			break
		}
	}
	c.whole(t, operator.Conn)
	for _, n := range c.nodes { // all at once
		n.kill()
	}
	w.change(t, "cobrowser", 3)
	for _, n := range c.nodes {
		c.start(t, n)
	}
	c.whole(t, operator.Conn)
	p.over(t)
	cancel()
	t.Logf("after a leader, one that follows and all three nodes were killed: the longest pause of writing was %s", (<-p.longest).Round(10*time.Millisecond))

	status, err := broker.Open(t.Context(), broker.Options{URLs: strings.Split(c.urls(), ","), Creds: seedOf(c.files, broker.RoleOperator)})
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	settled(t, status, w)
	for _, r := range roles {
		_ = r.Process.Signal(os.Interrupt)
		if err := r.Wait(); err != nil {
			t.Errorf("%s ended with %v:\n%s", r.Args[1], err, r.stderr)
		}
	}
	w.wantAll(t, w.readFiles(t))
}
