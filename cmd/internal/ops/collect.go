package ops

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/parley-stream/parley/pollers"
)

// describe names what a Watch's collector gives.
func (m *Metrics) describe() {
	for _, d := range []Metric{
		{"parley_ready", "gauge", nil, "1 while /readyz answers 200."},
		{"parley_check_ok", "gauge", []string{"check"}, "1 while this check of /readyz is ok."},
		{"parley_watch_age_seconds", "gauge", nil, "Age of the look at the broker that these metrics are made of."},
		{"parley_members", "gauge", []string{"role"}, "Processes that are alive, by role."},

		{"parley_broker_connected", "gauge", nil, "1 while the NATS server is there."},
		{"parley_store_writable", "gauge", nil, "1 while the store takes writes."},
		{"parley_data_dir_free_bytes", "gauge", nil, "Free bytes where the embedded server stores."},
		{"parley_stream_messages", "gauge", []string{"stream"}, "Messages in a stream."},
		{"parley_stream_bytes", "gauge", []string{"stream"}, "Bytes in a stream."},
		{"parley_stream_max_bytes", "gauge", []string{"stream"}, "Bytes that a stream may hold; absent where there is no limit."},
		{"parley_dead_letters_stored", "gauge", []string{"stage", "name"}, "Dead letters that lie there, by stage and source or sink."},
		{"parley_dead_letters_total", "counter", []string{"stage", "name"}, "Dead letters that this process made, by stage and source, vendor or sink."},

		{"parley_source_info", "gauge", []string{"source", "vendor"}, "1; tells a source's vendor."},
		{"parley_source_paused", "gauge", []string{"source"}, "1 while the vendor refuses the credentials."},
		{"parley_source_denied_streams", "gauge", []string{"source"}, "Streams that the account may not read."},
		{"parley_source_clock_skew_seconds", "gauge", []string{"source"}, "How far the vendor's clock is ahead of ours, by its last answer."},
		{"parley_source_lag_seconds", "gauge", []string{"source", "stream"}, "How long ago the newest data that is known is from."},
		{"parley_source_unsettled_seconds", "gauge", []string{"source", "stream"}, "Age of the oldest window that is still to be read again for late changes."},
		{"parley_settle_readings", "gauge", []string{"source", "stream", "age"}, "Windows of the ledger that were read again at an age of SETTLE; absent where none was."},
		{"parley_settle_changed_readings", "gauge", []string{"source", "stream", "age"}, "Those of them that had changed."},
		{"parley_windows", "gauge", []string{"source", "stream", "state"}, "Windows by state: planned, running, complete, partial, failed."},
		{"parley_windows_due", "gauge", []string{"source", "class"}, "Windows to be read now, with those that are being read, by class: live, settle, backfill."},
		{"parley_windows_oldest_due_seconds", "gauge", []string{"source", "class"}, "How long the window that has been due longest has been so, as far as this process has seen."},
		{"parley_budget_limit_requests_per_second", "gauge", []string{"source"}, "The account's rate; absent where there is none."},
		{"parley_budget_requests_last_minute", "gauge", []string{"source"}, "The account's requests in the last whole minute, over all processes."},
		{"parley_budget_queue_seconds", "gauge", []string{"source"}, "How far ahead the account's turns are taken; 0 is a free one."},
		{"parley_budget_held_until_timestamp_seconds", "gauge", []string{"source"}, "Until when the vendor asked to be left alone; 0: it may be asked."},
		{"parley_fetching_held", "gauge", nil, "1 while no window is taken, because records wait too long or RAW is full."},
		{"parley_records_total", "counter", []string{"source"}, "Records published to RAW."},

		{"parley_events_total", "counter", []string{"vendor", "kind"}, "Events published."},
		{"parley_duplicates_total", "counter", []string{"vendor", "kind"}, "Records dropped because what they say is known."},
		{"parley_raw_unprocessed_records", "gauge", nil, "Records that no processor has processed."},
		{"parley_raw_oldest_unprocessed_seconds", "gauge", nil, "Age of the oldest of them; 0: there is none."},

		{"parley_sink_pending_events", "gauge", []string{"sink"}, "Events that a sink has not been given yet."},
		{"parley_sink_unacknowledged_events", "gauge", []string{"sink"}, "Events that a sink was given and does not have durably yet."},
		{"parley_sink_owner", "gauge", []string{"sink"}, "1 in the process that has the sink."},
		{"parley_sink_paused", "gauge", []string{"sink"}, "1 while the sink's circuit is open: nothing is sent but a probe now and then."},
		{"parley_sink_failing", "gauge", []string{"sink"}, "1 while the sink's attempts fail."},
		{"parley_sink_delivered_events_total", "counter", []string{"sink"}, "Events that the destination has durably."},
		{"parley_sink_failures_total", "counter", []string{"sink", "reason"}, "Failed attempts: disk, shut, throttled, rejected, broker, timeout, network, other."},
	} {
		m.catalog = append(m.catalog, d)
		m.descs[d.Name] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
}

// Watch adds what a Watch sees. It is called once.
func (m *Metrics) Watch(w *Watch) { m.registry.MustRegister(&collector{m, w}) }

// collector makes metrics of a Watch's last look and of what its runners count.
type collector struct {
	metrics *Metrics
	watch   *Watch
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.metrics.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	e := emitter{c.metrics.descs, to}
	p := c.watch.process
	e.gauge("parley_broker_connected", one(p.Broker.Connected()))
	health := c.watch.Ready()
	e.gauge("parley_ready", one(health.State != Failed))
	for _, check := range health.Checks {
		e.gauge("parley_check_ok", one(check.State == OK), check.Name)
	}
	e.runners(p)
	if v := c.watch.view(); v != nil {
		e.gauge("parley_watch_age_seconds", c.watch.now().Sub(v.at).Seconds())
		e.broker(v)
		for _, s := range p.Sources {
			e.source(s, v)
		}
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// emitter sends metrics to a scrape.
type emitter struct {
	descs map[string]*prometheus.Desc
	to    chan<- prometheus.Metric
}

func (e emitter) gauge(name string, value float64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(e.descs[name], prometheus.GaugeValue, value, labels...)
}

func (e emitter) counter(name string, value float64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(e.descs[name], prometheus.CounterValue, value, labels...)
}

// runners gives what the roles count.
func (e emitter) runners(p Process) {
	if p.Pollers != nil {
		e.gauge("parley_fetching_held", one(p.Pollers.Held()))
		counts := p.Pollers.Counts()
		for _, s := range p.Sources {
			name := s.Settings.Name
			e.counter("parley_records_total", float64(counts[name].Records), name)
			e.counter("parley_dead_letters_total", float64(counts[name].DeadLetters), "poll", name)
		}
	}
	if p.Processor != nil {
		dead := make(map[string]int)
		for key, c := range p.Processor.Counts() {
			e.counter("parley_events_total", float64(c.Events), key.Vendor, string(key.Kind))
			e.counter("parley_duplicates_total", float64(c.Duplicates), key.Vendor, string(key.Kind))
			dead[key.Vendor] += c.DeadLetters
		}
		for vendor, n := range dead {
			e.counter("parley_dead_letters_total", float64(n), "process", vendor)
		}
	}
	for name, runner := range p.Sinks {
		s := runner.Stats()
		e.gauge("parley_sink_owner", one(s.Owner), name)
		e.gauge("parley_sink_paused", one(s.Pause != nil), name)
		e.gauge("parley_sink_failing", one(s.Failing), name)
		e.counter("parley_sink_delivered_events_total", float64(s.Delivered), name)
		e.counter("parley_dead_letters_total", float64(s.DeadLetters), "sink", name)
		for reason, n := range s.Failures {
			e.counter("parley_sink_failures_total", float64(n), name, string(reason))
		}
	}
}

// broker gives what stands in the broker.
func (e emitter) broker(v *view) {
	e.gauge("parley_store_writable", one(v.tried && v.store == nil))
	if v.free > 0 {
		e.gauge("parley_data_dir_free_bytes", float64(v.free))
	}
	for name, s := range v.streams {
		e.gauge("parley_stream_messages", float64(s.Messages), name)
		e.gauge("parley_stream_bytes", float64(s.Bytes), name)
		if s.MaxBytes > 0 {
			e.gauge("parley_stream_max_bytes", float64(s.MaxBytes), name)
		}
	}
	for key, n := range v.dead {
		stage, name, _ := strings.Cut(key, ".")
		e.gauge("parley_dead_letters_stored", float64(n), stage, name)
	}
	for role, n := range v.members {
		e.gauge("parley_members", float64(n), role)
	}
	if v.raw != nil {
		e.gauge("parley_raw_unprocessed_records", float64(*v.raw))
		e.gauge("parley_raw_oldest_unprocessed_seconds", age(v.rawSince, v.at))
	}
	for name, s := range v.sinks {
		e.gauge("parley_sink_pending_events", float64(s.Pending), name)
		e.gauge("parley_sink_unacknowledged_events", float64(s.Unacked), name)
	}
}

// age is 0 where there is no time.
func age(since, now time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(now.Sub(since).Seconds(), 0)
}

// source gives how far a source is.
func (e emitter) source(s *pollers.Source, v *view) {
	name := s.Settings.Name
	found, ok := v.sources[name]
	if !ok {
		return
	}
	e.gauge("parley_source_info", 1, name, s.Settings.Vendor)
	e.gauge("parley_source_paused", one(found.Paused != ""), name)
	e.gauge("parley_source_denied_streams", float64(len(found.Denied)), name)
	if skew, known := s.Skew(); known {
		e.gauge("parley_source_clock_skew_seconds", skew.Seconds(), name)
	}
	e.budget(name, &found.Budget)
	due := make(map[pollers.Class]int)
	for i := range found.Streams {
		stream := &found.Streams[i]
		for _, task := range stream.Due {
			due[task.Class]++
		}
		e.stream(name, stream, v.at)
	}
	for class := pollers.ClassLive; class <= pollers.ClassBackfill; class++ {
		e.gauge("parley_windows_due", float64(due[class]), name, class.String())
		e.gauge("parley_windows_oldest_due_seconds", v.oldest[name][class].Seconds(), name, class.String())
	}
}

func (e emitter) budget(source string, b *pollers.BudgetStatus) {
	if b.Rate.Requests > 0 {
		e.gauge("parley_budget_limit_requests_per_second", float64(b.Rate.Requests)/b.Rate.Period.Seconds(), source)
		e.gauge("parley_budget_requests_last_minute", float64(b.LastMinute), source)
	}
	e.gauge("parley_budget_queue_seconds", b.Queue.Seconds(), source)
	held := 0.0
	if !b.HeldUntil.IsZero() {
		held = float64(b.HeldUntil.Unix())
	}
	e.gauge("parley_budget_held_until_timestamp_seconds", held, source)
}

func (e emitter) stream(source string, s *pollers.StreamStatus, now time.Time) {
	name := s.Stream.Name
	counts := s.Count()
	for _, state := range []pollers.State{pollers.StatePlanned, pollers.StateRunning, pollers.StateComplete, pollers.StatePartial, pollers.StateFailed} {
		e.gauge("parley_windows", float64(counts[state]), source, name, string(state))
	}
	if !s.FreshAt.IsZero() {
		e.gauge("parley_source_lag_seconds", age(s.FreshAt, now), source, name)
	}
	e.gauge("parley_source_unsettled_seconds", age(s.UnsettledFrom, now), source, name)
	for _, l := range s.Lateness {
		if l.Reads == 0 {
			continue
		}
		e.gauge("parley_settle_readings", float64(l.Reads), source, name, l.Age.String())
		e.gauge("parley_settle_changed_readings", float64(l.Changed), source, name, l.Age.String())
	}
}
