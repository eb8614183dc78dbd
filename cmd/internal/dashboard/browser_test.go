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

	"github.com/parley-stream/parley/cmd/internal/app"
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
	p.holds(t, fmt.Sprintf("document.querySelector(%q)", selector))
	p.do(t, chromedp.Click(chromedp.CSS(selector)))
}

// press clicks the button with this text.
func (p *page) press(t *testing.T, text string) {
	t.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll('dialog[open] button, button')].find((b) => b.textContent.trim() === %q && !b.disabled)", text)
	p.holds(t, find)
	eval[bool](t, p, fmt.Sprintf("(() => { const b = %s; document.querySelectorAll('[data-test]').forEach((e) => e.removeAttribute('data-test')); b.setAttribute('data-test', ''); return true; })()", find))
	p.click(t, "[data-test]")
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
	b.serve(t)
	running2 := sync.WaitGroup{}
	roles, stop := context.WithCancel(ctx)
	t.Cleanup(func() {
		stop()
		running2.Wait()
	})
	running2.Go(func() {
		if err := process.Run(roles); err != nil {
			t.Errorf("the roles: %v", err)
		}
	})
	b.run(t)
	return b
}

func TestAWalkThroughEveryView(t *testing.T) {
	b := simulatedWorld(t)
	p := openPage(t, b.server.URL)
	p.scheme(t, "light")
	await(t, "there are chats", func() bool {
		var list struct{ Conversations []any }
		b.get(t, "/api/conversations", &list)
		return len(list.Conversations) > 20
	})
	await(t, "there are dead letters", func() bool {
		var list struct{ Dead []any }
		b.get(t, "/api/dead", &list)
		return len(list.Dead) > 2
	})
	p.open(t, "/", "Not processed yet")
	p.sees(t, "Sign in to act")
	p.picture(t, "overview-light-out")
	p.press(t, "Sign in")
	p.holds(t, "document.activeElement.id === 'token'")
	p.do(t, chromedp.SendKeys(chromedp.CSS("#token"), token+"\r"))
	p.holds(t, "document.querySelector('#banner').hidden")
	for _, theme := range []string{"light", "dark"} {
		p.scheme(t, theme)
		for _, size := range []struct {
			name          string
			width, height int64
		}{{"wide", 1280, 900}, {"phone", 390, 844}} {
			p.size(t, size.width, size.height)
			shot := func(name string) { p.picture(t, name+"-"+theme+"-"+size.name) }
			p.open(t, "/#/overview", "Not processed yet")
			shot("overview")
			p.open(t, "/#/coverage/livechat", "Coverage of livechat")
			p.sees(t, "chats")
			shot("coverage")
			p.open(t, "/#/coverage/cobrowser", "Coverage of cobrowser")
			shot("coverage-many")
			p.open(t, "/#/dead", "Reason")
			shot("dead")
			p.click(t, "tbody th a")
			p.sees(t, "What failed")
			shot("dead-one")
			p.open(t, "/#/live", "Live")
			p.holds(t, "document.querySelectorAll('.tail li').length > 5")
			shot("live")
			p.open(t, "/#/chats", "Chats")
			p.holds(t, "document.querySelectorAll('.chats li').length > 5")
			shot("chats")
			eval[bool](t, p, `(() => { const s = document.querySelector('select'); s.value = 'livechat'; s.dispatchEvent(new Event('change')); return true; })()`)
			p.holds(t, "[...document.querySelectorAll('.chats a')].length && [...document.querySelectorAll('.chats a')].every((a) => a.href.includes('livechat'))")
			p.click(t, ".chats a")
			p.sees(t, "The whole event")
			shot("chat")
		}
	}
}
