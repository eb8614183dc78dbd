package events_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
)

// standard is what encoding/json makes of an entity.
func standard(e events.Entity) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(e)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

func sameAsStandard(t *testing.T, e events.Entity) {
	t.Helper()
	want, wantErr := standard(e)
	got, err := events.EncodeContent(e)
	if (err != nil) != (wantErr != nil) || err == nil && !bytes.Equal(got, want) {
		t.Errorf("%s: %v\n%s\nwant %v\n%s", e.Kind(), err, got, wantErr, want)
	}
}

func TestContentIsWhatEncodingJSONWrites(t *testing.T) {
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"", "plain", "<a href=\"x\">&</a>\\", "\x00\b\f\n\r\t\x1f\x7f", "Malmö 日本 \U0001F600", "\u2028\u2029", "\xff half \xe2\x80", "�", strings.Repeat("ø\xc3", 300)}
	for _, text := range texts {
		sameAsStandard(t, &events.Conversation{
			Base: events.Base{ID: text, Attributes: map[string]any{text: text, "list": []any{text, nil, true, []any{}, map[string]any{}}}}, Subject: text, Tags: []string{text, ""},
			Messages: []events.Message{{Text: text, Author: &events.Author{Name: text}}, {}}, Surveys: []events.Survey{{Context: text}, {Responses: []events.Response{}}},
		})
	}
	for _, at := range []time.Time{
		{},
		day(1), day(1).Add(1), day(1).Add(120 * time.Millisecond), day(1).In(oslo), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 0, 0, 0, oslo),
	} {
		sameAsStandard(t, &events.Conversation{StartedAt: at, Messages: []events.Message{{At: at}}})
	}
	for _, value := range []any{
		json.Number("0"), json.Number("00"), json.Number("-0"), json.Number("12"), json.Number("1e3"), json.Number(""), json.Number("x"), json.Number("12345678901234567890123"),
		[]any(nil), map[string]any(nil),
		map[string]string{"b": "1", "a": "2"},
		7, uint8(7), 1.5, math.NaN(),
		[]string{"a"},
		[]byte("ab"), events.Kind("k"), (*int)(nil), json.RawMessage(` { } `), make(chan int),
	} {
		sameAsStandard(t, &events.Conversation{CustomFields: map[string]any{"v": value, "in": []any{value}}})
	}
	for _, e := range []events.Entity{
		struct{ *events.Email }{&events.Email{Subject: "not by a pointer"}},
		(*events.Email)(nil),
		&events.Metric{Measures: map[string]float64{"b": 1.5, "a": math.MaxFloat64}, Dimensions: map[string]string{"y": "<", "x": ""}, Interval: &events.Interval{Grain: "day"}}, &events.Metric{},
		&events.Activity{Agent: &events.Named{}, SlotsUsed: events.Ptr(0)}, &events.Presence{Online: []string{"a"}}, &events.Rating{Requester: &events.Visitor{}}, &events.SLA{SlackS: events.Ptr(-0.5)},
		&events.Email{From: "a"}, &events.SingleMessage{Text: "a"}, &events.Reference{Of: events.KindAgent, Name: "\u2028", Fields: map[string]any{"f": "<"}}, &events.Conversation{},
	} {
		sameAsStandard(t, e)
	}
}

func TestNumbersAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	numbers := []float64{0, math.Copysign(0, -1), 1, -1, 1 << 53, 1<<53 + 2, 1e20, 1e21, 1e-6, 9.9e-7, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN()}
	for range 20_000 {
		numbers = append(numbers, math.Float64frombits(random.Uint64()), math.Round(random.NormFloat64()*1e6)/1000)
	}
	for _, n := range numbers {
		sameAsStandard(t, &events.Conversation{DurationS: &n})
	}
}

func TestContentIsItsOwnWhoeverElseWrites(t *testing.T) {
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			e := &events.Conversation{Subject: strings.Repeat(string(rune('a'+i)), 2000)}
			want, err := standard(e)
			if err != nil {
				t.Error(err)
			}
			before := want
			for range 2000 {
				got, err := events.EncodeContent(e)
				if err != nil || !bytes.Equal(got, want) || !bytes.Equal(before, want) {
					t.Errorf("%v: another's content: %.80s, and before %.80s", err, got, before)
					return
				}
				before = got
				if _, err := events.EncodeContent(&events.Conversation{Subject: "another"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
}

func TestOfVastContentNothingIsKept(t *testing.T) {
	encode := func(subject string) {
		if _, err := events.EncodeContent(&events.Conversation{Subject: subject}); err != nil {
			t.Fatal(err)
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // what a pool has for another processor is forgotten all the same
	held := func() uint64 {
		var m runtime.MemStats
		for range 4 { // what nobody takes is forgotten after two collections
			encode("small")
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	encode(strings.Repeat("vast", 4<<20))
	if after := held(); after > before+8<<20 {
		t.Errorf("%d bytes are held after 16 MiB of content, %d before", after, before)
	}
}

// FuzzEncodeContent decodes an entity of each kind and writes it again.
func FuzzEncodeContent(f *testing.F) {
	f.Add([]byte(conversationJSON))
	f.Add([]byte(`{"id":"a","measures":{"x":1e400,"y":-0.5},"fields":null,"online":[],"at":"2026-10-01T12:00:00+01:00","agents":[{"attributes":{"n":1.50}}]}`))
	kinds := []events.Kind{
		events.KindConversation, events.KindMetric, events.KindActivity, events.KindPresence, events.KindRating, events.KindSLA, events.KindEmail, events.KindMessage, events.KindAgent,
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, kind := range kinds {
			if e, err := events.DecodeContent(kind, content); err == nil {
				sameAsStandard(t, e)
			}
		}
	})
}
