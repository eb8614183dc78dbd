package livechat_test

import (
	"fmt"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/livechat"
)

func ExampleNormalize() {
	chat := `{"type":"chat","id":"QX1","visitor_name":"Ada Brun","started_timestamp":1792922400,"rate":"rated_good"}`
	entity, err := livechat.Normalize(&events.Record{
		Vendor: "livechat", Source: "eu", Stream: "chats", Key: "QX1",
		Parts: []events.Part{{ContentType: events.ContentJSON, Body: events.Body{Bytes: []byte(chat)}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	content, err := events.EncodeContent(entity)
	fmt.Println(string(content), err)
	// Output:
	// {"id":"livechat:eu:QX1","vendor":"livechat","source":"eu","vendor_id":"QX1","channel":"chat","status":"ended","vendor_status":"chat","started_at":"2026-10-25T10:00:00Z","visitor":{"name":"Ada Brun"},"rating":{"value":"good"}} <nil>
}
