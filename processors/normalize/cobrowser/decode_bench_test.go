package cobrowser_test

import (
	"bytes"
	"encoding/csv"
	"testing"

	"github.com/parley-stream/parley/processors/normalize/cobrowser"
	"github.com/parley-stream/parley/processors/processortest"
)

// BenchmarkDecoding is a record's one decoding, into its canonical entity, beside what encoding/csv takes only to read the same bytes.
func BenchmarkDecoding(b *testing.B) {
	r := record(key, header, full)
	body := r.Parts[0].Body.Bytes
	processortest.Decoding(b, body, map[string]func() error{
		"normalize": func() error {
			_, err := cobrowser.Normalize(r)
			return err
		},
		"encoding/csv": func() error { return readCSV(body) },
	})
}

func readCSV(body []byte) error {
	r := csv.NewReader(bytes.NewReader(body))
	r.Comma = ';'
	_, err := r.ReadAll()
	return err
}
