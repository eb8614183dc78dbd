// Package dashboard is what a browser shows: how sources and sinks stand, which windows are read, dead letters, events as they come, and
// conversations with their revisions. Everything is embedded; a page asks nobody but the server that it came from.
//
// Who has the token may act and sees personal data; everybody else looks, and personal data is masked. Without a token there are no actions.
// The token is sent as "Authorization: Bearer …", or exchanged for a cookie by POST /api/session. Text of vendors is hostile: it travels as
// JSON, and the page shows it as text alone.
//
// # API
//
// JSON, for this page: it changes with it. Errors are {"error": "…"}. Requests that change something must be application/json, at most 64 KiB.
// Pages of lists have "next": the value of before that gives the page after this one; 0 at the end.
//
//	GET    /api/session                        {"configured", "allowed"}: whether there is a token, and whether you have shown it
//	POST   /api/session                        {"token"}: sets the cookie for 12 hours
//	DELETE /api/session                        forgets the cookie
//	GET    /api/overview                       how everything stands, and the last hour
//	GET    /api/coverage?source=               each stream of a source with its days (the newest 371)
//	GET    /api/windows?source=&stream=&from=&to=  the windows that reach into a time, at most 500
//	POST   /api/read-again                     {"source", "stream", "from", "to"}: gives {"windows"}
//	POST   /api/sinks/{name}/pause, …/resume
//	GET    /api/dead?stage=&name=&vendor=&reason=&before=&limit=
//	GET    /api/dead/{sequence}                whole, with what to do
//	POST   /api/dead/replay, /api/dead/drop    {"sequences"}, at most 500: gives {"done", "failed"}
//	GET    /api/conversations?vendor=&source=&before=&limit=  the newest first, one entry for each event
//	GET    /api/conversation?vendor=&source=&id=  every revision that is still stored, at most 50
//	GET    /events?filter=                     live tail: server-sent events, each a CloudEvent in structured JSON with its sequence as id
//
// # Limits
//
// A response holds at most 500 entries; of a content over 1 MiB only its size is shown; at most 32 live tails are open at once. How the last
// hour was is remembered by the process that serves the page, as long as Run runs.
package dashboard

import (
	"bytes"
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/parley-stream/parley/cmd/internal/operator"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

// Options tune a Dashboard; the zero value works.
type Options struct {
	// Token permits actions and shows personal data; empty: nobody may, and all of it is masked.
	Token string
	// Addr is where it is served, as host:port. On loopback only names of this machine are answered, so that no page of another name can have a
	// browser ask for it (DNS rebinding); Hosts are further ones. Elsewhere every name is answered, unless there are Hosts.
	Addr  string
	Hosts []string
	// SinkStats are those of the sinks that this process runs, by name; nil: none.
	SinkStats func() map[string]sinks.Stats
	// Loggable takes secrets out of a text; nil: there are none.
	Loggable func(string) string
	Logger   *slog.Logger // nil: none
}

// Dashboard serves the page and its API. It is safe for concurrent use.
type Dashboard struct {
	operator *operator.Operator
	broker   *broker.Broker
	options  Options
	guard    guard
	memory   *memory
	tails    chan struct{} // holds a token for each that is open
	closing  chan struct{} // closed when Run has ended
	handler  http.Handler
}

//go:embed files
var embedded embed.FS

// New makes a dashboard of what an operator sees.
func New(o *operator.Operator, b *broker.Broker, opts Options) *Dashboard {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Loggable == nil {
		opts.Loggable = func(text string) string { return text }
	}
	if opts.SinkStats == nil {
		opts.SinkStats = func() map[string]sinks.Stats { return nil }
	}
	d := &Dashboard{
		operator: o, broker: b, options: opts, guard: newGuard(opts), tails: make(chan struct{}, maxTails), closing: make(chan struct{}),
		memory: newMemory(o, opts.SinkStats),
	}
	d.handler = d.guard.protect(d.routes())
	return d
}

// ServeHTTP answers one request.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// Run remembers how everything stands, for the last hour, until the context ends; then it ends the live tails, for which a server that
// stops would wait. It is called once. Without it the dashboard shows the present alone.
func (d *Dashboard) Run(ctx context.Context) error {
	defer close(d.closing)
	return d.memory.run(ctx, d.broker)
}

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", serveFile("index.html"))
	mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) { serveFile(r.PathValue("name"))(w, r) })
	mux.HandleFunc("GET /events", d.tail)
	mux.HandleFunc("GET /api/session", d.session)
	mux.HandleFunc("POST /api/session", d.login)
	mux.HandleFunc("DELETE /api/session", d.logout)
	mux.HandleFunc("GET /api/overview", d.overview)
	mux.HandleFunc("GET /api/coverage", d.coverage)
	mux.HandleFunc("GET /api/windows", d.windows)
	mux.HandleFunc("GET /api/dead", d.deadLetters)
	mux.HandleFunc("GET /api/dead/{sequence}", d.deadLetter)
	mux.HandleFunc("GET /api/conversations", d.conversations)
	mux.HandleFunc("GET /api/conversation", d.conversation)
	action := func(pattern string, do func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, d.guard.action(func(w http.ResponseWriter, r *http.Request) {
			answer, err := do(r)
			d.answer(w, r, answer, err)
		}))
	}
	action("POST /api/read-again", d.readAgain)
	action("POST /api/sinks/{name}/pause", d.pauseSink)
	action("POST /api/sinks/{name}/resume", d.resumeSink)
	action("POST /api/dead/replay", d.replayDead)
	action("POST /api/dead/drop", d.dropDead)
	return mux
}

// serveFile gives an embedded file.
func serveFile(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		content, err := fs.ReadFile(embedded, "files/"+name)
		if err != nil || strings.Contains(name, "/") {
			http.NotFound(w, r)
			return
		}
		// The files change with the binary alone, which has no time of its own: a browser asks each time, and the page is small.
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}
}
