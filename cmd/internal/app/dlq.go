package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	b, err := a.Reach(ctx)
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
		_, err = fmt.Fprintln(a.Err, "there is no such dead letter")
		return err
	}
	return console.Table(a.Out, []string{"number", "stage", "since", "vendor", "id", "reason"}, rows, nil)
}

func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// ShowDead prints one dead letter whole: what failed and why, its bytes, and what to do.
func (a *App) ShowDead(ctx context.Context, sequence uint64, asJSON bool) error {
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	o := a.operator(b)
	d, err := o.Dead(ctx, sequence)
	if errors.Is(err, operator.ErrUnknown) {
		return fmt.Errorf("%w: there is no dead letter %d; `parley dlq ls` lists them", ErrUsage, sequence)
	}
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
	fmt.Fprintf(&out, "\n%s\n\n", d.Advice())
	pretty, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	out.Write(pretty)
	out.WriteByte('\n')
	_, err = io.WriteString(w, out.String())
	return err
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
	b, err := a.Reach(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	o := a.operator(b)
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
		_, err = fmt.Fprintln(a.Err, "there is no such dead letter")
	}
	if err == nil && failed > 0 {
		return ErrReported
	}
	return err
}
