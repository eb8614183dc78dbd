package livechat

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// object is a decoded JSON object. What is taken out of it has reached a canonical place; what stays becomes
// attributes, so that nothing is lost by being odd.
type object map[string]any

// text takes a string, or a number as it is written; "" for anything else, which stays.
func (o object) text(name string) string {
	s, ok := textOf(o[name])
	if !ok {
		return ""
	}
	delete(o, name)
	return s
}

func textOf(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	default:
		return "", false
	}
}

// number takes a number that is not negative, also one in quotes; nil for anything else, which stays.
func (o object) number(name string) *float64 {
	f, ok := numberOf(o[name])
	if !ok || f < 0 {
		return nil
	}
	delete(o, name)
	return &f
}

func numberOf(value any) (float64, bool) {
	s, ok := textOf(value)
	s = strings.TrimSpace(s)
	// Go's own syntax has more: hexadecimals, infinities, underscores.
	if !ok || s == "" || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// lastSecond is the last that RFC 3339 can write.
const lastSecond = 253402300799

// epoch takes seconds since 1970; zero for anything else, which stays. Zero seconds is no time, and stays too.
func (o object) epoch(name string) time.Time {
	f, ok := numberOf(o[name])
	if !ok || f <= 0 || f > lastSecond {
		return time.Time{}
	}
	delete(o, name)
	// A float64 holds microseconds of our centuries.
	return time.UnixMicro(int64(f*1e6 + 0.5)).UTC()
}

// list takes the elements of a list through each, which tells whether it took all of the element; those that it
// did not stay as the member's value.
func (o object) list(name string, each func(element any) (taken bool)) {
	elements, ok := o[name].([]any)
	if !ok {
		return
	}
	var odd []any
	for _, element := range elements {
		if element != nil && !each(element) {
			odd = append(odd, element)
		}
	}
	if delete(o, name); len(odd) > 0 {
		o[name] = odd
	}
}

// objects is list for a list of objects, of which each gets a copy to take from: an element of which something stays
// is not taken as a whole, and stays as it is.
func (o object) objects(name string, each func(element object) (used bool)) {
	o.list(name, func(element any) bool {
		members, ok := element.(map[string]any)
		if !ok {
			return false
		}
		rest := make(object, len(members))
		for k, v := range members {
			rest[k] = v
		}
		return each(rest) && rest.rest() == nil
	})
}

// rest gives what stays for attributes; nil when nothing does.
func (o object) rest() map[string]any {
	for name, value := range o {
		if value == nil || value == "" {
			delete(o, name)
		}
	}
	if len(o) == 0 {
		return nil
	}
	return o
}
