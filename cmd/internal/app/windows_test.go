package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/cmd/internal/app"
	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/pollers"
)

// ledger writes what a source's pollers would have, and gives the configuration that reaches it. Of four days, from the newest: one was read
// again at every age, one failed, one is partial, and one is missing.
func ledger(t *testing.T) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	bucket, err := b.Bucket(t.Context(), broker.LedgerBucket)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC)
	day := func(n int, state pollers.State) pollers.Entry {
		from := end.AddDate(0, 0, -n)
		return pollers.Entry{
			Window: pollers.Window{Stream: "chats", From: from, To: from.AddDate(0, 0, 1)}, State: state, ReadAt: end.AddDate(0, 1, 0), Records: 10,
		}
	}
	again, failed, partial := day(1, pollers.StateComplete), day(2, pollers.StateFailed), day(3, pollers.StatePartial)
	again.Reads = []pollers.Read{{Age: time.Hour, Changed: true}, {Age: 25 * time.Hour, Changed: true}, {Age: 73 * time.Hour}}
	failed.ReadAt, failed.Records = time.Time{}, 0
	failed.Error, failed.Attempts, failed.RetryAt = "answered 500 Internal Server Error", 3, time.Now().Add(time.Hour)
	for _, e := range []pollers.Entry{again, failed, partial} {
		if _, err := pollers.NewLedger(bucket).Set(t.Context(), "eu", e); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"PARLEY_DATA_DIR=" + dir, "PARLEY_HTTP_ADDR=", "PARLEY_SOURCES=eu", "PARLEY_SOURCE_EU_VENDOR=liveleader", "PARLEY_SOURCE_EU_URL=http://127.0.0.1:1",
		"PARLEY_SOURCE_EU_EMAIL=eu@agent.example", "PARLEY_SOURCE_EU_PASSWORD=none", "PARLEY_SOURCE_EU_WINDOW=24h", "PARLEY_SOURCE_EU_RATE=3/s",
		"PARLEY_SOURCE_EU_SINCE=" + end.AddDate(0, 0, -4).Format(time.DateOnly), "PARLEY_SOURCE_EU_UNTIL=" + end.Format(time.DateOnly),
	}
}

// shown is what a command prints.
func shown(t *testing.T, environ []string, command func(*app.App) error) string {
	t.Helper()
	out := new(output)
	a, err := app.New(environ, out, io.Discard)
	if err == nil {
		err = command(a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestStatusAndCoverageSayWhatIsReadAndWhatToDo(t *testing.T) {
	t.Parallel()
	environ := ledger(t)
	for name, c := range map[string]struct {
		command func(*app.App) error
		want    []string
	}{
		"status": {
			func(a *app.App) error { return a.ShowStatus(t.Context(), false) },
			[]string{
				"changed later", "1 of 1 at 1h, 1 of 1 at 24h, 0 of 1 at 72h", "source eu: 0 requests in the last whole minute, at most 3/s",
				"1 window could not be read, the newest 20261003T000000Z-20261004T000000Z after 3 attempts", "answered 500 Internal Server Error",
				"1 window is partial", "1 window is due and no poller runs: start `parley poll` or `parley run`",
			},
		},
		"coverage": {
			func(a *app.App) error { return a.Coverage(t.Context(), []string{"eu"}, false) },
			[]string{
				"eu chats: 1 complete, 1 failed, 1 partial, 1 planned; 20 records", "2026-10-01  ·▒✗█",
				"planned  2026-10-01T00:00:00Z to 2026-10-02T00:00:00Z", "partial  2026-10-02T00:00:00Z to 2026-10-03T00:00:00Z",
				"failed   2026-10-03T00:00:00Z to 2026-10-04T00:00:00Z: answered 500 Internal Server Error (attempt 3, again at ",
			},
		},
	} {
		got := shown(t, environ, c.command)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, got)
			}
		}
	}
	if got := shown(t, environ, func(a *app.App) error { return a.ShowStatus(t.Context(), false) }); strings.Contains(got, "never ran") || strings.Count(got, "at most 3/s") != 1 {
		t.Errorf("the account's one budget is not said once:\n%s", got)
	}
	var coverage []struct {
		Counts  map[string]int
		Windows []struct{ State, Error string }
	}
	text := shown(t, environ, func(a *app.App) error { return a.Coverage(t.Context(), nil, true) })
	if err := json.Unmarshal([]byte(text), &coverage); err != nil || len(coverage) != 1 || len(coverage[0].Windows) != 4 || coverage[0].Counts["failed"] != 1 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestABackfillTellsWhatItsRangeHolds(t *testing.T) {
	t.Parallel()
	environ := ledger(t)
	b, err := broker.Open(t.Context(), broker.Options{DataDir: strings.TrimPrefix(environ[0], "PARLEY_DATA_DIR=")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for from, want := range map[string]string{
		"2026-10-04": "eu: 1 window is read (1 of them before) in 0.0 s; they hold 10 records, no gaps\n",
		"2026-10-02": "eu: 1 window is read (1 of them before) in 0.0 s; they hold 10 records, 1 window is read in part, which `parley coverage eu` names\n",
	} {
		day, err := time.Parse(time.DateOnly, from)
		if err != nil {
			t.Fatal(err)
		}
		out := new(output)
		a, err := app.New(environ, out, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		err = a.Backfill(t.Context(), app.BackfillRequest{Source: "eu", From: from, To: day.AddDate(0, 0, 1).Format(time.DateOnly)})
		if got := regexp.MustCompile(`in [0-9.]+ s`).ReplaceAllString(out.String(), "in 0.0 s"); got != want || (err != nil) != strings.Contains(want, "in part") {
			t.Errorf("from %s: %v, %q; want %q", from, err, got, want)
		}
	}
}

func TestABackfillFromBeforeAnyVendorIsRefused(t *testing.T) {
	t.Parallel()
	a, err := app.New(ledger(t), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Backfill(t.Context(), app.BackfillRequest{Source: "eu", From: "1026-10-01"})
	if !errors.Is(err, app.ErrUsage) || !strings.Contains(err.Error(), "--from: 1026-10-01 is older than any vendor") {
		t.Errorf("%v; want a word on --from", err)
	}
}

func TestWhoLooksBeforeAnythingIsThereIsToldWhatToStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	b, err := broker.Open(t.Context(), broker.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	environ := append(ledger(t), "PARLEY_NATS_URL="+string(address))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	a, err := app.New(environ, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Coverage(ctx, nil, false); !errors.Is(err, broker.ErrEmpty) {
		t.Errorf("%v; want %v", err, broker.ErrEmpty)
	}
}
