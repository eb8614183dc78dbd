package measure

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
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

// vendor is LiveLeader's export of the job's chats: those that start in the period that is asked for.
func (j job) vendor() (*work, error) {
	v := &vendor{job: j}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/Srv", v.export)
	return serve(mux, func() outcome { return outcome{Count: int(v.requests.Load())} })
}

type vendor struct {
	job
	requests atomic.Int64
}

func (v *vendor) export(w http.ResponseWriter, r *http.Request) {
	from, errFrom := time.Parse(time.RFC3339, r.URL.Query().Get("start"))
	to, errTo := time.Parse(time.RFC3339, r.URL.Query().Get("stop"))
	if err := errors.Join(errFrom, errTo); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v.requests.Add(1)
	first, end := v.Chats.between(from, to)
	page := append(make([]byte, 0, 64<<10), "<chats>\n"...)
	for i := first; i < end; i++ {
		if page = append(v.Chats.record(page, i), '\n'); len(page) > 60<<10 {
			_, _ = w.Write(page) // an error is the poller's leaving
			page = page[:0]
		}
	}
	_, _ = w.Write(append(page, "</chats>\n"...))
}

// receiver answers every request at once.
func (j job) receiver() (*work, error) {
	var requests atomic.Int64
	take := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		requests.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}
	return serve(http.HandlerFunc(take), func() outcome { return outcome{Count: int(requests.Load())} })
}
