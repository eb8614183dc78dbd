package webhook_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parley-stream/parley/sinks/sinktest"
)

func TestWrongVariablesAreAllNamedAndShowNoSecret(t *testing.T) {
	const allow = "ALLOW_PRIVATE"
	for name, c := range map[string]struct {
		target    string
		variables map[string]string
		want      []string // parts of the faults, one each
	}{
		"a mode that is none":          {"https://h.example/T0P?mode=xml", nil, []string{`URL: parameter mode: is "xml", want binary, structured or batch`}},
		"a handshake that is none":     {"https://h.example/T0P?handshake=yes", nil, []string{`parameter handshake: is "yes", want auto, required or off`}},
		"an origin that is none":       {"https://h.example/T0P?origin=a%20b", nil, []string{`parameter origin: is "a b", want a DNS name`}},
		"a parameter twice":            {"https://h.example/T0P?mode=batch&mode=binary", nil, []string{"parameter mode: is there twice"}},
		"a parameter that is broken":   {"https://h.example/T0P?mode=%zz", nil, []string{"parameter mode: cannot be read"}},
		"all of them at once":          {"https://h.example/T0P?mode=x&handshake=y&origin=", map[string]string{"SECRET": "T0P", "COLOUR": "T0P"}, []string{"mode", "handshake", "origin", "SECRET", "COLOUR"}},
		"no host":                      {"https:///T0P", nil, []string{"names no host: want https://host/path"}},
		"an opaque one":                {"https:T0P", nil, []string{"names no host"}},
		"a fragment":                   {"https://h.example/T0P#x", nil, []string{"has a fragment"}},
		"a port beyond":                {"https://h.example:70000/T0P", nil, []string{"has the port 70000"}},
		"plain to another machine":     {"http://h.example/T0P", nil, []string{"is http:// to another machine: want https://, or http:// with PARLEY_SINK_T_ALLOW_PRIVATE=true"}},
		"plain to a public address":    {"http://8.8.8.8/T0P", map[string]string{allow: "true"}, []string{"want https://"}},
		"a private address":            {"https://10.0.0.1/T0P", nil, []string{"it is not public; ALLOW_PRIVATE=true allows private networks"}},
		"a metadata service":           {"http://169.254.169.254/T0P", map[string]string{allow: "true"}, []string{"metadata service"}},
		"an address as a number":       {"https://2130706433/T0P", nil, []string{"has a number for a host"}},
		"an address in hexadecimal":    {"https://0x7f000001/T0P", nil, []string{"has a number for a host"}},
		"an address in octal":          {"https://0177.0.0.1/T0P", nil, []string{"has a number for a host"}},
		"a short address":              {"https://127.1/T0P", nil, []string{"has a number for a host"}},
		"a name that hides an address": {"https://example.com@10.0.0.1/T0P", nil, []string{"it is not public"}},
		"a key without its prefix":     {"https://h.example/T0P", map[string]string{"SECRET": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, []string{"SECRET: its key 1 is none: want whsec_ and 24 to 64 random bytes"}},
		"a key that is no base64":      {"https://h.example/T0P", map[string]string{"SECRET": newKey + ",whsec_T0P!"}, []string{"its key 2 is none"}},
		"a key that is too short":      {"https://h.example/T0P", map[string]string{"SECRET": "whsec_c2hvcnQ="}, []string{"its key 1 is none"}},
		"three keys":                   {"https://h.example/T0P", map[string]string{"SECRET": newKey + "," + oldKey + "," + otherKey}, []string{"has 3 keys"}},
	} {
		_, faults := open(c.target, c.variables)
		text := faults.Error()
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: got %s, want %q in it", name, text, want)
			}
		}
		if len(faults) != len(c.want) {
			t.Errorf("%s: %d faults, want %d: %s", name, len(faults), len(c.want), text)
		}
		for _, secret := range []string{"T0P", "MfKQ", "C2FV", "c2hvcnQ"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: a secret is shown: %s", name, text)
			}
		}
		for _, f := range faults {
			if f.Variable == "" || f.Want == "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

func TestRightVariablesHaveNoFault(t *testing.T) {
	for target, variables := range map[string]map[string]string{
		"https://h.example/x?mode=batch&token=a": nil, "https://user:pw@h.example:8443/": {"SECRET": oldKey + ", " + newKey}, "http://127.0.0.1:9/": nil,
		"http://[::1]:9/": nil, "http://localhost:9/": nil, "http://receiver:8080/hook": {"ALLOW_PRIVATE": "true"}, "https://10.0.0.1/": {"ALLOW_PRIVATE": "true"},
		"https://[2606:4700::1111]/": nil, "https://127.0.0.1:8443/": nil, "https://xn--bcher-kva.example/": nil, "https://1e100.net/": nil,
		"https://h.example/?handshake=required&origin=parley.example.com": {"CONCURRENCY": "2", "TIMEOUT": "3s", "MAX_ATTEMPTS": "5"},
	} {
		if _, faults := open(target, variables); faults != nil {
			t.Errorf("%s: %v", target, faults)
		}
	}
}

func TestHTTP2IsSpokenWhereTheEndpointSpeaksIt(t *testing.T) {
	e := &endpoint{t: t}
	server := httptest.NewUnstartedServer(e)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	s := newSender(t, server.URL, map[string]string{"SECRET": newKey})
	trust := server.Client().Transport.(*http.Transport)
	s.Trust(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust.TLSClientConfig.RootCAs}})
	if err := s.Send(t.Context(), one()); err != nil {
		t.Fatal(err)
	}
	want := sinktest.Event("a", 1)
	if got := e.events(); len(got) != 1 || string(got[0].Line()) != string(want.Line()) {
		t.Errorf("got %v", got)
	}
	if r := e.requests[0]; r.ProtoMajor != 2 || !verifies(t, newKey, e.bodies[0], r.Header) {
		t.Errorf("got %s", r.Proto)
	}
}
