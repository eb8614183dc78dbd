package events_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-stream/parley/events"
)

// drawID draws ids as vendors could have them, and as an attacker would.
func drawID() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9_-]{1,20}`),
		hostile(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 130), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{".", "*", ">", "$JS.API", "$KV", "=", "==", "=2E", "~", "a.b", "a b", "../../etc/passwd", "CON", "agents/12"}),
	)
}

func TestTokensOfKnownIDs(t *testing.T) {
	cases := map[string]struct{ id, token string }{
		"plain":                   {"PK3F_4-a", "PK3F_4-a"},
		"empty":                   {"", "=="},
		"the sign of escaping":    {"=", "=3D"},
		"what looks escaped":      {"=2E", "=3D2E"},
		"what looks empty":        {"==", "=3D=3D"},
		"what looks hashed":       {"~0", "=7E0"},
		"a stream's id":           {"cccagents/12", "cccagents=2F12"},
		"wildcards":               {"a.*.>", "a=2E=2A=2E=3E"},
		"line ends":               {"a\r\nb", "a=0D=0Ab"},
		"a NUL":                   {"a\x00", "a=00"},
		"not ASCII":               {"é", "=C3=A9"},
		"not UTF-8":               {"\xff", "=FF"},
		"a metric's id":           {"chats/ratings/2026-10-01T00:00:00Z/day/agent=a@b.example", "chats=2Fratings=2F2026-10-01T00=3A00=3A00Z=2Fday=2Fagent=3Da=40b=2Eexample"},
		"the longest that stays":  {strings.Repeat("a", 120), strings.Repeat("a", 120)},
		"the longest, escaped":    {strings.Repeat(".", 120), strings.Repeat("=2E", 120)},
		"one byte more is hashed": {strings.Repeat("a", 121), "~e9615320128cc7a3d6078e9af0560318"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := events.Token(c.id); got != c.token {
				t.Errorf("token of %q is %q, want %q", c.id, got, c.token)
			}
			id, ok := events.Untoken(c.token)
			if long := len(c.id) > 120; ok == long || !long && id != c.id {
				t.Errorf("%q is read back as %q, %v; want %q", c.token, id, ok, c.id)
			}
		})
	}
}

func TestATokenIsOneNATSTokenAndReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := drawID().Draw(t, "id")
		token := events.Token(id)
		if token == "" || len(token) > 361 || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=~") != "" {
			t.Fatalf("token of %q is %q: not one token of at most 361 bytes", id, token)
		}
		back, ok := events.Untoken(token)
		if ok != (len(id) <= 120) || ok && back != id {
			t.Fatalf("%q reads back as %q, %v; want %q", token, back, ok, id)
		}
	})
}

func TestDifferentIDsHaveDifferentTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawID().Draw(t, "a"), drawID().Draw(t, "b")
		for _, b := range []string{b, strings.ToLower(a), strings.ToUpper(a)} {
			if (events.Token(a) == events.Token(b)) != (a == b) {
				t.Fatalf("%q and %q have the tokens %q and %q", a, b, events.Token(a), events.Token(b))
			}
		}
	})
}

func TestWhatTokenNeverWritesIsNotReadBack(t *testing.T) {
	for _, token := range []string{
		"", "=", "=2", "=2e", "=zz", "=61", "a.b", "*", "a=", "a==", "===", "~", "~e9615320128cc7a3d6078e9af0560318",
		strings.Repeat("a", 121), strings.Repeat("=2E", 121), "é",
	} {
		if id, ok := events.Untoken(token); ok {
			t.Errorf("%q reads as %q, want it refused", token, id)
		}
	}
}

func FuzzUntoken(f *testing.F) {
	for _, s := range []string{"", "==", "a=2Eb", "~00", "=C3=A9", "=41", "PK3F"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := events.Untoken(s); ok && events.Token(id) != s {
			t.Errorf("%q reads as %q, whose token is %q", s, id, events.Token(id))
		}
		if id, ok := events.Untoken(events.Token(s)); len(s) <= 120 && (!ok || id != s) {
			t.Errorf("the token of %q reads back as %q, %v", s, id, ok)
		}
	})
}

func TestSubjectsHaveOneTokenForEachPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &events.Record{Vendor: "liveagent", Source: "support", Stream: drawID().Draw(t, "stream"), Key: drawID().Draw(t, "key")}
		raw := strings.Split(events.RawSubject(r), ".")
		if want := []string{"parley", "raw", "liveagent", "support", events.Token(r.Stream), events.Token(r.Key)}; !slices.Equal(raw, want) {
			t.Fatalf("raw subject %q, want %q", raw, want)
		}
		path := strings.Split(events.EntityPath(events.KindMetric, r.Vendor, r.Source, r.Key), ".")
		if want := []string{"metric", "liveagent", "support", events.Token(r.Key)}; !slices.Equal(path, want) {
			t.Fatalf("entity path %q, want %q", path, want)
		}
	})
}

func TestFiltersBecomeSubjectsThatOneConsumerCanHave(t *testing.T) {
	cases := map[string]struct{ filter, want []string }{
		"nothing is everything":       {nil, []string{"parley.events.>"}},
		"a kind":                      {[]string{"conversation"}, []string{"parley.events.conversation.>"}},
		"blanks around it":            {[]string{" conversation "}, []string{"parley.events.conversation.>"}},
		"two kinds":                   {[]string{"rating", "sla"}, []string{"parley.events.rating.>", "parley.events.sla.>"}},
		"a vendor of any kind":        {[]string{"*.livechat"}, []string{"parley.events.*.livechat.>"}},
		"an entity":                   {[]string{"tag.livechat.support.a=2Eb"}, []string{"parley.events.tag.livechat.support.a=2Eb"}},
		"an entity of any source":     {[]string{"tag.livechat.*.1"}, []string{"parley.events.tag.livechat.*.1"}},
		"wildcards at the end":        {[]string{"tag.livechat.*.*"}, []string{"parley.events.tag.livechat.>"}},
		"everything after a vendor":   {[]string{"tag.livechat.>"}, []string{"parley.events.tag.livechat.>"}},
		"a star is everything":        {[]string{"*"}, []string{"parley.events.>"}},
		"the wider first":             {[]string{"conversation", "conversation.liveagent.*"}, []string{"parley.events.conversation.>"}},
		"the wider last":              {[]string{"conversation.liveagent.*", "conversation"}, []string{"parley.events.conversation.>"}},
		"the same twice":              {[]string{"tag", "tag"}, []string{"parley.events.tag.>"}},
		"the same in other words":     {[]string{"tag.*", "tag.>", "tag.*.*.*"}, []string{"parley.events.tag.>"}},
		"a chain of ever wider ones":  {[]string{"tag.livechat.a", "tag.livechat", "tag", "*"}, []string{"parley.events.>"}},
		"the wider by its vendor":     {[]string{"tag.livechat.a.1", "*.livechat.a"}, []string{"parley.events.*.livechat.a.>"}},
		"overlapping in part":         {[]string{"conversation", "*.livechat"}, []string{"parley.events.conversation.>", "parley.events.*.livechat.>"}},
		"order stays":                 {[]string{"tag", "agent.livechat", "metric", "agent"}, []string{"parley.events.tag.>", "parley.events.metric.>", "parley.events.agent.>"}},
		"an entity whose id is empty": {[]string{"tag.a.b.=="}, []string{"parley.events.tag.a.b.=="}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := events.FilterSubjects(c.filter)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q: %q, %v; want %q", c.filter, got, err, c.want)
			}
		})
	}
}

func TestBadFiltersSayWhatIsWrong(t *testing.T) {
	cases := map[string]struct{ filter, want string }{
		"no kind":               {"chat", `"chat" is no kind`},
		"a kind in capitals":    {"Conversation", `"Conversation" is no kind`},
		"nothing":               {"", "want tokens between dots"},
		"an empty token":        {"tag..support", "want tokens between dots"},
		"a dot at the end":      {"tag.", "want tokens between dots"},
		"> in the middle":       {"tag.>.support", "want tokens between dots"},
		"> first of several":    {">.livechat", "want tokens between dots"},
		"a star in a word":      {"conv*", "want tokens between dots"},
		"a vendor in capitals":  {"tag.LiveChat", "no name of a vendor or source"},
		"a source with a blank": {"tag.livechat.my source", "no name of a vendor or source"},
		"an entity unescaped":   {"tag.livechat.a.agents/12", `want the id as "agents=2F12"`},
		"a subject of the bus":  {"parley.events.tag.livechat.a", "at most"},
		"a forged subject":      {"tag.a.b.c\r\nPUB x", "no entity"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := events.FilterSubjects([]string{"tag", c.filter})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "filter ") {
				t.Errorf("%q: %q, %v; want an error with %q", c.filter, got, err, c.want)
			}
		})
	}
}

// matches tells as a NATS server does whether a subject matches a pattern.
func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i := range p {
		if p[i] == ">" {
			return i < len(s)
		}
		if i >= len(s) || p[i] != "*" && p[i] != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}

func TestReducedFiltersMatchWhatTheFiltersMatch(t *testing.T) {
	part := func(words ...string) *rapid.Generator[string] { return rapid.SampledFrom(words) }
	rapid.Check(t, func(t *rapid.T) {
		filter := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			tokens := []string{
				part("tag", "agent", "*").Draw(t, "kind"), part("livechat", "liveagent", "*").Draw(t, "vendor"),
				part("a", "b", "*").Draw(t, "source"), part("1", "2", "*").Draw(t, "entity"),
			}
			tokens = tokens[:rapid.IntRange(1, 4).Draw(t, "tokens")]
			if len(tokens) < 4 && rapid.Bool().Draw(t, "rest") {
				tokens = append(tokens, ">")
			}
			return strings.Join(tokens, ".")
		}), 1, 6).Draw(t, "filter")
		subjects, err := events.FilterSubjects(filter)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range subjects {
			for j, b := range subjects {
				if i != j && covers(a, b) {
					t.Fatalf("%q covers %q: no consumer can have both", a, b)
				}
			}
		}
		for _, kind := range []string{"tag", "agent", "site"} {
			for _, rest := range []string{"livechat.a.1", "livechat.b.2", "liveagent.a.2", "liveagent.b.1", "x.y.z"} {
				subject := "parley.events." + kind + "." + rest
				want := slices.ContainsFunc(filter, func(f string) bool {
					tokens := strings.Split(f, ".")
					if len(tokens) < 4 && tokens[len(tokens)-1] != ">" {
						f += ".>"
					}
					return matches("parley.events."+f, subject)
				})
				if got := slices.ContainsFunc(subjects, func(s string) bool { return matches(s, subject) }); got != want {
					t.Fatalf("%q: %q matches %q: %v, want %v", filter, subjects, subject, got, want)
				}
			}
		}
	})
}

// covers is the server's rule for two filters of one consumer.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i := range w {
		if w[i] == ">" {
			return true
		}
		if i >= len(n) || n[i] == ">" || w[i] != "*" && w[i] != n[i] {
			return false
		}
	}
	return len(w) == len(n)
}
