package measure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// serve gives the work of an HTTP server on loopback.
func serve(handler http.Handler, result func() outcome) (*work, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return &work{
		address: "http://" + listener.Addr().String(),
		close:   func() { _ = listener.Close() },
		work: func(ctx context.Context) (outcome, error) {
			stop := context.AfterFunc(ctx, func() { _ = server.Close() })
			defer stop()
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return outcome{}, err
			}
			return result(), nil
		},
	}, nil
}

// vendor is LiveLeader's export of the job's chats: those that start in the period that is asked for. It takes Pause for each request,
// and with a Rate lets so many chats a second arrive, each marked with its time.
func (j job) vendor() (*work, error) {
	v := &vendor{job: j, next: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/Srv", v.export)
	return serve(mux, func() outcome { return outcome{Count: v.requests} })
}

type vendor struct {
	job
	mu       sync.Mutex
	requests int
	next     time.Time // when the next chats arrive
}

func (v *vendor) export(w http.ResponseWriter, r *http.Request) {
	from, errFrom := time.Parse(time.RFC3339, r.URL.Query().Get("start"))
	to, errTo := time.Parse(time.RFC3339, r.URL.Query().Get("stop"))
	if err := errors.Join(errFrom, errTo); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	first, end := v.Chats.between(from, to)
	v.await(r.Context(), end-first)
	mark := ""
	if v.Rate > 0 {
		mark = strconv.FormatInt(time.Now().UnixNano(), 10)
	}
	page := append(make([]byte, 0, 64<<10), "<chats>\n"...)
	for i := first; i < end; i++ {
		if page = append(v.Chats.Append(page, i, 0, mark), '\n'); len(page) > 60<<10 {
			_, _ = w.Write(page) // an error is the poller's leaving
			page = page[:0]
		}
	}
	_, _ = w.Write(append(page, "</chats>\n"...))
}

// await lets the time pass that a request takes.
func (v *vendor) await(ctx context.Context, chats int) {
	v.mu.Lock()
	v.requests++
	pause := v.Pause
	if v.Rate > 0 {
		v.next = later(v.next, time.Now())
		pause = time.Until(v.next)
		v.next = v.next.Add(time.Duration(chats) * time.Second / time.Duration(v.Rate))
	}
	v.mu.Unlock()
	if pause <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// receiver answers every request at once, and notes how old the marks of its events are.
func (j job) receiver() (*work, error) {
	r := &receiver{}
	return serve(r, func() outcome {
		r.mu.Lock()
		defer r.mu.Unlock()
		slices.Sort(r.delays)
		return outcome{Count: r.requests, Delays: r.delays}
	})
}

type receiver struct {
	mu       sync.Mutex
	requests int
	delays   []float64
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	delays := ages(body, time.Now())
	r.mu.Lock()
	r.requests++
	r.delays = append(r.delays, delays...)
	r.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// ages gives how old the marks in some events are, in milliseconds.
func ages(events []byte, now time.Time) (all []float64) {
	key := []byte(`"` + markKey + `":"`)
	for {
		_, rest, found := bytes.Cut(events, key)
		if !found {
			return all
		}
		digits, _, _ := bytes.Cut(rest, []byte(`"`))
		if at, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
			all = append(all, now.Sub(time.Unix(0, at)).Seconds()*1000)
		}
		events = rest
	}
}
