package webhook_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/sinktest"
)

// pipes is an endpoint without a network, for a clock that is not the machine's.
type pipes struct {
	mu       sync.Mutex
	answers  func(id string) string // "" is an acceptance; else one of the answers below
	attempts int
	tries    map[string]int
	accepted map[string]bool
}

const (
	unreachable = "cannot be connected to"
	silent      = "reads and never answers"
	reset       = "closes the connection"
	accepts     = "HTTP/1.1 204 No Content\r\n\r\n"
	endless     = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx"
)

func newPipes(answers func(id string) string) *pipes {
	return &pipes{answers: answers, tries: map[string]int{}, accepted: map[string]bool{}}
}

func says(code int, header string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 0\r\n%s\r\n", code, http.StatusText(code), header)
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	down := p.answers("") == unreachable
	if down {
		p.attempts++
	}
	p.mu.Unlock()
	if down {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	here, there := net.Pipe()
	go p.serve(there) // it ends with the connection
	return here, nil
}

func (p *pipes) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		text := p.take(r.Header.Get("Ce-Subject"))
		switch text {
		case silent:
			_, _ = in.ReadByte() // until the other end has had enough
			return
		case reset, unreachable:
			return
		}
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		if text == endless {
			_, _ = in.ReadByte()
			return
		}
	}
}

// take gives the answer to an event.
func (p *pipes) take(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts++
	p.tries[id]++
	text := p.answers(id)
	if text == "" {
		text = accepts
	}
	if strings.HasPrefix(text, "HTTP/1.1 2") {
		p.accepted[id] = true
	}
	return text
}

// be changes the answers.
func (p *pipes) be(answers func(id string) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = answers
}

func (p *pipes) count() (attempts, accepted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempts, len(p.accepted)
}

func (p *pipes) open(t *testing.T) sinks.Sink {
	t.Helper()
	open := sinks.Requests(func(context.Context, sinks.Ownership) (sinks.Sender, error) {
		sender := newSender(t, "http://127.0.0.1:9/?handshake=off", nil)
		sender.Dial(p.dial)
		return sender, nil
	}, sinks.RequestOptions{MaxAttempts: 5})
	s, err := open(t.Context(), sinks.Ownership{Sink: "t"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deliver hands events over.
func deliver(t *testing.T, s sinks.Sink, sequence uint64, ids ...string) {
	t.Helper()
	var items []sinks.Item
	for i, id := range ids {
		items = append(items, sinks.Item{Sequence: sequence + uint64(i), Event: sinktest.Event(id, 1)})
	}
	if _, err := s.Deliver(t.Context(), sinks.Batch{Items: items}); err != nil {
		t.Fatal(err)
	}
}

// settle waits as a Runner that stops, for as long, and tells how many events became dead letters.
func settle(t *testing.T, s sinks.Sink, patience time.Duration) (dead int, rest error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, err := s.Flush(ctx)
		if refused := new(sinks.Refused); !errors.As(err, &refused) {
			return dead, err
		}
		dead++
	}
}

// toOne answers so to one event, and accepts 300 others of other chats, one every ten seconds.
func toOne(t *testing.T, answer string) (outcome string, tries, accepted int) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes(func(id string) string {
			if id == "bad" {
				return answer
			}
			return accepts
		})
		s := p.open(t)
		defer s.Close()
		deliver(t, s, 1, "bad")
		for n := range uint64(300) {
			deliver(t, s, n+2, fmt.Sprint("good", n))
			time.Sleep(10 * time.Second)
		}
		dead, rest := settle(t, s, 10*time.Hour)
		_, accepted = p.count()
		switch {
		case p.accepted["bad"]:
			outcome, accepted = "delivered", accepted-1
		case dead == 1:
			outcome = "dead letter"
		case dead == 0 && rest != nil:
			outcome = "waits"
		}
		tries = p.tries["bad"]
	})
	return outcome, tries, accepted
}

// toAll answers so to 100 events, for a day, and then accepts.
func toAll(t *testing.T, answer string) (attempts, dead, delivered int) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes(func(string) string { return answer })
		s := p.open(t)
		defer s.Close()
		var ids []string
		for n := range 100 {
			ids = append(ids, fmt.Sprint("e", n))
		}
		deliver(t, s, 1, ids...)
		before, _ := settle(t, s, 24*time.Hour)
		attempts, _ = p.count()
		p.be(func(string) string { return accepts })
		after, _ := settle(t, s, 3*time.Hour)
		dead = before + after
		_, delivered = p.count()
	})
	return attempts, dead, delivered
}

// The table of D6: each answer, what becomes of one event that alone gets it, and of all when all do. Time is not the machine's.
func TestWhatBecomesOfEventsByTheirAnswer(t *testing.T) {
	type row struct {
		name, answer string
		one          string // what becomes of one; "": not asked
		dead, left   int    // of a hundred: at most so many dead letters, and so many that are never sent
		attempts     int    // in the day: at most
	}
	for _, r := range []row{
		{"204", accepts, "delivered", 0, 0, 100},
		{"200, a body without end", endless, "delivered", 0, 0, 100},
		{"301", says(301, "Location: /elsewhere\r\n"), "dead letter", 0, 0, 400},
		{"400", says(400, ""), "dead letter", 0, 0, 3000},
		{"401", says(401, ""), "dead letter", 0, 0, 400},
		{"403", says(403, ""), "dead letter", 0, 0, 400},
		{"408", says(408, ""), "dead letter", 0, 0, 3000},
		{"410", says(410, ""), "", 0, 100, 8}, // to one: whether an answer from before it is an acceptance
		{"413", says(413, ""), "dead letter", 16 + 8, 0, 3000},
		{"422", says(422, ""), "dead letter", 0, 0, 3000},
		{"429", says(429, ""), "waits", 0, 0, 3000},
		{"429, Retry-After: 600", says(429, "Retry-After: 600\r\n"), "waits", 0, 0, 160},
		{"500", says(500, ""), "dead letter", 0, 0, 3000},
		{"503, Retry-After: 600", says(503, "Retry-After: 600\r\n"), "dead letter", 0, 0, 160},
		{reset, reset, "dead letter", 0, 0, 3000},
		{silent, silent, "dead letter", 0, 0, 3000},
		{unreachable, unreachable, "", 0, 0, 3000},
	} {
		attempts, dead, delivered := toAll(t, r.answer)
		if dead > r.dead || dead+delivered+r.left != 100 || attempts > r.attempts {
			t.Errorf("%s to all: %d dead letters, %d delivered, %d attempts in a day; want %d, %d, %d at most", r.name, dead, delivered, attempts, r.dead,
				100-dead-r.left, r.attempts)
		}
		if r.one == "" {
			t.Logf("%-24s %-27s to all: %4d attempts in a day, %2d dead letters, %3d delivered later", r.name, "", attempts, dead, delivered)
			continue
		}
		one, tries, others := toOne(t, r.answer)
		t.Logf("%-24s to one: %-11s %3d tries; to all: %4d attempts in a day, %2d dead letters, %3d delivered later", r.name, one, tries, attempts, dead, delivered)
		if one != r.one || r.left == 0 && others != 300 {
			t.Errorf("%s to one: %s, and %d others arrived; want %s, and 300", r.name, one, others, r.one)
		}
	}
}

// Each phase of a request has its time: what is slower than that is tried again, what is within it counts.
func TestEachPhaseOfARequestHasItsTime(t *testing.T) {
	const within, beyond = 14900 * time.Millisecond, 15100 * time.Millisecond
	answer := func(after time.Duration) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			time.Sleep(after)
			_, _ = io.WriteString(c, accepts)
		}
	}
	never := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		scheme string
		serve  func(net.Conn) // nil: nobody takes the connection
		want   string
		took   time.Duration
	}{
		"an answer just in time":      {"http", answer(within), "delivered", within},
		"an answer just too late":     {"http", answer(beyond), "tried again", 15 * time.Second},
		"a request that nobody reads": {"http", func(c net.Conn) { time.Sleep(time.Minute) }, "tried again", 15 * time.Second},
		"a handshake that hangs":      {"https", never, "tried again", 5 * time.Second},
		"a connection that hangs":     {"http", nil, "tried again", 15 * time.Second}, // the dialer's own 5 s need a network
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSender(t, c.scheme+"://127.0.0.1:9/?handshake=off", nil)
				var serving sync.WaitGroup
				defer serving.Wait()
				s.Dial(func(ctx context.Context) (net.Conn, error) {
					if c.serve == nil {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					here, there := net.Pipe()
					serving.Go(func() {
						defer there.Close()
						c.serve(there)
					})
					return here, nil
				})
				began := time.Now()
				err := s.Send(t.Context(), one())
				if took := time.Since(began); what(err) != c.want || took != c.took {
					t.Errorf("%s after %s: %v; want %s after %s", what(err), took, err, c.want, c.took)
				}
				if err != nil && !strings.Contains(err.Error(), "no answer in time") {
					t.Errorf("got %v", err)
				}
				_ = s.Close()
			})
		})
	}
}
