package events

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The deepest nesting that is decoded: of canonical content what encoding/json takes, of a record
// far more than it has.
const (
	maxContentDepth = 10000
	maxRecordDepth  = 32
)

// EncodeMsgpack gives canonical content as msgpack. Equal JSON values have equal bytes: keys are sorted, whole
// numbers are integers in their shortest form as far as 64 bits hold them, other numbers are float64, times stay
// RFC 3339 strings. A number that float64 cannot hold (1e999) becomes its text. The error is Permanent.
func EncodeMsgpack(contentJSON []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(contentJSON))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, Permanent(fmt.Errorf("content as msgpack: %w", err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, Permanent(errors.New("content as msgpack: more follows the JSON value, want one value"))
	}
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	if err := encodeValue(enc, value); err != nil {
		return nil, Permanent(fmt.Errorf("content as msgpack: %w", err))
	}
	return buf.Bytes(), nil
}

// encodeValue writes what encoding/json decodes with UseNumber.
func encodeValue(enc *msgpack.Encoder, value any) error {
	switch v := value.(type) {
	case json.Number:
		return encodeNumber(enc, v.String())
	case map[string]any:
		if err := enc.EncodeMapLen(len(v)); err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := errors.Join(enc.EncodeString(key), encodeValue(enc, v[key])); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if err := enc.EncodeArrayLen(len(v)); err != nil {
			return err
		}
		for _, item := range v {
			if err := encodeValue(enc, item); err != nil {
				return err
			}
		}
		return nil
	default:
		return enc.Encode(v) // a string, a boolean or nil
	}
}

func encodeNumber(enc *msgpack.Encoder, text string) error {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && text != "-0" {
		return enc.EncodeInt(n)
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return enc.EncodeUint(n)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return enc.EncodeString(text)
	}
	// 1.0 and 1e2 are whole numbers too: the same value has the same bytes however it is spelt.
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 && !(f == 0 && math.Signbit(f)) {
		return enc.EncodeInt(int64(f))
	}
	return enc.EncodeFloat64(f)
}

// DecodeMsgpack gives the JSON of what EncodeMsgpack wrote, keys in their order there (sorted). What
// JSON does not have (binary, extensions, keys that are no strings, NaN) is refused. The error is Permanent.
func DecodeMsgpack(b []byte) ([]byte, error) {
	if err := checkMsgpack(b, maxContentDepth); err != nil {
		return nil, Permanent(fmt.Errorf("msgpack content: %w", err))
	}
	out, err := appendValue(make([]byte, 0, len(b)+len(b)/2), msgpack.NewDecoder(bytes.NewReader(b)))
	if err != nil {
		return nil, Permanent(fmt.Errorf("msgpack content: %w", err))
	}
	return out, nil
}

// appendValue appends the JSON of the next value; checkMsgpack has bounded its depth.
func appendValue(dst []byte, dec *msgpack.Decoder) ([]byte, error) {
	code, err := dec.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case code == msgpcode.Nil:
		return append(dst, "null"...), dec.DecodeNil()
	case code == msgpcode.True, code == msgpcode.False:
		v, err := dec.DecodeBool()
		return strconv.AppendBool(dst, v), err
	case msgpcode.IsString(code):
		v, err := dec.DecodeString()
		return appendString(dst, v), err
	case code == msgpcode.Float, code == msgpcode.Double:
		return appendFloat(dst, dec)
	case code == msgpcode.Uint64:
		v, err := dec.DecodeUint64()
		return strconv.AppendUint(dst, v, 10), err
	case msgpcode.IsFixedNum(code), code >= msgpcode.Uint8 && code <= msgpcode.Int64:
		v, err := dec.DecodeInt64()
		return strconv.AppendInt(dst, v, 10), err
	case msgpcode.IsFixedArray(code), code == msgpcode.Array16, code == msgpcode.Array32:
		return appendArray(dst, dec)
	case msgpcode.IsFixedMap(code), code == msgpcode.Map16, code == msgpcode.Map32:
		return appendMap(dst, dec)
	default:
		return nil, fmt.Errorf("code 0x%02x: JSON has no such value", code)
	}
}

func appendFloat(dst []byte, dec *msgpack.Decoder) ([]byte, error) {
	v, err := dec.DecodeFloat64()
	if err != nil {
		return nil, err
	}
	return appendNumber(dst, v) // refuses NaN and infinities
}

func appendArray(dst []byte, dec *msgpack.Decoder) ([]byte, error) {
	n, err := dec.DecodeArrayLen()
	if err != nil {
		return nil, err
	}
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, dec); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func appendMap(dst []byte, dec *msgpack.Decoder) ([]byte, error) {
	n, err := dec.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	dst = append(dst, '{')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		code, err := dec.PeekCode()
		if err != nil {
			return nil, err
		}
		if !msgpcode.IsString(code) {
			return nil, fmt.Errorf("key of code 0x%02x: want a string", code)
		}
		key, err := dec.DecodeString()
		if err != nil {
			return nil, err
		}
		dst = append(appendString(dst, key), ':')
		if dst, err = appendValue(dst, dec); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// checkMsgpack wants b to be one whole msgpack value that nests no deeper than limit. It looks at
// lengths only and keeps its own stack: the decoder recurses, and deep nesting would overflow
// the goroutine's stack, which no recover catches.
func checkMsgpack(b []byte, limit int) error {
	left := make([]int, 1, 16) // values to come at each depth
	left[0] = 1
	for len(left) > 0 {
		top := len(left) - 1
		if left[top] == 0 {
			left = left[:top]
			continue
		}
		left[top]--
		size, items, err := measure(b)
		if err != nil {
			return err
		}
		b = b[size:]
		if items == 0 {
			continue
		}
		if len(left) > limit {
			return fmt.Errorf("nests deeper than %d", limit)
		}
		left = append(left, items)
	}
	if len(b) > 0 {
		return fmt.Errorf("%d bytes follow the value", len(b))
	}
	return nil
}

// measure gives the bytes that the head of the next value takes, with its payload where it holds no values, and
// how many values it holds.
func measure(b []byte) (size, items int, err error) {
	if len(b) == 0 {
		return 0, 0, io.ErrUnexpectedEOF
	}
	code := b[0]
	lengthBytes, fixed, perItem := shape(code)
	if fixed < 0 {
		return 0, 0, fmt.Errorf("code 0x%02x is none of msgpack", code)
	}
	if len(b) < 1+lengthBytes {
		return 0, 0, io.ErrUnexpectedEOF
	}
	n := uint64(fixed)
	switch lengthBytes {
	case 1:
		n += uint64(b[1])
	case 2:
		n += uint64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		n += uint64(binary.BigEndian.Uint32(b[1:]))
	}
	if perItem > 0 {
		return 1 + lengthBytes, int(n) * perItem, nil
	}
	if uint64(len(b)-1-lengthBytes) < n {
		return 0, 0, io.ErrUnexpectedEOF
	}
	if msgpcode.IsExt(code) && n > 1+longestTime {
		// The decoder looks for a map in an extension, whose nesting nobody has looked at.
		return 0, 0, fmt.Errorf("an extension of %d bytes: want a time's, which has %d at most", n-1, longestTime)
	}
	return 1 + lengthBytes + int(n), 0, nil
}

// longestTime is how many bytes a time has, the only extension that a record holds.
const longestTime = 12

// shape tells of a code how many bytes of length follow it, the length that is in the code itself or added to
// it (-1: no code of msgpack), and how many values an item is: 1 of arrays, 2 of maps, else 0.
func shape(code byte) (lengthBytes, fixed, perItem int) {
	switch {
	case msgpcode.IsFixedMap(code):
		return 0, int(code & msgpcode.FixedMapMask), 2
	case msgpcode.IsFixedArray(code):
		return 0, int(code & msgpcode.FixedArrayMask), 1
	case msgpcode.IsFixedString(code):
		return 0, int(code & msgpcode.FixedStrMask), 0
	case msgpcode.IsFixedNum(code):
		return 0, 0, 0
	}
	switch code {
	case msgpcode.Nil, msgpcode.False, msgpcode.True:
		return 0, 0, 0
	case msgpcode.Uint8, msgpcode.Int8:
		return 0, 1, 0
	case msgpcode.Uint16, msgpcode.Int16:
		return 0, 2, 0
	case msgpcode.Uint32, msgpcode.Int32, msgpcode.Float:
		return 0, 4, 0
	case msgpcode.Uint64, msgpcode.Int64, msgpcode.Double:
		return 0, 8, 0
	case msgpcode.Str8, msgpcode.Bin8:
		return 1, 0, 0
	case msgpcode.Str16, msgpcode.Bin16:
		return 2, 0, 0
	case msgpcode.Str32, msgpcode.Bin32:
		return 4, 0, 0
	case msgpcode.Array16:
		return 2, 0, 1
	case msgpcode.Array32:
		return 4, 0, 1
	case msgpcode.Map16:
		return 2, 0, 2
	case msgpcode.Map32:
		return 4, 0, 2
	case msgpcode.FixExt1, msgpcode.FixExt2, msgpcode.FixExt4, msgpcode.FixExt8, msgpcode.FixExt16:
		return 0, 1 + 1<<(code-msgpcode.FixExt1), 0
	case msgpcode.Ext8:
		return 1, 1, 0
	case msgpcode.Ext16:
		return 2, 1, 0
	case msgpcode.Ext32:
		return 4, 1, 0
	default:
		return 0, -1, 0
	}
}
