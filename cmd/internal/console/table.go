package console

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Table writes rows under a header, columns aligned in any script, numbers to the right. Strings are made Printable. A footer
// may be nil.
func Table(w io.Writer, header []string, rows [][]any, footer []any) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = true
	style.Options.SeparateFooter = true
	style.Format = table.FormatOptions{
		Header: text.FormatDefault, Row: text.FormatDefault, Footer: text.FormatDefault,
		FooterAlign: text.AlignDefault, HeaderAlign: text.AlignDefault,
	}
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	head := make([]any, len(header))
	for i, name := range header {
		head[i] = name
	}
	t.AppendHeader(cells(head))
	for _, row := range rows {
		t.AppendRow(cells(row))
	}
	if footer != nil {
		t.AppendFooter(cells(footer))
	}
	_, err := io.WriteString(w, t.Render()+"\n")
	return err
}

func cells(values []any) table.Row {
	row := make(table.Row, len(values))
	for i, value := range values {
		row[i] = value
		switch value := value.(type) {
		case int, int64, uint64, float64:
		default:
			row[i] = Printable(fmt.Sprint(value))
		}
	}
	return row
}

// Tally is what a run did with one vendor's records of one kind.
type Tally struct {
	Vendor, Kind                             string
	Fetched, Duplicates, Events, DeadLetters int64
}

// Summary writes a table of tallies by vendor and kind, and their sums.
func Summary(w io.Writer, tallies []Tally) error {
	tallies = slices.Clone(tallies)
	slices.SortFunc(tallies, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(a.Vendor, b.Vendor), cmp.Compare(a.Kind, b.Kind))
	})
	var rows [][]any
	var sum Tally
	for _, t := range tallies {
		rows = append(rows, []any{t.Vendor, t.Kind, t.Fetched, t.Duplicates, t.Events, t.DeadLetters})
		sum.Fetched += t.Fetched
		sum.Duplicates += t.Duplicates
		sum.Events += t.Events
		sum.DeadLetters += t.DeadLetters
	}
	return Table(w,
		[]string{"vendor", "kind", "records fetched", "duplicates dropped", "events", "dead letters"}, rows,
		[]any{"total", "", sum.Fetched, sum.Duplicates, sum.Events, sum.DeadLetters})
}
