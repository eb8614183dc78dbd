package cobrowser

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/parley-stream/parley/pollers"
)

// refused makes out what an answer means that may be a refusal. How the vendor refuses a command to a user is not documented, neither by
// which status nor by which text; so what everybody may call is asked with the same credentials: if that is answered, it is this
// command that this user may not call, else it is the credentials, or the vendor answers nobody.
func (p *Poller) refused(ctx context.Context, c command, err error) (requests int, out error) {
	suspect, cause := refusal(c, err)
	if !suspect {
		return 0, err
	}
	if checkErr := p.Check(ctx); checkErr != nil {
		return 1, fmt.Errorf("%w (after it answered %s: %s)", checkErr, c.name, cause.Error())
	}
	return 1, pollers.Unavailable(fmt.Errorf("the account may not call this command: %w", cause))
}

// refusal tells whether an error can be that of a command that this user may not call. The cause is without the mark that blames the
// credentials.
func refusal(c command, err error) (suspect bool, cause error) {
	var status *pollers.StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return c.name != checked, status
		case http.StatusBadRequest, http.StatusPaymentRequired, http.StatusNotFound, http.StatusMethodNotAllowed:
			return c.ccc, status
		default:
			return false, status
		}
	}
	var text *textError
	return c.ccc && errors.As(err, &text), err
}
