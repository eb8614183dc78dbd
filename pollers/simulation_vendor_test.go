package pollers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// simRecord is a record of the vendor: it is filed under a time, shows up then or later, and is edited.
type simRecord struct {
	stream, id string
	at         time.Time   // zero: in a snapshot
	edits      []time.Time // the first is when it shows up
}

// version is how often it was edited; 0: it does not show.
func (r *simRecord) version(now time.Time) int {
	n := 0
	for n < len(r.edits) && !r.edits[n].After(now) {
		n++
	}
	return n
}

// vendor has the records, counts the requests, and answers as badly as the dice say.
type vendor struct {
	story   *story
	records []*simRecord
	page    int
	caps    map[string]int // by stream

	mu       sync.Mutex
	requests []time.Time // when they arrived
	held     time.Time   // the vendor asked to be left alone until then
	holder   *process    // who was told
	heldFrom time.Time
}

func newVendor(s *story, rng *rand.Rand) *vendor {
	v := &vendor{story: s, page: 5 + rng.IntN(20), caps: map[string]int{}}
	latest := s.settle[len(s.settle)-1]
	if s.skews || s.jumps {
		latest -= 45 * time.Minute
	}
	upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	for _, stream := range s.streams {
		v.caps[stream.Name] = 6 + rng.IntN(20)
		var at time.Time
		for i := range 10 + rng.IntN(40) {
			if i == 0 || rng.IntN(4) > 0 { // else a tie, fewer than the cap
				at = s.since.Add(upTo(s.until.Sub(s.since))).Truncate(stream.Grain)
				switch stream.Grain {
				case pollers.Day:
					at = s.since.Add(upTo(s.until.Sub(s.since))).Truncate(time.Second)
				case time.Minute:
					at = at.Add(time.Duration(rng.IntN(3)) * 20 * time.Second)
				}
				if rng.IntN(6) == 0 {
					at = at.Truncate(time.Hour) // the edge of a window
				}
				if at.Before(s.since) {
					at = s.since
				}
			}
			r := &simRecord{stream: stream.Name, id: fmt.Sprint(stream.Name, "-", i), at: at}
			if stream.Snapshot {
				r.at = time.Time{}
			}
			shows := at
			if rng.IntN(4) == 0 {
				shows = shows.Add(upTo(latest))
			}
			r.edits = []time.Time{shows}
			for range rng.IntN(3) {
				r.edits = append(r.edits, at.Add(upTo(latest)))
			}
			slices.SortFunc(r.edits, time.Time.Compare)
			v.records = append(v.records, r)
		}
		if stream.Grain == pollers.Day {
			v.caps[stream.Name] = 1000 // a day cannot be split
		}
		for v.tied(stream) >= v.caps[stream.Name] {
			v.caps[stream.Name]++
		}
	}
	slices.SortStableFunc(v.records, func(a, b *simRecord) int { return b.at.Compare(a.at) })
	return v
}

// tied is the most records of one grain.
func (v *vendor) tied(stream pollers.Stream) (most int) {
	if stream.Snapshot {
		return 1000
	}
	counts := map[time.Time]int{}
	for _, r := range v.records {
		if r.stream == stream.Name {
			at := pollers.Floor(r.at, stream.Grain, v.story.loc)
			counts[at]++
			most = max(most, counts[at])
		}
	}
	return most
}

// rows are what a list shows now, and the versions of it.
func (v *vendor) rows(w pollers.Window, now time.Time) (rows []*simRecord) {
	for _, r := range v.records {
		if r.stream == w.Stream && (w.Snapshot() || w.Holds(r.at)) && r.version(now) > 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

// arrive counts a request and looks whether it may be there.
func (v *vendor) arrive(p *process, w pollers.Window, check bool) {
	s, now := v.story, time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests = append(v.requests, now)
	s.count(&s.figures.Requests)
	if s.skews || s.jumps {
		return // an account's budget is as exact as the clocks agree
	}
	if n := len(v.requests) - 1 - s.rate.Requests; n >= 0 && now.Sub(v.requests[n]) < s.rate.Period {
		s.failed("request %d of process %d comes %s after the one %d before it; the rate is %s", len(v.requests), p.id, now.Sub(v.requests[n]), s.rate.Requests, s.rate)
	}
	if held, since := s.budgets.heldUntil(); now.Before(held) && now.Sub(since) > 50*time.Millisecond {
		s.failed("process %d asks at a time at which the account is held until %s", p.id, held.Format("15:04:05.000"))
	}
	if now.Before(v.held) && now.Sub(v.heldFrom) > 50*time.Millisecond && !s.outages && !s.freezes && !v.holder.isDead() {
		s.failed("process %d asks, and the vendor asked to be left alone until %s", p.id, v.held.Format("15:04:05.000"))
	}
	if !check && !s.freezes && !s.outages && !s.queue.holds(p, pollers.WindowKey(simSource, w)) {
		s.failed("process %d reads window %s %s and does not hold it", p.id, w.Stream, pollers.WindowID(w))
	}
}

// hold notes that the vendor asked a process for silence.
func (v *vendor) hold(p *process, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if until := time.Now().Add(d); until.After(v.held) {
		v.held, v.heldFrom, v.holder = until, time.Now(), p
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// network carries a process's requests to the vendor.
type network struct{ p *process }

var errNetwork = errors.New("connection reset by peer")

func (n network) RoundTrip(req *http.Request) (*http.Response, error) {
	s, ctx := n.p.story, req.Context()
	q := req.URL.Query()
	w := windowOf(q)
	what := fmt.Sprint("vendor ", pollers.WindowID(w), w.Stream, q.Get("page"))
	d := s.throw(what)
	time.Sleep(100*time.Microsecond + d.upTo(time.Millisecond)) // from the permit on nothing freezes
	if n.p.isDead() || ctx.Err() != nil {
		return nil, cmpError(ctx.Err(), errDead)
	}
	s.vendor.arrive(n.p, w, req.URL.Path == "/check")
	resp := s.vendor.answer(n.p, req, w, &d)
	wait := 5*time.Millisecond + d.upTo(300*time.Millisecond)
	if d.permille(15) && time.Now().Before(s.calm) {
		wait += s.lease/2 + d.upTo(s.lease)
	}
	pause(ctx, wait)
	if err := n.p.spend(0); err != nil || ctx.Err() != nil {
		return nil, cmpError(ctx.Err(), err)
	}
	s.note("process %d asked for %s %s page %s: %v", n.p.id, w.Stream, pollers.WindowID(w), q.Get("page"), status(resp))
	if resp == nil {
		return nil, errNetwork
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		s.vendor.hold(n.p, time.Duration(seconds)*time.Second)
	}
	return resp, nil
}

func status(resp *http.Response) any {
	if resp == nil {
		return errNetwork
	}
	return resp.StatusCode
}

func cmpError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func windowOf(q url.Values) pollers.Window {
	w := pollers.Window{Stream: q.Get("stream")}
	if from := q.Get("from"); from != "" {
		a, _ := strconv.ParseInt(from, 10, 64)
		b, _ := strconv.ParseInt(q.Get("to"), 10, 64)
		w.From, w.To = time.Unix(a, 0).UTC(), time.Unix(b, 0).UTC()
	}
	return w
}

// answer is what the vendor says now; nil: the connection breaks.
func (v *vendor) answer(p *process, req *http.Request, w pollers.Window, d *dice) *http.Response {
	now := time.Now()
	say := func(code int, header, value, body string, cut int) *http.Response {
		h := http.Header{"Date": {now.UTC().Format(http.TimeFormat)}}
		if header != "" {
			h.Set(header, value)
		}
		var r io.Reader = strings.NewReader(body)
		if cut >= 0 {
			r = io.MultiReader(strings.NewReader(body[:cut]), broken{})
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(r), ContentLength: int64(len(body)), Request: req}
	}
	if !now.Before(v.story.refused[0]) && now.Before(v.story.refused[1]) {
		return say(http.StatusUnauthorized, "", "", "no", -1)
	}
	if req.URL.Path == "/check" {
		return say(http.StatusOK, "", "", "well", -1)
	}
	page, _ := strconv.Atoi(req.URL.Query().Get("page"))
	rows := v.rows(w, now)
	rows = rows[:min(len(rows), v.caps[w.Stream])]
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", len(rows))
	for _, r := range rows[min(page*v.page, len(rows)):min((page+1)*v.page, len(rows))] {
		fmt.Fprintf(&b, "%s %d\n", r.id, r.version(now))
	}
	b.WriteString("end\n")
	body := b.String()
	if now.Before(v.story.calm) {
		switch roll := d.n(1000); {
		case roll < 20:
			return nil
		case roll < 50:
			return say(http.StatusBadGateway, "", "", "oops", -1)
		case roll < 65:
			v.story.count(&v.story.figures.Limited429)
			return say(http.StatusTooManyRequests, "Retry-After", strconv.Itoa(1+d.n(90)), "slow down", -1)
		case roll < 85:
			return say(http.StatusOK, "", "", body, d.n(len(body)))
		case roll < 95:
			return say(http.StatusOK, "", "", body[:d.n(len(body))], -1) // and no framing tells
		}
	}
	return say(http.StatusOK, "", "", body, -1)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// simRoom reads the simulated vendor.
type simRoom struct {
	story  *story
	client *pollers.Client
	env    pollers.Env
}

func (r *simRoom) Describe() pollers.Description {
	return pollers.Description{Location: r.story.loc, Streams: r.story.streams}
}

func (r *simRoom) Check(ctx context.Context) error {
	resp, err := r.client.Do(ctx, pollers.Call{URL: "https://vendor.example/check"})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (r *simRoom) Fetch(ctx context.Context, w pollers.Window, emit func(events.Record) error) (out pollers.Reading, err error) {
	total, got := -1, 0
	for page := 0; total < 0 || got < total; page++ {
		q := url.Values{"stream": {w.Stream}, "page": {strconv.Itoa(page)}}
		if !w.Snapshot() {
			q.Set("from", strconv.FormatInt(w.From.Unix(), 10))
			q.Set("to", strconv.FormatInt(w.To.Unix(), 10))
		}
		resp, err := r.client.Do(ctx, pollers.Call{URL: "https://vendor.example/list", Query: q})
		if err != nil {
			return out, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return out, fmt.Errorf("%w: %w", pollers.ErrIncomplete, err)
		}
		out.Requests++
		n, err := r.rows(ctx, w, string(body), resp.RequestedAt, &total, &out, emit)
		if err != nil {
			return out, err
		}
		if got += n; n == 0 && got < total {
			return out, pollers.ErrIncomplete
		}
	}
	out.Capped = total >= r.story.vendor.caps[w.Stream]
	return out, nil
}

// rows emits the rows of one page. Rows of one stream are only read when they are new.
func (r *simRoom) rows(ctx context.Context, w pollers.Window, body string, at time.Time, total *int, out *pollers.Reading, emit func(events.Record) error) (int, error) {
	lines := strings.Split(body, "\n")
	if len(lines) < 3 || lines[len(lines)-2] != "end" || lines[len(lines)-1] != "" {
		return 0, pollers.ErrIncomplete
	}
	n, err := strconv.Atoi(lines[0])
	if err != nil || *total >= 0 && n != *total {
		return 0, pollers.ErrIncomplete // the pages moved
	}
	*total = n
	rows := lines[1 : len(lines)-2]
	known := map[string]string{}
	if w.Stream == "seconds" {
		keys := make([]string, len(rows))
		for i, row := range rows {
			keys[i], _, _ = strings.Cut(row, " ")
		}
		if known, err = r.env.Known(ctx, w.Stream, keys); err != nil {
			return 0, err
		}
	}
	for _, row := range rows {
		id, version, ok := strings.Cut(row, " ")
		if !ok {
			return 0, pollers.ErrIncomplete
		}
		record := events.Record{Key: id, RequestedAt: at, Parts: []events.Part{{
			ContentType: "text/plain", URL: "https://vendor.example/list", Body: events.Body{Bytes: []byte("<<" + row + ">>")},
		}}}
		if w.Stream == "seconds" {
			if known[id] == version {
				out.Unchanged++
				continue
			}
			record.Version = version
		}
		if err := emit(record); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}
