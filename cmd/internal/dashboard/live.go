package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/parley-stream/parley/events"
)

const (
	// maxTails is how many live tails are open at once.
	maxTails = 32
	// tailBuffer is how many events wait for a slow reader; what comes beyond is counted and left out.
	tailBuffer = 256
	// beatEvery is how often a tail without events says that it lives, and how long a reader may take nothing.
	beatEvery = 15 * time.Second
)

// tailed is an event on its way to a reader.
type tailed struct {
	sequence uint64
	event    events.Event
}

// tail sends events as they come. A reader that is too slow is told how many it has missed.
func (d *Dashboard) tail(w http.ResponseWriter, r *http.Request) {
	subjects, err := events.FilterSubjects(nonEmpty(r.URL.Query()["filter"]))
	if err != nil {
		d.answer(w, r, nil, &refusal{http.StatusBadRequest, "filter: " + err.Error()})
		return
	}
	select {
	case d.tails <- struct{}{}:
		defer func() { <-d.tails }()
	default:
		w.Header().Set("Retry-After", "10")
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d live tails are open, no more are", maxTails))
		return
	}
	out := &sse{w: w, control: http.NewResponseController(w)}
	_ = out.control.SetReadDeadline(time.Time{}) // a server's limit for a request must not end its answer; a test's writer has none
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not wait for more
	if out.send("retry: 3000\n: live\n\n") != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	queue, missed := make(chan tailed, tailBuffer), make(chan int, 1)
	following.Go(func() {
		defer cancel() // a follower that cannot go on ends the tail: the reader asks anew
		_ = d.operator.Tail(ctx, subjects, func(sequence uint64, e events.Event, unreadable error) error {
			if unreadable == nil {
				offer(queue, missed, tailed{sequence, e})
			}
			return nil
		})
	})
	d.forward(ctx, r, out, queue, missed)
}

func nonEmpty(filters []string) (out []string) {
	for _, f := range filters {
		if f != "" {
			out = append(out, f)
		}
	}
	return out
}

// offer gives an event to a reader, or counts it as missed.
func offer(queue chan<- tailed, missed chan int, t tailed) {
	select {
	case queue <- t:
		return
	default:
	}
	n := 1
	select {
	case before := <-missed:
		n += before
	default:
	}
	missed <- n // there is room: this goroutine alone puts something in
}

// forward writes what comes until the reader is gone.
func (d *Dashboard) forward(ctx context.Context, r *http.Request, out *sse, queue <-chan tailed, missed <-chan int) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-d.closing:
			return
		case <-beat.C:
			err = out.send(": still here\n\n")
		case n := <-missed:
			err = out.send(fmt.Sprintf("event: missed\ndata: %d\n\n", n))
		case t := <-queue:
			err = out.send(fmt.Sprintf("id: %d\ndata: %s\n\n", t.sequence, d.line(r, &t.event)))
		}
		if err != nil {
			return
		}
	}
}

// sse writes to a reader that may stall.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *sse) send(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(beatEvery)) // a writer without deadlines is a test's
	if _, err := fmt.Fprint(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}
