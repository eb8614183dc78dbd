package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/sinks"
)

const (
	structuredType = "application/cloudevents+json; charset=utf-8"
	batchType      = "application/cloudevents-batch+json; charset=utf-8"
)

// encode makes the header and body of a request, its signature apart.
func (m mode) encode(items []sinks.Item) (http.Header, []byte) {
	h := make(http.Header, 24)
	h["User-Agent"] = []string{"parley"}
	switch m {
	case batch:
		h["Content-Type"] = []string{batchType}
		body := []byte{'['}
		for i := range items {
			if i > 0 {
				body = append(body, ',')
			}
			body = appendJSON(body, items[i].Event)
		}
		return h, append(body, ']')
	case structured:
		h["Content-Type"] = []string{structuredType}
		trace(h, &items[0].Event)
		return h, appendJSON(make([]byte, 0, len(items[0].Event.Data)+1024), items[0].Event)
	default:
		e := items[0].Event
		content := e.DataContentType
		e.DataContentType = ""
		e.SetHeaders(h)
		if content != "" {
			h["Content-Type"] = []string{headerValue(content)}
		}
		trace(h, &e)
		return h, e.Data
	}
}

// appendJSON appends an event in structured mode. Data in msgpack becomes JSON, so that the reader needs to know nothing else; what
// is not the msgpack that we write goes as it is.
func appendJSON(dst []byte, e events.Event) []byte {
	if e.DataContentType == events.ContentMsgpack {
		if data, err := events.DecodeMsgpack(e.Data); err == nil {
			e.Data, e.DataContentType = data, events.ContentJSON
		}
	}
	return e.AppendStructured(dst)
}

// trace passes the trace on under the name that HTTP servers know it by.
func trace(h http.Header, e *events.Event) {
	if e.TraceParent != "" {
		h["Traceparent"] = []string{headerValue(e.TraceParent)}
	}
}

// headerValue leaves out what would end a header.
func headerValue(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

// messageID names what a request delivers, the same in every attempt.
func messageID(items []sinks.Item) string {
	hash := sha256.New()
	for i := range items {
		hash.Write([]byte(items[i].Event.ID))
		if len(items) > 1 {
			hash.Write([]byte{'\n'})
		}
	}
	var sum [sha256.Size]byte
	return "msg_" + hex.EncodeToString(hash.Sum(sum[:0])[:16])
}

// sign sets the headers of Standard Webhooks: one signature for each key.
func sign(h http.Header, keys [][]byte, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h["Webhook-Id"], h["Webhook-Timestamp"] = []string{id}, []string{timestamp}
	if len(keys) == 0 {
		return
	}
	signatures := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h["Webhook-Signature"] = []string{strings.Join(signatures, " ")}
}
