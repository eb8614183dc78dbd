package pollers_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

const secret = "s3cr3t/Canary+ä=&?\"'<"

// script is a transport that gives one answer after the other, the last one again and again.
type script struct {
	answers []answer
	calls   []time.Time
	open    atomic.Int32 // bodies that are not closed
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	a := s.answers[min(len(s.calls), len(s.answers)-1)]
	s.calls = append(s.calls, time.Now())
	if a.err != nil {
		return nil, a.err
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	s.open.Add(1)
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: &scriptBody{Reader: strings.NewReader(a.body), script: s}, ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

type scriptBody struct {
	io.Reader
	script *script
	closed bool
}

func (b *scriptBody) Close() error {
	if !b.closed {
		b.closed = true
		b.script.open.Add(-1)
	}
	return nil
}

func do(ctx context.Context, c *pollers.Client, target string) (string, error) {
	resp, err := c.Do(ctx, pollers.Call{URL: target, Query: url.Values{"key": {secret}, "email": {"ada@visitor.example"}}})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func retryAfter(value string) http.Header { return http.Header{"Retry-After": {value}} }

func TestARequestIsTriedAgainOnlyWhenThatCanHelp(t *testing.T) {
	ok := answer{status: http.StatusOK, body: "well"}
	cases := map[string]struct {
		answers []answer
		tries   int
		least   time.Duration // that passes
		want    string        // the body; "": an error
	}{
		"at once":                        {[]answer{ok}, 1, 0, "well"},
		"500, then well":                 {[]answer{{status: 500}, {status: 502}, ok}, 3, 0, "well"},
		"500 for ever":                   {[]answer{{status: 500}}, 4, 0, ""},
		"a lost connection, then well":   {[]answer{{err: io.ErrUnexpectedEOF}, {err: errors.New("connection refused")}, ok}, 3, 0, "well"},
		"429 without a time, then well":  {[]answer{{status: 429}, ok}, 2, 0, "well"},
		"429 with a short time":          {[]answer{{status: 429, header: retryAfter("4")}, ok}, 2, 4 * second, "well"},
		"503 with a short time":          {[]answer{{status: 503, header: retryAfter("5")}, ok}, 2, 5 * second, "well"},
		"429 with a long time":           {[]answer{{status: 429, header: retryAfter("6")}, ok}, 1, 0, ""},
		"401":                            {[]answer{{status: 401}, ok}, 1, 0, ""},
		"403":                            {[]answer{{status: 403}, ok}, 1, 0, ""},
		"404":                            {[]answer{{status: 404}, ok}, 1, 0, ""},
		"400":                            {[]answer{{status: 400}, ok}, 1, 0, ""},
		"a redirect":                     {[]answer{{status: 302, header: http.Header{"Location": {"https://elsewhere.example/"}}}, ok}, 1, 0, ""},
		"a redirect to nowhere, 4 times": {[]answer{{status: 302, header: http.Header{"Location": {"http://[::1"}}}}, 4, 0, ""},
		"204":                            {[]answer{{status: 204}, ok}, 1, 0, ""},
		"a permanent error":              {[]answer{{err: events.Permanent(errors.New("no"))}, ok}, 1, 0, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, permits := &script{answers: c.answers}, 0
				client := pollers.NewClient(pollers.ClientOptions{Transport: s, Retries: 3, Permit: func(context.Context) error {
					permits++
					return nil
				}})
				start := time.Now()
				body, err := do(t.Context(), client, "https://vendor.example/chats")
				if body != c.want || (err != nil) != (c.want == "") {
					t.Errorf("body %q, error %v; want body %q", body, err, c.want)
				}
				if len(s.calls) != c.tries || permits != c.tries {
					t.Errorf("%d tries with %d permits; want %d of each", len(s.calls), permits, c.tries)
				}
				if took := time.Since(start); took < c.least {
					t.Errorf("it took %s; want %s at least", took, c.least)
				}
				if n := s.open.Load(); n != 0 {
					t.Errorf("%d bodies are left open", n)
				}
			})
		})
	}
}

func TestNoRequestIsSentWithoutAPermit(t *testing.T) {
	s := &script{answers: []answer{{status: http.StatusOK}}}
	refused := errors.New("no budget")
	client := pollers.NewClient(pollers.ClientOptions{Transport: s})
	client.Bind(func(context.Context) error { return refused })
	if _, err := do(t.Context(), client, "https://vendor.example/"); !errors.Is(err, refused) || len(s.calls) != 0 {
		t.Errorf("error %v after %d requests; want the permit's and none", err, len(s.calls))
	}
}

func TestARetryAfterHoldsTheWholeAccountEvenAShortOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		budget := pollers.NewBudget(store, "acme", pollers.Rate{}, time.Now)
		busy := &script{answers: []answer{{status: 429, header: retryAfter("3")}, {status: 200, body: "well"}}}
		client := pollers.NewClient(pollers.ClientOptions{Transport: busy, Retries: 1, Permit: budget.Take})
		client.BindHold(budget.Hold)
		go func() { _, _ = do(t.Context(), client, "https://vendor.example/") }()
		synctest.Wait()
		start := time.Now()
		if err := pollers.NewBudget(store, "acme", pollers.Rate{}, time.Now).Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 3*time.Second {
			t.Errorf("another worker of the account waited %s; want 3s", waited)
		}
		time.Sleep(time.Minute) // virtual: the first ends
	})
}

func TestHeadersThatSayNoRequestIsLeftHoldTheAccount(t *testing.T) {
	now := time.Date(2026, 10, 27, 15, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		left, reset [2]string
		want        time.Duration // 0: it says nothing
	}{
		"the draft":                   {[2]string{"RateLimit-Remaining", "0"}, [2]string{"RateLimit-Reset", "17"}, 17 * time.Second},
		"some are left":               {[2]string{"RateLimit-Remaining", "1"}, [2]string{"RateLimit-Reset", "17"}, 0},
		"a Unix time":                 {[2]string{"X-RateLimit-Remaining", "0"}, [2]string{"X-RateLimit-Reset", fmt.Sprint(now.Unix() + 90)}, 90 * time.Second},
		"a Unix time in milliseconds": {[2]string{"X-Rate-Limit-Remaining", "0"}, [2]string{"X-Rate-Limit-Reset", fmt.Sprint(now.UnixMilli() + 1500)}, 1500 * time.Millisecond},
		"a Unix time in the past":     {[2]string{"X-RateLimit-Remaining", "0"}, [2]string{"X-RateLimit-Reset", fmt.Sprint(now.Unix() - 90)}, 0},
		"several limits":              {[2]string{"RateLimit-Remaining", "0, 500"}, [2]string{"RateLimit-Reset", "3;w=10"}, 3 * time.Second},
		"a year":                      {[2]string{"RateLimit-Remaining", "0"}, [2]string{"RateLimit-Reset", "31536000"}, time.Hour},
		"no time":                     {[2]string{"RateLimit-Remaining", "0"}, [2]string{"RateLimit-Reset", "soon"}, 0},
		"no number":                   {[2]string{"RateLimit-Remaining", "none"}, [2]string{"RateLimit-Reset", "17"}, 0},
		"not a number":                {[2]string{"RateLimit-Remaining", "NaN"}, [2]string{"RateLimit-Reset", "NaN"}, 0},
		"too large":                   {[2]string{"RateLimit-Remaining", "0"}, [2]string{"RateLimit-Reset", "1e300"}, 0},
		"nothing":                     {},
	}
	for name, c := range cases {
		h := http.Header{}
		if c.left[0] != "" {
			h.Set(c.left[0], c.left[1])
			h.Set(c.reset[0], c.reset[1])
		}
		if got, ok := pollers.Exhausted(h, now); got != c.want && ok || ok != (c.want > 0) {
			t.Errorf("%s: %s, %v; want %s", name, got, ok, c.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		budget := pollers.NewBudget(store, "acme", pollers.Rate{}, time.Now)
		last := &script{answers: []answer{{status: 200, body: "well", header: http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {"9"}}}}}
		client := pollers.NewClient(pollers.ClientOptions{Transport: last, Permit: budget.Take})
		client.BindHold(budget.Hold)
		if _, err := do(t.Context(), client, "https://vendor.example/"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := pollers.NewBudget(store, "acme", pollers.Rate{}, time.Now).Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 9*time.Second {
			t.Errorf("another worker of the account waited %s; want 9s", waited)
		}
	})
}

func TestARequestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{status: 500}}}
		client := pollers.NewClient(pollers.ClientOptions{Transport: s, Retries: 1000})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := do(ctx, client, "https://vendor.example/"); err == nil || time.Since(start) > time.Minute {
			t.Errorf("it ended after %s with %v; want a minute at most", time.Since(start), err)
		}
	})
}

func TestWhatAStatusMeans(t *testing.T) {
	cases := map[string]struct {
		answer       answer
		unauthorized bool
		delay        time.Duration // -1: none is told
	}{
		"401":                        {answer{status: 401}, true, -1},
		"403":                        {answer{status: 403}, true, -1},
		"401 that claims to be gzip": {answer{status: 401, header: http.Header{"Content-Encoding": {"gzip"}}}, true, -1},
		"404":                        {answer{status: 404}, false, -1},
		"429 with a time":            {answer{status: 429, header: retryAfter("60")}, false, minute},
		"429 without one":            {answer{status: 429}, false, -1},
		"503 with a time":            {answer{status: 503, header: retryAfter("60")}, false, minute},
		"500 with a time":            {answer{status: 500, header: retryAfter("60")}, false, -1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := pollers.NewClient(pollers.ClientOptions{Transport: &script{answers: []answer{c.answer}}})
			_, err := do(t.Context(), client, "https://vendor.example/")
			var status *pollers.StatusError
			if !errors.As(err, &status) || status.Status != c.answer.status {
				t.Fatalf("%v; want a StatusError of %d", err, c.answer.status)
			}
			if pollers.IsUnauthorized(err) != c.unauthorized {
				t.Errorf("unauthorized: %v; want %v", !c.unauthorized, c.unauthorized)
			}
			if d, ok := events.RetryDelay(err); ok != (c.delay >= 0) || ok && d != c.delay {
				t.Errorf("the delay is %s, %v; want %s", d, ok, c.delay)
			}
		})
	}
}

func TestWhatARetryAfterSays(t *testing.T) {
	now := time.Date(2026, 11, 17, 14, 30, 0, 0, time.UTC)
	cases := map[string]struct {
		delay time.Duration
		ok    bool
	}{
		"7": {7 * second, true}, "3600": {hour, true}, "3601": {hour, true}, "315360000": {hour, true}, "9223372036854775807": {hour, true},
		"0": {0, false}, "-5": {-5 * second, false}, "": {0, false}, "soon": {0, false}, "7.5": {0, false}, "99999999999999999999": {0, false},
		now.Add(90 * second).Format(http.TimeFormat):       {90 * second, true},
		now.Add(-time.Hour).Format(http.TimeFormat):        {-hour, false},
		now.AddDate(10, 0, 0).Format(http.TimeFormat):      {hour, true},
		"Tue, 31 Feb 2026 14:30:00 GMT":                    {0, false},
		now.Add(30 * second).Format(time.RFC850):           {30 * second, true},
		now.Add(30 * second).Format("2006-01-02 15:04:05"): {0, false},
	}
	for value, want := range cases {
		d, ok := pollers.RetryAfter(value, now)
		if ok != want.ok || ok && d != want.delay {
			t.Errorf("Retry-After %q is %s, %v; want %s, %v", value, d, ok, want.delay, want.ok)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"7", "-1", "", "Tue, 17 Nov 2026 14:30:00 GMT", "99999999999999999999"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d, ok := pollers.RetryAfter(value, clock); ok && (d <= 0 || d > time.Hour) {
			t.Errorf("%q is %s", value, d)
		}
	})
}

func TestBackoffGrowsToTenMinutesAndIsNeverNothing(t *testing.T) {
	for attempt := 1; attempt < 200; attempt++ {
		limit := min(500*time.Millisecond<<min(attempt-1, 20), 10*time.Minute)
		for range 50 {
			if d := pollers.Backoff(attempt); d < limit/4 || d > limit {
				t.Fatalf("attempt %d waits %s; want %s to %s", attempt, d, limit/4, limit)
			}
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL, status))
		_, err := do(t.Context(), pollers.NewClient(pollers.ClientOptions{}), server.URL)
		server.Close()
		var answer *pollers.StatusError
		if !errors.As(err, &answer) || answer.Status != status || reached {
			t.Errorf("%d: %v, reached %v", status, err, reached)
		}
	}
}

func TestErrorsShowNoQueryAndNoSecret(t *testing.T) {
	forms := pollers.NewRedactor([]string{secret})
	long := strings.Repeat(" ", 4<<10-7) + secret // a cut at 4 KiB goes through it
	cases := map[string]struct {
		transport http.RoundTripper
		url       string
	}{
		"an echo":                    {&script{answers: []answer{{status: 500, body: "you sent " + secret + " and key=" + url.QueryEscape(secret)}}}, "https://vendor.example/"},
		"an echo that is cut":        {&script{answers: []answer{{status: 500, body: long}}}, "https://vendor.example/"},
		"a redirect to nowhere":      {&script{answers: []answer{{status: 302, header: http.Header{"Location": {"http://[::1?key=" + url.QueryEscape(secret)}}}}}, "https://vendor.example/"},
		"a broken answer":            {&script{answers: []answer{{err: fmt.Errorf("malformed answer %q", secret)}}}, "https://vendor.example/"},
		"no such server":             {nil, "http://127.0.0.1:1/"},
		"a malformed URL":            {nil, "http://vendor.example/%zz"},
		"a URL with a control":       {nil, "http://vendor.example/\x7f"},
		"a URL with user info":       {nil, "http://" + url.UserPassword("ada", secret).String() + "@127.0.0.1:1/"},
		"a URL with an unknown form": {nil, "gopher://vendor.example/"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := do(t.Context(), pollers.NewClient(pollers.ClientOptions{Transport: c.transport, Secrets: []string{secret}}), c.url)
			if err == nil {
				t.Fatal("no error")
			}
			text := fmt.Sprintf("%v %+v", err, err)
			var status *pollers.StatusError
			if errors.As(err, &status) {
				text += string(status.Body)
			}
			if forms.Redact(text) != text || strings.Contains(text, "s3cr") || strings.Contains(text, "ada") {
				t.Errorf("the error shows too much: %s", text)
			}
		})
	}
}

// serveRaw answers every connection with bytes, and keeps it open until it is told to end.
func serveRaw(t testing.TB, answer string, keepOpen bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		close(done)
		l.Close()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 4<<10))
				_, _ = io.WriteString(conn, answer)
				if keepOpen {
					<-done
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestAVendorThatStallsIsLeft(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\n"
	cases := map[string]string{
		"in the body":                    head + "Content-Length: 100\r\n\r\nhalf",
		"in a chunk":                     head + "Transfer-Encoding: chunked\r\n\r\n64\r\nhalf",
		"before the body":                head + "Content-Length: 100\r\n\r\n",
		"before the gzip header":         head + "Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
		"in the gzip header":             head + "Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n\x1f\x8b",
		"in the body of another status":  "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nhalf",
		"in the headers":                 head + "Content-Le",
		"before the headers":             "",
		"in the gzip of another status":  "HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
		"without an end that is framed ": head + "\r\nhalf",
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{ResponseHeaderTimeout: 100 * time.Millisecond, DisableCompression: true}
			defer transport.CloseIdleConnections()
			client := pollers.NewClient(pollers.ClientOptions{Stall: 100 * time.Millisecond, Transport: transport})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			body, err := do(ctx, client, serveRaw(t, answer, true))
			if err == nil || ctx.Err() != nil {
				t.Errorf("body %q, error %v; want an error soon", body, err)
			}
			if strings.HasPrefix(answer, head) && strings.Contains(answer, "\r\n\r\n") && !strings.Contains(fmt.Sprint(err), "gave no byte for too long") {
				t.Errorf("the error is %v; want it to say why", err)
			}
		})
	}
}

func gzipped(t testing.TB, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.CopyN(z, zeros{}, int64(size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTheLimitIsOfDecodedBytes(t *testing.T) {
	const limit = 1 << 20
	gz := http.Header{"Content-Encoding": {"gzip"}}
	cases := map[string]struct {
		answer answer
		size   int // -1: an error
	}{
		"plain, at the limit":  {answer{body: strings.Repeat("x", limit)}, limit},
		"plain, one above":     {answer{body: strings.Repeat("x", limit+1)}, -1},
		"gzip, at the limit":   {answer{header: gz, body: string(gzipped(t, limit))}, limit},
		"gzip, one above":      {answer{header: gz, body: string(gzipped(t, limit+1))}, -1},
		"a bomb":               {answer{header: gz, body: string(gzipped(t, 64*limit))}, -1},
		"GZIP in capitals":     {answer{header: http.Header{"Content-Encoding": {"GZIP"}}, body: string(gzipped(t, 10))}, 10},
		"gzip that is cut":     {answer{header: gz, body: string(gzipped(t, 1000)[:20])}, -1},
		"gzip without its sum": {answer{header: gz, body: strings.TrimSuffix(string(gzipped(t, 1000)), string(gzipped(t, 1000)[len(gzipped(t, 1000))-8:]))}, -1},
		"gzip that is none":    {answer{header: gz, body: "plain"}, -1},
		"gzip of no bytes":     {answer{header: gz}, -1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.answer.status = http.StatusOK
			s := &script{answers: []answer{c.answer}}
			body, err := do(t.Context(), pollers.NewClient(pollers.ClientOptions{Transport: s, MaxBytes: limit}), "https://vendor.example/")
			if (err != nil) != (c.size < 0) || err == nil && len(body) != c.size {
				t.Errorf("%d bytes, error %v; want %d", len(body), err, c.size)
			}
			if cut := name == "gzip of no bytes" || name == "gzip that is cut"; cut && (!errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)) {
				t.Errorf("the error is %v; want io.ErrUnexpectedEOF", err)
			}
			if len(body) > limit {
				t.Errorf("%d bytes came through a limit of %d", len(body), limit)
			}
			if s.open.Load() != 0 {
				t.Error("the body is left open")
			}
		})
	}
}

func TestAResponseTellsWhetherATruncationWouldShow(t *testing.T) {
	cases := map[string]struct {
		answer      string
		framed, cut bool
	}{
		"a length":             {"Content-Length: 4\r\n\r\nwell", true, false},
		"a length that is cut": {"Content-Length: 9\r\n\r\nwell", true, true},
		"chunks":               {"Transfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n0\r\n\r\n", true, false},
		"chunks that are cut":  {"Transfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n", true, true},
		"the connection's end": {"Connection: close\r\n\r\nwell", false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := pollers.NewClient(pollers.ClientOptions{Secrets: []string{secret}})
			resp, err := client.Do(t.Context(), pollers.Call{URL: serveRaw(t, "HTTP/1.1 200 OK\r\n"+c.answer, false), Query: url.Values{"key": {secret}, "page": {"2"}}})
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if resp.Framed != c.framed || string(body) != "well" || errors.Is(err, io.ErrUnexpectedEOF) != c.cut || (err == nil) == c.cut {
				t.Errorf("framed %v, body %q, error %v; want framed %v, cut %v", resp.Framed, body, err, c.framed, c.cut)
			}
			if !strings.Contains(resp.URL, "page=2") || strings.Contains(resp.URL, "Canary") {
				t.Errorf("the URL is %s; want its query without the secret", resp.URL)
			}
			if resp.RequestedAt.IsZero() || resp.RequestedAt.Location() != time.UTC {
				t.Errorf("requested at %s", resp.RequestedAt)
			}
		})
	}
}

func TestTheVendorsClockIsCompared(t *testing.T) {
	s := &script{answers: []answer{{status: 200}, {status: 404, header: http.Header{"Date": {clock.Add(90 * second).Format(http.TimeFormat)}}}, {status: 200, header: http.Header{"Date": {"garbage"}}}}}
	client := pollers.NewClient(pollers.ClientOptions{Transport: s, Now: func() time.Time { return clock }})
	if _, ok := client.Skew(); ok {
		t.Error("a skew without an answer")
	}
	for i, want := range []bool{false, true, true} {
		_, _ = do(t.Context(), client, "https://vendor.example/")
		if d, ok := client.Skew(); ok != want || ok && d != 90*second {
			t.Errorf("after answer %d the skew is %s, %v", i, d, ok)
		}
	}
}

func TestACallIsSentAsItIsGiven(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.URL, r.Header.Get("X-Token"), r.Header.Get("Accept-Encoding"), body)
	}))
	defer server.Close()
	header := http.Header{"X-Token": {"t"}}
	resp, err := pollers.NewClient(pollers.ClientOptions{}).Do(t.Context(), pollers.Call{
		Method: http.MethodPost, URL: server.URL + "/a", Query: url.Values{"q": {"1 2"}}, Header: header, Body: []byte("body"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != "POST /a?q=1+2 t gzip body" {
		t.Errorf("the vendor got %q", got)
	}
	if len(header) != 1 {
		t.Errorf("the caller's header is now %v", header)
	}
}

func TestNoPathLeavesAConnectionOrAGoroutineBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell", "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 404 No\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("no", 10000),
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nwell", "HTTP/1.1 401 No\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "garbage", "",
	} {
		transport := &http.Transport{DisableCompression: true}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(conn, answer)
		}()
		_, _ = do(t.Context(), pollers.NewClient(pollers.ClientOptions{Transport: transport}), "http://"+l.Addr().String())
		<-done
		l.Close()
		transport.CloseIdleConnections()
	}
	goleak.VerifyNone(t, before)
}

// dripping is a body that gives a few bytes now and then.
type dripping struct {
	bytes, every int // bytes at a time, seconds between them
	left         int
}

func (d *dripping) Read(p []byte) (int, error) {
	if d.left <= 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Duration(d.every) * time.Second) // virtual
	n := min(d.bytes, d.left, len(p))
	for i := range n {
		p[i] = 'x'
	}
	d.left -= n
	return n, nil
}

func (*dripping) Close() error { return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAVendorThatDripsIsLeftAndASlowOneIsNot(t *testing.T) {
	cases := map[string]struct {
		body   dripping
		within time.Duration // 0: it is read whole
	}{
		"a byte every ten seconds":           {dripping{1, 10, 1 << 20}, 6 * time.Minute},
		"fifty bytes a second":               {dripping{50, 1, 1 << 20}, 6 * time.Minute},
		"a hundred bytes a second":           {dripping{100, 1, 200_000}, 0},
		"400 bytes every five seconds":       {dripping{400, 5, 400_000}, 0},
		"a few bytes that end soon":          {dripping{1, 30, 9}, 0},
		"fast for long, and then it drips":   {dripping{0, 0, 0}, 12 * time.Minute},
		"nothing before the stall's time is": {dripping{1, 59, 4}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var body io.ReadCloser = &c.body
				if c.body.bytes == 0 {
					body = io.NopCloser(io.MultiReader(&dripping{512, 1, 150 << 10}, &dripping{1, 10, 1000}))
				}
				client := pollers.NewClient(pollers.ClientOptions{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, ContentLength: -1, Request: r}, nil
				})})
				began, size := time.Now(), c.body.left
				got, err := do(t.Context(), client, "https://vendor.example/")
				if c.within == 0 {
					if err != nil || len(got) != size {
						t.Errorf("%d bytes, %v; want %d", len(got), err, size)
					}
					return
				}
				if took := time.Since(began); !errors.Is(err, pollers.ErrIncomplete) || took > c.within {
					t.Errorf("after %s: %v; want ErrIncomplete within %s", took, err, c.within)
				}
			})
		})
	}
}

func TestASlowConsumerOfOursIsNoDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{status: http.StatusOK, body: strings.Repeat("x", 100)}}}
		resp, err := pollers.NewClient(pollers.ClientOptions{Transport: s}).Do(t.Context(), pollers.Call{URL: "https://vendor.example/"})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for range 100 {
			time.Sleep(time.Minute) // RAW is full, say
			if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestGzipThatGrowsAThousandfoldIsABomb(t *testing.T) {
	rows := strings.Repeat(`"2026-10-27 15:04:05","","","","","","","","","0","0"`+"\r\n", 1<<18) // nearly empty rows
	var varied strings.Builder
	for i := range 1 << 17 {
		fmt.Fprintf(&varied, `"%d","","","","","","","","",""`+"\r\n", i)
	}
	cases := map[string]struct {
		body string
		size int // 0: a bomb
	}{
		"a bomb of zeros":         {string(gzipped(t, 64<<20)), 0},
		"a small one does no ill": {string(gzipped(t, 8<<20)), 8 << 20},
		"nearly empty rows":       {string(zipped(t, varied.String())), varied.Len()},
		"one row for ever":        {string(zipped(t, rows)), -1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := &script{answers: []answer{{status: http.StatusOK, header: http.Header{"Content-Encoding": {"gzip"}}, body: c.body}}}
			body, err := do(t.Context(), pollers.NewClient(pollers.ClientOptions{Transport: s}), "https://vendor.example/")
			switch {
			case c.size > 0 && (err != nil || len(body) != c.size):
				t.Errorf("%d bytes, %v; want %d", len(body), err, c.size)
			case c.size == 0 && (!errors.Is(err, pollers.ErrIncomplete) || len(body) > 9<<20):
				t.Errorf("%d bytes, %v; want ErrIncomplete soon", len(body), err)
			}
			t.Logf("%d bytes of gzip gave %d, 1 to %d", len(c.body), len(body), len(body)/len(c.body))
		})
	}
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// authority signs certificates as a test wants them.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(cryptorand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(t testing.TB, host string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, leaf, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// The client trusts the authority as it trusts the system's; everything else about its transport is what production has.
func TestACredentialIsSentOnlyOverTLSThatHolds(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	cases := map[string]struct {
		cert    tls.Certificate
		version uint16 // the newest that the server speaks
		ok      bool
	}{
		"as it should be":            {ours.sign(t, "127.0.0.1", later), tls.VersionTLS13, true},
		"TLS 1.2":                    {ours.sign(t, "127.0.0.1", later), tls.VersionTLS12, true},
		"expired":                    {ours.sign(t, "127.0.0.1", time.Now().Add(-time.Hour)), tls.VersionTLS13, false},
		"of another host":            {ours.sign(t, "vendor.example", later), tls.VersionTLS13, false},
		"of an authority of its own": {theirs.sign(t, "127.0.0.1", later), tls.VersionTLS13, false},
		"TLS 1.1":                    {ours.sign(t, "127.0.0.1", later), tls.VersionTLS11, false},
		"TLS 1.0":                    {ours.sign(t, "127.0.0.1", later), tls.VersionTLS10, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				_, _ = io.WriteString(w, "well")
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{c.cert}, MinVersion: tls.VersionTLS10, MaxVersion: c.version}
			server.StartTLS()
			defer server.Close()
			transport := pollers.NewTransport()
			defer transport.CloseIdleConnections()
			transport.TLSClientConfig.RootCAs = x509.NewCertPool()
			transport.TLSClientConfig.RootCAs.AddCert(ours.cert)
			body, err := do(t.Context(), pollers.NewClient(pollers.ClientOptions{Transport: transport}), server.URL)
			if ok := err == nil && body == "well"; ok != c.ok || (asked.Load() > 0) != c.ok {
				t.Errorf("%q, %v, and the server saw %d requests; want it to work: %v", body, err, asked.Load(), c.ok)
			}
		})
	}
}

// silent is a network on which every connection is accepted and nothing is ever said.
func silent(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = io.Copy(io.Discard, theirs)
		_ = theirs.Close()
	}()
	return ours, ctx.Err()
}

func TestAVendorThatAcceptsAndNeverAnswersIsLeft(t *testing.T) {
	for scheme, within := range map[string]time.Duration{"http": 2 * time.Minute, "https": 10 * time.Second} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := pollers.NewTransport()
				transport.DialContext = silent
				began := time.Now()
				_, err := do(t.Context(), pollers.NewClient(pollers.ClientOptions{Transport: transport}), scheme+"://vendor.example/")
				if took := time.Since(began); err == nil || took > within+time.Second {
					t.Errorf("after %s: %v; want an error within %s", took, err, within)
				}
				transport.CloseIdleConnections()
			})
		})
	}
}

func TestAnAnswerThatTookLongIsNoClockThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := pollers.NewClient(pollers.ClientOptions{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			dated := time.Now().Add(time.Second)
			time.Sleep(5 * time.Minute)
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Date": {dated.UTC().Format(http.TimeFormat)}}, Body: http.NoBody, Request: r}, nil
		})})
		if _, err := do(t.Context(), client, "https://vendor.example/"); err != nil {
			t.Fatal(err)
		}
		if d, ok := client.Skew(); !ok || d != 0 {
			t.Errorf("the skew is %s, %v; want none", d, ok)
		}
	})
}
