package cobrowser_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/pollertest"
)

// handlerWire serves a handler in memory.
type handlerWire struct{ http.Handler }

func (h handlerWire) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	resp := rec.Result()
	resp.ContentLength, resp.Request = int64(rec.Body.Len()), r
	return resp, nil
}

func serve(h http.Handler) http.RoundTripper { return handlerWire{h} }

func sample() string {
	return export(chat("9001", at("2026-10-27 10:00:00")), chat("9002", at("2026-10-27 10:05:00")), chat("9003", at("2026-10-27 11:00:00")))
}

func TestABodyWithoutFramingIsReadTwice(t *testing.T) {
	full := sample()
	for name, test := range map[string]struct {
		bodies []reply
		whole  bool
	}{
		"the same twice":                 {[]reply{unframed(full), unframed(full)}, true},
		"the second is framed":           {[]reply{unframed(full), framed(full)}, true},
		"cut between rows, then whole":   {[]reply{unframed(export(chat("9001", at("2026-10-27 10:00:00")))), unframed(full)}, false},
		"whole, then cut":                {[]reply{unframed(full), unframed(full[:len(full)-30])}, false},
		"no end of the last line, twice": {[]reply{unframed(strings.TrimSpace(full)), unframed(strings.TrimSpace(full))}, false},
		"the second is broken":           {[]reply{unframed(full), {body: strings.NewReader(full[:50]), framed: true, ends: io.ErrUnexpectedEOF}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{answer: func(n int, _ url.Values) reply { return test.bodies[n] }}
			p := open(t, w, clock("2026-10-27 12:00:00"))
			count := 0
			reading, err := p.Fetch(context.Background(), day("2026-10-27"), func(events.Record) error { count++; return nil })
			if test.whole && (err != nil || count != 3 || reading.Requests != 2) {
				t.Errorf("%d records, %+v, %v; want 3 by 2 requests", count, reading, err)
			}
			if !test.whole && !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("%d records, %v; want ErrIncomplete", count, err)
			}
		})
	}
}

func TestACutAtAnyByteIsNeverComplete(t *testing.T) {
	full := sample()
	for cut := range full {
		for name, w := range map[string]*wire{
			"the framing tells":           {answer: func(int, url.Values) reply { return reply{strings.NewReader(full[:cut]), true, io.ErrUnexpectedEOF} }},
			"unframed, then whole":        {answer: func(n int, _ url.Values) reply { return unframed(full[:cut+n*(len(full)-cut)]) }},
			"unframed, cut there forever": {answer: func(int, url.Values) reply { return unframed(full[:cut]) }},
			"the server's program ended":  {answer: func(int, url.Values) reply { return framed(full[:cut]) }},
		} {
			records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), day("2026-10-27"))
			if err == nil && !undetectable(name, full, cut, len(records)) {
				t.Errorf("%s: cut at byte %d of %d: complete with %d records", name, cut, len(full), len(records))
			}
			if err != nil && !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("%s: cut at byte %d: %v; want ErrIncomplete", name, cut, err)
			}
			for _, r := range records {
				if r.Key == "" {
					t.Fatalf("%s: cut at byte %d: emitted a broken row %q", name, cut, r.Parts[0].Body.Bytes)
				}
			}
		}
	}
}

// undetectable tells whether a body is a whole CSV of its own: it ends just where a line does.
func undetectable(name, full string, cut, records int) bool {
	switch rest := strings.TrimLeft(full[cut:], "\r\n"); name {
	case "unframed, cut there forever":
		return strings.HasSuffix(full[:cut], "\n") && records == strings.Count(full[:cut], "\n")-1
	case "the server's program ended":
		return rest == "" || strings.HasPrefix(rest, `"Tue,`) && records == strings.Count(full[:len(full)-len(rest)], "\n")-1
	default:
		return false
	}
}

func TestHoweverTheBytesArriveTheRowsAreTheSame(t *testing.T) {
	body := "\xef\xbb\xbf" + strings.Replace(sample(), "sale", "a\r\n\"\"b;\"\"", 2)
	read := func(r reply) []string {
		w := &wire{answer: func(int, url.Values) reply { return r }}
		records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), day("2026-10-27"))
		if err != nil || len(records) != 3 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		return []string{records[0].Fingerprint(), records[1].Fingerprint(), records[2].Fingerprint()}
	}
	want := read(framed(body))
	for name, r := range map[string]io.Reader{
		"byte by byte":      iotest.OneByteReader(strings.NewReader(body)),
		"in halves":         iotest.HalfReader(strings.NewReader(body)),
		"data with the end": iotest.DataErrReader(strings.NewReader(body)),
	} {
		if got := read(reply{body: r, framed: true}); !same(got, want) {
			t.Errorf("%s: other records", name)
		}
	}
}

// filler is n bytes of text.
func filler(n int) io.Reader { return io.LimitReader(zeros{}, int64(n)) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'z'
	}
	return len(p), nil
}

func TestARowOverTheLimitIsGivenByItsStartItsSizeAndItsDigest(t *testing.T) {
	start := at("2026-10-27 10:00:00")
	header := line(";", columns...)
	for name, over := range map[string]int{"as large as allowed": 0, "one byte more": 1, "two bytes more": 2, "much more": 40 << 20} {
		for _, end := range []string{"\r\n", "\n"} {
			row := chat("9002", start)
			row[19] = "*"
			before, after, _ := strings.Cut(line(";", row...), "*")
			large := events.MaxRecordBytes - len(header) - 1 - len(before) - len(after) + over
			whole := func() io.Reader {
				return io.MultiReader(strings.NewReader(header+"\n"+before), filler(large), strings.NewReader(after))
			}
			w := &wire{answer: func(int, url.Values) reply {
				return reply{framed: true, body: io.MultiReader(strings.NewReader(export(chat("9001", start))+before),
					filler(large), strings.NewReader(after+end+line(";", chat("9003", start)...)+end))}
			}}
			records, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), day("2026-10-27"))
			if err != nil || !same(keys(records), []string{key("9001", start), key("9002", start), key("9003", start)}) {
				t.Fatalf("%s: keys %q, %v", name, keys(records), err)
			}
			checkLarge(t, name, records[1].Parts[0].Body, whole, over > 0)
		}
	}
}

func checkLarge(t *testing.T, name string, body events.Body, whole func() io.Reader, oversize bool) {
	t.Helper()
	sum := sha256.New()
	size, err := io.Copy(sum, whole())
	if err != nil {
		t.Fatal(err)
	}
	start := make([]byte, events.OversizeKeptBytes)
	if _, err := io.ReadFull(whole(), start); err != nil {
		t.Fatal(err)
	}
	switch {
	case !oversize && (body.Size != 0 || int64(len(body.Bytes)) != size):
		t.Errorf("%s: %d bytes, size %d; want all %d", name, len(body.Bytes), body.Size, size)
	case oversize && (body.Size != size || body.SHA256 != hex.EncodeToString(sum.Sum(nil)) || string(body.Bytes) != string(start)):
		t.Errorf("%s: %d bytes, size %d, digest %s; want the first %d of %d and their digest", name, len(body.Bytes), body.Size, body.SHA256, len(start), size)
	}
}

func TestAQuoteThatNeverClosesIsIncompleteAndHeldInBoundedMemory(t *testing.T) {
	w := &wire{answer: func(int, url.Values) reply {
		return reply{framed: true, body: io.MultiReader(strings.NewReader(export()+`"`), filler(300<<20))}
	}}
	if _, err := pollertest.Collect(open(t, w, clock("2026-10-27 12:00:00")), day("2026-10-27")); !errors.Is(err, pollers.ErrIncomplete) {
		t.Errorf("%v; want ErrIncomplete", err)
	}
}
