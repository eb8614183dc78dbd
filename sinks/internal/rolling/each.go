package rolling

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Each does something to several things at once, at most so many, and returns when all of that has ended. Once it has failed for one, it begins with
// no other; the error is of all that failed.
func Each[T any](things []T, limit int, do func(T) error) error {
	errs := make([]error, len(things))
	var working sync.WaitGroup
	var failed atomic.Bool
	free := make(chan struct{}, limit)
	for i, thing := range things {
		free <- struct{}{}
		if failed.Load() {
			break
		}
		working.Go(func() {
			defer func() { <-free }()
			if errs[i] = do(thing); errs[i] != nil {
				failed.Store(true)
			}
		})
	}
	working.Wait()
	return errors.Join(errs...)
}
