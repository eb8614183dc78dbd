package dashboard

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/parley-stream/parley/cmd/internal/operator"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
)

const (
	// sampleEvery is how far apart the points of the last hour are.
	sampleEvery = 15 * time.Second
	samples     = int(time.Hour / sampleEvery)
	// freshFor is how long a look serves everybody; of one that took long, costShare times as long, so that any number of pages, and Run, cost a
	// bounded share of the broker's time.
	freshFor  = 2 * time.Second
	costShare = 20
	// lookLimit bounds one look.
	lookLimit = 30 * time.Second
)

// memory is the last look, and points of the last hour.
type memory struct {
	operator *operator.Operator
	stats    func() map[string]sinks.Stats
	every    time.Duration

	looking sync.Mutex // held by who looks; the others wait for what is found
	mu      sync.Mutex
	view    *operator.View
	cost    time.Duration
	points  []point
	sources map[string]uint64 // events of each source since Run began
	counts  bool              // they are being counted
}

// point is how things stood at one moment.
type point struct {
	at      time.Time
	lag     map[string]float64
	sources map[string]uint64
	counts  bool
	waiting map[string]uint64
	sinks   map[string]uint64 // delivered by this process
	last    uint64            // of EVENTS
}

func newMemory(o *operator.Operator, stats func() map[string]sinks.Stats) *memory {
	return &memory{operator: o, stats: stats, every: sampleEvery, sources: make(map[string]uint64)}
}

// look gives how everything stands, at most a moment ago.
func (m *memory) look(ctx context.Context) (*operator.View, error) {
	if v := m.recent(); v != nil {
		return v, nil
	}
	m.looking.Lock()
	defer m.looking.Unlock()
	if v := m.recent(); v != nil {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	began := time.Now()
	v, err := m.operator.Look(ctx, began)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view, m.cost = v, time.Since(began)
	return v, nil
}

func (m *memory) recent() *operator.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view == nil || time.Since(m.view.At) > max(freshFor, costShare*m.cost) {
		return nil
	}
	return m.view
}

// forget has the next look see what an action has changed.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view = nil
}

// run takes a point now and then, and counts events by their source.
func (m *memory) run(ctx context.Context, b *broker.Broker) error {
	var counting sync.WaitGroup
	defer counting.Wait()
	counting.Go(func() { m.count(ctx, b) })
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		if v, err := m.look(ctx); err == nil {
			m.keep(v)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// count follows EVENTS, where this process may.
func (m *memory) count(ctx context.Context, b *broker.Broker) {
	for ctx.Err() == nil && b.ReadsEvents() {
		m.countable(true)
		_ = b.Follow(ctx, broker.Events, []string{events.EventSubjects + ".>"}, func(msg broker.Message) error {
			tokens := strings.SplitN(msg.Subject, ".", 6) // parley.events.<kind>.<vendor>.<source>.<entity>
			if len(tokens) == 6 {
				m.mu.Lock()
				m.sources[tokens[4]]++
				m.mu.Unlock()
			}
			return nil
		})
		m.countable(false)
		select {
		case <-ctx.Done():
		case <-time.After(sampleEvery):
		}
	}
}

func (m *memory) countable(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts = yes
}

func (m *memory) keep(v *operator.View) {
	p := point{
		at: v.At, lag: make(map[string]float64), sources: make(map[string]uint64), waiting: make(map[string]uint64),
		sinks: make(map[string]uint64), last: v.Sequence,
	}
	for _, l := range v.Status.Sources {
		if !l.FreshAt.IsZero() && !l.Snapshot {
			p.lag[l.Source] = max(p.lag[l.Source], l.Lag)
		}
	}
	for _, l := range v.Status.Sinks {
		p.waiting[l.Sink] = l.Waiting + l.InHand
	}
	for name, s := range m.stats() {
		p.sinks[name] = s.Delivered
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p.counts = m.counts
	for name, n := range m.sources {
		p.sources[name] = n
	}
	if n := len(m.points); n > 0 && m.points[n-1].at.Equal(v.At) {
		return
	}
	if m.points = append(m.points, p); len(m.points) > samples {
		m.points = m.points[len(m.points)-samples:]
	}
}

// series are points of the last hour, oldest first; nil where nothing is known. Rates are per minute.
type series struct {
	At      []time.Time           `json:"at"`
	Events  []*float64            `json:"events"`
	Sources map[string]sourceLine `json:"sources"`
	Sinks   map[string]sinkSeries `json:"sinks"`
}

type sourceLine struct {
	Lag    []*float64 `json:"lag"`
	Events []*float64 `json:"events"`
}

type sinkSeries struct {
	Waiting   []*float64 `json:"waiting"`
	Delivered []*float64 `json:"delivered"`
}

func (m *memory) series(v *operator.View) series {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := series{At: []time.Time{}, Events: []*float64{}, Sources: make(map[string]sourceLine), Sinks: make(map[string]sinkSeries)}
	for i := range m.points {
		p, before := &m.points[i], (*point)(nil)
		if i > 0 {
			before = &m.points[i-1]
		}
		s.At = append(s.At, p.at)
		s.Events = append(s.Events, p.rate(before, func(p *point) (uint64, bool) { return p.last, true }))
		for name := range v.Sources {
			line := s.Sources[name]
			line.Lag = append(line.Lag, known(p.lag, name))
			line.Events = append(line.Events, p.rate(before, func(p *point) (uint64, bool) { return p.sources[name], p.counts }))
			s.Sources[name] = line
		}
		for _, l := range v.Status.Sinks {
			line := s.Sinks[l.Sink]
			line.Waiting = append(line.Waiting, known(p.waiting, l.Sink))
			line.Delivered = append(line.Delivered, p.rate(before, func(p *point) (uint64, bool) { n, ok := p.sinks[l.Sink]; return n, ok }))
			s.Sinks[l.Sink] = line
		}
	}
	return s
}

func known[N uint64 | float64](values map[string]N, name string) *float64 {
	n, ok := values[name]
	if !ok {
		return nil
	}
	f := float64(n)
	return &f
}

// rate is how many a minute came since the point before.
func (p *point) rate(before *point, of func(*point) (uint64, bool)) *float64 {
	if before == nil {
		return nil
	}
	now, ok := of(p)
	then, okThen := of(before)
	minutes := p.at.Sub(before.at).Minutes()
	if !ok || !okThen || now < then || minutes <= 0 {
		return nil
	}
	f := float64(now-then) / minutes
	return &f
}
