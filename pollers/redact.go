package pollers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"sort"
	"strings"
)

// Redactor takes known secrets out of text by their values, in every form in which they
// travel: plain, URL-encoded, escaped for JSON and markup, and base64. The zero Redactor changes nothing.
type Redactor struct{ forms []string }

const redacted = "[redacted]"

// NewRedactor redacts these values; ones under 4 bytes would redact half of every text and are left.
func NewRedactor(secrets []string) Redactor {
	seen := map[string]bool{}
	for _, s := range secrets {
		if len(s) < 4 {
			continue
		}
		for _, form := range escapes(s) {
			seen[form] = true
		}
		for _, form := range []string{
			base64.StdEncoding.EncodeToString([]byte(s)), base64.RawStdEncoding.EncodeToString([]byte(s)),
			base64.URLEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
		} {
			seen[form] = true
		}
	}
	var r Redactor
	for form := range seen {
		r.forms = append(r.forms, form)
	}
	// Longer forms first, so that none is left in part.
	sort.Slice(r.forms, func(i, j int) bool {
		if len(r.forms[i]) != len(r.forms[j]) {
			return len(r.forms[i]) > len(r.forms[j])
		}
		return r.forms[i] < r.forms[j]
	})
	return r
}

// escapes are a text as it stands in URLs, JSON and markup.
func escapes(s string) []string {
	query, path := url.QueryEscape(s), url.PathEscape(s)
	component := strings.ReplaceAll(query, "+", "%20")
	markup := html.EscapeString(s)
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	escaped, _ := json.Marshal(s)
	return []string{
		s, query, path, component, lowerHex(query), lowerHex(path), lowerHex(component),
		inQuotes(escaped), inQuotes(bytes.TrimSpace(plain.Bytes())),
		markup, strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(markup),
	}
}

func inQuotes(b []byte) string { return string(b[1 : len(b)-1]) }

// lowerHex writes percent-encoded bytes as %2f instead of %2F.
func lowerHex(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// Forms are the texts that it looks for, longest first.
func (r Redactor) Forms() []string { return slices.Clone(r.forms) }

// Redact replaces every form of every secret.
func (r Redactor) Redact(s string) string {
	for _, form := range r.forms {
		s = strings.ReplaceAll(s, form, redacted)
	}
	return s
}

// RedactBytes gives b itself when it holds no secret.
func (r Redactor) RedactBytes(b []byte) []byte {
	for _, form := range r.forms {
		if bytes.Contains(b, []byte(form)) {
			return []byte(r.Redact(string(b)))
		}
	}
	return b
}

// redactStart redacts the start of a text. Where the rest was cut off, the cut may go through a secret: what could be a part of one
// goes too.
func (r Redactor) redactStart(b []byte, cut bool) []byte {
	text := r.Redact(string(b))
	if cut && len(r.forms) > 0 {
		text = text[:max(0, len(text)-len(r.forms[0])+1)]
	}
	return []byte(text)
}

// Error gives an error whose text is redacted and whose chain stays.
func (r Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); r.Redact(text) != text {
		return &redactedError{text: r.Redact(text), err: err}
	}
	return err
}

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }
