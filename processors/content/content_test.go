package content_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/content"
	"github.com/parley-stream/parley/processors/processortest"
)

func message(t testing.TB, text string) events.Message {
	t.Helper()
	c := &events.Conversation{Messages: []events.Message{{Text: text}}}
	if err := content.New().Enrich(c); err != nil {
		t.Fatal(err)
	}
	return c.Messages[0]
}

func TestItKeepsTheContractOfEnrichers(t *testing.T) {
	base := events.Base{ID: "v:s:1", Vendor: "v", Source: "s", VendorID: "1"}
	processortest.Enricher(t, content.New(), []events.Entity{
		&events.Conversation{Base: base, Preview: "<p>a &lt;b&gt; c</p>", Messages: []events.Message{{Text: "&amp;lt;b&amp;gt;x&amp;lt;/b&amp;gt;"}, {Text: "plain"}, {Text: "<img src=x>"}}},
	}, "messages.text", "preview")
}

func TestALanguageIsToldWhereSomebodySaysIt(t *testing.T) {
	for name, c := range map[string]struct{ html, want string }{
		"the document's":                    {`<html lang="de-at"><body>Servus</body></html>`, "de-AT"},
		"its body's":                        {`<html><body lang='EN'>Hi<br></body></html>`, "en"},
		"XHTML's":                           {`<html xml:lang="nb"><p>Hei</p></html>`, "nb"},
		"a tag that was replaced":           {`<html lang="iw">x<br></html>`, "he"},
		"an underscore instead of the dash": {`<html lang="pt_BR">x<br></html>`, "pt-BR"},
		"no tag":                            {`<html lang="English, I think">x<br></html>`, ""},
		"an unknown tag":                    {`<html lang="qx-ZZZZ">x<br></html>`, ""},
		"undetermined":                      {`<html lang="und">x<br></html>`, ""},
		"a part's":                          {`<p>Hello</p><p lang="fr">Bonjour</p>`, ""},
		"none":                              {`<html><body>Hello<br></body></html>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := message(t, c.html).Attributes[content.AttributeLanguage].(string); got != c.want {
				t.Errorf("%s: the language %q, want %q", c.html, got, c.want)
			}
		})
	}
}

func TestTheVisitorsLocaleIsTheConversationsLanguage(t *testing.T) {
	for locale, want := range map[string]string{"en_US": "en-US", "no_NO": "no-NO", "en_PI": "", "": "", "<script>": ""} {
		c := &events.Conversation{Base: events.Base{Attributes: map[string]any{"integration_variables": []any{
			map[string]any{"key": "facebook.name", "value": "nl_NL"}, map[string]any{"key": "facebook.locale", "value": locale}, "odd",
		}}}}
		if err := content.New().Enrich(c); err != nil {
			t.Fatal(err)
		}
		if got, _ := c.Attributes[content.AttributeLanguage].(string); got != want {
			t.Errorf("%s: %q, want %q", locale, got, want)
		}
	}
}

func TestHTMLBecomesTextAndTheOriginalStays(t *testing.T) {
	for name, c := range map[string]struct{ html, want string }{
		"breaks and paragraphs":        {"<p>Hello<br>there</p><p>Bye</p>", "Hello\nthere\n\nBye"},
		"divisions":                    {"<div>one</div><div>two</div>", "one\ntwo"},
		"marks inside words":           {"un<b>bold</b>ed and <i>more</i>", "unbolded and more"},
		"entities":                     {"Tom &amp; J&eacute;r&ocirc;me &#8364;&nbsp;5 &lt;b&gt;", "Tom & Jérôme € 5 <b>"},
		"a link with words":            {`See <a href="https://shop.example/a?x=1&amp;y=2">our shop</a>.`, "See our shop (https://shop.example/a?x=1&y=2)."},
		"a link that shows itself":     {`<a href="https://shop.example/a">https://shop.example/a</a>`, "https://shop.example/a"},
		"a link without its scheme":    {`<a href="https://shop.example">shop.example</a>`, "shop.example"},
		"a mail address":               {`<a href="mailto:a@shop.example">write</a>`, "write (a@shop.example)"},
		"a link around a picture":      {`<a href="https://shop.example"><img src="x.png"></a>`, "https://shop.example"},
		"a link that runs a script":    {`<a href="javascript:alert(1)">click</a>`, "click"},
		"a link that is never closed":  {`<p><a href="https://shop.example">shop`, "shop (https://shop.example)"},
		"a picture":                    {`<img src="cat.png" alt="a cat"> nice`, "a cat nice"},
		"a list":                       {"<ul><li>one</li><li>two</li></ul>", "- one\n- two"},
		"a table":                      {"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"},
		"scripts, styles and comments": {"<style>p{}</style><p>a</p><script>evil('<p>')</script><!-- b -->c", "a\n\nc"},
		"the head":                     {"<html><head><title>t</title></head><body>b</body></html>", "b"},
		"white space":                  {"<p>\n  a\n\n  b&nbsp;&nbsp;c </p>\n", "a b c"},
		"text as it is written":        {"<pre>a\n  b</pre>", "a\n  b"},
		"what only looks like a tag":   {"<p>Both are <in stock> &amp; <S or L>?</p>", "Both are <in stock> & <S or L>?"},
		"many breaks":                  {"a<br><br><br><br>b", "a\n\nb"},
		"a tag that is cut off":        {"<p>a</p>b <c", "a\n\nb <c"},
		"entities alone":               {"it&#39;s", "it's"},
		"escaped twice":                {"&amp;lt;b&amp;gt;", "&lt;b&gt;"},
		"nothing but elements":         {"<br><img src=x>", ""},
		"capitals":                     {"<P>a<BR/>b</P>", "a\nb"},
		"a silent element inside":      {"<p>a<script><b>x</b></script> b</p>", "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			want := events.Message{Text: c.want, Attributes: map[string]any{content.AttributeText: c.html}}
			if diff := cmp.Diff(want, message(t, c.html)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTextThatIsNoHTMLStaysAsItIs(t *testing.T) {
	for _, text := range []string{
		"", "hello", "Both are <in stock>.", "Which size <S or L>?", "a < b && c > d", "AT&T; really", "press <b> to go on", "x <y@shop.example>",
		"I <3 you", "R&D", "&unknown;", "if (a<b) { return a&b; }", "tom &amp jerry", "</b>", strings.Repeat("<p>", 400_000), "  two  spaces ", "&#;", "&#xZZ;",
	} {
		if diff := cmp.Diff(events.Message{Text: text}, message(t, text)); diff != "" {
			t.Errorf("%.40q: -want +got:\n%.400s", text, diff)
		}
	}
}

func TestAPreviewIsConvertedToo(t *testing.T) {
	c := &events.Conversation{Preview: "<div>where is it?</div>"}
	if err := content.New().Enrich(c); err != nil {
		t.Fatal(err)
	}
	if c.Preview != "where is it?" || c.Attributes[content.AttributePreview] != "<div>where is it?</div>" {
		t.Errorf("%q, %v", c.Preview, c.Attributes)
	}
}

func FuzzNoTextDoesHarm(f *testing.F) {
	for _, seed := range []string{"<p>a<br>b&amp;c</p>", "<a href='x'><pre>", "<ul><li><script>", "</a></pre>&#x41;<", "<!doctype html><![CDATA["} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		m := message(t, text)
		if !utf8.ValidString(m.Text) || strings.Contains(m.Text, "\n\n\n") && !strings.Contains(strings.ToLower(text), "<pre") && m.Attributes != nil {
			t.Errorf("%q became %q", text, m.Text)
		}
		if m.Attributes == nil && m.Text != text || m.Attributes != nil && m.Attributes[content.AttributeText] != text {
			t.Errorf("the original %q is lost: %q, %v", text, m.Text, m.Attributes)
		}
	})
}

// FuzzNothingThatIsMarkupIsTakenForText compares the quick look with the tokenizer that it saves.
func FuzzNothingThatIsMarkupIsTakenForText(f *testing.F) {
	for _, seed := range []string{
		"<p>", "a <S or L> b", "<B\fx=1>y</b>", `<a title=">" x>y</a>`, "<i/>z</i>", "<x <b>y</b>", "</b><b", "<b " + strings.Repeat(" ", 300) + "x=1>y</b>", "<br", "<a x>y</a>", "<Å><hr>", "<b\fx=\"a b>c\" y=1>z</b>", "<", "<<b>x</b>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if content.IsMarkedUp(text) && !content.MayBeMarkup(text) {
			t.Errorf("%q is HTML and looks like none", text)
		}
	})
}

func ExampleText() {
	fmt.Println(content.Text(`Look at <a href="https://shop.example/teak">our chairs</a>,<br>Tom &amp; Co.`))
	// Output:
	// Look at our chairs (https://shop.example/teak),
	// Tom & Co.
}
