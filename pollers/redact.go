package pollers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"sort"
	"strings"
)

// Redactor takes known secrets out of text by their values, in every form in which they
// travel: plain, URL-encoded, JSON-escaped and base64. The zero Redactor changes nothing.
type Redactor struct{ forms []string }

const redacted = "[redacted]"

// NewRedactor redacts these values; ones under 4 bytes would redact half of every text and are left.
func NewRedactor(secrets []string) Redactor {
	seen := map[string]bool{}
	for _, s := range secrets {
		if len(s) < 4 {
			continue
		}
		escaped, _ := json.Marshal(s)
		for _, form := range []string{
			s, url.QueryEscape(s), url.PathEscape(s), string(bytes.Trim(escaped, `"`)),
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
