package page_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/page"
	"github.com/parley-stream/parley/processors/processortest"
)

func enriched(t testing.TB, p events.Page) *events.Page {
	t.Helper()
	c := &events.Conversation{Page: &p}
	if err := page.New().Enrich(c); err != nil {
		t.Fatal(err)
	}
	return c.Page
}

func TestItKeepsTheContractOfEnrichers(t *testing.T) {
	processortest.Enricher(t, page.New(), []events.Entity{
		&events.Conversation{
			Base: events.Base{ID: "v:s:1", Vendor: "v", Source: "s", VendorID: "1"},
			Page: &events.Page{URL: "https://www.shop.example.co.uk/a?utm_source=x", Referrer: "https://www.google.de/search?q=a+b"},
		},
	})
}

func TestAnAddressIsTakenApart(t *testing.T) {
	for name, c := range map[string]struct{ url, host, domain, path string }{
		"the usual":                     {"https://www.shop.example/garden?utm=1#top", "www.shop.example", "shop.example", "/garden"},
		"a suffix of two names":         {"https://Shop.Example.CO.UK/", "shop.example.co.uk", "example.co.uk", "/"},
		"a suffix that is private":      {"https://me.github.io/x", "me.github.io", "me.github.io", "/x"},
		"no path":                       {"http://shop.example", "shop.example", "shop.example", "/"},
		"a port, a user, a password":    {"https://user:pass@shop.example:8443/x", "shop.example", "shop.example", "/x"},
		"a user who looks like a host":  {"https://bank.example@evil.example/x", "evil.example", "evil.example", "/x"},
		"a final dot":                   {"https://shop.example./x", "shop.example", "shop.example", "/x"},
		"letters beyond ASCII":          {"https://Bücher.example/ü", "xn--bcher-kva.example", "xn--bcher-kva.example", "/%C3%BC"},
		"an escaped slash":              {"https://shop.example/a%2Fb", "shop.example", "shop.example", "/a%2Fb"},
		"a stray percent sign":          {"https://shop.example/100%", "shop.example", "shop.example", "/100%25"},
		"an address by number":          {"http://192.0.2.7/x", "192.0.2.7", "", "/x"},
		"an IPv6 address":               {"http://[2001:DB8::1]:80/x", "2001:db8::1", "", "/x"},
		"a host in the house":           {"http://intranet/x", "intranet", "", "/x"},
		"an underscore":                 {"http://my_shop.shop.example/", "my_shop.shop.example", "shop.example", "/"},
		"no scheme":                     {"www.shop.example/path", "www.shop.example", "shop.example", "/path"},
		"no scheme and no www":          {"shop.com/path?x=1", "shop.com", "shop.com", "/path"},
		"the scheme of what holds it":   {"//cdn.shop.example/x", "cdn.shop.example", "shop.example", "/x"},
		"spaces around":                 {"  https://shop.example/x ", "shop.example", "shop.example", "/x"},
		"a backslash, as browsers read": {`https://evil.example\@shop.example/x`, "evil.example", "evil.example", "/@shop.example/x"},
		"a script":                      {"javascript:alert(1)", "", "", ""},
		"data":                          {"data:text/html,<b>x</b>", "", "", ""},
		"a file":                        {"file:///etc/passwd", "", "", ""},
		"a mail address":                {"mailto:a@shop.com", "", "", ""},
		"a scheme that looks like one":  {"t.ps://user:p", "", "", ""},
		"words":                         {"started from the app", "", "", ""},
		"a line break in the host":      {"https://shop.exa\nmple/", "", "", ""},
		"no host":                       {"https:///x", "", "", ""},
		"a host of commas":              {"https://a,b/", "", "", ""},
		"many colons":                   {"https://a:b:c/", "", "", ""},
		"too long":                      {"https://shop.example/" + strings.Repeat("a", 20_000), "", "", ""},
		"a host that is too long":       {"https://" + strings.Repeat("a.", 200) + "example/", "", "", ""},
		"bytes that are no text":        {"https://shop.example/\xff", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := enriched(t, events.Page{URL: c.url})
			want := &events.Page{URL: c.url, Host: c.host, Domain: c.domain, Path: c.path}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheCampaignIsReadAsBrowsersReadIt(t *testing.T) {
	for name, c := range map[string]struct {
		query string
		want  *events.UTM
	}{
		"all five": {
			"?utm_source=news&utm_medium=mail&utm_campaign=spring+sale&utm_term=teak%20chair&utm_content=top",
			&events.UTM{Source: "news", Medium: "mail", Campaign: "spring sale", Term: "teak chair", Content: "top"},
		},
		"in capitals":                       {"?UTM_Source=News", &events.UTM{Source: "News"}},
		"a semicolon belongs to a value":    {`?utm_source=mail;a="b"`, &events.UTM{Source: `mail;a="b"`}},
		"a stray percent sign":              {"?utm_campaign=100%&utm_source=x", &events.UTM{Campaign: "100%", Source: "x"}},
		"the first with a value counts":     {"?utm_source=&utm_source=a&utm_source=b", &events.UTM{Source: "a"}},
		"in the fragment":                   {"?x=1#utm_source=ad", &events.UTM{Source: "ad"}},
		"the query goes before":             {"?utm_source=q#utm_source=f", &events.UTM{Source: "q"}},
		"control characters":                {"?utm_source=a%00b%0Ac", &events.UTM{Source: "a b c"}},
		"bytes that are no text":            {"?utm_source=%FF", &events.UTM{Source: "\uFFFD"}},
		"no campaign":                       {"?source=x", nil},
		"empty values are no campaign":      {"?utm_source=&utm_medium", nil},
		"a long value is cut between runes": {"?utm_source=a" + strings.Repeat("é", 400), &events.UTM{Source: "a" + strings.Repeat("é", 255)}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, enriched(t, events.Page{URL: "https://shop.example/" + c.query}).UTM); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheReferrerTellsWhatWasSearchedForIfItIsASearchEngine(t *testing.T) {
	for referrer, want := range map[string]string{
		"https://www.google.co.uk/search?q=teak+chairs&hl=en":     "teak chairs",
		"https://search.yahoo.com/search?p=teak":                  "teak",
		"https://yandex.ru/search/?text=%D1%81%D1%82%D1%83%D0%BB": "стул",
		"https://www.google.com/":                                 "",
		"https://google.evil.example/search?q=teak":               "",
		"https://shop.example/find?q=teak":                        "",
	} {
		if got := enriched(t, events.Page{Referrer: referrer}).Keywords; got != want {
			t.Errorf("%s: %q; want %q", referrer, got, want)
		}
	}
}

func TestWhatTheVendorGaveStays(t *testing.T) {
	given := events.Page{
		URL: "https://shop.example/a?utm_source=x&utm_medium=y", Host: "h", Domain: "d", Path: "p", Referrer: "https://www.google.com/?q=words",
		ReferrerHost: "rh", ReferrerDomain: "rd", Keywords: "k", UTM: &events.UTM{Term: "t"},
	}
	if diff := cmp.Diff(&given, enriched(t, given)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func FuzzNoAddressDoesHarm(f *testing.F) {
	for _, seed := range []string{"https://user:pass@shop.example:1/a%2?utm_source=%zz;x#y", "t.ps://user:p", "https://shop.example//user:p", "//[::1", "www.x.y", "https://\u202e.example/"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, address, referrer string) {
		if !utf8.ValidString(address) || !utf8.ValidString(referrer) {
			return // the normalisers give valid text alone
		}
		p := enriched(t, events.Page{URL: address, Referrer: referrer})
		for _, host := range []string{p.Host, p.Domain, p.ReferrerHost, p.ReferrerDomain} {
			if strings.ContainsAny(host, "/@?#% \\\n<>\"'") || host != strings.ToLower(host) {
				t.Errorf("host %q of %q, %q", host, address, referrer)
			}
		}
		if u, err := url.Parse("https://shop.example" + p.Path); err != nil || strings.ContainsAny(p.Path, " \n\x00<>\"") && u.Path != "" {
			t.Errorf("path %q: %v", p.Path, err)
		}
		if p.UTM != nil && len(p.UTM.Source) > 600 {
			t.Errorf("a source of %d bytes", len(p.UTM.Source))
		}
	})
}

func ExampleNew() {
	c := &events.Conversation{Page: &events.Page{URL: "https://www.shop.example.co.uk/garden?utm_source=news"}}
	if err := page.New().Enrich(c); err != nil {
		panic(err)
	}
	fmt.Println(c.Page.Host, c.Page.Domain, c.Page.Path, c.Page.UTM.Source)
	// Output: www.shop.example.co.uk example.co.uk /garden news
}
