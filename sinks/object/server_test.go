package object_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parley-stream/parley/sinks/s3test"
)

const (
	bucket = s3test.Bucket
	keyID  = s3test.KeyID
	secret = s3test.Secret
)

// endpoint is the S3 server's, client a way to it beside the sink's.
var (
	server   *s3test.Server
	endpoint string
	client   *s3.Client
)

func TestMain(m *testing.M) {
	var err error
	if server, err = s3test.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	endpoint, client = server.Endpoint, server.Client
	code := m.Run()
	server.Stop()
	os.Exit(code)
}

// stored is an object that is there.
type stored struct {
	key     string
	content []byte
}

// objects gives what a loader sees below a prefix, by name in order of their first sequence.
func objects(t testing.TB, prefix string) (all []stored) {
	t.Helper()
	for _, key := range keys(t, prefix) {
		if strings.Contains(key, "/.parley/") {
			continue
		}
		content, err := server.Read(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stored{key, content})
	}
	slices.SortFunc(all, func(a, b stored) int { return strings.Compare(path.Base(a.key), path.Base(b.key)) })
	return all
}

func keys(t testing.TB, prefix string) []string {
	t.Helper()
	all, err := server.Keys(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func remove(t testing.TB, key string) {
	t.Helper()
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key}); err != nil {
		t.Fatal(err)
	}
}

func uploads(t testing.TB, prefix string) (all []string) {
	t.Helper()
	out, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket), Prefix: aws.String(prefix + "/")})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range out.Uploads {
		all = append(all, *u.Key)
	}
	return all
}

// proxy stands before the server and fails as it is told.
type proxy struct {
	mu    sync.Mutex
	fault fault
	left  int // how many requests still meet it
	met   int
}

// fault is what happens to a request that it fits; pass lets the server have it.
type fault struct {
	fits func(r *http.Request) bool
	do   func(w http.ResponseWriter, r *http.Request, pass http.Handler)
}

// startProxy gives the address of a proxy.
func startProxy(t *testing.T, f fault, times int) (*proxy, string) {
	t.Helper()
	return startProxyTo(t, endpoint, f, times)
}

func startProxyTo(t *testing.T, server string, f fault, times int) (*proxy, string) {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	p := &proxy{fault: f, left: times}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		meets := p.left > 0 && p.fault.fits(r)
		if meets {
			p.left--
			p.met++
		}
		p.mu.Unlock()
		if meets {
			p.fault.do(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return p, front.URL
}

// cut ends a connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

const errorBody = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`

func answer(status int, code string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, errorBody, code, "please try again")
	}
}

func resetInTheMiddle(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.CopyN(io.Discard, r.Body, 100<<10)
	cut(w)
}

// loseReply lets the server do what it is asked, and tells nobody.
func loseReply(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	pass.ServeHTTP(httptest.NewRecorder(), r)
	cut(w)
}

var errCrash = errors.New("the process ends here")

// tool is where what lies below tools is.
func tool(t *testing.T, parts ...string) string {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{filepath.Dir(strings.TrimSpace(string(mod))), "tools"}, parts...)...)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	return port
}

// run has a server run until the test ends.
func run(t *testing.T, program string, arguments ...string) {
	t.Helper()
	process := exec.Command(program, arguments...)
	process.Dir, process.Stderr = t.TempDir(), os.Stderr
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
}
