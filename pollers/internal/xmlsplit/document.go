package xmlsplit

import (
	"bytes"
	"html"
	"io"
	"strings"

	"github.com/parley-stream/parley/events"
)

// maxName bounds the name of a wrapper or of a child of one.
const maxName = 256

// document walks the wrappers of one response.
type document struct {
	splitter Splitter
	in       *input
	emit     func(events.Body) error
	found    bool // the last wrapper was there
}

// path gives the path of the wrapper at a level, as response/conversations.
func (d *document) path(level int) string {
	return strings.Join(d.splitter.Path[:level+1], "/")
}

func (d *document) root() error {
	if b := d.in.peek(3); bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		d.in.pos += 3
	}
	if err := d.markup("before the root"); err != nil {
		return err
	}
	if b := d.in.peek(2); len(b) < 2 {
		return d.in.ended("in a tag")
	} else if b[1] == '/' {
		return incomplete("it does not start with an element")
	}
	name, selfClosed, err := d.startTag()
	if err != nil {
		return err
	}
	if want := d.splitter.Path[0]; name != want {
		return incomplete("the root element is <%s>, want <%s>", name, want)
	}
	return d.wrapper(0, selfClosed)
}

// wrapper reads the wrapper of a level, from after its start tag to after its end tag.
func (d *document) wrapper(level int, selfClosed bool) error {
	last := level == len(d.splitter.Path)-1
	d.found = d.found || last
	for !selfClosed {
		if err := d.markup("in " + d.path(level)); err != nil {
			return err
		}
		if b := d.in.peek(2); len(b) == 2 && b[1] == '/' {
			return d.endTag(d.splitter.Path[level])
		}
		if last {
			if ok, err := d.record(); err != nil {
				return err
			} else if ok {
				continue
			}
		}
		if err := d.child(level); err != nil {
			return err
		}
	}
	return nil
}

// record emits the element at the position if it is a record.
func (d *document) record() (bool, error) {
	name := d.splitter.Element
	if !names(d.in.peek(len(name) + 2)[1:], name) {
		return false, nil
	}
	body, err := d.in.element(name, true)
	if err != nil {
		return false, err
	}
	return true, d.emit(body)
}

// child enters the next wrapper, or passes over another child.
func (d *document) child(level int) error {
	name, err := d.name(1)
	if err != nil {
		return err
	}
	if path := d.splitter.Path; level+1 < len(path) && name == path[level+1] {
		_, selfClosed, err := d.startTag()
		if err != nil {
			return err
		}
		return d.wrapper(level+1, selfClosed)
	}
	other := d.splitter.Other
	body, err := d.in.element(name, other != nil)
	if err != nil || other == nil {
		return err
	}
	return other(d.path(level)+"/"+name, firstText(body.Bytes))
}

// firstText gives the text of an element's bytes before its first child.
func firstText(element []byte) string {
	i := tagEnd(element)
	if i < 0 || element[i-1] == '/' {
		return ""
	}
	element = element[i+1:]
	if len(element) > events.OversizeKeptBytes {
		element = element[:events.OversizeKeptBytes]
	}
	text, _, _ := bytes.Cut(element, []byte("<"))
	if inside, ok := bytes.CutPrefix(element, []byte("<![CDATA[")); ok {
		text, _, _ = bytes.Cut(inside, []byte("]]>"))
		return strings.TrimSpace(string(text))
	}
	return strings.TrimSpace(html.UnescapeString(string(text)))
}

// markup moves to the next tag, over white space, comments and processing instructions.
func (d *document) markup(where string) error {
	for {
		b, err := d.in.skipSpace()
		switch {
		case err == io.EOF:
			return incomplete("it ends %s", where)
		case err != nil:
			return err
		case b != '<':
			return incomplete("there is text %s", where)
		}
		if done, err := d.notElement(where); done || err != nil {
			return err
		}
	}
}

// notElement passes over a comment or processing instruction at the position; done says that there is a tag instead.
func (d *document) notElement(where string) (done bool, err error) {
	b := d.in.peek(4)
	switch {
	case bytes.HasPrefix(b, []byte("<?")):
		return false, d.in.skipPast("<?", "?>")
	case bytes.HasPrefix(b, []byte("<!--")):
		return false, d.in.skipPast("<!--", "-->")
	case bytes.HasPrefix(b, []byte("<!")) && len(b) < 4:
		return false, d.in.ended(where)
	case bytes.HasPrefix(b, []byte("<!")):
		return false, incomplete("there is a DOCTYPE or CDATA section %s", where)
	}
	return true, nil
}

// trailer accepts nothing but white space, comments and processing instructions up to the end.
func (d *document) trailer() error {
	for {
		b, err := d.in.skipSpace()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case b != '<':
			return incomplete("there is text after the root")
		}
		if tag, err := d.notElement("after the root"); err != nil {
			return err
		} else if tag {
			return incomplete("there is an element after the root")
		}
	}
}

// startTag reads the start tag at the position.
func (d *document) startTag() (name string, selfClosed bool, err error) {
	if name, err = d.name(1); err != nil {
		return "", false, err
	}
	d.in.pos += 1 + len(name)
	selfClosed, err = d.in.skipTag()
	return name, selfClosed, err
}

// endTag reads the end tag at the position.
func (d *document) endTag(want string) error {
	name, err := d.name(2)
	if err != nil {
		return err
	}
	if name != want {
		return incomplete("there is </%s>, want </%s>", name, want)
	}
	d.in.pos += 2 + len(name)
	b, err := d.in.skipSpace()
	switch {
	case err == io.EOF:
		return incomplete("it ends in </%s", name)
	case err != nil:
		return err
	case b != '>':
		return incomplete("</%s> is malformed", name)
	}
	d.in.pos++
	return nil
}

// name reads the name that begins skip bytes after the position, and stays at the position.
func (d *document) name(skip int) (string, error) {
	b := d.in.peek(skip + maxName + 1)
	b = b[min(skip, len(b)):]
	n := bytes.IndexAny(b, " \t\r\n/>")
	if n < 0 && len(b) > maxName {
		return "", incomplete("the name of an element is longer than %d bytes", maxName)
	}
	if n < 0 {
		return "", d.in.ended("in a tag")
	}
	if n == 0 || bytes.ContainsAny(b[:n], "<&\"'=\x00") {
		return "", incomplete("the name of an element is malformed")
	}
	return string(b[:n]), nil
}
