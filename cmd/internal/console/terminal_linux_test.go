package console_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/parley-stream/parley/cmd/internal/console"
)

// terminal opens a pseudo-terminal, and gives it and what it showed once it was closed.
func terminal(t *testing.T) (*os.File, func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var number, unlock uint32
	ioctl(t, master, syscall.TIOCSPTLCK, &unlock)
	ioctl(t, master, syscall.TIOCGPTN, &number)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ioctl(t, slave, syscall.TIOCSWINSZ, &struct{ row, col, x, y uint16 }{24, 120, 0, 0})
	var shown bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&shown, master) // ends with EIO when the terminal is closed
	}()
	return slave, func() string {
		slave.Close()
		<-done
		return shown.String()
	}
}

func ioctl[T any](t *testing.T, f *os.File, request uintptr, argument *T) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(argument))); errno != 0 {
		t.Fatal(errno)
	}
}

func TestATerminalHasColoursUnlessTheUserWantsNone(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	screen, shown := terminal(t)
	progress := console.NewProgress(screen)
	defer progress.Close()
	if !console.Terminal(screen) || !console.Colors(screen) || !console.Terminal(progress) {
		t.Error("a terminal is not taken for one")
	}
	console.NewLogger(screen, slog.LevelInfo, "", nil).Error("in colour")
	t.Setenv("NO_COLOR", "1")
	if console.Colors(screen) {
		t.Error("colours with NO_COLOR")
	}
	console.NewLogger(screen, slog.LevelInfo, "", nil).Error("without")
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if console.Colors(screen) {
		t.Error("colours on a dumb terminal")
	}
	lines := strings.Split(shown(), "\r\n")
	if !strings.Contains(lines[0], "\x1b[") || strings.Contains(lines[1], "\x1b") || !strings.Contains(lines[1], "ERR without") {
		t.Errorf("%q", lines)
	}
}

func TestNobodyColoursATerminalThroughALog(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	screen, shown := terminal(t)
	logHostile(console.NewLogger(screen, slog.LevelInfo, "", redact))
	if got := shown(); strings.ContainsAny(strings.TrimSuffix(got, "\r\n"), "\n\r\x1b\u009b\u202e") || strings.Contains(got, "c4nary") {
		t.Errorf("%q", got)
	}
}

func TestProgressOnATerminalWithoutColumnsIsLines(t *testing.T) {
	screen, shown := terminal(t)
	ioctl(t, screen, syscall.TIOCSWINSZ, &struct{ row, col, x, y uint16 }{})
	p := console.NewProgress(screen)
	p.Set("eu", 3, 10)
	p.Close()
	if got := shown(); got != "progress: eu 3/10 (30%)\r\n" {
		t.Errorf("%q", got)
	}
}

func TestProgressOnATerminalIsBarsBelowTheLog(t *testing.T) {
	screen, shown := terminal(t)
	p := console.NewProgress(screen)
	log := console.NewLogger(p, slog.LevelInfo, "text", nil)
	p.Set("eu", 0, 10)
	p.Set("eu", 10, 20)
	p.Set("us\x1b[2J", 20, 20)
	log.Info("above the bars")
	time.Sleep(400 * time.Millisecond) // a terminal is drawn in real time
	p.Set("eu", 15, 20)
	p.Close()
	log.Info("after the bars")
	got := shown()
	for _, want := range []string{"above the bars", "eu", "15/20", "20/20", `us\x1b[2J`, "/s, ", " left", "100 %", "after the bars"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%q", want, got)
		}
	}
	if strings.Contains(got, "\x1b[2J") {
		t.Errorf("a source's name clears the screen:\n%q", got)
	}
}
