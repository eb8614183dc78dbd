package livechat_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
	"github.com/parley-stream/parley/pollers/livechat/livechatsim"
	"github.com/parley-stream/parley/pollers/simulated"
)

// BenchmarkSplitting shows how fast the simulator's chats are split beside finding them with encoding/json, which makes no values either.
func BenchmarkSplitting(b *testing.B) {
	body := chatsOf(b, livechatsim.New(simulated.Options{Chats: 2000}))
	for name, split := range map[string]func(io.Reader) error{
		"json, jsonsplit": func(r io.Reader) error {
			_, err := jsonsplit.Scan(r, []string{"chats"}, func(events.Body) error { return nil })
			return err
		},
		"json, encoding": func(r io.Reader) error {
			var page struct{ Chats []json.RawMessage }
			return json.NewDecoder(r).Decode(&page)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := split(bytes.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// chatsOf gives the chats of many pages as one.
func chatsOf(b *testing.B, sim *livechatsim.Sim) []byte {
	b.Helper()
	v := sim.Variables("")
	var chats []json.RawMessage
	for page := 1; page <= 40; page++ {
		r := httptest.NewRequest(http.MethodGet, "/chats?page="+strconv.Itoa(page), nil)
		r.SetBasicAuth(v["LOGIN"], v["API_KEY"])
		r.Header.Set("X-API-Version", "2")
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		var one struct{ Chats []json.RawMessage }
		if err := json.Unmarshal(w.Body.Bytes(), &one); err != nil {
			b.Fatal(err)
		}
		chats = append(chats, one.Chats...)
	}
	if len(chats) != 1000 {
		b.Fatal(len(chats), "chats")
	}
	body, err := json.Marshal(map[string]any{"chats": chats, "total": len(chats), "pages": 1})
	if err != nil {
		b.Fatal(err)
	}
	return body
}
