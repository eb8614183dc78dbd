package livechatreports

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers"
)

// vendorError is the value of "error" in {"error":{"type":…,"message":…}}. The Reports document has none; the form and the types are
// those of LiveChat's sibling APIs (facts.md 1.5).
type vendorError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

const maxQuoted = 200

// steer wraps an error as its type demands; false for a type that is not known.
func (v vendorError) steer(err error) (bool, error) {
	switch v.Type {
	case "authentication", "authorization", "license_expired":
		return true, pollers.Unauthorized(err)
	case "validation", "unsupported_version", "wrong_product_version", "misdirected_request":
		return true, events.Permanent(err)
	case "too_many_requests", "internal", "request_timeout", "service_unavailable":
		return true, err
	}
	return false, err
}

// failure is the error of a response with status 200.
func (p *poller) failure(value []byte) error {
	var v vendorError
	if json.Unmarshal(value, &v) != nil {
		v = vendorError{Message: string(value)}
	}
	_, err := v.steer(fmt.Errorf("error of type %q in a 200, %q: %w", p.quotable(v.Type), p.quotable(v.Message), pollers.ErrIncomplete))
	return err
}

// quotable redacts and then shortens: the other way round, the start of a secret could be left at the cut.
func (p *poller) quotable(text string) string {
	runes := []rune(p.client.Redact(text))
	return string(runes[:min(len(runes), maxQuoted)])
}

// refusal steers the error of another status by the vendor's type, where its body tells one; the
// status says less: nothing documents which type comes with which.
func refusal(err error) error {
	var status *pollers.StatusError
	if !errors.As(err, &status) {
		return err
	}
	var answer struct {
		Error vendorError `json:"error"`
	}
	_ = json.Unmarshal(status.Body, &answer) // what is no such object has no type
	known, steered := answer.Error.steer(status)
	switch {
	case !known && status.Status == http.StatusNotFound:
		return pollers.Unavailable(err) // the access point is there for the other reports
	case !known:
		return err
	}
	if d, ok := events.RetryDelay(err); ok {
		return events.RetryAfter(d, steered)
	}
	return steered
}
