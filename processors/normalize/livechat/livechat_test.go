package livechat_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/normalize/livechat"
	"github.com/parley-stream/parley/processors/processortest"
)

func record(key, body string) *events.Record {
	return processortest.Record("livechat", "chats", key, "Europe/Berlin", "", events.ContentJSON, body)
}

// chat normalises a chat "a" of some members.
func chat(t testing.TB, members string) *events.Conversation {
	t.Helper()
	r := record("a", `{"id":"a",`+members+`}`)
	entity, err := livechat.Normalize(r)
	if err != nil {
		t.Fatalf("%s: %v", members, err)
	}
	processortest.Check(t, livechat.Normalize, r, entity)
	return entity.(*events.Conversation)
}

func TestDocumentedChatsBecomeConversations(t *testing.T) {
	for name, key := range map[string]string{
		"documented": "QX70AB12CD", "missed": "QX70AB12CE", "later": "QX70AB12CF",
	} {
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			processortest.Golden(t, livechat.Normalize, name, record(key, string(body)))
		})
	}
}

func TestMalformedChatsAreRefusedByName(t *testing.T) {
	for name, c := range map[string]struct{ key, body, want string }{
		"no id":             {"", `{"type":"chat"}`, "id"},
		"id null":           {"", `{"id":null}`, "id"},
		"id empty":          {"", `{"id":""}`, "id"},
		"id an object":      {"", `{"id":{"a":1}}`, "id"},
		"another id":        {"a", `{"id":"b"}`, "id"},
		"no JSON":           {"a", `{"id":"a", x}`, "invalid"},
		"cut":               {"a", `{"id":"a","text":"x`, "unexpected EOF"},
		"two objects":       {"a", `{"id":"a"}{"id":"a"}`, "behind"},
		"a list":            {"", `[]`, "array"},
		"null":              {"", `null`, "null"},
		"a text":            {"", `"a"`, "string"},
		"nothing":           {"", ``, "EOF"},
		"nested too deep":   {"a", `{"id":"a","x":` + strings.Repeat("[", 1<<20), "depth"},
		"nested deep":       {"a", `{"id":"a","x":` + strings.Repeat("[", 501) + strings.Repeat("]", 501) + "}", "deeper"},
		"a comment":         {"a", "{\"id\":\"a\", // it\n\"x\":1}", "invalid"},
		"an unquoted value": {"a", `{"id":"a","engagement":immediate_start}`, "invalid"},
	} {
		t.Run(name, func(t *testing.T) { processortest.Malformed(t, livechat.Normalize, record(c.key, c.body), c.want) })
	}
	big := record("a", `{"id":"a"`)
	big.Parts[0].Body.Size, big.Parts[0].Body.SHA256 = 40<<20, "00"
	processortest.Malformed(t, livechat.Normalize, big, "41943040 bytes")
}

func TestANumberIsAnIDToo(t *testing.T) {
	r := record("17", `{"id":17}`)
	if _, err := livechat.Normalize(r); err != nil {
		t.Error(err)
	}
}

func TestStatus(t *testing.T) {
	for members, want := range map[string][2]string{
		`"type":"chat"`: {"ended", "chat"}, `"type":"missed_chat"`: {"missed", "missed_chat"}, `"type":"ticket"`: {"", "ticket"},
		`"type":null`: {"", ""}, `"type":"chat","pending":true`: {"open", "chat"}, `"type":"chat","pending":false`: {"ended", "chat"},
	} {
		if c := chat(t, members); c.Status != want[0] || c.VendorStatus != want[1] {
			t.Errorf("%s: status %q, vendor_status %q; want %q", members, c.Status, c.VendorStatus, want)
		}
	}
}

func TestTimes(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	cases := map[string]struct {
		members string
		want    time.Time
		stays   string // the attributes
	}{
		"the epoch wins":               {`"started_timestamp":1792922400,"started":"Mon, 01/01/01 01:01:01 am"`, at("2026-10-25T10:00:00Z"), `{"started":"Mon, 01/01/01 01:01:01 am"}`},
		"an epoch in quotes":           {`"started_timestamp":"1792922400"`, at("2026-10-25T10:00:00Z"), `null`},
		"an epoch with a fraction":     {`"started_timestamp":1792922400.25`, at("2026-10-25T10:00:00.25Z"), `null`},
		"the string alone":             {`"started":"Sun, 10/25/26 11:00:00 am"`, at("2026-10-25T10:00:00Z"), `{"started":"Sun, 10/25/26 11:00:00 am"}`},
		"a summer's string":            {`"started":"Fri, 07/24/26 12:30:05 PM"`, at("2026-07-24T10:30:05Z"), `{"started":"Fri, 07/24/26 12:30:05 PM"}`},
		"an hour that comes twice":     {`"started":"Sun, 10/25/26 02:30:00 am"`, at("2026-10-25T00:30:00Z"), `{"started":"Sun, 10/25/26 02:30:00 am"}`},
		"an hour that never comes":     {`"started":"Sun, 03/29/26 02:30:00 am"`, time.Time{}, `{"started":"Sun, 03/29/26 02:30:00 am"}`},
		"just before it":               {`"started":"Sun, 03/29/26 01:59:59 am"`, at("2026-03-29T00:59:59Z"), `{"started":"Sun, 03/29/26 01:59:59 am"}`},
		"just after it":                {`"started":"Sun, 03/29/26 03:00:00 am"`, at("2026-03-29T01:00:00Z"), `{"started":"Sun, 03/29/26 03:00:00 am"}`},
		"a bad epoch, a good string":   {`"started_timestamp":"soon","started":"Sun, 10/25/26 11:00:00 am"`, at("2026-10-25T10:00:00Z"), `{"started":"Sun, 10/25/26 11:00:00 am","started_timestamp":"soon"}`},
		"milliseconds are no seconds":  {`"started_timestamp":1792922400000`, time.Time{}, `{"started_timestamp":1792922400000}`},
		"zero is no time":              {`"started_timestamp":0`, time.Time{}, `{"started_timestamp":0}`},
		"negative":                     {`"started_timestamp":-5`, time.Time{}, `{"started_timestamp":-5}`},
		"beyond all numbers":           {`"started_timestamp":1e999`, time.Time{}, `{"started_timestamp":1e999}`},
		"a hexadecimal":                {`"started_timestamp":"0x10"`, time.Time{}, `{"started_timestamp":"0x10"}`},
		"a list":                       {`"started_timestamp":[1]`, time.Time{}, `{"started_timestamp":[1]}`},
		"another form":                 {`"started":"25.10.2026 11:00"`, time.Time{}, `{"started":"25.10.2026 11:00"}`},
		"no such day":                  {`"started":"Mon, 02/30/26 11:00:00 am"`, time.Time{}, `{"started":"Mon, 02/30/26 11:00:00 am"}`},
		"with an offset":               {`"type":"missed_chat","time":"2026-10-25T11:00:00+02:00"`, at("2026-10-25T09:00:00Z"), `{"time":"2026-10-25T11:00:00+02:00"}`},
		"a missed chat's time":         {`"type":"missed_chat","time":"2026-10-25 11:00:00"`, at("2026-10-25T10:00:00Z"), `{"time":"2026-10-25 11:00:00"}`},
		"a missed chat's epoch":        {`"type":"missed_chat","time":1792922400`, at("2026-10-25T10:00:00Z"), `null`},
		"a year that can't be written": {`"started":"0000-01-01T00:00:00+23:00"`, time.Time{}, `{"started":"0000-01-01T00:00:00+23:00"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := chat(t, c.members)
			attributes, err := json.Marshal(got.Attributes)
			if err != nil || !got.StartedAt.Equal(c.want) || string(attributes) != c.stays {
				t.Errorf("started_at %v, attributes %s; want %v, %s", got.StartedAt, attributes, c.want, c.stays)
			}
		})
	}
	unzoned := record("a", `{"id":"a","started":"Sun, 10/25/26 11:00:00 am"}`)
	for _, unzoned.Timezone = range []string{"", "Mars/Olympus"} {
		entity, err := livechat.Normalize(unzoned)
		if err != nil || !entity.(*events.Conversation).StartedAt.IsZero() || entity.Common().Attributes["started"] == nil {
			t.Errorf("zone %q: %+v, %v; want no time, and the text kept", unzoned.Timezone, entity, err)
		}
	}
}

// TestOddValuesStayUnderTheirNames gives content, without what is the same for all.
func TestOddValuesStayUnderTheirNames(t *testing.T) {
	cases := map[string]struct{ members, want string }{
		"unknown members":            {`"skill":{"id":1},"x":[],"empty":"","none":null`, `{"attributes":{"skill":{"id":1},"x":[]}}`},
		"numbers in quotes":          {`"duration":"12.5","group":["3",4]`, `{"duration_s":12.5,"groups":["3","4"]}`},
		"a group alone":              {`"group":0`, `{"groups":["0"]}`},
		"odd duration":               {`"duration":"long"`, `{"attributes":{"duration":"long"}}`},
		"negative duration":          {`"duration":-1`, `{"attributes":{"duration":-1}}`},
		"a zero duration":            {`"duration":0`, `{"duration_s":0}`},
		"null for lists":             {`"agents":null,"messages":null,"goals":null,"tags":[null],"group":[]`, `{}`},
		"no messages":                {`"messages":[]`, `{"message_count":0}`},
		"lists of another type":      {`"agents":"Kim","tags":{"a":1},"messages":"none","goals":7`, `{"attributes":{"agents":"Kim","goals":7,"messages":"none","tags":{"a":1}}}`},
		"odd elements":               {`"agents":["Kim",{"email":"k@x.example"}],"tags":["a",{"b":1}],"messages":[5]`, `{"agents":[{"email":"k@x.example","role":"agent"}],"message_count":0,"tags":["a"],"attributes":{"agents":["Kim"],"messages":[5],"tags":[{"b":1}]}}`},
		"an unknown rate":            {`"rate":"rated"`, `{"attributes":{"rate":"rated"}}`},
		"ratings":                    {`"rate":"rated_bad"`, `{"rating":{"value":"bad"}}`},
		"a variable that repeats":    {`"custom_variables":[{"key":"k","value":"1"},{"key":"l","value":2},{"key":"k","value":"3"}]`, `{"custom_fields":{"k":["1","3"],"l":2}}`},
		"variables without a value":  {`"custom_variables":[{"key":"k","value":""},{"value":"v"},"w"]`, `{"attributes":{"custom_variables":[{"key":"k","value":""},{"value":"v"},"w"]}}`},
		"a variable that has more":   {`"custom_variables":[{"key":"k","value":"1","scope":"page"}]`, `{"custom_fields":{"k":"1"},"attributes":{"custom_variables":[{"key":"k","scope":"page","value":"1"}]}}`},
		"integration variables":      {`"integration_variables":[{"key":"k","value":"1"}]`, `{"attributes":{"integration_variables":[{"key":"k","value":"1"}]}}`},
		"a survey of choices":        {`"prechat_survey":[{"key":"Topics","id":"9","value":["a","b"]},{}]`, `{"surveys":[{"context":"entry","responses":[{"id":"9","question":"Topics"}]}],"attributes":{"prechat_survey":[{"id":"9","key":"Topics","value":["a","b"]}]}}`},
		"a visitor told twice":       {`"visitor_id":"S1","visitor_name":"Ada","visitor_ip":"198.51.100.7","visitor":{"id":"S1","name":"Ada Brun","email":"a@x.example","country_code":"NO"}`, `{"visitor":{"id":"S1","name":"Ada Brun","email":"a@x.example","ip":"198.51.100.7","attributes":{"country_code":"NO"}},"attributes":{"visitor_name":"Ada"}}`},
		"an odd visitor":             {`"visitor":"Ada"`, `{"attributes":{"visitor":"Ada"}}`},
		"an e-mail that is nobody's": {`"type":"chat","email":"a@x.example"`, `{"status":"ended","vendor_status":"chat","attributes":{"email":"a@x.example"}}`},
		"an unknown author": {
			`"messages":[{"text":"x","user_type":"robot","timestamp":true,"event_type":"typed"}]`,
			`{"messages":[{"type":"message","text":"x","attributes":{"event_type":"typed","timestamp":true,"user_type":"robot"}}],"message_count":1}`,
		},
		"a page": {`"chat_start_url":"https://x.example/a?utm_source=b","referrer":"https://y.example/"`, `{"page":{"url":"https://x.example/a?utm_source=b","referrer":"https://y.example/"}}`},
		"a missed chat with messages": {
			`"type":"missed_chat","message":"hello","messages":[{"text":"x","user_type":"visitor"}]`,
			`{"status":"missed","vendor_status":"missed_chat","messages":[{"author":{"type":"visitor"},"type":"message","text":"x"}],"message_count":1,"attributes":{"message":"hello"}}`,
		},
		"bytes that are no text": {"\"tags\":[\"a\xff\"]", `{"tags":["a` + "\ufffd" + `"],"attributes":{"invalid_utf8":true}}`},
		"half a pair":            {`"tags":["\ud83d\ude00 \\ud83d \ud83d"]`, `{"tags":["😀 \\ud83d ` + "\ufffd" + `"],"attributes":{"invalid_utf8":true}}`},
		"pairs and NUL":          {`"tags":["\uD83D\uDE00\u0000\\"]`, `{"tags":["😀\u0000\\"]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			content, err := events.EncodeContent(chat(t, c.members))
			if err != nil {
				t.Fatal(err)
			}
			var got, want map[string]any
			if err := json.Unmarshal(content, &got); err != nil {
				t.Fatal(err)
			}
			for _, common := range []string{"id", "vendor", "source", "vendor_id", "channel"} {
				delete(got, common)
			}
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\nwant %s", content, c.want)
			}
		})
	}
}

func TestEventsHoldTheMessages(t *testing.T) {
	message := func(text string, more string) string {
		return fmt.Sprintf(`{"text":%q,"timestamp":5,"user_type":"visitor"%s}`, text, more)
	}
	event := func(text string) string { return message(text, `,"type":"message"`) }
	cases := map[string]struct {
		members     string
		texts, stay string
		count       int
	}{
		"events alone":                 {`"events":[` + event("a") + `]`, "a", "null", 1},
		"all messages are events":      {`"messages":[` + message("a", "") + `,` + message("b", "") + `],"events":[` + event("a") + `,` + event("b") + `]`, "a b", "null", 2},
		"events have more":             {`"messages":[` + message("b", "") + `],"events":[{"type":"event","text":"closed"},` + event("b") + `]`, "closed b", "null", 1},
		"a message is no event":        {`"messages":[` + message("a", "") + `,` + message("c", "") + `],"events":[` + event("a") + `]`, "a", `[{"text":"c","timestamp":5,"user_type":"visitor"}]`, 1},
		"a message says more":          {`"messages":[` + message("a", `,"mood":"good"`) + `],"events":[` + event("a") + `]`, "a", `[{"mood":"good","text":"a","timestamp":5,"user_type":"visitor"}]`, 1},
		"twice the same":               {`"messages":[` + message("a", "") + `,` + message("a", "") + `],"events":[` + event("a") + `]`, "a", `[{"text":"a","timestamp":5,"user_type":"visitor"}]`, 1},
		"no events":                    {`"messages":[` + message("a", "") + `],"events":[]`, "a", "null", 1},
		"null events":                  {`"messages":[` + message("a", "") + `],"events":null`, "a", "null", 1},
		"events that are no list stay": {`"messages":[` + message("a", "") + `],"events":"x"`, "a", "null", 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := chat(t, c.members)
			var texts []string
			for _, m := range got.Messages {
				texts = append(texts, m.Text)
			}
			stay, err := json.Marshal(got.Attributes["messages"])
			if err != nil || strings.Join(texts, " ") != c.texts || string(stay) != c.stay || *got.MessageCount != c.count {
				t.Errorf("messages %q, %d counted, staying %s; want %q, %d, %s", texts, *got.MessageCount, stay, c.texts, c.count, c.stay)
			}
		})
	}
}

func FuzzNormalize(f *testing.F) {
	for _, name := range []string{"documented", "missed", "later"} {
		body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"id":"a","started":"Sun, 10/25/26 02:30:00 am","messages":[null,{}],"events":[{"text":"\ud800"}]}`))
	f.Add([]byte(`{"id":7,"custom_variables":[{"key":"k","value":[1e999]}],"group":1,"started_timestamp":"1e9"}`))
	processortest.Fuzz(f, livechat.Normalize, func(body []byte) *events.Record {
		var id struct {
			ID json.RawMessage `json:"id"`
		}
		_ = json.Unmarshal(body, &id)
		return record(events.LiveChatKey(id.ID), string(body))
	})
}

// FuzzTimes looks for a printed time that is read as an instant at which the zone's clocks show another.
func FuzzTimes(f *testing.F) {
	f.Add("Sun, 10/25/26 02:30:00 am", "Europe/Berlin")
	f.Add("Sun, 03/29/26 02:30:00 am", "Europe/Berlin")
	f.Add("Sun, 11/01/26 01:30:00 am", "America/Los_Angeles")
	f.Add("Sun, 04/05/26 01:45:00 am", "Australia/Lord_Howe")
	f.Add("2026-10-25 02:30:00", "Africa/Casablanca")
	f.Fuzz(func(t *testing.T, text, zone string) {
		body, err := json.Marshal(map[string]string{"id": "a", "started": text})
		if err != nil {
			t.Fatal(err)
		}
		r := record("a", string(body))
		r.Timezone = zone
		entity, err := livechat.Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		processortest.Check(t, livechat.Normalize, r, entity)
		loc, err := time.LoadLocation(zone)
		wall, parseErr := time.Parse("Mon, 1/2/06 3:04:05 pm", strings.ToLower(strings.TrimSpace(text)))
		got := entity.(*events.Conversation).StartedAt
		if err != nil || zone == "" || parseErr != nil || got.IsZero() {
			return
		}
		if shown := got.In(loc).Format(time.DateTime); shown != wall.Format(time.DateTime) {
			t.Errorf("%q in %s is read as %s, when clocks showed %s", text, zone, got, shown)
		}
	})
}
