package events_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-stream/parley/events"
)

func ExampleToken() {
	fmt.Println(events.Token("PK3F"))
	fmt.Println(events.Token("agents/12"))
	fmt.Println(events.Token("a.*.>"))
	fmt.Println(events.Token(""))
	// Output:
	// PK3F
	// agents=2F12
	// a=2E=2A=2E=3E
	// ==
}

func ExampleUntoken() {
	fmt.Println(events.Untoken("agents=2F12"))
	fmt.Println(events.Untoken("agents/12"))
	// Output:
	// agents/12 true
	//  false
}

func ExampleFilterSubjects() {
	subjects, _ := events.FilterSubjects([]string{"conversation", "conversation.liveagent.*", "*.livechat"})
	fmt.Println(subjects)
	_, err := events.FilterSubjects([]string{"tag.livechat.support.agents/12"})
	fmt.Println(err)
	// Output:
	// [parley.events.conversation.> parley.events.*.livechat.>]
	// filter "tag.livechat.support.agents/12": "agents/12" is no entity; want the id as "agents=2F12"
}

func ExamplePermanent() {
	err := fmt.Errorf("list conversations of sales: %w", events.Permanent(errors.New("the key is revoked")))
	fmt.Println(err)
	fmt.Println(events.IsPermanent(err))
	// Output:
	// list conversations of sales: the key is revoked
	// true
}

func ExampleRetryAfter() {
	err := fmt.Errorf("list conversations of sales: %w", events.RetryAfter(30*time.Second, errors.New("429 Too Many Requests")))
	fmt.Println(err)
	fmt.Println(events.RetryDelay(err))
	// Output:
	// list conversations of sales: 429 Too Many Requests
	// 30s true
}

func ExampleNewEvent() {
	record := &events.Record{Vendor: "livechat", Source: "support", Stream: "chats", Key: "PK3F"}
	chat := &events.Conversation{Base: events.NewBase(record), Channel: "chat", Status: "ended", EndedAt: time.Date(2026, 10, 27, 15, 4, 5, 0, time.UTC)}
	content, err := events.EncodeContent(chat)
	if err != nil {
		fmt.Println(err)
		return
	}
	e := events.NewEvent(chat, record, 1, events.Digest(content), content)
	fmt.Println(e.Type, e.Subject, e.Time.Format(time.RFC3339))
	fmt.Println(e.ID)
	// Output:
	// dev.parley.conversation.created PK3F 2026-10-27T15:04:05Z
	// conversation.livechat.support.PK3F.1
}

func ExampleEvent_AppendStructured() {
	e := events.Event{
		ID: "tag.livechat.support.7.1", Source: "/livechat/support", Type: "dev.parley.tag.created", Subject: "7",
		DataContentType: events.ContentJSON, Revision: 1, Data: []byte(`{"id":"livechat:support:7"}`),
	}
	fmt.Println(string(e.AppendStructured(nil)))
	// Output:
	// {"specversion":"1.0","id":"tag.livechat.support.7.1","source":"/livechat/support","type":"dev.parley.tag.created","subject":"7","datacontenttype":"application/json","revision":1,"data":{"id":"livechat:support:7"}}
}

func ExampleEvent_SetHeaders() {
	e := events.Event{ID: "1", Source: "/liveagent/support", Type: "dev.parley.tag.created", Subject: "Grüße, 100%"}
	header := map[string][]string{}
	e.SetHeaders(header)
	fmt.Println(header["ce-subject"][0])
	back, err := events.FromMessage(header, nil)
	fmt.Println(back.Subject, err)
	// Output:
	// Gr%C3%BC%C3%9Fe,%20100%25
	// Grüße, 100% <nil>
}

func ExampleReference() {
	agent := &events.Reference{
		Of: events.KindAgent, Base: events.NewBase(&events.Record{Vendor: "liveagent", Source: "support", Key: "agents/12"}),
		Name: "Ada", Fields: map[string]any{"email": "ada@vendor.example"},
	}
	content, err := events.EncodeContent(agent)
	fmt.Println(string(content), err)
	// Output:
	// {"id":"liveagent:support:agents/12","vendor":"liveagent","source":"support","vendor_id":"agents/12","name":"Ada","email":"ada@vendor.example"} <nil>
}

func ExampleEncodeMsgpack() {
	b, _ := events.EncodeMsgpack([]byte(`{"of":"agent","measures":{"slots":3}}`))
	fmt.Printf("%d bytes\n", len(b))
	content, err := events.DecodeMsgpack(b)
	fmt.Println(string(content), err)
	// Output:
	// 27 bytes
	// {"measures":{"slots":3},"of":"agent"} <nil>
}
