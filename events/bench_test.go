package events_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/parley-stream/parley/events"
)

// benchEvent is a conversation of 10 messages, about 2 KB of JSON.
func benchEvent(b *testing.B) events.Event {
	b.Helper()
	c := conversation()
	for i := range 10 {
		c.Messages = append(c.Messages, events.Message{
			ID: string(rune('0' + i)), At: day(1), Author: &events.Author{Type: events.AuthorVisitor, Name: "Ada"}, Type: "message",
			Text: strings.Repeat("words and more ", 6),
		})
	}
	content, err := events.EncodeContent(c)
	if err != nil {
		b.Fatal(err)
	}
	r := record()
	r.Stream = "chats"
	return events.NewEvent(c, r, 3, events.Digest(content), content)
}

func sdkOf(b *testing.B, e events.Event) cloudevents.Event {
	b.Helper()
	out, err := e.CloudEvent()
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// BenchmarkEncodeContent gives the time for the content of a conversation beside that of encoding/json.
func BenchmarkEncodeContent(b *testing.B) {
	var c events.Conversation
	if err := json.Unmarshal(benchEvent(b).Data, &c); err != nil {
		b.Fatal(err)
	}
	for name, encode := range map[string]func(events.Entity) ([]byte, error){"own": events.EncodeContent, "encoding/json": standard} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if content, err := encode(&c); err != nil {
					b.Fatal(err)
				} else {
					b.SetBytes(int64(len(content)))
				}
			}
		})
	}
}

func BenchmarkSetHeaders(b *testing.B) {
	e := benchEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		e.SetHeaders(make(map[string][]string, 16))
	}
}

func BenchmarkFromMessage(b *testing.B) {
	e := benchEvent(b)
	header := map[string][]string{}
	e.SetHeaders(header)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.FromMessage(header, e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendStructured(b *testing.B) {
	e := benchEvent(b)
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(e.AppendStructured(nil))))
	for b.Loop() {
		buf = e.AppendStructured(buf[:0])
	}
}

func BenchmarkAppendStructuredSDK(b *testing.B) {
	e := sdkOf(b, benchEvent(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.MarshalJSON(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseStructured(b *testing.B) {
	e := benchEvent(b)
	line := e.AppendStructured(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := events.ParseStructured(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseStructuredSDK(b *testing.B) {
	e := benchEvent(b)
	line := e.AppendStructured(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		var out cloudevents.Event
		if err := json.Unmarshal(line, &out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeMsgpack(b *testing.B) {
	e := benchEvent(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Data)))
	for b.Loop() {
		if _, err := events.EncodeMsgpack(e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeMsgpack(b *testing.B) {
	e := benchEvent(b)
	data, err := events.EncodeMsgpack(e.Data)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := events.DecodeMsgpack(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	r := record()
	r.Parts[0].Body.Bytes = make([]byte, 2<<10)
	data, err := events.EncodeRecord(r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.DecodeRecord(data); err != nil {
			b.Fatal(err)
		}
	}
}

// The SDK's NATS module percent-encodes nothing; its HTTP binding has the same rules as ours.
func BenchmarkSetHeadersSDK(b *testing.B) {
	e := sdkOf(b, benchEvent(b))
	b.ReportAllocs()
	for b.Loop() {
		request := &http.Request{Header: make(http.Header, 16)}
		if err := cehttp.WriteRequest(b.Context(), binding.ToMessage(&e), request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromMessageSDK(b *testing.B) {
	e := sdkOf(b, benchEvent(b))
	header := make(http.Header)
	if err := cehttp.WriteRequest(b.Context(), binding.ToMessage(&e), &http.Request{Header: header}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m := cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(e.Data())))
		if _, err := binding.ToEvent(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
