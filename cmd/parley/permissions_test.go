package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/broker"
)

// natsFiles are the deployment's NATS configuration, in a directory of their own with identities that `parley identities` made.
func natsFiles(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files, err := filepath.Glob("../../deploy/nats/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, nil, "identities", filepath.Join(dir, "identities")).once(t, exitDone)
	return dir
}

// seedOf is the file that a role's PARLEY_NATS_CREDS names.
func seedOf(dir, role string) string { return filepath.Join(dir, "identities", role, "nkey") }

// deployedServer is a server from the deployment's files; only its port and the place of its store are others.
func deployedServer(t testing.TB) (url, dir string) {
	t.Helper()
	dir = natsFiles(t)
	options, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	options.Host, options.Port, options.HTTPPort, options.StoreDir = "127.0.0.1", server.RANDOM_PORT, 0, t.TempDir()
	options.NoSigs, options.NoLog, options.JetStreamMaxStore = true, true, 1<<50
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	return s.ClientURL(), dir
}

// asRole is a bare connection with a role's identity, and what the server refused to it.
type asRole struct {
	*nats.Conn
	mu      sync.Mutex
	refused map[string]bool // by subject
	last    chan struct{}   // tells that what nobody may do was refused
}

// nobodys is a subject that no role may use. The server refuses in order: when it has refused this, it has refused what came before.
const nobodys = "nobodys.subject"

func loginAs(t testing.TB, url, dir, role string) *asRole {
	t.Helper()
	seed, err := os.ReadFile(seedOf(dir, role))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	c := &asRole{refused: map[string]bool{}, last: make(chan struct{}, 1)}
	c.Conn, err = nats.Connect(url, nats.Nkey(public, keys.Sign), nats.CustomInboxPrefix("_INBOX_"+role), nats.MaxReconnects(-1), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		_, rest, _ := strings.Cut(err.Error(), `"`)
		subject, _, _ := strings.Cut(rest, `"`)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused[subject] = true
		if subject == nobodys {
			c.last <- struct{}{}
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// may tells which of these subjects the server lets the role publish to.
func (c *asRole) may(t testing.TB, subjects []string) map[string]bool {
	t.Helper()
	for _, subject := range append(slices.Clone(subjects), nobodys) {
		if err := c.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	return c.allowed(t, subjects)
}

// mayHear tells which of these subjects the server lets the role subscribe to.
func (c *asRole) mayHear(t testing.TB, subjects []string) map[string]bool {
	t.Helper()
	for _, subject := range append(slices.Clone(subjects), nobodys) {
		if _, err := c.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	return c.allowed(t, subjects)
}

// allowed waits until the server has refused all that it does.
func (c *asRole) allowed(t testing.TB, subjects []string) map[string]bool {
	t.Helper()
	select {
	case <-c.last:
	case <-time.After(time.Minute):
		t.Fatal("the server refuses nothing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]bool{}
	for _, subject := range subjects {
		out[subject] = !c.refused[subject]
	}
	return out
}

// The letters of the roles in the matrix: poller, processor (c), sink, operator, eraser, provisioner (v).
var letters = map[byte]string{
	'p': broker.RolePoller, 'c': broker.RoleProcessor, 's': broker.RoleSink, 'o': broker.RoleOperator, 'e': broker.RoleEraser, 'v': broker.RoleProvisioner,
}

// rights say who may publish to a subject: this is written down apart from the configuration, which must agree.
func rights() map[string]string {
	r := map[string]string{
		"parley.windows.eu.chats.w1":                "p",
		"parley.raw.livechat.eu.chats.K1":           "po",
		"parley.raw.3.livechat.eu.chats.K1":         "",
		"parley.seen.eu.chats.K1":                   "p",
		"parley.events.conversation.livechat.eu.K1": "ce",
		"parley.state.conversation.livechat.eu.K1":  "ce",
		"parley.dead.poll.eu":                       "p",
		"parley.dead.process.livechat":              "c",
		"parley.dead.sink.files":                    "s",
		"parley.replay.files.parley.events.x":       "o",
		"$KV.parley-ledger.eu.chats.w1":             "po",
		"$KV.parley-budget.eu":                      "p",
		"$KV.parley-sources.eu":                     "po",
		"$KV.parley-sinks.files.start":              "sov",
		"$KV.parley-reprocess.eu":                   "co",
		"$KV.parley-members.health.x":               "pcso",
		"$KV.parley-members.poll.x":                 "p",
		"$KV.parley-members.process.x":              "c",
		"$KV.parley-erased.key":                     "ce",
		"$KV.parley-erased.digest.x":                "e",
		"$O.parley-objects.C.x":                     "pcse",
		"$JS.API.INFO":                              "v",
		"$JS.API.STREAM.LIST":                       "",
		"$JS.API.STREAM.NAMES":                      "",
		"$JS.API.SERVER.REMOVE":                     "",
		"$JS.API.META.LEADER.STEPDOWN":              "",
		"$JS.API.STREAM.SNAPSHOT.PARLEY_EVENTS":     "",
		"$JS.API.STREAM.RESTORE.PARLEY_EVENTS":      "",
		"$SYS.REQ.SERVER.PING":                      "",
		"_INBOX.anyone":                             "",
	}
	for _, role := range broker.Roles() {
		r["_INBOX_"+role+".x"] = ""
	}
	consumers := map[string]string{"PARLEY_WINDOWS": "p", "PARLEY_RAW": "c", "PARLEY_EVENTS": "s", "PARLEY_REPLAY": "s"}
	streams := []string{
		"PARLEY_WINDOWS", "PARLEY_RAW", "PARLEY_EVENTS", "PARLEY_STATE", "PARLEY_DEAD", "PARLEY_SEEN", "PARLEY_REPLAY", "KV_parley-ledger",
		"KV_parley-budget", "KV_parley-sources", "KV_parley-sinks", "KV_parley-members", "KV_parley-reprocess", "KV_parley-erased", "OBJ_parley-objects",
	}
	gets := map[string]string{
		"PARLEY_WINDOWS": "p", "PARLEY_RAW": "pcoe", "PARLEY_EVENTS": "csoe", "PARLEY_STATE": "coe", "PARLEY_DEAD": "pcsoe", "PARLEY_SEEN": "pe", "PARLEY_REPLAY": "e",
		"KV_parley-ledger": "pcso", "KV_parley-budget": "pcso", "KV_parley-sources": "pcso", "KV_parley-sinks": "pcsov",
		"KV_parley-members": "pcsoe", "KV_parley-reprocess": "pcso", "KV_parley-erased": "pcsoe", "OBJ_parley-objects": "pcsoe",
	}
	removes := map[string]string{
		"PARLEY_WINDOWS": "p", "PARLEY_RAW": "ce", "PARLEY_EVENTS": "se", "PARLEY_REPLAY": "se", "PARLEY_SEEN": "e", "PARLEY_DEAD": "pcsoe", "OBJ_parley-objects": "pcse",
	}
	purges := map[string]string{"PARLEY_RAW": "p", "PARLEY_REPLAY": "e", "OBJ_parley-objects": "pcse"}
	for _, stream := range streams {
		r["$JS.API.STREAM.MSG.DELETE."+stream] = removes[stream]
		r["$JS.API.STREAM.PURGE."+stream] = purges[stream]
		r["$JS.API.STREAM.INFO."+stream] = "pcsoev"
		r["$JS.API.DIRECT.GET."+stream] = gets[stream]
		r["$JS.API.STREAM.CREATE."+stream] = "v"
		r["$JS.API.STREAM.UPDATE."+stream] = "v"
		r["$JS.API.STREAM.DELETE."+stream] = ""
		r["$JS.API.STREAM.MSG.GET."+stream] = gets[stream] // the same messages, of the leader
		r["$JS.API.CONSUMER.CREATE."+stream+".mine"] = "v"
		r["$JS.API.CONSUMER.CREATE."+stream+".mine.parley.>"] = "v"
		r["$JS.API.CONSUMER.DURABLE.CREATE."+stream+".mine"] = ""
		r["$JS.API.CONSUMER.DELETE."+stream+".any"] = ""
		r["$JS.API.CONSUMER.PAUSE."+stream+".any"] = ""
		r["$JS.API.CONSUMER.INFO."+stream+".any"] = "pcsoev"
		r["$JS.API.CONSUMER.MSG.NEXT."+stream+".any"] = consumers[stream]
		r["$JS.ACK."+stream+".any.1.1.1.1.0"] = consumers[stream]
		unpins := consumers[stream]
		if stream == "PARLEY_WINDOWS" {
			unpins = "" // its consumers have no owner
		}
		r["$JS.API.CONSUMER.RESET."+stream+".any"] = unpins
		r["$JS.API.CONSUMER.UNPIN."+stream+".any"] = unpins
	}
	return r
}

func TestEachRoleMayDoItsOwnAndNothingElse(t *testing.T) {
	url, dir := deployedServer(t)
	want, got := map[string]string{}, map[string]string{}
	table := rights()
	var subjects []string
	for subject, who := range table {
		subjects = append(subjects, subject)
		for i := range len(who) {
			want[subject] += " " + letters[who[i]]
		}
		want[subject] = sortWords(want[subject])
	}
	slices.Sort(subjects)
	for _, role := range broker.Roles() {
		for subject, ok := range loginAs(t, url, dir, role).may(t, subjects) {
			if ok {
				got[subject] += " " + role
			}
		}
	}
	denied := 0
	for _, subject := range subjects {
		got[subject] = sortWords(got[subject])
		denied += len(broker.Roles()) - len(strings.Fields(got[subject]))
		t.Logf("%-52s %s", subject, row(got[subject]))
	}
	t.Logf("%d of %d pairs of role and subject are denied", denied, len(subjects)*len(broker.Roles()))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who may publish (-want +got):\n%s", diff)
	}
}

func sortWords(s string) string {
	words := strings.Fields(s)
	slices.Sort(words)
	return strings.Join(words, " ")
}

// row is a line of the matrix.
func row(who string) string {
	var out strings.Builder
	for _, role := range broker.Roles() {
		cell := "·"
		if slices.Contains(strings.Fields(who), role) {
			cell = role
		}
		fmt.Fprintf(&out, "%-12s", cell)
	}
	return out.String()
}

func TestEachRoleHearsItsOwnAnswersAlone(t *testing.T) {
	url, dir := deployedServer(t)
	subjects := []string{">", "parley.>", "parley.events.>", "$KV.>", "$JS.>", "_INBOX.>", "_INBOX.x.*", "$SYS.>"}
	for _, role := range broker.Roles() {
		subjects = append(subjects, "_INBOX_"+role+".>")
	}
	for _, role := range broker.Roles() {
		for subject, ok := range loginAs(t, url, dir, role).mayHear(t, subjects) {
			if ok != (subject == "_INBOX_"+role+".>") {
				t.Errorf("%s may hear %s: %v", role, subject, ok)
			}
		}
	}
}

func TestNobodyGetsInWithoutAnIdentity(t *testing.T) {
	url, dir := deployedServer(t)
	if _, err := nats.Connect(url); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without one: %v", err)
	}
	other := filepath.Join(t.TempDir(), "identities")
	command(t, nil, "identities", other).once(t, exitDone)
	_, err := broker.Open(t.Context(), broker.Options{URLs: []string{url}, Creds: filepath.Join(other, broker.RolePoller, "nkey")})
	if err == nil || !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("with one of another server: %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "PARLEY_NATS_CREDS") || !strings.Contains(err.Error(), "parley identities") {
		t.Errorf("who is not let in is not told what to do: %v", err)
	}
	stranger := command(t, []string{"PARLEY_NATS_URL=" + url, "PARLEY_NATS_CREDS=" + seedOf(dir, broker.RoleSink)}, "provision").once(t, exitUsage)
	if !strings.Contains(stranger.stderr.String(), "PARLEY_NATS_CREDS: is the identity of another role") {
		t.Errorf("a sink that provisions is told: %s", stranger.stderr.String())
	}
	before, err := os.ReadFile(seedOf(dir, broker.RoleSink))
	if err != nil {
		t.Fatal(err)
	}
	command(t, nil, "identities", filepath.Join(dir, "identities")).once(t, exitDone)
	if after, err := os.ReadFile(seedOf(dir, broker.RoleSink)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("an identity that was there is another now: %v", err)
	}
	if info, err := os.Stat(seedOf(dir, broker.RoleSink)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("an identity can be read by others: %v %v", info, err)
	}
}

// as starts a command of a world with a role's identity.
func (w *world) as(t testing.TB, dir, role string, args ...string) *parley {
	t.Helper()
	return command(t, append(slices.Clone(w.environ), "PARLEY_NATS_CREDS="+seedOf(dir, role)), args...)
}

func TestEachRoleWorksWithItsIdentity(t *testing.T) {
	w := newWorld(t, app.Simulation{Seed: 21, Days: 4, Chats: 40, Malformed: 1})
	url, dir := deployedServer(t)
	w.set("PARLEY_NATS_URL", url)
	w.operator = seedOf(dir, broker.RoleOperator)
	var roles []*parley
	for role, args := range map[string]string{broker.RolePoller: "poll", broker.RoleProcessor: "process", broker.RoleSink: "sink"} {
		p := w.as(t, dir, role, args)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		roles = append(roles, p)
	}
	// They wait for what they may not make.
	unmade := w.as(t, dir, broker.RoleOperator, "check").once(t, exitFailed)
	if !strings.Contains(unmade.stdout.String(), "FAULT    nats: it is not there yet; `parley provision`") {
		t.Errorf("check before there is anything: %s", unmade.stdout)
	}
	w.as(t, dir, broker.RoleProvisioner, "provision").once(t, exitDone)
	b, err := broker.Open(t.Context(), broker.Options{URLs: []string{url}, Creds: seedOf(dir, broker.RoleOperator)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	settled(t, b, w)
	w.as(t, dir, broker.RoleProvisioner, "provision").once(t, exitDone) // again, beside those that work
	for _, args := range [][]string{
		{"status"},
		{"coverage"},
		{"dlq", "ls"},
		{"dlq", "replay", "--stage", "process"},
		{"replay", "files", "--from", "2020-01-01"},
		{"backfill", "livechat", "--from", time.Now().AddDate(0, 0, -2).Format(time.DateOnly)},
		{"reprocess", "livechat", "--from", time.Now().AddDate(0, 0, -2).Format(time.DateOnly), "--dry-run"},
		{"pause", "files"},
		{"resume", "files"},
		{"check"},
	} {
		p := w.as(t, dir, broker.RoleOperator, args...).once(t, exitDone)
		if bytes.Contains(p.stderr.Bytes(), []byte("ermissions violation")) {
			t.Errorf("%v: %s", args, p.stderr)
		}
		if args[0] == "status" && !strings.Contains(p.stdout.String(), "running: 1 poller, 1 processor") {
			t.Errorf("status: %s", p.stdout)
		}
		if args[0] == "dlq" && !strings.Contains(p.stdout.String(), "process") {
			t.Errorf("%v: %s", args, p.stdout)
		}
	}
	for role, tries := range map[string]string{broker.RolePoller: "ok       source livechat: ", broker.RoleSink: "ok       sink files: ", broker.RoleEraser: ""} {
		p := w.as(t, dir, role, "check").once(t, exitDone)
		if out := p.stdout.String() + p.stderr.String(); !strings.Contains(out, tries) || !strings.Contains(out, "is not tried") || strings.Contains(out, "ermissions violation") {
			t.Errorf("check as the %s: %s", role, out)
		}
	}
	settled(t, b, w)
	for _, p := range roles {
		_ = p.Process.Signal(os.Interrupt)
		if err := p.Wait(); err != nil {
			t.Errorf("%s ended with %v", p.Args[1], err)
		}
		if bytes.Contains(p.stderr.Bytes(), []byte("ermissions violation")) {
			t.Errorf("%s: %s", p.Args[1], p.stderr)
		}
	}
	w.wantAll(t, w.readFiles(t))
	// Last of all, since it takes away what wantAll wants.
	forgotten := w.as(t, dir, broker.RoleEraser, "forget", "--visitor", w.someone(t), "--yes").once(t, exitDone)
	if out := forgotten.stdout.String(); !strings.Contains(out, broker.Raw+": ") || !strings.Contains(out, broker.Events+": ") {
		t.Errorf("forget: %s", out)
	}
}

// someone is the address of a visitor in the files.
func (w *world) someone(t testing.TB) string {
	t.Helper()
	for _, e := range w.readFiles(t).events {
		var chat struct{ Visitor struct{ Email string } }
		if err := json.Unmarshal(e.Data, &chat); err == nil && chat.Visitor.Email != "" {
			return chat.Visitor.Email
		}
	}
	t.Fatal("no visitor has an address")
	return ""
}
