package pollers

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parley-stream/parley/events"
)

// Client makes a room's requests. Each takes a permit of the account's budget first, is bounded in
// time by phase, follows no redirect, and shows no secret in any error. It is safe for concurrent use.
type Client struct {
	http     *http.Client
	permit   func(ctx context.Context) error
	hold     func(ctx context.Context, d time.Duration) error // tells the budget of a Retry-After; nil: nobody
	answered func(status int, took time.Duration)             // nil: nobody is told; status 0: there was no answer
	secrets  Redactor
	maxBytes int64
	stall    time.Duration
	retries  int
	now      func() time.Time
	skew     atomic.Pointer[time.Duration]
	jitter   jitter
}

// Bind makes the client take its permits from a budget. It is called before the first request.
func (c *Client) Bind(permit func(ctx context.Context) error) { c.permit = permit }

// ClientOptions has working zero values.
type ClientOptions struct {
	// Permit waits for the account's budget; nil always permits.
	Permit func(ctx context.Context) error
	// Secrets are the values to keep out of errors and URLs.
	Secrets []string
	// MaxBytes bounds one response's decoded bytes; 0 is 64 GiB.
	MaxBytes int64
	// Stall is how long a body may give no byte; 0 is one minute.
	Stall time.Duration
	// Retries is how often Do tries again when the vendor cannot be reached, is busy or answers 5xx.
	Retries int
	// Transport is for tests; nil is a transport with time limits per phase.
	Transport http.RoundTripper
	Now       func() time.Time
}

// NewClient makes a client.
func NewClient(o ClientOptions) *Client {
	c := &Client{permit: o.Permit, secrets: NewRedactor(o.Secrets), maxBytes: o.MaxBytes, stall: o.Stall, retries: o.Retries, now: o.Now, jitter: rand.N[time.Duration]}
	if c.permit == nil {
		c.permit = func(context.Context) error { return nil }
	}
	if c.maxBytes == 0 {
		c.maxBytes = 64 << 30
	}
	if c.stall == 0 {
		c.stall = time.Minute
	}
	if c.now == nil {
		c.now = time.Now
	}
	transport := o.Transport
	if transport == nil {
		transport = newTransport()
	}
	c.http = &http.Client{
		Transport: transport,
		// A redirect would carry the credentials in the URL or the Referer to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12}, // said here and not left to a default: the credential comes next
		ResponseHeaderTimeout:  2 * time.Minute,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: 256 << 10,
		// The transport's own decoding hides the compressed framing; ours is bounded.
		DisableCompression: true,
	}
}

// Call is one request.
type Call struct {
	Method string // "" is GET
	URL    string // without the query
	Query  url.Values
	Header http.Header
	Body   []byte
}

// Response is a response with status 200; the caller closes its Body.
type Response struct {
	Header http.Header
	// Body is decoded, bounded, and fails when no byte comes for too long. A truncated
	// body ends in io.ErrUnexpectedEOF where the framing tells.
	Body io.ReadCloser
	// Framed says that the framing (length or chunks) would have shown a truncation; without it, an end
	// of the body may be a cut.
	Framed bool
	// RequestedAt is when the request was sent.
	RequestedAt time.Time
	// URL is the request's without the values of secrets and credentials.
	URL string
}

// StatusError is a response with another status than 200.
type StatusError struct {
	Status int
	Body   []byte // its first 4 KiB, redacted
	URL    string // without its query
}

func (e *StatusError) Error() string {
	msg := fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
	if snippet := strings.Join(strings.Fields(string(e.Body)), " "); snippet != "" {
		if len(snippet) > 200 {
			snippet = snippet[:200] + "…"
		}
		msg += ": " + strconv.QuoteToGraphic(snippet)
	}
	return msg
}

// Do sends a request. Its errors hold a *StatusError for every status but 200: 401 and 403 are
// Unauthorized, 429 and 503 carry events.RetryAfter when the vendor says when. A room that knows
// better takes the StatusError out and wraps it anew.
func (c *Client) Do(ctx context.Context, call Call) (*Response, error) {
	for attempt := 0; ; attempt++ {
		resp, err := c.once(ctx, call)
		if err == nil || attempt >= c.retries || !passing(err) || ctx.Err() != nil {
			return resp, err
		}
		delay := backoff(attempt+1, c.jitter)
		if asked, ok := events.RetryDelay(err); ok {
			if c.hold != nil {
				_ = c.hold(ctx, asked) // without the budget, this request alone waits
			}
			if asked > longestPatience {
				return nil, err // the whole account waits, not this request
			}
			delay = max(delay, asked)
		}
		if wait(ctx, delay) != nil {
			return nil, err
		}
	}
}

// longestPatience is the longest Retry-After that a request sits out.
const longestPatience = 5 * time.Second

// passing tells errors that may be gone a moment later.
func passing(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Status == http.StatusTooManyRequests || status.Status >= http.StatusInternalServerError
	}
	return !events.IsPermanent(err) && !errors.Is(err, context.Canceled)
}

// Skew is how far the vendor's clock was ahead of ours at its last answer; false: it never gave its time.
func (c *Client) Skew() (time.Duration, bool) {
	if d := c.skew.Load(); d != nil {
		return *d, true
	}
	return 0, false
}

// noteSkew compares the vendor's clock with ours. A time between the request and its answer tells no difference: an answer that took
// minutes was dated when it was begun.
func (c *Client) noteSkew(resp *http.Response, sent time.Time) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	d := max(at.Sub(c.now()), min(at.Sub(sent), 0)).Round(time.Second)
	c.skew.Store(&d)
}

// once takes a permit and sends the request once.
func (c *Client) once(ctx context.Context, call Call) (*Response, error) {
	if err := c.permit(ctx); err != nil {
		return nil, err
	}
	method := call.Method
	if method == "" {
		method = http.MethodGet
	}
	target := call.URL
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(call.Body))
	if err != nil {
		cancel(nil)
		return nil, events.Permanent(c.secrets.Error(bare(err, c.place(call))))
	}
	for name, values := range call.Header {
		req.Header[name] = values
	}
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", "parley")
	sent := c.now()
	resp, err := c.http.Do(req) //nolint:bodyclose // the boundedBody below closes it
	c.note(resp, c.now().Sub(sent))
	if err != nil {
		cancel(nil)
		return nil, c.secrets.Error(bare(err, c.place(call)))
	}
	c.noteSkew(resp, sent)
	if d, none := exhausted(resp.Header, c.now()); none && c.hold != nil {
		_ = c.hold(ctx, d) // without the budget, the vendor says it again with a 429
	}
	body := &boundedBody{
		body: resp.Body, zipped: strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip"),
		cancel: cancel, stall: c.stall, left: c.maxBytes, url: c.place(call), secrets: c.secrets,
	}
	body.start()
	out := &Response{
		Header: resp.Header, Body: body, RequestedAt: sent.UTC(), URL: c.safeURL(call),
		Framed: resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || resp.ProtoMajor >= 2 || body.zipped,
	}
	if resp.StatusCode != http.StatusOK {
		defer body.Close() //nolint:errcheck // it is another status than 200 either way
		return nil, c.statusError(resp, out, c.place(call))
	}
	return out, nil
}

// note tells of an answer, or that there was none.
func (c *Client) note(resp *http.Response, took time.Duration) {
	switch {
	case c.answered == nil:
	case resp == nil:
		c.answered(0, took)
	default:
		c.answered(resp.StatusCode, took)
	}
}

// statusBytes is how much of the body of another status than 200 is kept.
const statusBytes = 4 << 10

// statusPatience is how long the body of an error may take.
const statusPatience = 5 * time.Second

func (c *Client) statusError(resp *http.Response, out *Response, place string) error {
	// A body that drips is not waited for: what has come is enough for a message.
	impatient := time.AfterFunc(statusPatience, func() { _ = resp.Body.Close() })
	snippet, _ := io.ReadAll(io.LimitReader(out.Body, statusBytes))
	impatient.Stop()
	var err error = &StatusError{Status: resp.StatusCode, Body: c.secrets.redactStart(snippet, len(snippet) == statusBytes), URL: place}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		err = Unauthorized(err)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if d, ok := retryAfter(resp.Header.Get("Retry-After"), c.now()); ok {
			err = events.RetryAfter(d, err)
		}
	}
	return err
}

// maxRetryAfter caps what a vendor may ask for: more is a mistake on its side.
const maxRetryAfter = time.Hour

// retryAfter reads seconds or an HTTP date; false for garbage and for the past.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	d := time.Duration(0)
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		d = maxRetryAfter
		if seconds < int64(maxRetryAfter/time.Second) {
			d = time.Duration(seconds) * time.Second
		}
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(d, maxRetryAfter), d > 0
}

// place is the call's URL for an error: without the query, where vendors take credentials and people's addresses.
func (c *Client) place(call Call) string {
	call.Query = nil
	return c.safeURL(call)
}

// safeURL is the call's URL without user info and with redacted values.
func (c *Client) safeURL(call Call) string {
	u, err := url.Parse(call.URL)
	if err != nil {
		return "(malformed URL)"
	}
	u.User = nil
	u.RawQuery = call.Query.Encode()
	return c.secrets.Redact(u.String())
}

// Redact replaces every secret in a text of the vendor's, in plain, URL-encoded and base64 form.
func (c *Client) Redact(text string) string { return c.secrets.Redact(text) }

// RedactBytes does the same for a record's bytes, leaving them as they are when they hold none.
func (c *Client) RedactBytes(b []byte) []byte { return c.secrets.RedactBytes(b) }

// bare replaces a *url.Error, whose text holds the query, by the safe URL and the same cause.
func bare(err error, safe string) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", safe, u.Err)
	}
	return err
}

// boundedBody is a response's body: bounded in decoded bytes, in how many of them a byte gives, and in time: it is cancelled when it stalls, and
// fails when it drips.
type boundedBody struct {
	body    io.ReadCloser
	wire    int64 // bytes that came
	plain   int64 // bytes that they decoded to
	waited  time.Duration
	paced   int64 // of wire, when waited was last zero
	zipped  bool
	unzip   *gzip.Reader // nil until the first Read: its header may stall as well
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	stall   time.Duration
	left    int64
	url     string
	secrets Redactor
}

var (
	errStalled = errors.New("gave no byte for too long")
	errDrips   = errors.New("gives its bytes too slowly")
	errBomb    = errors.New("gzip of far more than any vendor's records")
)

const (
	// paceStalls is over how many times the stall's length of waiting the pace is taken, leastPace the bytes a second that it must be then. A
	// vendor that gives a byte now and then stalls no request, and would hold a worker for days.
	paceStalls = 5
	leastPace  = 64
	// mostRatio is how many bytes one may decode to. Rows that are nearly empty reach 100, and a bomb 1,000; what is smaller than
	// ratioFrom does no harm.
	mostRatio = 250
	ratioFrom = 8 << 20
)

func (b *boundedBody) start() {
	b.timer = time.AfterFunc(b.stall, func() { b.cancel(errStalled) })
	b.timer.Stop()
}

// wireReader counts what comes.
type wireReader struct{ *boundedBody }

func (r wireReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.wire += int64(n)
	return n, err
}

// read reads decoded bytes.
func (b *boundedBody) read(p []byte) (n int, err error) {
	wire := wireReader{b}
	if !b.zipped {
		return wire.Read(p)
	}
	if b.unzip == nil {
		if b.unzip, err = gzip.NewReader(wire); err != nil {
			b.unzip = nil
			return 0, fmt.Errorf("gzip: %w: %w", ErrIncomplete, noEOF(err))
		}
	}
	n, err = b.unzip.Read(p)
	if b.plain += int64(n); b.plain > ratioFrom && b.plain/mostRatio > b.wire {
		return 0, fmt.Errorf("%w: %w", errBomb, ErrIncomplete)
	}
	return n, err
}

// pace fails a body that drips. Only the time in which we wait counts: a slow consumer of ours is no slowness of the vendor's.
func (b *boundedBody) pace(waited time.Duration) error {
	b.waited += waited
	if b.waited < paceStalls*b.stall {
		return nil
	}
	if float64(b.wire-b.paced) < leastPace*b.waited.Seconds() {
		return fmt.Errorf("%w: %d bytes in %s: %w", errDrips, b.wire-b.paced, b.waited.Round(time.Second), ErrIncomplete)
	}
	b.waited, b.paced = 0, b.wire
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (b *boundedBody) Read(p []byte) (n int, err error) {
	b.timer.Reset(b.stall) // runs only while we wait: a slow consumer of ours is no stall of the vendor's
	defer b.timer.Stop()
	began := time.Now()
	n, err = b.read(p)
	if slow := b.pace(time.Since(began)); err == nil {
		err = slow
	}
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%s: body exceeds the limit of decoded bytes: %w", b.url, ErrIncomplete)
	}
	if err != nil && err != io.EOF {
		err = b.secrets.Error(fmt.Errorf("%s: %w", b.url, err))
	}
	return n, err
}

func (b *boundedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}
