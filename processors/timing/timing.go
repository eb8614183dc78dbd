// Package timing derives a conversation's metrics from its messages, where the vendor gives none, by one definition for all vendors.
//
// What is said counts: messages of the types message, mixed_message, attachment, file and voice, and those without any type. Notes, transfers, quoted
// text, system lines and what else a vendor lists among the messages do not. The visitor's messages are those whose author is
// the visitor, the agents' those of agents and supervisors; of an author who is neither, or unknown, nothing counts.
// Messages are taken in the order of their times; those at the same time keep the vendor's.
//
//   - first_response_s: from the start of the conversation (started_at, else created_at) to the first message of an agent.
//   - first_reply_s: from the first message of the visitor to the first message of an agent after it.
//   - avg_response_s, max_response_s: over the visitor's waits. A wait begins with a message of the visitor when no other wait is running, and ends
//     with the next message of an agent. What is never answered is no wait that ended, and does not count.
//   - avg_message_chars, max_message_chars: the characters (Unicode code points) of the texts, visitor's and agents' together.
//   - visitor_messages, agent_messages: how many there are, 0 included.
//   - decision_s is the vendor's alone: messages do not tell when an invitation was sent.
//
// At the edges:
//
//   - A bot or the system greets first: its author is the system, and it answers nobody.
//   - An agent speaks first: that is his first response, and no reply; the visitor's waits begin when the visitor speaks.
//   - Several messages of the visitor before an answer are one wait, from the first of them.
//   - A transfer changes nothing: a wait goes on until any agent speaks.
//   - A missed chat has counts and characters, and no times.
//   - A ticket's nights count: times are not office hours.
//   - Messages without a time are counted, and have no part in times. A first message of an agent that lies before the start gives no
//     first_response_s.
//   - Where message_count says that there are more messages than are here, nothing is derived.
//
// # Config
//
// None.
//
// # Delivery
//
// The vendor's figures stay. metrics.derived lists the derived ones, in the order of the fields. Times have milliseconds,
// averages three decimals. Texts are counted as they are at this point: after HTML was taken out, before privacy masks.
//
// # Limits
//
// Conversations alone, and only those with messages. No vendor's document has a conversation with both its messages and one of these figures, so
// that none can be compared. CoBrowser.net gives figures without messages, and the one document that defines them (cobrowser-csv.txt); the
// definitions here are its own, but for the first response, which it counts from when an agent accepted: no vendor that gives messages tells that.
// LiveLeader and LiveChat give messages and the length of the chat, in which every time lies. LiveChat's and LiveAgent's reports have
// averages of days (first_response_time, response_time; newAnswerAvgTime, chatPickupAvgTime), of which no document says from what to what they
// are counted: their metric events stand beside these, and may differ.
package timing

import (
	"cmp"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/processors"
)

type enricher struct{}

// New makes the enricher.
func New() processors.Enricher { return enricher{} }

// Name implements processors.Enricher.
func (enricher) Name() string { return "timing" }

// Enrich implements processors.Enricher.
func (enricher) Enrich(e events.Entity) error {
	c, ok := e.(*events.Conversation)
	if !ok || len(c.Messages) == 0 || c.MessageCount != nil && *c.MessageCount > len(c.Messages) {
		return nil
	}
	if c.Metrics == nil {
		c.Metrics = &events.Timings{}
	}
	d := derivation{into: c.Metrics, names: make([]string, 0, 8), figures: make([]float64, 0, 6), numbers: make([]int, 0, 2)}
	d.times(c)
	d.lengths(c.Messages)
	d.counts(c.Messages)
	switch {
	case len(d.names) == 0:
	case c.Metrics.Derived == nil:
		c.Metrics.Derived = d.names
	default:
		c.Metrics.Derived = append(c.Metrics.Derived, d.names...)
	}
	return nil
}

type derivation struct {
	into  *events.Timings
	names []string
	// figures and numbers are where the derived ones lie, side by side.
	figures []float64
	numbers []int
}

func (d *derivation) set(name string, field **float64, value float64) {
	if *field == nil {
		d.figures = append(d.figures, math.Round(value*1000)/1000)
		*field = &d.figures[len(d.figures)-1]
		d.names = append(d.names, name)
	}
}

func (d *derivation) count(name string, field **int, value int) {
	if *field == nil {
		d.numbers = append(d.numbers, value)
		*field = &d.numbers[len(d.numbers)-1]
		d.names = append(d.names, name)
	}
}

func (d *derivation) times(c *events.Conversation) {
	turns := turnsOf(c.Messages)
	var asked, waiting time.Time
	var reply time.Duration
	waits := make([]time.Duration, 0, len(turns)/2)
	var response time.Time
	for _, t := range turns {
		switch {
		case !t.agent && asked.IsZero():
			asked, waiting = t.at, t.at
		case !t.agent && waiting.IsZero():
			waiting = t.at
		case t.agent:
			if response.IsZero() {
				response = t.at
			}
			if waiting.IsZero() {
				continue
			}
			if len(waits) == 0 {
				reply = t.at.Sub(asked)
			}
			waits, waiting = append(waits, t.at.Sub(waiting)), time.Time{}
		}
	}
	start := c.StartedAt
	if start.IsZero() {
		start = c.CreatedAt
	}
	if !start.IsZero() && !response.IsZero() && !response.Before(start) {
		d.set("first_response_s", &d.into.FirstResponseS, response.Sub(start).Seconds())
	}
	if len(waits) == 0 {
		return
	}
	var sum float64 // of durations the sum of many could overflow
	for _, w := range waits {
		sum += w.Seconds()
	}
	d.set("avg_response_s", &d.into.AvgResponseS, sum/float64(len(waits)))
	d.set("max_response_s", &d.into.MaxResponseS, slices.Max(waits).Seconds())
	d.set("first_reply_s", &d.into.FirstReplyS, reply.Seconds())
}

// turn is a message that was said, with its time.
type turn struct {
	at    time.Time
	agent bool
}

func turnsOf(messages []events.Message) []turn {
	turns := make([]turn, 0, len(messages))
	sorted := true
	for i := range messages {
		m := &messages[i]
		visitor, agent := said(m)
		if m.At.IsZero() || !visitor && !agent {
			continue
		}
		sorted = sorted && (len(turns) == 0 || !m.At.Before(turns[len(turns)-1].at))
		turns = append(turns, turn{m.At, agent})
	}
	if !sorted {
		slices.SortStableFunc(turns, func(a, b turn) int { return a.at.Compare(b.at) })
	}
	return turns
}

// said tells whose words a message is; neither's when it is no words.
func said(m *events.Message) (visitor, agent bool) {
	switch cmp.Or(m.Type, m.VendorType) {
	case "", "message", "mixed_message", "attachment", "file", "voice":
	default:
		return false, false
	}
	if m.Author == nil {
		return false, false
	}
	switch m.Author.Type {
	case events.AuthorVisitor:
		return true, false
	case events.AuthorAgent, events.AuthorSupervisor:
		return false, true
	}
	return false, false
}

func (d *derivation) lengths(messages []events.Message) {
	total, most, texts := 0, 0, 0
	for i := range messages {
		m := &messages[i]
		if visitor, agent := said(m); !visitor && !agent || m.Text == "" {
			continue
		}
		n := utf8.RuneCountInString(m.Text)
		total, most, texts = total+n, max(most, n), texts+1
	}
	if texts > 0 {
		d.set("avg_message_chars", &d.into.AvgMessageChars, float64(total)/float64(texts))
		d.set("max_message_chars", &d.into.MaxMessageChars, float64(most))
	}
}

func (d *derivation) counts(messages []events.Message) {
	visitors, agents := 0, 0
	for i := range messages {
		switch visitor, agent := said(&messages[i]); {
		case visitor:
			visitors++
		case agent:
			agents++
		}
	}
	d.count("visitor_messages", &d.into.VisitorMessages, visitors)
	d.count("agent_messages", &d.into.AgentMessages, agents)
}
