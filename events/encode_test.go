package events_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
)

// byReflection is what EncodeContent is defined to give.
func byReflection(e events.Entity) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(e)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// randomize gives every field that can be reached from v a value, or none, as the numbers fall.
func randomize(v reflect.Value, rng *rand.Rand, depth int) {
	texts := []string{"", "plain", "Grüße <b>&amp;</b> \"quoted\" \\ /", "line\nfeed\r\t\b\f\x00\x1f\x7f", "\u2028\u2029\ufffd", "bad \xff\xc3 bytes", "日本語 🙂", "\xed\xa0\x80"}
	if rng.IntN(4) == 0 {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		zone := []*time.Location{time.UTC, time.FixedZone("", 2*3600), time.FixedZone("", -(5*3600 + 1800))}[rng.IntN(3)]
		v.Set(reflect.ValueOf(time.Unix(rng.Int64N(4e9), rng.Int64N(2)*rng.Int64N(1e9)).In(zone)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[rng.IntN(len(texts))])
	case reflect.Int:
		v.SetInt(rng.Int64N(2000) - 1000)
	case reflect.Float64:
		v.SetFloat([]float64{0, math.Copysign(0, -1), 1, -12.5, 1e-7, 1e-6, 1e20, 1e21, -1e300, 0.1, 123456789.125}[rng.IntN(11)])
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		randomize(v.Elem(), rng, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			randomize(v.Field(i), rng, depth)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(4), 4))
		for i := range v.Len() {
			randomize(v.Index(i), rng, depth)
		}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for range rng.IntN(5) {
			value := reflect.New(v.Type().Elem()).Elem()
			randomize(value, rng, depth+1)
			m.SetMapIndex(reflect.ValueOf(texts[rng.IntN(len(texts))]), value)
		}
		v.Set(m)
	case reflect.Interface:
		values := []any{nil, "x", true, json.Number("1.50"), json.Number("7"), json.Number(""), 3, 2.5, []string{"a"}, []any(nil), []any{}, map[string]any(nil), map[string]any{}}
		if depth < 4 && rng.IntN(3) == 0 {
			inner := reflect.New(reflect.TypeFor[map[string]any]()).Elem()
			randomize(inner, rng, depth+1)
			v.Set(reflect.ValueOf([]any{inner.Interface(), values[rng.IntN(len(values))]}))
			return
		}
		if value := values[rng.IntN(len(values))]; value != nil {
			v.Set(reflect.ValueOf(value))
		}
	}
}

func TestAConversationIsEncodedAsEncodingJSONDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var c events.Conversation
		for i, v := 0, reflect.ValueOf(&c).Elem(); i < v.NumField(); i++ {
			randomize(v.Field(i), rng, 0)
		}
		got, err := events.EncodeContent(&c)
		want, wantErr := byReflection(&c)
		if err != nil || wantErr != nil || !bytes.Equal(got, want) {
			t.Fatalf("got  %s %v\nwant %s %v", got, err, want, wantErr)
		}
	}
}

// A field that is added must be written, or nobody would get it.
func TestEveryFieldOfAConversationIsEncoded(t *testing.T) {
	var c events.Conversation
	setAll(reflect.ValueOf(&c).Elem())
	got, err := events.EncodeContent(&c)
	want, wantErr := byReflection(&c)
	if err != nil || wantErr != nil || !bytes.Equal(got, want) {
		t.Errorf("got  %s %v\nwant %s %v", got, err, want, wantErr)
	}
}

func setAll(v reflect.Value) {
	if at, is := v.Addr().Interface().(*time.Time); is {
		*at = time.Unix(1, 0).UTC()
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setAll(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			setAll(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		setAll(v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]any{"k": "v"}))
	}
}

func TestWhatJSONDoesNotHaveIsAnErrorOfTheConversation(t *testing.T) {
	circle := map[string]any{}
	circle["again"] = circle
	for name, c := range map[string]*events.Conversation{
		"not a number":    {DurationS: events.Ptr(math.NaN())},
		"a year too late": {StartedAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"a channel":       {CustomFields: map[string]any{"c": make(chan int)}},
		"a wrong number":  {CustomFields: map[string]any{"n": json.Number("1x")}},
		"a circle":        {Base: events.Base{Attributes: circle}},
	} {
		t.Run(name, func(t *testing.T) {
			if content, err := events.EncodeContent(c); err == nil {
				t.Errorf("was encoded as %s", content)
			}
		})
	}
}

func FuzzEncodeContent(f *testing.F) {
	f.Add("plain", "Grüße\u2028\x00\xff", 1.5)
	f.Add("\"\\\n", "\xed\xa0\x80", 1e-9)
	f.Fuzz(func(t *testing.T, name, text string, number float64) {
		c := &events.Conversation{
			Subject: text, DurationS: &number, Messages: []events.Message{{Text: text, Attributes: map[string]any{name: []any{text, name}}}},
		}
		got, err := events.EncodeContent(c)
		want, wantErr := byReflection(c)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("got  %s %v\nwant %s %v", got, err, want, wantErr)
		}
	})
}
