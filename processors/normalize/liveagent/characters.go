package liveagent

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// replacesJSON tells whether encoding/json replaces something in a document by U+FFFD: bytes that are no
// UTF-8, or half of a surrogate pair.
func replacesJSON(document []byte) bool {
	if !utf8.Valid(document) {
		return true
	}
	for i := 0; ; {
		n := bytes.IndexByte(document[i:], '\\')
		if n < 0 || i+n+1 >= len(document) {
			return false
		}
		i += n
		switch unit := escapedUnit(document[i:]); {
		case unit>>10 == 0xD800>>10 && escapedUnit(document[i+6:])>>10 == 0xDC00>>10:
			i += 12
		case unit>>11 == 0xD800>>11:
			return true
		default:
			i += 2
		}
	}
}

// escapedUnit is the UTF-16 unit of the \uXXXX that b begins with; 0 of anything else.
func escapedUnit(b []byte) uint64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(b[2:6]), 16, 16)
	return unit
}

// cleanXML replaces by U+FFFD what no XML decoder accepts: bytes that are no UTF-8 (invalid), and characters that XML
// forbids, also as references (forbidden). It gives the document itself when there are none.
func cleanXML(document []byte) (clean []byte, invalid, forbidden bool) {
	done := 0 // document[:done] is in clean
	replace := func(i, size int) {
		clean = append(append(clean, document[done:i]...), "\uFFFD"...)
		done = i + size
	}
	for i := 0; i < len(document); {
		r, size := rune(document[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(document[i:])
		}
		switch {
		case r == utf8.RuneError && size == 1:
			invalid = true
			replace(i, size)
		case !allowedXML(r):
			forbidden = true
			replace(i, size)
		case r == '&':
			if named, length := reference(document[i:]); length > 0 {
				size = length
				if !allowedXML(named) {
					forbidden = true
					replace(i, size)
				}
			}
		}
		i += size
	}
	if done == 0 {
		return document, false, false
	}
	return append(clean, document[done:]...), invalid, forbidden
}

// allowedXML is the Char of XML 1.0.
func allowedXML(r rune) bool {
	return r >= 0x20 && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}

// reference reads the character reference that b begins with; length 0 when it begins with none.
func reference(b []byte) (named rune, length int) {
	const longest = 12 // &#x0010FFFF;
	end := bytes.IndexByte(b[:min(len(b), longest)], ';')
	if end < 3 || b[1] != '#' {
		return 0, 0
	}
	digits, base := string(b[2:end]), 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return 0, 0
	}
	return rune(min(n, utf8.MaxRune+1)), end + 1
}
