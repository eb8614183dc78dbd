package events_test

import (
	"encoding/json"
	"testing"

	"github.com/parley-stream/parley/events"
)

func TestTheKeyOfALiveChatChatIsTheTextOfItsID(t *testing.T) {
	for raw, want := range map[string]string{
		`"QX7041ABCD"`: "QX7041ABCD", `"a\u0062"`: "ab", `77`: "77", `1.50`: "1.50",
		``: "", `""`: "", `null`: "", `{}`: "", `[1]`: "", `true`: "", `"cut`: "", `1x`: "", "\"\xff\"": "\ufffd",
	} {
		if got := events.LiveChatKey(json.RawMessage(raw)); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
