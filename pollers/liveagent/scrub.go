package liveagent

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// secretName tells the names of members that are credentials; the document has the first two in agents and customers.
func secretName(name string) bool {
	switch strings.ToLower(name) {
	case "authtoken", "browsercookiename", "apikey", "api_key", "password":
		return true
	}
	return false
}

// scrubJSON cuts out the members with secret names at any depth, giving the bytes themselves when there are none. It needs no
// valid document: whatever is a string before a colon is a name.
func scrubJSON(document []byte) []byte {
	var out []byte
	done := 0 // document[:done] is in out, or cut out
	for i := 0; ; {
		open := bytes.IndexByte(document[i:], '"')
		if open < 0 {
			break
		}
		open += i
		end := stringEnd(document, open)
		colon := skipSpace(document, end)
		if colon == len(document) || document[colon] != ':' || !secretName(nameJSON(document[open:end])) {
			i = end
			continue
		}
		out = append(out, document[done:open]...)
		done = valueEnd(document, colon+1)
		if comma := skipSpace(document, done); comma < len(document) && document[comma] == ',' {
			done = comma + 1
		} else {
			out = bytes.TrimSuffix(bytes.TrimRight(out, " \t\r\n"), []byte(","))
		}
		i = done
	}
	if done == 0 {
		return document
	}
	return append(out, document[done:]...)
}

func nameJSON(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		var name string
		_ = json.Unmarshal(quoted, &name) // a name that is no string is none of ours
		return name
	}
	return strings.Trim(string(quoted), `"`)
}

// stringEnd gives the place after the string that opens at a quote.
func stringEnd(b []byte, open int) int {
	for i := open + 1; ; {
		n := bytes.IndexAny(b[i:], `"\`)
		if n < 0 {
			return len(b)
		}
		if i += n; b[i] == '"' {
			return i + 1
		}
		if i += 2; i >= len(b) {
			return len(b)
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// valueEnd gives the place after the value that begins at i, or the end of what is cut.
func valueEnd(b []byte, i int) int {
	for depth := 0; i < len(b); {
		n := bytes.IndexAny(b[i:], `"{}[],`)
		if n < 0 {
			break
		}
		i += n
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}

// secretElement is an element with a secret name, in any namespace, up to its end or that of what is cut.
var secretElement = regexp.MustCompile(`(?is)` +
	element("authtoken") + `|` + element("browsercookiename") + `|` + element("apikey") + `|` + element("api_key") + `|` + element("password"))

func element(name string) string {
	const prefix = `(?:[\w.-]+:)?`
	return `<` + prefix + name + `(?:\s[^>]*?)?(?:/>|>.*?(?:</` + prefix + name + `\s*>|\z))`
}

// scrubXML cuts out the elements with secret names, giving the bytes themselves when there are none. What looks like one
// in a comment or CDATA section goes as well.
func scrubXML(document []byte) []byte {
	if !secretElement.Match(document) {
		return document
	}
	return secretElement.ReplaceAll(document, nil)
}
