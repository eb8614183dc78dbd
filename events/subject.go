package events

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// The subjects' first tokens, one for each stream.
const (
	RawSubjects     = "parley.raw"
	EventSubjects   = "parley.events"
	StateSubjects   = "parley.state"
	DeadSubjects    = "parley.dead"
	WindowSubjects  = "parley.windows"
	SeenSubjects    = "parley.seen"
	ReplaySubjects  = "parley.replay"
	maxPlainTokenID = 120
)

const upperHex = "0123456789ABCDEF"

// Token writes a vendor's id as one NATS token: [A-Za-z0-9_-] stay, every other byte becomes
// =XX, the empty id is "==", and one longer than 120 bytes is ~ and the first 32 hex digits
// of its SHA-256. Different ids have different tokens; long ids cannot be read back.
func Token(id string) string {
	if id == "" {
		return "=="
	}
	if len(id) > maxPlainTokenID {
		sum := sha256.Sum256([]byte(id))
		return "~" + hex.EncodeToString(sum[:16])
	}
	for i := 0; i < len(id); i++ {
		if !plain(id[i]) {
			return escape(id, i)
		}
	}
	return id
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

func escape(id string, from int) string {
	var b strings.Builder
	b.Grow(len(id) + 16)
	b.WriteString(id[:from])
	for i := from; i < len(id); i++ {
		if c := id[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// Untoken reads a token back to the id; false for the hash of a long id and
// for what Token never writes.
func Untoken(token string) (string, bool) {
	if token == "==" {
		return "", true
	}
	if token == "" || token[0] == '~' {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		switch c := token[i]; {
		case plain(c):
			b.WriteByte(c)
		case c == '=' && i+2 < len(token):
			hi, lo := strings.IndexByte(upperHex, token[i+1]), strings.IndexByte(upperHex, token[i+2])
			if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
				return "", false
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
		default:
			return "", false
		}
	}
	if b.Len() > maxPlainTokenID {
		return "", false
	}
	return b.String(), true
}

// RawSubject is where a record is published; the stream stores it under its partition.
func RawSubject(r *Record) string {
	return fmt.Sprintf("%s.%s.%s.%s.%s", RawSubjects, r.Vendor, r.Source, Token(r.Stream), Token(r.Key))
}

// PublishedRawSubject is the subject under which a record was published that RAW stores under another, with its partition:
// parley.raw.7.acme.eu.chats.x was parley.raw.acme.eu.chats.x.
func PublishedRawSubject(stored string) string {
	rest, is := strings.CutPrefix(stored, RawSubjects+".")
	partition, path, found := strings.Cut(rest, ".")
	if !is || !found || strings.Count(path, ".") != 3 || strings.Trim(partition, "0123456789") != "" {
		return stored
	}
	return RawSubjects + "." + path
}

// ReplaySubject is where an event that is stored under a subject of EVENTS, or was replayed before, goes to be delivered again to one sink
// alone.
func ReplaySubject(sink, stored string) string {
	to := ReplaySubjects + "." + Token(sink) + "."
	return to + strings.TrimPrefix(strings.TrimPrefix(stored, EventSubjects+"."), to)
}

// EntityPath is what an entity's subjects end with: <kind>.<vendor>.<source>.<entity>.
func EntityPath(kind Kind, vendor, source, vendorID string) string {
	return string(kind) + "." + vendor + "." + source + "." + Token(vendorID)
}

// FilterSubjects turns a filter of kinds and subject patterns ("conversation",
// "conversation.liveagent.*", "*.livechat.support.PK3F") into subjects of EVENTS; an empty one is
// everything. Of two patterns, one within the other, the wider stays: JetStream refuses a consumer
// with both. Patterns that overlap only in part both stay, and an event that matches both is
// delivered once. The entity is written as Token writes it.
func FilterSubjects(filter []string) ([]string, error) {
	if len(filter) == 0 {
		return []string{EventSubjects + ".>"}, nil
	}
	patterns := make([]pattern, 0, len(filter))
	for _, f := range filter {
		tokens := strings.Split(strings.TrimSpace(f), ".")
		if err := checkFilter(f, tokens); err != nil {
			return nil, err
		}
		patterns = append(patterns, newPattern(tokens))
	}
	subjects := make([]string, 0, len(patterns))
	for i, p := range patterns {
		if !coveredByAnother(p, i, patterns) {
			subjects = append(subjects, p.subject())
		}
	}
	return subjects, nil
}

// pattern is a filter's four tokens, what it leaves out being "*".
type pattern [4]string

func newPattern(tokens []string) pattern {
	p := pattern{"*", "*", "*", "*"}
	for i, t := range tokens {
		if t != ">" {
			p[i] = t
		}
	}
	return p
}

// covers tells whether p matches every subject that q matches.
func (p pattern) covers(q pattern) bool {
	for i := range p {
		if p[i] != "*" && p[i] != q[i] {
			return false
		}
	}
	return true
}

// coveredByAnother tells whether a pattern other than the i-th makes it needless; of equal ones the
// first stays.
func coveredByAnother(p pattern, i int, all []pattern) bool {
	for j, other := range all {
		if j != i && other.covers(p) && (j < i || other != p) {
			return true
		}
	}
	return false
}

// subject writes trailing wildcards as one ">".
func (p pattern) subject() string {
	n := len(p)
	for n > 0 && p[n-1] == "*" {
		n--
	}
	tokens := p[:n]
	if n < len(p) {
		tokens = append(tokens[:n:n], ">")
	}
	return EventSubjects + "." + strings.Join(tokens, ".")
}

func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func checkFilter(filter string, tokens []string) error {
	if len(tokens) > 4 {
		return fmt.Errorf("filter %q: want at most <kind>.<vendor>.<source>.<entity>", filter)
	}
	for i, t := range tokens {
		switch {
		case t == "*", t == ">" && i == len(tokens)-1:
		case t == "", strings.ContainsAny(t, "*>"):
			return fmt.Errorf("filter %q: want tokens between dots, * for any one, > at the end for all", filter)
		case i == 0 && !slices.Contains(Kinds(), Kind(t)):
			return fmt.Errorf("filter %q: %q is no kind; want one of %s, or * or >", filter, t, kindNames())
		case (i == 1 || i == 2) && strings.Trim(t, nameChars) != "":
			return fmt.Errorf("filter %q: %q is no name of a vendor or source; want a-z, 0-9 and -", filter, t)
		case i == 3 && strings.Trim(t, nameChars+upperLetters+"_=~") != "":
			return fmt.Errorf("filter %q: %q is no entity; want the id as %q", filter, t, Token(t))
		}
	}
	return nil
}

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	nameChars    = lowerLetters + "0123456789-"
)
