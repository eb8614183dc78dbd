package console

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Mark is the state of a calendar's cell; the larger is shown where several meet.
type Mark int

// The marks of a calendar, by what asks for more attention.
const (
	MarkNone     Mark = iota // nothing is wanted there
	MarkComplete             // read whole
	MarkRunning              // being read
	MarkPlanned              // not read yet
	MarkPartial              // the vendor's cap hides a part
	MarkFailed               // could not be read
)

// look is how marks are drawn: without colour the sign alone tells.
var look = [...]struct {
	sign, name, color string
}{
	MarkNone: {" ", "", ""}, MarkComplete: {"█", "complete", "32"}, MarkRunning: {"~", "running", "36"},
	MarkPlanned: {"·", "planned", "90"}, MarkPartial: {"▒", "partial", "33"}, MarkFailed: {"✗", "failed", "31"},
}

// weeksPerLine is how much of a calendar fits on a narrow terminal beside its date.
const weeksPerLine = 8

// mostAlike is how many lines that show the same are written one below the other: of more, the first and the last.
const mostAlike = 6

// Calendar writes a cell for each day from first on, weeks apart, lines beginning with their date. Of many lines that show the same, only the
// first and the last are written.
func Calendar(w io.Writer, first time.Time, days []Mark) error {
	color := Colors(w)
	var out strings.Builder
	lines := slices.Collect(slices.Chunk(days, 7*weeksPerLine))
	line := func(i int) {
		fmt.Fprintf(&out, "  %s %s\n", first.AddDate(0, 0, i*7*weeksPerLine).Format(time.DateOnly), signs(lines[i], color))
	}
	for i := 0; i < len(lines); {
		end := i + 1
		for end < len(lines) && slices.Equal(lines[i], lines[end]) {
			end++
		}
		if alike := end - i; alike > mostAlike {
			line(i)
			fmt.Fprintf(&out, "  %d more lines like these\n", alike-2)
			i = end - 1
		}
		for ; i < end; i++ {
			line(i)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// signs are those of some weeks.
func signs(days []Mark, color bool) string {
	var out strings.Builder
	for i, day := range days {
		if i%7 == 0 {
			out.WriteByte(' ')
		}
		if l := look[day]; color && l.color != "" {
			fmt.Fprintf(&out, "\x1b[%sm%s\x1b[0m", l.color, l.sign)
		} else {
			out.WriteString(l.sign)
		}
	}
	return out.String()
}

// Legend says what a calendar's signs mean.
func Legend() string {
	var parts []string
	for _, l := range look[MarkComplete:] {
		parts = append(parts, l.sign+" "+l.name)
	}
	return strings.Join(parts, "  ")
}
