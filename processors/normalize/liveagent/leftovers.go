package liveagent

import "github.com/parley-stream/parley/events"

// leftovers puts into attributes what nothing has used.
type leftovers struct{ *events.Base }

// add sets the members of a part; one whose name is taken goes into an object of the part's name.
func (l leftovers) add(part string, object tree) {
	taken := tree{}
	for name, value := range object {
		if empty(value) {
			continue
		}
		if _, is := l.Attributes[name]; is {
			taken[name] = value
		} else {
			l.Set(name, value)
		}
	}
	l.nest(part, taken)
}

// list sets what was no object in a list of objects.
func (l leftovers) list(part, name string, values []any) {
	if len(values) > 0 {
		l.nest(part, tree{name: values})
	}
}

// nest sets members of an object of the part's name; a name that is taken gets "+" until it is free.
func (l leftovers) nest(part string, members tree) {
	if len(members) == 0 {
		return
	}
	for {
		if _, is := l.Attributes[part]; !is {
			l.Set(part, members)
			return
		}
		part += "+"
	}
}

func (l leftovers) flag(name string, set bool) {
	if set {
		l.Set(name, true)
	}
}
