package events_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/parley-stream/parley/events"
)

func record() *events.Record {
	return &events.Record{
		Vendor: "liveagent", Source: "support", Stream: "conversations", Key: "c1",
		Parts: []events.Part{
			{Name: "detail", ContentType: events.ContentXML, URL: "https://vendor.example/api/conversations/c1", Body: events.Body{Bytes: []byte("<conversation/>")}},
			{Name: "messages", ContentType: events.ContentXML, Body: events.Body{Bytes: []byte("\x00\xff")}},
		},
		Params: map[string]string{"report": "chats/ratings", "bucket": "2026-10-01"}, Timezone: "America/Los_Angeles",
		WindowFrom:  time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC),
		WindowTo:    time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC),
		RequestedAt: time.Date(2026, 10, 2, 0, 0, 1, 5, time.UTC),
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func drawRecord(t *rapid.T) *events.Record {
	body := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) events.Body { return events.Body{Bytes: b} })
	return &events.Record{
		Vendor: hostile().Draw(t, "vendor"), Source: hostile().Draw(t, "source"), Stream: hostile().Draw(t, "stream"), Key: drawID().Draw(t, "key"),
		Parts: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) events.Part {
			p := events.Part{Name: hostile().Draw(t, "name"), ContentType: hostile().Draw(t, "type"), URL: hostile().Draw(t, "url"), Body: body.Draw(t, "body")}
			if rapid.Bool().Draw(t, "oversize") {
				p.Body.Size, p.Body.SHA256 = rapid.Int64Min(1).Draw(t, "size"), rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "sha256")
			}
			return p
		}), 0, 4).Draw(t, "parts"),
		Params:     rapid.MapOfN(hostile(), hostile(), 0, 4).Draw(t, "params"),
		Timezone:   hostile().Draw(t, "timezone"),
		WindowFrom: drawTime().Draw(t, "from"), WindowTo: drawTime().Draw(t, "to"), RequestedAt: drawTime().Draw(t, "requested"),
		Traceparent: hostile().Draw(t, "traceparent"),
	}
}

func TestARecordComesBackFromMsgpackAsItWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		b, err := events.EncodeRecord(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := events.DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		again, err := events.EncodeRecord(got)
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("encoded again it has other bytes: %v\n%q\n%q", err, b, again)
		}
	})
}

func TestTimesOfARecordAreUTC(t *testing.T) {
	b, err := events.EncodeRecord(record())
	if err != nil {
		t.Fatal(err)
	}
	r, err := events.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{r.WindowFrom, r.WindowTo, r.RequestedAt} {
		if at.Location() != time.UTC {
			t.Errorf("%v is in %v", at, at.Location())
		}
	}
}

func TestWhatIsNoRecordIsRefusedForGood(t *testing.T) {
	whole, err := events.EncodeRecord(record())
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{
		"nothing":           nil,
		"text":              []byte("<conversation/>"),
		"a number":          {0x01},
		"bytes behind it":   append(bytes.Clone(whole), 0),
		"a length too long": {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a code of nobody":  {0x81, 0xa1, 'x', 0xc1},
		"deep nesting":      append([]byte{0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 32<<20)...),
		"deep nesting where an extension hides it": append([]byte("\x81\xa5parts\x91\x81\xa4body\xc9\x02\x00\x00\x03\x05\x81\xa1x"), bytes.Repeat([]byte{0x91}, 32<<20)...),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			if r, err := events.DecodeRecord(b); err == nil || !events.IsPermanent(err) {
				t.Errorf("%+v, %v; want a permanent error", r, err)
			}
		})
	}
	for n := range whole {
		if _, err := events.DecodeRecord(whole[:n]); err == nil || !events.IsPermanent(err) {
			t.Fatalf("cut at %d of %d: %v, want a permanent error", n, len(whole), err)
		}
	}
}

func TestARecordOfANewerPollerIsRead(t *testing.T) {
	whole, err := events.EncodeRecord(record())
	if err != nil {
		t.Fatal(err)
	}
	more := append(bytes.Clone(whole), 0xa3, 'n', 'e', 'w', 0x92, 0x01, 0x81, 0xa1, 'a', 0xc0)
	more[0]++ // one more key in the map
	got, err := events.DecodeRecord(more)
	if diff := cmp.Diff(record(), got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestPartsAreFoundByName(t *testing.T) {
	r := record()
	if got := r.Part("messages"); string(got) != "\x00\xff" {
		t.Errorf("messages: %q", got)
	}
	if got := r.Part("tags"); got != nil {
		t.Errorf("tags: %q, want nil", got)
	}
}

func TestOversizeTellsOfAPartThatWasCut(t *testing.T) {
	r := record()
	if body, ok := r.Oversize(); ok {
		t.Errorf("a whole record: %+v", body)
	}
	r.Parts[1].Body = events.Body{Bytes: []byte("start"), Size: events.MaxRecordBytes + 1, SHA256: strings.Repeat("0", 64)}
	if body, ok := r.Oversize(); !ok || body.Size != events.MaxRecordBytes+1 {
		t.Errorf("a cut record: %+v, %v", body, ok)
	}
}

func TestAFingerprintIsOfWhatTheVendorSaid(t *testing.T) {
	want := record().Fingerprint()
	if want != "0c2e6346ad41227c82274cfc5d3c9ea0" {
		t.Errorf("fingerprint %s: coverage that is stored knows another", want)
	}
	same := map[string]func(r *events.Record){
		"another window": func(r *events.Record) { r.WindowFrom, r.WindowTo = r.WindowTo, r.WindowTo.Add(time.Hour) },
		"another time":   func(r *events.Record) { r.RequestedAt = r.RequestedAt.Add(time.Hour) },
		"another trace":  func(r *events.Record) { r.Traceparent = "" },
		"another URL":    func(r *events.Record) { r.Parts[0].URL = "" },
	}
	for name, change := range same {
		t.Run(name, func(t *testing.T) {
			r := record()
			if change(r); r.Fingerprint() != want {
				t.Error("has another fingerprint, want the same")
			}
		})
	}
	other := map[string]func(r *events.Record){
		"another key": func(r *events.Record) { r.Key = "c2" },
		"other bytes": func(r *events.Record) { r.Parts[1].Body.Bytes = []byte("x") },
		"bytes moved": func(r *events.Record) {
			r.Parts[0].Body.Bytes, r.Parts[1].Body.Bytes = r.Parts[1].Body.Bytes, r.Parts[0].Body.Bytes
		},
		"a part less":           func(r *events.Record) { r.Parts = r.Parts[:1] },
		"an oversize part":      func(r *events.Record) { r.Parts[1].Body.Size, r.Parts[1].Body.SHA256 = 99, "aa" },
		"another oversize part": func(r *events.Record) { r.Parts[1].Body.Size, r.Parts[1].Body.SHA256 = 99, "bb" },
	}
	seen := map[string]string{want: "the record"}
	for name, change := range other {
		r := record()
		change(r)
		if twin, ok := seen[r.Fingerprint()]; ok {
			t.Errorf("%s has the fingerprint of %s", name, twin)
		}
		seen[r.Fingerprint()] = name
	}
}

func TestARawEventCarriesItsRecord(t *testing.T) {
	r := record()
	e, err := events.NewRawEvent(r, "id-1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.DecodeRecord(e.Data)
	if diff := cmp.Diff(r, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	e.Data = nil
	want := events.Event{
		ID: "id-1", Source: "/liveagent/support", Type: "dev.parley.raw.record", Subject: "c1", Time: r.RequestedAt,
		DataContentType: "application/msgpack", Vendor: "liveagent", Stream: "conversations", TraceParent: r.Traceparent,
	}
	if diff := equal(want, e); diff != "" {
		t.Error(diff)
	}
	if k := e.Kind(); k != "" {
		t.Errorf("kind %q, want none", k)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	whole, err := events.EncodeRecord(record())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte{0x80})
	f.Add([]byte{0xc0})
	f.Add([]byte{0x81, 0xa5, 'p', 'a', 'r', 't', 's', 0xdd, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := events.DecodeRecord(b)
		if err != nil {
			if !events.IsPermanent(err) {
				t.Fatalf("%v is not permanent", err)
			}
			return
		}
		once, err := events.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := events.DecodeRecord(once)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}
