package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
	"github.com/parley-stream/parley/sinks/webhook"
)

func newSender(t testing.TB, target string, variables map[string]string) *webhook.Sender {
	t.Helper()
	all := map[string]string{"URL": target}
	for name, value := range variables {
		all[name] = value
	}
	vars := settings.New("PARLEY_SINK_T_", all)
	s := sinks.DecodeSettings("t", vars)
	sender := webhook.NewSender(s, vars, s.URL)
	vars.Unknown()
	if faults := vars.Faults(); faults != nil {
		t.Fatal(faults)
	}
	t.Cleanup(func() { _ = sender.Close() })
	return sender
}

func one() []sinks.Item { return []sinks.Item{{Sequence: 1, Event: sinktest.Event("a", 1)}} }

// what names what an error makes the sink do, in the words of the package comment.
func what(err error) string {
	var shut *sinks.Shut
	delay, asked := events.RetryDelay(err)
	after := ""
	if asked {
		after = " after " + delay.String()
	}
	switch {
	case err == nil:
		return "delivered"
	case errors.As(err, &shut) && shut.ForGood:
		return "stops"
	case errors.As(err, &shut):
		return "pauses" + after
	case events.IsPermanent(err):
		return "refused for good"
	case errors.Is(err, sinks.ErrThrottled):
		return "throttled" + after
	case errors.Is(err, sinks.ErrRejected):
		return "rejected" + after
	default:
		return "tried again" + after
	}
}

func TestEveryAnswerHasItsConsequence(t *testing.T) {
	future := time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat)
	type answer struct {
		status int
		after  string
		want   string
	}
	for _, c := range []answer{
		{200, "", "delivered"},
		{201, "", "delivered"},
		{202, "", "delivered"},
		{204, "", "delivered"},
		{206, "", "delivered"},
		{299, "10", "delivered"},
		{300, "", "pauses"},
		{301, "", "pauses"},
		{302, "", "pauses"},
		{303, "", "pauses"},
		{304, "", "pauses"},
		{307, "", "pauses"},
		{308, "60", "pauses after 1m0s"},
		{400, "", "rejected"},
		{401, "", "pauses"},
		{402, "", "rejected"},
		{403, "", "pauses"},
		{403, "120", "pauses after 2m0s"},
		{404, "", "rejected"},
		{405, "", "rejected"},
		{406, "", "rejected"},
		{407, "", "pauses"},
		{408, "", "tried again"},
		{409, "", "rejected"},
		{410, "", "stops"},
		{410, "5", "stops"},
		{411, "", "rejected"},
		{412, "", "rejected"},
		{413, "", "refused for good"},
		{413, "5", "refused for good"},
		{415, "", "rejected"},
		{418, "", "rejected"},
		{421, "", "rejected"},
		{422, "", "rejected"},
		{425, "", "tried again"},
		{429, "", "throttled after 1s"},
		{429, "17", "throttled after 17s"},
		{429, "soon", "throttled after 1s"},
		{429, "-3", "throttled after 1s"},
		{429, "Mon, 01 Jan 2001 00:00:00 GMT", "throttled after 0s"},
		{431, "", "rejected"},
		{451, "", "rejected"},
		{500, "", "tried again"},
		{501, "", "tried again"},
		{502, "", "tried again"},
		{503, "", "tried again"},
		{503, "30", "tried again after 30s"},
		{504, "", "tried again"},
		{507, "", "tried again"},
		{529, "", "tried again"},
		{599, "", "tried again"},
		{999, "", "tried again"},
		{503, future, "tried again after a day"},
	} {
		followed := false
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/elsewhere":
				followed = true
			case r.Method == http.MethodPost:
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		err := newSender(t, server.URL, nil).Send(t.Context(), one())
		got := what(err)
		if d, _ := events.RetryDelay(err); c.after == future && d > 23*time.Hour && d <= 24*time.Hour {
			got = "tried again after a day"
		}
		if got != c.want {
			t.Errorf("%d with Retry-After %q: %s, want %s", c.status, c.after, got, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint(c.status)) {
			t.Errorf("%d: the error does not tell it: %v", c.status, err)
		}
		if followed {
			t.Errorf("%d: the redirect was followed", c.status)
		}
		server.Close()
	}
}

// raw serves connections by hand.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/hooks/T0PSECRETPATH?token=T0PSECRETQUERY&handshake=off"
}

func readSome(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)) }

func TestWithoutAnAnswerTheEventIsTriedAgainAndNoSecretIsShown(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	defer tlsServer.Close()
	secret := "/hooks/T0PSECRETPATH?token=T0PSECRETQUERY&handshake=off"
	const echo = "T0PSECRETPATH T0PSECRETQUERY user T0PSECRETPASSWORD"
	for name, c := range map[string]struct{ target, want string }{
		"refused":                  {"http://" + closed.Addr().String() + secret, "connection refused"},
		"closed before the answer": {raw(t, readSome), "closed before the answer"},
		"reset": {raw(t, func(c net.Conn) {
			readSome(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		}), "connection reset by peer"},
		"no HTTP, and the request repeated": {raw(t, func(c net.Conn) { readSome(c); _, _ = c.Write([]byte(echo + "\r\n\r\n")) }), "no HTTP answer"},
		"a broken header": {raw(t, func(c net.Conn) {
			readSome(c)
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n" + echo + "\r\n\r\n"))
		}), "no HTTP answer"},
		"an endless header": {raw(t, func(c net.Conn) {
			readSome(c)
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n"))
			for _, err := c.Write([]byte("X: " + echo + "\r\n")); err == nil; _, err = c.Write([]byte("X: " + echo + "\r\n")) {
			}
		}), "no HTTP answer"},
		"silent":                  {raw(t, func(c net.Conn) { readSome(c); readSome(c) }), "no answer in time"},
		"a byte now and then":     {raw(t, drip), "no answer in time"},
		"TLS that nobody trusts":  {tlsServer.URL + secret, "not trusted: its authority is unknown"},
		"TLS where there is none": {strings.Replace(raw(t, func(c net.Conn) { readSome(c); _, _ = c.Write([]byte("HTTP/1.0 400 " + echo + "\r\n\r\n")) }), "http:", "https:", 1), "does not speak TLS"},
		"an answer with a status that repeats the request": {raw(t, func(c net.Conn) {
			readSome(c)
			_, _ = c.Write([]byte("HTTP/1.1 500 " + echo + "\r\nContent-Length: 3\r\n\r\nT0P"))
		}), "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			target := strings.Replace(c.target, "://", "://user:T0PSECRETPASSWORD@", 1)
			err := newSender(t, target, map[string]string{"TIMEOUT": "700ms", "SECRET": "whsec_VDBQU0VDUkVUS0VZVDBQU0VDUkVUS0VZ"}).Send(t.Context(), one())
			if what(err) != "tried again" {
				t.Fatalf("%s: %v", what(err), err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := fmt.Sprintf("%v %+v", e, e); strings.Contains(text, "T0P") || strings.Contains(text, "VDBQ") {
					t.Errorf("a secret is shown: %s", text)
				}
			}
		})
	}
}

func drip(c net.Conn) {
	readSome(c)
	for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") {
		<-time.After(100 * time.Millisecond)
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
	}
}

func TestACancelledContextIsNoFailureOfTheEndpoint(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	target := raw(t, func(c net.Conn) { readSome(c); cancel(); readSome(c) })
	if err := newSender(t, target, nil).Send(ctx, one()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAnAnswersBodyIsBoundedAndDoesNotMatter(t *testing.T) {
	chunk := make([]byte, 1<<20)
	written := 0
	for name, body := range map[string]func(w http.ResponseWriter, r *http.Request){
		"a gigabyte": func(w http.ResponseWriter, _ *http.Request) {
			for range 1024 {
				n, err := w.Write(chunk)
				if written += n; err != nil {
					return
				}
			}
		},
		"one that never ends": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"a bomb": func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Accept-Encoding"); got != "" {
				t.Errorf("asks for %s", got)
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(chunk[:1000])
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.WriteHeader(http.StatusOK)
					body(w, r)
				}
			}))
			defer server.Close()
			defer server.CloseClientConnections()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := newSender(t, server.URL, map[string]string{"TIMEOUT": "10m"}).Send(t.Context(), one()); err != nil {
				t.Errorf("got %v", err)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
	if written > 64<<20 {
		t.Errorf("%d bytes were read", written)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	connections := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5000)) }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections++
		}
	}
	server.Start()
	defer server.Close()
	s := newSender(t, server.URL, nil)
	for range 50 {
		if err := s.Send(t.Context(), one()); err != nil {
			t.Fatal(err)
		}
	}
	if connections != 1 {
		t.Errorf("%d connections for 50 requests", connections)
	}
}

func parsed(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
