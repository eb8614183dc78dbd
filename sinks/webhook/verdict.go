package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks"
)

// busyFor is how long a destination is left alone that has too many requests and does not say for how long.
const busyFor = time.Second

// verdict says what an answer means. Nothing of its body or its Location is in the error: they may repeat what is secret.
func verdict(a answer, now time.Time) error {
	status := a.status
	err := fmt.Errorf("answered %s", statusText(status))
	wait, asked := retryAfter(a.header.Get("Retry-After"), now)
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusGone:
		return &sinks.Shut{Err: fmt.Errorf("%w: it wants no more events", err), ForGood: true}
	case status/100 == 3:
		err = &sinks.Shut{Err: fmt.Errorf("%w: a redirect is not followed; set URL to where it leads", err)}
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		err = &sinks.Shut{Err: fmt.Errorf("%w: look at URL and SECRET", err)}
	case status == http.StatusRequestEntityTooLarge:
		return events.Permanent(err)
	case status == http.StatusTooManyRequests:
		if err = fmt.Errorf("%w: %w", err, sinks.ErrThrottled); !asked {
			wait, asked = busyFor, true
		}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly:
	case status/100 == 4:
		err = fmt.Errorf("%w: %w", err, sinks.ErrRejected)
	}
	if asked {
		return events.RetryAfter(wait, err)
	}
	return err
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return strconv.Itoa(status)
}

// retryAfter reads seconds or a date; what it says of the past is now.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// explain says why there was no answer. What the server sent is not quoted, and the request is not either: only errors whose text is
// made of addresses, names and numbers are shown.
func (s *Sender) explain(ctx context.Context, err error) error {
	var (
		refused     *refusedError
		lookup      *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		network     net.Error
		number      syscall.Errno
	)
	switch {
	case errors.Is(context.Cause(ctx), errNoAnswer):
		return fmt.Errorf("%w: the endpoint took more than %s", errNoAnswer, s.timeout)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &refused):
		return fmt.Errorf("%s is not called: %w", s.target.Hostname(), refused)
	case errors.As(err, &lookup):
		return fmt.Errorf("look up %s: %w", s.target.Hostname(), errors.New(lookup.Err))
	case errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not trusted: %w", s.target.Hostname(), reason(certificate.Err))
	case errors.As(err, &record):
		return errors.New("what answered does not speak TLS")
	case errors.As(err, &alert):
		return fmt.Errorf("TLS: %w", alert)
	case errors.As(err, &number):
		return fmt.Errorf("connection to %s: %w", s.target.Host, number)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed before the answer")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("%w: connection to %s", errNoAnswer, s.target.Host)
	default:
		return errors.New("what came back is no HTTP answer that can be read")
	}
}

// reason gives what is wrong with a certificate without what the certificate says.
func reason(err error) error {
	var (
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &host):
		return errors.New("it is for another name")
	case errors.As(err, &unknown):
		return errors.New("its authority is unknown")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errors.New("it has expired or is not valid yet")
	default:
		return errors.New("it cannot be verified")
	}
}
