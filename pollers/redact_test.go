package pollers_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parley-stream/parley/pollers"
)

var escape = regexp.MustCompile("%[0-9A-F]{2}")

// travels are the ways in which a vendor can send a secret back.
func travels(s string) map[string]string {
	asJSON, _ := json.Marshal(s)
	var plain strings.Builder
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	return map[string]string{
		"as it is": s, "in a query": "?key=" + url.QueryEscape(s) + "&page=2", "in a query with %20": strings.ReplaceAll(url.QueryEscape(s), "+", "%20"),
		"in a path":            "/a/" + url.PathEscape(s) + "/b",
		"in a lower-case path": escape.ReplaceAllStringFunc(url.PathEscape(s), strings.ToLower),
		"in JSON":              `{"key":` + string(asJSON) + `}`, "in JSON without HTML": plain.String(), "in HTML": "<p>" + html.EscapeString(s) + "</p>",
		"in XML":    strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(s),
		"in base64": base64.StdEncoding.EncodeToString([]byte(s)), "in base64 of URLs": base64.RawURLEncoding.EncodeToString([]byte(s)),
	}
}

func TestNoFormOfASecretIsLeft(t *testing.T) {
	for _, s := range []string{secret, "plainKey123", `ends with "`, `"starts`, "back\\slash", "+++///", "ääää", "p%41ss"} {
		r := pollers.NewRedactor([]string{s})
		for name, text := range travels(s) {
			got := r.Redact("before " + text + " after")
			for _, form := range r.Forms() {
				if strings.Contains(got, form) {
					t.Errorf("%q %s: %q still holds %q", s, name, got, form)
				}
			}
			if !strings.Contains(got, "[redacted]") || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("%q %s: %q became %q", s, name, text, got)
			}
		}
	}
}

func TestOfTwoSecretsTheLongerGoesFirst(t *testing.T) {
	r := pollers.NewRedactor([]string{"abcd", "abcdefgh", "", "abc"})
	if got := r.Redact("abcdefgh abcd abc"); got != "[redacted] [redacted] abc" {
		t.Errorf("got %q", got)
	}
	var none pollers.Redactor
	if got := none.Redact("abcdefgh"); got != "abcdefgh" || len(none.Forms()) != 0 {
		t.Errorf("the zero Redactor makes %q of it", got)
	}
}

func TestBytesWithoutASecretAreNotCopied(t *testing.T) {
	r := pollers.NewRedactor([]string{"plainKey123"})
	clean := []byte("nothing here \xff")
	if got := r.RedactBytes(clean); &got[0] != &clean[0] {
		t.Error("clean bytes were copied")
	}
	if got := r.RedactBytes([]byte("a plainKey123 \xff")); string(got) != "a [redacted] \xff" {
		t.Errorf("got %q", got)
	}
}

func TestARedactedErrorKeepsItsChain(t *testing.T) {
	r := pollers.NewRedactor([]string{"plainKey123"})
	if r.Error(nil) != nil {
		t.Error("nil became an error")
	}
	if err := r.Error(io.EOF); err != io.EOF {
		t.Errorf("a clean error became %v", err)
	}
	err := r.Error(fmt.Errorf("key plainKey123: %w", pollers.Unauthorized(io.EOF)))
	if err.Error() != "key [redacted]: EOF" || !errors.Is(err, io.EOF) || !pollers.IsUnauthorized(err) {
		t.Errorf("got %v", err)
	}
}

func FuzzRedactor(f *testing.F) {
	for _, s := range []string{secret, "plainKey123", `"`, "aaaaaaaa", "%2F%2f", "\x00\xff\xfe\xfd", "=+/="} {
		f.Add(s, "before", "after")
	}
	f.Fuzz(func(t *testing.T, s, before, after string) {
		r := pollers.NewRedactor([]string{s})
		if len(s) < 4 {
			if r.Redact(before+s) != before+s {
				t.Errorf("%q is too short and was redacted", s)
			}
			return
		}
		for _, form := range r.Forms() {
			if overlaps(form, "[redacted]") {
				return // what is put in its place holds a part of it
			}
		}
		for name, text := range travels(s) {
			if name == "in XML" && !utf8.ValidString(s) {
				continue
			}
			got := r.Redact(before + text + after)
			for _, form := range r.Forms() {
				if strings.Contains(got, form) {
					t.Errorf("%s: %q still holds %q", name, got, form)
				}
			}
			if !strings.Contains(got, "[redacted]") {
				t.Errorf("%s: %q holds no form of %q", name, text, s)
			}
		}
	})
}

// overlaps tells whether a text could be made of a part of another and what stands beside it.
func overlaps(form, mask string) bool {
	if strings.Contains(form, mask) || strings.Contains(mask, form) {
		return true
	}
	for i := 1; i < len(mask); i++ {
		if strings.HasPrefix(form, mask[i:]) || strings.HasSuffix(form, mask[:i]) {
			return true
		}
	}
	return false
}
