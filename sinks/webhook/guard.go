package webhook

import (
	"fmt"
	"net/netip"
	"syscall"
)

// guard decides which addresses are called. It is asked when a connection is about to be made, about the very address: what a name
// resolved to before says nothing.
type guard struct {
	private  bool // private networks may be called
	loopback bool // the URL names this machine: it alone is called
	plain    bool // http://, which no public network shall see
}

// refusedError is an address that is not called.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// control is net.Dialer's Control.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusedError{"an address that cannot be read"}
	}
	reason := g.refuses(to.Addr())
	if port := to.Port(); reason == "" && port < 1024 && port != 80 && port != 443 && public(to.Addr().Unmap()) {
		reason = fmt.Sprintf("port %d of a public address serves no webhooks; want 443, or one from 1024", port)
	}
	if reason != "" {
		return &refusedError{reason}
	}
	return nil
}

// refuses gives the reason why an address is not called; "" when it is.
func (g guard) refuses(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case g.loopback && a.IsLoopback():
		return ""
	case g.loopback:
		return "localhost is not this machine"
	case never(a):
		return "it is link-local, multicast, unspecified or a cloud's metadata service"
	case public(a) && g.plain:
		return "http:// to a public address shows chats to everybody on the way; want https://"
	case public(a), g.private && reachable(a):
		return ""
	case reachable(a):
		return "it is not public; ALLOW_PRIVATE=true allows private networks"
	default:
		return "it is reserved and nobody's"
	}
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// The tables are the IANA registries of special-purpose addresses (RFC 6890 and its updates).
var (
	// forbidden are never called.
	forbidden = prefixes(
		"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
		"::/128", "fe80::/10", "fec0::/10", "ff00::/8",
		// The metadata services of Alibaba, Oracle, Azure and AWS that have no link-local address.
		"100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "fd00:ec2::/32",
	)
	// privates are the networks that somebody may have at home.
	privates = prefixes(
		"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15",
		"::1/128", "fc00::/7",
	)
	// reserved are nobody's, or lead into another network: NAT64, Teredo and 6to4 hide a second address.
	reserved = prefixes(
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	)
	// Of IPv6, only this is given out.
	global6 = netip.MustParsePrefix("2000::/3")
)

func among(a netip.Addr, table []netip.Prefix) bool {
	for _, p := range table {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func never(a netip.Addr) bool { return among(a, forbidden) }

func reachable(a netip.Addr) bool { return among(a, privates) }

// public tells whether an address is somebody's on the Internet.
func public(a netip.Addr) bool {
	if !a.IsValid() || never(a) || reachable(a) || among(a, reserved) {
		return false
	}
	return a.Is4() || global6.Contains(a)
}
