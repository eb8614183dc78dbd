package sinks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

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
