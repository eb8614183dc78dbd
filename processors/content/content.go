// Package content makes text of messages and previews that are HTML: entities are characters, links keep their address, blocks and breaks
// are lines.
//
// # Config
//
// None.
//
// # Delivery
//
// A text is HTML when it has a break or block element (<br>, <p>, <div> …), another known element that is
// opened and closed, or one of the entities &amp; &lt; &gt; &quot; &apos; &nbsp; or a numbered one, ending in a semicolon. What only looks
// like a tag (<in stock>, <S or L>) stays as it is, and so does text without any of these.
//
// The original stays in attributes.text_html of the message, that of a preview in attributes.preview_html of the conversation;
// a message that has nothing but elements without words loses its text. A link is its words and, in parentheses, its address
// where that says more; of links that are neither web nor mail addresses only the words stay. A picture is its alternative text. Scripts,
// styles, comments and the head are no text. Outside <pre> white space is one space.
//
// attributes.language is a BCP 47 tag in its canonical form (de-AT), where somebody said which language it is: of a message, the lang of its HTML
// document; of a conversation, the visitor's locale among LiveChat's integration variables (facebook.locale). What is no known tag is none. No
// language is guessed: the libraries that do it are large or not kept, and guess badly on short lines.
//
// # Limits
//
// Texts over 1 MiB are left as they are. Articles keep their HTML: their fields are said to be HTML.
package content

import (
	"cmp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/text/language"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

// The attributes that keep originals.
const (
	AttributeText    = "text_html"    // of a message
	AttributePreview = "preview_html" // of a conversation
)

// AttributeLanguage keeps what somebody said of a text's language.
const AttributeLanguage = "language"

const maxText = 1 << 20

type enricher struct{}

// New makes the enricher.
func New() processors.Enricher { return enricher{} }

// Name implements processors.Enricher.
func (enricher) Name() string { return "content" }

// Enrich implements processors.Enricher.
func (enricher) Enrich(e events.Entity) error {
	c, ok := e.(*events.Conversation)
	if !ok {
		return nil
	}
	for i := range c.Messages {
		m := &c.Messages[i]
		convert(&m.Text, &m.Attributes, AttributeText)
		if original, is := m.Attributes[AttributeText].(string); is {
			tell(&m.Attributes, documentLanguage(original))
		}
	}
	convert(&c.Preview, &c.Attributes, AttributePreview)
	tell(&c.Attributes, visitorLanguage(c.Attributes))
	return nil
}

// convert makes text of a field that holds HTML. What has an original already was converted.
func convert(field *string, attributes *map[string]any, original string) {
	if _, done := (*attributes)[original]; done || !isHTML(*field) {
		return
	}
	text := Text(*field)
	if text == *field {
		return
	}
	if *attributes == nil {
		*attributes = make(map[string]any, 1)
	}
	(*attributes)[original], *field = *field, text
}

// tell notes a language, if it is one and none is noted.
func tell(attributes *map[string]any, said string) {
	if _, told := (*attributes)[AttributeLanguage]; told || said == "" {
		return
	}
	tag, err := language.Parse(strings.TrimSpace(said))
	if err != nil || tag == language.Und {
		return
	}
	if *attributes == nil {
		*attributes = make(map[string]any, 1)
	}
	(*attributes)[AttributeLanguage] = tag.String()
}

// documentLanguage is what an HTML document says that it is written in. What its parts say is of the parts.
func documentLanguage(source string) string {
	if !strings.Contains(source, "lang") && !strings.Contains(source, "LANG") {
		return ""
	}
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return ""
		case html.StartTagToken:
			token := z.Token()
			if token.DataAtom != atom.Html && token.DataAtom != atom.Body {
				continue
			}
			if said := cmp.Or(attribute(token, "lang"), attribute(token, "xml:lang")); said != "" {
				return said
			}
		}
	}
}

// visitorLanguage is the locale of the profile that the visitor logged in with.
func visitorLanguage(attributes map[string]any) string {
	variables, _ := attributes["integration_variables"].([]any)
	for _, v := range variables {
		variable, _ := v.(map[string]any)
		if value, is := variable["value"].(string); is && variable["key"] == "facebook.locale" {
			return value
		}
	}
	return ""
}

// isHTML tells HTML from text that has a < or an & in it.
func isHTML(s string) bool {
	if len(s) > maxText {
		return false
	}
	return hasEntity(s) || mayBeMarkup(s) && isMarkedUp(s)
}

// isMarkedUp reads a text as HTML to tell whether it is any.
func isMarkedUp(s string) bool {
	opened := map[atom.Atom]bool{}
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return false
		case html.StartTagToken, html.SelfClosingTagToken:
			raw := string(z.Raw())
			name := tagName(z)
			switch {
			case !isMarkup(name, raw):
			case layout(name):
				return true
			default:
				opened[name] = true
			}
		case html.EndTagToken:
			if name := tagName(z); name != 0 && opened[name] {
				return true
			}
		}
	}
}

// mayBeMarkup tells whether anything looks like the start tag of a known element: most text with a < in it is not worth a tokenizer.
func mayBeMarkup(s string) bool {
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			return false
		}
		s = s[i+1:]
		name := elementName(s)
		if name == 0 {
			continue
		}
		tag, _, _ := strings.Cut(s[:min(len(s), longTag)], ">")
		if len(tag) == longTag || strings.IndexByte(tag, '\f') >= 0 || isMarkup(name, tag) {
			return true
		}
	}
}

const (
	// longName is more than any element's name has.
	longName = 32
	// longTag is for how long a tag the tokenizer is asked in any case, so that of many < each costs little.
	longTag = 256
)

// elementName gives the known element that a start tag is of, from what follows its <.
func elementName(s string) atom.Atom {
	if s == "" || s[0]|0x20 < 'a' || s[0]|0x20 > 'z' {
		return 0
	}
	name := s[:min(len(s), longName)]
	if i := strings.IndexAny(name, " \t\r\n\f/>"); i >= 0 {
		name = name[:i]
	}
	return atom.Lookup([]byte(strings.ToLower(name)))
}

func tagName(z *html.Tokenizer) atom.Atom {
	name, _ := z.TagName()
	return atom.Lookup(name)
}

// hasEntity looks for an entity that nobody writes by hand.
func hasEntity(s string) bool {
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			return false
		}
		s = s[i+1:]
		end := strings.IndexByte(s[:min(len(s), 10)], ';')
		if end < 1 {
			continue
		}
		switch name := s[:end]; {
		case name == "amp" || name == "lt" || name == "gt" || name == "quot" || name == "apos" || name == "nbsp":
			return true
		case name[0] == '#' && html.UnescapeString("&"+name+";") != "&"+name+";":
			return true
		}
	}
}

// layout tells whether an element breaks the line, or stands for something, and is markup also when it is never closed.
func layout(name atom.Atom) bool {
	switch name {
	case atom.Br, atom.Hr, atom.Img, atom.Html, atom.Body:
		return true
	}
	return block(name)
}

func block(name atom.Atom) bool {
	switch name {
	case atom.P, atom.Div, atom.Ul, atom.Ol, atom.Li, atom.Dl, atom.Dt, atom.Dd, atom.Table, atom.Tr, atom.Blockquote, atom.Pre,
		atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Hr:
		return true
	}
	return false
}

func inline(name atom.Atom) bool {
	switch name {
	case atom.A, atom.B, atom.I, atom.U, atom.S, atom.Em, atom.Strong, atom.Span, atom.Font, atom.Small, atom.Big, atom.Sub, atom.Sup, atom.Code,
		atom.Tt, atom.Del, atom.Ins, atom.Mark, atom.Q, atom.Cite, atom.Abbr, atom.Center, atom.Label, atom.Button, atom.Td, atom.Th, atom.Tbody,
		atom.Thead, atom.Tfoot, atom.Col, atom.Caption, atom.Strike, atom.Kbd, atom.Wbr:
		return true
	}
	return silent(name)
}

// silent tells whether what is in an element is no text.
func silent(name atom.Atom) bool {
	switch name {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Noscript, atom.Iframe, atom.Object, atom.Svg, atom.Meta, atom.Link:
		return true
	}
	return false
}

// isMarkup tells a tag from text in angle brackets: its element is known, and what follows the name are attributes with values.
func isMarkup(name atom.Atom, raw string) bool {
	if name == 0 || !layout(name) && !inline(name) {
		return false
	}
	rest := strings.Trim(raw, "<>/")
	i := strings.IndexAny(rest, " \t\r\n/")
	return i < 0 || strings.TrimSpace(rest[i:]) == "" || strings.ContainsRune(rest[i:], '=')
}

// Text gives what a person reads of HTML.
func Text(source string) string {
	w := writer{}
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return w.text(string(z.Raw()))
		}
		raw := string(z.Raw())
		switch kind {
		case html.TextToken:
			w.words(html.UnescapeString(raw))
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if !isMarkup(token.DataAtom, raw) {
				w.words(html.UnescapeString(raw))
				continue
			}
			w.open(token)
		case html.EndTagToken:
			token := z.Token()
			if !isMarkup(token.DataAtom, raw) {
				w.words(html.UnescapeString(raw))
				continue
			}
			w.close(token.DataAtom)
		}
	}
}

// writer gathers text; white space waits until something follows it.
type writer struct {
	out    strings.Builder
	space  bool
	breaks int
	quiet  int // how many silent elements are open
	pre    int
	links  []link
}

// link is one that is open: where it leads, and where in the text it begins.
type link struct {
	href string
	from int
}

func (w *writer) words(s string) {
	if w.quiet > 0 {
		return
	}
	if w.pre > 0 {
		w.write(strings.ReplaceAll(s, "\r\n", "\n"))
		return
	}
	for i, word := range strings.FieldsFunc(s, blank) {
		if i > 0 || blank(firstRune(s)) {
			w.space = true
		}
		w.write(word)
	}
	if s != "" && blank(lastRune(s)) {
		w.space = true
	}
}

// blank is HTML's white space, and the space that does not break.
func blank(r rune) bool {
	return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' || r == '\u00a0'
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

func lastRune(s string) rune {
	if strings.HasSuffix(s, "\u00a0") {
		return '\u00a0'
	}
	return rune(s[len(s)-1])
}

func (w *writer) write(s string) {
	if s == "" {
		return
	}
	switch {
	case w.out.Len() == 0:
	case w.breaks > 0:
		w.out.WriteString(strings.Repeat("\n", min(w.breaks, 2)))
	case w.space:
		w.out.WriteByte(' ')
	}
	w.space, w.breaks = false, 0
	w.out.WriteString(s)
}

func (w *writer) open(t html.Token) {
	if silent(t.DataAtom) {
		if t.Type == html.StartTagToken && t.DataAtom != atom.Meta && t.DataAtom != atom.Link {
			w.quiet++
		}
		return
	}
	if w.quiet > 0 {
		return
	}
	switch t.DataAtom {
	case atom.Br:
		w.breaks++
	case atom.Img:
		w.words(attribute(t, "alt"))
	case atom.A:
		if t.Type == html.StartTagToken {
			w.links = append(w.links, link{address(attribute(t, "href")), w.out.Len()})
		}
	case atom.Td, atom.Th:
		w.space = true
	}
	if block(t.DataAtom) {
		w.newLine(t.DataAtom)
	}
	switch t.DataAtom {
	case atom.Li:
		w.write("-")
		w.space = true
	case atom.Pre:
		w.pre++
	}
}

// newLine begins a line, and a paragraph's after an empty one.
func (w *writer) newLine(name atom.Atom) {
	wanted := 1
	if name == atom.P {
		wanted = 2
	}
	w.breaks = max(w.breaks, wanted)
}

func (w *writer) close(name atom.Atom) {
	switch {
	case silent(name):
		w.quiet = max(w.quiet-1, 0)
		return
	case w.quiet > 0:
		return
	case name == atom.Pre:
		w.pre = max(w.pre-1, 0)
	case name == atom.A:
		w.closeLink()
	}
	if block(name) {
		w.newLine(name)
	}
}

func (w *writer) closeLink() {
	if len(w.links) == 0 {
		return
	}
	l := w.links[len(w.links)-1]
	w.links = w.links[:len(w.links)-1]
	words := strings.TrimSpace(w.out.String()[l.from:])
	shown := strings.TrimPrefix(l.href, "mailto:")
	switch {
	case l.href == "" || words == l.href || words == shown || "http://"+words == l.href || "https://"+words == l.href:
	case words == "":
		w.write(shown)
	default:
		w.space = true
		w.write("(" + shown + ")")
	}
}

// address gives a link's address if it can be shown.
func address(href string) string {
	href = strings.TrimSpace(href)
	scheme, _, _ := strings.Cut(strings.ToLower(href), ":")
	if scheme != "http" && scheme != "https" && scheme != "mailto" {
		return ""
	}
	return strings.Join(strings.Fields(href), "")
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text gives what was gathered; links that were never closed and a tag that was cut off show what is known of them.
func (w *writer) text(rest string) string {
	for len(w.links) > 0 {
		w.closeLink()
	}
	w.words(html.UnescapeString(rest))
	return strings.TrimSpace(w.out.String())
}
