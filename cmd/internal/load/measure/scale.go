package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events/broker"
)

// ScaleOptions steer Scale.
type ScaleOptions struct {
	Pollers []int         // how many processes, one measurement each
	Windows int           // days of history, each a window
	Pages   int           // requests of a window, one after the other
	Delay   time.Duration // of each answer
	Log     io.Writer     // what is being done
}

// ScaleReport is how much more several pollers fetch than the first number of them did.
type ScaleReport struct {
	Machine     Machine       `json:"machine"`
	DelayMillis float64       `json:"delay_ms"`
	Windows     int           `json:"windows"`
	Pages       int           `json:"pages"`
	Concurrency int           `json:"concurrency"`
	Figures     []ScaleFigure `json:"figures"`
}

// ScaleFigure is what so many processes fetched.
type ScaleFigure struct {
	Pollers int `json:"pollers"`
	// Requests were answered in so many seconds, from the first one's arrival to the last one's answer.
	Requests         int     `json:"requests"`
	Seconds          float64 `json:"seconds"`
	PerSecond        float64 `json:"per_second"`
	WindowsPerSecond float64 `json:"windows_per_second"`
	// Most is what the vendor's delay allows: each process has four windows in hand, and each of these one request.
	Most float64 `json:"most_per_second"`
	// Ratio compares with the first figure.
	Ratio float64 `json:"ratio"`
	// Busy are the processors that pollers, server and vendor together kept busy: near the machine's number, they and not the vendor bound it.
	Busy float64 `json:"busy_processors"`
}

// share is how many windows of one source a process takes at once (decision 0013).
const share = 4

// Scale measures how fast 1, 4 and other numbers of pollers read the same history of a vendor that takes its time, on an empty server each.
func Scale(ctx context.Context, o ScaleOptions) (ScaleReport, error) {
	report := ScaleReport{
		Machine: machine(), DelayMillis: float64(o.Delay.Microseconds()) / 1000, Windows: o.Windows, Pages: o.Pages,
		Concurrency: share * slices.Max(o.Pollers),
	}
	for _, n := range o.Pollers {
		_, _ = fmt.Fprintf(o.Log, "%d pollers\n", n)
		f, err := o.run(ctx, n, report.Concurrency)
		if err != nil {
			return ScaleReport{}, fmt.Errorf("%d pollers: %w", n, err)
		}
		f.Ratio = 1
		if len(report.Figures) > 0 {
			f.Ratio = f.PerSecond / report.Figures[0].PerSecond
		}
		report.Figures = append(report.Figures, f)
	}
	return report, nil
}

// run has so many processes read everything.
func (o ScaleOptions) run(ctx context.Context, pollers, concurrency int) (f ScaleFigure, err error) {
	s, err := newStation(ctx, "external", "default", "", o.Log)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	vendor, err := start(ctx, job{Do: "slow vendor", Messages: o.Pages, Delay: o.Delay})
	if err != nil {
		return f, err
	}
	defer vendor.kill()
	if err := vendor.begin(); err != nil {
		return f, err
	}
	var started []*child
	defer func() {
		for _, c := range started {
			c.kill()
		}
	}()
	for range pollers {
		c, err := s.begin(ctx, job{Do: "play", Roles: "poll"}, o.environ(vendor.address, concurrency))
		if err != nil {
			return f, err
		}
		started = append(started, c)
	}
	before, err := s.serverUsage()
	if err != nil {
		return f, err
	}
	for _, c := range started {
		if err := c.begin(); err != nil {
			return f, err
		}
	}
	if err := s.await(ctx, func(b *broker.Broker) (bool, error) { return o.read(ctx, b) }); err != nil {
		return f, err
	}
	after, err := s.serverUsage()
	if err != nil {
		return f, err
	}
	cpu := after.minus(before).CPU
	for _, c := range started {
		used, err := c.usage()
		if err != nil {
			return f, err
		}
		cpu += used.CPU
	}
	last, err := vendor.end()
	if err != nil {
		return f, err
	}
	if want := o.Windows * o.Pages; last.Count != want {
		return f, fmt.Errorf("the vendor was asked %d times, want %d: each page once", last.Count, want)
	}
	seconds := last.Span.Seconds()
	return ScaleFigure{
		Pollers: pollers, Requests: last.Count, Seconds: seconds, PerSecond: float64(last.Count) / seconds,
		WindowsPerSecond: float64(o.Windows) / seconds, Most: float64(min(pollers*share, concurrency)) / o.Delay.Seconds(),
		Busy: (cpu + last.Usage.CPU).Seconds() / seconds,
	}, nil
}

// read tells that RAW has every record, and fails when it has one twice.
func (o ScaleOptions) read(ctx context.Context, b *broker.Broker) (bool, error) {
	state, err := b.StreamState(ctx, broker.Raw)
	want := uint64(o.Windows * o.Pages)
	if err == nil && state.LastSeq > want {
		err = fmt.Errorf("RAW has %d records, want %d", state.LastSeq, want)
	}
	return state.LastSeq == want, err
}

// environ configures the source: its history ended long ago, so that each window is due once.
func (o ScaleOptions) environ(url string, concurrency int) []string {
	end := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -30)
	prefix := "PARLEY_SOURCE_" + strings.ToUpper(source) + "_"
	return []string{
		"PARLEY_SOURCES=" + source, prefix + "VENDOR=livechat", prefix + "URL=" + url, prefix + "LOGIN=load@agent.example", prefix + "API_KEY=none",
		prefix + "WINDOW=24h", fmt.Sprint(prefix, "CONCURRENCY=", concurrency),
		prefix + "SINCE=" + end.AddDate(0, 0, -o.Windows).Format(time.RFC3339), prefix + "UNTIL=" + end.Format(time.RFC3339),
	}
}

// slowVendor is LiveChat's list of chats, with one on each page, that answers a while after it was asked.
func (j job) slowVendor() (*work, error) {
	v := &slowVendor{job: j}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /chats", v.list)
	return serve(mux, func() outcome { return outcome{Count: v.requests, Span: v.last.Sub(v.first)} })
}

type slowVendor struct {
	job

	mu          sync.Mutex
	requests    int
	first, last time.Time
}

func (v *slowVendor) list(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	if v.requests++; v.requests == 1 {
		v.first = time.Now()
	}
	v.mu.Unlock()
	day := r.URL.Query().Get("date_from")
	at, errDay := time.Parse(time.DateOnly, day)
	page, errPage := strconv.Atoi(r.URL.Query().Get("page"))
	if err := errors.Join(errDay, errPage); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-r.Context().Done():
		return
	case <-time.After(v.Delay):
	}
	started := at.Add(time.Duration(page) * time.Minute).Unix()
	_, _ = fmt.Fprintf(w, `{"chats":[{"type":"chat","id":"%s-%d","visitor_name":"Ann","started_timestamp":%d,"ended_timestamp":%d,"messages":[]}],"total":%d,"pages":%d}`,
		day, page, started, started+30, v.Messages, v.Messages) // an error is the poller's leaving
	v.mu.Lock()
	v.last = time.Now()
	v.mu.Unlock()
}

// JSON writes the report as JSON.
func (r ScaleReport) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Table writes the report for a person.
func (r ScaleReport) Table(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "%g ms a request, %d windows of %d requests, CONCURRENCY=%d; %d processors, %s %s\n", // the table after it meets the same error
		r.DelayMillis, r.Windows, r.Pages, r.Concurrency, r.Machine.Processors, r.Machine.Go, r.Machine.Platform)
	var rows [][]any
	for _, f := range r.Figures {
		rows = append(rows, []any{
			f.Pollers, f.Requests, round(f.Seconds, 2), round(f.PerSecond, 1), round(f.Most, 0), round(f.WindowsPerSecond, 1), round(f.Ratio, 2), round(f.Busy, 2),
		})
	}
	return console.Table(w, []string{"pollers", "requests", "seconds", "requests/s", "at most", "windows/s", "ratio", "busy processors"}, rows, nil)
}

// Guard fails when the last number of pollers did not fetch so many times what the first did.
func (r ScaleReport) Guard(least float64) error {
	if last := r.Figures[len(r.Figures)-1]; last.Ratio < least {
		return fmt.Errorf("%d pollers fetched %.2f times what %d did, less than %g, with %.1f of %d processors busy",
			last.Pollers, last.Ratio, r.Figures[0].Pollers, least, last.Busy, r.Machine.Processors)
	}
	return nil
}
