package webhook_test

import (
	"encoding/json"
	"testing"

	"github.com/parley-stream/parley/events"
)

func parseBatch(t *testing.T, body []byte) (all []events.Event) {
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Errorf("%v in %.300s", err, body)
	}
	for _, r := range raw {
		e, err := events.ParseStructured(r)
		if err != nil {
			t.Errorf("%v in %.300s", err, r)
		}
		all = append(all, e)
	}
	return all
}
