package events

import (
	"errors"
	"time"
)

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no retry can mend; nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent tells whether any error in the chain is Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type retryAfterError struct {
	after time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks an error whose cause asked to be left alone for d; nil stays nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{after: d, err: err}
}

// RetryDelay gives what RetryAfter said, if any error in the chain said it: the outermost, and
// of joined errors the longest, so that nobody is asked before its time.
func RetryDelay(err error) (time.Duration, bool) {
	switch e := err.(type) { //nolint:errorlint // walks the chain itself: errors.As would stop at the first of joined errors
	case *retryAfterError:
		return e.after, true
	case interface{ Unwrap() error }:
		return RetryDelay(e.Unwrap())
	case interface{ Unwrap() []error }:
		return longestDelay(e.Unwrap())
	default:
		return 0, false
	}
}

func longestDelay(errs []error) (longest time.Duration, found bool) {
	for _, err := range errs {
		if d, ok := RetryDelay(err); ok {
			longest, found = max(longest, d), true
		}
	}
	return longest, found
}
