// Package s3test runs a real S3 server (versitygw) on loopback for tests and measurements, over a directory that goes with it.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// What the server knows its users by, and the bucket that there is.
const (
	Bucket = "parley-test"
	KeyID  = "canary-key-id"
	Secret = "canary-secret-access-key"
)

// Server is one that runs.
type Server struct {
	Endpoint string
	Client   *s3.Client
	process  *exec.Cmd
	dir      string
}

// Start builds the server, which takes minutes the first time and nothing afterwards, and starts it.
func Start(ctx context.Context) (s *Server, err error) {
	binary, err := build()
	if err != nil {
		return nil, fmt.Errorf("build the S3 server: %w", err)
	}
	s = &Server{}
	if s.dir, err = os.MkdirTemp("", "parley-s3-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	data, meta := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "meta")
	for _, sub := range []string{data, meta} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			return nil, err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s.process = exec.Command(binary, "--access", KeyID, "--secret", Secret, "--port", address, "--quiet", "posix", "--sidecar", meta, data)
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	s.Endpoint = "http://" + address
	s.Client = s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint, UsePathStyle: true, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(KeyID, Secret, ""),
	})
	return s, s.await(ctx)
}

// build gives the path of the server's binary, from a module of its own, so that ours has none of what it needs.
func build() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	tool := exec.Command("go", "-C", filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "tools", "s3"), "tool", "-n", "versitygw")
	tool.Stderr = os.Stderr
	binary, err := tool.Output()
	return strings.TrimSpace(string(binary)), err
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// await makes the bucket as soon as the server is there.
func (s *Server) await(ctx context.Context) (err error) {
	for range 600 {
		if _, err = s.Client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(Bucket)}); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}

// Stop ends the server and removes what it held.
func (s *Server) Stop() {
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
	}
	_ = os.RemoveAll(s.dir)
}

// Keys lists what is below a prefix.
func (s *Server) Keys(ctx context.Context, prefix string) (all []string, err error) {
	pages := s3.NewListObjectsV2Paginator(s.Client, &s3.ListObjectsV2Input{Bucket: aws.String(Bucket), Prefix: aws.String(prefix + "/")})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range out.Contents {
			all = append(all, *o.Key)
		}
	}
	return all, nil
}

// Read gives an object.
func (s *Server) Read(ctx context.Context, key string) ([]byte, error) {
	out, err := s.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(Bucket), Key: &key})
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(out.Body)
	return content, errors.Join(err, out.Body.Close())
}
