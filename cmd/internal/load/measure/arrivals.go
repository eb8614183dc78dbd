package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// arrivals are when each chat came first to a place, in microseconds of Unix time; 0: it has not come.
type arrivals []int64

// note takes a chat's key, which ends in its number; a key of something else is none.
func (a arrivals) note(key string, at time.Time) {
	i, err := strconv.ParseUint(key[strings.LastIndexByte(key, '-')+1:], 16, 48)
	if err == nil && i < uint64(len(a)) && a[i] == 0 {
		a[i] = at.UnixMicro()
	}
}

// subject stands before a chat's key in the JSON of an event.
var subject = []byte(`"subject":"`)

// noteAll takes the events of a JSON text.
func (a arrivals) noteAll(text []byte, at time.Time) {
	for {
		_, after, found := bytes.Cut(text, subject)
		key, rest, ended := bytes.Cut(after, []byte{'"'})
		if !found || !ended {
			return
		}
		a.note(string(key), at)
		text = rest
	}
}

// delays are how long after their time chats came, from one of them on, in milliseconds.
type delays struct {
	count         int
	p50, p99, max float64
}

// since compares with a schedule of so many a second that began at start.
func (a arrivals) since(start time.Time, rate float64, first int) (d delays, err error) {
	var all []float64
	for i := first; i < len(a); i++ {
		if a[i] == 0 {
			return d, fmt.Errorf("chat %d of %d has not come", i, len(a))
		}
		all = append(all, float64(time.UnixMicro(a[i]).Sub(due(start, rate, i)).Microseconds())/1000)
	}
	if len(all) == 0 {
		return d, errors.New("there are no chats to measure")
	}
	slices.Sort(all)
	at := func(share float64) float64 { return all[min(int(share*float64(len(all))), len(all)-1)] }
	return delays{count: len(all), p50: at(0.5), p99: at(0.99), max: all[len(all)-1]}, nil
}

// due is when a chat is to be written. It does not depend on when those before it were.
func due(start time.Time, rate float64, i int) time.Time {
	return start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
}

// liveVendor answers one request with the job's chats, each at its time, as one long export: whoever reads it gets a chat when it is due,
// and waits for no poll.
func (j job) liveVendor() (*work, error) {
	v := &liveVendor{job: j, written: make(arrivals, j.Messages)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/Srv", v.export)
	return serve(mux, func() outcome {
		v.mu.Lock()
		defer v.mu.Unlock()
		return outcome{Count: v.requests, Began: v.began, Arrivals: v.written}
	})
}

type liveVendor struct {
	job

	mu       sync.Mutex
	requests int
	began    time.Time
	written  arrivals
}

// tick is how exactly chats come at their times: timers are not more exact.
const tick = time.Millisecond

func (v *liveVendor) export(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.requests++; v.requests > 1 {
		http.Error(w, "the export was given already", http.StatusGone)
		return
	}
	v.began = time.Now()
	page := []byte("<chats>\n")
	every := time.NewTicker(tick)
	defer every.Stop()
	for i := 0; i < v.Messages; {
		select {
		case <-r.Context().Done():
			return
		case <-every.C:
		}
		first, now := i, time.Now()
		for ; i < v.Messages && !due(v.began, v.Rate, i).After(now); i++ {
			page = append(v.Chats.Append(page, i, 0), '\n')
		}
		_, _ = w.Write(page) // an error is the poller's leaving, which the context tells
		_ = http.NewResponseController(w).Flush()
		page = page[:0]
		for at := time.Now().UnixMicro(); first < i; first++ {
			v.written[first] = at
		}
	}
	_, _ = io.WriteString(w, "</chats>\n")
}

// hook is an endpoint that accepts every event and notes when it came.
func (j job) hook() (*work, error) {
	var mu sync.Mutex
	came, requests := make(arrivals, j.Messages), 0
	take := func(w http.ResponseWriter, r *http.Request) {
		at := time.Now() // the header is here; an endpoint could begin
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		requests++
		if key := r.Header.Get("Ce-Subject"); key != "" {
			came.note(key, at)
		} else {
			came.noteAll(body, at)
		}
		w.WriteHeader(http.StatusNoContent)
	}
	return serve(http.HandlerFunc(take), func() outcome { return outcome{Count: requests, Arrivals: came} })
}

// tail follows the files that a sink writes in a folder, and notes when each line is there for everybody to read.
func (j job) tail() (*work, error) {
	t := &tailer{dir: j.Dir, came: make(arrivals, j.Messages), open: make(map[string]*tailed)}
	return &work{close: t.close, work: t.follow}, nil
}

type tailer struct {
	dir  string
	came arrivals
	open map[string]*tailed
}

type tailed struct {
	file *os.File
	line []byte // without its end
	gone bool
}

func (t *tailer) follow(ctx context.Context) (outcome, error) {
	every := time.NewTicker(2 * tick)
	defer every.Stop()
	for {
		if err := t.look(); err != nil {
			return outcome{}, err
		}
		select {
		case <-ctx.Done():
			return outcome{Arrivals: t.came}, t.look()
		case <-every.C:
		}
	}
}

// look reads what is new. What a sink has finished it moves away, after its last line: it is read once more and closed.
func (t *tailer) look() error {
	entries, err := os.ReadDir(t.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, f := range t.open {
		f.gone = true
	}
	for _, e := range entries {
		if f := t.open[e.Name()]; f != nil {
			f.gone = false
			continue
		}
		file, err := os.Open(filepath.Join(t.dir, e.Name()))
		if err == nil {
			t.open[e.Name()] = &tailed{file: file}
		}
	}
	for name, f := range t.open {
		if err := t.read(f); err != nil {
			return err
		}
		if f.gone {
			_ = f.file.Close() // it was only read
			delete(t.open, name)
		}
	}
	return nil
}

func (t *tailer) read(f *tailed) error {
	more, err := io.ReadAll(f.file)
	at := time.Now()
	f.line = append(f.line, more...)
	if end := bytes.LastIndexByte(f.line, '\n'); end >= 0 {
		t.came.noteAll(f.line[:end], at)
		f.line = append(f.line[:0], f.line[end+1:]...)
	}
	return err
}

func (t *tailer) close() {
	for _, f := range t.open {
		_ = f.file.Close() // it was only read
	}
}
