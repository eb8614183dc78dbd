// Package console is what a terminal shows: tables, progress, log lines, events in one line each. Text that comes from vendors is
// hostile here: nothing of it moves the cursor, colours the screen or begins a line.
package console

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8/cwriter"
)

// Terminal tells whether a writer is a terminal: an *os.File that is one, or a Progress on one.
func Terminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && f.Fd() != noFile && cwriter.IsTerminal(int(f.Fd()))
}

const noFile = ^uintptr(0)

// Colors tells whether to colour: on a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb.
func Colors(w io.Writer) bool {
	return Terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// Ago writes a span as a person says how long ago something was: "12s ago", "5m ago", "3h ago", "9d ago"; "now" below two seconds.
func Ago(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds ago", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	default:
		return fmt.Sprintf("%dd ago", d/(24*time.Hour))
	}
}

// Count writes a number and what it counts, such as "1 window" and "2 windows"; what agrees with it belongs to both: "window is due".
func Count[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n) + " " + many
}

// Printable gives text as one line that only shows: control characters, line and paragraph separators, direction overrides and bytes that
// are no UTF-8 are written as Go escapes them (\n, \x1b, \u202e). Letters, marks, symbols and spaces of all scripts stay.
func Printable(s string) string {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !shows(r, size) {
			return escape(s, i)
		}
		i += size
	}
	return s
}

func shows(r rune, size int) bool {
	return unicode.IsGraphic(r) && (r != utf8.RuneError || size > 1)
}

func escape(s string, from int) string {
	var b strings.Builder
	b.WriteString(s[:from])
	for i := from; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if shows(r, size) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteToASCII(s[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}
