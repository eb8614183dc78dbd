package simulated

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// Faults says how often (0 to 1) a simulator misbehaves, by the fault's name. Every fault passes: the
// same request asked again is answered well in the end.
type Faults map[string]float64

// The faults' names.
const (
	Fault429  = "429"  // too many requests, Retry-After: 1
	Fault500  = "500"  // server error
	FaultCut  = "cut"  // the body ends early, the declared length does not
	FaultHTML = "html" // 200 with a login page
)

// ParseFaults reads "429=0.1,cut=0.05"; a name alone is 0.05.
func ParseFaults(text string) (Faults, error) {
	f := Faults{}
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, share, given := strings.Cut(item, "=")
		p := 0.05
		if given {
			var err error
			if p, err = strconv.ParseFloat(share, 64); err != nil || !(p >= 0 && p <= 0.9) { // NaN is no share either
				return nil, fmt.Errorf("fault %q: want a share from 0 to 0.9 after =", item)
			}
		}
		switch name {
		case Fault429, Fault500, FaultCut, FaultHTML:
			f[name] = p
		default:
			return nil, fmt.Errorf("fault %q: want one of 429, 500, cut, html", name)
		}
	}
	return f, nil
}

// Faulty puts faults in front of a handler, by a seeded choice per request.
func Faulty(next http.Handler, f Faults, seed int64) http.Handler {
	if len(f) == 0 {
		return next
	}
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	sort.Strings(names)
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(uint64(seed), 0xfa017))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		draw := rng.Float64()
		mu.Unlock()
		for _, name := range names {
			if draw -= f[name]; draw < 0 {
				misbehave(name, next, w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func misbehave(name string, next http.Handler, w http.ResponseWriter, r *http.Request) {
	switch name {
	case Fault429:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	case Fault500:
		http.Error(w, "something broke", http.StatusInternalServerError)
	case FaultHTML:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body><form>Please sign in</form></body></html>")
	case FaultCut:
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		body := rec.Body.Bytes()
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:len(body)/2]) // net/http closes the connection: the length was not met
	}
}
