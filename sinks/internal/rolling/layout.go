package rolling

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
)

// Layout is a path template: segments, each of literals and tokens.
type Layout [][]piece

// piece is a literal, or a token that gives a value of an event.
type piece struct {
	literal string
	token   string
	value   func(*events.Event) string
}

// maxSegment keeps a name below the 255 bytes of file systems.
const maxSegment = 200

var tokens = map[string]func(*events.Event) string{
	"kind":   func(e *events.Event) string { return string(e.Kind()) },
	"vendor": func(e *events.Event) string { return e.Vendor },
	"source": func(e *events.Event) string {
		if _, source, ok := strings.Cut(strings.TrimPrefix(e.Source, "/"), "/"); ok {
			return source
		}
		return e.Source
	},
	"date": func(e *events.Event) string {
		if e.Time.IsZero() {
			return "unknown"
		}
		return e.Time.UTC().Format(time.DateOnly)
	},
}

const tokenNames = "{kind}, {vendor}, {source}, {date}"

// ParseLayout reads a template such as {kind}/{date}.
func ParseLayout(text string) (Layout, error) {
	if text == "" {
		return nil, errors.New("is empty, want segments of " + tokenNames)
	}
	var l Layout
	for segment := range strings.SplitSeq(text, "/") {
		pieces, err := parseSegment(segment)
		if err != nil {
			return nil, fmt.Errorf("is %q: %w", text, err)
		}
		l = append(l, pieces)
	}
	return l, nil
}

func parseSegment(segment string) ([]piece, error) {
	if segment == "" || segment[0] == '.' {
		return nil, errors.New("want a relative path whose segments are not empty and do not begin with a dot")
	}
	var pieces []piece
	for rest := segment; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			open = len(rest)
		}
		if open > 0 {
			if i := strings.IndexFunc(rest[:open], strange); i >= 0 {
				return nil, fmt.Errorf("%q: want letters, digits, - _ . = beside %s", segment, tokenNames)
			}
			pieces = append(pieces, piece{literal: rest[:open]})
			rest = rest[open:]
			continue
		}
		name, after, _ := strings.Cut(rest[1:], "}")
		value := tokens[name]
		if value == nil {
			return nil, fmt.Errorf("{%s} is unknown; known are %s", name, tokenNames)
		}
		pieces, rest = append(pieces, piece{token: name, value: value}), after
	}
	return pieces, nil
}

func strange(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.=", c)
}

// Path gives an event's directory, slash-separated. Values are escaped as subjects are, so that none holds a dot or a slash: an
// event can neither leave the directory nor hide below a dot.
func (l Layout) Path(e *events.Event) string {
	var b strings.Builder
	for i, pieces := range l {
		if i > 0 {
			b.WriteByte('/')
		}
		start := b.Len()
		for _, p := range pieces {
			if p.value == nil {
				b.WriteString(p.literal)
			} else {
				b.WriteString(events.Token(p.value(e)))
			}
		}
		if b.Len()-start > maxSegment {
			whole := b.String()
			b.Reset()
			b.WriteString(whole[:start])
			b.WriteString(events.Token(whole[start:])) // over 120 bytes: a hash
		}
	}
	return b.String()
}

// Has tells whether the paths of different values of a token differ.
func (l Layout) Has(token string) bool {
	for _, pieces := range l {
		for _, p := range pieces {
			if p.token == token {
				return true
			}
		}
	}
	return false
}
