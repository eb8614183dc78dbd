package livechat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-stream/parley/processors/normalize/livechat"
)

// BenchmarkDecoding is a record's one decoding, into its canonical entity, beside what encoding/json takes only to read the same bytes.
func BenchmarkDecoding(b *testing.B) {
	body, err := os.ReadFile(filepath.Join("testdata", "documented.json"))
	if err != nil {
		b.Fatal(err)
	}
	r := record("QX70AB12CD", string(body))
	for name, decode := range map[string]func() error{
		"normalize": func() error {
			_, err := livechat.Normalize(r)
			return err
		},
		"encoding/json": func() error { return readJSON(body) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readJSON(body []byte) error {
	var document any
	return json.Unmarshal(body, &document)
}
