package events

import (
	"bytes"
	"encoding/xml"
	"strings"
	"unicode/utf8"
)

// LiveLeaderKey gives the vendor_id of a LiveLeader chat element (liveleader-export.txt): the text of its first <id>, trimmed;
// an <id> inside another of its elements does not count. It is "" when there is none, or none that can be read. Invalid
// UTF-8 becomes U+FFFD. Only the bytes up to the id are looked at, so that the start of an oversize chat does.
func LiveLeaderKey(chat []byte) string {
	for depth := 0; ; {
		i := bytes.IndexByte(chat, '<')
		if i < 0 {
			return ""
		}
		chat = chat[i:]
		end, step := liveLeaderTag(chat)
		if end < 0 {
			return ""
		}
		if depth == 1 && step == 1 && liveLeaderNamesID(chat) {
			return liveLeaderID(chat[end:])
		}
		if depth += step; depth <= 0 {
			return ""
		}
		chat = chat[end:]
	}
}

// liveLeaderTag gives the length of the markup that b begins with, -1 when it does not end, and by how much it deepens.
func liveLeaderTag(b []byte) (end, deepens int) {
	for _, section := range [...][2]string{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}} {
		if bytes.HasPrefix(b, []byte(section[0])) {
			i := bytes.Index(b[len(section[0]):], []byte(section[1]))
			if i < 0 {
				return -1, 0
			}
			return len(section[0]) + i + len(section[1]), 0
		}
	}
	i := bytes.IndexByte(b, '>')
	if i > 0 && bytes.ContainsAny(b[:i], `"'`) {
		i = liveLeaderQuotedEnd(b)
	}
	switch {
	case i < 0:
		return -1, 0
	case b[1] == '/':
		return i + 1, -1
	case b[i-1] == '/':
		return i + 1, 0
	}
	return i + 1, 1
}

// liveLeaderQuotedEnd finds the ">" that stands outside quotes; -1 when there is none.
func liveLeaderQuotedEnd(b []byte) int {
	var quote byte
	for i, c := range b {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i
		}
	}
	return -1
}

func liveLeaderNamesID(tag []byte) bool {
	return bytes.HasPrefix(tag, []byte("<id")) && bytes.IndexByte([]byte("> \t\r\n"), tag[3]) >= 0
}

// liveLeaderID reads the id off the bytes after its start tag.
func liveLeaderID(b []byte) string {
	i := bytes.Index(b, []byte("</id"))
	if i < 0 {
		return ""
	}
	if b = b[:i]; !bytes.ContainsAny(b, "<&") && utf8.Valid(b) {
		return string(bytes.TrimSpace(b))
	}
	return liveLeaderText(bytes.ToValidUTF8(b, []byte("\uFFFD")))
}

// liveLeaderText decodes references and CDATA sections; "" for what is no text.
func liveLeaderText(b []byte) string {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.Strict = false // an unknown reference stays as it is
	var text strings.Builder
	for {
		token, err := d.RawToken()
		if err != nil {
			return strings.TrimSpace(text.String())
		}
		switch token := token.(type) {
		case xml.CharData:
			text.Write(token)
		case xml.StartElement, xml.EndElement:
			return ""
		}
	}
}
