package format_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks/internal/format"
	"github.com/parley-stream/parley/sinks/sinktest"
)

// Subjects that a format writes otherwise than they are.
var oddSubjects = []string{"plain", "=1+1", "'quoted", "a\r\n=b", "größer\u2028", "bad\xffutf8", "\tTab", `with "quotes", and commas`, strings.Repeat("long", 3000)}

func TestEventsOfAnEntityAreCountedInEveryFormat(t *testing.T) {
	var list []events.Event
	for i := range 300 {
		e := sinktest.Event("someone else", uint64(i+1))
		if i%3 == 0 {
			e.Subject = oddSubjects[i/3%len(oddSubjects)]
		}
		// What the data says of a subject is none.
		e.Data = fmt.Appendf(nil, `{"subject":"plain","text":"%s"}`, strings.Repeat("plain ", i%50))
		list = append(list, e)
	}
	forEachFormat(func(name, compression string) {
		for _, exact := range []bool{false, true} {
			f := format.New(name, compression, exact)
			content := encode(t, f, events.KindConversation, list...)
			file := "1-2" + f.Extension()
			for i, subject := range oddSubjects {
				want := (100 - i + len(oddSubjects) - 1) / len(oddSubjects)
				got, err := format.NewSubjects([]string{subject, "nobody"}).Count(file, bytes.NewReader(content), int64(len(content)))
				if err != nil || got != want {
					t.Errorf("%s %s, exact %v, subject %.20q: got %d, %v; want %d", name, compression, exact, subject, got, err, want)
				}
			}
			for _, torn := range []int64{int64(len(content)) / 2, int64(len(content)) - 9} {
				_, err := format.NewSubjects([]string{"plain"}).Count(file, bytes.NewReader(content), torn)
				// A line that is cut off looks whole in CSV where nothing says how many there are.
				if err == nil && (name != "csv" || compression != "none") {
					t.Errorf("%s %s: %d of %d bytes are counted", name, compression, torn, len(content))
				}
			}
		}
	})
}

func TestASubjectOfManyRowGroupsIsCountedInAll(t *testing.T) {
	var list []events.Event
	for i := range 5 {
		e := sinktest.Event("one", uint64(i+1))
		e.Data = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("2 MiB of text. ", 2<<20/15))
		list = append(list, e)
	}
	content := encode(t, format.New("parquet", "none", false), events.KindConversation, list...)
	got, err := format.NewSubjects([]string{"one"}).Count("x.parquet", bytes.NewReader(content), int64(len(content)))
	if err != nil || got != len(list) {
		t.Errorf("got %d, %v; want %d", got, err, len(list))
	}
}

func forEachFormat(do func(name, compression string)) {
	for _, name := range format.Names {
		for _, compression := range format.Compressions {
			do(name, compression)
		}
	}
}

// Parquet is its library's to read.
func FuzzCount(f *testing.F) {
	for _, ending := range []string{".ndjson", ".csv", ".ndjson.gz", ".csv.zst"} {
		e := sinktest.Event("one", 1)
		f.Add(ending, []byte(string(e.Line())+"\nce_id,ce_subject\r\n"))
	}
	f.Fuzz(func(t *testing.T, ending string, content []byte) {
		if strings.HasSuffix(ending, ".parquet") {
			return
		}
		n, err := format.NewSubjects([]string{"one"}).Count("x"+ending, bytes.NewReader(content), int64(len(content)))
		if n < 0 || n > len(content) {
			t.Errorf("%d events in %d bytes, %v", n, len(content), err)
		}
	})
}
