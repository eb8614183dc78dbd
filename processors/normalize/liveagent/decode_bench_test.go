package liveagent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/parley-stream/parley/processors/normalize/liveagent"
	"github.com/parley-stream/parley/processors/processortest"
)

// BenchmarkDecoding is a record's one decoding, into its canonical entity, beside what encoding/json takes only to read the same bytes.
func BenchmarkDecoding(b *testing.B) {
	r := inJSON()
	var body []byte
	for _, part := range r.Parts {
		body = append(append(body, part.Body.Bytes...), '\n')
	}
	processortest.Decoding(b, body, map[string]func() error{
		"normalize": func() error {
			_, err := liveagent.Normalize(r)
			return err
		},
		"encoding/json": func() error { return readJSON(body) },
	})
}

func readJSON(body []byte) error {
	for d := json.NewDecoder(bytes.NewReader(body)); ; {
		var document any
		if err := d.Decode(&document); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
