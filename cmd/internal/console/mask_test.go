package console_test

import (
	"strings"
	"testing"

	"github.com/parley-stream/parley/cmd/internal/console"
	"github.com/parley-stream/parley/events"
)

func TestAMaskedEventKeepsItsShapeAndNoPerson(t *testing.T) {
	e := events.Event{
		Type: "dev.parley.conversation.created", DataContentType: events.ContentJSON,
		Data: []byte(`{"id":"v:s:1","status":"ended","subject":"SECRET","visitor":{"name":"SECRET","email":"SECRET","country":"Norway"},` +
			`"agents":[{"name":"SECRET","role":"agent"}],"department":{"name":"Sales"},"messages":[{"id":"0","author":{"type":"visitor","name":"SECRET"},"text":"SECRET"}],` +
			`"custom_fields":{"x":{"y":["SECRET"]}},"attributes":{"z":"SECRET"},"page":{"url":"SECRET","host":"shop.example"}}`),
	}
	console.Mask(&e)
	got := string(e.Data)
	if strings.Contains(got, "SECRET") {
		t.Errorf("a person shows: %s", got)
	}
	for _, kept := range []string{`"ended"`, `"Norway"`, `"Sales"`, `"visitor"`, `"shop.example"`, `"y":`} {
		if !strings.Contains(got, kept) {
			t.Errorf("%s is gone: %s", kept, got)
		}
	}
	metric := events.Event{Type: "dev.parley.metric.created", Data: []byte(`{"report":"chats/ranking","dimensions":{"agent":"SECRET","tag":"refund"},"measures":{"good":3}}`)}
	console.Mask(&metric)
	if got := string(metric.Data); strings.Contains(got, "SECRET") || !strings.Contains(got, "refund") || !strings.Contains(got, "3") {
		t.Errorf("metric: %s", got)
	}
	broken := events.Event{Data: []byte("SECRET")}
	console.Mask(&broken)
	if len(broken.Data) > 0 {
		t.Errorf("content that cannot be read is shown: %s", broken.Data)
	}
}
