package webhook_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/parley-stream/parley/sinks/sinktest"
	"github.com/parley-stream/parley/sinks/webhook"
)

func TestAddressesThatAreNotPublicAreRefused(t *testing.T) {
	const never, private, public, reserved = "never", "private", "public", "reserved"
	for address, kind := range map[string]string{
		"8.8.8.8": public, "1.1.1.1": public, "2606:4700::1111": public, "2a00:1450:4001:81b::200e": public, "100.63.255.255": public, "100.128.0.1": public,
		"172.15.255.255": public, "172.32.0.1": public, "169.253.0.1": public, "198.17.255.255": public, "198.20.0.1": public, "223.255.255.255": public, "::ffff:8.8.8.8": public,

		"10.0.0.1": private, "10.255.255.255": private, "172.16.0.1": private, "172.31.255.255": private, "192.168.1.1": private, "127.0.0.1": private, "127.255.255.254": private,
		"100.64.0.1": private, "100.127.255.255": private, "198.18.0.1": private, "198.19.255.255": private, "::1": private, "fc00::1": private, "fdff::1": private,
		"::ffff:127.0.0.1": private, "::ffff:10.1.2.3": private, "::ffff:7f00:1": private,

		"0.0.0.0": never, "0.1.2.3": never, "169.254.169.254": never, "169.254.1.1": never, "224.0.0.1": never, "239.255.255.255": never, "255.255.255.255": never,
		"::": never, "fe80::1": never, "fe80::1%eth0": never, "febf::1": never, "fec0::1": never, "ff02::1": never, "::ffff:169.254.169.254": never, "::ffff:0.0.0.0": never,
		"100.100.100.200": never, "192.0.0.192": never, "168.63.129.16": never, "fd00:ec2::254": never,

		"192.0.0.1": reserved, "192.0.2.1": reserved, "198.51.100.7": reserved, "203.0.113.9": reserved, "192.88.99.1": reserved, "240.0.0.1": reserved, "254.255.255.255": reserved,
		"64:ff9b::7f00:1": reserved, "64:ff9b::a9fe:a9fe": reserved, "64:ff9b:1::1": reserved, "2002:7f00:1::1": reserved, "2002:a00:1::1": reserved, "2001::1": reserved,
		"2001:db8::1": reserved, "3fff::1": reserved, "100::1": reserved, "5f00::1": reserved, "::127.0.0.1": reserved, "4000::1": reserved, "1::1": reserved,
	} {
		for _, c := range []struct{ private, plain, called bool }{
			{false, false, kind == public},
			{true, false, kind == public || kind == private},
			{true, true, kind == private},
			{false, true, false},
		} {
			target := net.JoinHostPort(address, "443")
			if _, err := netip.ParseAddrPort(target); err != nil {
				t.Fatal(err)
			}
			if reason := webhook.Refuses(c.private, c.plain, target); (reason == "") != c.called {
				t.Errorf("%s (%s) with %+v: %q", address, kind, c, reason)
			}
		}
	}
	for port, called := range map[string]bool{"443": true, "80": true, "8443": true, "22": false, "25": false, "1023": false, "0": false} {
		if reason := webhook.Refuses(false, false, "8.8.8.8:"+port); (reason == "") != called {
			t.Errorf("port %s: %q", port, reason)
		}
		if reason := webhook.Refuses(true, false, "10.0.0.1:"+port); reason != "" {
			t.Errorf("port %s of a private network: %q", port, reason)
		}
	}
	if webhook.Refuses(true, false, "nowhere") == "" {
		t.Error("what is no address is called")
	}
}

// dns answers every question for an address of its kind with the next of these.
func dns(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var asked atomic.Int64
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answer(buf[:n], answers, &asked); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answer gives the addresses of the question's kind: of one string separated by commas all, of several strings the next at each question for an A record.
func answer(question []byte, answers []string, asked *atomic.Int64) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	turn := asked.Load()
	if q.Type == dnsmessage.TypeA {
		turn = asked.Add(1) - 1
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	name := q.Name
	for _, text := range strings.Split(answers[min(int(turn), len(answers)-1)], ",") {
		if alias, ok := strings.CutPrefix(text, "cname:"); ok {
			target := dnsmessage.MustNewName(alias)
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET}, Body: &dnsmessage.CNAMEResource{CNAME: target},
			})
			name = target
			continue
		}
		a := netip.MustParseAddr(text)
		h := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET} // its TTL is 0
		if a.Is4() && q.Type == dnsmessage.TypeA {
			h.Type = dnsmessage.TypeA
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		}
		if a.Is6() && q.Type == dnsmessage.TypeAAAA {
			h.Type = dnsmessage.TypeAAAA
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

func TestANameThatLeadsHereIsNotCalledWhateverItResolvedToBefore(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	port := parsed(t, server.URL).Port()
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	var proxied atomic.Int64
	go func() {
		for {
			c, err := proxy.Accept()
			if err != nil {
				return
			}
			proxied.Add(1)
			_ = c.Close()
		}
	}()
	t.Setenv("HTTPS_PROXY", "http://"+proxy.Addr().String()) // what a proxy connects to, no guard sees
	for name, answers := range map[string][]string{
		"at once":                     {"127.0.0.1"},
		"after it was public":         {"192.0.2.1", "127.0.0.1"},
		"beside a reserved one":       {"192.0.2.1,127.0.0.1"},
		"by IPv6 alone":               {"::1"},
		"by both kinds":               {"127.0.0.1,::1"},
		"by an alias":                 {"cname:inside.example.,127.0.0.1"},
		"as IPv4 in IPv6":             {"::ffff:127.0.0.1"},
		"to a metadata service":       {"169.254.169.254"},
		"to a private network":        {"10.0.0.1"},
		"to the unspecified address":  {"0.0.0.0"},
		"to the unspecified, in IPv6": {"::"},
	} {
		s := newSender(t, "https://rebind.example:"+port+"/hook", nil)
		s.Resolve(dns(t, answers...))
		for range 3 {
			err := s.Send(t.Context(), one())
			if what(err) != "tried again" || !strings.Contains(err.Error(), "rebind.example is not called: ") {
				t.Errorf("%s: %s: %v", name, what(err), err)
			}
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made, want none", n)
	}
	// The same name is called where private networks are allowed: the test would see a connection.
	s := newSender(t, "https://rebind.example:"+port+"/hook", map[string]string{"ALLOW_PRIVATE": "true"})
	s.Resolve(dns(t, "127.0.0.1"))
	if err := s.Send(t.Context(), one()); err == nil || connections.Load() == 0 || proxied.Load() > 0 {
		t.Errorf("with ALLOW_PRIVATE: %v, %d connections; want one that the certificate ends", err, connections.Load())
	}
}

// A name whose letters become an address on the way is that address where it is connected to.
func TestAnAddressInOtherLettersIsAnAddress(t *testing.T) {
	for _, host := range []string{"127。0。0。1", "127．0．0．1", "①②⑦.⓪.⓪.①", "169。254。169。254", "10｡0｡0｡1"} {
		s := newSender(t, "https://"+host+"/hook?handshake=off", nil)
		s.Resolve(dns(t, "127.0.0.1"))
		if err := s.Send(t.Context(), one()); what(err) != "tried again" || !strings.Contains(err.Error(), "is not called: ") {
			t.Errorf("%s: %s: %v", host, what(err), err)
		}
	}
}

func TestLocalhostIsThisMachine(t *testing.T) {
	e := newEndpoint(t)
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := newSender(t, "http://localhost:"+u.Port(), nil)
	s.Resolve(dns(t, "192.0.2.1"))
	if err := s.Send(t.Context(), one()); err != nil {
		t.Error(err) // by the file of hosts
	}
	if err := send(t, opener(t, e.URL, nil), sinktest.Event("a", 1)); err != nil {
		t.Error(err)
	}
}

func TestANameThatDoesNotResolveIsSaid(t *testing.T) {
	s := newSender(t, "https://nobody.invalid/T0PSECRET", nil)
	s.Resolve(&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no network")
	}})
	if err := s.Send(t.Context(), one()); what(err) != "tried again" || !strings.Contains(err.Error(), "look up nobody.invalid") || strings.Contains(err.Error(), "T0P") {
		t.Errorf("got %v", err)
	}
}
