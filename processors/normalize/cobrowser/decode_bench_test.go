package cobrowser_test

import (
	"bytes"
	"encoding/csv"
	"testing"

	"github.com/parley-stream/parley/processors/normalize/cobrowser"
)

// BenchmarkDecoding is a record's one decoding, into its canonical entity, beside what encoding/csv takes only to read the same bytes.
func BenchmarkDecoding(b *testing.B) {
	r := record(key, header, full)
	body := r.Parts[0].Body.Bytes
	for name, decode := range map[string]func() error{
		"normalize": func() error {
			_, err := cobrowser.Normalize(r)
			return err
		},
		"encoding/csv": func() error { return readCSV(body) },
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

func readCSV(body []byte) error {
	r := csv.NewReader(bytes.NewReader(body))
	r.Comma = ';'
	_, err := r.ReadAll()
	return err
}
