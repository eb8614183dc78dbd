package xmlsplit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
	"github.com/parley-stream/parley/pollers/internal/xmlsplit"
)

func split(r io.Reader, path []string, element string) ([]string, error) {
	var records []string
	err := xmlsplit.Scan(r, path, element, func(b events.Body) error {
		records = append(records, string(b.Bytes))
		return nil
	})
	return records, err
}

var (
	flat = []string{"chats"}
	deep = []string{"response", "conversations"}
)

func TestRecordsAreFoundVerbatim(t *testing.T) {
	cases := map[string]struct {
		path    []string
		element string
		in      string
		want    []string
	}{
		"none in an empty wrapper":           {flat, "chat", "<chats></chats>", nil},
		"none in a self-closed wrapper":      {flat, "chat", "<chats/>", nil},
		"one":                                {flat, "chat", "<chats><chat>a</chat></chats>", []string{"<chat>a</chat>"}},
		"two, spaced":                        {flat, "chat", "\n<chats>\r\n <chat>a</chat>\t<chat>b</chat>\n</chats>\n", []string{"<chat>a</chat>", "<chat>b</chat>"}},
		"after BOM, declaration and comment": {flat, "chat", "\xef\xbb\xbf<?xml version=\"1.0\"?><!-- <chats> --><chats><chat/></chats><!-- end --><?pi?>\n", []string{"<chat/>"}},
		"with attributes":                    {flat, "chat", `<chats n='1>'><chat a="/>" b='>"' >x</chat ></chats >`, []string{`<chat a="/>" b='>"' >x</chat >`}},
		"self-closed with attributes":        {flat, "chat", `<chats><chat a=">"/><chat a=""/></chats>`, []string{`<chat a=">"/>`, `<chat a=""/>`}},
		"with an end tag in CDATA":           {flat, "chat", "<chats><chat><![CDATA[</chat>]]]></chat></chats>", []string{"<chat><![CDATA[</chat>]]]></chat>"}},
		"with an end tag in a comment":       {flat, "chat", "<chats><chat><!-- </chat> - -></chat>--></chat></chats>", []string{"<chat><!-- </chat> - -></chat>--></chat>"}},
		"with an end tag in an instruction":  {flat, "chat", "<chats><chat><?x </chat>?></chat></chats>", []string{"<chat><?x </chat>?></chat>"}},
		"with elements whose names begin so": {flat, "chat", "<chats><chat><chatter></chatter></chat><chatty><chat/></chatty></chats>", []string{"<chat><chatter></chatter></chat>"}},
		"nested in one of the same name":     {flat, "m", "<chats><m><m>1</m><m/><m>2<m>3</m></m></m><m>4</m></chats>", []string{"<m><m>1</m><m/><m>2<m>3</m></m></m>", "<m>4</m>"}},
		"not well-formed inside":             {flat, "chat", "<chats><chat><b>&nosuch;</i></chat><chat>2</chat></chats>", []string{"<chat><b>&nosuch;</i></chat>", "<chat>2</chat>"}},
		"not UTF-8 and with control bytes":   {flat, "chat", "<chats><chat>\xff\x00\x1b</chat></chats>", []string{"<chat>\xff\x00\x1b</chat>"}},
		"in nested wrappers":                 {deep, "conversation", "<response><status>OK</status><conversations count=\"1\"><conversation><conversations/></conversation></conversations><more/></response>", []string{"<conversation><conversations/></conversation>"}},
		"beside other children":              {flat, "chat", "<chats><total>2</total><chat>1</chat><x><chat>no</chat></x></chats>", []string{"<chat>1</chat>"}},
		"in a wrapper that comes twice":      {deep, "c", "<response><conversations><c>1</c></conversations><conversations><c>2</c></conversations></response>", []string{"<c>1</c>", "<c>2</c>"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for reader, r := range map[string]io.Reader{
				"at once": strings.NewReader(c.in), "by byte": iotest.OneByteReader(strings.NewReader(c.in)),
				"with its end": iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				if got, err := split(r, c.path, c.element); err != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s: %q, %v; want %q", reader, got, err, c.want)
				}
			}
		})
	}
}

func TestWhatIsNotTheWholeDocumentIsIncomplete(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"nothing":                      {"", "ends before the root"},
		"white space":                  {" \n", "ends before the root"},
		"text":                         {"Internal error", "text before the root"},
		"UTF-16":                       {"\xff\xfe<\x00c\x00", "text before the root"},
		"another root":                 {"<html><body/></html>", "root element is <html>, want <response>"},
		"a doctype":                    {"<!DOCTYPE html><html/>", "DOCTYPE"},
		"a doctype with entities":      {`<?xml version="1.0"?><!DOCTYPE response [<!ENTITY a "aaa">]><response/>`, "DOCTYPE"},
		"no wrapper":                   {"<response><status>ERROR</status></response>", "no element response/conversations"},
		"an empty root":                {"<response/>", "no element response/conversations"},
		"an unclosed root":             {"<response><conversations></conversations>", "ends in response"},
		"an unclosed wrapper":          {"<response><conversations><c/></response>", "there is </response>, want </conversations>"},
		"an unclosed record":           {"<response><conversations><c></conversations></response>", "ends in <c>"},
		"a comment that does not end":  {"<response><conversations><c><!-- </c></conversations></response>", "ends in <!--"},
		"a tag that does not end":      {"<response><conversations><c a=\"></c></conversations></response>", "ends in a tag"},
		"an end tag that is cut":       {"<response><conversations/></response", "in a tag"},
		"an end tag with more":         {"<response><conversations/></response x>", "malformed"},
		"a name without a name":        {"<response>< /></response>", "malformed"},
		"a long name":                  {"<response><" + strings.Repeat("n", 300) + "/></response>", "longer than"},
		"text between records":         {"<response><conversations><c/>oops</conversations></response>", "text in response/conversations"},
		"CDATA between records":        {"<response><conversations><![CDATA[x]]></conversations></response>", "CDATA"},
		"text after the root":          {"<response><conversations/></response>Fatal error", "text after the root"},
		"another document after it":    {"<response><conversations/></response><response/>", "element after the root"},
		"an end tag first":             {"</response>", "does not start"},
		"an end tag after the root":    {"<response><conversations/></response></response>", "element after the root"},
		"a comment cut after the root": {"<response><conversations/></response><!-- ", "ends in <!--"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := split(strings.NewReader(c.in), deep, "c")
			if !errors.Is(err, pollers.ErrIncomplete) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want ErrIncomplete that says %q", err, c.want)
			}
		})
	}
}

func TestACutAtAnyByteIsIncomplete(t *testing.T) {
	const whole = `<?xml version="1.0"?><response><status>OK</status><conversations n="2"><c>a<![CDATA[<]]></c><!-- x --><c b='>'/></conversations></response>`
	for at := range len(whole) {
		if _, err := split(strings.NewReader(whole[:at]), deep, "c"); !errors.Is(err, pollers.ErrIncomplete) {
			t.Errorf("cut at %d: %v; want ErrIncomplete", at, err)
		}
		framed := io.MultiReader(strings.NewReader(whole[:at]), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := split(framed, deep, "c"); !errors.Is(err, pollers.ErrIncomplete) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d, seen by the framing: %v; want ErrIncomplete and ErrUnexpectedEOF", at, err)
		}
	}
	// Even after the last tag: the framing says that more was to come.
	framed := io.MultiReader(strings.NewReader(whole), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := split(framed, deep, "c"); !errors.Is(err, pollers.ErrIncomplete) {
		t.Errorf("cut after the root: %v; want ErrIncomplete", err)
	}
}

func TestOtherChildrenAreTold(t *testing.T) {
	const in = `<response x="1"><status>ERR&amp;OR </status><code/><msg><![CDATA[a<b]]></msg><conversations><c/><d e=">">t<u/>v</d></conversations></response>`
	var got []string
	s := xmlsplit.Splitter{Path: deep, Element: "c", Other: func(path, text string) error {
		got = append(got, path+"="+text)
		return nil
	}}
	want := []string{"response/status=ERR&OR", "response/code=", "response/msg=a<b", "response/conversations/d=t"}
	if err := s.Scan(strings.NewReader(in), func(events.Body) error { return nil }); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestAnErrorOfACallbackEndsTheScanAndIsReturned(t *testing.T) {
	boom := errors.New("boom")
	const in = "<chats><x/><chat/></chats>"
	if err := xmlsplit.Scan(strings.NewReader(in), flat, "chat", func(events.Body) error { return boom }); err != boom {
		t.Errorf("emit: %v; want boom", err)
	}
	s := xmlsplit.Splitter{Path: flat, Element: "chat", Other: func(string, string) error { return boom }}
	if err := s.Scan(strings.NewReader(in), func(events.Body) error { return nil }); err != boom {
		t.Errorf("other: %v; want boom", err)
	}
}

func TestAnErrorOfTheReaderIsWrapped(t *testing.T) {
	boom := errors.New("boom")
	for _, start := range []string{"", "<chats>", "<chats><chat>", "<chats/>"} {
		_, err := split(io.MultiReader(strings.NewReader(start), iotest.ErrReader(boom)), flat, "chat")
		if !errors.Is(err, boom) || errors.Is(err, pollers.ErrIncomplete) {
			t.Errorf("after %q: %v; want boom alone", start, err)
		}
	}
}

// filler reads n bytes of a letter.
func filler(n int64) io.Reader { return io.LimitReader(letters{}, n) }

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestARecordOverTheLimitKeepsItsStartSizeAndDigest(t *testing.T) {
	const shell = int64(len("<chat></chat>"))
	cases := map[string]struct {
		size int64
		over bool
	}{
		"of the limit":       {events.MaxRecordBytes, false},
		"one byte over":      {events.MaxRecordBytes + 1, true},
		"three times as big": {3 * events.MaxRecordBytes, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := sha256.New()
			record := io.TeeReader(io.MultiReader(strings.NewReader("<chat>"), filler(c.size-shell), strings.NewReader("</chat>")), h)
			var got []events.Body
			err := xmlsplit.Scan(io.MultiReader(strings.NewReader("<chats>\n<chat>1</chat>"), record, strings.NewReader("<chat>2</chat></chats>")), flat, "chat",
				func(b events.Body) error {
					got = append(got, events.Body{Bytes: bytes.Clone(b.Bytes), Size: b.Size, SHA256: b.SHA256})
					return nil
				})
			if err != nil || len(got) != 3 || string(got[2].Bytes) != "<chat>2</chat>" {
				t.Fatalf("%d records, %v; want 3", len(got), err)
			}
			big := got[1]
			if !c.over && (int64(len(big.Bytes)) != c.size || big.Size != 0 || big.SHA256 != "") {
				t.Errorf("%d bytes, size %d, digest %q; want it whole", len(big.Bytes), big.Size, big.SHA256)
			}
			if c.over && (len(big.Bytes) != events.OversizeKeptBytes || big.Size != c.size || big.SHA256 != hex.EncodeToString(h.Sum(nil))) {
				t.Errorf("%d bytes, size %d, digest %q; want %d, %d and the digest", len(big.Bytes), big.Size, big.SHA256, events.OversizeKeptBytes, c.size)
			}
		})
	}
}

func TestDeepNestingCostsNothing(t *testing.T) {
	const n = 2_000_000
	in := io.MultiReader(strings.NewReader("<chats><chat>"), strings.NewReader(strings.Repeat("<chat>", n)+strings.Repeat("</chat>", n)), strings.NewReader("</chat></chats>"))
	if got, err := split(in, flat, "chat"); err != nil || len(got) != 1 {
		t.Errorf("%d records, %v; want 1", len(got), err)
	}
}

// oracle splits by encoding/xml; ok is false for what it refuses or what Scan need not agree on.
func oracle(in []byte) (records []string, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(in))
	d.Strict = true
	var open []string
	var start int64
	roots := 0
	for {
		before := d.InputOffset()
		token, err := d.RawToken()
		if err != nil {
			return records, err == io.EOF && len(open) == 0 && roots == 1
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, qualified(token.Name))
			if len(open) == 1 {
				roots++
			}
			if open[0] != "a" {
				return nil, false
			}
			if len(open) == 2 && open[1] == "b" {
				start = before
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != qualified(token.Name) {
				return nil, false
			}
			if len(open) == 2 && open[1] == "b" {
				records = append(records, string(in[start:d.InputOffset()]))
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) < 2 && len(bytes.Trim(in[before:d.InputOffset()], " \t\r\n")) > 0 {
				return nil, false
			}
		case xml.Directive:
			return nil, false
		}
	}
}

func qualified(n xml.Name) string {
	if n.Space != "" {
		return n.Space + ":" + n.Local
	}
	return n.Local
}

func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		"<a><b>1</b><b/></a>", "\xef\xbb\xbf<?xml version=\"1.0\"?><a x='>'><c><b/></c><b y=\">\"><b></b></b></a><!-- -->",
		"<a><b><![CDATA[</b>]]></b><!-- <b> --></a>", "<a><b></a>", "<a/>", "<!DOCTYPE a><a/>", "<a><b><?p </b>?></b ></a >",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := split(bytes.NewReader(in), []string{"a"}, "b")
		slow, slowErr := split(iotest.OneByteReader(bytes.NewReader(in)), []string{"a"}, "b")
		if !slices.Equal(got, slow) || (err == nil) != (slowErr == nil) {
			t.Fatalf("at once %q, %v; by byte %q, %v", got, err, slow, slowErr)
		}
		want, ok := oracle(in)
		if ok && (err != nil || !slices.Equal(got, want)) {
			t.Fatalf("%q, %v; encoding/xml finds %q", got, err, want)
		}
	})
}

func sample(size int) []byte {
	var b bytes.Buffer
	b.WriteString("<chats>\n")
	for b.Len() < size {
		b.WriteString("<chat>\n<id>5f0c3ad2-8f0e-4c39-9b0c-0a52f0a3e8d1</id>\n<operator>ada@agent.example</operator>\n<start>23-10-2026T12:49:1200</start>\n")
		for range 6 {
			b.WriteString("<msg from=\"visitor\" time=\"23-10-2026T12:49:1200\">\nCan I return the red shoes &lt;size 42&gt; &amp; get a refund?\n</msg>\n")
		}
		b.WriteString("</chat>\n")
	}
	b.WriteString("</chats>\n")
	return b.Bytes()
}

func BenchmarkSplit(b *testing.B) {
	in := sample(8 << 20)
	b.Run("xmlsplit", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			if err := xmlsplit.Scan(bytes.NewReader(in), flat, "chat", func(events.Body) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-xml", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			d := xml.NewDecoder(bytes.NewReader(in))
			for {
				if _, err := d.RawToken(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
