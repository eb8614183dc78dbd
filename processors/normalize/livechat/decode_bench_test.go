package livechat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-stream/parley/processors/normalize/livechat"
	"github.com/parley-stream/parley/processors/processortest"
)

// BenchmarkDecoding is a record's one decoding, into its canonical entity, beside what encoding/json takes only to read the same bytes.
func BenchmarkDecoding(b *testing.B) {
	body, err := os.ReadFile(filepath.Join("testdata", "documented.json"))
	if err != nil {
		b.Fatal(err)
	}
	r := record("QX70AB12CD", string(body))
	processortest.Decoding(b, body, map[string]func() error{
		"normalize": func() error {
			_, err := livechat.Normalize(r)
			return err
		},
		"encoding/json": func() error { return readJSON(body) },
	})
}

func readJSON(body []byte) error {
	var document any
	return json.Unmarshal(body, &document)
}
