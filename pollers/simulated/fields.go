package simulated

import (
	"fmt"
	"strconv"
	"sync"
)

// Field is a documented response field that a simulator has filled with a value of its own, so that whoever reads the events can
// tell whether it arrived.
type Field struct {
	// Endpoint and Name are the document's: "GET conversations/[conversationid]", "messages.message.datecreated".
	Endpoint, Name string
	// Forms are the texts in which the value may arrive: one scalar (a string, a number as it is written) of some event's data must be one
	// of them, or a string must contain one that has eight bytes or more. A form "@path=value" is for values that are not unique, such
	// as a letter or a flag: a scalar at a path that ends so (dots, without indexes) must be the value.
	Forms []string
	// Secret marks a field that must not arrive: a token, a cookie's name.
	Secret bool
}

// Fields collects the fields that a simulator's specimens hold: with Options.Fields set, every endpoint's answer holds one record
// more, within the window that is asked for, in which every documented field has a value. It is safe for concurrent use.
type Fields struct {
	mu    sync.Mutex
	index map[string]int
	list  []Field
}

// NewFields gives an empty collection.
func NewFields() *Fields { return &Fields{index: make(map[string]int)} }

// Put notes a field's forms and gives the first. The same field noted again is replaced: an endpoint may be asked often.
func (f *Fields) Put(endpoint, name string, forms ...string) string {
	f.note(Field{Endpoint: endpoint, Name: name, Forms: forms})
	return forms[0]
}

// Text gives a field a unique text.
func (f *Fields) Text(endpoint, name string) string {
	return f.Put(endpoint, name, fmt.Sprintf("specimen-%05d", f.number(endpoint, name)))
}

// Number gives a field a unique whole number of seven digits.
func (f *Fields) Number(endpoint, name string) int {
	n := 7_000_000 + f.number(endpoint, name)
	f.Put(endpoint, name, strconv.Itoa(n))
	return n
}

// At notes a field whose value is not unique: it must arrive at a path that ends so.
func (f *Fields) At(endpoint, name, path, value string) {
	f.Put(endpoint, name, "@"+path+"="+value)
}

// Secret gives a field a unique text that must arrive nowhere.
func (f *Fields) Secret(endpoint, name string) string {
	value := fmt.Sprintf("secret-specimen-%05d", f.number(endpoint, name))
	f.note(Field{Endpoint: endpoint, Name: name, Forms: []string{value}, Secret: true})
	return value
}

// All gives the fields in the order in which they were first noted.
func (f *Fields) All() []Field {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Field(nil), f.list...)
}

// number is a field's place in the list, which is its own for good.
func (f *Fields) number(endpoint, name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.place(endpoint, name)
}

func (f *Fields) place(endpoint, name string) int {
	key := endpoint + "\x00" + name
	i, ok := f.index[key]
	if !ok {
		i = len(f.list)
		f.index[key] = i
		f.list = append(f.list, Field{Endpoint: endpoint, Name: name})
	}
	return i
}

func (f *Fields) note(field Field) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[f.place(field.Endpoint, field.Name)] = field
}
