package cobrowser_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/cobrowser"
)

// memory is what RAW has: it remembers versions as the core does.
type memory struct {
	versions map[string]string
	asked    int
	most     int // keys of one look-up
	fails    error
}

func (m *memory) seen(_ context.Context, stream string, keys []string) (map[string]string, error) {
	m.asked++
	m.most = max(m.most, len(keys))
	out := map[string]string{}
	for _, key := range keys {
		if v, ok := m.versions[stream+" "+key]; ok {
			out[key] = v
		}
	}
	return out, m.fails
}

// fetch reads a list with a memory, and gives what was emitted.
func (m *memory) fetch(t *testing.T, stream, body string) ([]string, pollers.Reading, error) {
	t.Helper()
	vars := settings.New("X_", map[string]string{"VENDOR": "cobrowser", "USER": "reporting@shop.example", "API_KEY": apiKey, "TIMEZONE": "Europe/Amsterdam"})
	p := cobrowser.New(pollers.DecodeSettings("x", vars), vars, pollers.Env{
		Connect: func(_ string, _ pollers.Rate, secrets []string) *pollers.Client {
			return pollers.NewClient(pollers.ClientOptions{Secrets: secrets, Transport: always(body)})
		},
		Logger: slog.New(slog.DiscardHandler), Now: clock("2026-10-27 12:00:00"), Seen: m.seen,
	})
	var keys []string
	reading, err := p.Fetch(context.Background(), pollers.Window{Stream: stream}, func(r events.Record) error {
		keys = append(keys, r.Key)
		if r.Version != "" {
			m.versions[stream+" "+r.Key] = r.Version
		}
		return nil
	})
	return keys, reading, err
}

// mutations are rows of cccslotsactivity.
func mutations(n int) [][]string {
	l := lists["cccslotsactivity"]
	var rows [][]string
	for i := range n {
		rows = append(rows, l.at(ten.Add(time.Duration(i)*time.Second), map[string]string{"activity_id": fmt.Sprint(100 + i)}))
	}
	return rows
}

func TestRowsThatRAWHasAreNotSentAgainUnlessTheyChange(t *testing.T) {
	l, m := lists["cccslotsactivity"], &memory{versions: map[string]string{}}
	rows := mutations(1500)
	keys, reading, err := m.fetch(t, "cccslotsactivity", l.export(rows...))
	if err != nil || len(keys) != 1500 || reading.Unchanged != 0 || keys[0] != "cccslotsactivity/100" || keys[1499] != "cccslotsactivity/1599" {
		t.Fatalf("first: %d records, %+v, %v", len(keys), reading, err)
	}
	if m.asked < 2 || m.most > 512 {
		t.Errorf("%d look-ups of up to %d keys; want batches", m.asked, m.most)
	}
	rows[700][8] = "9"
	rows = append(rows, mutations(1501)[1500], l.at(ten, map[string]string{"activity_id": "", "account_id": ""}))
	keys, reading, err = m.fetch(t, "cccslotsactivity", l.export(rows...))
	if want := []string{"cccslotsactivity/800", "cccslotsactivity/1600", ""}; err != nil || !same(keys, want) || reading.Unchanged != 1499 {
		t.Errorf("again: %q, %+v, %v; want %q", keys, reading, err, want)
	}
}

func TestOtherListsAreSentWholeEachTime(t *testing.T) {
	l, m := lists["accounts"], &memory{versions: map[string]string{}}
	for range 2 {
		if keys, reading, err := m.fetch(t, "accounts", l.export(l.at(ten, nil))); err != nil || len(keys) != 1 || reading.Unchanged != 0 {
			t.Errorf("%q, %+v, %v", keys, reading, err)
		}
	}
}

func TestAMemoryThatFailsFailsTheWindow(t *testing.T) {
	m := &memory{versions: map[string]string{}, fails: errors.New("the bucket is gone")}
	keys, _, err := m.fetch(t, "cccslotsactivity", lists["cccslotsactivity"].export(mutations(3)...))
	if !errors.Is(err, m.fails) || len(keys) != 0 {
		t.Errorf("%q, %v", keys, err)
	}
}
