package privacy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
	"github.com/parley-stream/parley/processors/privacy"
	"github.com/parley-stream/parley/processors/processortest"
)

const key = "0123456789abcdef0123456789abcdef"

var _ processors.Guard = (*privacy.Policy)(nil)

func policy(t testing.TB, text string) *privacy.Policy {
	t.Helper()
	p, faults := privacy.New(text, key)
	if len(faults) > 0 {
		t.Fatalf("%s: %v", text, faults)
	}
	return p
}

func treat(t testing.TB, p *privacy.Policy, e events.Entity) string {
	t.Helper()
	if err := p.Treat(e); err != nil {
		t.Fatal(err)
	}
	content := processortest.Content(t, e)
	processortest.Validate(t, e.Kind(), content)
	return string(content)
}

func TestTextIsMaskedByWhatItHolds(t *testing.T) {
	for text, want := range map[string]string{
		"write to Ann.O'Hara+x@mail.shop.example.":          "write to [email].",
		"<kim@shop.example>,lee@shop.example":               "<[email]>,[email]",
		"jörg@bücher.example and root@localhost":            "[email] and [email]",
		"https://shop.example/?mail=kim%40shop.example&x=1": "https://shop.example/?mail=[email]&x=1",
		"kim＠shop.example":                                  "[email]",
		"@kim said 5 @ 3 euro":                              "@kim said 5 @ 3 euro",
		"call +31 6 1234 5678 now":                          "call [phone] now",
		"(020) 555-0199":                                    "[phone]",
		"0612345678, 06-12345678, 06/123 456 78":            "[phone], [phone], [phone]",
		"650.555.0123 or 6505550123":                        "[phone] or [phone]",
		"٠٦١٢٣٤٥٦٧٨":                                        "[phone]",
		"０６１２３４５６７８":                                        "[phone]",
		"card 4111 1111 1111 1111, thanks":                  "card [card], thanks",
		"4111-1111-1111-1111 12/27":                         "[card]",
		"378282246310005":                                   "[card]",
		"message m000187008, group 0209659d":                "message m000187008, group 0209659d",
		"ExampleBrowser/12 (198.51.100.64)":                 "ExampleBrowser/12 ([ip])",
		"x4111111111111111":                                 "x[card]",
		"4111111111111111":                                  "[card]",
		"DE89 3704 0044 0532 0130 00 please":                "[iban] please",
		"nl91abna0417164300":                                "[iban]",
		"my ip is 198.51.100.23.":                           "my ip is [ip].",
		"[2001:db8::1]:80 and ::1":                          "[[ip]]:80 and [ip]",
		"198.51.100.23:8080":                                "[ip]:8080",
		"on 2026-10-01 at 10:30:00, order 480215":           "on 2026-10-01 at 10:30:00, order 480215",
		"1.10.2026 or 10/01/26":                             "1.10.2026 or 10/01/26",
		"10/01/26 0612345678":                               "10/01/26 [phone]",
		"it costs 1 299 euro, 49.90 or 1.299,00":            "it costs 1 299 euro, 49.90 or 1.299,00",
		"std::vector<int> in version 1.2.3":                 "std::vector<int> in version 1.2.3",
		"DE12 is no account":                                "DE12 is no account",
		"":                                                  "",
		"nothing of note — really":                          "nothing of note — really",
	} {
		if got := privacy.Mask(text); got != want {
			t.Errorf("%q\ngot  %q\nwant %q", text, got, want)
		}
		if again := privacy.Mask(want); again != want {
			t.Errorf("%q is masked again: %q", want, again)
		}
	}
}

func TestNoMaskedTextHoldsWhatWasPutIntoIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var canary string
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			canary = rapid.StringMatching(`[a-z0-9]{1,12}([._+-][a-z0-9]{1,8})?@[a-z0-9]{1,12}\.(example|test)`).Draw(t, "email")
		case 1:
			sep := rapid.SampledFrom([]string{"", " ", "-", ".", "\u00a0"}).Draw(t, "separator")
			canary = "+" + rapid.StringMatching(`[1-9][0-9]`).Draw(t, "country") + sep + rapid.StringMatching(`[0-9]{3}`).Draw(t, "area") + sep + rapid.StringMatching(`[0-9]{6}`).Draw(t, "number")
		case 2:
			body := rapid.StringMatching(`[3-6][0-9]{14}`).Draw(t, "card")
			for check := range 10 {
				if number := body + fmt.Sprint(check); luhn(number) {
					canary = number
				}
			}
			if rapid.Bool().Draw(t, "spaced") {
				canary = canary[:4] + " " + canary[4:8] + " " + canary[8:12] + " " + canary[12:]
			}
		case 3:
			canary = rapid.SampledFrom([]string{"DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "FR1420041010050500013M02606"}).Draw(t, "iban")
		case 4:
			canary = rapid.SampledFrom([]string{"198.51.100.23", "2001:db8:17::4", "203.0.113.255"}).Draw(t, "ip")
		}
		// Beside letters, digits are an identifier.
		around := rapid.SampledFrom([]string{" ", "\n", ", ", " é ", "(", "\"", "<", ">", " a 1 ", "; "})
		text := rapid.StringMatching(`[a-zé ]{0,20}`).Draw(t, "before") + around.Draw(t, "left") + canary + around.Draw(t, "right") + rapid.StringMatching(`[a-zé ]{0,20}`).Draw(t, "after")
		if got := privacy.Mask(text); strings.Contains(got, canary) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func luhn(number string) bool {
	sum := 0
	for i := range number {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			d = d*2/10 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}

func someone() *events.Conversation {
	return &events.Conversation{
		Base: events.Base{ID: "v:s:1", Vendor: "v", Source: "s", VendorID: "1", Attributes: map[string]any{
			"owner": "Élise Fofana", "phone": json.Number("31612345678"), "clients": []any{map[string]any{"mail": "Elise@Visitor.Example"}}, "number": 7,
		}},
		Channel: "chat", Subject: "Refund for Élise Fofana",
		Visitor: &events.Visitor{ID: "S1792922390", Name: "Élise Fofana", Email: "elise@visitor.example", IP: "198.51.100.23", Country: "France"},
		Agents:  []events.Agent{{Name: "Kim Lund", Email: "kim@shop.example", Role: "agent"}},
		Page:    &events.Page{URL: "https://shop.example/?mail=elise%40visitor.example&name=%C3%89lise+Fofana&v=S1792922390"},
		Messages: []events.Message{
			{Author: &events.Author{Type: "visitor", ID: "S1792922390", Name: "Élise Fofana"}, Text: "I am ÉLISE FOFANA, elise@visitor.example, +33 6 12 34 56 78", Attributes: map[string]any{"text_html": "<p>elise&#64;visitor.example"}},
			{ID: "1790000000000101", Author: &events.Author{Type: "agent", ID: "kim@shop.example", Name: "Kim Lund"}, Text: "Hello Élise Fofana from 198.51.100.23"},
		},
		Surveys:      []events.Survey{{Context: "entry", Responses: []events.Response{{Question: "Name", Answer: "Élise Fofana"}}}},
		CustomFields: map[string]any{"elise@visitor.example": "x", "login": "elise@visitor.example"},
	}
}

func TestWhatIsHiddenOfAVisitorIsHiddenEverywhere(t *testing.T) {
	for _, action := range []string{"drop", "mask", "hmac"} {
		p := policy(t, fmt.Sprintf("visitor.id=%[1]s,visitor.name=%[1]s,visitor.email=%[1]s,visitor.ip=%[1]s,messages.text=mask", action))
		got := treat(t, p, someone())
		for _, canary := range []string{"lise", "LISE", "S1792922390", "198.51", "visitor.example"} {
			if strings.Contains(got, canary) {
				t.Errorf("%s: %s stands in\n%s", action, canary, got)
			}
		}
		for _, stays := range []string{"Kim Lund", "kim@shop.example", "France", `"number":7`} {
			if !strings.Contains(got, stays) {
				t.Errorf("%s: no %s in\n%s", action, stays, got)
			}
		}
	}
}

func TestEveryActionDoesWhatItSays(t *testing.T) {
	hashed := func(s string) string {
		c := &events.Conversation{Subject: s}
		if err := policy(t, "subject=hmac").Treat(c); err != nil {
			t.Fatal(err)
		}
		return c.Subject
	}
	if h := hashed("Elise@Visitor.example "); h != hashed("elise@visitor.example") || len(h) != len("hmac:01234567:")+32 {
		t.Errorf("hmac of an address is %q, of another writing %q", h, hashed("elise@visitor.example"))
	}
	for name, c := range map[string]struct {
		policy string
		get    func(*events.Conversation) any
		want   any
	}{
		"truncate":                         {"visitor.ip=truncate", func(c *events.Conversation) any { return c.Visitor.IP }, "198.51.100.0"},
		"truncate what is no address":      {"attributes.owner=truncate", func(c *events.Conversation) any { return c.Attributes["owner"] }, nil},
		"hmac":                             {"visitor.email=hmac", func(c *events.Conversation) any { return c.Visitor.Email }, hashed("elise@visitor.example")},
		"hmac is the same in other fields": {"visitor.email=hmac", func(c *events.Conversation) any { return c.CustomFields["login"] }, hashed("elise@visitor.example")},
		"mask a name":                      {"visitor.name=mask", func(c *events.Conversation) any { return c.Visitor.Name }, "[name]"},
		"mask an agent's name by its rule": {"agents.name=mask", func(c *events.Conversation) any { return c.Agents[0].Name }, "[name]"},
		"mask everything spares it":        {"*=mask", func(c *events.Conversation) any { return c.Agents[0].Name }, "Kim Lund"},
		"mask everything hides a visitor":  {"*=mask", func(c *events.Conversation) any { return c.Visitor.Name }, "[name]"},
		"mask everything masks an address": {"*=mask", func(c *events.Conversation) any { return c.Agents[0].Email }, "[email]"},
		"a number may be a telephone's":    {"attributes=mask", func(c *events.Conversation) any { return c.Attributes["phone"] }, "[phone]"},
		"mask everything spares ids":       {"*=mask", func(c *events.Conversation) any { return c.Messages[1].ID }, "1790000000000101"},
		"but for addresses":                {"*=mask", func(c *events.Conversation) any { return c.Messages[1].Author.ID }, "[email]"},
		"drop an object":                   {"visitor=drop", func(c *events.Conversation) any { return c.Visitor == nil }, true},
		"drop in a list":                   {"agents.email=drop", func(c *events.Conversation) any { return c.Agents[0].Email }, ""},
		"drop within free fields":          {"attributes.clients=drop", func(c *events.Conversation) any { return c.Attributes["clients"] }, nil},
		"the longer path counts":           {"visitor=drop,visitor.country=keep", func(c *events.Conversation) any { return *c.Visitor }, events.Visitor{Country: "France"}},
		"* counts less than a name":        {"visitor.*=drop,visitor.country=keep", func(c *events.Conversation) any { return *c.Visitor }, events.Visitor{Country: "France"}},
		"a kind counts more":               {"subject=keep,conversation:subject=drop", func(c *events.Conversation) any { return c.Subject }, ""},
		"another kind's rule":              {"email:subject=drop", func(c *events.Conversation) any { return c.Subject }, "Refund for Élise Fofana"},
		"the order counts for nothing":     {"visitor.country=keep,visitor=drop", func(c *events.Conversation) any { return c.Visitor.Country }, "France"},
		"the original goes with the text":  {"messages.text=mask", func(c *events.Conversation) any { return c.Messages[0].Attributes["text_html"] }, nil},
		"keys are masked":                  {"custom_fields=mask", func(c *events.Conversation) any { return c.CustomFields["[email]"] }, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			conversation := someone()
			treat(t, policy(t, c.policy), conversation)
			if diff := cmp.Diff(c.want, c.get(conversation)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAReplacedKeyGivesValuesThatDoNotMatchAndCanBeToldApart(t *testing.T) {
	email := func(key string) string {
		p, faults := privacy.New("visitor.email=hmac", key)
		if faults != nil {
			t.Fatal(faults)
		}
		c := someone()
		treat(t, p, c)
		if p.Hashed("elise@visitor.example") != c.Visitor.Email {
			t.Errorf("Hashed gives %q for what stands as %q", p.Hashed("elise@visitor.example"), c.Visitor.Email)
		}
		again := c.Visitor.Email
		if treat(t, p, c); c.Visitor.Email != again {
			t.Errorf("treated again it is %q, was %q", c.Visitor.Email, again)
		}
		return c.Visitor.Email
	}
	was, is := strings.Split(email(key), ":"), strings.Split(email("another key of this installation"), ":")
	if len(was) != 3 || len(is) != 3 || was[1] == is[1] || was[2] == is[2] {
		t.Errorf("%q became %q; want another key's name and another digest", was, is)
	}
	if same := strings.Split(email(key), ":"); !slices.Equal(same, was) {
		t.Errorf("of one key %q and %q", was, same)
	}
}

func TestAnAllowListLetsNothingElsePass(t *testing.T) {
	got := treat(t, policy(t, "*=drop,channel=keep,messages.text=mask,surveys.responses.question=keep"), someone())
	want := `{"id":"v:s:1","vendor":"v","source":"s","vendor_id":"1","channel":"chat","messages":[` +
		`{"text":"I am [name], [email], [phone]"},{"text":"Hello [name] from [ip]"}],"surveys":[{"context":"entry","responses":[{"question":"Name"}]}]}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, kind := range events.Kinds() {
		e := processortest.Fill(kind, func(path string) string { return "canary of " + path })
		if m, ok := e.(*events.SingleMessage); ok {
			m.ConversationID = "v:s:1" // is in its id, too
		}
		if got := treat(t, policy(t, "*=drop"), e); strings.Contains(got, "canary") {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

func TestEveryFaultOfAPolicyIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "has no rule",
		"visitor.ip":                    "want <field>=keep, mask, truncate, hmac or drop",
		"visitor.ip=hide":               "want <field>=keep, mask, truncate, hmac or drop",
		"visitor.emial=drop":            "no event has such a field",
		"phone=drop":                    "as in contact:phone",
		"person:name=drop":              `there is no kind "person"`,
		"message:text=drop":             "such as messages.text=drop",
		"visitor..ip=drop":              "single dots",
		"id=drop":                       "cannot be changed",
		"vendor_id=hmac":                "cannot be changed",
		"of=drop":                       "cannot be absent",
		"surveys.context=drop":          "cannot be absent",
		"status=mask":                   "one of few words",
		"started_at=hmac":               "a time",
		"metrics.first_response_s=mask": "a number",
		"messages.text=truncate":        "holds no IP address",
		"subject=drop,subject=mask":     "has a rule already",
	} {
		p, faults := privacy.New(text, key)
		if p != nil || len(faults) != 1 || faults[0].Key || !strings.Contains(faults[0].Want, want) {
			t.Errorf("%q: %v; want one fault that says %q", text, faults, want)
		}
	}
	if _, faults := privacy.New("a=b,c=d,visitor.ip=hmac", ""); len(faults) != 3 || !faults[2].Key {
		t.Errorf("%v; want two faults of the policy and that there is no key", faults)
	}
	if _, faults := privacy.New("visitor.ip=hmac", "short"); len(faults) != 1 || !faults[0].Key {
		t.Errorf("%v; want that the key is short", faults)
	}
	if p, faults := privacy.New("contact:phone=drop,metric:dimensions.agent=hmac,custom_fields.login=drop,attributes.a.b=mask", key); p == nil {
		t.Error(faults)
	}
}

func TestAReasonIsShownWithoutWhatItQuotes(t *testing.T) {
	p := policy(t, "messages.text=mask")
	for reason, want := range map[string]string{
		`chat "Élise \"Fofana\"": has no id`: `chat "…": has no id`,
		`a "b`:                               `a "…"`,
		`the record of elise@visitor.example is malformed`:    `the record of [email] is malformed`,
		`runtime error: index out of range [3] with length 3`: `runtime error: index out of range [3] with length 3`,
	} {
		if got := p.Text(reason); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", reason, got, want)
		}
	}
}

func TestAPolicyIsShownInTheOrderOfItsRulesAndWithoutItsKey(t *testing.T) {
	got := policy(t, "*=mask, visitor.email=hmac").String()
	if !strings.HasPrefix(got, "visitor.email=hmac, *=mask; the key is ") || strings.Contains(got, key) {
		t.Error(got)
	}
	if got := policy(t, "visitor.name=drop").String(); !strings.Contains(got, "all else as it is") {
		t.Error(got)
	}
}

// leaves gives the paths of a kind's texts.
func leaves(kind events.Kind) (paths []string) {
	processortest.Fill(kind, func(path string) string {
		if path != "" && !slices.Contains([]string{"id", "vendor", "source", "vendor_id"}, path) {
			paths = append(paths, path)
		}
		return "x"
	})
	slices.Sort(paths)
	return slices.Compact(paths)
}

// closest is the rule that counts for a path: said once more, and otherwise than the room says it.
func closest(rules map[string]string, path string) string {
	for names := strings.Split(path, "."); len(names) > 0; names = names[:len(names)-1] {
		if action, ok := rules[strings.Join(names, ".")]; ok {
			return action
		}
	}
	return rules["*"]
}

// ruled are the kinds that have rules of their own.
var ruled = slices.DeleteFunc(events.Kinds(), func(k events.Kind) bool { return k == events.KindMessage })

func TestNoPolicyLetsACanaryThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(ruled).Draw(t, "kind")
		paths := leaves(kind)
		rules := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(t, "rules") {
			path := rapid.SampledFrom(append([]string{"*"}, paths...)).Draw(t, "path")
			if up, _, deep := strings.Cut(path, "."); deep && rapid.Bool().Draw(t, "whole") {
				path = up
			}
			rules[path] = rapid.SampledFrom([]string{"drop", "mask", "hmac", "keep"}).Draw(t, "action")
		}
		var text []string
		for path, action := range rules {
			if path == "report" {
				action = "mask"
				rules[path] = action
			}
			text = append(text, string(kind)+":"+path+"="+action)
		}
		p, faults := privacy.New(strings.Join(text, ","), key)
		if len(faults) > 0 {
			t.Fatalf("%v: %v", text, faults)
		}
		// Every text is an address, and half of them are the visitor's.
		shared := rapid.Bool().Draw(t, "shared")
		canaries := map[string]string{}
		e := processortest.Fill(kind, func(path string) string {
			if path == "" {
				return "x"
			}
			canaries[path] = fmt.Sprintf("canary%d.@mail.example", len(canaries))
			if shared && len(canaries)%2 == 0 {
				return "the visitor's canary@mail.example"
			}
			return strings.Replace(canaries[path], ".@", "@", 1)
		})
		if c, ok := e.(*events.Conversation); ok && shared {
			c.Visitor.Email = "canary@mail.example"
		}
		if err := p.Treat(e); err != nil {
			t.Fatal(err)
		}
		content, err := events.EncodeContent(e)
		if err != nil {
			t.Fatal(err)
		}
		for path, canary := range canaries {
			action := closest(rules, path)
			if path == "report" && action == "drop" || slices.Contains([]string{"id", "vendor", "source", "vendor_id"}, path) {
				continue
			}
			canary = strings.Replace(canary, ".@", "@", 1)
			if action != "" && action != "keep" && strings.Contains(string(content), `"`+canary) {
				t.Fatalf("%v: %s, the canary of %s, stands in\n%s", text, canary, path, content)
			}
		}
		if a := closest(rules, "visitor.email"); kind == events.KindConversation && shared && a != "" && a != "keep" && strings.Contains(string(content), "canary@mail.example") {
			t.Fatalf("%v: the visitor's address stands in\n%s", text, content)
		}
	})
}

func FuzzMaskKeepsTextValid(f *testing.F) {
	for _, seed := range []string{"a@b.c", "+1 (2)-3", "4111 1111 1111 1111", "DE89370400440532013000", "::ffff:1.2.3.4", "%40%40", "٠٠٠٠٠٠٠"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := privacy.Mask(text)
		if strings.ToValidUTF8(text, "") == text && strings.ToValidUTF8(once, "") != once {
			t.Errorf("%q became %q", text, once)
		}
	})
}

func BenchmarkTreat(b *testing.B) {
	p := policy(b, "*=mask,visitor.ip=truncate,visitor.email=hmac,visitor.name=drop")
	for b.Loop() {
		c := someone()
		if err := p.Treat(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMask(b *testing.B) {
	text := strings.Repeat("Good morning, are the teak chairs in stock? I ordered 3 on 2026-10-01. ", 10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		privacy.Mask(text)
	}
}
