//go:build browser

package dashboard_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

var screenshots = flag.String("screenshots", "", "a directory to leave pictures of the pages in")

// page is a tab of a headless Chromium.
type page struct {
	ctx    context.Context
	origin string
	faults *buffer // what the browser's console complained about
}

func openPage(t *testing.T, origin string) *page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancelPage := chromedp.NewContext(ctx)
	p := &page{ctx: ctx, origin: origin, faults: &buffer{}}
	messages := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			// A refusal that a test provokes is an entry of the network log.
			if (m.Type == "error" || m.IsException()) && m.Source != "network" {
				fmt.Fprintln(p.faults, m.String())
			}
		}
	})
	t.Cleanup(func() {
		cancelPage()
		reading.Wait()
		if text := p.faults.String(); text != "" {
			t.Errorf("the browser complained:\n%s", text)
		}
	})
	p.size(t, 1280, 900)
	return p
}

func (p *page) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%v\n%s", err, p.text(t))
	}
}

func (p *page) size(t *testing.T, width, height int64) {
	t.Helper()
	p.do(t, chromedp.EmulateViewport(width, height))
}

// scheme sets what the person prefers.
func (p *page) scheme(t *testing.T, name string) {
	t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	}); err != nil {
		t.Fatal(err)
	}
}

// open shows a view and waits for its heading.
func (p *page) open(t *testing.T, path, heading string) {
	t.Helper()
	p.do(t, chromedp.Navigate("about:blank"), chromedp.Navigate(p.origin+path))
	p.sees(t, heading)
}

func eval[T any](t *testing.T, p *page, script string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

func (p *page) text(t *testing.T) string {
	t.Helper()
	return eval[string](t, p, `document.body.innerText`)
}

// holds waits until a condition holds in the page.
func (p *page) holds(t *testing.T, condition string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(90 * time.Second); !eval[bool](t, p, "!!("+condition+")"); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it never came to this: %s\n%s", condition, p.text(t))
		}
	}
}

func (p *page) sees(t *testing.T, text string) {
	t.Helper()
	p.holds(t, fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// click presses what a selector finds, as a mouse does.
func (p *page) click(t *testing.T, selector string) {
	t.Helper()
	p.clickOn(t, fmt.Sprintf("document.querySelector(%q)", selector))
}

// press clicks the button with this text.
func (p *page) press(t *testing.T, text string) {
	t.Helper()
	p.clickOn(t, button(text))
}

// button is the script that finds the button with this text; of an open dialog first.
func button(text string) string {
	return fmt.Sprintf("[...document.querySelectorAll('dialog[open] button, button')].find((b) => b.textContent.trim() === %q && !b.disabled)", text)
}

func (p *page) clickOn(t *testing.T, find string) {
	t.Helper()
	x, y := p.at(t, find)
	p.do(t, chromedp.MouseClickXY(x, y))
}

// at scrolls to what a script finds, and tells its middle, both at once: a view that is drawn anew replaces what it shows.
func (p *page) at(t *testing.T, find string) (x, y float64) {
	t.Helper()
	p.holds(t, find)
	middle := eval[[2]float64](t, p, fmt.Sprintf(`(() => {
		const e = %s;
		e.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
		const r = e.getBoundingClientRect();
		return [r.x + r.width / 2, r.y + r.height / 2];
	})()`, find))
	return middle[0], middle[1]
}

func (p *page) picture(t *testing.T, name string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// simulatedWorld runs every role on invented vendors, and the dashboard.
func simulatedWorld(t *testing.T) *bench {
	t.Helper()
	sims, err := app.Simulate(app.Simulation{Addr: "127.0.0.1:0", Seed: 3, Days: 20, Chats: 60, LivePerHour: 3600, Malformed: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	running.Go(func() { _ = sims.Serve(ctx) })
	dir := t.TempDir()
	environ := append(sims.Environ(), "PARLEY_HTTP_TOKEN="+token, "PARLEY_DATA_DIR="+filepath.Join(dir, "data"), "PARLEY_LOG_LEVEL=error",
		"PARLEY_SINKS=files,archive", "PARLEY_SINK_FILES_URL=file://"+filepath.Join(dir, "files")+"?rotate_age=2s", "PARLEY_SINK_ARCHIVE_URL=file://"+filepath.Join(dir, "archive")+"?rotate_age=2s")
	for _, e := range sims.Environ() {
		if name, ok := strings.CutSuffix(e[:strings.IndexByte(e, '=')], "_VENDOR"); ok {
			environ = append(environ, name+"_SINCE="+time.Now().AddDate(0, 0, -21).UTC().Format(time.DateOnly), name+"_INTERVAL=2s", name+"_WINDOW=48h", name+"_RATE=600/m")
		}
	}
	b := &bench{log: &buffer{}}
	if b.app, err = app.New(environ, &buffer{}, b.log); err != nil {
		t.Fatal(err)
	}
	if b.broker, err = b.app.Broker(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.broker.Close)
	process, err := b.app.Process(ctx, b.broker, app.All(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	b.dash = b.app.Dashboard(b.broker, process)
	b.dash.SampleEvery(time.Second)
	b.serve(t)
	var playing sync.WaitGroup
	roles, stop := context.WithCancel(ctx)
	t.Cleanup(func() {
		stop()
		playing.Wait()
	})
	playing.Go(func() {
		if err := process.Run(roles); err != nil {
			t.Errorf("the roles: %v", err)
		}
	})
	b.run(t)
	return b
}

// signIn gives the token as a person does.
func (p *page) signIn(t *testing.T) {
	t.Helper()
	p.press(t, "Sign in")
	p.holds(t, "document.activeElement.id === 'token'")
	p.do(t, chromedp.SendKeys(chromedp.CSS("#token"), token+"\r"))
	p.holds(t, "document.querySelector('#banner').hidden && !document.querySelector('dialog')")
}

// filled waits until the simulated vendors have been read a little.
func filled(t *testing.T, b *bench) {
	t.Helper()
	for _, path := range []string{"/api/conversations?vendor=livechat&source=livechat", "/api/dead"} {
		await(t, path+" holds some", func() bool {
			var list struct{ Conversations, Dead []any }
			b.get(t, path, &list)
			return len(list.Conversations)+len(list.Dead) > 3
		})
	}
}

func TestAPersonClicksThroughEveryView(t *testing.T) {
	b := simulatedWorld(t)
	filled(t, b)
	p := openPage(t, b.server.URL)

	// Who is not signed in looks, and is asked for the token by whatever acts.
	p.open(t, "/", "Not processed yet")
	p.sees(t, "Sign in to act")
	p.press(t, "Pause")
	p.holds(t, "document.activeElement.id === 'token'")
	p.do(t, chromedp.SendKeys(chromedp.CSS("#token"), "not the token at all\r"))
	p.sees(t, "this is not the token")
	p.do(t, chromedp.SendKeys(chromedp.CSS("#token"), token+"\r"))
	p.sees(t, "is paused; its backlog waits")
	p.sees(t, "`parley resume"[1:])
	p.press(t, "Resume")
	p.sees(t, "goes on")
	p.holds(t, "![...document.querySelectorAll('button')].some((b) => b.textContent === 'Resume')")
	p.click(t, "details[data-key='streams liveagent'] summary")
	p.sees(t, "knowledgebase/articles")

	// The calendar: a cell, its windows, read again; and by the keyboard.
	p.click(t, ".tabs a[href='#/coverage']")
	p.sees(t, "Coverage of liveleader")
	p.click(t, ".pills a[href='#/coverage/livechat']")
	p.sees(t, "Coverage of livechat")
	p.click(t, ".day[data-state='complete']")
	p.sees(t, "Read the day again")
	p.press(t, "Read the day again")
	p.sees(t, "will be read again")
	p.holds(t, "!document.querySelector('dialog')")
	p.holds(t, "document.querySelector('.day[tabindex=\"0\"]')")
	eval[bool](t, p, "(() => { document.querySelector('.day[tabindex=\"0\"]').focus(); return true; })()")
	was := eval[string](t, p, "document.activeElement.getAttribute('aria-label')")
	p.do(t, chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.ArrowLeft))
	if is := eval[string](t, p, "document.activeElement.getAttribute('aria-label')"); is == was || !eval[bool](t, p, "document.activeElement.classList.contains('day')") {
		t.Errorf("arrow keys lead from %q to %q", was, is)
	}
	p.do(t, chromedp.KeyEvent(kb.Enter))
	p.holds(t, "document.querySelector('dialog[open]')")
	p.do(t, chromedp.KeyEvent(kb.Escape))
	p.holds(t, "!document.querySelector('dialog')")
	p.click(t, ".pills a[href='#/coverage/liveagent']")
	p.sees(t, "A snapshot")
	p.press(t, "Read again")
	p.holds(t, "/will be read again|is planned anyway/.test(document.querySelector('.toast.shown')?.textContent)")

	// Dead letters: filter, look, replay one and drop one.
	p.click(t, ".tabs a[href='#/dead']")
	p.holds(t, "document.querySelectorAll('tbody tr').length > 2")
	p.do(t, chromedp.SendKeys(chromedp.CSS("input[name=vendor]"), "liveleader\r"))
	p.holds(t, "document.querySelectorAll('tbody tr').length && [...document.querySelectorAll('td[data-label=Vendor]')].every((c) => c.textContent === 'liveleader')")
	p.click(t, "tbody tr th a")
	p.sees(t, "What failed")
	p.holds(t, "document.querySelector('figure pre').textContent.includes('<')")
	p.press(t, "Replay")
	p.sees(t, "1 dead letter replayed.")
	p.holds(t, "document.title.startsWith('Dead letters')")
	p.holds(t, "document.querySelectorAll('tbody tr').length")
	p.click(t, "tbody tr input[type=checkbox]")
	p.sees(t, "1 chosen")
	p.press(t, "Drop")
	p.sees(t, "gone for good")
	p.press(t, "Cancel")
	p.holds(t, "!document.querySelector('dialog')")
	p.press(t, "Drop")
	p.sees(t, "gone for good")
	p.click(t, "dialog button.danger")
	p.sees(t, "1 dead letter dropped.")

	// The live tail: a filter, a pause, an event, its chat.
	p.click(t, ".tabs a[href='#/live']")
	p.holds(t, "document.querySelectorAll('.tail li').length > 3")
	p.do(t, chromedp.SendKeys(chromedp.CSS("input[type=search]"), "no..pattern\r"))
	p.holds(t, "document.querySelector('[role=alert]').textContent.includes('filter')")
	p.do(t, chromedp.SendKeys(chromedp.CSS("input[type=search]"), strings.Repeat("\b", 11)+"conversation.livechat.*\r"))
	p.press(t, "Clear")
	p.holds(t, "document.querySelectorAll('.tail li').length > 0 && [...document.querySelectorAll('.tail strong')].every((k) => k.textContent === 'conversation')")
	p.press(t, "Pause")
	p.sees(t, "held back")
	shown := eval[int](t, p, "document.querySelectorAll('.tail li').length")
	p.click(t, ".tail .line")
	p.holds(t, "document.querySelector('.whole pre').textContent.includes('specversion')")
	if now := eval[int](t, p, "document.querySelectorAll('.tail li').length"); now != shown {
		t.Errorf("a paused tail grows from %d to %d lines", shown, now)
	}
	p.press(t, "Go on")
	p.holds(t, fmt.Sprintf("document.querySelectorAll('.tail li').length > %d", shown))
	p.click(t, ".whole a")
	p.sees(t, "The whole event")
	p.holds(t, "document.querySelectorAll('.message').length > 0")

	// Chats: one source's, one by its id, its revisions.
	p.click(t, ".tabs a[href='#/chats']")
	p.holds(t, "document.querySelectorAll('.chats li').length > 3")
	b.publishAs(t, "livechat", "with revisions", 2, 1)
	b.publishAs(t, "livechat", "with revisions", 4, 2)
	eval[bool](t, p, "(() => { document.querySelectorAll('select')[1].value = 'livechat'; return true; })()")
	p.do(t, chromedp.SendKeys(chromedp.CSS("input[name=id]"), "with revisions\r"))
	p.sees(t, "Changed since r1")
	p.sees(t, "2 → 4")
	p.holds(t, "document.querySelectorAll('.message').length === 4 && document.querySelectorAll('.bubble .chip').length === 2")
	p.click(t, "[data-key=r1]")
	p.holds(t, "document.querySelectorAll('.message').length === 2 && document.activeElement.dataset.key === 'r1'")

	// Theme, and out.
	p.click(t, "#theme")
	p.holds(t, "document.documentElement.dataset.theme === 'light'")
	p.click(t, "#theme")
	p.holds(t, "getComputedStyle(document.body).colorScheme === 'dark'")
	p.press(t, "Sign out")
	p.sees(t, "Sign in to act")
	p.sees(t, "…")
	if text := p.text(t); strings.Contains(text, personName) || strings.Contains(text, personText) {
		t.Errorf("who has signed out sees a person:\n%s", text)
	}
}

// A click is lost when its button is replaced between the press and the release: a view waits with what it has read.
func TestAClickSurvivesThatItsViewIsReadAnew(t *testing.T) {
	b := signed(t)
	p := openPage(t, b.server.URL)
	p.open(t, "/", "Not processed yet")
	p.signIn(t)
	x, y := p.at(t, button("Pause"))
	reads := "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/api/overview') && e.responseEnd).length"
	before := eval[int](t, p, reads)
	p.do(t, chromedp.MouseEvent(chromedp.MousePressed, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	p.holds(t, fmt.Sprintf("%s > %d", reads, before))
	p.do(t, chromedp.MouseEvent(chromedp.MouseReleased, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	p.sees(t, "is paused; its backlog waits")
	p.holds(t, button("Resume")) // what waited is drawn
}

func TestWithoutATokenEveryActionIsOffAndTheFactsAreThere(t *testing.T) {
	b := newBench(t)
	b.publish(t, conversation("c1", 2), 1)
	b.bury(t, "d1", `{"visitor":"`+personName+`"}`, "no id")
	p := openPage(t, b.server.URL)
	for path, text := range map[string]string{
		"/": "Not processed yet", "/#/coverage": "Coverage of eu", "/#/dead": "d1", "/#/dead/1": "sign in to see", "/#/chats/livechat/eu/c1": "The whole event",
	} {
		p.open(t, path, text)
		p.sees(t, "Read-only")
		acts := eval[[]string](t, p, "[...document.querySelectorAll('main button:not(:disabled)')].map((b) => b.textContent).filter((l) => /pause|resume|replay|drop|again/i.test(l))")
		if len(acts) > 0 {
			t.Errorf("%s offers %q", path, acts)
		}
		if html := eval[string](t, p, "document.body.innerHTML"); strings.Contains(html, personName) || strings.Contains(html, personText) {
			t.Errorf("%s shows a person", path)
		}
	}
}

// canary is markup that would run, in every way that a text becomes some.
const canary = `"'><img src=x onerror="window.pwned=1"><svg onload="window.pwned=1"><script>window.pwned=1</script><a href="javascript:window.pwned=1">x</a>{{7*7}}${window.pwned=1}`

func TestHostileTextInEveryFieldIsOnlyShown(t *testing.T) {
	b := signed(t)
	c := conversation(canary, 2)
	c.Subject, c.Channel, c.Status, c.TranscriptURL = canary, canary, canary, "javascript:window.pwned=1"
	c.Visitor = &events.Visitor{ID: canary, Name: canary, Email: canary, City: canary, Country: canary}
	c.Agents[0].Name, c.Tags, c.Department = canary, []string{canary}, &events.Named{ID: canary, Name: canary}
	c.Rating, c.Page = &events.Score{Value: canary, Comment: canary}, &events.Page{URL: canary}
	c.Messages[0].Text, c.Messages[0].Type, c.Messages[1].Author.Name, c.Messages[1].Author.Type = canary, canary, canary, canary
	c.Attributes = map[string]any{canary: canary}
	b.publish(t, c, 1)
	c.Subject += "2"
	b.publish(t, c, 2)
	b.bury(t, canary, canary, canary)
	b.bury(t, "json", `{"x":"`+strings.ReplaceAll(canary, `"`, `\"`)+`"}`, "`"+canary+"`")
	day := time.Now().Add(-48 * time.Hour).UTC().Truncate(24 * time.Hour)
	b.read(t, pollers.Entry{Window: pollers.Window{Stream: "chats", From: day, To: day.Add(24 * time.Hour)}, State: pollers.StateFailed, Attempts: 1, Error: canary, RetryAt: time.Now().Add(time.Hour)})
	p := openPage(t, b.server.URL)
	p.open(t, "/", "Not processed yet")
	p.signIn(t)
	seen := func(where string) {
		t.Helper()
		p.sees(t, "{{7*7}}")
		if eval[bool](t, p, "'pwned' in window || document.querySelector('img[src=x], svg[onload], main script, a[href^=javascript]') !== null") {
			t.Errorf("%s: hostile text became markup", where)
		}
	}
	for _, path := range []string{"/#/overview", "/#/dead", "/#/dead/1", "/#/dead/2", "/#/chats", "/#/chats/livechat/eu/" + hexQuery(canary)} {
		p.open(t, path, "{{7*7}}")
		seen(path)
	}
	p.open(t, "/#/coverage/eu", "Coverage of eu")
	p.click(t, ".day[data-state='failed']")
	seen("the windows of a day")
	p.open(t, "/#/live", "Live")
	p.sees(t, "live,")
	await(t, "the tail shows it", func() bool {
		b.publish(t, c, 3)
		return eval[bool](t, p, "document.querySelectorAll('.tail li').length > 0")
	})
	p.click(t, ".tail .line")
	seen("the tail")
}

func TestThePagesAreAccessible(t *testing.T) {
	b := simulatedWorld(t)
	filled(t, b)
	p := openPage(t, b.server.URL)
	p.open(t, "/", "Not processed yet")
	p.signIn(t)
	for _, theme := range []string{"light", "dark"} {
		p.scheme(t, theme)
		for _, width := range []int64{1280, 360} {
			p.size(t, width, 800)
			for _, path := range []string{"/#/overview", "/#/coverage/livechat", "/#/dead", "/#/live", "/#/chats"} {
				p.open(t, path, "Parley")
				p.holds(t, "document.querySelectorAll('.panel').length > 1 || document.querySelector('.day')")
				for _, fault := range eval[[]string](t, p, audit) {
					t.Errorf("%s, %s, %d wide: %s", path, theme, width, fault)
				}
			}
		}
	}
}

// audit finds what a screen reader, a keyboard, weak eyes or a narrow screen would stumble over.
const audit = `(() => {
  const faults = [];
  const visible = (e) => e.getClientRects().length > 0;
  for (const e of document.querySelectorAll('button, a, input, select, summary, meter, svg[role=img]')) {
    if (!visible(e)) continue;
    const name = (e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent || '').trim();
    if (!name) faults.push('no name: ' + e.outerHTML.slice(0, 120));
  }
  for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) faults.push('its own order: ' + e.outerHTML.slice(0, 120));
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  if (new Set(ids).size !== ids.length) faults.push('an id twice');
  if (document.documentElement.scrollWidth > innerWidth + 1) faults.push('wider than the screen: ' + document.documentElement.scrollWidth);
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (c) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3])).concat(1);
  const ground = (e) => { const own = rgba(getComputedStyle(e).backgroundColor); return own[3] === 1 ? own : over(own, e.parentElement ? ground(e.parentElement) : [255, 255, 255, 1]); };
  const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const seen = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !visible(e) || e.closest('.toast, .skip, noscript, :disabled, option') || getComputedStyle(e).clipPath !== 'none') continue;
    const back = ground(e);
    const ink = rgba(getComputedStyle(e).color);
    ink[3] *= Number(getComputedStyle(e).opacity);
    const [a, b] = [light(over(ink, back)), light(back)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = e.className + e.tagName;
    if (contrast < 4.5 && !seen.has(key)) { seen.add(key); faults.push('contrast ' + contrast.toFixed(2) + ': ' + e.outerHTML.slice(0, 120)); }
  }
  return faults;
})()`

func TestPicturesOfEveryView(t *testing.T) {
	if *screenshots == "" {
		return // there is nothing to look at
	}
	b := simulatedWorld(t)
	filled(t, b)
	p := openPage(t, b.server.URL)
	p.scheme(t, "light")
	p.open(t, "/", "Not processed yet")
	p.picture(t, "overview-light-out")
	p.signIn(t)
	b.publishAs(t, "livechat", "with revisions", 3, 1)
	b.publishAs(t, "livechat", "with revisions", 6, 2)
	for _, theme := range []string{"light", "dark"} {
		p.scheme(t, theme)
		for _, size := range []struct {
			name          string
			width, height int64
		}{{"wide", 1280, 860}, {"phone", 390, 844}} {
			p.size(t, size.width, size.height)
			for _, v := range []struct{ name, path, until string }{
				{"overview", "/#/overview", "document.querySelector('.spark .line')"},
				{"coverage", "/#/coverage/livechat", "document.querySelector('.day')"},
				{"coverage-many", "/#/coverage/cobrowser", "document.querySelector('.day')"},
				{"dead", "/#/dead", "document.querySelector('tbody tr')"},
				{"dead-one", "/#/dead/1", "document.querySelector('pre')"},
				{"live", "/#/live", "document.querySelectorAll('.tail li').length > 12"},
				{"chats", "/#/chats", "document.querySelector('.chats li')"},
				{"chat", "/#/chats/livechat/livechat/with%20revisions", "document.querySelector('.message')"},
			} {
				p.open(t, v.path, "Parley")
				p.holds(t, v.until)
				p.picture(t, v.name+"-"+theme+"-"+size.name)
			}
		}
	}
}

// publishAs stores a revision of a chat of a source of that name and vendor.
func (b *bench) publishAs(t testing.TB, vendor, id string, messages int, revision uint64) {
	t.Helper()
	c := conversation(id, messages)
	c.ID, c.Vendor, c.Source = events.CanonicalID(vendor, vendor, id), vendor, vendor
	if revision > 1 {
		c.Rating = &events.Score{Value: "good", Comment: "quick and kind"}
	}
	b.publish(t, c, revision)
}
