package events_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
)

var errVendor = errors.New("vendor says no")

func TestSteeringIsFoundThroughWrappingAndJoins(t *testing.T) {
	after := func(d time.Duration) error { return events.RetryAfter(d, errVendor) }
	permanent := events.Permanent(errVendor)
	cases := map[string]struct {
		err       error
		permanent bool
		delay     time.Duration // 0: none
	}{
		"nil":                        {nil, false, 0},
		"plain":                      {errVendor, false, 0},
		"permanent":                  {permanent, true, 0},
		"permanent, wrapped":         {fmt.Errorf("list: %w", fmt.Errorf("page: %w", permanent)), true, 0},
		"permanent, joined":          {errors.Join(errVendor, permanent), true, 0},
		"permanent, one of two %w":   {fmt.Errorf("%w: %w", errVendor, permanent), true, 0},
		"later":                      {after(time.Minute), false, time.Minute},
		"later, wrapped":             {fmt.Errorf("list: %w", after(time.Minute)), false, time.Minute},
		"later, joined":              {errors.Join(errVendor, after(time.Minute)), false, time.Minute},
		"joined, the longest":        {errors.Join(after(time.Second), fmt.Errorf("x: %w", after(time.Hour)), after(time.Minute)), false, time.Hour},
		"in a join in a join":        {errors.Join(errVendor, errors.Join(errVendor, after(time.Second))), false, time.Second},
		"the outermost of two":       {events.RetryAfter(time.Minute, after(time.Hour)), false, time.Minute},
		"later, and permanent in it": {events.RetryAfter(time.Minute, permanent), true, time.Minute},
		"permanent, and later in it": {events.Permanent(after(time.Minute)), true, time.Minute},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := events.IsPermanent(c.err); got != c.permanent {
				t.Errorf("permanent: %v, want %v", got, c.permanent)
			}
			if d, ok := events.RetryDelay(c.err); d != c.delay || ok != (c.delay > 0) {
				t.Errorf("delay: %v %v, want %v", d, ok, c.delay)
			}
			if c.err != nil && !errors.Is(c.err, errVendor) {
				t.Error("the cause is hidden")
			}
		})
	}
}

func TestSteeringNothingIsNothing(t *testing.T) {
	if err := events.Permanent(nil); err != nil {
		t.Errorf("permanent nil is %v", err)
	}
	if err := events.RetryAfter(time.Second, nil); err != nil {
		t.Errorf("later nil is %v", err)
	}
}

func TestADelayOfZeroIsADelay(t *testing.T) {
	if d, ok := events.RetryDelay(events.RetryAfter(0, errVendor)); !ok || d != 0 {
		t.Errorf("%v %v, want 0 true", d, ok)
	}
}

func TestSteeringKeepsTheMessage(t *testing.T) {
	if got := events.Permanent(events.RetryAfter(time.Second, errVendor)).Error(); got != errVendor.Error() {
		t.Errorf("%q, want %q", got, errVendor)
	}
}
