package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/cmd/internal/operator"
)

// DeadFilter selects dead letters; the zero value is all.
type DeadFilter = operator.DeadFilter

func checkDead(f *DeadFilter) error {
	if f.Stage != "" && !slices.Contains(operator.Stages(), f.Stage) {
		return fmt.Errorf("%w: --stage: is %q, want poll, process or sink", ErrUsage, f.Stage)
	}
	return nil
}

// ListDead prints dead letters, a line each.
func (a *App) ListDead(ctx context.Context, f DeadFilter, asJSON bool) error {
	if err := checkDead(&f); err != nil {
		return err
	}
	b, err := a.ReachStored(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	var rows [][]any
	encoder := json.NewEncoder(a.Out)
	err = a.operator(b).EachDead(ctx, &f, func(d *operator.DeadLetter) error {
		if asJSON {
			return encoder.Encode(d)
		}
		rows = append(rows, []any{d.Sequence, d.Stage + " " + d.Name, d.At.Local().Format(time.DateTime), d.Vendor, d.Subject, shorten(d.Reason, 80)})
		return nil
	})
	if err != nil || asJSON {
		return err
	}
	if len(rows) == 0 {
		return a.sayNoDead(&f)
	}
	return console.Table(a.Out, []string{"number", "stage", "since", "vendor", "id", "reason"}, rows, nil)
}

// sayNoDead says that a filter takes none.
func (a *App) sayNoDead(f *DeadFilter) error {
	text := "there is no dead letter that all of these filters take; `parley dlq ls` lists them all"
	if f.Empty() {
		text = "there are no dead letters"
	}
	_, err := fmt.Fprintln(a.Err, text)
	return err
}

// knownDead refuses numbers that no dead letter has, before anything is done with the others.
func knownDead(ctx context.Context, o *operator.Operator, numbers []uint64) error {
	var unknown []string
	for _, n := range numbers {
		_, err := o.Dead(ctx, n)
		if errors.Is(err, operator.ErrUnknown) {
			unknown = append(unknown, fmt.Sprint(n))
			continue
		}
		if err != nil {
			return err
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%w: there is no dead letter %s; `parley dlq ls` lists them", ErrUsage, strings.Join(unknown, ", "))
	}
	return nil
}

func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// ShowDead prints one dead letter whole: what failed and why, its bytes, and what to do.
func (a *App) ShowDead(ctx context.Context, sequence uint64, asJSON bool) error {
	b, err := a.ReachStored(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	o := a.operator(b)
	if err := knownDead(ctx, o, []uint64{sequence}); err != nil {
		return err
	}
	d, err := o.Dead(ctx, sequence)
	if err != nil {
		return err
	}
	content := o.Content(ctx, d)
	if asJSON {
		return json.NewEncoder(a.Out).Encode(struct {
			operator.DeadLetter
			Content any    `json:"content"`
			Advice  string `json:"advice"`
		}{*d, content, d.Advice()})
	}
	return printDead(a.Out, d, content)
}

func printDead(w io.Writer, d *operator.DeadLetter, content any) error {
	var out strings.Builder
	line := func(name, value string) {
		if value != "" && value != "0" {
			fmt.Fprintf(&out, "%-9s %s\n", name+":", console.Printable(value))
		}
	}
	line("number", fmt.Sprint(d.Sequence))
	line("stage", strings.TrimSpace(d.Stage+" "+d.Name))
	line("since", d.At.UTC().Format(time.RFC3339))
	line("vendor", d.Vendor)
	line("stream", d.Stream)
	line("id", d.Subject)
	line("stored", d.Stored)
	line("attempts", fmt.Sprint(d.Attempts))
	for i, reason := range strings.Split(d.Reason, "\n") {
		if i == 0 {
			line("reason", reason)
		} else {
			fmt.Fprintf(&out, "%10s%s\n", "", console.Printable(reason))
		}
	}
	fmt.Fprintf(&out, "\n%s\n", d.Advice())
	if err := writeContent(&out, content); err != nil {
		return err
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// writeContent writes what failed for a person: what is known of a record first, and then each of the vendor's documents as it was.
func writeContent(out *strings.Builder, content any) error {
	var parts []operator.Part
	switch c := content.(type) {
	case operator.Part:
		content, parts = nil, []operator.Part{c}
	case map[string]any:
		if of, is := c["parts"].([]operator.Part); is {
			about := maps.Clone(c)
			maps.DeleteFunc(about, func(name string, value any) bool {
				return name == "parts" || slices.Contains([]string{"", "map[]"}, fmt.Sprint(value))
			})
			content, parts = about, of
		}
	}
	if content != nil {
		out.WriteByte('\n')
		if err := writeJSON(out, content); err != nil {
			return err
		}
	}
	for i, p := range parts {
		fmt.Fprintf(out, "\npart %d of %d:", i+1, len(parts))
		for _, word := range []string{p.Name, p.ContentType, p.URL} {
			if word != "" {
				out.WriteString(" " + console.Printable(word))
			}
		}
		if p.Whole > 0 {
			fmt.Fprintf(out, ", the first bytes of %d", p.Whole)
		}
		out.WriteByte('\n')
		if err := writePart(out, p); err != nil {
			return err
		}
	}
	return nil
}

// writePart writes JSON in lines of its own, and other text in its lines.
func writePart(out *strings.Builder, p operator.Part) error {
	switch {
	case len(p.Bytes) > 0:
		fmt.Fprintf(out, "%s, no text; --json has them in base64\n", console.Count(len(p.Bytes), "byte", "bytes"))
	case json.Valid([]byte(p.Text)):
		return writeJSON(out, json.RawMessage(p.Text))
	default:
		out.WriteString(printableLines(strings.TrimSuffix(p.Text, "\n") + "\n"))
	}
	return nil
}

// writeJSON writes a value as a person reads JSON. What a terminal would obey in its texts is escaped.
func writeJSON(out *strings.Builder, value any) error {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	out.WriteString(printableLines(text.String()))
	return nil
}

// DropDead deletes dead letters for good.
func (a *App) DropDead(ctx context.Context, f DeadFilter, dry bool) error {
	return a.handleDead(ctx, f, dry, "dropped", (*operator.Operator).DropDead)
}

// ReplayDead sends dead letters through the stage that gave them up, and only there.
func (a *App) ReplayDead(ctx context.Context, f DeadFilter, dry bool) error {
	return a.handleDead(ctx, f, dry, "replayed", (*operator.Operator).ReplayDead)
}

// handleDead does something with every dead letter that a filter takes, and says what it did. One that cannot be handled does not stop the
// others.
func (a *App) handleDead(ctx context.Context, f DeadFilter, dry bool, done string, do func(*operator.Operator, context.Context, *operator.DeadLetter) error) error {
	if err := checkDead(&f); err != nil {
		return err
	}
	b, err := a.ReachStored(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	o := a.operator(b)
	if err := knownDead(ctx, o, f.Sequences); err != nil {
		return err
	}
	found, failed := 0, 0
	err = o.EachDead(ctx, &f, func(d *operator.DeadLetter) error {
		found++
		word := done
		if dry {
			word = "would be " + done
		} else if err := do(o, ctx, d); err != nil {
			failed++
			word = "not " + done + ": " + a.redact.Redact(err.Error())
		}
		_, err := fmt.Fprintf(a.Out, "%d %s %s: %s\n", d.Sequence, d.Stage, d.Name, console.Printable(word))
		return err
	})
	if err == nil && found == 0 {
		err = a.sayNoDead(&f)
	}
	if err == nil && failed > 0 {
		return ErrReported
	}
	return err
}
