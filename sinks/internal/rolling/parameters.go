package rolling

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/sinks/internal/format"
)

// Options say how events become files.
type Options struct {
	NewFormat func() *format.Format // for one owner
	Layout    Layout
	Size      int64
	Age, Idle time.Duration
}

const (
	minAge = time.Second
	maxAge = time.Hour
)

// defaults are the parameters that every sink of files has.
func defaults() map[string]string {
	return map[string]string{
		"format": "ndjson", "compress": "none", "cells": "safe", "path": "{kind}/{vendor}/{source}/{date}",
		"rotate_size": "64MiB", "rotate_age": "1m", "rotate_idle": "",
	}
}

// Parameters are the query of a sink's URL.
type Parameters struct {
	values map[string]string
	fault  func(want string)
}

// ParseParameters reads a query: the parameters that every sink of files has, and a room's own with their defaults. Every fault is reported.
func ParseParameters(query string, own map[string]string, fault func(want string)) Parameters {
	p := Parameters{values: defaults(), fault: fault}
	maps.Copy(p.values, own)
	values, err := url.ParseQuery(query)
	if err != nil {
		p.Fault("its parameters cannot be read: want name=value&name=value, percent-encoded")
	}
	known := slices.Sorted(maps.Keys(p.values))
	for name, given := range values {
		switch _, ok := p.values[name]; {
		case !ok:
			p.Fault("parameter %s: is unknown; known are %s", name, strings.Join(known, ", "))
		case len(given) > 1:
			p.Fault("parameter %s: is there %d times, want it once", name, len(given))
		default:
			p.values[name] = given[0]
		}
	}
	return p
}

// Fault reports what is wrong with the URL.
func (p Parameters) Fault(format string, args ...any) { p.fault(fmt.Sprintf(format, args...)) }

// Value gives a parameter.
func (p Parameters) Value(name string) string { return p.values[name] }

// OneOf gives a parameter that must be one of some words.
func (p Parameters) OneOf(name string, words ...string) string {
	value := p.values[name]
	if !slices.Contains(words, value) {
		p.Fault("parameter %s: is %q, want %s", name, value, strings.Join(words, " or "))
	}
	return value
}

// Options reads the parameters that every sink of files has.
func (p Parameters) Options() (o Options) {
	name := p.OneOf("format", format.Names...)
	compression := p.OneOf("compress", format.Compressions...)
	exact := p.OneOf("cells", "safe", "exact") == "exact"
	o.NewFormat = func() *format.Format { return format.New(name, compression, exact) }
	var err error
	if o.Layout, err = ParseLayout(p.values["path"]); err != nil {
		p.Fault("parameter path: %s", err)
	} else if name != "ndjson" && !o.Layout.Has("kind") {
		p.Fault("parameter path: is %q, want {kind} in it: a %s file holds one kind, because each has columns of its own", p.values["path"], name)
	}
	if o.Size, err = ParseSize(p.values["rotate_size"]); err != nil {
		p.Fault("parameter rotate_size: %s", err)
	}
	o.Age = p.duration("rotate_age")
	if o.Idle = o.Age / 4; p.values["rotate_idle"] != "" {
		o.Idle = p.duration("rotate_idle")
	}
	return o
}

func (p Parameters) duration(name string) time.Duration {
	d, err := time.ParseDuration(p.values[name])
	if err != nil || d < minAge || d > maxAge {
		p.Fault("parameter %s: is %q, want a duration from %s to %s such as 90s", name, p.values[name], minAge, maxAge)
	}
	return d
}

// ParseSize reads a number of bytes with or without a unit.
func ParseSize(text string) (int64, error) {
	units := []struct {
		suffix string
		bytes  float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}
	for _, unit := range units {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		size := n * unit.bytes
		if err != nil || math.IsNaN(size) || size < 1 || size > 1<<40 {
			break
		}
		return int64(size), nil
	}
	return 0, fmt.Errorf("is %q, want a size from 1 to 1024GiB such as 64MiB", text)
}
