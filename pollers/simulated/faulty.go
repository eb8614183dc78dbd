package simulated

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Faulty puts faults in front of a simulator, by a seeded choice for each time that a request is asked. Change is the simulator's own; it
// may be nil where nothing can change.
func Faulty(next http.Handler, f Faults, seed int64, change func(n int) int) http.Handler {
	if f[FaultLate] > 0 && change != nil {
		next = &late{next: next, chance: NewChance(f, seed, FaultLate), change: change}
	}
	names := f.answers()
	if len(names) == 0 {
		return next
	}
	return &faulty{next: next, shares: f, names: names, draws: newDraws(seed, "faults"), truncated: map[string]bool{}}
}

// late changes something after an answer.
type late struct {
	next   http.Handler
	chance *Chance
	change func(n int) int
	made   atomic.Int64
}

func (l *late) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.next.ServeHTTP(w, r)
	if l.chance.Falls(r) && l.made.Add(1) <= mostLate {
		l.change(1)
	}
}

type faulty struct {
	next   http.Handler
	shares Faults
	names  []string
	draws  *draws

	mu        sync.Mutex
	refused   int             // how many 429 there were
	truncated map[string]bool // the requests whose last answer was
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := identity(r)
	rng := f.draws.next(request)
	fault := f.choose(request, rng.Float64())
	switch fault {
	case Fault429:
		w.Header().Set("Retry-After", f.retryAfter())
		http.Error(w, "slow down", http.StatusTooManyRequests)
	case Fault500:
		http.Error(w, "something broke", http.StatusInternalServerError)
	case FaultHTML:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body><form>Please sign in</form></body></html>")
	case FaultCut, FaultSlow, FaultTruncated:
		rec := httptest.NewRecorder()
		f.next.ServeHTTP(rec, r)
		body(fault, w, r, rec, rng)
	default:
		f.next.ServeHTTP(w, r)
	}
}

// identity is what makes a request the same as another: all of it but its headers.
func identity(r *http.Request) string {
	start, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // an error comes again to whoever reads on
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), r.Body), r.Body}
	return r.Method + " " + r.URL.RequestURI() + " " + string(start)
}

// choose gives the fault that a number in [0, 1) stands for; "" is none.
func (f *faulty) choose(request string, draw float64) string {
	fault := ""
	for _, name := range f.names {
		if draw -= f.shares[name]; draw < 0 {
			fault = name
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case fault == FaultTruncated && !f.truncated[request]:
		f.truncated[request] = true
		return fault
	case fault == FaultTruncated:
		fault = ""
	}
	delete(f.truncated, request)
	return fault
}

// retryAfter gives the two documented forms of the header in turn. The date is that of the server's own Date header, two seconds on: its
// fraction of a second is lost.
func (f *faulty) retryAfter() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused++; f.refused%2 == 1 {
		return "1"
	}
	return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat)
}

// body sends an answer that was recorded, in a wrong way.
func body(fault string, w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder, rng *rand.Rand) {
	maps.Copy(w.Header(), rec.Header())
	whole := rec.Body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
	visible := len(bytes.TrimSpace(whole))
	switch {
	case fault == FaultCut:
		w.WriteHeader(rec.Code)
		_, _ = w.Write(whole[:len(whole)/2]) // net/http closes the connection: the length was not met
	case fault == FaultTruncated && rec.Code == http.StatusOK && visible > 0 && truncate(w, whole[:rng.IntN(visible)]):
	case fault == FaultSlow:
		w.WriteHeader(rec.Code)
		dribble(w, r, whole)
	default: // there is nothing to leave out
		w.WriteHeader(rec.Code)
		_, _ = w.Write(whole)
	}
}

// truncate answers without any framing: the end of the connection is the end of the body. It is false, and nothing was sent, when there is
// no connection to close.
func truncate(w http.ResponseWriter, part []byte) bool {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	w.Header().Del("Content-Length")
	w.Header().Set("Connection", "close")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_, _ = fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\n", http.StatusOK, http.StatusText(http.StatusOK))
	_ = w.Header().Write(buf)
	_, _ = fmt.Fprintf(buf, "\r\n%s", part)
	_ = buf.Flush()
	return true
}

// A slow body takes a quarter of a second: enough for whoever waits for all of it at once, and no stall.
const (
	slowPieces = 10
	slowPause  = 25 * time.Millisecond
)

func dribble(w http.ResponseWriter, r *http.Request, whole []byte) {
	out := http.NewResponseController(w)
	for i := range slowPieces {
		_, _ = w.Write(whole[i*len(whole)/slowPieces : (i+1)*len(whole)/slowPieces])
		_ = out.Flush()
		pause := time.NewTimer(slowPause)
		select {
		case <-pause.C:
		case <-r.Context().Done():
			pause.Stop()
			return // net/http closes the connection: the length was not met
		}
	}
}
