package cobrowser_test

import (
	"bytes"
	"encoding/csv"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/pollertest"
)

func FuzzFetch(f *testing.F) {
	for _, seed := range []string{
		sample(), "\xef\xbb\xbf" + sample(), strings.TrimSpace(sample()), strings.ReplaceAll(sample(), "\r\n", "\n"),
		strings.ReplaceAll(sample(), "sale", "a \"\"b\"\" ;\r\n c"), strings.ReplaceAll(sample(), `"`, ""),
		strings.Replace(sample(), `"9002";`, "", 1), strings.Replace(sample(), `sale"`, `sale`, 1), "<html>", "", `"`, ";;;\n", "\r\r\n",
	} {
		f.Add("conversations", seed)
	}
	for stream, l := range lists {
		f.Add(stream, l.export(l.at(ten, nil), l.at(ten, map[string]string{"activity_id": "", "preset": ""})))
		f.Add(stream, line(";", l.at(ten, nil)...))
	}
	now := clock("2026-10-27 12:00:00")
	f.Fuzz(func(t *testing.T, stream, body string) {
		window := day("2026-10-27")
		if window.Stream = stream; stream != "conversations" {
			window = lists[stream].window(stream, "2026-10-27")
		}
		records, err := pollertest.Collect(open(t, always(body), now), window)
		w := &wire{answer: func(int, url.Values) reply {
			return reply{body: iotest.OneByteReader(strings.NewReader(body)), framed: true}
		}}
		again, err2 := pollertest.Collect(open(t, w, now), window)
		if (err == nil) != (err2 == nil) || !same(fingerprints(records), fingerprints(again)) {
			t.Errorf("byte by byte: %d records, %v; else %d records, %v", len(again), err2, len(records), err)
		}
		for i := range records {
			checkFuzzed(t, body, &records[i], window)
		}
	})
}

func fingerprints(records []events.Record) []string {
	out := make([]string, len(records))
	for i := range records {
		out[i] = records[i].Fingerprint()
	}
	return out
}

// checkFuzzed holds a record to what encoding/csv reads of it, and to the body that it came from.
func checkFuzzed(t *testing.T, body string, r *events.Record, window pollers.Window) {
	t.Helper()
	data := r.Parts[0].Body.Bytes
	if r.Key == "" || bytes.Contains(data, []byte("[redacted]")) {
		return
	}
	parser := csv.NewReader(bytes.NewReader(data))
	parser.Comma, parser.LazyQuotes, parser.FieldsPerRecord = ';', true, -1
	rows, err := parser.ReadAll()
	if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
		t.Fatalf("%q: encoding/csv reads %q, %v; want a header and a row", data, rows, err)
	}
	value := map[string]string{}
	for i, name := range rows[0] {
		if _, twice := value[name]; !twice {
			value[name] = rows[1][i]
		}
	}
	// encoding/csv makes LF of a CRLF in quotes.
	want := events.CobrowserKey(window.Stream, func(column string) string { return value[column] }, "Europe/Amsterdam")
	if want != strings.ReplaceAll(r.Key, "\r\n", "\n") {
		t.Errorf("%q: key %q, want %q", data, r.Key, want)
	}
	if start, ok := events.CobrowserTime(value["conversation_start"], "Europe/Amsterdam"); window.Stream == "conversations" && (!ok || !window.Holds(start)) {
		t.Errorf("%q: start %s", data, start)
	}
	if _, row, _ := bytes.Cut(data, []byte("\n")); len(rows[0]) > 1 && !strings.Contains(body, string(row[bytes.LastIndexByte(row, '\n')+1:])) {
		t.Errorf("%q is not in the response", row)
	}
}
