package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// plainInterval is the time between two lines of progress where there is no terminal.
const plainInterval = 5 * time.Second

// Progress shows how far several things are: as bars on a terminal, else as a plain line every few seconds. It is a writer of
// whole lines, which appear above the bars: log through it while it is open. It is safe for concurrent use.
type Progress struct {
	w    io.Writer
	bars *mpb.Progress // nil: no terminal

	mu     sync.Mutex
	closed bool
	tasks  []*task // in the order of their first Set
	last   time.Time
	dirty  bool // something moved after the last plain line
}

type task struct {
	name        string
	done, total int64
	shown       bool // Set was called
	bar         *mpb.Bar
	// began and before are when it was first shown, and how much was done then: that was another's work, and tells nothing of the pace.
	began  time.Time
	before int64
	// ended is when all was done: what comes after tells nothing of the pace either; zero while there is more.
	ended time.Time
	told  atomic.Pointer[string] // the last pace, for the bar, which is drawn at any time
}

// pace says how fast a task gets on, and how long the rest takes at that pace; "" while nothing has moved.
func (t *task) pace(now time.Time) string {
	if !t.ended.IsZero() {
		now = t.ended
	}
	moved, took := float64(t.done-t.before), now.Sub(t.began).Seconds()
	if moved <= 0 || took <= 0 {
		return ""
	}
	text := fmt.Sprintf("%.1f/s", moved/took)
	if moved < took {
		text = fmt.Sprintf("%.1f/min", 60*moved/took)
	}
	if left := float64(t.total - t.done); left > 0 {
		text += fmt.Sprintf(", %s left", time.Duration(left/moved*took*float64(time.Second)).Round(time.Second))
	}
	return text
}

// NewProgress shows on w. Close it.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{w: w, last: time.Now()}
	if wide(w) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(64))
	}
	return p
}

// Set says that done of total parts of a named thing are done. The total may grow; 0 is unknown.
func (p *Progress) Set(name string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	t := p.task(name, done)
	p.dirty = p.dirty || t.done != done || t.total != total || !t.shown
	t.set(done, total)
	if t.bar != nil {
		pace := t.pace(time.Now())
		t.told.Store(&pace)
		t.bar.SetTotal(total, false)
		t.bar.SetCurrent(done)
		return
	}
	if p.dirty && time.Since(p.last) >= plainInterval {
		p.line()
	}
}

func (t *task) set(done, total int64) {
	t.done, t.total, t.shown = done, total, true
	switch finished := total > 0 && done >= total; {
	case !finished:
		t.ended = time.Time{}
	case t.ended.IsZero():
		t.ended = time.Now()
	}
}

// wide tells whether bars can be seen: on a terminal that says how wide it is. One without columns, as some containers give, would hide them.
func wide(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok || !Terminal(w) {
		return false
	}
	columns, _, err := cwriter.GetSize(int(f.Fd()))
	return err == nil && columns > 0
}

func (p *Progress) task(name string, done int64) *task {
	for _, t := range p.tasks {
		if t.name == name {
			return t
		}
	}
	t := &task{name: name, began: time.Now(), before: done}
	t.told.Store(new(string))
	if p.bars != nil {
		// Made without a total, a bar is not complete before Close: the total may grow.
		t.bar = p.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name(Printable(name), decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.Any(func(decor.Statistics) string { return " " + *t.told.Load() }, decor.WCSyncSpaceR)),
		)
	}
	p.tasks = append(p.tasks, t)
	return t
}

// line writes where everything is. Nobody can be told of a failing terminal on that terminal.
func (p *Progress) line() {
	parts := make([]string, len(p.tasks))
	for i, t := range p.tasks {
		parts[i] = fmt.Sprintf("%s %d", Printable(t.name), t.done)
		if t.total > 0 {
			parts[i] += fmt.Sprintf("/%d (%d%%)", t.total, 100*min(t.done, t.total)/t.total)
		}
		if pace := t.pace(time.Now()); pace != "" {
			parts[i] += " at " + pace
		}
	}
	_, _ = fmt.Fprintln(p.w, "progress: "+strings.Join(parts, ", "))
	p.last, p.dirty = time.Now(), false
}

// Write writes whole lines, above the bars.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars != nil && !p.closed {
		return p.bars.Write(b)
	}
	return p.w.Write(b)
}

// Fd is that of the writer below, so that Terminal sees through.
func (p *Progress) Fd() uintptr {
	if f, ok := p.w.(interface{ Fd() uintptr }); ok {
		return f.Fd()
	}
	return noFile
}

// Close leaves the last state on the screen. After it Set does nothing, and Write writes on.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	if p.bars == nil {
		if p.dirty {
			p.line()
		}
		return
	}
	for _, t := range p.tasks {
		if t.total > 0 && t.done >= t.total {
			t.bar.SetTotal(t.total, true)
		} else {
			t.bar.Abort(false)
		}
	}
	p.bars.Wait()
}
