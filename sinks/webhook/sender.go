package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-stream/parley/sinks"
)

const (
	dialTimeout = 5 * time.Second
	// drainBytes and drainTime are how much of an answer's body is read so that the connection can serve again.
	drainBytes = 64 << 10
	drainTime  = time.Second
	// headerBytes bounds the header of an answer.
	headerBytes = 64 << 10
	// idleTimeout is shorter than common servers', so that we close a connection before they do.
	idleTimeout = 45 * time.Second
)

// Sender makes the requests.
type Sender struct {
	config
	dialer    *net.Dialer
	transport *http.Transport

	mu        sync.Mutex
	allowed   *permission // nil: not granted yet
	refusal   error       // of the last one who asked
	refusedAt time.Time
}

func newSender(c config) *Sender {
	dialer := &net.Dialer{Timeout: min(dialTimeout, c.timeout), KeepAlive: 15 * time.Second, Control: c.guard.control}
	return &Sender{config: c, dialer: dialer, transport: &http.Transport{
		// Proxy stays nil: what a proxy connects to on our behalf, no guard sees.
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    min(dialTimeout, c.timeout),
		ResponseHeaderTimeout:  c.timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headerBytes,
		MaxIdleConnsPerHost:    c.concurrency,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true, // what is not asked for needs no limit on what it unpacks to
		ForceAttemptHTTP2:      true,
	}}
}

// Send implements sinks.Sender.
func (s *Sender) Send(ctx context.Context, items []sinks.Item) error {
	limit, err := s.permitted(ctx)
	if err != nil {
		return err
	}
	if err := limit.Wait(ctx); err != nil {
		return fmt.Errorf("wait for the endpoint's rate: %w", err)
	}
	header, body := s.mode.encode(items)
	now := time.Now()
	sign(header, s.keys, messageID(items), now, body)
	a, err := s.exchange(ctx, http.MethodPost, header, body)
	if err != nil {
		return err
	}
	return verdict(a, now)
}

// answer is what an answer's head says.
type answer struct {
	status int
	header http.Header
}

// exchange makes one request. The transport is asked itself: an http.Client follows
// redirects, and names the URL in its errors.
func (s *Sender) exchange(ctx context.Context, method string, header http.Header, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errNoAnswer)
	defer cancel()
	if s.basic != nil {
		password, _ := s.basic.Password()
		header.Set("Authorization", basicAuth(s.basic.Username(), password))
	}
	request := &http.Request{
		Method: method, URL: s.target, Host: s.target.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)),
	}
	if len(body) > 0 {
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
	}
	response, err := s.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return answer{}, s.explain(ctx, err)
	}
	// The status says it all. A body that never ends must not hold the worker.
	enough := time.AfterFunc(drainTime, cancel)
	_, _ = io.CopyN(io.Discard, response.Body, drainBytes+1)
	enough.Stop()
	_ = response.Body.Close()
	return answer{response.StatusCode, response.Header}, nil
}

// Test implements sinks.Tester: it asks for permission where that is wanted, and else connects.
func (s *Sender) Test(ctx context.Context) (string, error) {
	p, err := s.ask(ctx)
	if err == nil && s.handshake == off {
		err = s.connect(ctx)
	}
	if err != nil {
		return "", err
	}
	signed := map[int]string{0: "not signed (set SECRET to sign)", 1: "signed with 1 key", 2: "signed with 2 keys"}[len(s.keys)]
	return fmt.Sprintf("POST to %s in %s mode, %s, up to %d at once with %s each; %s", s.place(), s.mode, signed, s.concurrency, s.timeout, p.text), nil
}

// connect makes a connection and sends nothing.
func (s *Sender) connect(ctx context.Context) error {
	port := s.target.Port()
	if port == "" {
		port = map[bool]string{true: "80", false: "443"}[s.guard.plain]
	}
	connection, err := s.dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.target.Hostname(), port))
	if err != nil {
		return s.explain(ctx, err)
	}
	return connection.Close()
}

// place is the target as it may be shown: its path and query may be secret.
func (s *Sender) place() string { return s.target.Scheme + "://" + s.target.Host }

// Close implements sinks.Sender.
func (s *Sender) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// permission is what the endpoint said to the handshake.
type permission struct {
	limit *rate.Limiter
	text  string
}

var errNoAnswer = errors.New("no answer in time")
