// Package ops is what an operator and his machines ask a process over HTTP: metrics, health, profiles, the events' schemas; and the
// traces that it sends. What a person looks at, and everything else under the same address, is another handler's: Routes.Pages.
package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/parley-stream/parley/events"
)

// Routes are what the server answers with.
type Routes struct {
	Metrics http.Handler
	// Alive and Ready look at the process when they are asked.
	Alive, Ready func() Health
	// Pages answers whatever is not named here; nil: one line says what there is. It sets its own deadlines where an answer is a stream.
	Pages http.Handler
	// Profiles opens /debug/pprof.
	Profiles bool
}

// Handler gives the routes.
func (r Routes) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", r.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { r.Alive().write(w) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { r.Ready().write(w) })
	mux.HandleFunc("GET /schemas/{file}", schema)
	if r.Profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", http.NotFound) // arguments are nobody's business
		mux.HandleFunc("/debug/pprof/profile", unhurried(pprof.Profile))
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", unhurried(pprof.Trace))
	}
	if r.Pages == nil {
		mux.HandleFunc("GET /{$}", r.index)
	} else {
		mux.Handle("/", r.Pages)
	}
	return mux
}

func (r Routes) index(w http.ResponseWriter, _ *http.Request) {
	places := "/metrics /healthz /readyz /schemas/<kind>.v1.json"
	if r.Profiles {
		places += " /debug/pprof/"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "Parley runs here: "+places+"\n")
}

// schema serves what an event's dataschema names.
func schema(w http.ResponseWriter, req *http.Request) {
	kind, ok := strings.CutSuffix(req.PathValue("file"), ".v1.json")
	content := events.Schema(events.Kind(kind))
	if !ok || content == nil {
		http.Error(w, "no such schema; want /schemas/<kind>.v1.json, such as /schemas/conversation.v1.json", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/schema+json")
	w.Header().Set("Cache-Control", "public, max-age=86400") // a version never changes
	_, _ = w.Write(content)
}

// unhurried lifts the limits on an answer that takes as long as was asked for.
func unhurried(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		c := http.NewResponseController(w)
		// Where a deadline cannot be set there was none.
		_ = c.SetReadDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Time{})
		h(w, req)
	}
}

// Limits bound what a client may take of a server; zero values are the defaults.
type Limits struct {
	Header   time.Duration // in which a request's head must have come: 5 s
	Request  time.Duration // in which all of it must have come: 20 s
	Response time.Duration // in which the answer must be taken, from the request's end on: 30 s. Streams move their deadlines.
	Idle     time.Duration // between two requests of a connection: 1 min
	Conns    int           // open at once: 256
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&l.Header, 5*time.Second)
	set(&l.Request, 20*time.Second)
	set(&l.Response, 30*time.Second)
	set(&l.Idle, time.Minute)
	if l.Conns == 0 {
		l.Conns = 256
	}
	return l
}

// Server serves Routes.
type Server struct {
	listener net.Listener
	handler  atomic.Pointer[http.Handler]
	limits   Limits
	log      *slog.Logger
}

// Listen takes the address, so that what is wrong with it shows before anything else starts.
func Listen(addr string, l Limits, log *slog.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l = l.withDefaults()
	return &Server{listener: netutil.LimitListener(listener, l.Conns), limits: l, log: log}, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// stopLimit is how long requests under way may take when the server stops.
const stopLimit = 2 * time.Second

// Answer says what answers requests from now on.
func (s *Server) Answer(r Routes) {
	h := r.Handler()
	s.handler.Store(&h)
}

// ServeHTTP implements http.Handler. It says to browsers what holds for every answer, unless that says something else.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	(*s.handler.Load()).ServeHTTP(w, req)
}

// Serve answers until the context ends, then lets requests under way come to their end for a moment; streams are broken off. Answer is
// called before.
func (s *Server) Serve(ctx context.Context) error {
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: s.limits.Header, ReadTimeout: s.limits.Request, WriteTimeout: s.limits.Response,
		IdleTimeout: s.limits.Idle, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(s.listener)
	if !stop() {
		<-stopped
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP on %s: %w", s.Addr(), err)
	}
	return nil
}
