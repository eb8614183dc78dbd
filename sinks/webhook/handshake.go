package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-stream/parley/sinks"
)

// permitted asks for permission before the first event, and gives the rate that is allowed. What was granted holds for the life of the Sender.
func (s *Sender) permitted(ctx context.Context) (*rate.Limiter, error) {
	began := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock() // nobody sends while one asks
	if s.allowed != nil {
		return s.allowed.limit, nil
	}
	if s.refusedAt.After(began) {
		return nil, s.refusal // of one who asked meanwhile: that was for us, too
	}
	p, err := s.ask(ctx)
	if err != nil {
		s.refusal, s.refusedAt = err, time.Now()
		return nil, err
	}
	s.allowed = p
	return p.limit, nil
}

// ask makes the handshake of the CloudEvents specification "HTTP 1.1 Web Hooks for Event Delivery", section 4.
func (s *Sender) ask(ctx context.Context) (*permission, error) {
	unlimited := rate.NewLimiter(rate.Inf, 1)
	if s.handshake == off {
		return &permission{unlimited, "permission is not asked for"}, nil
	}
	header := http.Header{"Webhook-Request-Origin": {s.origin}, "User-Agent": {"parley"}}
	a, err := s.exchange(ctx, http.MethodOptions, header, nil)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	origin := strings.TrimSpace(a.header.Get("WebHook-Allowed-Origin"))
	granted := a.status/100 == 2
	switch {
	case a.status == http.StatusGone:
		return nil, fmt.Errorf("handshake: %w", verdict(a, time.Now()))
	case a.status == http.StatusTooManyRequests, a.status >= http.StatusInternalServerError && a.status != http.StatusNotImplemented:
		return nil, fmt.Errorf("handshake: %w", verdict(a, time.Now()))
	case granted && origin != "" && origin != "*" && !strings.EqualFold(origin, s.origin):
		return nil, &sinks.Shut{Err: fmt.Errorf("handshake: the endpoint permits another origin than %q", s.origin)}
	case granted && origin != "":
		return s.grant(a.header.Get("WebHook-Allowed-Rate"))
	case s.handshake == required:
		return nil, &sinks.Shut{Err: fmt.Errorf("handshake: answered %d without WebHook-Allowed-Origin, and handshake=required wants permission", a.status)}
	default:
		return &permission{unlimited, "the endpoint does not ask for a handshake"}, nil
	}
}

// grant reads the allowed rate: requests per minute, or * for any.
func (s *Sender) grant(text string) (*permission, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "*" {
		return &permission{rate.NewLimiter(rate.Inf, 1), "the endpoint permits it at any rate"}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return nil, &sinks.Shut{Err: errors.New("handshake: WebHook-Allowed-Rate is neither * nor a number of requests per minute")}
	}
	return &permission{rate.NewLimiter(rate.Every(time.Minute/time.Duration(n)), 1), fmt.Sprintf("the endpoint permits %d requests per minute", n)}, nil
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
