package liveleader_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"testing"

	"github.com/parley-stream/parley/processors/normalize/liveleader"
	"github.com/parley-stream/parley/processors/processortest"
)

// BenchmarkDecoding is a record's one decoding, into its canonical entity, beside what encoding/xml takes only to read the same bytes.
func BenchmarkDecoding(b *testing.B) {
	body, err := os.ReadFile("testdata/documented.xml")
	if err != nil {
		b.Fatal(err)
	}
	body = bytes.TrimSpace(body)
	r, normalize := record("7be0d1f4-21c9-4a6e-9f3b-5d2c80aa4e17", string(body)), liveleader.New()
	processortest.Decoding(b, body, map[string]func() error{
		"normalize": func() error {
			_, err := normalize(r)
			return err
		},
		"encoding/xml": func() error { return readXML(body) },
	})
}

func readXML(body []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(body)); ; {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
