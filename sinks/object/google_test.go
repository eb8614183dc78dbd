package object_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/object"
)

// startGoogle runs fake-gcs-server, from a module of its own, until the test ends.
func startGoogle(t *testing.T) cloud {
	t.Helper()
	build := exec.Command("go", "-C", tool(t, "gcs"), "tool", "-n", "fake-gcs-server")
	build.Stderr = os.Stderr
	binary, err := build.Output()
	if err != nil {
		t.Fatalf("build fake-gcs-server: %v", err)
	}
	port := freePort(t)
	run(t, strings.TrimSpace(string(binary)), "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory", "-log-level", "error")
	address := "http://127.0.0.1:" + port
	for range 600 {
		r, err := http.Post(address+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"`+cloudBucket+`"}`))
		if err == nil {
			_ = r.Body.Close()
			return googleAt(address)
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("fake-gcs-server does not answer")
	return cloud{}
}

func googleAt(address string) cloud {
	get := func(t testing.TB, path string) []byte {
		t.Helper()
		r, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("get %s: %s, %v", path, r.Status, err)
		}
		return content
	}
	return cloud{
		scheme: "gs", address: address, variables: map[string]string{},
		list: func(t testing.TB, prefix string) (keys []string) {
			var page struct{ Items []struct{ Name string } }
			if err := json.Unmarshal(get(t, "/storage/v1/b/"+cloudBucket+"/o?prefix="+url.QueryEscape(prefix)), &page); err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				keys = append(keys, item.Name)
			}
			return keys
		},
		content: func(t testing.TB, key string) []byte {
			return get(t, "/storage/v1/b/"+cloudBucket+"/o/"+url.PathEscape(key)+"?alt=media")
		},
	}
}

func TestTheObjectSinkPassesTheSuiteOnGoogle(t *testing.T) { startGoogle(t).passesTheSuite(t) }

func TestACrashAndALateOwnerWriteNothingTwiceOnGoogle(t *testing.T) {
	startGoogle(t).survivesCrashes(t)
}

func TestFaultsOfGoogleAndTheNetworkLoseNothingAndWriteNothingTwice(t *testing.T) {
	upload := func(kind string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == http.MethodPost && r.URL.Query().Get("uploadType") == kind
		}
	}
	startGoogle(t).survivesFaults(t, map[string]func(*http.Request) bool{
		"a put": upload("multipart"), "the beginning of an upload": upload("resumable"),
		"a part":        func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Content-Range"), "bytes 5242880-") },
		"the last part": func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Content-Range"), "bytes 10485760-") },
	}, map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"503": answer(http.StatusServiceUnavailable, "busy"), "a refusal": answer(http.StatusForbidden, "forbidden"),
	})
}

func TestEventsOfAnEntityAreFoundOnGoogle(t *testing.T) { startGoogle(t).findsEvents(t) }

func TestEventsOfAnEntityAreFoundOnS3(t *testing.T) {
	cloud{scheme: "s3", address: endpoint, variables: map[string]string{"ACCESS_KEY_ID": keyID, "SECRET_ACCESS_KEY": secret}}.findsEvents(t)
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
		_, err := googleAt(endpoint).open(t, at, newPrefix(), "")(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one"})
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
