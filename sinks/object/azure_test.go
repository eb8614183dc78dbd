//go:build node

package object_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/object"
)

// These need node 20 and what `npm ci` puts into tools/azurite.

// The account that every Azurite has, and its key, which Microsoft has published.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// startAzure runs Azurite, in memory, until the test ends.
func startAzure(t *testing.T) (cloud, *container.Client) {
	t.Helper()
	program := tool(t, "azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("run npm ci in tools/azurite: %v", err)
	}
	port := freePort(t)
	run(t, "node", program, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", port)
	c := cloud{
		scheme: "azblob", address: "http://127.0.0.1:" + port, base: "/" + azureAccount, variables: map[string]string{"ACCOUNT_KEY": azureKey},
	}
	client := azureClient(t, c.address)
	c.list = func(t testing.TB, prefix string) (keys []string) {
		for pages := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix}); pages.More(); {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range page.Segment.BlobItems {
				keys = append(keys, *b.Name)
			}
		}
		return keys
	}
	c.content = func(t testing.TB, key string) []byte {
		out, err := client.NewBlobClient(key).DownloadStream(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close()
		content, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var err error
	for range 600 {
		if _, err = client.Create(t.Context(), nil); err == nil {
			return c, client
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatalf("Azurite does not answer: %v", err)
	return c, nil
}

func azureClient(t testing.TB, address string) *container.Client {
	t.Helper()
	shared, err := container.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(address+"/"+azureAccount+"/"+cloudBucket, shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestTheObjectSinkPassesTheSuiteOnAzure(t *testing.T) {
	c, _ := startAzure(t)
	c.passesTheSuite(t)
}

func TestACrashAndALateOwnerWriteNothingTwiceOnAzure(t *testing.T) {
	c, _ := startAzure(t)
	c.survivesCrashes(t)
}

func TestEventsOfAnEntityAreFoundOnAzure(t *testing.T) {
	c, _ := startAzure(t)
	c.findsEvents(t)
}

func TestFaultsOfAzureAndTheNetworkLoseNothingAndWriteNothingTwice(t *testing.T) {
	c, client := startAzure(t)
	data := func(comp string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == http.MethodPut && r.URL.Query().Get("comp") == comp && !strings.Contains(r.URL.Path, "/.parley/")
		}
	}
	var mu sync.Mutex
	seen := map[string]int{} // by blob
	second := func(r *http.Request) bool {
		if !data("block")(r) {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path]++
		return seen[r.URL.Path] > 1
	}
	c.survivesFaults(t, map[string]func(*http.Request) bool{
		"a part": data("block"), "a later part": second, "the completion": data("blocklist"),
		"a claim or mark": func(r *http.Request) bool {
			return r.Method == http.MethodPut && (strings.Contains(r.URL.Path, "/claims/") || strings.Contains(r.URL.Path, "/done/"))
		},
	}, map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"503": azureAnswer(http.StatusServiceUnavailable, "ServerBusy"), "500": azureAnswer(http.StatusInternalServerError, "InternalError"),
		"a refusal": azureAnswer(http.StatusForbidden, "AuthorizationFailure"), "a condition that is not met": azureAnswer(http.StatusPreconditionFailed, "ConditionNotMet"),
	})
	t.Run("whose blocks are left", func(t *testing.T) {
		include := container.ListBlobsInclude{UncommittedBlobs: true}
		for pages := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Include: include}); pages.More(); {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range page.Segment.BlobItems {
				if b.Properties.ContentLength == nil || *b.Properties.ContentLength == 0 && !strings.Contains(*b.Name, "/.parley/") {
					t.Errorf("%s has blocks that nobody committed", *b.Name)
				}
			}
		}
	})
}

func azureAnswer(status int, code string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Ms-Error-Code", code)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, errorBody, code, "please try again\nRequestId:1\nTime:2")
	}
}

// Both write one name at once, in parts, as two owners do when one wakes too late.
func TestOfTwoWritersOfOneNameOneWinsAndNothingIsMixedOnAzure(t *testing.T) {
	c, _ := startAzure(t)
	for try := range 5 {
		prefix := newPrefix()
		open := c.open(t, c.address, prefix, "path={kind}")
		var writing sync.WaitGroup
		for _, n := range []uint64{4, 5} {
			s := own(t, open)
			object.SetPart(s, 1<<20)
			writing.Go(func() {
				if _, err := s.Deliver(t.Context(), sinks.Batch{Items: large(1, n)}); err == nil {
					_, _ = s.Flush(t.Context()) // the loser is told to begin anew
				}
			})
		}
		writing.Wait()
		got := c.sequences(t, prefix)
		if !slices.Equal(got, upTo(4)) && !slices.Equal(got, upTo(5)) {
			t.Errorf("try %d: got %v, want what one of them wrote", try, got)
		}
	}
}

func TestASharedAccessSignatureIsACredential(t *testing.T) {
	c, client := startAzure(t)
	target, err := client.GetSASURL(sas.ContainerPermissions{Read: true, Add: true, Create: true, Write: true, Delete: true, List: true}, time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	c.variables = map[string]string{"SAS_TOKEN": "?" + u.RawQuery}
	prefix := newPrefix()
	s := own(t, c.open(t, c.address, prefix, "path={kind}"))
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items(1, 3)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flush(t.Context()); err != nil || !slices.Equal(c.sequences(t, prefix), upTo(3)) {
		t.Errorf("got %v, %v", c.sequences(t, prefix), err)
	}
}

func TestErrorsOfAzureSayWhatToDoAndShowNoSecret(t *testing.T) {
	c, _ := startAzure(t)
	signature := "sv=2024-01-01&sig=hunter2%2Bhunter2%3D"
	for name, f := range map[string]struct {
		status     int
		code, want string
	}{
		"no container":  {404, "ContainerNotFound", "make the container"},
		"no permission": {403, "AuthorizationPermissionMismatch", "Storage Blob Data Contributor"},
		"a wrong key":   {403, "AuthenticationFailed", "look at ACCOUNT_KEY"},
	} {
		for _, variables := range []map[string]string{{"ACCOUNT_KEY": azureKey}, {"SAS_TOKEN": signature}} {
			_, at := startProxyTo(t, c.address, fault{func(*http.Request) bool { return true }, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				w.Header().Set("X-Ms-Error-Code", f.code)
				w.WriteHeader(f.status)
				_, _ = fmt.Fprintf(w, errorBody, f.code, azureKey+" "+strings.ReplaceAll(r.URL.RawQuery, "&", "&amp;"))
			}}, 1<<30)
			c.variables = variables
			_, err := c.open(t, at, newPrefix(), "")(t.Context(), sinks.Ownership{Sink: "archive", Origin: "one"})
			if err == nil || !strings.Contains(err.Error(), f.want) || !strings.Contains(err.Error(), f.code) {
				t.Errorf("%s: got %v, want %q", name, err, f.want)
			}
			if variables["ACCOUNT_KEY"] != "" && strings.Contains(fmt.Sprint(err), azureKey) || strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%s: a secret is shown: %v", name, err)
			}
		}
	}
	c.variables = map[string]string{"SAS_TOKEN": signature}
	if _, err := c.open(t, "http://127.0.0.1:1", newPrefix(), "")(t.Context(), sinks.Ownership{Sink: "archive"}); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no server: got %v", err)
	}
}
