package sinktest

import (
	"os"
	"strconv"
	"testing"
)

// Kills is how often a test kills its processes: as often as it needs to be worth its time, or SINK_KILLS times to show more.
func Kills(t testing.TB, usual int) int {
	t.Helper()
	text := os.Getenv("SINK_KILLS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SINK_KILLS is %q, want how often to kill, such as 100", text)
	}
	return n
}
