package privacy

import (
	"net/netip"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// What stands for what was hidden in text.
const (
	maskEmail = "[email]"
	maskPhone = "[phone]"
	maskCard  = "[card]"
	maskIBAN  = "[iban]"
	maskIP    = "[ip]"
)

// Mask hides e-mail addresses, telephone and card numbers, IBANs and IP addresses in free text. It rather hides an order number than
// lets a telephone number pass.
func Mask(s string) string {
	if !suspicious(s) {
		return s
	}
	return maskNumbers(maskEmails(s))
}

func maskNumbers(s string) string {
	var out strings.Builder
	r := runs.Get().(*run)
	defer runs.Put(r)
	copied := 0
	for i := 0; i < len(s); {
		if c := s[i]; c == ' ' || c|0x20 >= 'g' && c|0x20 <= 'z' && i > 0 && alphanumeric(s[i-1]) {
			i++ // nothing begins here
			continue
		}
		end, mask := r.at(s, i)
		if end > i && mask != "" {
			out.WriteString(s[copied:i])
			out.WriteString(mask)
			copied = end
		}
		if end > i {
			i = end
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	if copied == 0 {
		return s
	}
	out.WriteString(s[copied:])
	return out.String()
}

// suspicious tells whether a text can hold any of it: most lines of a chat cannot.
func suspicious(s string) bool {
	digits, colons := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '@' || c == '%' || c >= utf8.RuneSelf:
			return true
		case c >= '0' && c <= '9':
			digits++
		case c == ':':
			colons++
		}
	}
	return digits >= 4 || colons >= 2
}

// maskEmails hides addresses, also those whose @ is written %40, as in URLs.
func maskEmails(s string) string {
	var out strings.Builder
	copied := 0
	for i := 0; i < len(s); i++ {
		at := 0
		switch {
		case s[i] == '@':
			at = 1
		case s[i] == '%' && strings.HasPrefix(s[i:], "%40"):
			at = 3
		case strings.HasPrefix(s[i:], "\uFF20"): // the full-width one
			at = 3
		default:
			continue
		}
		from, to := i, i+at
		for from > copied {
			r, size := utf8.DecodeLastRuneInString(s[copied:from])
			if !inAddress(r) && !strings.ContainsRune("%+'!#$&*/?^`{|}~", r) || r == '/' || r == '?' || r == '&' {
				break
			}
			from -= size
		}
		for to < len(s) {
			r, size := utf8.DecodeRuneInString(s[to:])
			if !inAddress(r) && r != '[' && r != ']' && r != ':' || r == ':' && !strings.HasPrefix(s[i+at:], "[") {
				break
			}
			to += size
		}
		if from == i || to == i+at {
			continue
		}
		for to > i+at && (s[to-1] == '.' || s[to-1] == '-') {
			to--
		}
		out.WriteString(s[copied:from])
		out.WriteString(maskEmail)
		copied, i = to, to-1
	}
	if copied == 0 {
		return s
	}
	out.WriteString(s[copied:])
	return out.String()
}

func inAddress(r rune) bool {
	return r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
		r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r))
}

// at reads what begins at i: where it ends, and the mask that it needs, "" for none. The end is i when nothing begins there.
func (r *run) at(s string, i int) (end int, mask string) {
	c := s[i]
	letter := c|0x20 >= 'a' && c|0x20 <= 'z'
	if letter || c >= '0' && c <= '9' || c == ':' {
		if i == 0 || !alphanumeric(s[i-1]) {
			if end := ipAddress(s, i); end > i {
				return end, maskIP
			}
			if letter {
				if end := iban(s, i); end > i {
					return end, maskIBAN
				}
			}
		}
		if letter || c == ':' {
			return i, ""
		}
	}
	if c != '+' && c != '(' {
		if _, _, ok := digit(s[i:]); !ok {
			return i, ""
		}
	}
	return r.number(s, i)
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// ipAddress gives the end of an IP address that begins at i, else i.
func ipAddress(s string, i int) int {
	end, dots, colons := i, 0, 0
	for end < len(s) && end-i < 46 {
		c := s[end]
		switch {
		case c == '.':
			dots++
		case c == ':':
			colons++
		case c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f':
		default:
			return ipWithin(s, i, end, dots, colons)
		}
		end++
	}
	return ipWithin(s, i, end, dots, colons)
}

func ipWithin(s string, i, end, dots, colons int) int {
	if dots < 3 && colons < 2 {
		return i
	}
	// A full stop or a port may follow.
	for cut := end; cut > i+1; cut-- {
		if cut < end && s[cut] != '.' && s[cut] != ':' {
			continue
		}
		if _, err := netip.ParseAddr(s[i:cut]); err == nil && cut-i > 2 {
			return cut
		}
	}
	return i
}

// iban gives the end of an IBAN that begins at i, else i: two letters, two digits, and letters and digits whose
// remainder is right; single spaces and hyphens may stand between.
func iban(s string, i int) int {
	remainder := 0
	var head [4]byte
	best, n := i, 0
	for k := i; k < len(s) && n < 34; k++ {
		c := s[k]
		if (c == ' ' || c == '-') && k > i && alphanumeric(s[k-1]) {
			continue
		}
		if !alphanumeric(c) {
			break
		}
		if n < 4 {
			if isDigit := c <= '9'; isDigit != (n >= 2) {
				return i
			}
			head[n] = c
			n++
			continue
		}
		remainder = mod97(remainder, c)
		n++
		if n < 15 {
			continue
		}
		whole := remainder
		for _, h := range head {
			whole = mod97(whole, h)
		}
		if whole == 1 {
			best = k + 1
		}
	}
	return best
}

func mod97(remainder int, c byte) int {
	if c <= '9' {
		return (remainder*10 + int(c-'0')) % 97
	}
	return (remainder*100 + int(c|0x20-'a') + 10) % 97
}

// digit reads one decimal digit of the scripts in which people write numbers.
func digit(s string) (value, size int, ok bool) {
	if c := s[0]; c < utf8.RuneSelf {
		return int(c - '0'), 1, c >= '0' && c <= '9'
	}
	r, size := utf8.DecodeRuneInString(s)
	if !unicode.IsDigit(r) {
		return 0, size, false
	}
	// Decimal digits stand in tens that begin with zero.
	zero := r
	for unicode.IsDigit(zero-1) && r-zero < 9 {
		zero--
	}
	for _, first := range [...]rune{0x660, 0x6f0, 0x966, 0xff10} {
		if r >= first && r < first+10 {
			zero = first
		}
	}
	return int(r - zero), size, true
}

// separator gives the size of what may stand between the digits of a number.
func separator(s string) int {
	r, size := utf8.DecodeRuneInString(s)
	switch r {
	case ' ', '-', '.', '/', '(', ')', '\u00a0', '\u2007', '\u202f', '\u2009', '\u2010', '\u2011', '\u2012', '\u2013':
		return size
	}
	return 0
}

// run is a number as it is written: its digits in groups. Its room is used again and again.
type run struct {
	digits []byte
	ends   []int    // after each digit
	groups []int    // how many digits each has
	seps   []string // between the groups
	plus   bool
}

// number reads a number with its separators and tells what it is.
func (r *run) number(s string, i int) (end int, mask string) {
	r.read(s, i)
	if len(r.digits) == 0 {
		return i, ""
	}
	if skip := r.date(); skip > 0 {
		return r.ends[skip-1], ""
	}
	if r.card() {
		return r.ends[len(r.ends)-1], maskCard
	}
	if last := r.ends[len(r.ends)-1]; r.phone() && !letterAt(s[:i], true) && !letterAt(s[last:], false) {
		return last, maskPhone
	}
	return r.ends[r.groups[0]-1], ""
}

// runs keeps room: most texts have some number in them.
var runs = sync.Pool{New: func() any { return new(run) }}

// letterAt tells whether a text ends, or begins, with a letter: digits beside it are part of an identifier.
func letterAt(s string, end bool) bool {
	r, _ := utf8.DecodeRuneInString(s)
	if end {
		r, _ = utf8.DecodeLastRuneInString(s)
	}
	return unicode.IsLetter(r)
}

const maxDigits = 40

func (r *run) read(s string, i int) {
	r.digits, r.ends, r.groups, r.seps, r.plus = r.digits[:0], r.ends[:0], r.groups[:0], r.seps[:0], false
	k := i
	if s[k] == '+' {
		r.plus = true
		k++
	}
	group, from := 0, k
	for k < len(s) && len(r.digits) < maxDigits {
		if value, size, ok := digit(s[k:]); ok {
			if group == 0 && k > i && s[k] < utf8.RuneSelf && ipAddress(s, k) > k {
				break
			}
			if group == 0 && len(r.digits) > 0 {
				r.seps = append(r.seps, s[from:k])
			}
			k += size
			group++
			r.digits, r.ends = append(r.digits, byte(value)), append(r.ends, k)
			from = k
			continue
		}
		size := separator(s[k:])
		if size == 0 || k-from >= 4 {
			break
		}
		if group > 0 {
			r.groups, group = append(r.groups, group), 0
		}
		k += size
	}
	if group > 0 {
		r.groups = append(r.groups, group)
	}
}

// date gives how many digits at the beginning are a date: 2026-10-01, 1.10.2026, 10/01/26. Something else may follow it, after another separator.
func (r *run) date() int {
	if len(r.groups) < 3 || r.plus || r.seps[0] != r.seps[1] || !strings.Contains("-./", r.seps[0]) || len(r.groups) > 3 && r.seps[2] == r.seps[0] {
		return 0
	}
	a, b, c := r.groups[0], r.groups[1], r.groups[2]
	switch {
	case a == 4 && b <= 2 && c <= 2 && r.year(0) && r.dayOfMonth(a, b, c):
	case a <= 2 && b <= 2 && (c == 4 && r.year(a+b) || c == 2) && r.dayOfMonth(0, a, b):
	default:
		return 0
	}
	return a + b + c
}

func (r *run) year(at int) bool {
	century := r.value(at, 2)
	return century == 19 || century == 20
}

// dayOfMonth tells whether two groups are a day and a month, in either order.
func (r *run) dayOfMonth(at, first, second int) bool {
	a, b := r.value(at, first), r.value(at+first, second)
	return a > 0 && b > 0 && min(a, b) <= 12 && max(a, b) <= 31
}

func (r *run) value(at, length int) (n int) {
	for _, d := range r.digits[at : at+length] {
		n = n*10 + int(d)
	}
	return n
}

// card tells whether any 13 to 19 digits in a row are a card's number by their check digit (Luhn).
func (r *run) card() bool {
	for from := 0; from+13 <= len(r.digits); from++ {
		for length := 13; length <= 19 && from+length <= len(r.digits); length++ {
			if luhn(r.digits[from : from+length]) {
				return true
			}
		}
	}
	return false
}

func luhn(digits []byte) bool {
	sum, any := 0, false
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		any = any || d > 0
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return any && sum%10 == 0
}

// phone tells whether a number can be one that is dialled: 7 digits or more as written in groups, with a plus or a zero before, 9 in a row.
func (r *run) phone() bool {
	n := len(r.digits)
	return n >= 7 && (r.plus || r.digits[0] == 0 || len(r.groups) > 1) || n >= 9
}
