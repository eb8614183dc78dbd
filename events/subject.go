package events

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The subjects' first tokens, one for each stream.
const (
	RawSubjects     = "parley.raw"
	EventSubjects   = "parley.events"
	StateSubjects   = "parley.state"
	DeadSubjects    = "parley.dead"
	WindowSubjects  = "parley.windows"
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
	return b.String(), true
}

// RawSubject is where a record is published; the stream stores it under its partition.
func RawSubject(r *Record) string {
	return fmt.Sprintf("%s.%s.%s.%s.%s", RawSubjects, r.Vendor, r.Source, Token(r.Stream), Token(r.Key))
}

// EntityPath is what an entity's subjects end with: <kind>.<vendor>.<source>.<entity>.
func EntityPath(kind Kind, vendor, source, vendorID string) string {
	return string(kind) + "." + vendor + "." + source + "." + Token(vendorID)
}

// FilterSubjects turns a filter of kinds and subject patterns ("conversation",
// "conversation.liveagent.*") into subjects of EVENTS; an empty one is everything.
func FilterSubjects(filter []string) ([]string, error) {
	if len(filter) == 0 {
		return []string{EventSubjects + ".>"}, nil
	}
	subjects := make([]string, 0, len(filter))
	for _, f := range filter {
		tokens := strings.Split(strings.TrimSpace(f), ".")
		if err := checkFilter(f, tokens); err != nil {
			return nil, err
		}
		if len(tokens) < 4 && tokens[len(tokens)-1] != ">" {
			tokens = append(tokens, ">")
		}
		subjects = append(subjects, EventSubjects+"."+strings.Join(tokens, "."))
	}
	return subjects, nil
}

func checkFilter(filter string, tokens []string) error {
	if len(tokens) > 4 {
		return fmt.Errorf("filter %q: want at most <kind>.<vendor>.<source>.<entity>", filter)
	}
	known := tokens[0] == "*" || tokens[0] == ">"
	for _, k := range Kinds() {
		known = known || tokens[0] == string(k)
	}
	if !known {
		return fmt.Errorf("filter %q: %q is no kind; want one of %v, * or >", filter, tokens[0], Kinds())
	}
	for i, t := range tokens {
		if t == "" || strings.ContainsAny(t, " \t\r\n") || (t == ">" && i < len(tokens)-1) {
			return fmt.Errorf("filter %q: want tokens between dots, * for any one, > at the end for all", filter)
		}
	}
	return nil
}
