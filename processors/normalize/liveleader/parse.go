package liveleader

import (
	"errors"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of elements.
const maxDepth = 100

// parser reads one element by hand: encoding/xml gives up at control characters and HTML's
// references, which people's text has, and is several times slower.
type parser struct {
	rest string
	root *element
	open []*element
	// parts are the content, so far, of the open elements: that of open[i] begins at from[i].
	parts []content
	from  []int
	// found are the attributes, so far, of the tag that is read.
	found []attribute
	// A tree's parts lie here, and the next document's in the same place.
	elements   slab[element]
	contents   slab[content]
	attributes slab[attribute]
}

// slab makes values many at once. Where they lie is used again after reset.
type slab[T any] struct{ used []T }

// slabSize is for a usual chat, which has a hundred elements at most. Of a far larger one nothing is kept.
const (
	slabSize    = 64
	slabMaximum = 64 * slabSize
)

// keep copies values to where they stay until reset.
func (s *slab[T]) keep(values ...T) []T {
	if len(values) > cap(s.used)-len(s.used) {
		s.used = make([]T, 0, max(slabSize, min(2*cap(s.used), slabMaximum), len(values)))
	}
	begin := len(s.used)
	s.used = append(s.used, values...)
	return slices.Clip(s.used[begin:])
}

func (s *slab[T]) reset() {
	if cap(s.used) > slabMaximum {
		s.used = nil
	}
	clear(s.used) // a document is not held by what was read of it
	s.used = s.used[:0]
}

// reset forgets a document; the tree that parse gave must not be used any more.
func (p *parser) reset() {
	p.elements.reset()
	p.contents.reset()
	p.attributes.reset()
	p.rest, p.root, p.from = "", nil, p.from[:0]
	p.open, p.parts, p.found = empty(p.open), empty(p.parts), empty(p.found)
}

// empty gives the room of values that are not used any more, cleared up to its end.
func empty[T any](values []T) []T {
	if cap(values) > slabMaximum {
		return nil
	}
	clear(values[:cap(values)])
	return values[:0]
}

// parse reads the one element of a document. It is valid until reset.
func (p *parser) parse(document string) (*element, error) {
	p.rest = document
	for p.rest != "" {
		text, _, found := strings.Cut(p.rest, "<")
		p.rest = p.rest[len(text):]
		if err := p.addText(unescape(text)); err != nil {
			return nil, err
		}
		if found {
			if err := p.markup(); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case p.root == nil:
		return nil, errors.New("there is no element")
	case len(p.open) > 0:
		return nil, fmt.Errorf("<%s> has no end", p.open[len(p.open)-1].name)
	}
	return p.root, nil
}

func (p *parser) addText(text string) error {
	switch {
	case text == "":
	case len(p.open) > 0:
		p.add(content{text: text})
	case trim(text) != "":
		return errors.New("there is text outside the element")
	}
	return nil
}

func (p *parser) add(part content) {
	p.parts = append(p.parts, part)
}

// markup reads what begins with the "<" at the position.
func (p *parser) markup() error {
	switch {
	case strings.HasPrefix(p.rest, "<!--"):
		_, err := p.section("<!--", "-->")
		return err
	case strings.HasPrefix(p.rest, "<![CDATA["):
		text, err := p.section("<![CDATA[", "]]>")
		if err != nil {
			return err
		}
		return p.addText(text)
	case strings.HasPrefix(p.rest, "<?"):
		_, err := p.section("<?", "?>")
		return err
	case strings.HasPrefix(p.rest, "<!"):
		return errors.New("there is a DOCTYPE or another declaration")
	case strings.HasPrefix(p.rest, "</"):
		return p.endTag()
	}
	return p.startTag()
}

func (p *parser) section(opening, closing string) (string, error) {
	inside, rest, found := strings.Cut(p.rest[len(opening):], closing)
	if !found {
		return "", fmt.Errorf("%s has no end", opening)
	}
	p.rest = rest
	return inside, nil
}

func (p *parser) endTag() error {
	name, rest, found := strings.Cut(p.rest[2:], ">")
	name = trimRight(name)
	if !found || len(p.open) == 0 || p.open[len(p.open)-1].name != name {
		return fmt.Errorf("</%s> closes no open element", shorten(name))
	}
	last := len(p.open) - 1
	p.open[last].content = p.contents.keep(p.parts[p.from[last]:]...)
	p.parts = p.parts[:p.from[last]]
	p.open, p.from, p.rest = p.open[:last], p.from[:last], rest
	return nil
}

func (p *parser) startTag() error {
	p.rest = p.rest[1:]
	name := p.name()
	if name == "" {
		return errors.New("there is a < that begins no tag")
	}
	e := &p.elements.keep(element{name: name})[0]
	if len(p.open) > 0 {
		p.add(content{child: e})
	} else if p.root == nil {
		p.root = e
	} else {
		return fmt.Errorf("there is a second element <%s>", shorten(name))
	}
	closed, err := p.tag(e)
	if err != nil {
		return fmt.Errorf("<%s>: %w", shorten(name), err)
	}
	if !closed {
		p.open, p.from = append(p.open, e), append(p.from, len(p.parts))
	}
	if len(p.open) > maxDepth {
		return fmt.Errorf("there are more than %d levels", maxDepth)
	}
	return nil
}

// tag reads up to the tag's end; closed says that the element ends with it.
func (p *parser) tag(e *element) (closed bool, err error) {
	p.found = p.found[:0]
	for {
		p.rest = trimLeft(p.rest)
		switch {
		case strings.HasPrefix(p.rest, ">"), strings.HasPrefix(p.rest, "/>"):
			if len(p.found) > 0 {
				e.attributes = p.attributes.keep(p.found...)
			}
			closed = p.rest[0] == '/'
			_, p.rest, _ = strings.Cut(p.rest, ">")
			return closed, nil
		}
		name := p.name()
		p.rest = trimLeft(p.rest)
		if name == "" || !strings.HasPrefix(p.rest, "=") {
			return false, errors.New("an attribute is malformed")
		}
		p.rest = trimLeft(p.rest[1:])
		value, ok := p.quoted()
		if !ok {
			return false, fmt.Errorf("the value of %s is malformed", shorten(name))
		}
		p.found = append(p.found, attribute{name: name, value: value})
	}
}

func (p *parser) quoted() (string, bool) {
	if p.rest == "" || (p.rest[0] != '"' && p.rest[0] != '\'') {
		return "", false
	}
	value, rest, found := strings.Cut(p.rest[1:], p.rest[:1])
	if !found || strings.Contains(value, "<") {
		return "", false
	}
	p.rest = rest
	return unescape(value), true
}

// name reads a name; "" when there is none.
func (p *parser) name() string {
	n := 0
	for n < len(p.rest) && !endsName(p.rest[n]) {
		n++
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

func endsName(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '/', '>', '=', '<', '"', '\'', '&':
		return true
	}
	return false
}

// shorten keeps hostile names out of errors.
func shorten(name string) string {
	if len(name) <= 64 {
		return name
	}
	return strings.ToValidUTF8(name[:64], "") + "…"
}

// maxReference is the length of the longest name of HTML's references, and more.
const maxReference = 40

// unescape decodes references and line ends. A "&" that begins no known reference stays as it is.
func unescape(text string) string {
	if strings.IndexByte(text, '\r') >= 0 {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	}
	i := strings.IndexByte(text, '&')
	if i < 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for ; i >= 0; i = strings.IndexByte(text, '&') {
		b.WriteString(text[:i])
		text = text[i+1:]
		name, _, found := strings.Cut(text[:min(len(text), maxReference)], ";")
		decoded, known := "", false
		if found {
			decoded, known = reference(name)
		}
		if !known {
			b.WriteByte('&')
			continue
		}
		b.WriteString(decoded)
		text = text[len(name)+1:]
	}
	b.WriteString(text)
	return b.String()
}

// reference decodes the name between "&" and ";".
func reference(name string) (string, bool) {
	switch name {
	case "":
		return "", false
	case "lt":
		return "<", true
	case "gt":
		return ">", true
	case "amp":
		return "&", true
	case "quot":
		return `"`, true
	case "apos":
		return "'", true
	}
	if digits, ok := strings.CutPrefix(name, "#"); ok {
		return character(digits)
	}
	// HTML decodes the beginning of some names too (&notit;); then the ";" stays, and it is none.
	decoded := html.UnescapeString("&" + name + ";")
	return decoded, !strings.HasSuffix(decoded, ";")
}

// character decodes a number, hexadecimal after x; NUL and what is no character is none.
func character(digits string) (string, bool) {
	base := 10
	if rest, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = rest, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n == 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return "", false
	}
	return string(rune(n)), true
}
