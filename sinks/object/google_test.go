package object_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/internal/formattest"
	"github.com/parley-stream/parley/sinks/object"
	"github.com/parley-stream/parley/sinks/sinktest"
)

const googleBucket = "parley-test"

// startGoogle runs fake-gcs-server, from a module of its own, until the test ends.
func startGoogle(t *testing.T) (address string) {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	tool := exec.Command("go", "-C", filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "tools", "gcs"), "tool", "-n", "fake-gcs-server")
	tool.Stderr = os.Stderr
	binary, err := tool.Output()
	if err != nil {
		t.Fatalf("build fake-gcs-server: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	server := exec.Command(strings.TrimSpace(string(binary)), "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory", "-log-level", "error")
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	address = "http://127.0.0.1:" + port
	for range 600 {
		r, err := http.Post(address+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"`+googleBucket+`"}`))
		if err == nil {
			_ = r.Body.Close()
			return address
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("fake-gcs-server does not answer")
	return ""
}

// google is a bucket as a loader sees it.
type google struct{ address string }

func (g google) open(t testing.TB, at, prefix, query string) sinks.Opener {
	t.Helper()
	vars := settings.New("PARLEY_SINK_T_", map[string]string{})
	open := object.New(sinks.Settings{Timeout: 30 * time.Second}, vars, g.url(at, prefix, query), sinks.Env{DataDir: t.TempDir()})
	if faults := vars.Faults(); faults != nil {
		t.Fatal(faults)
	}
	return open
}

func (g google) url(at, prefix, query string) *url.URL {
	return &url.URL{Scheme: "gs", Host: googleBucket, Path: "/" + prefix, RawQuery: "endpoint=" + url.QueryEscape(at) + "&" + query}
}

func (g google) get(t testing.TB, path string) []byte {
	t.Helper()
	r, err := http.Get(g.address + path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("get %s: %s, %v", path, r.Status, err)
	}
	return content
}

func (g google) objects(t testing.TB, prefix string) (all []stored) {
	t.Helper()
	var page struct{ Items []struct{ Name string } }
	if err := json.Unmarshal(g.get(t, "/storage/v1/b/"+googleBucket+"/o?prefix="+url.QueryEscape(prefix+"/")), &page); err != nil {
		t.Fatal(err)
	}
	for _, item := range page.Items {
		if !strings.Contains(item.Name, "/.parley/") {
			all = append(all, stored{item.Name, g.get(t, "/storage/v1/b/"+googleBucket+"/o/"+url.PathEscape(item.Name)+"?alt=media")})
		}
	}
	slices.SortFunc(all, func(a, b stored) int { return strings.Compare(path.Base(a.key), path.Base(b.key)) })
	return all
}

func (g google) read(t testing.TB, prefix string) (all []events.Event) {
	t.Helper()
	for _, o := range g.objects(t, prefix) {
		list, err := formattest.Read(o.key, o.content)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

func (g google) sequences(t testing.TB, prefix string) (got []uint64) {
	for _, e := range g.read(t, prefix) {
		got = append(got, e.Revision)
	}
	slices.Sort(got)
	return got
}

func TestTheObjectSinkPassesTheSuiteOnGoogle(t *testing.T) {
	g := google{startGoogle(t)}
	for name, query := range map[string]string{"ndjson": "", "parquet": "format=parquet&compress=zstd"} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{Kept: formattest.Kept(name), New: func(t *testing.T) sinktest.Destination {
				prefix := newPrefix()
				return sinktest.Destination{
					Open: g.open(t, g.address, prefix, query), Crash: object.Abandon, Read: func(t *testing.T) []events.Event { return g.read(t, prefix) },
				}
			}})
		})
	}
}

func TestACrashAndALateOwnerWriteNothingTwiceOnGoogle(t *testing.T) {
	g := google{startGoogle(t)}
	for _, step := range object.Steps() {
		t.Run(step, func(t *testing.T) {
			prefix := newPrefix()
			open := g.open(t, g.address, prefix, "path={kind}")
			late, asleep := own(t, open), true
			object.SetFault(late, func(at string) error {
				if at == step && asleep {
					return errCrash
				}
				return nil
			})
			if _, err := late.Deliver(t.Context(), sinks.Batch{Items: items(1, 10)}); err != nil {
				t.Fatal(err)
			}
			if _, err := late.Flush(t.Context()); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			s := own(t, open)
			if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 15)}); err != nil {
				t.Fatal(err)
			}
			asleep = false
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := late.Flush(t.Context()); err != nil && !errors.Is(err, sinks.ErrReopen) {
				t.Errorf("the late one: %v", err)
			}
			if got := g.sequences(t, prefix); !slices.Equal(got, upTo(15)) {
				t.Errorf("got %v, want 1 to 15 once", got)
			}
		})
	}
}

func TestFaultsOfGoogleAndTheNetworkLoseNothingAndWriteNothingTwice(t *testing.T) {
	g := google{startGoogle(t)}
	upload := func(kind string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == http.MethodPost && r.URL.Query().Get("uploadType") == kind
		}
	}
	requests := map[string]func(*http.Request) bool{
		"a put": upload("multipart"), "the beginning of an upload": upload("resumable"),
		"a part":        func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Content-Range"), "bytes 5242880-") },
		"the last part": func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Content-Range"), "bytes 10485760-") },
	}
	faults := map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"503": answer(http.StatusServiceUnavailable, "busy"), "a lost reply": loseReply, "a reset": resetInTheMiddle, "a refusal": answer(http.StatusForbidden, "forbidden"),
	}
	for what, fits := range requests {
		for name, do := range faults {
			for _, times := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s meets %s %d times", what, name, times), func(t *testing.T) { g.meet(t, fault{fits, do}, times) })
			}
		}
	}
}

func (g google) meet(t *testing.T, f fault, times int) {
	t.Parallel()
	prefix := newPrefix()
	p, at := startProxyTo(t, g.address, f, times)
	open := g.open(t, at, prefix, "path={kind}")
	var s sinks.Sink
	durable := map[uint64]bool{}
	err := errors.New("not tried")
	for attempt := 0; err != nil && attempt < 12; attempt++ {
		if s == nil {
			if s, err = open(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one", LastSequence: 1 << 40}); err != nil {
				s = nil
				continue
			}
			object.SetPart(s, 5<<20)
		}
		var d []uint64
		if d, err = s.Deliver(t.Context(), sinks.Batch{Items: large(1, 4)}); err == nil {
			var flushed []uint64
			flushed, err = s.Flush(t.Context())
			d = append(d, flushed...)
		}
		for _, sequence := range d {
			durable[sequence] = true
		}
	}
	if err != nil || len(durable) != 4 || p.met == 0 {
		t.Fatalf("%d durable, %v; the fault was met %d times", len(durable), err, p.met)
	}
	if got := g.sequences(t, prefix); !slices.Equal(got, upTo(4)) {
		t.Errorf("got %v, want 1 to 4 once", got)
	}
}

func TestEventsOfAnEntityAreFoundOnGoogleAndOnS3(t *testing.T) {
	g := google{startGoogle(t)}
	for name, query := range variants() {
		prefix := newPrefix()
		u := g.url(g.address, prefix, query)
		for scheme, open := range map[string]sinks.Opener{"gs": g.open(t, g.address, prefix, query), "s3": opener(t, endpoint, prefix, query)} {
			s := own(t, open)
			_, _ = s.Deliver(t.Context(), sinks.Batch{Items: items(1, 9)})
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			f := s.(sinks.Finder)
			if scheme == "gs" {
				f = object.NewFinder(sinks.Settings{Timeout: time.Minute}, settings.New("", map[string]string{}), u, sinks.Env{DataDir: t.TempDir()})
			}
			got := map[string]int{}
			err := f.Find(t.Context(), []string{"x", "nobody"}, func(place string, events int) error {
				got[place[:strings.Index(place, ".")]] = events
				return nil
			})
			want := map[string]int{scheme + "://parley-test/" + prefix + "/conversation/acme/eu/2026-03-02/00000000000000000002-00000000000000000008": 4}
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%s, %s: got %v, %v; want %v", scheme, name, got, err, want)
			}
		}
	}
}

func TestErrorsOfGoogleSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"no bucket":     {404, `{"error":{"message":"The specified bucket does not exist."}}`, "make the bucket"},
		"no permission": {403, `{"error":{"message":"no"}}`, "storage.objects.create"},
		"no credential": {401, "", "look at GOOGLE_APPLICATION_CREDENTIALS"},
	} {
		_, at := startProxyTo(t, endpoint, fault{func(*http.Request) bool { return true }, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}}, 1<<30)
		_, err := google{}.open(t, at, newPrefix(), "")(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	vars := settings.New("", map[string]string{"CREDENTIALS": `{"private_key":"hunter2"}`})
	open := object.New(sinks.Settings{}, vars, &url.URL{Scheme: "gs", Host: "bucket"}, sinks.Env{DataDir: t.TempDir()})
	if _, err := open(context.Background(), sinks.Ownership{Sink: "a"}); err == nil || !strings.Contains(err.Error(), "CREDENTIALS is no service account's key") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}
