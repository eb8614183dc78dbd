package timing_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors/processortest"
	"github.com/parley-stream/parley/processors/timing"
)

var start = time.Date(2026, 10, 1, 9, 0, 0, 0, time.UTC)

// chat makes a conversation of lines such as "12 visitor hello", each with its second; "-" is no time, and agent:note a note of an agent.
func chat(lines ...string) *events.Conversation {
	c := &events.Conversation{StartedAt: start}
	for _, line := range lines {
		words := strings.SplitN(line+"  ", " ", 3)
		m := events.Message{Type: "message", Text: strings.TrimSpace(words[2])}
		if d, err := time.ParseDuration(words[0] + "s"); err == nil {
			m.At = start.Add(d)
		}
		author, kind, typed := strings.Cut(words[1], ":")
		if typed {
			m.Type = kind
		}
		if author != "unknown" {
			m.Author = &events.Author{Type: author}
		}
		c.Messages = append(c.Messages, m)
	}
	return c
}

func metrics(t testing.TB, c *events.Conversation) string {
	t.Helper()
	if err := timing.New().Enrich(c); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestItKeepsTheContractOfEnrichers(t *testing.T) {
	c := chat("0 visitor hello", "4 agent hi")
	c.Base = events.Base{ID: "v:s:1", Vendor: "v", Source: "s", VendorID: "1"}
	processortest.Enricher(t, timing.New(), []events.Entity{c})
}

func TestEveryEdgeOfTheDefinition(t *testing.T) {
	for name, c := range map[string]struct {
		chat *events.Conversation
		want string
	}{
		"question and answer": {
			chat("2 visitor hello", "14 agent hi there"),
			`{"first_response_s":14,"avg_response_s":12,"max_response_s":12,"first_reply_s":12,"avg_message_chars":6.5,"max_message_chars":8,"visitor_messages":1,"agent_messages":1}`,
		},
		"the agent speaks first": {
			chat("3 agent welcome", "10 visitor hello", "15 agent hi"),
			`{"first_response_s":3,"avg_response_s":5,"max_response_s":5,"first_reply_s":5,"avg_message_chars":4.667,"max_message_chars":7,"visitor_messages":1,"agent_messages":2}`,
		},
		"a bot greets first": {
			chat("0 system welcome", "10 visitor hello", "15 agent hi"),
			`{"first_response_s":15,"avg_response_s":5,"max_response_s":5,"first_reply_s":5,"avg_message_chars":3.5,"max_message_chars":5,"visitor_messages":1,"agent_messages":1}`,
		},
		"several questions are one wait": {
			chat("0 visitor a", "10 visitor b", "30 agent c", "31 agent d", "40 visitor e", "42 supervisor f"),
			`{"first_response_s":30,"avg_response_s":16,"max_response_s":30,"first_reply_s":30,"avg_message_chars":1,"max_message_chars":1,"visitor_messages":3,"agent_messages":3}`,
		},
		"a wait lasts over a transfer": {
			chat("0 visitor a", "5 agent:transfer moved", "6 system left", "20 agent b"),
			`{"first_response_s":20,"avg_response_s":20,"max_response_s":20,"first_reply_s":20,"avg_message_chars":1,"max_message_chars":1,"visitor_messages":1,"agent_messages":1}`,
		},
		"what is never answered is no wait": {
			chat("0 visitor a", "5 agent b", "6 visitor c"),
			`{"first_response_s":5,"avg_response_s":5,"max_response_s":5,"first_reply_s":5,"avg_message_chars":1,"max_message_chars":1,"visitor_messages":2,"agent_messages":1}`,
		},
		"a missed chat": {
			chat("0 visitor anybody there"),
			`{"avg_message_chars":13,"max_message_chars":13,"visitor_messages":1,"agent_messages":0}`,
		},
		"a note answers nobody": {
			chat("0 visitor a", "5 agent:note hm", "6 agent:internal hm"),
			`{"avg_message_chars":1,"max_message_chars":1,"visitor_messages":1,"agent_messages":0}`,
		},
		"a file answers, and has no characters": {
			chat("0 visitor abc", "5 agent:attachment"),
			`{"first_response_s":5,"avg_response_s":5,"max_response_s":5,"first_reply_s":5,"avg_message_chars":3,"max_message_chars":3,"visitor_messages":1,"agent_messages":1}`,
		},
		"of the unknown nothing counts": {
			chat("0 visitor a", "5 unknown b", "6 robot c"),
			`{"avg_message_chars":1,"max_message_chars":1,"visitor_messages":1,"agent_messages":0}`,
		},
		"only lines of the system": {chat("0 system joined"), `{"visitor_messages":0,"agent_messages":0}`},
		"no times": {
			chat("- visitor a", "- agent b"),
			`{"avg_message_chars":1,"max_message_chars":1,"visitor_messages":1,"agent_messages":1}`,
		},
		"out of order": {
			chat("8 agent b", "0 visitor a"),
			`{"first_response_s":8,"avg_response_s":8,"max_response_s":8,"first_reply_s":8,"avg_message_chars":1,"max_message_chars":1,"visitor_messages":1,"agent_messages":1}`,
		},
		"the agent before the start": {
			chat("-9 agent b", "0 visitor a", "1.25 agent c"),
			`{"avg_response_s":1.25,"max_response_s":1.25,"first_reply_s":1.25,"avg_message_chars":1,"max_message_chars":1,"visitor_messages":1,"agent_messages":2}`,
		},
		"characters, not bytes": {
			chat("0 visitor żółć👍"),
			`{"avg_message_chars":5,"max_message_chars":5,"visitor_messages":1,"agent_messages":0}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := metrics(t, c.chat)
			var names []string
			for _, pair := range strings.Split(strings.Trim(c.want, "{}"), ",") {
				names = append(names, strings.SplitAfter(pair, `":`)[0])
			}
			want := strings.TrimSuffix(c.want, "}") + `,"derived":[` + strings.ReplaceAll(strings.Join(names, ","), `":`, `"`) + "]}"
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestTheVendorsFiguresStayAndOnlyTheOthersAreDerived(t *testing.T) {
	c := chat("0 visitor a", "5 agent b")
	c.Metrics = &events.Timings{FirstResponseS: events.Ptr(99.0), VisitorMessages: events.Ptr(7), DecisionS: events.Ptr(1.0)}
	metrics(t, c)
	if *c.Metrics.FirstResponseS != 99 || *c.Metrics.VisitorMessages != 7 || *c.Metrics.DecisionS != 1 {
		t.Errorf("the vendor's figures became %+v", c.Metrics)
	}
	want := []string{"avg_response_s", "max_response_s", "first_reply_s", "avg_message_chars", "max_message_chars", "agent_messages"}
	if diff := cmp.Diff(want, c.Metrics.Derived); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOfATicketWithoutAStartTheCreationCounts(t *testing.T) {
	c := chat("5 agent b")
	c.StartedAt, c.CreatedAt = time.Time{}, start
	if got := metrics(t, c); !strings.Contains(got, `"first_response_s":5,`) {
		t.Error(got)
	}
	c = chat("5 agent b")
	c.StartedAt = time.Time{}
	if got := metrics(t, c); strings.Contains(got, "first_response_s") {
		t.Errorf("without any start: %s", got)
	}
}

func TestWithoutMessagesOrWithSomeMissingNothingIsDerived(t *testing.T) {
	if got := metrics(t, &events.Conversation{StartedAt: start}); got != "null" {
		t.Errorf("no messages: %s", got)
	}
	c := chat("0 visitor a", "5 agent b")
	c.MessageCount = events.Ptr(3)
	if got := metrics(t, c); got != "null" {
		t.Errorf("two of three messages: %s", got)
	}
}

func TestTheDocumentedChatsOfVendorsGiveTheFiguresThatAPersonCounts(t *testing.T) {
	for file, want := range map[string]string{
		"liveleader/testdata/documented": `{"first_response_s":23.55,"avg_response_s":23.55,"max_response_s":23.55,"first_reply_s":23.55,` +
			`"avg_message_chars":31.667,"max_message_chars":43,"visitor_messages":1,"agent_messages":2,`,
		"livechat/testdata/documented": `{"first_response_s":0,"avg_response_s":851,"max_response_s":851,"first_reply_s":851,` +
			`"avg_message_chars":18.667,"max_message_chars":21,"visitor_messages":1,"agent_messages":2,`,
		"liveagent/testdata/conversation": `{"first_response_s":90,"avg_response_s":90,"max_response_s":90,"first_reply_s":90,` +
			`"avg_message_chars":27,"max_message_chars":42,"visitor_messages":1,"agent_messages":1,`,
	} {
		content, err := os.ReadFile(filepath.Join("..", "normalize", file+".golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		c := processortest.Decode(t, events.KindConversation, content).(*events.Conversation)
		if got := metrics(t, c); !strings.HasPrefix(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", file, got, want)
		}
	}
}

func TestEveryTimeLiesInTheLengthThatTheVendorGives(t *testing.T) {
	// By its document LiveLeader counts from the first message to the last; LiveChat's chats end later.
	for file, whole := range map[string]bool{
		"liveleader/testdata/documented": true, "liveleader/testdata/operators": true, "liveleader/testdata/bare": true,
		"livechat/testdata/documented": false, "livechat/testdata/later": false,
	} {
		content, err := os.ReadFile(filepath.Join("..", "normalize", file+".golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		c := processortest.Decode(t, events.KindConversation, content).(*events.Conversation)
		metrics(t, c)
		length := *c.DurationS
		if span := c.Messages[len(c.Messages)-1].At.Sub(c.Messages[0].At).Seconds(); span >= length+1 || whole && span < length {
			t.Errorf("%s: the messages take %v s, the chat %v s", file, span, length)
		}
		for name, figure := range map[string]*float64{"first_response_s": c.Metrics.FirstResponseS, "max_response_s": c.Metrics.MaxResponseS, "first_reply_s": c.Metrics.FirstReplyS} {
			if figure != nil && *figure >= length+1 { // some lengths are whole seconds
				t.Errorf("%s: %s is %v s, the chat %v s", file, name, *figure, length)
			}
		}
	}
}

func TestNoConversationGivesAFigureThatCannotBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &events.Conversation{StartedAt: start}
		types := []string{"visitor", "agent", "supervisor", "system", ""}
		for range rapid.IntRange(0, 12).Draw(t, "messages") {
			c.Messages = append(c.Messages, events.Message{
				At:     time.Unix(rapid.Int64Range(-1<<35, 1<<37).Draw(t, "at"), 0).UTC(),
				Author: &events.Author{Type: rapid.SampledFrom(types).Draw(t, "author")},
				Type:   rapid.SampledFrom([]string{"", "message", "note", "file"}).Draw(t, "type"),
				Text:   rapid.String().Draw(t, "text"),
			})
		}
		if err := timing.New().Enrich(c); err != nil {
			t.Fatal(err)
		}
		m := c.Metrics
		if m == nil {
			return
		}
		for name, figure := range map[string]*float64{
			"first_response_s": m.FirstResponseS, "avg_response_s": m.AvgResponseS, "max_response_s": m.MaxResponseS, "first_reply_s": m.FirstReplyS,
			"avg_message_chars": m.AvgMessageChars, "max_message_chars": m.MaxMessageChars,
		} {
			if figure != nil && *figure < 0 {
				t.Errorf("%s is %v", name, *figure)
			}
		}
		if m.AvgResponseS != nil && (*m.AvgResponseS > *m.MaxResponseS+0.001 || *m.FirstReplyS > *m.MaxResponseS) {
			t.Errorf("average %v, first %v, most %v", *m.AvgResponseS, *m.FirstReplyS, *m.MaxResponseS)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
	})
}
