package ops

import (
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/parley-stream/parley/pollers"
)

// Metric describes one metric for whoever writes rules: its name, type, labels and meaning.
type Metric struct {
	Name, Type string
	Labels     []string
	Help       string
}

// Metrics are a process's, in a registry of their own. What happens in the process is counted as it happens; what stands in the broker is a
// Watch's last look.
type Metrics struct {
	registry *prometheus.Registry
	catalog  []Metric
	descs    map[string]*prometheus.Desc // of the Watch's

	answers  *prometheus.CounterVec
	answered *prometheus.HistogramVec
	readings *prometheus.CounterVec
	read     *prometheus.HistogramVec
	delivery *prometheus.HistogramVec
}

// NewMetrics makes a registry with what every process has.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), descs: make(map[string]*prometheus.Desc)}
	m.answers = m.counter("parley_requests_total", "Requests to vendors by the class of the answer: 2xx, 3xx, 4xx, 5xx, 401, 403, 429, none.", "source", "class")
	m.answered = m.histogram("parley_request_duration_seconds", "Time from a request to the head of its answer.",
		[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}, "source")
	m.readings = m.counter("parley_window_readings_total", "Readings of windows by class (live, settle, backfill) and outcome (read, failed, refused, denied).",
		"source", "class", "outcome")
	m.read = m.histogram("parley_window_reading_duration_seconds", "Time from taking a window to its last record's acknowledgement.",
		[]float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600}, "source")
	m.delivery = m.histogram("parley_sink_delivery_seconds", "Time from an event's storing to the destination having it durably; a file's rotation is in it.",
		[]float64{.01, .05, .1, .5, 1, 5, 15, 60, 300, 1800, 7200, 86400}, "sink")
	m.describe()
	build := m.gauge("parley_build_info", "1; the labels tell which build runs.", "version", "revision", "goversion")
	build.WithLabelValues(version()).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// version gives this build's version, revision and compiler.
func version() (version, revision, compiler string) {
	version = "(devel)"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, "", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision, info.GoVersion
}

// Catalog gives every metric of Parley's own, by name.
func (m *Metrics) Catalog() []Metric {
	return slices.SortedFunc(slices.Values(m.catalog), func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
}

// Handler serves the registry.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, EnableOpenMetrics: true, MaxRequestsInFlight: 8, Timeout: 10 * time.Second,
	})
}

// Answered implements pollers.Observer.
func (m *Metrics) Answered(source string, status int, took time.Duration) {
	m.answers.WithLabelValues(source, classOf(status)).Inc()
	m.answered.WithLabelValues(source).Observe(took.Seconds())
}

// classOf is a status's hundred; those that have a meaning of their own here stand for themselves.
func classOf(status int) string {
	switch {
	case status == 0:
		return "none"
	case slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, status):
		return strconv.Itoa(status)
	default:
		return strconv.Itoa(status/100) + "xx"
	}
}

// Read implements pollers.Observer.
func (m *Metrics) Read(source string, t pollers.Task, took time.Duration, err error) {
	outcome := "failed"
	switch {
	case err == nil:
		outcome = "read"
		m.read.WithLabelValues(source).Observe(took.Seconds())
	case pollers.IsUnauthorized(err):
		outcome = "refused"
	case pollers.IsUnavailable(err):
		outcome = "denied"
	}
	m.readings.WithLabelValues(source, t.Class.String(), outcome).Inc()
}

// Delivered gives what a sink's Runner tells of each event.
func (m *Metrics) Delivered(sink string) func(after time.Duration) {
	h := m.delivery.WithLabelValues(sink)
	return func(after time.Duration) { h.Observe(after.Seconds()) }
}

func (m *Metrics) note(name, kind, help string, labels []string) {
	m.catalog = append(m.catalog, Metric{Name: name, Type: kind, Labels: labels, Help: help})
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	m.note(name, "counter", help, labels)
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	m.note(name, "gauge", help, labels)
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	m.note(name, "histogram", help, labels)
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}
