package pollers_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/parley-stream/parley/pollers"
)

// A newer version runs beside this one: what it wrote into the ledger is its own.
func TestWhatANewerVersionWroteIntoTheLedgerSurvivesAWrite(t *testing.T) {
	t.Parallel()
	store := newMemory()
	book := pollers.NewLedger(store)
	at := time.Date(2026, 10, 27, 0, 0, 0, 0, time.UTC)
	w := pollers.Window{Stream: "chats", From: at, To: at.Add(time.Hour)}
	key := "main.chats." + pollers.WindowID(w)
	newer := `{"Stream":"chats","From":"2026-10-27T00:00:00Z","To":"2026-10-27T01:00:00Z","State":"complete","Records":7,"Cursor":{"page":[3]}}`
	if _, err := store.Set(t.Context(), key, []byte(newer), 0); err != nil {
		t.Fatal(err)
	}
	e, err := book.Get(t.Context(), "main", w)
	if err != nil || e.Records != 7 {
		t.Fatalf("%+v, %v", e, err)
	}
	e.Records = 8
	if _, err := book.Set(t.Context(), "main", e); err != nil {
		t.Fatal(err)
	}
	stored, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Records int
		Cursor  json.RawMessage
	}
	if err := json.Unmarshal(stored.Value, &got); err != nil || got.Records != 8 || string(got.Cursor) != `{"page":[3]}` {
		t.Errorf("stored %s, %v", stored.Value, err)
	}
}
