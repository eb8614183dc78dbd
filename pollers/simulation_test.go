package pollers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
)

// The simulation tells a story of one to four processes that read one account of a vendor over days, with faults on every side, in
// virtual time. What happens depends on the seed alone: each throw of the dice is for something, not the next of a row,
// and everything takes a little time of its own, so that no two things happen at once.

// simSeeds is how many stories are told; SIM_SEEDS=5000 tells more, SIM_SEED=17 tells one with its log.
const simSeeds = 150

// toldAgain are stories that once ended badly, beside the first ones.
var toldAgain = map[string]uint64{
	"the credentials are refused for an hour and a half":   363,
	"the credentials are refused while many wait for work": 738,
}

func TestStoriesThatOnceEndedBadlyEndWell(t *testing.T) {
	for name, seed := range toldAgain {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tell(t, seed, false)
		})
	}
}

func TestWhateverHappensNothingIsLostNoCursorIsAheadAndNoBudgetIsExceeded(t *testing.T) {
	if seed := number(t, "SIM_SEED", 0); seed > 0 {
		runtime.GOMAXPROCS(1) // as the stories of many seeds are told
		t.Log(tell(t, seed, true))
		return
	}
	seeds, parts := number(t, "SIM_SEEDS", simSeeds), uint64(runtime.GOMAXPROCS(0))
	if part := number(t, "SIM_PART", 0); part > 0 {
		tellPart(t, part, seeds, number(t, "SIM_PARTS", 0))
		return
	}
	began := time.Now()
	var mu sync.Mutex
	var sum figures
	var cpu time.Duration
	t.Run("part", func(t *testing.T) {
		for part := range parts {
			t.Run(strconv.FormatUint(part+1, 10), func(t *testing.T) {
				t.Parallel()
				f, took := ask(t, part+1, seeds, parts)
				mu.Lock()
				defer mu.Unlock()
				sum.add(f)
				cpu += took
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d stories in %s, %.0f a minute, %.1f ms of CPU each: %s", seeds, took.Round(time.Millisecond), float64(seeds)/took.Minutes(),
		float64(cpu.Milliseconds())/float64(seeds), sum)
}

// number is a variable of the environment, or what it is without.
func number(t *testing.T, name string, without uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

const figuresLine = "figures: "

// ask has a part of the stories told by a process with one processor: the goroutines of a story take turns, and a second processor is mostly
// busy with waking them.
func ask(t *testing.T, part, seeds, parts uint64) (f figures, cpu time.Duration) {
	t.Helper()
	teller := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhateverHappensNothingIsLostNoCursorIsAheadAndNoBudgetIsExceeded$")
	teller.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", fmt.Sprint("SIM_PART=", part), fmt.Sprint("SIM_PARTS=", parts), fmt.Sprint("SIM_SEEDS=", seeds))
	told, err := teller.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	for line := range strings.Lines(string(told)) {
		if text, is := strings.CutPrefix(line, figuresLine); is {
			err = json.Unmarshal([]byte(text), &f)
		}
	}
	if err != nil || f.Stories == 0 {
		t.Fatalf("no figures, %v:\n%s", err, told)
	}
	return f, teller.ProcessState.UserTime() + teller.ProcessState.SystemTime()
}

// tellPart tells each so manieth story, and what these held.
func tellPart(t *testing.T, part, seeds, parts uint64) {
	var sum figures
	for seed := part; seed <= seeds && !t.Failed(); seed += parts {
		sum.add(tell(t, seed, false))
	}
	text, err := json.Marshal(sum)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(figuresLine + string(text))
}

// figures tell what a story held, so that one in which nothing happened is seen.
type figures struct {
	Stories, Requests, Records, Windows, Splits, Ops    int
	Crashes, Stops, Freezes, Outages, Jumps, Limited429 int
}

func (f *figures) add(o figures) {
	f.Stories += o.Stories
	f.Requests += o.Requests
	f.Records += o.Records
	f.Windows += o.Windows
	f.Splits += o.Splits
	f.Ops += o.Ops
	f.Crashes += o.Crashes
	f.Stops += o.Stops
	f.Freezes += o.Freezes
	f.Outages += o.Outages
	f.Jumps += o.Jumps
	f.Limited429 += o.Limited429
}

func (f figures) String() string {
	type plain figures
	return fmt.Sprintf("%+v", plain(f))
}

// tell tells the story of a seed.
func tell(t *testing.T, seed uint64, verbose bool) (f figures) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, seed)
		s.verbose = verbose
		s.run()
		f = s.figures
		f.Stories = 1
		if s.fault != "" {
			t.Errorf("seed %d (SIM_SEED=%d tells it again): %s", seed, seed, s.fault)
		}
		if verbose {
			t.Logf("\n%s", s.log.String())
		}
	})
	return f
}

// story is one world.
type story struct {
	t       *testing.T
	seed    uint64
	verbose bool
	figures figures

	loc              *time.Location
	streams          []pollers.Stream
	variables        map[string]string
	interval         time.Duration
	settle           []time.Duration
	rate             pollers.Rate
	since, begin     time.Time // what is read from; when the first process starts
	until            time.Time // what is read up to; when the faults end
	lease, tick      time.Duration
	concurrency      int
	processes        int
	calm             time.Time // from then on nothing goes wrong
	freezes, outages bool
	jumps, skews     bool
	refused          [2]time.Time // the vendor refuses the credentials

	vendor                   *vendor
	queue                    *memoryQueue
	raw                      *memoryRaw
	ledger, budgets, sources *memoryStore

	mu     sync.Mutex
	throws map[string]uint64
	fault  string
	log    bytes.Buffer
	stop   context.CancelFunc
	last   int // process
}

const simSource = "sim"

// changes are days on which clocks change, in zones that do it differently.
var changes = []struct {
	zone string
	at   time.Time
}{
	{"Europe/Amsterdam", time.Date(2000, 3, 26, 1, 0, 0, 0, time.UTC)},
	{"Europe/Amsterdam", time.Date(2000, 10, 29, 1, 0, 0, 0, time.UTC)},
	{"America/Los_Angeles", time.Date(2000, 4, 2, 10, 0, 0, 0, time.UTC)},
	{"America/Los_Angeles", time.Date(2000, 10, 29, 9, 0, 0, 0, time.UTC)},
	{"Australia/Lord_Howe", time.Date(2000, 3, 25, 15, 0, 0, 0, time.UTC)},
	{"America/Sao_Paulo", time.Date(2000, 10, 8, 3, 0, 0, 0, time.UTC)},
	{"Asia/Kolkata", time.Date(2000, 6, 1, 0, 0, 0, 0, time.UTC)},
	{"UTC", time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC)},
}

func newStory(t *testing.T, seed uint64) *story {
	rng := rand.New(rand.NewPCG(seed, 0x9a71e7))
	pick := func(from, to time.Duration) time.Duration { return from + time.Duration(rng.Int64N(int64(to-from)+1)) }
	change := changes[rng.IntN(len(changes))]
	loc, err := time.LoadLocation(change.zone)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, seed: seed, loc: loc, throws: map[string]uint64{}}
	s.begin = change.at.Add(-pick(0, 14*time.Hour)).Truncate(time.Second)
	s.since = s.begin.Add(-pick(0, 40*time.Hour)).Truncate(time.Minute)
	s.until = s.begin.Add(pick(8*time.Hour, 26*time.Hour)).Truncate(time.Minute)
	s.calm = s.until
	s.interval = pick(15*time.Minute, 50*time.Minute).Truncate(time.Minute)
	s.settle = []time.Duration{90 * time.Minute, 5 * time.Hour}
	s.lease, s.tick = 5*time.Minute, pick(6*time.Minute, 12*time.Minute)
	s.rate = []pollers.Rate{{Requests: 2, Period: time.Second}, {Requests: 30, Period: time.Minute}, {Requests: 12, Period: time.Minute}, {Requests: 600, Period: time.Hour}}[rng.IntN(4)]
	s.concurrency, s.processes = 1+rng.IntN(3), 1+rng.IntN(4)
	s.freezes, s.outages = rng.IntN(3) > 0, rng.IntN(3) > 0
	s.jumps, s.skews = rng.IntN(4) == 0, rng.IntN(4) == 0
	if rng.IntN(8) == 0 {
		from := s.begin.Add(pick(0, s.until.Sub(s.begin)))
		s.refused = [2]time.Time{from, from.Add(pick(time.Minute, 2*time.Hour))}
	}
	all := []pollers.Stream{
		{Name: "minutes", Grain: time.Minute, MaxSpan: 6 * time.Hour, LiveSpan: 2 * time.Hour},
		{Name: "days", Grain: pollers.Day, MaxSpan: pollers.Day},
		{Name: "seconds", Grain: time.Second, MaxSpan: 12 * time.Hour, LiveSpan: 3 * time.Hour},
		{Name: "agents", Snapshot: true},
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	s.streams = all[:1+rng.IntN(len(all))]
	s.variables = map[string]string{
		"VENDOR": "acme", "API_KEY": "simulated-Key-1", "SINCE": s.since.Format(time.RFC3339), "UNTIL": s.until.Format(time.RFC3339),
		"INTERVAL": s.interval.String(), "SETTLE": "90m,5h", "SNAPSHOT_INTERVAL": "3h", "CONCURRENCY": fmt.Sprint(s.concurrency), "RATE": s.rate.String(),
	}
	s.vendor = newVendor(s, rng)
	s.queue, s.raw = newMemoryQueue(s), &memoryRaw{have: map[string]int{}, seen: map[string]int{}, story: s}
	s.ledger, s.budgets, s.sources = newMemoryStore(s, "ledger"), newMemoryStore(s, "budgets"), newMemoryStore(s, "sources")
	return s
}

// failed notes the first thing that must not be, and ends the story.
func (s *story) failed(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == "" {
		s.fault = time.Now().UTC().Format("Jan 2 15:04:05.000 ") + fmt.Sprintf(format, args...)
		s.stop()
	}
}

// note writes into the log of a story that is told again.
func (s *story) note(format string, args ...any) {
	if !s.verbose {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.log, "%s "+format+"\n", append([]any{time.Now().UTC().Format("02 15:04:05.000")}, args...)...)
}

// throw gives dice for the nth time that something happens.
func (s *story) throw(what string) dice {
	s.mu.Lock()
	n := s.throws[what]
	s.throws[what] = n + 1
	s.figures.Ops++
	s.mu.Unlock()
	h := s.seed*0x9e3779b97f4a7c15 + n*0xd1342543de82ef95 + 14695981039346656037
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 1099511628211
	}
	return dice{h}
}

type dice struct{ state uint64 }

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (d *dice) n(n int) int                        { return int(d.next() % uint64(n)) }
func (d *dice) permille(p int) bool                { return d.n(1000) < p }
func (d *dice) upTo(t time.Duration) time.Duration { return time.Duration(d.next() % uint64(t)) }

// run tells the story to its end, and looks at what is there then.
func (s *story) run() {
	if d := time.Until(s.begin); d > 0 {
		time.Sleep(d)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	s.stop = stop
	var wg sync.WaitGroup
	for slot := range s.processes {
		wg.Go(func() { s.live(ctx, slot) })
	}
	end := pollers.Ceil(s.until, pollers.Day, s.loc)
	if !s.has("days") {
		end = s.until
	}
	end = end.Add(s.settle[len(s.settle)-1] + 6*time.Hour)
	pause(ctx, time.Until(end))
	stop()
	wg.Wait()
	if s.fault == "" {
		s.checkEnd()
	}
}

func (s *story) has(stream string) bool {
	for _, is := range s.streams {
		if is.Name == stream {
			return true
		}
	}
	return false
}

// live is the life of one machine, on which one process follows the other.
func (s *story) live(ctx context.Context, slot int) {
	for ctx.Err() == nil {
		d := s.throw(fmt.Sprint("start ", slot))
		if time.Now().Before(s.calm) {
			pause(ctx, d.upTo(time.Hour)+time.Duration(slot)*time.Second)
		}
		p := s.start(ctx, slot)
		for ctx.Err() == nil && !p.over() {
			d := s.throw(fmt.Sprint("life ", slot))
			life := 10*time.Minute + d.upTo(3*time.Hour)
			if left := time.Until(s.calm); left < life {
				pause(ctx, left)
				if ctx.Err() == nil {
					p.heal()
				}
				<-ctx.Done()
				break
			}
			pause(ctx, life)
			if ctx.Err() == nil {
				s.strike(p, &d)
			}
		}
		p.stop()
		<-p.ended
	}
}

func (s *story) count(figure *int) {
	s.mu.Lock()
	*figure++
	s.mu.Unlock()
}

// strike lets something happen to a process.
func (s *story) strike(p *process, d *dice) {
	switch what := d.n(10); {
	case what < 3:
		s.count(&s.figures.Crashes)
		p.trap(1+d.n(24), func() {
			s.note("process %d crashes", p.id)
			p.crash()
		})
		<-p.ended
	case what < 5:
		s.count(&s.figures.Stops)
		s.note("process %d is stopped", p.id)
		p.stop()
		<-p.ended
	case what < 8 && s.freezes:
		s.count(&s.figures.Freezes)
		span := s.lease/2 + d.upTo(4*s.lease)
		p.trap(1+d.n(24), func() {
			s.note("process %d freezes for %s", p.id, span)
			p.freeze(span)
		})
	case what < 9 && s.outages:
		s.count(&s.figures.Outages)
		span := 10*time.Second + d.upTo(10*time.Minute)
		s.note("process %d loses its store for %s", p.id, span)
		p.lose(span)
	case s.jumps:
		s.count(&s.figures.Jumps)
		by := d.upTo(time.Hour) - 30*time.Minute
		s.note("the clock of process %d is %s off", p.id, by)
		p.jump(by)
	}
}

// process is one run of a Runner.
type process struct {
	story  *story
	id     int
	source *pollers.Source
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	dead    bool
	frozen  time.Time     // until then
	lost    time.Time     // its store, until then
	steps   int           // until the trap springs
	spring  func()        // nil: there is none
	offset  time.Duration // of its clock
	ahead   time.Duration // the most that its clock ever was
	looked  map[string]pollers.Entry
	queued  map[string]bool
	offered pollers.Class // the last one of this look
}

func (s *story) start(ctx context.Context, slot int) *process {
	s.mu.Lock()
	s.last++
	id := s.last
	s.mu.Unlock()
	p := &process{story: s, id: id, ended: make(chan struct{}), looked: map[string]pollers.Entry{}}
	if s.skews {
		d := s.throw(fmt.Sprint("skew ", slot))
		p.jump(d.upTo(20*time.Minute) - 10*time.Minute)
	}
	s.note("process %d starts", id)
	vars := settings.New("PARLEY_SOURCE_SIM_", s.variables)
	p.source = pollers.NewSource(simSource, vars, func(_ pollers.Settings, vars *settings.Vars, env pollers.Env) pollers.Poller {
		var own struct {
			Key settings.Secret `env:"API_KEY, required"`
		}
		vars.Decode(&own)
		return &simRoom{story: s, client: env.Connect("acme/1", pollers.Rate{}, vars.Secrets()), env: env}
	}, slog.New(slog.DiscardHandler))
	if faults := vars.Faults(); faults != nil {
		s.t.Error(faults)
	}
	p.source.Simulate(network{p}, p.now, p.jitter)
	ctx, p.cancel = context.WithCancel(ctx)
	backend := pollers.NewBackend(queueOf{p}, rawOf{p}, newMirrorOf(p), rawOf{p}, storeOf{p, s.ledger}, storeOf{p, s.budgets}, storeOf{p, s.sources})
	options := pollers.Options{Now: p.now, Logger: slog.New(slog.DiscardHandler)}
	if s.verbose {
		options.Logger = slog.New(slog.NewTextHandler(noteWriter{p}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	}
	go func() {
		defer close(p.ended)
		for ctx.Err() == nil {
			r, err := pollers.NewRunnerOn(ctx, backend, []*pollers.Source{p.source}, options, pollers.Pace{Tick: s.tick, Lease: s.lease, Jitter: p.jitter})
			if err == nil {
				_ = r.Run(ctx)
				return
			}
			pause(ctx, time.Minute)
		}
	}()
	return p
}

type noteWriter struct{ p *process }

func (w noteWriter) Write(b []byte) (int, error) {
	w.p.story.note("process %d: %s", w.p.id, bytes.TrimSpace(b))
	return len(b), nil
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (p *process) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Add(p.offset)
}

func (p *process) jitter(n time.Duration) time.Duration {
	d := p.story.throw("jitter " + strconv.Itoa(p.id))
	return d.upTo(n)
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// crash ends a process between any two instructions: nothing that it still says is heard.
func (p *process) crash() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.cancel()
}

// trap lets something happen in the middle of a process's work: at its nth step from now on.
func (p *process) trap(steps int, spring func()) {
	p.mu.Lock()
	p.steps, p.spring = steps, spring
	p.mu.Unlock()
}

// tread springs the trap when its step has come.
func (p *process) tread() {
	p.mu.Lock()
	p.steps--
	spring := p.spring
	if p.steps > 0 {
		spring = nil
	} else {
		p.spring = nil
	}
	p.mu.Unlock()
	if spring != nil {
		spring()
	}
}

func (p *process) stop() { p.cancel() }

func (p *process) freeze(d time.Duration) {
	p.mu.Lock()
	p.frozen = time.Now().Add(d)
	p.mu.Unlock()
}

func (p *process) lose(d time.Duration) {
	p.mu.Lock()
	p.lost = time.Now().Add(d)
	p.mu.Unlock()
}

func (p *process) jump(to time.Duration) {
	p.mu.Lock()
	p.offset, p.ahead = to, max(p.ahead, to)
	p.mu.Unlock()
}

func (p *process) heal() {
	p.mu.Lock()
	p.offset, p.lost, p.spring = 0, time.Time{}, nil
	p.mu.Unlock()
}

var errDead = fmt.Errorf("the process is dead")

// spend lets a moment of a process pass, and all the time for which it is frozen.
func (p *process) spend(d time.Duration) error {
	time.Sleep(d)
	for {
		p.mu.Lock()
		dead, frozen := p.dead, time.Until(p.frozen)
		p.mu.Unlock()
		if dead {
			return errDead
		}
		if frozen <= 0 {
			return nil
		}
		time.Sleep(min(frozen, 30*time.Second))
	}
}

// step is the way of a request to a server: time passes, and the process may have died or lost the server.
func (p *process) step(ctx context.Context, what string) (dice, error) {
	d := p.story.throw(strconv.Itoa(p.id) + " " + what)
	p.tread()
	if ctx.Err() != nil {
		return d, ctx.Err()
	}
	if err := p.spend(100*time.Microsecond + d.upTo(time.Millisecond)); err != nil {
		return d, err
	}
	return d, ctx.Err()
}

// flaky tells whether the server is lost to a process at this moment.
func (p *process) flaky(d *dice) bool {
	if time.Now().After(p.story.calm) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.lost) || p.story.outages && d.permille(2)
}

// checkEnd looks at the end of a story whether everything is there, and whether the way there was a sane one.
func (s *story) checkEnd() {
	s.figures.Records = len(s.vendor.records)
	for _, r := range s.vendor.records {
		if want := len(r.edits); s.raw.version(r) < want {
			s.failed("record %s of %s has version %d, and RAW has %d", r.id, r.at.Format(time.RFC3339), want, s.raw.version(r))
			return
		}
	}
	windows := 0
	for _, e := range s.ledger.windows() {
		windows++
		switch e.State {
		case pollers.StateSplit:
			s.figures.Splits++
		case pollers.StateComplete:
		default:
			s.failed("window %s %s is %s at the end: %s", e.Stream, pollers.WindowID(e.Window), e.State, e.Error)
		}
	}
	s.figures.Windows = windows
	span := time.Since(s.begin)
	most := 4 * (windows*(2+len(s.settle)) + len(s.streams)*int(span/s.interval) + 40)
	if s.figures.Requests > most {
		s.failed("%d requests for %d windows in %s; %d are too many", s.figures.Requests, windows, span, most)
	}
	if looks := s.last * int(span/s.tick); s.figures.Ops > 60*s.figures.Requests+30*looks {
		s.failed("%d operations for %d requests and %d looks", s.figures.Ops, s.figures.Requests, looks)
	}
}
