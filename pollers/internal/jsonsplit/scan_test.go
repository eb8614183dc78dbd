package jsonsplit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
)

func scan(r io.Reader, path ...string) (elements []string, rest map[string]string, err error) {
	raw, err := jsonsplit.Scan(r, path, func(b events.Body) error {
		elements = append(elements, string(b.Bytes))
		return nil
	})
	rest = map[string]string{}
	for name, value := range raw {
		rest[name] = string(value)
	}
	return elements, rest, err
}

const sample = ` {"status":"ok","response" : {"total":2 ,"conversations":[
	{"id":"a","text":"quote \" and ]} \\"}, [1,[2]] ,"s\\\"",-1.5e3,null,{}],"x":{"y":[1,"\u00e9"]}},"pages":1} `

func TestElementsAndRestAreTheirOwnBytes(t *testing.T) {
	readers := map[string]func(string) io.Reader{
		"at once":          func(s string) io.Reader { return strings.NewReader(s) },
		"byte by byte":     func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
		"with the EOF":     func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
		"with a BOM first": func(s string) io.Reader { return strings.NewReader("\ufeff" + s) },
	}
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			elements, rest, err := scan(reader(sample), "response", "conversations")
			if err != nil {
				t.Fatal(err)
			}
			want := []string{`{"id":"a","text":"quote \" and ]} \\"}`, `[1,[2]]`, `"s\\\""`, `-1.5e3`, `null`, `{}`}
			if fmt.Sprintf("%q", elements) != fmt.Sprintf("%q", want) {
				t.Errorf("elements %q, want %q", elements, want)
			}
			wantRest := map[string]string{"status": `"ok"`, "response.total": "2", "response.x": `{"y":[1,"\u00e9"]}`, "pages": "1"}
			if !maps.Equal(rest, wantRest) {
				t.Errorf("rest %q, want %q", rest, wantRest)
			}
		})
	}
}

func TestAnEmptyArrayIsComplete(t *testing.T) {
	if elements, _, err := scan(strings.NewReader(`{"chats":[ ],"total":0}`), "chats"); err != nil || elements != nil {
		t.Errorf("%q, %v; want none and no error", elements, err)
	}
}

func TestAMissingArrayStillGivesTheRest(t *testing.T) {
	cases := map[string]string{
		"no member on the path":    `{"response":{"status":"ERROR"}}`,
		"null":                     `{"response":{"status":"ERROR","conversations":null}}`,
		"an object in its place":   `{"response":{"status":"ERROR","conversations":{"a":[1]}}}`,
		"a string in its place":    `{"response":{"status":"ERROR","conversations":""}}`,
		"the array is deeper down": `{"response":{"status":"ERROR","x":{"conversations":[1]}},"conversations":[2]}`,
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			elements, rest, err := scan(strings.NewReader(body), "response", "conversations")
			if !errors.Is(err, pollers.ErrIncomplete) || !strings.Contains(err.Error(), "response.conversations") {
				t.Errorf("error %v; want ErrIncomplete that names the path", err)
			}
			if rest["response.status"] != `"ERROR"` || elements != nil {
				t.Errorf("rest %q, elements %q; want the status and none", rest, elements)
			}
		})
	}
	_, rest, err := scan(strings.NewReader(`{"response":"down","total":1}`), "response", "conversations")
	if !errors.Is(err, pollers.ErrIncomplete) || rest["response"] != `"down"` {
		t.Errorf("rest %q, %v; want the value of another type in the rest", rest, err)
	}
}

func TestWhatIsNotTheObjectIsIncomplete(t *testing.T) {
	cases := map[string]string{
		"an array":                  `[]`,
		"null":                      `null`,
		"html":                      `<!DOCTYPE html><html></html>`,
		"text":                      `Internal error`,
		"binary":                    "\x00\x01\xff",
		"garbage behind":            `{"chats":[1]} x`,
		"a second object":           `{"chats":[1]}{"chats":[2]}`,
		"a missing comma":           `{"chats":[{"a":1} {"b":2}]}`,
		"numbers without a comma":   `{"chats":[1 2]}`,
		"a comma too many":          `{"chats":[1,]}`,
		"a comma first":             `{"chats":[,1]}`,
		"a member's comma missing":  `{"chats":[1] "total":1}`,
		"a member's comma too many": `{"chats":[1],}`,
		"a name without quotes":     `{chats:[1]}`,
		"no colon":                  `{"chats"[1]}`,
		"a bare word":               `{"chats":[immediate]}`,
		"a bare word in the rest":   `{"chats":[],"engagement":immediate_start}`,
		"a broken value in rest":    `{"chats":[],"x":{"a" 1}}`,
		"crossed brackets":          `{"chats":[{"a":[1}]]}`,
		"the array twice":           `{"chats":[1],"chats":[2]}`,
		"a comment":                 "{\"chats\":[1, // one\n2]}",
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			if elements, _, err := scan(strings.NewReader(body), "chats"); !errors.Is(err, pollers.ErrIncomplete) {
				t.Errorf("elements %q, error %v; want ErrIncomplete", elements, err)
			}
		})
	}
}

func TestEveryTruncationIsSeen(t *testing.T) {
	body := strings.TrimRight(sample, " ")
	for at := range body {
		_, _, err := scan(strings.NewReader(body[:at]), "response", "conversations")
		if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, pollers.ErrIncomplete) {
			t.Fatalf("cut at %d: %v; want ErrIncomplete and io.ErrUnexpectedEOF", at, err)
		}
	}
}

func TestAnErrorOfTheReaderIsKept(t *testing.T) {
	boom := errors.New("boom")
	_, _, err := scan(io.MultiReader(strings.NewReader(`{"chats":[1,`), iotest.ErrReader(boom)), "chats")
	if !errors.Is(err, boom) || !errors.Is(err, pollers.ErrIncomplete) {
		t.Errorf("%v; want the reader's error and ErrIncomplete", err)
	}
}

func TestAnErrorOfElementEndsTheScan(t *testing.T) {
	boom, calls := errors.New("boom"), 0
	_, err := jsonsplit.Scan(strings.NewReader(`{"chats":[1,2]}`), []string{"chats"}, func(events.Body) error { calls++; return boom })
	if !errors.Is(err, boom) || errors.Is(err, pollers.ErrIncomplete) || calls != 1 {
		t.Errorf("%v after %d calls; want boom after 1", err, calls)
	}
}

func TestHostileInputIsBounded(t *testing.T) {
	repeat := func(unit string, n int) io.Reader { return io.LimitReader(&endless{unit: unit}, int64(n*len(unit))) }
	cases := map[string]io.Reader{
		"depth of an element":  io.MultiReader(strings.NewReader(`{"chats":[`), repeat("[", 1<<20)),
		"depth of the rest":    io.MultiReader(strings.NewReader(`{"x":`), repeat(`{"a":`, 1<<20)),
		"a member of the rest": io.MultiReader(strings.NewReader(`{"x":"`), repeat("y", 2<<20), strings.NewReader(`","chats":[]}`)),
		"a name":               io.MultiReader(strings.NewReader(`{"`), repeat("y", 2<<20), strings.NewReader(`":1,"chats":[]}`)),
		"many members":         io.MultiReader(strings.NewReader(`{"chats":[]`), repeat(`,"y":"`+strings.Repeat("z", 1000)+`"`, 32<<10), strings.NewReader(`}`)),
	}
	for name, r := range cases {
		t.Run(name, func(t *testing.T) {
			if _, _, err := scan(r, "chats"); !errors.Is(err, pollers.ErrIncomplete) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v; want a refusal", err)
			}
		})
	}
}

// endless repeats a unit.
type endless struct {
	unit string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.unit[e.at:])
		n += c
		e.at = (e.at + c) % len(e.unit)
	}
	return n, nil
}

func TestOfATooLargeElementStartSizeAndDigestStay(t *testing.T) {
	units := map[string]string{"text": "abcdefgh", "backslashes": `\\`, "escaped quotes": `\"`, "odd escapes": `\\\"ab`}
	for name, unit := range units {
		t.Run(name, func(t *testing.T) {
			n := (events.MaxRecordBytes + 1<<20) / len(unit)
			whole := `{"t":"` + strings.Repeat(unit, n) + `"}`
			body := io.MultiReader(strings.NewReader(`{"chats":[1,`), strings.NewReader(whole), strings.NewReader(`,{"id":2}]}`))
			var got []events.Body
			_, err := jsonsplit.Scan(body, []string{"chats"}, func(b events.Body) error {
				b.Bytes = bytes.Clone(b.Bytes)
				got = append(got, b)
				return nil
			})
			if err != nil || len(got) != 3 {
				t.Fatalf("%d elements, %v; want 3", len(got), err)
			}
			sum := sha256.Sum256([]byte(whole))
			if b := got[1]; b.Size != int64(len(whole)) || b.SHA256 != hex.EncodeToString(sum[:]) || string(b.Bytes) != whole[:events.OversizeKeptBytes] {
				t.Errorf("size %d, digest %s, %d bytes; want %d, %x and the first %d", b.Size, b.SHA256, len(b.Bytes), len(whole), sum, events.OversizeKeptBytes)
			}
			if string(got[2].Bytes) != `{"id":2}` || got[2].Size != 0 {
				t.Errorf("the element behind it is %+v", got[2])
			}
		})
	}
}

func TestTheLargestElementIsWhole(t *testing.T) {
	whole := `"` + strings.Repeat("a", events.MaxRecordBytes-2) + `"`
	for size, element := range map[int64]string{0: whole, int64(len(whole) + 1): `"a` + whole[1:]} {
		_, err := jsonsplit.Scan(strings.NewReader(`{"chats":[`+element+`]}`), []string{"chats"}, func(b events.Body) error {
			if b.Size != size {
				t.Errorf("element of %d bytes: Size %d, want %d", len(element), b.Size, size)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestMembersVisitsEachInOrder(t *testing.T) {
	var got []string
	visit := func(name string, value []byte) { got = append(got, name+"="+string(value)) }
	if err := jsonsplit.Members([]byte(` {"a":1, "\u0062":{"a":2},"a":"x\"y"} `), visit); err != nil {
		t.Fatal(err)
	}
	if want := `[a=1 b={"a":2} a="x\"y"]`; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	got = nil
	if err := jsonsplit.Members([]byte(`{"id":"1","text":"cut he`), visit); err == nil || fmt.Sprint(got) != `[id="1"]` {
		t.Errorf("%v, %v; want the members before the cut and an error", got, err)
	}
}

func FuzzScanAgreesWithEncodingJSON(f *testing.F) {
	for _, seed := range []string{
		sample, `{"chats":[]}`, `{"chats":[{"a":"\\\""},1,"x"],"total":3}`, `{"chats":null}`, "\ufeff{}", `{"ch\u0061ts":[1]}`, `[`, `{"chats":[1,]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		elements, rest, err := scan(iotest.HalfReader(bytes.NewReader(body)), "chats")
		slow, slowRest, slowErr := scan(iotest.OneByteReader(bytes.NewReader(body)), "chats")
		if fmt.Sprintf("%q%q%v", elements, rest, err) != fmt.Sprintf("%q%q%v", slow, slowRest, slowErr) {
			t.Fatalf("the chunks matter: %q %v, %q %v", elements, err, slow, slowErr)
		}
		_ = jsonsplit.Members(body, func(string, []byte) {})
		if body = bytes.TrimPrefix(body, []byte("\ufeff")); !json.Valid(body) || !unique(body) {
			return
		}
		var members map[string]json.RawMessage
		var want []json.RawMessage
		if json.Unmarshal(body, &members) != nil || members == nil || json.Unmarshal(members["chats"], &want) != nil || want == nil {
			if !errors.Is(err, pollers.ErrIncomplete) {
				t.Fatalf("%q: %v; want ErrIncomplete", body, err)
			}
			return
		}
		if err != nil || len(elements) != len(want) || len(rest) != len(members)-1 {
			t.Fatalf("%q: %d elements, %d of the rest, %v; want %d and %d", body, len(elements), len(rest), err, len(want), len(members)-1)
		}
		for i := range want {
			if elements[i] != string(want[i]) {
				t.Fatalf("element %d is %q, want %q", i, elements[i], want[i])
			}
		}
	})
}

// unique tells whether the names at the top are different; of the others Scan and Unmarshal may think differently.
func unique(object []byte) bool {
	names, one := map[string]bool{}, true
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return true
	}
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return false
		}
		// A name that is no valid UTF-8 is replaced by one decoder and kept by the other.
		text, _ := name.(string)
		one = one && !names[text] && !strings.ContainsRune(text, '\ufffd')
		names[text] = true
	}
	return one
}

func page() []byte {
	var b bytes.Buffer
	b.WriteString(`{"chats":[`)
	for i := range 2000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"chat","id":"CH%06d","visitor_name":"Ada Brun","visitor_id":"S%d.aa","rate":"not_rated","duration":%d,"group":[0],`+
			`"started":"Wed, 10/28/26 11:40:53 am","messages":[`, i, i, i)
		for j := range 8 {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"author_name":"Ada Brun","text":"Where is my \"parcel\"? It was due on Monday and nobody has rung.","date":"Wed, 10/28/26 11:40:53 am","timestamp":%d,"user_type":"visitor"}`, 1793182853+j)
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`],"total":2000,"pages":80}`)
	return b.Bytes()
}

func BenchmarkScan(b *testing.B) {
	body := page()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := jsonsplit.Scan(bytes.NewReader(body), []string{"chats"}, func(events.Body) error { n++; return nil }); err != nil || n != 2000 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkDecoderOfEncodingJSON(b *testing.B) {
	body := page()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		dec := json.NewDecoder(bytes.NewReader(body))
		for range 3 {
			if _, err := dec.Token(); err != nil {
				b.Fatal(err)
			}
		}
		for dec.More() {
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkMembers(b *testing.B) {
	var chat []byte
	_, _ = jsonsplit.Scan(bytes.NewReader(page()), []string{"chats"}, func(e events.Body) error { chat = bytes.Clone(e.Bytes); return nil })
	b.SetBytes(int64(len(chat)))
	b.ReportAllocs()
	for b.Loop() {
		if err := jsonsplit.Members(chat, func(string, []byte) {}); err != nil {
			b.Fatal(err)
		}
	}
}
