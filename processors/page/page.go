// Package page takes the addresses of a conversation's page apart: its host and path, the referrer's host, the words that
// were searched for, the campaign, and the registrable domains.
//
// # Config
//
// None.
//
// # Delivery
//
// Of page.url come host, path, domain and utm, of page.referrer referrer_host, referrer_domain and, where the referrer is a
// search engine, keywords. What the vendor gave stays: only what is absent is filled in, utm as one. Hosts
// are in lower case, as ASCII (xn--…), without user, password, port and final dot; paths are escaped as in the address. A domain is the
// part that one can register (shop.example.co.uk: example.co.uk), by the public suffix list that the program was
// built with. The campaign is read from the query, then from the fragment. Of a parameter that comes twice the
// first with a value counts; a semicolon separates nothing.
//
// An address may lack its scheme (www.shop.example/path). Of one that is no web address, and of one that
// cannot be read, nothing comes.
//
// # Limits
//
// Addresses over 16 KiB are left alone. A keyword or campaign value keeps its first 512 bytes; bytes that are no UTF-8 become
// U+FFFD, control characters spaces. Nothing is fetched. Most search engines have not told the words since about 2013.
package page

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

const (
	maxAddress = 16 << 10
	maxValue   = 512
)

type enricher struct{}

// New makes the enricher.
func New() processors.Enricher { return enricher{} }

// Name implements processors.Enricher.
func (enricher) Name() string { return "page" }

// Enrich implements processors.Enricher.
func (enricher) Enrich(e events.Entity) error {
	c, ok := e.(*events.Conversation)
	if !ok || c.Page == nil {
		return nil
	}
	p := c.Page
	if u := parse(p.URL); u != nil {
		host := hostOf(u)
		set(&p.Host, host)
		set(&p.Domain, domainOf(host))
		set(&p.Path, u.EscapedPath())
		if p.UTM == nil {
			p.UTM = campaign(u)
		}
	}
	if u := parse(p.Referrer); u != nil {
		host := hostOf(u)
		set(&p.ReferrerHost, host)
		set(&p.ReferrerDomain, domainOf(host))
		set(&p.Keywords, keywords(host, u))
	}
	return nil
}

func set(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// parse gives a web address with a host, else nil.
func parse(address string) *url.URL {
	address = strings.TrimSpace(address)
	if address == "" || len(address) > maxAddress || !utf8.ValidString(address) {
		return nil
	}
	scheme, rest, found := strings.Cut(address, "://")
	switch {
	case found && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")):
	case found && !strings.ContainsAny(scheme, "/?#"):
		return nil // a scheme that looks like a host, as in t.ps://
	case strings.HasPrefix(address, "//"):
		rest = address[2:]
	case looksLikeHost(address):
		rest = address
	default:
		return nil
	}
	// Browsers take what url.Parse refuses: a stray percent sign or a space.
	rest, fragment, _ := strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	host, path, slash := strings.Cut(strings.ReplaceAll(rest, `\`, "/"), "/")
	u := &url.URL{Scheme: "http", Host: host[strings.LastIndexByte(host, '@')+1:], RawQuery: query, Fragment: fragment, Path: "/"}
	if hostOf(u) == "" {
		return nil
	}
	if slash {
		u.Path = "/" + path
		if decoded, err := url.PathUnescape(u.Path); err == nil {
			u.Path, u.RawPath = decoded, u.Path
		}
	}
	return u
}

// looksLikeHost tells whether an address begins with a host of at least two names, as in www.shop.example/path.
func looksLikeHost(address string) bool {
	host := address
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	name, port, _ := strings.Cut(host, ":")
	if strings.Trim(port, "0123456789") != "" {
		return false // javascript:…, mailto:…
	}
	_, icann := publicsuffix.PublicSuffix(strings.ToLower(name))
	return strings.Contains(strings.Trim(name, "."), ".") && icann || strings.HasPrefix(strings.ToLower(name), "www.")
}

// hostOf gives a host's one form; "" of what cannot be a host.
func hostOf(u *url.URL) string {
	if strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host, "[") {
		return ""
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if ip, is := byNumber(host); is {
		return ip.WithZone("").String()
	}
	ascii := host
	if strings.Contains(host, "xn--") || strings.ContainsFunc(host, notInHost) { // another is in its one form
		var err error
		if ascii, err = idna.Lookup.ToASCII(host); err != nil {
			ascii = strings.ToLower(host) // some hosts in use have an underscore
		}
	}
	if ascii == "" || len(ascii) > 253 || strings.ContainsFunc(ascii, notInHost) {
		return ""
	}
	return ascii
}

// byNumber reads an address by number. Of a name that is none the parser would make an error, which costs more than all else here.
func byNumber(host string) (netip.Addr, bool) {
	if host == "" || strings.IndexByte(host, ':') < 0 && (host[len(host)-1] < '0' || host[len(host)-1] > '9') {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
}

// domainOf gives the part of a host that one can register; "" of an address by number and of a suffix itself.
func domainOf(host string) string {
	if _, is := byNumber(host); is || !strings.Contains(host, ".") {
		return ""
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return domain
}

func campaign(u *url.URL) *events.UTM {
	var utm events.UTM
	for _, query := range []string{u.RawQuery, u.Fragment} {
		for name, value := range parameters(query) {
			switch strings.ToLower(name) {
			case "utm_source":
				set(&utm.Source, value)
			case "utm_medium":
				set(&utm.Medium, value)
			case "utm_campaign":
				set(&utm.Campaign, value)
			case "utm_term":
				set(&utm.Term, value)
			case "utm_content":
				set(&utm.Content, value)
			}
		}
	}
	if utm == (events.UTM{}) {
		return nil
	}
	return &utm
}

// engines has the parameter that holds the words, by the name before the public suffix.
var engines = map[string]string{
	"google": "q", "bing": "q", "duckduckgo": "q", "ecosia": "q", "qwant": "q", "startpage": "query", "yahoo": "p", "ask": "q", "aol": "q",
	"yandex": "text", "ya": "text", "baidu": "wd", "naver": "query", "seznam": "q", "sogou": "query", "brave": "q", "lycos": "q", "swisscows": "query",
	"so": "q", "dogpile": "q", "metager": "eingabe", "mojeek": "q",
}

func keywords(host string, u *url.URL) string {
	name, _, _ := strings.Cut(domainOf(host), ".")
	want, known := engines[name]
	if !known {
		return ""
	}
	for name, value := range parameters(u.RawQuery) {
		if name == want && value != "" {
			return value
		}
	}
	return ""
}

// parameters gives a query's names and values as browsers read them: url.ParseQuery drops pairs with a semicolon or a stray percent sign.
func parameters(query string) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for pair := range strings.SplitSeq(strings.TrimPrefix(query, "?"), "&") {
			name, value, _ := strings.Cut(pair, "=")
			if !yield(unescape(name), tidy(unescape(value))) {
				return
			}
		}
	}
}

func unescape(s string) string {
	decoded, err := url.QueryUnescape(s)
	if err != nil {
		return strings.ReplaceAll(s, "+", " ")
	}
	return decoded
}

// tidy makes a value that anyone can put into a line of text.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxValue {
		cut := maxValue
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return strings.TrimSpace(s)
}
