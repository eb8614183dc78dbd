package webhook

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"github.com/parley-stream/parley/events/settings"
	"github.com/parley-stream/parley/sinks"
)

// NewSender makes the Sender that a Sink's workers use.
func NewSender(s sinks.Settings, vars *settings.Vars, u *url.URL) *Sender {
	c, _ := configure(s, vars, u)
	return newSender(c)
}

// Resolve has a Sender look names up elsewhere.
func (s *Sender) Resolve(r *net.Resolver) { s.dialer.Resolver = r }

// Trust has a Sender trust the certificates that another client trusts.
func (s *Sender) Trust(like *http.Transport) {
	s.transport.TLSClientConfig = like.TLSClientConfig.Clone()
}

// Refuses tells why an address and port is not called; "" when it is.
func Refuses(private, plain bool, address string) string {
	if err := (guard{private: private, plain: plain}).control("tcp", address, nil); err != nil {
		return err.Error()
	}
	return ""
}

// Granted gives what waits for a rate that an endpoint allows.
func Granted(rate string) (wait func(context.Context) error, err error) {
	p, err := (&Sender{}).grant(rate)
	if err != nil {
		return nil, err
	}
	return p.limit.Wait, nil
}

// Dial has a Sender reach its endpoint by another way than the network.
func (s *Sender) Dial(dial func(context.Context) (net.Conn, error)) {
	s.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
}
