//go:build node

package subscribe_test

import (
	"os/exec"
	"testing"
)

// These need node 20 and what `npm ci` puts into js.

func TestTheJavaScriptSubscriberHasEveryEventOfTheDemoOnce(t *testing.T) {
	judge(t, demo(t), node(t), "js/subscribe.mjs")
}

func TestTheJavaScriptSubscriberReadsMsgpack(t *testing.T) {
	readsMsgpack(t, node(t), "js/subscribe.mjs")
}

func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
