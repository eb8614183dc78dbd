package console

import (
	"fmt"
	"io"
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

// Calendar writes a cell for each day from first on, weeks apart, lines beginning with their date.
func Calendar(w io.Writer, first time.Time, days []Mark) error {
	color := Colors(w)
	var out strings.Builder
	for i := 0; i < len(days); i += 7 * weeksPerLine {
		fmt.Fprintf(&out, "  %s ", first.AddDate(0, 0, i).Format(time.DateOnly))
		for j := i; j < min(i+7*weeksPerLine, len(days)); j++ {
			if (j-i)%7 == 0 {
				out.WriteByte(' ')
			}
			l := look[days[j]]
			if color && l.color != "" {
				fmt.Fprintf(&out, "\x1b[%sm%s\x1b[0m", l.color, l.sign)
			} else {
				out.WriteString(l.sign)
			}
		}
		out.WriteByte('\n')
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Legend says what a calendar's signs mean.
func Legend() string {
	var parts []string
	for _, l := range look[MarkComplete:] {
		parts = append(parts, l.sign+" "+l.name)
	}
	return strings.Join(parts, "  ")
}
