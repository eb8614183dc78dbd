package liveagent

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/parley-stream/parley/pollers"
)

// apiError is the document's error response in a response with status 200.
type apiError struct {
	code    string // statuscode
	message string // errormessage
}

func (e *apiError) Error() string {
	message := e.message
	if len(message) > 200 {
		message = message[:200] + "…"
	}
	return fmt.Sprintf("the response is an error %s: %s", strconv.QuoteToGraphic(e.code), strconv.QuoteToGraphic(message))
}

// Unwrap tells what the error steers by.
func (e *apiError) Unwrap() error { return pollers.ErrIncomplete }

// failure reads an error out of a response's members; nil when they are none. The
// debugmessage is for the vendor's own eyes.
func failure(fields map[string]string) error {
	if !strings.EqualFold(fields["status"], "ERROR") {
		return nil
	}
	err := &apiError{code: fields["statuscode"], message: fields["errormessage"]}
	switch err.code {
	case "400", "401", "403":
		return pollers.Unauthorized(err)
	}
	return err
}

// steer reads the document's meaning of 400: a problem with the API key.
func steer(err error) error {
	if s := (*pollers.StatusError)(nil); errors.As(err, &s) && s.Status == http.StatusBadRequest {
		return pollers.Unauthorized(err)
	}
	return err
}

// gone tells whether an error says that the thing asked for is not there: 404, or 500 with the document's
// words for a conversation.
func gone(err error) bool {
	const unloadable = "unable to load conversation"
	if s := (*pollers.StatusError)(nil); errors.As(err, &s) {
		return s.Status == http.StatusNotFound ||
			s.Status == http.StatusInternalServerError && strings.Contains(strings.ToLower(string(s.Body)), unloadable)
	}
	if e := (*apiError)(nil); errors.As(err, &e) {
		return e.code == "404" || e.code == "500" && strings.Contains(strings.ToLower(e.message), unloadable)
	}
	return false
}
