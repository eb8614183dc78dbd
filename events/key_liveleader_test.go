package events_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
)

func TestLiveLeaderKeyIsTheTextOfTheChatsOwnID(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"first":                        {"<chat>\n<id>a-1</id>\n<x/></chat>", "a-1"},
		"trimmed":                      {"<chat><id>\n a-1\t</id></chat>", "a-1"},
		"after other elements":         {"<chat><msg from=\"visitor\">hi</msg><x/><id>a-1</id></chat>", "a-1"},
		"not one in another element":   {"<chat><x><id>no</id></x><id>a-1</id></chat>", "a-1"},
		"not one in a comment":         {"<chat><!-- <id>no</id> --><id>a-1</id></chat>", "a-1"},
		"not one in CDATA":             {"<chat><x><![CDATA[</x><id>no</id>]]></x><id>a-1</id></chat>", "a-1"},
		"not one in an instruction":    {"<chat><?p <id>no</id>?><id>a-1</id></chat>", "a-1"},
		"not one in a quoted value":    {"<chat><x y='/><id>no</id>'></x><id>a-1</id></chat>", "a-1"},
		"not a longer name":            {"<chat><idle>no</idle><id>a-1</id></chat>", "a-1"},
		"the first of two":             {"<chat><id>a-1</id><id>a-2</id></chat>", "a-1"},
		"with attributes":              {"<chat x='1'><id type=\"uuid>\">a-1</id></chat>", "a-1"},
		"with references":              {"<chat><id>a&amp;&#66;&nosuch;</id></chat>", "a&B&nosuch;"},
		"in CDATA itself":              {"<chat><id> <![CDATA[a<1]]> </id></chat>", "a<1"},
		"with invalid UTF-8":           {"<chat><id>a\xff</id></chat>", "a\uFFFD"},
		"of the start of a large chat": {"<chat><id>a-1</id><msg>xxxx", "a-1"},
		"none":                         {"<chat><x/></chat>", ""},
		"empty":                        {"<chat><id></id></chat>", ""},
		"self-closed":                  {"<chat><id/></chat>", ""},
		"with an element in it":        {"<chat><id><b>a</b></id></chat>", ""},
		"unclosed":                     {"<chat><id>a-1", ""},
		"after the chat":               {"<chat></chat><id>a-1</id>", ""},
		"of nothing":                   {"", ""},
		"of a lone bracket":            {"<chat><", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := events.LiveLeaderKey([]byte(c.in)); got != c.want {
				t.Errorf("LiveLeaderKey(%q) = %q; want %q", c.in, got, c.want)
			}
		})
	}
}

func ExampleLiveLeaderKey() {
	fmt.Println(events.LiveLeaderKey([]byte("<chat><userinfo><id>12</id></userinfo><id> a-1 </id></chat>")))
	// Output: a-1
}

func FuzzLiveLeaderKey(f *testing.F) {
	for _, seed := range []string{"<chat><id>a</id></chat>", "<chat><x y='>'/><id>&amp;<![CDATA[x]]></id>", "<chat><!--", "<", "<>", "</>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		key := events.LiveLeaderKey(in)
		if !utf8.ValidString(key) || key != strings.TrimSpace(key) {
			t.Errorf("LiveLeaderKey(%q) = %q; want trimmed UTF-8", in, key)
		}
		if got := events.LiveLeaderKey(append(in, "</chat>"...)); key != "" && got != key {
			t.Errorf("LiveLeaderKey(%q) = %q, %q with more after it", in, key, got)
		}
	})
}
