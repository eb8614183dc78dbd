package webhook_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/parley-stream/parley/sinks/sinktest"
)

const (
	oldKey   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	newKey   = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhro="
	otherKey = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

func verifies(t *testing.T, key string, body []byte, h http.Header) bool {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	return w.Verify(body, h) == nil
}

func TestTheReferenceLibraryVerifiesEveryModeWithEitherKey(t *testing.T) {
	for name, c := range map[string]struct {
		secret string
		valid  []string
		not    []string
	}{
		"one key":              {newKey, []string{newKey}, []string{oldKey, otherKey}},
		"two while one is new": {newKey + "," + oldKey, []string{newKey, oldKey}, []string{otherKey}},
	} {
		for _, mode := range []string{"binary", "structured", "batch"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				e := newEndpoint(t)
				ev := sinktest.Event("a", 1)
				ev.Data = []byte("{\"text\":\"größer\u2028<b>\", \"a\" :1}")
				if err := send(t, opener(t, e.URL+"?mode="+mode, map[string]string{"SECRET": c.secret}), ev, sinktest.Event("b", 2)); err != nil {
					t.Fatal(err)
				}
				for i, body := range e.bodies {
					h := e.requests[i].Header
					for _, key := range c.valid {
						if !verifies(t, key, body, h) {
							t.Errorf("a key does not verify %v", h)
						}
						if verifies(t, key, append([]byte(" "), body...), h) {
							t.Error("it verifies another body")
						}
					}
					for _, key := range c.not {
						if verifies(t, key, body, h) {
							t.Error("another key verifies it")
						}
					}
					if n := len(strings.Fields(h.Get("Webhook-Signature"))); n != len(c.valid) {
						t.Errorf("%d signatures", n)
					}
				}
				if len(e.bodies) == 0 {
					t.Error("nothing came")
				}
			})
		}
	}
}

func TestTheMessageIDIsTheEventsAndTheSameInEveryAttempt(t *testing.T) {
	e := newEndpoint(t)
	n := 0
	e.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		n++
		if n < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n < 3
	}
	ev := sinktest.Event("chat", 4)
	if err := send(t, opener(t, e.URL, map[string]string{"SECRET": newKey}), ev); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(ev.ID))
	want := "msg_" + hex.EncodeToString(sum[:])[:32]
	if !regexp.MustCompile(`^msg_[0-9a-f]{32}$`).MatchString(want) {
		t.Fatal(want)
	}
	for i, r := range e.requests {
		if got := r.Header.Get("Webhook-Id"); got != want {
			t.Errorf("attempt %d: %s, want %s", i+1, got, want)
		}
		seconds, err := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
		if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
			t.Errorf("timestamp %q", r.Header.Get("Webhook-Timestamp"))
		}
	}
	if len(e.requests) != 3 {
		t.Errorf("%d attempts", len(e.requests))
	}
}

func TestWithoutASecretNothingIsSigned(t *testing.T) {
	e := newEndpoint(t)
	if err := send(t, opener(t, e.URL, nil), sinktest.Event("a", 1)); err != nil {
		t.Fatal(err)
	}
	if h := e.requests[0].Header; h.Get("Webhook-Signature") != "" || h.Get("Webhook-Id") == "" {
		t.Errorf("got %v", h)
	}
}
