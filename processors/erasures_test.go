package processors_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/processors"
)

// listing is an eraser with a list outside of the streams.
func listing(t testing.TB, b *broker.Broker, list processors.Erasures) *processors.Eraser {
	t.Helper()
	e, err := processors.NewEraser(t.Context(), b, processors.EraserOptions{Normalizers: map[string]processors.Normalizer{"testvendor": normalize}, List: list})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// restored opens a data directory's copy where the directory was.
func restored(t testing.TB, b *broker.Broker, backup string) *broker.Broker {
	t.Helper()
	b.Close()
	dir := b.Options().DataDir
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	again, err := broker.Open(t.Context(), broker.Options{DataDir: dir, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	return again
}

func TestAForgottenPersonDoesNotComeBackWithARestoredDirectory(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	quiet := slog.New(slog.DiscardHandler)
	_, stop := start(t, b, processors.Options{Logger: quiet})
	chatsOf(t, b, 1)
	drained(t, b)
	stop()
	b.Close()
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(b.Options().DataDir)); err != nil {
		t.Fatal(err)
	}
	b = restored(t, b, backup)
	list := processors.Erasures(filepath.Join(t.TempDir(), "erased"))
	if err := list.Check(t.Context(), b); err != nil {
		t.Fatalf("before anybody was erased: %v", err)
	}
	if _, err := listing(t, b, list).Erase(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	if err := list.Check(t.Context(), b); err != nil {
		t.Fatalf("after the erasure: %v", err)
	}
	content, err := os.ReadFile(string(list))
	if err != nil {
		t.Fatal(err)
	}
	for _, canary := range canaries {
		if strings.Contains(strings.ToLower(string(content)), strings.ToLower(canary)) {
			t.Errorf("the list says %q", canary)
		}
	}
	b = restored(t, b, backup)
	if len(stands(t, b.Options().DataDir)) == 0 {
		t.Fatal("the person is in no backup: the test shows nothing")
	}
	if err := list.Check(t.Context(), b); err == nil || !strings.Contains(err.Error(), "parley forget --again") {
		t.Fatalf("with a backup restored: %v; want to be told what to do", err)
	}
	done, err := listing(t, b, list).Erase(t.Context(), nil)
	if err != nil || len(done.Entities) < 4 {
		t.Fatalf("%+v, %v; want her chats", done, err)
	}
	if err := list.Check(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	_, stop = start(t, b, processors.Options{Logger: quiet})
	chatsOf(t, b, 2) // the vendor still has her
	drained(t, b)
	stop()
	b.Close()
	if where := stands(t, b.Options().DataDir); len(where) > 0 {
		t.Errorf("she stands in\n%s", strings.Join(where, "\n"))
	}
}

func TestAnErasureThatWasEndedIsTold(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	erased, err := b.Erased(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := 0
	said := func() bool {
		var log bytes.Buffer
		_, stop := start(t, b, processors.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		second++
		raw(t, b, chat{ID: "b1", Email: "bob@visitor.example"}, second)
		drained(t, b) // so that it has begun
		stop()
		return strings.Contains(log.String(), "parley forget --again")
	}
	if said() {
		t.Error("it is told although nobody was ever erased")
	}
	revision, err := erased.Remember(t.Context(), []string{erased.Key().Identifier(ann[0])}, epoch)
	if err != nil || revision == 0 {
		t.Fatal(revision, err)
	}
	if !said() {
		t.Error("nothing tells that she was remembered and not looked for")
	}
	if _, err := eraser(t, b).Erase(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if said() {
		t.Error("it is told although she is gone")
	}
}

func TestAListOfErasuresIsHeldToItsInstallation(t *testing.T) {
	b := open(t, broker.Options{Partitions: 1})
	list := processors.Erasures(filepath.Join(t.TempDir(), "erased"))
	if _, err := listing(t, b, list).Erase(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	fresh := open(t, broker.Options{Partitions: 1})
	if err := list.Check(t.Context(), fresh); err == nil || !strings.Contains(err.Error(), "forget --again") {
		t.Errorf("streams without a key: %v", err)
	}
	start(t, fresh, processors.Options{})
	if err := list.Check(t.Context(), fresh); err == nil || !strings.Contains(err.Error(), "another installation") {
		t.Errorf("streams with another key: %v", err)
	}
	if _, err := listing(t, fresh, list).Find(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "another installation") {
		t.Errorf("a look by another key's digests: %v", err)
	}
	if err := os.WriteFile(string(list), []byte("root:x:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := list.Check(t.Context(), b); err == nil || strings.Contains(err.Error(), "root:x") {
		t.Errorf("another file: %v; want an error without what it holds", err)
	}
	if _, err := listing(t, b, list).Erase(t.Context(), ann); err == nil {
		t.Error("another file is written over")
	}
}
