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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	bucket = "parley-test"
	keyID  = "canary-key-id"
	secret = "canary-secret-access-key"
)

// endpoint is the S3 server's, client a way to it beside the sink's.
var (
	endpoint string
	client   *s3.Client
)

func TestMain(m *testing.M) {
	code, err := withServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the S3 server of the tests:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// withServer builds and starts a real S3 server on loopback, over a directory that goes afterwards.
func withServer(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "parley-s3-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	build := exec.Command("go", "-C", "../../tools/s3", "tool", "-n", "versitygw")
	build.Stderr = os.Stderr
	binary, err := build.Output()
	if err != nil {
		return 1, fmt.Errorf("build: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1, err
	}
	address := listener.Addr().String()
	_ = listener.Close()
	for _, sub := range []string{"data", "meta"} {
		if err := os.Mkdir(dir+"/"+sub, 0o700); err != nil {
			return 1, err
		}
	}
	server := exec.Command(strings.TrimSpace(string(binary)), "--access", keyID, "--secret", secret, "--port", address, "--quiet", "posix", "--sidecar", dir+"/meta", dir+"/data")
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return 1, err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	endpoint = "http://" + address
	client = s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	})
	for range 600 {
		if _, err = client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err == nil {
			return run(), nil
		}
		<-time.After(50 * time.Millisecond)
	}
	return 1, err
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
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(out.Body)
		_ = out.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stored{key, content})
	}
	slices.SortFunc(all, func(a, b stored) int { return strings.Compare(path.Base(a.key), path.Base(b.key)) })
	return all
}

func keys(t testing.TB, prefix string) (all []string) {
	t.Helper()
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String(prefix + "/")})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Contents {
			all = append(all, *o.Key)
		}
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
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	p := &proxy{fault: f, left: times}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	t.Cleanup(server.Close)
	return p, server.URL
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
