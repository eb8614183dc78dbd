package sinks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/events/broker"
)

// Reason is what kind of failure an attempt met.
type Reason string

// The reasons, the most telling first.
const (
	// ReasonDisk: a disk of this machine is full, or takes no writes.
	ReasonDisk Reason = "disk"
	// ReasonShut: the destination takes nothing at present, whatever it is sent.
	ReasonShut      Reason = "shut"
	ReasonThrottled Reason = "throttled"
	// ReasonRejected: the destination does not want this event.
	ReasonRejected Reason = "rejected"
	// ReasonBroker: the broker, not the destination, did not answer.
	ReasonBroker Reason = "broker"
	// ReasonTimeout: the destination did not answer in time.
	ReasonTimeout Reason = "timeout"
	// ReasonNetwork: the destination cannot be reached.
	ReasonNetwork Reason = "network"
	ReasonOther   Reason = "other"
)

// reasonOf tells what kind of failure an error is.
func reasonOf(err error) Reason {
	var shut *Shut
	var timeout interface{ Timeout() bool }
	var network *net.OpError
	switch {
	case is(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EFBIG):
		return ReasonDisk
	case errors.As(err, &shut):
		return ReasonShut
	case errors.Is(err, ErrThrottled):
		return ReasonThrottled
	case events.IsPermanent(err), errors.Is(err, ErrRejected):
		return ReasonRejected
	case is(err, broker.ErrDisconnected, broker.ErrFull, broker.ErrIncomplete):
		return ReasonBroker
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ReasonTimeout
	case errors.As(err, &network), is(err, syscall.ECONNREFUSED, syscall.ECONNRESET):
		return ReasonNetwork
	default:
		return ReasonOther
	}
}

func is(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// tally counts a reason.
func tally(counts map[Reason]uint64, reason Reason) map[Reason]uint64 {
	if counts == nil {
		counts = make(map[Reason]uint64)
	}
	counts[reason]++
	return counts
}

// reasons are the errors of an event's attempts, in short.
type reasons struct {
	texts  []string
	counts []int
	others int
}

// maxReasons bounds how many different errors of one event are kept.
const maxReasons = 8

func (r *reasons) add(err error) {
	text := err.Error()
	i := slices.Index(r.texts, text)
	switch {
	case i >= 0:
		r.counts[i]++
	case len(r.texts) < maxReasons:
		r.texts, r.counts = append(r.texts, text), append(r.counts, 1)
	default:
		r.others++
	}
}

// summary names every error and how often it came.
func (r *reasons) summary() error {
	parts := make([]string, len(r.texts), len(r.texts)+1)
	for i, text := range r.texts {
		parts[i] = text
		if r.counts[i] > 1 {
			parts[i] = fmt.Sprintf("%d times: %s", r.counts[i], text)
		}
	}
	if r.others > 0 {
		parts = append(parts, fmt.Sprintf("%d others", r.others))
	}
	return errors.New(strings.Join(parts, "; "))
}
