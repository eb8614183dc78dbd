package app_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/privacy"
)

func TestACommandThatOnlyLooksMakesNoStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	a, err := app.New([]string{"PARLEY_DATA_DIR=" + dir, "PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file:" + dir + "/out"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for name, look := range map[string]func() error{
		"status":   func() error { return a.ShowStatus(t.Context(), false) },
		"dlq ls":   func() error { return a.ListDead(t.Context(), app.DeadFilter{}, false) },
		"dlq drop": func() error { return a.DropDead(t.Context(), app.DeadFilter{}, false) },
		"replay":   func() error { return a.Replay(t.Context(), app.ReplayRequest{Sink: "files", From: "2026-01-01"}) },
	} {
		var faults settings.Faults
		if err := look(); !errors.As(err, &faults) || faults[0].Variable != "PARLEY_DATA_DIR" || faults[0].Got != dir {
			t.Errorf("%s: %v; want a fault of PARLEY_DATA_DIR", name, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Fatalf("%s has made %s", name, dir)
		}
	}
}

func TestASinkThatIsPausedBeforeItsFirstStartIsNotSaidToHaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	environ := []string{"PARLEY_DATA_DIR=" + filepath.Join(dir, "data"), "PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file:" + dir + "/out"}
	got := shown(t, environ, func(a *app.App) error {
		if err := a.PauseSink(t.Context(), "files"); err != nil {
			return err
		}
		return a.ShowStatus(t.Context(), false)
	})
	if !strings.Contains(got, "before its first start: `parley resume files`") || strings.Contains(got, "events wait") {
		t.Errorf("it says\n%s", got)
	}
}

func TestACheckNamesTheVariableToChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := new(output)
	a, err := app.New([]string{
		"PARLEY_DATA_DIR=" + filepath.Join(dir, "data"), "PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file:" + file + "/out", "PARLEY_SOURCES=eu",
		"PARLEY_SOURCE_EU_VENDOR=liveleader", "PARLEY_SOURCE_EU_URL=http://127.0.0.1:1", "PARLEY_SOURCE_EU_EMAIL=eu@agent.example", "PARLEY_SOURCE_EU_PASSWORD=none",
	}, out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := a.Check(t.Context(), false); ok || err != nil {
		t.Errorf("%v, %v: want faults", ok, err)
	}
	for start, want := range map[string]string{
		"FAULT    source eu: ":  "look at PARLEY_SOURCE_EU_URL",
		"FAULT    sink files: ": "look at PARLEY_SINK_FILES_URL",
	} {
		found := false
		for line := range strings.Lines(out.String()) {
			found = found || strings.HasPrefix(line, start) && strings.Contains(line, want)
		}
		if !found {
			t.Errorf("no line %q has %q:\n%s", start, want, out)
		}
	}
}

func TestACheckSaysHowFarAVendorsClockIsOff(t *testing.T) {
	t.Parallel()
	environ := simulatedVendors(t)
	const variable = "PARLEY_SOURCE_LIVECHAT_URL="
	at := slices.IndexFunc(environ, func(entry string) bool { return strings.HasPrefix(entry, variable) })
	base, err := url.Parse(strings.TrimPrefix(environ[at], variable))
	if err != nil {
		t.Fatal(err)
	}
	environ = slices.DeleteFunc(environ, func(entry string) bool {
		return !strings.HasPrefix(entry, "PARLEY_SOURCE_LIVECHAT_") || strings.HasPrefix(entry, "PARLEY_SOURCE_LIVECHAT_REPORTS_") || strings.HasPrefix(entry, variable)
	})
	for off, want := range map[time.Duration]string{
		0: "ok       source livechat: .*; its clock agrees with ours", 30 * time.Second: `ok       source livechat: .*; its clock is (29|3[01])[.s].* from ours`,
		-5 * time.Minute: `FAULT    source livechat: .*; its clock is -[45]m.* from ours, more than 1m0s: set this machine's clock by NTP`,
	} {
		vendor := httputil.NewSingleHostReverseProxy(base)
		vendor.ModifyResponse = func(r *http.Response) error {
			r.Header.Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			return nil
		}
		server := httptest.NewServer(vendor)
		got := shown(t, append(environ[:len(environ):len(environ)], "PARLEY_SOURCES=livechat", variable+server.URL, "PARLEY_DATA_DIR="+filepath.Join(t.TempDir(), "data")),
			func(a *app.App) error {
				_, err := a.Check(t.Context(), false)
				return err
			})
		server.Close()
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("off by %s it says\n%s", off, got)
		}
	}
}

func TestAFileOfPlacesThatIsNotThereIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	gone := filepath.Join(t.TempDir(), "gone.mmdb")
	_, err := app.New([]string{"PARLEY_GEOIP_DB=" + gone}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "PARLEY_GEOIP_DB") || !strings.Contains(err.Error(), gone) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v; want the variable, the file, and that it is not there", err)
	}
}

func TestPlacesThatAreAskedForWithoutAFileAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for enrich, want := range map[string]string{"all": "", "page,timing": "", "page,geo": "PARLEY_GEOIP_DB"} {
		_, err := app.New([]string{"PARLEY_ENRICH=" + enrich}, io.Discard, io.Discard)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want a fault of %q", enrich, err, want)
		}
	}
}

func TestNobodyReplaysByAnotherPolicyThanTheProcessors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	environ := []string{"PARLEY_DATA_DIR=" + filepath.Join(dir, "data"), "PARLEY_SINKS=files", "PARLEY_SINK_FILES_URL=file:" + dir + "/out"}
	const policy = "agents.name=mask"
	replay := func(more ...string) error {
		a, err := app.New(append(more, environ...), io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return a.Replay(t.Context(), app.ReplayRequest{Sink: "files", From: "2026-01-01"})
	}
	started(t, filepath.Join(dir, "data"), nil)
	if err := replay(); err != nil {
		t.Errorf("neither has a policy: %v", err)
	}
	p, faults := privacy.New(policy, "")
	if faults != nil {
		t.Fatal(faults)
	}
	started(t, filepath.Join(dir, "data"), p)
	var wrong settings.Faults
	for name, more := range map[string][]string{"no policy": nil, "another": {"PARLEY_PRIVACY=agents.name=keep"}} {
		if err := replay(more...); !errors.As(err, &wrong) || wrong[0].Variable != "PARLEY_PRIVACY" || !strings.Contains(err.Error(), policy) {
			t.Errorf("%s: %v; want a fault that names the policy", name, err)
		}
	}
	if err := replay("PARLEY_PRIVACY=" + policy); err != nil {
		t.Errorf("the same policy: %v", err)
	}
}

func TestNobodyIsForgottenByAnotherPolicyThanTheProcessors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const policy, key = "visitor.email=hmac", "a key of this installation"
	forget := func(q app.ForgetRequest, more ...string) error {
		a, err := app.New(append(more, "PARLEY_DATA_DIR="+dir), io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		q.DryRun = true
		return a.Forget(t.Context(), q, nil)
	}
	provisioned(t, dir).Close()
	ann := app.ForgetRequest{Visitor: "ann@visitor.example"}
	if err := forget(ann); err != nil {
		t.Errorf("no processor has started: %v", err)
	}
	p, faults := privacy.New(policy, key)
	if faults != nil {
		t.Fatal(faults)
	}
	started(t, dir, p)
	another := []string{"PARLEY_PRIVACY=" + policy, "PARLEY_PRIVACY_KEY=another key of this installation"}
	var wrong settings.Faults
	for name, more := range map[string][]string{"no policy": nil, "another key": another} {
		if err := forget(ann, more...); !errors.As(err, &wrong) || wrong[0].Variable != "PARLEY_PRIVACY" || !strings.Contains(err.Error(), p.String()) {
			t.Errorf("%s: %v; want a fault that names the policy", name, err)
		}
	}
	if err := forget(ann, "PARLEY_PRIVACY="+policy, "PARLEY_PRIVACY_KEY="+key); err != nil {
		t.Errorf("the same policy and key: %v", err)
	}
	if err := forget(app.ForgetRequest{Visitor: ann.Visitor, FormerPolicy: true}, another...); err != nil {
		t.Errorf("the key is said to be a former one: %v", err)
	}
	if err := forget(app.ForgetRequest{Again: true}, another...); err != nil {
		t.Errorf("who was erased before, whose hashes are remembered: %v", err)
	}
}

// provisioned gives a broker with the streams, and nothing in them.
func provisioned(t *testing.T, dataDir string) *broker.Broker {
	t.Helper()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dataDir, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Provision(t.Context()); err != nil {
		b.Close()
		t.Fatal(err)
	}
	return b
}

// started runs a processor until it has said by which policy it publishes.
func started(t *testing.T, dataDir string, guard processors.Guard) {
	t.Helper()
	b := provisioned(t, dataDir)
	defer b.Close()
	r, err := processors.NewRunner(t.Context(), b, processors.Options{Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		if said, err := processors.Policy(t.Context(), b); err == nil && said == processors.PolicyOf(guard) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the processor does not say its policy within a minute")
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v; want the context's end", err)
	}
}

func TestEachKindOfDeadLetterIsExplained(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	var letters []broker.Message
	for _, c := range []struct {
		stage, name, reason string
		body                []byte
	}{
		{events.StageProcess, "eu", "chat: id is missing", []byte(`{"text":"<b>\u001b[2J"}`)},
		{events.StagePoll, "eu", "the record is too large", []byte("<a>\n\x1b[2J</a>")},
		{events.StageSink, "files", "2 times: answered 500; answered 410", []byte{0xff, 0xfe}},
	} {
		d := events.DeadLetter{Stage: c.stage, Name: c.name, Reason: c.reason, Attempts: 3, At: time.Now()}
		m := broker.Message{Subject: d.DeadSubject(), Header: map[string][]string{}, Data: c.body}
		d.SetHeaders(m.Header)
		letters = append(letters, m)
	}
	for _, result := range b.Publish(t.Context(), letters) {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
	}
	b.Close()
	for number, want := range map[uint64][]string{
		1: {"reason:   chat: id is missing", "attempts: 3", "`parley dlq replay 1` runs it", "part 1 of 1:\n{\n  \"text\": \"<b>"},
		2: {"the reason says which limit it exceeds", "<a>\n\\x1b[2J</a>\n"},
		3: {"reason:   2 times: answered 500; answered 410", "`parley dlq replay 3` delivers it to the sink files alone", "2 bytes, no text"},
	} {
		got := shown(t, []string{"PARLEY_DATA_DIR=" + dir}, func(a *app.App) error { return a.ShowDead(t.Context(), number, false) })
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("letter %d lacks %q:\n%s", number, w, got)
			}
		}
		if strings.Contains(got, "\x1b") {
			t.Errorf("letter %d moves the cursor: %q", number, got)
		}
	}
}

func TestAnUnreachableServerIsNamedWithItsVariableAndWhatToDo(t *testing.T) {
	t.Parallel()
	a, err := app.New([]string{"PARLEY_NATS_URL=nats://somebody:c4nary-c4nary@127.0.0.1:1"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = a.ShowStatus(t.Context(), false)
	if err == nil || !strings.Contains(err.Error(), "PARLEY_NATS_URL: 127.0.0.1:1 cannot be reached: nothing answers there; is") {
		t.Fatalf("%v", err)
	}
	for _, word := range []string{"c4nary", "nats:", "context"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%v; it says %q", err, word)
		}
	}
}
