package events

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// What is here writes what encoding/json writes without escaping HTML, byte for byte, of the types that entities are made of: each entity is
// written twice, before and after its enrichment, and encoding/json takes more than twice as long. What it does not know it gives to encoding/json.
// No type of an entity holds itself.

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// scratchMax is the longest content whose memory is used again.
const scratchMax = 1 << 20

// EncodeContent gives the canonical JSON of an entity: struct fields in their
// declared order, map keys sorted, HTML characters as they are, no trailing
// newline. Equal entities have equal bytes. What JSON cannot say (NaN, a time after the year 9999) is an error.
func EncodeContent(e Entity) ([]byte, error) {
	room := scratch.Get().(*[]byte)
	content, err := appendEntity((*room)[:0], e)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", e.Kind(), e.Common().ID, err)
	}
	own := bytes.Clone(content)
	if cap(content) <= scratchMax {
		*room = content
		scratch.Put(room)
	}
	return own, nil
}

func appendEntity(dst []byte, e Entity) ([]byte, error) {
	v := reflect.ValueOf(e)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return appendStandard(dst, e)
	}
	return appenderOf(v.Type().Elem())(dst, v.Elem())
}

// appender appends the JSON of an addressable value.
type appender func(dst []byte, v reflect.Value) ([]byte, error)

var appenders sync.Map // of reflect.Type

func appenderOf(t reflect.Type) appender {
	if known, ok := appenders.Load(t); ok {
		return known.(appender)
	}
	a := newAppender(t)
	appenders.Store(t, a)
	return a
}

var (
	timeType      = reflect.TypeFor[time.Time]()
	numberType    = reflect.TypeFor[json.Number]()
	marshalerType = reflect.TypeFor[json.Marshaler]()
	textType      = reflect.TypeFor[encoding.TextMarshaler]()
)

func newAppender(t reflect.Type) appender {
	switch {
	case t == timeType:
		return appendTimeValue
	case t == numberType, reflect.PointerTo(t).Implements(marshalerType), reflect.PointerTo(t).Implements(textType):
		return appendOther
	}
	switch t.Kind() {
	case reflect.String:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return appendString(dst, v.String()), nil }
	case reflect.Bool:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(dst, v.Bool()), nil }
	case reflect.Int, reflect.Int64:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(dst, v.Int(), 10), nil }
	case reflect.Float64:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return appendNumber(dst, v.Float()) }
	case reflect.Interface:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return appendFree(dst, v.Interface()) }
	case reflect.Pointer:
		return newPointerAppender(t)
	case reflect.Slice:
		return newListAppender(t)
	case reflect.Struct:
		return newStructAppender(t)
	}
	if t == reflect.TypeFor[map[string]any]() {
		return func(dst []byte, v reflect.Value) ([]byte, error) {
			return appendObject(dst, *v.Addr().Interface().(*map[string]any))
		}
	}
	return appendOther
}

func newPointerAppender(t reflect.Type) appender {
	element := appenderOf(t.Elem())
	return func(dst []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
		return element(dst, v.Elem())
	}
}

func newListAppender(t reflect.Type) appender {
	if t.Elem().Kind() == reflect.Uint8 {
		return appendOther
	}
	element := appenderOf(t.Elem())
	return func(dst []byte, v reflect.Value) (_ []byte, err error) {
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = element(dst, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
}

// field is one of a struct, or of a struct that is embedded in it.
type field struct {
	index     []int
	name      string // ,"name":
	omitEmpty bool   // strings, lists, maps and pointers
	omitZero  bool   // times
	append    appender
}

func newStructAppender(t reflect.Type) appender {
	fields, known := fieldsOf(t)
	if !known {
		return appendOther
	}
	return func(dst []byte, v reflect.Value) (_ []byte, err error) {
		begin := len(dst)
		for i := range fields {
			f := &fields[i]
			value := v
			for _, n := range f.index {
				value = value.Field(n)
			}
			if f.omitEmpty && isEmpty(value) || f.omitZero && value.Addr().Interface().(*time.Time).IsZero() {
				continue
			}
			if dst, err = f.append(append(dst, f.name...), value); err != nil {
				return nil, err
			}
		}
		if len(dst) == begin {
			return append(dst, "{}"...), nil
		}
		dst[begin] = '{' // for the first field's comma
		return append(dst, '}'), nil
	}
}

// fieldsOf gives a struct's fields; false: it has something that is not known here.
func fieldsOf(t reflect.Type) (fields []field, known bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct {
			embedded, known := fieldsOf(f.Type)
			if !known {
				return nil, false
			}
			for _, e := range embedded {
				e.index = append([]int{i}, e.index...)
				fields = append(fields, e)
			}
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		out := field{index: []int{i}, name: "," + string(appendString(nil, name)) + ":", append: appenderOf(f.Type)}
		switch kind := f.Type.Kind(); {
		case name == "" || name == "-" || !f.IsExported():
			return nil, false
		case option == "":
		case option == "omitzero" && f.Type == timeType:
			out.omitZero = true
		case option == "omitempty" && (kind == reflect.String || kind == reflect.Slice || kind == reflect.Map || kind == reflect.Pointer):
			out.omitEmpty = true
		default:
			return nil, false
		}
		fields = append(fields, out)
	}
	names := make(map[string]bool, len(fields))
	for _, f := range fields {
		names[f.name] = true
	}
	return fields, len(names) == len(fields) // of two by one name encoding/json takes the outer
}

func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		return v.IsNil()
	}
	return v.Len() == 0
}

// appendOther has encoding/json do it.
func appendOther(dst []byte, v reflect.Value) ([]byte, error) {
	return appendStandard(dst, v.Addr().Interface())
}

func appendTimeValue(dst []byte, v reflect.Value) ([]byte, error) {
	t := v.Addr().Interface().(*time.Time)
	if year := t.Year(); t.Location() != time.UTC || year < 0 || year > 9999 {
		return appendStandard(dst, t)
	}
	dst = t.AppendFormat(append(dst, '"'), time.RFC3339Nano)
	return append(dst, '"'), nil
}

// appendFree appends what attributes and custom fields hold.
func appendFree(dst []byte, value any) (_ []byte, err error) {
	switch value := value.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendString(dst, value), nil
	case bool:
		return strconv.AppendBool(dst, value), nil
	case json.Number:
		if isWhole(string(value)) {
			return append(dst, value...), nil
		}
	case map[string]any:
		return appendObject(dst, value)
	case []any:
		if value == nil {
			return append(dst, "null"...), nil
		}
		dst = append(dst, '[')
		for i, item := range value {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendFree(dst, item); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return appendStandard(dst, value)
}

func appendObject(dst []byte, object map[string]any) (_ []byte, err error) {
	if object == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(object)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendFree(append(appendString(dst, name), ':'), object[name]); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// isWhole tells digits without a sign and without zeros before them.
func isWhole(text string) bool {
	return text == "0" || text != "" && text[0] != '0' && strings.Trim(text, "0123456789") == ""
}

// appendNumber appends a JSON number; NaN and infinities are an error.
func appendNumber(dst []byte, f float64) ([]byte, error) {
	if whole := math.Trunc(f); whole == f && math.Abs(f) < 1<<53 && !(f == 0 && math.Signbit(f)) {
		return strconv.AppendInt(dst, int64(f), 10), nil
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
	}
	return appendStandard(dst, f)
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string: HTML characters as they are, what is no UTF-8 as U+FFFD, and U+2028 and U+2029, which some readers take
// for line ends, escaped.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != '\u2028' && r != '\u2029' && !(r == utf8.RuneError && size == 1) {
				i += size
				continue
			}
			dst = append(append(dst, s[done:i]...), `\u`...)
			for shift := 12; shift >= 0; shift -= 4 {
				dst = append(dst, hexDigits[r>>shift&0xf])
			}
		} else {
			dst = appendEscape(append(dst, s[done:i]...), c)
		}
		i += size
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// appendStandard appends what encoding/json makes of a value.
func appendStandard(dst []byte, value any) ([]byte, error) {
	buf := appendWriter{dst}
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return buf.b[:len(buf.b)-len("\n")], nil
}

type appendWriter struct{ b []byte }

func (w *appendWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}
