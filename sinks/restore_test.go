package sinks_test

import (
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events/broker"
	"github.com/parley-stream/parley/sinks"
	"github.com/parley-stream/parley/sinks/s3test"
)

// target is where a sink writes.
type target struct {
	open sinks.Opener
	read func(*testing.T) []int
}

func fileTarget(t *testing.T) target {
	dir := t.TempDir()
	return target{fileSink(t, dir, ""), func(t *testing.T) []int { return revisions(t, dir) }}
}

func objectTarget(t *testing.T, server *s3test.Server) target {
	prefix := rand.Text()
	open := objectSink("s3://"+s3test.Bucket+"/"+prefix+"?endpoint="+url.QueryEscape(server.Endpoint), t.TempDir())
	return target{open, func(t *testing.T) []int { return objectRevisions(t, server, prefix) }}
}

// reopened closes a broker, replaces its directory by a copy of another unless that is "", and opens it again.
func reopened(t *testing.T, b *broker.Broker, backup string) *broker.Broker {
	t.Helper()
	b.Close()
	dir := b.Options().DataDir
	if backup != "" {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		copied(t, backup, dir)
	}
	again, err := broker.Open(t.Context(), broker.Options{DataDir: dir, SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	return again
}

func copied(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// delivered brings all that the stream holds to a target.
func delivered(t *testing.T, b *broker.Broker, to target) {
	t.Helper()
	r := sinks.NewRunner("archive", b, to.open, sinks.Options{})
	stop := run(t, r)
	drain(t, r)
	stop()
}

// remove takes an event out of the stream, as an erasure does.
func remove(t *testing.T, b *broker.Broker, sequence uint64) {
	t.Helper()
	if err := b.Remove(t.Context(), broker.Events, sequence); err != nil {
		t.Fatal(err)
	}
}

// Numbers that newer files hold are given to other events after an older backup of the stream was restored: these would be taken for known, or be
// written beside events that never were.
func TestEventsOfARestoredStreamAreNotTakenForThoseOfNewerFiles(t *testing.T) {
	server := startS3(t)
	for name, place := range map[string]func(*testing.T) target{"files": fileTarget, "objects": func(t *testing.T) target { return objectTarget(t, server) }} {
		for newest, gone := range map[string]bool{"is another event": false, "is gone": true} {
			t.Run(name+", the newest number "+newest, func(t *testing.T) {
				b, to := openBroker(t), place(t)
				publish(t, b, 1, 30)
				delivered(t, b, to)
				b.Close()
				backup := filepath.Join(t.TempDir(), "backup")
				copied(t, b.Options().DataDir, backup)
				b = reopened(t, b, "")
				publish(t, b, 31, 60)
				delivered(t, b, to)
				b = reopened(t, b, backup)
				publish(t, b, 61, 130) // under the numbers 31 to 100
				if gone {
					remove(t, b, 60)
				}
				r := sinks.NewRunner("archive", b, to.open, sinks.Options{})
				_, err := r.Check(t.Context())
				if refused := err != nil && strings.Contains(err.Error(), "an older backup of the stream was restored"); refused == gone {
					t.Errorf("a check: got %v", err)
				}
				stop := run(t, r)
				await(t, "the refusal", func() bool { return r.Stats().LastError != "" })
				stop()
				if got := r.Stats().LastError; !strings.Contains(got, "hold events up to number 60") || !strings.Contains(got, "give the sink another directory or prefix") {
					t.Errorf("a run: got %q", got)
				}
				wantOnce(t, to.read(t), 60)
				if state, err := b.ConsumerState(t.Context(), broker.Events, "sink-archive"); err != nil || state.AckFloor != 30 {
					t.Errorf("acknowledged: %+v, %v; want nothing after 30", state, err)
				}
			})
		}
	}
}

func TestAStreamThatMovedOnIsWrittenWhatever(t *testing.T) {
	server := startS3(t)
	for name, place := range map[string]func(*testing.T) target{"files": fileTarget, "objects": func(t *testing.T) target { return objectTarget(t, server) }} {
		for newest, gone := range map[string]bool{"is there": false, "is gone": true} {
			t.Run(name+", the newest event "+newest, func(t *testing.T) {
				b, to := openBroker(t), place(t)
				publish(t, b, 1, 30)
				delivered(t, b, to)
				publish(t, b, 31, 60)
				if gone {
					remove(t, b, 30)
				}
				b = reopened(t, b, "")
				delivered(t, b, to)
				wantOnce(t, to.read(t), 60)
			})
		}
	}
}

func TestFilesThatAreRestoredWithTheStreamGoOn(t *testing.T) {
	for name, old := range map[string]bool{"with what says which event is the newest": false, "of an older version, without": true} {
		t.Run(name, func(t *testing.T) {
			b, dir := openBroker(t), t.TempDir()
			to := target{fileSink(t, dir, ""), func(t *testing.T) []int { return revisions(t, dir) }}
			publish(t, b, 1, 30)
			delivered(t, b, to)
			b.Close()
			backup := t.TempDir()
			copied(t, b.Options().DataDir, filepath.Join(backup, "data"))
			copied(t, dir, filepath.Join(backup, "files"))
			b = reopened(t, b, "")
			publish(t, b, 1031, 1060)
			delivered(t, b, to)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			copied(t, filepath.Join(backup, "files"), dir)
			if old {
				if err := os.Remove(filepath.Join(dir, ".parley", "archive", "newest")); err != nil {
					t.Fatal(err)
				}
			}
			b = reopened(t, b, filepath.Join(backup, "data"))
			publish(t, b, 31, 90)
			delivered(t, b, to)
			wantOnce(t, to.read(t), 90)
		})
	}
}
